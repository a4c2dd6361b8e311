//! Linquid's dialect from outside: the request of the vendor's documentation word for word, every operation,
//! every error, and one core with the native dialect.

use serde_json::{Value, json};

use crate::support::app::{KEY, TestApp};
use crate::support::http::{Answer, Client, raw, text};

const LINKS: &str = "/api/links";
const CAMPAIGNS: &str = "/api/campaigns";

/// Returns a client with the instance key in the vendor's header.
fn vendor(app: &TestApp) -> Client {
    app.visitor().with("X-API-Key", KEY)
}

/// Returns the data of a successful response.
#[track_caller]
fn data(answer: &Answer, status: u16, row: &str) -> Value {
    let body = answer.expect(status, row);
    assert_eq!(body["success"], true, "{row}");
    body["data"].clone()
}

/// Checks an error: status, code and the whole message.
#[track_caller]
fn refuses(answer: &Answer, status: u16, code: &str, message: &str, row: &str) {
    let body = answer.expect(status, row);
    let want = json!({"success": false, "error": {"code": code, "message": message}});
    assert_eq!(body, want, "{row}");
}

#[track_caller]
fn make(client: &mut Client, body: &Value) -> Value {
    data(&client.post(LINKS, body), 201, &body.to_string())
}

fn path_of(object: &Value) -> String {
    format!("{LINKS}/{}", text(object, "id"))
}

/// Creates a key of the first workspace, or of the given one.
fn key(admin: &mut Client, scopes: &[&str], workspace: Option<&str>) -> String {
    let mut body = json!({"name": "k", "scopes": scopes});
    if let Some(workspace) = workspace {
        body["workspaceId"] = json!(workspace);
    }
    let made = admin.post("/api/v1/keys", &body).expect(201, "a key");
    text(&made["key"], "secret").to_owned()
}

/// The time of the clock, which does not advance by itself in tests.
const NOW: &str = "2026-01-01T00:00:00.000Z";

