//! Webhooks against real receivers: what they are told, how it is signed, and what happens when
//! they are slow, ill, gone, or not to be reached.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use waypost::cache::entry::Action;
use waypost::links::Resolved;
use waypost::model::domain::DomainNumber;
use waypost::model::link::Link;
use waypost::webhooks::{Click, QUEUE_MAX};

use crate::support::app::{START, TestApp};
use crate::support::http::text;
use crate::support::receiver::{Received, Receiver, Reply, until};

/// Names a file into which the child of [`nothing_secret_is_logged_and_no_proxy_is_asked`] writes
/// what must not be in its log.
const SECRET_FILE: &str = "WAYPOST_TEST_SECRET_FILE";

/// An app that may reach receivers on this machine, and tries again after so long.
fn start(retry_after: &[&str]) -> TestApp {
    TestApp::start_with(|config| {
        config.webhooks.allowed_networks = vec!["127.0.0.0/8".to_owned()];
        config.webhooks.retry_after = retry_after.iter().map(|text| (*text).to_owned()).collect();
    })
}

/// A link of this code with these receivers; answers what the API says of it.
#[track_caller]
fn hooked(app: &TestApp, code: &str, hooks: &[String]) -> Value {
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": code, "webhookUrls": hooks}))
}

#[track_caller]
fn link(app: &TestApp, code: &str) -> Link {
    let found = app.wait(app.app().links().load(DomainNumber::DEFAULT, code)).expect("the table answers");
    let Resolved::Found(entry) = found else { panic!("no {code}") };
    match &entry.action {
        Action::Decide(link) => (**link).clone(),
        Action::Redirect { .. } => panic!("{code} tells nobody"),
    }
}

fn click<'a>(app: &TestApp, link: &'a Link) -> Click<'a> {
    Click { link, at: app.clock().now(), referrer: None, agent: "person", country: None, contact: None }
}

fn offer(app: &TestApp, code: &str) {
    let link = link(app, code);
    app.app().webhooks().offer(&click(app, &link));
}

/// The results of a link, once they are as many, the newest first.
#[track_caller]
fn results(app: &TestApp, link: &Value, count: usize) -> Vec<Value> {
    let path = format!("/api/v1/links/{}/deliveries", text(link, "id"));
    let mut admin = app.admin();
    let mut all = Vec::new();
    until(&format!("{count} results"), || {
        let answer = admin.get(&path).expect(200, "deliveries");
        answer["deliveries"].as_array().expect("a list").clone_into(&mut all);
        all.len() >= count
    });
    assert_eq!(all.len(), count, "{all:?}");
    all
}

/// The default workspace's id: the oldest stands last.
fn workspace(app: &TestApp) -> String {
    let all = app.admin().get("/api/v1/workspaces").expect(200, "workspaces");
    let all = all["workspaces"].as_array().expect("a list");
    text(all.last().expect("one"), "id").to_owned()
}

fn secret_path(workspace: &str) -> String {
    format!("/api/v1/workspaces/{workspace}/webhook-secret")
}

fn secret(app: &TestApp) -> String {
    let shown = app.admin().get(&secret_path(&workspace(app))).expect(200, "the secret");
    text(&shown["webhookSecret"], "secret").to_owned()
}

/// HMAC-SHA256 by RFC 2104, from nothing but the hash.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], message].concat());
    Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner[..]].concat()).to_vec()
}

/// What a receiver with this secret expects as signature.
fn expected(secret: &str, request: &Received) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("its prefix")).expect("base64");
    assert_eq!(key.len(), 32);
    let signed = [
        request.header("webhook-id").as_bytes(),
        b".",
        request.header("webhook-timestamp").as_bytes(),
        b".",
        &request.body,
    ];
    format!("v1,{}", STANDARD.encode(hmac(&key, &signed.concat())))
}

