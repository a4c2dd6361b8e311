//! The runtime of a command, and the check that the system starts enough threads.
//!
//! A system that refuses threads must end the command with a message. The runtime would panic, or block for ever,
//! so the threads are tried first.

use std::io;
use std::num::NonZero;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, available_parallelism};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use super::error::CommandError;
use crate::app::MORE_THREADS;

/// Threads that a start needs beside one for each core: two of the log, two of the table, up to eight that read
/// links, one that loads codes into the filter, and the blocking threads of the runtime and of sled.
const BESIDE: usize = 24;

/// Builds the runtime. Fails if the system refuses threads.
pub(super) fn build(builder: &mut Builder) -> Result<Runtime, CommandError> {
    let wanted = available_parallelism().map_or(1, NonZero::get) + BESIDE;
    try_threads(wanted).map_err(|(started, error)| {
        CommandError::Failed(format!(
            "the system starts only {started} threads for this process, and {wanted} are needed: {error}. \
             {MORE_THREADS}"
        ))
    })?;
    // Another process may have taken the threads since the check. The default hook would print a panic whose
    // message does not help.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(AssertUnwindSafe(|| builder.build()));
    // Restored at once: every other panic must be printed.
    panic::set_hook(hook);
    match built {
        Ok(Ok(runtime)) => Ok(runtime),
        Ok(Err(error)) => Err(CommandError::Failed(format!("cannot start the runtime: {error}"))),
        Err(_) => {
            Err(CommandError::Failed(format!("the system starts no threads for the runtime. {MORE_THREADS}")))
        }
    }
}

/// Starts `wanted` threads at the same time and ends them. Fails with the number of threads that started.
fn try_threads(wanted: usize) -> Result<(), (usize, io::Error)> {
    let mut threads = Vec::with_capacity(wanted);
    let mut refused = Ok(());
    // Each thread blocks on this lock, so that all of them exist at the same time.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    while threads.len() < wanted && refused.is_ok() {
        let gate = Arc::clone(&gate);
        match thread::Builder::new().spawn(move || drop(gate.lock())) {
            Ok(thread) => threads.push(thread),
            Err(error) => refused = Err((threads.len(), error)),
        }
    }
    // Only now: threads that ended early would make room for the next.
    drop(closed);
    for thread in threads {
        // The thread only blocks on the lock, so it cannot panic.
        let _ = thread.join();
    }
    refused
}
