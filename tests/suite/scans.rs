//! Searches, filters and sorts of the table: their limit of work, and how a client continues after it. Lists from an index
//! have no such limit: see `list_index.rs`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Client, text};
use crate::support::native::LINKS;
use crate::support::process::poll;

/// The smallest bound that can be set.
const SCAN_MAX: u64 = 1_000;

/// More than twice the bound.
const COUNT: usize = 2_500;

fn app() -> TestApp {
    TestApp::start_with(|config| {
        config.links.scan_max = SCAN_MAX;
        config.links.index_from = u64::MAX;
    })
}

/// Creates links titled `title 0` (the oldest) and so on. Every tenth is not active.
fn fill(admin: &mut Client, count: usize) {
    let rows: Vec<Value> = (0..count)
        .map(|n| json!({"url": "https://e.test/", "title": format!("title {n}"), "isActive": n % 10 != 0}))
        .collect();
    for rows in rows.chunks(500) {
        let made = admin.post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "a bulk");
        assert_eq!(made["created"], json!(rows.len()));
    }
}

/// Returns the titles of all pages, by cursor.
fn walk(admin: &mut Client, query: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{LINKS}?{query}{cursor}")).expect(200, query);
        seen.extend(titles(&page).into_iter().map(str::to_owned));
        let Some(next) = page["nextCursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
        assert!(seen.len() < 2 * COUNT, "{query}: the cursor does not end");
    }
}

fn titles(page: &Value) -> Vec<&str> {
    let links = page["links"].as_array().expect("links");
    links.iter().map(|link| text(link, "title")).collect()
}

#[test]
fn n18_a_search_that_costs_too_much_is_cut_and_its_cursor_continues() {
    let app = app();
    let mut admin = app.admin();
    fill(&mut admin, COUNT);
    // The only match is the oldest link, behind 2,499 others.
    let search = format!("{LINKS}?search=title+0");
    let mut target = search.clone();
    let mut cut = 0;
    let page = loop {
        let page = admin.get(&target).expect(200, &target);
        if page["incomplete"] != json!(true) || !titles(&page).is_empty() {
            break page;
        }
        assert_eq!(page["total"], json!(0), "{page}");
        cut += 1;
        assert!(cut <= 2, "each request looks at {SCAN_MAX} links behind the last one's");
        target = format!("{search}&cursor={}", text(&page, "nextCursor"));
    };
    assert_eq!((cut, titles(&page)), (2, vec!["title 0"]));
    // A response with the matches so far says that it is incomplete, also if more matches are beyond the
    // bound.
    let page = admin.get(&format!("{LINKS}?search=title&limit=5")).expect(200, "a full page");
    let want = ["title 2499", "title 2498", "title 2497", "title 2496", "title 2495"];
    assert_eq!((titles(&page), &page["incomplete"]), (want.to_vec(), &json!(true)));
    assert_eq!(page["total"], json!(SCAN_MAX), "as many as were looked at");
    let next = admin.get(&format!("{LINKS}?search=title&limit=5&cursor={}", text(&page, "nextCursor")));
    assert_eq!(titles(&next.expect(200, "the next page"))[0], "title 2494");
}

/// By cursor, and by pages within the bound: each match occurs once.
#[test]
fn n18_pages_of_a_search_that_is_cut_have_each_match_once() {
    let app = app();
    let mut admin = app.admin();
    fill(&mut admin, COUNT);
    for sort in ["newest", "oldest"] {
        let base = format!("{LINKS}?isActive=false&limit=30&sort={sort}");
        let (mut target, mut seen) = (base.clone(), Vec::new());
        loop {
            let page = admin.get(&target).expect(200, &target);
            seen.extend(titles(&page).into_iter().map(str::to_owned));
            assert!(seen.len() <= COUNT / 10, "{sort}");
            let Some(cursor) = page["nextCursor"].as_str() else { break };
            target = format!("{base}&cursor={cursor}");
        }
        let mut want: Vec<String> = (0..COUNT).step_by(10).map(|n| format!("title {n}")).collect();
        if sort == "newest" {
            want.reverse();
        }
        assert_eq!(seen, want, "{sort}");
    }
    let page = admin.get(&format!("{LINKS}?isActive=false&limit=30&page=3")).expect(200, "page 3");
    assert_eq!(titles(&page)[0], "title 1890");
    // A page beyond the bound returns a cursor, and no links of other pages.
    let page = admin.get(&format!("{LINKS}?isActive=false&limit=100&page=2")).expect(200, "page 2");
    assert_eq!((titles(&page), &page["incomplete"]), (vec![], &json!(true)));
    assert!(page["nextCursor"].is_string());
}

#[test]
fn n18_sorts_cover_the_links_within_the_bound_and_plain_lists_are_not_cut() {
    let app = app();
    let mut admin = app.admin();
    fill(&mut admin, 1_400);
    for query in ["sort=title", "sort=clicks&isActive=true", "sort=clicks30d"] {
        let page = admin.get(&format!("{LINKS}?{query}&limit=10")).expect(200, query);
        let shown = (titles(&page).len(), &page["incomplete"]);
        assert_eq!(shown, (10, &json!(true)), "{query}");
        assert!(page["nextCursor"].is_string(), "{query}");
    }
    for target in [LINKS.to_owned(), format!("{LINKS}?page=9&limit=100")] {
        let page = admin.get(&target).expect(200, &target);
        assert_eq!((&page["total"], page.get("incomplete")), (&json!(1_400), None), "{target}");
        assert!(page["nextCursor"].is_string(), "{target}");
    }
}

