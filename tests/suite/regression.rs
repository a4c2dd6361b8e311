//! One test for each error of an earlier version. Its doc describes the error.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use waypost::app::Store;
use waypost::clock::{Clock, Timestamp};
use waypost::config::Config;
use waypost::core::{Bulk, Caller, Context, Core, Error, Imported, OnConflict};
use waypost::log::{Proposal, Put};
use waypost::model::destination::LinkType;
use waypost::model::domain::{DomainEdit, DomainNumber};
use waypost::model::id::Id;
use waypost::model::key::{KeyDraft, KeyReach, Scopes};
use waypost::model::link::{DomainChoice, Draft, Link, Names, Password};
use waypost::model::node::NodeNumber;
use waypost::model::short_code::ShortCode;
use waypost::model::tag::{Tag, TagEdit};
use waypost::readiness::Readiness;
use waypost::table::keys;
use waypost::table::record::{
    LinkAt, OutcomeRecord, Stored, StoredOutcome, TagName, WorkMark, encode_clicks,
};

use crate::support::app::{HOST, START, TestApp};
use crate::support::failing_log::{Fault, Faults};
use crate::support::http::text;
use crate::support::native::LINKS;
use crate::support::process::{Plan, command};

/// Eight parallel first visits of a new link could each load the link. Two loads created two counters, and
/// the last one drained overwrote the total of the other.
#[test]
fn parallel_first_clicks_are_all_counted() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let ids: Vec<String> = (0..20)
        .map(|n| admin.create(&json!({"url": "https://e.test/", "customSlug": format!("c{n}")})))
        .map(|link| text(&link, "id").to_owned())
        .collect();
    for n in 0..20 {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(app.visitor().get(&format!("/c{n}")).status, 302));
            }
        });
    }
    let app = app.restart();
    for id in ids {
        assert_eq!(app.admin().clicks(&id), 8, "{id}");
    }
}

/// Deleting a domain searched for links, found none, and continued while a link was created on the domain.
/// The link had no domain afterwards, and its workspace's list failed with 503 forever.
#[test]
fn a_domain_is_not_deleted_from_under_a_new_link() {
    let app = Arc::new(TestApp::start());
    for round in 0..20 {
        let name = format!("d{round}.test");
        let domain = app.admin().post("/api/v1/domains", &json!({"domain": name})).expect(201, &name);
        let path = format!("/api/v1/domains/{}", text(&domain["domain"], "id"));
        let (made, deleted) = thread::scope(|scope| {
            let made =
                scope.spawn(|| app.admin().post(LINKS, &json!({"url": "https://e.test/", "domain": name})));
            let deleted = scope.spawn(|| app.admin().delete(&path));
            (made.join().expect("no panic").status, deleted.join().expect("no panic").status)
        });
        assert!(matches!((made, deleted), (201, 422) | (422, 200)), "round {round}: {made} {deleted}");
    }
    app.admin().get(LINKS).expect(200, "the list");
}

/// The number of a deleted domain was given to the next one, and a repeated POST returned the wrong domain.
#[test]
fn a_repeated_post_never_shows_another_domain() {
    let app = TestApp::start();
    let mut once = app.admin().with("Idempotency-Key", "first");
    let body = json!({"domain": "one.test"});
    let domain = once.post("/api/v1/domains", &body).expect(201, "made");
    app.admin().delete(&format!("/api/v1/domains/{}", text(&domain["domain"], "id"))).expect(200, "deleted");
    app.admin().post("/api/v1/domains", &json!({"domain": "two.test"})).expect(201, "the next");
    let again = once.post("/api/v1/domains", &body);
    assert_eq!(again.status, 404, "{}", again.text());
}

