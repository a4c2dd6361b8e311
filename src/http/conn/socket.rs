//! What stands between hyper and the socket: the deadlines for request heads and for peers that do
//! not read, and the joining of answers to pipelined requests into few writes.
//!
//! hyper's own deadline for heads costs too much ([`super::deadline`]), and the other two it does
//! not have: it waits for ever to write, and its own `pipeline_flush` (1.12) flushes nothing while
//! unparsed input is left: with half a request behind a whole one the answer waits for the other
//! half, and with anything behind the last request of a connection (a refused body, say) the
//! answer is lost.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::deadline::Alarm;
use super::state::ConnState;

/// How long a client is heard out that may still be sending: in all, so that with what a body may take
/// by default nobody stays for more than 15 s, and between two pieces of it. Past either the
/// connection is reset.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_IDLE: Duration = Duration::from_secs(2);

/// How long the peer may take for what is ready for it, or for [`PACE`] bytes of it: counted from
/// the first write that waits, so that a byte now and then puts nothing off. nginx waits 60 s for
/// each byte; half of that is ample for a phone in a tunnel. Past it the connection is closed.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// How long an answer is still worked on once its client has closed its side of the connection. Some
/// close it as soon as they have sent their request and read on, which cannot be told from a client
/// that hung up; most answers take milliseconds. Past it the work is cancelled, and the connection
/// closed.
const HANG_UP_GRACE: Duration = Duration::from_secs(1);

/// How much of a long answer earns the peer another [`WRITE_DEADLINE`]: 2 KB a second, as slow as
/// modems were. Redirects and pages are shorter, so for them the deadline is absolute.
const PACE: usize = 64 * 1024;

/// Most bytes of answers held back to be joined: some hundred redirects, far below what a socket
/// takes at once. Past it they are written.
const HELD_MAX: usize = 32 * 1024;

/// What a connection keeps of the memory of held answers: a burst must not pin 32 KB for ever.
const HELD_KEPT: usize = 4 * 1024;

/// After so many requests, or so long, the next answer is a connection's last, as at nginx: clients
/// that stay for ever would never come to a server that was put beside this one, nor leave one that
/// is to be emptied. One that sends further redirects ahead is left alone while it does, since
/// requests behind the last would be lost; all other limits hold for it.
const REQUESTS_MAX: u64 = 1_000;
const AGE_MAX: Duration = Duration::from_hours(1);

/// How a client that takes HTTP/2 for granted begins. hyper closes on its whole preface without
/// a word; an impossible version in its place gets the 400 that tells what is wrong.
const H2_START: &[u8] = b"PRI * HTTP/2";

/// The end of a request head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a whole request head, from when it is the peer's turn.
    pub(super) head: Duration,
    /// For what is written to it: see [`WRITE_DEADLINE`].
    pub(super) write: Duration,
}

/// A socket with deadlines that joins the answers to requests that came together.
///
/// Every answer is held back until hyper reads: it does so as soon as it has used up its input,
/// right after the last answer to it, so an answer that is alone waits for nothing. It is also
/// written when hyper flushes without having written (the next answer takes time; whoever runs the
/// connection sees to it by [`ConnState::is_holding`]), shuts down, or when there is too much of it.
pub(super) struct Socket<S: AsyncWrite + Unpin> {
    inner: S,
    state: ConnState,
    patience: Patience,
    /// When the head is due that the peer's turn of this number is for.
    due: Option<(u64, Instant)>,
    /// When it is old: see [`AGE_MAX`].
    old_at: Instant,
    is_old: bool,
    alarm: Alarm,
    /// There while the peer is behind; boxed, since only the few that ever wait pay for it.
    behind: Option<Box<SlowReader>>,
    /// Answers held back, of which the first `sent` bytes are written.
    held: Vec<u8>,
    sent: usize,
    /// Whether something was written since the last flush.
    is_fresh: bool,
    /// Whether nothing was read yet.
    is_new: bool,
    /// The last turn of the peer's of which something was read.
    began: Option<u64>,
    /// Whether that began like a request with a body, as far as one can tell from its first bytes:
    /// some are refused before anybody but hyper sees them.
    is_upload: bool,
    /// Runs while the peer is heard out.
    lingers: Option<Box<Linger>>,
    /// Runs once the peer has closed its side while an answer is worked on.
    grace: Option<Pin<Box<Sleep>>>,
}

