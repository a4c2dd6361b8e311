//! Click analytics: who clicked, when, and from where, without anything that leads back to a visitor.
//!
//! The way of a click: [`capture`] copies what a redirect knows about its click into a bounded buffer, [`aggregate`]
//! turns the buffers into [`cell`]s, and the next drain of the counters writes them as one [`tick`] into the Change of
//! the click totals. [`store`] follows the log and keeps the cells: the latest in memory, the others in [`part`]s.
//!
//! 1. A cell has no address, no time but its quarter of an hour, and nothing that is the same for two clicks of one
//!    visitor only.
//! 2. A click is counted before it is captured, and buffers are drained before counters. So the cells of a link never
//!    have more clicks than its total. The difference is *unattributed*.
//! 3. Details are dropped where totals are not: past a bound of memory, and while the log or the disk rejects them.

pub mod aggregate;
pub mod block;
pub mod capture;
pub mod cell;
pub mod column;
pub mod country;
pub mod frequent;
pub mod live;
pub mod open;
pub mod part;
pub mod query;
pub mod referrer;
pub mod ring;
pub mod store;
pub mod tick;
pub mod top;
pub mod values;
pub mod visitors;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use self::aggregate::{Aggregator, TICKS_MAX, WaitingTick};
use self::capture::{Capture, CaptureSettings, CapturedEvents};
use self::country::LoadedCountries;
use self::query::cache::SumsCache;
use self::ring::Ring;
use self::store::ClickStore;
use self::tick::Tick;
use crate::clock::Timestamp;
use crate::log::Position;

/// The analytics of an instance.
#[derive(Debug)]
pub struct Analytics {
    /// What redirects push to.
    pub capture: Capture,
    /// All cells that are in the log.
    pub store: ClickStore,
    /// What questions have found in the parts of the store.
    pub sums: SumsCache,
    /// Which country an address is in. Empty until the operator's file is read, and without one.
    pub countries: Arc<LoadedCountries>,
    /// Held from [`Capture::take`] to the end of [`Analytics::absorb`] or [`Analytics::cut`]. Between the two steps of a
    /// drain, no other drain may add clicks whose totals come later.
    pub drains: tokio::sync::Mutex<()>,
    aggregator: Mutex<Aggregator>,
    ring: Mutex<Ring>,
}

/// A tick on its way to the log.
#[derive(Debug)]
pub struct Outgoing {
    /// The number of its key.
    pub number: u8,
    tick: WaitingTick,
}

impl Outgoing {
    /// Returns the encoded tick.
    pub fn value(&self) -> Bytes {
        self.tick.bytes.clone()
    }
}

impl Analytics {
    /// Creates the analytics of a server with this number of worker threads.
    pub fn new(
        threads: usize,
        settings: CaptureSettings,
        aggregator: Aggregator,
        store: ClickStore,
        sums: SumsCache,
    ) -> Arc<Analytics> {
        let store_last = store.last_number();
        Arc::new(Analytics {
            capture: Capture::new(threads, settings),
            store,
            sums,
            countries: aggregator.countries(),
            drains: tokio::sync::Mutex::default(),
            aggregator: Mutex::new(aggregator),
            ring: Mutex::new(Ring::behind(store_last)),
        })
    }

    /// Turns captured events into cells: see [`Aggregator::absorb`]. Takes some milliseconds after a busy moment.
    pub fn absorb(&self, events: Vec<CapturedEvents>, now: Timestamp, is_own: &dyn Fn(&str) -> bool) {
        let mut aggregator = self.aggregator.lock();
        for drained in events {
            aggregator.absorb(&drained, now, is_own);
            self.capture.give_back(drained);
        }
    }

    /// Like [`Analytics::absorb`], and makes the cells ready for the log.
    pub fn cut(&self, events: Vec<CapturedEvents>, now: Timestamp, is_own: &dyn Fn(&str) -> bool) {
        self.absorb(events, now, is_own);
        self.aggregator.lock().cut();
    }

    /// Returns the next ticks for the log, as many as one Change has room for; none if no tick waits or all keys are in
    /// use. The caller passes them to [`Analytics::settle`].
    // Many ticks in one Change: what a second has in several Changes, a crash between them would cut.
    pub fn next(&self) -> Vec<Outgoing> {
        // Read without a lock: an older value keeps a key in use for longer, and does no harm.
        let durable = self.store.durable();
        // Lock order: aggregator, then ring, as in `settle`.
        let (mut aggregator, mut ring) = (self.aggregator.lock(), self.ring.lock());
        let (mut ticks, mut room) = (Vec::new(), TICKS_MAX);
        while let Some(tick) = aggregator.take_next(room) {
            let Some(number) = ring.take(durable) else {
                // A disk that confirms nothing uses up keys without ticks in the log, which parts wait for.
                self.store.ask_for_part();
                // Always fits: its bytes were subtracted under the same lock.
                aggregator.put_back(tick);
                break;
            };
            room -= tick.bytes.len();
            ticks.push(Outgoing { number, tick });
        }
        ticks
    }

    /// Returns empty ticks under the keys whose ticks are in durable parts, at most `most`. Written to the log, they replace
    /// the details under these keys. The caller passes them to [`Analytics::settle`].
    pub fn blanks(&self, most: usize) -> Vec<Outgoing> {
        let durable = self.store.durable();
        let (tick, mut ring) = (Tick::default().encode(), self.ring.lock());
        let bytes = Bytes::from(tick);
        let blank = |number| Outgoing { number, tick: WaitingTick { bytes: bytes.clone(), clicks: 0 } };
        // The ring ends them at the first tick that is in no part: that one must stay.
        std::iter::from_fn(|| ring.take(durable)).take(most).map(blank).collect()
    }

    /// Notes what became of the ticks of one Change, in the order in which [`Analytics::next`] has returned them.
    pub fn settle(&self, ticks: Vec<Outgoing>, fate: Fate) {
        let (mut aggregator, mut ring) = (self.aggregator.lock(), self.ring.lock());
        // The last one first, so that the next try has the same numbers and the same order.
        for Outgoing { number, tick } in ticks.into_iter().rev() {
            match fate {
                Fate::Written(position) => ring.settle(number, position),
                Fate::Rejected => {
                    aggregator.put_back(tick);
                    ring.reject(number);
                }
                Fate::Unknown(position) => {
                    // A second write would count the clicks twice if the log has the first one.
                    aggregator.discard(&tick);
                    ring.settle(number, position);
                }
            }
        }
    }

    /// Returns the seed for hashes of User-Agents, by which visitors are told apart.
    pub fn agent_seed(&self) -> [u8; 16] {
        self.aggregator.lock().agent_seed()
    }

    /// Returns whether today has more visitors than its limit of memory is for.
    pub fn visitors_are_estimates(&self) -> bool {
        self.aggregator.lock().visitors_are_estimates()
    }

    /// Returns the number of visits whose details are in ticks that wait for the log.
    pub fn waiting(&self) -> u64 {
        self.aggregator.lock().waiting()
    }

    /// Returns the number of clicks whose details were dropped.
    pub fn dropped(&self) -> u64 {
        self.capture.dropped() + self.aggregator.lock().dropped()
    }

    /// Returns the number of visits without a link that were dropped.
    pub fn dropped_misses(&self) -> u64 {
        self.capture.dropped_misses() + self.aggregator.lock().dropped_misses()
    }
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The log has it, at this position.
    Written(Position),
    /// The log does not have it.
    Rejected,
    /// The log may have it, at this position at the latest.
    Unknown(Position),
}
