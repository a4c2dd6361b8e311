//! [`Liveness`]: whether the parts that nothing else would replace still work: the accept loop, and the writer of the
//! log. A supervisor restarts a server that is not live.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::log::local::LocalLog;

/// A question to the accept loop and its answer. A handle, cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse {
    asked: Arc<watch::Sender<u64>>,
    answered: Arc<watch::Sender<u64>>,
}

impl Pulse {
    /// Answers each question until `end` completes. The loop that must be live polls this future.
    pub(super) async fn beat_until(&self, end: impl Future<Output = ()>) {
        let mut asked = self.asked.subscribe();
        // A question that came before this is answered too.
        asked.mark_changed();
        let answering = async {
            // Never ends: this handle has the sender.
            while asked.changed().await.is_ok() {
                self.answered.send_replace(*asked.borrow_and_update());
            }
        };
        tokio::select! {
            () = end => {}
            () = answering => {}
        }
    }

    /// Asks, and returns whether an answer came in time.
    async fn beats(&self, within: Duration) -> bool {
        let mut answered = self.answered.subscribe();
        // One more than the last, so that an answer to an earlier question does not count.
        let question = *self.asked.borrow() + 1;
        self.asked.send_replace(question);
        tokio::time::timeout(within, answered.wait_for(|last| *last >= question)).await.is_ok()
    }
}

/// Checks whether a server works. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Liveness {
    pulse: Pulse,
    log: Arc<LocalLog>,
}

impl Liveness {
    pub(super) fn new(pulse: Pulse, log: Arc<LocalLog>) -> Liveness {
        Liveness { pulse, log }
    }

    /// Returns what does not work: a part that took longer than `within`. `None` if everything works.
    pub async fn trouble(&self, within: Duration) -> Option<&'static str> {
        // First: this needs no answer, and names the cause if both are stuck.
        if self.log.is_stuck(within) {
            return Some("the writer of the log is stuck");
        }
        (!self.pulse.beats(within).await).then_some("no connections are accepted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test(start_paused = true)]
    async fn a_loop_beats_while_it_is_polled() {
        let pulse = Pulse::default();
        assert!(!pulse.beats(SOON).await, "nothing polls it");
        let beating = pulse.clone();
        let running = tokio::spawn(async move { beating.beat_until(std::future::pending()).await });
        for _ in 0..3 {
            assert!(pulse.beats(SOON).await);
        }
        running.abort();
        let _ = running.await;
        assert!(!pulse.beats(SOON).await, "it has ended");
    }
}
