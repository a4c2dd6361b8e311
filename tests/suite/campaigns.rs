//! Campaigns: creation, lists, renaming, their links, ids chosen by a vendor, and the border of the
//! workspace.

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Client, text};
use crate::support::process::{Plan, command};

const CAMPAIGNS: &str = "/api/v1/campaigns";

fn made(client: &mut Client, body: &Value) -> Value {
    client.post(CAMPAIGNS, body).expect(201, &body.to_string())["campaign"].clone()
}

fn names(list: &Value) -> Vec<&str> {
    list["campaigns"].as_array().expect("a list").iter().map(|campaign| text(campaign, "name")).collect()
}

#[test]
fn a_campaign_is_made_listed_and_renamed() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let spring = made(&mut admin, &json!({"name": "Spring"}));
    let id = text(&spring, "id").to_owned();
    assert_eq!(id.len(), 20);
    let want = json!({
        "id": id, "name": "Spring", "workspaceId": spring["workspaceId"],
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
    });
    assert_eq!(spring, want);
    // Newest first, independent of the order of the ids.
    made(&mut admin, &json!({"name": "Summer", "id": "zz"}));
    made(&mut admin, &json!({"name": "Autumn", "id": "camp_xyz789"}));
    assert_eq!(names(&admin.get(CAMPAIGNS).expect(200, "all")), ["Autumn", "Summer", "Spring"]);
    app.advance(std::time::Duration::from_secs(5));
    let path = format!("{CAMPAIGNS}/{id}");
    let renamed = admin.patch(&path, &json!({"name": "May"})).expect(200, "renamed")["campaign"].clone();
    let got = (text(&renamed, "name"), text(&renamed, "updatedAt"), text(&renamed, "createdAt"));
    assert_eq!(got, ("May", "2026-01-01T00:00:05.000Z", "2026-01-01T00:00:00.000Z"));
    app = app.restart();
    let mut admin = app.admin();
    assert_eq!(admin.get(&path).expect(200, "read")["campaign"], renamed, "after a restart");
    assert_eq!(names(&admin.get(CAMPAIGNS).expect(200, "all")), ["Autumn", "Summer", "May"]);
}

#[test]
fn a_deleted_campaign_leaves_its_links_and_their_clicks() {
    let app = TestApp::start();
    let mut admin = app.admin();
    made(&mut admin, &json!({"name": "Spring", "id": "spring"}));
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a", "campaignId": "spring"}));
    let path = format!("/api/v1/links/{}", text(&link, "id"));
    assert_eq!(link["campaignId"], "spring");
    app.visitor().get("/a");
    admin.delete(&format!("{CAMPAIGNS}/spring")).expect(200, "deleted");
    admin.delete(&format!("{CAMPAIGNS}/spring")).refuses(404, "campaign not found", "again");
    admin.get(&format!("{CAMPAIGNS}/spring")).refuses(404, "campaign not found", "read");
    assert_eq!(names(&admin.get(CAMPAIGNS).expect(200, "all")), [""; 0]);
    let link = admin.get(&path).expect(200, "the link")["link"].clone();
    assert_eq!((&link["campaignId"], &link["clickCount"]), (&Value::Null, &json!(1)));
    let total = |admin: &mut Client, query: &str| {
        admin.get(&format!("/api/v1/links?{query}")).expect(200, query)["total"].clone()
    };
    assert_eq!(total(&mut admin, "campaignId=spring"), 0);
    assert_eq!(total(&mut admin, ""), 1);
    let linquid = admin.get("/api/links").expect(200, "Linquid's list");
    assert_eq!(linquid["data"][0]["campaignId"], Value::Null, "{linquid}");
    // A link that is sent back as it was read can be changed, and a new one cannot have the campaign.
    admin.patch(&path, &link).expect(200, "the whole link");
    admin.post("/api/v1/links", &json!({"url": "https://e.test/", "campaignId": "spring"})).refuses(
        422,
        "campaignId: is not a campaign of this workspace",
        "a new link",
    );
    // The same, once the table is built again.
    let app = app.restart();
    assert_eq!(names(&app.admin().get(CAMPAIGNS).expect(200, "all")), [""; 0]);
    assert_eq!(app.admin().get(&path).expect(200, "the link")["link"]["campaignId"], Value::Null);
}