/// A socket that shows the end of what its peer sends without anything being read from it.
pub(super) trait PeekEnd {
    /// Completes once the peer has closed its side or reset the connection, unless bytes are left that
    /// it sent before.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()>;
}

impl PeekEnd for TcpStream {
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [MaybeUninit::uninit()];
        match self.poll_peek(cx, &mut ReadBuf::uninit(&mut byte)) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

/// A peer that has not taken what it was sent.
struct SlowReader {
    deadline: Pin<Box<Sleep>>,
    /// Bytes taken since it fell behind.
    taken: usize,
}

/// A peer that is heard out.
struct Linger {
    until: Instant,
    idle: Pin<Box<Sleep>>,
}

impl<S: AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(inner: S, state: ConnState, patience: Patience) -> Socket<S> {
        Socket {
            inner,
            state,
            patience,
            due: None,
            old_at: Instant::now() + AGE_MAX,
            is_old: false,
            alarm: Alarm::default(),
            behind: None,
            held: Vec::new(),
            sent: 0,
            is_fresh: false,
            is_new: true,
            began: None,
            is_upload: false,
            lingers: None,
            grace: None,
        }
    }

    /// Whether something was read of a request that nobody was handed.
    fn is_cut_short(&self) -> bool {
        self.began.is_some() && self.began == self.state.next_request()
    }

    /// Fails when the head is overdue, absolutely: a byte now and then puts nothing off.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Bodies have a deadline of their own; and whoever is still being sent an answer is not
        // idle, and is asked again when it is sent.
        let Some(request) = self.state.next_request().filter(|_| self.behind.is_none()) else {
            return Poll::Pending;
        };
        let deadline = match self.due {
            Some((number, deadline)) if number == request => deadline,
            _ => {
                let now = Instant::now();
                // Looked at here, where the time is known, and acted upon when a request comes.
                self.is_old = now >= self.old_at;
                now + self.patience.head
            }
        };
        self.due = Some((request, deadline));
        self.alarm.poll_until(deadline, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The peer has taken what was written.
    fn caught_up(&mut self, cx: &Context<'_>) {
        if self.behind.take().is_some() {
            // For `poll_due`, which did not ask meanwhile.
            cx.waker().wake_by_ref();
        }
    }

    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let within = self.patience.write;
            let behind = self.behind.get_or_insert_with(|| {
                Box::new(SlowReader { deadline: Box::pin(tokio::time::sleep(within)), taken: 0 })
            });
            return behind.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        };
        if let (Ok(bytes), Some(behind)) = (&written, &mut self.behind) {
            behind.taken += bytes;
            if behind.taken >= PACE {
                self.caught_up(cx);
            }
        }
        Poll::Ready(written)
    }
}

