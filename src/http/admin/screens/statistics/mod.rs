//! The statistics screen: the number first, then the clicks over time and the lists of what they have in common. Each row
//! of a list is a link that adds a filter, and each filter is a link that removes or turns it. So a view is an address.

mod asked;
mod filters;
mod panels;
pub(in crate::http::admin) mod tables;
mod words;

use askama::Template;
use hyper::StatusCode;

use self::asked::{Asked, KINDS};
pub(in crate::http::admin) use self::filters::short_url;
use self::filters::{FilterText, filter_texts};
use self::panels::{StatisticsPanel, panels, week};
use crate::analytics::query::calendar::Granularity;
use crate::core::AnalyticsView;
use crate::http::admin::answers::{time, time_chart};
use crate::http::admin::chart::grouped;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::body::HttpResponse;

/// The periods that the page offers, by their names in the API.
const PERIODS: [(&str, &str); 7] = [
    ("today", "Today"),
    ("7d", "7 days"),
    ("30d", "30 days"),
    ("90d", "90 days"),
    ("month", "This month"),
    ("12mo", "12 months"),
    ("all", "All"),
];

/// The lengths of a bar.
const STEPS: [(&str, &str); 6] = [
    ("", "To fit"),
    ("15m", "15 minutes"),
    ("hour", "Hours"),
    ("day", "Days"),
    ("week", "Weeks"),
    ("month", "Months"),
];

#[derive(Template)]
#[template(path = "statistics_screen.html")]
struct StatisticsScreen<'a> {
    frame: &'a Frame,
    periods: Vec<PageChoice>,
    kinds: Vec<PageChoice>,
    steps: Vec<PageChoice>,
    filters: Vec<FilterText>,
    /// What the form of the time keeps.
    kept: Vec<(&'static str, String)>,
    from: &'a str,
    to: &'a str,
    zone: &'a str,
    default_zone: &'a str,
    is_custom: bool,
    /// Turns the time before on or off.
    compare: PageChoice,
    live: String,
    answer: Option<ShownAnswer>,
    /// Why there is none.
    refused: Option<String>,
}

/// A link or an option of which one is chosen.
struct PageChoice {
    name: &'static str,
    /// The address, or the value of the option.
    value: String,
    is_chosen: bool,
}

/// What the page shows of the answers.
struct ShownAnswer {
    figures: Vec<HeadFigure>,
    period: String,
    notes: Vec<String>,
    chart: String,
    csv: String,
    /// The table of all, by time and `all_by`.
    all: String,
    all_by: &'static str,
    panels: Vec<StatisticsPanel>,
    week: Option<StatisticsPanel>,
}

/// A number at the head of the page.
struct HeadFigure {
    name: String,
    number: String,
    /// The change to the time before.
    change: Option<String>,
    /// The page that shows more of it.
    href: Option<String>,
}

/// Shows the screen.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let asked = Asked::of_page(request);
    let filters = filter_texts(request, &asked).await;
    let (answer, refused, status) = match answer(request, &asked).await {
        Ok(answer) => (Some(answer), None, StatusCode::OK),
        // Such as a filter that is no value: the page stays usable, since its filters can be removed.
        Err(PageError::Api(error)) => {
            let (status, words) = PageError::Api(error).words();
            (None, Some(words), status)
        }
        Err(error) => return Err(error),
    };
    let is_custom = !asked.get("from").is_empty();
    let period = |(value, name): (&'static str, &'static str)| PageChoice {
        name,
        value: asked.with_period(value),
        is_chosen: asked.interval() == value,
    };
    let kind = |(value, name, _): (&'static str, &'static str, &'static str)| PageChoice {
        name,
        value: asked.with("visits", if value == "clicks" { "" } else { value }),
        is_chosen: asked.visits() == value,
    };
    let step = |(value, name): (&'static str, &'static str)| PageChoice {
        name,
        value: value.to_owned(),
        is_chosen: asked.get("granularity") == value,
    };
    let screen = StatisticsScreen {
        frame: request.frame,
        periods: PERIODS.into_iter().map(period).collect(),
        kinds: KINDS.into_iter().map(kind).collect(),
        steps: STEPS.into_iter().map(step).collect(),
        kept: asked.kept(),
        from: asked.get("from"),
        to: asked.get("to"),
        zone: asked.get("timezone"),
        default_zone: asked.default_zone(),
        is_custom,
        compare: PageChoice {
            name: "Time before",
            value: asked.with("compare", if asked.compares() { "none" } else { "" }),
            is_chosen: asked.compares(),
        },
        live: asked.live(),
        filters,
        answer,
        refused,
    };
    Ok(request.frame.page(status, &screen))
}

