//! The statistics and the live view of the dashboard: what the API counts, as pages whose rows are filters.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use scraper::{Html, Selector};
use serde_json::json;

use super::analytics::{ask_until, visit};
use super::dashboard::Person;
use crate::support::app::{HOST, KEY, TestApp};
use crate::support::http::text;
use crate::support::process::poll;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
const GOOGLE: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn start() -> TestApp {
    TestApp::start_with(|config| config.clicks.flush_interval = Duration::from_millis(50))
}

/// Creates two links, and visits them: two clicks by Firefox from a site, one by curl, a bot and a miss.
fn visited(app: &TestApp) -> String {
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let tag = admin.post("/api/v1/tags", &json!({"name": "Spring, <b>"})).expect(201, "a tag");
    let link =
        json!({"url": "https://e.test/?utm_source=mail", "customSlug": "a", "tagIds": [tag["tag"]["id"]]});
    let first = admin.create(&link);
    admin.create(&json!({"url": "https://e.test/", "customSlug": "b"}));
    let firefox = [("user-agent", FIREFOX), ("referer", "https://news.test/x"), ("accept-language", "de-AT")];
    visit(&mut visitor, "/a", &firefox);
    visit(&mut visitor, "/a?qr=1", &firefox);
    visit(&mut visitor, "/b", &[("user-agent", "curl/8.5.0")]);
    visit(&mut visitor, "/a", &[("user-agent", GOOGLE)]);
    visit(&mut visitor, "/nowhere", &[("user-agent", FIREFOX)]);
    ask_until(&mut admin, "interval=7d", 3);
    ask_until(&mut admin, "visits=bots", 1);
    ask_until(&mut admin, "visits=misses", 1);
    text(&first, "id").to_owned()
}

/// Returns the texts of all elements that a selector finds.
fn texts(page: &str, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Html::parse_document(page).select(&selector).map(|found| words(found.text().collect())).collect()
}

/// Returns the address of the link with this text.
#[track_caller]
fn link_of(page: &str, selector: &str, name: &str) -> String {
    let selector = Selector::parse(selector).expect("a selector");
    let page = Html::parse_document(page);
    let found = page.select(&selector).find(|link| link.text().collect::<String>().trim() == name);
    let href = found.and_then(|link| link.attr("href")).unwrap_or_else(|| panic!("a link {name}"));
    // A browser keeps the fragment.
    href.split('#').next().expect("an address").to_owned()
}

#[test]
fn each_row_is_a_filter_and_each_filter_can_be_turned_and_removed() {
    let app = start();
    let id = visited(&app);
    let mut person = Person::sign_in(&app, KEY);
    let page = person.get("/admin/statistics").text();
    assert_eq!(texts(&page, ".figures dt"), ["Clicks", "Daily visitors", "Visits by bots", "404s"]);
    assert_eq!(texts(&page, ".figures dd"), ["3 from 0", "2 from 0", "1", "1"]);
    assert_eq!(texts(&page, "#link tbody th"), ["go.test/a", "go.test/b"]);
    assert_eq!(texts(&page, "#link tbody td"), ["2", "67%", "1", "1", "33%", "1"]);
    assert_eq!(texts(&page, ".chart-time svg[role=img] > desc")[0].split('.').next(), Some("3 clicks"));
    // Thirty days and the row of the hours of a week.
    assert_eq!(texts(&page, ".chart-time tbody tr").len(), 30);
    assert_eq!(texts(&page, "#hourOfWeek tbody tr").len(), 24);

    // A row adds its filter, to the number and to every list.
    let filtered = link_of(&page, "#referrer tbody a", "news.test");
    let page = person.get(&filtered).text();
    assert_eq!(texts(&page, ".figures dd")[0], "2 from 0");
    assert_eq!(texts(&page, ".chips li")[0], "Site is news.test Exclude ×");
    assert_eq!(texts(&page, "#link tbody th"), ["go.test/a"]);
    // Another row adds another one.
    let both = link_of(&page, "#link tbody a", "go.test/a");
    let two = person.get(&both).text();
    assert_eq!(texts(&two, ".chips li").len(), 2, "{both}");
    // Of one link, its rules are shown in place of links, if there are any.
    assert!(texts(&two, "#link").is_empty() && texts(&two, "#variant").is_empty());
    let turned = person.get(&link_of(&page, ".chips a", "Exclude")).text();
    assert_eq!(texts(&turned, ".chips li")[0], "Site is not news.test Include ×");
    assert_eq!(texts(&turned, ".figures dd")[0], "1 from 0");
    let without = person.get(&link_of(&page, ".chips a", "×")).text();
    assert!(texts(&without, ".chips").is_empty());
    assert_eq!(texts(&without, ".figures dd")[0], "3 from 0");
    // A link by its id is shown by its address.
    let of_link = person.get(&format!("/admin/statistics?linkId={id}&interval=all")).text();
    assert_eq!(texts(&of_link, ".chips li"), ["Link is go.test/a ×"]);
    assert_eq!(texts(&of_link, ".figures dd")[0], "2");
}

