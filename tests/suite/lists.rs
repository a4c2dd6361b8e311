//! Lists of links: filters, orders, pages and cursors; and creation in bulk.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::text;
use crate::support::native::LINKS;

/// Creates the links `c0` to `c9`, a millisecond apart, and clicks on some of them; returns the tag that
/// every third link has.
fn ten_links(app: &TestApp) -> String {
    let mut admin = app.admin();
    let tag = admin.post("/api/v1/tags", &json!({"name": "t"})).expect(201, "a tag")["tag"]["id"].clone();
    admin.post("/api/v1/domains", &json!({"domain": "d.test"})).expect(201, "a domain");
    for number in 0..10 {
        let mut body = json!({
            "url": format!("https://e.test/{number}"), "customSlug": format!("c{number}"), "isActive": number % 2 == 0,
        });
        if number % 3 == 0 {
            body["tagIds"] = json!([tag]);
        }
        if number == 4 {
            body["domain"] = json!("d.test");
        }
        if number > 6 {
            body["title"] = json!(format!("Title {}", 9 - number));
        }
        app.advance(Duration::from_millis(1));
        admin.create(&body);
    }
    for (code, clicks) in [("c3", 3), ("c5", 5)] {
        for _ in 0..clicks {
            app.visitor().get(&format!("/{code}"));
        }
    }
    // Links with odd numbers are not active, so only the clicks on c8 and c6 count.
    for (code, clicks) in [("c8", 2), ("c6", 4)] {
        for _ in 0..clicks {
            app.visitor().get(&format!("/{code}"));
        }
    }
    tag.as_str().expect("an id").to_owned()
}

/// Returns the numbers of the links of a page.
fn numbers(list: &Value) -> String {
    let links = list["links"].as_array().expect("links");
    links.iter().map(|link| text(link, "shortCode").trim_start_matches('c').to_owned()).collect()
}

#[test]
fn t75_lists_filter_sort_and_page() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let tag = ten_links(&app);
    let rows: Vec<(String, &str, u64)> = vec![
        (String::new(), "9876543210", 10),
        ("sort=newest".to_owned(), "9876543210", 10),
        ("sort=oldest".to_owned(), "0123456789", 10),
        ("sort=title".to_owned(), "9876543210", 10),
        ("sort=clicks&limit=3".to_owned(), "689", 10),
        ("limit=3".to_owned(), "987", 10),
        ("limit=3&page=2".to_owned(), "654", 10),
        ("limit=3&page=4".to_owned(), "0", 10),
        ("limit=3&page=5".to_owned(), "", 10),
        ("limit=3&page=2&sort=oldest".to_owned(), "345", 10),
        ("isActive=true".to_owned(), "86420", 5),
        ("isActive=false&limit=2".to_owned(), "97", 5),
        (format!("tagId={tag}"), "9630", 4),
        (format!("tagId={tag}&isActive=true"), "60", 2),
        ("tagId=00000000000000000001".to_owned(), "", 0),
        ("domain=d.test".to_owned(), "4", 1),
        ("domain=D.TEST".to_owned(), "4", 1),
        ("domain=go.test&limit=1".to_owned(), "9", 9),
        ("domain=unheard-of.test".to_owned(), "", 0),
        ("search=C7".to_owned(), "7", 1),
        ("search=title".to_owned(), "987", 3),
        ("search=e.test%2F3".to_owned(), "3", 1),
        ("search=nothing".to_owned(), "", 0),
        ("search=".to_owned(), "9876543210", 10),
        ("unknown=x".to_owned(), "9876543210", 10),
    ];
    for (query, want, total) in &rows {
        let list = admin.get(&format!("{LINKS}?{query}")).expect(200, query);
        // Links without clicks or titles are in the order of creation, newest first.
        assert_eq!((numbers(&list).as_str(), &list["total"]), (*want, &json!(total)), "{query}");
    }
    let list = admin.get(&format!("{LINKS}?limit=4&page=2")).expect(200, "its frame");
    assert_eq!((&list["page"], &list["limit"], &list["totalPages"]), (&json!(2), &json!(4), &json!(3)));
    assert_eq!(admin.get(LINKS).expect(200, "default")["limit"], 20);
}

#[test]
fn t75_a_cursor_visits_each_link_once() {
    let app = TestApp::start();
    let mut admin = app.admin();
    ten_links(&app);
    let rows = [
        ("newest", "9876543210"),
        ("oldest", "0123456789"),
        ("clicks", "6897543210"),
        ("clicks&isActive=true", "68420"),
        ("title", "9876543210"),
        ("title&search=title", "987"),
    ];
    for (sort, want) in rows {
        let mut seen = String::new();
        let mut target = format!("{LINKS}?limit=3&sort={sort}");
        loop {
            let page = admin.get(&target).expect(200, &target);
            seen.push_str(&numbers(&page));
            let Some(cursor) = page["nextCursor"].as_str() else { break };
            target = format!("{LINKS}?limit=3&sort={sort}&cursor={cursor}");
        }
        assert_eq!(seen, want, "{sort}");
    }
    // A page that ends with the list has no cursor, and one of another order is refused.
    let page = admin.get(&format!("{LINKS}?limit=10&sort=clicks")).expect(200, "all");
    assert_eq!(page["nextCursor"], Value::Null);
    let page = admin.get(&format!("{LINKS}?limit=1&sort=clicks")).expect(200, "the first");
    let cursor = text(&page, "nextCursor");
    for sort in ["newest", "title", "clicks30d"] {
        let why = "cursor: must be the nextCursor of a page with the same sort";
        admin.get(&format!("{LINKS}?sort={sort}&cursor={cursor}")).refuses(422, why, sort);
    }
}

