//! The axes of a chart over time: round values for the lines across it, and labels below it that do not overlap.

use super::numbers::{decimal, short};

/// The height of the drawing in its own units. The page shows about a pixel for each.
pub(super) const HEIGHT: u64 = 200;

/// Most lines across the drawing, the base not counted.
const LINES_MAX: u128 = 4;

/// Least height of a bar that is not 0: a single click among thousands is visible.
const BAR_MIN: u128 = 2;

/// The width in pixels that labels share: on a phone of 360 pixels, and in a column of a wide page.
const NARROW: usize = 240;
const WIDE: usize = 560;

/// The values of the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// The value between two lines.
    step: u128,
    /// The lines, of which the last is the upper edge.
    lines: u128,
}

/// A line across the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gridline {
    /// Units from the upper edge.
    pub(super) at: String,
    /// Percent from the upper edge.
    pub(super) percent: String,
    pub(super) label: String,
}

impl Scale {
    /// Returns the scale with 2 to 4 lines at round values that contains `most`.
    pub(super) fn of(most: u64) -> Scale {
        // At least 2: below, there is only one whole number for a line.
        let most = u128::from(most.max(2));
        let mut size = 1;
        loop {
            // Steps of 1, 2 and 5 are the ones that people read without a calculation.
            // The smallest that fits: the highest bar takes as much of the drawing as possible.
            for step in [size, 2 * size, 5 * size] {
                if most.div_ceil(step) <= LINES_MAX {
                    return Scale { step, lines: most.div_ceil(step) };
                }
            }
            size *= 10;
        }
    }

    /// Returns the height of a bar, in units.
    pub(super) fn height(self, value: u64) -> u128 {
        if value == 0 {
            return 0;
        }
        // Not the highest bar but the highest line is the upper edge, so that the line has its place.
        let top = self.step * self.lines;
        // Rounded to the nearest. 128 bits: a counter times the height does not fit into 64.
        ((u128::from(value) * u128::from(HEIGHT) * 2 + top) / (top * 2)).max(BAR_MIN)
    }

    /// Returns the lines from the lowest to the upper edge.
    pub(super) fn gridlines(self) -> Vec<Gridline> {
        let line = |number: u128| {
            let from_top = self.lines - number;
            Gridline {
                at: decimal(from_top * u128::from(HEIGHT) * 1000 / self.lines),
                percent: decimal(from_top * 100_000 / self.lines),
                label: short(u64::try_from(number * self.step).unwrap_or(u64::MAX)),
            }
        };
        (1..=self.lines).map(line).collect()
    }
}

/// A label below the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotLabel {
    /// The slot that the label names.
    pub(super) slot: usize,
    /// The middle of the slot, in percent of the width.
    pub(super) percent: String,
    /// Whether only wide pages have room for it.
    pub(super) is_wide: bool,
    /// The class of a label that ends at its slot, for want of room to its right: `chart-last` on all pages,
    /// `chart-edge` on narrow ones. Empty for all others.
    pub(super) edge: &'static str,
}

/// Returns the labels for so many slots, of which the longest has `letters` letters. The labels of a narrow page are a
/// part of those of a wide one.
pub(super) fn slot_labels(slots: usize, letters: usize) -> Vec<SlotLabel> {
    // With a gap of two letters.
    let pixels = pixels(letters + 2);
    // At least one label, however long.
    let fit = |width: usize| slots.div_ceil((width / pixels).max(1)).max(1);
    let wide = fit(WIDE);
    // A multiple, so that a narrow page hides labels and needs no others.
    let narrow = fit(NARROW).div_ceil(wide) * wide;
    let label = |slot: usize| {
        // In thousandths of a percent.
        let middle = (slot * 2 + 1) * 50_000 / slots;
        SlotLabel {
            slot,
            percent: decimal(middle as u128 / 10 * 10),
            is_wide: !slot.is_multiple_of(narrow),
            edge: edge(100_000 - middle, self::pixels(letters)),
        }
    };
    (0..slots).step_by(wide).map(label).collect()
}

