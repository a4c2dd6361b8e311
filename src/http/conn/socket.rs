//! The socket of a connection as hyper sees it. It adds what hyper does not have: deadlines for request
//! heads and slow readers ([`super::deadline`]), a guard for request heads ([`super::head_guard`]), joined
//! responses ([`super::coalesce`]), clients that hang up ([`super::hang_up`]), and a close that does not
//! lose the last response ([`super::linger`]).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::coalesce::Coalescer;
use super::deadline::{HeadDeadline, WriteDeadline};
use super::hang_up::HangUp;
use super::head_guard::HeadGuard;
use super::linger::{LINGER_IDLE, Linger, poll_linger};
use super::state::ConnState;
use super::transport::Transport;

/// The socket of one connection. Every open connection has one: a test bounds its size.
pub(super) struct Socket<S: AsyncWrite + Transport + Unpin> {
    inner: S,
    state: ConnState,
    heads: HeadDeadline,
    writes: WriteDeadline,
    responses: Coalescer,
    guard: HeadGuard,
    /// `Some` once the write half is shut down and input is discarded. Boxed, since few connections end so.
    linger: Option<Box<Linger>>,
    hang_up: HangUp,
}

impl<S: AsyncWrite + Transport + Unpin> Socket<S> {
    /// Creates a socket whose client has `head_timeout` for each request head.
    pub(super) fn new(inner: S, state: ConnState, head_timeout: Duration) -> Socket<S> {
        Socket {
            inner,
            state,
            heads: HeadDeadline::new(head_timeout),
            writes: WriteDeadline::default(),
            responses: Coalescer::default(),
            guard: HeadGuard::default(),
            linger: None,
            hang_up: HangUp::default(),
        }
    }

