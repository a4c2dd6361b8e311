//! Reading on after the last response: a socket that is closed with unread bytes is reset, and a client
//! that is still sending its body never sees the response that rejected it (RFC 9112 9.6).

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Time for which the input of a client that may still be sending is read and discarded: in all, so that
/// with the default deadline of a body no such client holds its connection for more than 15 s. Past it the
/// connection is reset.
const LINGER: Duration = Duration::from_secs(5);

/// Longest silence of such a client. Past it the connection is reset.
pub(super) const LINGER_IDLE: Duration = Duration::from_secs(2);

/// A connection whose write half is shut down, and whose input is discarded.
#[derive(Debug)]
pub(super) struct Linger {
    // `idle` is never set past this instant, so one timer serves both bounds.
    until: Instant,
    idle: Pin<Box<Sleep>>,
}

/// Shuts the write half down, then reads until the client closes its side, is silent for [`LINGER_IDLE`],
/// or [`LINGER`] is over. `linger` is `None` until the write half is shut down.
pub(super) fn poll_linger<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    linger: &mut Option<Box<Linger>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if linger.is_none() {
        // First: the client sees the end of the response at once, and may stop sending.
        ready!(Pin::new(&mut *socket).poll_shutdown(cx))?;
    }
    let linger = linger.get_or_insert_with(|| {
        Box::new(Linger { until: Instant::now() + LINGER, idle: Box::pin(sleep(LINGER_IDLE)) })
    });
    // On the stack and not initialized: the bytes are discarded.
    let mut bytes = [MaybeUninit::uninit(); 8 * 1024];
    loop {
        let mut buffer = ReadBuf::uninit(&mut bytes);
        match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
            // A client that resets the connection ends the wait.
            Poll::Ready(read) => read?,
            Poll::Pending => return linger.idle.as_mut().poll(cx).map(Ok),
        }
        let now = Instant::now();
        // The time is checked here too: the timer is not polled while the client sends without a pause.
        if buffer.filled().is_empty() || now >= linger.until {
            return Poll::Ready(Ok(()));
        }
        linger.idle.as_mut().reset(linger.until.min(now + LINGER_IDLE));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Lingers, and returns how many seconds that took.
    async fn linger(socket: &mut DuplexStream) -> u64 {
        let (start, mut linger) = (Instant::now(), None);
        poll_fn(|cx| poll_linger(socket, &mut linger, cx)).await.expect("an open socket");
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn input_is_discarded_for_as_long_as_the_client_sends_within_bounds() {
        // Seconds between two bytes of the client, the number of its bytes, and how long is read.
        for (pause, bytes, want) in [(0, 0, 2), (1, 2, 4), (1, 100, 5), (3, 100, 2)] {
            let (mut server, mut client) = duplex(64);
            let sending = tokio::spawn(async move {
                for _ in 0..bytes {
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                    if client.write_all(b"x").await.is_err() {
                        break;
                    }
                }
                // Open, and silent.
                tokio::time::sleep(Duration::from_hours(1)).await;
            });
            assert_eq!(linger(&mut server).await, want, "{bytes} bytes, one every {pause} s");
            sending.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_closes_its_side_ends_it_at_once() {
        let (mut server, mut client) = duplex(64);
        client.write_all(b"the rest of a body").await.expect("room");
        client.shutdown().await.expect("open");
        assert_eq!(linger(&mut server).await, 0);
        let mut left = Vec::new();
        client.read_to_end(&mut left).await.expect("the write half is shut down");
        assert!(left.is_empty());
    }
}
