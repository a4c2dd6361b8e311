//! Health, readiness and metrics, and bounds on the memory and descriptors that strangers can occupy.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::http::{Connection, text};
use crate::support::process::{Dice, PATIENCE, Plan, Process, poll};

/// Returns the names of all series, with their labels.
fn series(metrics: &str) -> BTreeSet<String> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit_once(' ').map_or(line, |(name, _)| name).to_owned()).collect()
}

#[test]
fn t83_metrics_are_for_administrators() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made =
        admin.post("/api/v1/keys", &json!({"name": "n", "scopes": ["links.write"]})).expect(201, "a key");
    let secret = text(&made["key"], "secret").to_owned();
    app.visitor().get("/metrics").refuses(401, "missing or invalid API key", "a stranger");
    app.visitor().with_key(&secret).get("/metrics").refuses(
        403,
        "this needs an API key of the whole instance with the scope admin",
        "no administrator",
    );
    let before = admin.get("/metrics");
    assert_eq!(before.status, 200, "{before:?}");
    assert!(
        before.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")),
        "{before:?}"
    );
    let before = series(&before.text());
    assert!(before.len() > 10, "{before:?}");
    // No value of a request becomes a series.
    let mut visitor = app.visitor();
    for number in 0..500 {
        visitor.get(&format!("/unknown{number}"));
        visitor.send(
            "BREW",
            &format!("/api/v1/{number}"),
            &[("User-Agent", &format!("agent{number}"))],
            None,
        );
    }
    assert_eq!(series(&admin.get("/metrics").text()), before);
    let app = TestApp::start_with(|config| config.metrics.public = true);
    assert_eq!(app.visitor().get("/metrics").status, 200, "made public");
}

/// Metrics cover all companies, so only keys of the whole instance may read them. Keys of a tenant, and those
/// that only create links, may not.
#[test]
fn n07_metrics_are_for_keys_of_the_whole_instance() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let company = admin.post("/api/v1/companies", &json!({"name": "C"})).expect(201, "a company");
    let company = text(&company["company"], "id").to_owned();
    let rows = [
        (json!({"instance": true}), 200),
        (json!({"instance": true, "createOnly": true}), 403),
        (json!({"companyId": company}), 403),
        (json!({}), 403),
    ];
    for (mut body, status) in rows {
        body["name"] = json!("n");
        body["scopes"] = json!(["admin", "links.write"]);
        let made = admin.post("/api/v1/keys", &body).expect(201, "a key");
        let answer = app.visitor().with_key(text(&made["key"], "secret")).get("/metrics");
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
}

/// Paths outside the APIs have a rate limit of their own kind.
#[test]
fn n07_every_path_has_a_rate_limit() {
    let limited = |path: &str, key: Option<&str>, fine: u16| {
        let app = TestApp::start_with(|config| {
            config.limits.refused_per_minute = 3;
            config.limits.misses_per_minute = 3;
        });
        let mut client = app.visitor();
        if let Some(key) = key {
            client = client.with_key(key);
        }
        let statuses: Vec<_> = (0..5).map(|_| client.get(path).status).collect();
        assert_eq!(statuses, [fine, fine, fine, 429, 429], "{path}");
        assert!(client.get(path).header("retry-after").is_some(), "{path}");
    };
    for (path, fine) in [
        ("/metrics", 401),
        ("/api/v1/nothing", 404),
        ("/api", 404),
        ("/api/docs", 200),
        ("/api/openapi.json", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/admin", 404),
        ("/.well-known/x", 404),
    ] {
        limited(path, None, fine);
    }
    limited("/metrics", Some("wp_wrong"), 401);
}

/// Wrong keys count together, at `/metrics` and at the API.
#[test]
fn n07_wrong_keys_at_the_metrics_count_with_those_at_the_api() {
    let app = TestApp::start_with(|config| config.limits.refused_per_minute = 4);
    let mut client = app.visitor().with_key("wp_wrong");
    let paths = ["/metrics", "/api/v1/links", "/metrics", "/links", "/metrics", "/api/v1/links"];
    let statuses: Vec<_> = paths.iter().map(|path| client.get(path).status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    assert_eq!(app.visitor().get("/healthz").status, 200, "probes are counted apart");
    assert_eq!(app.admin().get("/metrics").status, 200, "a valid key is counted by itself");
}

#[test]
fn t83_health_and_readiness_are_public_and_contain_no_secrets() {
    let app = TestApp::start();
    for path in ["/healthz", "/readyz"] {
        let answer = app.visitor().get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert!(!answer.text().contains("/tmp"), "{path}: {answer:?}");
        assert_eq!(app.visitor().head(path).status, 200, "HEAD {path}");
        assert_eq!(app.visitor().send("POST", path, &[], None).status, 405, "POST {path}");
    }
}

fn resident_kilobytes(server: &Process) -> u64 {
    let status = fs::read_to_string(server.proc("status")).expect("a running process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn t109_unknown_codes_cost_no_memory() {
    const EACH: u64 = 12_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A folder that the server creates itself is private, and causes no warning.
    let server = Plan::on(&folder.path().join("data")).start();
    let (seed, mut dice) = Dice::seeded();
    let mut ask = |times| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (mut visitor, mut dice) = (server.visitor(), dice.split());
                scope.spawn(move || {
                    for _ in 0..times {
                        let code = format!("/{:x}", dice.next());
                        assert_eq!(visitor.get(&code).status, 404, "{code}, seed {seed}");
                    }
                });
            }
        });
    };
    // Warm up: threads, buffers and the bounded cache of unknown codes.
    ask(EACH);
    let before = resident_kilobytes(&server);
    ask(EACH);
    let after = resident_kilobytes(&server);
    assert!(after < before + 8 * 1024, "{before} KB became {after} KB");
    assert!(!server.stderr().contains("WARN"), "{}", server.stderr());
    assert!(server.stderr().lines().count() < 50, "not a line for each: {}", server.stderr());
    server.stop();
}

#[test]
fn t22_clients_that_leave_occupy_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).patient().start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let descriptors = || fs::read_dir(server.proc("fd")).expect("a running process").count();
    let before = descriptors();
    for number in 0..1_000 {
        let mut connection = Connection::open(server.address()).expect("accepted");
        let sent: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET /s HTT",
            2 => b"GET /s HTTP/1.1\r\nHost: go.test\r\n\r\n",
            _ => b"POST /api/v1/links HTTP/1.1\r\nHost: go.test\r\nContent-Length: 10\r\n\r\nab",
        };
        connection.send(sent).expect("sent");
    }
    poll("closed connections are let go", PATIENCE, || (descriptors() <= before + 2).then_some(()));
    assert_eq!(server.visitor().get("/s").status, 302);
    // The stop does not wait for any of them.
    server.stop();
}
