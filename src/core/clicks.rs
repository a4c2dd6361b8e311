//! Clicks from the counters to the log: the drain, which runs every second, and the reservations of links
//! with a limit, which are durable before a click is admitted.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::error::Error;
use super::handle::{ClickLog, Core};
use super::shared::Shared;
use crate::analytics::capture::CapturedEvents;
use crate::analytics::query::cache;
use crate::analytics::ring;
use crate::analytics::store::Keep;
use crate::analytics::visitors;
use crate::analytics::{Analytics, Fate, Outgoing};
use crate::clicks::counter::Counter;
use crate::clock::Timestamp;
use crate::log::{AppliedState, CommitError, Pending, Proposal, Put};
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
    /// Whether details of clicks are kept: country, device, referrer and the like. Totals are kept in any case.
    pub details: bool,
    /// For how long details are kept by quarters of an hour. After that, by hours.
    #[serde(with = "crate::settings::duration")]
    pub keep_slots: Duration,
    /// For how long details are kept by hours. After that, by days of UTC.
    #[serde(with = "crate::settings::duration")]
    pub keep_hours: Duration,
    /// For how long details are kept at all; 0: for ever.
    #[serde(with = "crate::settings::duration")]
    pub keep: Duration,
    /// The file with the countries of addresses. Without it, `country.mmdb` in the data folder, or Debian's file.
    pub country_file: Option<PathBuf>,
    /// The header in which trusted proxies report the country of a visitor, such as `CF-IPCountry`. It comes before the
    /// file.
    pub country_header: Option<String>,
    /// Whether the region and the city of a visitor are kept, if the file has them.
    pub places: bool,
    /// Where the key is by which visitors of the day are told apart.
    pub visitor_key: VisitorKey,
    /// Most bytes of memory for the visitors of the day. Past it, fewer visitors are counted than came.
    pub visitor_memory: usize,
    /// Most bytes of memory for what questions about clicks have found, so that they need not read it again; 0: none.
    pub answer_memory: usize,
    /// Whether a visitor with `Sec-GPC: 1` or `DNT: 1` has coarse details only, and is not recognized within the day.
    pub respect_gpc: bool,
}

/// Where the key is by which visitors of the day are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisitorKey {
    /// In a file of the data folder, for one day. A restart knows the visitors of the day.
    #[default]
    File,
    /// In memory. A restart counts the visitors of the day again.
    Memory,
}

/// One day.
const DAY: Duration = Duration::from_hours(24);

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            flush_interval: Duration::from_secs(1),
            details: true,
            keep_slots: 90 * DAY,
            keep_hours: 400 * DAY,
            keep: Duration::ZERO,
            country_file: None,
            country_header: None,
            places: false,
            visitor_key: VisitorKey::default(),
            visitor_memory: visitors::MEMORY_DEFAULT,
            answer_memory: cache::MEMORY_DEFAULT,
            respect_gpc: false,
        }
    }
}

impl Settings {
    /// Fails if a value has the right type but breaks a rule.
    pub fn check(&self) -> Result<(), BadSetting> {
        // A shorter interval fills the log with totals. A longer one loses more clicks in a crash.
        let (least, most) = (Duration::from_millis(50), Duration::from_hours(1));
        let shown = |duration| format!("{:?}", duration::show(duration));
        if !(least..=most).contains(&self.flush_interval) {
            let rule = "must be from \"50ms\" to \"1h\"";
            return Err(BadSetting::new("flush_interval", shown(self.flush_interval), rule));
        }
        if self.keep_slots < 2 * DAY {
            let rule = "must be at least \"2d\": the days of all time zones end within two days of UTC";
            return Err(BadSetting::new("keep_slots", shown(self.keep_slots), rule));
        }
        if self.keep_hours < self.keep_slots {
            let rule = "must be at least as long as clicks.keep_slots";
            return Err(BadSetting::new("keep_hours", shown(self.keep_hours), rule));
        }
        if !self.keep.is_zero() && self.keep < 2 * DAY {
            let rule = "must be \"0s\", which keeps details for ever, or at least \"2d\"";
            return Err(BadSetting::new("keep", shown(self.keep), rule));
        }
        if let Some(name) = &self.country_header
            && (name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
        {
            let rule = "must be the name of a header, such as \"CF-IPCountry\"";
            return Err(BadSetting::new("country_header", format!("{name:?}"), rule));
        }
        if !VISITOR_MEMORY.contains(&self.visitor_memory) {
            let rule = "must be from 262144 (256 KiB) to 1073741824 (1 GiB) bytes";
            return Err(BadSetting::new("visitor_memory", self.visitor_memory.to_string(), rule));
        }
        if self.answer_memory > ANSWER_MEMORY_MAX {
            let rule = "must be at most 1073741824 (1 GiB) bytes";
            return Err(BadSetting::new("answer_memory", self.answer_memory.to_string(), rule));
        }
        Ok(())
    }

    /// Returns for how long details keep their precision.
    pub fn keep(&self) -> Keep {
        let all = (!self.keep.is_zero()).then_some(self.keep);
        Keep { slots: self.keep_slots, hours: self.keep_hours, all }
    }
}

/// Most bytes of [`Settings::answer_memory`]: a gigabyte. More questions than fit there are not asked again.
const ANSWER_MEMORY_MAX: usize = 1 << 30;

/// Bounds of [`Settings::visitor_memory`]: the size with which the set of visitors begins, and a gigabyte.
const VISITOR_MEMORY: RangeInclusive<usize> = 256 * 1024..=1024 * 1024 * 1024;

/// Totals per Change: some 300 KB, less than the size limit of a Change.
const TOTALS_PER_CHANGE: usize = 8_192;

/// Time of the clock by which details may be late: they get the quarter of an hour in which they are aggregated, and the
/// flush interval may be longer than one.
const ABSORB_INTERVAL: Duration = Duration::from_secs(5);

/// How long [`ClickLog::forget_details_in_log`] waits for a part, and how often it looks.
const PART_WAIT: Duration = Duration::from_secs(10);
const PART_POLL: Duration = Duration::from_millis(50);

/// [`Analytics::absorb`] or [`Analytics::cut`].
type AggregationStep = fn(&Analytics, Vec<CapturedEvents>, Timestamp, &dyn Fn(&str) -> bool);

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

