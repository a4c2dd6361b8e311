//! The page that asks for a link's password. It shows nothing of the link, not even its title:
//! who does not know the password learns only that there is one.
//!
//! The form posts to the address it stands at, so that code and query stay. Two headers differ
//! from other pages', both for that form:
//!
//! - `Referrer-Policy: same-origin`. Under `no-referrer` browsers send `Origin: null` with a POST,
//!   and a form of ours could not be told from a stranger's.
//! - `form-action` also names the schemes that destinations have. Chromium and Safari hold the
//!   redirect that answers a form against it, and what that redirect leads to in turn; with
//!   `'self'` alone the right password would leave the visitor standing here. The specification
//!   leaves it open (w3c/webappsec-csp, issue 8), and Firefox does not do it. A host instead of the
//!   schemes would tell where the link leads. `suite::browser` shows both halves in Chromium.
//!   Schemes that the configuration adds are not named yet: there the right password is refused.

use std::sync::LazyLock;

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, REFERRER_POLICY, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::layout::{RETRY_SECONDS, page, policy};

static POLICY: LazyLock<HeaderValue> =
    LazyLock::new(|| policy("form-action 'self' https: http: mailto: tel: sms:"));

/// Why a visitor is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordPrompt {
    /// They have just come.
    First,
    /// What they gave is not the password.
    Wrong,
    /// They gave too many wrong ones.
    Locked {
        /// How long no other is taken.
        seconds: u64,
    },
    /// Too many are being checked to check another.
    Busy,
}

#[derive(Template)]
#[template(path = "password.html")]
struct Form {
    prompt: PasswordPrompt,
}

/// Asks for the password: 200 at first, 403 when it was wrong, 429 and 503 with `Retry-After`
/// when it was not even looked at.
pub fn password(prompt: PasswordPrompt) -> Response<Full<Bytes>> {
    let (status, retry) = match prompt {
        PasswordPrompt::First => (StatusCode::OK, None),
        PasswordPrompt::Wrong => (StatusCode::FORBIDDEN, None),
        PasswordPrompt::Locked { seconds } => {
            (StatusCode::TOO_MANY_REQUESTS, Some(HeaderValue::from(seconds)))
        }
        PasswordPrompt::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_SECONDS)),
    };
    let mut response = page(status, &Form { prompt }, POLICY.clone());
    let headers = response.headers_mut();
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if let Some(seconds) = retry {
        headers.insert(RETRY_AFTER, seconds);
    }
    response
}
