//! What happens to a log folder at the start: a torn tail is cut, damage is repaired when nothing
//! is lost by it, and refused otherwise.
//!
//! Promise: what was acknowledged is there afterwards, or the start fails and says what is
//! missing. Only [`Settings::accept_loss`] goes on without it.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::log::chain::{self, Chain, Segment};
use crate::log::disk::Disk;
use crate::log::folder::{self, Folder, MARK};
use crate::log::frame::ends::{Closed, Header, Kind};
use crate::log::repair::Repair;
use crate::log::scan::{self, Range, Survey};
use crate::log::segment::{Name, UNFINISHED, Writer, io_error};
use crate::log::shared::Settings;
use crate::log::{LogError, Manifest, Position, Witness};

/// A log ready to be written.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Its id.
    pub(crate) id: u128,
    /// Its segments.
    pub(crate) chain: Chain,
    /// The last one, to go on in.
    pub(crate) writer: Writer,
    /// The highest number that a segment has.
    pub(crate) sequence: u64,
    /// Where it ends.
    pub(crate) position: Position,
    /// The manifest there.
    pub(crate) manifest: Manifest,
    /// What was repaired.
    pub(crate) repaired: Option<String>,
}

/// Makes the folder's log ready, or says why it cannot be.
pub(crate) fn recover(
    disk: &dyn Disk,
    settings: &Settings,
    witness: &Arc<dyn Witness>,
    now: Timestamp,
) -> Result<Opened, LogError> {
    let mut folder = folder::open_folder(disk)?;
    let id = folder.found.iter().find_map(|found| found.header.map(|h| h.log));
    let id = id.or(witness.log_id()).or(folder.mark.map(|mark| mark.log));
    let ours = id.is_some() && witness.log_id() == id;
    let applied = if ours { witness.applied() } else { Position::START };
    let mut survey = scan::survey(&folder, applied, &mut |_| {})?;
    let text = format!("the table has applied position {applied}, which the log does not reach");
    survey.must_reach(applied, text);
    let fresh = fresh_id(disk)?;
    let mut id = id.unwrap_or(fresh);
    // Only where nothing is and nothing tells that something was.
    if folder.found.is_empty() && survey.broken.is_empty() {
        begin(disk, id, now)?;
        folder = folder::open_folder(disk)?;
        survey = scan::survey(&folder, applied, &mut |_| {})?;
    }
    let mut healed = None;
    if !survey.broken.is_empty() {
        let doctor = Doctor { disk, folder: &folder, witness, settings, survey: &survey, applied, ours, now };
        let done = doctor.heal(id, fresh)?;
        id = done.log;
        healed = Some(done);
        folder = folder::open_folder(disk)?;
        survey = scan::survey(&folder, applied, &mut |_| {})?;
        if let Some(why) = survey.broken.first() {
            return Err(LogError::Damaged(format!("the repaired log is damaged: {why}")));
        }
    }
    adopt(disk, &folder, survey, id, healed)
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
        kind: Kind::Changes,
        log,
        sequence: 1,
        before: Position::START,
        manifest: Manifest::default(),
        created: now,
    };
    Writer::create(disk, header).map(drop).map_err(|e| io_error(disk, "", "cannot begin a log in")(e.error))
}

/// Cuts the torn tail, tidies up, and hands over.
fn adopt(
    disk: &dyn Disk,
    folder: &Folder,
    survey: Survey,
    id: u128,
    healed: Option<Healed>,
) -> Result<Opened, LogError> {
    let Some(active) = survey.chain.segments.last() else {
        return Err(LogError::Damaged("the log has no segment".to_owned()));
    };
    let name = active.name().to_string();
    active.file.claim().map_err(io_error(disk, &name, "cannot write"))?;
    if survey.torn > 0 {
        tracing::warn!(
            file = %active.path,
            offset = active.end,
            bytes = survey.torn,
            position = %active.last,
            "cut the torn end of the log: a write that a crash interrupted and nobody was told of"
        );
    }
    active.file.set_size(active.end).map_err(io_error(disk, &name, "cannot cut"))?;
    // Frames that a crash of the process left in the system's memory count from here on.
    active.file.sync_data().map_err(io_error(disk, &name, "cannot sync"))?;
    for stale in &folder.stale {
        // The last resort of whoever accepted a loss. Otherwise all that they hold is held anew.
        if healed.as_ref().is_some_and(|h| h.lost) && !stale.ends_with(UNFINISHED) {
            let aside = format!("{stale}.damaged");
            disk.rename(stale, &aside).map_err(io_error(disk, stale, "cannot rename"))?;
        } else {
            chain::remove(disk, stale)?;
        }
    }
    chain::remove(disk, MARK)?;
    disk.sync_dir().map_err(io_error(disk, "", "cannot sync"))?;
    let writer = Writer {
        file: Arc::clone(&active.file),
        header: active.header,
        end: active.end,
        content: survey.content,
        frames: survey.frames,
        tally: active.tally,
        room: active.end,
    };
    let Segment { last, manifest, .. } = *active;
    Ok(Opened {
        id,
        writer,
        sequence: folder.sequence,
        position: last,
        manifest,
        chain: survey.chain,
        repaired: healed.map(|healed| healed.told),
    })
}

