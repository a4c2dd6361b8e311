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

use hyper::header::{DATE, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use hyper::{HeaderMap, StatusCode};

use crate::http::api::dialect::{Dialect, ServerError};
use crate::http::api::response::server_error;
use crate::http::body::{Content, HttpResponse};
use crate::http::counts::{HttpCounts, RedirectCount};
use crate::visit::pages;
use crate::visit::redirect::PlainRedirect;

/// The response of a service call.
#[derive(Debug)]
pub enum ResponseFuture {
    /// Complete. Taken by the first poll.
    Now(Option<HttpResponse>),
    /// To be produced.
    Later(Later),
}

/// The headers that a response gets beside its own.
pub(super) struct AddedHeaders<'a> {
    /// The value of `Strict-Transport-Security`.
    pub(super) hsts: Option<&'a HeaderValue>,
    /// The `Date` while that of hyper would be wrong. hyper adds its own only to a response without one.
    pub(super) date: Option<Arc<HeaderValue>>,
}

impl ResponseFuture {
    /// Creates the response of a plain redirect, with the memory of `spare`.
    // Not inlined: a call returns the response to its last place, and inlined code moves it there.
    #[inline(never)]
    pub(super) fn of_redirect(
        redirect: PlainRedirect,
        spare: &mut HeaderMap,
        added: AddedHeaders<'_>,
    ) -> ResponseFuture {
        let mut future = ResponseFuture::Now(Some(HttpResponse::default()));
        // Written in its place: a move of a response costs more than this test.
        if let ResponseFuture::Now(Some(response)) = &mut future {
            redirect.write_to(response, spare);
        }
        future.add(added);
        future
    }

    /// Adds headers to the response.
    #[inline]
    pub(super) fn add(&mut self, AddedHeaders { hsts, date }: AddedHeaders<'_>) {
        if let Some(hsts) = hsts {
            self.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if let Some(date) = date {
            self.insert(DATE, HeaderValue::clone(&date));
        }
    }

    fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        match self {
            ResponseFuture::Now(Some(response)) => {
                response.headers_mut().insert(name, value);
            }
            ResponseFuture::Now(None) => {}
            ResponseFuture::Later(later) => later.added.push((name, value)),
        }
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
    /// The headers that the response gets beside its own.
    pub(super) added: Vec<(HeaderName, HeaderValue)>,
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
                for (name, value) in self.added.drain(..) {
                    response.headers_mut().insert(name, value);
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
