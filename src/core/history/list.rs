//! The audit list of a workspace: entries merged with the creations of links, which have no entries of their own.

use std::collections::{BTreeMap, HashMap};

use super::deleted::DeletedQuery;
use super::revisions::{Author, in_order};
use crate::analytics::tick::parse_link_row;
use crate::clock::Timestamp;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::model::audit::{AuditAct, AuditSubject, SubjectKind};
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::short_code::ShortCode;
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
    pub key: Option<KeyFilter>,
    pub kind: Option<SubjectKind>,
    pub act: Option<AuditAct>,
    /// The id, code or short URL of a link, also of a deleted one.
    pub link: Option<Box<str>>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
}

/// Whose changes pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFilter {
    /// The key in the environment, and commands beside the server.
    Operator,
    /// All keys with this id or name.
    Key(Box<str>),
}

/// What a query asks for, with the links of its filter, and the keys that were compared with it.
struct AuditFilter<'a> {
    query: &'a AuditQuery,
    links: Option<Vec<Id>>,
    keys: HashMap<Id, bool>,
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
    /// The changed fields of another object.
    pub fields: Vec<Box<str>>,
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
    fields: Vec<Box<str>>,
}

impl Links {
    /// Returns a page of the audit list of the acting workspace.
    pub async fn audit(&self, context: &Context, query: AuditQuery) -> Result<AuditPage, Error> {
        let workspace = context.workspace.number;
        let asking = context.clone();
        self.scanning(&context.tenant, move |shared, cancel| {
            // Once for all entries: a look-up by a code of deleted links reads many of them.
            let links = match &query.link {
                Some(text) => Some(shared.links_of_text(&asking, text, cancel)?),
                None => None,
            };
            let filter = AuditFilter { query: &query, links, keys: HashMap::new() };
            shared.audit_page(workspace, filter, cancel)
        })
        .await
    }
}

impl AuditFilter<'_> {
    /// Returns whether an entry passes the filters other than that of time.
    fn passes(&mut self, shared: &Shared, row: &AuditRow) -> Result<bool, Error> {
        let query = self.query;
        let is_about = |links: &Vec<Id>| row.subject.link_id().is_some_and(|link| links.contains(&link));
        if query.kind.is_some_and(|kind| row.subject.kind != kind)
            || query.act.is_some_and(|act| row.act != act)
            || !self.links.as_ref().is_none_or(is_about)
        {
            return Ok(false);
        }
        // Last: the name of a key may be a read of the table.
        match (&query.key, row.by) {
            (None, _) => Ok(true),
            (Some(KeyFilter::Operator), by) => Ok(by.is_none()),
            (Some(KeyFilter::Key(_)), None) => Ok(false),
            (Some(KeyFilter::Key(text)), Some(id)) => {
                if let Some(is_it) = self.keys.get(&id) {
                    return Ok(*is_it);
                }
                let name = match shared.author(Some(id))? {
                    Author::Key { name, .. } => name,
                    Author::Operator => None,
                };
                let is_it = name.as_ref() == Some(text) || id.to_string() == **text;
                self.keys.insert(id, is_it);
                Ok(is_it)
            }
        }
    }
}

impl AuditQuery {
    /// Returns whether creations of links may pass.
    fn wants_creations(&self) -> bool {
        self.kind.is_none_or(|kind| kind == SubjectKind::Link)
            && self.act.is_none_or(|act| act == AuditAct::Create)
    }
}

impl Shared {
    /// Returns the link of an id, a code or a short URL, or the deleted links that had the code.
    fn links_of_text(&self, context: &Context, text: &str, cancel: &Cancel) -> Result<Vec<Id>, Error> {
        let unknown = match self.link_named(context, text) {
            Ok(row) => return Ok(parse_link_row(&row).map(|(_, id)| id).into_iter().collect()),
            Err(error @ Error::Rule(_)) => error,
            Err(other) => return Err(other),
        };
        // Who deleted a link is asked by its code: the id went with it.
        let Ok(code) = ShortCode::parse(text) else { return Err(unknown) };
        // Several links may have had it, one after the other.
        let query = DeletedQuery { after: None, limit: CHUNK, code: Some(code) };
        let left = self.deleted_page(context.workspace.number, &query, cancel)?.links;
        let ids: Vec<_> = left.iter().map(|left| left.link.id).collect();
        if ids.is_empty() { Err(unknown) } else { Ok(ids) }
    }

    fn audit_page(
        &self,
        workspace: WorkspaceNumber,
        mut filter: AuditFilter<'_>,
        cancel: &Cancel,
    ) -> Result<AuditPage, Error> {
        let query = filter.query;
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
                if !filter.passes(self, &row)? {
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
                    fields: entry.fields,
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
                    fields: Vec::new(),
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
        let AuditRow { by, act, subject, name, has_states, fields } = row;
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
        Ok(AuditView { id, at, by: self.author(by)?, act, subject, name, states, fields })
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