/// After a tag was deleted, links with that tag could not be changed any more.
#[test]
fn links_of_a_deleted_tag_can_be_changed() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let tag = admin.post("/api/v1/tags", &json!({"name": "promo"})).expect(201, "the tag");
    let tag = text(&tag["tag"], "id").to_owned();
    let link = admin.create(&json!({"url": "https://e.test/", "tagIds": [tag]}));
    admin.delete(&format!("/api/v1/tags/{tag}")).expect(200, "the tag is gone");
    let path = format!("{LINKS}/{}", text(&link, "id"));
    let changed = admin.patch(&path, &json!({"title": "T"})).expect(200, "a change of something else");
    assert_eq!(changed["link"]["tags"], json!([]));
    let error = format!("tagIds: {tag} is not a tag of this workspace");
    admin.create(&json!({"url": "https://e.test/", "customSlug": "other"}));
    admin.post(LINKS, &json!({"url": "https://e.test/", "tagIds": [tag]})).refuses(422, &error, "a new link");
}

/// Two rows of one bulk, or two parallel requests, could create links that lead to each other: each check
/// read a table without the other link.
#[test]
fn links_of_parallel_requests_do_not_lead_to_each_other() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let pair = json!([
        {"url": "http://go.test/b", "customSlug": "a"},
        {"url": "http://go.test/a", "customSlug": "b"},
    ]);
    let bulk = admin.post("/api/v1/links/bulk", &json!({"links": pair})).expect(201, "row by row");
    assert_eq!((&bulk["created"], &bulk["failed"][0]["row"]), (&json!(1), &json!(1)), "{bulk}");
    for round in 0..20 {
        let row = |from: &str, to: &str| -> Value {
            json!({"url": format!("http://go.test/{to}{round}"), "customSlug": format!("{from}{round}")})
        };
        let both = thread::scope(|scope| {
            let one = scope.spawn(|| app.admin().post(LINKS, &row("x", "y")).status);
            let two = scope.spawn(|| app.admin().post(LINKS, &row("y", "x")).status);
            [one.join().expect("no panic"), two.join().expect("no panic")]
        });
        assert!(both == [201, 422] || both == [422, 201], "round {round}: {both:?}");
    }
}

/// A bulk of long texts was rejected as a whole, since the split counted destinations only.
#[test]
fn a_bulk_of_long_texts_is_split_by_what_it_takes() {
    let app = TestApp::start();
    let notes = "n".repeat(4_000);
    let rows: Vec<Value> =
        (0..600).map(|n| json!({"url": format!("https://e.test/{n}"), "notes": notes})).collect();
    let bulk = app.admin().post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "600 rows");
    assert_eq!((&bulk["created"], &bulk["failed"]), (&json!(600), &json!([])));
}

/// Two lines with one id created links with the same place in the list. Deleting one left the table
/// rebuilding forever. An id from the far future left no ids for later links.
#[test]
fn an_import_keeps_only_unused_ids() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = folder.path().join("lines.jsonl");
    let id = "0N88vwqiElLIf3iP0wzK";
    let line = |slug: &str, id: &str| {
        json!({"url": "https://e.test/", "shortCode": slug, "id": id, "clickCount": 3}).to_string()
    };
    let text = [line("a", id), line("b", id), line("c", "zzzzzzzzzzzzzzzzzzzz")].join("\n");
    std::fs::write(&lines, text).expect("a small file");
    let data = folder.path().join("data");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_waypost"))
        .arg("import")
        .arg(&lines)
        .env("WAYPOST_DATA_DIR", &data)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let server = Plan::on(&data).start();
    let list = server.admin().get(LINKS).expect(200, "the list");
    let ids: std::collections::HashSet<&str> = list["links"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|link| crate::support::http::text(link, "id"))
        .collect();
    assert_eq!((ids.len(), list["total"].as_u64()), (3, Some(3)), "{list}");
    assert!(ids.contains(id) && !ids.contains("zzzzzzzzzzzzzzzzzzzz"), "{ids:?}");
    server.stop();
}

/// Opens a store for commands, without a server.
async fn store(folder: &Path) -> Store {
    node(folder, NodeNumber::ALONE).await
}

