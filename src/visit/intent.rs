//! [`Intent`]: which requests are clicks. Only a visitor who follows the link is one.

use hyper::header::{ACCEPT_LANGUAGE, HeaderValue, REFERER, USER_AGENT};
use hyper::{HeaderMap, Method};

use super::peer::FORWARDED_FOR;
use crate::agents::Agent;

/// Headers that contain the purpose of a request.
const PURPOSES: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/// The purpose of a request for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// GET: the visitor follows the link.
    Follow,
    /// HEAD: the visitor checks that the link exists.
    Probe,
    /// A load before a click that may never come: a browser's guess about the next page of its user
    /// (`Sec-Purpose: prefetch`, or `Purpose`, `X-Purpose` and `X-Moz` of older browsers).
    Prefetch,
    /// POST: the visitor follows the link and sends the password.
    Unlock,
    /// POST, PUT, PATCH or DELETE to a link whose redirect keeps the method: the client repeats the request at
    /// the destination. No request has this intent by its head alone: see `Visitor::submit`.
    Submit,
}

impl Intent {
    /// Returns the intent of a request, by its method and headers.
    pub fn of(method: &Method, headers: &HeaderMap) -> Intent {
        Head::read(method, headers, false).intent
    }

    /// Returns whether a request is a click: a person follows the link, or a bot follows a link that counts
    /// bots.
    pub(crate) fn is_click(self, agent: Agent, count_bots: bool) -> bool {
        matches!(self, Intent::Follow | Intent::Unlock | Intent::Submit)
            && (agent == Agent::Person || count_bots)
    }
}

/// Returns whether a visitor asks for privacy: no third party may be informed about the visit.
pub(super) fn is_private(headers: &HeaderMap) -> bool {
    // Only `1`: `DNT: 0` is a consent.
    let is_one = |name: &str| headers.get(name).is_some_and(|value| value == "1");
    is_one("sec-gpc") || is_one("dnt")
}

/// Returns whether a query says that the link was opened by its QR code: `qr`, `qr=1` or `qr=true`, as the first
/// parameter or a later one.
// Not inlined: most visits have no query, and would pay for its registers.
#[inline(never)]
pub(super) fn is_of_qr_code(query: &str) -> bool {
    query.split('&').any(|parameter| matches!(parameter, "qr" | "qr=1" | "qr=true"))
}

/// What a visit needs of its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) intent: Intent,
    pub(crate) agent: Option<&'a HeaderValue>,
    pub(crate) referrer: Option<&'a HeaderValue>,
    pub(crate) language: Option<&'a HeaderValue>,
    /// Whether a proxy may have reported another address than that of the connection.
    pub(crate) is_forwarded: bool,
}

impl<'a> Head<'a> {
    /// Reads a head. Referrer, language and whether it was forwarded are read only if `is_detailed`.
    pub(crate) fn read(method: &Method, headers: &'a HeaderMap, is_detailed: bool) -> Head<'a> {
        // Compiled for each: a test for each header would cost a tenth of the loop.
        if is_detailed {
            Head::read_as::<true>(method, headers)
        } else {
            Head::read_as::<false>(method, headers)
        }
    }

    /// Reads a head. One loop over all headers is cheaper than a look-up of each, most of which fail.
    fn read_as<const IS_DETAILED: bool>(method: &Method, headers: &'a HeaderMap) -> Head<'a> {
        let (mut is_prefetch, mut is_forwarded) = (false, false);
        let (mut agent, mut referrer, mut language) = (None, None, None);
        for (name, value) in headers {
            // Of several lines only the first counts, as for `HeaderMap::get`.
            if name == USER_AGENT {
                agent = agent.or(Some(value));
            } else if IS_DETAILED && name == REFERER {
                referrer = referrer.or(Some(value));
            } else if IS_DETAILED && name == ACCEPT_LANGUAGE {
                language = language.or(Some(value));
            } else if IS_DETAILED && *name == FORWARDED_FOR {
                is_forwarded = true;
            } else if is_prefetch_value(value.as_bytes()) {
                is_prefetch |= PURPOSES.contains(&name.as_str());
            }
        }
        // Only a GET can be a prefetch: HEAD is not counted anyway, and a browser sends no form by itself.
        let intent = match *method {
            Method::GET if is_prefetch => Intent::Prefetch,
            Method::GET => Intent::Follow,
            Method::POST => Intent::Unlock,
            // HEAD. Any other method would not be counted either.
            _ => Intent::Probe,
        };
        Head { intent, agent, referrer, language, is_forwarded }
    }
}

/// Returns whether a header's value announces a prefetch. The first byte is compared first, since few values
/// begin with it.
fn is_prefetch_value(value: &[u8]) -> bool {
    // The bit folds ASCII capitals: some browsers send `Prefetch`.
    value.first().is_some_and(|first| first | 0x20 == b'p')
        && [&b"prefetch"[..], b"prerender", b"preview"]
            .iter()
            .any(|word| value.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only requests that follow the link are counted.
    #[test]
    fn t53_the_intent_of_each_request() {
        let rows = [
            (Method::GET, None, Intent::Follow),
            (Method::HEAD, None, Intent::Probe),
            (Method::POST, None, Intent::Unlock),
            (Method::GET, Some(("sec-purpose", "prefetch")), Intent::Prefetch),
            (Method::GET, Some(("sec-purpose", "prefetch;prerender")), Intent::Prefetch),
            (Method::GET, Some(("purpose", "Prefetch")), Intent::Prefetch),
            (Method::GET, Some(("x-moz", "prefetch")), Intent::Prefetch),
            (Method::GET, Some(("purpose", "preview")), Intent::Prefetch),
            // Chrome's prefetch through its private proxy.
            (Method::GET, Some(("sec-purpose", "Prefetch;anonymous-client-ip")), Intent::Prefetch),
            (Method::GET, Some(("sec-purpose", "prerender")), Intent::Prefetch),
            (Method::GET, Some(("x-purpose", "preview")), Intent::Prefetch),
            (Method::GET, Some(("purpose", "other")), Intent::Follow),
            // Shorter than each word.
            (Method::GET, Some(("purpose", "p")), Intent::Follow),
            // The value alone is no signal: the header must be known.
            (Method::GET, Some(("x-other", "prefetch")), Intent::Follow),
            (Method::GET, Some(("purpose", "")), Intent::Follow),
            (Method::GET, Some(("purpose", "pref")), Intent::Follow),
            (Method::GET, Some(("sec-fetch-mode", "navigate")), Intent::Follow),
            (Method::HEAD, Some(("sec-purpose", "prefetch")), Intent::Probe),
            (Method::OPTIONS, None, Intent::Probe),
        ];
        for (method, header, want) in rows {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().expect("a valid value"));
            }
            assert_eq!(Intent::of(&method, &headers), want, "{method} {header:?}");
        }
    }

    #[test]
    fn the_query_of_a_qr_code() {
        for query in ["qr", "qr=1", "qr=true", "a=b&qr=1", "qr&a"] {
            assert!(is_of_qr_code(query), "{query}");
        }
        for query in ["", "qr=0", "qr=false", "qrx", "aqr=1", "a=qr"] {
            assert!(!is_of_qr_code(query), "{query}");
        }
    }
}
