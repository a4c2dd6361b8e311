//! Leases: a node marks the work that it does and renews the mark. Every Change of the work requires the
//! mark.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::core::commit::{Committed, Effect};
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::shared::Shared;
use crate::log::Position;
use crate::model::id::Id;
use crate::table::record::{Stored, WorkMark};

/// How long other nodes leave a node's work alone after the last renewal. Work of a node that died is removed
/// after that.
const LEASE_MILLIS: i64 = 15 * 60 * 1_000;

/// How often a lease is renewed: three times within a lease, so that two renewals may fail.
pub(super) const RENEW_EVERY: Duration = Duration::from_mins(5);

/// The mark of work in progress, which every Change of the work requires.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) key: Bytes,
    pub(super) frozen: Id,
    /// The revision of the mark's record. Each renewal changes it.
    pub(super) revision: Position,
    pub(super) renewed: Instant,
}

impl Snapshots {
    /// Returns the lease of the mark that was just written under this key.
    pub(super) async fn lease(&self, key: Bytes, frozen: Id) -> Result<Lease, Error> {
        // Without the mark, the work was undone already.
        let found = self.record::<WorkMark>(key.clone()).await?.ok_or(Error::Busy)?;
        Ok(Lease { key, frozen, revision: found.revision, renewed: Instant::now() })
    }

    /// Renews a lease that is old enough. Fails with [`Error::Busy`] if the work was undone.
    pub(super) async fn renew(&self, lease: &mut Lease) -> Result<(), Error> {
        if lease.renewed.elapsed() < RENEW_EVERY {
            return Ok(());
        }
        let mut effect = Effect::default();
        effect.replace(lease.key.clone(), lease.revision, self.shared.work_mark(lease.frozen).encode());
        // On the program's authority: if the key was revoked, the next Change of the work fails.
        match self.commit_unasked(effect).await? {
            Committed::Done => {
                // Read again for its revision, which the next Change requires.
                *lease = self.lease(lease.key.clone(), lease.frozen).await?;
                Ok(())
            }
            Committed::Conflict(_) => Err(Error::Busy),
        }
    }
}

impl Shared {
    /// Returns the record of a mark of this node, with a lease that begins now.
    pub(super) fn work_mark(&self, frozen: Id) -> WorkMark {
        WorkMark { frozen, owner: self.node, until: self.clock.now().plus_millis(LEASE_MILLIS) }
    }
}
