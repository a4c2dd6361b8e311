//! Reads of the audit lists of workspaces: a whole list, and the entries about one link. Also of deleted links.

use super::error::Error;
use super::found::{Found, decoded};
use super::handle::Table;
use super::keys;
use super::record::{Cell, Stored, Tombstone};
use crate::model::audit::AuditEntry;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

impl Table {
    /// Returns the ids of the entries about a link, the oldest first.
    pub fn entries_about(&self, workspace: WorkspaceNumber, link: Id) -> Result<Vec<Id>, Error> {
        self.read(|store| {
            let mut ids = Vec::new();
            for pair in store.prefix(&keys::audits_of_link(workspace, link)) {
                // The keys alone: each change of a link reads them, and only a history needs the entries.
                ids.extend(keys::trailing_id(&pair?.0));
            }
            Ok(ids)
        })
    }

    /// Returns the entries about a link, the oldest first.
    pub fn history_of(
        &self,
        workspace: WorkspaceNumber,
        link: Id,
    ) -> Result<Vec<(Id, Found<AuditEntry>)>, Error> {
        let ids = self.entries_about(workspace, link)?;
        self.read(|store| {
            let mut entries = Vec::with_capacity(ids.len());
            for id in ids {
                // The list of a link is written before its entries, which a reader in between does not find.
                let found = decoded(store, &keys::audit(workspace, id), AuditEntry::decode)?;
                entries.extend(found.map(|found| (id, found)));
            }
            Ok(entries)
        })
    }

    /// Calls `each` with the tombstones of a workspace whose links are before `before`, the newest link first, until it
    /// returns false.
    pub fn each_deleted(
        &self,
        workspace: WorkspaceNumber,
        before: Option<Id>,
        each: &mut dyn FnMut(Tombstone) -> bool,
    ) -> Result<(), Error> {
        let prefix = keys::tombstones_of(workspace);
        self.read(|store| {
            let pairs = match before {
                None => store.prefix_back(&prefix),
                Some(id) => store.before(&prefix, &keys::tombstone(workspace, id)),
            };
            for pair in pairs {
                let (key, bytes) = pair?;
                if !each(Tombstone::decode(Cell::decode(&key, &bytes)?.value)?) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Calls `each` with the entries of a workspace before `before`, the newest first, until it returns false.
    pub fn each_entry(
        &self,
        workspace: WorkspaceNumber,
        before: Option<Id>,
        each: &mut dyn FnMut(Id, AuditEntry) -> bool,
    ) -> Result<(), Error> {
        let prefix = keys::audit_of(workspace);
        self.read(|store| {
            let pairs = match before {
                None => store.prefix_back(&prefix),
                Some(id) => store.before(&prefix, &keys::audit(workspace, id)),
            };
            for pair in pairs {
                let (key, bytes) = pair?;
                // The prefix fits, so a key without an id is damage, which the scrub finds.
                let Some((_, id)) = keys::parse_audit(&key) else { continue };
                if !each(id, AuditEntry::decode(Cell::decode(&key, &bytes)?.value)?) {
                    break;
                }
            }
            Ok(())
        })
    }
}
