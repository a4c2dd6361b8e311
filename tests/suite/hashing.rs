//! What hashing passwords may cost other requests: memory, time under locks, and parameters from imports.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use waypost::core::{Caller, Context, Imported, OnConflict};
use waypost::model::link::{DomainChoice, Draft, Names, PasswordHash};
use waypost::model::short_code::ShortCode;

use crate::support::app::{HOST, KEY, TestApp};
use crate::support::http::{Client, Connection, text};
use crate::support::native::LINKS;
use crate::support::process::{PATIENCE, Plan, Process, poll};

/// Salt and output of a hash, for the rows below.
const REST: &str = "c2FsdHNhbHRzYWx0c2FsdA$qCpuu1cMQmyfBhUCcnFLPg";

/// Returns the resident memory of the process, in KB.
fn resident(process: &Process) -> u64 {
    let status = fs::read_to_string(process.proc("status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn guess(visitor: &mut Client, path: &str, password: &str) -> u16 {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    visitor.send_form(path, &[form], format!("password={password}").as_bytes()).status
}

/// Most that hashes may add to the resident memory, in KB. The buffer of one hash is 19 MiB. When each hash
/// allocated one, freed buffers stayed in the allocator's arenas of the threads: 10 guesses took 130 MB, 60
/// creations 320 MB.
const GROWTH_MAX: u64 = 24 * 1024;

/// Starts a server with as many plain links as the tests below create, so that memory that grows with links
/// is allocated before the measurement. Returns the resident memory as well.
fn warm_server(data: &Path) -> (Process, u64) {
    let server = Plan::on(data).start();
    let (mut admin, mut visitor) = (server.admin(), server.visitor());
    for n in 0..100 {
        admin.create(&json!({"url": "https://e.test/", "customSlug": format!("plain{n}")}));
        assert_eq!(visitor.get(&format!("/plain{n}")).status, 302);
    }
    let before = resident(&server);
    (server, before)
}

#[test]
fn n02_guesses_add_one_buffer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (server, before) = warm_server(folder.path());
    let (mut admin, mut visitor) = (server.admin(), server.visitor());
    // An address has ten guesses a minute for each link.
    for n in 0..20 {
        let link = json!({"url": "https://e.test/", "customSlug": format!("s{n}"), "password": "open"});
        admin.create(&link);
    }
    for n in 0..200 {
        assert_eq!(guess(&mut visitor, &format!("/s{}", n % 20), "wrong"), 403, "guess {n}");
    }
    let grown = resident(&server).saturating_sub(before);
    assert!(grown <= GROWTH_MAX, "{grown} KB more than {before}");
    server.stop();
}

#[test]
fn n02_creations_add_one_buffer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (server, before) = warm_server(folder.path());
    let mut admin = server.admin();
    for _ in 0..20 {
        admin.create(&json!({"url": "https://e.test/", "password": "open"}));
    }
    let one_by_one = resident(&server);
    let rows: Vec<Value> = (0..60).map(|_| json!({"url": "https://e.test/", "password": "open"})).collect();
    let made = admin.post(&format!("{LINKS}/bulk"), &json!({"links": rows})).expect(201, "a bulk");
    assert_eq!(made["created"], 60, "{made}");
    let grown = [one_by_one, resident(&server)].map(|now| now.saturating_sub(before));
    assert!(grown.iter().all(|grown| *grown <= GROWTH_MAX), "{grown:?} KB more than {before}");
    server.stop();
}

/// Each such line of an import is rejected with its field and rule, and writes nothing.
#[test]
fn n22_an_imported_hash_does_not_set_its_cost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let file = folder.path().join("lines");
    let import = |hash: &str| {
        let line = json!({"url": "https://e.test/", "shortCode": "m", "passwordHash": hash});
        fs::write(&file, format!("{line}\n")).expect("a small file");
        let file = file.display().to_string();
        Plan::on(&data).arg("import").arg("--dry-run").arg(&file).fails()
    };
    let rows = [
        ("$argon2id$v=19$m=3145728,t=1,p=1", "passwordHash: must take at most 65536 KiB of memory (m)"),
        ("$argon2id$v=19$m=19456,t=4000000,p=1", "passwordHash: must take at most 10 passes (t)"),
        ("$argon2id$v=19$m=19456,t=2,p=400", "passwordHash: must have at most 4 lanes (p)"),
        ("$argon2id$garbage", "passwordHash: must"),
    ];
    for (hash, rule) in rows {
        let (code, _, stderr) = import(&format!("{hash}${REST}"));
        assert_eq!(code, Some(1), "{hash}: {stderr}");
        assert!(stderr.contains("line 1: ") && stderr.contains(rule), "{hash}: {stderr}");
    }
    let (code, stdout, stderr) = import(&format!("$argon2i$v=19$m=65536,t=10,p=4${REST}"));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