async fn node(folder: &Path, number: NodeNumber) -> Store {
    let config = Config { data_dir: folder.join("data"), ..Config::default() };
    let clock = Clock::fixed(Timestamp::from_millis(START));
    let opened = Store::open_as(number, &config, clock, &Readiness::default(), |log| log);
    let store = opened.expect("it opens");
    store.ready(&config.data_dir).await.expect("its first records");
    store
}

fn on_behalf_of_nobody(core: &Core) -> Context {
    Context::of_program(
        core.tenants().acting(&Caller::Environment, None).expect("the first workspace"),
        Timestamp::from_millis(START),
    )
}

fn draft() -> Draft {
    Draft {
        domain: DomainChoice::Default,
        code: None,
        destination: "https://e.test/".into(),
        link_type: LinkType::Url,
        password: None,
        edits: Vec::new(),
        names: Names::default(),
        reuse: false,
        code_prefix: None,
    }
}

/// A drain of counters that ran while a link was deleted wrote the total again after the deletion, and
/// nothing ever removed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_of_a_deleted_link_do_not_stay_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(folder.path()).await;
    let (links, context) = (store.core.links(), on_behalf_of_nobody(&store.core));
    let mut ids = Vec::new();
    for _ in 0..40 {
        let id = links.create(&context, draft()).await.expect("made").link.id;
        let counter =
            links.cache().counters().get_or_load(id, false, || Ok::<_, ()>(0.into())).expect("nothing fails");
        links.cache().counters().count(&counter);
        let (links, context) = (links.clone(), context.clone());
        let mut deleting = tokio::spawn(async move { links.delete(&context, id).await });
        let click_log = store.core.click_log();
        loop {
            tokio::select! {
                done = &mut deleting => break done.expect("no panic").expect("deleted"),
                flushed = click_log.flush() => {
                    flushed.expect("written");
                    store.core.cache().counters().count(&counter);
                }
            }
        }
        store.core.click_log().flush().await.expect("written");
        ids.push(id);
    }
    let left = ids.iter().filter(|id| clicks(&store, **id) > 0).count();
    assert_eq!(left, 0, "of {}", ids.len());
    // A total that remained is removed with the tombstone.
    let total = Put { key: keys::clicks(ids[0], NodeNumber::ALONE), value: Some(encode_clicks(7).into()) };
    let position =
        store.log.commit(Proposal { puts: vec![total], ..Proposal::default() }).await.expect("written");
    assert!(store.table.wait(position).await && clicks(&store, ids[0]) == 7);
    let later = Timestamp::from_millis(START).plus_millis(31 * 24 * 60 * 60 * 1_000);
    store.core.sweep_expired(later).await.expect("swept");
    assert!(store.table.wait(store.log.position()).await);
    assert_eq!(clicks(&store, ids[0]), 0);
    store.close().await;
}

/// Returns the clicks of a link in the table.
fn clicks(store: &Store, id: Id) -> u64 {
    store.table.clicks(id, NodeNumber::ALONE).expect("the table answers").total()
}

fn imported(draft: Draft) -> Imported {
    Imported {
        draft,
        id: None,
        created_at: None,
        updated_at: None,
        clicks: 0,
        hash: None,
        aliases: Vec::new(),
    }
}

/// A link that was deleted and imported again with its id lost its clicks a month later, with its tombstone.
#[tokio::test]
async fn clicks_of_a_link_that_came_back_outlive_its_tombstone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(folder.path()).await;
    let (links, context) = (store.core.links(), on_behalf_of_nobody(&store.core));
    let gone = links.create(&context, draft()).await.expect("made").link.id;
    let id = links.create(&context, draft()).await.expect("made").link.id;
    for id in [gone, id] {
        links.delete(&context, id).await.expect("deleted");
    }
    let mut import = links.import(OnConflict::Fail, false);
    let again = Imported { id: Some(id), clicks: 7, ..imported(draft()) };
    import.add(&context, again).await.expect("a line like any other");
    import.finish().await.expect("durable");
    links.catch_up().await.expect("the table follows");
    let later = Timestamp::from_millis(START).plus_millis(31 * 24 * 60 * 60 * 1_000);
    assert_eq!(
        links.sweep_expired(later).await.expect("swept"),
        3,
        "two tombstones, and a total that nobody has"
    );
    links.catch_up().await.expect("the table follows");
    assert_eq!(clicks(&store, id), 7);
    store.close().await;
}

