//! Clients that hang up while their response is produced. hyper reads nothing during that time, so it does
//! not notice them.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::state::ConnState;
use super::transport::Transport;

/// Time for which a response is still produced after its client has closed its side of the connection.
/// Some clients close it as soon as they have sent their request, and still read; they look like a client
/// that hung up. Most responses take milliseconds. Past it the work is cancelled, and the connection is
/// closed.
const HANG_UP_GRACE: Duration = Duration::from_secs(1);

/// Cancels the response of one connection once its client is gone.
#[derive(Debug, Default)]
pub(super) struct HangUp {
    /// Runs since the client closed its side while a response is pending.
    grace: Option<Pin<Box<Sleep>>>,
}

impl HangUp {
    /// Checks whether the client is gone, if a response is pending. The response future sees the result
    /// at its next poll.
    #[inline]
    pub(super) fn poll<S: Transport>(&mut self, socket: &mut S, state: &ConnState, cx: &mut Context<'_>) {
        if state.is_pending() {
            self.poll_pending(socket, state, cx);
        } else {
            // That response is complete. A later one has a grace of its own.
            self.grace = None;
        }
    }

    fn poll_pending<S: Transport>(&mut self, socket: &mut S, state: &ConnState, cx: &mut Context<'_>) {
        // A side that is closed stays closed, so no system call is spent while the grace runs.
        if self.grace.is_none() && socket.poll_end(cx).is_ready() {
            self.grace = Some(Box::pin(sleep(HANG_UP_GRACE)));
        }
        let Some(grace) = &mut self.grace else { return };
        if grace.as_mut().poll(cx).is_ready() {
            state.hang_up();
            // The response was polled before this flush; its next poll cancels it.
            cx.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::task::Poll;

    use hyper::service::{Service, service_fn};
    use hyper::{Request, Response};

    use super::*;

    /// Whether the client has closed its side.
    struct Peer(bool);

    impl Transport for Peer {
        fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<()> {
            if self.0 { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn n18_a_client_that_hangs_up_is_noticed_while_its_response_is_produced() {
        let is_cancelled = async |is_pending: bool, is_gone: bool| {
            let (state, mut hang_up) = (ConnState::default(), HangUp::default());
            let service = state.track(service_fn(move |_: Request<String>| {
                Box::pin(async move {
                    if is_pending {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, Infallible>(Response::new(String::new()))
                })
            }));
            let mut response = Box::pin(service.call(Request::new(String::new())));
            let answered = poll_fn(|cx| {
                let polled = response.as_mut().poll(cx);
                hang_up.poll(&mut Peer(is_gone), &state, cx);
                polled
            });
            // Well past the grace: a response that is still pending then was not cancelled.
            let answered = tokio::time::timeout(HANG_UP_GRACE * 3, answered).await;
            answered.is_ok_and(|response| response.is_ok_and(|response| response.status() == 408))
        };
        assert!(is_cancelled(true, true).await);
        assert!(!is_cancelled(true, false).await, "the client waits");
        assert!(!is_cancelled(false, true).await, "the response is complete");
    }
}
