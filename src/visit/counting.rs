//! Which requests are clicks: people following a link, and nobody else.

use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method};

use super::agents::Agent;

/// Headers that say what a request is for.
const PURPOSES: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/// How a link is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// To follow it: GET.
    Follow,
    /// To look whether it is there: HEAD.
    Look,
    /// Ahead of a click that may never come: a browser's guess about what its user opens next
    /// (`Sec-Purpose: prefetch`, older browsers' `Purpose`, `X-Purpose` and `X-Moz`).
    Prefetch,
    /// To follow it with the password sent along: POST.
    Unlock,
}

impl How {
    /// By the head of a request.
    pub fn of(method: &Method, headers: &HeaderMap) -> How {
        How::and_agent(method, headers).0
    }

    /// The same, and the User-Agent. In one walk over all headers: to look four names up, three of
    /// which nearly no request has, costs more.
    pub fn and_agent<'a>(method: &Method, headers: &'a HeaderMap) -> (How, Option<&'a HeaderValue>) {
        let (mut is_prefetch, mut agent) = (false, None);
        for (name, value) in headers {
            if name == USER_AGENT {
                agent = agent.or(Some(value));
            } else if says_prefetch(value.as_bytes()) {
                is_prefetch |= PURPOSES.contains(&name.as_str());
            }
        }
        let how = match *method {
            Method::GET if is_prefetch => How::Prefetch,
            Method::GET => How::Follow,
            Method::POST => How::Unlock,
            _ => How::Look,
        };
        (how, agent)
    }

    /// Returns whether a request is a click: a person follows a link, or a bot one that counts bots.
    pub fn is_click(self, agent: Agent, count_bots: bool) -> bool {
        matches!(self, How::Follow | How::Unlock) && (agent == Agent::Person || count_bots)
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

    /// T53: a person follows the link, or nothing is counted.
    #[test]
    fn what_counts() {
        let rows = [
            (Method::GET, None, How::Follow),
            (Method::HEAD, None, How::Look),
            (Method::POST, None, How::Unlock),
            (Method::GET, Some(("sec-purpose", "prefetch")), How::Prefetch),
            (Method::GET, Some(("sec-purpose", "prefetch;prerender")), How::Prefetch),
            (Method::GET, Some(("purpose", "Prefetch")), How::Prefetch),
            (Method::GET, Some(("x-moz", "prefetch")), How::Prefetch),
            (Method::GET, Some(("purpose", "preview")), How::Prefetch),
            (Method::GET, Some(("sec-purpose", "Prefetch;anonymous-client-ip")), How::Prefetch),
            (Method::GET, Some(("sec-purpose", "prerender")), How::Prefetch),
            (Method::GET, Some(("x-purpose", "preview")), How::Prefetch),
            (Method::GET, Some(("purpose", "other")), How::Follow),
            (Method::GET, Some(("purpose", "p")), How::Follow),
            (Method::GET, Some(("x-other", "prefetch")), How::Follow),
            (Method::GET, Some(("purpose", "")), How::Follow),
            (Method::GET, Some(("purpose", "pref")), How::Follow),
            (Method::GET, Some(("sec-fetch-mode", "navigate")), How::Follow),
            (Method::HEAD, Some(("sec-purpose", "prefetch")), How::Look),
            (Method::OPTIONS, None, How::Look),
        ];
        for (method, header, want) in rows {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().expect("a valid value"));
            }
            assert_eq!(How::of(&method, &headers), want, "{method} {header:?}");
        }
    }
}
