//! The native API as an administrator meets it: keys and tenants, each field through its life,
//! each refusal with its sentence, lists, bulk.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{HOST, KEY, START, TestApp};
use crate::support::http::{Client, text};

const LINKS: &str = "/api/v1/links";

/// Makes a key and answers its secret.
#[track_caller]
fn key(admin: &mut Client, more: &Value) -> String {
    let mut body = json!({"name": "n", "scopes": ["links.write"]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    let made = admin.post("/api/v1/keys", &body).expect(201, &body.to_string());
    text(&made["key"], "secret").to_owned()
}

fn path_of(link: &Value) -> String {
    format!("{LINKS}/{}", text(link, "id"))
}

#[test]
fn t69_who_is_let_in() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut made = |more: Value| key(&mut admin, &more);
    let (other, revoked) = (made(json!({})), made(json!({"name": "revoked"})));
    let expiring = made(json!({"expiresAt": "2026-01-01T01:00:00Z"}));
    let keys = admin.get("/api/v1/keys").expect(200, "the keys");
    let gone =
        keys["keys"].as_array().expect("keys").iter().find(|key| key["name"] == "revoked").expect("it");
    admin.delete(&format!("/api/v1/keys/{}", text(gone, "id"))).expect(200, "revoked");
    app.advance(Duration::from_hours(2));
    let bearer = |key: &str| format!("Bearer {key}");
    let rows: Vec<(&str, Vec<(&str, String)>, bool)> = vec![
        ("the key", vec![("Authorization", bearer(KEY))], true),
        ("bearer in small letters", vec![("Authorization", format!("bearer {KEY}"))], true),
        ("X-API-Key", vec![("X-API-Key", KEY.to_owned())], true),
        (
            "the same twice, both ways",
            vec![("Authorization", bearer(KEY)), ("X-API-Key", KEY.to_owned())],
            true,
        ),
        ("no key", vec![], false),
        ("no key behind the word", vec![("Authorization", "Bearer".to_owned())], false),
        ("an empty key", vec![("Authorization", "Bearer ".to_owned())], false),
        ("two spaces", vec![("Authorization", format!("Bearer  {KEY}"))], false),
        ("a word behind it", vec![("Authorization", format!("Bearer {KEY} x"))], false),
        ("no scheme", vec![("Authorization", KEY.to_owned())], false),
        ("another scheme", vec![("Authorization", format!("Basic {KEY}"))], false),
        ("in another case", vec![("Authorization", bearer(&KEY.to_uppercase()))], false),
        ("cut short", vec![("Authorization", bearer(&KEY[..KEY.len() - 1]))], false),
        ("prolonged", vec![("Authorization", format!("Bearer {KEY}0"))], false),
        ("two lines", vec![("Authorization", bearer(KEY)), ("Authorization", bearer(KEY))], false),
        ("two keys", vec![("Authorization", bearer("wrong")), ("X-API-Key", KEY.to_owned())], false),
        ("two good keys", vec![("Authorization", bearer(KEY)), ("X-API-Key", other)], false),
        ("revoked", vec![("Authorization", bearer(&revoked))], false),
        ("expired", vec![("Authorization", bearer(&expiring))], false),
        ("10 KB", vec![("Authorization", bearer(&"k".repeat(10_000)))], false),
    ];
    let mut refusals = HashSet::new();
    for (row, headers, fits) in rows {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = app.visitor().send("GET", LINKS, &headers, None);
        assert_eq!(answer.status, if fits { 200 } else { 401 }, "{row}: {answer:?}");
        if !fits {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{row}");
            refusals.insert(answer.text());
        }
    }
    assert_eq!(refusals.len(), 1, "one text for all, so that nothing is learnt from it: {refusals:?}");
    let mut stranger = app.visitor();
    stranger.get(&format!("{LINKS}?key={KEY}&api_key={KEY}")).refuses(
        401,
        "missing or invalid API key",
        "a query",
    );
    // Before anything else is looked at.
    for (method, path) in
        [("POST", LINKS), ("PATCH", "/api/v1/links/x"), ("GET", "/api/v1/keys"), ("GET", "/metrics")]
    {
        let answer = stranger.send(method, path, &[], (method != "GET").then_some(b"{"));
        assert_eq!(answer.status, 401, "{method} {path}");
    }
}

#[test]
fn scopes_and_create_only() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.create(&json!({"url": "https://e.test/"}));
    let path = path_of(&made);
    let link = json!({"url": "https://e.test/"});
    // Per key: list, create, change, delete, keys.
    let rows = [
        (json!({"scopes": ["links.readonly"]}), [200, 403, 403, 403, 403]),
        (json!({"scopes": ["links.write"]}), [200, 201, 200, 200, 403]),
        (json!({"scopes": ["admin"]}), [403, 403, 403, 403, 200]),
        (json!({"scopes": ["snapshots.write"]}), [403, 403, 403, 403, 403]),
        (json!({"scopes": ["links.write"], "createOnly": true}), [403, 201, 403, 403, 403]),
        (json!({"scopes": ["links.readonly", "links.write", "admin"]}), [200, 201, 200, 200, 200]),
    ];
    for (more, want) in rows {
        let secret = key(&mut admin, &more);
        let mut client = app.visitor().with_key(&secret);
        let target = path_of(&admin.create(&link));
        let got = [
            client.get(LINKS).status,
            client.post(LINKS, &link).status,
            client.patch(&target, &json!({"title": "T"})).status,
            client.delete(&target).status,
            client.get("/api/v1/keys").status,
        ];
        assert_eq!(got, want, "{more}");
    }
    let secret = key(&mut admin, &json!({"scopes": ["links.readonly"]}));
    let mut client = app.visitor().with_key(&secret);
    client.post(LINKS, &link).refuses(403, "this key lacks the scope links.write", "a reader");
    let secret = key(&mut admin, &json!({"createOnly": true}));
    let mut client = app.visitor().with_key(&secret);
    client.get(&path).refuses(403, "this key may only create links", "a form");
    // Nobody gives what they do not have.
    let secret = key(&mut admin, &json!({"scopes": ["admin", "links.readonly"]}));
    let mut keeper = app.visitor().with_key(&secret);
    let more = json!({"name": "n", "scopes": ["links.write"]});
    let why = "a key cannot grant scopes that it does not have";
    keeper.post("/api/v1/keys", &more).refuses(403, why, "more than it may");
    let why = "a key cannot reach further than the key that makes it";
    for reach in
        [json!({"instance": true}), json!({"companyId": "unheard-of"}), json!({"workspaceId": "unheard-of"})]
    {
        let mut body = json!({"name": "n", "scopes": ["links.readonly"]});
        body.as_object_mut().expect("an object").extend(reach.as_object().expect("fields").clone());
        keeper.post("/api/v1/keys", &body).refuses(403, why, &reach.to_string());
    }
}

