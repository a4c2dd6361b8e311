//! Whose turn it is on a connection: the client's, from whom a request head is due, or ours. Also
//! whether we hold an answer back, and which answer is to be the last. It is what the socket below
//! hyper ([`super::socket`]), the service above it and the task around it have to know of each other.
//!
//! All three are in one task, one after the other, so relaxed atomics are plain variables that may
//! be shared.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};

/// Whose turn it is. A handle, cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Turns taken: the peer's is even, ours is odd.
    turns: AtomicU64,
    is_holding: AtomicBool,
    /// Whether a request has asked for the connection itself (CONNECT, an upgrade).
    is_for_connection: AtomicBool,
    /// Whether the last request has a body.
    has_body: AtomicBool,
    /// Whether the next answer is the connection's last.
    is_last: AtomicBool,
    /// The last turn of ours in which an answer was not there at once.
    pending: AtomicU64,
    /// Whether the client hung up and the answer is to be cancelled.
    is_hung_up: AtomicBool,
}

impl Turn {
    /// The number of the peer's turn; none while a request is being answered.
    pub(super) fn of_peer(&self) -> Option<u64> {
        let turn = self.0.turns.load(Ordering::Relaxed);
        turn.is_multiple_of(2).then_some(turn)
    }

    /// Hands over. Not an atomic addition, which costs more: nobody does it at the same time.
    fn pass(&self) {
        let turn = self.0.turns.load(Ordering::Relaxed);
        self.0.turns.store(turn.wrapping_add(1), Ordering::Relaxed);
    }

    /// Whether an answer waits to be written together with the next: a connection with nothing else
    /// to do must be run once more.
    pub(super) fn is_holding(&self) -> bool {
        self.0.is_holding.load(Ordering::Relaxed)
    }

    pub(super) fn set_holding(&self, is_holding: bool) {
        self.0.is_holding.store(is_holding, Ordering::Relaxed);
    }

    /// Whether an answer may be held back: hyper lets go of a connection that was asked for without a
    /// last word to the socket, whatever the answer says.
    pub(super) fn may_hold(&self) -> bool {
        !self.0.is_for_connection.load(Ordering::Relaxed)
    }

    /// Whether the last request has a body: its rest may still be on its way.
    pub(super) fn has_body(&self) -> bool {
        self.0.has_body.load(Ordering::Relaxed)
    }

    /// The next answer is the connection's last, and says so.
    pub(super) fn set_last(&self) {
        self.0.is_last.store(true, Ordering::Relaxed);
    }

    /// Whether the client was told, or is about to be, that the connection ends.
    pub(super) fn is_last(&self) -> bool {
        self.0.is_last.load(Ordering::Relaxed)
    }

    /// Returns whether an answer is worked on that was not there at once.
    pub(super) fn is_pending(&self) -> bool {
        let turn = self.0.turns.load(Ordering::Relaxed);
        !turn.is_multiple_of(2) && turn == self.0.pending.load(Ordering::Relaxed)
    }

    /// Cancels the answer that is worked on: nobody waits for it any more.
    pub(super) fn hang_up(&self) {
        self.0.is_hung_up.store(true, Ordering::Relaxed);
    }

    /// The same service; whose turn it is follows from its calls.
    pub(super) fn taken_by<S>(&self, service: S) -> Taken<S> {
        Taken { service, turn: self.clone() }
    }
}

/// A service whose calls are our turn.
#[derive(Debug)]
pub(super) struct Taken<S> {
    service: S,
    turn: Turn,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answering<F> {
    answer: F,
    turn: Turn,
}

impl<S, B, C> Service<Request<B>> for Taken<S>
where
    S: Service<Request<B>, Response = Response<C>>,
    S::Future: Unpin,
    B: Body,
    C: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<B>) -> Self::Future {
        // hyper hands over a connection by an extension, and puts in nothing else. It does not forget
        // that it did: any later end of the connection is without a last word to the socket.
        if !request.extensions().is_empty() {
            self.turn.0.is_for_connection.store(true, Ordering::Relaxed);
        }
        self.turn.0.has_body.store(!request.body().is_end_stream(), Ordering::Relaxed);
        self.turn.pass();
        Answering { answer: self.service.call(request), turn: self.turn.clone() }
    }
}

impl<F, C, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<C>, E>> + Unpin,
    C: Default,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut polled = Pin::new(&mut self.answer).poll(cx);
        if polled.is_pending() {
            let shared = &self.turn.0;
            if !shared.is_hung_up.load(Ordering::Relaxed) {
                shared.pending.store(shared.turns.load(Ordering::Relaxed), Ordering::Relaxed);
                return Poll::Pending;
            }
            // The work ends with the future that is dropped here; hyper finds the client gone when it
            // writes this.
            polled = Poll::Ready(Ok(cancelled()));
        }
        if let Poll::Ready(answer) = &mut polled {
            if self.turn.is_last()
                && let Ok(answer) = answer
            {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // hyper reads no head before it has written the answer, however long that takes.
            self.turn.pass();
        }
        // Looked at in place: to take an answer out and put it back costs.
        polled
    }
}

/// What is answered to a client that has gone.
fn cancelled<C: Default>() -> Response<C> {
    let mut response = Response::new(C::default());
    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
