//! The sweep: removes what nothing needs any more. These are the remains of unfinished imports and snapshots,
//! stored outcomes older than a day, and tombstones past `links.tombstone_days`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::error::Error;
use super::handle::Core;
use super::idempotency::is_over;
use crate::clock::Timestamp;
use crate::log::{CommitError, Position, Proposal, Put};
use crate::table::keys::Kind;
use crate::table::record::{OutcomeRecord, Tombstone};

/// Records removed per Change by the sweep.
const REMOVALS_PER_CHANGE: usize = 1_024;

/// How often the sweep looks for the remains of unfinished imports and snapshots, whose links occupy codes. A
/// look reads two short key ranges.
const LEFTOVERS_EVERY: Duration = Duration::from_mins(1);

/// Every how many rounds the sweep looks for expired records: once an hour. Expired records are ignored even
/// before they are removed.
const EXPIRED_EVERY: u64 = 60;

/// How often the sweep checks at the start whether the store is loaded.
const LOADED_POLL: Duration = Duration::from_millis(20);

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

impl Core {
    /// Sweeps regularly. Never returns; dropping the future stops the sweep.
    pub async fn sweep_regularly(&self) {
        let first = tokio::time::Instant::now() + LEFTOVERS_EVERY;
        let mut ticks = tokio::time::interval_at(first, LEFTOVERS_EVERY);
        // A long sweep must not be followed by a burst of sweeps.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0_u64.. {
            while !self.is_loaded() {
                tokio::time::sleep(LOADED_POLL).await;
            }
            // Without delay after a start: a client whose import was interrupted should be able to repeat it.
            if let Err(error) = self.snapshots().sweep_unfinished().await {
                tracing::warn!(%error, "what unfinished imports and snapshots left could not be removed");
            }
            ticks.tick().await;
            if round % EXPIRED_EVERY != 0 {
                continue;
            }
            match self.sweep_expired(self.shared.clock.now()).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "expired records were removed"),
                Err(error) => tracing::warn!(%error, "expired records could not be removed"),
            }
        }
    }

    /// Removes the stored outcomes and tombstones that have expired at `now`. Returns how many records were
    /// removed.
    pub async fn sweep_expired(&self, now: Timestamp) -> Result<usize, Error> {
        let kept = i64::from(self.shared.settings.tombstone_days) * DAY_MILLIS;
        let over = self
            .blocking(move |shared| {
                let mut over: Vec<bytes::Bytes> = Vec::new();
                let mut deleted = BTreeSet::new();
                shared.table.each::<OutcomeRecord>(&Kind::Outcome.prefix(), &mut |key, record| {
                    if is_over(&record, now) {
                        over.push(bytes::Bytes::copy_from_slice(key));
                    }
                    true
                })?;
                shared.table.each::<Tombstone>(&Kind::Tombstone.prefix(), &mut |key, tombstone| {
                    if now.as_millis() - tombstone.deleted_at.as_millis() > kept {
                        over.push(bytes::Bytes::copy_from_slice(key));
                        deleted.insert(tombstone.link.id);
                    }
                    true
                })?;
                for id in deleted {
                    // A visit that loaded the link during its deletion may have left a total. A link that an
                    // import has brought back since has a total of its own.
                    if !shared.is_there(id)? {
                        over.extend(shared.remove_totals(id)?.into_iter().map(|put| put.key));
                    }
                }
                Ok(over)
            })
            .await?;
        for keys in over.chunks(REMOVALS_PER_CHANGE) {
            let puts = keys.iter().map(|key| Put { key: key.clone(), value: None }).collect();
            let removed: Result<Position, CommitError> =
                self.shared.log.commit(Proposal { puts, ..Proposal::default() }).await;
            removed.map_err(Error::Log)?;
        }
        Ok(over.len())
    }
}