#[test]
fn lists_filter_by_the_names_of_tags_and_campaigns() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for id in ["one", "two"] {
        made(&mut admin, &json!({"name": "Spring, 2026", "id": id}));
    }
    made(&mut admin, &json!({"name": "Summer", "id": "three"}));
    let tag =
        admin.post("/api/v1/tags", &json!({"name": "Flowers"})).expect(201, "a tag")["tag"]["id"].clone();
    for (code, campaign, tags) in [("a", "one", true), ("b", "two", false), ("c", "three", true)] {
        let tags = if tags { json!([tag]) } else { json!([]) };
        let body =
            json!({"url": "https://e.test/", "customSlug": code, "campaignId": campaign, "tagIds": tags});
        admin.create(&body);
    }
    admin.create(&json!({"url": "https://e.test/", "customSlug": "d"}));
    let tag = tag.as_str().expect("an id");
    let rows = [
        ("campaign=one".to_owned(), "a"),
        ("campaign=Summer".to_owned(), "c"),
        // All campaigns of the name.
        ("campaign=Spring,%202026".to_owned(), "ba"),
        ("campaign=Spring,%202026&sort=oldest&limit=1".to_owned(), "a"),
        ("campaign=Spring,%202026&tag=flowers".to_owned(), "a"),
        ("tag=flowers".to_owned(), "ca"),
        (format!("tag={tag}"), "ca"),
        (format!("tagId={tag}&campaignId=three"), "c"),
        ("tag=flowers&campaignId=three".to_owned(), "c"),
        ("tag=flowers&sort=title".to_owned(), "ca"),
    ];
    for (query, want) in rows {
        let page = admin.get(&format!("/api/v1/links?{query}")).expect(200, &query);
        let links = page["links"].as_array().expect("links");
        let codes: String = links.iter().map(|link| text(link, "shortCode")).collect();
        assert_eq!(codes, want, "{query}");
    }
    let rules = [
        ("tag=x", "tag: \"x\" is no value: this workspace has no tag with this id or name"),
        ("campaign=x", "campaign: \"x\" is no value: this workspace has no campaign with this id or name"),
        ("tag=", "tag: must not be empty: give a name or an id, or leave the parameter out"),
        ("tag=x&tagId=00000000000000000001", "tag: must be given without `tagId`"),
        ("campaign=x&campaignId=one", "campaign: must be given without `campaignId`"),
    ];
    for (query, rule) in rules {
        admin.get(&format!("/api/v1/links?{query}")).refuses(422, rule, query);
    }
}

#[test]
fn refusals() {
    let app = TestApp::start();
    let mut admin = app.admin();
    made(&mut admin, &json!({"name": "N", "id": "taken"}));
    let long = "x".repeat(201);
    let rows = [
        (json!({}), 400, "name: is required"),
        (json!({"name": 5}), 400, "name: must be a string"),
        (json!({"name": " "}), 422, "name: must not be empty"),
        (json!({"name": long}), 422, "name: must be at most 200 characters"),
        (json!({"name": "N", "id": "a b"}), 422, "id: must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -"),
        (json!({"name": "N", "id": "taken"}), 409, "id: is already in use"),
    ];
    for (body, status, error) in rows {
        admin.post(CAMPAIGNS, &body).refuses(status, error, &body.to_string());
    }
    let path = format!("{CAMPAIGNS}/taken");
    admin.patch(&path, &json!({"name": null})).refuses(400, "name: must be a string", "null");
    admin.patch(&path, &json!({"name": ""})).refuses(422, "name: must not be empty", "empty");
    for path in ["/api/v1/campaigns/none", "/api/v1/campaigns/a%20b"] {
        admin.get(path).refuses(404, "campaign not found", path);
        admin.patch(path, &json!({"name": "N"})).refuses(404, "campaign not found", path);
    }
    assert_eq!(admin.send("PUT", &path, &[], None).status, 405);
    // Only instance keys choose ids, and a key that may only read cannot write.
    let keys = [
        ("links.write", 403, "only an instance key may choose ids"),
        ("links.readonly", 403, "this key lacks the scope links.write"),
    ];
    for (scope, status, error) in keys {
        let key = admin.post("/api/v1/keys", &json!({"name": "k", "scopes": [scope]})).expect(201, scope);
        let mut client = app.visitor().with_key(text(&key["key"], "secret"));
        client.post(CAMPAIGNS, &json!({"name": "N", "id": "mine"})).refuses(status, error, scope);
    }
}

