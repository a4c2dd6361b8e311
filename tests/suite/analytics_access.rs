//! Who may ask about clicks, and which clicks have no details.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Client, text};
use crate::support::native::new_key;
use crate::support::process::poll;

const QUESTION: &str = "/api/v1/analytics";

fn start() -> TestApp {
    TestApp::start_with(|config| config.clicks.flush_interval = Duration::from_millis(50))
}

#[test]
fn the_scope_of_analytics() {
    let app = start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/"}));
    // For each key: a question, a question of the vendor, the links.
    let rows = [
        (json!({"scopes": ["analytics.readonly"]}), [200, 200, 403]),
        (json!({"scopes": ["links.readonly"]}), [200, 200, 200]),
        (json!({"scopes": ["links.write"]}), [200, 200, 200]),
        (json!({"scopes": ["links.write"], "createOnly": true}), [403, 403, 403]),
        (json!({"scopes": ["admin"]}), [403, 403, 403]),
        (json!({"scopes": ["snapshots.write"]}), [403, 403, 403]),
    ];
    for (more, want) in rows {
        let mut client = app.visitor().with_key(&new_key(&mut admin, &more));
        let paths = [QUESTION, "/api/v1/analytics/summary", "/api/v1/links"];
        assert_eq!(paths.map(|path| client.get(path).status), want, "{more}");
    }
    let mut keeper = app.visitor().with_key(&new_key(&mut admin, &json!({"scopes": ["admin"]})));
    keeper.get(QUESTION).refuses(403, "this key lacks the scope analytics.readonly", "a keeper of keys");
    // Reading links includes it, so such a key may grant it; the other way round it may not.
    let grant = |own: &[&str], other: &str| {
        let mut own = own.to_vec();
        own.push("admin");
        let mut client = app.visitor().with_key(&new_key(&mut app.admin(), &json!({"scopes": own})));
        client.post("/api/v1/keys", &json!({"name": "k", "scopes": [other]}))
    };
    let made = grant(&["links.readonly"], "analytics.readonly").expect(201, "a narrower key");
    assert_eq!(made["key"]["scopes"], json!(["analytics.readonly"]));
    assert!(text(&made["key"], "secret").starts_with("wp_"));
    let why = "a key cannot grant scopes that it does not have";
    grant(&["analytics.readonly"], "links.readonly").refuses(403, why, "a wider key");
}

fn ask(client: &mut Client, question: &str) -> Value {
    client.get(&format!("{QUESTION}?{question}")).expect(200, question)
}

/// Returns the answer to a question once it has this number of clicks.
fn ask_until(client: &mut Client, question: &str, clicks: u64) -> Value {
    poll(question, Duration::from_secs(10), || {
        Some(ask(client, question)).filter(|answer| answer["total"]["clicks"] == clicks)
    })
}

/// Clicks every link by a person, a bot and a prefetch, and waits until the details of `marker` are stored: its click
/// comes last.
fn click_all(app: &TestApp, paths: &[&str], marker: (&str, u64)) {
    let mut visitor = app.visitor();
    for path in paths {
        visitor.send("GET", path, &[], None);
        visitor.send("GET", path, &[("user-agent", "Googlebot/2.1")], None);
        visitor.send("GET", path, &[("sec-purpose", "prefetch")], None);
    }
    let (path, clicks) = marker;
    visitor.send("GET", path, &[], None);
    let link = app.admin().get(&format!("/api/v1/links/by-code{path}")).expect(200, "the marker");
    ask_until(&mut app.admin(), &format!("linkId={}", text(&link["link"], "id")), clicks);
}

