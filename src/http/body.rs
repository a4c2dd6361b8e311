//! Request bodies, read whole under a cap and an absolute deadline; and the one type of response.
//!
//! A body that declares itself too large is refused before a byte of it is read, so that a client
//! that waits for `100 Continue` is told no instead.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use hyper::{HeaderMap, Response};

/// Every answer: its body is in memory.
pub type Answer = Response<Full<Bytes>>;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than so many bytes.
    #[error("the body must be at most {max} bytes")]
    TooLarge {
        /// The cap.
        max: usize,
    },
    /// Not complete at the deadline.
    #[error("the body did not arrive in time")]
    Slow,
    /// Compressed. There is no decoder, so that no small body unfolds into a large one.
    #[error("the body must not have a Content-Encoding")]
    Encoded,
    /// Framing broken, or the client is gone.
    #[error("the body ended early or is malformed")]
    Broken,
}

/// Reads a body of at most `max` bytes that is complete `within` this time.
pub async fn read<B>(headers: &HeaderMap, body: B, max: usize, within: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(BodyError::Encoded);
    }
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.unwrap_or(0).max(body.size_hint().lower()) > max as u64 {
        return Err(BodyError::TooLarge { max });
    }
    // Absolute: a deadline that restarts at each byte is no deadline against a trickle.
    tokio::time::timeout(within, collect(body, max)).await.unwrap_or(Err(BodyError::Slow))
}

async fn collect<B: Body<Data = Bytes>>(body: B, max: usize) -> Result<Bytes, BodyError> {
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            return Err(BodyError::TooLarge { max });
        }
        // Most bodies are one frame, which is kept as it came.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if !first.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;
    use hyper::header::HeaderValue;

    use super::*;

    /// Chunks, then the end or silence.
    struct Chunks(Vec<&'static str>, bool);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0.is_empty() {
                return if self.1 { Poll::Pending } else { Poll::Ready(None) };
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0.remove(0).as_bytes())))))
        }
    }

    #[tokio::test]
    async fn caps_and_joins() {
        let none = HeaderMap::new();
        let ten = Duration::from_secs(10);
        let check = async |chunks: &[&'static str], want: Result<&'static str, BodyError>| {
            let got = read(&none, Chunks(chunks.to_vec(), false), 5, ten).await;
            assert_eq!(got, want.map(Bytes::from), "{chunks:?}");
        };
        check(&[], Ok("")).await;
        check(&["abc"], Ok("abc")).await;
        check(&["", "abc", "", "de"], Ok("abcde")).await;
        check(&["abc", "def"], Err(BodyError::TooLarge { max: 5 })).await;
    }

    #[tokio::test]
    async fn refuses_by_the_head() {
        let rows = [
            (CONTENT_LENGTH, "6", BodyError::TooLarge { max: 5 }),
            (CONTENT_ENCODING, "gzip", BodyError::Encoded),
            (CONTENT_ENCODING, "identity", BodyError::Encoded),
        ];
        for (name, value, want) in rows {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            let got = read(&headers, Chunks(vec![], true), 5, Duration::from_secs(10)).await;
            assert_eq!(got, Err(want), "{value}");
        }
    }

    #[tokio::test]
    async fn a_stalled_body_ends_at_the_deadline() {
        let got = read(&HeaderMap::new(), Chunks(vec!["ab"], true), 5, Duration::from_millis(20)).await;
        assert_eq!(got, Err(BodyError::Slow));
    }
}
