//! [`ResponseFuture`]: a redirect from memory that is complete at once, or a boxed future whose panics become
//! 500.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{HeaderValue, STRICT_TRANSPORT_SECURITY};

use crate::http::api::dialect::{Dialect, ServerError};
use crate::http::api::response::server_error;
use crate::http::body::{Content, HttpResponse};
use crate::http::counts::{HttpCounts, RedirectCount};
use crate::visit::pages;

/// The response of a service call.
#[derive(Debug)]
pub enum ResponseFuture {
    /// Complete. Taken by the first poll.
    Now(Option<HttpResponse>),
    /// To be produced.
    Later(Later),
}

impl ResponseFuture {
    /// Adds `Strict-Transport-Security` to the response.
    pub(super) fn with_hsts(mut self, value: &HeaderValue) -> ResponseFuture {
        match &mut self {
            ResponseFuture::Now(Some(response)) => {
                response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value.clone());
            }
            ResponseFuture::Now(None) => {}
            ResponseFuture::Later(later) => later.hsts = Some(value.clone()),
        }
        self
    }
}

/// A response that is being produced.
pub struct Later {
    pub(super) response: Pin<Box<dyn Future<Output = HttpResponse> + Send>>,
    pub(super) counts: Arc<HttpCounts>,
    /// Renders a panic; `None` for a page.
    pub(super) dialect: Option<&'static dyn Dialect>,
    /// Where a redirect counts, and when its request arrived if it is timed.
    pub(super) redirects: Option<(Arc<RedirectCount>, Option<Instant>)>,
    /// The value of `Strict-Transport-Security`.
    pub(super) hsts: Option<HeaderValue>,
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later(..)")
    }
}

impl Future for ResponseFuture {
    type Output = Result<HttpResponse, Infallible>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            ResponseFuture::Now(response) => {
                // Pending forever after its end, when no caller may poll it.
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            ResponseFuture::Later(later) => later.poll(cx).map(Ok),
        }
    }
}

impl Later {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HttpResponse> {
        // Unwind safe: a panicked future is not polled again, and shared state is atomics and locks without
        // poisoning.
        catch_unwind(AssertUnwindSafe(|| self.response.as_mut().poll(cx)))
            .unwrap_or_else(|_| {
                self.counts.panics.add();
                let render = |dialect| server_error(dialect, ServerError::Internal);
                Poll::Ready(self.dialect.map_or_else(panicked, render))
            })
            .map(|mut response| {
                if let Some(hsts) = self.hsts.take() {
                    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts);
                }
                if let Some((redirects, began)) = self.redirects.take() {
                    self.counts.answered(response.status(), &redirects, began);
                }
                response
            })
    }
}

/// Creates the page of a request whose handler panicked.
pub(super) fn panicked() -> HttpResponse {
    pages::error(StatusCode::INTERNAL_SERVER_ERROR).map(Content::Whole)
}
