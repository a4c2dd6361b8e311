//! The few threads that read links which are not in the cache, and the callers that wait for each read.
//!
//! Concurrent loads of one code share one read. The runtime's pool for blocking work would wake a thread for
//! each read, and have as many threads as visitors wait, each with memory of its own. These threads find the
//! next read in the queue when many are waiting. A redirect from the cache never waits for them.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry as MapEntry, HashMap};
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::available_parallelism;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::cache::entry::Entry;
use crate::core::error::Error;
use crate::model::domain::DomainNumber;
use crate::table;

/// Fewest and most threads; within these bounds, one per core. Most reads find their page in the system's
/// memory, and with more threads than cores each read costs a switch. Reads past the number of threads queue.
const LEAST: usize = 2;
const MOST: usize = 8;

/// The result of a load.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// The code has a link.
    Found(Entry),
    /// The code has no link.
    Absent,
}

/// The source that the threads read from. The queue holds it and the threads do not, so that they do not keep
/// it alive.
pub(in crate::core) trait LinkReader: Send + Sync {
    /// Reads a link and adds it to the cache. Blocks for the length of a read.
    fn read(&self, domain: DomainNumber, code: &str) -> Answer;
}

type Key = (DomainNumber, Box<str>);
pub(in crate::core) type Answer = Result<Resolved, Error>;

/// One read and the callers that wait for it. A caller joins under the lock of [`LoadState`].
#[derive(Debug)]
struct Load {
    key: Key,
    waiters: Mutex<Vec<oneshot::Sender<Answer>>>,
}

#[derive(Default)]
struct LoadState {
    /// Reads that can be joined: no Change has touched their codes since they were queued.
    loads: HashMap<Key, Arc<Load>, ahash::RandomState>,
    queue: VecDeque<(Arc<Load>, Arc<dyn LinkReader>)>,
    /// Sleeping threads that were not woken yet.
    sleeping: usize,
    is_over: bool,
}

#[derive(Default)]
struct LoadQueue {
    state: Mutex<LoadState>,
    work: Condvar,
}

/// The threads. They end when the pool is dropped.
pub(in crate::core) struct LoadPool(Arc<LoadQueue>);

impl Drop for LoadPool {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.work.notify_all();
    }
}

impl LoadPool {
    /// Starts the threads. Fails if the system starts none. With fewer threads than wanted, reads take
    /// longer.
    pub(in crate::core) fn start() -> io::Result<LoadPool> {
        let inner = Arc::new(LoadQueue::default());
        let cores = available_parallelism().map_or(1, NonZero::get);
        for number in 0..cores.clamp(LEAST, MOST) {
            let inner = Arc::clone(&inner);
            let started = std::thread::Builder::new().name("reader".to_owned()).spawn(move || inner.work());
            if number == 0 {
                started?;
            }
        }
        Ok(LoadPool(inner))
    }

    /// Loads a link, or joins the read of a concurrent load.
    pub(in crate::core) async fn load(
        &self,
        reader: Arc<dyn LinkReader>,
        domain: DomainNumber,
        code: &str,
    ) -> Answer {
        let (waiter, answer) = oneshot::channel();
        if self.0.enqueue_or_join(reader, (domain, code.into()), waiter) {
            // After the lock is released: the woken thread needs it at once.
            self.0.work.notify_one();
        }
        // A sender is dropped without an answer when the read panics.
        answer.await.unwrap_or_else(|_| Err(unread()))
    }

    /// Removes the read of a code that a Change touched: loads from now on must not join a read that found
    /// the old record.
    pub(in crate::core) fn forget(&self, domain: DomainNumber, code: &str) {
        self.0.state.lock().loads.remove(&(domain, Box::from(code)));
    }

    /// Like [`LoadPool::forget`], for all codes.
    pub(in crate::core) fn forget_all(&self) {
        self.0.state.lock().loads.clear();
    }
}

impl LoadQueue {
    /// Queues a read, or joins one. Returns whether a thread must be woken.
    fn enqueue_or_join(
        &self,
        reader: Arc<dyn LinkReader>,
        key: Key,
        waiter: oneshot::Sender<Answer>,
    ) -> bool {
        let mut state = self.state.lock();
        let load = match state.loads.entry(key) {
            MapEntry::Occupied(load) => {
                // Under the lock of the state: a read that is still listed has not taken its waiters yet.
                load.get().waiters.lock().push(waiter);
                return false;
            }
            MapEntry::Vacant(place) => {
                let load = Load { key: place.key().clone(), waiters: Mutex::new(vec![waiter]) };
                Arc::clone(place.insert(Arc::new(load)))
            }
        };
        state.queue.push_back((load, reader));
        let wakes = state.sleeping > 0;
        // Counted as awake here, so that two reads in a row wake two threads.
        state.sleeping -= usize::from(wakes);
        wakes
    }

    /// Runs one thread until the pool is dropped.
    fn work(&self) {
        while let Some((load, reader)) = self.next() {
            let (domain, code) = &load.key;
            // sled panics on some damaged files. The thread must survive, since other loads need it.
            let read = catch_unwind(AssertUnwindSafe(|| reader.read(*domain, code)));
            // Before the waiters are taken: a caller that joined afterwards would wait for ever.
            self.close(&load);
            let waiters = std::mem::take(&mut *load.waiters.lock());
            let Ok(answer) = read else {
                tracing::error!("reading a link panicked");
                // The waiters are dropped here, which fails each call.
                continue;
            };
            send_to_all(waiters, answer);
        }
    }

    fn next(&self) -> Option<(Arc<Load>, Arc<dyn LinkReader>)> {
        let mut state = self.state.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(next) = state.queue.pop_front() {
                return Some(next);
            }
            // parking_lot wakes no thread without a notification, so the count stays right.
            state.sleeping += 1;
            self.work.wait(&mut state);
        }
    }

    /// Removes the read, so that no load joins it any more.
    fn close(&self, load: &Arc<Load>) {
        let mut state = self.state.lock();
        // A Change may have removed this read, and a newer read may have its place.
        if state.loads.get(&load.key).is_some_and(|other| Arc::ptr_eq(other, load)) {
            state.loads.remove(&load.key);
        }
    }
}

/// Sends the result to all waiting callers. Dropped callers are skipped.
fn send_to_all(waiters: Vec<oneshot::Sender<Answer>>, answer: Answer) {
    let mut waiters = waiters.into_iter();
    match answer {
        Ok(found) => waiters.for_each(|waiter| _ = waiter.send(Ok(found.clone()))),
        Err(error) => {
            // Errors cannot be cloned: the first caller gets the cause, the others an error without it.
            _ = waiters.next().map(|first| first.send(Err(error)));
            waiters.for_each(|waiter| _ = waiter.send(Err(unread())));
        }
    }
}

fn unread() -> Error {
    Error::Table(table::Error::NotReady("the read of a link that others wait for as well failed".to_owned()))
}
