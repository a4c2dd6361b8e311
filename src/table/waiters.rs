//! Who waits until the table has a Change: told in the order of the log, each once, by the thread
//! that applied it. Nobody is woken for a Change that is not theirs.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::log::Position;

/// Hears whether the Change is visible: false when it took too long. Runs on a thread of the table or
/// of whoever asks: it must not block.
pub type AppliedCallback = Box<dyn FnOnce(bool) + Send>;

/// How long a durable Change is waited for. Applying takes microseconds; a client is better off
/// with an answer than hanging on a table that is being rebuilt.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Waiters(Mutex<State>);

#[derive(Default)]
struct State {
    applied: Position,
    /// By position. As many as there are requests at work.
    waiting: VecDeque<Waiter>,
    /// Nobody is told any more.
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
    /// Has `callback` called when the Change at `position` is applied; at once if it is.
    pub(super) fn add(&self, position: Position, callback: AppliedCallback) {
        let mut state = self.0.lock();
        if position <= state.applied || state.is_closed {
            let is_applied = position <= state.applied;
            drop(state);
            return callback(is_applied);
        }
        // Nearly always at the end: the log's one writer hands them in.
        let at = state.waiting.partition_point(|waiter| waiter.position <= position);
        state.waiting.insert(at, Waiter { position, until: Instant::now() + PATIENCE, callback });
    }

    /// Everything up to `position` is applied.
    pub(super) fn applied(&self, position: Position) {
        let mut state = self.0.lock();
        state.applied = position;
        let served = state.waiting.partition_point(|waiter| waiter.position <= position);
        let served: Vec<Waiter> = state.waiting.drain(..served).collect();
        drop(state);
        for waiter in served {
            (waiter.callback)(true);
        }
    }

    /// Sends away who waited long enough.
    pub(super) fn expire(&self, now: Instant) {
        let mut state = self.0.lock();
        if state.waiting.iter().all(|waiter| waiter.until > now) {
            return;
        }
        let (late, early) = std::mem::take(&mut state.waiting).into_iter().partition(|w| w.until <= now);
        state.waiting = early;
        drop(state);
        let late: VecDeque<Waiter> = late;
        for waiter in late {
            (waiter.callback)(false);
        }
    }

    /// Sends away all, and whoever comes for what is not applied by now.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
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

    /// Each is told once, and nobody before what they wait for.
    #[test]
    fn each_hears_of_their_own_change() {
        let waiters = Waiters::default();
        let (sender, callback) = mpsc::channel();
        let add = |position| {
            let sender = sender.clone();
            let tell = move |is_applied| sender.send((position, is_applied)).expect("somebody listens");
            waiters.add(Position(position), Box::new(tell));
        };
        let heard = || callback.try_iter().collect::<Vec<_>>();
        for position in [3, 5, 4, 9] {
            add(position);
        }
        assert_eq!(heard(), []);
        waiters.applied(Position(4));
        assert_eq!(heard(), [(3, true), (4, true)]);
        add(2);
        assert_eq!(heard(), [(2, true)], "applied before it was waited for");
        waiters.expire(Instant::now());
        assert_eq!(heard(), []);
        waiters.expire(Instant::now() + PATIENCE);
        assert_eq!(heard(), [(5, false), (9, false)]);
        add(6);
        waiters.close();
        add(7);
        add(4);
        assert_eq!(heard(), [(6, false), (7, false), (4, true)]);
    }
}