#[test]
fn told_in_full() {
    let secret_file = std::env::var(SECRET_FILE);
    if secret_file.is_ok() {
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(std::io::stderr).init();
    }
    let app = start(&["10ms"]);
    let receiver = Receiver::start();
    receiver.answer_next([Reply::Status(503)]);
    let made = app.admin().create(&json!({
        "url": "https://e.test/page?a=1", "utmSource": "s", "customSlug": "told", "title": "Tïtle",
        "password": "canary-password", "notes": "canary-notes",
        "webhookUrls": receiver.url("/hook?token=canary-token"),
    }));
    let link = link(&app, "told");
    app.app().webhooks().offer(&Click {
        referrer: Some("https://News.example.com/path?canary-referrer"),
        country: Some("DE"),
        contact: Some("contact_7"),
        ..click(&app, &link)
    });
    let requests = receiver.wait_for(2);
    let request = &requests[1];
    assert_eq!(request.line, "POST /hook?token=canary-token HTTP/1.1");
    assert_eq!(request.header("host"), receiver.address().to_string());
    assert_eq!(request.header("user-agent"), "Waypost-Webhooks/1");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-timestamp"), (START / 1_000).to_string());
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    let all = "connection content-length content-type host user-agent webhook-id webhook-signature webhook-timestamp";
    assert_eq!(names.join(" "), all, "and nothing else");
    let id = request.header("webhook-id");
    assert!(id.starts_with("evt_") && id.len() == 24, "{id}");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let want = json!({
        "id": id, "type": "link.clicked", "timestamp": "2026-01-01T00:00:00.000Z",
        "data": {
            "link": {
                "id": made["id"], "shortCode": "told", "shortUrl": "http://go.test/told",
                "url": "https://e.test/page?a=1&utm_source=s", "title": "Tïtle", "domain": "go.test",
                "workspaceId": workspace(&app),
            },
            "clickedAt": "2026-01-01T00:00:00.000Z", "country": "DE",
            "referrerHost": "news.example.com", "agent": "person", "contactId": "contact_7",
        },
    });
    assert_eq!(body, want);
    let secret = secret(&app);
    assert_eq!(request.header("webhook-signature"), expected(&secret, request));
    assert_eq!(requests[0].header("webhook-id"), id, "the same over all tries");
    assert_eq!(requests[0].body, request.body);
    let metrics = app.admin().get("/metrics").text();
    assert!(!metrics.contains(&secret) && !metrics.contains("canary"), "{metrics}");
    if let Ok(path) = secret_file {
        std::fs::write(path, &secret).expect("a file");
    }
}

/// The test above once more, in a process of its own that logs everything and is told to use a
/// proxy that does not exist.
#[test]
fn nothing_secret_is_logged_and_no_proxy_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "suite::webhooks::told_in_full", "--nocapture"]).env(SECRET_FILE, &path);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, "http://127.0.0.1:1");
    }
    let ran = child.output().expect("it runs");
    let log = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{log}");
    assert!(log.contains("a webhook was not delivered at once"), "the log is there: {log}");
    let secret = std::fs::read_to_string(path).expect("the child wrote it");
    let bare = secret.strip_prefix("whsec_").expect("its prefix");
    for hidden in [bare, "canary", "contact_7", "News.example.com", "/hook"] {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}

