//! [`Texts`]: which texts of an hour keep their name, so that a flood of random ones cannot fill memory and disk.
//!
//! Each click has one text or [`OTHER_TEXT`](super::cell::OTHER_TEXT). A click never changes from one to the other afterwards, so the clicks of all
//! texts and of `OTHER_TEXT` add up exactly.
//!
//! For each workspace and dimension, a table has the most frequent texts. It is Space-Saving (Metwally and others, 2005)
//! with two changes, which a flood makes necessary:
//!
//! 1. In a full table, a new text replaces the rarest one only with every `count + 1`st click that finds no place, where
//!    `count` is that of the rarest one (randomized admission: Ben Basat and others, 2017). In Space-Saving, 512,000
//!    random texts evict a text with 500 clicks from a table of 1,024; here 110 million do. A text that is new and
//!    frequent still enters.
//! 2. A text keeps its name only after as many clicks in the table as the number of texts that have a name asks for. It
//!    is one click for the first [`TABLE_MAX`] texts, and twice as many for each further [`TABLE_MAX`]. So a flood has
//!    no names, and `n` clicks have at most `TABLE_MAX * (1 + log2(n / TABLE_MAX))`: 17,000 for 60 million.

use std::collections::HashMap;

use ahash::RandomState;

use super::cell::Dimension;

/// Texts of a table.
const TABLE_MAX: usize = 1_024;

/// Texts in the tables of all workspaces: some 10 MB. Past it, texts that are in no table have no name.
const ENTRIES_MAX: usize = 131_072;

/// The texts of an hour.
#[derive(Debug, Default)]
pub struct Texts {
    tables: HashMap<(u32, u8), Frequent, RandomState>,
    /// The number of entries of all tables.
    entries: usize,
    /// Random, so that nobody can choose texts with equal hashes.
    hashes: RandomState,
}

impl Texts {
    /// Records a click with a text. Returns whether the click keeps the text; else it has
    /// [`OTHER_TEXT`](super::cell::OTHER_TEXT).
    pub fn keeps(&mut self, workspace: u32, dimension: Dimension, text: &[u8]) -> bool {
        let hash = self.hashes.hash_one(text);
        // Of all tables: many workspaces with a flood each must not have a full table each.
        let is_full = self.entries >= ENTRIES_MAX;
        let table = self.tables.entry((workspace, dimension as u8)).or_default();
        let before = table.entries.len();
        let keeps = table.click(hash, is_full);
        self.entries += table.entries.len() - before;
        keeps
    }

    /// Forgets all texts: the next hour begins.
    pub fn clear(&mut self) {
        // Frees the memory as well, and chooses other random keys for the hashes.
        *self = Texts::default();
    }
}

/// The frequent texts of one workspace and dimension, by hash.
#[derive(Debug, Default)]
struct Frequent {
    places: HashMap<u64, u32, RandomState>,
    entries: Vec<FrequentText>,
    /// At most the count of the rarest text.
    lowest: u32,
    /// Where the search for a text with that count goes on.
    hand: usize,
    /// Clicks that found no place since the last eviction.
    rejected: u32,
    /// How often a text got its name. Not fewer than there are texts with a name.
    named: usize,
}

#[derive(Debug)]
struct FrequentText {
    hash: u64,
    /// Clicks, and those of the evicted text before it.
    count: u32,
    /// Clicks since it entered the table.
    clicks: u32,
    has_name: bool,
}

impl Frequent {
    /// Records a click of the text with a hash. Returns whether the click keeps the name of its text. A table that
    /// `is_full` gets no more entries.
    fn click(&mut self, hash: u64, is_full: bool) -> bool {
        let place = match self.places.get(&hash) {
            Some(place) => *place as usize,
            None if self.entries.len() < TABLE_MAX && !is_full => self.push(FrequentText::new(hash, 0)),
            // The bound was reached before this table had an entry, so there is none to replace.
            None if self.entries.is_empty() => return false,
            None => match self.replace(hash) {
                Some(place) => place,
                None => return false,
            },
        };
        let named_after = self.clicks_for_name();
        let entry = &mut self.entries[place];
        // A count that wrapped would make the most frequent text the rarest.
        entry.count = entry.count.saturating_add(1);
        entry.clicks = entry.clicks.saturating_add(1);
        // By its own clicks: `count` includes those of evicted texts.
        if !entry.has_name && entry.clicks >= named_after {
            entry.has_name = true;
            self.named += 1;
        }
        entry.has_name
    }

    /// Returns how many clicks a text must have in the table to get its name.
    fn clicks_for_name(&self) -> u32 {
        // By the names that were given, also to evicted texts: an eviction must not lower the bar.
        let doublings = u32::try_from(self.named / TABLE_MAX).unwrap_or(u32::MAX);
        1_u32.checked_shl(doublings).unwrap_or(u32::MAX)
    }

    fn push(&mut self, entry: FrequentText) -> usize {
        let place = self.entries.len();
        self.places.insert(entry.hash, u32::try_from(place).expect("at most 1,024"));
        self.entries.push(entry);
        place
    }

    /// Replaces the rarest text. Returns its place, `None` if it is not the turn of this click.
    fn replace(&mut self, hash: u64) -> Option<usize> {
        let place = self.rarest();
        let count = self.entries[place].count;
        // A counter in place of random numbers: as many admissions on average, and the same in each run.
        self.rejected += 1;
        if self.rejected <= count {
            return None;
        }
        self.rejected = 0;
        self.places.remove(&self.entries[place].hash);
        self.places.insert(hash, u32::try_from(place).expect("at most 1,024"));
        // With the count of its predecessor, or the next newcomer would evict it at once.
        self.entries[place] = FrequentText::new(hash, count);
        Some(place)
    }

