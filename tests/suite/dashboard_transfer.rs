//! The dashboard over HTTP: changes of many links, files of links, imports by upload, snapshots and shares.

use std::time::Duration;

use serde_json::{Value, json};

use super::dashboard::{Person, hidden, led};
use crate::support::app::{KEY, TestApp};
use crate::support::http::text;
use crate::support::receiver::until;

/// Creates links with the codes `PREFIX1`, `PREFIX2`..., and returns their ids.
fn links(app: &TestApp, prefix: &str, count: usize) -> Vec<String> {
    let rows: Vec<Value> = (1..=count)
        .map(|at| json!({"url": format!("https://e.test/{at}"), "customSlug": format!("{prefix}{at}")}))
        .collect();
    let mut ids = Vec::new();
    for rows in rows.chunks(1_000) {
        let made = app.admin().post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "links");
        let made = made["links"].as_array().expect("links").iter().map(|link| text(link, "id").to_owned());
        ids.extend(made);
    }
    ids
}

/// Follows the forms of some work to its end, as the button of each page does, and returns the last page.
fn finish(person: &mut Person, mut page: String, rounds: usize) -> String {
    for _ in 0..rounds {
        let Some((_, form)) = page.split_once("data-continue=") else { return page };
        // The first forms of a page are those of its frame.
        let mut forms = page.split("<form method=\"post\" action=\"");
        let action = forms.find(|part| part.contains("data-continue=")).expect("a form");
        let action = action.split('"').next().expect("an action").to_owned();
        let fields = hidden(form);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let rows = form
            .split_once("<textarea name=\"rows\" hidden>")
            .map(|(_, rest)| super::dashboard::unescaped(rest.split_once("</textarea>").expect("an end").0));
        let answer = match &rows {
            Some(rows) => {
                let fields = [&fields[..], &[("rows", rows.as_str())]].concat();
                person.upload(&action, &fields, None)
            }
            None => person.post(&action, &fields),
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        page = answer.text();
    }
    panic!("the work does not end: {page}");
}

#[test]
fn many_links_are_changed_together() {
    let app = TestApp::start();
    let ids = links(&app, "c", 3);
    links(&app, "other", 1);
    let mut person = Person::sign_in(&app, KEY);
    let list = person.get("/admin/links").text();
    for id in &ids {
        assert!(list.contains(&format!("form=\"bulk\" name=\"id\" value=\"{id}\"")), "{list}");
    }
    // Nothing is chosen.
    for (fields, want) in [
        (&[("which", "checked"), ("act", "off")][..], "links: check at least one link"),
        (&[("which", "all")], "act: choose what to do"),
        (&[("which", "all"), ("act", "explode")], "act: choose what to do"),
    ] {
        let refused = person.post("/admin/links/bulk", fields);
        assert_eq!(refused.status, 422);
        assert!(refused.text().to_lowercase().contains(want), "{}", refused.text());
    }
    // The page that asks changes nothing.
    let two = [("which", "checked"), ("id", ids[0].as_str()), ("id", ids[1].as_str())];
    let asked = person.post("/admin/links/bulk", &[&two[..], &[("act", "off")]].concat());
    let page = asked.text();
    assert!(page.contains("Switch off 2 links") && page.contains("/c1") && page.contains("404"), "{page}");
    let is_active =
        |id: &str| app.admin().get(&format!("/api/v1/links/{id}")).json()["link"]["isActive"].clone();
    assert_eq!(is_active(&ids[0]), true);
    let go = |act: &'static str| [&two[..], &[("act", act), ("go", "1"), ("total", "2")]].concat();
    let done = person.post("/admin/links/bulk", &go("off")).text();
    assert!(done.contains("Done: 2 of 2 links"), "{done}");
    assert_eq!((is_active(&ids[0]), is_active(&ids[2])), (json!(false), json!(true)));
    person.post("/admin/links/bulk", &go("on"));
    assert_eq!(is_active(&ids[0]), true);

    // A tag of a new name, for all links of a list.
    let all = [("which", "all"), ("search", "c"), ("go", "1")];
    let tagged =
        person.post("/admin/links/bulk", &[&all[..], &[("act", "tag"), ("name", "Spring")]].concat());
    assert!(tagged.text().contains("3 got the tag"), "{}", tagged.text());
    assert_eq!(app.admin().get("/api/v1/links?tag=Spring").json()["total"], 3);
    let tag = app.admin().get("/api/v1/tags").json()["tags"][0]["id"].as_str().expect("an id").to_owned();
    let untag = [&go("untag")[..], &[("target", tag.as_str())]].concat();
    person.post("/admin/links/bulk", &untag);
    assert_eq!(app.admin().get("/api/v1/links?tag=Spring").json()["total"], 1);
    let refused = person.post("/admin/links/bulk", &go("tag"));
    assert!(refused.status == 422 && refused.text().contains("hoose a tag"), "{}", refused.text());

    let campaign = app.admin().post("/api/v1/campaigns", &json!({"name": "Sale"})).json();
    let campaign = text(&campaign["campaign"], "id").to_owned();
    person.post("/admin/links/bulk", &[&go("campaign")[..], &[("target", campaign.as_str())]].concat());
    assert_eq!(app.admin().get("/api/v1/links?campaign=Sale").json()["total"], 2);
    person.post("/admin/links/bulk", &go("campaign"));
    assert_eq!(app.admin().get("/api/v1/links?campaign=Sale").json()["total"], 0);

    // A link that is gone is reported, and the others are changed.
    app.admin().delete(&format!("/api/v1/links/{}", ids[0]));
    let done = person.post("/admin/links/bulk", &go("delete")).text();
    assert!(done.contains("1 deleted") && done.contains("1 failed") && done.contains(&ids[0]), "{done}");
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 2);
    assert_eq!(person.get("/admin/links/deleted").text().matches("/restore").count(), 2);
}

