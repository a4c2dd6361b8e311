//! Certificates of an authority: pebble, which checks names as Let's Encrypt does, and a mock for what pebble lacks.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_rustls::rustls::ClientConfig;
use waypost::certificates::settings::EabKey;
use waypost::clock::Timestamp;
use waypost::config::Config;

use crate::support::acme_mock::{AcmeMock, Manner};
use crate::support::app::{HOST, TestApp};
use crate::support::http::text;
use crate::support::https_app::names;
use crate::support::pebble::{Pebble, visit};
use crate::support::process::{Plan, command, poll, unused_address};
use crate::support::tls::Authority;

/// How late a certificate may be on a busy machine.
pub(super) const LATE: Duration = Duration::from_mins(1);

pub(super) const DOMAINS: &str = "/api/v1/domains";

/// A year and a month.
pub(super) const DAYS_400: i64 = 400 * 24 * 60 * 60 * 1_000;

/// Returns `https` of a domain.
pub(super) fn https_of(app: &TestApp, name: &str) -> Value {
    let all = app.admin().get(DOMAINS).expect(200, "domains");
    let all = all["domains"].as_array().expect("a list").clone();
    all.into_iter().find(|domain| domain["domain"] == name).expect(name)["https"].clone()
}

/// Returns why the last try for a name failed.
fn failure(app: &TestApp, name: &str) -> String {
    poll("a try that fails", LATE, || https_of(app, name)["failure"].as_str().map(str::to_owned))
}

/// Waits until a name has a certificate.
pub(super) fn valid(app: &TestApp, name: &str) {
    poll("a certificate", LATE, || (https_of(app, name)["state"] == "valid").then_some(()));
}

/// Returns the sentences of `/healthz`.
pub(super) fn problems(app: &TestApp) -> String {
    app.visitor().get("/healthz").text()
}

/// Returns whether a visit over HTTPS with a trusted certificate is answered.
fn answers_at_once(address: std::net::SocketAddr, name: &str, clients: &Arc<ClientConfig>) -> bool {
    visit(address, name, "/none", clients).is_ok_and(|response| response.starts_with("HTTP/1.1 404"))
}

/// Returns once a visit over HTTPS with a trusted certificate is answered. A handshake is held for ten seconds, in which
/// a busy machine may not get the certificate.
pub(super) fn answers(address: std::net::SocketAddr, name: &str, clients: &Arc<ClientConfig>) -> bool {
    poll("a visit is answered", LATE, || answers_at_once(address, name, clients).then_some(true))
}

/// Waits for the question about the renewal, which follows the first certificate.
fn renewal_was_asked(app: &TestApp) {
    poll("it is asked", LATE, || {
        let state = fs::read_to_string(app.data_dir().join("tls/state.json")).unwrap_or_default();
        state.contains("askAfter").then_some(())
    });
}

#[test]
fn e1_e2_a_client_that_connects_before_the_certificate_exists_is_answered() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let from = Instant::now();
    let app = TestApp::start_with(|config| pebble.configure(config, &[HOST]));
    let response = visit(pebble.https, HOST, "/none", &clients).expect("trusted");
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    assert!(from.elapsed() < LATE, "{:?}", from.elapsed());
    assert_eq!(pebble.orders(), 1);
    let https = https_of(&app, HOST);
    assert_eq!(
        (&https["state"], &https["failure"], &https["nextTry"]),
        (&json!("valid"), &Value::Null, &Value::Null)
    );
    assert!(https["expiresAt"].as_str().is_some_and(|end| end > "2026"), "{https}");
    // HTTP leads there now, and the answer of a challenge is gone.
    let moved = app.visitor().get("/code");
    assert_eq!(moved.header("location"), Some(&*format!("https://{HOST}:{}/code", pebble.https.port())));
    // Keys are for their owner only.
    let tls = app.data_dir().join("tls");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&tls), 0o700);
    for name in ["account.json", "state.json", "go.test.pem"] {
        poll(name, LATE, || tls.join(name).exists().then_some(()));
        assert_eq!(mode(&tls.join(name)), 0o600, "{name}");
    }
}

