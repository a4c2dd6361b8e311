//! What stands between hyper and the socket: the deadlines for request heads and for peers that do
//! not read, and the joining of answers to pipelined requests into few writes.
//!
//! hyper's own deadline for heads costs too much ([`super::deadline`]), and the other two it does
//! not have: it waits for ever to write, and its own `pipeline_flush` (1.12) flushes nothing while
//! unparsed input is left: with half a request behind a whole one the answer waits for the other
//! half, and with anything behind the last request of a connection (a refused body, say) the
//! answer is lost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::deadline::Alarm;
use super::turn::Turn;

/// How long the peer may take no byte of what is ready for it. nginx waits 60 s; half of that is
/// ample for a phone in a tunnel. Past it the connection is closed.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Most bytes of answers held back to be joined: some hundred redirects, far below what a socket
/// takes at once. Past it they are written.
const HELD_MAX: usize = 32 * 1024;

/// What a connection keeps of the memory of held answers: a burst must not pin 32 KB for ever.
const HELD_KEPT: usize = 4 * 1024;

/// How a client that takes HTTP/2 for granted begins. hyper closes on its whole preface without
/// a word; an impossible version in its place gets the 400 that tells what is wrong.
const H2_START: &[u8] = b"PRI * HTTP/2";

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a whole request head, from when it is the peer's turn.
    pub(super) head: Duration,
    /// For any byte of what is written to it.
    pub(super) write: Duration,
}

/// A socket with deadlines that joins the answers to requests that came together.
///
/// Every answer is held back until hyper reads: it does so as soon as it has used up its input,
/// right after the last answer to it, so an answer that is alone waits for nothing. It is also
/// written when hyper flushes without having written (the next answer takes time; whoever runs the
/// connection sees to it by [`Turn::is_holding`]), shuts down, or when there is too much of it.
pub(super) struct Stream<S> {
    inner: S,
    turn: Turn,
    patience: Patience,
    /// When the head is due that the peer's turn of this number is for.
    due: Option<(u64, Instant)>,
    alarm: Alarm,
    /// Runs while a write waits; boxed, since only the few that ever wait pay for it.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Answers held back, of which the first `sent` bytes are written.
    held: Vec<u8>,
    sent: usize,
    /// Whether something was written since the last flush.
    is_fresh: bool,
    /// Whether nothing was read yet.
    is_new: bool,
}

impl<S> Stream<S> {
    pub(super) fn new(inner: S, turn: Turn, patience: Patience) -> Stream<S> {
        Stream {
            inner,
            turn,
            patience,
            due: None,
            alarm: Alarm::default(),
            stalled: None,
            held: Vec::new(),
            sent: 0,
            is_fresh: false,
            is_new: true,
        }
    }