#[test]
fn failures_are_tried_again_and_shown() {
    let app = start(&["1ms", "2ms", "3ms", "4ms"]);
    let receiver = Receiver::start();
    let path = receiver.url("/");
    let made = hooked(&app, "twice", std::slice::from_ref(&path));
    receiver.answer_next([Reply::Status(500), Reply::Status(404)]);
    offer(&app, "twice");
    let all = results(&app, &made, 3);
    let shown: Vec<_> =
        all.iter().map(|one| json!([one["attempt"], one["status"], one["delivered"]])).collect();
    assert_eq!(json!(shown), json!([[3, 200, true], [2, 404, false], [1, 500, false]]));
    let requests = receiver.requests();
    for (one, request) in all.iter().zip(requests.iter().rev()) {
        assert_eq!(text(one, "id"), request.header("webhook-id"));
        assert_eq!(text(one, "url"), path);
    }
    assert_eq!((&all[0]["error"], &all[0]["nextAttemptAt"]), (&Value::Null, &Value::Null));
    assert_eq!(all[1]["error"], "the receiver did not accept it");
    assert!(all[1]["nextAttemptAt"].is_string());
    let mut keys: Vec<_> = all[0].as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys.join(" "), "at attempt delivered durationMs error id nextAttemptAt status url");
    // Five times, and no more.
    receiver.answer_all(Reply::Status(500));
    let lost = hooked(&app, "never", &[receiver.url("/never")]);
    offer(&app, "never");
    let all = results(&app, &lost, 5);
    assert_eq!((&all[0]["attempt"], &all[0]["nextAttemptAt"]), (&json!(5), &Value::Null));
    // "Gone" is final.
    receiver.answer_all(Reply::Status(410));
    let gone = hooked(&app, "gone", &[receiver.url("/gone")]);
    offer(&app, "gone");
    let all = results(&app, &gone, 1);
    assert_eq!((&all[0]["error"], &all[0]["nextAttemptAt"]), (&json!("the receiver is gone"), &Value::Null));
    assert_eq!(receiver.wait_for(9).len(), 9);
    let metrics = app.admin().get("/metrics").text();
    for line in [
        "waypost_webhooks_queued 0",
        "waypost_webhooks_in_flight 0",
        "waypost_webhooks_delivered_total 1",
        "waypost_webhooks_failed_total 2",
        "waypost_webhooks_dropped_total 0",
    ] {
        assert!(metrics.lines().any(|got| got == line), "{line} in {metrics}");
    }
}

/// Stops the app, and starts it so much later.
fn after(app: TestApp, pause: Duration) -> TestApp {
    let clock = app.clock();
    let millis = i64::try_from(pause.as_millis()).expect("a short one");
    app.restart_with(|_| clock.set(clock.now().plus_millis(millis)))
}

#[test]
fn what_waits_survives_a_restart() {
    let app = start(&["20m", "20m"]);
    let receiver = Receiver::answering(Reply::Status(500));
    let silent = Receiver::answering(Reply::Silence);
    let made = hooked(&app, "later", &[receiver.url("/a"), silent.url("/b")]);
    offer(&app, "later");
    results(&app, &made, 1);
    silent.wait_for(1);
    // One waits for its next try, one is cut off in the middle of its first.
    let began = Instant::now();
    let app = after(app, Duration::from_mins(20));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let again = receiver.wait_for(2);
    assert_eq!(again[0].header("webhook-id"), again[1].header("webhook-id"));
    assert_eq!(again[0].body, again[1].body);
    assert_eq!(expected(&secret(&app), &again[1]), again[1].header("webhook-signature"));
    assert_eq!(silent.wait_for(2)[1].header("webhook-id"), again[0].header("webhook-id"));
    let all = results(&app, &made, 1);
    assert_eq!(all[0]["attempt"], 2, "tries are counted over the restart: {all:?}");
    // Delivered, and not again after the next start.
    receiver.answer_all(Reply::Status(200));
    silent.answer_all(Reply::Status(200));
    let app = after(app, Duration::from_mins(20));
    assert_eq!(receiver.wait_for(3).len(), 3);
    until("all delivered", || app.app().webhooks().numbers().delivered == 2);
    let app = app.restart();
    hooked(&app, "other", &[receiver.url("/c")]);
    offer(&app, "other");
    let last = receiver.wait_for(4);
    assert_eq!(last.len(), 4);
    assert_ne!(last[3].header("webhook-id"), last[0].header("webhook-id"));
    let numbers = app.app().webhooks().numbers();
    assert_eq!((numbers.queued, numbers.failed, numbers.dropped), (0, 0, 0));
}

