//! [`ClickCell`]: how many clicks of one link, in one quarter of an hour, agree in everything that is kept of a click.

/// Length of a slot in seconds. The offset of every zone of the IANA database since 1970 is a multiple of it, so the
/// days of all zones begin with a slot.
pub const SLOT_SECONDS: i64 = 15 * 60;

/// A quarter of an hour of UTC: the number of those since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSlot(pub u32);

impl TimeSlot {
    /// Returns the slot of a time in milliseconds since 1970. A time before 1970 is in the first slot, one after the
    /// year 124000 in the last.
    pub fn of_millis(millis: i64) -> TimeSlot {
        // Only a wrong clock is outside of the slots. Its clicks are kept all the same.
        let number = millis.div_euclid(SLOT_SECONDS * 1_000).max(0);
        TimeSlot(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Returns its first millisecond since 1970.
    pub fn start_millis(self) -> i64 {
        i64::from(self.0) * SLOT_SECONDS * 1_000
    }
}

/// What is kept of a click beside its link and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dimension {
    /// Country of the visitor's address: two letters, see [`crate::analytics::values::pack_letters`]. 0 is unknown.
    Country,
    /// Region and city, if the operator's file has them: a text, see [`crate::analytics::values::place_text`].
    Place,
    /// Kind of visitor, and its device, system and browser, or the name of the bot.
    Agent,
    /// Host of the page before the click: a text. 0 is a visit without a referrer.
    Referrer,
    /// UTM parameters that the visitor brought: a text, see [`crate::analytics::values::UtmValues`].
    Campaign,
    /// Language that the visitor prefers: two letters, as for the country. 0 is unknown.
    Language,
    /// How the link was opened, and whether the click counts: one of the numbers in [`OPENED_BY`], and the bits
    /// [`COUNTED`] and [`PREFETCHED`].
    Trigger,
    /// Rule of the link that chose the destination, from 1, in the upper 16 bits, and the variant of a split, from 1, in
    /// the lower 16 bits. 0 is the link's own destination.
    Choice,
    /// Path of a visit that found no link: a text. 0 is a visit of a link.
    Path,
}

impl Dimension {
    /// Number of dimensions.
    pub const COUNT: usize = 9;

    /// All dimensions, in the order of their columns.
    // Files have their columns in this order: a change of it needs another version of parts and ticks.
    pub const ALL: [Dimension; Dimension::COUNT] = {
        use Dimension::{Agent, Campaign, Choice, Country, Language, Path, Place, Referrer, Trigger};
        [Country, Place, Agent, Referrer, Campaign, Language, Trigger, Choice, Path]
    };

    /// Returns the place of the text that `value` stands for in the part's list of texts, `None` if it stands for none.
    ///
    /// A text has its place and 1, since 0 is no text. A bot's name has [`NAMED`] as well.
    pub fn text_of(self, value: u32) -> Option<u32> {
        match self {
            Dimension::Place | Dimension::Referrer | Dimension::Campaign | Dimension::Path => {
                value.checked_sub(1)
            }
            // Without the bit, the number is a class, which must not be read as the place of a text.
            Dimension::Agent if value & NAMED != 0 => (value & !NAMED).checked_sub(1),
            _ => None,
        }
    }

    /// Returns `value` with another text. Values with texts sort as their texts do.
    #[must_use]
    pub fn with_text(self, value: u32, text: u32) -> u32 {
        (value & NAMED) | (text + 1)
    }
}

/// The bit of a [`Dimension::Agent`] that is the name of a bot, and no class of a person's browser.
// The top bit: names sort behind all classes, and no place of a text reaches it.
pub const NAMED: u32 = 1 << 31;

/// The bits of a [`Dimension::Trigger`] that are the way in which the link was opened.
// Three bits leave five numbers for later versions, which answers show as numbers.
pub const OPENED_BY: u32 = 0b111;

/// [`OPENED_BY`]: the link itself.
pub const BY_LINK: u32 = 0;

/// [`OPENED_BY`]: the link's QR code.
pub const BY_QR: u32 = 1;

/// [`OPENED_BY`]: a call of the API that resolves a link.
pub const BY_API: u32 = 2;

/// The bit of a [`Dimension::Trigger`] that is set if the click is in the total of its link. It is not set for bots,
/// unless the link counts them, nor for prefetches and visits that found no link.
pub const COUNTED: u32 = 1 << 3;

/// The bit of a [`Dimension::Trigger`] that is set if a browser loaded the link before a click that may never come.
pub const PREFETCHED: u32 = 1 << 4;

/// The text that stands for all values that were not kept, since their number is bounded. No value is this text, since
/// no host, path or parameter has a control character.
pub const OTHER_TEXT: &[u8] = &[0];

/// The numbers of all dimensions.
pub type CellValues = [u32; Dimension::COUNT];

/// The number of clicks and visitors of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellCounts {
    /// Clicks.
    pub clicks: u32,
    /// Clicks that were the first of their visitor on the link on this day of UTC.
    pub visitors: u32,
    /// Clicks that were the first of their visitor in the workspace on this day of UTC.
    pub workspace_visitors: u32,
}

impl CellCounts {
    /// Adds other counts. They stay at their maximum instead of wrapping.
    pub fn add(&mut self, other: CellCounts) {
        // A wrapped count would turn the busiest cell into an almost empty one.
        self.clicks = self.clicks.saturating_add(other.clicks);
        self.visitors = self.visitors.saturating_add(other.visitors);
        self.workspace_visitors = self.workspace_visitors.saturating_add(other.workspace_visitors);
    }
}

/// The clicks of one link, in one slot, that agree in all dimensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClickCell {
    /// Place of the link in the list of its part. Cells are sorted by it, then by slot, then by values.
    pub link: u32,
    /// The slot.
    pub slot: TimeSlot,
    /// The numbers of all dimensions.
    pub values: CellValues,
    /// How many.
    pub counts: CellCounts,
}

impl ClickCell {
    /// Returns what a part sorts by. No two cells of a part have the same.
    pub fn key(&self) -> (u32, TimeSlot, CellValues) {
        // The counts are no part of it: cells with equal keys add up.
        (self.link, self.slot, self.values)
    }

    /// Returns whether a list with this number of texts has the texts of the cell.
    pub fn knows(&self, texts: usize) -> bool {
        Dimension::ALL
            .into_iter()
            .zip(self.values)
            .all(|(dimension, value)| dimension.text_of(value).is_none_or(|text| (text as usize) < texts))
    }

    /// Returns the places of its texts.
    pub fn texts(&self) -> impl Iterator<Item = u32> {
        Dimension::ALL.into_iter().zip(self.values).filter_map(|(dimension, value)| dimension.text_of(value))
    }

    /// Replaces each text by the one at this place in `texts`.
    pub fn renumber(&mut self, texts: &[u32]) {
        for (dimension, value) in Dimension::ALL.into_iter().zip(&mut self.values) {
            if let Some(text) = dimension.text_of(*value) {
                *value = dimension.with_text(*value, texts[text as usize]);
            }
        }
    }
}
