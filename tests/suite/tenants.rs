//! No tenant sees another's data: every route of the description, with the keys of one company and the ids of
//! another, in every dialect.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Answer, Client, text};
use crate::support::native::{LINKS, new_key, path_of};

/// Part of every text of the victim.
const CANARY: &str = "canary";

/// A company with a workspace, and a key of each.
struct Tenant {
    company: String,
    workspace: String,
    keys: [String; 2],
}

fn tenant(admin: &mut Client, name: &str) -> Tenant {
    let mut make = |path: &str, body: Value| admin.post(path, &body).expect(201, path);
    let company = make("/api/v1/companies", json!({"name": name}));
    let company = text(&company["company"], "id").to_owned();
    let workspace = make("/api/v1/workspaces", json!({"name": name, "companyId": company}));
    let workspace = text(&workspace["workspace"], "id").to_owned();
    let scopes = ["links.readonly", "links.write", "snapshots.readonly", "snapshots.write", "admin"];
    let mut key = |reach: &str, id: &str| {
        let made = make("/api/v1/keys", json!({"name": name, "scopes": scopes, reach: id}));
        text(&made["key"], "secret").to_owned()
    };
    let keys = [key("companyId", &company), key("workspaceId", &workspace)];
    Tenant { company, workspace, keys }
}

/// Creates one object of each kind for the victim. Returns their ids by the beginning of their path.
fn belongings(victim: &Tenant, client: &mut Client) -> BTreeMap<&'static str, String> {
    let mut ids = BTreeMap::new();
    let make = |client: &mut Client, path: &str, body: Value, pointer: &str| {
        let made = client.post(path, &body).expect(201, path);
        made.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{made}")).to_owned()
    };
    let name = format!("{CANARY}-name");
    ids.insert("/api/v1/tags", make(client, "/api/v1/tags", json!({"name": name}), "/tag/id"));
    let domain = json!({"domain": format!("{CANARY}.test"), "workspaceId": victim.workspace});
    ids.insert("/api/v1/domains", make(client, "/api/v1/domains", domain, "/domain/id"));
    let campaign = make(client, "/api/v1/campaigns", json!({"name": name}), "/campaign/id");
    let link = json!({
        "url": format!("https://{CANARY}.test/"), "title": name, "customSlug": format!("{CANARY}-code"),
        "campaignId": campaign, "tagIds": [ids["/api/v1/tags"]],
    });
    let link = make(client, "/api/v1/links", link, "/link/id");
    let clicks = json!({"linkId": link});
    let clicks = make(client, "/api/v1/analytics/shares", clicks, "/share/id");
    ids.insert("/api/v1/analytics/shares", clicks);
    for path in ["/api/v1/links", "/links", "/api/links", "/api/analytics"] {
        ids.insert(path, link.clone());
    }
    let rule = json!({"linkId": link, "name": name, "conditions": [], "destinationUrl": format!("https://{CANARY}.test/rule")});
    ids.insert("/api/rules", make(client, "/api/rules", rule, "/data/id"));
    ids.insert("/api/v1/campaigns", campaign.clone());
    ids.insert("/api/campaigns", campaign);
    let snapshot = make(client, "/api/v1/snapshots", json!({"name": name}), "/snapshot/id");
    let share = format!("/api/v1/snapshots/{snapshot}/shares");
    let share = make(client, &share, json!({"type": "permanent_link"}), "/share/id");
    let import = json!({"shareId": share, "onConflict": "rename"});
    ids.insert("/api/v1/snapshots/imports", make(client, "/api/v1/snapshots/import", import, "/import/id"));
    ids.insert("/api/v1/snapshots", snapshot.clone());
    ids.insert("/snapshots/snapshot-status", snapshot);
    let key = json!({"name": name, "scopes": ["links.readonly"]});
    ids.insert("/api/v1/keys", make(client, "/api/v1/keys", key, "/key/id"));
    ids.insert("/api/v1/workspaces", victim.workspace.clone());
    ids.insert("/locations", victim.workspace.clone());
    ids
}