#[test]
fn one_tenant_sees_nothing_of_another() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let company = admin.post("/api/v1/companies", &json!({"name": "Other"})).expect(201, "a company");
    let company = text(&company["company"], "id").to_owned();
    let body = json!({"name": "Theirs", "companyId": company});
    let theirs = admin.post("/api/v1/workspaces", &body).expect(201, "a workspace")["workspace"].clone();
    assert_eq!(theirs["companyId"], *company);
    let theirs = text(&theirs, "id").to_owned();
    let scopes = json!(["links.write", "admin"]);
    let secret = key(&mut admin, &json!({"workspaceId": theirs, "scopes": scopes}));
    let mut they = app.visitor().with_key(&secret);
    let secret = key(&mut admin, &json!({"companyId": company, "scopes": scopes}));
    let mut above = app.visitor().with_key(&secret);

    // Ours, in the first workspace.
    let tag = admin.post("/api/v1/tags", &json!({"name": "ours"})).expect(201, "a tag")["tag"].clone();
    let domain =
        admin.post("/api/v1/domains", &json!({"domain": "ours.test"})).expect(201, "a domain")["domain"]
            .clone();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "ours", "tagIds": [tag["id"]]}));
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "all")["workspaces"].clone();
    let ours =
        workspaces.as_array().expect("workspaces").iter().find(|w| w["id"] != *theirs).expect("ours").clone();
    let keys = admin.get("/api/v1/keys").expect(200, "keys");
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2));
    let mine = key(&mut admin, &json!({"name": "mine"}));
    let listed = admin.get("/api/v1/keys").expect(200, "keys")["keys"].clone();
    let mine_id =
        listed.as_array().expect("keys").iter().find(|k| k["name"] == "mine").expect("it")["id"].clone();

    for (who, client) in [("workspace key", &mut they), ("company key", &mut above)] {
        let path = path_of(&link);
        client.get(&path).refuses(404, "link not found", who);
        client.patch(&path, &json!({"title": "stolen"})).refuses(404, "link not found", who);
        client.delete(&path).refuses(404, "link not found", who);
        let path = format!("/api/v1/tags/{}", text(&tag, "id"));
        client.patch(&path, &json!({"name": "stolen"})).refuses(404, "tag not found", who);
        client.delete(&path).refuses(404, "tag not found", who);
        let path = format!("/api/v1/domains/{}", text(&domain, "id"));
        client.get(&path).refuses(404, "domain not found", who);
        client.patch(&path, &json!({"rootUrl": "https://e.test/"})).refuses(404, "domain not found", who);
        client.delete(&path).refuses(404, "domain not found", who);
        let path = format!("/api/v1/workspaces/{}", text(&ours, "id"));
        client.get(&path).refuses(404, "workspace not found", who);
        client.patch(&path, &json!({"name": "stolen"})).refuses(404, "workspace not found", who);
        let id = mine_id.as_str().expect("an id");
        client.delete(&format!("/api/v1/keys/{id}")).refuses(404, "key not found", who);
        assert_eq!(client.get(LINKS).expect(200, who)["total"], 0, "{who}");
        assert_eq!(client.get("/api/v1/tags").expect(200, who)["tags"], json!([]), "{who}");
        let domains = client.get("/api/v1/domains").expect(200, who)["domains"].clone();
        assert!(!domains.to_string().contains("ours.test"), "{who}: {domains}");
        let seen = client.get("/api/v1/workspaces").expect(200, who)["workspaces"].clone();
        assert_eq!(seen.as_array().map(Vec::len), Some(1), "{who}: {seen}");
        let seen = client.get("/api/v1/companies").expect(200, who)["companies"].clone();
        assert_eq!(seen.as_array().map(Vec::len), Some(1), "{who}: {seen}");
        // Neither by naming our workspace, in whichever way.
        let id = text(&ours, "id");
        let answer = client.send("GET", LINKS, &[("X-Workspace-Id", id)], None);
        answer.refuses(404, "workspace not found", who);
        client.get(&format!("{LINKS}?workspaceId={id}")).refuses(404, "workspace not found", who);
        let body = json!({"url": "https://e.test/", "workspaceId": id});
        client.post(LINKS, &body).refuses(404, "workspace not found", who);
        client.get(&format!("{LINKS}?workspaceId=unheard-of")).refuses(404, "workspace not found", who);
        // Nor by using what is ours in a link of theirs.
        let body = json!({"url": "https://e.test/", "domain": "ours.test"});
        client.post(LINKS, &body).refuses(422, "domain: is not a domain of this workspace", who);
        let body = json!({"url": "https://e.test/", "tagIds": [tag["id"]]});
        let why = format!("tagIds: {} is not a tag of this workspace", text(&tag, "id"));
        client.post(LINKS, &body).refuses(422, &why, who);
        let why = "only an instance key may make companies";
        client.post("/api/v1/companies", &json!({"name": "C"})).refuses(403, why, who);
    }
    let why = "a workspace key cannot make workspaces";
    they.post("/api/v1/workspaces", &json!({"name": "W"})).refuses(403, why, "a workspace key");
    let mine_too = above.post("/api/v1/workspaces", &json!({"name": "W"})).expect(201, "a company key");
    assert_eq!(mine_too["workspace"]["companyId"], *company);
    // A code is a domain's, so a shared domain's is taken for all.
    let body = json!({"url": "https://evil.test/", "customSlug": "ours"});
    they.post(LINKS, &body).refuses(
        409,
        "customSlug: \"ours\" is already in use on this domain",
        "a taken code",
    );
    assert_eq!(admin.get(&path_of(&link)).expect(200, "untouched")["link"], link);
    app.visitor().with_key(&mine).get(LINKS).expect(200, "the key lives");
    // The instance key acts where it is told to.
    let body = json!({"url": "https://e.test/theirs", "workspaceId": theirs});
    let made = admin.post(LINKS, &body).expect(201, "for them")["link"].clone();
    assert_eq!(made["workspaceId"], *theirs);
    assert_eq!(they.get(LINKS).expect(200, "theirs")["total"], 1);
    they.get(&path_of(&made)).expect(200, "theirs");
    above.get(&path_of(&made)).expect(200, "theirs, from above");
}

