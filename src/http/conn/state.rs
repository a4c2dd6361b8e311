//! The state of a connection that the socket below hyper ([`super::socket`]), the service above it and the
//! task around it share: how many requests were read and answered, whether a response is held back, and which
//! response is the last.
//!
//! All three run in one task, one after the other, so relaxed atomics are plain variables that can be shared.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};

/// The state of one connection. Cheap to clone: all clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnState(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Requests whose heads were read.
    started: AtomicU64,
    /// Requests whose responses are complete, but for their bodies. At most `started`.
    answered: AtomicU64,
    /// Whether a service counts the requests here.
    is_tracked: AtomicBool,
    is_holding: AtomicBool,
    /// Whether a request asked for the connection itself (CONNECT, an upgrade).
    is_for_connection: AtomicBool,
    /// Whether the last request has a body.
    has_body: AtomicBool,
    /// Whether the next response is the connection's last.
    is_last: AtomicBool,
    /// The value of `started` when a response was last not ready at its first poll.
    // A number and not a flag, so that the next request need not reset it.
    pending: AtomicU64,
    /// Whether the client hung up, so that the response is to be cancelled.
    is_hung_up: AtomicBool,
}

impl ConnState {
    /// Returns the number, from 0, of the request whose head is due from the client; `None` while a request
    /// is being answered.
    pub(super) fn next_request(&self) -> Option<u64> {
        let started = self.0.started.load(Ordering::Relaxed);
        (started == self.0.answered.load(Ordering::Relaxed)).then_some(started)
    }

    /// Returns whether requests are tracked here and none has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.0.is_tracked.load(Ordering::Relaxed) && self.0.started.load(Ordering::Relaxed) == 0
    }

    /// Returns whether a response waits to be written together with the next one. A task that has nothing
    /// else to do must poll the connection once more.
    pub(super) fn is_holding(&self) -> bool {
        self.0.is_holding.load(Ordering::Relaxed)
    }

    pub(super) fn set_holding(&self, is_holding: bool) {
        self.0.is_holding.store(is_holding, Ordering::Relaxed);
    }

    /// Returns whether responses may be held. hyper drops a connection that a request asked for without a
    /// flush or a shutdown of the socket, whatever the response is.
    pub(super) fn may_hold(&self) -> bool {
        !self.0.is_for_connection.load(Ordering::Relaxed)
    }

    /// Returns whether the last request has a body, whose rest the client may still be sending.
    pub(super) fn has_body(&self) -> bool {
        self.0.has_body.load(Ordering::Relaxed)
    }

    /// Makes the next response the connection's last, with `Connection: close`.
    pub(super) fn set_last(&self) {
        self.0.is_last.store(true, Ordering::Relaxed);
    }

    /// Returns whether the client has got, or gets with the next response, `Connection: close`.
    pub(super) fn is_last(&self) -> bool {
        self.0.is_last.load(Ordering::Relaxed)
    }

    /// Returns whether a response is being produced that was not ready at its first poll.
    pub(super) fn is_pending(&self) -> bool {
        let started = self.0.started.load(Ordering::Relaxed);
        // `pending` alone would still match after the response.
        started != self.0.answered.load(Ordering::Relaxed)
            && started == self.0.pending.load(Ordering::Relaxed)
    }

    /// Cancels the response that is being produced: its client is gone.
    pub(super) fn hang_up(&self) {
        self.0.is_hung_up.store(true, Ordering::Relaxed);
    }

    /// Wraps a service, so that its calls update this state.
    pub(super) fn track<S>(&self, service: S) -> Tracked<S> {
        self.0.is_tracked.store(true, Ordering::Relaxed);
        Tracked { service, state: self.clone() }
    }
}

/// A service whose calls update the state of their connection.
#[derive(Debug)]
pub(super) struct Tracked<S> {
    service: S,
    state: ConnState,
}

/// A response of [`Tracked`] that is being produced.
#[derive(Debug)]
pub(super) struct TrackedFuture<F> {
    response: F,
    state: ConnState,
}

impl<S, B, C> Service<Request<B>> for Tracked<S>
where
    S: Service<Request<B>, Response = Response<C>>,
    S::Future: Unpin,
    B: Body,
    C: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TrackedFuture<S::Future>;

    fn call(&self, request: Request<B>) -> Self::Future {
        // hyper offers a connection by an extension, and adds no other extension. From then on hyper drops
        // the connection without a flush or a shutdown, however it ends.
        if !request.extensions().is_empty() {
            self.state.0.is_for_connection.store(true, Ordering::Relaxed);
        }
        // By hyper's view of the head: a chunked body has no length, and is a body.
        self.state.0.has_body.store(!request.body().is_end_stream(), Ordering::Relaxed);
        increment(&self.state.0.started);
        let state = self.state.clone();
        // Last, so that the compiler builds the response in its place.
        TrackedFuture { response: self.service.call(request), state }
    }
}

impl<F, C, E> Future for TrackedFuture<F>
where
    F: Future<Output = Result<Response<C>, E>> + Unpin,
    C: Default,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut polled = Pin::new(&mut self.response).poll(cx);
        if polled.is_pending() {
            let shared = &self.state.0;
            if shared.is_hung_up.load(Ordering::Relaxed) {
                // The work ends when hyper drops this future. hyper finds the client gone when it writes the
                // response.
                polled = Poll::Ready(Ok(cancelled()));
            } else {
                shared.pending.store(shared.started.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        if let Poll::Ready(response) = &mut polled {
            if self.state.is_last()
                && let Ok(response) = response
            {
                // hyper closes the connection after a response with this header.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // Here and not after the write: hyper reads no head before it has written the response.
            increment(&self.state.0.answered);
        }
        // Changed in place, and returned here alone: a move of a response costs more than the rest of this function.
        polled
    }
}

/// Adds one. An atomic addition would cost more, and is not needed: all users of a connection's state run
/// in one task.
fn increment(number: &AtomicU64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Returns the response to a client that hung up.
fn cancelled<C: Default>() -> Response<C> {
    let mut response = Response::new(C::default());
    // No client reads this status. hyper needs a response to end the request.
    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
