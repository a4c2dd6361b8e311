//! [`Client`]: whether somebody still waits for the answer to a command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The client of a command. A command that has written nothing may end when its client has left; one that
/// has written goes on. For commands of the program itself, which always wait: [`Client::default`].
#[derive(Clone, Debug, Default)]
pub struct Client(Arc<AtomicBool>);

/// Marks the client as gone when it is dropped.
#[derive(Debug)]
pub struct Waiting(Client);

impl Client {
    /// Returns a guard to be kept for as long as the client waits.
    pub fn wait(&self) -> Waiting {
        Waiting(self.clone())
    }

    /// Returns whether the client no longer waits.
    pub fn has_left(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