/// A link with everything set.
fn full(tag: &Value) -> Value {
    json!({
        "url": "https://e.test/page?keep=1#part",
        "customSlug": "full",
        "title": "T",
        "description": "D",
        "image": "https://e.test/i.png",
        "redirectType": "PERMANENT_301",
        "linkType": "URL",
        "isActive": false,
        "cloaked": true,
        "password": "open sesame",
        "validSince": "2026-02-01T00:00:00+02:00",
        "expiresAt": "2027-01-01",
        "maxClicks": 100,
        "expiredUrl": "https://e.test/after",
        "tagIds": [tag["id"]],
        "forwardParameters": true,
        "forwardPath": true,
        "blockBots": true,
        "countBots": true,
        "utmSource": "s", "utmMedium": "m", "utmCampaign": "c d", "utmTerm": "t", "utmContent": "n",
        "metaPixelId": "123456789012345",
        "googleTagId": "G-ABC123XYZ",
        "webhookUrls": "https://h.test/1,https://h.test/2",
        "notes": "N",
    })
}

#[test]
fn every_field_is_kept_shown_changed_and_cleared() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let tag =
        admin.post("/api/v1/tags", &json!({"name": "red", "color": "#ff0000"})).expect(201, "tag")["tag"]
            .clone();
    let made = admin.create(&full(&tag));
    let id = text(&made, "id").to_owned();
    let workspace = made["workspaceId"].clone();
    assert_eq!(id.len(), 20);
    let url =
        "https://e.test/page?keep=1&utm_source=s&utm_medium=m&utm_campaign=c+d&utm_term=t&utm_content=n#part";
    let want = json!({
        "id": id, "shortCode": "full", "shortUrl": "http://go.test/full", "url": url,
        "title": "T", "domain": HOST, "linkType": "URL", "isActive": false, "clickCount": 0,
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
        "tags": [{"tag": tag}], "qrCode": null, "description": "D", "image": "https://e.test/i.png",
        "password": "********", "expiresAt": "2027-01-01T00:00:00.000Z", "maxClicks": 100, "cloaked": true,
        "redirectType": "PERMANENT_301", "workspaceId": workspace, "forwardParameters": true,
        "blockBots": true, "skipSocialCrawlerTracking": false, "hideReferrer": false,
        "metaPixelId": "123456789012345", "googleTagId": "G-ABC123XYZ", "gtmContainerId": null,
        "headTags": null, "bodyTags": null, "webhookUrls": "https://h.test/1,https://h.test/2", "rules": [],
        "createdBy": null, "validSince": "2026-01-31T22:00:00.000Z", "expiredUrl": "https://e.test/after",
        "forwardPath": true, "countBots": true, "campaignId": null, "notes": "N",
    });
    assert_eq!(made, want);
    app = app.restart();
    let mut admin = app.admin();
    let path = format!("{LINKS}/{id}");
    assert_eq!(admin.get(&path).expect(200, "read")["link"], want, "after a restart");
    // Sent back whole, it stays as it is.
    app.advance(Duration::from_secs(5));
    let same = admin.patch(&path, &want).expect(200, "sent back")["link"].clone();
    let mut stamped = want.clone();
    stamped["updatedAt"] = json!("2026-01-01T00:00:05.000Z");
    assert_eq!(same["password"], "********");
    assert_eq!(same, stamped, "sent back whole");

    let changes = [
        ("title", json!("T2")),
        ("description", json!("D2")),
        ("image", json!("https://e.test/2.png")),
        ("redirectType", json!("308")),
        ("isActive", json!(true)),
        ("cloaked", json!(false)),
        ("validSince", json!("2026-01-01T00:00:00.000Z")),
        ("expiresAt", json!("2028-01-01T00:00:00.000Z")),
        ("maxClicks", json!(7)),
        ("expiredUrl", json!("https://e.test/after2")),
        ("forwardParameters", json!(false)),
        ("forwardPath", json!(false)),
        ("blockBots", json!(false)),
        ("countBots", json!(false)),
        ("metaPixelId", json!("54321")),
        ("googleTagId", json!("AW-12345")),
        ("webhookUrls", json!("https://h.test/3")),
        ("notes", json!("N2")),
    ];
    for (field, value) in changes {
        let got = admin.patch(&path, &json!({field: value})).expect(200, field)["link"].clone();
        stamped[field] = value;
        assert_eq!(got, stamped, "{field} changed, and nothing else");
    }
    let got = admin.patch(&path, &json!({"url": "https://e.test/2"})).expect(200, "url")["link"].clone();
    let url = "https://e.test/2?utm_source=s&utm_medium=m&utm_campaign=c+d&utm_term=t&utm_content=n";
    assert_eq!(got["url"], url, "a new url keeps the UTM parameters");
    stamped["url"] = json!(url);
    for field in [
        "title",
        "description",
        "image",
        "password",
        "expiresAt",
        "validSince",
        "maxClicks",
        "expiredUrl",
        "metaPixelId",
        "googleTagId",
        "webhookUrls",
        "notes",
    ] {
        let got = admin.patch(&path, &json!({field: null})).expect(200, field)["link"].clone();
        stamped[field] = json!(null);
        assert_eq!(got, stamped, "{field} cleared, and nothing else");
    }
    let utm = json!({"utmSource": null, "utmMedium": null, "utmCampaign": null, "utmTerm": null, "utmContent": null});
    let got = admin.patch(&path, &utm).expect(200, "utm")["link"].clone();
    stamped["url"] = json!("https://e.test/2");
    assert_eq!(got, stamped, "UTM parameters cleared");
    let got = admin.patch(&path, &json!({"tagIds": []})).expect(200, "tags")["link"].clone();
    stamped["tags"] = json!([]);
    assert_eq!(got, stamped, "tags cleared");
    let got = admin.patch(&path, &json!({})).expect(200, "nothing")["link"].clone();
    assert_eq!(got, stamped, "an empty change");
    app = app.restart();
    assert_eq!(app.admin().get(&path).expect(200, "read")["link"], stamped, "after a restart");
    // What cannot change is said, and nothing is done.
    let mut admin = app.admin();
    for (field, value) in [("customSlug", "other"), ("domain", "other.test"), ("linkType", "TEL")] {
        let body = json!({field: value, "title": "not done"});
        admin.patch(&path, &body).refuses(422, &format!("{field}: cannot be changed"), field);
    }
    assert_eq!(admin.get(&path).expect(200, "read")["link"], stamped, "after refusals");
}