/// Returns the width of a text in pixels: letters of 12 pixel type have 6.5 on average.
fn pixels(letters: usize) -> usize {
    (letters * 13).div_ceil(2).max(1)
}

/// Returns the class of a label of this width whose middle is `rest` thousandths of a percent left of the right edge.
fn edge(rest: usize, pixels: usize) -> &'static str {
    let has_room = |width: usize| rest * width / 100_000 >= pixels / 2;
    match (has_room(NARROW), has_room(WIDE)) {
        (_, false) => "chart-last",
        (false, true) => "chart-edge",
        (true, true) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_round_and_few() {
        let rows: [(u64, &[&str]); 12] = [
            (0, &["1", "2"]),
            (1, &["1", "2"]),
            (3, &["1", "2", "3"]),
            (4, &["1", "2", "3", "4"]),
            (5, &["2", "4", "6"]),
            (9, &["5", "10"]),
            (11, &["5", "10", "15"]),
            (100, &["50", "100"]),
            (101, &["50", "100", "150"]),
            (1204, &["500", "1k", "1.5k"]),
            (3_400_000, &["1M", "2M", "3M", "4M"]),
            (u64::MAX, &["5,000,000T", "10,000,000T", "15,000,000T", "18,446,744T"]),
        ];
        for (most, labels) in rows {
            let lines = Scale::of(most).gridlines();
            assert_eq!(lines.iter().map(|line| &*line.label).collect::<Vec<_>>(), labels, "{most}");
            assert_eq!(lines.last().map(|line| &*line.percent), Some("0"), "{most}");
        }
        for most in (0..5000).chain([u64::MAX / 3, u64::MAX - 1]) {
            let scale = Scale::of(most);
            assert!((2..=4).contains(&scale.lines), "{most}: {scale:?}");
            assert!(scale.height(most) <= u128::from(HEIGHT), "{most}: {scale:?}");
            // At least half of the drawing is used, but by a single click.
            // Bars of a chart that is mostly empty cannot be compared.
            assert!(most < 2 || scale.height(most) * 2 >= u128::from(HEIGHT), "{most}: {scale:?}");
        }
    }

    #[test]
    fn heights_are_in_proportion() {
        let scale = Scale::of(1000);
        for (value, height) in [(0, 0), (1, 2), (10, 2), (100, 20), (500, 100), (997, 199), (1000, 200)] {
            assert_eq!(scale.height(value), height, "{value}");
        }
    }

    #[test]
    fn labels_at_the_right_edge_stay_within_the_chart() {
        // Seven slots: half of one is 17 pixels on a phone, and 40 on a wide page.
        for (letters, class) in [(2, ""), (5, ""), (6, "chart-edge"), (11, "chart-edge"), (13, "chart-last")]
        {
            assert_eq!(edge(7142, pixels(letters)), class, "{letters}");
        }
        assert_eq!(slot_labels(7, 5).last().map(|label| label.slot), Some(6));
    }

    #[test]
    fn labels_do_not_overlap_on_either_width() {
        for slots in 1..=200 {
            for letters in [0, 2, 5, 6, 8, 12, 20, 100] {
                let labels = slot_labels(slots, letters);
                assert_eq!(labels.first().map(|label| (label.slot, label.is_wide)), Some((0, false)));
                for (width, is_wide) in [(NARROW, false), (WIDE, true)] {
                    let shown: Vec<usize> = labels
                        .iter()
                        .filter(|label| is_wide || !label.is_wide)
                        .map(|label| label.slot)
                        .collect();
                    for pair in shown.windows(2) {
                        let gap = (pair[1] - pair[0]) * width / slots;
                        assert!(gap * 2 + 1 >= letters * 13, "{slots} slots, {letters} letters: {shown:?}");
                    }
                }
            }
        }
    }
}
