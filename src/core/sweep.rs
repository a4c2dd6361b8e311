//! The sweep: removes what nothing needs any more. These are the remains of unfinished imports and snapshots,
//! stored outcomes older than a day, shares of statistics that show nothing any more, and tombstones and expired keys
//! past `links.tombstone_days`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::commit::{Committed, Effect};
use super::error::Error;
use super::handle::Core;
use super::idempotency::is_over;
use super::shared::Shared;
use super::tenants::keys::KEYS_MAX;
use crate::analytics::tick::{LinkRow, link_row};
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

/// Every how many rounds the sweep looks for tombstones: once a day. The details of their links are in files that are
/// written again as a whole.
const DELETED_EVERY: u64 = 24 * EXPIRED_EVERY;

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
            match self.sweep(self.shared.clock.now(), round % DELETED_EVERY == 0).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "expired records were removed"),
                Err(error) => tracing::warn!(%error, "expired records could not be removed"),
            }
        }
    }

    /// Removes the stored outcomes, tombstones, shares of statistics and keys that have expired at `now`. Returns how
    /// many records were removed. A record that changes during the sweep stays.
    pub async fn sweep_expired(&self, now: Timestamp) -> Result<usize, Error> {
        self.sweep(now, true).await
    }

    /// Sweeps. Without `with_links`, tombstones stay.
    async fn sweep(&self, now: Timestamp, with_links: bool) -> Result<usize, Error> {
        let expired = self.blocking(move |shared| shared.expired(now, with_links)).await?;
        let Expired { mut records, tombstones, totals, links } = expired;
        let mut removed = 0;
        // Before the tombstones, by which an interrupted sweep finds the totals again.
        for slice in totals.chunks(REMOVALS_PER_CHANGE) {
            // Without preconditions: the log compares no revisions of totals. Only `waypost import` brings a
            // link back under its old id, and no sweep runs beside it.
            let effect = Effect { puts: slice.to_vec(), ..Effect::default() };
            self.commit_unasked(effect).await?;
            removed += slice.len();
        }
        // Before the tombstones as well, and for the same reason.
        if self.forget_details(links).await? {
            records.extend(tombstones);
        }
        for slice in records.chunks(REMOVALS_PER_CHANGE) {
            removed += self.remove_expired(slice.to_vec()).await?;
        }
        Ok(removed)
    }

    /// Removes the details of clicks of deleted links. Returns false if some may be left.
    async fn forget_details(&self, links: BTreeSet<LinkRow>) -> Result<bool, Error> {
        let analytics = self.shared.analytics.clone().filter(|_| !links.is_empty());
        let Some(analytics) = analytics else { return Ok(true) };
        let forgotten = self.blocking(move |_| Ok(analytics.store.forget(&links))).await?;
        if let Err(error) = &forgotten {
            tracing::warn!(%error, "details of deleted links could not be removed; they are tried again in a day");
        }
        Ok(forgotten.is_ok())
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

/// What a sweep removes.
#[derive(Default)]
struct Expired {
    /// Keys and revisions of outcomes, shares and API keys.
    records: Vec<(Bytes, Position)>,
    /// The same of tombstones.
    tombstones: Vec<(Bytes, Position)>,
    /// The removals of the totals that the links of the tombstones have left.
    totals: Vec<Put>,
    /// The links of the tombstones, which may have left details of clicks.
    links: BTreeSet<LinkRow>,
}

impl Shared {
    /// Returns what has expired at `now`, tombstones only `with_links`.
    fn expired(&self, now: Timestamp, with_links: bool) -> Result<Expired, Error> {
        let kept = i64::from(self.settings.tombstone_days) * DAY_MILLIS;
        let (mut expired, mut shares) = (Vec::new(), Vec::new());
        let mut found = Expired::default();
        self.table.each_raw(&Kind::Outcome.prefix(), &mut |key, revision, value| {
            if is_over(&OutcomeRecord::decode(value)?, now) {
                expired.push((Bytes::copy_from_slice(key), revision));
            }
            Ok(())
        })?;
        if with_links {
            self.add_deleted(&mut found, now.as_millis() - kept)?;
        }
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
        found.records = expired;
        Ok(found)
    }

    /// Adds the tombstones from before an instant, and what their links have left.
    fn add_deleted(&self, found: &mut Expired, before: i64) -> Result<(), Error> {
        let mut deleted = BTreeMap::new();
        self.table.each_raw(&Kind::Tombstone.prefix(), &mut |key, revision, value| {
            let tombstone = Tombstone::decode(value)?;
            if tombstone.deleted_at.as_millis() < before {
                found.tombstones.push((Bytes::copy_from_slice(key), revision));
                deleted.insert(tombstone.link.id, tombstone.link.workspace);
            }
            Ok(())
        })?;
        for (id, workspace) in deleted {
            // A visit that loaded the link during its deletion may have left a total. A link that an import
            // has brought back since has a total and details of its own.
            if !self.is_there(id)? {
                found.totals.extend(self.remove_totals(id)?);
                found.links.insert(link_row(workspace, id));
            }
        }
        Ok(())
    }
}
