//! Bars over time: a bar for each slot, the time before as an outline, and a slot that is not over yet with stripes.
//! At most 200 bars, below 12 KB with the table of the same numbers.

use std::fmt::Write;

use askama::Template;

use super::numbers::{capitalized, counted, grouped};
use super::scale::{Gridline, HEIGHT, Scale, SlotLabel, slot_labels};

/// Most bars. The server chooses slots that are fewer; beyond, neighbours are added up.
const BARS_MAX: usize = 200;

/// Most bars that have gaps between them and their words as a tooltip of the browser: the days of a quarter. Beyond, a bar on a phone is
/// thinner than a gap or a finger, and the words would be most of the page: the table and the script have them.
const SPACED_MAX: usize = 92;

/// A slot of time: a quarter of an hour, an hour, a day, a week or a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChartSlot {
    /// The label on the axis, such as "12 Nov".
    pub label: String,
    /// The label where there is room, such as "Thursday, 12 November 2026".
    pub long: String,
    /// The clicks in the slot.
    pub clicks: u64,
    /// Daily visitors. A chart whose slots have none does not show them.
    pub visitors: u64,
    /// The clicks of the slot of the same number in the time before, if the chart compares.
    pub previous: Option<u64>,
    /// Whether the slot is not over yet, so that its clicks will be more.
    pub is_running: bool,
}

/// A chart over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeChart {
    /// The heading of the chart.
    pub heading: String,
    /// The plural of what is counted, such as "clicks".
    pub unit: &'static str,
    /// Slots without a gap, the oldest first.
    pub slots: Vec<ChartSlot>,
}

#[derive(Template)]
#[template(path = "chart_time.html")]
struct TimeMarkup<'a> {
    heading: &'a str,
    unit: &'a str,
    column: String,
    description: String,
    /// The number of slots, which is the width of the drawing in its own units.
    slots: usize,
    gridlines: Vec<Gridline>,
    /// The bars of slots that are over: lines up from the base, or one area.
    bars: String,
    is_area: bool,
    running: String,
    previous: String,
    labels: Vec<ShownLabel<'a>>,
    tooltips: Vec<String>,
    rows: Vec<TableLine<'a>>,
    has_visitors: bool,
    has_clicks: bool,
}

struct ShownLabel<'a> {
    at: SlotLabel,
    text: &'a str,
}

/// A row of the table.
struct TableLine<'a> {
    label: &'a str,
    clicks: String,
    visitors: String,
    previous: String,
}

impl TimeChart {
    /// Returns the chart.
    pub fn html(&self) -> String {
        let slots = merged(&self.slots);
        // Both times have one scale: they are compared.
        let values = |slot: &ChartSlot| slot.clicks.max(slot.previous.unwrap_or(0));
        let most = slots.iter().map(values).max().unwrap_or(0);
        let scale = Scale::of(most);
        let is_area = slots.len() > SPACED_MAX;
        let label = |at: SlotLabel| ShownLabel { text: &slots[at.slot].label, at };
        // The longest label decides, since labels are at equal distances.
        let letters = slots.iter().map(|slot| slot.label.chars().count()).max().unwrap_or(0);
        // The script finds the words of an area in the table.
        let tooltips = if is_area { &[] } else { slots.as_slice() };
        let markup = TimeMarkup {
            heading: &self.heading,
            unit: self.unit,
            column: capitalized(self.unit),
            description: description(&slots, self.unit),
            slots: slots.len(),
            gridlines: scale.gridlines(),
            bars: if is_area { area(&slots, scale) } else { bars(&slots, scale, false) },
            is_area,
            running: bars(&slots, scale, true),
            previous: outline(&slots, scale),
            labels: slot_labels(slots.len(), letters).into_iter().map(label).collect(),
            tooltips: tooltips.iter().map(|slot| tooltip(slot, self.unit)).collect(),
            rows: slots.iter().map(|slot| TableLine::of(slot, is_area)).collect(),
            // Bots and misses have none.
            has_visitors: slots.iter().any(|slot| slot.visitors > 0),
            has_clicks: most > 0,
        };
        markup.render().expect("texts can be written to a string")
    }
}

impl TableLine<'_> {
    fn of(slot: &ChartSlot, is_short: bool) -> TableLine<'_> {
        TableLine {
            label: if is_short { &slot.label } else { &slot.long },
            clicks: grouped(slot.clicks),
            visitors: grouped(slot.visitors),
            previous: slot.previous.map_or_else(String::new, grouped),
        }
    }
}

