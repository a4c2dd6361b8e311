//! The history of links and the audit lists of workspaces: what is kept, undo, restore, and the bounds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use waypost::clock::Timestamp;
use waypost::core::{Caller, Context};
use waypost::model::link::branch::Branches;
use waypost::table::record::LinkAt;

use crate::support::app::TestApp;
use crate::support::http::{Client, text};
use crate::support::native::{LINKS, path_of};
use crate::support::process::{Dice, PATIENCE, command, poll};

const DAY: Duration = Duration::from_hours(24);

/// Returns the bytes of the log.
fn log_bytes(admin: &mut Client) -> u64 {
    let metrics = admin.get("/metrics").text();
    let value = metrics.lines().find_map(|line| line.strip_prefix("waypost_log_bytes "));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

/// Returns the rows of a history, the newest first.
fn history(client: &mut Client, path: &str) -> Vec<Value> {
    let page = client.get(&format!("{path}/history?limit=100")).expect(200, path);
    assert!(page["nextCursor"].is_null(), "{page}");
    page["history"].as_array().expect("a list").clone()
}

/// Returns the entries of an audit list, read in pages of this size.
fn audit(client: &mut Client, query: &str, limit: usize) -> Vec<Value> {
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/api/v1/audit?limit={limit}&{query}{cursor}")).expect(200, query);
        entries.extend(page["audit"].as_array().expect("a list").clone());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return entries,
        }
    }
}

fn sweep(app: &TestApp) -> usize {
    app.wait(app.app().core().sweep_expired(app.clock().now())).expect("swept")
}

fn undo(client: &mut Client, path: &str, body: &Value) -> Value {
    client.post(&format!("{path}/undo"), body).expect(201, &body.to_string())["link"].clone()
}

/// A create costs what it cost before there was a history, and a change one more record. A change of nothing costs no
/// record.
#[test]
fn a_create_costs_nothing_more_and_a_change_one_record() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let url = format!("https://e.test/{}", "x".repeat(85));
    let mut costs = Vec::new();
    let mut cost = |admin: &mut Client, act: &mut dyn FnMut(&mut Client)| {
        let before = log_bytes(admin);
        act(admin);
        costs.push(log_bytes(admin) - before);
    };
    let mut link = json!(null);
    cost(&mut admin, &mut |admin| link = admin.create(&json!({"url": url, "customSlug": "a"})));
    let path = path_of(&link);
    app.advance(Duration::from_secs(1));
    cost(&mut admin, &mut |admin| drop(admin.patch(&path, &json!({"title": "T"})).expect(200, "a change")));
    cost(&mut admin, &mut |admin| drop(admin.patch(&path, &json!({"title": "T"})).expect(200, "no change")));
    cost(&mut admin, &mut |admin| drop(admin.delete(&path).expect(200, "a deletion")));
    eprintln!("bytes of a create, a change, a change of nothing, and a deletion: {costs:?}");
    assert!(costs[0] < 210, "{costs:?}");
    assert!(costs[1] < costs[2] + 240, "{costs:?}");
}

/// What a client reads of a link, without what an undo changes on purpose.
fn state(client: &mut Client, path: &str) -> Value {
    let mut link = client.get(path).expect(200, path)["link"].clone();
    for name in ["updatedAt", "clickCount", "clicks30d", "lastClickAt"] {
        link.as_object_mut().expect("an object").remove(name);
    }
    link
}

/// Returns the record of a link with its address, without what an undo changes on purpose: the time, and the last numbers
/// of rules.
fn record(app: &TestApp, path: &str) -> (Vec<u8>, u32, String) {
    let core = app.app().core();
    let workspace = core.tenants().acting(&Caller::Environment, None).expect("the first workspace");
    let context = Context::of_program(workspace, app.clock().now());
    let id = path.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
    let mut link = app.wait(core.links().get(&context, id)).expect("the link").link;
    link.updated_at = Timestamp::from_millis(0);
    let rules = link.options.rules.as_deref().filter(|rules| !rules.list.is_empty());
    link.options.rules =
        rules.map(|rules| Arc::new(Branches { last_branch: 0, last_variant: 0, list: rules.list.clone() }));
    (LinkAt::encode(&link), link.domain.0, link.code.as_str().to_owned())
}

/// Changes a link at random, perhaps not at all.
fn change(dice: &mut Dice, number: usize, tags: &[String]) -> Value {
    let some = |dice: &mut Dice, value: Value| if dice.below(3) == 0 { Value::Null } else { value };
    match dice.below(15) {
        0 => json!({"url": format!("https://e.test/{number}")}),
        1 => json!({"title": some(dice, json!(format!("T{number}")))}),
        2 => json!({"customSlug": format!("c{number}")}),
        3 => json!({"customSlug": format!("k{number}"), "keepOldCode": true}),
        4 => json!({"aliases": []}),
        5 => {
            json!({"domain": if dice.below(2) == 0 { "go.test" } else { "other.test" }, "keepOldCode": dice.below(2) == 0})
        }
        // Once more in another form: the domain ignores case.
        6 => json!({"domain": "folded.test", "customSlug": format!("Up{number}"), "keepOldCode": true}),
        7 => json!({"password": some(dice, json!(format!("password {number}")))}),
        8 => json!({"tagIds": tags.iter().filter(|_| dice.below(2) == 0).collect::<Vec<_>>()}),
        9 => json!({"maxClicks": some(dice, json!(number + 1)), "forwardPath": dice.below(2) == 0}),
        10 => json!({"notes": some(dice, json!("n".repeat(number))), "utmSource": "s"}),
        11 => json!({"webhookUrls": some(dice, json!([format!("https://hook.test/{number}")]))}),
        13 => {
            json!({"rules": some(dice, json!([{"conditions": [{"field": "os", "operator": "in", "value": ["ios"]}], "url": format!("https://e.test/ios/{number}")}]))})
        }
        12 => json!({"isActive": dice.below(2) == 0, "expiresAt": some(dice, json!("2030-01-01T00:00:00Z"))}),
        _ => json!({"headTags": some(dice, json!(format!("<meta name=\"a\" content=\"{number}\">")))}),
    }
}

