//! A list of links of any length, read in batches. A reader has one batch in memory, and a thread only while
//! a batch is read.

use std::fmt;
use std::sync::Arc;

use super::index_read::{IndexRead, IndexStep};
use super::list::{LINK_BYTES_MAX, SLICE_STEPS, listed_bytes, shorten};
use super::search::LinkSearch;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::link_index::filter::EntryFilter;
use crate::core::link_index::index::LinkIndex;
use crate::core::link_index::slots::SlotSet;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::core::tenants::caller::Credential;
use crate::core::view::LinkView;
use crate::model::id::{ForeignId, Id};
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;
use crate::table::{List, Order, ReadView, Scanned};

/// Most links of one batch, some 10 KB as views.
const BATCH: usize = 32;

/// Bytes of links after which a batch ends early, as `list::listed_bytes` counts them.
const BATCH_BYTES: usize = 128 * 1024;

/// Most bytes that a list has in memory at once: the link being read, a batch of views, its text in a growing
/// buffer, and two batches of text on their way to the client.
pub const STREAM_BYTES_MAX: usize = LINK_BYTES_MAX / 2 + 6 * BATCH_BYTES;

/// A part of the acting workspace's links, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRange {
    /// A text in short code, title, short URL or destination, ignoring case.
    pub search: Option<String>,
    /// Matches to skip first.
    pub skip: u64,
    /// Most matches to return; all if `None`.
    pub limit: Option<u64>,
}

/// The matches of a list, from the index of its workspace.
#[derive(Clone)]
struct FoundLinks {
    index: Arc<LinkIndex>,
    matches: Arc<SlotSet>,
    /// The slot before which the next batch begins.
    end: u32,
}

/// A list being read. Links that are created during the read are not in it; links that are deleted may be. An
/// import that ends during the read is in it whole or not at all.
#[derive(Clone)]
pub struct LinkStream {
    links: Links,
    tenant: Tenant,
    /// Checked again after each batch, which may have waited long for its reader.
    key: Option<Credential>,
    company: ForeignId,
    rest: Rest,
}

impl fmt::Debug for LinkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkStream").field("left", &self.rest.left).finish_non_exhaustive()
    }
}

/// The rest of the list.
#[derive(Clone)]
struct Rest {
    workspace: WorkspaceNumber,
    search: Option<LinkSearch>,
    /// Which imports the list shows, decided at the first read; `None` before.
    view: Option<ReadView>,
    /// The matches, if the workspace has an index and all links would be read otherwise.
    found: Option<FoundLinks>,
    /// The id after which the rest begins.
    after: Option<Id>,
    skip: u64,
    /// Matches that may still be returned.
    left: u64,
    /// Steps that a search may still take.
    steps: u64,
    is_incomplete: bool,
}

impl Links {
    /// Begins to read a list. Reads nothing yet.
    pub fn stream(&self, context: &Context, slice: ListRange) -> LinkStream {
        let rest = Rest {
            workspace: context.workspace.number,
            // An empty text matches every link, so it is no search.
            search: slice.search.and_then(|text| self.shared.search(context.workspace.number, &text)),
            view: None,
            found: None,
            after: None,
            skip: slice.skip,
            left: slice.limit.unwrap_or(u64::MAX),
            steps: self.shared.settings.scan_max,
            is_incomplete: false,
        };
        let company = context.workspace.company.clone();
        LinkStream { links: self.clone(), tenant: context.tenant.clone(), key: context.key, company, rest }
    }
}

impl LinkStream {
    /// Returns whether the list ended at `links.scan_max`: matches may be missing then.
    pub fn is_incomplete(&self) -> bool {
        self.rest.is_incomplete
    }

    /// Returns the next links and whether more may follow. A batch is empty only at the end. Only the first
    /// batch may fail with [`Error::Busy`]: a list that has begun is not cut off because threads are busy. A
    /// search ends after `links.scan_max` links.
    pub async fn next(&mut self) -> Result<(Vec<LinkView>, bool), Error> {
        let is_scan = self.rest.search.is_some() || self.rest.skip > SLICE_STEPS;
        if self.rest.view.is_none() && self.rest.found.is_none() && is_scan {
            // Once, before the first batch: later batches take the rest of the matches.
            self.rest.found = self.find().await?;
        }
        let mut links = Vec::new();
        let mut goes_on = self.rest.left > 0;
        let mut bytes = 0;
        while goes_on && links.len() < BATCH && bytes < BATCH_BYTES {
            // A copy: if the read fails or is dropped, the stream stays where it was.
            let mut rest = self.rest.clone();
            let room = Room { links: BATCH - links.len(), bytes: BATCH_BYTES - bytes };
            // Links are skipped one by one, so a deep skip is a long read.
            let is_scan = rest.found.is_none() && (rest.search.is_some() || rest.skip > SLICE_STEPS);
            let look = move |shared: &Shared, cancel: &Cancel| {
                let (found, taken, more) = match &mut rest.found {
                    Some(found) => shared.look_up(rest.workspace, found, &mut rest.left, room)?,
                    None => shared.look(&mut rest, room, cancel)?,
                };
                Ok((found, taken, more, rest))
            };
            let is_begun = self.rest.view.is_some() || self.rest.found.is_some();
            let looked = match (is_scan, is_begun) {
                (false, _) => self.links.blocking(move |shared| look(shared, &Cancel::default())).await,
                (true, false) => self.links.scanning(&self.tenant, look).await,
                // Admitted with the first batch, so later batches are never rejected.
                (true, true) => self.links.resume_scanning(&self.tenant, look).await,
            };
            let (found, taken, more, rest) = looked?;
            links.extend(found);
            bytes += taken;
            goes_on = more;
            self.rest = rest;
        }
        self.links.shared.check_key(self.key)?;
        Ok((links, goes_on))
    }
}

