//! Prepares a log folder at the start, as [`decision`] decides: cuts a torn tail, repairs damage that loses
//! nothing, and rejects a start on other damage.
//!
//! After a start every acknowledged write is there, or the start fails with what is missing. Only
//! [`Settings::accept_loss`] starts without it. Files that a repair replaces are renamed.

use std::sync::Arc;

use super::decision::{self, Decision, LogFate, RewriteSource};
use super::disk::Disk;
use super::folder::{self, FolderContents};
use super::markers::{self, COPY, MARK, REPAIR};
use super::repair::Repairer;
use super::scan::{self, ScanReport};
use super::segment::{Name, UNFINISHED, Writer, io_error};
use super::segments::{Segment, Segments};
use super::shared::Settings;
use crate::clock::Timestamp;
use crate::log::frame::header_footer::{Header, SegmentKind};
use crate::log::{AppliedState, Fingerprint, LogError, Position};

/// A log that is ready for its writer.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The id of the log.
    pub(crate) id: u128,
    /// The segments.
    pub(crate) segments: Segments,
    /// The writer of the last segment.
    pub(crate) writer: Writer,
    /// The highest number of all segments.
    pub(crate) sequence: u64,
    /// The last position.
    pub(crate) position: Position,
    /// The fingerprint at the last position.
    pub(crate) fingerprint: Fingerprint,
    /// Description of the repair.
    pub(crate) repaired: Option<String>,
}

/// Prepares the log of a folder, or fails with the reason why that is impossible.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    settings: &Settings,
    applied_state: &Arc<dyn AppliedState>,
    now: Timestamp,
) -> Result<Opened, LogError> {
    let Decision { mut folder, mut report, id, ours, fate } =
        decision::decide(disk, settings, applied_state)?;
    let shared = disk;
    let disk = &**disk;
    // Generated before anything is written, so that a failure changes nothing.
    let fresh = fresh_id(disk)?;
    let mut id = id.unwrap_or(fresh);
    let applied = if ours { applied_state.applied() } else { Position::START };
    let mut repaired = None;
    match fate {
        LogFate::Keep => {}
        LogFate::Refuse(why) => return Err(LogError::Damaged(why)),
        LogFate::Begin => {
            begin(disk, id, now)?;
            folder = folder::open_folder(shared, 0)?;
            report = scan::scan_folder(&folder, applied, &mut |_| {})?;
        }
        LogFate::Rewrite(rewrite) => {
            let is_lost = matches!(rewrite.from, RewriteSource::Remains(_));
            if is_lost {
                // A new id: a table of the old log may contain what the new one lacks, so it is rebuilt.
                id = fresh;
            }
            // Before the first new file, so that no later start removes an old one.
            markers::mark_repair(disk)?;
            let repair = Repairer { disk, folder: &folder, applied_state, now, log: id };
            match rewrite.from {
                RewriteSource::Frames => repair.rewrite_from_remains(report.end, false)?,
                RewriteSource::Table(position) => repair.rewrite_from_table(position)?,
                RewriteSource::Remains(_) => repair.rewrite_from_remains(report.end, ours)?,
            }
            let description = rewrite.report();
            tracing::error!("{description}");
            repaired = Some(Repaired { description, lost: is_lost });
            // The new log is read back, so that a failed repair does not go unnoticed.
            folder = folder::open_folder(shared, 0)?;
            report = scan::scan_folder(&folder, applied, &mut |_| {})?;
            if let Some(why) = report.broken.first() {
                return Err(LogError::Damaged(format!("the repaired log is damaged: {why}")));
            }
        }
    }
    finish(disk, &folder, report, id, repaired)
}

fn fresh_id(disk: &dyn Disk) -> Result<u128, LogError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| io_error(disk, "", "cannot generate an id for")(std::io::Error::other(e)))?;
    Ok(u128::from_le_bytes(bytes))
}

