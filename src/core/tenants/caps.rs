//! Caps on what a workspace or company may have. They hold for concurrent creations too.
//!
//! Two creations that count at the same moment see the same number. So a creation is announced before it
//! counts, and its check includes all announced creations. An announcement ends when the Change is applied or
//! the creation has failed. So a creation is counted twice for a moment, and never missed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::core::error::Error;
use crate::model::id::{ForeignId, Id};
use crate::model::key::Reach;
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;

/// The kind of object that is capped, and its owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::core) enum Capped {
    Workspaces(ForeignId),
    Keys(Reach),
    /// Sessions of a key, or of the key in the environment for `None`.
    Sessions(Option<Id>),
    Tags(WorkspaceNumber),
    Campaigns(WorkspaceNumber),
    Snapshots(WorkspaceNumber),
    ClickShares(WorkspaceNumber),
    /// Bytes of records in memory: see [`super::growth`].
    Memory(Tenant),
}

/// The creations in progress, in objects or bytes.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Caps(Arc<Mutex<HashMap<Capped, usize>>>);

/// One or more creations in progress. They end when this is dropped.
#[derive(Debug)]
pub(in crate::core) struct Creating {
    caps: Caps,
    capped: Capped,
    count: usize,
    /// All creations in progress when this one was announced, itself included.
    announced: usize,
}

impl Caps {
    /// Announces `count` creations.
    pub(in crate::core) fn announce(&self, capped: Capped, count: usize) -> Creating {
        let mut in_progress = self.0.lock();
        let announced = in_progress.entry(capped.clone()).or_default();
        *announced += count;
        Creating { caps: self.clone(), capped, count, announced: *announced }
    }
}

impl Creating {
    /// Fails with `why` if the existing objects and all announced creations are more than `most`. `there`
    /// must be counted after the announcement.
    pub(in crate::core) fn check(&self, there: usize, most: usize, why: &str) -> Result<(), Error> {
        // Without new objects there is nothing to reject, even above the cap.
        if self.count > 0 && there.saturating_add(self.announced) > most {
            return Err(Error::Forbidden(why.to_owned()));
        }
        Ok(())
    }

    /// Returns how many of the existing objects must end, so that the others and all announced creations are at
    /// most `most`. `there` must be counted after the announcement.
    pub(in crate::core) fn surplus(&self, there: usize, most: usize) -> usize {
        there.saturating_add(self.announced).saturating_sub(most)
    }
}

impl Drop for Creating {
    fn drop(&mut self) {
        let mut in_progress = self.caps.0.lock();
        if let Some(announced) = in_progress.get_mut(&self.capped) {
            *announced -= self.count;
            // Removed at 0, so that the map has only owners with creations in progress.
            if *announced == 0 {
                in_progress.remove(&self.capped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_creations_count() {
        let caps = Caps::default();
        let tags = |count| caps.announce(Capped::Tags(WorkspaceNumber(1)), count);
        let first = tags(2);
        assert!(first.check(8, 10, "full").is_ok());
        assert!(first.check(9, 10, "full").is_err());
        let second = tags(1);
        // Eight exist, two are announced before it, and itself: eleven.
        assert!(second.check(8, 10, "full").is_err(), "the first two may come to be");
        // Another workspace has a count of its own.
        assert!(caps.announce(Capped::Tags(WorkspaceNumber(2)), 1).check(9, 10, "full").is_ok());
        assert!(tags(0).check(11, 10, "full").is_ok(), "nothing is created");
        // Nine are too many: the two sets that were announced before take the room of three.
        assert_eq!([first.surplus(8, 10), second.surplus(7, 10), second.surplus(9, 10)], [0, 0, 2]);
        drop(first);
        // Eight exist, `second` is still announced, and itself: ten.
        assert!(tags(1).check(8, 10, "full").is_ok());
        drop(second);
        assert!(caps.0.lock().is_empty());
    }
}