#[test]
fn a_selection_of_any_size_is_changed_in_steps() {
    let app = TestApp::start();
    links(&app, "n", 1_050);
    let mut person = Person::sign_in(&app, KEY);
    let all = [("which", "all"), ("isActive", "true"), ("act", "off")];
    let asked = person.post("/admin/links/bulk", &all).text();
    assert!(asked.contains("Switch off 1,050 links") && asked.contains("and 1,040 more"), "{asked}");
    // Each change takes its link from the list that is walked.
    let first = person.post("/admin/links/bulk", &[&all[..], &[("go", "1"), ("total", "1050")]].concat());
    let page = finish(&mut person, first.text(), 200);
    assert!(page.contains("Done: 1,050 of 1,050 links") && page.contains("1,050 switched off"), "{page}");
    assert_eq!(app.admin().get("/api/v1/links?isActive=true").json()["total"], 0);
}

#[test]
fn a_key_that_only_reads_downloads_and_changes_nothing() {
    let app = TestApp::start();
    let ids = links(&app, "r", 2);
    let key = app.admin().post("/api/v1/keys", &json!({"name": "Eve", "scopes": ["links.readonly"]})).json();
    let mut person = Person::sign_in(&app, text(&key["key"], "secret"));
    let list = person.get("/admin/links").text();
    assert!(list.contains("download as CSV") && !list.contains("<option value=\"delete\">"), "{list}");
    let fields = [("which", "checked"), ("id", ids[0].as_str()), ("act", "delete"), ("go", "1")];
    let refused = person.post("/admin/links/bulk", &fields).text();
    assert!(refused.contains("this key lacks the scope links.write"), "{refused}");
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 2);
    let file = person.post("/admin/links/bulk", &[fields[0], fields[1], ("act", "csv")]);
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(file.text().contains("/r1,") && !file.text().contains("/r2,"), "{}", file.text());
    let page = person.get("/admin/transfer").text();
    assert!(page.contains("/admin/links.csv") && !page.contains("name=\"file\""), "{page}");
    assert!(!page.contains("/admin/snapshots") && !page.contains("/admin/shares"), "{page}");
    for path in ["/admin/snapshots", "/admin/shares"] {
        assert_eq!(person.get(path).status, 403, "{path}");
    }
    let upload = person.upload(
        "/admin/transfer/run",
        &[("rows", "{\"line\":1,\"link\":{\"url\":\"https://e.test/\"}}")],
        None,
    );
    assert_eq!(upload.status, 403, "{}", upload.text());
}