/// A line without tags before a line with one hid the tags that the workspace had: the import created a tag that
/// existed, and failed.
#[tokio::test]
async fn an_import_finds_the_tags_of_its_workspace_after_a_line_without_tags() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(folder.path()).await;
    let (links, context) = (store.core.links(), on_behalf_of_nobody(&store.core));
    let tag = store.core.tenants().create_tag(&context, "summer".into(), Vec::new()).await.expect("created");
    let mut import = links.import(OnConflict::Fail, false);
    import.add(&context, imported(draft())).await.expect("a line without tags");
    let names = Names { tags: Some(vec!["summer".into()]), ..Names::default() };
    import.add(&context, imported(Draft { names, ..draft() })).await.expect("a line with the tag");
    import.finish().await.expect("durable");
    links.catch_up().await.expect("the table follows");
    let tags = store.core.tenants().tags(&context).await.expect("the tags");
    assert_eq!(tags, [tag]);
    store.close().await;
}

/// After a write that the disk rejected, an import counted the links of that Change and of the next one.
#[test]
fn an_import_counts_what_the_log_took() {
    let faults = Faults::default();
    let app = TestApp::start_ill(|_| {}, &faults, true);
    let links = app.app().core().links();
    let context = on_behalf_of_nobody(&links);
    let mut import = links.import(OnConflict::Fail, false);
    let mut add = |count: usize| {
        let url = format!("https://e.test/{}", "u".repeat(8_000));
        let line = || imported(Draft { destination: url.as_str().into(), ..draft() });
        (0..count).find_map(|_| app.wait(import.add(&context, line())).err())
    };
    assert!(add(100).is_none(), "more than one Change");
    faults.set(Some(Fault::Full));
    let error = add(1_000).expect("refused").to_string();
    faults.set(None);
    let (made, _) = app.wait(import.finish()).expect("nothing is left to write");
    app.wait(links.catch_up()).expect("the table follows");
    let list = app.admin().get(LINKS).expect(200, "the list");
    assert_eq!(list["total"].as_u64(), Some(made), "{error}");
    assert!(made > 0, "{error}");
}

/// An import accepted two lines that lead to each other: its check ignored Changes that the table had not
/// applied, and links that a dry run does not write.
#[test]
fn an_import_creates_no_links_that_lead_to_each_other() {
    let app = TestApp::start();
    let links = app.app().core().links();
    let context = on_behalf_of_nobody(&links);
    let line = |from: &str, to: &str| {
        let code = ShortCode::parse(from).expect("a code");
        let destination = format!("http://{HOST}/{to}").into();
        imported(Draft { code: Some(code), destination, ..draft() })
    };
    for dry_run in [true, false] {
        let mut import = links.import(OnConflict::Fail, dry_run);
        app.wait(import.add(&context, line("a", "b"))).expect("to what is not there");
        app.wait(import.add(&context, line("b", "c"))).expect("to what is not there");
        let error = app.wait(import.add(&context, line("c", "a"))).expect_err("back to itself").to_string();
        assert_eq!(error, "url: must not lead back to this short link", "dry run: {dry_run}");
        assert_eq!(app.wait(import.finish()).expect("written"), (2, 0), "dry run: {dry_run}");
    }
}

/// An import waited forever for a table that could not apply the log.
#[tokio::test(start_paused = true)]
async fn an_import_does_not_wait_for_a_table_that_is_stuck() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(folder.path()).await;
    let links = store.core.links();
    let mut import = links.import(OnConflict::Fail, false);
    store.table.stop();
    let total =
        Put { key: keys::clicks(Id::from_bits(7), NodeNumber::ALONE), value: Some(encode_clicks(7).into()) };
    store.log.commit(Proposal { puts: vec![total], ..Proposal::default() }).await.expect("written");
    import.finish().await.expect("durable");
    let error = store.core.catch_up().await.expect_err("it stands still").to_string();
    assert!(error.contains("the table does not take in what the log has"), "{error}");
}