/// What was written down stays until it is over: a crash delivers it again rather than never.
#[test]
fn what_waited_survives_a_crash_as_well() {
    let app = start(&["20m", "20m"]);
    let receiver = Receiver::answering(Reply::Status(500));
    hooked(&app, "crash", &[receiver.url("/")]);
    offer(&app, "crash");
    receiver.wait_for(1);
    let app = after(app, Duration::from_mins(20));
    receiver.wait_for(2);
    // Tried and failed again, so it is still to come. Then the machine goes down.
    receiver.answer_all(Reply::Status(200));
    let second = app.crashed();
    let requests = receiver.wait_for(3);
    assert_eq!(requests[2].header("webhook-id"), requests[0].header("webhook-id"));
    let links = second.app().links();
    let is_empty = || second.wait(links.waiting_deliveries()).is_ok_and(|batches| batches.is_empty());
    until("delivered and forgotten", is_empty);
    // That one is done with it. A crash before it had said so would have delivered it once more.
    let third = second.crashed();
    offer(&third, "crash");
    let requests = receiver.wait_for(4);
    assert_ne!(requests[3].header("webhook-id"), requests[0].header("webhook-id"));
    assert_eq!(third.app().webhooks().numbers().dropped, 0);
}

#[test]
fn slow_and_ill_receivers_are_cut_off() {
    let app = start(&["50m"]);
    let limit = Duration::from_secs(5);
    let rows = [
        ("silence", Reply::Silence, true, "no answer within 5 s", false),
        ("trickle", Reply::Trickle, true, "no answer within 5 s", false),
        ("endless", Reply::Endless, false, "", true),
        ("huge", Reply::HugeHead, false, "no valid answer: ", false),
        ("close", Reply::Close, false, "no valid answer: ", false),
    ];
    let receivers: Vec<_> = rows.iter().map(|(_, reply, ..)| Receiver::answering(reply.clone())).collect();
    let made: Vec<_> = rows
        .iter()
        .zip(&receivers)
        .map(|((name, ..), receiver)| hooked(&app, name, &[receiver.url("/")]))
        .collect();
    for (name, ..) in &rows {
        offer(&app, name);
    }
    // Others are not held up meanwhile.
    let well = Receiver::start();
    hooked(&app, "well", &[well.url("/")]);
    let began = Instant::now();
    offer(&app, "well");
    well.wait_for(1);
    assert!(began.elapsed() < limit / 2, "{:?}", began.elapsed());
    for (((name, _, is_slow, error, delivered), receiver), made) in rows.iter().zip(&receivers).zip(&made) {
        let one = &results(&app, made, 1)[0];
        assert_eq!(one["delivered"], *delivered, "{name}: {one}");
        assert!(one["error"].as_str().unwrap_or("").starts_with(error), "{name}: {one}");
        let took = Duration::from_millis(one["durationMs"].as_u64().expect("a number"));
        assert_eq!(took >= limit, *is_slow, "{name}: {took:?}");
        assert!(took < limit + Duration::from_secs(2), "{name}: {took:?}");
        assert_eq!(receiver.connections(), 1, "{name}");
        // What was not read stands in the system's buffers, and is bounded by them.
        assert!(receiver.written() < 10 * 1024 * 1024, "{name}: {} bytes", receiver.written());
    }
}

#[test]
fn redirects_are_not_followed() {
    let app = start(&["50m"]);
    let target = Receiver::start();
    for status in [301, 302, 303, 307, 308] {
        let receiver = Receiver::answering(Reply::Location(status, target.url("/inner")));
        let made = hooked(&app, &format!("moved{status}"), &[receiver.url("/")]);
        offer(&app, &format!("moved{status}"));
        let one = &results(&app, &made, 1)[0];
        assert_eq!((&one["status"], &one["delivered"]), (&json!(status), &json!(false)), "{one}");
        assert_eq!(one["error"], "redirects are not followed");
    }
    assert_eq!(target.connections(), 0);
}