/// Each state of a link comes back exactly: options, code, domain and aliases. Also after a restart, a crash, a
/// compaction, a table that is built from the log, and from a backup.
#[test]
fn an_undo_returns_every_earlier_state() {
    let (seed, mut dice) = Dice::seeded();
    let mut app = TestApp::start_with(|config| {
        config.history.max_revisions = 200;
        (config.log.segment_bytes, config.log.compact_above) = (1 << 17, 1 << 17);
    });
    let mut admin = app.admin();
    for (name, sensitive) in [("other.test", true), ("folded.test", false)] {
        let domain = json!({"domain": name, "caseSensitive": sensitive});
        admin.post("/api/v1/domains", &domain).expect(201, name);
    }
    let tags: Vec<String> = ["red", "blue"]
        .map(|name| admin.post("/api/v1/tags", &json!({"name": name})).expect(201, name))
        .map(|tag| text(&tag["tag"], "id").to_owned())
        .into();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a", "password": "the first"}));
    let (id, path) = (text(&link, "id").to_owned(), path_of(&link));
    // The state after each revision, as a client reads it and as it is stored.
    let mut states = vec![(id.clone(), (state(&mut admin, &path), record(&app, &path)))];
    for number in 0..60 {
        app.advance(Duration::from_secs(1));
        let body = change(&mut dice, number, &tags);
        let answer = admin.patch(&path, &body);
        let now = (state(&mut admin, &path), record(&app, &path));
        if answer.status != 200 {
            // An alias too many, for example: nothing has changed.
            assert_eq!(
                (answer.status, &now),
                (422, &states.last().expect("a state").1),
                "seed {seed}: {body}"
            );
            continue;
        }
        let newest = text(&history(&mut admin, &path)[0], "revision").to_owned();
        if newest != states.last().expect("a state").0 {
            states.push((newest, now));
        }
    }
    assert!(states.len() > 30, "seed {seed}");
    let kept = history(&mut admin, &path);
    let revisions: Vec<&str> = kept.iter().rev().map(|row| text(row, "revision")).collect();
    assert_eq!(revisions, states.iter().map(|(revision, _)| revision).collect::<Vec<_>>(), "seed {seed}");

    // Changes of nothing have no entries, so all but the last one of them are dead, and the log is compacted.
    let filler = path_of(&admin.create(&json!({"url": "https://e.test/", "notes": "n".repeat(4_000)})));
    app.advance(Duration::from_secs(1));
    for _ in 0..200 {
        admin.patch(&filler, &json!({"isActive": true})).expect(200, "a change of nothing");
    }
    let log = app.data_dir().join("log");
    poll("a compaction", PATIENCE, || {
        let mut names = std::fs::read_dir(&log).expect("a folder").flatten().map(|entry| entry.path());
        names.find(|name| name.extension().is_some_and(|extension| extension == "snapshot"))
    });
    let table = app.data_dir().join("table");
    app = app.restart_between(|| std::fs::remove_dir_all(&table).expect("removed"));
    app = app.restart();
    let crashed = app.crashed();
    let backup = app.data_dir().parent().expect("a folder").join("backup");
    let data = app.data_dir().display().to_string();
    let args = ["backup", &backup.display().to_string(), "--data-dir", &data];
    let run = command().args(args).output().expect("the program runs");
    assert!(run.status.success(), "{run:?}");
    for (row, app) in [("as it is", &app), ("after a crash", &crashed)] {
        let mut admin = app.admin();
        assert_eq!(history(&mut admin, &path), kept, "seed {seed}, {row}");
        for _ in 0..40 {
            let (revision, want) = &states[usize::try_from(dice.below(states.len() as u64)).expect("small")];
            app.advance(Duration::from_secs(1));
            let answer = admin.post(&format!("{path}/undo"), &json!({"revision": revision}));
            match answer.status {
                201 => {}
                422 => assert!(answer.text().contains("is the present state"), "{}", answer.text()),
                other => panic!("seed {seed}, {row}: {other} {}", answer.text()),
            }
            assert_eq!(
                &(state(&mut admin, &path), record(app, &path)),
                want,
                "seed {seed}, {row}, {revision}"
            );
        }
        // An undo without a revision undoes the last one, and the next one that undo.
        let before = (state(&mut admin, &path), record(app, &path));
        let (other, _) = states.iter().find(|(_, state)| *state != before).expect("another state");
        undo(&mut admin, &path, &json!({"revision": other}));
        let after = (state(&mut admin, &path), record(app, &path));
        for want in [&before, &after, &before] {
            undo(&mut admin, &path, &json!({}));
            assert_eq!(&(state(&mut admin, &path), record(app, &path)), want, "seed {seed}, {row}");
        }
    }
    let restored = app.restart_between(|| {
        let args = ["restore", &backup.display().to_string(), "--replace", "--data-dir", &data];
        let run = command().args(args).output().expect("the program runs");
        assert!(run.status.success(), "{run:?}");
    });
    assert_eq!(history(&mut restored.admin(), &path), kept, "seed {seed}, from the backup");
}