#[test]
fn e3_twenty_registered_domains_are_all_trusted() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let app = TestApp::start_with(|config| pebble.configure(config, &[HOST, "second.test"]));
    let from = Instant::now();
    let mut all: Vec<String> = (0..20).map(|number| format!("d{number}.test")).collect();
    for name in &all {
        let created = app.admin().post(DOMAINS, &json!({"domain": name})).expect(201, name);
        // Also before the work on it has begun.
        assert!(created["domain"]["https"]["state"].is_string(), "{created}");
    }
    // A further name in `domain` is a domain by itself.
    all.push("second.test".to_owned());
    let link = json!({"url": "https://example.com/", "domain": "second.test", "customSlug": "a"});
    app.admin().post("/api/v1/links", &link).expect(201, "a link on it");
    for name in &all {
        assert!(visit(pebble.https, name, "/none", &clients).is_ok(), "{name}");
    }
    assert!(from.elapsed() < LATE, "{:?}", from.elapsed());
    assert_eq!(pebble.orders(), 22, "one for each name");
    // One certificate for each name, so that none shows the others.
    let tls = app.data_dir().join("tls");
    poll("each is written", LATE, || {
        let names = fs::read_dir(&tls).expect("a folder").flatten().map(|entry| entry.path());
        let certificates = names.filter(|path| path.extension().is_some_and(|end| end == "pem"));
        (certificates.count() == 22).then_some(())
    });
    let metrics = app.admin().get("/metrics").text();
    assert!(metrics.contains("waypost_certificates{state=\"valid\"} 22"), "{metrics}");
    let challenges = "waypost_handshakes_total{result=\"challenge\"} ";
    let number = metrics.lines().find_map(|line| line.strip_prefix(challenges)?.parse::<u64>().ok());
    // For each name, that of the server itself and that of the authority.
    assert!(number.is_some_and(|number| number >= 44), "{metrics}");
}

#[test]
fn e3_a_refusing_authority_gets_few_orders() {
    let refuses = Some((403, "rejectedIdentifier", None));
    let mock = AcmeMock::start(Manner { refuses, ..Manner::default() });
    let app = TestApp::start_in_time(|config| mock.configure(config, &[HOST]));
    let key = app.admin();
    let mut key = key;
    for number in 0..70 {
        key.post(DOMAINS, &json!({"domain": format!("d{number}.test")})).expect(201, "a domain");
    }
    poll("the budget is used up", LATE, || (mock.orders().len() >= 50).then_some(()));
    // One more every 36 s.
    thread::sleep(Duration::from_millis(500));
    assert!((50..=52).contains(&mock.orders().len()), "{}", mock.orders().len());
    let why = failure(&app, HOST);
    assert!(why.starts_with("no certificate for go.test yet: no more today; next try "), "{why}");
    let problems = problems(&app);
    assert!(
        problems.contains("a name in `domain` has no certificate, and the last try failed"),
        "{problems}"
    );
    assert!(!problems.contains(HOST), "anyone may read it: {problems}");
}

#[test]
fn e4_a_restart_with_kept_certificates_asks_nobody() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let app = TestApp::start_in_time(|config| pebble.configure(config, &[HOST]));
    assert!(answers(pebble.https, HOST, &clients));
    renewal_was_asked(&app);
    let before = pebble.all_requests();
    let mut app = Some(app);
    for _ in 0..2 {
        app = app.map(TestApp::restart);
        assert!(answers(pebble.https, HOST, &clients));
    }
    assert_eq!(pebble.all_requests(), before);
}

#[test]
fn e5_handshakes_for_other_names_cost_neither_orders_nor_look_ups() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let looked_up = Arc::new(AtomicUsize::new(0));
    let app = TestApp::start_with(|config| {
        pebble.configure(config, &[HOST]);
        let (count, inner) = (Arc::clone(&looked_up), Arc::clone(&config.https.internet.lookup));
        config.https.internet.lookup = Arc::new(move |name| {
            count.fetch_add(1, Ordering::Relaxed);
            inner(name)
        });
    });
    assert!(answers(pebble.https, HOST, &clients));
    renewal_was_asked(&app);
    let before = (pebble.all_requests(), looked_up.load(Ordering::Relaxed));
    let from = Instant::now();
    for number in 0..300 {
        let error =
            visit(pebble.https, &format!("x{number}.test"), "/", &clients).expect_err("no certificate");
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }
    assert!(from.elapsed() < LATE, "none waits: {:?}", from.elapsed());
    assert_eq!((pebble.all_requests(), looked_up.load(Ordering::Relaxed)), before);
    drop(app);
}