#[test]
fn a_link_without_statistics_is_counted_and_has_no_details() {
    let mut app = start();
    let mut admin = app.admin();
    let quiet = json!({"url": "https://e.test/", "customSlug": "quiet", "statistics": false});
    let quiet = admin.create(&quiet);
    // Every kind of answer, not only a plain redirect.
    let limited =
        json!({"url": "https://e.test/", "customSlug": "limited", "statistics": false, "maxClicks": 9});
    let limited = admin.create(&limited);
    let image =
        json!({"url": "https://e.test/", "customSlug": "image", "statistics": false, "countPixel": true});
    let image = admin.create(&image);
    admin.create(&json!({"url": "https://e.test/", "customSlug": "marker"}));
    click_all(&app, &["/quiet", "/limited", "/image+pixel.gif"], ("/marker", 1));
    for link in [&quiet, &limited, &image] {
        let id = text(link, "id");
        assert_eq!(link["statistics"], false);
        assert_eq!(app.admin().clicks(id), 1, "{link}");
        let answer = ask(&mut app.admin(), &format!("linkId={id}&interval=all"));
        let got = (&answer["total"]["clicks"], &answer["unattributed"], &answer["statistics"]);
        assert_eq!(got, (&json!(0), &json!(1), &json!(false)), "{link}");
        for visits in ["bots", "prefetches"] {
            let answer = ask(&mut app.admin(), &format!("linkId={id}&visits={visits}"));
            assert_eq!(answer["total"]["clicks"], 0, "{visits} of {link}");
        }
    }
    assert_eq!(ask(&mut app.admin(), "")["total"]["clicks"], 1, "the marker");
    assert_eq!(ask(&mut app.admin(), "")["statistics"], true);
    // The next click has details, also after a restart, and the one without stays unattributed.
    let path = format!("/api/v1/links/{}", text(&quiet, "id"));
    app.admin().patch(&path, &json!({"statistics": true})).expect(200, "on");
    app = app.restart();
    click_all(&app, &["/quiet"], ("/marker", 2));
    let answer = ask(&mut app.admin(), &format!("linkId={}&interval=all", text(&quiet, "id")));
    let got = (&answer["total"]["clicks"], &answer["unattributed"], &answer["statistics"]);
    assert_eq!(got, (&json!(1), &json!(1), &json!(true)));
    // A link of the cache obeys at once.
    app.admin().patch(&path, &json!({"statistics": false})).expect(200, "off");
    click_all(&app, &["/quiet"], ("/marker", 3));
    let answer = ask(&mut app.admin(), &format!("linkId={}&interval=all", text(&quiet, "id")));
    assert_eq!((&answer["total"]["clicks"], &answer["unattributed"]), (&json!(1), &json!(2)));
}

#[test]
fn a_workspace_without_statistics_has_no_details() {
    let mut app = start();
    let made = app.admin().post("/api/v1/workspaces", &json!({"name": "Other", "statistics": false}));
    let made = made.expect(201, "a workspace");
    assert_eq!(made["workspace"]["statistics"], false);
    let workspace = text(&made["workspace"], "id");
    let theirs = json!({"url": "https://e.test/", "customSlug": "theirs", "workspaceId": workspace});
    let ruled = json!({"url": "https://e.test/", "customSlug": "ruled", "workspaceId": workspace, "confirm": false,
        "hideReferrer": true, "statistics": true});
    let ids: Vec<_> =
        [theirs, ruled].map(|body| text(&app.admin().create(&body), "id").to_owned()).into_iter().collect();
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "marker"}));
    let body = json!({"name": "k", "workspaceId": workspace, "scopes": ["links.readonly"]});
    let key = new_key(&mut app.admin(), &body);
    let path = format!("/api/v1/workspaces/{workspace}");
    // Clicked in between, so that the cache has the links at each switch.
    for (round, (is_on, details)) in [(false, 0), (true, 1), (false, 1)].into_iter().enumerate() {
        if round > 0 {
            let changed = app.admin().patch(&path, &json!({"statistics": is_on})).expect(200, "a switch");
            assert_eq!(changed["workspace"]["statistics"], is_on);
        }
        let round = u64::try_from(round).expect("small") + 1;
        click_all(&app, &["/theirs", "/ruled"], ("/marker", round));
        for id in &ids {
            let answer = ask(&mut app.visitor().with_key(&key), &format!("linkId={id}&interval=all"));
            let got = (&answer["total"]["clicks"], &answer["unattributed"], &answer["statistics"]);
            assert_eq!(got, (&json!(details), &json!(round - details), &json!(is_on)), "{round}");
        }
        // The links of other workspaces have theirs.
        assert_eq!(ask(&mut app.admin(), "")["total"]["clicks"], round);
        app = app.restart();
    }
    app.admin().patch(&path, &json!({"statistics": "no"})).expect(400, "no flag");
}

/// What is older than `clicks.keep` leaves the files and the log.
#[test]
fn details_past_their_time_leave_the_log() {
    let mut app = TestApp::start_with(|config| {
        config.clicks.flush_interval = Duration::from_millis(50);
        config.clicks.keep = Duration::from_hours(48);
        config.clicks.keep_slots = Duration::from_hours(48);
    });
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    app.visitor().send("GET", "/a", &[("referer", "https://canary.test/")], None);
    ask_until(&mut app.admin(), "", 1);
    app.advance(Duration::from_hours(24 * 5));
    // A start deletes the part, and its first sweep cleans the log.
    app = app.restart();
    let folder = app.data_dir().to_owned();
    let holds = || {
        ["log", "clicks"].iter().any(|part| {
            let files = std::fs::read_dir(folder.join(part)).expect("a folder").flatten();
            let mut bytes = files.map(|file| std::fs::read(file.path()).unwrap_or_default());
            bytes.any(|bytes| bytes.windows(11).any(|window| window == b"canary.test"))
        })
    };
    poll("they are gone", Duration::from_secs(30), || {
        app.wait(app.app().core().sweep_expired(app.clock().now())).expect("swept");
        (!holds()).then_some(())
    });
    let link = app.admin().get("/api/v1/links/by-code/a").expect(200, "the link");
    assert_eq!(link["link"]["clickCount"], 1);
}

