//! The sparkline of a row in a list: small bars without text. The numbers of the row say the same in digits.

use askama::Template;

use super::numbers::permille;

/// The size in pixels.
const WIDTH: usize = 96;
const HEIGHT: u128 = 24;

/// Most bars: each is at least 2 pixels wide. More values are added up in groups.
const BARS_MAX: usize = 48;

#[derive(Template)]
#[template(path = "chart_sparkline.html")]
struct SparklineMarkup {
    /// The bars, as lines up from the base.
    bars: String,
    /// The width of a bar.
    width: String,
}

/// Returns an SVG of 96 x 24 pixels with a bar for each value, the oldest first. Screen readers skip it. Only a value
/// of 0 has no bar.
pub fn sparkline(values: &[u64]) -> String {
    // Whole groups: parts of a value cannot be drawn.
    let group = values.len().div_ceil(BARS_MAX).max(1);
    let sums: Vec<u64> = values
        .chunks(group)
        .map(|group| group.iter().fold(0, |sum: u64, v| sum.saturating_add(*v)))
        .collect();
    let most = sums.iter().copied().max().unwrap_or(0);
    // In hundredths of a pixel.
    // Whole numbers: the markup is the same on each machine.
    let pitch = (WIDTH * 100) / sums.len().max(1);
    let bar = |(at, value): (usize, &u64)| {
        let x = hundredths(at * pitch + pitch / 2);
        // Rounded, and at least a pixel and a half: a single click is visible.
        let height = (permille(*value, most) * HEIGHT / 10).max(150);
        format!("M{x},24v-{}", hundredths(usize::try_from(height).unwrap_or(0)))
    };
    // A value of 0 has no bar, but keeps its place.
    let bars = sums.iter().enumerate().filter(|(_, value)| **value > 0).map(bar).collect();
    let markup = SparklineMarkup { bars, width: hundredths(pitch * 7 / 10) };
    markup.render().expect("texts can be written to a string")
}

/// Returns hundredths as a decimal number.
fn hundredths(number: usize) -> String {
    super::numbers::decimal(number as u128 * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_for_each_value_but_zero() {
        let svg = sparkline(&[0, 4, 0, 2]);
        assert!(svg.contains(r#"d="M36,24v-24M84,24v-12""#), "{svg}");
        assert!(svg.contains(r#"width="96" height="24""#) && svg.contains(r#"aria-hidden="true""#), "{svg}");
    }

    #[test]
    fn small_values_are_visible_and_large_ones_fit() {
        let svg = sparkline(&[1, u64::MAX, u64::MAX]);
        assert!(svg.contains(r#"d="M16,24v-1.5M48,24v-24M80,24v-24""#), "{svg}");
        // The sums of groups saturate.
        let many = sparkline(&vec![u64::MAX; 4000]);
        assert!(many.len() < 1200, "{}", many.len());
        assert_eq!(many.matches("v-24").count(), 48, "{many}");
    }

    #[test]
    fn no_values_are_an_empty_line() {
        for values in [&[] as &[u64], &[0, 0, 0]] {
            let svg = sparkline(values);
            assert!(svg.contains(r#"class="spark""#) && !svg.contains("v-"), "{svg}");
        }
    }
}