impl<S: AsyncWrite + Unpin> Socket<S> {
    /// Writes what is held back, which mostly is nothing.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() { Poll::Ready(Ok(())) } else { self.poll_write_held(cx) }
    }

    fn poll_write_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // From here on it is the socket that wakes.
        self.state.set_holding(false);
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
        self.caught_up(cx);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Drop for Socket<S> {
    /// hyper lets go of a connection at once when the body of an answer fails: answers held back,
    /// which were whole, leave as far as the socket takes them.
    fn drop(&mut self) {
        if self.sent < self.held.len() {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut self.inner).poll_write(&mut cx, &self.held[self.sent..]);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
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
        if let Some(number) = self.state.next_request().filter(|number| self.began != Some(*number)) {
            let start = &buffer.filled()[before..];
            if !start.is_empty() {
                self.began = Some(number);
                self.is_upload = !start.starts_with(b"GET ") && !start.starts_with(b"HEAD ");
                // A request that is there at once was never waited for, and counts as well.
                let is_old = self.is_old || number + 1 >= REQUESTS_MAX;
                // Nobody sends ahead behind what may change something (RFC 9112 9.3.2).
                if is_old && (self.is_upload || is_one_head(start)) {
                    self.state.set_last();
                }
            }
        }
        if std::mem::take(&mut self.is_new) && buffer.filled()[before..].starts_with(H2_START) {
            buffer.filled_mut()[before + H2_START.len() - 1] = b'9';
        }
        refuse_fragments(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Says that nothing more comes, and reads on to the peer's end: closed at once, a socket with
    /// unread bytes is reset, and a client that is still sending its body never sees the answer
    /// that refused it (RFC 9112 9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Socket { inner, lingers, .. } = self;
        if lingers.is_none() {
            ready!(Pin::new(&mut *inner).poll_shutdown(cx))?;
        }
        let linger = lingers.get_or_insert_with(|| {
            let idle = Box::pin(tokio::time::sleep(LINGER_IDLE));
            Box::new(Linger { until: Instant::now() + LINGER, idle })
        });
        let mut bytes = [MaybeUninit::uninit(); 8 * 1024];
        loop {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut *inner).poll_read(cx, &mut buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => return linger.idle.as_mut().poll(cx).map(Ok),
            }
            let now = Instant::now();
            if buffer.filled().is_empty() || now >= linger.until {
                return Poll::Ready(Ok(()));
            }
            linger.idle.as_mut().reset(linger.until.min(now + LINGER_IDLE));
        }
    }
}

impl<S: AsyncWrite + PeekEnd + Unpin> Socket<S> {
    /// Notices a client that hangs up while its answer is worked on: hyper reads nothing then.
    fn poll_hang_up(&mut self, cx: &mut Context<'_>) {
        if !self.state.is_pending() {
            self.grace = None;
            return;
        }
        if self.grace.is_none() && self.inner.poll_end(cx).is_ready() {
            self.grace = Some(Box::pin(tokio::time::sleep(HANG_UP_GRACE)));
        }
        let Some(grace) = &mut self.grace else { return };
        if grace.as_mut().poll(cx).is_ready() {
            self.state.hang_up();
            // The answer was polled before this flush; it is cancelled by its next poll.
            cx.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + PeekEnd + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.is_fresh = true;
        if self.held.len() + data.len() > HELD_MAX || !self.state.may_hold() {
            ready!(self.poll_release(cx))?;
        }
        if data.len() > HELD_MAX || !self.state.may_hold() {
            let result = Pin::new(&mut self.inner).poll_write(cx, data);
            return self.watch(cx, result);
        }
        self.held.extend_from_slice(data);
        self.state.set_holding(true);
        Poll::Ready(Ok(data.len()))
    }

    // Not vectored, so that hyper hands over each answer as one slice.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_fresh) && !self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_release(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.caught_up(cx);
        self.poll_hang_up(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            ready!(self.poll_release(cx))?;
        }
        // Nothing of a body comes any more from a peer that was silent for as long as that.
        let is_idle = self.due.is_some_and(|(number, deadline)| {
            let silent = (Instant::now() + self.patience.head).saturating_duration_since(deadline);
            self.began != Some(number) && self.state.next_request() == Some(number) && silent >= LINGER_IDLE
        });
        // Nor has whoever was told of the end, or refused before all of its head had come, heard that
        // yet.
        let is_sending =
            self.is_upload || self.state.has_body() || self.state.is_last() || self.is_cut_short();
        if is_sending && !is_idle {
            return self.poll_linger(cx);
        }
        // hyper drops the socket next, which ends it as well: one system call less.
        Poll::Ready(Ok(()))
    }
}

/// Whether these bytes are one request head and no more.
fn is_one_head(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, HEAD_END).is_some_and(|at| at + HEAD_END.len() == bytes.len())
}

