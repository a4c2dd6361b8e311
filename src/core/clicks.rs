//! Clicks from the counters to the log: the drain, which runs every second, and the reservations of links
//! with a limit, which are durable before a click is admitted.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::error::Error;
use super::handle::{ClickLog, Core};
use super::shared::Shared;
use crate::clicks::counter::Counter;
use crate::log::{AppliedState, Pending, Proposal, Put};
use crate::model::id::Id;
use crate::model::link::Link;
use crate::settings::{BadSetting, duration};
use crate::table::keys;
use crate::table::record::encode_clicks;

/// `[clicks]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Interval at which counted clicks are written to the log. A crash loses at most the clicks of one
    /// interval.
    #[serde(with = "crate::settings::duration")]
    pub flush_interval: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { flush_interval: Duration::from_secs(1) }
    }
}

impl Settings {
    /// Fails if a value has the right type but breaks a rule.
    pub fn check(&self) -> Result<(), BadSetting> {
        // A shorter interval fills the log with totals. A longer one loses more clicks in a crash.
        let (least, most) = (Duration::from_millis(50), Duration::from_hours(1));
        if (least..=most).contains(&self.flush_interval) {
            return Ok(());
        }
        let shown = format!("{:?}", duration::show(self.flush_interval));
        Err(BadSetting::new("flush_interval", shown, "must be from \"50ms\" to \"1h\""))
    }
}

/// Totals per Change: some 300 KB, less than the size limit of a Change.
const TOTALS_PER_CHANGE: usize = 8_192;

impl ClickLog {
    /// Drains all dirty counters into the log, and waits until the table has applied their totals or the
    /// table's wait times out. Returns how many links were clicked. Counters whose totals the log rejects
    /// stay dirty, and the next drain retries them.
    pub async fn flush(&self) -> Result<usize, Error> {
        let clicked = self.drain_clicks(false).await?;
        self.shared.table.wait(self.shared.log.position()).await;
        Ok(clicked)
    }

    /// Drains all counters for the last time, when no click can follow. Unused reservations of links with a
    /// limit are released.
    pub async fn flush_last(&self) -> Result<usize, Error> {
        self.drain_clicks(true).await
    }

    /// Returns without waiting for the table. Waiting would delay the next drain while the table lags, and a
    /// crash would lose the clicks counted since.
    async fn drain_clicks(&self, last: bool) -> Result<usize, Error> {
        let counters = self.shared.cache.counters();
        // Totals of the drain before may be in the table by now, so their counters can be evicted.
        self.shared.forget_clean();
        let mut drained_counters = counters.drain(last);
        let clicked = drained_counters.len();
        let mut written = Ok(clicked);
        for at in (0..clicked).step_by(TOTALS_PER_CHANGE) {
            let pending =
                self.shared.append_totals(&drained_counters[at..clicked.min(at + TOTALS_PER_CHANGE)]);
            if let Err(error) = pending.await {
                // The Changes of earlier slices are in the log, so only the rest stays dirty.
                counters.put_back(drained_counters.split_off(at));
                written = Err(Error::Log(error));
                break;
            }
        }
        // Before the counters are dropped here, since they can be evicted from then on.
        let mut drained = self.shared.drained.lock();
        *drained = self.shared.log.position();
        written
    }