#[test]
fn links_belong_to_campaigns_that_exist_in_their_workspace() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let why = "campaignId: is not a campaign of this workspace";
    let link = |campaign: &str| json!({"url": "https://e.test/", "campaignId": campaign});
    admin.post("/api/v1/links", &link("spring")).refuses(422, why, "not made yet");
    made(&mut admin, &json!({"name": "Spring", "id": "spring"}));
    let first = admin.create(&link("spring"));
    assert_eq!(first["campaignId"], "spring");
    let second = admin.create(&json!({"url": "https://e.test/"}));
    let path = format!("/api/v1/links/{}", text(&second, "id"));
    admin.patch(&path, &json!({"campaignId": "autumn"})).refuses(422, why, "no such");
    let rows = [(json!("spring"), 2), (Value::Null, 1), (json!("spring"), 2)];
    for (campaign, links) in rows {
        let patched = admin.patch(&path, &json!({"campaignId": campaign})).expect(200, "patched");
        assert_eq!(patched["link"]["campaignId"], campaign);
        let list = admin.get("/api/v1/links?campaignId=spring").expect(200, "its links");
        assert_eq!(list["total"], links, "{campaign}");
    }
    assert_eq!(admin.get("/api/v1/links?campaignId=autumn").expect(200, "none")["total"], 0);
    let rows = json!({"links": [link("spring"), link("autumn")]});
    let bulk = admin.post("/api/v1/links/bulk", &rows).expect(201, "a bulk");
    assert_eq!((&bulk["created"], &bulk["failed"][0]["reason"]), (&json!(1), &json!(why)));
    // Another workspace has campaigns of its own, even with the same id.
    admin.post("/api/v1/workspaces", &json!({"name": "W", "id": "other"})).expect(201, "a workspace");
    let key = json!({"name": "k", "scopes": ["links.readonly", "links.write"], "workspaceId": "other"});
    let key = admin.post("/api/v1/keys", &key).expect(201, "a key");
    let mut other = app.visitor().with_key(text(&key["key"], "secret"));
    other.get("/api/v1/campaigns/spring").refuses(404, "campaign not found", "foreign");
    other.patch("/api/v1/campaigns/spring", &json!({"name": "X"})).refuses(
        404,
        "campaign not found",
        "foreign",
    );
    other.post("/api/v1/links", &link("spring")).refuses(422, why, "foreign");
    let mut there = app.admin().with("X-Workspace-Id", "other");
    made(&mut there, &json!({"name": "Theirs", "id": "spring"}));
    assert_eq!(other.get("/api/v1/campaigns/spring").expect(200, "their own")["campaign"]["name"], "Theirs");
    assert_eq!(admin.get("/api/v1/campaigns/spring").expect(200, "ours")["campaign"]["name"], "Spring");
    assert_eq!(other.get("/api/v1/links?campaignId=spring").expect(200, "theirs")["total"], 0);
}

#[test]
fn a_repeated_creation_is_answered_alike() {
    let mut app = TestApp::start();
    let body = json!({"name": "Spring"}).to_string();
    let key = [("Idempotency-Key", "k")];
    let first = app.admin().send("POST", CAMPAIGNS, &key, Some(body.as_bytes())).expect(201, "the first");
    app = app.restart();
    let again = app.admin().send("POST", CAMPAIGNS, &key, Some(body.as_bytes())).expect(201, "again");
    assert_eq!(again, first);
    assert_eq!(names(&app.admin().get(CAMPAIGNS).expect(200, "all")), ["Spring"]);
}

#[test]
fn an_import_makes_the_campaigns_it_lacks_and_takes_no_credits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, lines) = (folder.path().join("data"), folder.path().join("lines.jsonl"));
    let server = Plan::on(&data).start();
    let mut admin = server.admin();
    let spring = made(&mut admin, &json!({"name": "Spring", "id": "spring"}));
    let workspace = format!("/api/v1/workspaces/{}", text(&spring, "workspaceId"));
    admin.patch(&workspace, &json!({"credits": 1})).expect(200, "a balance");
    server.stop();
    let line = |campaign: &str| json!({"url": "https://e.test/", "campaignId": campaign}).to_string();
    std::fs::write(&lines, [line("spring"), line("autumn"), line("autumn")].join("\n")).expect("a file");
    let import = |arguments: &[&str]| {
        let run = command().arg("import").arg(&lines).args(arguments).env("WAYPOST_DATA_DIR", &data).output();
        let run = run.expect("the binary runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    import(&["--dry-run"]);
    import(&[]);
    let server = Plan::on(&data).start();
    let mut admin = server.admin();
    assert_eq!(names(&admin.get(CAMPAIGNS).expect(200, "all")), ["autumn", "Spring"]);
    for (campaign, links) in [("spring", 1), ("autumn", 2)] {
        let list = admin.get(&format!("/api/v1/links?campaignId={campaign}")).expect(200, campaign);
        assert_eq!(list["total"], links, "{campaign}");
    }
    assert_eq!(admin.get(&workspace).expect(200, "read")["workspace"]["credits"], 1);
    server.stop();
}