/// Returns a path with the victim's ids in its braces, or with unknown ids if `nobodys` is true.
fn fill(template: &str, ids: &BTreeMap<&str, String>, victim: &Tenant, nobodys: bool) -> String {
    let mut path = template.to_owned();
    while let Some((before, rest)) = path.split_once('{') {
        let (name, after) = rest.split_once('}').expect("a closing brace");
        let owner = ids.keys().filter(|owner| before.starts_with(**owner)).max_by_key(|owner| owner.len());
        let id = match name {
            // The name of a question, and no id.
            "what" => "summary",
            "ruleId" if nobodys => "rule_00000000000000000000_1",
            _ if nobodys => "00000000000000000000",
            "locationId" => &victim.workspace,
            _ => owner.map_or_else(|| panic!("nothing of the victim's for {template}"), |owner| &*ids[owner]),
        };
        path = [before, id, after].concat();
    }
    path
}

/// Returns the query that an operation requires, with the victim's ids.
fn query(document: &Value, operation: &Value, victim: &Tenant) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| match parameter["$ref"].as_str() {
        Some(target) => document.pointer(&target[1..]).expect("a parameter"),
        None => parameter,
    });
    let pairs = parameters.filter(|parameter| parameter["in"] == "query").filter_map(|parameter| {
        let value = match text(parameter, "name") {
            "locationId" | "workspaceId" => victim.workspace.clone(),
            "companyId" => victim.company.clone(),
            _ if parameter["required"] == true => {
                parameter["example"].as_str().unwrap_or("2020-01-01").to_owned()
            }
            _ => return None,
        };
        Some(format!("{}={value}", text(parameter, "name")))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Returns the status and the text of an error.
fn said(answer: &Answer) -> (u16, String) {
    (answer.status, answer.text())
}

#[test]
fn no_route_reveals_another_company() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let (victim, stranger) =
        (tenant(&mut admin, &format!("{CANARY}-company")), tenant(&mut admin, "stranger"));
    let mut owner = app.visitor().with_key(&victim.keys[0]);
    let ids = belongings(&victim, &mut owner);
    let seen_by_owner = |owner: &mut Client| {
        let lists = ["links", "tags", "campaigns", "domains", "keys", "snapshots", "workspaces", "audit"];
        lists.map(|list| owner.get(&format!("/api/v1/{list}")).text())
    };
    let before = seen_by_owner(&mut owner);
    assert!(before.iter().all(|list| list.contains(CANARY)), "{before:?}");

    let document = admin.get("/api/openapi.json").expect(200, "the description");
    let mut walked = 0;
    for key in &stranger.keys {
        let mut client = app.visitor().with_key(key);
        for (template, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                if method == "parameters" {
                    continue;
                }
                let method = method.to_uppercase();
                let content = &operation["requestBody"]["content"];
                let body = &content["application/json"]["example"];
                let picture = content["image/svg+xml"]["example"].as_str().map(str::to_owned);
                let body = if body.is_null() { picture } else { Some(body.to_string()) };
                let query = query(&document, operation, &victim);
                let mut ask = |path: &str, headers: &[(&str, &str)]| {
                    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
                    let answer = client.send(&method, &target, headers, body.as_deref().map(str::as_bytes));
                    assert!(!answer.text().contains(CANARY), "{method} {target}: {}", answer.text());
                    answer
                };
                let path = fill(template, &ids, &victim, false);
                let names_victim = path != *template || !query.is_empty();
                let answer = ask(&path, &[]);
                if names_victim {
                    assert!(matches!(answer.status, 403 | 404), "{method} {path}: {}", answer.text());
                    let nobodys = ask(&fill(template, &ids, &victim, true), &[]);
                    assert_eq!(said(&answer), said(&nobodys), "{method} {path} tells that it exists");
                }
                let acting = ask(&path, &[("X-Workspace-Id", &victim.workspace)]);
                assert!(matches!(acting.status, 400 | 403 | 404 | 422), "{method} {path}: {}", acting.text());
                walked += 1;
            }
        }
    }
    assert!(walked > 100, "{walked} operations");
    assert_eq!(seen_by_owner(&mut owner), before, "nothing of the victim's has changed");
}

