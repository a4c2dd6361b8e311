//! The cookies of the dashboard: the secret of the session, and what a person has chosen for all pages.

use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};

use crate::model::session::{COOKIE, HTTPS_COOKIE};

/// Seconds for which a browser keeps the session: 30 days, as the server.
const SESSION_SECONDS: u32 = 30 * 24 * 60 * 60;

/// Seconds for which a browser keeps a choice: a year.
const CHOICE_SECONDS: u32 = 365 * 24 * 60 * 60;

/// A choice of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptChoice {
    /// `light` or `dark`.
    Theme,
    /// The id of the workspace in which pages act.
    Workspace,
    /// Whether single keys act: `off`.
    Keys,
}

impl KeptChoice {
    fn name(self) -> &'static str {
        match self {
            KeptChoice::Theme => "waypost-theme",
            KeptChoice::Workspace => "waypost-workspace",
            KeptChoice::Keys => "waypost-keys",
        }
    }

    /// Returns the value in the cookies of a request.
    pub(super) fn of(self, headers: &HeaderMap) -> Option<&str> {
        value(headers, self.name())
    }

    /// Returns the `Set-Cookie` that keeps a value. `None` for a text that no cookie can have.
    pub(super) fn keep(self, value: &str) -> Option<HeaderValue> {
        // A value from a form may have anything: `;` would begin an attribute.
        let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let age = if value.is_empty() { 0 } else { CHOICE_SECONDS };
        let name = self.name();
        let line = format!("{name}={value}; Path=/admin; Max-Age={age}; HttpOnly; SameSite=Strict");
        HeaderValue::try_from(line).ok().filter(|_| is_plain)
    }
}

fn session_name(is_https: bool) -> &'static str {
    if is_https { HTTPS_COOKIE } else { COOKIE }
}

/// Returns the secret of the session in the cookies of a request.
pub(super) fn session(headers: &HeaderMap, is_https: bool) -> Option<&str> {
    value(headers, session_name(is_https))
}

/// Returns the `Set-Cookie` that keeps the secret of a session. An empty one removes the cookie.
pub(super) fn keep_session(secret: &str, is_https: bool) -> HeaderValue {
    let age = if secret.is_empty() { 0 } else { SESSION_SECONDS };
    // Browsers refuse `Secure` without HTTPS, but for a trial on the own machine.
    let secure = if is_https { "; Secure" } else { "" };
    let name = session_name(is_https);
    // Strict: a page of another site cannot open a page of the dashboard as its reader.
    let line = format!("{name}={secret}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(line).expect("a secret is visible ASCII")
}

/// Returns the value of a cookie that is sent once.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let first = values.next();
    // Another host of the domain may have set the second one.
    first.filter(|value| !value.is_empty() && values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_once() {
        let rows = [
            (&["waypost=a"][..], Some("a")),
            (&["x=1; waypost=a ; y=2"], Some("a")),
            (&["x=1", "waypost=a"], Some("a")),
            (&["waypost=a; waypost=b"], None),
            (&["waypost=a", "waypost=b"], None),
            (&["waypost="], None),
            (&["waypostx=a"], None),
            (&[], None),
        ];
        for (lines, want) in rows {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_static(line));
            }
            assert_eq!(session(&headers, false), want, "{lines:?}");
            assert_eq!(session(&headers, true), None, "{lines:?}");
        }
    }

    #[test]
    fn a_session_is_kept_for_its_host_alone() {
        let secure = keep_session("abc", true);
        let want = "__Host-waypost=abc; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(secure, want);
        assert_eq!(keep_session("", false), "waypost=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
        let theme = KeptChoice::Theme.keep("dark").expect("plain");
        assert!(
            theme.to_str().expect("ASCII").starts_with("waypost-theme=dark; Path=/admin; Max-Age=31536000;")
        );
        assert_eq!(KeptChoice::Theme.keep("a; Domain=evil.test"), None);
    }
}
