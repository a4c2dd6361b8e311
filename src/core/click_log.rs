//! From counters to the log, every second; and what is swept up behind: clean counters, answers
//! older than a day, tombstones older than a month.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::idempotency::is_over;
use super::{Error, Links, Shared};
use crate::clicks::counter::Counter;
use crate::clock::Timestamp;
use crate::log::{AppliedState, CommitError, Pending, Position, Proposal, Put};
use crate::model::id::Id;
use crate::settings::{BadSetting, show_duration};
use crate::table::keys;
use crate::table::record::{Answer, Tombstone, encode_clicks};

/// `[clicks]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How often counted clicks are written to the log: what a crash may lose of them.
    #[serde(with = "crate::settings::duration")]
    pub flush_interval: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { flush_interval: Duration::from_secs(1) }
    }
}

impl Settings {
    /// Every rule about a value that has the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let (least, most) = (Duration::from_millis(50), Duration::from_hours(1));
        if (least..=most).contains(&self.flush_interval) {
            return Ok(());
        }
        let shown = format!("{:?}", show_duration(self.flush_interval));
        Err(BadSetting::new("flush_interval", shown, "must be from \"50ms\" to \"1h\""))
    }
}

/// Totals per Change: some 300 KB, below what a Change may hold.
const TOTALS_PER_CHANGE: usize = 8_192;

/// Records removed per Change by the sweep.
const REMOVALS_PER_CHANGE: usize = 1_024;

/// How often is looked for what unfinished imports and snapshots left: until it is gone, it holds
/// codes. Two short prefixes are read.
const LEFTOVERS_EVERY: Duration = Duration::from_mins(1);

/// How many of those times expired records are looked for once: each hour. They are ignored once
/// expired, whether swept or not.
const EXPIRED_EVERY: u64 = 60;

/// How often the start looks whether the store was read.
const LOADED_POLL: Duration = Duration::from_millis(20);

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

impl Links {
    /// Drains all dirty counters into the log, and waits until the table has their totals, within its
    /// patience. Answers how many links were clicked. When the log does not take them, they stay in
    /// memory and are drained again next time.
    pub async fn flush_clicks(&self) -> Result<usize, Error> {
        let clicked = self.drain_clicks(false).await?;
        self.0.table.wait(self.0.log.position()).await;
        Ok(clicked)
    }

    /// Drains all counters when no click can come any more: what links with a limit have reserved and
    /// not given out is given back.
    pub async fn flush_last_clicks(&self) -> Result<usize, Error> {
        self.drain_clicks(true).await
    }

    /// Does not wait for the table: a crash meanwhile would lose all clicks that come while it lags.
    async fn drain_clicks(&self, last: bool) -> Result<usize, Error> {
        let counters = self.0.cache.counters();
        self.0.forget_clean();
        let mut held = counters.drain(last);
        let clicked = held.len();
        let mut written = Ok(clicked);
        for at in (0..clicked).step_by(TOTALS_PER_CHANGE) {
            let pending = self.0.hand_in_totals(&held[at..clicked.min(at + TOTALS_PER_CHANGE)]);
            if let Err(error) = pending.await {
                counters.put_back(held.split_off(at));
                written = Err(Error::Log(error));
                break;
            }
        }
        // Before they are let go, and may be forgotten.
        let mut drained = self.0.drained.lock();
        *drained = self.0.log.position();
        written
    }

    /// Drains counters every `interval`, and before its end when many are dirty, until `stop` holds true. Not to be aborted: a drain cut short
    /// would lose what it holds.
    pub async fn flush_regularly(&self, interval: Duration, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.0.cache.counters().crowded() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            match self.drain_clicks(false).await {
                Ok(_) => told = false,
                // Every second the same line for as long as a disk is full helps nobody.
                Err(error) if !told => {
                    tracing::error!(%error, "clicks cannot be written to the log and stay in memory");
                    told = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Removes expired records now and then, until dropped.
    pub async fn sweep_regularly(&self) {
        let first = tokio::time::Instant::now() + LEFTOVERS_EVERY;
        let mut ticks = tokio::time::interval_at(first, LEFTOVERS_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0_u64.. {
            while !self.is_loaded() {
                tokio::time::sleep(LOADED_POLL).await;
            }
            // At once after a start: whoever began an import before it wants to begin it anew.
            if let Err(error) = self.sweep_snapshots().await {
                tracing::warn!(%error, "what unfinished imports and snapshots left could not be removed");
            }
            ticks.tick().await;
            if round % EXPIRED_EVERY != 0 {
                continue;
            }
            match self.sweep(self.0.clock.now()).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "expired records were removed"),
                Err(error) => tracing::warn!(%error, "expired records could not be removed"),
            }
        }
    }

    /// Removes the answers and tombstones that are over at `now`. Answers how many.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, Error> {
        let kept = i64::from(self.0.settings.tombstone_days) * DAY_MILLIS;
        let over = self
            .blocking(move |shared| {
                let mut over: Vec<bytes::Bytes> = Vec::new();
                let mut deleted = BTreeSet::new();
                shared.table.each::<Answer>(b"a", &mut |key, answer| {
                    if is_over(&answer, now) {
                        over.push(bytes::Bytes::copy_from_slice(key));
                    }
                    true
                })?;
                shared.table.each::<Tombstone>(b"x", &mut |key, tombstone| {
                    if now.as_millis() - tombstone.deleted_at.as_millis() > kept {
                        over.push(bytes::Bytes::copy_from_slice(key));
                        deleted.insert(tombstone.link.id);
                    }
                    true
                })?;
                for id in deleted {
                    // A visit that was loading the link while it was deleted may have left a total. One
                    // that an import has brought back since has its own.
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
                self.0.log.commit(Proposal { puts, ..Proposal::default() }).await;
            removed.map_err(Error::Log)?;
        }
        Ok(over.len())
    }
}

impl Shared {
    /// Forgets the counters that nobody needs and whose totals the table has: a load reads them there.
    fn forget_clean(&self) {
        let drained = self.drained.lock();
        self.cache.counters().sweep(self.table.applied(), *drained);
    }

    /// Returns the put of this node's click total of a link.
    pub(super) fn put_total(&self, id: Id, own: u64) -> Put {
        Put { key: keys::clicks(id, self.node), value: Some(encode_clicks(own).into()) }
    }

    /// Returns the puts that remove a link's click totals: this node's, and those of others that are there.
    pub(super) fn remove_totals(&self, id: Id) -> Result<Vec<Put>, Error> {
        let others = self.table.clicks(id, self.node)?.others.into_iter().map(|(node, _)| node);
        let remove = |node| Put { key: keys::clicks(id, node), value: None };
        Ok(std::iter::once(self.node).chain(others).map(remove).collect())
    }

    fn hand_in_totals(&self, counters: &[Arc<Counter>]) -> Pending {
        let _order = self.totals.lock();
        // Under the lock, since a deletion that went first has removed the total.
        let kept: Vec<_> = counters.iter().filter(|counter| !counter.is_retired()).cloned().collect();
        let puts =
            self.cache.counters().tally(&kept).into_iter().map(|(id, own)| self.put_total(id, own)).collect();
        self.log.commit(Proposal { puts, ..Proposal::default() })
    }
}