    /// Drains counters every `interval`, and earlier when many are dirty, until `stop` is true. Must not be
    /// aborted: an aborted drain loses the clicks of the counters that it took.
    pub async fn flush_regularly(&self, interval: Duration, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(interval);
        // A drain that takes longer than an interval must not be followed by a burst of drains.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_logged = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.shared.cache.counters().crowded() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            match self.drain_clicks(false).await {
                Ok(_) => is_logged = false,
                // Logged once until a drain succeeds: a full disk would repeat the line every second.
                Err(error) if !is_logged => {
                    tracing::error!(%error, "clicks cannot be written to the log and stay in memory");
                    is_logged = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Reserves some of `limit` clicks for the link. Returns once the reservation is durable, or at once if
    /// clicks are available or the limit is reached. Concurrent calls for one link wait for one reservation.
    /// Fails with [`Error::Log`] if the log rejects the reservation.
    pub async fn reserve(&self, counter: &Arc<Counter>, limit: u64) -> Result<(), Error> {
        let reservations = self.shared.cache.counters().reservations();
        let reserve_lock = reservations.reserve_lock(counter);
        let _turn = reserve_lock.lock().await;
        let (total, pending) = {
            // Computing a total and queueing its Change must be one step: see `Shared::totals`.
            let _order = self.shared.totals.lock();
            let asked = self.shared.cache.counters().ask(counter, &reserve_lock, limit);
            let Some((total, own)) = asked else { return Ok(()) };
            let put = self.shared.put_total(counter.id(), own);
            (total, self.shared.log.commit(Proposal { puts: vec![put], ..Proposal::default() }))
        };
        // Awaited outside of `totals`: a sync of the disk must not delay the drain.
        match pending.await {
            Ok(_) => {
                reservations.grant(counter, &reserve_lock, total);
                Ok(())
            }
            Err(error) => {
                reservations.refuse(counter, &reserve_lock);
                Err(Error::Log(error))
            }
        }
    }
}

impl Core {
    /// Makes the clicks of a link durable whose limit is about to change, and releases its reservation, so
    /// that the new limit counts real clicks only.
    pub(super) async fn settle_clicks(&self, id: Id) -> Result<(), Error> {
        let counters = self.shared.cache.counters();
        let Some(counter) = counters.live(id) else { return Ok(()) };
        let pending = {
            let _order = self.shared.totals.lock();
            // Releases the reservation first, so that the total below has real clicks only.
            counters.settle(&counter);
            let totals = counters.tally(&[counter]);
            let puts = totals.into_iter().map(|(id, own)| self.shared.put_total(id, own)).collect();
            self.shared.log.commit(Proposal { puts, ..Proposal::default() })
        };
        let position = pending.await.map_err(Error::Log)?;
        self.shared.table.wait(position).await;
        Ok(())
    }
}

impl Shared {
    /// Evicts counters that are clean, in no use, and whose totals the table has. A later load reads the
    /// totals from the table.
    fn forget_clean(&self) {
        let drained = self.drained.lock();
        self.cache.counters().sweep(self.table.applied(), *drained);
    }

    /// Returns the put of this node's click total of a link.
    pub(super) fn put_total(&self, id: Id, own: u64) -> Put {
        Put { key: keys::clicks(id, self.node), value: Some(encode_clicks(own).into()) }
    }

    /// Returns the puts that remove all click totals of a link: the one of this node, and those of other
    /// nodes.
    pub(super) fn remove_totals(&self, id: Id) -> Result<Vec<Put>, Error> {
        let others = self.table.clicks(id, self.node)?.others.into_iter().map(|(node, _)| node);
        let remove = |node| Put { key: keys::clicks(id, node), value: None };
        Ok(std::iter::once(self.node).chain(others).map(remove).collect())
    }

    fn append_totals(&self, counters: &[Arc<Counter>]) -> Pending {
        let _order = self.totals.lock();
        // Checked under the lock: a deletion that committed before has removed the total, which must not be
        // written again.
        let kept: Vec<_> = counters.iter().filter(|counter| !counter.is_retired()).cloned().collect();
        let puts =
            self.cache.counters().tally(&kept).into_iter().map(|(id, own)| self.put_total(id, own)).collect();
        self.log.commit(Proposal { puts, ..Proposal::default() })
    }

    /// Returns all counted clicks of a link, including those that are not in the log yet.
    pub(in crate::core) fn clicks_of(&self, link: &Link) -> Result<u64, Error> {
        let counters = self.cache.counters();
        loop {
            // The counter first: its total includes clicks that the table does not have yet.
            if let Some(counter) = counters.live(link.id) {
                return Ok(counters.total(&counter));
            }
            let total = self.table.clicks(link.id, self.node)?.total();
            // A counter that was loaded since the read may have newer clicks, so the loop reads it.
            if counters.live(link.id).is_none() {
                return Ok(total);
            }
        }
    }
}