/// Lines of an unknown workspace were imported into the oldest one.
#[test]
fn an_import_rejects_lines_of_unknown_workspaces() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, lines) = (folder.path().join("data"), folder.path().join("lines.jsonl"));
    let line = |workspace: &str| json!({"url": "https://e.test/", "workspaceId": workspace}).to_string();
    std::fs::write(&lines, [line("here"), line("elsewhere")].join("\n")).expect("a small file");
    let import = |arguments: &[&str]| {
        let ran = command().arg("import").arg(&lines).args(arguments).env("WAYPOST_DATA_DIR", &data).output();
        let ran = ran.expect("the binary runs");
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let (done, said) = import(&[]);
    assert!(done, "the only workspace takes all: {said}");
    let server = Plan::on(&data).start();
    server.admin().post("/api/v1/workspaces", &json!({"name": "W", "id": "here"})).expect(201, "another");
    server.stop();
    let (done, said) = import(&["--dry-run"]);
    let why = "line 2: workspaceId: \"elsewhere\" is not a workspace of this server";
    assert!(!done && said.contains(why) && !said.contains("line 1:"), "{said}");
    let (done, said) = import(&["--workspace", "here"]);
    assert!(done, "{said}");
    let server = Plan::on(&data).start();
    for (workspace, links) in [("here", 2), ("", 2)] {
        let mut client = server.admin();
        if !workspace.is_empty() {
            client = client.with("X-Workspace-Id", workspace);
        }
        assert_eq!(client.get(LINKS).expect(200, workspace)["total"], links, "{workspace:?}");
    }
    server.stop();
}

/// An import without `--config` created an instance in the current folder and did not name it, also if the import
/// failed.
#[test]
fn an_import_names_its_folder_and_a_mistake_creates_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, lines) = (folder.path().join("data"), folder.path().join("lines.jsonl"));
    let csv = folder.path().join("lines.csv");
    std::fs::write(&lines, "{\"url\":\"https://e.test/\",\"customSlug\":\"q\"}\n").expect("a small file");
    std::fs::write(&csv, "code,url\nq,https://e.test/\n").expect("a small file");
    let import = |arguments: &[&str]| {
        let ran = command().arg("import").args(arguments).env("WAYPOST_DATA_DIR", &data).output();
        let ran = ran.expect("the binary runs");
        let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        (ran.status.code(), said)
    };
    let (file, csv, here) = (lines.display().to_string(), csv.display().to_string(), folder.path().display());
    let none = format!("nothing was imported: {here}/data contains no log, and none was created");
    let rows: [(&[&str], &str, bool); 5] = [
        (&[&csv], "line 1: this looks like CSV", false),
        (&[&here.to_string()], &format!("cannot read {here}: Is a directory"), false),
        (&["/no/such/file"], "cannot read /no/such/file: No such file", false),
        (&[&file, "--domain", "nope.test"], "--domain nope.test: a new instance has only the domain", true),
        (&[&file, "--workspace", "nope"], "--workspace nope: a new instance has no workspace", true),
    ];
    for (arguments, why, is_new) in rows {
        let (code, said) = import(arguments);
        assert!(
            code == Some(1) && said.contains(why) && said.contains(&none) == is_new,
            "{arguments:?}: {said}"
        );
        assert!(!data.exists(), "{arguments:?}");
    }
    let want = format!("imported 1 link into the new data folder {here}/data, skipped 0 whose");
    let (code, said) = import(&[&file]);
    assert!(code == Some(0) && said.contains(&want), "{said}");
    let want = format!("imported 0 links into {here}/data, skipped 1 whose");
    let (code, said) = import(&[&file, "--on-conflict", "skip"]);
    assert!(code == Some(0) && said.contains(&want), "{said}");
    // The options are wrong, and not the first line.
    for (option, why) in [
        ("--domain", "waypost: --domain nope: this server has no such domain\n"),
        ("--workspace", "waypost: --workspace nope: this server has no such workspace\n"),
    ] {
        let (code, said) = import(&[&file, option, "nope"]);
        assert!(code == Some(1) && said == why, "{said}");
    }
}

