//! The page that asks for the password of a link, or of a share of statistics. It shows nothing of the link but its domain, not even its title: a
//! visitor without the password learns only that the link has one.
//!
//! The form posts to its own URL, so that code and query are kept. Two headers differ from other pages', both
//! for the form:
//!
//! - `Referrer-Policy: same-origin`. Under `no-referrer`, browsers send `Origin: null` with a POST, and a
//!   form of this server could not be distinguished from a foreign one.
//! - `form-action` also names the schemes of destinations. Chromium and Safari apply it to the redirect that
//!   answers a form, and to the redirects after it; with `'self'` alone the right password would not reach
//!   the destination. The specification leaves this open (w3c/webappsec-csp, issue 8), and Firefox does not
//!   do it. A host in place of the schemes would reveal the destination. `suite::browser` shows both halves
//!   in Chromium. The schemes that the configuration adds are among them.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, REFERRER_POLICY, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::layout::{RETRY_SECONDS, page, policy};
use super::notice::DomainHome;
use crate::model::destination::ExtraSchemes;

/// Returns the directive of a page whose form is answered by a redirect to a destination.
pub(super) fn form_action(schemes: &ExtraSchemes) -> String {
    // Each is a scheme by RFC 3986, so none can end the directive.
    let mut directive = "form-action 'self' https: http: mailto: tel: sms:".to_owned();
    for scheme in schemes.iter() {
        directive.extend([" ", scheme, ":"]);
    }
    directive
}

/// The reason why the page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordPrompt {
    /// The visitor has not sent a password yet.
    First,
    /// The password was wrong.
    Wrong,
    /// There were too many wrong passwords.
    Locked {
        /// The time until another password is accepted.
        seconds: u64,
    },
    /// Too many other passwords are being checked.
    Busy,
}

/// What a password opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The type has the doc.
pub enum Protected {
    Link,
    Statistics,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordForm<'a> {
    what: Protected,
    prompt: PasswordPrompt,
    home: &'a DomainHome,
}

/// Returns the page: 200 for the first, 403 for a wrong password, 429 and 503 with `Retry-After` if the
/// password was not checked. `schemes` are those of the configuration.
pub fn password(
    what: Protected,
    prompt: PasswordPrompt,
    schemes: &ExtraSchemes,
    home: &DomainHome,
) -> Response<Full<Bytes>> {
    let (status, retry) = match prompt {
        PasswordPrompt::First => (StatusCode::OK, None),
        PasswordPrompt::Wrong => (StatusCode::FORBIDDEN, None),
        PasswordPrompt::Locked { seconds } => {
            (StatusCode::TOO_MANY_REQUESTS, Some(HeaderValue::from(seconds)))
        }
        PasswordPrompt::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_SECONDS)),
    };
    let mut response = page(status, &PasswordForm { what, prompt, home }, policy(&form_action(schemes)));
    let headers = response.headers_mut();
    // Replaces `no-referrer`, which every other page has; see the head of this file.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if let Some(seconds) = retry {
        headers.insert(RETRY_AFTER, seconds);
    }
    response
}