/// Begins a log on a disk without a segment and without a mark. Otherwise does nothing.
pub(crate) fn begin_if_empty(disk: &dyn Disk, now: Timestamp) -> Result<(), LogError> {
    let names = disk.list().map_err(io_error(disk, "", "cannot list"))?;
    if names.iter().any(|name| name == MARK || Name::parse(name).is_some()) {
        return Ok(());
    }
    begin(disk, fresh_id(disk)?, now)
}

/// Creates the first segment of a new log.
fn begin(disk: &dyn Disk, log: u128, now: Timestamp) -> Result<(), LogError> {
    let header = Header {
        kind: SegmentKind::Changes,
        log,
        sequence: 1,
        before: Position::START,
        fingerprint: Fingerprint::default(),
        created: now,
    };
    Writer::create(disk, header).map(drop).map_err(|e| io_error(disk, "", "cannot begin a log in")(e.error))
}

/// Cuts the torn tail, removes stale files and the mark, and returns the log.
fn finish(
    disk: &dyn Disk,
    folder: &FolderContents,
    report: ScanReport,
    id: u128,
    repaired: Option<Repaired>,
) -> Result<Opened, LogError> {
    let Some(active) = report.segments.list.last() else {
        return Err(LogError::Damaged("the log has no segment".to_owned()));
    };
    let name = active.name().to_string();
    let file = active.file.open().map_err(io_error(disk, &name, "cannot open"))?;
    // Excludes a process that reaches the file by another name: see `DiskFile::claim`.
    file.claim().map_err(io_error(disk, &name, "cannot write"))?;
    if report.torn > 0 {
        tracing::warn!(
            file = %active.path,
            offset = active.end,
            bytes = report.torn,
            position = %active.last,
            "cut the torn end of the log: a write that a crash interrupted and that was never acknowledged, or the \
             cut end of a copy"
        );
    }
    // Also without a torn end: the spare room of the last writer is cut as well.
    file.set_size(active.end).map_err(io_error(disk, &name, "cannot cut"))?;
    // Frames that a crashed process left in the page cache count from now on, so they must be durable.
    file.sync_data().map_err(io_error(disk, &name, "cannot sync"))?;
    let ending = if repaired.as_ref().is_some_and(|repaired| repaired.lost) { "damaged" } else { "replaced" };
    for stale in &folder.stale {
        // After a compaction the snapshot contains everything of the stale files. After a repair the stale
        // files are the only evidence, and the only source for what the repair misjudged.
        if folder.is_repaired && !stale.ends_with(UNFINISHED) {
            markers::set_aside(disk, stale, ending)?;
        } else {
            markers::remove(disk, stale)?;
        }
    }
    if folder.is_repaired {
        // The marker is removed after the renames: after a crash in between, the next start renames the
        // rest.
        disk.sync_dir().map_err(io_error(disk, "", "cannot sync"))?;
        markers::remove(disk, REPAIR)?;
    }
    // The log may grow from now on, so the mark is no longer true.
    markers::remove(disk, MARK)?;
    // A restore that was killed after its last rename leaves this mark. Were this log replaced later, the next restore
    // would take it for an unfinished copy and remove it.
    markers::remove(disk, COPY)?;
    disk.sync_dir().map_err(io_error(disk, "", "cannot sync"))?;
    let writer = Writer {
        file,
        header: active.header,
        end: active.end,
        content: report.content,
        frames: report.frames,
        stats: active.stats,
        // The file was just cut, so it has no spare room.
        room: active.end,
    };
    let Segment { last, fingerprint, .. } = *active;
    Ok(Opened {
        id,
        writer,
        sequence: folder.sequence,
        position: last,
        fingerprint,
        segments: report.segments,
        repaired: repaired.map(|repaired| repaired.description),
    })
}

/// A repair that was done.
struct Repaired {
    /// Description of the repair.
    description: String,
    /// Whether data was lost.
    lost: bool,
}
