//! Health, readiness and metrics, and bounds on the memory and descriptors that strangers can occupy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::http::{Connection, text};
use crate::support::native::NO_KEY;
use crate::support::process::{Dice, PATIENCE, Plan, Process, not_tested, poll};

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
    app.visitor().get("/metrics").refuses(401, NO_KEY, "a stranger");
    app.visitor().with_key(&secret).get("/metrics").refuses(
        403,
        "this needs an API key of the whole instance with the scope metrics.readonly or admin",
        "no administrator",
    );
    let before = admin.get("/metrics");
    assert_eq!(before.status, 200, "{before:?}");
    assert_eq!(before.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"), "{before:?}");
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
        (json!({"instance": true, "scopes": ["metrics.readonly"]}), 200),
        (json!({"instance": true, "scopes": ["links.readonly", "snapshots.write"]}), 403),
        (json!({"instance": true, "createOnly": true}), 403),
        (json!({"companyId": company}), 403),
        (json!({}), 403),
    ];
    for (mut body, status) in rows {
        body["name"] = json!("n");
        if body.get("scopes").is_none() {
            body["scopes"] = json!(["admin", "links.write"]);
        }
        let made = admin.post("/api/v1/keys", &body).expect(201, "a key");
        let answer = app.visitor().with_key(text(&made["key"], "secret")).get("/metrics");
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    // The key for Prometheus can do nothing else, and no tenant gets one.
    let body = json!({"name": "n", "instance": true, "scopes": ["metrics.readonly"]});
    let made = admin.post("/api/v1/keys", &body).expect(201, "a key");
    let mut small = app.visitor().with_key(text(&made["key"], "secret"));
    small.get("/api/v1/links").refuses(403, "this key lacks the scope links.readonly", "links");
    for mut body in [json!({"companyId": company}), json!({})] {
        body["name"] = json!("n");
        body["scopes"] = json!(["metrics.readonly"]);
        let why = "scopes: metrics.readonly is for keys of the whole instance: add \"instance\": true";
        admin.post("/api/v1/keys", &body).refuses(422, why, "a key of a tenant");
    }
}

/// Checks the grammar that both text formats have in common, and the rules of each that clients rely on.
#[track_caller]
fn is_valid(metrics: &str, is_open: bool) {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let (mut family, mut last_bucket) = ("", 0.0);
    let body = metrics.strip_suffix("# EOF\n");
    assert_eq!(body.is_some(), is_open, "{metrics}");
    for line in body.unwrap_or(metrics).lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(!help.is_empty() && !types.contains_key(name), "{line}");
                family = name;
            }
            ["#", "TYPE", name, kind] => {
                assert!(name == family && types.insert(name, kind).is_none(), "{line}");
                assert_eq!(kind == "counter" && !is_open, name.ends_with("_total"), "{line}");
            }
            [series, value] => {
                let name = series.split('{').next().expect("a name");
                let value: f64 = value.parse().expect(line);
                let rest = name.strip_prefix(family).expect(line);
                let suffixes: &[&str] = match types[family] {
                    "counter" if is_open => &["_total"],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                assert!(suffixes.contains(&rest) && seen.insert(series.to_owned()), "{line}");
                if rest == "_bucket" {
                    assert!(value >= last_bucket, "{line}");
                    last_bucket = value;
                }
            }
            _ => panic!("{line:?}"),
        }
    }
    assert!(types.len() > 40, "{types:?}");
}

/// Both formats are valid, by the rules above and by Prometheus' own program where it is installed.
#[test]
fn metrics_are_valid_in_both_formats() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    app.visitor().get("/s");
    let plain = admin.get("/metrics").text();
    is_valid(&plain, false);
    let accept =
        [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")];
    let open = admin.send("GET", "/metrics", &accept, None);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((open.header("content-type"), open.header("vary")), (Some(kind), Some("Accept")));
    is_valid(&open.text(), true);
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        not_tested("the metrics by promtool: it is not installed");
        return;
    };
    child.stdin.take().expect("piped").write_all(plain.as_bytes()).expect("read");
    let checked = child.wait_with_output().expect("it ends");
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {metrics}"))
}

#[test]
fn metrics_describe_the_process_and_its_answers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let metrics = || server.admin().get("/metrics").text();
    let before = metrics();
    let mut visitor = server.visitor();
    for _ in 0..130 {
        assert_eq!(visitor.get("/s").status, 302);
    }
    for _ in 0..3 {
        assert_eq!(visitor.get("/missing").status, 404);
    }
    let after = metrics();
    let grown = |series: &str| value(&after, series) - value(&before, series);
    for (class, want) in [("3xx", 130.0), ("4xx", 3.0), ("5xx", 0.0)] {
        let got = grown(&format!("waypost_http_responses_total{{code=\"{class}\"}}"));
        assert!((got - want).abs() < 0.5, "{class}: {got}");
    }
    // The first of them and each 64th.
    let timed = grown("waypost_redirect_duration_seconds_count");
    assert!((2.0..=3.0).contains(&timed), "{timed}");
    assert!(grown("waypost_redirect_duration_seconds_sum") > 0.0);
    let version = concat!("waypost_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",");
    assert!(after.lines().any(|line| line.starts_with(version) && line.ends_with(" 1")), "{after}");
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!((now - value(&after, "process_start_time_seconds")).abs() < 600.0, "{after}");
    assert!(value(&after, "process_cpu_seconds_total") > 0.0);
    let resident = value(&after, "process_resident_memory_bytes");
    assert!((1e6..1e9).contains(&resident), "{resident}");
    let (open, most) = (value(&after, "process_open_fds"), value(&after, "process_max_fds"));
    assert!(open > 5.0 && open < most, "{open} of {most}");
    server.stop();
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
        ("/admin", 303),
        ("/admin/sign-in", 200),
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
