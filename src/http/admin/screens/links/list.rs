//! The list of links: searched, filtered, sorted, page by page.

use std::collections::HashMap;

use askama::Template;
use hyper::StatusCode;

use super::filters::FilterMenu;
use crate::analytics::query::facet::FacetKey;
use crate::clock::Timestamp;
use crate::core::link_of_row;
use crate::http::admin::chart::{grouped, sparkline};
use crate::http::admin::format::day;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::{LinkView, Page, Reply, Sort};
use crate::http::api::native;
use crate::http::body::HttpResponse;
use crate::model::health::HealthState;
use crate::model::id::Id;

/// Links on a page.
const LIMIT: &str = "25";

/// Days of a sparkline.
const DAYS: usize = 30;

/// The orders, by their names in the API.
const SORTS: [(&str, &str); 6] = [
    ("newest", "Newest"),
    ("oldest", "Oldest"),
    ("clicks", "Most clicks"),
    ("clicks30d", "Most clicks in 30 days"),
    ("lastClick", "Latest click"),
    ("title", "Title"),
];

/// The parameters of the list, which are those of `GET /api/v1/links`.
pub(super) const FILTERS: [&str; 11] = [
    "search",
    "tag",
    "campaign",
    "domain",
    "isActive",
    "expired",
    "hasRules",
    "noClicksDays",
    "createdFrom",
    "createdTo",
    "health",
];

#[derive(Template)]
#[template(path = "links.html")]
struct LinksPage<'a> {
    frame: &'a Frame,
    search: String,
    chips: Vec<FilterChip>,
    sorts: Vec<MenuEntry>,
    states: Vec<MenuEntry>,
    menus: Vec<FilterMenu>,
    /// Whether a filter of these menus is set.
    has_more: bool,
    /// The parameters that the forms of the page keep.
    kept: Vec<(&'static str, String)>,
    total: String,
    is_incomplete: bool,
    rows: Vec<ListedRow>,
    next: Option<String>,
    /// Where the list begins, if it does not here.
    first: Option<String>,
    is_filtered: bool,
    export: String,
    /// The ids of the links of this page.
    ids: Vec<String>,
}

/// A filter that is set.
struct FilterChip {
    text: String,
    /// The list without it.
    without: String,
}

/// An entry of a menu.
struct MenuEntry {
    value: &'static str,
    name: &'static str,
    is_chosen: bool,
}

/// A link of a list.
pub(in crate::http::admin) struct ListedRow {
    pub(in crate::http::admin) id: String,
    pub(in crate::http::admin) short_url: String,
    /// Without the scheme.
    pub(in crate::http::admin) shown_url: String,
    pub(in crate::http::admin) destination: String,
    pub(in crate::http::admin) title: Option<String>,
    /// Names, and the lists of links with them.
    pub(in crate::http::admin) tags: Vec<(String, String)>,
    pub(in crate::http::admin) badges: Vec<LinkBadge>,
    pub(in crate::http::admin) clicks: String,
    pub(in crate::http::admin) created: String,
    pub(in crate::http::admin) sparkline: Option<String>,
    /// Whether the row has a box, for the changes of many links.
    pub(in crate::http::admin) is_selectable: bool,
}

/// What a list says about a link at a glance.
pub(in crate::http::admin) struct LinkBadge {
    pub(in crate::http::admin) text: &'static str,
    /// `wrong`, `quiet` or empty.
    pub(in crate::http::admin) kind: &'static str,
}

/// Shows the list.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let given = |name| request.param(name).unwrap_or_default();
    let kept: Vec<(&'static str, String)> =
        FILTERS.iter().map(|name| (*name, given(name))).filter(|(_, value)| !value.is_empty()).collect();
    let (sort, cursor) = (given("sort"), given("cursor"));
    let mut pairs: Vec<(&str, &str)> = kept.iter().map(|(name, value)| (*name, value.as_str())).collect();
    pairs.extend([("sort", sort.as_str()), ("limit", LIMIT)]);
    let first = query_of(&pairs[..pairs.len() - 1]);
    let asked = query_of(&[&pairs[..], &[("cursor", cursor.as_str())]].concat());
    let Reply::Links(page) = request.get("/api/v1/links", &asked).await? else {
        return Err(PageError::Internal);
    };
    let next = page.next.as_ref().and_then(|next| native::cursor_text(next, page.sort));
    let next = next.map(|next| path_of(&[&pairs[..pairs.len() - 1], &[("cursor", next.as_str())]].concat()));
    let mut rows = listed(request, &page).await;
    // Without a right to change links, checked ones can be downloaded.
    for row in &mut rows {
        row.is_selectable = true;
    }
    let export = format!("/admin/links.csv?{first}");
    let shown = LinksPage {
        frame: request.frame,
        search: given("search"),
        chips: chips(&pairs[..pairs.len() - 1]),
        sorts: choices(&SORTS, name_of(page.sort)),
        states: choices(&[("", "All"), ("true", "On"), ("false", "Off")], &given("isActive")),
        has_more: kept.iter().any(|(name, _)| FilterMenu::NAMES.contains(name)),
        menus: FilterMenu::all(request).await?,
        is_filtered: !kept.is_empty(),
        kept: kept.clone(),
        total: grouped(page.total),
        is_incomplete: page.incomplete,
        rows,
        next,
        first: (!cursor.is_empty()).then(|| path_of(&pairs[..pairs.len() - 1])),
        export,
        ids: page.links.iter().map(|view| view.link.id.to_string()).collect(),
    };
    Ok(request.frame.page(StatusCode::OK, &shown))
}

