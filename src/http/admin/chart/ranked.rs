//! Ranked bars: the rows of a property, such as countries, with the most clicks first. The chart is a table, with a bar
//! behind each label, so it needs no second table. Each row with an address is a link that filters by the row.

use askama::Template;

use super::numbers::{capitalized, decimal, grouped, percent, permille};

/// A row of [`RankedChart`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields have the names of the API.
pub struct RankedRow {
    pub label: String,
    /// The address of the row: the same page with one more filter. `None` for rows that cannot be filtered by, such
    /// as "all others".
    pub href: Option<String>,
    pub clicks: u64,
    pub visitors: u64,
}

/// Ranked bars. The rows are drawn in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankedChart {
    /// What the rows are, such as "Countries".
    pub heading: String,
    /// Rows, the one with the most clicks first.
    pub rows: Vec<RankedRow>,
    /// The clicks of which each row shows its share. Rows can add up to less (with `more`) or to more (by tag).
    pub total: u64,
    /// The address of the page with all rows, if there are more.
    pub more: Option<String>,
}

#[derive(Template)]
#[template(path = "chart_ranked.html")]
struct RankedMarkup<'a> {
    heading: &'a str,
    rows: Vec<RankedLine<'a>>,
    more: Option<&'a str>,
    unit: &'a str,
    /// The head of the column of numbers.
    column: String,
    has_visitors: bool,
}

struct RankedLine<'a> {
    label: &'a str,
    href: Option<&'a str>,
    clicks: String,
    visitors: String,
    share: String,
    /// The length of the bar in percent of the longest.
    bar: String,
}

impl RankedChart {
    /// Returns the chart of clicks.
    pub fn html(&self) -> String {
        self.html_of("clicks")
    }

    /// Returns the chart of something else than clicks. `unit` is its plural, such as `visits`.
    pub fn html_of(&self, unit: &str) -> String {
        // Bars are relative to the longest and not to the total: with many rows all would be short.
        let most = self.rows.iter().map(|row| row.clicks).max().unwrap_or(0);
        let markup = RankedMarkup {
            heading: &self.heading,
            rows: self.rows.iter().map(|row| RankedLine::of(row, most, self.total)).collect(),
            more: self.more.as_deref(),
            unit,
            column: capitalized(unit),
            // Bots and misses have none.
            has_visitors: self.rows.iter().any(|row| row.visitors > 0),
        };
        markup.render().expect("texts can be written to a string")
    }
}

impl RankedLine<'_> {
    fn of(row: &RankedRow, most: u64, total: u64) -> RankedLine<'_> {
        // At least half a percent: only nothing has no bar.
        let least = if row.clicks > 0 { 5 } else { 0 };
        RankedLine {
            label: &row.label,
            href: row.href.as_deref(),
            clicks: grouped(row.clicks),
            visitors: grouped(row.visitors),
            share: percent(row.clicks, total),
            bar: decimal(permille(row.clicks, most).max(least) * 100),
        }
    }
}

#[cfg(test)]
mod tests {
    use scraper::{Html, Selector};

    use super::*;

    fn row(label: &str, href: Option<&str>, clicks: u64, visitors: u64) -> RankedRow {
        RankedRow { label: label.into(), href: href.map(Into::into), clicks, visitors }
    }

    /// Returns the texts of all elements that a selector finds.
    fn texts(html: &str, selector: &str) -> Vec<String> {
        let selector = Selector::parse(selector).expect("a selector");
        let page = Html::parse_fragment(html);
        page.select(&selector).map(|element| element.text().collect::<String>().trim().to_owned()).collect()
    }

    /// Returns an attribute of all elements that a selector finds.
    fn attributes(html: &str, selector: &str, name: &str) -> Vec<String> {
        let selector = Selector::parse(selector).expect("a selector");
        let page = Html::parse_fragment(html);
        page.select(&selector).filter_map(|element| element.attr(name)).map(Into::into).collect()
    }

    #[test]
    fn each_row_has_its_bar_its_numbers_and_its_filter() {
        let rows = vec![
            row("Germany", Some("?country=DE"), 1204, 1000),
            row("unknown", None, 301, 1),
            row("x", None, 0, 0),
        ];
        let chart = RankedChart { heading: "Countries".into(), rows, total: 2408, more: Some("?all".into()) };
        let html = chart.html();
        assert_eq!(texts(&html, "tbody th"), ["Germany", "unknown", "x"]);
        assert_eq!(texts(&html, "tbody td"), ["1,204", "50%", "1,000", "301", "13%", "1", "0", "0%", "0"]);
        assert_eq!(attributes(&html, "rect", "width"), ["100%", "25%", "0%"]);
        assert_eq!(attributes(&html, "a", "href"), ["?country=DE", "?all"]);
        assert_eq!(texts(&html, "thead th"), ["Countries", "Clicks", "Share", "Visitors"]);
    }

    #[test]
    fn labels_and_addresses_are_escaped() {
        let hostile = r#"<b a="1">&'x'</b>"#;
        let rows = vec![row(hostile, Some(r#"?q="><script>&'"#), 1, 1)];
        let chart = RankedChart { heading: hostile.into(), rows, total: 1, more: None };
        let html = chart.html();
        // A label is text that visitors choose: a referrer, a parameter.
        assert!(!html.contains("<b ") && !html.contains("<script"), "{html}");
        assert_eq!(texts(&html, "tbody th"), [hostile]);
        assert_eq!(attributes(&html, "a", "href"), [r#"?q="><script>&'"#]);
        assert_eq!(texts(&html, "h2"), [hostile]);
    }

    #[test]
    fn without_visitors_there_is_no_column_of_zeros() {
        let chart = RankedChart {
            heading: "Bots".into(),
            rows: vec![row("Googlebot", None, u64::MAX, 0), row("b", None, 1, 0)],
            total: u64::MAX,
            more: None,
        };
        let html = chart.html_of("visits");
        // A column of zeros would claim that nobody came.
        assert_eq!(texts(&html, "thead th"), ["Bots", "Visits", "Share"]);
        assert_eq!(texts(&html, "tbody td"), ["18,446,744,073,709,551,615", "100%", "1", "<0.1%"]);
        assert_eq!(attributes(&html, "rect", "width"), ["100%", "0.5%"]);
    }

    #[test]
    fn no_rows_are_a_sentence() {
        let html = RankedChart { heading: "Countries".into(), ..RankedChart::default() }.html();
        assert_eq!(texts(&html, "p"), ["No clicks yet."]);
        assert!(!html.contains("<table"), "{html}");
    }
}
