//! Results of the checks of links' destinations. The log has none of them: each can be found again by a check, and a
//! million links would add a million records. So a table that is rebuilt begins without results.
//!
//! 1. The apply thread writes them between Changes, since only one thread may write. A result is written only for the
//!    revision of the link that was checked: a link that was deleted or changed during its check gets none.
//! 2. Results are removed with their link, and when its destinations change.
//! 3. A broken link is in the list of broken links, and has a result: the result is written first and removed last.

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::Error;
use super::found::{Found, decoded};
use super::keys;
use super::record::{Cell, Stored};
use super::staged::ReadView;
use super::store::Store;
use crate::log::Position;
use crate::model::health::{HealthState, LinkHealth};
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

/// The result of a check, to be stored.
#[derive(Debug)]
pub struct HealthNote {
    /// The key of the link's record.
    pub key: Bytes,
    /// The revision of the record that was checked.
    pub revision: Position,
    /// The workspace of the link.
    pub workspace: WorkspaceNumber,
    /// The link.
    pub link: Id,
    /// The new result.
    pub health: LinkHealth,
}

/// Results that wait for the apply thread: at most one for each check under way.
#[derive(Debug, Default)]
pub(super) struct HealthNotes(Mutex<Vec<(HealthNote, oneshot::Sender<bool>)>>);

impl HealthNotes {
    /// Adds a result. The receiver gets whether it was stored, and fails if the table stops first.
    pub(super) fn add(&self, note: HealthNote) -> oneshot::Receiver<bool> {
        let (sender, stored) = oneshot::channel();
        self.0.lock().push((note, sender));
        stored
    }

    /// Writes the results that wait. Returns whether there were any.
    pub(super) fn write(&self, store: &Store) -> Result<bool, Error> {
        // Taken out: a check that ends during the writes must not wait for them.
        let waiting = std::mem::take(&mut *self.0.lock());
        let has_some = !waiting.is_empty();
        for (note, stored) in waiting {
            let is_stored = write(store, &note)?;
            // The receiver is gone if the check was cancelled.
            let _ = stored.send(is_stored);
        }
        Ok(has_some)
    }

    /// Drops what waits: the table stops.
    pub(super) fn close(&self) {
        self.0.lock().clear();
    }
}

fn write(store: &Store, note: &HealthNote) -> Result<bool, Error> {
    let found = ReadView::default().link(store, &note.key)?;
    let same = |found: &Found<Link>| {
        (found.revision, found.record.id, found.record.workspace)
            == (note.revision, note.link, note.workspace)
    };
    // A title that was edited during the check loses its result too: the link is due, and is checked again soon.
    let Some(link) = found.filter(same).map(|found| found.record) else { return Ok(false) };
    let (checked, broken) =
        (keys::checked(note.workspace, note.link), keys::broken(note.workspace, note.link));
    let value = note.health.encode();
    let cell = Cell { revision: note.revision, replaces: Position::START, value: &value };
    let was_broken = decoded(store, &checked, LinkHealth::decode)?.map(|found| found.record.state)
        == Some(HealthState::Broken);
    let is_broken = note.health.state == HealthState::Broken;
    // The list first where the link leaves it, last where it enters: each broken link in the list has a result.
    if was_broken && !is_broken {
        store.remove(&broken)?;
    }
    store.insert(&checked, cell.encode(&checked))?;
    if is_broken && !was_broken {
        store.insert(&broken, keys::index_value(link.domain, &link.code))?;
    }
    Ok(true)
}

/// Removes the results of a link whose record is replaced by `link`, or removed, unless they still hold for it.
pub(super) fn keep_if_same(store: &Store, old: &Link, link: Option<&Link>) -> Result<(), Error> {
    if link.is_some_and(|link| is_same(old, link)) {
        return Ok(());
    }
    let checked = keys::checked(old.workspace, old.id);
    // Most links have none, and a removal writes.
    if store.get(&checked)?.is_some() {
        // In this order, as above.
        store.remove(&keys::broken(old.workspace, old.id))?;
        store.remove(&checked)?;
    }
    Ok(())
}

/// Returns whether a check of both links would find the same.
fn is_same(old: &Link, new: &Link) -> bool {
    let (before, after) = (&old.options, &new.options);
    (old.id, old.workspace) == (new.id, new.workspace)
        && (before.is_active, before.expires_at, before.link_type)
            == (after.is_active, after.expires_at, after.link_type)
        && before.utm == after.utm
        && before.destinations().eq(after.destinations())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::destination::Destination;
    use crate::model::link::sample;

    #[test]
    fn results_hold_until_a_check_would_find_something_else() {
        let old = sample::link(7, "a", sample::plain());
        let changed = |change: fn(&mut Link)| {
            let mut link = old.clone();
            change(&mut link);
            is_same(&old, &link)
        };
        assert!(changed(|_| ()));
        assert!(changed(|link| link.options.title = Some("t".into())));
        assert!(changed(|link| link.options.max_clicks = Some(3)));
        assert!(!changed(|link| link.options.is_active = false));
        assert!(!changed(|link| link.id = Id::from_bits(8)));
        assert!(!changed(|link| {
            link.options.destination = Destination::from_stored("https://f.test/".into());
        }));
    }
}
