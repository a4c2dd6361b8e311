//! Reads of the results of the checks of links' destinations, and of the links that are due. `notes.rs` writes them.

use bytes::Bytes;

use super::error::Error;
use super::handle::Table;
use super::keys;
use super::notes::HealthNote;
use super::record::{Cell, Stored};
use super::store::Pair;
use crate::model::health::LinkHealth;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// Keys of links that one page of [`Table::links_to_check`] reads: some 1 ms.
const PAGE_KEYS: usize = 1_000;

/// Links that one page returns, so that a workspace whose links all have one host costs few reads of links that cannot
/// be checked yet.
const PAGE_LINKS: usize = 50;

/// Links that are due, in the order of their ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DuePage {
    #[allow(missing_docs)] // The type has the doc.
    pub links: Vec<Id>,
    /// The link after which the next page begins, `None` at the end of the workspace.
    pub next: Option<Id>,
}

impl Table {
    /// Stores the result of a check. Returns false if the link was deleted or changed since it was read, or if the table
    /// stops. Waits while the disk is full.
    pub async fn note_health(&self, note: HealthNote) -> bool {
        // Without an answer, the table has stopped.
        self.0.notes.add(note).await.unwrap_or(false)
    }

    /// Returns the result of the checks of a link.
    pub fn health(&self, workspace: WorkspaceNumber, id: Id) -> Result<Option<LinkHealth>, Error> {
        let key = keys::checked(workspace, id);
        Ok(self.get::<LinkHealth>(&key)?.map(|found| found.record))
    }

    /// Returns links behind `after` without a result, or whose result `is_due`. Reads up to [`PAGE_KEYS`] links, by their
    /// keys alone.
    pub fn links_to_check(
        &self,
        workspace: WorkspaceNumber,
        after: Option<Id>,
        is_due: &dyn Fn(&LinkHealth) -> bool,
    ) -> Result<DuePage, Error> {
        let behind = |prefix: Bytes| match after {
            None => prefix,
            Some(id) => [&prefix[..], &id.bits().to_be_bytes()].concat().into(),
        };
        let (listed, checked) = (keys::list_of(workspace), keys::checked_of(workspace));
        self.read(|store| {
            let mut results = store.behind(&checked, &behind(checked.clone()));
            // The result that is next in order, of this link or of a later one.
            let mut result = read_result(results.next())?;
            let (mut page, mut last) = (DuePage::default(), None);
            for (row, pair) in store.behind(&listed, &behind(listed.clone())).enumerate() {
                let (key, _) = pair?;
                let Some(id) = keys::trailing_id(&key) else { continue };
                if row == PAGE_KEYS || page.links.len() == PAGE_LINKS {
                    return Ok(DuePage { next: last, ..page });
                }
                last = Some(id);
                // Both ranges are in the order of the ids.
                while result.as_ref().is_some_and(|(of, _)| *of < id) {
                    result = read_result(results.next())?;
                }
                // Without a result the link was never checked, or was changed since.
                let known = result.as_ref().filter(|(of, _)| *of == id);
                if known.is_none_or(|(_, health)| is_due(health)) {
                    page.links.push(id);
                }
            }
            Ok(page)
        })
    }
}

fn read_result(pair: Option<Result<Pair, Error>>) -> Result<Option<(Id, LinkHealth)>, Error> {
    let Some((key, bytes)) = pair.transpose()? else { return Ok(None) };
    let health = LinkHealth::decode(Cell::decode(&key, &bytes)?.value)?;
    Ok(keys::trailing_id(&key).map(|id| (id, health)))
}
