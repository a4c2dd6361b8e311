//! [`Aggregator`]: turns captured events into cells, and cells into the ticks of the next Changes.
//!
//! 1. Memory is bounded: past [`CELLS_MAX`] cells of one drain, and past [`WAITING_MAX`] bytes of ticks that the log has
//!    not taken, details are dropped and counted as dropped.
//! 2. The event of a click is in at most one tick, and a tick is in the log at most once: a tick of which the log does
//!    not know whether it was written is dropped.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::capture::{CapturedEvents, Event};
use super::cell::{CellCounts, CellValues, Dimension, NAMED, OTHER_TEXT, TimeSlot};
use super::country::{Countries, CountryCode, LoadedCountries, ProxyCountry};
use super::frequent::Texts;
use super::open::OpenCells;
use super::referrer;
use super::tick::{LinkRow, link_row};
use super::values::{pack_letters, path_text, place_text};
use super::visitors::Visitors;
use crate::agents::classes::ClassField;
use crate::agents::{AgentDetail, UserAgent};
use crate::clock::Timestamp;

/// Most cells of one drain: some 8 MB.
const CELLS_MAX: usize = 65_536;

/// Slots of an hour.
const SLOTS_OF_HOUR: u32 = 4;

/// Most bytes of the ticks of one Change, and of one tick. A Change has the totals of 8,192 links as well, and at most
/// 1 MiB.
pub(super) const TICKS_MAX: usize = 512 * 1024;

/// Most bytes of ticks that wait for the log.
const WAITING_MAX: usize = 8 * 1024 * 1024;

/// Events on their way to the log.
#[derive(Debug)]
pub struct Aggregator {
    open: OpenCells,
    builder: Builder,
    waiting: VecDeque<WaitingTick>,
    waiting_bytes: usize,
    dropped: u64,
    dropped_misses: u64,
}

/// A tick that waits for the log.
#[derive(Clone, Debug)]
pub struct WaitingTick {
    /// The encoded tick.
    pub bytes: Bytes,
    /// The number of its clicks.
    pub clicks: u64,
}

impl Aggregator {
    /// Returns whether today has more visitors than its limit of memory is for.
    pub fn visitors_are_estimates(&self) -> bool {
        self.builder.visitors.is_estimate()
    }

    /// Creates an aggregator that recognizes visitors by `visitors`.
    pub fn new(visitors: Visitors) -> Aggregator {
        Aggregator {
            open: OpenCells::default(),
            builder: Builder {
                visitors,
                countries: Arc::default(),
                texts: Texts::default(),
                hour: TimeSlot::default(),
            },
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            dropped: 0,
            dropped_misses: 0,
        }
    }

    /// Adds captured events, which are of the quarter of an hour of `now`. A referrer for which `is_own` is true is none:
    /// the visitor came from another page of this server.
    pub fn absorb(&mut self, drained: &CapturedEvents, now: Timestamp, is_own: &dyn Fn(&str) -> bool) {
        // Events have no time of their own: they are a few seconds old at most.
        let slot = TimeSlot::of_millis(now.as_millis());
        self.builder.begin(slot, now);
        for event in &drained.events {
            // Also for events of existing cells: a flood must not cost a look-up for each event.
            if self.open.len() < CELLS_MAX {
                self.builder.add(&mut self.open, slot, drained, event, is_own);
            } else if event.is_miss() {
                self.dropped_misses += 1;
            } else {
                self.dropped += 1;
            }
        }
    }

    /// Returns the countries by which events are placed.
    pub fn countries(&self) -> Arc<LoadedCountries> {
        Arc::clone(&self.builder.countries)
    }

    /// Returns the seed for hashes of User-Agents.
    pub fn agent_seed(&self) -> [u8; 16] {
        self.builder.visitors.agent_seed()
    }