    /// Fails when the head is overdue, absolutely: a byte now and then puts nothing off.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Bodies have a deadline of their own; and whoever is still being sent an answer is not
        // idle, and is asked again when it is sent.
        let Some(turn) = self.turn.of_peer().filter(|_| self.stalled.is_none()) else { return Poll::Pending };
        let deadline = match self.due {
            Some((number, deadline)) if number == turn => deadline,
            _ => Instant::now() + self.patience.head,
        };
        self.due = Some((turn, deadline));
        self.alarm.poll_until(deadline, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if self.stalled.take().is_some() {
                // For `poll_due`, which did not ask meanwhile.
                cx.waker().wake_by_ref();
            }
            return result;
        }
        let within = self.patience.write;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    /// Writes what is held back, which mostly is nothing.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() { Poll::Ready(Ok(())) } else { self.poll_write_held(cx) }
    }

    fn poll_write_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // From here on it is the socket that wakes.
        self.turn.set_holding(false);
        while self.sent < self.held.len() {
            let result = Pin::new(&mut self.inner).poll_write(cx, &self.held[self.sent..]);
            match ready!(self.watch(cx, result))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        self.held.clear();
        self.held.shrink_to(HELD_KEPT);
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A peer that does not read may still write; only a failure is final.
        if let Poll::Ready(Err(error)) = self.poll_release(cx) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Ready(result) => result?,
            Poll::Pending => return self.poll_due(cx),
        }
        if std::mem::take(&mut self.is_new) && buffer.filled()[before..].starts_with(H2_START) {
            buffer.filled_mut()[before + H2_START.len() - 1] = b'9';
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.is_fresh = true;
        if self.held.len() + data.len() > HELD_MAX || !self.turn.may_hold() {
            ready!(self.poll_release(cx))?;
        }
        if data.len() > HELD_MAX || !self.turn.may_hold() {
            let result = Pin::new(&mut self.inner).poll_write(cx, data);
            return self.watch(cx, result);
        }
        self.held.extend_from_slice(data);
        self.turn.set_holding(true);
        Poll::Ready(Ok(data.len()))
    }

    // Not vectored, so that hyper hands over each answer as one slice.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_fresh) && !self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper drops the socket next, which ends it as well: one system call less.
        self.poll_release(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};

    use hyper::service::{Service, service_fn};
    use hyper::{Request, Response};

    use super::*;

    /// Gives its input, then has the reader wait; takes so many writes, then nothing.
    #[derive(Default)]
    struct Peer {
        input: &'static [u8],
        takes: usize,
        got: Vec<Vec<u8>>,
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

    fn stream(takes: usize) -> Stream<Peer> {
        let patience = Patience { head: HEAD, write: WRITE_DEADLINE };
        Stream::new(Peer { input: REQUEST, takes, ..Peer::default() }, Turn::default(), patience)
    }

    /// What one read yields; nothing where it would wait.
    async fn read(stream: &mut Stream<Peer>) -> Option<io::Result<()>> {
        let mut bytes = [0; 256];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    async fn write(stream: &mut Stream<Peer>, data: &[u8]) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, data)).await?;
        flush(stream).await
    }

    async fn flush(stream: &mut Stream<Peer>) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let mut stream = stream(1);
        write(&mut stream, b"ab").await.expect("held");
        flush(&mut stream).await.expect("taken");
        write(&mut stream, b"b").await.expect("held");
        let start = Instant::now();
        let error = flush(&mut stream).await.expect_err("stuck");
        assert_eq!(
            (error.kind(), start.elapsed().as_secs()),
            (io::ErrorKind::TimedOut, WRITE_DEADLINE.as_secs())
        );
        // Progress ends the deadline.
        stream.inner.takes = 1;
        flush(&mut stream).await.expect("taken again");
        assert!(stream.stalled.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_due_whatever_comes_of_it_but_while_we_answer_or_are_not_listened_to() {
        let mut stream = stream(1);
        let bytes = |stream: &mut Stream<Peer>| stream.inner.input = REQUEST;
        // A byte now and then puts nothing off.
        for _ in 0..4 {
            bytes(&mut stream);
            assert!(matches!(read(&mut stream).await, Some(Ok(()))));
            assert!(read(&mut stream).await.is_none());
            tokio::time::advance(HEAD / 4).await;
        }
        bytes(&mut stream);
        assert!(matches!(read(&mut stream).await, Some(Ok(()))), "what is there is read");
        let overdue = read(&mut stream).await.expect("at once").map_err(|error| error.kind());
        assert_eq!(overdue, Err(io::ErrorKind::TimedOut));
        // Our turn takes as long as it takes; then it is the peer's again, for a whole while.
        let answer = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let answer = stream.turn.taken_by(service_fn(answer)).call(Request::default());
        tokio::time::advance(HEAD * 2).await;
        assert!(read(&mut stream).await.is_none());
        answer.await.expect("answered");
        assert!(read(&mut stream).await.is_none());
        tokio::time::advance(HEAD * 9 / 10).await;
        assert!(read(&mut stream).await.is_none());
        // Whoever is still being sent an answer is not overdue.
        stream.inner.takes = 0;
        write(&mut stream, b"a").await.expect("held");
        tokio::time::advance(HEAD).await;
        assert!(read(&mut stream).await.is_none());
        stream.inner.takes = 1;
        flush(&mut stream).await.expect("taken");
        assert!(matches!(read(&mut stream).await, Some(Err(_))));
    }

    #[tokio::test]
    async fn answers_to_requests_that_came_together_leave_together() {
        let mut stream = stream(9);
        read(&mut stream).await;
        write(&mut stream, b"1").await.expect("held");
        write(&mut stream, b"2").await.expect("held");
        assert!(stream.inner.got.is_empty() && stream.turn.is_holding());
        write(&mut stream, b"3").await.expect("held");
        // hyper has used up its input.
        assert!(read(&mut stream).await.is_none());
        assert_eq!(stream.inner.got, [b"123"], "in one write");
        assert!(!stream.turn.is_holding());
    }

    #[tokio::test]
    async fn a_held_answer_leaves_when_the_next_is_slow_and_before_the_end_and_when_there_is_much() {
        for how in ["flush", "read", "shutdown", "much"] {
            let mut stream = stream(9);
            read(&mut stream).await;
            write(&mut stream, b"1").await.expect("held");
            assert!(stream.inner.got.is_empty() && stream.turn.is_holding(), "{how}");
            let much = vec![b'2'; HELD_MAX];
            match how {
                "flush" => flush(&mut stream).await.expect("flushed"),
                "read" => {
                    stream.inner.input = REQUEST;
                    assert!(read(&mut stream).await.is_some());
                }
                "much" => write(&mut stream, &much).await.expect("held"),
                _ => poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await.expect("shut"),
            }
            assert_eq!(stream.inner.got.concat(), b"1", "{how}");
            assert_eq!(stream.turn.is_holding(), how == "much", "{how}");
        }
    }

    #[tokio::test]
    async fn nothing_is_held_back_of_the_answer_to_a_request_for_the_connection() {
        let mut stream = stream(9);
        let answer = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let service = stream.turn.taken_by(service_fn(answer));
        write(&mut stream, b"1").await.expect("held");
        let mut request = Request::default();
        request.extensions_mut().insert("the connection");
        service.call(request).await.expect("an answer");
        write(&mut stream, b"2").await.expect("written");
        assert_eq!(stream.inner.got.concat(), b"12");
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_wakes_nobody() {
        let mut stream = stream(0);
        read(&mut stream).await;
        write(&mut stream, b"1").await.expect("held");
        let waits = poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_flush(cx).is_pending())).await;
        assert!(waits && !stream.turn.is_holding(), "else its task would never rest");
    }
}
