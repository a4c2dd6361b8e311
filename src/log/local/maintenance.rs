//! The background thread of the log: compacts when enough is dead, and scrubs sealed segments to find
//! damage before a reader does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::compact;
use super::scrub::Scrub;
use super::shared::Shared;

/// How often the thread checks for work, and the unit of the scrubbing rate.
const BEAT: Duration = Duration::from_secs(1);

/// Pause after a failed compaction (a full disk, damage), which would fail again at once.
const RETRY: Duration = Duration::from_mins(1);

/// Pause between two scrubs. Media decay within years, so an hour is short.
const REST: Duration = Duration::from_hours(1);

/// Runs until the log stops.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut compact_after = Instant::now();
    let mut scrub_after = Instant::now() + BEAT;
    let mut scrub = Scrub::default();
    while !shared.queue.wait_for_end(BEAT) {
        if shared.guard.report() {
            // The gauge describes the last write, which may be long ago.
            shared.gauges.disk_full.store(false, Ordering::Relaxed);
        }
        let is_wanted = || shared.is_compaction_wanted.load(Ordering::Relaxed) || compact::is_due(shared);
        if Instant::now() >= compact_after && table_is_near(shared) && is_wanted() {
            compact_after = Instant::now();
            // Before the work: what is asked for during the compaction may come too late for it.
            let was_wanted = shared.is_compaction_wanted.swap(false, Ordering::Relaxed);
            if let Err(error) = compact::compact(shared)
                && !shared.stopping()
            {
                tracing::error!(%error, "could not compact the log");
                compact_after += RETRY;
                shared.is_compaction_wanted.fetch_or(was_wanted, Ordering::Relaxed);
            }
        }
        if shared.settings.scrub_rate > 0 && Instant::now() >= scrub_after {
            let through = scrub.step(shared, shared.settings.scrub_rate);
            scrub_after = Instant::now() + if through { REST } else { Duration::ZERO };
        }
    }
}

/// Returns whether the table has applied everything before the last segment. A compaction before that would
/// overtake a table that replays, and the table would restart.
fn table_is_near(shared: &Shared) -> bool {
    let rolled = shared.durable.segments.lock().list.last().map(|s| s.header.before);
    rolled.is_none_or(|rolled| shared.applied() >= rolled)
}
