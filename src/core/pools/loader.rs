//! The few threads that read links which are not in memory, and who waits for which of them.
//!
//! However many ask for one code, it is read once. A thread of the runtime's pool for each read would
//! wake and lay to sleep a thread each time, and have as many of them as visitors wait, each with
//! memory of its own; these find the next read already waiting when many come. A redirect from
//! memory never waits for them.

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

/// Threads at least and at most, of which there are as many as cores: most reads find their page in
/// the system's memory, and more threads than cores cost a switch for each read again. Whoever comes
/// while all of them read waits in line.
const LEAST: usize = 2;
const MOST: usize = 8;

/// What a code turned out to be.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// A link.
    Found(Entry),
    /// Nothing.
    Absent,
}

/// What the threads read from. The queue holds it, not the threads, so that they do not keep it alive.
pub(in crate::core) trait Reader: Send + Sync {
    /// Reads a link and adds it to the cache.
    fn read(&self, domain: DomainNumber, code: &str) -> Answer;
}

type Key = (DomainNumber, Box<str>);
pub(in crate::core) type Answer = Result<Resolved, Error>;

/// One read, and who waits for it. Who joins does so under the lock of [`LoadState`].
#[derive(Debug)]
struct Load {
    key: Key,
    waiters: Mutex<Vec<oneshot::Sender<Answer>>>,
}

#[derive(Default)]
struct LoadState {
    /// Reads that can be joined: nothing changed what they read since they were asked for.
    loads: HashMap<Key, Arc<Load>, ahash::RandomState>,
    queue: VecDeque<(Arc<Load>, Arc<dyn Reader>)>,
    /// Threads asleep that nobody has woken yet.
    asleep: usize,
    is_over: bool,
}

#[derive(Default)]
struct LoadQueue {
    state: Mutex<LoadState>,
    work: Condvar,
}

/// The threads. They end when it is dropped.
pub(in crate::core) struct LoadPool(Arc<LoadQueue>);

impl Drop for LoadPool {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.work.notify_all();
    }
}

impl LoadPool {
    /// Starts the threads. Fails where the system starts none; fewer than wanted read more slowly.
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

    /// Has the link read, or joins those who wait for it.
    pub(in crate::core) async fn load(
        &self,
        reader: Arc<dyn Reader>,
        domain: DomainNumber,
        code: &str,
    ) -> Answer {
        let (waiter, answer) = oneshot::channel();
        if self.0.ask(reader, (domain, code.into()), waiter) {
            self.0.work.notify_one();
        }
        answer.await.unwrap_or_else(|_| Err(unread()))
    }

    /// A Change touched this code: a request that comes from now on must not join a read that found
    /// the old record.
    pub(in crate::core) fn forget(&self, domain: DomainNumber, code: &str) {
        self.0.state.lock().loads.remove(&(domain, Box::from(code)));
    }

    /// The same for all codes.
    pub(in crate::core) fn forget_all(&self) {
        self.0.state.lock().loads.clear();
    }
}

impl LoadQueue {
    /// Queues a read unless it can be joined. True when a thread is to be woken for it.
    fn ask(&self, reader: Arc<dyn Reader>, key: Key, waiter: oneshot::Sender<Answer>) -> bool {
        let mut state = self.state.lock();
        let load = match state.loads.entry(key) {
            MapEntry::Occupied(load) => {
                load.get().waiters.lock().push(waiter);
                return false;
            }
            MapEntry::Vacant(place) => {
                let load = Load { key: place.key().clone(), waiters: Mutex::new(vec![waiter]) };
                Arc::clone(place.insert(Arc::new(load)))
            }
        };
        state.queue.push_back((load, reader));
        let wakes = state.asleep > 0;
        state.asleep -= usize::from(wakes);
        wakes
    }

    /// What one thread does.
    fn work(&self) {
        while let Some((load, reader)) = self.next() {
            let (domain, code) = &load.key;
            // sled panics on some damaged files, and those who come next need this thread.
            let read = catch_unwind(AssertUnwindSafe(|| reader.read(*domain, code)));
            self.close(&load);
            let waiters = std::mem::take(&mut *load.waiters.lock());
            let Ok(answer) = read else {
                tracing::error!("reading a link panicked");
                continue;
            };
            tell(waiters, answer);
        }
    }

    fn next(&self) -> Option<(Arc<Load>, Arc<dyn Reader>)> {
        let mut state = self.state.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(next) = state.queue.pop_front() {
                return Some(next);
            }
            state.asleep += 1;
            self.work.wait(&mut state);
        }
    }

    /// From now on nobody joins it.
    fn close(&self, load: &Arc<Load>) {
        let mut state = self.state.lock();
        if state.loads.get(&load.key).is_some_and(|other| Arc::ptr_eq(other, load)) {
            state.loads.remove(&load.key);
        }
    }
}

/// Who has gone meanwhile is not told.
fn tell(waiters: Vec<oneshot::Sender<Answer>>, answer: Answer) {
    let mut waiters = waiters.into_iter();
    match answer {
        Ok(found) => waiters.for_each(|waiter| _ = waiter.send(Ok(found.clone()))),
        Err(error) => {
            // Causes cannot be copied: the others are told that there was one.
            _ = waiters.next().map(|first| first.send(Err(error)));
            waiters.for_each(|waiter| _ = waiter.send(Err(unread())));
        }
    }
}

fn unread() -> Error {
    Error::Table(table::Error::NotReady("the read of a link that others wait for as well failed".to_owned()))
}
