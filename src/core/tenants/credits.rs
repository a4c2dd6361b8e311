//! Credits: how many links a workspace may still create. Each created link takes one in the very
//! Change that makes it, so that neither a race nor a crash makes or loses one; deleting a link
//! gives none back.
//!
//! A workspace's record says whether it has a balance at all, and what it was last set to; what is
//! left is a record of its own, some ten bytes, since it is written with every link. Workspaces
//! without a balance pay one look into the directory. Imports from a file take no credits: whoever
//! can run one on a stopped server owns the balances as well.

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

/// What a workspace may still create, held until the Change that takes from it is applied. What
/// keeps the balance exact is the Change's expectation; the turn keeps creators from failing each
/// other's.
pub(in crate::core) struct CreditGuard(Option<Balance>);

/// The purse of a workspace with a balance.
struct Balance {
    key: Bytes,
    /// Of the balance's record; `None` if it has none yet.
    revision: Option<Position>,
    left: u64,
    _lock: OwnedMutexGuard<()>,
}

impl Core {
    /// Waits for the workspace's turn, if it has a balance, and reads it.
    pub(in crate::core) async fn credit_guard(
        &self,
        workspace: WorkspaceNumber,
    ) -> Result<CreditGuard, Error> {
        if !self.has_balance(workspace) {
            return Ok(CreditGuard(None));
        }
        // One entry per workspace that ever had a balance: as bounded as the directory.
        let lock = Arc::clone(self.shared.credit_locks.lock().entry(workspace).or_default());
        let lock = lock.lock_owned().await;
        // Set to unlimited while this one waited.
        if !self.has_balance(workspace) {
            return Ok(CreditGuard(None));
        }
        let (revision, left) = self.blocking(move |shared| shared.balance(workspace)).await?;
        Ok(CreditGuard(Some(Balance { key: keys::balance(workspace), revision, left, _lock: lock })))
    }

    /// What the workspace may still create; `None` is unlimited.
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
    /// What is left, and the revision that says so. Without a record, as for balances set before there
    /// were such records, it is what the workspace's own says.
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
    /// How many of `wanted` links it pays for.
    pub(in crate::core) fn affords(&self, wanted: usize) -> usize {
        let left = self.0.as_ref().map_or(u64::MAX, |balance| balance.left);
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }

    /// Takes the price of so many links, which it affords, in the Change that makes them.
    pub(in crate::core) fn pay(&self, effect: &mut Effect, links: usize) {
        let Some(balance) = self.0.as_ref().filter(|_| links > 0) else { return };
        effect.preconditions.push(Precondition { key: balance.key.clone(), revision: balance.revision });
        effect.put(balance.key.clone(), Number(balance.left.saturating_sub(links as u64)).encode());
    }
}

/// Sets the balance that the workspace's record now says, in the same Change, whatever was left.
pub(in crate::core) fn set(effect: &mut Effect, workspace: &Workspace) {
    let key = keys::balance(workspace.number);
    match workspace.credits {
        Some(credits) => effect.put(key, Number(credits).encode()),
        None => effect.puts.push(Put { key, value: None }),
    }
}