#[test]
fn private_receivers_are_not_connected_to() {
    let app = start(&["50m"]);
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let hosts = ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"];
    let urls = hosts.map(|host| format!("http://{host}:{port}/"));
    let urls: Vec<_> = urls.into_iter().enumerate().map(|(at, url)| format!("{url}{at}")).collect();
    let made = hooked(&app, "private", &urls);
    let app = app.restart_with(|config| config.webhooks.allowed_networks.clear());
    offer(&app, "private");
    for one in results(&app, &made, urls.len()) {
        assert_eq!(one["error"], "the host leads into a private network", "{one}");
        assert_eq!(one["status"], Value::Null);
    }
    assert_eq!(receiver.connections(), 0);
    // Allowed again, the same link works: nothing else was in the way.
    let app = app.restart_with(|config| config.webhooks.allowed_networks = vec!["127.0.0.1".to_owned()]);
    offer(&app, "private");
    receiver.wait_for(1);
}

#[test]
fn a_host_has_four_places() {
    let app = start(&["50m"]);
    let receiver = Receiver::start();
    receiver.hold();
    hooked(&app, "busy", &[receiver.url("/")]);
    let link = link(&app, "busy");
    for _ in 0..20 {
        app.app().webhooks().offer(&click(&app, &link));
    }
    receiver.wait_for(4);
    let other = Receiver::start();
    hooked(&app, "idle", &[other.url("/")]);
    offer(&app, "idle");
    other.wait_for(1);
    let numbers = app.app().webhooks().numbers();
    assert_eq!((receiver.connections(), numbers.in_flight + numbers.delivered), (4, 5), "{numbers:?}");
    receiver.release();
    until("all delivered", || app.app().webhooks().numbers().delivered == 21);
    assert!(receiver.most_at_once() <= 4, "{}", receiver.most_at_once());
    let ids: std::collections::HashSet<_> =
        receiver.requests().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 20, "an id for each click");
}

#[test]
fn a_full_queue_drops_and_counts_and_nobody_waits() {
    let app = start(&["50m"]);
    let receivers: Vec<_> = (0..5).map(|_| Receiver::answering(Reply::Silence)).collect();
    let urls: Vec<_> = receivers.iter().map(|receiver| receiver.url("/")).collect();
    hooked(&app, "full", &urls);
    hooked(&app, "one", &urls[..1]);
    let webhooks = app.app().webhooks();
    let (five, one) = (link(&app, "full"), link(&app, "one"));
    // One host alone gets a quarter.
    let few = QUEUE_MAX / 4 + 100;
    for _ in 0..few {
        webhooks.offer(&click(&app, &one));
    }
    until("the surplus is dropped", || webhooks.numbers().dropped == 100);
    let began = Instant::now();
    for _ in 0..QUEUE_MAX {
        webhooks.offer(&click(&app, &five));
    }
    let took = began.elapsed();
    // Of a build without optimisation, on a machine that does other things: far below the 5 s that
    // one receiver takes.
    assert!(took < Duration::from_secs(5), "{QUEUE_MAX} offers took {took:?}");
    let offered = (few + 5 * QUEUE_MAX) as u64;
    until("each is held or dropped", || {
        let numbers = webhooks.numbers();
        numbers.queued + numbers.in_flight + numbers.dropped == offered
    });
    let held = offered - webhooks.numbers().dropped;
    assert!(held <= QUEUE_MAX as u64 && held > QUEUE_MAX as u64 / 2, "{held} are held");
    assert!(app.visitor().get("/healthz").text().contains("ok"));
    // All of them wait over a restart.
    let app = app.restart();
    let numbers = || app.app().webhooks().numbers();
    until("they are queued again", || numbers().queued + numbers().in_flight == held);
    assert_eq!(numbers().dropped, 0);
}

