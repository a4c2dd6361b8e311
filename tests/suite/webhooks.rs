//! Webhooks to real receivers: the content of events, their signatures, the number of attempts, and the
//! events that a restart or a crash leaves.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waypost::webhooks::ClickEvent;

use crate::support::app::{START, TestApp};
use crate::support::hooks::{
    TRY, click, expected, hooked, link, offer, results, secret, secret_path, start, workspace,
};
use crate::support::http::text;
use crate::support::native::NO_KEY;
use crate::support::process::PATIENCE;
use crate::support::receiver::{Receiver, Reply, until};

/// The environment variable with the path of a file, into which the child of [`t91_nothing_secret_is_logged_and_no_proxy_is_used`] writes
/// the texts that must not be in its log.
const SECRET_FILE: &str = "WAYPOST_TEST_SECRET_FILE";

#[test]
fn t90_an_event_contains_all_its_fields() {
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
    app.app().webhooks().offer(&ClickEvent {
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

/// Runs the test above again, in a process of its own that logs everything, and whose environment names a
/// proxy that does not exist.
#[test]
fn t91_nothing_secret_is_logged_and_no_proxy_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child
        .args(["--exact", "suite::webhooks::t90_an_event_contains_all_its_fields", "--nocapture"])
        .env(SECRET_FILE, &path);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, "http://127.0.0.1:1");
    }
    let ran = child.output().expect("it runs");
    let log = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{log}");
    assert!(log.contains("the first attempt to deliver a webhook failed"), "the log is there: {log}");
    let secret = std::fs::read_to_string(path).expect("the child wrote it");
    let bare = secret.strip_prefix("whsec_").expect("its prefix");
    for hidden in [bare, "canary", "contact_7", "News.example.com", "/hook"] {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}

#[test]
fn t88_failures_are_retried_and_shown() {
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
    // Five attempts, and no more.
    receiver.answer_all(Reply::Status(500));
    let lost = hooked(&app, "never", &[receiver.url("/never")]);
    offer(&app, "never");
    let all = results(&app, &lost, 5);
    assert_eq!((&all[0]["attempt"], &all[0]["nextAttemptAt"]), (&json!(5), &Value::Null));
    // A 410 is final.
    receiver.answer_all(Reply::Status(410));
    let gone = hooked(&app, "gone", &[receiver.url("/gone")]);
    offer(&app, "gone");
    let all = results(&app, &gone, 1);
    assert_eq!((&all[0]["error"], &all[0]["nextAttemptAt"]), (&json!("the receiver is gone"), &Value::Null));
    assert_eq!(receiver.wait_for(9).len(), 9);
    // The history has an attempt before the counts have it.
    for line in [
        "waypost_webhooks_queued 0",
        "waypost_webhooks_in_flight 0",
        "waypost_webhooks_delivered_total 1",
        "waypost_webhooks_failed_total 2",
        "waypost_webhooks_dropped_total 0",
    ] {
        until(line, || app.admin().get("/metrics").text().lines().any(|got| got == line));
    }
}

/// Stops the app, and starts it after this time.
fn after(app: TestApp, pause: Duration) -> TestApp {
    let clock = app.clock();
    let millis = i64::try_from(pause.as_millis()).expect("a short one");
    app.restart_with(|_| clock.set(clock.now().plus_millis(millis)))
}

#[test]
fn queued_deliveries_survive_a_restart() {
    let app = start(&["20m", "20m"]);
    let receiver = Receiver::answering(Reply::Status(500));
    let silent = Receiver::answering(Reply::Silence);
    let made = hooked(&app, "later", &[receiver.url("/a"), silent.url("/b")]);
    offer(&app, "later");
    results(&app, &made, 1);
    silent.wait_for(1);
    // One delivery waits for its retry, and one is cut off in its first attempt.
    let app = after(app, Duration::from_mins(20));
    let again = receiver.wait_for(2);
    assert_eq!(again[0].header("webhook-id"), again[1].header("webhook-id"));
    assert_eq!(again[0].body, again[1].body);
    assert_eq!(expected(&secret(&app), &again[1]), again[1].header("webhook-signature"));
    assert_eq!(silent.wait_for(2)[1].header("webhook-id"), again[0].header("webhook-id"));
    let all = results(&app, &made, 1);
    assert_eq!(all[0]["attempt"], 2, "attempts are counted over the restart: {all:?}");
    // Delivered, and not repeated after the next start.
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

/// A stop cuts off the running attempt. Repeated if stop and start take as long as an attempt, as on a
/// stalled machine.
#[test]
fn a_stop_does_not_wait_for_an_attempt() {
    let mut app = start(&["20m"]);
    let silent = Receiver::answering(Reply::Silence);
    hooked(&app, "silent", &[silent.url("/")]);
    let end = Instant::now() + PATIENCE;
    loop {
        let (began, before) = (Instant::now(), silent.requests().len());
        offer(&app, "silent");
        silent.wait_for(before + 1);
        app = app.restart();
        if began.elapsed() < TRY {
            break;
        }
        assert!(Instant::now() < end, "{:?}", began.elapsed());
    }
}

/// The clock of the machine is a year ahead at the stop, and right at the start.
#[test]
fn queued_deliveries_do_not_wait_for_a_wrong_clock() {
    let app = start(&["3s"]);
    let receiver = Receiver::answering(Reply::Status(500));
    let made = hooked(&app, "ahead", &[receiver.url("/")]);
    offer(&app, "ahead");
    results(&app, &made, 1);
    let clock = app.clock();
    let app = app.restart_with(|_| clock.set(clock.now().plus_millis(-365 * 24 * 60 * 60 * 1_000)));
    let again = receiver.wait_for(2);
    assert_eq!(again[0].header("webhook-id"), again[1].header("webhook-id"));
    drop(app);
}

/// A stored delivery stays in the store until it is finished: a crash delivers it a second time.
#[test]
fn stored_deliveries_survive_a_crash() {
    let app = start(&["20m", "20m"]);
    let receiver = Receiver::answering(Reply::Status(500));
    hooked(&app, "crash", &[receiver.url("/")]);
    offer(&app, "crash");
    receiver.wait_for(1);
    let app = after(app, Duration::from_mins(20));
    receiver.wait_for(2);
    // Attempted and failed again, so the delivery is still stored. Then the machine crashes.
    receiver.answer_all(Reply::Status(200));
    let second = app.crashed();
    let requests = receiver.wait_for(3);
    assert_eq!(requests[2].header("webhook-id"), requests[0].header("webhook-id"));
    let tenants = second.app().core().tenants();
    let is_empty = || second.wait(tenants.waiting_deliveries()).is_ok_and(|batches| batches.is_empty());
    until("delivered and forgotten", is_empty);
    // The delivery has left the store. A crash before that would have delivered it once more.
    let third = second.crashed();
    offer(&third, "crash");
    let requests = receiver.wait_for(4);
    assert_ne!(requests[3].header("webhook-id"), requests[0].header("webhook-id"));
    assert_eq!(third.app().webhooks().numbers().dropped, 0);
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
    app.visitor().get(&secret_path(&own)).refuses(401, NO_KEY, "a stranger");
}

#[test]
fn t90_only_counted_clicks_are_sent() {
    let app = start(&["10ms"]);
    let receiver = Receiver::start();
    let hook = receiver.url("/");
    let make = |code: &str, more: Value| {
        let mut body = json!({"url": "https://e.test/", "customSlug": code, "webhookUrls": hook});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        app.admin().create(&body)
    };
    make("plain", json!({}));
    make("few", json!({"maxClicks": 2}));
    make("bots", json!({"countBots": true, "title": "A title"}));
    make("secret", json!({"password": "open sesame"}));
    make("framed", json!({"cloaked": true}));
    make("pixels", json!({"metaPixelId": "1234567890"}));
    make("over", json!({"expiresAt": "2020-01-01"}));
    let bot = ("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
    let slack = ("User-Agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)");
    let referrer = ("Referer", "https://news.example.com/story");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    // Other data of a visitor, which must not be in an event.
    let canaries = [
        ("Cookie", "session=canary"),
        ("Authorization", "Basic canary"),
        ("X-Forwarded-For", "198.51.100.77"),
        ("User-Agent", "canary/1.0"),
        ("Accept-Language", "canary"),
        ("Referer", "https://user:canary@198.51.100.77/canary?canary"),
    ];
    let rows: &[(&str, &str, &[(&str, &str)], Option<&str>, Option<&str>)] = &[
        ("GET", "/plain", &[referrer], None, Some("person")),
        ("GET", "/plain", &canaries, None, Some("person")),
        ("HEAD", "/plain", &[], None, None),
        ("GET", "/plain", &[("Sec-Purpose", "prefetch")], None, None),
        ("GET", "/plain", &[bot], None, None),
        ("GET", "/few", &[], None, Some("person")),
        ("GET", "/few", &[bot], None, None),
        ("HEAD", "/few", &[], None, None),
        ("GET", "/few", &[], None, Some("person")),
        ("GET", "/few", &[], None, None),
        ("GET", "/bots", &[bot], None, Some("bot")),
        ("GET", "/bots", &[slack], None, None),
        ("GET", "/secret", &[], None, None),
        ("POST", "/secret", &[form], Some("password=wrong"), None),
        ("POST", "/secret", &[form], Some("password=open+sesame"), Some("person")),
        ("GET", "/framed", &[], None, Some("person")),
        ("GET", "/pixels", &[], None, Some("person")),
        ("GET", "/over", &[], None, None),
        ("GET", "/unknown", &[], None, None),
    ];
    let mut visitor = app.visitor();
    let mut told = 0;
    for (method, path, headers, body, agent) in rows {
        visitor.send(method, path, headers, body.map(str::as_bytes));
        let Some(agent) = agent else { continue };
        told += 1;
        let requests = receiver.wait_for(told);
        let event: Value = serde_json::from_slice(&requests[told - 1].body).expect("JSON");
        assert_eq!(event["data"]["agent"], *agent, "{method} {path}");
        assert_eq!(event["data"]["link"]["shortCode"], path[1..], "{method} {path}");
        let host = if headers.contains(&referrer) { json!("news.example.com") } else { Value::Null };
        assert_eq!(event["data"]["referrerHost"], host, "{method} {path}");
        for hidden in ["127.0.0.1", "198.51.100.77", "canary", "sesame", "argon2"] {
            assert!(!event.to_string().contains(hidden), "{hidden} in {event}");
        }
        let heads = format!("{:?}", requests[told - 1].headers);
        assert!(!heads.contains("canary") && !heads.contains("198.51.100.77"), "{heads}");
    }
    // An event with more data would have come before this one.
    visitor.get("/plain");
    assert_eq!(receiver.wait_for(told + 1).len(), told + 1);
}

/// A click on a link with rules names the rule and the variant. The link's `url` stays its own.
#[test]
fn events_name_what_chose_the_destination() {
    let app = start(&["10ms"]);
    let receiver = Receiver::start();
    let mut admin = app.admin();
    let url = "https://e.test/own";
    let ios = json!({"name": "phones", "conditions": [{"field": "os", "operator": "in", "value": ["iOS"]}], "url": "https://e.test/ios"});
    let split = json!({"variants": [{"name": "a", "url": "https://e.test/a", "weight": 1}, {"url": "https://e.test/b", "weight": 1}], "sticky": "click",
        "conditions": [{"field": "query", "key": "ab", "operator": "exists"}]});
    admin.create(
        &json!({"url": url, "customSlug": "r", "webhookUrls": receiver.url("/"), "rules": [ios, split]}),
    );
    let phone = ("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/605.1");
    let person = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0");
    let mut visitor = app.visitor();
    let mut clicks = 0;
    let mut click = |path: &str, agent: (&str, &str)| {
        let answer = visitor.send("GET", path, &[agent], None);
        clicks += 1;
        let requests = receiver.wait_for(clicks);
        let event: Value = serde_json::from_slice(&requests[clicks - 1].body).expect("JSON");
        let data = event["data"].clone();
        assert_eq!(data["link"]["url"], url, "{path}");
        (answer.header("location").unwrap_or_default().to_owned(), data)
    };
    let (to, data) = click("/r", person);
    assert_eq!((to.as_str(), data.get("rule"), data.get("variant")), (url, None, None));
    let (to, data) = click("/r", phone);
    assert_eq!(to, "https://e.test/ios");
    assert_eq!((&data["rule"], data.get("variant")), (&json!({"id": 1, "name": "phones"}), None));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (to, data) = click("/r?ab=1", person);
        assert_eq!(data["rule"], json!({"id": 2, "name": null}));
        seen.push((to, data["variant"].clone()));
    }
    seen.sort_by_key(|(to, _)| to.clone());
    let want = [
        ("https://e.test/a".to_owned(), json!({"id": 1, "name": "a"})),
        ("https://e.test/b".to_owned(), json!({"id": 2, "name": null})),
    ];
    assert_eq!(seen, want);
}
