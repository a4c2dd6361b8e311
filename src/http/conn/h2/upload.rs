//! [`Upload`]: the body of a request, whose rest is discarded after a response that did not wait for it.
//!
//! hyper resets a stream whose body was dropped unread. RFC 9113 8.1 allows that, but curl before 8.7 then reports an error
//! in place of the response. So the rest of the body is read and discarded for up to [`DISCARD_FOR`], as it is over HTTP/1.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::timeout;

use super::shared::H2Shared;

/// Longest time in which the rest of a body is discarded. Past it: the stream is reset.
const DISCARD_FOR: Duration = Duration::from_secs(5);

/// The body of a request.
#[derive(Debug)]
pub struct Upload<B: Body + Send + Unpin + 'static> {
    /// `None` only during the drop.
    body: Option<B>,
    shared: H2Shared,
}

impl<B: Body + Send + Unpin + 'static> Upload<B> {
    pub(super) fn new(body: B, shared: H2Shared) -> Upload<B> {
        Upload { body: Some(body), shared }
    }

    fn body(&self) -> &B {
        self.body.as_ref().expect("it is taken by drop only")
    }
}

impl<B: Body + Send + Unpin + 'static> Drop for Upload<B> {
    fn drop(&mut self) {
        if let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.shared.discard(Box::pin(async move {
                let rest = async { while let Some(Ok(_)) = body.frame().await {} };
                // Past the time, the drop of the body resets the stream.
                let _ = timeout(DISCARD_FOR, rest).await;
            }));
        }
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(self.body.as_mut().expect("it is taken by drop only")).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}
