//! Look-ups under keys that all workspaces share, on behalf of one of them: what is another's is
//! absent, and is found to be so from the first bytes of its record. Reading all of it would tell
//! by the clock that it is there, the better the longer it is. For a key without a record the one
//! before it is looked at in its place: fetching no bytes at all would tell as well.

use super::record::{Owned, Owner, Stored, unchecked, workspace_of_link};
use super::staged::ReadView;
use super::{Error, Found, Table, decoded, keys};
use crate::model::domain::DomainNumber;
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

impl Table {
    /// The link that lives there, if `sees` says so of its workspace.
    pub fn link_seen(
        &self,
        domain: DomainNumber,
        code: &str,
        sees: impl Fn(WorkspaceNumber) -> bool,
    ) -> Result<Option<Found<Link>>, Error> {
        let key = keys::link(domain, code);
        self.read(|store| {
            let Some((at, cell)) = store.at_or_before(&key)? else { return Ok(None) };
            // Bytes that do not tell are damaged, which the whole look says.
            let owner = unchecked(&cell).and_then(workspace_of_link);
            if owner.is_some_and(|owner| !sees(owner)) || *at != *key {
                return Ok(None);
            }
            let found = ReadView::default().link(store, &key)?;
            Ok(found.filter(|found| sees(found.record.workspace)))
        })
    }

    /// The record under `key`, if `sees` says so of its owner.
    pub fn get_seen<T: Stored + Owned>(
        &self,
        key: &[u8],
        sees: impl FnOnce(Owner<'_>) -> bool,
    ) -> Result<Option<Found<T>>, Error> {
        self.read(|store| {
            let Some((at, cell)) = store.at_or_before(key)? else { return Ok(None) };
            let owner = unchecked(&cell).and_then(T::owner);
            if owner.is_some_and(|owner| !sees(owner)) || *at != *key {
                return Ok(None);
            }
            decoded(store, key, T::decode)
        })
    }
}