/// Each cause has its sentence, an authority is asked only where it can succeed, and HTTP goes on.
#[test]
fn e6_each_cause_has_its_sentence() {
    let mut pebble = Pebble::start_leading("127.99.0.1");
    // Another server at the ports of this one.
    let other = std::net::SocketAddr::new("127.98.0.1".parse().expect("an address"), pebble.https.port());
    let listener = TcpListener::bind(other).expect("a free address");
    thread::spawn(move || listener.incoming().for_each(drop));
    pebble.lead("elsewhere.test", &["127.98.0.1"]);
    pebble.lead("stale.test", &[&pebble.https.ip().to_string(), "::1"]);
    pebble.lead("closed.test", &["127.97.0.1"]);
    pebble.lead("nowhere.test", &[]);
    let app = TestApp::start_in_time(|config| pebble.configure(config, &[HOST]));
    let rows = [
        ("elsewhere.test", "elsewhere.test is 127.98.0.1, which is not this machine: change its A record"),
        ("stale.test", "its AAAA record ::1 does not lead here: authorities ask IPv6 first; remove it"),
        (
            "closed.test",
            "closed.test is 127.97.0.1, which cannot be reached on port 443 (connection refused) or 80 (connection \
             refused): open port 443 in the firewall of the provider, or change its A record",
        ),
        ("nowhere.test", "nowhere.test has no address: create an A record with the address of this machine"),
    ];
    // The sentence of the authority, which reaches another machine than this server itself.
    let why = failure(&app, HOST);
    assert!(why.contains("127.99.0.1"), "{why}");
    assert!(why.contains(": open port 443 in the firewall of the provider; next try "), "{why}");
    for (name, want) in rows {
        app.admin().post(DOMAINS, &json!({"domain": name})).expect(201, want);
    }
    for (name, want) in rows {
        let why = failure(&app, name);
        let start = format!("no certificate for {name} yet: {want}; next try ");
        assert!(why.starts_with(&start), "{why}");
        assert_eq!(https_of(&app, name)["state"], "failing", "{name}");
    }
    assert!(pebble.orders() <= 2, "only for the name that leads here");
    assert_eq!(app.visitor().get("/none").status, 404, "HTTP serves");
    pebble.stop();
}

#[test]
fn e6_an_authority_that_is_down_or_is_none_is_named() {
    let mut pebble = Pebble::start();
    pebble.stop();
    let app = TestApp::start_in_time(|config| pebble.configure(config, &[HOST]));
    let why = failure(&app, HOST);
    let want =
        "no certificate for go.test yet: the authority does not answer (connection refused); next try ";
    assert!(why.starts_with(want), "{why}");
    let next = https_of(&app, HOST)["nextTry"].as_str().expect("a time").to_owned();
    let time = why.strip_prefix(want).expect("it begins so");
    assert!(time.ends_with(" UTC") && time.contains(&next[11..16]), "{why} {next}");
    assert_eq!(app.visitor().get("/none").status, 404, "HTTP serves");
    // `doctor` reads the same from the data folder, and asks the authority itself.
    let roots = pebble.roots();
    let authority = pebble.authority();
    let data = app.data_dir().to_owned();
    let plan = || {
        Plan::on(&data)
            .without("WAYPOST_PUBLIC_URL")
            .env("WAYPOST_DOMAIN", HOST)
            .env("WAYPOST_LISTEN", &pebble.http.to_string())
            .env("WAYPOST_HTTPS__LISTEN", &pebble.https.to_string())
            .env("WAYPOST_HTTPS__AUTHORITY", &authority)
            .env("WAYPOST_HTTPS__AUTHORITY_ROOTS", &roots)
            .arg("doctor")
    };
    let (_, text, stderr) = plan().fails();
    let has = |start: &str, part: &str| {
        let found = text.lines().any(|line| line.starts_with(start) && line.contains(part));
        assert!(found, "{start} ... {part}\n{text}{stderr}");
    };
    has("problem  HTTPS: ", want);
    has("warning  certificate authority: ", "does not answer (connection refused)");
    let _ = fs::set_permissions(data.join("tls"), fs::Permissions::from_mode(0o755));
    let (_, text, _) = plan().fails();
    assert!(text.contains("which contains the keys of certificates. Run: chmod -R go= "), "{text}");
}