#[test]
fn files_of_links_have_all_of_them_and_run_no_formula() {
    let app = TestApp::start();
    links(&app, "f", 250);
    app.admin().create(&json!({
        "url": "https://e.test/x", "customSlug": "formula", "title": "=1+1", "notes": "a, \"b\"", "password": "secret12",
        "rules": [{"url": "https://e.test/ios", "conditions": [{"field": "os", "operator": "in", "value": ["iOS"]}]}],
    }));
    let mut person = Person::sign_in(&app, KEY);
    let file = person.get("/admin/links.csv");
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"links.csv\""));
    let csv = file.text();
    assert_eq!(csv.lines().count(), 252);
    assert!(csv.starts_with("\u{feff}shortUrl,domain,customSlug,url,title"), "{csv}");
    let row = csv.lines().find(|line| line.contains("/formula,")).expect("the link");
    assert!(
        row.contains(",'=1+1,") && row.contains(",\"a, \"\"b\"\"\",") && row.contains(",********,"),
        "{row}"
    );
    assert_eq!(person.get("/admin/links.csv?search=f24").text().lines().count(), 12);
    assert_eq!(person.get("/admin/links.csv?isActive=perhaps").status, 400);
    let lines = person.get("/admin/links.jsonl").text();
    let link = lines.lines().find(|line| line.contains("\"formula\"")).expect("the link");
    let link: Value = serde_json::from_str(link).expect("JSON");
    assert_eq!((lines.lines().count(), &link["notes"]), (251, &json!("a, \"b\"")));
    assert_eq!(link["rules"][0]["url"], "https://e.test/ios");
    assert!(!lines.contains("argon2"), "no hash of a password leaves the server");
    let clicks = person.get("/admin/clicks.csv?groupBy=link&interval=all");
    assert_eq!(clicks.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(clicks.text().contains("linkId,shortUrl,title,clicks,visitors"), "{}", clicks.text());
    assert_eq!(person.get("/admin/clicks.csv?groupBy=nonsense").status, 422);
}

#[test]
fn an_upload_is_checked_before_anything_is_created() {
    let app = TestApp::start();
    app.admin().create(&json!({"url": "https://e.test/old", "customSlug": "taken"}));
    app.admin().create(&json!({"url": "https://e.test/same", "customSlug": "same"}));
    let mut person = Person::sign_in(&app, KEY);
    let csv = "Destination;Code;Tags;Title\r\n\
        https://e.test/1;new;\"News, Print\";=cmd\r\n\
        https://e.test/2;taken;;\r\n\
        https://e.test/same;same;;\r\n\
        nonsense;bad;;\r\n\
        https://e.test/5;new;;\r\n\
        https://e.test/6;;;\r\n";
    let fields = [("domain", ""), ("conflict", "skip"), ("reuse", "on"), ("tag", "Moved")];
    let page = person.upload("/admin/transfer", &fields, Some(("links.csv", csv.as_bytes()))).text();
    for want in [
        "Destination: <code>url</code>",
        "<dt>Refused</dt><dd>2</dd>",
        "<dt>Codes in use</dt><dd>1</dd>",
        "<dt>Already here</dt><dd>1</dd>",
        "<dt>New links</dt><dd>2</dd>",
        "line 2 has the same code",
        "Import 2 links",
    ] {
        assert!(page.contains(want), "{want}: {page}");
    }
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 2, "a check creates nothing");
    let page = page.replacen("enctype=\"multipart/form-data\">", "data-continue=\"0\">", 1);
    let done = finish(&mut person, page.clone(), 5);
    assert!(done.contains("Done: 2 of 2 rows") && done.contains("2 created."), "{done}");
    let link = app.admin().get("/api/v1/links/by-code/new").json()["link"].clone();
    let mut tags: Vec<&str> =
        link["tags"].as_array().expect("tags").iter().map(|tag| text(&tag["tag"], "name")).collect();
    tags.sort_unstable();
    assert_eq!((tags, text(&link, "title")), (vec!["Moved", "News", "Print"], "=cmd"));
    // The browser sends the form again: nothing is created twice, and the page is the same.
    assert!(finish(&mut person, page, 5).contains("2 created."));
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 4);
    app.advance(Duration::from_mins(1));
    // The same file again: what is there is seen, and the row without a code uses the link that exists.
    let again = person.upload("/admin/transfer", &fields, Some(("links.csv", csv.as_bytes()))).text();
    assert!(again.contains("<dt>Already here</dt><dd>2</dd>") && again.contains("Import 1 link<"), "{again}");
    let again = again.replacen("enctype=\"multipart/form-data\">", "data-continue=\"0\">", 1);
    let done = finish(&mut person, again, 5);
    assert!(done.contains("1 used a link that was there."), "{done}");
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 4);
    // Another code for those that are in use.
    let renamed = [("conflict", "rename"), ("text", "https://e.test/2 taken")];
    let page = person.upload("/admin/transfer", &renamed, None).text();
    let page = page.replacen("enctype=\"multipart/form-data\">", "data-continue=\"0\">", 1);
    assert!(finish(&mut person, page, 5).contains("1 created."));
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 5);
}

