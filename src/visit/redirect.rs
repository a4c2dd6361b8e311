//! The head of a redirect, and the time for which a browser may store the redirect.
//!
//! A temporary redirect is never stored, so that the server sees each click. A permanent one is stored for 90
//! seconds, as at Bitly, so that an edit soon reaches every browser. Nothing is stored beyond the expiry of
//! the link, and a link with a limit, a password or rules is never stored.

use std::mem;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, EXPIRES, HeaderValue, LOCATION, REFERRER_POLICY};
use hyper::{HeaderMap, Response, StatusCode};

use crate::clock::Timestamp;
use crate::model::destination::Destination;
use crate::model::link::Options;

/// The time for which browsers may store a permanent redirect, in seconds.
const PERMANENT_MAX_AGE: i64 = 90;

const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");
const SHORTLY: HeaderValue = HeaderValue::from_static("private, max-age=90");

/// Capacities of a header map that is reused. The smallest one has room for all headers of a response: a map that
/// grows costs more than a new one. The largest one is twice the headers of a browser: a larger map of one request
/// must not stay in memory with an idle connection.
const SPARE: RangeInclusive<usize> = 4..=48;

/// A redirect without options. Only its head is left to write.
#[derive(Debug)]
pub struct PlainRedirect {
    status: StatusCode,
    location: HeaderValue,
}

impl PlainRedirect {
    /// Creates a redirect from its ready parts.
    pub fn new(status: StatusCode, location: &HeaderValue) -> PlainRedirect {
        PlainRedirect { status, location: location.clone() }
    }

    /// Returns the response, with the memory of `spare` as [`PlainRedirect::write_to`].
    pub fn respond<B: Default>(self, spare: &mut HeaderMap) -> Response<B> {
        let mut response = Response::new(B::default());
        self.write_to(&mut response, spare);
        response
    }

    /// Writes the head of a new response. Its header map takes the memory of `spare`, the headers of the
    /// request, which are not needed any more. hyper keeps the map of each response for the next request of the
    /// connection, so one map serves a connection for all its requests. A new map for each response would grow
    /// for each request: a tenth of all instructions with a browser's headers.
    pub fn write_to<B>(self, response: &mut Response<B>, spare: &mut HeaderMap) {
        // Cleared, so that no header of the request becomes part of the response.
        if SPARE.contains(&spare.capacity()) {
            mem::swap(response.headers_mut(), spare);
            response.headers_mut().clear();
        }
        let keep = matches!(self.status, StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT);
        write(response, self.status, self.location, if keep { SHORTLY } else { NO_STORE });
    }
}

/// Returns the redirect of a link with `options` that is live at `now`.
pub fn of(options: &Options, location: HeaderValue, now: Timestamp) -> Response<Full<Bytes>> {
    hiding(options, stored(options, location, now))
}

/// Adds the header that hides the page before the short URL from the destination, if the link asks for it.
/// Browsers apply the policy of a redirect to the request that follows (Fetch, HTTP-redirect fetch, step 19).
pub(super) fn hiding(options: &Options, mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    if options.hide_referrer {
        response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    response
}

fn stored(options: &Options, location: HeaderValue, now: Timestamp) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(options.status.code()).expect("a redirect's status is valid");
    // A stored redirect would freeze the destination of the first visit, and whoever shares the browser gets it.
    let may_vary = !options.branches().is_empty();
    let is_limited = options.max_clicks.is_some() || options.password.is_some();
    if may_vary || is_limited || !options.status.is_permanent() {
        return respond(status, location, NO_STORE);
    }
    let Some(end) = options.expires_at else { return respond(status, location, SHORTLY) };
    // Rounded down: a stored redirect must not outlive the link.
    let left = (end.as_millis() - now.as_millis()) / 1_000;
    let age = left.clamp(0, PERMANENT_MAX_AGE);
    let keep = HeaderValue::try_from(format!("private, max-age={age}")).expect("digits are a valid value");
    let mut response = respond(status, location, keep);
    let until = now.as_system_time() + Duration::from_secs(age.unsigned_abs());
    let until = HeaderValue::try_from(httpdate::fmt_http_date(until)).expect("a date is a valid value");
    // For caches of HTTP/1.0, which ignore `max-age` (RFC 9111 5.3).
    response.headers_mut().insert(EXPIRES, until);
    response
}

