//! What stands between hyper and the socket: a deadline for peers that do not read, and the
//! joining of answers to pipelined requests into few writes.
//!
//! hyper has neither. It waits for ever to write, and its own `pipeline_flush`
//! (1.12) flushes nothing while unparsed input is left: with half a request behind a whole one the
//! answer waits for the other half, and with anything behind the last request of a connection
//! (a refused body, say) the answer is lost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long the peer may take for what is ready for it, or for [`PACE`] bytes of it: counted from
/// the first write that waits, so that a byte now and then puts nothing off. nginx waits 60 s for
/// each byte; half of that is ample for a phone in a tunnel. Past it the connection is closed.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// How much of a long answer earns the peer another [`WRITE_DEADLINE`]: 2 KB a second, as slow as
/// modems were. Redirects and pages are shorter, so for them the deadline is absolute.
const PACE: usize = 64 * 1024;

/// Most bytes of answers held back to be joined: some hundred redirects, far below what a socket
/// takes at once. Past it they are written.
const HELD_MAX: usize = 32 * 1024;

/// What a connection keeps of the memory of held answers: a burst must not pin 32 KB for ever.
const HELD_KEPT: usize = 4 * 1024;

/// How a client that takes HTTP/2 for granted begins. hyper closes on its whole preface without
/// a word; an impossible version in its place gets the 400 that tells what is wrong.
const H2_START: &[u8] = b"PRI * HTTP/2";

/// The end of a request head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A socket with a write deadline that joins the answers to requests that came together.
///
/// An answer is held back only while a request that was read together with its own is yet to be
/// answered. It is written when hyper reads again (it has used up its input), flushes without
/// having written (the next answer takes time; a wake makes sure that it does), shuts down, or
/// when there is too much of it.
pub(super) struct Stream<S> {
    inner: S,
    within: Duration,
    /// There while the peer is behind; boxed, since only the few that ever wait pay for it.
    behind: Option<Box<Behind>>,
    /// Answers held back, of which the first `sent` bytes are written.
    held: Vec<u8>,
    sent: usize,
    /// Requests read whose answers are to come after the next one. A guess from the input's
    /// shape: wrong, it costs or saves a write, nothing else.
    ahead: usize,
    /// Whether something was written since the last flush.
    is_fresh: bool,
    /// Whether nothing was read yet.
    is_new: bool,
}

/// A peer that has not taken what it was sent.
struct Behind {
    deadline: Pin<Box<Sleep>>,
    /// Bytes taken since it fell behind.
    taken: usize,
}