/// Links that are deleted or clicked between two pages are missed at most. Each other link is shown once.
#[test]
fn a_cursor_by_clicks_survives_changes() {
    let app = TestApp::start();
    let mut admin = app.admin();
    ten_links(&app);
    let page = admin.get(&format!("{LINKS}?limit=2&sort=clicks")).expect(200, "the first page");
    assert_eq!(numbers(&page), "68");
    // The last link of the page is deleted, and one behind it has the most clicks now.
    admin.delete(&format!("{LINKS}/by-code/c8")).expect(200, "deleted");
    for _ in 0..9 {
        app.visitor().get("/c2");
    }
    let target = format!("{LINKS}?limit=10&sort=clicks&cursor={}", text(&page, "nextCursor"));
    assert_eq!(numbers(&admin.get(&target).expect(200, "the rest")), "9754310");
}

#[test]
fn t75_parameters_of_lists_are_checked() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let limit = "limit: must be a whole number from 1 to 100";
    let rows = [
        ("limit=0", limit),
        ("limit=-1", limit),
        ("limit=101", limit),
        ("limit=1000000000", limit),
        ("limit=abc", limit),
        ("limit=1&limit=2", "limit: must be given once"),
        ("page=0", "page: must be a whole number from 1 to 1000000000"),
        ("page=9223372036854775807", "page: must be a whole number from 1 to 1000000000"),
        ("cursor=garbage", "cursor: must be the nextCursor of an earlier response"),
        ("sort=x", "sort: must be newest, oldest, clicks, clicks30d, lastClick or title"),
        ("isActive=1", "isActive: must be true or false"),
        ("tagId=x", "tagId: is not a tag's id"),
    ];
    for (query, error) in rows {
        admin.get(&format!("{LINKS}?{query}")).refuses(400, error, query);
    }
}

#[test]
fn t76_bulk_row_by_row_or_all_or_nothing() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "taken"}));
    let rows = json!([
        {"url": "https://e.test/0", "customSlug": "one", "title": "T", "redirectType": 301},
        {"url": "nonsense"},
        {"url": "https://e.test/2", "customSlug": "taken"},
        {"url": "https://e.test/3", "customSlug": "one"},
        {"title": "no url"},
        {"url": "https://e.test/5"},
        {"url": "https://e.test/6", "customSlug": "api"},
    ]);
    let path = "/api/v1/links/bulk";
    let made = admin.post(path, &json!({"domain": HOST, "links": rows})).expect(201, "row by row");
    assert_eq!(
        (&made["created"], &made["activeCount"], &made["pendingCount"]),
        (&json!(2), &json!(2), &json!(0))
    );
    let failed: Vec<(u64, String)> = made["failed"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (row["row"].as_u64().expect("a number"), text(row, "reason").to_owned()))
        .collect();
    let rows_failed: Vec<u64> = failed.iter().map(|row| row.0).collect();
    assert_eq!(rows_failed, [1, 2, 3, 4, 6], "{failed:?}");
    for ((_, reason), part) in
        failed.iter().zip(["url: ", "taken", "one", "url: is required", "reserved for a path"])
    {
        assert!(reason.contains(part), "{reason} names {part}");
    }
    let answer = app.visitor().get("/one");
    assert_eq!((answer.status, answer.header("location")), (301, Some("https://e.test/0")));
    let before = admin.get(LINKS).expect(200, "the list")["total"].clone();
    let all = json!({"atomic": true, "links": [{"url": "https://e.test/", "customSlug": "two"}, {"url": "nonsense"}]});
    let refused = admin.post(path, &all).expect(422, "atomic");
    assert!(text(&refused, "error").starts_with("links: "), "{refused}");
    let all = json!({"atomic": true, "links": [{"url": "https://e.test/", "customSlug": "two"}, {"url": "https://e.test/", "customSlug": "taken"}]});
    let refused = admin.post(path, &all).status;
    assert!([409, 422].contains(&refused), "{refused}");
    assert_eq!(app.visitor().get("/two").status, 404);
    assert_eq!(admin.get(LINKS).expect(200, "the list")["total"], before, "nothing was made");
    let all = json!({"atomic": true, "links": [{"url": "https://e.test/", "customSlug": "two"}, {"url": "https://e.test/"}]});
    assert_eq!(admin.post(path, &all).expect(201, "atomic")["created"], 2);
    assert_eq!(app.visitor().get("/two").status, 302);
    let many = json!({"links": vec![json!({"url": "https://e.test/"}); 1_001]});
    admin.post(path, &many).refuses(422, "links: must be 1 to 1000 links", "1,001 rows");
    admin.post(path, &json!({"links": []})).refuses(422, "links: must be 1 to 1000 links", "no rows");
    admin.post(path, &json!({})).refuses(400, "links: is required", "no list");
    let atomic = json!({"links": [1], "atomic": true});
    let why = "links: row 0: links[0]: must be an object; nothing was created";
    admin.post(path, &atomic).refuses(422, why, "no object");
    let mixed = json!({"links": [{"url": "https://e.test/"}, null]});
    let made = admin.post(path, &mixed).expect(201, "a row that is no object fails alone");
    assert_eq!(
        (&made["created"], &made["failed"]),
        (&json!(1), &json!([{"row": 1, "shortCode": null, "reason": "links[1]: must be an object"}]))
    );
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(9 << 20));
    let answer = admin.send("POST", path, &[], Some(huge.as_bytes()));
    answer.refuses(413, "the body must be at most 8388608 bytes", "9 MB");
}