async fn answer(request: &PageRequest<'_>, asked: &Asked) -> Result<ShownAnswer, PageError> {
    let compare = if asked.compares() { "previous" } else { "" };
    let over_time = asked.ask(request, &[("groupBy", "time"), ("compare", compare)]).await?;
    let unit = asked.unit();
    let mut notes = over_time.warnings.clone();
    if let Some(clicks) = over_time.unattributed.filter(|clicks| *clicks > 0) {
        notes.push(format!("{} more clicks have no details.", grouped(clicks)));
    }
    if !over_time.has_statistics {
        notes.push("Statistics of new clicks are switched off.".to_owned());
    }
    // A miss has no link.
    let all_by = if asked.visits() == "misses" { "path" } else { "link" };
    // The hours of a week say nothing about a day or two.
    let is_short = matches!(over_time.granularity, Granularity::Quarter | Granularity::Hour);
    Ok(ShownAnswer {
        figures: figures(request, asked, &over_time).await,
        period: period(&over_time),
        notes,
        chart: time_chart(&over_time, asked.heading(), unit).html(),
        csv: asked.csv("time"),
        all: asked.csv(&format!("time,{all_by}")),
        all_by,
        panels: panels(request, asked).await?,
        week: if is_short { None } else { Some(week(request, asked).await?) },
    })
}

/// Returns the numbers at the head of the page.
async fn figures(request: &PageRequest<'_>, asked: &Asked, over_time: &AnalyticsView) -> Vec<HeadFigure> {
    let (now, before) = (over_time.rows.total, over_time.rows.previous);
    let change = |now: u64, before: Option<u64>| before.map(|before| change(now, before));
    let mut figures = vec![HeadFigure {
        name: asked.heading().to_owned(),
        number: grouped(now.clicks),
        change: change(now.clicks, before.map(|totals| totals.clicks)),
        href: None,
    }];
    if asked.visits() != "clicks" {
        return figures;
    }
    figures.push(HeadFigure {
        name: "Daily visitors".to_owned(),
        number: grouped(now.visitors),
        change: change(now.visitors, before.map(|totals| totals.visitors)),
        href: None,
    });
    // Apart, since they are in no other number of the page.
    for (visits, name) in [("bots", "Visits by bots"), ("misses", "404s")] {
        // A miss has no link, and a bot no browser: such a filter is refused, and the number is not shown.
        let Ok(view) = asked.of_kind(visits).ask(request, &[]).await else { continue };
        if view.rows.total.clicks > 0 {
            figures.push(HeadFigure {
                name: name.to_owned(),
                number: grouped(view.rows.total.clicks),
                change: None,
                href: Some(asked.with("visits", visits)),
            });
        }
    }
    figures
}

/// Returns the change to a number before: `+12% from 1,075`.
fn change(now: u64, before: u64) -> String {
    if before == 0 {
        return "from 0".to_owned();
    }
    // In 128 bits: a hundred times the largest counter does not fit into 64.
    let percent = (i128::from(now) - i128::from(before)) * 100 / i128::from(before);
    format!("{percent:+}% from {}", grouped(before))
}

/// Returns the words for the time of an answer: `1 Nov 2026 to 30 Nov 2026, Europe/Berlin`.
fn period(view: &AnalyticsView) -> String {
    let day = |millis| time(view, millis, "%-d %b %Y");
    // The end is no part of the time: its last moment is.
    let (from, to) = (day(view.span.from), day(view.span.to - 1));
    let zone = view.zone.iana_name().unwrap_or("UTC");
    if from == to { format!("{from}, {zone}") } else { format!("{from} to {to}, {zone}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_a_sign_and_the_number_before() {
        let rows = [
            (112, 100, "+12% from 100"),
            (50, 1200, "-95% from 1,200"),
            (7, 7, "+0% from 7"),
            (7, 0, "from 0"),
            (u64::MAX, 1, "+1844674407370955161400% from 1"),
        ];
        for (now, before, want) in rows {
            assert_eq!(change(now, before), want);
        }
    }
}
