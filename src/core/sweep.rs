//! The sweep: removes what nothing needs any more. These are the remains of unfinished imports and snapshots,
//! stored outcomes older than a day, sessions that are over, shares of statistics that will show nothing any more,
//! tombstones and expired keys past `links.tombstone_days`, and entries of audit lists past `history.max_age`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::commit::{Committed, Effect};
use super::error::Error;
use super::handle::Core;
use super::idempotency::is_over;
use super::shared::Shared;
use super::tenants::directory::Versioned;
use super::tenants::keys::KEYS_MAX;
use crate::analytics::tick::{LinkRow, link_row};
use crate::clock::Timestamp;
use crate::log::{Position, Put};
use crate::model::key::{ApiKey, Reach};
use crate::model::workspace::WorkspaceNumber;
use crate::table::Found;
use crate::table::keys::{self, Kind};
use crate::table::record::{OutcomeRecord, RetiredKey, ShareRecord, Stored, Tombstone};

/// Records removed per Change by the sweep.
const REMOVALS_PER_CHANGE: usize = 1_024;

/// How often the sweep looks for the remains of unfinished imports and snapshots, whose links occupy codes. A
/// look reads two short key ranges.
const LEFTOVERS_EVERY: Duration = Duration::from_mins(1);

/// Every how many rounds the sweep looks for expired records: once an hour. Expired records are ignored even
/// before they are removed.
const EXPIRED_EVERY: u64 = 60;

/// Every how many rounds the sweep looks for tombstones and old entries of audit lists: once a day. The details of the
/// links of tombstones are in files that are written again as a whole, and a look at the entries reads all of them.
const DELETED_EVERY: u64 = 24 * EXPIRED_EVERY;

/// Most entries in the audit list of a workspace after a sweep: some 150 MB. Past it, the oldest are removed before
/// `history.max_age`, so that a client that changes a link in a loop, or creates and deletes links, fills no disk.
const ENTRIES_MAX: usize = 1_000_000;

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

    /// Removes the stored outcomes, sessions, tombstones, shares of statistics, keys and entries of audit lists that have expired
    /// at `now`. Returns how many records were removed. A record that changes during the sweep stays.
    pub async fn sweep_expired(&self, now: Timestamp) -> Result<usize, Error> {
        self.sweep(now, true).await
    }

    /// Sweeps. Without `with_links`, tombstones and entries of audit lists stay.
    async fn sweep(&self, now: Timestamp, with_links: bool) -> Result<usize, Error> {
        let expired = self.blocking(move |shared| shared.expired(now, with_links)).await?;
        let Expired { mut records, tombstones, totals, links, keys } = expired;
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
        // One by one: a key that is revoked at this moment must not keep the others.
        for key in keys {
            let mut effect = Effect::default();
            effect.remove_key(&self.directory(), &key, now);
            // A conflict means that a request has revoked the key.
            removed += usize::from(matches!(self.commit_unasked(effect).await?, Committed::Done));
        }
        if with_links {
            self.forget_removed_in_log().await?;
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

    /// Removes the details from the log that are no longer in the files, because of their age or with their link. At most
    /// once a day, since a compaction writes every link again.
    async fn forget_removed_in_log(&self) -> Result<(), Error> {
        let Some(analytics) = self.shared.analytics.as_ref() else { return Ok(()) };
        if !analytics.store.take_removed() {
            return Ok(());
        }
        let forgotten = self.click_log().forget_details_in_log().await;
        if !matches!(forgotten, Ok(true)) {
            // The next sweep tries again.
            analytics.store.note_removed();
        }
        forgotten.map(drop)
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
    /// Keys and revisions of outcomes, sessions, shares and entries of audit lists.
    records: Vec<(Bytes, Position)>,
    /// The same of tombstones.
    tombstones: Vec<(Bytes, Position)>,
    /// The removals of the totals that the links of the tombstones have left.
    totals: Vec<Put>,
    /// The links of the tombstones, which may have left details of clicks.
    links: BTreeSet<LinkRow>,
    /// The API keys, whose names stay.
    keys: Vec<Versioned<ApiKey>>,
}

impl Shared {
    /// Returns what has expired at `now`, tombstones and entries of audit lists only `with_links`.
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
            self.add_entries(&mut found.records, self.history.expired_at(now.as_millis()))?;
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
            if !self.may_open(&share, now.as_millis())? {
                expired.push((key, revision));
            }
        }
        let directory = self.directory.load();
        for versioned in directory.keys_within(&Reach::Instance) {
            let Some(end) = versioned.record.expires_at.filter(|end| *end <= now) else { continue };
            // Stores that were written before expired keys counted have more than the cap.
            let is_above_cap = directory.key_count(&versioned.record.reach) > KEYS_MAX;
            if is_above_cap || now.as_millis() - end.as_millis() > kept {
                found.keys.push(versioned.clone());
            }
        }
        found.records.extend(expired);
        found.records.extend(self.sessions_over(&directory, now));
        // The content of a deleted link may be as old as entries are kept. A Change writes each key once.
        found.records.sort_unstable();
        found.records.dedup();
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
                // Who created and deleted the link stays in the audit list. What it was does not.
                // At most `history.max_revisions` for each link.
                let entries = self.table.history_of(workspace, id)?.into_iter();
                let with_content = entries.filter(|(_, entry)| entry.record.before.is_some());
                let removal = |(entry, found): (_, Found<_>)| (keys::audit(workspace, entry), found.revision);
                found.records.extend(with_content.map(removal));
            }
        }
        Ok(())
    }

    /// Adds the entries of audit lists, and the names of keys that no longer exist, of before an instant. Of a workspace
    /// with more entries than [`ENTRIES_MAX`], adds the oldest ones above this number as well.
    fn add_entries(&self, expired: &mut Vec<(Bytes, Position)>, before: i64) -> Result<(), Error> {
        // Two walks, since a walk does not know at the first entry how many follow.
        let mut counts: BTreeMap<WorkspaceNumber, usize> = BTreeMap::new();
        self.table.each_raw(&Kind::Audit.prefix(), &mut |key, _, _| {
            if let Some((workspace, _)) = keys::parse_audit(key) {
                *counts.entry(workspace).or_default() += 1;
            }
            Ok(())
        })?;
        self.table.each_raw(&Kind::Audit.prefix(), &mut |key, revision, _| {
            let Some((workspace, entry)) = keys::parse_audit(key) else { return Ok(()) };
            // The oldest come first, and each one is subtracted. Those that were written since the count may stay.
            let left = counts.entry(workspace).or_default();
            if *left > ENTRIES_MAX || entry.millis() <= before {
                expired.push((Bytes::copy_from_slice(key), revision));
            }
            *left = left.saturating_sub(1);
            Ok(())
        })?;
        self.table.each_raw(&Kind::RetiredKey.prefix(), &mut |key, revision, value| {
            if RetiredKey::decode(value)?.at.as_millis() <= before {
                expired.push((Bytes::copy_from_slice(key), revision));
            }
            Ok(())
        })?;
        Ok(())
    }
}