/// The password of an earlier state opens the link again, and the history shows no hash.
#[test]
fn a_password_comes_back_and_is_never_shown() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let path = path_of(
        &admin.create(&json!({"url": "https://e.test/", "customSlug": "a", "password": "the first"})),
    );
    admin.patch(&path, &json!({"password": "the second"})).expect(200, "another password");
    admin.patch(&path, &json!({"password": null})).expect(200, "no password");
    let rows = history(&mut admin, &path);
    let shown: Vec<_> = rows.iter().map(|row| row["changes"].clone()).collect();
    let change =
        |before: Value, after: Value| json!([{"field": "password", "before": before, "after": after}]);
    let mask = || json!("********");
    assert_eq!(shown, [change(mask(), Value::Null), change(mask(), mask()), json!([])]);
    let opens = |password: &str| {
        let form = format!("password={}", password.replace(' ', "+"));
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        app.visitor().send_form("/a", &headers, form.as_bytes()).status
    };
    undo(&mut admin, &path, &json!({"revision": rows[1]["revision"]}));
    assert_eq!((opens("the first"), opens("the second")), (403, 303));
    undo(&mut admin, &path, &json!({"revision": rows[2]["revision"]}));
    assert_eq!((opens("the second"), opens("the first")), (403, 303));
}

/// An undo that today's rules refuse changes nothing, and its error names what stands in the way.
#[test]
fn an_undo_names_what_stands_in_its_way() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let domain = admin.post("/api/v1/domains", &json!({"domain": "other.test"})).expect(201, "a domain");
    let tag = admin.post("/api/v1/tags", &json!({"name": "red"})).expect(201, "a tag");
    let tag = text(&tag["tag"], "id").to_owned();
    let link = |body: Value| {
        let mut whole = json!({"url": "https://e.test/"});
        whole.as_object_mut().expect("an object").extend(body.as_object().expect("fields").clone());
        path_of(&app.admin().create(&whole))
    };
    let renamed = link(json!({"customSlug": "renamed"}));
    let unaliased = link(json!({"customSlug": "alias"}));
    let moved = link(json!({"customSlug": "moved", "domain": "other.test"}));
    let untagged = link(json!({"customSlug": "tagged", "tagIds": [tag]}));
    let looped = link(json!({"customSlug": "looped", "url": "http://go.test/back"}));
    let changes = [
        (&renamed, json!({"customSlug": "r2"})),
        (&unaliased, json!({"customSlug": "u2", "keepOldCode": true})),
        (&unaliased, json!({"aliases": []})),
        (&moved, json!({"domain": "go.test"})),
        (&untagged, json!({"tagIds": []})),
        (&looped, json!({"url": "https://e.test/"})),
    ];
    for (path, body) in changes {
        admin.patch(path, &body).expect(200, &body.to_string());
    }
    link(json!({"customSlug": "renamed"}));
    link(json!({"customSlug": "alias"}));
    link(json!({"customSlug": "back", "url": "http://go.test/looped"}));
    admin.delete(&format!("/api/v1/domains/{}", text(&domain["domain"], "id"))).expect(200, "no domain");
    admin.delete(&format!("/api/v1/tags/{tag}")).expect(200, "no tag");
    let rows = [
        (&renamed, 409, "link: its code \"renamed\" is in use by another link now".to_owned()),
        (&unaliased, 409, "link: its code \"alias\" is in use by another link now".to_owned()),
        (
            &moved,
            422,
            "domain: the domain of the code \"moved\" is no domain of this workspace any more".to_owned(),
        ),
        (&untagged, 422, format!("tagIds: {tag} is not a tag of this workspace")),
        (&looped, 422, "url: must not lead back to this short link".to_owned()),
    ];
    for (path, status, error) in rows {
        let before = state(&mut admin, path);
        admin.post(&format!("{path}/undo"), &json!({})).refuses(status, &error, path);
        assert_eq!(state(&mut admin, path), before, "{path}");
    }
}