    /// Moves the cells to the ticks that wait for the log.
    pub fn cut(&mut self) {
        // Before the ticks are durable: a crash then counts no visitor again whom a tick has counted.
        if let Err(error) = self.builder.visitors.flush() {
            tracing::debug!(%error, "visitors of today cannot be written to their file");
        }
        if self.open.is_empty() {
            return;
        }
        let tick = std::mem::take(&mut self.open).sorted();
        // The log would reject a larger tick each time, and those behind it would wait for ever.
        for piece in tick.pieces(TICKS_MAX) {
            let clicks = piece.cells.iter().map(|cell| u64::from(cell.counts.clicks)).sum();
            self.queue(WaitingTick { bytes: piece.encode().into(), clicks }, VecDeque::push_back);
        }
    }

    /// Returns the next tick for the log if it has at most this number of bytes.
    pub fn take_next(&mut self, most: usize) -> Option<WaitingTick> {
        let next = self.waiting.pop_front_if(|next| next.bytes.len() <= most)?;
        // Cannot underflow: the same length was added when the tick was queued.
        self.waiting_bytes -= next.bytes.len();
        Some(next)
    }

    /// Puts the tick back that was taken last, or drops it if too many bytes wait.
    pub fn put_back(&mut self, tick: WaitingTick) {
        self.queue(tick, VecDeque::push_front);
    }

    fn queue(&mut self, tick: WaitingTick, push: fn(&mut VecDeque<WaitingTick>, WaitingTick)) {
        if self.waiting_bytes + tick.bytes.len() > WAITING_MAX {
            self.discard(&tick);
        } else {
            self.waiting_bytes += tick.bytes.len();
            push(&mut self.waiting, tick);
        }
    }

    /// Counts the clicks of a tick as dropped.
    pub fn discard(&mut self, tick: &WaitingTick) {
        self.dropped += tick.clicks;
    }

    /// Returns the number of visits whose details wait for the log in ticks.
    pub fn waiting(&self) -> u64 {
        self.waiting.iter().map(|tick| tick.clicks).sum()
    }

    /// Returns the number of visits without a link that were dropped here.
    pub fn dropped_misses(&self) -> u64 {
        self.dropped_misses
    }

    /// Returns the number of clicks whose details were dropped here.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Returns the country of an address, and its place as a text, which is empty without a region and a city.
fn place_of(countries: &Countries, address: IpAddr) -> (Option<CountryCode>, String) {
    let country = countries.of(address);
    let place = countries
        .place(address)
        // A place begins with its country, so without a country there is none.
        .zip(country)
        .map(|(place, country)| place_text(&String::from_utf8_lossy(&country), &place.region, &place.city));
    (country, place.unwrap_or_default())
}

/// Returns country and place of an event: of the proxy's header, or else of the file.
fn place(countries: &LoadedCountries, event: &Event) -> (Option<CountryCode>, String) {
    // For each event: a large file may be loaded while events are absorbed.
    let of_file = || {
        let found = countries.load().as_ref().map(|countries| place_of(countries, event.address()));
        found.unwrap_or_default()
    };
    let (country, place) = match event.country {
        ProxyCountry::NotReported => of_file(),
        // The proxy saw the connection. A guess by the address would contradict it.
        ProxyCountry::Unknown => (None, String::new()),
        ProxyCountry::Known(country) => {
            let (same, place) = of_file();
            // A city of the file that is in another country would be a row of the wrong one.
            (Some(country), if same == Some(country) { place } else { String::new() })
        }
    };
    (country, if event.is_private() { String::new() } else { place })
}

/// Builds cells from events.
#[derive(Debug)]
struct Builder {
    visitors: Visitors,
    countries: Arc<LoadedCountries>,
    texts: Texts,
    /// The first slot of the hour of `texts`.
    hour: TimeSlot,
}

impl Builder {
    /// Begins the next hour or day if it is time.
    fn begin(&mut self, slot: TimeSlot, now: Timestamp) {
        // The day has begun also if this fails, and the next call retries: see `Visitors::advance`.
        if let Err(error) = self.visitors.advance(now.as_millis()) {
            tracing::warn!(%error, "the files of today's visitors cannot be replaced and are tried again");
        }
        let hour = TimeSlot(slot.0 / SLOTS_OF_HOUR * SLOTS_OF_HOUR);
        // Different and not later: after a jump of the clock, the texts must not stay until then.
        if hour != self.hour {
            self.hour = hour;
            self.texts.clear();
        }
    }

