//! The hours of a week: 7 rows of 24 squares in 5 sizes. Sizes and not colours: five colours with a contrast of 3:1
//! between neighbours do not exist, and a size can be seen without colours.

use std::fmt::Write;

use askama::Template;

use super::numbers::{counted, grouped, percent};

/// Days in their order, short and long. A week begins with Monday, as in the API.
const DAYS: [(&str, &str); 7] = [
    ("Mon", "Monday"),
    ("Tue", "Tuesday"),
    ("Wed", "Wednesday"),
    ("Thu", "Thursday"),
    ("Fri", "Friday"),
    ("Sat", "Saturday"),
    ("Sun", "Sunday"),
];

/// The edge of the square of each step in hundredths of a cell. Step 0 is a dot.
const EDGES: [u32; 5] = [14, 40, 58, 76, 94];

/// The clicks of each hour of a week.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeatMap {
    /// The heading of the chart.
    pub heading: String,
    /// The clicks: Monday to Sunday, and in each day from 0:00.
    pub cells: [[u64; 24]; 7],
}

#[derive(Template)]
#[template(path = "chart_heat.html")]
struct HeatMarkup<'a> {
    heading: &'a str,
    unit: &'a str,
    description: String,
    has_clicks: bool,
    steps: Vec<HeatStep>,
    tooltips: Vec<HeatTooltip>,
    days: [(&'static str, &'static str); 7],
    hours: Vec<HeatHour>,
}

/// All squares of a size.
struct HeatStep {
    /// The edge as part of a cell.
    edge: String,
    squares: String,
    /// A square in a cell of its own, for the key.
    sample: String,
    /// The clicks that have this size.
    range: String,
}

struct HeatTooltip {
    day: usize,
    hour: usize,
    text: String,
}

/// A row of the table: an hour of all days.
struct HeatHour {
    hour: usize,
    clicks: Vec<String>,
}

impl HeatMap {
    /// Returns the chart of clicks.
    pub fn html(&self) -> String {
        self.html_of("clicks")
    }

    /// Returns the chart of something else than clicks. `unit` is its plural, such as `visits`.
    pub fn html_of(&self, unit: &str) -> String {
        // Sizes are relative to the busiest hour: with fixed ones the map of a quiet link would be empty.
        let most = self.hours().map(|(_, _, clicks)| clicks).max().unwrap_or(0);
        // Hours are the rows of the table: 24 columns do not fit on a phone.
        let row = |hour: usize| HeatHour {
            hour,
            clicks: self.cells.iter().map(|day| grouped(day[hour])).collect(),
        };
        let markup = HeatMarkup {
            heading: &self.heading,
            unit,
            description: self.description(unit),
            has_clicks: most > 0,
            steps: (0..EDGES.len()).map(|step| self.step(step, most)).collect(),
            tooltips: self.tooltips(unit),
            days: DAYS,
            hours: (0..24).map(row).collect(),
        };
        markup.render().expect("texts can be written to a string")
    }

    /// Returns each hour with its day and its clicks.
    fn hours(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let days = self.cells.iter().enumerate();
        days.flat_map(|(day, hours)| hours.iter().enumerate().map(move |(hour, clicks)| (day, hour, *clicks)))
    }

    fn step(&self, step: usize, most: u64) -> HeatStep {
        // One path for each size: an element for each square would be more than twice the markup.
        let edge = EDGES[step];
        let mut squares = String::new();
        for (day, hour, clicks) in self.hours() {
            if step_of(clicks, most) == step {
                squares.push_str(&square(hour, day, edge));
            }
        }
        HeatStep { edge: format!(".{edge}"), squares, sample: square(0, 0, edge), range: range(step, most) }
    }

    /// Returns the words of hours with clicks. For the others, the dot says all.
    fn tooltips(&self, unit: &str) -> Vec<HeatTooltip> {
        // The short name of the day: 168 long ones would be a kilobyte.
        let hours = self.hours().filter(|(_, _, clicks)| *clicks > 0);
        let tooltip = |(day, hour, clicks): (usize, usize, u64)| HeatTooltip {
            day,
            hour,
            text: format!("{} {hour}:00: {}", DAYS[day].0, counted(clicks, unit)),
        };
        hours.map(tooltip).collect()
    }

    /// Returns the words of the whole chart.
    fn description(&self, unit: &str) -> String {
        // A sum of counters can exceed 64 bits. The largest number is near enough.
        let total = self.hours().fold(0_u64, |sum, (_, _, clicks)| sum.saturating_add(clicks));
        let mut text = format!("{}.", counted(total, unit));
        let mut peak = (0, 0, 0);
        for cell in self.hours().filter(|cell| cell.2 > 0) {
            // The first of several that are equal.
            peak = if cell.2 > peak.2 { cell } else { peak };
        }
        let (day, hour, clicks) = peak;
        if clicks > 0 {
            let _ = write!(
                text,
                " Most: {} from {hour}:00 to {}:00 ({}, {}).",
                DAYS[day].1,
                hour + 1,
                grouped(clicks),
                percent(clicks, total)
            );
        }
        text
    }
}

