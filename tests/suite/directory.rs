//! Companies, their workspaces and keys: bounds, unique numbers, and a company that begins with nothing.

use std::thread;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Client, text};

const COMPANIES: &str = "/api/v1/companies";
const WORKSPACES: &str = "/api/v1/workspaces";
const KEYS: &str = "/api/v1/keys";

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
    // Of many who ask for one number at the same moment, one gets it.
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
    // What belongs to a workspace needs one.
    for path in ["/api/v1/links", "/api/v1/tags", "/api/v1/domains", "/api/v1/campaigns"] {
        assert_eq!(agency.get(path).status, 404, "{path}");
    }
    let link = json!({"url": "https://e.test/"});
    assert_eq!(agency.post("/api/v1/links", &link).status, 404);
    // A key of no workspace cannot be made, and another company's workspace is not to be seen.
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
fn n14_workspaces_made_at_once_are_all_made() {
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
    // The bound holds also for those that are created at the same moment.
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
    // Of those that stand in each other's way all may be refused.
    for n in at_once..3 {
        agency.post(WORKSPACES, &json!({"name": format!("last {n}")})).expect(201, "a workspace");
    }
    let refused = agency.post(WORKSPACES, &json!({"name": "one too many"}));
    refused.refuses(403, "a company has at most 1000 workspaces", "the bound");
    // Of one company, not of all.
    let other = company(&mut app.admin(), &json!({"name": "other"}));
    let made = app.admin().post(WORKSPACES, &json!({"name": "other", "companyId": other}));
    made.expect(201, "another company's workspace");
    // The operator finds links and campaigns of any workspace by their ids, and none by a made-up one.
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
