//! [`VisitFacts`]: the facts of a visit that the rules of a click and those of a link use.

use std::net::IpAddr;

use hyper::header::{ACCEPT_LANGUAGE, COOKIE, HeaderValue, REFERER, USER_AGENT};

use super::intent::{Intent, is_private};
use super::request::Visit;
use crate::agents::UserAgent;
use crate::analytics::country::{Place, ProxyCountry};
use crate::model::escape;
use crate::model::id::ForeignId;

/// The facts of a request that a rule may use. Owned, since the visit may have to wait.
#[derive(Clone, Debug)]
pub(super) struct VisitFacts {
    pub(super) intent: Intent,
    pub(super) agent: UserAgent,
    /// The path of the link as sent: one of the spellings of its code.
    pub(super) path: String,
    /// The part of the path after the code, without the slash between them.
    pub(super) rest: String,
    /// The query as sent.
    pub(super) query: Option<String>,
    pub(super) cookies: Vec<HeaderValue>,
    pub(super) referrer: Option<HeaderValue>,
    /// The `Accept-Language` as sent.
    pub(super) language: Option<HeaderValue>,
    /// The visitor's address, as [`Visit::address`] returns it.
    pub(super) address: IpAddr,
    /// The visitor's country, as [`Visit::country`] returns it.
    pub(super) country: ProxyCountry,
    /// The contact, if the visit came by a contact link.
    pub(super) contact: Option<ForeignId>,
    /// The requested host, as [`Visit::host`].
    pub(super) host: Box<str>,
    /// The `User-Agent` as sent.
    pub(super) user_agent: Option<HeaderValue>,
    /// The place of the visitor, if an explanation describes it.
    pub(super) place: Option<Box<Place>>,
    /// The host, as [`Visitor::unknown_host`](super::Visitor::unknown_host) returns it.
    pub(super) unknown_host: Option<Box<str>>,
    /// `Sec-GPC: 1` or `DNT: 1`: no third party may be informed about the visit.
    pub(super) is_private: bool,
    /// Whether the visitor pressed the button of the page that asks for confirmation.
    pub(super) is_confirmed: bool,
}

impl VisitFacts {
    /// Copies the facts of a visit. `rest` is the part of its path after the code.
    pub(super) fn new(
        intent: Intent,
        agent: impl Into<UserAgent>,
        rest: &str,
        visit: &Visit<'_>,
    ) -> VisitFacts {
        let Visit { path, query, headers, .. } = *visit;
        VisitFacts {
            intent,
            agent: agent.into(),
            // `rest` has no leading slash, so a slash is left at the end of the path.
            path: path.strip_suffix(rest).unwrap_or(path).trim_end_matches('/').to_owned(),
            rest: rest.to_owned(),
            query: query.map(str::to_owned),
            cookies: headers.get_all(COOKIE).iter().cloned().collect(),
            referrer: headers.get(REFERER).cloned(),
            language: headers.get(ACCEPT_LANGUAGE).cloned(),
            address: visit.address(),
            country: visit.country(),
            contact: None,
            host: visit.host.into(),
            user_agent: headers.get(USER_AGENT).cloned(),
            place: None,
            unknown_host: None,
            is_private: is_private(headers),
            is_confirmed: false,
        }
    }

    /// Sets the unknown host of the visit.
    pub(super) fn at_unknown(self, host: Option<&str>) -> VisitFacts {
        VisitFacts { unknown_host: host.map(Box::from), ..self }
    }

    /// Returns the URL of this request, for a redirect to itself.
    pub(super) fn same_url(&self) -> HeaderValue {
        let rest = if self.rest.is_empty() { "" } else { "/" };
        let query = self.query.as_ref().map(|query| format!("?{}", escape::query(query))).unwrap_or_default();
        // The target of a request may contain bytes that a URI has only escaped.
        let whole = escape::path(&[&self.path, rest, &self.rest].concat()) + &query;
        HeaderValue::try_from(whole).expect("what is escaped is visible ASCII")
    }

    /// Returns the parts of the request that a link may forward.
    pub(super) fn forwarded(&self) -> Forwarded<'_> {
        Forwarded { rest: &self.rest, query: self.query.as_deref() }
    }
}

/// The parts of a request that a link may forward to its destination.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Forwarded<'a> {
    /// The part of the path after the code, without the slash between them; may be empty.
    pub(crate) rest: &'a str,
    /// The query as sent.
    pub(crate) query: Option<&'a str>,
}