/// Returns the size of an hour: 0 without clicks, or else 1 to 4 in equal parts of the most.
fn step_of(clicks: u64, most: u64) -> usize {
    if clicks == 0 {
        return 0;
    }
    // In 128 bits: four times the largest counter does not fit into 64.
    // Rounded up: a single click has a size of its own, and never that of none.
    usize::try_from((u128::from(clicks) * 4).div_ceil(u128::from(most.max(1)))).map_or(4, |step| step.min(4))
}

/// Returns the clicks that have this size, the least and the most.
fn range(step: usize, most: u64) -> String {
    if step == 0 {
        return "0".to_owned();
    }
    let bound = |step: usize| u64::try_from(u128::from(most) * step as u128 / 4).unwrap_or(most);
    let (least, most) = (bound(step - 1).saturating_add(1), bound(step));
    match least.cmp(&most) {
        std::cmp::Ordering::Less => format!("{}–{}", grouped(least), grouped(most)),
        std::cmp::Ordering::Equal => grouped(most),
        // With less than four clicks there are fewer sizes.
        std::cmp::Ordering::Greater => String::new(),
    }
}

/// Returns a square in the middle of its cell: a line as long as it is thick.
fn square(hour: usize, day: usize, edge: u32) -> String {
    // A line has one attribute, where a rectangle has four.
    format!("M{hour}.{:02},{day}.5h.{edge}", 50 - edge / 2)
}

#[cfg(test)]
mod tests {
    use scraper::{Html, Selector};

    use super::*;

    fn select(html: &str, selector: &str, attribute: Option<&str>) -> Vec<String> {
        let selector = Selector::parse(selector).expect("a selector");
        let page = Html::parse_fragment(html);
        let get = |element: scraper::ElementRef<'_>| match attribute {
            Some(name) => element.attr(name).unwrap_or("").to_owned(),
            None => element.text().collect::<String>().trim().to_owned(),
        };
        page.select(&selector).map(get).collect()
    }

    #[test]
    fn each_hour_has_one_square_of_its_size_and_a_cell_in_the_table() {
        let mut map = HeatMap { heading: "Hours".into(), ..HeatMap::default() };
        for (day, hours) in map.cells.iter_mut().enumerate() {
            for (hour, clicks) in hours.iter_mut().enumerate() {
                // Different in each hour, so that a swap of days and hours is found.
                *clicks = (day as u64 * 24 + hour as u64) * 7919 % 400;
            }
        }
        let html = map.html();
        let drawn = select(&html, ".chart-heat-cells path", Some("d"));
        let table = select(&html, "tbody td", None);
        let most = map.hours().map(|(_, _, clicks)| clicks).max().expect("hours");
        assert_eq!((drawn.len(), table.len()), (5, 168));
        assert_eq!(drawn.iter().map(|path| path.matches('M').count()).sum::<usize>(), 168);
        for (day, hour, clicks) in map.hours() {
            assert_eq!(table[hour * 7 + day], grouped(clicks), "{day} {hour}");
            let step = step_of(clicks, most);
            let wanted = square(hour, day, EDGES[step]);
            assert!(drawn[step].contains(&wanted), "{day} {hour}: {wanted} in {}", drawn[step]);
        }
        assert!(html.len() < 16 * 1024, "{} bytes", html.len());
        assert!(!html.contains("style=") && !html.contains(" id="), "{html}");
    }

    #[test]
    fn sizes_are_equal_parts() {
        let rows =
            [(0, 100, 0), (1, 100, 1), (25, 100, 1), (26, 100, 2), (75, 100, 3), (76, 100, 4), (100, 100, 4)];
        for (clicks, most, step) in rows {
            assert_eq!(step_of(clicks, most), step, "{clicks} of {most}");
        }
        let ranges = |most: u64| (0..5).map(|step| range(step, most)).collect::<Vec<_>>();
        assert_eq!(ranges(100), ["0", "1–25", "26–50", "51–75", "76–100"]);
        assert_eq!(ranges(4), ["0", "1", "2", "3", "4"]);
        assert_eq!(ranges(1), ["0", "", "", "", "1"]);
        assert_eq!((step_of(1, u64::MAX), step_of(u64::MAX, u64::MAX)), (1, 4));
    }

    #[test]
    fn the_map_is_described_in_words() {
        let mut map = HeatMap { heading: r#"<i a="1">&'"#.into(), ..HeatMap::default() };
        assert_eq!(select(&map.html(), "desc", None), ["0 clicks."]);
        assert!(map.html().contains("No clicks in this time"), "{}", map.html());
        // Thursday is the fourth day: the week begins with Monday.
        map.cells[3][14] = 3;
        map.cells[6][23] = 1;
        let html = map.html_of("visits");
        let words = "4 visits. Most: Thursday from 14:00 to 15:00 (3, 75%).";
        assert_eq!(select(&html, "desc", None), [words]);
        assert_eq!(select(&html, "rect title", None), ["Thu 14:00: 3 visits", "Sun 23:00: 1 visit"]);
        assert_eq!(select(&html, "h2", None), [r#"<i a="1">&'"#]);
        map.cells = [[u64::MAX; 24]; 7];
        assert_eq!(select(&map.html(), ".chart-heat-cells path", Some("d"))[0].matches('M').count(), 168);
    }
}