#[test]
fn the_documented_request_gets_the_documented_response() {
    let app = TestApp::start();
    let campaign = json!({"name": "Summer", "id": "camp_xyz789"});
    let made = data(&vendor(&app).post(CAMPAIGNS, &campaign), 201, "a campaign of the vendor's");
    let want = json!({"id": "camp_xyz789", "name": "Summer", "createdAt": NOW, "updatedAt": NOW});
    assert_eq!(made, want);
    let body = r#"{
    "destinationUrl": "https://example.com/landing-page",
    "title": "Summer Campaign Link",
    "campaignId": "camp_xyz789",
    "tags": ["summer", "promo"]
  }"#;
    let answer = raw(
        app.address(),
        format!(
            "POST /api/links HTTP/1.1\r\nHost: api.linquid.io\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
             X-API-Key: {KEY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    )
    .expect("an answer");
    let made = answer.expect(201, "the page's request");
    let (id, code) = (text(&made["data"], "id"), text(&made["data"], "shortCode"));
    assert_eq!((id.len(), id.starts_with("link_"), code.len()), (25, true, 7), "{made}");
    let want = json!({
        "success": true,
        "data": {
            "id": id,
            "shortCode": code,
            "shortUrl": format!("http://go.test/{code}"),
            "destinationUrl": "https://example.com/landing-page",
            "title": "Summer Campaign Link",
            "campaignId": "camp_xyz789",
            "enabled": true,
            "passwordProtected": false,
            "expiresAt": null,
            "clicksLimit": null,
            "tags": ["summer", "promo"],
            "createdAt": NOW,
            "updatedAt": NOW
        }
    });
    assert_eq!(made, want);
    let click = app.visitor().get(&format!("/{code}"));
    assert_eq!((click.status, click.header("location")), (302, Some("https://example.com/landing-page")));
    // The errors of the documentation.
    let mut client = vendor(&app);
    let bad = client.post(LINKS, &json!({"destinationUrl": "not a url"}));
    refuses(&bad, 400, "VALIDATION_ERROR", "Invalid destination URL format", "Invalid URL");
    let taken = client.post(LINKS, &json!({"destinationUrl": "https://e.test/", "shortCode": code}));
    refuses(&taken, 409, "SHORT_CODE_EXISTS", "This short code is already in use", "Short Code Taken");
    let mut admin = app.admin();
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let path = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    admin.patch(&path, &json!({"credits": 1})).expect(200, "credits");
    make(&mut client, &json!({"destinationUrl": "https://e.test/"}));
    let broke = client.post(LINKS, &json!({"destinationUrl": "https://e.test/", "tags": ["unpaid"]}));
    refuses(
        &broke,
        402,
        "INSUFFICIENT_CREDITS",
        "Workspace has insufficient credits",
        "Insufficient Credits",
    );
    // A failed creation leaves nothing behind.
    let tags = admin.get("/api/v1/tags").expect(200, "tags");
    assert!(!tags.to_string().contains("unpaid"), "{tags}");
}

/// New tags are in the Change of their link, so a refusal of any kind leaves none.
#[test]
fn a_refused_link_leaves_no_new_tag() {
    let app = TestApp::start();
    let (mut client, mut admin) = (vendor(&app), app.admin());
    make(&mut client, &json!({"destinationUrl": "https://e.test/", "shortCode": "mine", "tags": ["old"]}));
    let other = make(&mut client, &json!({"destinationUrl": "https://e.test/", "shortCode": "other"}));
    let rows = [
        json!({"destinationUrl": "nope"}),
        json!({"destinationUrl": "https://e.test/", "shortCode": "mine"}),
        json!({"destinationUrl": "https://e.test/", "shortCode": "a b"}),
        json!({"destinationUrl": "http://go.test/self", "shortCode": "self"}),
        json!({"destinationUrl": "https://e.test/", "campaignId": "none"}),
        json!({"destinationUrl": "https://e.test/", "tags": ["fine", "x".repeat(300)]}),
    ];
    let mut names = |row: &str| {
        let tags = admin.get("/api/v1/tags").expect(200, "tags");
        let tags = tags["tags"].as_array().expect("tags").clone();
        assert_eq!(tags.iter().map(|tag| tag["name"].clone()).collect::<Vec<_>>(), ["old"], "{row}");
    };
    for mut row in rows {
        if row["tags"].is_null() {
            row["tags"] = json!(["new"]);
        }
        let refused = client.post(LINKS, &row);
        assert!((400..500).contains(&refused.status), "{row}: {}", refused.text());
        names(&row.to_string());
    }
    let path = format!("{LINKS}/{}", text(&other, "id"));
    for row in [
        json!({"destinationUrl": "nope", "tags": ["new"]}),
        json!({"destinationUrl": "http://go.test/other", "tags": ["new"]}),
        json!({"campaignId": "none", "tags": ["new"]}),
        json!({"tags": ["new", "x".repeat(300)]}),
    ] {
        let refused = client.patch(&path, &row);
        assert!((400..500).contains(&refused.status), "{row}: {}", refused.text());
        names(&row.to_string());
    }
}

#[test]
fn every_field_is_set_shown_changed_and_cleared() {
    let mut app = TestApp::start();
    let mut client = vendor(&app);
    let campaign = data(&client.post(CAMPAIGNS, &json!({"name": "C"})), 201, "campaign");
    let body = json!({
        "destinationUrl": "https://e.test/1", "title": "T", "shortCode": "mine", "description": "D",
        "campaignId": campaign["id"], "expiresAt": "2026-06-01T12:00:00+02:00", "clicksLimit": 5,
        "password": "secret", "tags": ["b", "a", "b"], "enabled": false, "deepLinkEnabled": true,
        "trackingType": "pixel", "conversionTracking": 7,
    });
    let made = make(&mut client, &body);
    let id = text(&made, "id").to_owned();
    let want = json!({
        "id": id, "shortCode": "mine", "shortUrl": "http://go.test/mine",
        "destinationUrl": "https://e.test/1", "title": "T", "campaignId": campaign["id"],
        "enabled": false, "passwordProtected": true, "expiresAt": "2026-06-01T10:00:00.000Z",
        "clicksLimit": 5, "tags": ["b", "a"], "createdAt": NOW, "updatedAt": NOW,
    });
    assert_eq!(made, want);
    app = app.restart();
    let mut client = vendor(&app);
    let path = path_of(&made);
    let mut full = want.clone();
    full["description"] = json!("D");
    full["clicks"] = json!(0);
    let domain = app.admin().get("/api/v1/domains").expect(200, "domains")["domains"][0]["id"].clone();
    full["domainId"] = domain.clone();
    assert_eq!(data(&client.get(&path), 200, "read"), full);
    // A client may send a link back as it was returned. The password stays.
    full["password"] = Value::Null;
    let same = data(&client.patch(&path, &full), 200, "sent back");
    full.as_object_mut().expect("an object").remove("password");
    assert_eq!(same, full);
    let rows = [
        ("destinationUrl", json!("https://e.test/2"), json!("https://e.test/2")),
        ("title", json!("T2"), json!("T2")),
        ("title", Value::Null, Value::Null),
        ("description", Value::Null, Value::Null),
        ("enabled", json!(true), json!(true)),
        ("expiresAt", json!("2030-01-01T00:00:00Z"), json!("2030-01-01T00:00:00.000Z")),
        ("expiresAt", Value::Null, Value::Null),
        ("clicksLimit", json!(7), json!(7)),
        ("clicksLimit", Value::Null, Value::Null),
        ("tags", json!(["c", "a"]), json!(["c", "a"])),
        ("tags", json!([]), json!([])),
        ("tags", json!(["a"]), json!(["a"])),
        ("tags", Value::Null, json!([])),
        ("campaignId", Value::Null, Value::Null),
        ("campaignId", campaign["id"].clone(), campaign["id"].clone()),
    ];
    for (field, sent, shown) in rows {
        let got = data(&client.patch(&path, &json!({field: sent})), 200, field);
        full[field] = shown;
        assert_eq!(got, full, "{field}: {sent}");
    }
    for (password, protected) in [(Value::Null, true), (json!(""), false), (json!("new"), true)] {
        let got = data(&client.patch(&path, &json!({"password": password})), 200, "a password");
        assert_eq!(got["passwordProtected"], protected, "{password}");
    }
    // On creation, null and empty values are ignored.
    let nothing = json!({
        "destinationUrl": "https://e.test/", "title": null, "shortCode": "", "campaignId": "",
        "domainId": null, "expiresAt": null, "clicksLimit": null, "password": "", "tags": null,
        "enabled": null,
    });
    let made = make(&mut client, &nothing);
    for (field, want) in [("enabled", json!(true)), ("passwordProtected", json!(false)), ("tags", json!([]))]
    {
        assert_eq!(made[field], want, "{field}");
    }
    // A domain, by its id or its name.
    let other = app.admin().post("/api/v1/domains", &json!({"domain": "w.test"})).expect(201, "domain");
    for (named, url) in [
        (other["domain"]["id"].clone(), "https://w.test/one"),
        (json!("w.test"), "https://w.test/two"),
        (domain, "http://go.test/three"),
    ] {
        let code = url.rsplit('/').next().expect("a path");
        let body = json!({"destinationUrl": "https://e.test/", "domainId": named, "shortCode": code});
        assert_eq!(make(&mut client, &body)["shortUrl"], url);
    }
}

/// The error of a code in place of an id.
const NEEDS_ID: &str = "Link not found: an id is needed here; GET /api/links/CODE returns the link of a code";

#[test]
fn links_are_found_by_id_with_or_without_its_kind_and_by_code() {
    let app = TestApp::start();
    let mut client = vendor(&app);
    let made = make(&mut client, &json!({"destinationUrl": "https://e.test/", "shortCode": "caf\u{e9}"}));
    let id = text(&made, "id");
    let bare = id.strip_prefix("link_").expect("the kind");
    for named in [id, bare, "caf%C3%A9", "caf%c3%a9/"] {
        let got = data(&client.get(&format!("{LINKS}/{named}?include=rules")), 200, named);
        assert_eq!(got["id"], id, "{named}");
    }
    for named in ["CAF%C3%89", "link_", "link_caf%C3%A9", "nothing", "00000000000000000000", "%ff"] {
        refuses(&client.get(&format!("{LINKS}/{named}")), 404, "NOT_FOUND", "Link not found", named);
    }
    // Changes accept the id of a link only.
    for method in ["PATCH", "DELETE"] {
        let answer = client.send(method, "/api/links/caf%C3%A9", &[], Some(b"{}"));
        refuses(&answer, 404, "NOT_FOUND", NEEDS_ID, method);
    }
    refuses(&client.get("/api/analytics/caf%C3%A9/overview"), 404, "NOT_FOUND", NEEDS_ID, "statistics");
    refuses(&client.get("/api/analytics/%ff/overview"), 404, "NOT_FOUND", "Link not found", "no code");
    // The vendor's answers have no place for a warning about a filter that is none.
    let listed = client.get("/api/links?search=caf&campaignid=c1");
    assert_eq!(
        listed.header("x-warnings"),
        Some(
            r#"["search: is no parameter of this request, and was ignored","campaignid: is no parameter of this request, and was ignored; did you mean campaignId?"]"#
        )
    );
    assert_eq!(client.get("/api/links?page=1&limit=5").header("x-warnings"), None);
    data(&client.patch(&format!("{LINKS}/{bare}/"), &json!({"title": "T"})), 200, "changed");
    let gone = client.delete(&path_of(&made)).expect(200, "deleted");
    assert_eq!(gone, json!({"success": true, "data": {"id": id, "deleted": true}}));
    refuses(&client.get(&path_of(&made)), 404, "NOT_FOUND", "Link not found", "deleted");
    refuses(&client.patch(&path_of(&made), &json!({})), 404, "NOT_FOUND", "Link not found", "deleted");
    for round in 0..2 {
        let again = client.delete(&path_of(&made));
        refuses(&again, 404, "ALREADY_DELETED", "Link is already deleted", &format!("round {round}"));
    }
    let anew = make(&mut client, &json!({"destinationUrl": "https://e.test/", "shortCode": "caf\u{e9}"}));
    assert_ne!(anew["id"], made["id"], "the code is free at once");
}

#[test]
fn lists_are_paged() {
    let app = TestApp::start();
    let mut client = vendor(&app);
    let campaign = data(&client.post(CAMPAIGNS, &json!({"name": "C"})), 201, "campaign");
    let id = text(&campaign, "id").to_owned();
    for n in 0..5 {
        let mut body = json!({"destinationUrl": "https://e.test/", "title": n.to_string()});
        if n % 2 == 0 {
            body["campaignId"] = json!(id);
        }
        make(&mut client, &body);
    }
    let bare = id.strip_prefix("camp_").expect("the kind");
    let of = |total: u64, page: u64, limit: u64, more: bool, pages: u64| json!({"total": total, "page": page, "limit": limit, "hasMore": more, "totalPages": pages});
    let rows = [
        (String::new(), vec!["4", "3", "2", "1", "0"], of(5, 1, 20, false, 1)),
        ("?page=1&limit=2".to_owned(), vec!["4", "3"], of(5, 1, 2, true, 3)),
        ("?page=3&limit=2".to_owned(), vec!["0"], of(5, 3, 2, false, 3)),
        ("?page=4&limit=2".to_owned(), vec![], of(5, 4, 2, false, 3)),
        ("?limit=5".to_owned(), vec!["4", "3", "2", "1", "0"], of(5, 1, 5, false, 1)),
        (format!("?campaignId={id}&limit=2"), vec!["4", "2"], of(3, 1, 2, true, 2)),
        (format!("?campaignId={bare}"), vec!["4", "2", "0"], of(3, 1, 20, false, 1)),
        ("?campaignId=camp_none".to_owned(), vec![], of(0, 1, 20, false, 0)),
    ];
    for (query, titles, pagination) in rows {
        let list = client.get(&format!("{LINKS}{query}")).expect(200, &query);
        assert_eq!((&list["success"], &list["pagination"]), (&json!(true), &pagination), "{query}");
        let links = list["data"].as_array().expect("a list");
        let got: Vec<_> = links.iter().map(|link| text(link, "title")).collect();
        assert_eq!(got, titles, "{query}");
        assert!(links.iter().all(|link| link.as_object().is_some_and(|link| link.len() == 13)), "{list}");
    }
}

#[test]
fn campaigns_are_made_listed_read_and_renamed() {
    let app = TestApp::start();
    let mut client = vendor(&app);
    let drawn = data(&client.post(CAMPAIGNS, &json!({"name": "Drawn"})), 201, "a drawn id");
    let id = text(&drawn, "id").to_owned();
    assert_eq!((id.len(), id.starts_with("camp_")), (25, true), "{id}");
    let native = app.admin().post("/api/v1/campaigns", &json!({"name": "Native", "id": "n1"}));
    native.expect(201, "a native campaign");
    data(&client.post(CAMPAIGNS, &json!({"name": "Brought", "id": "camp_b1"})), 201, "a vendor's id");
    let bare = id.strip_prefix("camp_").expect("the kind");
    for (named, shown, name) in [
        (&*id, &*id, "Drawn"),
        (bare, &id, "Drawn"),
        ("n1", "camp_n1", "Native"),
        ("camp_n1", "camp_n1", "Native"),
        ("camp_b1", "camp_b1", "Brought"),
        ("b1", "camp_b1", "Brought"),
    ] {
        let got = data(&client.get(&format!("{CAMPAIGNS}/{named}")), 200, named);
        assert_eq!((text(&got, "id"), text(&got, "name")), (shown, name), "{named}");
        let link = make(&mut client, &json!({"destinationUrl": "https://e.test/", "campaignId": named}));
        assert_eq!(link["campaignId"], shown, "{named}");
    }
    // Of two spellings of one id, the second is in use.
    for taken in ["b1", "camp_b1", "camp_n1"] {
        let again = client.post(CAMPAIGNS, &json!({"name": "N", "id": taken}));
        refuses(&again, 409, "ALREADY_EXISTS", "id: is already in use", taken);
    }
    let path = format!("{CAMPAIGNS}/camp_n1");
    assert_eq!(data(&client.patch(&path, &json!({"name": "New"})), 200, "renamed")["name"], "New");
    let list = client.get(&format!("{CAMPAIGNS}?limit=2")).expect(200, "listed");
    let want = json!({"total": 3, "page": 1, "limit": 2, "hasMore": true, "totalPages": 2});
    assert_eq!(list["pagination"], want);
    let names: Vec<_> = list["data"].as_array().expect("a list").iter().map(|c| text(c, "name")).collect();
    assert_eq!(names, ["Brought", "New"]);
    let rest = client.get(&format!("{CAMPAIGNS}/?limit=2&page=2")).expect(200, "the rest");
    assert_eq!(rest["data"], json!([drawn]));
    assert_eq!(client.get(&format!("{CAMPAIGNS}?page=1000000000")).expect(200, "beyond")["data"], json!([]));
}

/// Every operation: method, path, and a valid body.
const OPERATIONS: [(&str, &str, Option<&str>); 9] = [
    ("POST", "/api/links", Some(r#"{"destinationUrl":"https://e.test/"}"#)),
    ("GET", "/api/links", None),
    ("GET", "/api/links/LINK", None),
    ("PATCH", "/api/links/LINK", Some(r#"{"title":"T"}"#)),
    ("DELETE", "/api/links/LINK", None),
    ("POST", "/api/campaigns", Some(r#"{"name":"N"}"#)),
    ("GET", "/api/campaigns", None),
    ("GET", "/api/campaigns/camp_c1", None),
    ("PATCH", "/api/campaigns/camp_c1", Some(r#"{"name":"N"}"#)),
];

#[test]
fn every_operation_has_the_same_errors() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = make(&mut vendor(&app), &json!({"destinationUrl": "https://e.test/"}));
    data(&vendor(&app).post(CAMPAIGNS, &json!({"name": "N", "id": "camp_c1"})), 201, "a campaign");
    admin.post("/api/v1/workspaces", &json!({"name": "W", "id": "other"})).expect(201, "a workspace");
    let all = ["links.readonly", "links.write", "admin"];
    let (reads, copies) = (key(&mut admin, &all[..1], None), key(&mut admin, &["snapshots.readonly"], None));
    let foreign = key(&mut admin, &all, Some("other"));
    let form = json!({"name": "k", "scopes": ["links.write"], "createOnly": true});
    let form = admin.post("/api/v1/keys", &form).expect(201, "a key");
    let form = text(&form["key"], "secret");
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(70_000));
    for (method, template, body) in OPERATIONS {
        let path = template.replace("LINK", text(&link, "id"));
        let row = |what: &str| format!("{method} {template}: {what}");
        let send = |client: Client, headers: &[(&str, &str)], body: Option<&str>| {
            let mut client = client;
            client.send(method, &path, headers, body.map(str::as_bytes))
        };
        let check = |what: &str, answer: &Answer, status: u16, code: &str, message: &str| {
            refuses(answer, status, code, message, &row(what));
        };
        let missing = "Invalid or missing API key";
        check("no key", &send(app.visitor(), &[], body), 401, "UNAUTHORIZED", missing);
        let bad = "Invalid or disabled API key";
        let basic = "This server takes the key as `Authorization: Bearer KEY` or `X-API-Key: KEY`";
        for (header, why) in [
            (("X-API-Key", "lw_unknown"), bad),
            (("Authorization", "Bearer x"), bad),
            (("Authorization", "Basic x"), basic),
        ] {
            check("a bad key", &send(app.visitor(), &[header], body), 401, "INVALID_API_KEY", why);
        }
        let two = [("X-API-Key", &*reads), ("Authorization", &*format!("Bearer {copies}"))];
        check("two keys", &send(app.visitor(), &two, body), 401, "INVALID_API_KEY", bad);
        let (lacks, scope) =
            if method == "GET" { (&copies, "links.readonly") } else { (&reads, "links.write") };
        let why = format!("This key lacks the scope {scope}");
        check("no scope", &send(app.visitor().with_key(lacks), &[], body), 403, "FORBIDDEN", &why);
        if template != LINKS || method != "POST" {
            let why = "This key may only create links";
            check("create-only", &send(app.visitor().with_key(form), &[], body), 403, "FORBIDDEN", why);
        }
        if template.len() > CAMPAIGNS.len() {
            let what = if template.contains("LINK") { "Link not found" } else { "Campaign not found" };
            check("foreign", &send(app.visitor().with_key(&foreign), &[], body), 404, "NOT_FOUND", what);
        }
        let elsewhere = [("X-Workspace-Id", "unheard-of")];
        check("a workspace", &send(vendor(&app), &elsewhere, body), 404, "NOT_FOUND", "Workspace not found");
        let theirs = send(app.visitor().with_key(&reads), &[("X-Workspace-Id", "other")], None);
        if method == "GET" {
            check("theirs", &theirs, 404, "NOT_FOUND", "Workspace not found");
        }
        if body.is_some() {
            let invalid = "VALIDATION_ERROR";
            let eof = "the body is not valid JSON: EOF while parsing an object at line 1 column 1";
            check("broken JSON", &send(vendor(&app), &[], Some("{")), 400, invalid, eof);
            let list = "the body must be a JSON object";
            check("a list", &send(vendor(&app), &[], Some("[]")), 400, invalid, list);
            let much = "The body must be at most 65536 bytes";
            check("too large", &send(vendor(&app), &[], Some(&large)), 413, "PAYLOAD_TOO_LARGE", much);
            let zipped = "The body must not have a Content-Encoding";
            let gzip = [("Content-Encoding", "gzip")];
            check("gzip", &send(vendor(&app), &gzip, body), 415, "UNSUPPORTED_MEDIA_TYPE", zipped);
        } else if method == "GET" {
            // The body is not read.
            assert_eq!(send(vendor(&app), &[], Some("{")).status, 200, "{}", row("a body"));
        }
    }
    let mut client = vendor(&app);
    for (method, path, allow) in [
        ("PUT", LINKS, "POST, GET, HEAD"),
        ("DELETE", LINKS, "POST, GET, HEAD"),
        ("OPTIONS", LINKS, "POST, GET, HEAD"),
        ("TRACE", LINKS, "POST, GET, HEAD"),
        ("PUT", "/api/links/x", "GET, HEAD, PATCH, DELETE"),
        ("PATCH", CAMPAIGNS, "POST, GET, HEAD"),
        ("DELETE", "/api/campaigns/x", "GET, HEAD, PATCH"),
    ] {
        let answer = client.send(method, path, &[], None);
        let why = format!("The method is not allowed here; allowed are {allow}");
        refuses(&answer, 405, "METHOD_NOT_ALLOWED", &why, &format!("{method} {path}"));
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    for path in ["/api/links/x/webhooks", "/api/campaigns/x/y"] {
        let why = "There is no such endpoint: /api/docs lists all endpoints";
        refuses(&client.get(path), 404, "NOT_FOUND", why, path);
    }
    for (method, path) in [("GET", "/api/campaigns/none"), ("PATCH", "/api/campaigns/a%20b")] {
        let answer = client.send(method, path, &[], Some(b"{}"));
        refuses(&answer, 404, "NOT_FOUND", "Campaign not found", path);
    }
}

/// The message about an expiry that is no string.
const DATE_TEXT: &str =
    "expiresAt: must be a string with a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z";

/// The message about a code that is a path of the server.
const RESERVED: &str = "shortCode: is reserved for a path of Waypost: choose another code; reserved are api, links, snapshots, locations, healthz, readyz, metrics, .well-known, robots.txt, favicon.ico, assets, admin";

#[test]
fn invalid_values_get_the_vendors_messages() {
    let app = TestApp::start();
    let mut client = vendor(&app);
    let format = "Invalid destination URL format";
    let count = "clicksLimit: must be a whole number, at least 1, or null for no limit";
    let flag = "enabled: must be true or false";
    let date = "expiresAt: must be a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z";
    let long = format!("https://e.test/{}", "x".repeat(8_192));
    let many: Vec<_> = (0..51).map(|n| n.to_string()).collect();
    // Field, value, message; for creations and changes.
    let rows = [
        ("destinationUrl", json!(5), "destinationUrl: must be a string"),
        ("destinationUrl", Value::Null, "destinationUrl: must be a string"),
        ("destinationUrl", json!(""), format),
        ("destinationUrl", json!("example.com"), format),
        ("destinationUrl", json!("javascript:alert(1)"), format),
        ("destinationUrl", json!("https://"), format),
        ("destinationUrl", json!(long), "destinationUrl: must be at most 8192 bytes"),
        ("title", json!(5), "title: must be a string"),
        ("title", json!("x".repeat(501)), "title: must be at most 500 characters"),
        ("description", json!([]), "description: must be a string"),
        ("campaignId", json!(5), "campaignId: must be a string"),
        ("campaignId", json!("camp_none"), "campaignId: is not a campaign of this workspace"),
        ("campaignId", json!("a b"), "campaignId: must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -"),
        ("expiresAt", json!(1_700_000_000), DATE_TEXT),
        ("expiresAt", json!("tomorrow"), date),
        ("clicksLimit", json!("5"), count),
        ("clicksLimit", json!(-1), count),
        ("clicksLimit", json!(1.5), count),
        ("clicksLimit", json!(0), count),
        ("password", json!(5), "password: must be a string"),
        ("password", json!("x".repeat(1_025)), "password: must be at most 1024 bytes"),
        ("tags", json!("summer"), "tags: must be an array of strings"),
        ("tags", json!(["summer", 5]), "tags: must be an array of strings"),
        ("tags", json!([""]), "tags: must not be empty"),
        ("tags", json!([" a"]), "tags: must not begin or end with white space"),
        ("tags", json!(["x".repeat(65)]), "tags: must be at most 64 characters"),
        ("tags", json!(many), "tags: must be at most 50 tags"),
        ("enabled", json!("yes"), flag),
        ("workspaceId", json!(5), "workspaceId: must be a string"),
    ];
    let link = make(&mut client, &json!({"destinationUrl": "https://e.test/"}));
    let path = path_of(&link);
    for (field, value, message) in rows {
        let mut body = json!({"destinationUrl": "https://e.test/", "tags": ["unmade"]});
        body[field] = value.clone();
        let row = format!("{field}: {:.40}", value.to_string());
        refuses(&client.post(LINKS, &body), 400, "VALIDATION_ERROR", message, &row);
        let answer = client.patch(&path, &body);
        refuses(&answer, 400, "VALIDATION_ERROR", message, &format!("PATCH {row}"));
    }
    let on_create = [
        (json!({}), "destinationUrl: is required"),
        (json!({"destinationUrl": "https://e.test/", "shortCode": 5}), "shortCode: must be a string"),
        (json!({"destinationUrl": "https://e.test/", "shortCode": "api"}), RESERVED),
        (json!({"destinationUrl": "https://e.test/", "domainId": 5}), "domainId: must be a string"),
        (
            json!({"destinationUrl": "https://e.test/", "domainId": "no.test"}),
            "domainId: is not a domain of this workspace",
        ),
        (
            json!({"destinationUrl": "http://go.test/loop", "shortCode": "loop"}),
            "destinationUrl: must not lead back to this short link",
        ),
    ];
    for (body, message) in on_create {
        refuses(&client.post(LINKS, &body), 400, "VALIDATION_ERROR", message, &body.to_string());
    }
    let answer = client.patch(&path, &json!({"enabled": null}));
    refuses(&answer, 400, "VALIDATION_ERROR", flag, "null is no switch");
    for (query, message) in [
        ("page=0", "page: must be a whole number from 1 to 1000000000"),
        ("page=x", "page: must be a whole number from 1 to 1000000000"),
        ("limit=0", "limit: must be a whole number from 1 to 100"),
        ("limit=101", "limit: must be a whole number from 1 to 100"),
        ("limit=-1", "limit: must be a whole number from 1 to 100"),
        ("limit=1&limit=2", "limit: must be given once"),
    ] {
        for list in [LINKS, CAMPAIGNS] {
            let path = format!("{list}?{query}");
            refuses(&client.get(&path), 400, "VALIDATION_ERROR", message, &path);
        }
    }
    let campaigns = [
        (json!({}), "name: is required"),
        (json!({"name": 5}), "name: must be a string"),
        (json!({"name": " "}), "name: must not be empty"),
        (json!({"name": "N", "id": "a b"}), "id: must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -"),
    ];
    for (body, message) in campaigns {
        refuses(&client.post(CAMPAIGNS, &body), 400, "VALIDATION_ERROR", message, &body.to_string());
    }
    let key = [("Idempotency-Key", "k")];
    let send = |client: &mut Client, url: &str| {
        client.send("POST", LINKS, &key, Some(json!({"destinationUrl": url}).to_string().as_bytes()))
    };
    let first = data(&send(&mut client, "https://e.test/1"), 201, "the first");
    assert_eq!(data(&send(&mut client, "https://e.test/1"), 201, "again"), first);
    let why = "Idempotency-Key: was used before with another request body";
    refuses(&send(&mut client, "https://e.test/2"), 400, "VALIDATION_ERROR", why, "another body");
    // Failed requests created nothing.
    assert_eq!(client.get(LINKS).expect(200, "all")["pagination"]["total"], 2);
    assert_eq!(app.admin().get("/api/v1/tags").expect(200, "tags")["tags"], json!([]));
}

#[test]
fn a_link_is_the_same_in_both_dialects() {
    let app = TestApp::start();
    let (mut client, mut admin) = (vendor(&app), app.admin());
    // Created in the native dialect, with every option that this dialect lacks.
    let tag = admin.post("/api/v1/tags", &json!({"name": "red"})).expect(201, "a tag")["tag"].clone();
    admin.post("/api/v1/campaigns", &json!({"name": "C", "id": "c1"})).expect(201, "a campaign");
    let made = admin.create(&json!({
        "url": "https://e.test/?a=1", "customSlug": "both", "title": "T", "utmSource": "mail",
        "redirectType": 307, "cloaked": true, "notes": "N", "forwardParameters": true, "campaignId": "c1",
        "blockBots": true, "webhookUrls": "https://h.test/", "expiredUrl": "https://e.test/after",
        "validSince": "2025-01-01T00:00:00Z", "maxClicks": 9, "password": "secret", "tagIds": [tag["id"]],
    }));
    let native = format!("/api/v1/links/{}", text(&made, "id"));
    let path = path_of(&made);
    let seen = data(&client.get(&path), 200, "made natively");
    for (field, want) in [
        ("id", json!(format!("link_{}", text(&made, "id")))),
        ("shortCode", json!("both")),
        ("destinationUrl", json!("https://e.test/?a=1&utm_source=mail")),
        ("title", json!("T")),
        ("campaignId", json!("camp_c1")),
        ("clicksLimit", json!(9)),
        ("passwordProtected", json!(true)),
        ("tags", json!(["red"])),
    ] {
        assert_eq!(seen[field], want, "{field}");
    }
    let change = json!({
        "title": "T2", "clicksLimit": 10, "tags": ["blue", "red"], "enabled": false,
        "destinationUrl": "https://e.test/2", "expiresAt": "2030-01-01T00:00:00Z",
    });
    data(&client.patch(&path, &change), 200, "changed here");
    let now = admin.get(&native).expect(200, "read natively")["link"].clone();
    let mut want = made.clone();
    for (field, value) in [
        ("title", json!("T2")),
        ("maxClicks", json!(10)),
        ("isActive", json!(false)),
        ("url", json!("https://e.test/2?utm_source=mail")),
        ("expiresAt", json!("2030-01-01T00:00:00.000Z")),
        ("tags", now["tags"].clone()),
    ] {
        want[field] = value;
    }
    assert_eq!(now, want, "what this dialect cannot say stays as it is");
    let names: Vec<_> =
        now["tags"].as_array().expect("tags").iter().map(|t| text(&t["tag"], "name")).collect();
    assert_eq!((names, &now["tags"][1]["tag"]), (vec!["blue", "red"], &tag), "one made, one known");
    // In the other direction.
    admin.patch(&native, &json!({"isActive": true, "title": null})).expect(200, "changed natively");
    let seen = data(&client.get(&path), 200, "changed natively");
    assert_eq!((&seen["enabled"], &seen["title"]), (&json!(true), &Value::Null));
    data(&client.delete(&path), 200, "deleted here");
    admin.get(&native).refuses(404, "link not found", "deleted here");
    let made = make(&mut client, &json!({"destinationUrl": "https://e.test/3", "shortCode": "back"}));
    let id = text(&made, "id").strip_prefix("link_").expect("the kind").to_owned();
    let native = format!("/api/v1/links/{id}");
    assert_eq!(admin.get(&native).expect(200, "made here")["link"]["url"], "https://e.test/3");
    admin.delete(&native).expect(200, "deleted natively");
    refuses(&client.delete(&path_of(&made)), 404, "ALREADY_DELETED", "Link is already deleted", "natively");
}

#[test]
fn tags_and_campaigns_are_those_of_the_links_workspace() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.post("/api/v1/workspaces", &json!({"name": "W", "id": "other"})).expect(201, "a workspace");
    let mut there = vendor(&app).with("X-Workspace-Id", "other");
    data(&there.post(CAMPAIGNS, &json!({"name": "Theirs", "id": "camp_t"})), 201, "theirs");
    let link = make(&mut there, &json!({"destinationUrl": "https://e.test/", "tags": ["red"]}));
    // An instance key that acts in the first workspace also reaches the other one.
    let mut client = vendor(&app);
    let body = json!({"destinationUrl": "https://e.test/", "campaignId": "camp_t"});
    let why = "campaignId: is not a campaign of this workspace";
    refuses(&client.post(LINKS, &body), 400, "VALIDATION_ERROR", why, "another workspace's");
    let change = json!({"tags": ["blue"], "campaignId": "t"});
    let changed = data(&client.patch(&path_of(&link), &change), 200, "from elsewhere");
    assert_eq!((&changed["tags"], &changed["campaignId"]), (&json!(["blue"]), &json!("camp_t")));
    let names = |client: &mut Client| {
        let tags = client.get("/api/v1/tags").expect(200, "tags")["tags"].clone();
        tags.as_array().expect("tags").iter().map(|tag| text(tag, "name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names(&mut there), names(&mut client)), (vec!["blue".to_owned(), "red".to_owned()], vec![]));
    let named = json!({"destinationUrl": "https://e.test/", "workspaceId": "other", "campaignId": "camp_t"});
    make(&mut client, &named);
    let list = client.get("/api/links?workspaceId=other").expect(200, "theirs");
    assert_eq!(list["pagination"]["total"], 2);
}

#[test]
fn parallel_requests_with_a_new_tag_create_one_tag() {
    let app = TestApp::start();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = vendor(&app);
                make(&mut client, &json!({"destinationUrl": "https://e.test/", "tags": ["a", "b"]}));
            });
        }
    });
    let tags = app.admin().get("/api/v1/tags").expect(200, "tags")["tags"].clone();
    assert_eq!(tags.as_array().map(Vec::len), Some(2), "{tags}");
    let list = vendor(&app).get(LINKS).expect(200, "all");
    assert!(list["data"].as_array().expect("links").iter().all(|link| link["tags"] == json!(["a", "b"])));
}