#[test]
fn a_secret_is_readable_and_rotates() {
    let app = start(&["50m"]);
    let mut admin = app.admin();
    let path = secret_path(&workspace(&app));
    let first = admin.get(&path).expect(200, "made on first need")["webhookSecret"].clone();
    assert_eq!(first["createdAt"], "2026-01-01T00:00:00.000Z");
    assert_eq!(first["previousExpiresAt"], Value::Null);
    assert_eq!(admin.get(&path).expect(200, "the same")["webhookSecret"], first);
    let app = app.restart();
    let mut admin = app.admin();
    assert_eq!(admin.get(&path).expect(200, "after a restart")["webhookSecret"], first);
    app.advance(Duration::from_hours(1));
    let rotate = format!("{path}/rotate");
    let once = [("Idempotency-Key", "k")];
    let second = admin.send("POST", &rotate, &once, None).expect(201, "rotated")["webhookSecret"].clone();
    let replayed = admin.send("POST", &rotate, &once, None).expect(201, "repeated")["webhookSecret"].clone();
    assert_eq!(second, replayed, "rotated once");
    assert_ne!(text(&second, "secret"), text(&first, "secret"));
    assert_eq!(second["previousExpiresAt"], "2026-01-02T01:00:00.000Z");
    let receiver = Receiver::start();
    hooked(&app, "signed", &[receiver.url("/")]);
    offer(&app, "signed");
    let request = &receiver.wait_for(1)[0];
    let both = [&second, &first].map(|secret| expected(text(secret, "secret"), request)).join(" ");
    assert_eq!(request.header("webhook-signature"), both);
    app.advance(Duration::from_hours(24));
    offer(&app, "signed");
    let request = &receiver.wait_for(2)[1];
    assert_eq!(request.header("webhook-signature"), expected(text(&second, "secret"), request));
    let last = admin.get(&path).expect(200, "later")["webhookSecret"].clone();
    assert_eq!(last["previousExpiresAt"], Value::Null);
}

#[test]
fn foreign_secrets_and_deliveries_are_unknown() {
    let app = start(&["50m"]);
    let mut admin = app.admin();
    let (other, own) = (json!({"name": "Other", "id": "other"}), workspace(&app));
    admin.post("/api/v1/workspaces", &other).expect(201, "another workspace");
    let mut key = |scopes: &[&str], workspace: &str| {
        let body = json!({"name": "k", "scopes": scopes, "workspaceId": workspace});
        let made = admin.post("/api/v1/keys", &body).expect(201, "a key");
        app.visitor().with_key(text(&made["key"], "secret"))
    };
    let made = hooked(&app, "mine", &["https://hooks.example.com/".to_owned()]);
    let deliveries = format!("/api/v1/links/{}/deliveries", text(&made, "id"));
    let mut theirs = key(&["admin", "links.readonly"], "other");
    let unknown = "workspace not found";
    theirs.get(&secret_path(&own)).refuses(404, unknown, "a foreign secret");
    theirs.post(&format!("{}/rotate", secret_path(&own)), &json!({})).refuses(404, unknown, "a rotation");
    theirs.get(&secret_path("nobody")).refuses(404, unknown, "nobody's");
    theirs.get(&deliveries).refuses(404, "link not found", "a foreign link");
    let foreign = theirs.get(&secret_path("other")).expect(200, "its own");
    assert_ne!(text(&foreign["webhookSecret"], "secret"), secret(&app));
    let mut reader = key(&["links.readonly"], &own);
    assert_eq!(reader.get(&deliveries).expect(200, "a reader"), json!({"deliveries": []}));
    reader.get(&secret_path(&own)).refuses(403, "this key lacks the scope admin", "a reader");
    let mut keeper = key(&["admin"], &own);
    keeper.get(&deliveries).refuses(403, "this key lacks the scope links.readonly", "a keeper of keys");
    app.visitor().get(&secret_path(&own)).refuses(401, "missing or invalid API key", "a stranger");
}