#[test]
fn uploads_that_cannot_be_read_are_refused() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let rows: [(&[(&str, &str)], Option<&[u8]>, &str); 6] = [
        (&[], None, "choose a file, or paste URLs"),
        (&[("text", "https://e.test/")], Some(b"url\n"), "not both"),
        (&[], Some(b"\xff\xfe"), "must be UTF-8"),
        (&[], Some(b"name,colour\na,b\n"), "names no column for the destination"),
        (&[], Some(b"url\n\"a"), "line 2: a quote has no end"),
        (&[], Some(b"[{\"url\":\"https://e.test/\"}]"), "one JSON array"),
    ];
    for (fields, file, want) in rows {
        let refused = person.upload("/admin/transfer", fields, file.map(|file| ("a.csv", file)));
        assert_eq!(refused.status, 422, "{want}");
        assert!(refused.text().contains(want), "{want}: {}", refused.text());
    }
    let refused = person.upload("/admin/transfer/run", &[("rows", "nonsense")], None);
    assert_eq!(refused.status, 422, "{}", refused.text());
}

#[test]
fn ten_thousand_rows_with_collisions_are_imported() {
    let app = TestApp::start();
    links(&app, "k", 1_000);
    let mut person = Person::sign_in(&app, KEY);
    // The first thousand codes are in use, by other destinations.
    let lines: Vec<_> = (1..=10_000).map(|at| format!("https://e.test/new/{at} k{at}\n")).collect();
    let lines = lines.concat();
    let page = person
        .upload("/admin/transfer", &[("conflict", "skip")], Some(("urls.txt", lines.as_bytes())))
        .text();
    assert!(page.contains("<dt>Codes in use</dt><dd>1,000</dd>"), "{}", &page[..4_000]);
    let page = page.replacen("enctype=\"multipart/form-data\">", "data-continue=\"0\">", 1);
    let done = finish(&mut person, page, 100);
    assert!(done.contains("Done: 9,000 of 9,000 rows") && done.contains("9,000 created."), "{done}");
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 10_000);
    assert_eq!(app.visitor().get("/k5").header("location"), Some("https://e.test/5"));
    assert_eq!(app.visitor().get("/k5000").header("location"), Some("https://e.test/new/5000"));
}

#[test]
fn an_export_is_imported_elsewhere() {
    let app = TestApp::start();
    let tag = app.admin().post("/api/v1/tags", &json!({"name": "News"})).json();
    let campaign = app.admin().post("/api/v1/campaigns", &json!({"name": "Sale"})).json();
    app.admin().create(&json!({
        "url": "https://e.test/x", "customSlug": "moved", "title": "A title", "notes": "note", "isActive": false,
        "tagIds": [tag["tag"]["id"]], "campaignId": campaign["campaign"]["id"], "maxClicks": 9,
        "rules": [{"name": "a", "url": "https://e.test/ios", "conditions": [{"field": "os", "operator": "in", "value": ["iOS"]}]}],
    }));
    let mut person = Person::sign_in(&app, KEY);
    for path in ["/admin/links.jsonl", "/admin/links.csv"] {
        let file = person.get(path).text();
        let other = TestApp::start();
        let mut there = Person::sign_in(&other, KEY);
        let page = there.upload("/admin/transfer", &[], Some(("links", file.as_bytes()))).text();
        assert!(page.contains("Import 1 link<"), "{path}: {page}");
        let page = page.replacen("enctype=\"multipart/form-data\">", "data-continue=\"0\">", 1);
        finish(&mut there, page, 5);
        let link = other.admin().get("/api/v1/links/by-code/moved").json()["link"].clone();
        for (field, want) in [
            ("title", json!("A title")),
            ("notes", json!("note")),
            ("isActive", json!(false)),
            ("maxClicks", json!(9)),
        ] {
            assert_eq!(link[field], want, "{path}: {field}");
        }
        assert_eq!(link["tags"][0]["tag"]["name"], "News", "{path}");
        assert_eq!(link["rules"][0]["url"], "https://e.test/ios", "{path}");
        assert_eq!(other.admin().get("/api/v1/links?campaign=Sale").json()["total"], 1, "{path}");
    }
}