#[test]
fn e6_a_private_authority_without_its_roots_is_named() {
    let pebble = Pebble::start();
    let other = Authority::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, other.pem()).expect("a small file");
    for (roots, want) in [
        (None, "does not trust: name the file with its roots in `https.authority_roots`); next try "),
        (Some(roots), "its certificate is of none of the authorities in `https.authority_roots`); next try "),
    ] {
        let app = TestApp::start_in_time(|config| {
            pebble.configure(config, &[HOST]);
            config.https.authority_roots = roots;
        });
        let why = failure(&app, HOST);
        assert!(
            why.contains("the authority does not answer (its certificate is of ") && why.contains(want),
            "{why}"
        );
    }
}

/// Let's Encrypt would refuse each order, and count it.
#[test]
fn e6_a_name_that_no_public_authority_certifies_is_not_ordered() {
    let app = TestApp::start_with(|config| {
        config.domain = names(&["go.test"]);
        config.https.listen = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into());
    });
    let why = failure(&app, "go.test");
    assert!(
        why.contains(
            "go.test is not a name of the internet (it ends in .test), so no public authority issues"
        ),
        "{why}"
    );
}

#[test]
fn e6_a_url_that_is_no_directory_is_named() {
    let pebble = Pebble::start();
    let app = TestApp::start_in_time(|config| {
        pebble.configure(config, &[HOST]);
        config.https.authority = format!("{}/none", pebble.authority());
    });
    let why = failure(&app, HOST);
    assert!(why.contains("answers 404 and is no ACME directory: check `https.authority`"), "{why}");
}

#[test]
fn e6_a_limit_is_waited_for_as_long_as_the_authority_asks() {
    let refuses = Some((429, "rateLimited", Some("7200")));
    let mock = AcmeMock::start(Manner { refuses, ..Manner::default() });
    let app = TestApp::start_in_time(|config| mock.configure(config, &[HOST]));
    assert!(failure(&app, HOST).contains("no more today"));
    let next: Timestamp = text(&https_of(&app, HOST), "nextTry").parse().expect("a time");
    let wait = next.as_millis() - app.clock().now().as_millis();
    assert!((6_900_000..=7_200_000).contains(&wait), "{wait}");
    assert_eq!(mock.orders().len(), 1);
}

#[test]
fn e6_on_a_full_disk_certificates_are_served_from_memory_and_written_later() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    // A file in the place of the folder: nothing can be written there, by root neither.
    let app = TestApp::start_in_time(|config| {
        pebble.configure(config, &[HOST]);
        fs::create_dir(&config.data_dir).expect("a folder");
        fs::write(config.data_dir.join("tls"), "").expect("a small file");
    });
    assert!(answers(pebble.https, HOST, &clients));
    let want = "certificates cannot be written to the data folder, and are served from memory";
    poll(want, LATE, || problems(&app).contains(want).then_some(()));
    fs::remove_file(app.data_dir().join("tls")).expect("removed");
    app.admin().post(DOMAINS, &json!({"domain": "other.test"})).expect(201, "a domain");
    poll("it is written", LATE, || app.data_dir().join("tls/go.test.pem").exists().then_some(()));
    poll("no problem is left", LATE, || (!problems(&app).contains(want)).then_some(()));
    assert!(pebble.orders() <= 2, "nothing is ordered again");
}

#[test]
fn e7_a_renewal_under_load_fails_no_handshake() {
    let mock = AcmeMock::start(Manner { window: Some((86_400, 90_000)), ..Manner::default() });
    let clients = mock.clients();
    let app = TestApp::start_in_time(|config| mock.configure(config, &[HOST]));
    assert!(answers(mock.https, HOST, &clients));
    valid(&app, HOST);
    let tls = app.data_dir().join("tls");
    poll("the state is written", LATE, || {
        fs::read_to_string(tls.join("state.json")).is_ok_and(|state| state.contains("renewAt")).then_some(())
    });
    // The authority wants it renewed now: the next start asks, since the last question is old.
    mock.set(|manner| manner.window = Some((-90_000, -86_400)));
    let state = fs::read_to_string(tls.join("state.json")).expect("a state");
    let at = state.find("\"askedAt\": \"").expect("asked") + 12;
    let old = format!("{}2020{}", &state[..at], &state[at + 4..]);
    let app = app.restart_between(|| fs::write(tls.join("state.json"), &old).expect("a small file"));
    let (stop, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let visitors: Vec<_> = (0..2)
        .map(|_| {
            let (stop, visits, clients) = (Arc::clone(&stop), Arc::clone(&visits), Arc::clone(&clients));
            let address = mock.https;
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert!(answers_at_once(address, HOST, &clients), "a visit fails");
                    visits.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    poll("it is renewed", LATE, || (mock.orders().len() > 1).then_some(()));
    let seen = visits.load(Ordering::Relaxed);
    mock.set(|manner| manner.window = Some((86_400, 90_000)));
    poll("visits go on", LATE, || (visits.load(Ordering::Relaxed) > seen + 20).then_some(()));
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().expect("no visit failed");
    }
    let replaced = mock.orders()[1]["replaces"].as_str().expect("it replaces the first").to_owned();
    assert!(replaced.contains('.'), "{replaced}");
    valid(&app, HOST);
}

#[test]
fn a_name_that_leads_here_on_port_80_only_is_proved_there() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let app = TestApp::start_in_time(|config| {
        pebble.configure(config, &[HOST]);
        config.https.internet.https_port = unused_address().port();
    });
    valid(&app, HOST);
    assert!(answers(pebble.https, HOST, &clients));
    let metrics = app.admin().get("/metrics").text();
    assert!(metrics.contains("waypost_handshakes_total{result=\"challenge\"} 0"), "{metrics}");
}

#[test]
fn an_address_gets_a_certificate() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let name = pebble.https.ip().to_string();
    let app = TestApp::start_in_time(|config| pebble.configure(config, &[&name]));
    assert!(answers(pebble.https, &name, &clients), "clients send no name");
    drop(app);
}