    /// Removes the details from the log that are in files: replaces the latest ones under each key by nothing, and asks for
    /// a compaction, which drops the others. The server that keeps few clicks has them for years otherwise. Returns false if
    /// some may be left, since no file was written in time.
    pub(super) async fn forget_details_in_log(&self) -> Result<bool, Error> {
        let Some(analytics) = self.shared.analytics.clone() else { return Ok(true) };
        // In two steps: the store infers the newest ticks from the last number in a part, at most half of the keys behind.
        for _ in 0..2 {
            let blanks = analytics.blanks(ring::SIZE / 2);
            if !blanks.is_empty() {
                self.append(&[], blanks).await.map_err(Error::Log)?;
            }
            let written = self.shared.log.position();
            let wait = async {
                while analytics.store.durable() < written {
                    analytics.store.ask_for_part();
                    tokio::time::sleep(PART_POLL).await;
                }
            };
            if tokio::time::timeout(PART_WAIT, wait).await.is_err() {
                return Ok(false);
            }
        }
        self.shared.log.compact_soon();
        Ok(true)
    }

    /// Returns without waiting for the table. Waiting would delay the next drain while the table lags, and a
    /// crash would lose the clicks counted since.
    async fn drain_clicks(&self, last: bool) -> Result<usize, Error> {
        let counters = self.shared.cache.counters();
        // Totals of the drain before may be in the table by now, so their counters can be evicted.
        self.shared.forget_clean();
        // Before the counters: the details of a click are written with its total or later. Nothing is between the two,
        // so that few clicks have their total in a Change and their details in the next.
        let analytics = self.shared.analytics.as_ref();
        let alone = match analytics {
            Some(analytics) => Some(analytics.drains.lock().await),
            None => None,
        };
        let events = analytics.map(|analytics| analytics.capture.take());
        let mut drained_counters = counters.drain(last);
        self.with_details(events, Analytics::cut).await;
        drop(alone);
        let clicked = drained_counters.len();
        let mut written = Ok(clicked);
        for at in (0..clicked).step_by(TOTALS_PER_CHANGE) {
            let slice = &drained_counters[at..clicked.min(at + TOTALS_PER_CHANGE)];
            // With the last totals: a tick has clicks of any link, and no more than the totals before it.
            let is_last = at + TOTALS_PER_CHANGE >= clicked;
            let ticks = if is_last { self.shared.next_ticks() } else { Vec::new() };
            if let Err(error) = self.append(slice, ticks).await {
                // The Changes of earlier slices are in the log, so only the rest stays dirty.
                counters.put_back(drained_counters.split_off(at));
                written = Err(Error::Log(error));
                break;
            }
        }
        // Details of more clicks than fit beside their totals, and those of visits that are not counted.
        while written.is_ok() {
            let ticks = self.shared.next_ticks();
            if ticks.is_empty() {
                break;
            }
            written = self.append(&[], ticks).await.map(|()| clicked).map_err(Error::Log);
        }
        // Before the counters are dropped here, since they can be evicted from then on.
        let mut drained = self.shared.drained.lock();
        *drained = self.shared.log.position();
        written
    }

