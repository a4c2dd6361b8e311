//! The thread that merges parts. One merge at a time, on one core.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::files::{self, StoredPart};
use super::plan::{MergePlan, Planned, plan};
use super::shared::{IsKept, Shared};
use crate::analytics::cell::TimeSlot;
use crate::analytics::part::error::PartError;
use crate::analytics::part::header::{PartHeader, PartLevel};
use crate::analytics::part::merge::{MergeError, merge};
use crate::analytics::part::reader::{ClickPart, PartList};
use crate::analytics::part::writer::PartWriter;
use crate::analytics::tick::LinkRow;

/// How long the thread waits for a new part before it looks at the clock: spans of time pass without clicks as well.
const NAP: Duration = Duration::from_mins(1);

/// Merges until the store stops.
pub(super) fn run(shared: &Shared, is_kept: &IsKept) {
    let mut is_logged = false;
    while !shared.is_stopping() {
        match step(shared, is_kept) {
            // Without a pause: one merge often makes the next one due.
            Ok(true) => is_logged = false,
            Ok(false) => wait(shared),
            Err(error) => {
                // Logged once until it works: a disk may be full for hours.
                if !is_logged {
                    tracing::warn!(%error, "parts of click details cannot be merged; they are tried again every minute");
                    is_logged = true;
                }
                wait(shared);
            }
        }
    }
}

fn wait(shared: &Shared) {
    let mut cells = shared.cells.lock();
    // A stop takes this lock as well, so it comes before the check or wakes the wait.
    if !shared.is_stopping() {
        shared.sealed.wait_for(&mut cells, NAP);
    }
}

/// Carries out one plan. Returns false if there was nothing to do.
pub(super) fn step(shared: &Shared, is_kept: &IsKept) -> io::Result<bool> {
    let mut steady = shared.maintenance.lock();
    let now = steady.follow(TimeSlot::of_millis(shared.clock.now().as_millis()), Instant::now());
    // Before a merge that follows from it.
    steady.store(&*shared.disk)?;
    // A copy, since a merge takes seconds and questions need the lock.
    let (parts, holes) = {
        let cells = shared.cells.lock();
        (cells.parts.clone(), cells.holes.clone())
    };
    let planned: Vec<_> =
        parts.iter().map(|stored| Planned { header: *stored.header(), bytes: stored.bytes }).collect();
    match plan(&planned, &holes, now, &shared.keep) {
        None => Ok(false),
        Some(MergePlan::Delete(at)) => {
            // The mark keeps the position, so the log is not read again for a deleted part.
            replace(shared, &parts[at..=at], None)?;
            shared.has_removed.store(true, Ordering::Release);
            Ok(true)
        }
        Some(MergePlan::Merge { parts: range, level, width }) => {
            let sources = &parts[range];
            match merge_into(shared, sources, level, width, &**is_kept) {
                Ok(merged) => replace(shared, sources, Some(merged))?,
                // Nothing is lost: the unfinished file was removed, and the sources are complete.
                Err(MergeError::Stopped) => return Ok(false),
                // The list of parts is as before, so the same plan is made after the pause.
                Err(MergeError::Write(error) | MergeError::Source(_, PartError::Io(error))) => {
                    return Err(error);
                }
                // Without the damaged part the next plan differs.
                Err(MergeError::Source(at, error)) => {
                    drop(steady);
                    shared.set_aside(&sources[at].part, &error);
                }
            }
            Ok(true)
        }
    }
}

/// Writes all parts with cells of these links again, without those cells. If it fails, some parts may still have them.
pub(super) fn forget(shared: &Shared, links: &BTreeSet<LinkRow>) -> io::Result<()> {
    let mut damaged = Vec::new();
    {
        // For all parts at once: a merge in between could move the cells to a part that was looked at.
        let _alone = shared.maintenance.lock();
        let parts = shared.cells.lock().parts.clone();
        for stored in parts {
            match forget_in(shared, &stored, links) {
                Ok(()) => {}
                Err(MergeError::Stopped) => return Err(io::ErrorKind::Interrupted.into()),
                Err(MergeError::Write(error) | MergeError::Source(_, PartError::Io(error))) => {
                    return Err(error);
                }
                Err(MergeError::Source(_, error)) => damaged.push((stored, error)),
            }
        }
    }
    // Without the lock, which this takes as well.
    for (stored, error) in damaged {
        shared.set_aside(&stored.part, &error);
    }
    Ok(())
}