    /// Adds one event.
    fn add(
        &mut self,
        open: &mut OpenCells,
        slot: TimeSlot,
        drained: &CapturedEvents,
        event: &Event,
        is_own: &dyn Fn(&str) -> bool,
    ) {
        let row: LinkRow = link_row(event.workspace(), event.link());
        let values = if event.is_miss() {
            self.values_of_miss(open, drained, event, is_own)
        } else {
            self.values(open, drained, event, is_own)
        };
        let mut counts = CellCounts { clicks: 1, ..CellCounts::default() };
        // Bots and prefetches are no visitors, and must not fill the filter. A visitor who asks for privacy is not
        // recognized.
        if event.is_counted() && !event.is_private() {
            let first = self.visitors.visit(event.address(), event.agent_hash, &row);
            counts.visitors = first.of_link.into();
            counts.workspace_visitors = first.of_workspace.into();
        }
        let link = open.link(&row);
        open.count(link, slot, values, counts);
    }

    /// Returns the values of a visit that found no link.
    fn values_of_miss(
        &mut self,
        open: &mut OpenCells,
        drained: &CapturedEvents,
        event: &Event,
        is_own: &dyn Fn(&str) -> bool,
    ) -> CellValues {
        let path = drained.query(event).map(path_text);
        let path = path.as_deref().map(str::as_bytes);
        let kept = path.filter(|path| self.texts.keeps(event.workspace().0, Dimension::Path, path));
        // Without a path nothing else: a flood of random paths is one cell in each quarter of an hour.
        let mut values = match kept {
            Some(_) => self.values(open, drained, event, is_own),
            None => CellValues::default(),
        };
        values[Dimension::Path as usize] =
            Dimension::Path.with_text(0, open.text(kept.unwrap_or(OTHER_TEXT)));
        values
    }

    fn values(
        &mut self,
        open: &mut OpenCells,
        drained: &CapturedEvents,
        event: &Event,
        is_own: &dyn Fn(&str) -> bool,
    ) -> CellValues {
        let mut values = CellValues::default();
        // `None` is a text that was dropped.
        let mut text = |dimension: Dimension, text: Option<&str>| {
            if text != Some("") {
                // Before `open.text`, so that the texts of a flood get no number and no memory.
                let kept = text.map(str::as_bytes);
                let kept = kept.filter(|text| self.texts.keeps(event.workspace().0, dimension, text));
                let number = open.text(kept.unwrap_or(OTHER_TEXT));
                values[dimension as usize] = dimension.with_text(0, number);
            }
        };
        let (country, place) = place(&self.countries, event);
        text(Dimension::Place, Some(&place));
        // Most events have neither, and parsing allocates.
        let site = |from: &[u8]| {
            if from.is_empty() { String::new() } else { referrer::site(from, is_own).unwrap_or_default() }
        };
        let campaign = |query: &[u8]| {
            if query.is_empty() { String::new() } else { referrer::campaign(query).text() }
        };
        text(Dimension::Referrer, drained.referrer(event).map(site).as_deref());
        if !event.is_miss() {
            text(Dimension::Campaign, drained.query(event).map(campaign).as_deref());
        }
        // The numbers of bots change with each list, so the log has their names.
        values[Dimension::Agent as usize] =
            match UserAgent::of_bits(event.agent.into(), 0).map(UserAgent::detail) {
                Some(AgentDetail::Bot(name)) => Dimension::Agent.with_text(NAMED, open.text(name.as_bytes())),
                // Rare browsers and systems would tell a visitor from others.
                Some(AgentDetail::Class(class)) if event.is_private() => {
                    class.only(ClassField::Device).bits().into()
                }
                Some(AgentDetail::Class(class)) => class.bits().into(),
                None => 0,
            };
        values[Dimension::Country as usize] = country.map_or(0, pack_letters);
        values[Dimension::Language as usize] =
            pack_letters(event.language.map(|letter| letter.to_ascii_lowercase()));
        values[Dimension::Trigger as usize] = event.trigger();
        // A rule may be about a city or a browser, which are too fine as well.
        values[Dimension::Choice as usize] = if event.is_private() { 0 } else { drained.choice(event) };
        values
    }
}
