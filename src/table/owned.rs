//! Look-ups under keys that all workspaces share, on behalf of one of them. A record of another workspace is
//! absent to the caller, and the time of the look-up must not show that it exists:
//!
//! 1. The owner is read from the first bytes of the record. The time to read the rest grows with its size.
//! 2. Without a record under the key, the record before it is read in its place. A look-up that fetches no
//!    bytes would be faster.

use super::error::Error;
use super::found::{Found, decoded};
use super::handle::Table;
use super::keys;
use super::record::{Owned, Owner, Stored, unchecked, workspace_of_link};
use super::staged::ReadView;
use crate::model::domain::DomainNumber;
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

impl Table {
    /// Returns the link of `code` on `domain` if `sees` accepts its workspace.
    pub fn link_seen(
        &self,
        domain: DomainNumber,
        code: &str,
        sees: impl Fn(WorkspaceNumber) -> bool,
    ) -> Result<Option<Found<Link>>, Error> {
        let key = keys::link(domain, code);
        self.read(|store| {
            // Not `get`, which is faster without a record: see 2 in the head.
            let Some((at, cell)) = store.at_or_before(&key)? else { return Ok(None) };
            let owner = unchecked(&cell).and_then(workspace_of_link);
            // One exit: a record of another workspace takes the same steps as no record.
            if owner.is_some_and(|owner| !sees(owner)) || *at != *key {
                return Ok(None);
            }
            let found = ReadView::default().link(store, &key)?;
            // The first fields were read without their checksum, or could not be read.
            Ok(found.filter(|found| sees(found.record.workspace)))
        })
    }

    /// Returns the record under `key` if `sees` accepts its owner.
    pub fn get_seen<T: Stored + Owned>(
        &self,
        key: &[u8],
        sees: impl Fn(&Owner) -> bool,
    ) -> Result<Option<Found<T>>, Error> {
        self.read(|store| {
            // Not `get`: as in `link_seen`.
            let Some((at, cell)) = store.at_or_before(key)? else { return Ok(None) };
            let owner = unchecked(&cell).and_then(T::owner_in);
            if owner.is_some_and(|owner| !sees(&owner)) || *at != *key {
                return Ok(None);
            }
            // Decoded whole only for a caller that may see the record.
            let found = decoded(store, key, T::decode)?;
            // The first fields were read without their checksum, or could not be read.
            Ok(found.filter(|found| sees(&found.record.owner())))
        })
    }
}