#[test]
fn every_property_and_kind_of_visits_has_its_list() {
    let app = start();
    visited(&app);
    let mut person = Person::sign_in(&app, KEY);
    let page = person.get("/admin/statistics").text();
    let rows = [
        ("link", "Tags", vec!["Spring, <b>", "without a tag"]),
        ("link", "Domains", vec!["go.test"]),
        ("link", "Campaigns", vec!["without a campaign"]),
        ("referrer", "utm_source", vec!["mail", "none"]),
        ("referrer", "Link or QR code", vec!["Link", "QR code"]),
        ("country", "Languages", vec!["German", "unknown"]),
        ("device", "Browsers", vec!["Firefox", "curl"]),
        ("device", "Systems", vec!["Linux", "unknown"]),
    ];
    for (panel, tab, want) in rows {
        let shown = person.get(&link_of(&page, &format!("#{panel} .tabs a"), tab)).text();
        assert_eq!(texts(&shown, &format!("#{panel} tbody th")), want, "{tab}");
        assert_eq!(texts(&shown, &format!("#{panel} .tabs [aria-current]")), [tab], "{tab}");
        // Each value is one that the API knows.
        for link in want.iter().filter(|name| **name != "unknown") {
            let filtered = person.get(&link_of(&shown, &format!("#{panel} tbody a"), link));
            assert_eq!(filtered.status, 200, "{tab}: {link}");
            assert_ne!(texts(&filtered.text(), ".figures dd")[0], "0 from 0", "{tab}: {link}");
        }
    }
    let bots = person.get(&link_of(&page, ".choices a", "Bots")).text();
    assert_eq!(texts(&bots, ".figures dd"), ["1 from 0"]);
    assert_eq!(texts(&bots, "#agent tbody th"), ["Googlebot"]);
    assert_eq!(texts(&bots, "#agent thead th"), ["Bots", "Visits", "Share"]);
    let misses = person.get(&link_of(&page, ".choices a", "404s")).text();
    assert_eq!(texts(&misses, "#path tbody th"), ["/nowhere"]);
    // The periods keep the filters, and the length of the bars follows them.
    let kept = person.get(&link_of(&misses, ".choices a", "Today")).text();
    assert_eq!(texts(&kept, "#path tbody th"), ["/nowhere"]);
    assert!(texts(&kept, "#hourOfWeek").is_empty());
}

#[test]
fn lists_are_shown_whole_and_as_tables_for_spreadsheets() {
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    for site in 0..12 {
        visit(&mut visitor, "/a", &[("user-agent", FIREFOX), ("referer", &format!("https://s{site}.test/"))]);
    }
    ask_until(&mut admin, "interval=7d", 12);
    let mut person = Person::sign_in(&app, KEY);
    let page = person.get("/admin/statistics?browser=Firefox").text();
    assert_eq!(texts(&page, "#referrer tbody th").len(), 10);
    assert_eq!(texts(&page, "#referrer tbody th")[9], "all others");
    let whole = person.get(&link_of(&page, "#referrer .chart-more a", "Show all Sites")).text();
    assert_eq!(texts(&whole, "tbody th").len(), 12);
    assert_eq!(texts(&whole, ".chips li"), ["Browser is Firefox Exclude ×"]);
    let rest = person.get("/admin/statistics/referrer?offset=11").text();
    assert_eq!(texts(&rest, "tbody th"), ["s9.test", "all others"]);
    let csv = person.get(&link_of(&page, "#referrer .foot a", "CSV"));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"clicks-by-referrer.csv\""));
    assert_eq!(csv.text().lines().count(), 13);
    assert!(csv.text().starts_with("\u{feff}referrer,clicks,visitors\r\n"), "{}", csv.text());
    let all = person.get(&link_of(&page, ".foot a", "CSV of all, by time and link")).text();
    assert!(all.starts_with("\u{feff}time,linkId,shortUrl,title,clicks,visitors\r\n"), "{all}");
    for path in ["/admin/statistics/time", "/admin/statistics/nothing", "/admin/statistics/link/x"] {
        assert_eq!(person.get(path).status, 404, "{path}");
    }
}

