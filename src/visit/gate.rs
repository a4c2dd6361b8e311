//! Whether a link stands at this instant, and what its visitor gets when it does not.
//!
//! Unknown, switched off and not yet valid look the same from outside: 404. Expired and used up
//! are 410, since the link was real. A domain may send both elsewhere.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::{pages, redirect};
use crate::clock::Timestamp;
use crate::model::domain::Domain;
use crate::model::link::{Options, Standing};

/// The answer to a visitor who must not pass; `None` when the link stands.
pub(super) fn check(
    options: &Options,
    domain: &Domain,
    now: Timestamp,
    clicks: u64,
) -> Option<Response<Full<Bytes>>> {
    match options.standing(now, clicks) {
        Standing::Disabled | Standing::NotYetValid => Some(not_found(domain)),
        Standing::Expired | Standing::UsedUp => Some(gone(options, domain)),
        // Nothing can ask for the password yet: a protected link must not open without it.
        Standing::Live if options.password.is_some() => Some(pages::protected()),
        Standing::Live => None,
    }
}

/// The answer where there is no link.
pub(super) fn not_found(domain: &Domain) -> Response<Full<Bytes>> {
    match &domain.not_found_url {
        Some(url) => redirect::elsewhere(url),
        None => pages::error(StatusCode::NOT_FOUND),
    }
}

fn gone(options: &Options, domain: &Domain) -> Response<Full<Bytes>> {
    match options.expired_url.as_ref().or(domain.expired_url.as_ref()) {
        Some(url) => redirect::elsewhere(url),
        None => pages::error(StatusCode::GONE),
    }
}
