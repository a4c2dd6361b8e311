//! The audit list of a workspace: entries merged with the creations of links, which have no entries of their own.

use std::collections::BTreeMap;

use super::revisions::{Author, in_order};
use crate::clock::Timestamp;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::model::audit::{AuditAct, AuditSubject, SubjectKind};
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{LinkAt, Tombstone};
use crate::table::{List, Order, ReadView, Scanned, keys};

/// Entries, and links, that are read at once before both are merged.
const CHUNK: usize = 500;

/// Chunks that one page reads. Past it, the page ends before its limit, and its cursor continues.
const CHUNKS_MAX: usize = 20;

/// Bytes of the links of entries after which a page ends.
const PAGE_BYTES: usize = 512 * 1024;

/// The filter and size of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields are filters of their names.
pub struct AuditQuery {
    /// The page begins behind this entry.
    pub after: Option<Id>,
    /// Number of entries, at least 1.
    pub limit: usize,
    /// `Some(None)`: the key in the environment, and commands beside the server.
    pub key: Option<Option<Id>>,
    pub kind: Option<SubjectKind>,
    pub act: Option<AuditAct>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
}

/// An entry.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct AuditView {
    pub id: Id,
    pub at: Timestamp,
    pub by: Author,
    pub act: AuditAct,
    pub subject: AuditSubject,
    /// The name at that time; of a link its present short URL. `None` for objects without a name, and for a link whose
    /// tombstone is gone.
    pub name: Option<String>,
    /// The link before and after, if the entry has both.
    pub states: Option<Box<(Link, Link)>>,
}

/// A page of an audit list, the newest entry first.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other field speaks.
pub struct AuditPage {
    pub entries: Vec<AuditView>,
    /// The cursor of the next page, which may be empty.
    pub next: Option<Id>,
}

/// An entry before its names are looked up.
struct AuditRow {
    by: Option<Id>,
    act: AuditAct,
    subject: AuditSubject,
    name: Option<Box<str>>,
    has_states: bool,
}

impl Links {
    /// Returns a page of the audit list of the acting workspace.
    pub async fn audit(&self, context: &Context, query: AuditQuery) -> Result<AuditPage, Error> {
        let workspace = context.workspace.number;
        self.scanning(&context.tenant, move |shared, cancel| shared.audit_page(workspace, &query, cancel))
            .await
    }
}

impl AuditQuery {
    /// Returns whether an entry passes the filters other than that of time.
    fn passes(&self, row: &AuditRow) -> bool {
        self.key.is_none_or(|key| row.by == key)
            && self.kind.is_none_or(|kind| row.subject.kind == kind)
            && self.act.is_none_or(|act| row.act == act)
    }

    /// Returns whether creations of links may pass.
    fn wants_creations(&self) -> bool {
        self.kind.is_none_or(|kind| kind == SubjectKind::Link)
            && self.act.is_none_or(|act| act == AuditAct::Create)
    }
}

impl Shared {
    fn audit_page(
        &self,
        workspace: WorkspaceNumber,
        query: &AuditQuery,
        cancel: &Cancel,
    ) -> Result<AuditPage, Error> {
        // One view for all chunks, so that the links of an import are in the page whole or not at all.
        let mut view = self.table.view(workspace)?;
        let end = query.to.map(|to| Id::first_at(to.as_millis()));
        // The earlier of both: ids sort by time.
        let mut before = [query.after, end].into_iter().flatten().min();
        let least = query.from.map(|from| Id::first_at(from.as_millis()));
        let mut page = AuditPage { entries: Vec::new(), next: None };
        let mut bytes = 0;
        for _ in 0..CHUNKS_MAX {
            let (rows, rest) = self.audit_rows(workspace, &mut view, before, query.wants_creations())?;
            // The newest first.
            for (id, row) in rows.into_iter().rev() {
                if least.is_some_and(|least| id < least) {
                    return Ok(page);
                }
                if !query.passes(&row) {
                    continue;
                }
                if page.entries.len() == query.limit || bytes > PAGE_BYTES {
                    page.next = page.entries.last().map(|last| last.id);
                    return Ok(page);
                }
                let entry = self.audit_view(workspace, id, row)?;
                bytes += entry.states.as_ref().map_or(0, |states| LinkAt::encode(&states.0).len());
                page.entries.push(entry);
            }
            // Also of an incomplete page: rows that do not pass are read once.
            before = rest;
            page.next = rest;
            // A caller that has left gets no page.
            if rest.is_none() || cancel.is_set() {
                break;
            }
        }
        Ok(page)
    }

