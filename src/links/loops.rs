//! Where links and domains lead within this server. No chain of them comes back to where it began:
//! a visitor's browser would go round in it. Whatever may close such a chain is written under the
//! exclusive lock ([`super::exclusive`]), so that none of it changes between the check and the Change.

use super::create::Siblings;
use super::{Error, Shared};
use crate::model::Invalid;
use crate::model::destination::Destination;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::link::Options;
use crate::model::short_code::{ShortCode, canonical, is_reserved};

/// Longest chain of our own short links and roots that a destination may lead through. More is a
/// loop, or as good as one to the visitor's browser.
const HOPS_MAX: usize = 8;

/// A place of ours from which a visitor may be led on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A link, whether it exists or not.
    Link(DomainNumber, ShortCode),
    /// The `/` of a domain.
    Root(DomainNumber),
}

/// What is to be written, and not to be found in table and directory yet.
#[derive(Clone, Copy, Debug)]
enum Unwritten<'a> {
    Links(&'a Siblings),
    Domain(&'a Domain),
}

impl Shared {
    /// Refuses a `rootUrl` that leads back to itself, through however many of our own links and
    /// other domains' roots. Reads at most [`HOPS_MAX`] links.
    pub(super) fn check_root(&self, domain: &Domain) -> Result<(), Error> {
        let Some(root) = &domain.root_url else { return Ok(()) };
        let start = Stop::Root(domain.number);
        if self.leads_back(Some(&start), root, Unwritten::Domain(domain))? {
            return Err(Invalid::new("rootUrl", "must not lead back to itself").into());
        }
        Ok(())
    }

    /// Whether the link leads to a place of our own.
    pub(super) fn leads_here(&self, options: &Options) -> bool {
        let expired = options.expired_url.as_ref();
        self.stop(&options.target()).is_some() || expired.is_some_and(|url| self.stop(url).is_some())
    }

    /// Refuses a destination that leads back to the link itself, through however many of our own
    /// links and roots. `code` is `None` for one not yet drawn, to which nothing can lead.
    pub(super) fn check_loop(
        &self,
        domain: DomainNumber,
        code: Option<&ShortCode>,
        options: &Options,
        siblings: &Siblings,
    ) -> Result<(), Error> {
        let start = code.map(|code| Stop::Link(domain, code.clone()));
        let check = |field, to: &Destination| -> Result<(), Error> {
            if self.leads_back(start.as_ref(), to, Unwritten::Links(siblings))? {
                return Err(Invalid::new(field, "must not lead back to this short link").into());
            }
            Ok(())
        };
        check("url", &options.target())?;
        options.expired_url.as_ref().map_or(Ok(()), |url| check("expiredUrl", url))
    }

    /// Whether whoever is led there comes back to `start`, or does not come to an end.
    fn leads_back(
        &self,
        start: Option<&Stop>,
        to: &Destination,
        unwritten: Unwritten<'_>,
    ) -> Result<bool, Error> {
        let own = match unwritten {
            Unwritten::Domain(domain) => Some(domain),
            Unwritten::Links(_) => None,
        };
        let mut next = self.stop_with(to, own);
        for _ in 0..HOPS_MAX {
            let Some(stop) = next else { return Ok(false) };
            if Some(&stop) == start {
                return Ok(true);
            }
            let to = self.led_on(stop, unwritten)?;
            next = to.and_then(|to| self.stop_with(&to, own));
        }
        Ok(true)
    }

    /// Where visitors of this place are led.
    fn led_on(&self, stop: Stop, unwritten: Unwritten<'_>) -> Result<Option<Destination>, Error> {
        match (stop, unwritten) {
            (Stop::Root(number), Unwritten::Domain(domain)) if number == domain.number => {
                Ok(domain.root_url.clone())
            }
            (Stop::Root(number), _) => {
                Ok(self.directory.load().domain(number).and_then(|domain| domain.root_url.clone()))
            }
            (Stop::Link(domain, code), _) => {
                let place = (domain, code);
                if let Unwritten::Links(siblings) = unwritten
                    && let Some(target) = siblings.get(&place)
                {
                    return Ok(Some(target.clone()));
                }
                // Links of an import count before they are seen: they would close the chain later.
                let link = self.table.link_or_staged(place.0, place.1.as_str())?;
                Ok(link.map(|link| link.options.target()))
            }
        }
    }

    /// The place of ours that a destination leads to.
    pub(super) fn stop(&self, destination: &Destination) -> Option<Stop> {
        self.stop_with(destination, None)
    }

    /// The same, with a domain that is not written yet.
    fn stop_with(&self, destination: &Destination, unwritten: Option<&Domain>) -> Option<Stop> {
        let directory = self.directory.load();
        if let Some(host) = plain_host(destination.as_str())
            && !self.site.may_be_reached_by(host)
            && unwritten.is_none_or(|domain| domain.name.as_ref().is_none_or(|name| name.as_str() != host))
            && directory.domain_named(host).is_none()
        {
            return None;
        }
        let url = destination.to_url()?;
        let host = url.host_str()?.trim_end_matches('.');
        let is_named = |domain: &&Domain| domain.name.as_ref().is_some_and(|name| name.as_str() == host);
        let domain = if self.site.is_reached_by(&url) {
            directory.domain(DomainNumber::DEFAULT).map(|domain| &**domain)
        } else {
            unwritten.filter(is_named).or_else(|| directory.domain_named(host).map(|domain| &**domain))
        }?;
        let segment = url.path().trim_start_matches('/').split('/').next()?;
        if segment.is_empty() {
            return Some(Stop::Root(domain.number));
        }
        let code = canonical(segment)?;
        if is_reserved(&code) {
            return None;
        }
        ShortCode::parse(&code).ok().map(|code| Stop::Link(domain.number, domain.key_of(code)))
    }
}

/// The host of a web address, where it is a name in its normal form and takes no parsing to find:
/// most lead to others, and creating a link asks several times.
fn plain_host(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let host = &rest[..rest.find(['/', '?', '#'])?];
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    // A number at the end makes it an address, of which there are many spellings.
    let is_name = host.as_bytes().last().is_some_and(u8::is_ascii_lowercase) && host.bytes().all(is_plain);
    (is_name && !host.contains("0x")).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_plain_to_see() {
        let rows = [
            ("https://example.com/a", Some("example.com")),
            ("http://e-1.example.com/?a", Some("e-1.example.com")),
            ("https://example.com", None),
            ("https://example.com:8080/", None),
            ("https://example.com./", None),
            ("https://Example.com/", None),
            ("https://u@example.com/", None),
            ("https://u:p@example.com/", None),
            ("https://127.0.0.1/", None),
            ("https://0x7f.0x0a/", None),
            ("https://[::1]/", None),
            ("https:///example.com/", None),
            ("https:example.com/", None),
            ("https://exa\\mple.com/", None),
            ("https://exa\tmple.com/", None),
            ("mailto:a@example.com/", None),
        ];
        for (text, want) in rows {
            assert_eq!(plain_host(text), want, "{text}");
            if let Some(host) = want {
                let url = url::Url::parse(text).expect("valid");
                assert_eq!(url.host_str(), Some(host), "{text}");
            }
        }
    }
}
