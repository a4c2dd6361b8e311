//! Reads of all links of a workspace, hidden ones included, in pieces: for an index in memory that follows the table.

use std::fs::File;
use std::io;

use bytes::Bytes;

use super::error::Error;
use super::handle::Table;
use super::keys;
use super::record::{Cell, Staged, decode_clicks, workspace_of_link};
use super::staged;
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::node::NodeNumber;
use crate::model::workspace::WorkspaceNumber;

impl Table {
    /// Calls `each` with the ids of up to `at_most` links of a workspace behind `after`, the oldest first. Returns the
    /// number of ids.
    pub fn each_id(
        &self,
        workspace: WorkspaceNumber,
        after: Option<Id>,
        at_most: usize,
        each: &mut dyn FnMut(Id),
    ) -> Result<usize, Error> {
        let prefix = keys::list_of(workspace);
        // The prefix alone is no key, so that a walk behind it skips nothing.
        let bound = after.map_or_else(|| prefix.clone(), |id| keys::listed(workspace, id));
        self.read(|store| {
            let mut count = 0;
            for pair in store.behind(&prefix, &bound).take(at_most) {
                // A key without an id is damage, which the scrub finds.
                keys::trailing_id(&pair?.0).into_iter().for_each(&mut *each);
                count += 1;
            }
            Ok(count)
        })
    }

    /// Calls `each` with the links of a workspace among up to `at_most` links on a domain behind the key `after`, in the
    /// order of their codes. Returns the last key, `None` at the end. Reads neighbours, so that a link costs a tenth of
    /// what it costs in the order of ids.
    pub fn each_staged_on(
        &self,
        workspace: WorkspaceNumber,
        domain: DomainNumber,
        after: Option<&[u8]>,
        at_most: usize,
        each: &mut dyn FnMut(Staged),
    ) -> Result<Option<Bytes>, Error> {
        let prefix = keys::links_on(domain);
        self.read(|store| {
            let mut last = None;
            for pair in store.behind(&prefix, after.unwrap_or(&prefix)).take(at_most) {
                let (key, bytes) = pair?;
                let cell = Cell::decode(&key, &bytes)?;
                if workspace_of_link(cell.value) == Some(workspace)
                    && let Some((domain, code)) = keys::parse_link(&key)
                {
                    each(Staged::decode(domain, code, cell.value)?);
                }
                last = Some(key);
            }
            Ok(last.map(Bytes::from))
        })
    }

    /// Calls `each` with those of these links that a workspace has, each found by its id.
    pub fn each_staged_of(
        &self,
        workspace: WorkspaceNumber,
        ids: &[Id],
        each: &mut dyn FnMut(Staged),
    ) -> Result<(), Error> {
        self.read(|store| {
            for id in ids {
                let Some(entry) = store.get(&keys::listed(workspace, *id))? else { continue };
                let found = staged::read(store, &keys::link_of_index(&entry))?.map(|(_, staged)| staged);
                // The code of a stale entry may belong to another link.
                found.filter(|staged| staged.link.id == *id).into_iter().for_each(&mut *each);
            }
            Ok(())
        })
    }

    /// Returns the imports that are under way in a workspace.
    pub fn stagings(&self, workspace: WorkspaceNumber) -> Result<Vec<Id>, Error> {
        self.read(|store| {
            let mut imports = Vec::new();
            for pair in store.prefix(&keys::stagings_in(workspace)) {
                imports.extend(keys::parse_staging(&pair?.0).map(|(_, import)| import));
            }
            Ok(imports)
        })
    }

    /// Calls `each` with the id of every link of a workspace whose destinations do not work.
    pub fn each_broken(&self, workspace: WorkspaceNumber, each: &mut dyn FnMut(Id)) -> Result<(), Error> {
        self.read(|store| {
            for pair in store.prefix(&keys::broken_of(workspace)) {
                keys::trailing_id(&pair?.0).into_iter().for_each(&mut *each);
            }
            Ok(())
        })
    }

    /// Calls `each` with up to `at_most` click totals of links of any workspace behind `after`, in the order of their
    /// links. Returns the last link, `None` at the end. All totals of a link are in one call.
    pub fn each_total(
        &self,
        after: Id,
        at_most: usize,
        each: &mut dyn FnMut(Id, NodeNumber, u64),
    ) -> Result<Option<Id>, Error> {
        let bound = keys::clicks(after, NodeNumber(u16::MAX));
        self.read(|store| {
            let mut last = None;
            for (row, pair) in store.behind(&keys::Kind::Clicks.prefix(), &bound).enumerate() {
                let (key, bytes) = pair?;
                let Some((id, node)) = keys::parse_clicks(&key) else { continue };
                // Between two links: the totals of all nodes are summed by the caller.
                if row >= at_most && last != Some(id) {
                    return Ok(last);
                }
                each(id, node, decode_clicks(Cell::decode(&key, &bytes)?.value)?);
                last = Some(id);
            }
            Ok(None)
        })
    }

    /// Creates a file without a name beside the table's files. The system removes it with its last descriptor.
    pub fn scratch_file(&self) -> io::Result<File> {
        // In the table's folder: /tmp is in memory on many systems.
        tempfile::tempfile_in(&self.0.dir)
    }
}