impl LinkStream {
    /// Returns the matches from the index of the workspace, or `None` if it has none.
    async fn find(&mut self) -> Result<Option<FoundLinks>, Error> {
        let (workspace, company, search) =
            (self.rest.workspace, self.company.clone(), self.rest.search.clone());
        let begin = move |shared: &Shared, _: &Cancel| {
            let index = shared.index_of(workspace, &company)?;
            let filter = EntryFilter { search, ..EntryFilter::default() };
            Ok(index.map(|index| IndexRead::new(index, filter)))
        };
        let Some(mut read) = self.links.scanning(&self.tenant, begin).await? else { return Ok(None) };
        loop {
            let slice = move |shared: &Shared, _: &Cancel| Ok((read.slice(shared)?, read));
            let (step, next) = self.links.resume_scanning(&self.tenant, slice).await?;
            read = next;
            match step {
                IndexStep::More => {}
                IndexStep::Lost => return Ok(None),
                IndexStep::Done(found) => {
                    // Skipped by counting bits, and not one by one.
                    let end = found.matches.before_last(std::mem::take(&mut self.rest.skip));
                    let matches = Arc::new(found.matches);
                    return Ok(Some(FoundLinks { index: read.index, matches, end }));
                }
            }
        }
    }
}

/// The links and bytes that still fit into a batch.
#[derive(Clone, Copy, Debug)]
struct Room {
    links: usize,
    bytes: usize,
}

impl Shared {
    /// Returns the next of the links that were found until `room` is full, their bytes, and whether more may follow.
    fn look_up(
        &self,
        workspace: WorkspaceNumber,
        from: &mut FoundLinks,
        left: &mut u64,
        room: Room,
    ) -> Result<(Vec<LinkView>, usize, bool), Error> {
        // Few at once: each is read by its id.
        let most = room.links.min(usize::try_from(*left).unwrap_or(usize::MAX));
        let slots: Vec<u32> = from.matches.descending(from.end).take(most).collect();
        let (mut views, mut bytes) = (Vec::new(), 0);
        for (slot, id) in slots.iter().zip(from.index.ids(&slots)) {
            if bytes >= room.bytes {
                return Ok((views, bytes, true));
            }
            from.end = *slot;
            // A link that was deleted since is left out.
            let Some(found) = self.table.link_by_id(workspace, id)? else { continue };
            *left -= 1;
            let link = shorten(found.record);
            bytes += listed_bytes(&link);
            views.push(self.view(link)?);
        }
        Ok((views, bytes, *left > 0 && slots.len() == most))
    }

    /// Returns links until `room` is full, their bytes, and whether more may follow. Updates `rest`. Takes at
    /// most [`SLICE_STEPS`].
    fn look(
        &self,
        rest: &mut Rest,
        room: Room,
        cancel: &Cancel,
    ) -> Result<(Vec<LinkView>, usize, bool), Error> {
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut more = false;
        let Rest { workspace, search, view, after, skip, left, steps, is_incomplete, found: _ } = rest;
        let mut seen = view.take().map_or_else(|| self.table.view(*workspace), Ok)?;
        let (list, order, from) = (&List::All, Order::Newest, *after);
        let is_search = search.is_some();
        // `scan_max` bounds searches. A plain list is bounded by its length.
        let slice = if is_search { SLICE_STEPS.min(*steps) } else { SLICE_STEPS };
        let mut unspent = slice;
        let scanned =
            self.table.scan(&mut seen, *workspace, list, order, from, &mut unspent, &mut |link| {
                if *left == 0 || cancel.is_set() {
                    return false;
                }
                // `after` is still the link before, so the next batch begins with this one.
                if found.len() == room.links || bytes >= room.bytes {
                    more = true;
                    return false;
                }
                *after = Some(link.record.id);
                let is_match = search.as_ref().is_none_or(|search| search.matches(&link.record));
                if is_match && *skip > 0 {
                    *skip -= 1;
                } else if is_match {
                    *left -= 1;
                    let link = shorten(link.record);
                    bytes += listed_bytes(&link);
                    found.push(link);
                }
                true
            })?;
        if is_search {
            *steps -= slice - unspent;
        }
        if let Scanned::Spent(at) = scanned {
            *after = Some(at);
            *is_incomplete = *left > 0 && is_search && *steps == 0;
            more = *left > 0 && !*is_incomplete;
        }
        *view = Some(seen);
        let views = found.into_iter().map(|link| self.view(link)).collect::<Result<_, _>>()?;
        Ok((views, bytes, more))
    }
}
