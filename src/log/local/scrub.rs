//! Reading sealed segments through in search of damage, before anybody needs what they hold.
//!
//! In steps, so that the thread that does it can do other things too, and the disk hardly notices.

use std::sync::atomic::Ordering;

use super::segment::{self, Name};
use super::segments::Segment;
use super::shared::Shared;
use super::{compact, folder};
use crate::log::LogError;
use crate::log::frame::header_footer::Footer;

/// Where the search stands.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    /// Where the next segment is looked for.
    sequence: u64,
    /// The segment being read. A snapshot shares its number with one that it replaced.
    reading: Option<Name>,
    /// Bytes of it read so far, and their crc.
    offset: u64,
    crc: u32,
}

impl Scrub {
    /// Reads `bytes` more. True when the last segment came to its end.
    pub(crate) fn step(&mut self, shared: &Shared, bytes: u64) -> bool {
        let segment = {
            let segments = shared.source.segments.lock();
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
        // A compaction may have removed the segment since it was looked up.
        let is_gone = !shared.source.segments.lock().contains(segment.name());
        let intact = is_gone || matches!(read, Ok(true));
        if !intact {
            report(shared, &segment, read.err());
        }
        if self.offset >= footer.length || is_gone || !intact {
            *self = Scrub { sequence: segment.header.sequence + 1, ..Scrub::default() };
        }
        false
    }

    /// False when what is read now shows damage.
    fn advance(&mut self, segment: &Segment, footer: &Footer, to: u64) -> Result<bool, LogError> {
        let cannot_read = |e| segment.cannot_read(e);
        let file = segment.open()?;
        self.crc = folder::crc_of_range(&*file, self.crc, self.offset, to).map_err(cannot_read)?;
        self.offset = to;
        if to < footer.length {
            return Ok(true);
        }
        let sequence = segment.header.sequence;
        let stored = segment::read_footer(&*file, sequence).map_err(cannot_read)?;
        Ok(self.crc == footer.content && stored == Some(*footer))
    }
}

/// Says it loudly, and puts the table's records in the place of the damaged ones if it can.
fn report(shared: &Shared, segment: &Segment, error: Option<LogError>) {
    match error {
        Some(error) => tracing::error!(%error, "a sealed log segment cannot be read"),
        None => {
            tracing::error!(file = %segment.path, last = %segment.last, "a sealed log segment is damaged");
        }
    }
    shared.gauges.damaged_segments.fetch_add(1, Ordering::Relaxed);
    match compact::heal(shared) {
        Ok(true) => {}
        Ok(false) => tracing::error!(
            file = %segment.path,
            "the table cannot stand in for it now: keep a backup of the table before the server stops"
        ),
        Err(error) => tracing::error!(%error, "could not write the log anew from the table"),
    }
}