#[test]
fn what_is_no_question_is_refused_on_a_page_that_can_be_left() {
    let app = start();
    let mut person = Person::sign_in(&app, KEY);
    // Whose chips are those of the address, and whose words are the API's.
    let rows = [
        ("country=Germany", 422, "country: "),
        ("interval=tomorrow", 400, "interval: must be"),
        ("from=2026-13-01", 400, "from: "),
        ("timezone=Mars", 422, "timezone: "),
        ("visits=misses&tagId=0N88vwqp0EUhFT57aXBu", 422, "visits: "),
        ("linkId=0N88vwqp0EUhFT57aXBu", 404, "link not found"),
        ("tag=none", 422, "tag: "),
    ];
    for (query, status, words) in rows {
        let page = person.get(&format!("/admin/statistics?{query}"));
        assert_eq!(page.status, status, "{query}");
        let refused = texts(&page.text(), "[role=alert]");
        assert!(refused.len() == 1 && refused[0].contains(words), "{query}: {refused:?}");
        assert!(page.text().contains("7 days"), "{query}");
    }
    let hostile = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for query in [format!("utmTerm={hostile}"), format!("from={hostile}"), format!("tabs={hostile}")] {
        let page = person.get(&format!("/admin/statistics?{query}")).text();
        assert!(!page.contains("<script>alert") && !page.contains("style="), "{query}");
    }
    // The days are those of the workspace.
    assert!(person.get("/admin/statistics").text().contains(", UTC</p>"));
    let workspace = app.admin().get("/api/v1/workspaces").json();
    let path = format!("/api/v1/workspaces/{}", text(&workspace["workspaces"][0], "id"));
    app.admin().patch(&path, &json!({"timezone": "Asia/Kolkata"})).expect(200, "a zone");
    assert!(person.get("/admin/statistics").text().contains(", Asia/Kolkata</p>"));
    assert!(person.get("/admin/statistics?timezone=Europe/Berlin").text().contains(", Europe/Berlin</p>"));
    // Empty fields of a form ask for nothing.
    let page = person.get("/admin/statistics?from=&to=&timezone=&granularity=&country=");
    assert_eq!(page.status, 200);
    assert_eq!(texts(&page.text(), ".figures dd"), ["0 from 0", "0 from 0"]);
    assert!(page.text().len() < 60 * 1024, "{} bytes", page.text().len());
}

#[test]
fn pages_show_what_the_key_may_see() {
    let app = start();
    visited(&app);
    let mut admin = app.admin();
    let workspace = admin.post("/api/v1/workspaces", &json!({"name": "Other"})).json();
    let workspace = text(&workspace["workspace"], "id").to_owned();
    let key = |scopes: &[&str], workspace: Option<&str>| json!({"name": "k", "scopes": scopes, "workspaceId": workspace});
    let other = admin.post("/api/v1/keys", &key(&["analytics.readonly"], Some(&workspace))).json();
    let mut person = Person::sign_in(&app, text(&other["key"], "secret"));
    let page = person.get("/admin/statistics").text();
    assert_eq!(texts(&page, ".figures dd"), ["0 from 0", "0 from 0"], "another workspace has no clicks");
    assert_eq!(person.get("/admin/statistics?link=go.test/a").status, 422);
    let none = admin.post("/api/v1/keys", &key(&["snapshots.readonly"], None)).json();
    let mut person = Person::sign_in(&app, text(&none["key"], "secret"));
    for path in
        ["/admin/statistics.csv?groupBy=link", "/admin/statistics/link", "/admin/live", "/admin/live/events"]
    {
        assert_eq!(person.get(path).status, 403, "{path}");
    }
    assert!(!person.get("/admin/statistics").text().contains("go.test/a"));
}

#[test]
fn the_live_view_hears_the_clicks_of_a_session() {
    let app = start();
    let store = &app.app().core().analytics().expect("details are kept").store;
    poll("the store has caught up", Duration::from_secs(10), || store.has_caught_up().then_some(()));
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let mut person = Person::sign_in(&app, KEY);
    let page = person.get("/admin/live").text();
    assert!(page.contains("data-live=\"/admin/live/events\""), "{page}");
    assert_eq!(texts(&page, ".chart-time tbody tr").len(), 60);
    let of_link = person.get("/admin/live?link=%22go.test/a%22").text();
    assert!(of_link.contains("data-live=\"/admin/live/events?link=go.test%2Fa\""), "{of_link}");

    let mut stream = TcpStream::connect(app.address()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let cookie = &person.cookie;
    let head = format!("GET /admin/live/events HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is sent");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("within the timeout"));
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(
        head[0].contains("200") && head.iter().any(|line| line.contains("text/event-stream")),
        "{head:?}"
    );
    assert!(lines.any(|line| line == "event: minutes"));
    visit(&mut app.visitor(), "/a", &[("user-agent", FIREFOX)]);
    assert!(lines.any(|line| line.ends_with("\"clicks\":1}")), "a second with the click");
    // Without a session, there is nothing to hear.
    assert_eq!(app.visitor().get("/admin/live/events").status, 303);
}
