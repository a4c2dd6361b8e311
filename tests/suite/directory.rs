//! Companies, workspaces, domains and tags: their fields, bounds and unique names.

use std::thread;

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::{Client, text};
use crate::support::native::{KEYS, path_of};

const COMPANIES: &str = "/api/v1/companies";
const WORKSPACES: &str = "/api/v1/workspaces";

fn company(admin: &mut Client, body: &Value) -> String {
    let made = admin.post(COMPANIES, body).expect(201, "a company");
    text(&made["company"], "id").to_owned()
}

fn company_key(admin: &mut Client, company: &str) -> String {
    let body =
        json!({"name": "agency", "scopes": ["admin", "links.write", "links.readonly"], "companyId": company});
    let made = admin.post(KEYS, &body).expect(201, "a company key");
    text(&made["key"], "secret").to_owned()
}

#[test]
fn n25_no_two_companies_have_the_same_relationship_number() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let asked = json!({"name": "first", "relationshipNumber": "7-123-456"});
    company(&mut admin, &asked);
    let again = admin.post(COMPANIES, &asked);
    assert_eq!(again.status, 409, "{again:?}");
    assert!(again.text().contains("relationshipNumber"), "{again:?}");
    // Of many parallel requests for one number, one succeeds.
    let made: Vec<u16> = thread::scope(|scope| {
        let ask = |_| {
            let mut admin = app.admin();
            let asked = json!({"name": "raced", "relationshipNumber": "7-123-457"});
            scope.spawn(move || admin.post(COMPANIES, &asked).status)
        };
        let threads: Vec<_> = (0..8).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    assert_eq!(made.iter().filter(|status| **status == 201).count(), 1, "{made:?}");
    assert!(made.iter().all(|status| matches!(status, 201 | 409)), "{made:?}");
    // After a restart, from the records.
    let app = app.restart();
    assert_eq!(app.admin().post(COMPANIES, &asked).status, 409);
}

#[test]
fn n34_a_company_key_makes_the_first_workspace_of_its_company() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let id = company(&mut admin, &json!({"name": "agency"}));
    let key = company_key(&mut admin, &id);
    let mut agency = app.visitor().with_key(&key);
    assert_eq!(agency.get(WORKSPACES).expect(200, "no workspaces")["workspaces"], json!([]));
    let companies = agency.get(COMPANIES).expect(200, "its company");
    assert_eq!(companies["companies"].as_array().map(Vec::len), Some(1));
    assert_eq!(agency.get(KEYS).expect(200, "its keys")["keys"].as_array().map(Vec::len), Some(1));
    // Objects of a workspace need a workspace.
    for path in ["/api/v1/links", "/api/v1/tags", "/api/v1/domains", "/api/v1/campaigns"] {
        assert_eq!(agency.get(path).status, 404, "{path}");
    }
    let link = json!({"url": "https://e.test/"});
    assert_eq!(agency.post("/api/v1/links", &link).status, 404);
    // A key without a workspace cannot be created, and another company's workspace is invisible.
    let stray = agency.post(KEYS, &json!({"name": "stray", "scopes": ["links.write"]}));
    assert_eq!(stray.status, 403, "{stray:?}");
    let foreign = admin.get(WORKSPACES).expect(200, "all workspaces");
    let foreign = text(&foreign["workspaces"][0], "id").to_owned();
    assert_eq!(agency.get(&format!("{WORKSPACES}/{foreign}")).status, 404);
    let first = agency.post(WORKSPACES, &json!({"name": "first"})).expect(201, "the first workspace");
    assert_eq!(first["workspace"]["companyId"], json!(id), "{first}");
    agency.post("/api/v1/links", &link).expect(201, "a link in it");
}

