//! Reads the body of a request, and keeps little memory while the body has not arrived: thousands of clients
//! may send slowly at once.

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::http::request::Parts;

use crate::http::api::dialect::{ApiError, BadRequest, ServerError};
use crate::http::body::{self, BodyError};

/// Returns the body, of at most `max` bytes and complete `within` this time. If it has not arrived yet,
/// `admit` is called with the bytes that it may have, and its `false` fails with 503. A request that waits
/// for its body keeps only the target of its head.
pub(super) async fn read<B>(
    parts: &mut Parts,
    body: B,
    max: usize,
    within: Duration,
    admit: impl FnOnce(usize) -> bool,
) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
{
    let read = match body::check(&parts.headers, &body, max) {
        Ok(()) => {
            let late = || {
                // A body without a length may become as long as the limit, and is charged so.
                let declared = body::declared(&parts.headers).and_then(|bytes| usize::try_from(bytes).ok());
                let is_admitted = admit(declared.unwrap_or(max));
                // After `declared`, which reads the head.
                release_head(parts);
                is_admitted
            };
            body::read_on(body, max, within, late).await
        }
        Err(error) => Err(error),
    };
    read.map_err(|error| match error {
        BodyError::TooLarge { max } => ServerError::TooLarge(max).into(),
        BodyError::Slow => ServerError::SlowBody.into(),
        BodyError::Encoded => ServerError::EncodedBody.into(),
        BodyError::Busy => ServerError::Busy.into(),
        BodyError::Broken => ApiError::BadRequest(BadRequest::Malformed(error.to_string())),
    })
}

/// Drops the headers and copies the target. Both are slices of hyper's buffer: while one of them exists,
/// hyper allocates another buffer, twice as large, for the bytes after the head.
fn release_head(parts: &mut Parts) {
    // The caller has read the headers that later steps need before the body.
    parts.headers = HeaderMap::new();
    // A target that was parsed once can be parsed again. If not, it keeps the buffer, which costs memory
    // only.
    if let Ok(uri) = parts.uri.to_string().parse() {
        parts.uri = uri;
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Uri};

    use super::*;

    #[test]
    fn t27_a_released_head_keeps_no_part_of_its_buffer() {
        // A path with a query, a whole URL, and the forms without a path.
        for target in ["/api/v1/links?a=%C3%A4&b", "http://go.test/links/", "*", "/"] {
            let buffer = Bytes::from(format!("{target} and more").into_bytes());
            let uri = Uri::from_maybe_shared(buffer.slice(..target.len())).expect("a target");
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.headers.insert(
                "host",
                hyper::header::HeaderValue::from_maybe_shared(buffer.slice(1..)).expect("text"),
            );
            parts.uri = uri.clone();
            release_head(&mut parts);
            assert_eq!(parts.uri, uri, "{target}");
            drop(uri);
            assert!(buffer.is_unique(), "{target}");
        }
    }
}
