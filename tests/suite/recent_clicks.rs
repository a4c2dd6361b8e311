//! The clicks of the last 30 days and the latest click, which every link shows.

use std::time::Duration;

use serde_json::{Value, json};
use waypost::clock::Timestamp;

use crate::support::app::TestApp;
use crate::support::http::{Client, text};
use crate::support::process::poll;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
const GOOGLE: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const DAY: Duration = Duration::from_hours(24);
const QUARTER: i64 = 900_000;

fn start() -> TestApp {
    TestApp::start_with(|config| config.clicks.flush_interval = Duration::from_millis(50))
}

fn visit(app: &TestApp, code: &str, agent: &str) {
    app.visitor().send("GET", &format!("/{code}"), &[("user-agent", agent)], None);
}

fn link(admin: &mut Client, id: &str) -> Value {
    admin.get(&format!("/api/v1/links/{id}")).expect(200, id)["link"].take()
}

/// Returns the link once it shows these clicks of the last days.
fn link_with(app: &TestApp, id: &str, clicks: u64) -> Value {
    poll(id, Duration::from_secs(10), || {
        Some(link(&mut app.admin(), id)).filter(|link| link["clicks30d"] == clicks)
    })
}

/// Returns the codes of a page.
fn codes(admin: &mut Client, query: &str) -> Vec<String> {
    let page = admin.get(&format!("/api/v1/links?{query}")).expect(200, query);
    let links = page["links"].as_array().expect("links").iter();
    links.map(|link| text(link, "shortCode").to_owned()).collect()
}

#[test]
fn a_link_shows_its_recent_clicks() {
    let mut app = start();
    let made = ["a", "b", "c"]
        .map(|code| app.admin().create(&json!({"url": "https://e.test/", "customSlug": code})));
    let ids = made.each_ref().map(|link| text(link, "id").to_owned());
    assert_eq!((&made[0]["clicks30d"], &made[0]["lastClickAt"]), (&json!(0), &Value::Null), "{}", made[0]);
    for (code, clicks) in [("a", 3), ("b", 1)] {
        (0..clicks).for_each(|_| visit(&app, code, FIREFOX));
        // A bot that does not count is no latest click either.
        visit(&app, "c", GOOGLE);
    }
    let quarter = |link: &Value| text(link, "lastClickAt").parse::<Timestamp>().expect("a time").as_millis();
    let first = link_with(&app, &ids[0], 3);
    let created = text(&first, "createdAt").parse::<Timestamp>().expect("a time").as_millis();
    // Not before the link was created, although its quarter began earlier.
    assert!((created..created + QUARTER).contains(&quarter(&first)), "{first}");
    assert_eq!(link_with(&app, &ids[2], 0)["lastClickAt"], Value::Null);
    // The list, the link by its code, and the answer to a change show the same.
    link_with(&app, &ids[1], 1);
    let mut admin = app.admin();
    let page = admin.get("/api/v1/links?sort=oldest").expect(200, "a page");
    let changed = admin.patch(&format!("/api/v1/links/{}", ids[0]), &json!({"title": "t"})).expect(200, "it");
    let by_code = admin.get("/api/v1/links/by-code/a").expect(200, "a link");
    for link in [&page["links"][0], &changed["link"], &by_code["link"]] {
        assert_eq!((&link["clicks30d"], &link["lastClickAt"]), (&json!(3), &first["lastClickAt"]));
    }
    assert_eq!(codes(&mut admin, "sort=clicks30d"), ["a", "b", "c"]);
    // An hour later, after a restart, when the cells are in a part.
    app.advance(Duration::from_hours(1));
    app = app.restart();
    visit(&app, "b", FIREFOX);
    let second = link_with(&app, &ids[1], 2);
    assert_eq!(quarter(&second) % QUARTER, 0, "{second}");
    assert_eq!(codes(&mut app.admin(), "sort=lastClick"), ["b", "a", "c"]);
    assert_eq!(codes(&mut app.admin(), "sort=lastClick&search=e.test&limit=1&page=2"), ["a"]);
    // Thirty days later the clicks are out of the days, and the latest one is still known: also by its hour or day.
    for (days, length) in [(31, QUARTER), (100, 3_600_000), (400, 86_400_000)] {
        app.advance(DAY * days);
        app = app.restart();
        let late = link_with(&app, &ids[1], 0);
        assert_eq!(late["clickCount"], 2);
        let expected = if length == QUARTER { quarter(&second) } else { quarter(&late) };
        assert_eq!(quarter(&late), expected, "{late}");
        assert!((quarter(&second) - quarter(&late)).unsigned_abs() < length.unsigned_abs(), "{late}");
    }
}

#[test]
fn without_details_no_link_has_recent_clicks() {
    let app = TestApp::start_with(|config| config.clicks.details = false);
    let mut admin = app.admin();
    let id = text(&admin.create(&json!({"url": "https://e.test/"})), "id").to_owned();
    let link = link(&mut admin, &id);
    let members = link.as_object().expect("an object");
    for name in ["clicks30d", "lastClickAt"] {
        assert_eq!(members.get(name), Some(&Value::Null), "{name}");
    }
    for sort in ["clicks30d", "lastClick"] {
        let rule =
            "sort: must be newest, oldest, clicks or title here: this server keeps no details of clicks";
        admin.get(&format!("/api/v1/links?sort={sort}")).refuses(422, rule, sort);
    }
}
