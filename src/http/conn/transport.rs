//! [`Transport`]: what a connection needs of its byte stream beside reads and writes.

use std::io;
use std::task::{Context, Poll};

/// A byte stream of an accepted connection.
// A trait, since the tests use streams in memory, which have no socket.
pub(super) trait Transport {
    /// Completes once the client has closed its side or reset the connection, unless bytes are left that
    /// it sent before. Takes no bytes from a later read.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Lets what is written from now on wait for [`Transport::poll_close_notify`], so that both leave together.
    fn hold_for_close(&mut self) {}

    /// Announces the end of the output, so that the client can tell it from a cut. The socket stays open.
    fn poll_close_notify(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Returns whether the system has everything that was written.
    fn is_flushed(&self) -> bool {
        true
    }
}
