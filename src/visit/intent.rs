//! Which requests are clicks: people following a link, and nobody else.

use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method};

use super::agents::Agent;

/// Headers that say what a request is for.
const PURPOSES: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/// How a link is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To follow it: GET.
    Follow,
    /// To look whether it is there: HEAD.
    Probe,
    /// Ahead of a click that may never come: a browser's guess about what its user opens next
    /// (`Sec-Purpose: prefetch`, older browsers' `Purpose`, `X-Purpose` and `X-Moz`).
    Prefetch,
    /// To follow it with the password sent along: POST.
    Unlock,
}

impl Intent {
    /// By the head of a request.
    pub fn of(method: &Method, headers: &HeaderMap) -> Intent {
        Intent::and_agent(method, headers).0
    }

    /// The same, and the User-Agent. In one walk over all headers: to look four names up, three of
    /// which nearly no request has, costs more.
    pub fn and_agent<'a>(method: &Method, headers: &'a HeaderMap) -> (Intent, Option<&'a HeaderValue>) {
        let (mut is_prefetch, mut agent) = (false, None);
        for (name, value) in headers {
            if name == USER_AGENT {
                agent = agent.or(Some(value));
            } else if says_prefetch(value.as_bytes()) {
                is_prefetch |= PURPOSES.contains(&name.as_str());
            }
        }
        let intent = match *method {
            Method::GET if is_prefetch => Intent::Prefetch,
            Method::GET => Intent::Follow,
            Method::POST => Intent::Unlock,
            _ => Intent::Probe,
        };
        (intent, agent)
    }

    /// Returns whether a request is a click: a person follows a link, or a bot one that counts bots.
    pub fn is_click(self, agent: Agent, count_bots: bool) -> bool {
        matches!(self, Intent::Follow | Intent::Unlock) && (agent == Agent::Person || count_bots)
    }
}

/// Asked first, since few values begin so.
fn says_prefetch(value: &[u8]) -> bool {
    value.first().is_some_and(|first| first | 0x20 == b'p')
        && [&b"prefetch"[..], b"prerender", b"preview"]
            .iter()
            .any(|word| value.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A person follows the link, or nothing is counted.
    #[test]
    fn t53_what_counts() {
        let rows = [
            (Method::GET, None, Intent::Follow),
            (Method::HEAD, None, Intent::Probe),
            (Method::POST, None, Intent::Unlock),
            (Method::GET, Some(("sec-purpose", "prefetch")), Intent::Prefetch),
            (Method::GET, Some(("sec-purpose", "prefetch;prerender")), Intent::Prefetch),
            (Method::GET, Some(("purpose", "Prefetch")), Intent::Prefetch),
            (Method::GET, Some(("x-moz", "prefetch")), Intent::Prefetch),
            (Method::GET, Some(("purpose", "preview")), Intent::Prefetch),
            (Method::GET, Some(("sec-purpose", "Prefetch;anonymous-client-ip")), Intent::Prefetch),
            (Method::GET, Some(("sec-purpose", "prerender")), Intent::Prefetch),
            (Method::GET, Some(("x-purpose", "preview")), Intent::Prefetch),
            (Method::GET, Some(("purpose", "other")), Intent::Follow),
            (Method::GET, Some(("purpose", "p")), Intent::Follow),
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
}
