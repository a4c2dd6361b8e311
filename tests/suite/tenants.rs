//! Nobody sees another's anything: every route of the description, walked with the keys of one
//! company and the ids of another, in every dialect.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Answer, Client, text};

/// What is in every text that the victim writes.
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

/// One of everything, made by the victim: ids by the first part of the path that names them.
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
    for path in ["/api/v1/links", "/links", "/api/links"] {
        ids.insert(path, link.clone());
    }
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

/// The path with the victim's ids in its braces; `nobodys` puts ids there that nobody has.
fn fill(template: &str, ids: &BTreeMap<&str, String>, victim: &Tenant, nobodys: bool) -> String {
    let mut path = template.to_owned();
    while let Some((before, rest)) = path.split_once('{') {
        let (name, after) = rest.split_once('}').expect("a closing brace");
        let owner = ids.keys().filter(|owner| before.starts_with(**owner)).max_by_key(|owner| owner.len());
        let id = match name {
            _ if nobodys => "00000000000000000000",
            "locationId" => &victim.workspace,
            _ => owner.map_or_else(|| panic!("nothing of the victim's for {template}"), |owner| &*ids[owner]),
        };
        path = [before, id, after].concat();
    }
    path
}

/// The query that an operation requires, naming the victim.
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

/// What a refusal says, without what differs between any two.
fn said(answer: &Answer) -> (u16, String) {
    (answer.status, answer.text())
}

#[test]
fn no_route_tells_one_company_of_another() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let (victim, stranger) =
        (tenant(&mut admin, &format!("{CANARY}-company")), tenant(&mut admin, "stranger"));
    let mut owner = app.visitor().with_key(&victim.keys[0]);
    let ids = belongings(&victim, &mut owner);
    let seen_by_owner = |owner: &mut Client| {
        let lists = ["links", "tags", "campaigns", "domains", "keys", "snapshots", "workspaces"];
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
                let body = &operation["requestBody"]["content"]["application/json"]["example"];
                let body = (!body.is_null()).then(|| body.to_string());
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
fn what_is_anothers_cannot_be_referred_to() {
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