/// A log that was written anew.
struct Healed {
    /// Its id.
    log: u128,
    /// What to tell.
    told: String,
    /// Whether something was lost.
    lost: bool,
}

/// Decides what becomes of a damaged log.
struct Doctor<'a> {
    disk: &'a dyn Disk,
    folder: &'a Folder,
    witness: &'a Arc<dyn Witness>,
    settings: &'a Settings,
    survey: &'a Survey,
    applied: Position,
    ours: bool,
    now: Timestamp,
}

impl Doctor<'_> {
    /// Writes the log anew, or refuses.
    fn heal(&self, id: u128, fresh: u128) -> Result<Healed, LogError> {
        let survey = self.survey;
        let what = survey.broken.join("; ");
        let repair =
            |log| Repair { disk: self.disk, folder: self.folder, witness: self.witness, now: self.now, log };
        let covered = |(_, to): &Range| *to <= self.applied;
        if survey.lost.is_empty() && !survey.open_end {
            repair(id).use_remains(survey.end, false)?;
            let told = format!("{what}. No position was lost: the log was written anew from what it holds");
            tracing::error!("{told}");
            return Ok(Healed { log: id, told, lost: false });
        }
        let reaches = survey.lost.iter().all(covered) && (!survey.open_end || self.applied >= survey.end);
        if self.ours && reaches && self.witness.holds() {
            repair(id).use_table(self.applied)?;
            let told = format!(
                "{what}. The table is whole at position {}: the log was written anew from it",
                self.applied
            );
            tracing::error!("{told}");
            return Ok(Healed { log: id, told, lost: false });
        }
        if self.settings.accept_loss {
            // Another id: a table of the old log is not what this one holds, and is rebuilt.
            repair(fresh).use_remains(survey.end, self.ours)?;
            let told = format!(
                "{what}. Went on without {} as --accept-loss demands; everything else that the log and \
                 the table hold was kept, the damaged files are set aside as *.damaged",
                ranges(&survey.lost, survey.open_end)
            );
            tracing::error!("{told}");
            return Ok(Healed { log: fresh, told, lost: true });
        }
        Err(LogError::Damaged(self.refusal(&what)))
    }

    fn refusal(&self, what: &str) -> String {
        let survey = self.survey;
        let table = if self.ours {
            format!("the table, at position {}, cannot stand in for it", self.applied)
        } else {
            "there is no table of this log to stand in for it".to_owned()
        };
        format!(
            "the log is damaged: {what}. Lost: {}. Readable: {}; {table}. Restore a backup, or go on \
             without what is lost: waypost serve --accept-loss",
            ranges(&survey.lost, survey.open_end),
            ranges(&readable(&survey.lost, survey.end), false)
        )
    }
}

/// What lies between the lost ranges.
fn readable(lost: &[Range], end: Position) -> Vec<Range> {
    let mut lost = lost.to_vec();
    lost.sort_unstable();
    let mut next = Position(1);
    let mut ranges = Vec::new();
    for (from, to) in lost {
        if from > next {
            ranges.push((next, Position(from.0 - 1)));
        }
        next = next.max(to.next());
    }
    if next <= end {
        ranges.push((next, end));
    }
    ranges
}

fn ranges(ranges: &[Range], open_end: bool) -> String {
    let mut texts: Vec<String> = ranges.iter().map(scan::span).collect();
    if open_end {
        texts.push("whatever came after the last file".to_owned());
    }
    if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") }
}

/// Writes the mark of a clean stop durably.
pub(crate) fn write_mark(disk: &dyn Disk, mark: &Closed) -> std::io::Result<()> {
    let unfinished = format!("{MARK}{UNFINISHED}");
    let file = disk.create(&unfinished)?;
    file.write_all_at(&mark.encode(), 0)?;
    file.sync_data()?;
    disk.rename(&unfinished, MARK)?;
    disk.sync_dir()
}
