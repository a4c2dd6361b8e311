//! Reads sealed segments to find damage before a reader needs them. It reads in steps, so that its thread
//! can do other work in between and the load on the disk is low.

use std::sync::atomic::Ordering;

use super::segment::{self, Name};
use super::segments::Segment;
use super::shared::Shared;
use super::{compact, folder};
use crate::log::LogError;
use crate::log::frame::header_footer::Footer;

/// The progress of a scrub.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    /// The sequence to continue at.
    sequence: u64,
    /// The segment that is read. Its name includes the kind, because a snapshot has the number of a segment
    /// that it replaced.
    reading: Option<Name>,
    /// Bytes of the segment that were read, and their crc.
    offset: u64,
    crc: u32,
}

impl Scrub {
    /// Reads up to `bytes` more. Returns `true` when all segments are done.
    pub(crate) fn step(&mut self, shared: &Shared, bytes: u64) -> bool {
        let segment = {
            let segments = shared.durable.segments.lock();
            // Only sealed segments: the active one still grows.
            let next = |s: &&Segment| s.footer.is_some() && s.header.sequence >= self.sequence;
            segments.list.iter().find(next).cloned()
        };
        let Some((segment, footer)) = segment.and_then(|s| s.footer.map(|footer| (s, footer))) else {
            *self = Scrub::default();
            shared.gauges.last_errors.lock().last_scrub = Some(shared.clock.now());
            return true;
        };
        if self.reading != Some(segment.name()) {
            let sequence = segment.header.sequence;
            *self = Scrub { sequence, reading: Some(segment.name()), ..Scrub::default() };
        }
        let to = footer.length.min(self.offset.saturating_add(bytes.max(1)));
        let read = self.advance(&segment, &footer, to);
        // A compaction may have removed the segment during the read; that is no damage.
        // Checked after the read: before it, the answer could be outdated at once.
        let is_gone = !shared.durable.segments.lock().contains(segment.name());
        let intact = is_gone || matches!(read, Ok(true));
        if !intact {
            report(shared, &segment, read.err());
        }
        if self.offset >= footer.length || is_gone || !intact {
            *self = Scrub { sequence: segment.header.sequence + 1, ..Scrub::default() };
        }
        false
    }

    /// Reads on to the offset `to`. Returns `false` if the segment is damaged.
    fn advance(&mut self, segment: &Segment, footer: &Footer, to: u64) -> Result<bool, LogError> {
        let cannot_read = |e| segment.cannot_read(e);
        let file = segment.open()?;
        self.crc = folder::crc_of_range(&*file, self.crc, self.offset, to).map_err(cannot_read)?;
        self.offset = to;
        // The crc is of the whole content, so a part of it proves nothing.
        if to < footer.length {
            return Ok(true);
        }
        let sequence = segment.header.sequence;
        let stored = segment::read_footer(&*file, sequence).map_err(cannot_read)?;
        Ok(self.crc == footer.content && stored == Some(*footer))
    }
}

/// Logs the damage, and rewrites the damaged segments from the table if possible.
fn report(shared: &Shared, segment: &Segment, error: Option<LogError>) {
    match error {
        Some(error) => tracing::error!(%error, "cannot read a sealed log segment"),
        None => {
            tracing::error!(file = %segment.path, last = %segment.last, "a sealed log segment is damaged");
        }
    }
    shared.gauges.damaged_segments.fetch_add(1, Ordering::Relaxed);
    match compact::repair_from_table(shared) {
        Ok(true) => {}
        Ok(false) => tracing::error!(
            file = %segment.path,
            "the table cannot replace the segment now: back up the table before the server stops"
        ),
        Err(error) => tracing::error!(%error, "could not rewrite the log from the table"),
    }
}