/// A scheme that the configuration has lost does not come back, in no destination of a link.
#[test]
fn no_scheme_comes_back_that_is_allowed_no_more() {
    let app = TestApp::start_with(|config| config.links.extra_schemes = vec!["app".to_owned()]);
    let mut admin = app.admin();
    let rules = json!([{"name": "r", "variants": [{"url": "https://e.test/a"}, {"url": "app://x"}]}]);
    let link =
        |admin: &mut Client| path_of(&admin.create(&json!({"url": "https://e.test/", "rules": rules})));
    let (changed, deleted, kept) = (link(&mut admin), link(&mut admin), link(&mut admin));
    admin.patch(&changed, &json!({"rules": []})).expect(200, "no rules");
    admin.delete(&deleted).expect(200, "deleted");
    admin.patch(&kept, &json!({"title": "T"})).expect(200, "another change");
    let app = app.restart_with(|config| config.links.extra_schemes = Vec::new());
    let mut admin = app.admin();
    let why = "rules[0].variants[1].url: must use one of these schemes: http, https";
    admin.post(&format!("{changed}/undo"), &json!({})).refuses(422, why, "an undo");
    admin.post(&format!("{deleted}/restore"), &json!({})).refuses(422, why, "a restore");
    // What the link has stays, as with a patch.
    undo(&mut admin, &kept, &json!({}));
}

/// An alias that an undo returns must not lead its link back to itself, through another link.
#[test]
fn an_undo_closes_no_loop_through_an_alias() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let between = path_of(&admin.create(&json!({"url": "https://e.test/", "customSlug": "between"})));
    let path = path_of(&admin.create(&json!({"url": "http://go.test/between", "customSlug": "old"})));
    admin.patch(&path, &json!({"customSlug": "new", "keepOldCode": true})).expect(200, "renamed");
    admin.patch(&path, &json!({"aliases": []})).expect(200, "without the alias");
    admin.patch(&between, &json!({"url": "http://go.test/old"})).expect(200, "the code is free");
    let before = state(&mut admin, &path);
    let rule = "url: must not lead back to this short link";
    admin.post(&format!("{path}/undo"), &json!({})).refuses(422, rule, "a loop");
    assert_eq!(state(&mut admin, &path), before);
    admin.patch(&between, &json!({"url": "https://e.test/"})).expect(200, "no loop");
    let back = undo(&mut admin, &path, &json!({}));
    assert_eq!(back["aliases"][0]["shortCode"], "old");
    assert_eq!(app.visitor().get("/old").header("location"), Some("http://go.test/between"));
}

/// The newest changes are kept, up to `history.max_revisions` and `history.max_age`.
#[test]
fn a_history_has_bounds() {
    let app = TestApp::start_with(|config| config.history.max_revisions = 3);
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let (id, path) = (text(&link, "id").to_owned(), path_of(&link));
    for number in 0..6 {
        app.advance(DAY);
        admin.patch(&path, &json!({"title": format!("T{number}")})).expect(200, "a change");
    }
    let rows = history(&mut admin, &path);
    let titles: Vec<_> = rows.iter().map(|row| row["changes"][0]["after"].clone()).collect();
    assert_eq!(titles, [json!("T5"), json!("T4"), json!("T3"), Value::Null], "and the creation");
    let to = |revision: &str| json!({"revision": revision});
    admin.post(&format!("{path}/undo"), &to(&id)).refuses(422, "revision: is no longer kept", "the creation");
    assert_eq!(undo(&mut admin, &path, &to(text(&rows[2], "revision")))["title"], "T3");
    assert_eq!(history(&mut admin, &path).len(), 4);
    // The undo is of day 6, and the oldest change that is kept of day 5.
    app.advance(89 * DAY);
    assert_eq!(sweep(&app), 1);
    assert_eq!(history(&mut admin, &path).len(), 3);
    app.advance(2 * DAY);
    assert_eq!(sweep(&app), 2);
    let rows = history(&mut admin, &path);
    assert_eq!((rows.len(), &rows[0]["operation"]), (1, &json!("create")));
    let none = "link: there is no change of this link that can be undone";
    admin.post(&format!("{path}/undo"), &json!({})).refuses(422, none, "all too old");
}

