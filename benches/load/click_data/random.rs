//! Numbers that look random and are the same at each run.

/// The links and their clicks.
pub(crate) struct Traffic {
    pub(crate) links: u32,
    pub(crate) clicks: u64,
}

/// Converts a rank to the number of a link: `ZIPF_STEP` of links.py. Neighbours in rank are no neighbours in a part.
const STEP: u64 = 7_368_787;

impl Traffic {
    /// Returns the number of clicks of a day of the month.
    pub(crate) fn clicks_of(&self, day: u32, days: u32) -> u64 {
        let until = |day: u32| self.clicks * u64::from(day) / u64::from(days);
        until(day + 1) - until(day)
    }

    /// Returns the ranks of the links that are clicked on a day, from 1. A sequence of its own: `links` needs nothing
    /// else of a click.
    pub(crate) fn ranks(&self, day: u32) -> Zipf {
        Zipf::new(self.links, 1.05, Random::new(0x1000 + u64::from(day)))
    }

    /// Returns the number of the link of a rank.
    pub(crate) fn link(&self, rank: u32) -> u32 {
        (u64::from(rank) * STEP % u64::from(self.links)) as u32
    }
}

/// A generator of uniform numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a number from 0 to below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns true with this probability.
    pub(crate) fn chance(&mut self, of: f64) -> bool {
        self.fraction() < of
    }
}

/// Draws ranks from 1 to a number, each with the weight rank^-s: rejection from the area under the curve, which takes
/// the same time for any number (Hörmann and Derflinger 1996). requests.lua does the same.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    random: Random,
    count: u32,
    s: f64,
    first: f64,
    last: f64,
    cut: f64,
}

impl Zipf {
    pub(crate) fn new(count: u32, s: f64, random: Random) -> Zipf {
        // The integral has another form at 1.
        debug_assert!((s - 1.0).abs() > 1e-9);
        let mut zipf = Zipf { random, count, s, first: 0.0, last: 0.0, cut: 0.0 };
        zipf.first = zipf.area(1.5) - 1.0;
        zipf.last = zipf.area(f64::from(count) + 0.5);
        zipf.cut = 2.0 - zipf.inverse(zipf.area(2.5) - 2_f64.powf(-s));
        zipf
    }

    fn area(&self, x: f64) -> f64 {
        x.powf(1.0 - self.s) / (1.0 - self.s)
    }

    fn inverse(&self, y: f64) -> f64 {
        ((1.0 - self.s) * y).powf(1.0 / (1.0 - self.s))
    }

    pub(crate) fn next(&mut self) -> u32 {
        loop {
            let y = self.last + self.random.fraction() * (self.first - self.last);
            let x = self.inverse(y);
            let rank = (x + 0.5).floor();
            if rank - x <= self.cut || y >= self.area(rank + 0.5) - rank.powf(-self.s) {
                return (rank as u32).clamp(1, self.count);
            }
        }
    }
}
