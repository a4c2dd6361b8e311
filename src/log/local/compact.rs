//! Compaction: everything before the last segment becomes one snapshot of what is live.
//!
//! The snapshot is durable under its name before the first old file goes. Readers of those keep
//! reading them; followers behind the snapshot learn it with their next step.

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

/// How long healing waits for a table that is about to apply the last Changes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether compaction is worth its while, as far as can be last errors without reading.
pub(crate) fn is_due(shared: &Shared) -> bool {
    let (stats, bytes) = {
        let segments = shared.source.segments.lock();
        (segments.stats(), segments.bytes())
    };
    let (_, fingerprint) = shared.source.tail.end();
    // As many live click totals as live records at most; parts per thousand, in u128 for the room.
    let part = |live: u64, all: u64, bytes: u64| {
        let dead = all.saturating_sub(live);
        u128::from(bytes) * u128::from(dead) / u128::from(all.max(1))
    };
    let dead = part(fingerprint.count, stats.records, stats.record_bytes)
        + part(fingerprint.count, stats.clicks, stats.click_bytes);
    let held = u128::from(stats.record_bytes) + u128::from(stats.click_bytes);
    bytes > shared.settings.compact_above && dead * 2 > held
}

/// Compacts everything that is durable now. Blocks; at most one runs at a time.
pub(crate) fn compact(shared: &Shared) -> Result<(), LogError> {
    let _one = shared.maintenance.lock();
    let old = roll(shared)?;
    let Some(last) = old.last() else { return Ok(()) };
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
            if !shared.space.admits((record.key.len() + record.value.len()) as u64) {
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
        tracing::error!(%position, ?stored, reckoned = ?fingerprint, "the log's fingerprint was wrong and is put right");
        let difference = Fingerprint {
            count: fingerprint.count.wrapping_sub(stored.count),
            sum: fingerprint.sum.wrapping_sub(stored.sum),
        };
        // The log may be closing: then the next compaction finds the same.
        drop(shared.queue.push(Work::Correct(difference)));
    }
    Ok(())
}

/// Puts a snapshot of the table in the place of damaged segments while the log runs. The table
/// moves on meanwhile, so later records are among it; the Changes after it bring them again.
pub(crate) fn heal(shared: &Shared) -> Result<bool, LogError> {
    let _one = shared.maintenance.lock();
    let old = roll(shared)?;
    let Some(last) = old.last() else { return Ok(false) };
    let deadline = Instant::now() + PATIENCE;
    while shared.applied() < last.last && Instant::now() < deadline && !shared.stopping() {
        std::thread::sleep(PATIENCE / 1000);
    }
    if shared.applied() < last.last || !shared.applied_state.holds() {
        return Ok(false);
    }
    let mut snapshot = begin(shared, last.header.sequence, last.last)?;
    shared.applied_state.each_record(&mut |record| snapshot.add(record))?;
    markers::mark_repair(&*shared.disk)?;
    let writer = snapshot.finish(last.fingerprint)?;
    replace(shared, &old, &writer, last.fingerprint, &|disk, name| {
        markers::set_aside(disk, name, "replaced")
    })?;
    markers::remove(&*shared.disk, markers::REPAIR)?;
    let repaired = format!(
        "damaged segments up to position {} were written anew from the table, and are kept as *.replaced",
        last.last
    );
    tracing::error!("{repaired}");
    shared.gauges.last_errors.lock().repaired = Some(repaired);
    shared.gauges.damaged_segments.store(0, Ordering::Relaxed);
    Ok(true)
}

/// All segments but a new last one.
fn roll(shared: &Shared) -> Result<Vec<Segment>, LogError> {
    let failed = |why: &dyn std::fmt::Display| LogError::Io {
        what: "cannot begin a segment in",
        path: shared.disk.path(""),
        source: std::io::Error::other(why.to_string()),
    };
    let (sender, done) = oneshot::channel();
    shared.queue.push(Work::Roll(sender)).map_err(|refused| failed(&refused.1))?;
    done.blocking_recv().map_err(|_| stopped())?.map_err(|why| failed(&why))?;
    let mut old = shared.source.segments.lock().list.clone();
    old.pop();
    Ok(old)
}

fn begin(shared: &Shared, sequence: u64, position: Position) -> Result<SnapshotWriter<'_>, LogError> {
    SnapshotWriter::begin(&*shared.disk, shared.id, sequence, position, shared.clock.now())
}

fn stopped() -> LogError {
    LogError::Io { what: "stopped", path: String::new(), source: std::io::ErrorKind::Interrupted.into() }
}

/// Takes a name away from a file.
type Retire<'a> = dyn Fn(&dyn Disk, &str) -> Result<(), LogError> + 'a;

/// Shows the snapshot to readers and retires what it replaces.
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
    let DurableLog { segments, .. } = &*shared.source;
    {
        let mut segments = segments.lock();
        segments.list.retain(|s| s.header.sequence > writer.header.sequence);
        segments.list.insert(0, segment);
    }
    for segment in old {
        retire(disk, &segment.name().to_string())?;
    }
    disk.sync_dir().map_err(io_error(disk, "", "cannot sync"))
}
