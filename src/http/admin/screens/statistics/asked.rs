//! [`Asked`]: what the address of the screen asks for, and the addresses that ask for something else.

use crate::analytics::query::facet::Facet;
use crate::core::AnalyticsView;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::Reply;
use crate::http::api::query::Query;

/// The path of the screen.
const PATH: &str = "/admin/statistics";

/// What the screen is about, by id.
const ABOUT: [&str; 3] = ["linkId", "tagId", "campaignId"];

/// Parameters of the time.
const TIMES: [&str; 4] = ["interval", "from", "to", "timezone"];

/// Parameters that the API has as well, and those of the screen.
const REST: [&str; 4] = ["granularity", "visits", "compare", TABS];

/// The chosen lists, by the names of their properties with commas between.
const TABS: &str = "tabs";

/// The kinds of visits, each with the plural of what it counts.
pub(super) const KINDS: [(&str, &str, &str); 4] = [
    ("clicks", "Clicks", "clicks"),
    ("bots", "Bots", "visits"),
    ("prefetches", "Prefetches", "visits"),
    ("misses", "404s", "visits"),
];

/// What an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Known names with values that are not empty. A filter may occur several times.
    pairs: Vec<(&'static str, String)>,
    /// The zone of an address without one, empty for UTC.
    zone: String,
}

impl Asked {
    /// Reads the address of a page. Its days are those of the workspace, unless the address has another zone.
    pub(super) fn of_page(request: &PageRequest<'_>) -> Asked {
        Asked { zone: request.zone().unwrap_or_default(), ..Asked::of(&request.query()) }
    }

    /// Reads an address. Names that the screen does not know are ignored, such as that of a notice.
    pub(super) fn of(query: &Query<'_>) -> Asked {
        let facets = Facet::all().filter(|facet| *facet != Facet::Time).map(Facet::name);
        let names = ABOUT.into_iter().chain(TIMES).chain(REST).chain(facets);
        let values = |name| query.all(name).into_iter().map(move |value| (name, value.to_owned()));
        Asked { pairs: names.flat_map(values).collect(), zone: String::new() }
    }

    /// Returns the first value of a name, empty without one.
    pub(super) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Returns the name of the period, empty for that of the dates in the address.
    pub(super) fn interval(&self) -> &str {
        match self.get("interval") {
            "" if self.get("from").is_empty() => "30d",
            interval => interval,
        }
    }

    /// Returns the zone of an address without one.
    pub(super) fn default_zone(&self) -> &str {
        if self.zone.is_empty() { "UTC" } else { &self.zone }
    }

    /// Returns the kind of the visits.
    pub(super) fn visits(&self) -> &str {
        match self.get("visits") {
            "" => "clicks",
            visits => visits,
        }
    }

