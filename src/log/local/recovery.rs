//! What happens to a log folder at the start: a torn tail is cut, damage is repaired when nothing
//! is lost by it, and refused otherwise, as [`decision`] says.
//!
//! Promise: what was acknowledged is there afterwards, or the start fails and says what is
//! missing. Only [`Settings::accept_loss`] goes on without it. Files that a repair replaced are renamed.

use std::sync::Arc;

use super::decision::{self, Decision, LogFate, RewriteSource};
use super::disk::Disk;
use super::folder::{self, FolderContents};
use super::markers::{self, MARK, REPAIR};
use super::repair::Repairer;
use super::scan::{self, ScanReport};
use super::segment::{Name, UNFINISHED, Writer, io_error};
use super::segments::{Segment, Segments};
use super::shared::Settings;
use crate::clock::Timestamp;
use crate::log::frame::header_footer::{Header, SegmentKind};
use crate::log::{AppliedState, Fingerprint, LogError, Position};

/// A log ready to be written.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Its id.
    pub(crate) id: u128,
    /// Its segments.
    pub(crate) segments: Segments,
    /// The last one, to go on in.
    pub(crate) writer: Writer,
    /// The highest number that a segment has.
    pub(crate) sequence: u64,
    /// Where it ends.
    pub(crate) position: Position,
    /// The fingerprint there.
    pub(crate) fingerprint: Fingerprint,
    /// What was repaired.
    pub(crate) repaired: Option<String>,
}

/// Makes the folder's log ready, or says why it cannot be.
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
    let fresh = fresh_id(disk)?;
    let mut id = id.unwrap_or(fresh);
    let applied = if ours { applied_state.applied() } else { Position::START };
    let mut healed = None;
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
                // Another id: a table of the old log is not what this one holds, and is rebuilt.
                id = fresh;
            }
            markers::mark_repair(disk)?;
            let repair = Repairer { disk, folder: &folder, applied_state, now, log: id };
            match rewrite.from {
                RewriteSource::Frames => repair.use_remains(report.end, false)?,
                RewriteSource::Table(position) => repair.use_table(position)?,
                RewriteSource::Remains(_) => repair.use_remains(report.end, ours)?,
            }
            let repaired = rewrite.report();
            tracing::error!("{repaired}");
            healed = Some(Healed { repaired, lost: is_lost });
            folder = folder::open_folder(shared, 0)?;
            report = scan::scan_folder(&folder, applied, &mut |_| {})?;
            if let Some(why) = report.broken.first() {
                return Err(LogError::Damaged(format!("the repaired log is damaged: {why}")));
            }
        }
    }
    adopt(disk, &folder, report, id, healed)
}

fn fresh_id(disk: &dyn Disk) -> Result<u128, LogError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| io_error(disk, "", "cannot draw an id for")(std::io::Error::other(e)))?;
    Ok(u128::from_le_bytes(bytes))
}

/// Begins a log on a disk without a segment and without a mark; otherwise does nothing.
pub(crate) fn begin_if_empty(disk: &dyn Disk, now: Timestamp) -> Result<(), LogError> {
    let names = disk.list().map_err(io_error(disk, "", "cannot list"))?;
    if names.iter().any(|name| name == MARK || Name::parse(name).is_some()) {
        return Ok(());
    }
    begin(disk, fresh_id(disk)?, now)
}

/// The first segment of a new log.
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

/// Cuts the torn tail, tidies up, and hands over.
fn adopt(
    disk: &dyn Disk,
    folder: &FolderContents,
    report: ScanReport,
    id: u128,
    healed: Option<Healed>,
) -> Result<Opened, LogError> {
    let Some(active) = report.segments.list.last() else {
        return Err(LogError::Damaged("the log has no segment".to_owned()));
    };
    let name = active.name().to_string();
    let file = active.file.open().map_err(io_error(disk, &name, "cannot open"))?;
    file.claim().map_err(io_error(disk, &name, "cannot write"))?;
    if report.torn > 0 {
        tracing::warn!(
            file = %active.path,
            offset = active.end,
            bytes = report.torn,
            position = %active.last,
            "cut the torn end of the log: a write that a crash interrupted and nobody was last_errors of"
        );
    }
    file.set_size(active.end).map_err(io_error(disk, &name, "cannot cut"))?;
    // Frames that a crash of the process left in the system's memory count from here on.
    file.sync_data().map_err(io_error(disk, &name, "cannot sync"))?;
    let ending = if healed.as_ref().is_some_and(|healed| healed.lost) { "damaged" } else { "replaced" };
    for stale in &folder.stale {
        // After a compaction, all that they hold is in the snapshot. After a repair they are the only
        // evidence, and what the repair misjudged can be taken from them.
        if folder.is_repaired && !stale.ends_with(UNFINISHED) {
            markers::set_aside(disk, stale, ending)?;
        } else {
            markers::remove(disk, stale)?;
        }
    }
    if folder.is_repaired {
        // Behind the renames: cut off in between, the next start renames the rest.
        disk.sync_dir().map_err(io_error(disk, "", "cannot sync"))?;
        markers::remove(disk, REPAIR)?;
    }
    markers::remove(disk, MARK)?;
    disk.sync_dir().map_err(io_error(disk, "", "cannot sync"))?;
    let writer = Writer {
        file,
        header: active.header,
        end: active.end,
        content: report.content,
        frames: report.frames,
        stats: active.stats,
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
        repaired: healed.map(|healed| healed.repaired),
    })
}

/// A log that was written anew.
struct Healed {
    /// Description of the repair.
    repaired: String,
    /// Whether something was lost.
    lost: bool,
}
