//! Manners of the JSON APIs: answers end in a newline, links have a path by code, and unknown fields are named.

use serde_json::{Value, json};

use crate::support::app::{KEY, TestApp};
use crate::support::http::{Client, text};
use crate::support::native::{LINKS, new_key, path_of};

/// A shell shows its prompt on a line of its own, whatever the answer is.
#[test]
fn n14_every_answer_ends_in_one_newline() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let one = path_of(&link);
    let list = format!("/links/?locationId={}", text(&link, "workspaceId"));
    let big = format!("{{\"url\":\"{}\"}}", "x".repeat(70_000));
    let rows: Vec<(&str, &str, Option<&str>, u16)> = vec![
        ("GET", "/api/v1/links", None, 200),
        ("GET", &one, None, 200),
        ("POST", "/api/v1/links", Some(r#"{"url":"https://e.test/"}"#), 201),
        ("POST", "/api/v1/links", Some("{"), 400),
        ("POST", "/api/v1/links", Some(r#"{"url":"x:"}"#), 422),
        ("POST", "/api/v1/links", Some(r#"{"url":"https://e.test/","customSlug":"a"}"#), 409),
        ("POST", "/api/v1/links", Some(&big), 413),
        ("POST", "/api/v1/links/bulk", Some(r#"{"links":[{"url":"https://e.test/"}]}"#), 201),
        ("PATCH", &one, Some(r#"{"title":"t"}"#), 200),
        ("PUT", &one, None, 405),
        ("GET", "/api/v1/nothing", None, 404),
        ("GET", "/api/nothing", None, 404),
        ("GET", "/api/links", None, 200),
        ("POST", "/api/links", Some(r#"{"destinationUrl":"https://e.test/"}"#), 201),
        ("POST", "/api/links", Some("{}"), 400),
        ("GET", "/api/links/nothing", None, 404),
        ("GET", "/links/", None, 400),
        ("GET", &list, None, 200),
        ("GET", "/links/nothing", None, 404),
        ("DELETE", "/snapshots/", None, 404),
        ("GET", "/api/openapi.json", None, 200),
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 200),
        ("DELETE", &one, None, 200),
    ];
    for (method, path, body, status) in rows {
        let row = format!("{method} {path} {}", body.map_or("", |body| &body[..body.len().min(60)]));
        let answer = app.admin().send(method, path, &[], body.map(str::as_bytes));
        // Some rows differ between dialects in the status; all of them are JSON.
        assert!(answer.status == status || path.contains("snapshots"), "{row}: {answer:?}");
        answer.json();
        assert!(answer.body.ends_with(b"\n") && !answer.body.ends_with(b"\n\n"), "{row}: {answer:?}");
        let length = answer.body.len().to_string();
        let is_whole = answer.header("content-length").is_none_or(|value| value == length);
        assert!(is_whole, "{row}: {answer:?}");
    }
    let stranger = app.visitor().get(LINKS);
    assert!(stranger.status == 401 && stranger.body.ends_with(b"}\n"), "{stranger:?}");
}

/// Long lists are streams, which end in a newline as well.
#[test]
fn n14_a_streamed_list_ends_in_a_newline() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = vec![json!({"url": "https://e.test/"}); 100];
    admin.post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "a bulk");
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "the workspace");
    let answer = admin.get(&format!("/links/?locationId={}", text(&workspaces["workspaces"][0], "id")));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{:?}", answer.headers);
    assert_eq!(answer.json()["links"].as_array().map(Vec::len), Some(100));
}

fn by_code(code: &str) -> String {
    format!("{LINKS}/by-code/{code}")
}

#[test]
fn n14_a_link_has_a_path_by_code() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.post("/api/v1/domains", &json!({"domain": "other.test"})).expect(201, "a domain");
    let made = |admin: &mut Client, body: Value| text(&admin.create(&body), "id").to_owned();
    let plain = made(&mut admin, json!({"url": "https://e.test/1", "customSlug": "spring"}));
    let other =
        made(&mut admin, json!({"url": "https://e.test/2", "customSlug": "spring", "domain": "other.test"}));
    let umlaut = made(&mut admin, json!({"url": "https://e.test/3", "customSlug": "grün"}));
    let word = made(&mut admin, json!({"url": "https://e.test/4", "customSlug": "explain"}));
    let rows = [
        ("spring".to_owned(), Ok(&plain)),
        ("spring/".to_owned(), Ok(&plain)),
        ("s%70ring".to_owned(), Ok(&plain)),
        ("spring?domain=go.test".to_owned(), Ok(&plain)),
        ("spring?domain=other.test".to_owned(), Ok(&other)),
        ("spring?domain=OTHER.test.".to_owned(), Ok(&other)),
        ("gr%C3%BCn".to_owned(), Ok(&umlaut)),
        // Decomposed, as macOS types it.
        ("gru%CC%88n".to_owned(), Ok(&umlaut)),
        ("explain".to_owned(), Ok(&word)),
        ("nothing".to_owned(), Err((404, "link not found"))),
        ("grün%FF".replace('ü', "u"), Err((404, "link not found"))),
        ("explain?domain=other.test".to_owned(), Err((404, "link not found"))),
        ("spring?domain=none.test".to_owned(), Err((422, "domain: is not a domain of this workspace"))),
        ("spring?domain=a.test&domain=b.test".to_owned(), Err((400, "domain: must be given once"))),
        // No id is a code.
        (plain.clone(), Err((404, "link not found"))),
    ];
    for (code, want) in &rows {
        let answer = admin.get(&by_code(code));
        match want {
            Ok(id) => assert_eq!(text(&answer.expect(200, code)["link"], "id"), *id, "{code}"),
            Err((status, error)) => answer.refuses(*status, error, code),
        }
    }
    let changed =
        admin.patch(&by_code("spring?domain=other.test"), &json!({"title": "T", "customSlug": "spring"}));
    assert_eq!(changed.expect(200, "a change")["link"]["title"], "T");
    let refused = admin.patch(&by_code("spring"), &json!({"linkType": "TEL"}));
    refused.refuses(422, "linkType: cannot be changed", "another type");
    admin.patch(&by_code("spring"), &json!({"url": 1})).refuses(400, "url: must be a string", "a wrong type");
    assert_eq!(
        admin.delete(&by_code("spring?domain=other.test")).expect(200, "deleted"),
        json!({"success": true})
    );
    admin.delete(&by_code("spring?domain=other.test")).refuses(404, "link not found", "deleted before");
    assert_eq!(text(&admin.get(&by_code("spring")).expect(200, "the other one")["link"], "id"), plain);
    let wrong = admin.send("POST", &by_code("spring"), &[], Some(b"{}"));
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD, PATCH, DELETE")), "{wrong:?}");
}

/// What a link has below its id, it has below its code.
#[test]
fn explain_deliveries_and_lock_have_paths_by_code() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.post("/api/v1/domains", &json!({"domain": "other.test"})).expect(201, "a domain");
    admin.create(&json!({"url": "https://e.test/1", "customSlug": "a", "isActive": false}));
    let other = json!({"url": "https://e.test/2", "customSlug": "a", "domain": "other.test"});
    let id = text(&admin.create(&other), "id").to_owned();
    // The words of the paths are codes as well.
    admin.create(&json!({"url": "https://e.test/3", "customSlug": "deliveries"}));
    let explained = admin.get(&by_code("a/explain?domain=other.test")).expect(200, "explained");
    assert_eq!(explained["explain"]["location"], "https://e.test/2");
    let by_id = admin.get(&format!("{LINKS}/{id}/explain?at=2020-01-01")).expect(200, "by id");
    let at = admin.get(&by_code("a/explain?domain=other.test&at=2020-01-01")).expect(200, "in the past");
    assert_eq!(at, by_id);
    assert_eq!(admin.get(&by_code("a/explain")).expect(200, "the first one")["explain"]["status"], 404);
    let read = admin.get(&by_code("deliveries")).expect(200, "a code that is a word of a path");
    assert_eq!(read["link"]["url"], "https://e.test/3");
    let none = admin.get(&by_code("deliveries/deliveries")).expect(200, "its deliveries");
    assert_eq!(none, json!({"deliveries": []}));
    let unlocked = admin.delete(&by_code("a/password-lock?domain=other.test"));
    assert_eq!(unlocked.expect(200, "no lock"), json!({"success": true}));
    for path in ["none/explain", "none/deliveries", "a/deliveries/x"] {
        admin.get(&by_code(path)).expect(404, path);
    }
    admin.delete(&by_code("none/password-lock")).refuses(404, "link not found", "an unknown code");
    let reader = new_key(&mut admin, &json!({"scopes": ["links.readonly"]}));
    let mut reader = app.visitor().with_key(&reader);
    reader.get(&by_code("a/explain")).expect(200, "a reader explains");
    let lacks = "this key lacks the scope links.write";
    reader.delete(&by_code("a/password-lock")).refuses(403, lacks, "a reader unlocks nothing");
}

/// A list with a misspelt filter is the whole list: the answer names the parameter.
#[test]
fn unknown_parameters_are_ignored_and_named() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let rows = [
        ("?q=zzz", json!(["q: is no parameter of this request, and was ignored; did you mean search?"])),
        ("?tagid=x", json!(["tagid: is no parameter of this request, and was ignored; did you mean tagId?"])),
        ("?search=a&limit=1&page=1&sort=oldest&workspaceId=", Value::Null),
        ("", Value::Null),
    ];
    for (query, want) in rows {
        let list = admin.get(&format!("{LINKS}{query}")).expect(200, query);
        assert_eq!((&list["warnings"], &list["total"]), (&want, &json!(1)), "{query}");
    }
    let made = admin.post(&format!("{LINKS}?domian=b.test"), &json!({"url": "https://e.test/", "key": "k"}));
    let made = made.expect(201, "a create");
    assert_eq!(made["warnings"].as_array().map(Vec::len), Some(2), "{made}");
    // A test of a new link must not be green for a link without its rules.
    let draft = json!({"link": {"url": "https://e.test/", "customslug": "x", "rule": []}, "zzz": 1});
    let explained = admin.post("/api/v1/explain", &draft).expect(200, "an explanation");
    let ignored = "is no field of this request, and was ignored";
    let want = [
        format!("zzz: {ignored}"),
        format!("link.customslug: {ignored}; did you mean customSlug?"),
        format!("link.rule: {ignored}; did you mean rules?"),
    ];
    assert_eq!(explained["warnings"], json!(want));
    // Files of domains have requests of their own.
    let made = admin.post("/api/v1/domains", &json!({"domain": "own.test"})).expect(201, "a domain");
    let domain = format!("/api/v1/domains/{}", made["domain"]["id"].as_str().expect("an id"));
    let file = json!({"appleAppSiteAssociation": {"applinks": {}}});
    let changed = admin.patch(&domain, &file).expect(200, "ignored");
    let want = [format!("appleAppSiteAssociation: {ignored}; PUT .../apple-app-site-association sets it")];
    assert_eq!(changed["warnings"], json!(want));
    // Whole objects are sent back without a warning, and whole answers with one.
    let read = admin.get(&domain).json();
    assert_eq!(admin.patch(&domain, &read["domain"]).expect(200, "sent back")["warnings"], Value::Null);
    let want = [format!("domain: {ignored}; send what is within domain, as in an answer")];
    assert_eq!(admin.patch(&domain, &read).expect(200, "an answer")["warnings"], json!(want));
    // The shape of a vendor has no place for warnings.
    let vendor = app.visitor().with("X-API-Key", KEY).get("/api/links?q=zzz").expect(200, "a list");
    assert_eq!(vendor["warnings"], Value::Null);
}

/// The same rights as by id.
#[test]
fn n14_a_code_is_no_way_around_tenants_and_scopes() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let own = admin.create(&json!({"url": "https://e.test/", "customSlug": "own"}));
    let made = admin.post("/api/v1/workspaces", &json!({"name": "W", "id": "w2"})).expect(201, "a workspace");
    assert_eq!(made["workspace"]["id"], "w2");
    let foreign = new_key(&mut admin, &json!({"workspaceId": "w2"}));
    let reader = new_key(&mut admin, &json!({"scopes": ["links.readonly"]}));
    let creator = new_key(&mut admin, &json!({"createOnly": true}));
    let mut in_w2 = app.visitor().with_key(&foreign);
    let theirs = in_w2.create(&json!({"url": "https://e.test/", "customSlug": "theirs"}));
    for method in ["GET", "PATCH", "DELETE"] {
        let body: Option<&[u8]> = (method == "PATCH").then_some(b"{}");
        let path = by_code("own");
        app.visitor().with_key(&foreign).send(method, &path, &[], body).refuses(
            404,
            "link not found",
            method,
        );
        let by_id = app.visitor().with_key(&foreign).send(method, &path_of(&own), &[], body);
        by_id.refuses(404, "link not found", method);
        let created = app.visitor().with_key(&creator).send(method, &path, &[], body);
        created.refuses(403, "this key may only create links", method);
        let read = app.visitor().with_key(&reader).send(method, &path, &[], body);
        if method == "GET" {
            read.expect(200, method);
        } else {
            read.refuses(403, "this key lacks the scope links.write", method);
        }
    }
    // A key of the instance reaches both, as by id.
    assert_eq!(admin.get(&by_code("theirs")).expect(200, "theirs")["link"]["id"], theirs["id"]);
    admin.post("/api/v1/domains", &json!({"domain": "w2.test", "workspaceId": "w2"})).expect(201, "a domain");
    let there = in_w2.create(&json!({"url": "https://e.test/", "customSlug": "x", "domain": "w2.test"}));
    let found = admin.get(&by_code("x?domain=w2.test")).expect(200, "on a domain of another workspace");
    assert_eq!(found["link"]["id"], there["id"]);
    let hidden = app.visitor().with_key(&reader).get(&by_code("x?domain=w2.test"));
    hidden.refuses(422, "domain: is not a domain of this workspace", "the domain of a stranger");
}

fn warning(field: &str, meant: &str) -> String {
    let hint = if meant.is_empty() { String::new() } else { format!("; did you mean {meant}?") };
    format!("{field}: is no field of this request, and was ignored{hint}")
}

#[test]
fn n14_unknown_fields_are_named() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let (one, coded) = (path_of(&link), by_code("a"));
    let rows = [
        ("POST", LINKS, json!({"url": "https://e.test/"}), vec![]),
        ("POST", LINKS, json!({"url": "https://e.test/", "key": "x"}), vec![warning("key", "customSlug")]),
        ("POST", LINKS, json!({"url": "https://e.test/", "slug": "x"}), vec![warning("slug", "customSlug")]),
        (
            "POST",
            LINKS,
            json!({"url": "https://e.test/", "customslug": "x"}),
            vec![warning("customslug", "customSlug")],
        ),
        (
            "POST",
            LINKS,
            json!({"url": "https://e.test/", "shortCode": null}),
            vec![warning("shortCode", "customSlug")],
        ),
        ("POST", LINKS, json!({"url": "https://e.test/", "long_url": "x"}), vec![warning("long_url", "url")]),
        (
            "POST",
            LINKS,
            json!({"url": "https://e.test/", "expires_at": "2027-01-01", "zzz": {"a": 1}}),
            vec![warning("expires_at", "expiresAt"), warning("zzz", "")],
        ),
        // A key that is no name may be a secret.
        (
            "POST",
            LINKS,
            json!({"url": "https://e.test/", "wp_0123456789": 1}),
            vec!["1 more key is no field of this request, and was ignored".to_owned()],
        ),
        ("PATCH", &one, json!({"expiry": null}), vec![warning("expiry", "expiresAt")]),
        ("PATCH", &coded, json!({"Title": "t"}), vec![warning("Title", "title")]),
        // Only answers have these; without an id, nobody sends back a whole link.
        (
            "PATCH",
            &coded,
            json!({"shortCode": "b", "tags": ["t"], "clickCount": 0}),
            vec![
                format!("{}; a PATCH cannot change it", warning("clickCount", "")),
                warning("shortCode", "customSlug"),
                warning("tags", "tagIds"),
            ],
        ),
        (
            "POST",
            "/api/v1/links/bulk",
            json!({"atomc": true, "links": [{"url": "https://e.test/"}, {"url": "https://e.test/", "slug": "x"}, {"url": "https://e.test/", "slug": "y"}]}),
            vec![warning("atomc", "atomic"), warning("links[1].slug", "customSlug")],
        ),
        ("POST", "/api/v1/tags", json!({"name": "t", "colour": "#000000"}), vec![warning("colour", "color")]),
        (
            "POST",
            "/api/v1/keys",
            json!({"name": "k", "scopes": ["admin"], "kind": "instance"}),
            vec![warning("kind", "instance")],
        ),
        (
            "POST",
            "/api/v1/domains",
            json!({"domain": "d.test", "homeUrl": "https://e.test/"}),
            vec![warning("homeUrl", "rootUrl")],
        ),
        ("POST", "/api/v1/workspaces", json!({"name": "w", "credit": 1}), vec![warning("credit", "credits")]),
        ("POST", "/api/v1/companies", json!({"name": "c", "number": 1}), vec![warning("number", "")]),
        ("POST", "/api/v1/campaigns", json!({"name": "c", "title": 1}), vec![warning("title", "name")]),
        (
            "POST",
            "/api/v1/snapshots",
            json!({"name": "s", "withPasswords": 1}),
            vec![warning("withPasswords", "")],
        ),
    ];
    for (method, path, body, want) in rows {
        let row = format!("{method} {path} {body}");
        let answer = admin.send(method, path, &[], Some(body.to_string().as_bytes()));
        let shown = answer.expect(if method == "POST" { 201 } else { 200 }, &row);
        let warnings = shown.get("warnings").cloned().unwrap_or(json!([]));
        assert_eq!(warnings, json!(want), "{row}");
        assert!(!answer.text().contains("wp_0123456789"), "{row}");
    }
    // A whole object that is sent back has no unknown field.
    let whole = admin.get(&one).expect(200, "a link")["link"].clone();
    let again = admin.patch(&one, &whole).expect(200, "a whole link");
    assert_eq!(again.get("warnings"), None, "{again}");
    // Many keys give a short answer.
    let many: Vec<_> = (1..=60).map(|length| format!("\"q{}\":1", "x".repeat(length))).collect();
    let body = format!("{{\"url\":\"https://e.test/\",{}}}", many.join(","));
    let answer = admin.send("POST", LINKS, &[], Some(body.as_bytes()));
    assert_eq!(answer.expect(201, "many keys")["warnings"].as_array().map(Vec::len), Some(21));
    // A repetition has the same answer.
    let send = |admin: &mut Client| {
        let body = br#"{"url":"https://e.test/","slug":"x"}"#;
        admin.send("POST", LINKS, &[("Idempotency-Key", "w1")], Some(body)).text()
    };
    assert_eq!(send(&mut admin), send(&mut admin));
}

#[test]
fn n14_a_missing_field_is_found_under_another_name() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        (
            LINKS,
            r#"{"long_url":"https://e.test/"}"#,
            "url: is required; long_url is no field of this request",
        ),
        (
            LINKS,
            r#"{"destination":"https://e.test/"}"#,
            "url: is required; destination is no field of this request",
        ),
        (LINKS, r#"{"slug":"x"}"#, "url: is required"),
        (LINKS, "{}", "url: is required"),
        (
            "/api/v1/keys",
            r#"{"name":"n","scope":"admin"}"#,
            "scopes: is required; scope is no field of this request",
        ),
        ("/api/v1/tags", r#"{"title":"n"}"#, "name: is required; title is no field of this request"),
    ];
    for (path, body, error) in rows {
        admin.send("POST", path, &[], Some(body.as_bytes())).refuses(400, error, body);
    }
}

/// Every field that the description has for a request is known to the program.
#[test]
fn n14_described_fields_are_known() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let document = app.visitor().get("/api/openapi.json").expect(200, "the description");
    let link = admin.create(&json!({"url": "https://e.test/"}));
    let tag = admin.post("/api/v1/tags", &json!({"name": "t"})).expect(201, "a tag");
    let tag = format!("/api/v1/tags/{}", text(&tag["tag"], "id"));
    let rows = [
        ("POST", LINKS, "/api/v1/links", json!({"url": "https://e.test/"})),
        ("PATCH", &path_of(&link), "/api/v1/links/{id}", json!({})),
        ("POST", "/api/v1/keys", "/api/v1/keys", json!({"name": "n", "scopes": ["admin"]})),
        ("POST", "/api/v1/render", "/api/v1/render", json!({"text": "t"})),
        ("PATCH", &tag, "/api/v1/tags/{id}", json!({})),
        ("POST", "/api/v1/domains", "/api/v1/domains", json!({"domain": "x.test"})),
        ("POST", "/api/v1/workspaces", "/api/v1/workspaces", json!({"name": "n"})),
        ("POST", "/api/v1/companies", "/api/v1/companies", json!({"name": "n"})),
        ("POST", "/api/v1/campaigns", "/api/v1/campaigns", json!({"name": "n"})),
        ("POST", "/api/v1/snapshots", "/api/v1/snapshots", json!({"name": "n"})),
    ];
    for (method, path, template, body) in rows {
        let operation = &document["paths"][template][method.to_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let fields = properties(&document, schema);
        assert!(!fields.is_empty(), "{template}: {schema}");
        for field in fields {
            let mut body = body.clone();
            // A value of a wrong type, or one that is ignored: either way the field is known.
            body.as_object_mut().expect("an object").entry(&field).or_insert(Value::Null);
            let answer = admin.send(method, path, &[], Some(body.to_string().as_bytes()));
            assert!(!answer.text().contains("warnings"), "{method} {path} {body}: {}", answer.text());
        }
    }
}

/// Returns the names in a schema, references included.
fn properties(document: &Value, schema: &Value) -> Vec<String> {
    if let Some(target) = schema["$ref"].as_str() {
        return properties(document, document.pointer(&target[1..]).expect("a schema"));
    }
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let parts = schema["allOf"].as_array().into_iter().flatten();
    own.chain(parts.flat_map(|part| properties(document, part))).collect()
}