/// Returns the rows of a page of links.
pub(in crate::http::admin) async fn listed(request: &PageRequest<'_>, page: &Page) -> Vec<ListedRow> {
    let days = recent_days(request, page).await;
    page.links.iter().map(|view| ListedRow::of(view, days.as_ref(), request.now())).collect()
}

/// Returns the address of a list.
pub(in crate::http::admin) fn path_of(pairs: &[(&str, &str)]) -> String {
    let query = query_of(pairs);
    if query.is_empty() { "/admin/links".to_owned() } else { format!("/admin/links?{query}") }
}

fn chips(pairs: &[(&str, &str)]) -> Vec<FilterChip> {
    let is_filter = |name: &str| FILTERS.contains(&name);
    let set = pairs.iter().filter(|(name, value)| is_filter(name) && !value.is_empty());
    set.map(|(name, value)| {
        let others: Vec<_> = pairs.iter().filter(|(other, _)| other != name).copied().collect();
        let text = match (*name, *value) {
            ("search", text) => format!("contains “{text}”"),
            ("isActive", "false") => "off".to_owned(),
            ("isActive", _) => "on".to_owned(),
            ("expired", "false") => "not expired".to_owned(),
            ("expired", _) => "expired".to_owned(),
            ("hasRules", "false") => "without rules".to_owned(),
            ("hasRules", _) => "with rules".to_owned(),
            ("noClicksDays", days) => format!("no clicks in {days} days"),
            ("createdFrom", from) => format!("created from {from}"),
            ("createdTo", to) => format!("created before {to}"),
            ("health", _) => "destination does not work".to_owned(),
            (name, value) => format!("{name}: {value}"),
        };
        FilterChip { text, without: path_of(&others) }
    })
    .collect()
}

fn choices(all: &[(&'static str, &'static str)], chosen: &str) -> Vec<MenuEntry> {
    all.iter().map(|(value, name)| MenuEntry { value, name, is_chosen: *value == chosen }).collect()
}

fn name_of(sort: Sort) -> &'static str {
    match sort {
        Sort::Newest => "newest",
        Sort::Oldest => "oldest",
        Sort::Clicks => "clicks",
        Sort::Recent => "clicks30d",
        Sort::LastClick => "lastClick",
        Sort::Title => "title",
    }
}

/// Returns the clicks of each day of the last 30 for the links of a page. `None` for a key that may not read them, and on
/// a server that keeps no details.
async fn recent_days(request: &PageRequest<'_>, page: &Page) -> Option<HashMap<Id, Vec<u64>>> {
    if !request.frame.may().read_statistics || page.links.is_empty() {
        return None;
    }
    let ids: Vec<String> = page.links.iter().map(|view| view.link.id.to_string()).collect();
    let query = query_of(&[
        ("groupBy", "link,time"),
        ("interval", "30d"),
        ("granularity", "day"),
        ("link", &ids.join(",")),
        ("limit", "10000"),
    ]);
    // Without details, the list is shown all the same.
    let Ok(Reply::Analytics(view, _)) = request.get("/api/v1/analytics", &query).await else { return None };
    let begin = view.span.from;
    let mut days: HashMap<Id, Vec<u64>> = HashMap::new();
    for row in &view.rows.rows {
        let [FacetKey::Link(link), FacetKey::Time(millis)] = row.keys.as_slice() else { continue };
        let Some(id) = link_of_row(link) else { continue };
        let at = usize::try_from((millis - begin) / (24 * 60 * 60 * 1_000)).unwrap_or(0);
        let clicks = days.entry(id).or_insert_with(|| vec![0; DAYS]);
        if let Some(day) = clicks.get_mut(at) {
            *day += row.totals.clicks;
        }
    }
    Some(days)
}

impl ListedRow {
    fn of(view: &LinkView, days: Option<&HashMap<Id, Vec<u64>>>, now: Timestamp) -> ListedRow {
        let options = &view.link.options;
        let clicks_of =
            |days: &HashMap<Id, Vec<u64>>| sparkline(days.get(&view.link.id).map_or(&[], Vec::as_slice));
        ListedRow {
            id: view.link.id.to_string(),
            shown_url: without_scheme(&view.short_url).to_owned(),
            short_url: view.short_url.clone(),
            destination: options.target().as_str().to_owned(),
            title: options.title.as_deref().map(str::to_owned),
            tags: view.tags.iter().map(|tag| (tag.name.to_string(), tag_path(&tag.name))).collect(),
            badges: badges(view, now),
            clicks: grouped(view.clicks),
            created: day(view.link.created_at),
            sparkline: days.map(clicks_of),
            is_selectable: false,
        }
    }
}

/// Returns a URL without its scheme, as people read it.
pub(in crate::http::admin) fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

fn tag_path(name: &str) -> String {
    path_of(&[("tag", name)])
}

/// Returns what is special about a link.
pub(in crate::http::admin) fn badges(view: &LinkView, now: Timestamp) -> Vec<LinkBadge> {
    let options = &view.link.options;
    let broken = view.health.as_ref().and_then(|health| health.health);
    let all = [
        (!options.is_active, "off", "wrong"),
        (options.expires_at.is_some_and(|end| end <= now), "expired", "wrong"),
        (options.valid_since.is_some_and(|start| start > now), "not yet valid", "quiet"),
        (options.max_clicks.is_some_and(|most| view.clicks >= most), "used up", "wrong"),
        (broken.is_some_and(|health| health.state == HealthState::Broken), "does not work", "wrong"),
        (options.password.is_some(), "password", "quiet"),
        (!options.branches().is_empty(), "rules", "quiet"),
        (options.cloaked, "frame", "quiet"),
    ];
    all.into_iter().filter(|(holds, ..)| *holds).map(|(_, text, kind)| LinkBadge { text, kind }).collect()
}
