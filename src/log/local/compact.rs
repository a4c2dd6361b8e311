//! Compaction: replaces everything before the last segment by one snapshot of the live records.
//!
//! The snapshot is durable under its name before the first old file is removed. Readers of old files
//! continue to read them. A follower behind the snapshot fails with [`LogError::Compacted`] at its next
//! step.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::disk::Disk;
use super::follow::DurableLog;
use super::live_records;
use super::markers;
use super::repair::SnapshotWriter;
use super::segment::{Writer, io_error};
use super::segments::Segment;
use super::shared::{Shared, Work};
use crate::log::{Fingerprint, LogError, Position};

/// How long a repair waits for a table that is about to apply the last Changes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns whether compaction is worthwhile, estimated without reading the log.
pub(crate) fn is_due(shared: &Shared) -> bool {
    let (stats, bytes) = {
        let segments = shared.durable.segments.lock();
        (segments.stats(), segments.bytes())
    };
    let (_, fingerprint) = shared.durable.tail.end();
    // Assumes at most as many live click totals as live records. In u128, because the product overflows
    // u64.
    let part = |live: u64, all: u64, bytes: u64| {
        let dead = all.saturating_sub(live);
        u128::from(bytes) * u128::from(dead) / u128::from(all.max(1))
    };
    let dead = part(fingerprint.count, stats.records, stats.record_bytes)
        + part(fingerprint.count, stats.clicks, stats.click_bytes);
    let held = u128::from(stats.record_bytes) + u128::from(stats.click_bytes);
    // A small log is not worth it: a compaction writes every live record again.
    bytes > shared.settings.compact_above && dead * 2 > held
}

/// Compacts everything that is durable now. Blocks; only one runs at a time.
pub(crate) fn compact(shared: &Shared) -> Result<(), LogError> {
    // A compaction and a repair must not replace the same files.
    let _one = shared.maintenance.lock();
    let old = roll(shared)?;
    let Some(last) = old.last() else { return Ok(()) };
    // The last segment was just rolled over, so none of these segments grows any more.
    let (position, stored) = (last.last, last.fingerprint);
    let mut snapshot = begin(shared, last.header.sequence, position)?;
    let mut tick = || if shared.stopping() { Err(stopped()) } else { Ok(()) };
    let mut source = |each: &mut dyn FnMut(live_records::Write<'_>) -> Result<(), LogError>| {
        live_records::read(&old, &mut tick, each)
    };
    let fingerprint = live_records::each_live(
        live_records::keys(&old),
        live_records::MAX_KEYS,
        &mut source,
        &mut |record| {
            // The snapshot must not consume the reserve of the volume.
            if !shared.guard.admits((record.key.len() + record.value.len()) as u64) {
                return Err(LogError::Io {
                    what: "no room to compact",
                    path: shared.disk.path(""),
                    source: std::io::ErrorKind::StorageFull.into(),
                });
            }
            snapshot.add(record)
        },
    )?;
    let writer = snapshot.finish(fingerprint)?;
    replace(shared, &old, &writer, fingerprint, &markers::remove)?;
    if fingerprint != stored {
        tracing::error!(%position, ?stored, reckoned = ?fingerprint, "the log's fingerprint was wrong and was corrected");
        let difference = Fingerprint {
            count: fingerprint.count.wrapping_sub(stored.count),
            sum: fingerprint.sum.wrapping_sub(stored.sum),
        };
        // A closing log rejects the correction; the next compaction finds the same difference.
        drop(shared.queue.push(Work::Correct(difference)));
    }
    Ok(())
}

/// Replaces damaged segments by a snapshot of the table, while the log runs. Returns `false` if the table
/// is not intact or too far behind. The table may apply Changes during the copy, so the snapshot may
/// contain later records; followers get their Changes again.
pub(crate) fn repair_from_table(shared: &Shared) -> Result<bool, LogError> {
    let _one = shared.maintenance.lock();
    let old = roll(shared)?;
    let Some(last) = old.last() else { return Ok(false) };
    let deadline = Instant::now() + PATIENCE;
    while shared.applied() < last.last && Instant::now() < deadline && !shared.stopping() {
        std::thread::sleep(PATIENCE / 1000);
    }
    // The position first: the check of the table reads every record.
    if shared.applied() < last.last || !shared.applied_state.is_intact() {
        return Ok(false);
    }
    let mut snapshot = begin(shared, last.header.sequence, last.last)?;
    shared.applied_state.each_record(&mut |record| snapshot.add(record))?;
    // Once the snapshot has its name, a start would remove the damaged files otherwise.
    markers::mark_repair(&*shared.disk)?;
    let writer = snapshot.finish(last.fingerprint)?;
    replace(shared, &old, &writer, last.fingerprint, &|disk, name| {
        markers::set_aside(disk, name, "replaced")
    })?;
    markers::remove(&*shared.disk, markers::REPAIR)?;
    let repaired = format!(
        "damaged segments up to position {} were rewritten from the table, and are kept as *.replaced",
        last.last
    );
    tracing::error!("{repaired}");
    shared.gauges.last_errors.lock().repaired = Some(repaired);
    // Every segment that could be damaged was replaced.
    shared.gauges.damaged_segments.store(0, Ordering::Relaxed);
    Ok(true)
}

/// Rolls over to a new segment. Returns all segments before it.
fn roll(shared: &Shared) -> Result<Vec<Segment>, LogError> {
    let failed = |why: &dyn std::fmt::Display| LogError::Io {
        what: "cannot begin a segment in",
        path: shared.disk.path(""),
        source: std::io::Error::other(why.to_string()),
    };
    let (sender, done) = oneshot::channel();
    shared.queue.push(Work::Roll(sender)).map_err(|refused| failed(&refused.1))?;
    done.blocking_recv().map_err(|_| stopped())?.map_err(|why| failed(&why))?;
    let mut old = shared.durable.segments.lock().list.clone();
    // The new segment, which still grows.
    old.pop();
    Ok(old)
}

fn begin(shared: &Shared, sequence: u64, position: Position) -> Result<SnapshotWriter<'_>, LogError> {
    SnapshotWriter::begin(&*shared.disk, shared.id, sequence, position, shared.clock.now())
}

fn stopped() -> LogError {
    LogError::Io { what: "stopped", path: String::new(), source: std::io::ErrorKind::Interrupted.into() }
}

/// Removes or renames a file.
type Retire<'a> = dyn Fn(&dyn Disk, &str) -> Result<(), LogError> + 'a;

/// Publishes the snapshot to readers, then retires the files that it replaces.
fn replace(
    shared: &Shared,
    old: &[Segment],
    writer: &Writer,
    fingerprint: Fingerprint,
    retire: &Retire<'_>,
) -> Result<(), LogError> {
    let disk = &*shared.disk;
    let cannot_read = |e| io_error(disk, &writer.name().to_string(), "cannot read")(e);
    let footer = crate::log::local::segment::read_footer(&*writer.file, writer.header.sequence)
        .map_err(cannot_read)?;
    let last = writer.header.before;
    let segment =
        Segment { last, fingerprint, footer, ..super::active_segment::segment_of(writer, &shared.disk) };
    let DurableLog { segments, .. } = &*shared.durable;
    {
        // First the list, then the files: a reader that misses a file looks in the list again.
        let mut segments = segments.lock();
        segments.list.retain(|s| s.header.sequence > writer.header.sequence);
        segments.list.insert(0, segment);
    }
    for segment in old {
        retire(disk, &segment.name().to_string())?;
    }
    disk.sync_dir().map_err(io_error(disk, "", "cannot sync"))
}