#[test]
fn an_external_account_is_bound_and_its_absence_is_named() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let settings = json!({"externalAccountBindingRequired": true, "externalAccountMACKeys": {"kid-1": key}});
    let pebble = Pebble::start_with(&settings);
    let clients = pebble.clients();
    let app = TestApp::start_in_time(|config| pebble.configure(config, &[HOST]));
    let why = failure(&app, HOST);
    assert!(
        why.contains("set `https.eab_key_id`, and its key in the variable WAYPOST_HTTPS__EAB_KEY"),
        "{why}"
    );
    let app = app.restart_with(|config: &mut Config| {
        config.https.eab_key_id = "kid-1".to_owned();
        config.https.eab_key = Some(EabKey(key.to_owned()));
    });
    // A visitor makes the name due at once, but not within a minute of the last try: a new name is.
    app.admin().post(DOMAINS, &json!({"domain": "other.test"})).expect(201, "a domain");
    assert!(answers(pebble.https, "other.test", &clients));
}

#[test]
fn an_account_that_the_authority_forgot_is_created_again() {
    let mut pebble = Pebble::start();
    let app = TestApp::start_in_time(|config| pebble.configure(config, &[HOST]));
    valid(&app, HOST);
    pebble.restart();
    app.admin().post(DOMAINS, &json!({"domain": "other.test"})).expect(201, "a domain");
    valid(&app, "other.test");
    assert!(answers(pebble.https, "other.test", &pebble.clients()));
}

#[test]
fn a_profile_is_asked_for_and_one_that_is_not_offered_is_named() {
    let mock = AcmeMock::start(Manner { profiles: vec!["classic", "shortlived"], ..Manner::default() });
    let app = TestApp::start_in_time(|config| {
        mock.configure(config, &[HOST]);
        config.https.profile = "shortlived".to_owned();
    });
    valid(&app, HOST);
    assert_eq!(mock.orders()[0]["profile"], "shortlived");
    let app = app.restart_with(|config| config.https.profile = "tiny".to_owned());
    app.admin().post(DOMAINS, &json!({"domain": "other.test"})).expect(201, "a domain");
    let why = failure(&app, "other.test");
    assert!(
        why.contains("it does not offer the profile tiny but classic, shortlived: set `https.profile`"),
        "{why}"
    );
}

#[test]
fn names_that_are_no_longer_desired_are_not_renewed_and_keep_their_certificate_for_a_while() {
    let mock = AcmeMock::start(Manner::default());
    let clients = mock.clients();
    let app = TestApp::start_with(|config| mock.configure(config, &[HOST]));
    app.clock().set(Timestamp::from(std::time::SystemTime::now()));
    let made = app.admin().post(DOMAINS, &json!({"domain": "old.test"})).expect(201, "a domain");
    valid(&app, "old.test");
    let id = text(&made["domain"], "id").to_owned();
    assert_eq!(app.admin().delete(&format!("{DOMAINS}/{id}")).status, 200);
    assert!(answers(mock.https, "old.test", &clients), "it is still served");
    // With `domain` changed, the other names are undesired as well.
    let app = app.restart_with(|config| config.domain = names(&["new.test"]));
    assert!(answers(mock.https, "old.test", &clients), "also after a restart");
    assert!(answers(mock.https, "new.test", &clients));
    drop(app);
}

