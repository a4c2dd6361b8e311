//! What a supervisor such as systemd learns by `sd_notify(3)`: the server is ready, it starts again, it stops, it works.
//! Without the variable `NOTIFY_SOCKET`, nothing is sent.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

use crate::app::liveness::Liveness;
use crate::clock::Timestamp;

/// The start of the status after a restart that was refused. `setup` and `systemctl status` show it: a signal has no
/// answer.
pub(super) const REFUSED: &str = "the restart is refused, and this program continues";

/// Reports that the server answers requests, from this time on.
pub(super) fn ready(now: Timestamp) {
    // With the time, so that each start changes the status.
    send(&[NotifyState::Ready, NotifyState::Status(&format!("serving since {now}"))]);
}

/// Reports that a restart was refused at this time, and that the server answers requests as before.
pub(super) fn refused(why: &str, now: Timestamp) {
    // A message has one state a line.
    let why = why.replace('\n', " ");
    send(&[NotifyState::Ready, NotifyState::Status(&format!("{REFUSED} ({now}): {why}"))]);
}

/// Reports that a restart begins. [`ready`] ends it.
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // systemd 253 and later need the time.
    states.extend(NotifyState::monotonic_usec_now());
    send(&states);
}

/// Reports that the server stops.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the supervisor cannot be notified");
    }
}

/// The watchdog of the supervisor: a server that stops to report is killed and started again.
#[derive(Clone, Debug, Default)]
pub(super) struct Watchdog(Arc<Mutex<Option<Liveness>>>);

impl Watchdog {
    /// Watches a server that is ready. Before and afterwards, while it starts or stops, each report is sent: a repair of
    /// the log may take longer than the supervisor waits, and has no part that would answer.
    pub(super) fn watch(&self, liveness: Option<Liveness>) {
        *self.0.lock() = liveness;
    }

    /// Reports for ever that the server works, twice in the time that the supervisor waits. Leaves a report out if a
    /// part did not answer within half of that time.
    pub(super) async fn report(self) {
        let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) else {
            return pending().await;
        };
        self.report_each(period / 2, || send(&[NotifyState::Watchdog])).await;
    }

    async fn report_each(self, half: Duration, send: impl Fn()) {
        // Asked a little earlier, so that a report is not later than the half.
        let quarter = half / 4;
        let patience = quarter * 3;
        let mut ticks = tokio::time::interval(quarter);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A copy: the lock must not be held while the parts answer.
            let liveness = self.0.lock().clone();
            let trouble = match liveness {
                Some(liveness) => liveness.trouble(patience).await,
                None => None,
            };
            match trouble {
                None => send(),
                Some(why) => tracing::error!("the watchdog of the supervisor gets no report: {why}"),
            }
        }
    }
}
