//! The sweep: removes what nothing needs any more. These are the remains of unfinished imports and snapshots,
//! stored outcomes older than a day, shares of statistics that show nothing any more, and tombstones and expired keys
//! past `links.tombstone_days`.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::commit::{Committed, Effect};
use super::error::Error;
use super::handle::Core;
use super::idempotency::is_over;
use super::shared::Shared;
use super::tenants::keys::KEYS_MAX;
use crate::clock::Timestamp;
use crate::log::{Position, Put};
use crate::model::key::Reach;
use crate::table::keys::{self, Kind};
use crate::table::record::{OutcomeRecord, ShareRecord, Stored, Tombstone};

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

    /// Removes the stored outcomes, tombstones, shares of statistics and keys that have expired at `now`. Returns how many records were
    /// removed. A record that changes during the sweep stays.
    pub async fn sweep_expired(&self, now: Timestamp) -> Result<usize, Error> {
        let (expired, totals) = self.blocking(move |shared| shared.expired(now)).await?;
        let mut removed = 0;
        // Before the tombstones, by which an interrupted sweep finds the totals again.
        for slice in totals.chunks(REMOVALS_PER_CHANGE) {
            // Without preconditions: the log compares no revisions of totals. Only `waypost import` brings a
            // link back under its old id, and no sweep runs beside it.
            let effect = Effect { puts: slice.to_vec(), ..Effect::default() };
            self.commit_unasked(effect).await?;
            removed += slice.len();
        }
        for slice in expired.chunks(REMOVALS_PER_CHANGE) {
            removed += self.remove_expired(slice.to_vec()).await?;
        }
        Ok(removed)
    }

    /// Removes the records that still have these revisions. Returns their number.
    async fn remove_expired(&self, mut expired: Vec<(Bytes, Position)>) -> Result<usize, Error> {
        while !expired.is_empty() {
            let mut effect = Effect::default();
            for (key, revision) in &expired {
                effect.remove(key.clone(), *revision);
            }
            match self.commit_unasked(effect).await? {
                Committed::Done => break,
                // A repetition has replaced the outcome, which is now as young as its request. Each attempt
                // drops one key, so the loop ends.
                Committed::Conflict(changed) => expired.retain(|(key, _)| *key != changed),
            }
        }
        Ok(expired.len())
    }
}

impl Shared {
    /// Returns keys and revisions of the outcomes, tombstones, shares and API keys that have expired at `now`, and the
    /// removals of the totals that the links of these tombstones have left.
    fn expired(&self, now: Timestamp) -> Result<(Vec<(Bytes, Position)>, Vec<Put>), Error> {
        let kept = i64::from(self.settings.tombstone_days) * DAY_MILLIS;
        let (mut expired, mut shares, mut deleted) = (Vec::new(), Vec::new(), BTreeSet::new());
        self.table.each_raw(&Kind::Outcome.prefix(), &mut |key, revision, value| {
            if is_over(&OutcomeRecord::decode(value)?, now) {
                expired.push((Bytes::copy_from_slice(key), revision));
            }
            Ok(())
        })?;
        self.table.each_raw(&Kind::Tombstone.prefix(), &mut |key, revision, value| {
            let tombstone = Tombstone::decode(value)?;
            if now.as_millis() - tombstone.deleted_at.as_millis() > kept {
                expired.push((Bytes::copy_from_slice(key), revision));
                deleted.insert(tombstone.link.id);
            }
            Ok(())
        })?;
        self.table.each_raw(&Kind::Share.prefix(), &mut |key, revision, value| {
            // Shares of snapshots have no end.
            if let ShareRecord::Clicks(share) = ShareRecord::decode(value)? {
                shares.push((Bytes::copy_from_slice(key), revision, share));
            }
            Ok(())
        })?;
        // Behind the walk, which keeps the store open while it lasts.
        for (key, revision, share) in shares {
            if !self.is_open(&share, now.as_millis())? {
                expired.push((key, revision));
            }
        }
        let directory = self.directory.load();
        for versioned in directory.keys_within(&Reach::Instance) {
            let Some(end) = versioned.record.expires_at.filter(|end| *end <= now) else { continue };
            // Stores that were written before expired keys counted have more than the cap.
            let is_above_cap = directory.key_count(&versioned.record.reach) > KEYS_MAX;
            if is_above_cap || now.as_millis() - end.as_millis() > kept {
                expired.push((keys::api_key(versioned.record.id), versioned.revision));
            }
        }
        let mut totals = Vec::new();
        for id in deleted {
            // A visit that loaded the link during its deletion may have left a total. A link that an import
            // has brought back since has a total of its own.
            if !self.is_there(id)? {
                totals.extend(self.remove_totals(id)?);
            }
        }
        Ok((expired, totals))
    }
}