    /// Runs a step of the aggregation on a thread that may block: after a busy second it takes tens of milliseconds.
    async fn with_details(&self, events: Option<Vec<CapturedEvents>>, step: AggregationStep) {
        let (Some(events), Some(analytics)) = (events, self.shared.analytics.clone()) else { return };
        let shared = Arc::clone(&self.shared);
        let run = move || {
            let directory = shared.directory.load();
            // The default domain has no name of its own.
            let is_own = |host: &str| host == shared.site.host() || directory.domain_named(host).is_some();
            step(&analytics, events, shared.clock.now(), &is_own);
        };
        if tokio::task::spawn_blocking(run).await.is_err() {
            tracing::error!("the details of clicks could not be aggregated");
        }
    }

    /// Writes the totals of some counters and some ticks as one Change.
    async fn append(&self, counters: &[Arc<Counter>], ticks: Vec<Outgoing>) -> Result<(), CommitError> {
        let written = self.shared.append_totals(counters, &ticks).await;
        let fate = match &written {
            Ok(position) => Fate::Written(*position),
            // The Change may be in the log, behind all that is there now. A second one would add its clicks again.
            Err(CommitError::Unknown) => Fate::Unknown(self.shared.log.position().next()),
            Err(_) => Fate::Rejected,
        };
        if let Some(analytics) = &self.shared.analytics {
            analytics.settle(ticks, fate);
        }
        written.map(|_| ())
    }

    /// Turns captured details into cells: while many come, so that the buffers do not overflow before the next drain, and
    /// every [`ABSORB_INTERVAL`]. Runs until `stop` is true.
    async fn absorb_details(&self, mut stop: watch::Receiver<bool>) {
        let Some(analytics) = self.shared.analytics.clone() else { return };
        loop {
            tokio::select! {
                () = analytics.capture.crowded() => {}
                () = tokio::time::sleep(ABSORB_INTERVAL) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let _alone = analytics.drains.lock().await;
            let events = analytics.capture.take();
            self.with_details(Some(events), Analytics::absorb).await;
        }
    }

    /// Drains counters every `interval`, and earlier when many are dirty, until `stop` is true. Must not be
    /// aborted: an aborted drain loses the clicks of the counters that it took.
    pub async fn flush_regularly(&self, interval: Duration, stop: watch::Receiver<bool>) {
        tokio::join!(self.drain_regularly(interval, stop.clone()), self.absorb_details(stop));
    }

    async fn drain_regularly(&self, interval: Duration, mut stop: watch::Receiver<bool>) {
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
            // Here, since no other task runs as often as memory should be freed.
            self.drop_unused_indexes().await;
            match self.drain_clicks(false).await {
                // The end of the incident, with which an operator stops looking.
                Ok(_) if is_logged => {
                    tracing::info!("clicks are written to the log again");
                    is_logged = false;
                }
                // Logged once until a drain succeeds: a full disk would repeat the line every second.
                Err(error) if !is_logged => {
                    tracing::error!(%error, "clicks cannot be written to the log and stay in memory");
                    is_logged = true;
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Drops the indexes of links that no list has used for long.
    async fn drop_unused_indexes(&self) {
        let dropped = self.shared.indexes.take_unused();
        if !dropped.is_empty() {
            // The last owner of a file frees its blocks, which may take long.
            let freed = self.blocking(move |_| {
                drop(dropped);
                Ok(())
            });
            let freed = freed.await;
            tracing::debug!(?freed, "indexes of links that were not used are dropped");
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

    /// Returns the next ticks for the log.
    fn next_ticks(&self) -> Vec<Outgoing> {
        self.analytics.as_ref().map(|analytics| analytics.next()).unwrap_or_default()
    }

    fn append_totals(&self, counters: &[Arc<Counter>], ticks: &[Outgoing]) -> Pending {
        let _order = self.totals.lock();
        // Checked under the lock: a deletion that committed before has removed the total, which must not be
        // written again.
        let kept: Vec<_> = counters.iter().filter(|counter| !counter.is_retired()).cloned().collect();
        let totals = self.cache.counters().tally(&kept).into_iter().map(|(id, own)| self.put_total(id, own));
        let ticks = ticks
            .iter()
            .map(|tick| Put { key: keys::tick(self.node, tick.number), value: Some(tick.value()) });
        self.log.commit(Proposal { puts: totals.chain(ticks).collect(), ..Proposal::default() })
    }

    /// Returns all counted clicks of a link, including those that are not in the log yet.
    pub(in crate::core) fn clicks_of(&self, link: &Link) -> Result<u64, Error> {
        self.clicks_of_id(link.id)
    }

    pub(in crate::core) fn clicks_of_id(&self, id: Id) -> Result<u64, Error> {
        let counters = self.cache.counters();
        loop {
            // The counter first: its total includes clicks that the table does not have yet.
            if let Some(counter) = counters.live(id) {
                return Ok(counters.total(&counter));
            }
            let total = self.table.clicks(id, self.node)?.total();
            // A counter that was loaded since the read may have newer clicks, so the loop reads it.
            if counters.live(id).is_none() {
                return Ok(total);
            }
        }
    }
}
