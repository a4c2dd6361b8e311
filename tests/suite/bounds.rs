//! What tenants keep in memory, or in lists without pages, has bounds: the bytes of their records, the number
//! of snapshots, and the number of keys, live or not.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Answer, Client, text};
use crate::support::native::{KEYS, new_key};

const DOMAINS: &str = "/api/v1/domains";
const WORKSPACES: &str = "/api/v1/workspaces";

/// A company with a key of the company, and two workspaces with a key each. All keys have all scopes.
struct Agency {
    company: Client,
    workspaces: [(String, Client); 2],
}

impl Agency {
    fn new(app: &TestApp) -> Agency {
        let mut admin = app.admin();
        let made = admin.post("/api/v1/companies", &json!({"name": "agency"})).expect(201, "a company");
        let company = text(&made["company"], "id").to_owned();
        let scopes = ["admin", "links.write", "snapshots.write"];
        let workspaces = ["first", "second"].map(|name| {
            let made = admin.post(WORKSPACES, &json!({"name": name, "companyId": company}));
            let id = text(&made.expect(201, name)["workspace"], "id").to_owned();
            let key = new_key(&mut admin, &json!({"workspaceId": id, "scopes": scopes}));
            (id, app.visitor().with_key(&key))
        });
        let key = new_key(&mut admin, &json!({"companyId": company, "scopes": scopes}));
        Agency { company: app.visitor().with_key(&key), workspaces }
    }
}

/// A domain that takes some 48 KB of memory.
fn large_domain(name: &str) -> Value {
    let url = format!("https://e.test/{}", "x".repeat(8_000));
    json!({"domain": name, "notFoundUrl": url, "expiredUrl": url, "rootUrl": url})
}

/// Values that take some 80 KB of memory.
fn large_values() -> Value {
    (0..20).map(|n| (format!("v{n}"), json!("x".repeat(2_000)))).collect::<serde_json::Map<_, _>>().into()
}

#[track_caller]
fn is_full(answer: &Answer, whose: &str, most: usize) {
    let why = format!(
        "the domains, custom values and keys {whose} take at most {most} KiB of memory: delete domains or keys, \
         or shorten the fallback URLs of domains or custom values"
    );
    answer.refuses(403, &why, whose);
}

/// 1 MiB in all: 896 KiB for all tenants, 512 for a company, 384 for a workspace.
fn app_of_one_mebibyte() -> TestApp {
    TestApp::start_with(|config| config.links.record_memory = 1024 * 1024)
}

