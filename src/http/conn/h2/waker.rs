//! [`QuietWaker`]: the waker of a connection's parts, which does not wake the task that is running them.
//!
//! A stream that passes on its response wakes the connection, which the same task polls next anyway. Without this
//! waker, the task would run once more for each response: 12.1 instead of 10.3 us at one stream at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;

/// The waker of a connection's parts.
#[derive(Debug)]
pub(super) struct QuietWaker {
    state: Arc<State>,
    /// The same, in the form that parts take.
    waker: Waker,
}

#[derive(Debug)]
struct State {
    /// Whether the task runs the parts now. 1. A wake stores `is_woken` before it loads this, and 2. the task clears
    /// this before it loads `is_woken`: so one of them sees the other.
    is_running: AtomicBool,
    is_woken: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for State {
    fn wake(self: Arc<State>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<State>) {
        self.is_woken.store(true, Ordering::SeqCst);
        if !self.is_running.load(Ordering::SeqCst) {
            self.task.lock().wake_by_ref();
        }
    }
}

impl Default for QuietWaker {
    fn default() -> QuietWaker {
        let state = Arc::new(State {
            is_running: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
            task: Mutex::new(Waker::noop().clone()),
        });
        QuietWaker { waker: Waker::from(Arc::clone(&state)), state }
    }
}

impl QuietWaker {
    /// Runs `round` until it returns `true`, and until nothing has woken its parts meanwhile, `most` times at most.
    /// Past it, the task is woken and runs again after others.
    pub(super) fn run(
        &self,
        task: &Context<'_>,
        most: usize,
        mut round: impl FnMut(&mut Context<'_>) -> bool,
    ) {
        {
            let mut waker = self.state.task.lock();
            if !waker.will_wake(task.waker()) {
                waker.clone_from(task.waker());
            }
        }
        self.state.is_running.store(true, Ordering::SeqCst);
        let mut is_woken = true;
        for _ in 0..most {
            self.state.is_woken.store(false, Ordering::SeqCst);
            let is_done = round(&mut Context::from_waker(&self.waker));
            is_woken = self.state.is_woken.load(Ordering::SeqCst);
            if is_done && !is_woken {
                break;
            }
            is_woken = true;
        }
        self.state.is_running.store(false, Ordering::SeqCst);
        if is_woken || self.state.is_woken.load(Ordering::SeqCst) {
            task.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Task>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wake_during_a_run_is_another_round_and_one_after_it_wakes_the_task() {
        // Rounds in which the parts are woken, rounds that run, and wakes of the task.
        for (woken, rounds, wakes) in [(0, 1, 0), (1, 2, 0), (3, 4, 0), (9, 5, 1)] {
            let (task, quiet) = (Arc::new(Task::default()), QuietWaker::default());
            let waker = Waker::from(Arc::clone(&task));
            let (mut ran, mut part) = (0, None);
            quiet.run(&Context::from_waker(&waker), 5, |cx| {
                ran += 1;
                if ran <= woken {
                    cx.waker().wake_by_ref();
                }
                part = Some(cx.waker().clone());
                true
            });
            assert_eq!((ran, task.0.load(Ordering::SeqCst)), (rounds, wakes));
            part.expect("a round ran").wake();
            assert_eq!(task.0.load(Ordering::SeqCst), wakes + 1, "nothing runs");
        }
    }
}