    /// Returns the next rows before `before`, by their ids, and where the rest begins.
    fn audit_rows(
        &self,
        workspace: WorkspaceNumber,
        view: &mut ReadView,
        before: Option<Id>,
        with_creations: bool,
    ) -> Result<(BTreeMap<Id, AuditRow>, Option<Id>), Error> {
        let (mut rows, mut entries_end) = (BTreeMap::new(), None);
        self.table.each_entry(workspace, before, &mut |id, entry| {
            // Without the links, of which a chunk may have 75 MB.
            let has_states = entry.before.is_some();
            rows.insert(
                id,
                AuditRow {
                    by: entry.by,
                    act: entry.act,
                    subject: entry.subject,
                    name: entry.name,
                    has_states,
                },
            );
            entries_end = (rows.len() == CHUNK).then_some(id);
            rows.len() < CHUNK
        })?;
        let mut links_end = None;
        // Most filters exclude them, and then no link is read.
        if with_creations {
            // Large links cost several steps, so a chunk of them is shorter.
            let mut steps = CHUNK as u64;
            let mut add = |found: crate::table::Found<Link>| {
                let Link { id, created_by, .. } = found.record;
                let (act, subject) = (AuditAct::Create, AuditSubject::link(id));
                // A link that came back by an import has an entry of its creation as well, with the same id.
                rows.entry(id).or_insert(AuditRow {
                    by: created_by,
                    act,
                    subject,
                    name: None,
                    has_states: false,
                });
                true
            };
            let order = Order::Newest;
            if let Scanned::Spent(id) =
                self.table.scan(view, workspace, &List::All, order, before, &mut steps, &mut add)?
            {
                links_end = Some(id);
            }
        }
        // Of two sources that were cut, the one that ends at the newer id decides.
        let rest = entries_end.max(links_end);
        if let Some(rest) = rest {
            // What is older may lack rows of the source that ended earlier. The next chunk reads them again.
            rows = rows.split_off(&rest);
        }
        Ok((rows, rest))
    }

    fn audit_view(&self, workspace: WorkspaceNumber, id: Id, row: AuditRow) -> Result<AuditView, Error> {
        let AuditRow { by, act, subject, name, has_states } = row;
        let mut name = name.map(String::from);
        let mut states = None;
        if let Some(link) = subject.link_id() {
            let present = if let Some(found) = self.table.link_by_id(workspace, link)? {
                Some(found.record)
            } else {
                let left = self.table.get::<Tombstone>(&keys::tombstone(workspace, link))?;
                left.map(|found| found.record.link)
            };
            if let Some(present) = present {
                // The address of now: it is the one by which a person finds the link.
                name = Some(self.short_url_of(&present).into());
                if has_states {
                    states = self.states_at(workspace, id, present)?;
                }
            }
        }
        let at = Timestamp::from_millis(id.millis());
        Ok(AuditView { id, at, by: self.author(by)?, act, subject, name, states })
    }

    /// Returns a link before and after an entry.
    fn states_at(
        &self,
        workspace: WorkspaceNumber,
        entry: Id,
        present: Link,
    ) -> Result<Option<Box<(Link, Link)>>, Error> {
        let mut after = present;
        for (id, found) in in_order(self.table.history_of(workspace, after.id)?).into_iter().rev() {
            // A deletion changes nothing, so the state behind it is the one before.
            let Some(before) = found.record.before else { continue };
            if id == entry {
                return Ok(Some(Box::new((*before, after))));
            }
            after = *before;
        }
        Ok(None)
    }
}