#[test]
fn t72_nobody_writes_what_is_ours_to_write() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let foreign = json!({
        "id": "00000000000000000000", "clickCount": 9, "workspaceId": null, "createdAt": "2000-01-01T00:00:00Z",
        "updatedAt": "2000-01-01T00:00:00Z", "passwordHash": "x", "shortCode": "other", "shortUrl": "https://evil.test/",
        "createdBy": {"id": "x"}, "verified": false,
    });
    let mut body = foreign.clone();
    body["url"] = json!("https://e.test/");
    body["customSlug"] = json!("mine");
    let made = admin.create(&body);
    let check = |link: &Value, when: &str| {
        assert_eq!((&link["clickCount"], &link["shortCode"]), (&json!(0), &json!("mine")), "{when}");
        assert_eq!(
            (&link["createdAt"], &link["password"]),
            (&json!("2026-01-01T00:00:00.000Z"), &json!(null)),
            "{when}"
        );
        assert_ne!(link["id"], foreign["id"], "{when}");
        assert_eq!(link["shortUrl"], "http://go.test/mine", "{when}");
    };
    check(&made, "create");
    let patched = admin.patch(&path_of(&made), &foreign).expect(200, "a change")["link"].clone();
    check(&patched, "change");
    assert_eq!(patched["id"], made["id"]);
}

const SCHEMES: &str = "url: must use one of these schemes: http, https";
const CONTROL: &str = "url: must not contain control characters";
const ABSOLUTE: &str = "url: must be an absolute URL such as https://example.com/page";
const USER: &str = "url: must not contain a user name or password";
const STAMP: &str = "expiresAt: must be an ISO 8601 date and time such as 2026-12-31T23:59:59Z";
const COUNT: &str = "maxClicks: must be a whole number, at least 1, or null for no limit";
const CODE: &str = "customSlug: must consist of letters, digits, emoji and the characters - _ . ~";