/// Writes a link with a hash that imports reject today, as an older version did.
fn write_as_before(app: &TestApp, code: &str, hash: &str) {
    let links = app.app().core().links();
    let context = Context::of_program(
        links.tenants().acting(&Caller::Environment, None).expect("the first workspace"),
        links.clock().now(),
    );
    let draft = Draft {
        domain: DomainChoice::Default,
        code: Some(ShortCode::parse(code).expect("a valid code")),
        destination: "https://e.test/inside".into(),
        link_type: waypost::model::destination::LinkType::Url,
        password: None,
        edits: Vec::new(),
        names: Names::default(),
        reuse: false,
        code_prefix: None,
    };
    let hash = Some(PasswordHash::from_stored(hash.into()));
    let imported = Imported {
        draft,
        id: None,
        created_at: None,
        updated_at: None,
        clicks: 0,
        hash,
        aliases: Vec::new(),
    };
    app.wait(async {
        let mut import = links.import(OnConflict::Fail, false);
        import.add(&context, imported).await.expect("it is taken");
        import.finish().await.expect("it is written");
        links.catch_up().await.expect("the table follows");
    });
}

/// Returns the output of `doctor` about passwords.
fn doctor(data: &Path) -> String {
    let plan = Plan::on(data).env("WAYPOST_PUBLIC_URL", "http://localhost:8080").arg("doctor");
    let (_, stdout, _) = plan.fails();
    let line = stdout.lines().find(|line| line.contains(" passwords: "));
    line.unwrap_or_else(|| panic!("nothing about passwords: {stdout}")).to_owned()
}

/// Checking any of these hashes took all memory, or the only hashing thread for hours.
#[test]
fn n22_a_stored_hash_beyond_the_bounds_opens_nothing_and_costs_nothing() {
    let app = TestApp::start();
    let hashes = [
        format!("$argon2id$v=19$m=3145728,t=4000000,p=1${REST}"),
        format!("$argon2id$v=19$m=19456,t=4000000,p=1${REST}"),
        format!("$argon2id$v=19$m=4294967295,t=1,p=4${REST}"),
        "$argon2id$garbage".to_owned(),
        "open".to_owned(),
        String::new(),
    ];
    for (n, hash) in hashes.iter().enumerate() {
        write_as_before(&app, &format!("old{n}"), hash);
        let mut visitor = app.visitor();
        let page = visitor.get(&format!("/old{n}"));
        assert_eq!((page.status, page.header("location")), (200, None), "{hash}: it stays closed");
        for password in ["open", hash] {
            assert_eq!(guess(&mut visitor, &format!("/old{n}"), password), 403, "{hash}");
        }
    }
    // Other links still work, and the owner replaces the hash by setting a new password.
    let mut admin = app.admin();
    let list = admin.get(&format!("{LINKS}?limit=100")).expect(200, "the list");
    let old = list["links"].as_array().expect("links").iter().find(|link| link["shortCode"] == "old0");
    let path = format!("{LINKS}/{}", text(old.expect("it is listed"), "id"));
    admin.patch(&path, &json!({"password": "new"})).expect(200, "a new password");
    assert_eq!(guess(&mut app.visitor(), "/old0", "new"), 303);

    // A restored snapshot of an older version does not bring such a hash in either.
    let frozen = json!({"name": "S", "includePasswords": true});
    let snapshot = admin.post("/api/v1/snapshots", &frozen).expect(201, "frozen")["snapshot"].clone();
    let shares = format!("/api/v1/snapshots/{}/shares", text(&snapshot, "id"));
    let share = admin.post(&shares, &json!({"type": "permanent_link"})).expect(201, "shared");
    let body = json!({"shareLink": share["share"]["shareLink"], "onConflict": "rename"});
    let refused = admin.post("/api/v1/snapshots/import", &body);
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.text().contains("passwordHash"), "{}", refused.text());

    let said = doctor(app.data_dir());
    assert!(said.starts_with("warning") && said.contains("5 of 6 links with a password"), "{said}");
}

