//! Leases: the mark of work under way, which a node renews and every Change of the work relies on.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::core::commit::{Committed, Effect};
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::shared::Shared;
use crate::log::Position;
use crate::model::id::Id;
use crate::table::record::{Stored, WorkMark};

/// How long the work of a node is left alone by others. Renewed while it works: a node that dies leaves
/// its work to the others after that.
const LEASE_MILLIS: i64 = 15 * 60 * 1_000;

/// How often a lease is renewed: a third of it, so that two renewals may fail.
pub(super) const RENEW_EVERY: Duration = Duration::from_mins(5);

/// The mark of work under way, on which every Change of the work relies.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) key: Bytes,
    pub(super) frozen: Id,
    /// Of the mark's record: changes with each renewal.
    pub(super) revision: Position,
    pub(super) renewed: Instant,
}

impl Snapshots {
    /// Takes up the mark that was just written under this key.
    pub(super) async fn lease(&self, key: Bytes, frozen: Id) -> Result<Lease, Error> {
        let found = self.record::<WorkMark>(key.clone()).await?.ok_or(Error::Busy)?;
        Ok(Lease { key, frozen, revision: found.revision, renewed: Instant::now() })
    }

    /// Renews a lease when its time has come. Fails if the work was undone.
    pub(super) async fn renew(&self, lease: &mut Lease) -> Result<(), Error> {
        if lease.renewed.elapsed() < RENEW_EVERY {
            return Ok(());
        }
        let mut effect = Effect::default();
        effect.replace(lease.key.clone(), lease.revision, self.shared.work_mark(lease.frozen).encode());
        match self.commit_unasked(effect).await? {
            Committed::Done => {
                *lease = self.lease(lease.key.clone(), lease.frozen).await?;
                Ok(())
            }
            Committed::Conflict(_) => Err(Error::Busy),
        }
    }
}

impl Shared {
    /// The mark of work of this node, of which it has a lease from now on.
    pub(super) fn work_mark(&self, frozen: Id) -> WorkMark {
        WorkMark { frozen, owner: self.node, until: self.clock.now().plus_millis(LEASE_MILLIS) }
    }
}
