//! Reading a request's body, and holding little while it is not there: thousands of clients may send
//! theirs slowly.

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::http::request::Parts;

use crate::http::api::dialect::{ApiError, BadRequest, ServerError};
use crate::http::body::{self, BodyError};

/// Returns the body, at most `max` bytes of it and complete `within` this time. A body that is not
/// there at once needs `admit` of the bytes that it may have. Of a head whose body is waited for, only
/// the target is kept.
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
                let declared = body::declared(&parts.headers).and_then(|bytes| usize::try_from(bytes).ok());
                let is_admitted = admit(declared.unwrap_or(max));
                let_go(parts);
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

/// Lets go of hyper's buffer, which the head's values are slices of: else hyper takes another one, twice
/// as large, for what comes behind the head. The target is copied.
fn let_go(parts: &mut Parts) {
    parts.headers = HeaderMap::new();
    if let Ok(uri) = parts.uri.to_string().parse() {
        parts.uri = uri;
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Uri};

    use super::*;

    /// A head that is let go of leaves its buffer to whoever reads on.
    #[test]
    fn t27_nothing_of_a_heads_buffer_is_kept_but_copies() {
        for target in ["/api/v1/links?a=%C3%A4&b", "http://go.test/links/", "*", "/"] {
            let buffer = Bytes::from(format!("{target} and more").into_bytes());
            let uri = Uri::from_maybe_shared(buffer.slice(..target.len())).expect("a target");
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.headers.insert(
                "host",
                hyper::header::HeaderValue::from_maybe_shared(buffer.slice(1..)).expect("text"),
            );
            parts.uri = uri.clone();
            let_go(&mut parts);
            assert_eq!(parts.uri, uri, "{target}");
            drop(uri);
            assert!(buffer.is_unique(), "{target}");
        }
    }
}