/// Returns the CPU time of a process, in clock ticks.
fn ticks(process: &Process) -> u64 {
    let stat = fs::read_to_string(process.proc("stat")).expect("the process runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    // User and system time are fields 14 and 15 of the line; the third field is the first here.
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

/// A bulk held the lock of all writes while it hashed a thousand passwords. Now a creation that needs the
/// lock exclusively, and twenty others, complete before the bulk, which has hundreds of hashes left.
#[test]
fn n06_a_bulk_that_hashes_keeps_no_other_write_waiting() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).start();
    let mut admin = server.admin();
    let own = |n: usize| json!({"url": format!("http://{HOST}/to{n}"), "customSlug": format!("from{n}")});
    admin.create(&own(1_000));
    let domain = admin.post("/api/v1/domains", &json!({"domain": "d.test"})).expect(201, "a domain");
    let domain = format!("/api/v1/domains/{}", text(&domain["domain"], "id"));
    let mut rows: Vec<Value> =
        (0..1_000).map(|_| json!({"url": "https://e.test/", "password": "open"})).collect();
    // One row that leads to this server makes the whole bulk exclusive.
    rows[0]["url"] = json!(format!("http://{HOST}/elsewhere"));
    let mut bulk = Connection::open(server.address()).expect("the server accepts");
    let body = json!({"links": rows}).to_string();
    let head = format!(
        "POST {LINKS}/bulk HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let before = ticks(&server);
    bulk.send(head.as_bytes()).and_then(|()| bulk.send(body.as_bytes())).expect("the server reads");
    poll("the bulk to hash", PATIENCE, || (ticks(&server) > before + 50).then_some(()));
    for n in 0..20 {
        admin.create(&own(n));
        admin.create(&json!({"url": "https://e.test/"}));
        let root = json!({"rootUrl": format!("http://{HOST}/root{n}")});
        admin.patch(&domain, &root).expect(200, "a domain is changed");
    }
    let total = admin.get(&format!("{LINKS}?limit=1")).expect(200, "the list")["total"].as_u64();
    assert!(total.is_some_and(|total| (41..1_041).contains(&total)), "the bulk hashes still: {total:?}");
    let metrics = admin.get("/metrics").text();
    assert!(metrics.contains("\nwaypost_exclusive_holds_over_100ms_total "), "{metrics}");
    server.kill();
}

/// Rows that lead to this server are written a hundred at a time, so that other writes run in between. An
/// atomic bulk is still one Change.
#[test]
fn n06_a_long_exclusive_bulk_is_cut_into_several_holds() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let position = || {
        let metrics = app.admin().get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("waypost_log_position "));
        line.and_then(|number| number.parse::<u64>().ok()).expect("the position")
    };
    let mut changes = |rows: Value, atomic: bool| {
        let before = position();
        let body = json!({"links": rows, "atomic": atomic});
        let made = admin.post(&format!("{LINKS}/bulk"), &body).expect(201, "a bulk");
        assert_eq!(made["failed"], json!([]), "{made}");
        position() - before
    };
    let rows = |prefix: &str, host: &str| -> Value {
        let row = |n| json!({"url": format!("http://{host}/x{n}"), "customSlug": format!("{prefix}{n}")});
        (0..1_000).map(row).collect()
    };
    assert_eq!(changes(rows("a", HOST), false), 10);
    assert_eq!(changes(rows("b", HOST), true), 1);
    // Cut by size alone.
    assert_eq!(changes(rows("c", "e.test"), false), 2);
}

/// The check before the lock cannot see writes between the check and the lock. Of two parallel links that
/// would lead to each other, at most one is created.
#[test]
fn n06_links_that_race_to_lead_to_each_other_do_not_make_a_loop() {
    let app = TestApp::start();
    for round in 0..40 {
        let link = |from: &str, to: &str| json!({"url": format!("http://{HOST}/{to}{round}"), "customSlug": format!("{from}{round}")});
        let (a, b) = (link("a", "b"), link("b", "a"));
        let made = std::thread::scope(|scope| {
            let one = scope.spawn(|| app.admin().post(LINKS, &a).status);
            let other = scope.spawn(|| app.admin().post(&format!("{LINKS}/bulk"), &json!({"links": [b]})));
            let other = other.join().expect("no panic").expect(201, "a bulk")["created"].clone();
            (one.join().expect("no panic"), other)
        });
        assert!(made == (201, json!(0)) || made == (422, json!(1)), "round {round}: {made:?}");
    }
}

/// The hashing of a bulk continued for half a minute after its client had left.
#[test]
fn n05_a_bulk_that_has_written_nothing_ends_when_its_client_leaves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).start();
    let rows: Vec<Value> =
        (0..1_000).map(|_| json!({"url": "https://e.test/", "password": "open"})).collect();
    let body = json!({"links": rows}).to_string();
    let head = format!(
        "POST {LINKS}/bulk HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut bulk = Connection::open(server.address()).expect("the server accepts");
    let before = ticks(&server);
    bulk.send(head.as_bytes()).and_then(|()| bulk.send(body.as_bytes())).expect("the server reads");
    poll("the bulk to hash", PATIENCE, || (ticks(&server) > before + 50).then_some(()));
    drop(bulk);
    // A thousand hashes take hundreds of ticks, so an idle server has stopped long before the end.
    let mut last = ticks(&server);
    poll("the hashing to end", PATIENCE, || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = ticks(&server);
        (now - std::mem::replace(&mut last, now) <= 5).then_some(())
    });
    let total = server.admin().get(&format!("{LINKS}?limit=1")).expect(200, "the list")["total"].clone();
    assert_eq!(total, 0, "nothing was made");
    server.kill();
}