/// Errors of paths were the system's, without the path or with an internal name.
#[test]
fn errors_of_paths_name_the_path_and_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    Plan::on(&data).start().stop();
    let data = data.display().to_string();
    let rows: [(&[&str], &str, &str); 4] = [
        (&["restore", "/nope"], &data, "/nope does not exist: name a data folder of Waypost, or a backup"),
        (&["verify"], "/nope", "/nope does not exist"),
        (&[], "/dev/null", "cannot use the data folder /dev/null: it exists and is no folder"),
        (&["export", "--output", "/nope/x"], &data, "cannot write /nope/x: the folder /nope does not exist"),
    ];
    for (arguments, data, why) in rows {
        let plan = arguments.iter().fold(Plan::on(Path::new(data)), |plan, argument| plan.arg(argument));
        let (code, _, stderr) = plan.fails();
        assert!(code == Some(1) && stderr.contains(why), "{arguments:?}: {stderr}");
    }
}

/// Keys and domains were unbounded, although all of them are in memory.
#[test]
fn keys_and_domains_are_bounded() {
    const MOST: usize = 1_000;
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.post("/api/v1/workspaces", &json!({"name": "W", "id": "other"})).expect(201, "another");
    let key = |n: usize| json!({"name": format!("k{n}"), "scopes": ["links.write"]});
    let domain = |n: usize| json!({"domain": format!("d{n}.test")});
    let rows: [(&str, &dyn Fn(usize) -> Value, &str); 2] = [
        ("keys", &key, "there are at most 1000 keys of one reach"),
        ("domains", &domain, "a workspace has at most 1000 domains"),
    ];
    for (what, body, why) in rows {
        let path = format!("/api/v1/{what}");
        let mut last = String::new();
        for n in 0..MOST - 2 {
            let made = admin.post(&path, &body(n)).expect(201, what);
            text(&made[&what[..what.len() - 1]], "id").clone_into(&mut last);
        }
        // The bound also holds for parallel creations.
        let made: Vec<u16> = std::thread::scope(|scope| {
            let (app, path) = (&app, &path);
            let make = |n| {
                let body = body(2 * MOST + n);
                scope.spawn(move || app.admin().post(path, &body).status)
            };
            let threads: Vec<_> = (0..16).map(make).collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
        });
        let at_once = made.iter().filter(|status| **status == 201).count();
        assert!(at_once <= 2, "{what}: {made:?}");
        for n in at_once..2 {
            admin.post(&path, &body(3 * MOST + n)).expect(201, what);
        }
        admin.post(&path, &body(MOST)).refuses(403, why, what);
        let mut other = app.admin().with("X-Workspace-Id", "other");
        other.post(&path, &body(MOST + 1)).expect(201, "elsewhere there is room");
        admin.delete(&format!("{path}/{last}")).expect(200, "one less");
        admin.post(&path, &body(MOST)).expect(201, "room for one");
    }
}

/// Two revocations at the same time each counted the other's key and removed both. No key was left that
/// could create another one.
#[tokio::test]
async fn one_of_the_last_two_keys_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(folder.path()).await;
    let (tenants, context) = (store.core.tenants(), on_behalf_of_nobody(&store.core));
    let second = KeyDraft {
        name: "second".into(),
        reach: Some(KeyReach::Instance),
        scopes: Scopes::all(),
        create_only: false,
        expires_at: None,
    };
    tenants.create_key(&context, second).await.expect("made");
    let ids: Vec<Id> = tenants.keys(&context).iter().map(|view| view.key.id).collect();
    let done = tokio::join!(tenants.revoke_key(&context, ids[0]), tenants.revoke_key(&context, ids[1]));
    assert!(matches!(done, (Ok(()), Err(Error::Forbidden(_)))), "{done:?}");
    assert_eq!(tenants.keys(&context).len(), 1);
    store.close().await;
}

