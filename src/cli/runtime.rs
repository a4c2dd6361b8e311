//! Threads of a command: whether the system starts as many as a command needs, and the runtime.
//!
//! A system that refuses threads must end the command with a message. The runtime panics instead, or
//! waits for ever for a thread that never comes, so the threads are tried before.

use std::io;
use std::num::NonZero;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, available_parallelism};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use super::Failure;
use crate::app::MORE_THREADS;

/// Threads that a start needs beside one for each core: two of the log, two of the table, up to eight that
/// read links, one that learns codes, and some of the runtime's and of sled's for work that blocks.
const BESIDE: usize = 24;

/// Builds the runtime, or says that the system refuses threads.
pub(super) fn build(builder: &mut Builder) -> Result<Runtime, Failure> {
    let wanted = available_parallelism().map_or(1, NonZero::get) + BESIDE;
    try_threads(wanted).map_err(|(started, error)| {
        Failure::Failed(format!(
            "the system starts only {started} threads for this process, and {wanted} are needed: {error}. \
             {MORE_THREADS}"
        ))
    })?;
    // What was there a moment ago may be gone, and the panic of the runtime says nothing more.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(AssertUnwindSafe(|| builder.build()));
    panic::set_hook(hook);
    match built {
        Ok(Ok(runtime)) => Ok(runtime),
        Ok(Err(error)) => Err(Failure::Failed(format!("cannot start the runtime: {error}"))),
        Err(_) => {
            Err(Failure::Failed(format!("the system starts no threads for the runtime. {MORE_THREADS}")))
        }
    }
}

/// Starts so many threads at once and ends them. Fails with the number that started.
fn try_threads(wanted: usize) -> Result<(), (usize, io::Error)> {
    let mut threads = Vec::with_capacity(wanted);
    let mut refused = Ok(());
    // Each thread waits for this lock, so that all of them are there at once.
    let held = Arc::new(Mutex::new(()));
    let holding = held.lock();
    while threads.len() < wanted && refused.is_ok() {
        let held = Arc::clone(&held);
        match thread::Builder::new().spawn(move || drop(held.lock())) {
            Ok(thread) => threads.push(thread),
            Err(error) => refused = Err((threads.len(), error)),
        }
    }
    drop(holding);
    for thread in threads {
        // It only waits.
        let _ = thread.join();
    }
    refused
}