/// The created state is known also if the first change of a link changed nothing.
#[test]
fn a_change_of_nothing_hides_no_state() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "title": "old"}));
    let path = path_of(&link);
    for title in ["old", "old", "new", "new"] {
        app.advance(Duration::from_secs(1));
        admin.patch(&path, &json!({"title": title})).expect(200, title);
    }
    let changed: Vec<_> =
        history(&mut admin, &path).iter().map(|row| row["changes"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(changed, [1, 0, 0], "a change, the first change of nothing, and the creation");
    assert_eq!(undo(&mut admin, &path, &json!({"revision": link["id"]}))["title"], "old");
    assert_eq!(undo(&mut admin, &path, &json!({}))["title"], "new");
}

/// The bound holds for a link that is deleted and restored again and again.
#[test]
fn a_restored_link_keeps_its_bounds() {
    let app = TestApp::start_with(|config| config.history.max_revisions = 2);
    let mut admin = app.admin();
    let path = path_of(&admin.create(&json!({"url": "https://e.test/", "customSlug": "a"})));
    for number in 0..4 {
        admin.patch(&path, &json!({"title": format!("T{number}")})).expect(200, "a change");
        admin.delete(&path).expect(200, "deleted");
        admin.post(&format!("{path}/restore"), &json!({})).expect(201, "restored");
        let operations: Vec<_> =
            history(&mut admin, &path).iter().map(|row| text(row, "operation").to_owned()).collect();
        assert_eq!(operations, ["restore", "delete", "create"]);
    }
    assert_eq!(audit(&mut admin, "kind=link", 100).len(), 3);
}

/// A deleted link comes back with its clicks, its limit, its history and its statistics.
#[test]
fn a_deleted_link_comes_back_whole() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let tags = ["red", "blue"].map(|name| {
        let tag = admin.post("/api/v1/tags", &json!({"name": name})).expect(201, name);
        text(&tag["tag"], "id").to_owned()
    });
    let link =
        admin.create(&json!({"url": "https://e.test/", "customSlug": "one", "maxClicks": 5, "tagIds": tags}));
    let (id, path) = (text(&link, "id").to_owned(), path_of(&link));
    for code in ["two", "three"] {
        admin.patch(&path, &json!({"customSlug": code, "keepOldCode": true})).expect(200, code);
    }
    let share = admin.post("/api/v1/analytics/shares", &json!({"linkId": id})).expect(201, "a share");
    let page = text(&share["share"], "shareLink").trim_start_matches("http://go.test").to_owned();
    let click = |app: &TestApp, code: &str| app.visitor().get(&format!("/{code}")).status;
    for code in ["one", "two", "three"] {
        assert_eq!(click(&app, code), 302, "{code}");
    }
    admin.delete(&path).expect(200, "deleted");
    assert_eq!((click(&app, "three"), app.visitor().get(&page).status), (404, 404));
    // One of its former codes is given to another link, and one of its tags is deleted.
    admin.create(&json!({"url": "https://e.test/", "customSlug": "one"}));
    admin.delete(&format!("/api/v1/tags/{}", tags[0])).expect(200, "deleted");
    app.advance(DAY);
    sweep(&app);
    app = app.restart();
    let mut admin = app.admin();
    let left = admin.get(&format!("{LINKS}/deleted")).expect(200, "deleted links")["links"].clone();
    assert_eq!((left.as_array().map(Vec::len), &left[0]["clickCount"]), (Some(1), &json!(3)));
    let back = admin.post(&format!("{path}/restore"), &json!({})).expect(201, "restored")["link"].clone();
    assert_eq!(
        (&back["id"], &back["clickCount"], &back["createdAt"]),
        (&json!(id), &json!(3), &link["createdAt"])
    );
    let aliases: Vec<_> =
        back["aliases"].as_array().expect("a list").iter().map(|alias| text(alias, "shortCode")).collect();
    assert_eq!((aliases, back["tags"].as_array().map(Vec::len)), (vec!["two"], Some(1)));
    assert_eq!(app.visitor().get(&page).status, 200, "the share");
    assert_eq!(admin.get(&path).json()["link"]["clicks30d"], 3, "details");
    // Two of five clicks are left.
    assert_eq!([click(&app, "two"), click(&app, "three"), click(&app, "three")], [302, 302, 410]);
    let app = app.restart();
    let mut admin = app.admin();
    assert_eq!(admin.clicks(&id), 5);
    assert_eq!(admin.get(&format!("{LINKS}/deleted")).json()["links"], json!([]));
    let operations: Vec<_> =
        history(&mut admin, &path).iter().map(|row| text(row, "operation").to_owned()).collect();
    assert_eq!(operations, ["restore", "delete", "rename", "rename", "create"]);
    // The restore has lost an alias and a tag, and its undo finds that both are gone.
    admin.post(&format!("{path}/undo"), &json!({})).refuses(
        422,
        &format!("tagIds: {} is not a tag of this workspace", tags[0]),
        "the tag",
    );
}

/// A link that counts while it is deleted and restored loses no click.
#[test]
fn a_link_without_a_limit_counts_on_after_a_restore() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let (id, path) = (text(&link, "id").to_owned(), path_of(&link));
    for round in 1..=3 {
        assert_eq!(app.visitor().get("/a").status, 302);
        // Once with the counter in memory, and once after it has been written.
        if round == 2 {
            app.wait(app.app().core().click_log().flush()).expect("written");
        }
        admin.delete(&path).expect(200, "deleted");
        let back = admin.post(&format!("{path}/restore"), &json!({})).expect(201, "restored");
        assert_eq!(back["link"]["clickCount"], round);
    }
    assert_eq!(app.visitor().get("/a").status, 302);
    let app = app.restart();
    assert_eq!(app.admin().clicks(&id), 4);
}

/// A restore is refused while its code is in use, and once the tombstone has expired. Then only who created and deleted
/// the link is left of it.
#[test]
fn a_restore_needs_a_free_code_and_a_tombstone() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = |admin: &mut Client, code: &str| {
        path_of(&admin.create(&json!({"url": "https://canary.test/", "customSlug": code})))
    };
    let (first, second) = (link(&mut admin, "a"), link(&mut admin, "b"));
    for path in [&first, &second] {
        admin.patch(path, &json!({"title": "T"})).expect(200, "a change");
        admin.delete(path).expect(200, "deleted");
    }
    link(&mut admin, "a");
    let taken = "link: its code \"a\" is in use by another link now: `customSlug` gives it another one";
    admin.post(&format!("{first}/restore"), &json!({})).refuses(409, taken, "in use");
    let given = "customSlug: \"a\" is already in use on this domain";
    admin.post(&format!("{first}/restore"), &json!({"customSlug": "a"})).refuses(409, given, "in use");
    let back =
        admin.post(&format!("{first}/restore"), &json!({"customSlug": "c"})).expect(201, "another code");
    assert_eq!(back["link"]["shortCode"], "c");
    let rows = history(&mut admin, &first);
    assert_eq!(rows[0]["changes"], json!([{"field": "customSlug", "before": "a", "after": "c"}]));
    let foreign = json!({"customSlug": "d", "domain": "other.test"});
    let rule = "domain: is not a domain of this workspace";
    admin.post(&format!("{second}/restore"), &foreign).refuses(422, rule, "no such domain");
    app.advance(30 * DAY);
    admin.post(&format!("{second}/restore"), &json!({})).refuses(404, "link not found", "too late");
    app.advance(DAY);
    // The tombstone, its total, and the change that has the destination.
    assert_eq!(sweep(&app), 3);
    let id = second.rsplit('/').next().expect("an id");
    let entries = audit(&mut admin, "kind=link", 100);
    let left: Vec<_> = entries.iter().filter(|entry| entry["subject"]["id"] == id).collect();
    let operations: Vec<_> = left.iter().map(|entry| text(entry, "operation")).collect();
    assert_eq!(operations, ["delete", "create"]);
    assert!(left.iter().all(|entry| entry["subject"]["name"].is_null()), "{left:?}");
    admin.get(&format!("{second}/history")).refuses(404, "link not found", "no tombstone");
}