/// Returns at most [`BARS_MAX`] slots: neighbours are added up in groups of the same length.
fn merged(slots: &[ChartSlot]) -> Vec<ChartSlot> {
    let group = slots.len().div_ceil(BARS_MAX).max(1);
    // Daily visitors are added up like clicks: nobody can count them over several days in another way.
    slots.chunks(group).map(sum).collect()
}

fn sum(slots: &[ChartSlot]) -> ChartSlot {
    let mut all = slots.first().cloned().unwrap_or_default();
    for slot in slots.iter().skip(1) {
        all.clicks = all.clicks.saturating_add(slot.clicks);
        all.visitors = all.visitors.saturating_add(slot.visitors);
        all.previous = match (all.previous, slot.previous) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        all.is_running |= slot.is_running;
    }
    if let [first, .., last] = slots {
        all.long = format!("{} to {}", first.long, last.long);
    }
    all
}

/// Returns lines up from the base, for the slots that are over or for those that are not.
fn bars(slots: &[ChartSlot], scale: Scale, is_running: bool) -> String {
    let mut path = String::new();
    for (at, slot) in slots.iter().enumerate() {
        if slot.clicks > 0 && slot.is_running == is_running {
            let _ = write!(path, "M{at}.5,{HEIGHT}v-{}", scale.height(slot.clicks));
        }
    }
    path
}

/// Returns one area of steps, in which slots that are not over are 0.
fn area(slots: &[ChartSlot], scale: Scale) -> String {
    // The slot that is not over is drawn on its own, with stripes.
    let height = |slot: &ChartSlot| if slot.is_running { 0 } else { scale.height(slot.clicks) };
    format!("M0,{HEIGHT}{}V{HEIGHT}z", steps(slots.iter().map(height), 0))
}

/// Returns the outline of the time before, empty if the chart does not compare.
fn outline(slots: &[ChartSlot], scale: Scale) -> String {
    // A slot without a time before can be at the end only: the time before was shorter.
    let heights: Vec<u128> = slots.iter().filter_map(|slot| slot.previous).map(|v| scale.height(v)).collect();
    let Some(first) = heights.first().copied() else { return String::new() };
    format!("M0,{}{}", u128::from(HEIGHT) - first, steps(heights.into_iter(), first))
}

/// Returns one unit to the right for each height, and the way up or down to it from the one before. `v` and `h` with
/// differences are the shortest form.
fn steps(heights: impl Iterator<Item = u128>, from: u128) -> String {
    // Steps of the same height are one step.
    let (mut path, mut last, mut run) = (String::new(), from, 0_u32);
    for height in heights {
        if height != last {
            let _ = if run > 0 { write!(path, "h{run}") } else { Ok(()) };
            let _ = if height > last {
                write!(path, "v-{}", height - last)
            } else {
                write!(path, "v{}", last - height)
            };
            (last, run) = (height, 0);
        }
        run += 1;
    }
    let _ = write!(path, "h{run}");
    path
}

/// Returns the words of a slot. The short ones: the table beside has the long ones, with the visitors.
fn tooltip(slot: &ChartSlot, unit: &str) -> String {
    let mut text = format!("{}: {}", slot.label, counted(slot.clicks, unit));
    if let Some(previous) = slot.previous {
        let _ = write!(text, ", {} before", grouped(previous));
    }
    text
}

/// Returns the words of the whole chart: the total, the highest bar, and the total of the time before.
fn description(slots: &[ChartSlot], unit: &str) -> String {
    let total = |values: &mut dyn Iterator<Item = u64>| values.fold(0, u64::saturating_add);
    let clicks = total(&mut slots.iter().map(|slot| slot.clicks));
    let mut text = format!("{}.", counted(clicks, unit));
    // The first of several that are equal.
    let peak = slots.iter().rev().max_by_key(|slot| slot.clicks).filter(|slot| slot.clicks > 0);
    if let Some(peak) = peak {
        let _ = write!(text, " Most: {} ({}).", peak.long, grouped(peak.clicks));
    }
    if slots.iter().any(|slot| slot.previous.is_some()) {
        let before = total(&mut slots.iter().filter_map(|slot| slot.previous));
        let _ = write!(text, " The time before: {}.", counted(before, unit));
    }
    text
}

