//! The month of the clicks, and what each click has.

use waypost::analytics::cell::{
    BY_QR, COUNTED, CellCounts, CellValues, Dimension, NAMED, SLOT_SECONDS, TimeSlot,
};
use waypost::analytics::open::OpenCells;
use waypost::analytics::tick::{LinkRow, link_row};
use waypost::analytics::values::pack_letters;
use waypost::clock::{Clock, Timestamp};
use waypost::model::id::Id;
use waypost::model::workspace::WorkspaceNumber;

use crate::random::{Random, Zipf};

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// Slots of a day.
const SLOTS: i64 = 24 * 3_600 / SLOT_SECONDS;

/// Different values of each dimension.
const COUNTRIES: u32 = 220;
const AGENTS: u32 = 80;
const REFERRERS: u32 = 20_000;
const LANGUAGES: u32 = 40;
const BOTS: u32 = 20;

/// The last whole month of UTC.
pub(crate) struct Month {
    pub(crate) start: Timestamp,
    pub(crate) days: u32,
}

impl Month {
    pub(crate) fn last() -> Month {
        let now = Clock::system().now().as_millis();
        let mut start = now.div_euclid(DAY) * DAY;
        let month = |millis: i64| Timestamp::from_millis(millis).to_string()[..7].to_owned();
        let this = month(start);
        // Back to the first day of this month, and then by one month.
        while month(start - 1) == this {
            start -= DAY;
        }
        let (end, last) = (start, month(start - 1));
        while month(start - 1) == last {
            start -= DAY;
        }
        Month { start: Timestamp::from_millis(start), days: ((end - start) / DAY) as u32 }
    }

    /// Returns the first moment of a day of the month, from 0.
    pub(crate) fn day(&self, day: u32) -> Timestamp {
        self.start.plus_millis(i64::from(day) * DAY)
    }

    /// Returns when all links were created.
    pub(crate) fn created(&self) -> Timestamp {
        self.start.plus_millis(-DAY)
    }

    /// Returns the id of a link: by its number in the order of creation.
    pub(crate) fn id(&self, link: u32) -> Id {
        // As `IdSource` does: milliseconds above 71 bits, here with gaps as random bits have.
        let random = u128::from(Random::new(u64::from(link)).next() >> 16);
        Id::from_bits((self.created().as_millis() as u128) << 71 | u128::from(link) << 48 | random)
    }

    /// Returns the row of a link, which is in the first workspace.
    pub(crate) fn row(&self, link: u32) -> LinkRow {
        link_row(WorkspaceNumber(0), self.id(link))
    }

    /// Returns the number of a day's clicks up to the end of an hour. Afternoons have three times those of nights.
    pub(crate) fn until(clicks: u64, hour: u32) -> u64 {
        let weight = |hour: u32| 1.0 + 0.5 * ((f64::from(hour) - 15.0) / 24.0 * std::f64::consts::TAU).cos();
        let sum = |hours: u32| (0..hours).map(weight).sum::<f64>();
        (clicks as f64 * sum(hour) / sum(24)).round() as u64
    }
}

/// Draws what a click has.
pub(crate) struct Visits {
    random: Random,
    countries: Zipf,
    agents: Zipf,
    referrers: Zipf,
    languages: Zipf,
}

impl Visits {
    /// Creates the visits of a day.
    pub(crate) fn new(day: u32) -> Visits {
        let seeded = |which: u64| Random::new(which << 32 | u64::from(day));
        Visits {
            random: seeded(1),
            countries: Zipf::new(COUNTRIES, 1.2, seeded(2)),
            agents: Zipf::new(AGENTS, 1.01, seeded(3)),
            referrers: Zipf::new(REFERRERS, 1.1, seeded(4)),
            languages: Zipf::new(LANGUAGES, 1.01, seeded(5)),
        }
    }

    /// Draws the next visit.
    pub(crate) fn draw(&mut self) -> Visit {
        let quarter = (self.random.next() % 4) as u32;
        let (country, language) = (self.countries.next(), self.languages.next());
        let bot = self.random.chance(1.0 / 32.0).then(|| 1 + self.random.next() % u64::from(BOTS));
        let agent = self.agents.next();
        // Half of all visits have no referrer.
        let site = self.random.chance(0.5).then(|| self.referrers.next());
        let by_qr = self.random.chance(0.05);
        // One of five visits is not the first of its visitor on this day.
        let is_first = self.random.chance(0.8);
        let of_workspace = is_first && self.random.chance(0.9);
        Visit { quarter, country, language, agent, site, by_qr, is_first, of_workspace, bot }
    }
}

/// A visit. Numbers are ranks, from 1.
pub(crate) struct Visit {
    /// The quarter of its hour, from 0.
    pub(crate) quarter: u32,
    pub(crate) country: u32,
    language: u32,
    pub(crate) agent: u32,
    pub(crate) site: Option<u32>,
    by_qr: bool,
    is_first: bool,
    of_workspace: bool,
    /// A bot that visits the same link as well.
    bot: Option<u64>,
}

impl Visit {
    /// Adds the click of an hour, and the visit of the bot.
    pub(crate) fn add(&self, open: &mut OpenCells, row: &LinkRow, hour: TimeSlot) {
        let link = open.link(row);
        let slot = TimeSlot(hour.0 + self.quarter);
        let mut values = CellValues::default();
        values[Dimension::Country as usize] = pack_letters(letters(self.country, b'A'));
        values[Dimension::Language as usize] = pack_letters(letters(self.language, b'a'));
        if let Some(bot) = self.bot {
            let mut values = values;
            let name = open.text(format!("Bot {bot:02}").as_bytes());
            values[Dimension::Agent as usize] = Dimension::Agent.with_text(NAMED, name);
            open.count(link, slot, values, CellCounts { clicks: 1, ..CellCounts::default() });
        }
        values[Dimension::Agent as usize] = class(self.agent);
        if let Some(site) = self.site {
            let host = open.text(host(site).as_bytes());
            values[Dimension::Referrer as usize] = Dimension::Referrer.with_text(0, host);
        }
        values[Dimension::Trigger as usize] = COUNTED | if self.by_qr { BY_QR } else { 0 };
        let counts = CellCounts {
            clicks: 1,
            visitors: self.is_first.into(),
            workspace_visitors: self.of_workspace.into(),
        };
        open.count(link, slot, values, counts);
    }
}

/// Returns the name of a site.
pub(crate) fn host(site: u32) -> String {
    format!("site-{site}.example")
}

/// Returns two letters, another pair for each rank.
pub(crate) fn letters(rank: u32, first: u8) -> [u8; 2] {
    // 7 has no common factor with 676, so all pairs are reached.
    let pair = rank * 7 % (26 * 26);
    [first + (pair / 26) as u8, first + (pair % 26) as u8]
}

/// Returns the class of a rank: a device of three, a system of ten and a browser of forty.
fn class(rank: u32) -> u32 {
    (1 + rank % 3) | (1 + rank / 8 % 10) << 3 | (1 + rank % 40) << 7
}

/// Returns the first slot of an hour.
pub(crate) fn hour_of(day: Timestamp, hour: u32) -> TimeSlot {
    let first = TimeSlot::of_millis(day.as_millis()).0;
    TimeSlot(first + hour * (SLOTS / 24) as u32)
}