/// A repetition under the same key undoes nothing more.
#[test]
fn a_repeated_undo_runs_once() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let path = path_of(&admin.create(&json!({"url": "https://e.test/"})));
    admin.patch(&path, &json!({"title": "T"})).expect(200, "a change");
    let mut once = app.admin().with("Idempotency-Key", "k");
    let first = once.post(&format!("{path}/undo"), &json!({})).expect(201, "undone");
    assert_eq!(once.post(&format!("{path}/undo"), &json!({})).expect(201, "repeated"), first);
    assert_eq!(history(&mut admin, &path).len(), 3);
    admin.delete(&path).expect(200, "deleted");
    let mut once = app.admin().with("Idempotency-Key", "l");
    let first = once.post(&format!("{path}/restore"), &json!({})).expect(201, "restored");
    assert_eq!(once.post(&format!("{path}/restore"), &json!({})).expect(201, "repeated"), first);
}

fn shown(entry: &Value) -> String {
    let name = entry["subject"]["name"].as_str().unwrap_or("-");
    format!("{} {} {name}", text(entry, "operation"), text(entry, "kind"))
}

fn check_fields(entries: &[Value]) {
    let edits = [
        ("tag", json!(["color"])),
        ("campaign", json!(["name"])),
        ("domain", json!(["showDestination"])),
        ("link", json!(["url", "title"])),
        ("workspace", json!(["name"])),
    ];
    for (kind, fields) in edits {
        let edit = format!("edit {kind}");
        let edited = entries.iter().find(|entry| shown(entry).starts_with(&edit)).expect(kind);
        assert_eq!(edited["fields"], fields, "{kind}");
    }
}

fn check_names(client: &mut Client, ann: &str, link: &str) {
    // By the name of a key, and by a link, which is deleted by now.
    assert_eq!(audit(client, "key=Ann", 7), audit(client, &format!("key={ann}"), 7));
    assert_eq!(audit(client, "key=Bob", 2), Vec::<Value>::new());
    for of in [link, "a"] {
        let about: Vec<_> = audit(client, &format!("link={of}"), 2).iter().map(shown).collect();
        assert_eq!(
            about,
            ["delete link http://go.test/a", "edit link http://go.test/a", "create link http://go.test/a"]
        );
    }
    let unknown = "link: \"none\" is no value: this workspace has no link with this id or code";
    client.get("/api/v1/audit?link=none").refuses(422, unknown, "no such link");
    let misspelt = "who: is no parameter of this request";
    client.get("/api/v1/audit?who=Ann").refuses(422, misspelt, "a filter that would be ignored");
}