#[test]
fn damaged_files_are_requested_again() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let app = TestApp::start_in_time(|config| pebble.configure(config, &[HOST]));
    valid(&app, HOST);
    let tls = app.data_dir().join("tls");
    poll("it is written", LATE, || tls.join("go.test.pem").exists().then_some(()));
    let app = app.restart_between(|| {
        for name in ["go.test.pem", "state.json", "account.json"] {
            fs::write(tls.join(name), "x").expect("a small file");
        }
    });
    assert!(answers(pebble.https, HOST, &clients));
    assert_eq!(pebble.orders(), 2);
    valid(&app, HOST);
}

/// The command of the banner works in another terminal, which knows nothing of `--domain`.
#[test]
fn the_banner_of_a_domain_on_the_command_line_has_a_command_that_works() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("waypost.toml");
    let (https, http, authority) = (unused_address(), unused_address(), unused_address());
    let settings = format!(
        "data_dir = \"{}\"\nlisten = \"{http}\"\n[https]\nlisten = \"{https}\"\nauthority = \"https://{authority}/dir\"\n",
        folder.path().join("data").display()
    );
    fs::write(&file, settings).expect("a small file");
    let process = Plan::on(folder.path())
        .without("WAYPOST_DATA_DIR")
        .without("WAYPOST_PUBLIC_URL")
        .without("WAYPOST_ADMIN_KEY")
        .listen_in_file(true)
        .arg("--config")
        .arg(&file.display().to_string())
        .arg("--domain")
        .arg("go.invalid")
        .spawn();
    let text = poll("the banner", LATE, || {
        let text = process.stdout();
        text.contains("The same by the API").then_some(text)
    });
    let line = text.lines().find(|line| line.contains(" link create ")).expect("a command").trim();
    let mut shell = command();
    let words: Vec<_> = line.split(' ').skip(1).collect();
    let created = poll("the API answers", LATE, || {
        let output = shell.args(&words).output().expect("it runs");
        shell = command();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert!(created.contains("https://go.invalid"), "{line}: {created}");
}

#[test]
fn the_banner_names_the_address_and_the_certificate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (https, http, authority) = (unused_address(), unused_address(), unused_address());
    let plan = Plan::on(&folder.path().join("data"))
        .without("WAYPOST_PUBLIC_URL")
        .env("WAYPOST_DOMAIN", "go.invalid")
        .listen(&http.to_string())
        .env("WAYPOST_HTTPS__LISTEN", &https.to_string())
        .env("WAYPOST_HTTPS__AUTHORITY", &format!("https://{authority}/dir"));
    let process = plan.spawn();
    let text = poll("the banner", LATE, || {
        let text = process.stdout();
        text.contains("/api/docs").then_some(text)
    });
    for line in [
        format!("Waypost is listening on https://go.invalid:{}\n", https.port()),
        format!("  certificate being requested from https://{authority}/dir\n"),
        format!("  port {:<6} leads to HTTPS once the certificate is there\n", http.port()),
        format!("curl -X POST https://go.invalid:{}/api/v1/links", https.port()),
        format!("Documentation: https://go.invalid:{}/api/docs\n", https.port()),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
    // No name server knows the name, so nothing is ordered, and the log has the reason.
    let want = "no certificate for go.invalid yet: go.invalid ";
    poll(want, LATE, || process.stderr().contains(want).then_some(()));
}

#[test]
fn the_banner_of_own_certificates_names_the_address_of_https() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = Authority::new().issue(folder.path(), &["go.invalid"]);
    let https = unused_address();
    let pair = format!("[{{ chain = {:?}, key = {:?} }}]", files.chain, files.key);
    let server = Plan::on(&folder.path().join("data"))
        .env("WAYPOST_PUBLIC_URL", &format!("https://go.invalid:{}", https.port()))
        .env("WAYPOST_HTTPS__LISTEN", &https.to_string())
        .env("WAYPOST_HTTPS__CERTIFICATES", &pair)
        .start();
    let text = server.stdout();
    for line in [
        format!("Waypost is listening on http://{}\n", server.address()),
        format!("  https       {https}, with the certificates of `https.certificates`\n"),
        format!("curl -X POST https://go.invalid:{}/api/v1/links", https.port()),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
    server.stop();
}
