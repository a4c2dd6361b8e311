//! [`IndexScan`]: reads all entries of an index, and finds those that a list shows. The result is that of some moment for
//! each link: a change that was answered before the scan began is in it.
//!
//! Entries that are appended during the scan are read at its end, the newest of each link last. So the last entry of a link
//! decides.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::entry::IndexEntry;
use super::filter::EntryFilter;
use super::index::{IndexLost, LinkIndex};
use super::slots::SlotSet;
use super::titles::{TitleRow, TitleTop};

/// Bytes that are read at once.
const BLOCK: usize = 256 * 1024;

/// A scan under way.
#[derive(Debug)]
pub(in crate::core) struct IndexScan {
    filter: EntryFilter,
    /// Only these links, and none of those.
    among: (Option<SlotSet>, Option<SlotSet>),
    titles: Option<TitleTop>,
    matches: SlotSet,
    /// Where the next entry begins.
    at: u64,
    /// Where the entries end that were there at the beginning.
    first_end: u64,
    block: Vec<u8>,
    found: Vec<Match>,
}

/// An entry that the filter admits.
#[derive(Debug)]
struct Match {
    slot: u32,
    place: u64,
    /// The place of the entry in the block.
    at: usize,
    is_admitted: bool,
}

/// What a scan has found.
#[derive(Debug)]
pub(in crate::core) struct IndexMatches {
    /// The slots of all matches.
    pub(in crate::core) matches: SlotSet,
    /// The first rows by title, if that was asked for.
    pub(in crate::core) titles: Vec<TitleRow>,
}

impl IndexScan {
    /// Begins a scan of all links, or of those `among` the first and not the second ones.
    pub(in crate::core) fn new(
        index: &LinkIndex,
        filter: EntryFilter,
        among: (Option<SlotSet>, Option<SlotSet>),
        titles: Option<TitleTop>,
    ) -> IndexScan {
        let state = index.state.read();
        IndexScan {
            filter,
            among,
            titles,
            matches: SlotSet::with_room(state.ids.len()),
            at: 0,
            first_end: state.arena.end(),
            block: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Reads up to about `bytes` of entries. Returns whether all were read.
    pub(in crate::core) fn step(&mut self, index: &LinkIndex, bytes: u64) -> Result<bool, IndexLost> {
        // Fixed for this step: what is appended in between is read by the next one.
        let (file, stored) = index.stored();
        let end = stored.min(self.at.saturating_add(bytes));
        while self.at < end {
            self.fill(&file, stored)?;
            self.look(index);
        }
        if self.at < stored {
            return Ok(false);
        }
        // The rest is in memory, and short.
        self.block.clear();
        let state = index.state.read();
        let (stored, tail) = (state.arena.stored().1, state.arena.tail_from(self.at));
        if self.at < stored {
            // It was written to the file just now.
            return Ok(false);
        }
        // Copied, so that the comparison does not hold the lock.
        self.block.extend_from_slice(tail);
        drop(state);
        self.look(index);
        Ok(true)
    }

    /// Reads the next entries of the file into the block: whole ones, and at least one.
    fn fill(&mut self, file: &File, stored: u64) -> io::Result<()> {
        let mut wanted = BLOCK;
        loop {
            let left = usize::try_from(stored - self.at).unwrap_or(usize::MAX);
            // Not cleared first: the bytes are overwritten.
            self.block.resize(wanted.min(left), 0);
            file.read_exact_at(&mut self.block, self.at)?;
            match IndexEntry::length(&self.block) {
                // An entry that is longer than a block.
                Some(length) if length > self.block.len() && self.block.len() < left => wanted = length,
                _ => return Ok(()),
            }
        }
    }

    /// Compares the whole entries of the block.
    fn look(&mut self, index: &LinkIndex) {
        self.found.clear();
        let read = self.find();
        {
            let (state, (only, except)) = (index.state.read(), &self.among);
            // Under one lock for the block, and only for entries that match: some microseconds.
            self.found.retain(|found| {
                state.is_current(found.slot, found.place)
                    && only.as_ref().is_none_or(|only| only.contains(found.slot))
                    && except.as_ref().is_none_or(|except| !except.contains(found.slot))
            });
        }
        for found in &self.found {
            if !found.is_admitted {
                self.matches.remove(found.slot);
                continue;
            }
            self.matches.insert(found.slot);
            if let Some(titles) = &mut self.titles
                && let Some(entry) = IndexEntry::first(&self.block[found.at..])
            {
                titles.add(entry.title(), found.slot, found.place);
            }
        }
        self.at += read as u64;
    }

    /// Notes the entries of the block that match. Returns the length of the whole entries.
    fn find(&mut self) -> usize {
        let IndexScan { filter, block, found, at: start, first_end, .. } = self;
        // Of entries that came since, those that do not match count as well: an earlier one of their link may have matched.
        let is_late = *start + block.len() as u64 > *first_end;
        let finder = filter.search.as_ref().and_then(|search| search.finder()).filter(|_| !is_late);
        let mut at = 0;
        // Where the next entry that may have the text begins or has it.
        // A hit in the numbers of an entry costs one comparison that fails.
        let mut next = finder.map_or(0, |finder| finder.find(block).unwrap_or(usize::MAX));
        while let Some(entry) = IndexEntry::first(&block[at..]) {
            let end = at + entry.bytes();
            if end > next || finder.is_none() {
                let is_admitted = filter.admits(entry);
                if is_admitted || is_late {
                    found.push(Match { slot: entry.slot(), place: *start + at as u64, at, is_admitted });
                }
                if let Some(finder) = finder {
                    next = finder.find(&block[end..]).map_or(usize::MAX, |hit| end + hit);
                }
            }
            at = end;
        }
        at
    }

    /// Returns what was found.
    pub(in crate::core) fn finish(mut self, index: &LinkIndex) -> IndexMatches {
        let state = index.state.read();
        // Without those that were deleted during the scan.
        self.matches.intersect(&state.visible);
        let mut titles = self.titles.map(TitleTop::finish).unwrap_or_default();
        titles.retain(|row| state.is_current(row.slot, row.place));
        IndexMatches { matches: self.matches, titles }
    }
}
