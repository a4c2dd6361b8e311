//! Callbacks of tasks that wait until the table has a Change. The thread that applied the Change calls them
//! in the order of the log, each once. No task is woken for a Change of another.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::log::Position;

/// Called with `true` once the Change is visible, or with `false` on timeout. Runs on a thread of the table
/// or on the caller's: it must not block.
pub type AppliedCallback = Box<dyn FnOnce(bool) + Send>;

/// Timeout of a wait. Applying takes microseconds. While the table is being rebuilt, a client should get a
/// response instead of hanging.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Waiters(Mutex<State>);

#[derive(Default)]
struct State {
    applied: Position,
    /// Sorted by position. One for each request under way.
    waiting: VecDeque<Waiter>,
    /// Every later wait for a Change that is not applied fails at once.
    is_closed: bool,
}

struct Waiter {
    position: Position,
    until: Instant,
    callback: AppliedCallback,
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").finish_non_exhaustive()
    }
}

impl Waiters {
    /// Calls `callback` when the Change at `position` is applied, at once if it is already.
    pub(super) fn add(&self, position: Position, callback: AppliedCallback) {
        let mut state = self.0.lock();
        if position <= state.applied || state.is_closed {
            let is_applied = position <= state.applied;
            // Outside the lock: a callback may add another.
            drop(state);
            return callback(is_applied);
        }
        // Nearly always at the end: the log's one writer adds them in order.
        let at = state.waiting.partition_point(|waiter| waiter.position <= position);
        state.waiting.insert(at, Waiter { position, until: Instant::now() + TIMEOUT, callback });
    }

    /// Calls the callbacks of all Changes up to `position`, which are applied.
    pub(super) fn applied(&self, position: Position) {
        let mut state = self.0.lock();
        state.applied = position;
        let served = state.waiting.partition_point(|waiter| waiter.position <= position);
        let served: Vec<Waiter> = state.waiting.drain(..served).collect();
        // Outside the lock: a callback may add another.
        drop(state);
        for waiter in served {
            (waiter.callback)(true);
        }
    }

    /// Calls the callbacks that have timed out at `now`.
    pub(super) fn expire(&self, now: Instant) {
        let mut state = self.0.lock();
        // The usual case: allocates nothing.
        if state.waiting.iter().all(|waiter| waiter.until > now) {
            return;
        }
        // Not only at the front: waits are sorted by position, not by time.
        let (late, early) = std::mem::take(&mut state.waiting).into_iter().partition(|w| w.until <= now);
        state.waiting = early;
        drop(state);
        let late: VecDeque<Waiter> = late;
        for waiter in late {
            (waiter.callback)(false);
        }
    }

    /// Calls all callbacks with false, and those added later for a Change that is not applied.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        // Under the lock that takes the callbacks: a later wait sees the mark.
        state.is_closed = true;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        for waiter in left {
            (waiter.callback)(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Each callback is called once, and not before its Change is applied.
    #[test]
    fn each_callback_follows_its_own_change() {
        let waiters = Waiters::default();
        let (sender, callback) = mpsc::channel();
        let add = |position| {
            let sender = sender.clone();
            let notify = move |is_applied| sender.send((position, is_applied)).expect("the receiver lives");
            waiters.add(Position(position), Box::new(notify));
        };
        let called = || callback.try_iter().collect::<Vec<_>>();
        // Not in order: 4 is added after 5, and called before it.
        for position in [3, 5, 4, 9] {
            add(position);
        }
        assert_eq!(called(), []);
        waiters.applied(Position(4));
        assert_eq!(called(), [(3, true), (4, true)]);
        add(2);
        assert_eq!(called(), [(2, true)], "applied before the wait");
        waiters.expire(Instant::now());
        assert_eq!(called(), []);
        waiters.expire(Instant::now() + TIMEOUT);
        assert_eq!(called(), [(5, false), (9, false)]);
        add(6);
        waiters.close();
        add(7);
        add(4);
        assert_eq!(called(), [(6, false), (7, false), (4, true)]);
    }
}
