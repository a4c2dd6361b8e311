//! Links that an import has staged are in the table like any others, so that their codes are
//! taken, and hidden from every reader for as long as the mark of the import is there. Its last
//! Change removes the mark: all of them are there at that instant.
//!
//! A walk over many links asks for each import once, so that it sees all of it or nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;

use super::record::{Cell, Staged};
use super::store::{Store, StoreError};
use super::{Error, Found, Table, keys};
use crate::log::Position;
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

/// Whether the import that staged links in this workspace is still under way.
pub(super) fn is_under_way(store: &Store, workspace: WorkspaceNumber, import: Id) -> Result<bool, Error> {
    Ok(store.get(&keys::staging(workspace, import))?.is_some())
}

/// What one reader sees.
pub(super) struct Sight<'a> {
    store: &'a Store,
    under_way: RefCell<HashMap<Id, bool>>,
}

impl<'a> Sight<'a> {
    pub(super) fn new(store: &'a Store) -> Sight<'a> {
        Sight { store, under_way: RefCell::default() }
    }

    /// The link under this key, unless it is hidden.
    pub(super) fn link(&self, key: &[u8]) -> Result<Option<Found<Link>>, Error> {
        let Some((revision, staged)) = read(self.store, key)? else { return Ok(None) };
        let hidden = match staged.import {
            None => false,
            Some(import) => self.hides(staged.link.workspace, import)?,
        };
        Ok((!hidden).then_some(Found { revision, record: staged.link }))
    }

    fn hides(&self, workspace: WorkspaceNumber, import: Id) -> Result<bool, Error> {
        if let Some(known) = self.under_way.borrow().get(&import) {
            return Ok(*known);
        }
        let under_way = is_under_way(self.store, workspace, import)?;
        self.under_way.borrow_mut().insert(import, under_way);
        Ok(under_way)
    }
}

/// The link under this key, hidden or not.
pub(super) fn read(store: &Store, key: &[u8]) -> Result<Option<(Position, Staged)>, Error> {
    let Some((domain, code)) = keys::parse_link(key) else { return Ok(None) };
    let Some(bytes) = store.get(key)? else { return Ok(None) };
    let cell = Cell::decode(key, &bytes)?;
    Ok(Some((cell.revision, Staged::decode(domain, code, cell.value)?)))
}

impl Table {
    /// Whether a record is under this key, a hidden link included.
    pub fn holds_key(&self, key: &[u8]) -> Result<bool, Error> {
        self.read(|store| Ok(store.get(key)?.is_some()))
    }

    /// Whether imports into this workspace are under way.
    pub fn is_importing(&self, workspace: WorkspaceNumber) -> Result<bool, Error> {
        self.read(|store| {
            let first = store.prefix(&keys::stagings_in(workspace)).next();
            Ok(first.transpose().map_err(StoreError::from)?.is_some())
        })
    }

    /// How many links are to be seen on a domain of this workspace, out of the first `at_most`: at the
    /// cost of reading them while an import is under way.
    pub fn links_seen_on(
        &self,
        domain: DomainNumber,
        workspace: WorkspaceNumber,
        at_most: usize,
    ) -> Result<u64, Error> {
        if !self.is_importing(workspace)? {
            return self.links_on(domain, at_most);
        }
        self.read(|store| {
            let sight = Sight::new(store);
            let mut count = 0;
            for pair in store.prefix(&keys::links_on(domain)).take(at_most) {
                let (key, _) = pair.map_err(StoreError::from)?;
                count += u64::from(sight.link(&key)?.is_some());
            }
            Ok(count)
        })
    }

    /// Key, revision and id of up to `at_most` links that `import` has staged, the oldest first,
    /// behind `after`. Looks at most at 16 times as many links of the workspace; the last id says
    /// how far it came, `None` when it came to the end.
    pub fn staged_by(
        &self,
        workspace: WorkspaceNumber,
        import: Id,
        after: Id,
        at_most: usize,
    ) -> Result<(Vec<(Bytes, Position)>, Option<Id>), Error> {
        let prefix = keys::list_of(workspace);
        let bound = keys::listed(workspace, after);
        self.read(|store| {
            let mut found = Vec::new();
            for (row, pair) in store.behind(&prefix, &bound).enumerate() {
                let (entry, place) = pair.map_err(StoreError::from)?;
                let key = keys::of_place(&place);
                if let Some((revision, staged)) = read(store, &key)?
                    && staged.import == Some(import)
                {
                    found.push((key, revision));
                }
                if found.len() == at_most || row == 16 * at_most {
                    return Ok((found, keys::trailing_id(&entry)));
                }
            }
            Ok((found, None))
        })
    }
}
