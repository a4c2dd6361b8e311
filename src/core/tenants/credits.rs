//! Credits: how many links a workspace may still create. A created link takes one credit in the Change that
//! creates it, so neither a race nor a crash adds or loses one. Deleting a link returns none.
//!
//! A workspace's record has the balance that was last set, if any. The present balance is a record of its own
//! of some ten bytes, since it is written with every link. Workspaces without a balance cost one look-up in
//! the directory. Imports from a file take no credits: they run on a stopped server, whose owner can set
//! balances as well.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;

use crate::core::commit::Effect;
use crate::core::error::Error;
use crate::core::handle::Core;
use crate::core::shared::Shared;
use crate::log::{Position, Precondition, Put};
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::keys;
use crate::table::record::{Number, Stored};

/// The credits of a workspace, kept until the Change that takes from them is applied. The Change's
/// precondition keeps the balance exact. The lock only keeps concurrent creations from failing each other's
/// precondition.
pub(in crate::core) struct CreditGuard(Option<Balance>);

/// The balance, for a workspace that has one.
struct Balance {
    key: Bytes,
    /// The revision of the balance's record; `None` if there is no record yet.
    revision: Option<Position>,
    left: u64,
    _lock: OwnedMutexGuard<()>,
}

impl Core {
    /// Acquires the lock of the workspace's credits and reads its balance. Returns at once for a workspace
    /// without a balance.
    pub(in crate::core) async fn credit_guard(
        &self,
        workspace: WorkspaceNumber,
    ) -> Result<CreditGuard, Error> {
        // Most workspaces have no balance, and their creations need no lock.
        if !self.has_balance(workspace) {
            return Ok(CreditGuard(None));
        }
        // One entry per workspace that ever had a balance, so as many as workspaces at most.
        let lock = Arc::clone(self.shared.credit_locks.lock().entry(workspace).or_default());
        let lock = lock.lock_owned().await;
        // The balance may have been removed during the wait.
        if !self.has_balance(workspace) {
            return Ok(CreditGuard(None));
        }
        let (revision, left) = self.blocking(move |shared| shared.balance(workspace)).await?;
        Ok(CreditGuard(Some(Balance { key: keys::balance(workspace), revision, left, _lock: lock })))
    }

    /// Returns the credits that are left; `None` is unlimited.
    pub(in crate::core) async fn credits_left(&self, workspace: &Workspace) -> Result<Option<u64>, Error> {
        if workspace.credits.is_none() {
            return Ok(None);
        }
        let number = workspace.number;
        self.blocking(move |shared| shared.balance(number).map(|(_, left)| Some(left))).await
    }

    fn has_balance(&self, workspace: WorkspaceNumber) -> bool {
        self.directory().workspace(workspace).is_some_and(|versioned| versioned.record.credits.is_some())
    }
}

impl Shared {
    /// Returns the present balance and the revision of its record. Balances that were set by older versions
    /// have no record: then it is the number in the workspace's record.
    pub(in crate::core) fn balance(
        &self,
        workspace: WorkspaceNumber,
    ) -> Result<(Option<Position>, u64), Error> {
        if let Some(found) = self.table.get::<Number>(&keys::balance(workspace))? {
            return Ok((Some(found.revision), found.record.0));
        }
        let directory = self.directory.load();
        let set = directory.workspace(workspace).and_then(|versioned| versioned.record.credits);
        Ok((None, set.unwrap_or(0)))
    }
}

impl CreditGuard {
    /// Returns how many of `wanted` links the balance covers.
    pub(in crate::core) fn affords(&self, wanted: usize) -> usize {
        let left = self.0.as_ref().map_or(u64::MAX, |balance| balance.left);
        // A balance beyond `usize` covers every number of links.
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }

    /// Takes `links` credits in the Change that creates the links. The balance must cover them.
    pub(in crate::core) fn pay(&self, effect: &mut Effect, links: usize) {
        // A Change without links must not conflict with creations.
        let Some(balance) = self.0.as_ref().filter(|_| links > 0) else { return };
        effect.preconditions.push(Precondition { key: balance.key.clone(), revision: balance.revision });
        // Saturates: a bug must not turn a small balance into a huge one.
        effect.put(balance.key.clone(), Number(balance.left.saturating_sub(links as u64)).encode());
    }
}

/// Sets the balance to the number in the workspace's record, in the same Change.
pub(in crate::core) fn set(effect: &mut Effect, workspace: &Workspace) {
    let key = keys::balance(workspace.number);
    match workspace.credits {
        // Without a precondition: the new balance replaces what is left of the old one.
        Some(credits) => effect.put(key, Number(credits).encode()),
        None => effect.puts.push(Put { key, value: None }),
    }
}