impl<S> Stream<S> {
    pub(super) fn new(inner: S, within: Duration) -> Stream<S> {
        Stream {
            inner,
            within,
            behind: None,
            held: Vec::new(),
            sent: 0,
            ahead: 0,
            is_fresh: false,
            is_new: true,
        }
    }

    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let within = self.within;
            let behind = self.behind.get_or_insert_with(|| {
                Box::new(Behind { deadline: Box::pin(tokio::time::sleep(within)), taken: 0 })
            });
            return behind.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        };
        if let (Ok(bytes), Some(behind)) = (&written, &mut self.behind) {
            behind.taken += bytes;
            if behind.taken >= PACE {
                self.behind = None;
            }
        }
        Poll::Ready(written)
    }
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    /// Writes what is held back.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let fresh = &mut buffer.filled_mut()[before..];
        if std::mem::take(&mut self.is_new) && fresh.starts_with(H2_START) {
            fresh[H2_START.len() - 1] = b'9';
        }
        refuse_fragments(fresh);
        self.ahead = heads(fresh).saturating_sub(1);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.is_fresh = true;
        if self.ahead == 0 || self.held.len() + data.len() > HELD_MAX {
            ready!(self.poll_release(cx))?;
            let result = Pin::new(&mut self.inner).poll_write(cx, data);
            return self.watch(cx, result);
        }
        self.held.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    // Not vectored, so that hyper hands over each answer as one slice.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead > 0 && std::mem::take(&mut self.is_fresh) {
            self.ahead -= 1;
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_release(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.behind = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// How many request heads end in these bytes. An end of four bytes covers one of every four
/// positions, so looking at those suffices.
fn heads(bytes: &[u8]) -> usize {
    let mut count = 0;
    for at in (3..bytes.len()).step_by(4) {
        if matches!(bytes[at], b'\r' | b'\n') {
            let ends = (at - 3..=at).any(|start| bytes[start..].starts_with(HEAD_END));
            count += usize::from(ends);
        }
    }
    count
}

/// Makes unreadable, so that they are answered 400, what request lines have a fragment: hyper drops
/// it without a word, and `/code#x` would be `/code`. Only whole lines are touched, which within a
/// body of ours cannot be: JSON and forms escape the end of a line.
fn refuse_fragments(bytes: &mut [u8]) {
    if !bytes.contains(&b'#') {
        return;
    }
    let mut start = 0;
    loop {
        let head = &mut bytes[start..];
        let Some(end) = head.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return };
        let line = &mut head[..end];
        let is_get = line.starts_with(b"GET /") || line.starts_with(b"HEAD /");
        if is_get && (line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")) {
            for byte in line.iter_mut().filter(|byte| **byte == b'#') {
                *byte = 0x7f;
            }
        }
        let Some(next) = head.windows(HEAD_END.len()).position(|end| end == HEAD_END) else { return };
        start += next + HEAD_END.len();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Gives its input at once; takes so many writes, then nothing.
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

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let mut stream = Stream::new(Peer { takes: 1, ..Peer::default() }, Duration::from_millis(20));
        let written = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"ab")).await;
        assert_eq!(written.expect("taken"), 2);
        let error = poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"b")).await.expect_err("stuck");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// A write that the peer does not take leaves it behind, by now.
    async fn falls_behind(stream: &mut Stream<Peer>) {
        let stuck = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, b"x"))).await;
        assert!(stuck.is_pending());
    }

    /// T24.
    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_puts_nothing_off_and_much_does() {
        let part = vec![b'x'; PACE / 8];
        // What the peer takes each ten seconds, and whether it gets another deadline by that.
        for (data, holds) in [(&b"x"[..], false), (&part, false), (&part.repeat(8), true)] {
            let mut stream = Stream::new(Peer::default(), WRITE_DEADLINE);
            falls_behind(&mut stream).await;
            let mut held = true;
            for _ in 0..4 {
                tokio::time::advance(Duration::from_secs(10)).await;
                stream.inner.takes = 1;
                poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, data)).await.expect("taken");
                let next = poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_write(cx, b"x"))).await;
                held &= next.is_pending();
            }
            assert_eq!(held, holds, "{} bytes each ten seconds", data.len());
            // Whoever has taken all is not behind.
            poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await.expect("flushed");
            assert!(stream.behind.is_none());
        }
    }

    async fn read(stream: &mut Stream<Peer>) {
        let mut bytes = [0; 256];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await.expect("input");
    }

    async fn answer(stream: &mut Stream<Peer>, data: &[u8]) {
        poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, data)).await.expect("taken");
        poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await.expect("flushed");
    }

    fn pipelined(input: &'static [u8]) -> Stream<Peer> {
        Stream::new(Peer { input, takes: 9, ..Peer::default() }, WRITE_DEADLINE)
    }

    #[tokio::test]
    async fn answers_to_requests_that_came_together_leave_together() {
        let mut stream = pipelined(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        read(&mut stream).await;
        answer(&mut stream, b"1").await;
        answer(&mut stream, b"2").await;
        assert!(stream.inner.got.is_empty());
        answer(&mut stream, b"3").await;
        assert_eq!(stream.inner.got.concat(), b"123");
        stream.inner.input = b"GET / HTTP/1.1\r\n\r\n";
        read(&mut stream).await;
        answer(&mut stream, b"4").await;
        assert_eq!(stream.inner.got.last().map(Vec::as_slice), Some(&b"4"[..]), "alone: at once");
    }

    #[tokio::test]
    async fn a_held_answer_leaves_when_the_next_is_slow_and_before_the_end() {
        for how in ["flush", "read", "shutdown"] {
            let mut stream = pipelined(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
            read(&mut stream).await;
            answer(&mut stream, b"1").await;
            assert!(stream.inner.got.is_empty(), "{how}");
            match how {
                "flush" => poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await.expect("flushed"),
                "read" => read(&mut stream).await,
                _ => poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await.expect("shut"),
            }
            assert_eq!(stream.inner.got.concat(), b"1", "{how}");
        }
    }

    #[test]
    fn fragments_in_request_lines_are_made_unreadable() {
        let end = " HTTP/1.1\r\nX: #\r\n\r\n";
        let rows = [
            (format!("GET /s#f{end}"), format!("GET /s\u{7f}f{end}")),
            (format!("GET /s{end}HEAD /s##{end}"), format!("GET /s{end}HEAD /s\u{7f}\u{7f}{end}")),
            (format!("GET /s{end}"), format!("GET /s{end}")),
            // Not whole, or within a text of a body.
            ("GET /s#f".to_owned(), "GET /s#f".to_owned()),
            ("GET /s#f HTTP/1.1\"}\n".to_owned(), "GET /s#f HTTP/1.1\"}\n".to_owned()),
            (format!("\"GET /s#f{end}"), format!("\"GET /s#f{end}")),
        ];
        for (bytes, want) in rows {
            let mut got = bytes.clone().into_bytes();
            refuse_fragments(&mut got);
            assert_eq!(String::from_utf8_lossy(&got), want, "{bytes:?}");
        }
    }

    #[test]
    fn counts_heads_wherever_they_end() {
        for before in 0..9 {
            let one = [&b"x".repeat(before)[..], HEAD_END].concat();
            assert_eq!(heads(&one), 1, "{before}");
            assert_eq!(heads(&[&one[..], &one].concat()), 2, "{before}");
            assert_eq!(heads(&one[..one.len() - 1]), 0, "{before}");
        }
    }
}
