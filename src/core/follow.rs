//! The observer that the table's apply thread calls: it keeps the directory and the cache up to date with the
//! table.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handle::Core;
use super::shared::Shared;
use super::tenants::directory::Directory;
use crate::cache::entry::{Action, Entry};
use crate::log::Change;
use crate::model::custom_values::PLACEHOLDER;
use crate::model::domain::{DomainNumber, HostName};
use crate::model::id::{Id, IdSource};
use crate::model::key::Reach;
use crate::model::node::NodeNumber;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::keys::DirectoryKey;
use crate::table::record::Staged;
use crate::table::{self, Observer, Table, keys};

/// Codes that one read takes from the table: some 1 ms of work, so that a table that closes does not wait
/// long.
const CODES_AT_ONCE: usize = 4_096;

impl Observer for Core {
    fn reset(&self, table: &Table) -> Result<(), table::Error> {
        let directory = Directory::read(table)?;
        let mut newest = None;
        // New ids must sort after every stored one, even if the clock was set back.
        for versioned in directory.workspaces(&Reach::Instance) {
            newest = newest.max(table.newest_id(versioned.record.number)?);
        }
        *self.shared.ids.lock() = IdSource::after(newest);
        self.shared.directory.store(Arc::new(directory));
        // After the directory: loads from now on use it, and none may join a read that used the old one.
        self.shared.loader.forget_all();
        self.shared.cache.invalidate_where(|_| true);
        // Of a table that was rebuilt, the observer has seen no Changes.
        self.shared.indexes.clear();
        self.shared.link_changes.fetch_add(1, Ordering::Release);
        self.learn_codes(table);
        // Last: from here on, what is not found does not exist, so all of the above must be in place.
        self.shared.is_loaded.store(true, Ordering::Release);
        self.shared.directory_changes.notify_one();
        Ok(())
    }

    fn node(&self) -> NodeNumber {
        self.shared.node
    }

    fn totals_applied(&self, totals: &[(Id, NodeNumber, u64)]) {
        self.shared.cache.counters().apply_of_others(totals);
    }

    fn failed(&self) {
        // The filter is emptied, so that visitors of unknown codes get 503 and not "no such link".
        drop(self.shared.cache.learn_all(0));
    }

    fn links_gone(&self, links: &[(WorkspaceNumber, Id)]) {
        self.shared.indexes.note_gone(links);
    }

    fn applied(&self, change: &Change) {
        let mut directory: Option<Directory> = None;
        let mut workspaces = Vec::new();
        for entry in &change.entries {
            if let Some((domain, code)) = keys::parse_address(&entry.put.key) {
                // Requests from now on must not join a load that has read the old record.
                self.shared.loader.forget(domain, code);
                if entry.put.value.is_some() {
                    // A code that the filter lacks is answered as unknown without a look-up.
                    self.shared.cache.learn(domain, code);
                }
                self.shared.cache.invalidate(domain, code);
                self.shared.link_changes.fetch_add(1, Ordering::Release);
                if keys::parse_link(&entry.put.key).is_some() {
                    self.shared.note_placeholders(domain, code, entry.put.value.as_deref());
                    self.shared.indexes.note_link(&entry.put);
                }
            } else if let Some((workspace, import)) = keys::parse_staging(&entry.put.key) {
                let is_over = entry.put.value.is_none();
                self.shared.indexes.note_import(workspace, import, is_over);
                if !is_over {
                    continue;
                }
                // The import has ended: its links are visible, or its codes are free. Requests from now on
                // must not join a load that found the links hidden, nor find the codes cached as absent.
                self.shared.loader.forget_all();
                // Matches no entry: the walk only drops the codes that were cached as absent.
                self.shared.cache.invalidate_where(|_| false);
                self.shared.link_changes.fetch_add(1, Ordering::Release);
            } else if Directory::concerns(&entry.put) {
                // Copied once per Change: readers keep the old directory until the store below.
                let directory = directory.get_or_insert_with(|| (**self.shared.directory.load()).clone());
                if let Some(DirectoryKey::Workspace(number)) = DirectoryKey::parse(&entry.put.key) {
                    workspaces.push(number);
                }
                if let Err(error) = directory.apply(&entry.put, change.position) {
                    // The Change is durable, so it cannot be rejected here any more.
                    tracing::error!(%error, position = %change.position, "a Change holds a record that cannot be read");
                }
            }
        }
        // After the links: an imported link and its total are in one Change.
        self.shared.note_totals(change);
        let Some(directory) = directory else { return };
        // All compare with the directory in use, so they run before it is replaced.
        let filled_anew = self.shared.differing(&workspaces, &directory, |of| &of.custom_values);
        let switched = self.shared.differing(&workspaces, &directory, |of| &of.statistics);
        let new_hosts = self.shared.new_hosts(&directory, change);
        self.shared.directory.store(Arc::new(directory));
        self.shared.directory_changes.notify_one();
        if !new_hosts.is_empty() {
            // Links were compiled as leading to another server. They lead to this server now, so their clicks
            // need the check for loops.
            self.shared.loader.forget_all();
            self.shared.cache.invalidate_where(|entry| new_hosts.iter().any(|host| entry.mentions(host)));
        }
        if !filled_anew.is_empty() || !switched.is_empty() {
            // After the directory is stored, since a load takes the values from it. Requests from now on must
            // not join a load that used the old values.
            self.shared.loader.forget_all();
            let is_filled_anew = |entry: &Entry| match &entry.action {
                Action::Evaluate(decided) => {
                    filled_anew.contains(&decided.link.workspace) && decided.link.options.is_fillable()
                }
                // Links with placeholders are never plain, so that the cache has their records.
                Action::Redirect { .. } => false,
            };
            // The counter knows the workspace of a plain link as well.
            let is_switched = |entry: &Entry| switched.contains(&entry.counter.workspace());
            self.shared.cache.invalidate_where(|entry| is_filled_anew(entry) || is_switched(entry));
        }
    }
}