/// The audit list has every kind of object, who changed it, and nothing that its workspace does not have.
#[test]
fn the_audit_list_has_who_did_what() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let workspace = admin.get("/api/v1/workspaces").json()["workspaces"][0]["id"].clone();
    let scopes = ["admin", "links.write", "snapshots.write"];
    let made = admin.post("/api/v1/keys", &json!({"name": "Ann", "scopes": scopes})).expect(201, "a key");
    let ann = text(&made["key"], "id").to_owned();
    let mut client = app.visitor().with_key(text(&made["key"], "secret"));
    let make = |client: &mut Client, path: &str, body: Value, pointer: &str| {
        app.advance(Duration::from_secs(1));
        let made = client.post(path, &body).expect(201, path);
        made.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let tag = make(&mut client, "/api/v1/tags", json!({"name": "red"}), "/tag/id");
    let campaign = make(&mut client, "/api/v1/campaigns", json!({"name": "Spring"}), "/campaign/id");
    let domain = make(&mut client, "/api/v1/domains", json!({"domain": "own.test"}), "/domain/id");
    let key = make(&mut client, "/api/v1/keys", json!({"name": "Bob", "scopes": ["links.write"]}), "/key/id");
    let link = make(&mut client, LINKS, json!({"url": "https://e.test/", "customSlug": "a"}), "/link/id");
    make(&mut client, "/api/v1/analytics/shares", json!({"linkId": link}), "/share/id");
    let snapshot = make(&mut client, "/api/v1/snapshots", json!({"name": "S"}), "/snapshot/id");
    make(&mut client, &format!("/api/v1/snapshots/{snapshot}/shares"), json!({"type": "link"}), "/share/id");
    let workspace = workspace.as_str().expect("an id");
    let rotate = format!("/api/v1/workspaces/{workspace}/webhook-secret/rotate");
    make(&mut client, &rotate, json!({}), "");
    let changes = [
        ("tags", &tag, json!({"color": "#00ff00"})),
        ("campaigns", &campaign, json!({"name": "Summer"})),
        ("domains", &domain, json!({"showDestination": true})),
        ("links", &link, json!({"url": "https://e.test/2", "title": "T"})),
    ];
    for (list, id, body) in changes {
        app.advance(Duration::from_secs(1));
        client.patch(&format!("/api/v1/{list}/{id}"), &body).expect(200, list);
    }
    client.patch(&format!("/api/v1/workspaces/{workspace}"), &json!({"name": "W"})).expect(200, "renamed");
    for (list, id) in
        [("tags", &tag), ("domains", &domain), ("keys", &key), ("links", &link), ("snapshots", &snapshot)]
    {
        app.advance(Duration::from_secs(1));
        client.delete(&format!("/api/v1/{list}/{id}")).expect(200, list);
    }
    let entries = audit(&mut client, "", 100);
    let by_ann: Vec<_> = entries.iter().rev().filter(|entry| entry["by"]["id"] == *ann).map(shown).collect();
    let want = [
        "create tag red",
        "create campaign Spring",
        "create domain own.test",
        "create key Bob",
        "create link http://go.test/a",
        "create statisticsShare -",
        "create snapshot S",
        "create snapshotShare S",
        "rotate webhookSecret -",
        "edit tag red",
        "edit campaign Summer",
        "edit domain own.test",
        "edit link http://go.test/a",
        "edit workspace W",
        "delete tag red",
        "delete domain own.test",
        "delete key Bob",
        "delete link http://go.test/a",
        "delete snapshot S",
    ];
    assert_eq!(by_ann, want);
    check_fields(&entries);
    let others: Vec<_> = entries.iter().filter(|entry| entry["by"]["id"] != *ann).map(shown).collect();
    assert_eq!(others, ["create key Ann"]);
    // In pages, and filtered.
    for limit in [1, 3, 7] {
        assert_eq!(audit(&mut client, "", limit), entries, "pages of {limit}");
        assert_eq!(audit(&mut client, &format!("key={ann}&kind=key"), limit).len(), 2);
    }
    let at = text(&entries[3], "at").replace(':', "%3A");
    assert_eq!(audit(&mut client, &format!("from={at}"), 2), entries[..4]);
    assert_eq!(audit(&mut client, &format!("to={at}"), 2), entries[4..]);
    assert_eq!(audit(&mut client, "key=operator", 2).len(), 1);
    check_names(&mut client, &ann, &link);
    // The name of a key outlives the key.
    admin.delete(&format!("/api/v1/keys/{ann}")).expect(200, "revoked");
    let after = audit(&mut admin, "", 100);
    assert_eq!(after[1..], entries, "the names stay");
    assert_eq!((shown(&after[0]), &after[0]["by"]), ("delete key Ann".to_owned(), &Value::Null));
    app.advance(91 * DAY);
    sweep(&app);
    assert_eq!(audit(&mut admin, "", 100), Vec::<Value>::new());
}

