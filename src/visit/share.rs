//! `/?share=<id>` on the default domain: the page of a share, of a snapshot or of statistics. It has priority over the
//! domain's `rootUrl`. A share of the statistics of a link has its page on the domain of the link as well.
//!
//! A share of statistics may have a password: its form, its limits of guesses and its cookie are those of links.

use std::future::Future;
use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{COOKIE, HeaderValue, SET_COOKIE};
use hyper::{Response, StatusCode};
use jiff::tz::TimeZone;

use super::home::home_of;
use super::pages::{self, PasswordPrompt, Protected, ShownPeriod};
use super::password;
use super::request::{Visit, VisitResponse};
use super::submission::{FormRejection, GET_AND_HEAD, not_allowed, rejection};
use super::unlock::{PasswordGuess, accepted};
use super::visitor::Visitor;
use crate::core::{Error, Period};
use crate::model::click_share::ClickShare;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::Id;
use crate::model::snapshot::{NamedShare, share_in};

/// The periods of a page of statistics: the value of `interval`, and the name.
const PERIODS: [(&str, &str, Period); 5] = [
    ("7d", "7 days", Period::Days(7)),
    ("30d", "30 days", Period::Days(30)),
    ("90d", "90 days", Period::Days(90)),
    ("365d", "365 days", Period::Days(365)),
    ("all", "all", Period::All),
];

/// The place of the period that a page shows at first.
const PERIOD_DEFAULT: usize = 1;

/// Longest name of a time zone that is looked up, in bytes. The longest of the IANA database has 32.
const ZONE_MAX: usize = 64;

/// What a visit to a page of statistics asks for.
struct ShareRequest {
    id: Id,
    /// The domain of the address.
    domain: DomainNumber,
    cookies: Vec<HeaderValue>,
    /// A place in [`PERIODS`].
    period: usize,
    /// That of the address.
    zone: Option<TimeZone>,
    /// Whether the address names a zone that does not exist.
    is_zone_unknown: bool,
    address: IpAddr,
}

impl ShareRequest {
    fn of(id: Id, domain: DomainNumber, visit: &Visit<'_>) -> ShareRequest {
        let query = visit.query.unwrap_or_default().as_bytes();
        let value = |name: &str| url::form_urlencoded::parse(query).find(|(key, _)| key == name);
        let period =
            value("interval").and_then(|(_, text)| PERIODS.iter().position(|(name, ..)| *name == text));
        // A page and no error for what is wrong: a person may have shortened the address.
        let named = value("timezone").map(|(_, name)| name).filter(|name| !name.is_empty());
        let zone = named.as_deref().and_then(zone);
        ShareRequest {
            id,
            domain,
            cookies: visit.headers.get_all(COOKIE).iter().cloned().collect(),
            period: period.unwrap_or(PERIOD_DEFAULT),
            is_zone_unknown: named.is_some() && zone.is_none(),
            zone,
            address: visit.address(),
        }
    }

    /// Returns the addresses of the page, one for each period.
    fn periods(&self) -> Vec<ShownPeriod> {
        let url = |interval: &str| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("share", &self.id.to_string()).append_pair("interval", interval);
            // Only if it was given: the share has one of its own.
            if let Some(name) = self.zone.as_ref().and_then(TimeZone::iana_name) {
                query.append_pair("timezone", name);
            }
            format!("/?{}", query.finish())
        };
        let shown = |(at, (interval, name, _)): (usize, &(&str, &'static str, Period))| ShownPeriod {
            name,
            url: url(interval),
            is_shown: at == self.period,
        };
        PERIODS.iter().enumerate().map(shown).collect()
    }

    /// Returns the name of the cookie, one for each share: all have the same path.
    fn cookie(&self) -> String {
        format!("waypost_share_{}", self.id)
    }
}

/// Returns the zone of a name of the IANA database.
fn zone(name: &str) -> Option<TimeZone> {
    // Short names only: the look-up compares with the names of all zones.
    let name = Some(name).filter(|name| name.len() <= ZONE_MAX)?;
    TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some())
}

/// Returns the share that a visit to the root requests.
pub(super) fn requested_share(domain: &Domain, query: Option<&str>) -> Option<NamedShare> {
    let named = share_in(url::form_urlencoded::parse(query?.as_bytes()))?;
    // On another domain the root belongs to its owner, and what is no whole id may be a parameter of theirs.
    (domain.number == DomainNumber::DEFAULT || matches!(named, NamedShare::Id(_))).then_some(named)
}

impl Visitor {
    /// Answers with the page of a share, or with 404 if there is none. `otherwise` is the root of another domain than the
    /// default one, which answers a share that is not of one of its links.
    pub(super) fn share(
        &self,
        named: NamedShare,
        domain: DomainNumber,
        visit: &Visit<'_>,
        otherwise: impl FnOnce() -> VisitResponse,
    ) -> VisitResponse {
        let NamedShare::Id(id) = named else { return VisitResponse::Now(pages::no_share()) };
        let (visitor, request) = (self.clone(), ShareRequest::of(id, domain, visit));
        if domain != DomainNumber::DEFAULT {
            let otherwise = otherwise();
            return VisitResponse::Later(Box::pin(async move {
                match visitor.links.click_share(id, domain).await {
                    Ok(Some(share)) => visitor.show_statistics(&request, &share).await,
                    Ok(None) => otherwise.wait().await,
                    Err(error) => unreadable(&error),
                }
            }));
        }
        VisitResponse::Later(Box::pin(async move {
            match visitor.state.snapshots.share_page(id).await {
                Ok(Some((share, url))) => return pages::share(&share, &url),
                Ok(None) => {}
                Err(error) => return unreadable(&error),
            }
            match visitor.links.click_share(id, domain).await {
                Ok(Some(share)) => visitor.show_statistics(&request, &share).await,
                Ok(None) => pages::no_share(),
                Err(error) => unreadable(&error),
            }
        }))
    }

