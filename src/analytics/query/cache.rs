//! [`SumsCache`]: the sums of parts that questions have computed, in bounded memory.
//!
//! A dashboard asks the same questions again and again, and several people look at one. Parts change once in minutes, and
//! [`QuestionKey`] names them, so sums need no time after which they are out of date. The open cells, which change each
//! second, are added to a copy by each question: answers are as fresh as without the cache.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::error::QueryError;
use super::part_sums::{PartSums, QuestionKey};

/// Default of `clicks.answer_memory`: the pages of some hundred links and workspaces.
pub const MEMORY_DEFAULT: usize = 8 << 20;

/// The share of the memory that one question may have. Larger sums are returned and not kept, or a single table of a
/// million links would evict the pages of all workspaces.
const SHARE: usize = 4;

/// Most questions that are kept. The least recently used one is found by a walk over all of them.
const KEPT_MAX: usize = 1_024;

/// How long a wait for another question lasts at most before it checks whether its caller still waits.
const NAP: Duration = Duration::from_millis(50);

/// The sums of recent questions.
#[derive(Debug)]
pub struct SumsCache {
    /// Most bytes of all sums. 0 keeps none.
    most: usize,
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    /// At most [`KEPT_MAX`], of `bytes` in all.
    kept: HashMap<QuestionKey, KeptSums>,
    bytes: usize,
    /// The number of uses so far.
    uses: u64,
    /// Questions that a thread computes now. At most one for each thread of the pool.
    running: HashMap<QuestionKey, Arc<Computation>>,
}

#[derive(Debug)]
struct KeptSums {
    sums: Arc<PartSums>,
    bytes: usize,
    /// The value of `uses` at its last use.
    used: u64,
}

/// Sums that one thread computes, for which others wait.
#[derive(Debug, Default)]
struct Computation {
    state: Mutex<ComputationState>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct ComputationState {
    has_ended: bool,
    /// `None` if it has failed: its caller may have left, so that others must compute for themselves.
    sums: Option<Arc<PartSums>>,
}

/// Ends a computation when it is dropped, also if the thread panics.
struct Running<'a> {
    cache: &'a SumsCache,
    key: QuestionKey,
    computation: Arc<Computation>,
    sums: Option<Arc<PartSums>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Before the end is visible: who finds neither sums nor computation computes once more.
        self.cache.state.lock().running.remove(&self.key);
        let mut state = self.computation.state.lock();
        *state = ComputationState { has_ended: true, sums: self.sums.take() };
        self.computation.ended.notify_all();
    }
}

/// What a thread has to do for its sums.
enum Task<'a> {
    Done(Arc<PartSums>),
    Compute(Running<'a>),
    Wait(Arc<Computation>),
}

impl SumsCache {
    /// Creates an empty cache of this number of bytes.
    pub fn new(most: usize) -> SumsCache {
        SumsCache { most, state: Mutex::default() }
    }

    /// Returns the sums of a key. Calls `compute` if there are none; of several threads with one key at once, one does.
    /// Fails with the error of `compute`, and with [`QueryError::TooSlow`] once `stops` returns true while another thread
    /// computes.
    pub fn get_or_compute(
        &self,
        key: QuestionKey,
        stops: &dyn Fn() -> bool,
        compute: impl Fn() -> Result<PartSums, QueryError>,
    ) -> Result<PartSums, QueryError> {
        loop {
            let sums = match self.task(key) {
                Task::Done(sums) => Some(sums),
                Task::Wait(computation) => computation.wait(stops)?,
                Task::Compute(mut running) => {
                    let mut sums = compute()?;
                    sums.release();
                    let sums = Arc::new(sums);
                    self.keep(key, &sums);
                    running.sums = Some(Arc::clone(&sums));
                    drop(running);
                    Some(sums)
                }
            };
            if let Some(sums) = sums {
                // Copied only while the cache or another thread has them.
                return Ok(Arc::unwrap_or_clone(sums));
            }
        }
    }

    fn task(&self, key: QuestionKey) -> Task<'_> {
        let mut state = self.state.lock();
        state.uses += 1;
        let used = state.uses;
        if let Some(kept) = state.kept.get_mut(&key) {
            kept.used = used;
            return Task::Done(Arc::clone(&kept.sums));
        }
        if let Some(computation) = state.running.get(&key) {
            return Task::Wait(Arc::clone(computation));
        }
        let computation = Arc::new(Computation::default());
        state.running.insert(key, Arc::clone(&computation));
        Task::Compute(Running { cache: self, key, computation, sums: None })
    }

    /// Keeps sums if they are not too large, and evicts the least recently used ones.
    fn keep(&self, key: QuestionKey, sums: &Arc<PartSums>) {
        let bytes = sums.bytes() + size_of::<(QuestionKey, KeptSums)>();
        if bytes > self.most / SHARE {
            return;
        }
        let mut state = self.state.lock();
        while state.bytes + bytes > self.most || state.kept.len() >= KEPT_MAX {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            let Some(evicted) = oldest.and_then(|oldest| state.kept.remove(&oldest)) else { break };
            state.bytes -= evicted.bytes;
        }
        let used = state.uses;
        let replaced = state.kept.insert(key, KeptSums { sums: Arc::clone(sums), bytes, used });
        state.bytes = state.bytes + bytes - replaced.map_or(0, |replaced| replaced.bytes);
    }
}

impl Computation {
    /// Returns the sums once they are computed, `None` if that has failed.
    fn wait(&self, stops: &dyn Fn() -> bool) -> Result<Option<Arc<PartSums>>, QueryError> {
        let mut state = self.state.lock();
        while !state.has_ended {
            if stops() {
                return Err(QueryError::TooSlow);
            }
            self.ended.wait_for(&mut state, NAP);
        }
        Ok(state.sums.clone())
    }
}

#[cfg(test)]
impl SumsCache {
    /// Returns the bytes of all kept sums, counted once more.
    pub(super) fn bytes(&self) -> usize {
        let state = self.state.lock();
        let each = size_of::<(QuestionKey, KeptSums)>();
        let counted = state.kept.values().map(|kept| kept.sums.bytes() + each).sum();
        assert_eq!(state.bytes, counted);
        counted
    }

    /// Returns whether a thread computes the sums of a key.
    pub(super) fn is_running(&self, key: QuestionKey) -> bool {
        self.state.lock().running.contains_key(&key)
    }

    /// Returns the number of threads that wait for the sums of a key.
    pub(super) fn waiting(&self, key: QuestionKey) -> usize {
        let state = self.state.lock();
        // One reference is of the map, and one of the thread that computes.
        state.running.get(&key).map_or(0, |running| Arc::strong_count(running).saturating_sub(2))
    }
}