/// The links with clicks, also of a workspace with more links than a search reads: the oldest link is the most clicked one.
#[test]
fn the_first_links_by_clicks_are_those_of_the_whole_workspace() {
    let app = TestApp::start_with(|config| {
        config.links.scan_max = SCAN_MAX;
        config.clicks.flush_interval = Duration::from_millis(50);
    });
    let mut admin = app.admin();
    let create = |admin: &mut Client, code: &str| {
        text(&admin.create(&json!({"url": "https://e.test/", "customSlug": code, "title": code})), "id")
            .to_owned()
    };
    let ids: Vec<String> = ["a", "b", "c"].map(|code| create(&mut admin, code)).into();
    fill(&mut admin, COUNT);
    let click = |code: &str, count: usize| {
        (0..count).for_each(|_| drop(app.visitor().send("GET", &format!("/{code}"), &[], None)));
    };
    let order = |admin: &mut Client, query: &str| {
        let page = admin.get(&format!("{LINKS}?{query}")).expect(200, query);
        assert_eq!(page.get("incomplete"), None, "{query}");
        let total = &page["total"];
        assert!(total.as_u64().is_some_and(|total| total >= COUNT as u64), "{query}: {total}");
        titles(&page).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    click("a", 2);
    click("b", 1);
    // The first list reads all links, and the next ones do not: both show clicks that are in no log yet.
    for _ in 0..2 {
        assert_eq!(order(&mut admin, "sort=clicks&limit=4"), ["a", "b", "title 2499", "title 2498"]);
    }
    click("c", 3);
    click("b", 2);
    // Of equal clicks, the newest link is the first. A link without a click before is ranked once its total is stored.
    poll("the clicks are stored", Duration::from_secs(10), || {
        Some(order(&mut app.admin(), "sort=clicks&limit=3")).filter(|found| found == &["c", "b", "a"])
    });
    let last = |codes: [&str; 3]| {
        poll("the latest clicks", Duration::from_secs(10), || {
            Some(order(&mut app.admin(), "sort=lastClick&limit=3")).filter(|found| found == &codes)
        });
    };
    last(["c", "b", "a"]);
    // Pages have each link once, and meet the links without clicks where they begin.
    for sort in ["clicks", "lastClick"] {
        let mut seen = Vec::new();
        for page in 1..=26 {
            seen.extend(order(&mut admin, &format!("sort={sort}&limit=100&page={page}")));
        }
        let rest = (0..COUNT).rev().map(|n| format!("title {n}"));
        let want: Vec<_> = ["c", "b", "a"].map(str::to_owned).into_iter().chain(rest).collect();
        assert_eq!(seen, want, "{sort}");
        assert_eq!(walk(&mut admin, &format!("sort={sort}&limit=100")), want, "{sort} by cursor");
    }
    // A new link takes its place, and a deleted one leaves it.
    create(&mut admin, "d");
    assert_eq!(order(&mut admin, "sort=clicks&limit=4"), ["c", "b", "a", "d"]);
    click("d", 4);
    poll("the link is ranked", Duration::from_secs(10), || {
        Some(order(&mut app.admin(), "sort=clicks&limit=2")).filter(|found| found == &["d", "c"])
    });
    admin.delete(&format!("{LINKS}/{}", ids[2])).expect(200, "deleted");
    assert_eq!(order(&mut admin, "sort=clicks&limit=4"), ["d", "b", "a", "title 2499"]);
    last(["d", "b", "a"]);
}

#[test]
fn n18_a_highlevel_search_beyond_the_bound_is_marked() {
    let app = app();
    let mut admin = app.admin();
    fill(&mut admin, 1_400);
    let here = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let here = text(&here["workspaces"][0], "id").to_owned();
    let found = |admin: &mut Client, query: &str| {
        admin.get(&format!("/links/search?locationId={here}&query={query}")).expect(200, query)
    };
    let rows = [
        ("title+1399", &["title 1399"][..], true),
        ("title&limit=3", &["title 1399", "title 1398", "title 1397"], false),
        ("no-such-title", &[], true),
        // The oldest link is beyond the bound.
        ("title+0", &[], true),
    ];
    for (query, names, is_incomplete) in rows {
        let list = found(&mut admin, query);
        let links = list["links"].as_array().expect("links");
        let got: Vec<&str> = links.iter().map(|link| text(link, "name")).collect();
        assert_eq!((&*got, list.get("incomplete").is_some()), (names, is_incomplete), "{query}: {list}");
    }
    // A list without a search is complete.
    let all = admin.get(&format!("/links?locationId={here}")).expect(200, "all");
    assert_eq!(all["links"].as_array().map(Vec::len), Some(1_400));
    assert!(all.get("incomplete").is_none());
}