    /// Answers the form for the password of a share of statistics. `form` reads the body.
    pub(super) fn unlock_share<F>(
        &self,
        named: NamedShare,
        domain: DomainNumber,
        visit: &Visit<'_>,
        form: F,
    ) -> VisitResponse
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send + 'static,
    {
        let NamedShare::Id(id) = named else { return VisitResponse::Now(pages::no_share()) };
        let (visitor, request) = (self.clone(), ShareRequest::of(id, domain, visit));
        let rejection = rejection(visit.headers, visit.host);
        VisitResponse::Later(Box::pin(async move {
            match visitor.links.click_share(id, domain).await {
                Ok(Some(share)) => visitor.unlock_statistics(request, &share, rejection, form).await,
                // As for a link: other shares have no form, and neither has the root of another domain.
                Ok(None) if rejection.is_some() || domain != DomainNumber::DEFAULT => {
                    not_allowed(GET_AND_HEAD)
                }
                Ok(None) => pages::no_share(),
                Err(error) => unreadable(&error),
            }
        }))
    }

    /// Returns the page of a share, or the form for its password.
    async fn show_statistics(&self, request: &ShareRequest, share: &ClickShare) -> Response<Full<Bytes>> {
        let now = self.links.clock().now();
        let is_open = |hash| password::has_proof(&request.cookie(), share.id, hash, &request.cookies, now);
        if share.password.as_ref().is_none_or(is_open) {
            return self.statistics(request, share).await;
        }
        self.ask_for_password(request, PasswordPrompt::First)
    }

    async fn unlock_statistics<F>(
        &self,
        request: ShareRequest,
        share: &ClickShare,
        rejection: Option<FormRejection>,
        form: F,
    ) -> Response<Full<Bytes>>
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send,
    {
        let Some(hash) = &share.password else { return not_allowed(GET_AND_HEAD) };
        let form = match accepted(rejection, form).await {
            Ok(form) => form,
            Err(response) => return response,
        };
        let guess = PasswordGuess { id: share.id, hash, address: request.address };
        let check = |password| self.links.is_share_password(share, password);
        if let Err(why) = self.guess(guess, &form, check).await {
            return self.ask_for_password(&request, why);
        }
        // The page itself and no redirect: where cookies are blocked, that would end at the form again.
        let mut response = self.statistics(&request, share).await;
        let site = self.links.site();
        let base = self.links.directory().domain(request.domain).map(|domain| site.base_of(domain));
        let is_secure = base.is_some_and(|base| base.starts_with("https:"));
        let now = self.links.clock().now();
        let cookie = password::proof(&request.cookie(), share.id, hash, "/", is_secure, now);
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
    }

    fn ask_for_password(&self, request: &ShareRequest, why: PasswordPrompt) -> Response<Full<Bytes>> {
        let directory = self.links.directory();
        // It was there when the visit came.
        let Some(domain) = directory.domain(request.domain) else { return pages::unavailable() };
        pages::password(Protected::Statistics, why, self.links.schemes(), &home_of(domain, &self.links))
    }

    async fn statistics(&self, request: &ShareRequest, share: &ClickShare) -> Response<Full<Bytes>> {
        let (_, _, period) = &PERIODS[request.period];
        let of_share = || share.timezone.as_deref().and_then(zone);
        let zone = request.zone.clone().or_else(of_share).unwrap_or(TimeZone::UTC);
        match self.links.shared_statistics(share, period.clone(), zone).await {
            Ok(statistics) => pages::statistics(&statistics, &request.periods(), request.is_zone_unknown),
            // Deleted since the share was read, or the operator keeps no details any more.
            Err(Error::NotFound(_) | Error::Rule(_)) => pages::no_share(),
            Err(error) => unreadable(&error),
        }
    }
}

/// Returns the response if the store cannot be read at the moment.
fn unreadable(error: &Error) -> Response<Full<Bytes>> {
    // Debug: any visitor can cause this line.
    tracing::debug!(%error, "the page of a share cannot be read");
    pages::unavailable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn shares_are_named_by_whole_ids() {
        let domain = |number| Domain {
            number: DomainNumber(number),
            ..Domain::default_domain(Timestamp::from_millis(0))
        };
        let id = Id::from_bits(7);
        let known = format!("a=b&share={id}");
        let twice = format!("share=facebook&{known}");
        let (sentence, cut) = (format!("{known}.%E2%80%9D"), &known[..known.len() - 1]);
        let (longer, both) = (format!("{known}7"), format!("share=0N88&{known}"));
        let (id, broken) = (Some(NamedShare::Id(id)), Some(NamedShare::Broken));
        let rows = [
            (0, Some(known.as_str()), id),
            (0, Some(sentence.as_str()), id),
            (0, Some(both.as_str()), id),
            (0, Some(cut), broken),
            (0, Some(longer.as_str()), broken),
            (1, Some(cut), None),
            (0, Some("share=facebook"), None),
            (0, Some("share=google-plus-1"), None),
            (0, Some("share=twitter&x=1"), None),
            (0, Some("share="), None),
            // The first id counts, wherever it is.
            (0, Some(twice.as_str()), id),
            // The name must be whole.
            (0, Some("shared=1"), None),
            (0, None, None),
            // On another domain the root belongs to its owner, so only a whole id is a share.
            (1, Some(known.as_str()), id),
        ];
        for (number, query, want) in rows {
            assert_eq!(requested_share(&domain(number), query), want, "{number} {query:?}");
        }
    }
}
