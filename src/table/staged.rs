//! Staged links: an import writes its links to the table before it completes. Their codes are then taken, and
//! the links are hidden from readers while the mark of the import exists. The last Change of the import
//! removes the mark, which shows all its links at once.
//!
//! [`ReadView`] decides once for each import whether it is hidden: a reader sees all of its links or none,
//! however many batches it reads.

use std::collections::HashMap;

use super::error::Error;
use super::found::Found;
use super::keys;
use super::record::{Cell, Staged};
use super::store::Store;
use crate::log::Position;
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

/// Returns whether an import in this workspace is under way, so that its links are hidden.
pub(super) fn is_under_way(store: &Store, workspace: WorkspaceNumber, import: Id) -> Result<bool, Error> {
    Ok(store.get(&keys::staging(workspace, import))?.is_some())
}

/// The imports that one reader sees, each whole or not at all. Imports under way at its creation stay hidden.
/// A later import is decided when the reader first meets one of its links.
#[derive(Clone, Debug, Default)]
pub struct ReadView {
    /// Whether the links of an import are hidden.
    hidden: HashMap<Id, bool>,
}

impl ReadView {
    /// Creates a view that hides the imports which are under way in a workspace.
    pub(super) fn of(store: &Store, workspace: WorkspaceNumber) -> Result<ReadView, Error> {
        // Now, not at the first link of each: an import that ends during a scan stays hidden from all of it.
        let mut view = ReadView::default();
        for pair in store.prefix(&keys::stagings_in(workspace)) {
            let (key, _) = pair?;
            view.hidden.extend(keys::parse_staging(&key).map(|(_, import)| (import, true)));
        }
        Ok(view)
    }

    /// Returns the link under this key, unless it is hidden.
    pub(super) fn link(&mut self, store: &Store, key: &[u8]) -> Result<Option<Found<Link>>, Error> {
        Ok(self.link_and_size(store, key)?.0)
    }

    /// Returns the link under this key, unless it is hidden, and the size of the record that was read.
    pub(super) fn link_and_size(
        &mut self,
        store: &Store,
        key: &[u8],
    ) -> Result<(Option<Found<Link>>, usize), Error> {
        let Some((revision, staged, bytes)) = read_with_size(store, key)? else { return Ok((None, 0)) };
        let hidden = match staged.import {
            None => false,
            // The mark decides, not the record: its removal shows all links without a write of each.
            Some(import) => self.hides(store, staged.link.workspace, import)?,
        };
        Ok(((!hidden).then_some(Found { revision, record: staged.link }), bytes))
    }

    fn hides(&mut self, store: &Store, workspace: WorkspaceNumber, import: Id) -> Result<bool, Error> {
        if let Some(decided) = self.hidden.get(&import) {
            return Ok(*decided);
        }
        let hidden = is_under_way(store, workspace, import)?;
        // Remembered: the import may complete before the reader finds its next link.
        self.hidden.insert(import, hidden);
        Ok(hidden)
    }
}

/// Returns the link under this key, hidden or not, and its revision.
pub(super) fn read(store: &Store, key: &[u8]) -> Result<Option<(Position, Staged)>, Error> {
    Ok(read_with_size(store, key)?.map(|(revision, staged, _)| (revision, staged)))
}

fn read_with_size(store: &Store, key: &[u8]) -> Result<Option<(Position, Staged, usize)>, Error> {
    let Some((domain, code)) = keys::parse_link(key) else { return Ok(None) };
    let Some(bytes) = store.get(key)? else { return Ok(None) };
    let cell = Cell::decode(key, &bytes)?;
    Ok(Some((cell.revision, Staged::decode(domain, code, cell.value)?, bytes.len())))
}
