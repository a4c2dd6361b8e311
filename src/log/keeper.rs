//! The background thread: compacts when it is due, and reads sealed segments through in search of
//! damage before anybody needs them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::log::chain::Segment;
use crate::log::compact;
use crate::log::shared::Shared;

/// How often it looks whether there is something to do.
const BEAT: Duration = Duration::from_secs(1);

/// Pause after a compaction that failed (a full disk, damage): it would fail again at once.
const RETRY: Duration = Duration::from_mins(1);

/// Works until the log ends.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut compact_after = Instant::now();
    let mut scrub_after = Instant::now() + BEAT;
    let mut scrubbed = 0;
    while !shared.queue.wait_for_end(BEAT) {
        if Instant::now() >= compact_after && table_is_near(shared) && compact::is_due(shared) {
            compact_after = Instant::now();
            if let Err(error) = compact::compact(shared)
                && !shared.stopping()
            {
                tracing::error!(%error, "could not compact the log");
                compact_after += RETRY;
            }
        }
        if shared.settings.scrub_rate > 0 && Instant::now() >= scrub_after {
            scrub_after = Instant::now() + scrub_step(shared, &mut scrubbed);
        }
    }
}

/// Compaction under a table that replays would make it begin again.
fn table_is_near(shared: &Shared) -> bool {
    let rolled = shared.source.chain.lock().segments.last().map(|s| s.header.before);
    rolled.is_none_or(|rolled| shared.applied() >= rolled)
}

/// Reads the next sealed segment, and returns how long to wait before the one after it.
fn scrub_step(shared: &Shared, scrubbed: &mut u64) -> Duration {
    let next = {
        let chain = shared.source.chain.lock();
        let sealed = |s: &&Segment| s.footer.is_some() && s.header.sequence > *scrubbed;
        chain.segments.iter().find(sealed).cloned()
    };
    let Some(segment) = next else {
        *scrubbed = 0;
        shared.gauges.told.lock().last_scrub = Some(shared.clock.now());
        // A pass over little is over at once; an hour is often enough for what rots in years.
        return Duration::from_hours(1);
    };
    *scrubbed = segment.header.sequence;
    check(shared, &segment);
    Duration::from_secs(segment.end / shared.settings.scrub_rate)
}

/// Looks at one sealed segment, and replaces it from the table when it is damaged.
pub(crate) fn check(shared: &Shared, segment: &Segment) {
    match compact::is_intact(segment) {
        Ok(true) => return,
        Ok(false) => {
            tracing::error!(file = %segment.path, last = %segment.last, "a sealed log segment is damaged");
        }
        Err(error) => tracing::error!(%error, "a sealed log segment cannot be read"),
    }
    shared.gauges.damaged_segments.fetch_add(1, Ordering::Relaxed);
    match compact::heal(shared) {
        Ok(true) => {}
        Ok(false) => tracing::error!(
            file = %segment.path,
            "the table cannot stand in for it now; do not stop the server without a backup of the table"
        ),
        Err(error) => tracing::error!(%error, "could not write the log anew from the table"),
    }
}
