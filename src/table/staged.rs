//! Links that an import has staged are in the table like any others, so that their codes are
//! taken, and hidden from every reader for as long as the mark of the import is there. Its last
//! Change removes the mark: all of them are there at that instant.
//!
//! A walk over many links decides about each import once, so that it sees all of it or nothing,
//! however many batches it reads and whatever ends meanwhile.

use std::collections::HashMap;

use bytes::Bytes;

use super::record::{Cell, Staged};
use super::store::Store;
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

/// What one reader sees: every import whole, or not at all.
///
/// Imports under way when it was made stay hidden from it. Of one that begins later, the first look
/// decides.
#[derive(Clone, Debug, Default)]
pub struct ReadView {
    /// By import, whether its links are hidden.
    hidden: HashMap<Id, bool>,
}

impl ReadView {
    /// The link under this key, unless it is hidden.
    pub(super) fn link(&mut self, store: &Store, key: &[u8]) -> Result<Option<Found<Link>>, Error> {
        Ok(self.link_and_size(store, key)?.0)
    }

    /// The same with the bytes of its record, which were read in either case.
    pub(super) fn link_and_size(
        &mut self,
        store: &Store,
        key: &[u8],
    ) -> Result<(Option<Found<Link>>, usize), Error> {
        let Some((revision, staged, bytes)) = read_with_size(store, key)? else { return Ok((None, 0)) };
        let hidden = match staged.import {
            None => false,
            Some(import) => self.hides(store, staged.link.workspace, import)?,
        };
        Ok(((!hidden).then_some(Found { revision, record: staged.link }), bytes))
    }

    fn hides(&mut self, store: &Store, workspace: WorkspaceNumber, import: Id) -> Result<bool, Error> {
        if let Some(decided) = self.hidden.get(&import) {
            return Ok(*decided);
        }
        let hidden = is_under_way(store, workspace, import)?;
        self.hidden.insert(import, hidden);
        Ok(hidden)
    }
}

/// The link under this key, hidden or not.
pub(super) fn read(store: &Store, key: &[u8]) -> Result<Option<(Position, Staged)>, Error> {
    Ok(read_with_size(store, key)?.map(|(revision, staged, _)| (revision, staged)))
}

fn read_with_size(store: &Store, key: &[u8]) -> Result<Option<(Position, Staged, usize)>, Error> {
    let Some((domain, code)) = keys::parse_link(key) else { return Ok(None) };
    let Some(bytes) = store.get(key)? else { return Ok(None) };
    let cell = Cell::decode(key, &bytes)?;
    Ok(Some((cell.revision, Staged::decode(domain, code, cell.value)?, bytes.len())))
}

impl Table {
    /// Whether a record is under this key, a hidden link included.
    pub fn holds_key(&self, key: &[u8]) -> Result<bool, Error> {
        self.read(|store| Ok(store.get(key)?.is_some()))
    }

    /// A look at this workspace as it is now, for a reader who comes back for more.
    pub fn view(&self, workspace: WorkspaceNumber) -> Result<ReadView, Error> {
        self.read(|store| {
            let mut view = ReadView::default();
            for pair in store.prefix(&keys::stagings_in(workspace)) {
                let (key, _) = pair?;
                view.hidden.extend(keys::parse_staging(&key).map(|(_, import)| (import, true)));
            }
            Ok(view)
        })
    }

    /// The link that lives there, even if an import has only staged it.
    pub fn link_or_staged(&self, domain: DomainNumber, code: &str) -> Result<Option<Link>, Error> {
        let key = keys::link(domain, code);
        self.read(|store| Ok(read(store, &key)?.map(|(_, staged)| staged.link)))
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
                let (entry, place) = pair?;
                let key = keys::link_of_index(&place);
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
