//! Responses to pipelined requests, joined into few writes: a system call for each response costs several
//! times what the redirect itself costs.
//!
//! With 16 requests in flight this makes Waypost at least 12 times as fast as nginx, which writes each
//! response by itself, and at least 0.85 times as fast as bare hyper with `pipeline_flush` (bar B4 of
//! `benches/load/run`). A response that is alone pays one copy of its bytes.
//!
//! hyper's own `pipeline_flush` (1.12) loses responses. It flushes nothing while unparsed input is left:
//! with half a request behind a whole one the response waits for the other half, and with anything behind
//! the last request of a connection (a rejected body, for example) the response is lost.
//!
//! Every response is held until hyper reads. hyper reads as soon as it has used up its input, right after
//! the last response to that input, so a response that is alone waits for nothing. Held responses are also
//! written when
//!
//! 1. hyper flushes without having written: the next response takes time. The task of the connection polls
//!    hyper once more for this ([`super::state::ConnState::is_holding`]);
//! 2. hyper shuts the connection down, or drops it;
//! 3. they would exceed [`HELD_MAX`].

use std::io;
use std::task::{Poll, ready};

/// Most bytes of responses that are held to be joined: some hundred redirects, far below what a socket
/// accepts at once. Past it they are written.
pub(super) const HELD_MAX: usize = 32 * 1024;

/// Capacity that a connection keeps for held responses: a burst must not pin 32 KB forever.
const HELD_KEPT: usize = 4 * 1024;

/// The held responses of one connection.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    /// The responses, of which the first `sent` bytes are written.
    held: Vec<u8>,
    // A position and not a removal of the sent bytes, which would move the rest at each write.
    sent: usize,
    /// Whether hyper has written since its last flush.
    is_fresh: bool,
}

impl Coalescer {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns whether this many bytes may be held beside the held ones.
    #[inline]
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.held.len() + bytes <= HELD_MAX
    }

    /// Records that hyper writes, whether these bytes are held or not.
    #[inline]
    pub(super) fn set_fresh(&mut self) {
        self.is_fresh = true;
    }

    /// Holds a response.
    #[inline]
    pub(super) fn hold(&mut self, response: &[u8]) {
        self.held.extend_from_slice(response);
    }

    /// Returns whether a flush may wait for the next response: once per write, while something is held.
    #[inline]
    pub(super) fn defers_flush(&mut self) -> bool {
        // The mark is cleared: a second flush without a write shows that the next response takes time.
        std::mem::take(&mut self.is_fresh) && !self.held.is_empty()
    }

    /// Returns what is held and not yet written.
    #[inline]
    pub(super) fn unsent(&self) -> &[u8] {
        &self.held[self.sent..]
    }

    /// Writes all that is held by `write`, which returns how many bytes of its slice it has written.
    pub(super) fn poll_write_out(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            match ready!(write(&self.held[self.sent..]))? {
                // Without this the loop would never end.
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                // Counted at once: if the next write is pending, these bytes must not be sent again.
                written => self.sent += written,
            }
        }
        self.held.clear();
        // After the clear, since a vector never shrinks below its length.
        self.held.shrink_to(HELD_KEPT);
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_deferred_once_for_each_write() {
        let mut responses = Coalescer::default();
        // Nothing was written, so there is nothing to wait for.
        assert!(!responses.defers_flush());
        responses.set_fresh();
        responses.hold(b"1");
        assert!(responses.defers_flush());
        assert!(!responses.defers_flush(), "the next response takes time");
        responses.set_fresh();
        assert!(responses.defers_flush());
    }

    #[test]
    fn what_a_pending_write_leaves_is_written_later_in_order() {
        let mut responses = Coalescer::default();
        responses.hold(b"abcd");
        responses.hold(b"ef");
        // The bytes that each write accepts; then it is pending.
        let mut accepts = vec![2, 3].into_iter();
        let mut got = Vec::new();
        let polled = responses.poll_write_out(|bytes| match accepts.next() {
            Some(count) => {
                got.extend_from_slice(&bytes[..count]);
                Poll::Ready(Ok(count))
            }
            None => Poll::Pending,
        });
        assert!(polled.is_pending() && got == b"abcde" && responses.unsent() == b"f");
        // A response that hyper writes while the socket is full goes behind the rest.
        responses.hold(b"g");
        let polled = responses.poll_write_out(|bytes| {
            got.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        });
        assert!(matches!(polled, Poll::Ready(Ok(()))) && got == b"abcdefg" && responses.is_empty());
    }

    #[test]
    fn a_write_of_nothing_is_an_error() {
        let mut responses = Coalescer::default();
        responses.hold(b"a");
        let polled = responses.poll_write_out(|_| Poll::Ready(Ok(0)));
        assert!(matches!(polled, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WriteZero));
    }

    #[test]
    fn a_burst_does_not_pin_its_memory() {
        let mut responses = Coalescer::default();
        assert!(responses.has_room_for(HELD_MAX) && !responses.has_room_for(HELD_MAX + 1));
        responses.hold(&vec![b'x'; HELD_MAX]);
        assert!(!responses.has_room_for(1));
        let _ = responses.poll_write_out(|bytes| Poll::Ready(Ok(bytes.len())));
        assert!(responses.held.capacity() <= HELD_KEPT, "{}", responses.held.capacity());
    }
}