impl Core {
    /// Fills the cache's filter of codes on a thread of its own, at about one second per million links. Until
    /// the filter is complete, unknown codes are looked up in the table.
    fn learn_codes(&self, table: &Table) {
        let table = table.clone();
        // A plain link has two records, so the estimate is about twice too high, which leaves room to grow.
        let records = usize::try_from(table.status().records).unwrap_or(0);
        let learning = self.shared.cache.learn_all(records);
        let learn = move || {
            let mut after = None;
            loop {
                let learnt = table.each_code(after.as_deref(), CODES_AT_ONCE, &mut |domain, code| {
                    learning.learn(domain, code);
                });
                match learnt {
                    Ok(Some(last)) => after = Some(last),
                    Ok(None) => return learning.complete(),
                    // The table was closed or is about to be replaced. After a replacement the filter is
                    // filled again.
                    Err(error) => return tracing::debug!(%error, "not all codes were learnt"),
                }
            }
        };
        let thread = std::thread::Builder::new().name("codes".to_owned()).spawn(learn);
        if let Err(error) = thread {
            tracing::warn!(%error, "unknown codes will be looked up in the table");
        }
    }
}

impl Shared {
    /// Counts a change of a link with placeholders: see [`super::links::loops::filled::FilledLinks`].
    fn note_placeholders(&self, domain: DomainNumber, code: &str, value: Option<&[u8]>) {
        // Records contain the destination as plain bytes, so a byte search avoids decoding most of them.
        let has_some = |value: &&[u8]| memchr::memmem::find(value, PLACEHOLDER.as_bytes()).is_some();
        let staged = value.filter(has_some).and_then(|value| Staged::decode(domain, code, value).ok());
        if let Some(staged) = staged {
            self.filled_links.changed(staged.link.workspace);
        }
    }

    /// Returns the names of the domains that a Change adds.
    fn new_hosts(&self, coming: &Directory, change: &Change) -> Vec<Box<str>> {
        let present = self.directory.load();
        let domains = change.entries.iter().filter_map(|entry| keys::parse_domain(&entry.put.key));
        let names = domains.filter_map(|number| coming.domain(number)?.name.as_ref());
        let is_new = |name: &&HostName| present.domain_named(name.as_str()).is_none();
        names.filter(is_new).map(|name| name.as_str().into()).collect()
    }

    /// Returns those of the workspaces in whose records a part differs from the records in use.
    fn differing<T: PartialEq>(
        &self,
        changed: &[WorkspaceNumber],
        coming: &Directory,
        part: impl Fn(&Workspace) -> &T,
    ) -> Vec<WorkspaceNumber> {
        let present = self.directory.load();
        let differs = |number: &WorkspaceNumber| {
            let before = present.workspace(*number).map(|versioned| part(&versioned.record));
            before != coming.workspace(*number).map(|versioned| part(&versioned.record))
        };
        changed.iter().copied().filter(differs).collect()
    }
}