    /// Returns the place of a text with the lowest count. Goes round like the hand of a clock: counts only grow, so each
    /// place is passed once for each number that is the lowest.
    fn rarest(&mut self) -> usize {
        loop {
            let left = self.entries[self.hand..].iter().position(|entry| entry.count <= self.lowest);
            if let Some(steps) = left {
                self.hand += steps;
                return self.hand;
            }
            self.hand = 0;
            // After a whole round only, so many clicks share the cost of this search.
            if self.entries.iter().all(|entry| entry.count > self.lowest) {
                self.lowest = self.entries.iter().map(|entry| entry.count).min().unwrap_or(0);
            }
        }
    }
}

impl FrequentText {
    fn new(hash: u64, count: u32) -> FrequentText {
        FrequentText { hash, count, clicks: 0, has_name: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counts clicks by the text that they keep.
    #[derive(Default)]
    struct Counted {
        texts: Texts,
        clicks: HashMap<Option<String>, u64>,
        all: u64,
    }

    impl Counted {
        fn click(&mut self, text: &str) -> bool {
            let keeps = self.texts.keeps(1, Dimension::Referrer, text.as_bytes());
            *self.clicks.entry(keeps.then(|| text.to_owned())).or_default() += 1;
            self.all += 1;
            keeps
        }

        fn of(&self, text: &str) -> u64 {
            self.clicks.get(&Some(text.to_owned())).copied().unwrap_or(0)
        }

        /// Returns the number of texts with a name.
        fn named(&self) -> usize {
            assert_eq!(self.clicks.values().sum::<u64>(), self.all);
            self.clicks.keys().flatten().count()
        }
    }

    #[test]
    fn few_texts_all_keep_their_names() {
        let mut counted = Counted::default();
        for round in 0..3 {
            for text in 0..TABLE_MAX {
                assert!(counted.click(&format!("host-{text}")), "{round}");
            }
        }
        // The table is full, and each text in it has three clicks.
        assert!(!counted.click("one more"));
        assert_eq!((counted.of("host-7"), counted.clicks[&None], counted.named()), (3, 1, TABLE_MAX));
        counted.texts.clear();
        assert!(counted.click("one more"));
    }

    #[test]
    fn a_flood_evicts_itself() {
        let mut counted = Counted::default();
        let frequent: Vec<_> = (0..100).map(|number| format!("site-{number}.example")).collect();
        for text in frequent.iter().cycle().take(5_000) {
            counted.click(text);
        }
        let (mut kept, mut late, mut late_clicks) = (0, 0, 0);
        for number in 0..600_000 {
            // Names are free while the table fills, so the first random texts do not count.
            kept += usize::from(counted.click(&format!("random-{number}.example")) && number > 2 * TABLE_MAX);
            if number % 1_000 == 0 {
                for text in &frequent {
                    assert!(counted.click(text), "{text} lost its name after {number} random texts");
                }
            }
            // A text that is new and makes a two-hundredth of the clicks.
            if number > 100_000 && number % 200 == 0 {
                late += u32::from(counted.click("late.example"));
                late_clicks += 1;
            }
        }
        assert_eq!(kept, 0, "random texts have no names");
        assert!(late > late_clicks * 9 / 10, "{late} of {late_clicks}");
        // Exact: no click of a frequent text was lost to the flood.
        assert_eq!(counted.of("site-7.example"), 50 + 600);
        assert!(counted.named() < 2 * TABLE_MAX, "{}", counted.named());
    }

    /// A flood in which each text comes often enough to enter.
    #[test]
    fn repeated_random_texts_have_few_names() {
        let mut counted = Counted::default();
        for number in 0..100_000 {
            for _ in 0..10 {
                counted.click(&format!("random-{number}.example"));
            }
        }
        // A million clicks: 1 + log2(1,000,000 / 1,024) is below 11.
        assert!(counted.named() <= TABLE_MAX * 11, "{}", counted.named());
        assert!(counted.named() > TABLE_MAX);
    }

    #[test]
    fn workspaces_and_dimensions_have_tables_of_their_own() {
        let mut texts = Texts::default();
        for number in 0..10_000 {
            texts.keeps(1, Dimension::Path, format!("/{number}").as_bytes());
        }
        assert!(!texts.keeps(1, Dimension::Path, b"/x"));
        // A flood of one tenant takes no names from others, nor from another dimension.
        assert!(texts.keeps(2, Dimension::Path, b"/x"));
        assert!(texts.keeps(1, Dimension::Referrer, b"/x"));
    }

    #[test]
    fn the_texts_of_all_workspaces_are_bounded() {
        let mut texts = Texts::default();
        let kept = (0..2 * ENTRIES_MAX).filter(|number| {
            let workspace = u32::try_from(number / 1_000).expect("small");
            texts.keeps(workspace, Dimension::Referrer, format!("{number}.example").as_bytes())
        });
        // A text that takes the place of another one has a name as well.
        assert!((ENTRIES_MAX..ENTRIES_MAX + 1_024).contains(&kept.count()));
        assert_eq!(texts.entries, ENTRIES_MAX);
        assert!(texts.keeps(7, Dimension::Referrer, b"7001.example"), "known ones keep their names");
    }

    proptest! {
        /// A text with a name keeps it while few texts come.
        #[test]
        fn names_stay(clicks in proptest::collection::vec(0_u32..900, 0..6_000)) {
            let mut texts = Texts::default();
            for click in clicks {
                // At most 900 texts, so each has a place from its first click on.
                prop_assert!(texts.keeps(1, Dimension::Referrer, &click.to_be_bytes()));
            }
        }
    }
}