/// Bodies of a create, with the status and the sentence that refuse them.
const REFUSALS: &[(&str, u16, &str)] = &[
    (r"{}", 400, "url: is required"),
    (r#"{"url": null}"#, 400, "url: must be a string"),
    (r#"{"url": 1}"#, 400, "url: must be a string"),
    (r#"{"url": ["https://e.test/"]}"#, 400, "url: must be a string"),
    (r#"{"url": "https://e.test/x", "title": 1}"#, 400, "title: must be a string"),
    (r#"{"url": "https://e.test/x", "isActive": "true"}"#, 400, "isActive: must be true or false"),
    (r#"{"url": "https://e.test/x", "tagIds": "x"}"#, 400, "tagIds: must be an array of strings"),
    (r#"{"url": "https://e.test/x", "workspaceId": 1}"#, 400, "workspaceId: must be a string"),
    (r#"{"url": ""}"#, 422, "url: must not be empty"),
    (r#"{"url": "javascript:alert(1)"}"#, 422, SCHEMES),
    (r#"{"url": "JaVaScRiPt:alert(1)"}"#, 422, SCHEMES),
    (r#"{"url": " javascript:alert(1)"}"#, 422, "url: must not begin or end with white space"),
    (r#"{"url": "java\tscript:alert(1)"}"#, 422, CONTROL),
    (r#"{"url": "\u0001javascript:alert(1)"}"#, 422, CONTROL),
    (r#"{"url": "data:text/html,<script>"}"#, 422, SCHEMES),
    (r#"{"url": "vbscript:x"}"#, 422, SCHEMES),
    (r#"{"url": "file:///etc/passwd"}"#, 422, SCHEMES),
    (r#"{"url": "blob:https://e.test/x"}"#, 422, SCHEMES),
    (r#"{"url": "view-source:https://e.test"}"#, 422, SCHEMES),
    (r#"{"url": "intent://x"}"#, 422, SCHEMES),
    (r#"{"url": "mailto:a@b.c"}"#, 422, SCHEMES),
    (r#"{"url": "//evil.test"}"#, 422, ABSOLUTE),
    (r#"{"url": "\\\\evil.test"}"#, 422, ABSOLUTE),
    (r#"{"url": "/x"}"#, 422, ABSOLUTE),
    (r#"{"url": "example.com"}"#, 422, ABSOLUTE),
    (r#"{"url": "https://"}"#, 422, "url: is not a valid URL: empty host"),
    (r#"{"url": "https://e.test/\r\nSet-Cookie: a=b"}"#, 422, CONTROL),
    (r#"{"url": "https://e.test/\u0000"}"#, 422, CONTROL),
    (r#"{"url": "https://good.test@evil.test/"}"#, 422, USER),
    (r#"{"url": "https://u:p@evil.test/"}"#, 422, USER),
    (
        r#"{"url": "http://go.test/self", "customSlug": "self"}"#,
        422,
        "url: must not lead back to this short link",
    ),
    (
        r#"{"url": "http://go.test./self", "customSlug": "self"}"#,
        422,
        "url: must not lead back to this short link",
    ),
    (r#"{"url": "https://e.test/x", "linkType": "FAX"}"#, 422, "linkType: must be URL, MAILTO, TEL or SMS"),
    (
        r#"{"url": "jane", "linkType": "MAILTO"}"#,
        422,
        "url: must be an e-mail address such as jane@example.com",
    ),
    (r#"{"url": "abc", "linkType": "TEL"}"#, 422, "url: must be a telephone number such as +49 30 1234"),
    (r#"{"url": "+4930", "linkType": "TEL", "cloaked": true}"#, 422, "cloaked: works only with linkType URL"),
    (
        r#"{"url": "https://e.test/x", "domain": "unheard-of.test"}"#,
        422,
        "domain: is not a domain of this workspace",
    ),
    (r#"{"url": "https://e.test/x", "customSlug": "api"}"#, 422, "customSlug: is a reserved word"),
    (
        r#"{"url": "https://e.test/x", "alias": ".."}"#,
        422,
        "alias: must not be \".\" or \"..\", which browsers remove from a URL",
    ),
    (r#"{"url": "https://e.test/x", "customSlug": "a/b"}"#, 422, CODE),
    (r#"{"url": "https://e.test/x", "customSlug": "a%2fb"}"#, 422, CODE),
    (r#"{"url": "https://e.test/x", "customSlug": "a b"}"#, 422, CODE),
    (r#"{"url": "https://e.test/x", "customSlug": "a\u200b"}"#, 422, CODE),
    (r#"{"url": "https://e.test/x", "customSlug": "\u202eabc"}"#, 422, CODE),
    (
        r#"{"url": "https://e.test/x", "customSlug": "there"}"#,
        409,
        "customSlug: \"there\" is already in use on this domain",
    ),
    (
        r#"{"url": "https://e.test/x", "redirectType": "303"}"#,
        422,
        "redirectType: must be PERMANENT_301, TEMPORARY_302, 301, 302, 307 or 308",
    ),
    (
        r#"{"url": "https://e.test/x", "title": "a\u0000b"}"#,
        422,
        "title: must not contain control characters",
    ),
    (r#"{"url": "https://e.test/x", "password": ""}"#, 422, "password: must not be empty"),
    (
        r#"{"url": "https://e.test/x", "password": "********"}"#,
        422,
        "password: must not be what is shown in its place",
    ),
    (r#"{"url": "https://e.test/x", "maxClicks": -1}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": 1.5}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": 1e20}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": "5"}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": true}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": 0}"#, 422, COUNT),
    (r#"{"url": "https://e.test/x", "expiresAt": "9999-12-31T23:59:60Z"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "0000-01-01"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "+010000-01-01T00:00:00Z"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "2024-02-30"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "2024-01-15T10:30:00+25:00"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "tomorrow"}"#, 422, STAMP),
    (
        r#"{"url": "https://e.test/x", "metaPixelId": "1');alert(1);//"}"#,
        422,
        "metaPixelId: must be 5 to 20 digits",
    ),
    (
        r#"{"url": "https://e.test/x", "googleTagId": "G-X\"></script>"}"#,
        422,
        "googleTagId: must be a tag id such as G-ABC123XYZ",
    ),
    (
        r#"{"url": "https://e.test/x", "webhookUrls": "https://a.test/,,https://b.test/"}"#,
        422,
        "webhookUrls: must not have an empty part",
    ),
    (
        r#"{"url": "https://e.test/x", "image": "javascript:alert(1)"}"#,
        422,
        "image: must use one of these schemes: http, https",
    ),
    (
        r#"{"url": "https://e.test/x", "expiredUrl": "nonsense"}"#,
        422,
        "expiredUrl: must be an absolute URL such as https://example.com/page",
    ),
    (r#"{"url": "https://e.test/x", "tagIds": ["x"]}"#, 422, "tagIds: \"x\" is not a tag's id"),
    (
        r#"{"url": "https://e.test/x", "tagIds": ["00000000000000000001"]}"#,
        422,
        "tagIds: 00000000000000000001 is not a tag of this workspace",
    ),
    (
        r#"{"url": "https://e.test/", "validSince": "2026-01-02", "expiresAt": "2026-01-01"}"#,
        422,
        "validSince: must be before expiresAt",
    ),
];

#[test]
fn t60_refusals_of_links_name_field_and_rule() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let before = admin.create(&json!({"url": "https://e.test/", "customSlug": "there"}));
    let with = |field: &str, value: Value| {
        let mut body = json!({"url": "https://e.test/x"});
        body[field] = value;
        body
    };
    let long_url = format!("https://e.test/{}", "x".repeat(8_192));
    let mut rows: Vec<(Value, u16, &str)> = vec![
        (with("expiresAt", json!(1_700_000_000_000_u64)), 400, "expiresAt: must be a string"),
        (json!({"url": long_url}), 422, "url: must be at most 8192 bytes"),
        (with("customSlug", json!("x".repeat(129))), 422, "customSlug: must be at most 128 characters"),
        (with("title", json!("x".repeat(501))), 422, "title: must be at most 500 characters"),
        (with("description", json!("x".repeat(2_001))), 422, "description: must be at most 2000 characters"),
        (with("notes", json!("x".repeat(4_001))), 422, "notes: must be at most 4000 characters"),
        (with("password", json!("x".repeat(1_025))), 422, "password: must be at most 1024 bytes"),
        (
            with("maxClicks", json!(9_007_199_254_740_993_u64)),
            422,
            "maxClicks: must be at most 9007199254740991",
        ),
        (with("maxClicks", json!(u64::MAX)), 422, "maxClicks: must be at most 9007199254740991"),
        (with("webhookUrls", json!(vec!["https://a.test/"; 6])), 422, "webhookUrls: must be at most 5 URLs"),
    ];
    let more = REFUSALS.iter().map(|(body, status, error)| {
        (serde_json::from_str(body).unwrap_or_else(|why| panic!("{body}: {why}")), *status, *error)
    });
    rows.extend(more);
    for (body, status, error) in &rows {
        admin.post(LINKS, body).refuses(*status, error, &body.to_string());
        if body.get("url").is_some_and(Value::is_string)
            && ["customSlug", "alias", "domain", "linkType"].iter().all(|field| body.get(*field).is_none())
            && body["password"] != "********"
        {
            admin.patch(&path_of(&before), body).refuses(*status, error, &format!("PATCH {body}"));
        }
    }
    let list = admin.get(LINKS).expect(200, "the list");
    assert_eq!(list["total"], 1, "nothing was made");
    assert_eq!(admin.get(&path_of(&before)).expect(200, "read")["link"], before, "nothing was changed");
}

#[test]
fn t48_loops_among_our_own_links_are_refused() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let why = "url: must not lead back to this short link";
    let first = admin.create(&json!({"url": "http://go.test/b", "customSlug": "a"}));
    admin.post(LINKS, &json!({"url": "http://go.test/a", "customSlug": "b"})).refuses(
        422,
        why,
        "a to b to a",
    );
    admin.create(&json!({"url": "https://e.test/", "customSlug": "b"}));
    let path = path_of(&admin.create(&json!({"url": "http://go.test/a", "customSlug": "c"})));
    admin.patch(&path, &json!({"url": "http://GO.test:80/%63"})).refuses(422, why, "another spelling");
    admin.patch(&path_of(&first), &json!({"url": "http://go.test/c?x#y"})).refuses(422, why, "a to c to a");
    admin.patch(&path, &json!({"url": "http://go.test/a"})).expect(200, "a chain that ends");
    admin.create(&json!({"url": "http://go.test/nobody"}));
}

#[test]
fn requests_that_cannot_be_read() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let deep = "[".repeat(30_000);
    let rows: Vec<(&[u8], u16, &str)> = vec![
        (b"", 400, "the body is not valid JSON: EOF while parsing a value at line 1 column 0"),
        (b"{", 400, "the body is not valid JSON"),
        (b"null", 400, "the body must be a JSON object"),
        (b"[]", 400, "the body must be a JSON object"),
        (b"\"x\"", 400, "the body must be a JSON object"),
        (br#"{"url":"https://e.test/"}}"#, 400, "the body is not valid JSON: trailing characters"),
        (
            br#"{"url":"https://a.test/","url":"https://b.test/"}"#,
            400,
            "the body is not valid JSON: an object has two equal keys",
        ),
        (
            br#"{"url":"https://e.test/","maxClicks":1e400}"#,
            400,
            "the body is not valid JSON: number out of range",
        ),
        (br#"{"url":"https://e.test/","title":"\ud800"}"#, 400, "the body is not valid JSON"),
        (b"{\"url\":\"https://e.test/\xff\"}", 400, "the body is not valid JSON"),
        (b"\xef\xbb\xbf{}", 400, "the body is not valid JSON"),
        (b"{\0\"\0", 400, "the body is not valid JSON"),
        (deep.as_bytes(), 400, "the body is not valid JSON: recursion limit"),
    ];
    for (body, status, error) in rows {
        let row = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = admin.send("POST", LINKS, &[], Some(body));
        let got = answer.expect(status, &row)["error"].clone();
        assert!(got.as_str().is_some_and(|got| got.starts_with(error)), "{row}: {got}");
    }
    let big = format!(r#"{{"url":"https://e.test/","notes":"{}"}}"#, "x".repeat(70_000));
    let answer = admin.send("POST", LINKS, &[], Some(big.as_bytes()));
    answer.refuses(413, "the body must be at most 65536 bytes", "70 KB");
    let gzip = [("Content-Encoding", "gzip")];
    let answer = admin.send("POST", LINKS, &gzip, Some(b"\x1f\x8b"));
    answer.refuses(415, "the body must not have a Content-Encoding", "gzip");
    let rows = [
        ("PUT", LINKS, "POST, GET, HEAD"),
        ("DELETE", LINKS, "POST, GET, HEAD"),
        ("POST", "/api/v1/links/0N88zgftjJ3fB4fM5UJ4", "GET, HEAD, PATCH, DELETE"),
        ("PATCH", "/api/v1/keys", "GET, HEAD, POST"),
        ("OPTIONS", "/api/v1/tags", "GET, HEAD, POST"),
    ];
    for (method, path, allow) in rows {
        let answer = admin.send(method, path, &[], None);
        answer.refuses(405, "the method is not allowed here; see the Allow header", path);
        let got: HashSet<&str> = answer.header("allow").unwrap_or("").split(", ").collect();
        assert_eq!(got, allow.split(", ").collect(), "{method} {path}");
    }
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v2/links",
        "/api/v1/nonsense",
        "/api/v1/links/a/b",
        "/api/v1//links",
    ] {
        admin.get(path).refuses(404, "there is no such endpoint", path);
    }
    for path in ["/api/v1/links/x", "/api/v1/links/00000000000000000000", "/api/v1/links/%00"] {
        admin.get(path).refuses(404, "link not found", path);
    }
    // Bodies of GET and DELETE are not looked at; a slash at the end changes nothing.
    let made = admin.create(&json!({"url": "https://e.test/"}));
    let json_type = [("Content-Type", "application/json")];
    assert_eq!(admin.send("GET", LINKS, &json_type, Some(b"nonsense")).status, 200);
    assert_eq!(admin.get(&format!("{LINKS}/")).status, 200);
    assert_eq!(admin.get(&format!("{}/", path_of(&made))).status, 200);
    let answer = admin.send("DELETE", &path_of(&made), &json_type, Some(b"{nonsense"));
    assert_eq!(answer.expect(200, "deleted"), json!({"success": true}));
    admin.delete(&path_of(&made)).refuses(404, "link not found", "deleted twice");
    // Other sites' pages have no business here.
    let answer = admin.send("GET", LINKS, &[("Origin", "https://evil.test")], None);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("server"), None);
    let body = json!({"url": "https://e.test/"}).to_string();
    let aliases = ["customSlug", "alias"].map(|field| json!({"url": "https://e.test/", field: field}));
    assert_eq!(admin.create(&aliases[0])["shortCode"], "customSlug");
    assert_eq!(admin.create(&aliases[1])["shortCode"], "alias");
    let answer = admin.send("POST", &format!("{LINKS}/"), &[], Some(body.as_bytes()));
    assert_eq!(text(&answer.expect(201, "a slash")["link"], "shortCode").len(), 7);
}

#[test]
fn t75_lists_filter_sort_and_page() {
    let app = TestApp::start();
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
    // c5 is not active, so its clicks do not count; c8 and c6 do.
    for (code, clicks) in [("c8", 2), ("c6", 4)] {
        for _ in 0..clicks {
            app.visitor().get(&format!("/{code}"));
        }
    }
    let tag = tag.as_str().expect("an id");
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
    let codes = |list: &Value| -> String {
        let links = list["links"].as_array().expect("links");
        links.iter().map(|link| text(link, "shortCode").trim_start_matches('c').to_owned()).collect()
    };
    for (query, want, total) in &rows {
        let list = admin.get(&format!("{LINKS}?{query}")).expect(200, query);
        // Links without clicks or titles keep the newest first.
        assert_eq!((codes(&list).as_str(), &list["total"]), (*want, &json!(total)), "{query}");
    }
    let list = admin.get(&format!("{LINKS}?limit=4&page=2")).expect(200, "its frame");
    assert_eq!((&list["page"], &list["limit"], &list["totalPages"]), (&json!(2), &json!(4), &json!(3)));
    assert_eq!(admin.get(LINKS).expect(200, "default")["limit"], 20);
    // Cursors see each link once, though others come and go meanwhile.
    for sort in ["newest", "oldest"] {
        let mut seen = String::new();
        let mut target = format!("{LINKS}?limit=3&sort={sort}");
        loop {
            let page = admin.get(&target).expect(200, &target);
            seen.push_str(&codes(&page));
            let Some(cursor) = page["nextCursor"].as_str() else { break };
            target = format!("{LINKS}?limit=3&sort={sort}&cursor={cursor}");
        }
        assert_eq!(seen, if sort == "newest" { "9876543210" } else { "0123456789" }, "{sort}");
    }
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
        ("cursor=garbage", "cursor: is not a nextCursor of ours"),
        ("sort=x", "sort: must be newest, oldest, clicks or title"),
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
        failed.iter().zip(["url: ", "taken", "one", "url: is required", "reserved word"])
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
    admin.post(path, &json!({"links": [1]})).refuses(400, "links: must be an array of objects", "no object");
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(9 << 20));
    let answer = admin.send("POST", path, &[], Some(huge.as_bytes()));
    answer.refuses(413, "the body must be at most 8388608 bytes", "9 MB");
}

#[test]
fn tags_domains_workspaces_and_companies() {
    let app = TestApp::start();
    let mut admin = app.admin();
    // Tags.
    let tag =
        admin.post("/api/v1/tags", &json!({"name": "red", "color": "#FF0000"})).expect(201, "tag")["tag"]
            .clone();
    assert_eq!((&tag["name"], &tag["color"]), (&json!("red"), &json!("#FF0000")));
    admin.post("/api/v1/tags", &json!({"name": "red"})).refuses(409, "name: is already in use", "twice");
    admin.post("/api/v1/tags", &json!({"name": ""})).refuses(422, "name: must not be empty", "empty");
    let why = "color: must be a color such as #6b7280";
    admin.post("/api/v1/tags", &json!({"name": "x", "color": "red"})).refuses(422, why, "a word");
    let made = admin.create(&json!({"url": "https://e.test/", "tagIds": [tag["id"], tag["id"]]}));
    assert_eq!(made["tags"], json!([{"tag": tag}]), "each tag once");
    let path = format!("/api/v1/tags/{}", text(&tag, "id"));
    let renamed = admin.patch(&path, &json!({"name": "blue"})).expect(200, "renamed")["tag"].clone();
    assert_eq!((&renamed["name"], &renamed["color"]), (&json!("blue"), &json!("#FF0000")));
    admin.post("/api/v1/tags", &json!({"name": "red"})).expect(201, "the name is free");
    admin.patch(&path, &json!({"name": "red"})).refuses(409, "name: is already in use", "to a taken name");
    assert_eq!(admin.get(&path_of(&made)).expect(200, "read")["link"]["tags"], json!([{"tag": renamed}]));
    admin.delete(&path).expect(200, "deleted");
    admin.delete(&path).refuses(404, "tag not found", "deleted twice");
    assert_eq!(admin.get(&path_of(&made)).expect(200, "read")["link"]["tags"], json!([]));
    // Domains.
    let path = "/api/v1/domains";
    let made = admin.post(path, &json!({"domain": "GO2.Test."})).expect(201, "domain")["domain"].clone();
    assert_eq!((&made["domain"], &made["baseUrl"]), (&json!("go2.test"), &json!("https://go2.test")));
    assert_eq!((&made["verified"], &made["status"]), (&json!(true), &json!("ACTIVE")));
    admin.post(path, &json!({"domain": "go2.test"})).refuses(409, "domain: is already in use", "twice");
    admin.post(path, &json!({"domain": HOST})).refuses(409, "domain: is already in use", "the default one");
    let why = "domain: must be a host name such as go.example.com, without scheme, port or path";
    for bad in ["", "https://x.test", "x.test/y", "x.test:80", "127.0.0.1", "a b", "-x.test"] {
        admin.post(path, &json!({"domain": bad})).refuses(422, why, bad);
    }
    let own = format!("{path}/{}", text(&made, "id"));
    let why = "baseUrl: must be scheme and host only, such as https://go.example.com";
    admin.patch(&own, &json!({"baseUrl": "https://go2.test/x"})).refuses(422, why, "a path");
    admin
        .patch(&own, &json!({"baseUrl": "http://go2.test:8080", "caseSensitive": false}))
        .expect(200, "changed");
    let link = admin.create(&json!({"url": "https://e.test/", "domain": "go2.test", "customSlug": "S"}));
    assert_eq!(link["shortUrl"], "http://go2.test:8080/s");
    let why = "caseSensitive: cannot change once the domain has links";
    admin.patch(&own, &json!({"caseSensitive": true})).refuses(422, why, "with links");
    assert_eq!(admin.get(&own).expect(200, "read")["domain"]["activeLinks"], 1);
    admin.delete(&own).refuses(422, "domain: still has links; delete them first", "with links");
    admin.delete(&path_of(&link)).expect(200, "deleted");
    admin.delete(&own).expect(200, "empty");
    admin.get(&own).refuses(404, "domain not found", "deleted");
    admin.post(path, &json!({"domain": "go2.test"})).expect(201, "the name is free");
    let domains = admin.get(path).expect(200, "all")["domains"].clone();
    assert_eq!(domains[0]["domain"], HOST);
    let default = format!("{path}/{}", text(&domains[0], "id"));
    admin.delete(&default).refuses(403, "the default domain cannot be deleted", "the default");
    // Companies and workspaces.
    let body = json!({"id": "vendor-C_1", "name": "C", "relationshipNumber": "0-128-926"});
    let company = admin.post("/api/v1/companies", &body).expect(201, "company")["company"].clone();
    assert_eq!((&company["id"], &company["relationshipNumber"]), (&json!("vendor-C_1"), &json!("0-128-926")));
    admin.post("/api/v1/companies", &body).refuses(409, "id: is already in use", "twice");
    let why = "relationshipNumber: must be three groups of digits such as 0-128-926";
    admin.post("/api/v1/companies", &json!({"name": "C", "relationshipNumber": "1"})).refuses(
        422,
        why,
        "one group",
    );
    let body = json!({
        "id": "vendorW1", "name": "W", "companyId": "vendor-C_1", "credits": 5, "customValues": {"offer": "x"},
    });
    let workspace = admin.post("/api/v1/workspaces", &body).expect(201, "workspace")["workspace"].clone();
    for field in ["id", "name", "companyId", "credits", "customValues"] {
        assert_eq!(workspace[field], body[field], "{field}");
    }
    assert_eq!(workspace["defaultDomain"], HOST);
    admin.post("/api/v1/workspaces", &body).refuses(409, "id: is already in use", "twice");
    let why = "companyId: is not a company within this key's reach";
    let body = json!({"name": "W", "companyId": "unheard-of"});
    admin.post("/api/v1/workspaces", &body).refuses(422, why, "no such company");
    let path = "/api/v1/workspaces/vendorW1";
    let changed = admin.patch(path, &json!({"name": "W2", "credits": null, "customValues": null}));
    let changed = changed.expect(200, "changed")["workspace"].clone();
    let got = (&changed["name"], &changed["credits"], &changed["customValues"]);
    assert_eq!(got, (&json!("W2"), &json!(null), &json!({})));
    assert_eq!(admin.get(path).expect(200, "read")["workspace"], changed);
    let why = "defaultDomain: is not a domain of this workspace";
    admin.patch(path, &json!({"defaultDomain": "go2.test"})).refuses(422, why, "another workspace's");
    let mut there = app.admin().with("X-Workspace-Id", "vendorW1");
    there.post("/api/v1/domains", &json!({"domain": "w.test"})).expect(201, "their own");
    let changed =
        there.patch(path, &json!({"defaultDomain": "w.test"})).expect(200, "their own")["workspace"].clone();
    assert_eq!(changed["defaultDomain"], "w.test");
    let link = there.create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    assert_eq!((&link["domain"], &link["shortUrl"]), (&json!("w.test"), &json!("https://w.test/s")));
    assert_eq!(link["workspaceId"], "vendorW1");
    admin.get("/api/v1/workspaces/unheard-of").refuses(404, "workspace not found", "no such");
}

#[test]
fn keys_are_shown_once_and_end() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"name": "form", "scopes": ["links.write"], "createOnly": true, "expiresAt": "2026-01-01T00:01:00Z"});
    let made = admin.post("/api/v1/keys", &body).expect(201, "a key")["key"].clone();
    let secret = text(&made, "secret").to_owned();
    assert!(secret.starts_with("wp_") && secret.len() == 46, "{secret}");
    let listed = admin.get("/api/v1/keys").expect(200, "keys")["keys"].clone();
    assert!(!listed.to_string().contains(&secret), "told once");
    let mut want = made.clone();
    want.as_object_mut().expect("an object").remove("secret");
    assert_eq!(listed, json!([want]));
    assert_eq!((&want["kind"], &want["createOnly"]), (&json!("workspace"), &json!(true)));
    let mut form = app.visitor().with_key(&secret);
    let link = form.create(&json!({"url": "https://e.test/"}));
    let seen = admin.get(&path_of(&link)).expect(200, "read")["link"]["createdBy"].clone();
    assert_eq!(seen, json!({"id": made["id"], "name": "form", "email": null}));
    app.advance(Duration::from_secs(59));
    form.create(&json!({"url": "https://e.test/"}));
    app.advance(Duration::from_secs(1));
    form.post(LINKS, &json!({"url": "https://e.test/"})).refuses(
        401,
        "missing or invalid API key",
        "expired",
    );
    let rows = [
        (json!({"scopes": ["admin"]}), 400, "name: is required"),
        (json!({"name": " ", "scopes": ["admin"]}), 422, "name: must not be empty"),
        (json!({"name": "n"}), 400, "scopes: is required"),
        (json!({"name": "n", "scopes": []}), 422, "scopes: must not be empty"),
        (
            json!({"name": "n", "scopes": ["all"]}),
            422,
            "scopes: must be of links.readonly, links.write, snapshots.readonly, snapshots.write, admin",
        ),
        (
            json!({"name": "n", "scopes": ["admin"], "expiresAt": "2020-01-01"}),
            422,
            "expiresAt: must be in the future",
        ),
        (
            json!({"name": "n", "scopes": ["admin"], "instance": true, "companyId": "c"}),
            422,
            "workspaceId: only one of workspaceId, companyId and instance can be given",
        ),
    ];
    for (body, status, error) in rows {
        admin.post("/api/v1/keys", &body).refuses(status, error, &body.to_string());
    }
    let path = format!("/api/v1/keys/{}", text(&made, "id"));
    admin.delete(&path).expect(200, "revoked");
    admin.delete(&path).refuses(404, "key not found", "revoked twice");
    let app = app.restart();
    assert_eq!(app.admin().get("/api/v1/keys").expect(200, "keys")["keys"], json!([]));
    // What made them is no more; the links are.
    let link = app.admin().get(&path_of(&link)).expect(200, "read")["link"].clone();
    assert_eq!(link["createdBy"], json!(null));
}

#[test]
fn too_many_requests_are_told_when_to_come_back() {
    let app = TestApp::start_with(|config| {
        config.limits.requests_per_minute = 3;
        config.limits.refused_per_minute = 2;
    });
    let mut admin = app.admin();
    let first = admin.get("/api/v1/links");
    assert_eq!(first.header("x-ratelimit-limit"), Some("10000000"), "the operator's own");
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let workspace = text(&workspaces["workspaces"][0], "id");
    let draft = json!({"name": "a workspace's", "workspaceId": workspace, "scopes": ["links.readonly"]});
    let key = admin.post("/api/v1/keys", &draft).expect(201, "a key");
    let mut limited = app.visitor().with_key(text(&key["key"], "secret"));
    for left in ["2", "1", "0"] {
        let answer = limited.get("/api/v1/links");
        let told = ["limit", "remaining"].map(|name| answer.header(&format!("x-ratelimit-{name}")));
        assert_eq!((answer.status, told), (200, [Some("3"), Some(left)]));
        let reset: i64 = answer.header("x-ratelimit-reset").expect("when").parse().expect("seconds");
        let seconds = reset - START / 1_000;
        assert!((1..=61).contains(&seconds), "{seconds}");
        assert_eq!(answer.header("retry-after"), None);
    }
    let refused = limited.get("/api/v1/links");
    let wait: u32 = refused.header("retry-after").expect("when").parse().expect("seconds");
    assert!((1..=21).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    refused.refuses(429, &format!("too many requests; try again in {wait} s"), "the fourth");
    assert_eq!(admin.get("/api/v1/links").status, 200, "others are not held up");
    assert_eq!(app.visitor().get("/unknown").status, 404, "nor are visitors");

    let mut stranger = app.visitor().with_key("wp_wrong");
    let statuses: Vec<_> = (0..4).map(|_| stranger.get("/api/v1/links").status).collect();
    assert_eq!(statuses, [401, 401, 429, 429]);
    assert_eq!(admin.get("/api/v1/links").status, 200, "a valid key from the same address");
}

/// What leads nowhere is counted and told like what leads somewhere, in each dialect's headers.
#[test]
fn requests_to_no_endpoint_are_limited_too() {
    let app = TestApp::start_with(|config| config.limits.refused_per_minute = 4);
    let mut stranger = app.visitor();
    let rows = [
        ("GET", "/api/v1/nothing", 404, "x-ratelimit-limit"),
        ("PUT", "/api/links", 405, "x-ratelimit-limit"),
        ("PATCH", "/links/x", 405, "x-ratelimit-max"),
        ("GET", "/snapshots/nothing", 404, "x-ratelimit-max"),
    ];
    for (row, (method, path, status, limit)) in rows.into_iter().enumerate() {
        let answer = stranger.send(method, path, &[], None);
        assert_eq!((answer.status, answer.header(limit)), (status, Some("4")), "{method} {path}");
        let left = (3 - row).to_string();
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(&*left), "{method} {path}");
    }
    let early = stranger.send("PUT", "/links", &[], None);
    assert_eq!((early.status, early.header("x-ratelimit-remaining")), (429, Some("0")));
    assert!(early.header("retry-after").is_some());
    let mut admin = app.admin();
    let answer = admin.send("PUT", "/api/v1/links", &[], None);
    assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (405, Some("10000000")), "a key's own");
}