#[test]
fn n61_records_of_tenants_have_a_bound_in_bytes() {
    let app = app_of_one_mebibyte();
    let mut agency = Agency::new(&app);
    let [(first, in_first), (second, in_second)] = &mut agency.workspaces;
    // Parallel creations share the bound as well.
    let key = new_key(&mut app.admin(), &json!({"workspaceId": first, "scopes": ["admin", "links.write"]}));
    let made: Vec<u16> = thread::scope(|scope| {
        let make = |n| {
            let mut client = app.visitor().with_key(&key);
            scope.spawn(move || client.post(DOMAINS, &large_domain(&format!("d{n}.test"))).status)
        };
        let threads: Vec<_> = (0..12).map(make).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(made.iter().all(|status| [201, 403].contains(status)), "{made:?}");
    let at_once = made.iter().filter(|status| **status == 201).count();
    assert!(at_once <= 7, "{at_once} domains of 48 KB in 384 KiB");
    for n in at_once..7 {
        in_first.post(DOMAINS, &large_domain(&format!("more{n}.test"))).expect(201, "there is room");
    }
    is_full(&in_first.post(DOMAINS, &large_domain("h.test")), "of one workspace", 384);
    // A small domain has room, and may not grow.
    let made = in_first.post(DOMAINS, &json!({"domain": "small.test"})).expect(201, "a small one");
    let small = format!("{DOMAINS}/{}", text(&made["domain"], "id"));
    let mut growth = large_domain("small.test");
    growth.as_object_mut().expect("an object").remove("domain");
    is_full(&in_first.patch(&small, &growth), "of one workspace", 384);
    in_first.patch(&small, &json!({"rootUrl": "https://e.test/"})).expect(200, "a short text");
    let own = format!("{WORKSPACES}/{first}");
    is_full(&in_first.patch(&own, &json!({"customValues": large_values()})), "of one workspace", 384);
    // The rest of the company's share is for its other workspaces.
    let own = format!("{WORKSPACES}/{second}");
    in_second.patch(&own, &json!({"customValues": large_values()})).expect(200, "there is room");
    in_second.post(DOMAINS, &large_domain("second.test")).expect(201, "there is room");
    is_full(&in_second.post(DOMAINS, &large_domain("second2.test")), "of one company", 512);
    let body = json!({"name": "third", "customValues": large_values()});
    is_full(&agency.company.post(WORKSPACES, &body), "of one company", 512);
    // Keys count, too.
    let refused = (0..100).find_map(|_| {
        let made = agency.company.post(KEYS, &json!({"name": "n".repeat(200), "scopes": ["links.write"]}));
        (made.status != 201).then_some(made)
    });
    is_full(&refused.expect("a bound"), "of one company", 512);
    // Another company has its own share, and the operator has all that is left.
    let mut other = Agency::new(&app);
    other.workspaces[0].1.post(DOMAINS, &large_domain("other.test")).expect(201, "there is room");
    let mut operator = app.admin().with("X-Workspace-Id", first);
    let refused = (0..20).find_map(|n| {
        let made = operator.post(DOMAINS, &large_domain(&format!("operator{n}.test")));
        (made.status != 201).then_some((n, made))
    });
    let (count, refused) = refused.expect("a bound");
    assert!(count > 5, "{count}");
    is_full(&refused, "of all tenants", 1_024);
    is_full(&other.workspaces[0].1.post(DOMAINS, &large_domain("other2.test")), "of all tenants", 896);
}

#[test]
fn n61_records_above_the_bound_are_loaded_and_may_shrink() {
    let app = TestApp::start();
    let mut agency = Agency::new(&app);
    let [(first, in_first), _] = &mut agency.workspaces;
    let mut domains = Vec::new();
    for n in 0..10 {
        let made = in_first.post(DOMAINS, &large_domain(&format!("d{n}.test"))).expect(201, "a domain");
        domains.push(format!("{DOMAINS}/{}", text(&made["domain"], "id")));
    }
    let own = format!("{WORKSPACES}/{first}");
    in_first.patch(&own, &json!({"customValues": large_values()})).expect(200, "values");
    // 560 KB are stored, and a workspace may have 384 KiB.
    let app = app.restart_with(|config| config.links.record_memory = 1024 * 1024);
    let key = new_key(&mut app.admin(), &json!({"workspaceId": first, "scopes": ["admin", "links.write"]}));
    let mut client = app.visitor().with_key(&key);
    let visit = app.visitor().at("d9.test").get("/unknown");
    assert_eq!((visit.status, visit.header("location").map(str::len)), (302, Some(8_015)), "{visit:?}");
    is_full(&client.post(DOMAINS, &json!({"domain": "more.test"})), "of one workspace", 384);
    client.patch(&own, &json!({"name": "f"})).expect(200, "a shorter name");
    client.patch(&own, &json!({"customValues": {"v0": "x"}})).expect(200, "less");
    for domain in &domains[2..] {
        client.delete(domain).expect(200, "less");
    }
    client.post(DOMAINS, &json!({"domain": "more.test"})).expect(201, "there is room again");
    // What was deleted stays deleted in the sum after a start.
    let app = app.restart();
    let mut client = app.visitor().with_key(&key);
    client.post(DOMAINS, &large_domain("again.test")).expect(201, "there is room");
}

const SNAPSHOTS: &str = "/api/v1/snapshots";

fn list(client: &mut Client, path: &str, name: &str) -> Vec<Value> {
    client.get(path).expect(200, path)[name].as_array().expect("a list").clone()
}

#[test]
fn n62_a_workspace_has_a_bounded_number_of_snapshots() {
    const MOST: usize = 1_000;
    let app = TestApp::start();
    let mut agency = Agency::new(&app);
    let [(first, in_first), (_, in_second)] = &mut agency.workspaces;
    let key = new_key(
        &mut app.admin(),
        &json!({"workspaceId": first, "scopes": ["snapshots.write", "links.write"]}),
    );
    // Two at a time at the cap, too: 1,001 are asked for.
    let made: Vec<u16> = thread::scope(|scope| {
        let make = |count| {
            let mut client = app.visitor().with_key(&key);
            scope.spawn(move || -> Vec<u16> {
                (0..count).map(|_| client.post(SNAPSHOTS, &longest_name()).status).collect()
            })
        };
        let threads = [make(MOST / 2), make(MOST / 2 + 1)];
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(made.iter().all(|status| [201, 403].contains(status)), "{made:?}");
    let at_once = made.iter().filter(|status| **status == 201).count();
    assert!((MOST - 1..=MOST).contains(&at_once), "{at_once}");
    for _ in at_once..MOST {
        in_first.post(SNAPSHOTS, &longest_name()).expect(201, "the last one");
    }
    let why = "a workspace has at most 1000 snapshots";
    in_first.post(SNAPSHOTS, &longest_name()).refuses(403, why, "one too many");
    let own = list(in_first, SNAPSHOTS, "snapshots");
    assert_eq!(own.len(), MOST);
    // An import from another company adds the snapshot to the list of the importer.
    let mut other = Agency::new(&app);
    let mut foreign = Vec::new();
    for name in ["a", "b"] {
        let [(_, from), _] = &mut other.workspaces;
        let made = from.post(SNAPSHOTS, &json!({"name": name})).expect(201, name);
        let path = format!("{SNAPSHOTS}/{}/shares", text(&made["snapshot"], "id"));
        let share = from.post(&path, &json!({"type": "permanent_link"})).expect(201, name);
        foreign.push(json!({"shareId": share["share"]["id"]}));
    }
    let import = format!("{SNAPSHOTS}/import");
    in_first.post(&import, &foreign[0]).refuses(403, why, "a snapshot of another company");
    in_second.post(&import, &foreign[0]).expect(201, "another workspace has room");
    // The company has the first one in its list already.
    in_first.post(&import, &foreign[0]).expect(201, "no other entry is needed");
    in_first.post(&import, &foreign[1]).refuses(403, why, "another one of another company");
    // A deletion makes room. Lists of a company and of the instance have the snapshots of all workspaces.
    in_first.delete(&format!("{SNAPSHOTS}/{}", text(&own[0], "id"))).expect(200, "deleted");
    in_first.post(&import, &foreign[1]).expect(201, "there is room again");
    assert_eq!(list(&mut agency.company, SNAPSHOTS, "snapshots").len(), MOST + 1);
    assert_eq!(list(&mut app.admin(), SNAPSHOTS, "snapshots").len(), MOST + 3);
}

/// The longest name in bytes, so that the list has its greatest length.
fn longest_name() -> Value {
    json!({"name": "\u{1f600}".repeat(200)})
}

#[test]
fn n63_expired_keys_count_until_they_are_removed() {
    const MOST: usize = 1_000;
    const EXPIRED_AT_ONCE: usize = 100;
    let app = TestApp::start();
    let mut agency = Agency::new(&app);
    let [(_, in_first), (_, in_second)] = &mut agency.workspaces;
    let short = |client: &mut Client| {
        let end = app.clock().now().plus_millis(1_000).to_string();
        client.post(KEYS, &json!({"name": "short", "scopes": ["links.write"], "expiresAt": end}))
    };
    // The workspace has one key already.
    for _ in 1..MOST {
        short(in_first).expect(201, "a key");
    }
    let why = "there are at most 1000 keys of one reach";
    short(in_first).refuses(403, why, "all of them are live");
    app.advance(Duration::from_millis(1_001));
    // A creation replaces expired keys, and the list stays as long as the cap allows.
    short(in_first).expect(201, "in place of expired ones");
    assert_eq!(list(in_first, KEYS, "keys").len(), MOST - EXPIRED_AT_ONCE + 1);
    for _ in 0..EXPIRED_AT_ONCE {
        app.advance(Duration::from_millis(1_001));
        short(in_first).expect(201, "again and again");
    }
    let count = list(in_first, KEYS, "keys").len();
    assert!(count <= MOST, "{count}");
    // Those that expire are removed after as many days as tombstones, those that live stay.
    short(in_second).expect(201, "another workspace's");
    app.advance(Duration::from_hours(31 * 24));
    short(in_first).expect(201, "a live one");
    app.wait(app.app().core().sweep_expired(app.clock().now())).expect("swept");
    assert_eq!(list(in_first, KEYS, "keys").len(), 2);
    assert_eq!(list(in_second, KEYS, "keys").len(), 1);
    let app = app.restart();
    // Two workspaces, their company and the instance's environment key, which is in no list.
    assert_eq!(list(&mut app.admin(), KEYS, "keys").len(), 4);
}