    /// Fails once the head that is due from the client is overdue.
    #[inline]
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // While a request is answered, its body has a deadline of its own. A client that is still being
        // sent a response is not idle; `WriteDeadline::caught_up` wakes the task to poll again.
        match self.state.next_request().filter(|_| !self.writes.is_slow()) {
            Some(request) => self.heads.poll(request, cx),
            None => Poll::Pending,
        }
    }

    /// Writes the held responses, if there are any.
    #[inline]
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.responses.is_empty() { Poll::Ready(Ok(())) } else { self.poll_write_held(cx) }
    }

    fn poll_write_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // From here on the socket wakes the task. A task that polled itself again while the client accepts
        // nothing would never rest.
        self.state.set_holding(false);
        let Socket { inner, responses, writes, .. } = self;
        ready!(responses.poll_write_out(|bytes| {
            let written = Pin::new(&mut *inner).poll_write(cx, bytes);
            writes.watch(cx, written)
        }))?;
        // What TLS has encrypted and the system has not accepted is still due: see `poll_flush`.
        if self.inner.is_flushed() {
            self.writes.caught_up(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Returns whether the client may still be sending a request that has got its response, or may not
    /// have seen that the connection ends.
    fn may_be_sending(&self) -> bool {
        let next = self.state.next_request();
        // A request that hyper rejected before its head was complete.
        let is_cut_short = next.is_some_and(|request| self.guard.has_begun(request));
        // No rest of a body arrives from a client that was silent for as long as a linger waits.
        let is_silent = || {
            self.heads.waited().is_some_and(|(request, waited)| {
                !self.guard.has_begun(request) && next == Some(request) && waited >= LINGER_IDLE
            })
        };
        let is_sending =
            self.guard.is_upload() || self.state.has_body() || self.state.is_last() || is_cut_short;
        is_sending && !is_silent()
    }
}

impl<S: AsyncWrite + Transport + Unpin> Drop for Socket<S> {
    /// Writes what the socket accepts at once of the held responses: hyper drops a connection as soon as
    /// the body of a response fails, and the responses before it are complete.
    fn drop(&mut self) {
        let unsent = self.responses.unsent();
        if !unsent.is_empty() {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut self.inner).poll_write(&mut cx, unsent);
            let _ = Pin::new(&mut self.inner).poll_flush(&mut cx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Transport + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A client that does not read may still send, so only an error is final.
        if let Poll::Ready(Err(error)) = self.poll_release(cx) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Ready(result) => result?,
            Poll::Pending => return self.poll_head(cx),
        }
        let Socket { guard, heads, state, .. } = &mut *self;
        guard.inspect(&mut buffer.filled_mut()[before..], heads.is_old(), state);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Transport + Unpin> AsyncWrite for Socket<S> {
    // Not vectored, so that hyper passes each response as one slice.

    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.responses.set_fresh();
        let may_hold = self.state.may_hold();
        if !may_hold || !self.responses.has_room_for(data.len()) {
            ready!(self.poll_release(cx))?;
            // Nothing is held now, so a response without room is longer than all that may be held.
            if !may_hold || !self.responses.has_room_for(data.len()) {
                let written = Pin::new(&mut self.inner).poll_write(cx, data);
                return self.writes.watch(cx, written);
            }
        }
        self.responses.hold(data);
        self.state.set_holding(true);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.responses.defers_flush() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_release(cx))?;
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        ready!(self.writes.watch_flush(cx, flushed))?;
        self.writes.caught_up(cx);
        // A pending response leaves hyper nothing to write, and so leads to a flush at each of its polls.
        let Socket { inner, state, hang_up, .. } = &mut *self;
        hang_up.poll(inner, state, cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Once it lingers the write half is shut down, and nothing is held.
        if self.linger.is_none() {
            self.inner.hold_for_close();
            ready!(self.poll_release(cx))?;
        }
        if self.may_be_sending() {
            let Socket { inner, linger, .. } = &mut *self;
            return poll_linger(inner, linger, cx);
        }
        // hyper drops the socket next, which closes it as well: one system call less than a shutdown.
        let closed = self.inner.poll_close_notify(cx);
        self.writes.watch_flush(cx, closed)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};

    use hyper::service::{Service, service_fn};
    use hyper::{Request, Response};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use super::*;
    use crate::http::conn::coalesce::HELD_MAX;
    use crate::http::conn::stream::Stream;

    /// A client that sends `input` once, and accepts `takes` writes.
    #[derive(Default)]
    struct Peer {
        input: &'static [u8],
        takes: usize,
        got: Vec<Vec<u8>>,
    }

    impl Transport for Peer {
        fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    impl Transport for tokio::io::DuplexStream {
        fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    impl AsyncRead for Peer {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.input.is_empty() {
                return Poll::Pending;
            }
            buffer.put_slice(std::mem::take(&mut self.input));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            let Some(left) = self.takes.checked_sub(1) else { return Poll::Pending };
            self.takes = left;
            self.got.push(data.to_vec());
            Poll::Ready(Ok(data.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const HEAD: Duration = Duration::from_secs(10);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    fn socket(takes: usize) -> Socket<Peer> {
        Socket::new(Peer { input: REQUEST, takes, ..Peer::default() }, ConnState::default(), HEAD)
    }

    /// Returns the result of one read, or `None` if it is pending.
    async fn read(socket: &mut Socket<Peer>) -> Option<io::Result<()>> {
        let mut bytes = [0; 256];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    async fn write(socket: &mut Socket<Peer>, data: &[u8]) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *socket).poll_write(cx, data)).await?;
        flush(socket).await
    }

    async fn flush(socket: &mut Socket<Peer>) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *socket).poll_flush(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_accepts_nothing_for_30_s_is_closed() {
        let mut socket = socket(1);
        write(&mut socket, b"ab").await.expect("held");
        flush(&mut socket).await.expect("taken");
        write(&mut socket, b"b").await.expect("held");
        let start = Instant::now();
        let error = flush(&mut socket).await.expect_err("stuck");
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
        // The deadline ends with the last byte.
        socket.inner.takes = 1;
        flush(&mut socket).await.expect("taken again");
        assert!(!socket.writes.is_slow());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_an_absolute_deadline_that_runs_in_the_clients_turn_only() {
        let mut socket = socket(1);
        let bytes = |socket: &mut Socket<Peer>| socket.inner.input = REQUEST;
        // Single reads do not extend the deadline.
        for _ in 0..4 {
            bytes(&mut socket);
            assert!(matches!(read(&mut socket).await, Some(Ok(()))));
            assert!(read(&mut socket).await.is_none());
            tokio::time::advance(HEAD / 4).await;
        }
        bytes(&mut socket);
        assert!(matches!(read(&mut socket).await, Some(Ok(()))), "available input is read first");
        let overdue = read(&mut socket).await.expect("at once").map_err(|error| error.kind());
        assert_eq!(overdue, Err(io::ErrorKind::TimedOut));
        // No deadline runs while the request is answered; the next head has all of its time.
        let response = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let response = socket.state.track(service_fn(response)).call(Request::default());
        tokio::time::advance(HEAD * 2).await;
        assert!(read(&mut socket).await.is_none());
        response.await.expect("a response");
        assert!(read(&mut socket).await.is_none());
        tokio::time::advance(HEAD * 9 / 10).await;
        assert!(read(&mut socket).await.is_none());
        // A client that is still being sent a response is not overdue.
        socket.inner.takes = 0;
        write(&mut socket, b"a").await.expect("held");
        tokio::time::advance(HEAD).await;
        assert!(read(&mut socket).await.is_none());
        socket.inner.takes = 1;
        flush(&mut socket).await.expect("taken");
        assert!(matches!(read(&mut socket).await, Some(Err(_))));
    }

    #[tokio::test]
    async fn responses_to_pipelined_requests_are_written_together() {
        let mut socket = socket(9);
        read(&mut socket).await;
        write(&mut socket, b"1").await.expect("held");
        write(&mut socket, b"2").await.expect("held");
        assert!(socket.inner.got.is_empty() && socket.state.is_holding());
        write(&mut socket, b"3").await.expect("held");
        // hyper has used up its input.
        assert!(read(&mut socket).await.is_none());
        assert_eq!(socket.inner.got, [b"123"], "in one write");
        assert!(!socket.state.is_holding());
    }

    #[tokio::test]
    async fn a_held_response_is_written_on_a_second_flush_a_read_a_shutdown_and_an_overflow() {
        for event in ["flush", "read", "shutdown", "overflow"] {
            let mut socket = socket(9);
            read(&mut socket).await;
            write(&mut socket, b"1").await.expect("held");
            assert!(socket.inner.got.is_empty() && socket.state.is_holding(), "{event}");
            let overflow = vec![b'2'; HELD_MAX];
            match event {
                "flush" => flush(&mut socket).await.expect("flushed"),
                "read" => {
                    socket.inner.input = REQUEST;
                    assert!(read(&mut socket).await.is_some());
                }
                "overflow" => write(&mut socket, &overflow).await.expect("held"),
                _ => poll_fn(|cx| Pin::new(&mut socket).poll_shutdown(cx)).await.expect("shut"),
            }
            assert_eq!(socket.inner.got.concat(), b"1", "{event}");
            assert_eq!(socket.state.is_holding(), event == "overflow", "{event}");
        }
    }

    #[tokio::test]
    async fn a_held_response_is_written_when_the_connection_is_dropped() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut socket = Socket::new(ours, ConnState::default(), HEAD);
        poll_fn(|cx| Pin::new(&mut socket).poll_write(cx, b"whole")).await.expect("held");
        drop(socket);
        let mut got = String::new();
        theirs.read_to_string(&mut got).await.expect("text");
        assert_eq!(got, "whole");
    }

    #[tokio::test]
    async fn no_response_to_an_upgrade_request_is_held() {
        let mut socket = socket(9);
        let response = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let service = socket.state.track(service_fn(response));
        write(&mut socket, b"1").await.expect("held");
        let mut request = Request::default();
        request.extensions_mut().insert("the connection");
        service.call(request).await.expect("a response");
        write(&mut socket, b"2").await.expect("written");
        assert_eq!(socket.inner.got.concat(), b"12");
    }

    #[tokio::test]
    async fn a_client_that_accepts_nothing_does_not_keep_the_task_awake() {
        let mut socket = socket(0);
        read(&mut socket).await;
        write(&mut socket, b"1").await.expect("held");
        let waits = poll_fn(|cx| Poll::Ready(Pin::new(&mut socket).poll_flush(cx).is_pending())).await;
        assert!(waits && !socket.state.is_holding(), "otherwise its task would never rest");
    }

    /// Every open connection has one of these: 184 bytes beside the socket of the system.
    #[test]
    fn a_connection_takes_no_more_memory_than_it_did() {
        assert!(
            size_of::<Socket<Stream>>() <= size_of::<TcpStream>() + 192,
            "{}",
            size_of::<Socket<Stream>>()
        );
    }
}