#[cfg(test)]
mod tests {
    use scraper::{ElementRef, Html, Selector};

    use super::*;

    fn slot(clicks: u64) -> ChartSlot {
        ChartSlot { label: "1 Nov".into(), long: "Sunday".into(), clicks, ..ChartSlot::default() }
    }

    fn chart(slots: Vec<ChartSlot>) -> TimeChart {
        TimeChart { heading: "Clicks".into(), unit: "clicks", slots }
    }

    fn select(html: &str, selector: &str, get: impl Fn(ElementRef<'_>) -> String) -> Vec<String> {
        let selector = Selector::parse(selector).expect("a selector");
        Html::parse_fragment(html).select(&selector).map(get).collect()
    }

    fn texts(html: &str, selector: &str) -> Vec<String> {
        select(html, selector, |element| element.text().collect::<String>().trim().to_owned())
    }

    fn path(html: &str, class: &str) -> Option<String> {
        let found = select(html, &format!("figure > svg path.{class}"), |element| {
            element.attr("d").unwrap_or("").to_owned()
        });
        found.into_iter().next()
    }

    /// Returns a coordinate in halves of a unit.
    fn halves(text: &str) -> i64 {
        // Halves, so that the middle of a slot is a whole number and is compared exactly.
        let (whole, half) = text.split_once('.').map_or((text, "0"), |(whole, half)| (whole, half));
        whole.parse::<i64>().expect("a number") * 2 + i64::from(half == "5")
    }

    /// Returns the height at each slot of a path of `M`, `v`, `h` and `V`.
    fn heights(path: &str, slots: usize) -> Vec<i64> {
        let base = 2 * i64::try_from(HEIGHT).expect("small");
        let at = |x: i64| usize::try_from(x / 2).expect("right of 0");
        let (mut found, mut x, mut y) = (vec![0; slots], 0, 0);
        let mut rest = path;
        while let Some(name) = rest.chars().next() {
            let end = rest[1..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |at| at + 1);
            let numbers: Vec<i64> = rest[1..end].split(',').filter(|n| !n.is_empty()).map(halves).collect();
            match name {
                'M' => (x, y) = (numbers[0], numbers[1]),
                'v' => y += numbers[0],
                'V' => y = numbers[0],
                'h' => {
                    found[at(x)..at(x + numbers[0])].fill((base - y) / 2);
                    x += numbers[0];
                }
                _ => assert_eq!(name, 'z', "{path}"),
            }
            // A bar is a line at the middle of its slot.
            if name == 'v' && x % 2 != 0 {
                found[at(x)] = (base - y) / 2;
            }
            rest = &rest[end..];
        }
        found
    }

    #[test]
    fn the_bars_and_the_outline_equal_the_table() {
        for count in [1, 7, 30, 92, 93, 200] {
            let slots: Vec<ChartSlot> = (0..count)
                .map(|at| ChartSlot {
                    clicks: (at + 1) * 7919 % 1000,
                    visitors: at * 31 % 500 + 1,
                    previous: Some((at + 1) * 104_729 % 900),
                    is_running: at + 1 == count,
                    ..slot(0)
                })
                .collect();
            let html = chart(slots.clone()).html();
            let cells = texts(&html, "tbody td");
            let scale =
                Scale::of(slots.iter().map(|s| s.clicks.max(s.previous.unwrap_or(0))).max().unwrap_or(0));
            let (bars, running) = (
                path(&html, if count > 92 { "chart-area" } else { "chart-bars" }),
                path(&html, "chart-running"),
            );
            let drawn = [bars, running].map(|path| heights(&path.unwrap_or_default(), slots.len()));
            let outline = heights(&path(&html, "chart-previous").expect("an outline"), slots.len());
            assert_eq!(cells.len(), slots.len() * 3, "{count}");
            for (at, cells) in cells.chunks(3).enumerate() {
                let number = |text: &str| text.replace(',', "").parse::<u64>().expect("a number");
                let height = |text: &str| i64::try_from(scale.height(number(text))).expect("small");
                let (is_over, not) = if slots[at].is_running { (1, 0) } else { (0, 1) };
                assert_eq!(drawn[is_over][at], height(&cells[0]), "{count}: slot {at}");
                assert_eq!(drawn[not][at], 0, "{count}: slot {at}");
                assert_eq!(number(&cells[1]), slots[at].visitors, "{count}: slot {at}");
                assert_eq!(outline[at], height(&cells[2]), "{count}: slot {at}");
            }
        }
    }

    #[test]
    fn labels_are_escaped() {
        let hostile = r#"<b a="1">&'x'</b>"#;
        let slots = vec![ChartSlot { label: hostile.into(), long: hostile.into(), ..slot(3) }];
        let html = TimeChart { heading: hostile.into(), unit: "clicks", slots }.html();
        assert!(!html.contains("<b "), "{html}");
        for selector in ["h2", ".chart-x text", "tbody th"] {
            assert_eq!(texts(&html, selector), [hostile], "{selector}");
        }
        assert_eq!(texts(&html, "rect title"), [format!("{hostile}: 3 clicks")]);
        assert_eq!(texts(&html, "desc"), [format!("3 clicks. Most: {hostile} (3).")]);
    }

    #[test]
    fn a_chart_is_described_in_words() {
        let slots = vec![
            ChartSlot { previous: Some(5), ..slot(1) },
            ChartSlot { previous: Some(1200), long: "Monday".into(), visitors: 1, ..slot(1204) },
            ChartSlot { previous: Some(0), long: "Tuesday".into(), is_running: true, ..slot(1204) },
        ];
        let html = chart(slots).html();
        let words = "2,409 clicks. Most: Monday (1,204). The time before: 1,205 clicks.";
        assert_eq!(texts(&html, "desc"), [words]);
        assert_eq!(
            texts(&html, "rect title"),
            [
                "1 Nov: 1 click, 5 before",
                "1 Nov: 1,204 clicks, 1,200 before",
                "1 Nov: 1,204 clicks, 0 before"
            ]
        );
        assert_eq!(texts(&html, "thead th"), ["Time", "Clicks", "Visitors", "Before"]);
        assert_eq!(texts(&html, "svg[role=img] > title"), ["Clicks"]);
    }

    #[test]
    fn without_clicks_the_chart_is_calm() {
        let html = chart(vec![slot(0), slot(0)]).html();
        assert!(html.contains("No clicks in this time"), "{html}");
        assert_eq!(path(&html, "chart-bars"), None);
        assert_eq!(texts(&html, "tbody td"), ["0", "0"]);
        let html = chart(Vec::new()).html();
        assert!(html.contains("No clicks in this time") && !html.contains("<svg"), "{html}");
        assert!(!html.contains("<table"), "{html}");
    }

    #[test]
    fn two_hundred_bars_are_below_12_kb_and_spaced_ones_below_16() {
        for (count, most) in [(200, 12 * 1024), (92, 16 * 1024)] {
            let slots = (0..count)
                .map(|at| ChartSlot {
                    label: format!("{} Nov", at % 28 + 1),
                    long: format!("Wednesday, {} November 2026", at % 28 + 1),
                    clicks: 1000 + at * 7919 % 9000,
                    visitors: 1000 + at * 31 % 5000,
                    previous: Some(1000 + at * 104_729 % 9000),
                    is_running: at + 1 == count,
                })
                .collect();
            let html = chart(slots).html();
            assert!(html.len() < most, "{count}: {} bytes", html.len());
            assert!(!html.contains("style=") && !html.contains(" id="), "{html}");
        }
    }

    #[test]
    fn more_slots_than_bars_are_added_up() {
        let html = chart(vec![slot(3); 401]).html();
        let cells = texts(&html, "tbody td");
        assert_eq!((cells.len(), &*cells[0], &*cells[133]), (134, "9", "6"));
        assert_eq!(texts(&html, "desc"), ["1,203 clicks. Most: Sunday to Sunday (9)."]);
    }

    #[test]
    fn the_largest_counters_fit() {
        let full = ChartSlot { visitors: u64::MAX, previous: Some(u64::MAX), ..slot(u64::MAX) };
        // Groups of three: their sums saturate.
        let html = chart(vec![full; 401]).html();
        assert_eq!(texts(&html, "tbody td")[0], grouped(u64::MAX));
        let html = chart(vec![slot(1), slot(u64::MAX)]).html();
        assert_eq!(path(&html, "chart-bars").as_deref(), Some("M0.5,200v-2M1.5,200v-184"));
    }
}