/// The sweep removed an outcome that a repetition had stored since the sweep read the expired one. The next
/// repetition ran the command a second time.
#[tokio::test]
async fn the_sweep_keeps_an_outcome_that_is_replaced_during_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(folder.path()).await;
    let start = Timestamp::from_millis(START);
    let later = start.plus_millis(2 * 24 * 60 * 60 * 1_000);
    let (replaced, expired) = (keys::outcome(&[1; 16]), keys::outcome(&[2; 16]));
    let put = |key: &Bytes, at| {
        let outcome = StoredOutcome::Domain(DomainNumber::DEFAULT);
        Put { key: key.clone(), value: Some(OutcomeRecord { body: [0; 16], at, outcome }.encode().into()) }
    };
    write(&store, vec![put(&replaced, start), put(&expired, start)]).await;
    let mut sweep = Box::pin(store.core.sweep_expired(later));
    begin(&mut sweep).await;
    write(&store, vec![put(&replaced, later)]).await;
    assert_eq!(sweep.await.expect("swept"), 1, "only the outcome that is still expired");
    store.core.catch_up().await.expect("the table follows");
    let is_stored = |key: &Bytes| store.table.holds_key(key).expect("the table answers");
    assert_eq!((is_stored(&replaced), is_stored(&expired)), (true, false));
    store.close().await;
}

async fn write(store: &Store, puts: Vec<Put>) {
    let position = store.log.commit(Proposal { puts, ..Proposal::default() }).await.expect("written");
    assert!(store.table.wait(position).await);
}

/// Polls a future once, and waits until the work that it has started on another thread is done.
async fn begin<F: Future + Unpin>(future: &mut F) {
    tokio::select! {
        biased;
        _ = future => panic!("it has ended"),
        () = std::future::ready(()) => {}
    }
    // Blocks the runtime, so that nothing else runs.
    thread::sleep(Duration::from_millis(300));
}

/// A removal of content that stopped after its first Change was never finished: the next sweep found no
/// first chunk, and removed only the mark.
#[tokio::test]
async fn an_interrupted_removal_of_content_is_finished() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(folder.path()).await;
    let frozen = Id::from_bits(7);
    let mark = WorkMark { frozen, owner: NodeNumber::ALONE, until: Timestamp::from_millis(START) };
    // The numbers behind the first Change, and more than one Change of them.
    let chunks = (500..1_100).map(|number| keys::chunk(frozen, number));
    let mut puts: Vec<Put> = chunks.map(|key| Put { key, value: Some(Bytes::from_static(b"c")) }).collect();
    puts.push(Put { key: keys::content_mark(frozen), value: Some(mark.encode().into()) });
    write(&store, puts).await;
    store.core.snapshots().sweep_unfinished().await.expect("swept");
    let mut left = 0;
    for prefix in [keys::chunks_of(frozen), keys::content_mark(frozen)] {
        let count = &mut |_: &[u8], _, _: &[u8]| {
            left += 1;
            Ok(())
        };
        store.table.each_raw(&prefix, count).expect("the table answers");
    }
    assert_eq!(left, 0);
    store.close().await;
}

/// A bulk failed with 503 if a domain of its rows was edited after they were prepared.
#[tokio::test]
async fn a_bulk_survives_an_edit_of_its_domain() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = store(folder.path()).await;
    let (links, context) = (store.core.links(), on_behalf_of_nobody(&store.core));
    let domain = links.tenants().domains(&context).await.expect("the domains")[0].domain.id;
    let first = Draft { code: Some(ShortCode::parse("Ab").expect("a code")), ..draft() };
    // The bulk waits for the hash of its second row, and its first row is prepared by then.
    let second = Draft { password: Some(Password::parse("secret").expect("a password")), ..draft() };
    let rows = vec![Ok(first), Ok(second)];
    let bulk = Bulk { domain: DomainChoice::Default, rows, atomic: false };
    let mut bulk = Box::pin(links.create_bulk(&context, bulk));
    begin(&mut bulk).await;
    let edits = vec![DomainEdit::CaseSensitive(false)];
    links.tenants().update_domain(&context, domain, edits).await.expect("edited");
    let made = bulk.await.expect("made");
    let codes: Vec<&str> = made.links.iter().map(|view| view.link.code.as_str()).collect();
    assert_eq!((codes.len(), codes[0]), (2, "ab"), "as the edited domain stores them");
    store.close().await;
}