#[test]
fn snapshots_are_created_shared_imported_and_deleted() {
    let app = TestApp::start();
    links(&app, "s", 3);
    let mut person = Person::sign_in(&app, KEY);
    assert!(person.get("/admin/snapshots").text().contains("There are no snapshots yet"));
    let refused = person.post("/admin/snapshots", &[("once", "a"), ("name", "")]);
    assert!(refused.status >= 400 && refused.text().contains("role=\"alert\""), "{}", refused.text());
    let form = [("once", "b"), ("name", "Before <b>")];
    let path = led(&person.post("/admin/snapshots", &form));
    // The browser sends the form again.
    assert_eq!(led(&person.post("/admin/snapshots", &form)), path);
    let path = path.split('?').next().expect("a path").to_owned();
    let page = person.get(&path).text();
    assert!(page.contains("Before &#60;b&#62;") && page.contains("<dt>Links</dt><dd>3</dd>"), "{page}");
    let refused = person.post(&format!("{path}/shares"), &[("once", "c"), ("type", "location_link")]);
    assert!(refused.text().contains("workspaceIds"), "{}", refused.text());
    let shared = person.post(&format!("{path}/shares"), &[("once", "d"), ("type", "link")]).text();
    let (_, link) = shared.split_once("<code id=\"share\">").expect("a link");
    let link = link.split('<').next().expect("an end").to_owned();
    assert!(link.contains("/?share="), "{link}");

    let refused = person.post("/admin/snapshots/import", &[("once", "e"), ("shareLink", "nonsense")]);
    assert!(refused.status >= 400 && refused.text().contains("value=\"nonsense\""), "{}", refused.text());
    let import = [("once", "f"), ("shareLink", link.as_str()), ("onConflict", "rename")];
    let status = led(&person.post("/admin/snapshots/import", &import));
    until("the import ends", || !person.get(&status).text().contains("data-reload"));
    let page = person.get(&status).text();
    assert!(
        page.contains("Done: 3 of 3 links") && page.contains("<dt>With another code</dt><dd>3</dd>"),
        "{page}"
    );
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 6);
    assert_eq!(led(&person.post(&format!("{path}/delete"), &[])), "/admin/snapshots?done=deleted");
    assert_eq!(person.get(&path).status, 404);
}

#[test]
fn shares_of_statistics_are_created_changed_and_revoked() {
    let app = TestApp::start();
    let id = links(&app, "t", 1).remove(0);
    let tag = app.admin().post("/api/v1/tags", &json!({"name": "News"})).json();
    let tag = text(&tag["tag"], "id").to_owned();
    let mut person = Person::sign_in(&app, KEY);
    assert!(person.get("/admin/shares").text().contains("Nothing is shared yet"));
    let filled = person.get(&format!("/admin/shares?link={id}")).text();
    assert!(filled.contains(&format!("name=\"link\" value=\"{id}\"")), "{filled}");
    for (fields, want) in [
        (&[("link", ""), ("tag", "")][..], "linkId: is required, or tagId"),
        (&[("link", "t1"), ("tag", tag.as_str())], "cannot be given together"),
        (&[("link", "unknown"), ("tag", "")], "link"),
        (&[("link", "t1"), ("timezone", "Mars")], "timezone: must be a name"),
        (&[("link", "t1"), ("expiresAt", "2001-01-01T10:00")], "expiresAt: must be later than now"),
    ] {
        let refused = person.post("/admin/shares", fields);
        let page = refused.text();
        assert!(refused.status >= 400 && page.contains("role=\"alert\""), "{want}: {page}");
        assert!(page.to_lowercase().contains(&want.to_lowercase()), "{want}: {page}");
    }
    // By its short URL, with everything.
    let short_url = app.admin().get(&format!("/api/v1/links/{id}")).json()["link"]["shortUrl"].clone();
    let fields = [
        ("once", "a"),
        ("link", short_url.as_str().expect("a URL")),
        ("password", "secret12"),
        ("expiresAt", "2030-01-01T10:00"),
        ("timezone", "Asia/Kolkata"),
    ];
    let path = led(&person.post("/admin/shares", &fields));
    let path = path.split('?').next().expect("a path").to_owned();
    led(&person.post("/admin/shares", &[("once", "b"), ("tag", tag.as_str())]));
    let list = person.get("/admin/shares").text();
    assert!(list.contains("/t1</a>") && list.contains(">News</a>") && list.contains("1 Jan 2030"), "{list}");
    let shares = app.admin().get("/api/v1/analytics/shares").json();
    assert_eq!(shares["shares"].as_array().map(Vec::len), Some(2));
    let change = [("expiresAt", "2029-01-01T00:00"), ("timezone", ""), ("removePassword", "on")];
    assert!(led(&person.post(&path, &change)).ends_with("?done=saved"));
    let page = person.get(&path).text();
    assert!(page.contains("2029-01-01T00:00") && !page.contains("removePassword"), "{page}");
    let refused = person.post(&path, &[("expiresAt", "2001-01-01T00:00")]);
    assert!(refused.status == 422 && refused.text().contains("2001-01-01T00:00"), "{}", refused.text());
    assert_eq!(led(&person.post(&format!("{path}/revoke"), &[])), "/admin/shares?done=revoked");
    assert_eq!(person.get(&path).status, 404);
    assert!(!person.get("/admin/shares").text().contains("/t1</a>"));
}
