//! The native dialect over a real socket and a real store: each command once, each class of error once, keys,
//! workspaces and idempotency.

use serde_json::json;

use crate::support::native::{BAD_KEY, NO_KEY};
use crate::support::server::{KEY, Server, status};

fn start() -> Server {
    Server::start(|_| {})
}

#[test]
fn a_link_lives_and_dies() {
    let server = start();
    let made = server.api(
        "POST",
        "/api/v1/links/",
        r#"{"url":"https://example.com/landing?a=1","customSlug":"sale","utmSource":"email","title":"Sale","redirectType":"301"}"#,
    );
    assert_eq!(made.status, 201, "{made:?}");
    let link = &made.json["link"];
    assert_eq!(link["url"], "https://example.com/landing?a=1&utm_source=email");
    assert_eq!(link["shortUrl"], "http://localhost:8080/sale");
    for (key, want) in [
        ("shortCode", json!("sale")),
        ("domain", json!("localhost")),
        ("linkType", json!("URL")),
        ("redirectType", json!("PERMANENT_301")),
        ("clickCount", json!(0)),
        ("password", json!(null)),
        ("rules", json!([])),
        ("tags", json!([])),
        ("createdBy", json!(null)),
        ("webhookUrls", json!(null)),
        ("hideReferrer", json!(false)),
    ] {
        assert_eq!(link[key], want, "{key}");
    }
    for part in [
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "content-type: application/json; charset=utf-8",
    ] {
        assert!(made.head.contains(part), "{part} in {}", made.head);
    }
    let id = link["id"].as_str().expect("an id").to_owned();
    let click = server.raw("GET /sale HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&click), 301);
    assert!(click.contains("location: https://example.com/landing?a=1&utm_source=email\r\n"), "{click}");
    let path = format!("/api/v1/links/{id}");
    let shown = server.api("GET", &path, "");
    assert_eq!((shown.status, &shown.json["link"]["clickCount"]), (200, &json!(1)));

    let change = r#"{"url":"https://example.org/","title":null,"customSlug":"sale","linkType":"URL","domain":"localhost"}"#;
    let changed = server.api("PATCH", &path, change);
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json["link"]["url"], "https://example.org/?utm_source=email");
    assert_eq!(changed.json["link"]["title"], json!(null));
    for (body, rule) in [
        (r#"{"domain":"x.test"}"#, "domain: is not a domain of this workspace"),
        (r#"{"linkType":"TEL"}"#, "linkType: cannot be changed"),
    ] {
        let refused = server.api("PATCH", &path, body);
        assert_eq!(refused.error(), (422, rule));
    }
    let list = server.api("GET", "/api/v1/links?limit=1", "");
    assert_eq!((list.json["total"].as_u64(), list.json["totalPages"].as_u64()), (Some(1), Some(1)));
    assert_eq!(list.json["links"][0]["id"], json!(id));
    assert_eq!(list.json["nextCursor"], json!(null));

    assert_eq!(server.api("DELETE", &path, "").json, json!({"success": true}));
    assert_eq!(server.api("GET", &path, "").error(), (404, "link not found"));
    assert_eq!(
        status(&server.raw("GET /sale HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")),
        404
    );
    server.stop();
}

#[test]
fn refusals() {
    let server = start();
    let path = "/api/v1/links";
    assert_eq!(server.api("POST", path, r#"{"url":"https://e.test/","customSlug":"a"}"#).status, 201);
    let rows = [
        (
            r#"{"url":"https://e.test/","customSlug":"a"}"#,
            409,
            "customSlug: \"a\" is already in use on this domain",
        ),
        (r#"{"url":"https://e.test/","domain":"no.test"}"#, 422, ""),
        (r#"{"url":"javascript:alert(1)"}"#, 422, ""),
        (
            r#"{"url":"https://e.test/","maxClicks":0}"#,
            422,
            "maxClicks: must be a whole number, at least 1, or null for no limit",
        ),
        (r#"{"url":"https://e.test/","workspaceId":"other"}"#, 404, "workspace not found"),
        (r"{", 400, ""),
    ];
    for (body, code, error) in rows {
        let refused = server.api("POST", path, body);
        assert_eq!(refused.error().0, code, "{body}: {refused:?}");
        assert!(error.is_empty() || refused.error().1 == error, "{body}: {refused:?}");
    }
    let rows = [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api", 404),
        ("PUT", "/api/v1/links", 405),
        ("TRACE", "/api/v1/links", 405),
    ];
    for (method, target, code) in rows {
        assert_eq!(server.api(method, target, "").error().0, code, "{method} {target}");
    }
    assert!(server.api("PUT", path, "").head.contains("allow: post, get, head"));
    server.stop();
}

#[test]
fn keys_have_a_reach_and_scopes() {
    let server = start();
    for headers in [
        String::new(),
        "Authorization: Bearer nope\r\n".to_owned(),
        format!("Authorization: Bearer {KEY}\r\nX-API-Key: nope\r\n"),
        format!("Authorization: Bearer {KEY}\r\nAuthorization: Bearer {KEY}\r\n"),
        format!("Authorization: Bearer  {KEY}\r\n"),
        format!("Authorization: Bearer {}\r\n", KEY.to_ascii_uppercase()),
    ] {
        let refused = server.api_with("GET", "/api/v1/links", &headers, "");
        let want = if headers.is_empty() { NO_KEY } else { BAD_KEY };
        assert_eq!(refused.error(), (401, want), "{headers}");
        assert!(refused.head.contains("www-authenticate: bearer"));
    }
    let secret = |body: &str| {
        let made = server.api("POST", "/api/v1/keys", body);
        assert_eq!(made.status, 201, "{made:?}");
        made.json["key"]["secret"].as_str().expect("told once").to_owned()
    };
    let as_key = |secret: &str, method: &str, path: &str, body: &str| {
        server.api_with(method, path, &format!("X-API-Key: {secret}\r\n"), body)
    };
    let url = r#"{"url":"https://e.test/"}"#;
    let reader = secret(r#"{"name":"r","scopes":["links.readonly"]}"#);
    assert_eq!(as_key(&reader, "GET", "/api/v1/links", "").status, 200);
    let lacks = (403, "this key lacks the scope links.write");
    assert_eq!(as_key(&reader, "POST", "/api/v1/links", url).error(), lacks);
    let form = secret(r#"{"name":"f","scopes":["links.write"],"createOnly":true}"#);
    assert_eq!(as_key(&form, "POST", "/api/v1/links", url).status, 201);
    let only = (403, "this key may only create links");
    assert_eq!(as_key(&form, "GET", "/api/v1/links", "").error(), only);
    let all = server.api("GET", "/api/v1/keys", "");
    assert!(all.json["keys"].as_array().is_some_and(|keys| keys.len() == 2), "{all:?}");
    assert!(!all.json.to_string().contains(&form) && !all.json.to_string().contains("\"secret\""));
    let id = all.json["keys"][0]["id"].as_str().expect("an id");
    assert_eq!(server.api("DELETE", &format!("/api/v1/keys/{id}"), "").status, 200);
    assert_eq!(as_key(&form, "POST", "/api/v1/links", url).error(), (401, BAD_KEY));
    server.stop();
}

#[test]
fn tags_domains_and_workspaces_are_created_and_changed() {
    let server = start();
    let tag = server.api("POST", "/api/v1/tags", r##"{"name":"t","color":"#00ff00"}"##);
    assert_eq!(tag.status, 201, "{tag:?}");
    let id = tag.json["tag"]["id"].as_str().expect("an id");
    let link =
        server.api("POST", "/api/v1/links", &format!(r#"{{"url":"https://e.test/","tagIds":["{id}"]}}"#));
    assert_eq!(link.json["link"]["tags"][0]["tag"]["color"], "#00ff00", "{link:?}");
    let renamed = server.api("PATCH", &format!("/api/v1/tags/{id}"), r#"{"name":"u"}"#);
    assert_eq!(renamed.json["tag"]["name"], "u");

    let domain = server.api("POST", "/api/v1/domains", r#"{"domain":"go.test","rootUrl":"https://e.test/"}"#);
    assert_eq!((domain.status, &domain.json["domain"]["status"]), (201, &json!("ACTIVE")), "{domain:?}");
    let workspaces = server.api("GET", "/api/v1/workspaces", "");
    let workspace = workspaces.json["workspaces"][0]["id"].as_str().expect("one workspace");
    let path = format!("/api/v1/workspaces/{workspace}");
    let changed =
        server.api("PATCH", &path, r#"{"defaultDomain":"GO.test","customValues":{"a":"b"},"credits":5}"#);
    assert_eq!(changed.json["workspace"]["defaultDomain"], "go.test", "{changed:?}");
    let unknown = server.api("PATCH", &path, r#"{"defaultDomain":"no.test"}"#);
    assert_eq!(unknown.error(), (422, "defaultDomain: is not a domain of this workspace"));
    let link = server.api("POST", "/api/v1/links", r#"{"url":"https://e.test/"}"#);
    assert_eq!(link.json["link"]["domain"], "go.test", "{link:?}");

    let company = server.api(
        "POST",
        "/api/v1/companies",
        r#"{"name":"C","id":"comp_1","relationshipNumber":"0-128-926"}"#,
    );
    assert_eq!(company.json["company"]["id"], "comp_1", "{company:?}");
    let other = server.api("POST", "/api/v1/workspaces", r#"{"name":"W","id":"loc_1","companyId":"comp_1"}"#);
    assert_eq!(other.json["workspace"]["companyId"], "comp_1", "{other:?}");
    let there = server.api_with(
        "GET",
        "/api/v1/links",
        &format!("Authorization: Bearer {KEY}\r\nX-Workspace-Id: loc_1\r\n"),
        "",
    );
    assert_eq!(there.json["total"], 0, "{there:?}");
    server.stop();
}

#[test]
fn bulk_answers_each_row() {
    let server = start();
    let body = r#"{"links":[{"url":"https://a.test/"},{"url":7},{"url":"https://b.test/","customSlug":"x"},{"url":"https://c.test/","customSlug":"x"}]}"#;
    let made = server.api("POST", "/api/v1/links/bulk", body);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(
        (&made.json["created"], &made.json["activeCount"], &made.json["pendingCount"]),
        (&json!(2), &json!(2), &json!(0))
    );
    let rows: Vec<_> =
        made.json["failed"].as_array().expect("rows").iter().map(|row| row["row"].clone()).collect();
    assert_eq!(rows, [json!(1), json!(3)], "{made:?}");
    assert_eq!(made.json["failed"][0]["reason"], "url: must be a string");
    assert_eq!(made.json["links"][1]["shortCode"], "x");
    assert_eq!(made.json["links"][1]["pendingVerification"], json!(false));
    let body = r#"{"atomic":true,"links":[{"url":"https://a.test/","customSlug":"y"},{"url":7}]}"#;
    assert_eq!(server.api("POST", "/api/v1/links/bulk", body).error().0, 422);
    assert_eq!(server.api("GET", "/api/v1/links", "").json["total"], 2);
    server.stop();
}

#[test]
fn a_repeated_post_is_executed_once() {
    let server = start();
    let post = |path: &str, key: &str, body: &str| {
        let headers = format!("Authorization: Bearer {KEY}\r\nIdempotency-Key: {key}\r\n");
        server.api_with("POST", path, &headers, body)
    };
    let first = post("/api/v1/links", "k1", r#"{"url":"https://e.test/"}"#);
    let again = post("/api/v1/links/", "k1", r#"{"url":"https://e.test/"}"#);
    assert_eq!((first.status, again.status), (201, 201), "{again:?}");
    assert_eq!(first.json["link"]["id"], again.json["link"]["id"]);
    let other = post("/api/v1/links", "k1", r#"{"url":"https://f.test/"}"#);
    assert_eq!(other.error(), (422, "Idempotency-Key: was used before with another request body"));
    let bad = post("/api/v1/links", "a b", r#"{"url":"https://e.test/"}"#);
    assert_eq!(bad.error(), (400, "Idempotency-Key: must be 1 to 255 visible ASCII characters"));

    let key = r#"{"name":"k","scopes":["links.write"]}"#;
    assert!(post("/api/v1/keys", "k2", key).json["key"]["secret"].is_string());
    let again = post("/api/v1/keys", "k2", key);
    assert_eq!((again.status, again.json["key"]["secret"].is_string()), (201, false), "{again:?}");

    let ids: Vec<_> = std::thread::scope(|scope| {
        let twins: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| post("/api/v1/links", "k3", r#"{"url":"https://e.test/"}"#)))
            .collect();
        twins.into_iter().map(|twin| twin.join().expect("answered").json["link"]["id"].clone()).collect()
    });
    assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(server.api("GET", "/api/v1/links", "").json["total"], 2);
    server.stop();
}