    /// Returns the plural of what is counted.
    pub(super) fn unit(&self) -> &'static str {
        self.kind().2
    }

    /// Returns the heading of what is counted.
    pub(super) fn heading(&self) -> &'static str {
        match self.kind().0 {
            "bots" => "Visits by bots",
            "misses" => "404s",
            _ => self.kind().1,
        }
    }

    fn kind(&self) -> (&'static str, &'static str, &'static str) {
        let visits = self.visits();
        KINDS.into_iter().find(|(known, ..)| *known == visits).unwrap_or(KINDS[0])
    }

    /// Returns whether the time before is shown. All clicks have none.
    pub(super) fn compares(&self) -> bool {
        self.get("compare") != "none" && self.interval() != "all"
    }

    /// Returns whether the clicks are those of one link, so that its rules have names.
    pub(super) fn is_of_one_link(&self) -> bool {
        let links: Vec<&str> = self.values("link").collect();
        let is_one = |link: &&str| !link.starts_with('-') && (link.starts_with('"') || !link.contains(','));
        !self.get("linkId").is_empty() || matches!(links[..], [link] if is_one(&link))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the list that a panel shows: the first of `tabs` that is chosen, or else the first.
    pub(super) fn tab(&self, tabs: &[&'static str]) -> &'static str {
        let chosen = self.get(TABS);
        let is_chosen = |tab: &&&str| chosen.split(',').any(|chosen| chosen == **tab);
        tabs.iter().find(is_chosen).or(tabs.first()).copied().unwrap_or("link")
    }

    /// Returns the filters with their numbers.
    pub(super) fn filters(&self) -> impl Iterator<Item = (usize, &'static str, &str)> {
        let is_filter = |name: &str| !TIMES.contains(&name) && !REST.contains(&name);
        let all = self.pairs.iter().enumerate();
        all.filter(move |(_, (name, _))| is_filter(name))
            .map(|(at, (name, value))| (at, *name, value.as_str()))
    }

    /// Returns the question to the API, with more parameters.
    pub(super) fn question(&self, more: &[(&str, &str)]) -> String {
        let own = self.pairs.iter().filter(|(name, _)| !matches!(*name, TABS | "compare"));
        let own: Vec<(&str, &str)> = own.map(|(name, value)| (*name, value.as_str())).collect();
        let zone = if self.get("timezone").is_empty() { self.zone.as_str() } else { "" };
        query_of(&[&own[..], more, &[("timezone", zone)]].concat())
    }

    /// Asks the API about the clicks of the page.
    pub(super) async fn ask(
        &self,
        request: &PageRequest<'_>,
        more: &[(&str, &str)],
    ) -> Result<AnalyticsView, PageError> {
        match request.get("/api/v1/analytics", &self.question(more)).await? {
            Reply::Analytics(view, _) => Ok(*view),
            _ => Err(PageError::Internal),
        }
    }

    /// Returns the same question about other visits.
    pub(super) fn of_kind(&self, visits: &str) -> Asked {
        let mut other = self.clone();
        other.pairs.retain(|(name, _)| *name != "visits");
        other.pairs.push(("visits", visits.to_owned()));
        other
    }

    /// Returns what a form keeps that asks for another time.
    pub(super) fn kept(&self) -> Vec<(&'static str, String)> {
        let is_field = |name: &str| TIMES.contains(&name) || name == "granularity";
        self.pairs.iter().filter(|(name, _)| !is_field(name)).cloned().collect()
    }

    /// Returns the address with a value in place of all others of its name. An empty one removes them.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let others = self.others(|known| known != name);
        address(PATH, &[&others[..], &[(name, value)]].concat())
    }

    /// Returns the address with this period.
    pub(super) fn with_period(&self, interval: &str) -> String {
        // Bars that fit one period may be too many in another.
        let others = self.others(|name| !matches!(name, "interval" | "from" | "to" | "granularity"));
        address(PATH, &[&others[..], &[("interval", interval)]].concat())
    }

    /// Returns the address with one more filter. One that is there is not repeated.
    pub(super) fn adding(&self, name: &str, value: &str) -> String {
        let mut pairs = self.others(|_| true);
        if !pairs.contains(&(name, value)) {
            pairs.push((name, value));
        }
        address(PATH, &pairs)
    }

    /// Returns the address with `value` in place of the filter of this number, or without the filter.
    pub(super) fn replacing(&self, at: usize, value: Option<&str>) -> String {
        let pair = |(number, (name, old)): (usize, &(&'static str, String))| {
            let new = if number == at { value.map(str::to_owned) } else { Some(old.clone()) };
            Some((*name, new?))
        };
        let pairs: Vec<_> = self.pairs.iter().enumerate().filter_map(pair).collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        address(PATH, &pairs)
    }

    /// Returns the address at which a panel of `tabs` shows `tab`.
    pub(super) fn with_tab(&self, tabs: &[&'static str], tab: &str) -> String {
        let others = self.get(TABS).split(',').filter(|chosen| !chosen.is_empty() && !tabs.contains(chosen));
        let mut chosen: Vec<&str> = others.collect();
        if tabs.first() != Some(&tab) {
            chosen.push(tab);
        }
        self.with(TABS, &chosen.join(","))
    }

    /// Returns the address of the whole list of a property, from the row `offset`.
    pub(super) fn list(&self, property: &str, offset: usize) -> String {
        let offset = if offset == 0 { String::new() } else { offset.to_string() };
        let pairs = self.others(|name| name != TABS);
        address(&format!("{PATH}/{property}"), &[&pairs[..], &[("offset", offset.as_str())]].concat())
    }

    /// Returns the address of the screen.
    pub(super) fn here(&self) -> String {
        address(PATH, &self.others(|_| true))
    }

    /// Returns the address of a table for spreadsheets, grouped by these properties.
    pub(super) fn csv(&self, by: &str) -> String {
        let pairs = self.others(|name| !matches!(name, TABS | "compare"));
        address("/admin/statistics.csv", &[&pairs[..], &[("groupBy", by)]].concat())
    }

    /// Returns the address of the live view of the same link, or of the workspace.
    pub(super) fn live(&self) -> String {
        let names: &[&str] = if self.is_of_one_link() { &["linkId", "link"] } else { &[] };
        let pairs = self.others(|name| names.contains(&name));
        address("/admin/live", &pairs[..pairs.len().min(1)])
    }

    fn others(&self, is_kept: impl Fn(&str) -> bool) -> Vec<(&str, &str)> {
        let kept = self.pairs.iter().filter(|(name, _)| is_kept(name));
        kept.map(|(name, value)| (*name, value.as_str())).collect()
    }
}

fn address(path: &str, pairs: &[(&str, &str)]) -> String {
    let query = query_of(pairs);
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        Asked::of(&Query::parse(Some(query)))
    }

    #[test]
    fn each_address_is_the_view_with_one_change() {
        let asked =
            asked("country=DE&browser=-Firefox&interval=7d&tabs=tag,os&done=saved&timezone=Asia/Kolkata");
        let common = "interval=7d&timezone=Asia%2FKolkata";
        let rows = [
            (asked.here(), format!("{common}&tabs=tag%2Cos&country=DE&browser=-Firefox")),
            (asked.adding("os", "iOS"), format!("{common}&tabs=tag%2Cos&country=DE&browser=-Firefox&os=iOS")),
            (asked.adding("country", "DE"), format!("{common}&tabs=tag%2Cos&country=DE&browser=-Firefox")),
            (
                asked.with("visits", "bots"),
                format!("{common}&tabs=tag%2Cos&country=DE&browser=-Firefox&visits=bots"),
            ),
            (
                asked.with_tab(&["device", "browser", "os"], "device"),
                format!("{common}&country=DE&browser=-Firefox&tabs=tag"),
            ),
            (
                asked.with_tab(&["device", "browser", "os"], "browser"),
                format!("{common}&country=DE&browser=-Firefox&tabs=tag%2Cbrowser"),
            ),
        ];
        for (address, want) in rows {
            assert_eq!(address, format!("/admin/statistics?{want}"));
        }
        let period = asked.with_period("30d");
        assert!(period.contains("interval=30d") && !period.contains("7d"), "{period}");
        let filters: Vec<_> = asked.filters().map(|(_, name, value)| (name, value)).collect();
        assert_eq!(filters, [("country", "DE"), ("browser", "-Firefox")]);
        let (at, ..) = asked.filters().next().expect("a filter");
        assert!(asked.replacing(at, Some("-DE")).contains("country=-DE&browser"));
        assert!(!asked.replacing(at, None).contains("country"));
        let question = asked.question(&[("groupBy", "os")]);
        assert_eq!(question, format!("{common}&country=DE&browser=-Firefox&groupBy=os"));
    }

    #[test]
    fn the_defaults_of_an_address() {
        let none = asked("");
        assert_eq!((none.here().as_str(), none.interval(), none.visits()), (PATH, "30d", "clicks"));
        assert!(none.compares() && !asked("interval=all").compares() && !asked("compare=none").compares());
        assert_eq!(asked("from=2026-11-01").interval(), "");
        let of_workspace = |query| Asked { zone: "Europe/Berlin".to_owned(), ..asked(query) }.question(&[]);
        assert_eq!(of_workspace(""), "timezone=Europe%2FBerlin");
        assert_eq!(of_workspace("timezone=UTC"), "timezone=UTC");
        assert_eq!((asked("visits=misses").unit(), asked("visits=wrong").unit()), ("visits", "clicks"));
        assert_eq!(none.tab(&["device", "os"]), "device");
        assert_eq!(asked("tabs=os,tag").tab(&["device", "os"]), "os");
    }

    #[test]
    fn one_link_is_one() {
        for (query, is_one) in [
            ("linkId=a", true),
            ("link=a", true),
            ("link=%22go.test/a,b%22", true),
            ("link=a,b", false),
            ("link=-a", false),
            ("link=a&link=b", false),
            ("tag=a", false),
        ] {
            assert_eq!(asked(query).is_of_one_link(), is_one, "{query}");
        }
        assert_eq!(asked("linkId=x&country=DE").live(), "/admin/live?linkId=x");
        assert_eq!(asked("link=a,b&country=DE").live(), "/admin/live");
    }
}
