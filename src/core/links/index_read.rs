//! [`IndexRead`]: reads the index of a workspace in slices. The first slices build it.

use std::sync::Arc;

use super::query::Cursor;
use super::ranked::unread;
use super::recent::since;
use crate::analytics::cell::TimeSlot;
use crate::core::error::Error;
use crate::core::link_index::filter::EntryFilter;
use crate::core::link_index::index::LinkIndex;
use crate::core::link_index::parts::IndexBuild;
use crate::core::link_index::registry::IndexFailure;
use crate::core::link_index::scan::{IndexMatches, IndexScan};
use crate::core::link_index::titles::TitleTop;
use crate::core::shared::Shared;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;
use crate::table::List;

/// Bytes of entries that one slice reads: some 5 ms.
const SLICE_BYTES: u64 = 16 * 1024 * 1024;

/// Links that one slice reads while an index is built: some 20 ms.
const SLICE_LINKS: usize = 10_000;

/// A read of an index, between two slices.
pub(super) struct IndexRead {
    pub(super) index: Arc<LinkIndex>,
    pub(super) filter: EntryFilter,
    /// Only these links: those that do not work.
    pub(super) among: Option<Vec<Id>>,
    /// Only links without a click from this slot of time on.
    pub(super) unclicked_from: Option<TimeSlot>,
    pub(super) titles: Option<(usize, Cursor)>,
    pub(super) scan: Option<IndexScan>,
}

/// What a slice of a read leads to.
pub(super) enum IndexStep {
    Done(IndexMatches),
    More,
    /// The index is lost, or there is none.
    Lost,
}

impl Shared {
    /// Returns the index of a workspace, `None` if it has too few links for one or if none can be kept.
    pub(super) fn index_of(
        &self,
        workspace: WorkspaceNumber,
        company: &ForeignId,
    ) -> Result<Option<Arc<LinkIndex>>, Error> {
        // The counter, which costs one look-up.
        let own = self.table.count(workspace, &List::All)?;
        if own < self.settings.index_from {
            return Ok(None);
        }
        let directory = self.directory.load();
        let numbers = directory.domains_of(Some(workspace)).map(|domain| domain.number);
        let numbers: Vec<DomainNumber> = numbers.chain([DomainNumber::DEFAULT]).collect();
        drop(directory);
        let mut domains = Vec::with_capacity(numbers.len());
        for number in numbers {
            domains.push((number, self.table.links_seen_on(number)?));
        }
        match self.indexes.get_or_begin(workspace, company, &self.table, IndexBuild::new(own, domains)) {
            Ok(index) => Ok(Some(index)),
            Err(IndexFailure::Table(error)) => Err(error.into()),
            Err(IndexFailure::Lost(lost)) => {
                tracing::warn!(%lost, "lists are read from the table, and are slower");
                Ok(None)
            }
        }
    }
}

impl IndexRead {
    /// Begins to read the matches of a filter.
    pub(super) fn new(index: Arc<LinkIndex>, filter: EntryFilter) -> IndexRead {
        IndexRead { index, filter, among: None, unclicked_from: None, titles: None, scan: None }
    }

    /// Reads one slice: of the table while the index is built, then of the index.
    pub(super) fn slice(&mut self, shared: &Shared) -> Result<IndexStep, Error> {
        let read = self.try_slice(shared);
        // Whatever changed while the index was lost is missing.
        if self.index.is_lost() {
            shared.indexes.forget(&self.index);
            // The next attempt builds another one.
            return Ok(IndexStep::Lost);
        }
        read
    }

    fn try_slice(&mut self, shared: &Shared) -> Result<IndexStep, Error> {
        if !self.index.is_ready() {
            return self.index.build(&shared.table, SLICE_LINKS).map(|_| IndexStep::More);
        }
        let scan = self.scan.take().map_or_else(|| self.begin(shared), |scan| Ok(Some(scan)))?;
        // The next slice reads the next part of the details.
        let Some(mut scan) = scan else { return Ok(IndexStep::More) };
        match scan.step(&self.index, SLICE_BYTES) {
            Err(lost) => {
                tracing::warn!(%lost, "an index of links cannot be read");
                Ok(IndexStep::Lost)
            }
            Ok(false) => {
                self.scan = Some(scan);
                Ok(IndexStep::More)
            }
            Ok(true) => Ok(IndexStep::Done(scan.finish(&self.index))),
        }
    }

    /// Begins the scan. Returns `None` before the details of clicks were read, if the filter needs them.
    fn begin(&self, shared: &Shared) -> Result<Option<IndexScan>, Error> {
        // Before the scan, whose rows by title must not be used up by links that fall away.
        let mut clicked = None;
        if let Some(from) = self.unclicked_from {
            let (store, since) = (shared.click_store()?, since(shared.clock.now()));
            clicked = self.index.clicked_since(store, since, from).map_err(unread)?;
            if clicked.is_none() {
                return Ok(None);
            }
        }
        let among = self.among.as_ref().map(|ids| self.index.slots_of(ids));
        Ok(Some(IndexScan::new(&self.index, self.filter.clone(), (among, clicked), self.titles())))
    }

    /// Returns what collects the rows of a list by title.
    fn titles(&self) -> Option<TitleTop> {
        let (rows, at) = self.titles.as_ref()?;
        let behind = match at {
            Cursor::Behind(place) => {
                let title = place.title.as_ref().map(|title| title.as_bytes().into());
                Some((title, self.index.slot_from(place.id)))
            }
            Cursor::Page(_) | Cursor::After(_) => None,
        };
        Some(TitleTop::new(*rows, behind))
    }
}