#[test]
fn objects_of_another_company_cannot_be_used() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let (victim, stranger) =
        (tenant(&mut admin, &format!("{CANARY}-company")), tenant(&mut admin, "stranger"));
    let ids = belongings(&victim, &mut app.visitor().with_key(&victim.keys[0]));
    let url = "https://e.test/";
    let rows = [
        ("POST", "/api/v1/links", json!({"url": url, "tagIds": [ids["/api/v1/tags"]]})),
        ("POST", "/api/v1/links", json!({"url": url, "campaignId": ids["/api/v1/campaigns"]})),
        ("POST", "/api/v1/links", json!({"url": url, "domain": format!("{CANARY}.test")})),
        ("POST", "/api/v1/links", json!({"url": url, "workspaceId": victim.workspace})),
        ("POST", "/api/v1/workspaces", json!({"name": "n", "companyId": victim.company})),
        ("POST", "/api/v1/keys", json!({"name": "n", "scopes": ["admin"], "workspaceId": victim.workspace})),
        ("POST", "/api/v1/keys", json!({"name": "n", "scopes": ["admin"], "companyId": victim.company})),
        ("POST", "/links/", json!({"locationId": victim.workspace, "name": "n", "redirectTo": url})),
        ("POST", "/api/links", json!({"destinationUrl": url, "campaignId": ids["/api/v1/campaigns"]})),
        ("POST", "/api/links", json!({"destinationUrl": url, "domainId": ids["/api/v1/domains"]})),
        (
            "POST",
            "/api/rules",
            json!({"linkId": ids["/api/links"], "name": "n", "conditions": [], "destinationUrl": url}),
        ),
        (
            "POST",
            "/snapshots/share/link",
            json!({"snapshot_id": ids["/api/v1/snapshots"], "share_type": "link"}),
        ),
    ];
    for key in &stranger.keys {
        let mut client = app.visitor().with_key(key);
        for (method, path, body) in &rows {
            let answer = client.send(method, path, &[], Some(body.to_string().as_bytes()));
            assert!((400..500).contains(&answer.status), "{path} {body}: {}", answer.text());
        }
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
    let secret = new_key(&mut admin, &json!({"workspaceId": theirs, "scopes": scopes}));
    let mut they = app.visitor().with_key(&secret);
    let secret = new_key(&mut admin, &json!({"companyId": company, "scopes": scopes}));
    let mut above = app.visitor().with_key(&secret);

    // The operator's objects, in the first workspace.
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
    let mine = new_key(&mut admin, &json!({"name": "mine"}));
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
        // Naming the operator's workspace does not help, in any place of a request.
        let id = text(&ours, "id");
        let answer = client.send("GET", LINKS, &[("X-Workspace-Id", id)], None);
        answer.refuses(404, "workspace not found", who);
        client.get(&format!("{LINKS}?workspaceId={id}")).refuses(404, "workspace not found", who);
        let body = json!({"url": "https://e.test/", "workspaceId": id});
        client.post(LINKS, &body).refuses(404, "workspace not found", who);
        client.get(&format!("{LINKS}?workspaceId=unheard-of")).refuses(404, "workspace not found", who);
        // A tenant's link cannot use the operator's objects.
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
    // Codes belong to a domain, so on a shared domain each exists once.
    let body = json!({"url": "https://evil.test/", "customSlug": "ours"});
    they.post(LINKS, &body).refuses(
        409,
        "customSlug: \"ours\" is already in use on this domain",
        "a taken code",
    );
    assert_eq!(admin.get(&path_of(&link)).expect(200, "untouched")["link"], link);
    app.visitor().with_key(&mine).get(LINKS).expect(200, "the key lives");
    // The instance key acts in the workspace that a request names.
    let body = json!({"url": "https://e.test/theirs", "workspaceId": theirs});
    let made = admin.post(LINKS, &body).expect(201, "for them")["link"].clone();
    assert_eq!(made["workspaceId"], *theirs);
    assert_eq!(they.get(LINKS).expect(200, "theirs")["total"], 1);
    they.get(&path_of(&made)).expect(200, "theirs");
    above.get(&path_of(&made)).expect(200, "theirs, from above");
}