/// Makes unreadable, so that they are answered 400, what request lines have a fragment: hyper drops
/// it without a word, and `/code#x` would be `/code`. Only whole lines are touched, which within a
/// body of ours cannot be: JSON and forms escape the end of a line.
fn refuse_fragments(bytes: &mut [u8]) {
    if memchr::memchr(b'#', bytes).is_none() {
        return;
    }
    let mut start = 0;
    loop {
        let head = &mut bytes[start..];
        let Some(end) = head.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return };
        let line = &mut head[..end];
        let is_visit = line.starts_with(b"GET ") || line.starts_with(b"HEAD ") || line.starts_with(b"POST ");
        if is_visit && (line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")) {
            for byte in line.iter_mut().filter(|byte| **byte == b'#') {
                *byte = 0x7f;
            }
        }
        let Some(next) = memchr::memmem::find(head, HEAD_END) else { return };
        start += next + HEAD_END.len();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};

    use hyper::service::{Service, service_fn};
    use hyper::{Request, Response};
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Gives its input, then has the reader wait; takes so many writes, then nothing.
    #[derive(Default)]
    struct Peer {
        is_gone: bool,
        input: &'static [u8],
        takes: usize,
        got: Vec<Vec<u8>>,
    }

    impl PeekEnd for Peer {
        fn poll_end(&self, _: &mut Context<'_>) -> Poll<()> {
            if self.is_gone { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    impl PeekEnd for tokio::io::DuplexStream {
        fn poll_end(&self, _: &mut Context<'_>) -> Poll<()> {
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

    fn stream(takes: usize) -> Socket<Peer> {
        let patience = Patience { head: HEAD, write: WRITE_DEADLINE };
        Socket::new(Peer { input: REQUEST, takes, ..Peer::default() }, ConnState::default(), patience)
    }

    /// Whether the peer, which takes nothing now, may go on to take nothing.
    async fn falls_behind(stream: &mut Socket<Peer>) -> bool {
        poll_fn(|cx| Poll::Ready(stream.watch(cx, Poll::Pending).is_pending())).await
    }

    /// What one read yields; nothing where it would wait.
    async fn read(stream: &mut Socket<Peer>) -> Option<io::Result<()>> {
        let mut bytes = [0; 256];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    async fn write(stream: &mut Socket<Peer>, data: &[u8]) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, data)).await?;
        flush(stream).await
    }

    async fn flush(stream: &mut Socket<Peer>) -> io::Result<()> {
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
        // Whoever has taken all is not behind.
        stream.inner.takes = 1;
        flush(&mut stream).await.expect("taken again");
        assert!(stream.behind.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn t24_a_byte_now_and_then_puts_nothing_off_and_much_does() {
        // What the peer takes each ten seconds, and whether it gets another deadline by that.
        for (takes, holds) in [(1, false), (PACE / 8, false), (PACE, true)] {
            let mut stream = stream(0);
            let mut held = true;
            for _ in 0..5 {
                held &= falls_behind(&mut stream).await;
                tokio::time::advance(Duration::from_secs(10)).await;
                let taken = poll_fn(|cx| stream.watch(cx, Poll::Ready(Ok(takes)))).await;
                assert_eq!(taken.expect("taken"), takes);
            }
            assert_eq!(held, holds, "{takes} bytes each ten seconds");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_due_whatever_comes_of_it_but_while_we_answer_or_are_not_listened_to() {
        let mut stream = stream(1);
        let bytes = |stream: &mut Socket<Peer>| stream.inner.input = REQUEST;
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
        let response = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let response = stream.state.track(service_fn(response)).call(Request::default());
        tokio::time::advance(HEAD * 2).await;
        assert!(read(&mut stream).await.is_none());
        response.await.expect("answered");
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

    /// A client whose next request is there before it is waited for.
    #[tokio::test]
    async fn a_connection_that_is_never_waited_for_ends_after_as_many_requests_as_others() {
        let mut stream = stream(usize::MAX);
        let response = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let service = stream.state.track(service_fn(response));
        for number in 1..=REQUESTS_MAX {
            stream.inner.input = REQUEST;
            assert!(matches!(read(&mut stream).await, Some(Ok(()))));
            assert_eq!(stream.state.is_last(), number == REQUESTS_MAX, "{number}");
            service.call(Request::default()).await.expect("an answer");
        }
    }

    #[tokio::test]
    async fn answers_to_requests_that_came_together_leave_together() {
        let mut stream = stream(9);
        read(&mut stream).await;
        write(&mut stream, b"1").await.expect("held");
        write(&mut stream, b"2").await.expect("held");
        assert!(stream.inner.got.is_empty() && stream.state.is_holding());
        write(&mut stream, b"3").await.expect("held");
        // hyper has used up its input.
        assert!(read(&mut stream).await.is_none());
        assert_eq!(stream.inner.got, [b"123"], "in one write");
        assert!(!stream.state.is_holding());
    }

    /// Hyper reads nothing while an answer is worked on, so the flush has to notice.
    #[tokio::test(start_paused = true)]
    async fn n18_a_peer_that_hangs_up_is_noticed_while_its_answer_is_worked_on() {
        let is_noticed = async |is_pending: bool, is_gone: bool| {
            let state = ConnState::default();
            let patience = Patience { head: Duration::from_secs(10), write: WRITE_DEADLINE };
            let mut stream = Socket::new(Peer { is_gone, ..Peer::default() }, state.clone(), patience);
            let service = state.track(service_fn(move |_: Request<String>| {
                Box::pin(async move {
                    if is_pending {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, std::convert::Infallible>(Response::new(String::new()))
                })
            }));
            let mut response = Box::pin(service.call(Request::new(String::new())));
            let within = HANG_UP_GRACE * 3;
            let answered = tokio::time::timeout(
                within,
                poll_fn(|cx| {
                    let polled = response.as_mut().poll(cx);
                    let _ = Pin::new(&mut stream).poll_flush(cx);
                    polled
                }),
            );
            answered.await.is_ok_and(|response| response.is_ok_and(|response| response.status() == 408))
        };
        assert!(is_noticed(true, true).await);
        assert!(!is_noticed(true, false).await, "it waits");
        assert!(!is_noticed(false, true).await, "it is answered");
    }

    #[tokio::test]
    async fn a_held_answer_leaves_when_the_next_is_slow_and_before_the_end_and_when_there_is_much() {
        for how in ["flush", "read", "shutdown", "much"] {
            let mut stream = stream(9);
            read(&mut stream).await;
            write(&mut stream, b"1").await.expect("held");
            assert!(stream.inner.got.is_empty() && stream.state.is_holding(), "{how}");
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
            assert_eq!(stream.state.is_holding(), how == "much", "{how}");
        }
    }

    #[tokio::test]
    async fn a_held_answer_leaves_before_the_connection_is_let_go() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let patience = Patience { head: HEAD, write: WRITE_DEADLINE };
        let mut stream = Socket::new(ours, ConnState::default(), patience);
        poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"whole")).await.expect("held");
        drop(stream);
        let mut got = String::new();
        theirs.read_to_string(&mut got).await.expect("text");
        assert_eq!(got, "whole");
    }

    #[tokio::test]
    async fn nothing_is_held_back_of_the_answer_to_a_request_for_the_connection() {
        let mut stream = stream(9);
        let response = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let service = stream.state.track(service_fn(response));
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
        assert!(waits && !stream.state.is_holding(), "else its task would never rest");
    }

    #[test]
    fn one_head_is_told_from_less_and_more() {
        let rows = [("", false), ("GE", false), ("G\r\n\r\n", true), ("G\r\n\r\nG", false)];
        for (bytes, want) in rows {
            assert_eq!(is_one_head(bytes.as_bytes()), want, "{bytes:?}");
        }
        assert!(!is_one_head(b"G\r\n\r\nG\r\n\r\n"));
    }

    #[test]
    fn fragments_in_request_lines_are_made_unreadable() {
        let end = " HTTP/1.1\r\nX: #\r\n\r\n";
        let rows = [
            (format!("GET /s#f{end}"), format!("GET /s\u{7f}f{end}")),
            (format!("GET /s{end}HEAD /s##{end}"), format!("GET /s{end}HEAD /s\u{7f}\u{7f}{end}")),
            (format!("POST /s#f{end}"), format!("POST /s\u{7f}f{end}")),
            (format!("GET http://h/s#f{end}"), format!("GET http://h/s\u{7f}f{end}")),
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
}