fn forget_in(shared: &Shared, stored: &Arc<StoredPart>, links: &BTreeSet<LinkRow>) -> Result<(), MergeError> {
    let is_kept = |row: &[u8]| !LinkRow::try_from(row).is_ok_and(|row| links.contains(&row));
    let mut is_whole = true;
    let read = stored.part.for_each(PartList::Links, |row| is_whole &= is_kept(row));
    read.map_err(|error| MergeError::Source(0, error))?;
    if !is_whole {
        let source = std::slice::from_ref(stored);
        // Of the same level, whose slots are not changed by a width of one.
        let without = merge_into(shared, source, stored.header().level, 1, &is_kept)?;
        replace(shared, source, Some(without))?;
        shared.has_removed.store(true, Ordering::Release);
    }
    Ok(())
}

fn merge_into(
    shared: &Shared,
    sources: &[Arc<StoredPart>],
    level: PartLevel,
    width: u32,
    is_kept: &dyn Fn(&[u8]) -> bool,
) -> Result<StoredPart, MergeError> {
    let bytes = sources.iter().map(|stored| stored.bytes).sum();
    if !(shared.has_room)(bytes) {
        return Err(MergeError::Write(io::ErrorKind::StorageFull.into()));
    }
    let coarser = |slot: TimeSlot| TimeSlot(slot.0 / width * width);
    let headers = || sources.iter().map(|stored| stored.header());
    let header = PartHeader {
        level,
        // A coarser slot begins earlier, and a header must not begin behind its cells.
        first: coarser(headers().map(|header| header.first).min().unwrap_or_default()),
        last: headers().map(|header| header.last).max().unwrap_or_default(),
        // The sources are neighbours, so no other part is between these positions.
        from: headers().map(|header| header.from).min().unwrap_or_default(),
        to: headers().map(|header| header.to).max().unwrap_or_default(),
        ..*sources[0].header()
    };
    let parts: Vec<&ClickPart> = sources.iter().map(|stored| &*stored.part).collect();
    files::write(&*shared.disk, &header, |file| {
        let writer = PartWriter::new(file, &header)?;
        merge(&parts, writer, coarser, is_kept, &|| shared.is_stopping())
    })
}

/// Replaces parts in the list, then removes their files. A crash in between leaves files that the next start removes.
fn replace(shared: &Shared, old: &[Arc<StoredPart>], new: Option<StoredPart>) -> io::Result<()> {
    // A part that becomes coarser keeps its positions and its name: the new file replaced the old one.
    let is_same_name = new.as_ref().is_some_and(|new| old.len() == 1 && old[0].name == new.name);
    let updated = shared.update_mark(|mark| {
        for stored in old {
            mark.unlist(stored.header());
        }
        if let Some(merged) = &new {
            mark.list(merged.header());
        }
    });
    // Otherwise a removed part would be reported as missing. A mark that lists the sources of a merge finds their cells in
    // its result.
    if new.is_none() {
        updated?;
    }
    {
        let mut cells = shared.cells.lock();
        let is_old = |stored: &Arc<StoredPart>| old.iter().any(|old| Arc::ptr_eq(old, stored));
        cells.parts.retain(|stored| !is_old(stored));
        if let Some(new) = new {
            // The order of positions is what plans and the next start rely on.
            let at = cells.parts.partition_point(|stored| stored.header().from < new.header().from);
            cells.parts.insert(at, Arc::new(new));
        }
    }
    // Behind the change of the list; a question that has the old parts reads their open files.
    for stored in old.iter().filter(|_| !is_same_name) {
        match shared.disk.remove(&stored.name) {
            // Somebody has removed the file by hand.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    shared.disk.sync_dir()
}
