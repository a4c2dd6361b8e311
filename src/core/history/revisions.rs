//! The history of one link: its entries with the states before and after them, and who did it.

use crate::clock::Timestamp;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::links::list::LINK_BYTES_MAX;
use crate::core::shared::Shared;
use crate::core::tenants::viewer::Viewer;
use crate::model::audit::{AuditAct, AuditEntry};
use crate::model::id::Id;
use crate::model::link::{Alias, Link};
use crate::table::record::{LinkAt, RetiredKey, Tombstone};
use crate::table::{Found, keys};

/// Bytes of records after which a page of a history ends: a link with all its fields at their bounds has 150 KB.
const PAGE_BYTES: usize = 512 * 1024;

/// Most bytes that a page takes while it is produced and sent: the records that end it, the largest change behind them,
/// and all entries about a link with usual records, as views and as text.
pub const HISTORY_BYTES_MAX: usize = 4 * (PAGE_BYTES + LINK_BYTES_MAX);

/// Entries about a link, with their ids.
pub(in crate::core) type LinkEntries = Vec<(Id, Found<AuditEntry>)>;

/// Returns the entries in the order of their Changes, without that of the creation.
pub(in crate::core) fn in_order(mut entries: LinkEntries) -> LinkEntries {
    // By position and not by id: ids of several nodes follow several clocks.
    entries.sort_by_key(|(id, found)| (found.revision, *id));
    entries.retain(|(_, found)| found.record.act != AuditAct::Create);
    entries
}

/// Who changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The key in the environment, or a command beside the server.
    Operator,
    /// An API key.
    #[allow(missing_docs)] // `id` speaks.
    Key {
        id: Id,
        /// `None` if the key was removed longer ago than entries are kept.
        name: Option<Box<str>>,
    },
}

/// A link at some time, with what the names of its domains are now.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // `link` speaks.
pub struct LinkState {
    pub link: Link,
    /// The name of the domain. `None` if the domain was deleted.
    pub domain: Option<String>,
    /// The short URLs of the aliases. Without its domain, the code alone.
    pub aliases: Vec<String>,
}

/// A change of a link.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct RevisionView {
    /// The id of the revision. That of the creation is the id of the link.
    pub id: Id,
    pub at: Timestamp,
    pub by: Author,
    pub act: AuditAct,
    /// The link before and after. `None` if the change left the link as it was.
    pub states: Option<Box<(LinkState, LinkState)>>,
}

/// A part of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRange {
    /// The part begins behind this revision.
    pub after: Option<Id>,
    /// Number of revisions, at least 1.
    pub limit: usize,
}

/// A page of a link's history, the newest revision first.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other field speaks.
pub struct HistoryPage {
    pub revisions: Vec<RevisionView>,
    /// The cursor of the next page.
    pub next: Option<Id>,
}

impl Links {
    /// Returns a page of the history of a link, or of a deleted link while it can be restored.
    pub async fn history(
        &self,
        context: &Context,
        id: Id,
        range: HistoryRange,
    ) -> Result<HistoryPage, Error> {
        let viewer = Viewer::of(context);
        self.blocking(move |shared| {
            let workspace = shared.workspace_in_sight(&viewer, id)?;
            let link = if let Some(found) = shared.table.link_by_id(workspace, id)? {
                found.record
            } else {
                let left = shared.table.get::<Tombstone>(&keys::tombstone(workspace, id))?;
                left.ok_or(Error::NotFound("link"))?.record.link
            };
            // All of them, at most 1,000: a page needs the state after each entry.
            let entries = in_order(shared.table.history_of(workspace, id)?);
            shared.history_page(link, entries, range)
        })
        .await
    }
}

impl Shared {
    fn history_page(
        &self,
        link: Link,
        entries: LinkEntries,
        HistoryRange { after, limit }: HistoryRange,
    ) -> Result<HistoryPage, Error> {
        let (created, created_by, created_at) = (link.id, link.created_by, link.created_at);
        let mut page = HistoryPage { revisions: Vec::new(), next: None };
        let (mut later, mut bytes) = (link, 0);
        let mut is_behind = after.is_none();
        // Also the entries before the cursor: each has the state after the one before it.
        for (id, found) in entries.into_iter().rev() {
            let AuditEntry { by, act, before, .. } = found.record;
            let is_shown = is_behind;
            is_behind |= after == Some(id);
            if is_shown && (page.revisions.len() == limit || bytes > PAGE_BYTES) {
                page.next = page.revisions.last().map(|last| last.id);
                return Ok(page);
            }
            let earlier = before.map(|before| *before);
            if is_shown {
                let states = earlier.as_ref().map(|earlier| {
                    bytes += LinkAt::encode(earlier).len() + LinkAt::encode(&later).len();
                    Box::new((self.state_of(earlier), self.state_of(&later)))
                });
                let at = Timestamp::from_millis(id.millis());
                page.revisions.push(RevisionView { id, at, by: self.author(by)?, act, states });
            }
            // A deletion leaves the link as it was.
            later = earlier.unwrap_or(later);
        }
        // A cursor of an entry that was removed since: the page is empty, and the last one.
        if !is_behind {
            return Ok(page);
        }
        if page.revisions.len() == limit || bytes > PAGE_BYTES {
            page.next = page.revisions.last().map(|last| last.id);
            return Ok(page);
        }
        let (by, act) = (self.author(created_by)?, AuditAct::Create);
        page.revisions.push(RevisionView { id: created, at: created_at, by, act, states: None });
        Ok(page)
    }

    fn state_of(&self, link: &Link) -> LinkState {
        let directory = self.directory.load();
        let alias = |alias: &Alias| match directory.domain(alias.domain) {
            Some(domain) => self.site.short_url(domain, alias.shown_code()),
            // Without its domain, an alias has no address.
            None => alias.shown_code().as_str().to_owned(),
        };
        LinkState {
            domain: directory.domain(link.domain).map(|domain| self.site.name_of(domain)),
            aliases: link.aliases.iter().map(alias).collect(),
            link: link.clone(),
        }
    }

    /// Returns the author of an entry.
    pub(in crate::core) fn author(&self, by: Option<Id>) -> Result<Author, Error> {
        let Some(id) = by else { return Ok(Author::Operator) };
        // Also keys that reach further than the workspace, as `createdBy` of a link.
        let present = self.directory.load().key(id).map(|versioned| versioned.record.name.clone());
        let name = match present {
            Some(name) => Some(name),
            None => self.table.get::<RetiredKey>(&keys::retired_key(id))?.map(|found| found.record.name),
        };
        Ok(Author::Key { id, name })
    }
}
