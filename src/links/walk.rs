//! A list of links of any length, read batch by batch: whoever reads it holds one batch, and a
//! thread only while a batch is being read.

use super::list::{LINK_BYTES_MAX, listed_bytes, matches, shorten};
use super::{Context, Credential, Error, LinkView, Links, Shared};
use crate::model::id::Id;
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;
use crate::table::{List, Order, Sight};

/// Most links of one batch, some 10 KB as their readers see them. What is beyond comes with the next
/// one.
const BATCH: usize = 32;

/// Bytes of links after which a batch ends before it has as many, as `list::listed_bytes` counts them.
const BATCH_BYTES: usize = 128 * 1024;

/// Most bytes that a list of any length holds at once: the link that is read at the moment, a batch of
/// views and its text in a buffer that grows, and two batches of text on their way to the client.
pub const STREAM_BYTES_MAX: usize = LINK_BYTES_MAX / 2 + 6 * BATCH_BYTES;

/// Most links looked at for one batch: a search that finds little gives its thread back after a
/// few milliseconds and goes on with another.
const LOOKED_AT_MAX: usize = 10_000;

/// Which part of the acting workspace's links, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Occurs in short code, title or destination, ignoring case.
    pub search: Option<String>,
    /// So many of those are left out first.
    pub skip: u64,
    /// At most so many follow; all when `None`.
    pub limit: Option<u64>,
}

/// A list being read. Links made meanwhile are not in it; links deleted meanwhile may be. Of an
/// import that ends meanwhile it shows all or nothing.
#[derive(Clone, Debug)]
pub struct Walk {
    links: Links,
    tenant: Tenant,
    /// Checked again behind each batch, which may have waited for its reader.
    key: Option<Credential>,
    rest: Rest,
}

/// What is yet to be read.
#[derive(Clone, Debug)]
struct Rest {
    workspace: WorkspaceNumber,
    /// In lower case.
    needle: Option<String>,
    /// What it was decided to see of imports; `None` before the first look.
    sight: Option<Sight>,
    /// Behind this link.
    after: Option<Id>,
    skip: u64,
    /// How many at most.
    left: u64,
}

impl Links {
    /// Begins to read a list.
    pub fn walk(&self, context: &Context, slice: Slice) -> Walk {
        let rest = Rest {
            workspace: context.workspace.number,
            needle: slice.search.map(|text| text.to_lowercase()).filter(|text| !text.is_empty()),
            sight: None,
            after: None,
            skip: slice.skip,
            left: slice.limit.unwrap_or(u64::MAX),
        };
        Walk { links: self.clone(), tenant: context.tenant.clone(), key: context.key, rest }
    }
}

impl Walk {
    /// The next links, and whether there may be more; if so, these are not none. Only who has read
    /// nothing yet may be told that too many wait: a list that was begun is not cut for that.
    pub async fn next(&mut self) -> Result<(Vec<LinkView>, bool), Error> {
        let mut links = Vec::new();
        let mut goes_on = self.rest.left > 0;
        let mut bytes = 0;
        while goes_on && links.len() < BATCH && bytes < BATCH_BYTES {
            let mut rest = self.rest.clone();
            let room = Room { links: BATCH - links.len(), bytes: BATCH_BYTES - bytes };
            let is_scan = rest.needle.is_some() || rest.skip > LOOKED_AT_MAX as u64;
            let look = move |shared: &Shared| {
                let (found, taken, more) = shared.look(&mut rest, room)?;
                Ok((found, taken, more, rest))
            };
            let is_begun = self.rest.sight.is_some();
            let looked = match (is_scan, is_begun) {
                (false, _) => self.links.blocking(look).await,
                (true, false) => self.links.scanning(&self.tenant, move |shared, _| look(shared)).await,
                (true, true) => self.links.resume_scanning(&self.tenant, move |shared, _| look(shared)).await,
            };
            let (found, taken, more, rest) = looked?;
            links.extend(found);
            bytes += taken;
            goes_on = more;
            self.rest = rest;
        }
        self.links.check_key(self.key)?;
        Ok((links, goes_on))
    }
}

/// What is left of a batch.
#[derive(Clone, Copy, Debug)]
struct Room {
    links: usize,
    bytes: usize,
}

impl Shared {
    /// Returns links until `room` is used up, how many bytes they take, and whether there may be more;
    /// `rest` becomes what is left then.
    fn look(&self, rest: &mut Rest, room: Room) -> Result<(Vec<LinkView>, usize, bool), Error> {
        let mut found = Vec::new();
        let mut looked_at = 0;
        let mut bytes = 0;
        let mut more = false;
        let Rest { workspace, needle, sight, after, skip, left } = rest;
        let mut seen = sight.take().map_or_else(|| self.table.sight(*workspace), Ok)?;
        let (list, order) = (&List::All, Order::Newest);
        self.table.each_link_seen(&mut seen, *workspace, list, order, *after, &mut |link| {
            if *left == 0 {
                return false;
            }
            if found.len() == room.links || bytes >= room.bytes || looked_at == LOOKED_AT_MAX {
                more = true;
                return false;
            }
            looked_at += 1;
            *after = Some(link.record.id);
            if needle.as_ref().is_some_and(|needle| !matches(&link.record, needle)) {
                return true;
            }
            if *skip > 0 {
                *skip -= 1;
                return true;
            }
            *left -= 1;
            let link = shorten(link.record);
            bytes += listed_bytes(&link);
            found.push(link);
            true
        })?;
        *sight = Some(seen);
        let views = found.into_iter().map(|link| self.view(link)).collect::<Result<_, _>>()?;
        Ok((views, bytes, more))
    }
}