#[test]
fn n14_parallel_creations_of_workspaces_all_succeed() {
    let app = TestApp::start();
    let id = company(&mut app.admin(), &json!({"name": "agency"}));
    let key = company_key(&mut app.admin(), &id);
    let made: Vec<u16> = thread::scope(|scope| {
        let make = |thread| {
            let mut agency = app.visitor().with_key(&key);
            scope.spawn(move || -> Vec<u16> {
                let make = |n| agency.post(WORKSPACES, &json!({"name": format!("{thread} {n}")})).status;
                (0..10).map(make).collect()
            })
        };
        let threads: Vec<_> = (0..12).map(make).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(made.iter().all(|status| *status == 201), "{made:?}");
    let all = app.visitor().with_key(&key).get(WORKSPACES).expect(200, "its workspaces");
    assert_eq!(all["workspaces"].as_array().map(Vec::len), Some(120));
}

#[test]
fn n14_a_company_has_a_bounded_number_of_workspaces() {
    let app = TestApp::start();
    let id = company(&mut app.admin(), &json!({"name": "agency"}));
    let key = company_key(&mut app.admin(), &id);
    let mut agency = app.visitor().with_key(&key);
    for n in 0..997 {
        agency.post(WORKSPACES, &json!({"name": format!("{n}")})).expect(201, "a workspace");
    }
    // The bound also holds for parallel creations.
    let made: Vec<u16> = thread::scope(|scope| {
        let make = |n| {
            let mut agency = app.visitor().with_key(&key);
            scope.spawn(move || agency.post(WORKSPACES, &json!({"name": format!("at once {n}")})).status)
        };
        let threads: Vec<_> = (0..24).map(make).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(made.iter().all(|status| [201, 403].contains(status)), "{made:?}");
    let at_once = made.iter().filter(|status| **status == 201).count();
    assert!(at_once <= 3, "{at_once} beside 997");
    // Parallel creations at the bound may reject each other, and all fail.
    for n in at_once..3 {
        agency.post(WORKSPACES, &json!({"name": format!("last {n}")})).expect(201, "a workspace");
    }
    let refused = agency.post(WORKSPACES, &json!({"name": "one too many"}));
    refused.refuses(403, "a company has at most 1000 workspaces", "the bound");
    // The bound is of one company.
    let other = company(&mut app.admin(), &json!({"name": "other"}));
    let made = app.admin().post(WORKSPACES, &json!({"name": "other", "companyId": other}));
    made.expect(201, "another company's workspace");
    // The operator finds links and campaigns of any workspace by their ids, and nothing by an invented id.
    let last = agency.get(WORKSPACES).expect(200, "its workspaces");
    let last = text(&last["workspaces"][0], "id").to_owned();
    let link = json!({"url": "https://e.test/", "workspaceId": last});
    let link = agency.post("/api/v1/links", &link).expect(201, "a link");
    let link = text(&link["link"], "id").to_owned();
    let campaign = json!({"name": "c", "workspaceId": last});
    let campaign = agency.post("/api/v1/campaigns", &campaign).expect(201, "a campaign");
    let campaign = text(&campaign["campaign"], "id").to_owned();
    for mut client in [app.admin(), app.visitor().with_key(&key)] {
        client.get(&format!("/api/v1/links/{link}")).expect(200, "the link");
        client.get(&format!("/api/v1/campaigns/{campaign}")).expect(200, "the campaign");
        assert_eq!(client.get("/api/v1/links/0N88vwqp0EUhFT57aXBu").status, 404);
        assert_eq!(client.get("/api/v1/campaigns/unknown").status, 404);
    }
    app.admin().delete(&format!("/api/v1/links/{link}")).expect(200, "it is deleted");
    assert_eq!(app.admin().get(&format!("/api/v1/links/{link}")).status, 404);
}

#[test]
fn tags_are_created_renamed_and_deleted() {
    let app = TestApp::start();
    let mut admin = app.admin();
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
}

#[test]
fn domains_are_created_changed_and_deleted() {
    let app = TestApp::start();
    let mut admin = app.admin();
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
    assert_eq!(link["shortUrl"], "http://go2.test:8080/S");
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
}

#[test]
fn companies_and_workspaces_are_created_and_changed() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin
        .post("/api/v1/domains", &json!({"domain": "go2.test"}))
        .expect(201, "a domain of another workspace");
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
    // A default domain that was deleted blocks no other change.
    there.delete(&format!("/api/v1/links/{}", text(&link, "id"))).expect(200, "its link");
    let listed = there.get("/api/v1/domains").expect(200, "domains");
    let domains = listed["domains"].as_array().expect("a list");
    let own = domains.iter().find(|domain| domain["domain"] == "w.test").expect("their own");
    there.delete(&format!("/api/v1/domains/{}", text(own, "id"))).expect(200, "deleted");
    let changed = admin.patch(path, &json!({"name": "W3"})).expect(200, "without the field");
    assert_eq!(changed["workspace"]["name"], "W3");
    admin.get("/api/v1/workspaces/unheard-of").refuses(404, "workspace not found", "no such");
}