/// The list says which fields of a domain and of a workspace changed, also by their files, and also after a restart.
#[test]
fn the_audit_list_names_changed_fields() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.post("/api/v1/domains", &json!({"domain": "own.test"})).expect(201, "a domain");
    let domain = format!("/api/v1/domains/{}", text(&made["domain"], "id"));
    let listed = admin.get("/api/v1/workspaces").json()["workspaces"][0]["id"].clone();
    let workspace = format!("/api/v1/workspaces/{}", listed.as_str().expect("an id"));
    let logo = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="10" height="10" fill="#123456"/></svg>"##;
    let send = |admin: &mut Client, path: &str, body: &Value| {
        app.advance(Duration::from_secs(1));
        admin.patch(path, body).expect(200, path);
    };
    let both = json!({"qrForeground": "#102030", "rootUrl": "https://e.test/", "publicQr": false});
    send(&mut admin, &domain, &both);
    send(&mut admin, &domain, &json!({"rootUrl": "https://e.test/"}));
    send(&mut admin, &workspace, &json!({"credits": 5, "timezone": "Europe/Berlin", "qrBackground": "#fff"}));
    send(&mut admin, &workspace, &json!({"credits": 5}));
    for path in [&domain, &domain, &workspace] {
        app.advance(Duration::from_secs(1));
        admin.send("PUT", &format!("{path}/qr-logo"), &[], Some(logo.as_bytes())).expect(200, path);
    }
    app.advance(Duration::from_secs(1));
    admin.delete(&format!("{domain}/qr-logo")).expect(200, "removed");
    let want = [
        json!(["qrLogo"]),
        json!(["qrLogo"]),
        json!(["qrLogo"]),
        json!(["qrLogo"]),
        json!(["credits"]),
        json!(["credits", "timezone", "qrBackground"]),
        json!([]),
        json!(["rootUrl", "qrForeground"]),
    ];
    let fields = |admin: &mut Client| {
        audit(admin, "operation=edit", 3).iter().map(|entry| entry["fields"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(fields(&mut admin), want);
    let app = app.restart();
    assert_eq!(fields(&mut app.admin()), want);
}

/// What acts at once is refused when it names something unknown, and needs no body.
#[test]
fn undo_and_restore_know_all_their_fields() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let path = path_of(&admin.create(&json!({"url": "https://e.test/", "customSlug": "a"})));
    let by_code = "/api/v1/links/by-code/a";
    let none = "link: there is no change of this link that can be undone";
    admin.post(&format!("{path}/undo"), &json!({})).refuses(422, none, "nothing to undo");
    let first = path.rsplit('/').next().expect("an id").to_owned();
    for title in ["1", "2"] {
        app.advance(Duration::from_secs(1));
        admin.patch(&path, &json!({"title": title})).expect(200, title);
    }
    let rule = "to: is no field of this request; did you mean revision?";
    let query = "revision: is no parameter of this request";
    for path in [&*path, by_code] {
        admin.post(&format!("{path}/undo"), &json!({"to": first})).refuses(422, rule, path);
        admin.post(&format!("{path}/undo?revision={first}"), &json!({})).refuses(422, query, path);
    }
    let unknown = "revision not found: `GET .../history` has the revisions of the link";
    admin.post(&format!("{path}/undo"), &json!({"revision": "x"})).refuses(404, unknown, "no id");
    admin
        .post(&format!("{path}/undo"), &json!({"revision": first.replace('0', "1")}))
        .refuses(404, unknown, "none");
    assert_eq!(state(&mut admin, &path)["title"], "2", "nothing was undone");
    let undone = admin.send("POST", &format!("{path}/undo"), &[], None).expect(201, "without a body");
    assert_eq!(undone["link"]["title"], "1");
    admin.delete(&path).expect(200, "deleted");
    let rule = "code: is no field of this request; did you mean customSlug?";
    admin.post(&format!("{path}/restore"), &json!({"code": "b"})).refuses(422, rule, "another name");
    let found = "link not found: an id is needed here; by code, it is GET /api/v1/links/deleted?code=CODE, which has the id";
    admin.post("/api/v1/links/a/restore", &json!({})).refuses(404, found, "a code");
    let back = admin.send("POST", &format!("{path}/restore"), &[], Some(b" ")).expect(201, "without a body");
    assert_eq!(back["link"]["shortCode"], "a");
}

/// A workspace sees neither the list of another nor keys that reach further, and a key without `admin` sees none.
#[test]
fn an_audit_list_is_of_one_workspace() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let other = admin.post("/api/v1/workspaces", &json!({"name": "Other"})).expect(201, "a workspace");
    let other = text(&other["workspace"], "id").to_owned();
    for body in [json!({"instance": true}), json!({"workspaceId": other})] {
        let mut body = body;
        body["name"] = json!("K");
        body["scopes"] = json!(["admin"]);
        admin.post("/api/v1/keys", &body).expect(201, "a key");
    }
    let of_first = audit(&mut admin, "", 100);
    let of_other = audit(&mut admin, &format!("workspaceId={other}"), 100);
    let shown =
        |entries: &[Value]| entries.iter().map(|entry| text(entry, "kind").to_owned()).collect::<Vec<_>>();
    assert_eq!(
        (shown(&of_first), shown(&of_other)),
        (vec![], vec!["key".to_owned(), "workspace".to_owned()])
    );
    let reader = crate::support::native::new_key(&mut admin, &json!({"scopes": ["links.write"]}));
    let mut reader = app.visitor().with_key(&reader);
    reader.get("/api/v1/audit").refuses(403, "this key lacks the scope admin", "no admin");
}

/// Creations of links are entries of the list without a record each, also many of them and those of an import.
#[test]
fn creations_of_many_links_are_listed() {
    let app = TestApp::start_with(|config| config.table.scrub_interval = Duration::from_secs(1));
    let mut admin = app.admin();
    let many = json!({"links": (0..1_000).map(|_| json!({"url": "https://e.test/"})).collect::<Vec<_>>()});
    let before = log_bytes(&mut admin);
    admin.post(&format!("{LINKS}/bulk"), &many).expect(201, "links");
    let cost = log_bytes(&mut admin) - before;
    assert!(cost < 1_000 * 120, "{cost} bytes");
    let path = path_of(&admin.create(&json!({"url": "https://e.test/"})));
    admin.patch(&path, &json!({"title": "T"})).expect(200, "a change");
    let entries = audit(&mut admin, "", 100);
    assert_eq!(entries.len(), 1_002);
    let ids: Vec<_> = entries.iter().map(|entry| text(entry, "id")).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "the newest first");
    assert_eq!(audit(&mut admin, "operation=edit", 100).len(), 1);
    // A scrub compares the entries with the lists of their links.
    let metric = |admin: &mut Client, name: &str| {
        let metrics = admin.get("/metrics").text();
        metrics.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned).unwrap_or_default()
    };
    poll("a scrub", PATIENCE, || {
        let at = metric(&mut admin, "waypost_table_scrubbed_seconds ");
        (at != "0").then_some(())
    });
    assert_eq!(metric(&mut admin, "waypost_table_rebuilds_total "), "0");
}
