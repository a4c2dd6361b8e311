//! Clicks from the counters to the log: the drain, which runs every second, and the reservations of links with
//! a limit, which are durable before a click is admitted.

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
        let shown = format!("{:?}", duration::show(self.flush_interval));
        Err(BadSetting::new("flush_interval", shown, "must be from \"50ms\" to \"1h\""))
    }
}

/// Totals per Change: some 300 KB, below what a Change may hold.
const TOTALS_PER_CHANGE: usize = 8_192;

impl ClickLog {
    /// Drains all dirty counters into the log, and waits until the table has their totals, within its
    /// patience. Answers how many links were clicked. When the log does not take them, they stay in
    /// memory and are drained again next time.
    pub async fn flush(&self) -> Result<usize, Error> {
        let clicked = self.drain_clicks(false).await?;
        self.shared.table.wait(self.shared.log.position()).await;
        Ok(clicked)
    }

    /// Drains all counters when no click can come any more: what links with a limit have reserved and
    /// not given out is given back.
    pub async fn flush_last(&self) -> Result<usize, Error> {
        self.drain_clicks(true).await
    }

    /// Does not wait for the table: a crash meanwhile would lose all clicks that come while it lags.
    async fn drain_clicks(&self, last: bool) -> Result<usize, Error> {
        let counters = self.shared.cache.counters();
        self.shared.forget_clean();
        let mut drained_counters = counters.drain(last);
        let clicked = drained_counters.len();
        let mut written = Ok(clicked);
        for at in (0..clicked).step_by(TOTALS_PER_CHANGE) {
            let pending =
                self.shared.append_totals(&drained_counters[at..clicked.min(at + TOTALS_PER_CHANGE)]);
            if let Err(error) = pending.await {
                counters.put_back(drained_counters.split_off(at));
                written = Err(Error::Log(error));
                break;
            }
        }
        // Before they are let go, and may be forgotten.
        let mut drained = self.shared.drained.lock();
        *drained = self.shared.log.position();
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
                () = self.shared.cache.counters().crowded() => {}
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

    /// Makes some of `limit` clicks ready to be taken; returns once they are durable, or at once
    /// when there are some, or none left. Visitors of one link wait for one reservation.
    pub async fn reserve(&self, counter: &Arc<Counter>, limit: u64) -> Result<(), Error> {
        let reservations = self.shared.cache.counters().reservations();
        let reserve_lock = reservations.reserve_lock(counter);
        let _turn = reserve_lock.lock().await;
        let (total, pending) = {
            let _order = self.shared.totals.lock();
            let asked = self.shared.cache.counters().ask(counter, &reserve_lock, limit);
            let Some((total, own)) = asked else { return Ok(()) };
            let put = self.shared.put_total(counter.id(), own);
            (total, self.shared.log.commit(Proposal { puts: vec![put], ..Proposal::default() }))
        };
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
    /// Makes the clicks of a link durable whose limit is about to change, and gives back what it
    /// has reserved: the new limit begins from what was really clicked.
    pub(super) async fn settle_clicks(&self, id: Id) -> Result<(), Error> {
        let counters = self.shared.cache.counters();
        let Some(counter) = counters.live(id) else { return Ok(()) };
        let pending = {
            let _order = self.shared.totals.lock();
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

    fn append_totals(&self, counters: &[Arc<Counter>]) -> Pending {
        let _order = self.totals.lock();
        // Under the lock, since a deletion that went first has removed the total.
        let kept: Vec<_> = counters.iter().filter(|counter| !counter.is_retired()).cloned().collect();
        let puts =
            self.cache.counters().tally(&kept).into_iter().map(|(id, own)| self.put_total(id, own)).collect();
        self.log.commit(Proposal { puts, ..Proposal::default() })
    }

    /// All counted clicks of a link, those included that are not in the log yet.
    pub(in crate::core) fn clicks_of(&self, link: &Link) -> Result<u64, Error> {
        let counters = self.cache.counters();
        loop {
            if let Some(counter) = counters.live(link.id) {
                return Ok(counters.total(&counter));
            }
            let total = self.table.clicks(link.id, self.node)?.total();
            // One that came to be meanwhile knows better.
            if counters.live(link.id).is_none() {
                return Ok(total);
            }
        }
    }
}