/// Returns the redirect after the right password. A browser follows it by GET, so the password is not sent
/// on.
pub(crate) fn unlocked(location: HeaderValue) -> Response<Full<Bytes>> {
    respond(StatusCode::SEE_OTHER, location, NO_STORE)
}

/// Returns the redirect to a fallback URL, for a visitor whose link does not exist or has expired.
pub fn elsewhere(to: &Destination) -> Response<Full<Bytes>> {
    let location = HeaderValue::try_from(to.as_str()).expect("a destination is visible ASCII");
    // 302 and not 301: the link may be created or revived later.
    respond(StatusCode::FOUND, location, NO_STORE)
}

fn respond(status: StatusCode, location: HeaderValue, keep: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    write(&mut response, status, location, keep);
    response
}

fn write<B>(response: &mut Response<B>, status: StatusCode, location: HeaderValue, keep: HeaderValue) {
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    // Always set: otherwise caches store a 301 by their own heuristics (RFC 9111 4.2.2).
    headers.insert(CACHE_CONTROL, keep);
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;
    use crate::model::destination::LinkType;
    use crate::model::link::RedirectStatus;

    #[test]
    fn a_response_reuses_the_memory_of_the_request_and_none_of_its_headers() {
        // Few lines have a smaller map than `SPARE` allows, and 60 a larger one.
        for (lines, is_kept) in [(0, false), (1, false), (5, true), (40, true), (60, false)] {
            // As hyper creates it.
            let mut spare = HeaderMap::with_capacity(lines + 1);
            for line in 0..lines {
                let name = HeaderName::try_from(format!("x-{line}")).expect("a name");
                spare.append(&name, HeaderValue::from_static("a"));
                spare.append(&name, HeaderValue::from_static("b"));
            }
            // A `Location` of the request must not become the response's.
            spare.append(LOCATION, HeaderValue::from_static("https://evil.test/"));
            let room = spare.capacity();
            let location = HeaderValue::from_static("https://e.test/");
            let response: Response<()> = PlainRedirect::new(StatusCode::FOUND, &location).respond(&mut spare);
            let got: Vec<_> = response.headers().iter().collect();
            assert_eq!(got, [(&LOCATION, &location), (&CACHE_CONTROL, &NO_STORE)], "{lines}");
            assert_eq!(response.headers().capacity() == room, is_kept, "{lines}: {room}");
        }
    }

    #[test]
    fn browsers_store_permanent_redirects_for_90_seconds_at_most() {
        let permanent = RedirectStatus::MovedPermanently;
        let rows = [
            (RedirectStatus::Found, None, None, "private, no-store"),
            (RedirectStatus::TemporaryRedirect, None, None, "private, no-store"),
            (permanent, None, None, "private, max-age=90"),
            (RedirectStatus::PermanentRedirect, None, None, "private, max-age=90"),
            // 10.5 seconds, rounded down.
            (permanent, Some(10_500), None, "private, max-age=10"),
            (permanent, Some(1_000_000), None, "private, max-age=90"),
            (permanent, None, Some(5), "private, no-store"),
            (RedirectStatus::Found, Some(10_500), None, "private, no-store"),
        ];
        for (status, ends, clicks, want) in rows {
            let to = Destination::parse_web("url", "https://e.test/").expect("a valid URL");
            let mut options = Options::new(to, LinkType::Url);
            options.status = status;
            options.expires_at = ends.map(Timestamp::from_millis);
            options.max_clicks = clicks;
            let location = HeaderValue::from_static("https://e.test/");
            let response = of(&options, location, Timestamp::from_millis(0));
            assert_eq!(response.headers()[CACHE_CONTROL], want, "{status:?} {ends:?} {clicks:?}");
            let dated = want.ends_with("=10") || ends == Some(1_000_000);
            assert_eq!(response.headers().contains_key(EXPIRES), dated, "{status:?} {ends:?}");
            assert_eq!(response.headers()[LOCATION], "https://e.test/");
        }
    }
}