/// Visits of a workspace without statistics that find no link are not even counted.
#[test]
fn a_workspace_without_statistics_has_no_misses() {
    let app = start();
    let made = app.admin().post("/api/v1/workspaces", &json!({"name": "Other", "statistics": false}));
    let made = made.expect(201, "a workspace");
    let workspace = text(&made["workspace"], "id");
    let domain = json!({"domain": "other.test", "workspaceId": workspace});
    app.admin().post("/api/v1/domains", &domain).expect(201, "a domain");
    let reach = json!({"name": "k", "workspaceId": workspace, "scopes": ["analytics.readonly"]});
    let mut other = app.visitor().with_key(&new_key(&mut app.admin(), &reach));
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "marker"}));
    for (round, misses) in [(1, 0), (2, 1)] {
        app.visitor().at("other.test").get("/nothing");
        // Its click comes last, and is stored with the misses before it or later.
        click_all(&app, &[], ("/marker", round));
        assert_eq!(ask(&mut other, "visits=misses")["total"]["clicks"], misses, "round {round}");
        let path = format!("/api/v1/workspaces/{workspace}");
        app.admin().patch(&path, &json!({"statistics": true})).expect(200, "a switch");
    }
}

/// The misses of a domain leave the files with the first merge after its deletion.
#[test]
fn a_deleted_domain_leaves_no_misses() {
    let mut app = start();
    let [gone, _] = ["gone.test", "kept.test"].map(|host| {
        let made = app.admin().post("/api/v1/domains", &json!({"domain": host})).expect(201, host);
        app.visitor().at(host).get("/nothing");
        text(&made["domain"], "id").to_owned()
    });
    ask_until(&mut app.admin(), "visits=misses", 2);
    app.admin().delete(&format!("/api/v1/domains/{gone}")).expect(200, "deleted");
    // A restart writes a part, and the day of the part is merged once it has passed.
    app = app.restart();
    assert_eq!(ask(&mut app.admin(), "visits=misses")["total"]["clicks"], 2);
    app.advance(Duration::from_hours(48));
    app = app.restart();
    ask_until(&mut app.admin(), "visits=misses", 1);
}

/// With the tombstone of a link, its details leave the files, with all texts that only this link had.
#[test]
fn a_deleted_link_leaves_no_details() {
    let mut app = start();
    let mut admin = app.admin();
    let gone = admin.create(&json!({"url": "https://e.test/", "customSlug": "gone"}));
    let kept = admin.create(&json!({"url": "https://e.test/", "customSlug": "kept"}));
    for (path, referrer) in [("/gone", "https://canary.test/"), ("/kept", "https://other.test/")] {
        app.visitor().send("GET", path, &[("referer", referrer)], None);
    }
    ask_until(&mut admin, "", 2);
    let id = text(&gone, "id");
    admin.delete(&format!("/api/v1/links/{id}")).expect(200, "deleted");
    // A restart writes the cells in memory as a part.
    app = app.restart();
    let folder = app.data_dir().join("clicks");
    let log = app.data_dir().join("log");
    let in_log = || {
        let files = std::fs::read_dir(&log).expect("a folder").flatten();
        let mut bytes = files.map(|file| std::fs::read(file.path()).unwrap_or_default());
        bytes.any(|bytes| bytes.windows(11).any(|window| window == b"canary.test"))
    };
    let holds = |text: &str| {
        let files = std::fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path());
        let parts = files.filter(|path| path.extension().is_some_and(|end| end == "part"));
        parts
            .filter(|path| {
                let bytes = std::fs::read(path).expect("a part");
                bytes.windows(text.len()).any(|window| window == text.as_bytes())
            })
            .count()
    };
    assert_eq!((holds("canary.test"), holds("other.test")), (1, 1));
    // Deleted, and still in the sums of the workspace.
    let rows = ask(&mut app.admin(), "groupBy=link&interval=all");
    assert_eq!((&rows["rows"], &rows["total"]["clicks"]), (&json!(2), &json!(2)));
    let sweep = |app: &TestApp| app.wait(app.app().core().sweep_expired(app.clock().now())).expect("swept");
    app.advance(Duration::from_hours(24 * 30));
    sweep(&app);
    assert_eq!(holds("canary.test"), 1, "as long as the tombstone");
    assert!(in_log());
    app.advance(Duration::from_secs(1));
    sweep(&app);
    assert_eq!((holds("canary.test"), holds("other.test")), (0, 1));
    // The log is compacted at once, however small it is.
    poll("the log has forgotten them", Duration::from_secs(20), || (!in_log()).then_some(()));
    let rows = ask(&mut app.admin(), "groupBy=link&interval=all");
    assert_eq!((&rows["rows"], &rows["analytics"][0]["linkId"]), (&json!(1), &kept["id"]));
    app = app.restart();
    assert_eq!(ask(&mut app.admin(), "interval=all")["total"]["clicks"], 1);
}