/// Codes of emoji and names of tags were stored as they were written, so that one word could exist twice.
/// Such records stay usable, and nothing new takes their place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_f21_earlier_spellings_of_codes_and_tags_are_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let earlier = store(folder.path()).await;
    let (tenants, links, context) =
        (earlier.core.tenants(), earlier.core.links(), on_behalf_of_nobody(&earlier.core));
    let workspace = context.workspace.number;
    let put = |key: Bytes, value: Option<Vec<u8>>| Put { key, value: value.map(Into::into) };
    let mut puts = Vec::new();
    let mut ids = Vec::new();
    for (made, name) in [("one", "Summer"), ("two", "SUMMER")] {
        let tag = tenants.create_tag(&context, made.into(), Vec::new()).await.expect("made");
        let key = keys::tag(workspace, tag.id);
        ids.push(tag.id);
        puts.push(put(keys::tag_name(workspace, made), None));
        puts.push(put(keys::tag_name(workspace, name), Some(TagName(tag.id).encode())));
        puts.push(put(key, Some(Tag { name: name.into(), ..tag }.encode())));
    }
    let made = links.create(&context, draft()).await.expect("made").link;
    let id = Id::from_bits(made.id.bits() + 1);
    let heart = Link { id, code: ShortCode::from_stored("\u{2764}\u{fe0f}"), ..made };
    let key = keys::link(DomainNumber::DEFAULT, heart.code.as_str());
    puts.push(put(key, Some(LinkAt::encode(&heart))));
    let position = earlier.log.commit(Proposal { puts, ..Proposal::default() }).await.expect("written");
    assert!(earlier.table.wait(position).await);
    earlier.close().await;

    let today = store(folder.path()).await;
    let (tenants, links, context) =
        (today.core.tenants(), today.core.links(), on_behalf_of_nobody(&today.core));
    for name in ["summer", "Summer"] {
        let error = tenants.create_tag(&context, name.into(), Vec::new()).await.expect_err("in use");
        assert!(matches!(error, Error::Taken { .. }), "{error:?}");
    }
    // Each spelling means its own tag, and other spellings the oldest.
    for (name, id) in [("Summer", ids[0]), ("SUMMER", ids[1]), ("sUMMer", ids[0])] {
        let names = Names { tags: Some(vec![name.into()]), ..Names::default() };
        let made = links.create(&context, Draft { names, ..draft() }).await.expect("made");
        assert_eq!(made.link.options.tags, [id], "{name}");
    }
    let rename = |id, name: &str| {
        let (tenants, context, name) = (tenants.clone(), context.clone(), Box::from(name));
        async move { tenants.update_tag(&context, id, vec![TagEdit::Name(name)]).await }
    };
    assert!(matches!(rename(ids[0], "summer").await, Err(Error::Taken { .. })));
    tenants.delete_tag(&context, ids[1]).await.expect("deleted");
    rename(ids[0], "summer").await.expect("its own name");
    for code in ["\u{2764}", "\u{2764}\u{fe0f}"] {
        let code = Some(ShortCode::parse(code).expect("a code"));
        let error = links.create(&context, Draft { code, ..draft() }).await.expect_err("in use");
        assert!(matches!(error, Error::CodeTaken { .. }), "{error:?}");
    }
    today.close().await;

    let server = Plan::on(&folder.path().join("data")).start();
    for path in ["/%E2%9D%A4%EF%B8%8F", "/%E2%9D%A4"] {
        assert_eq!(server.visitor().get(path).status, 302, "{path}");
    }
    server.stop();
}
