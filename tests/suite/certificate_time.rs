//! Certificates and time: warnings before the end, removal, and clocks that jump.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use waypost::clock::Timestamp;

use super::certificates::{DAYS_400, DOMAINS, LATE, answers, https_of, problems, valid};
use crate::support::acme_mock::{AcmeMock, Manner};
use crate::support::app::{HOST, KEY, START, TestApp};
use crate::support::http::{Client, text};
use crate::support::pebble::visit;
use crate::support::process::{Plan, poll, unused_address};

/// Returns a time some days later.
fn later(from: Timestamp, days: i64) -> Timestamp {
    from.plus_millis(days * 24 * 60 * 60 * 1_000)
}

/// Writes a certificate for 90 days into a data folder, as an earlier server did. Returns its end.
fn stored(data: &Path, name: &str, days_left: i64) -> Timestamp {
    let now = Timestamp::from(SystemTime::now());
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.not_before = later(now, days_left - 90).as_system_time().into();
    params.not_after = later(now, days_left).as_system_time().into();
    let key = KeyPair::generate().expect("a key");
    let signed = params.self_signed(&key).expect("signed");
    for folder in [data.to_owned(), data.join("tls")] {
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("ours");
    }
    fs::write(data.join(format!("tls/{name}.pem")), key.serialize_pem() + &signed.pem())
        .expect("a small file");
    later(now, days_left)
}

/// Returns the value of a metric.
fn value(metrics: &str, name: &str) -> i64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{name}: {metrics}"))
}

/// Wakes the renewer by a domain of its own, which gets a certificate. When this returns, the time of the authority is
/// known, and a round has passed since.
fn rounds(app: &TestApp, names: [&str; 2]) {
    for name in names {
        app.admin().post(DOMAINS, &json!({"domain": name})).expect(201, name);
        valid(app, name);
    }
}

#[test]
fn e6_a_renewal_that_fails_warns_at_a_sixth_and_a_twelfth_in_log_health_metrics_api_and_doctor() {
    let ends_soon =
        "a name in `domain` has a certificate that ends soon and is not renewed: see `waypost doctor`";
    let has_ended = "a name in `domain` has a certificate that has ended: see `waypost doctor`";
    // Days left of 90, the level of the log line, its verb, `/healthz`, the state, and the level of `doctor`.
    let rows = [
        (20, "INFO", "ends", None, "valid", "ok"),
        (14, "WARN", "ends", None, "expiring", "warning"),
        (7, "WARN", "ends", Some(ends_soon), "expiring", "warning"),
        (-1, "WARN", "ended", Some(has_ended), "expired", "problem"),
    ];
    for (left, level, verb, health, state, finding) in rows {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let (https, http, authority) = (unused_address(), unused_address(), unused_address());
        // An address is a name that needs no look-up. Nothing listens on its port 443.
        let name = https.ip().to_string();
        let end = stored(&data, &name, left);
        let plan = || {
            Plan::on(&data)
                .without("WAYPOST_PUBLIC_URL")
                .env("WAYPOST_DOMAIN", &name)
                .listen(&http.to_string())
                .env("WAYPOST_HTTPS__LISTEN", &https.to_string())
                .env("WAYPOST_HTTPS__AUTHORITY", &format!("https://{authority}/dir"))
        };
        let process = plan().spawn();
        let day = &end.to_string()[..10];
        let want =
            format!("the certificate for {name} {verb} on {day} and is not renewed: {name} is {name}, which");
        let line = poll(&want, LATE, || {
            let log = process.stderr();
            log.lines().find(|line| line.contains(&want)).map(str::to_owned)
        });
        assert!(line.contains(level) && line.contains("; next try "), "{left} days: {line}");
        let mut admin = Client::new(http, &name).with_key(KEY);
        let answer: Value = admin.get("/healthz").json();
        let healthy = json!({"status": "ok"});
        let want_answer = health.map_or(healthy, |why| json!({"status": "degraded", "why": [why]}));
        assert_eq!(answer, want_answer, "{left} days");
        let metrics = admin.get("/metrics").text();
        assert_eq!(value(&metrics, &format!("waypost_certificates{{state=\"{state}\"}} ")), 1, "{left} days");
        assert_eq!(value(&metrics, "waypost_certificate_earliest_expiry_seconds "), end.as_millis() / 1_000);
        poll("the API answers", LATE, || (admin.get("/readyz").status == 200).then_some(()));
        let domain = admin.get(DOMAINS).expect(200, "domains")["domains"][0]["https"].clone();
        assert_eq!(domain["state"], state, "{left} days: {domain}");
        assert!(text(&domain, "failure").contains(&want), "{domain}");
        // Said once: the next tries fail for the same reason.
        assert_eq!(process.stderr().matches(&want).count(), 1, "{}", process.stderr());
        // Nothing is on port 443 of this address, which `doctor` would report of a server that runs.
        process.stop();
        let (code, found, _) = plan().arg("doctor").fails();
        let start = format!("{finding:<8} HTTPS: {want}");
        assert!(found.lines().any(|line| line.starts_with(&start)), "{left} days: {start}\n{found}");
        assert_eq!(code, Some(i32::from(finding == "problem")), "{found}");
    }
}

#[test]
fn e6_a_wrong_clock_is_named_in_the_log_and_in_health() {
    let mock = AcmeMock::start(Manner { ahead: 3 * 60 * 60, ..Manner::default() });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    // Due for renewal: before that, the authority is asked for the time.
    let name = mock.https.ip().to_string();
    stored(&data, &name, 20);
    let process = Plan::on(&data)
        .without("WAYPOST_PUBLIC_URL")
        .env("WAYPOST_DOMAIN", &name)
        .listen(&mock.http.to_string())
        .env("WAYPOST_HTTPS__LISTEN", &mock.https.to_string())
        .env("WAYPOST_HTTPS__AUTHORITY", &mock.directory())
        .env("WAYPOST_HTTPS__AUTHORITY_ROOTS", &mock.roots())
        .spawn();
    let want = "this machine's clock is 3 h behind the authority's: visitors' browsers may refuse certificates; set NTP";
    poll(want, LATE, || process.stderr().contains(want).then_some(()));
    assert!(process.stderr().contains("WARN"), "{}", process.stderr());
    let health = Client::new(mock.http, HOST).get("/healthz").text();
    assert!(health.contains(want), "{health}");
}

#[test]
fn a_certificate_that_is_no_longer_desired_is_removed_after_thirty_days() {
    let mock = AcmeMock::start(Manner::default());
    let clients = mock.clients();
    let app = TestApp::start_with(|config| mock.configure(config, &[HOST]));
    let now = Timestamp::from(SystemTime::now());
    app.clock().set(now);
    let made = app.admin().post(DOMAINS, &json!({"domain": "old.test"})).expect(201, "a domain");
    valid(&app, "old.test");
    let file = app.data_dir().join("tls/old.test.pem");
    poll("it is written", LATE, || file.exists().then_some(()));
    let id = text(&made["domain"], "id").to_owned();
    assert_eq!(app.admin().delete(&format!("{DOMAINS}/{id}")).status, 200);
    let state = || fs::read_to_string(app.data_dir().join("tls/state.json")).expect("a state");
    poll("the time begins", LATE, || state().contains("undesiredSince").then_some(()));
    let set = |days: i64| {
        app.clock().set(later(now, days));
        mock.set(|manner| manner.ahead = days * 24 * 60 * 60);
    };
    set(29);
    rounds(&app, ["a29.test", "b29.test"]);
    assert!(file.exists(), "29 days");
    assert!(answers(mock.https, "old.test", &clients), "29 days");
    set(31);
    rounds(&app, ["a31.test", "b31.test"]);
    poll("it is removed", LATE, || (!file.exists()).then_some(()));
    poll("its state as well", LATE, || (!state().contains("old.test")).then_some(()));
    let error = visit(mock.https, "old.test", "/", &clients).expect_err("no certificate");
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    assert!(answers(mock.https, HOST, &clients), "the others stay");
    assert!(app.data_dir().join("tls/go.test.pem").exists());
}

/// A machine that was off or suspended: its clock is right, and a clock that stands still in between is behind.
#[test]
fn a_renewal_that_became_due_during_a_suspension_is_made() {
    // The clock of the authority is that of the app, and not of this machine.
    let start = Timestamp::from_millis(START);
    let ahead = (START - Timestamp::from(SystemTime::now()).as_millis()) / 1_000;
    let mock = AcmeMock::start(Manner { ahead, ..Manner::default() });
    let app = TestApp::start_with(|config| mock.configure(config, &[HOST]));
    valid(&app, HOST);
    assert_eq!(mock.orders().len(), 1);
    app.clock().set(later(start, 61));
    mock.set(|manner| manner.ahead += 61 * 24 * 60 * 60);
    // Wakes the renewer, and gets no certificate: only the jump of the clock makes it ask for the time.
    app.admin().post(DOMAINS, &json!({"domain": "printer.local"})).expect(201, "a domain");
    let renewed = |order: &&Value| order["identifiers"][0]["value"] == HOST;
    poll("it is renewed", LATE, || (mock.orders().iter().filter(renewed).count() == 2).then_some(()));
    let end = || text(&https_of(&app, HOST), "expiresAt").to_owned();
    poll("it is in use", LATE, || (end() > later(start, 120).to_string()).then_some(()));
    assert!(!problems(&app).contains("clock"), "{}", problems(&app));
    rounds(&app, ["third.test", "fourth.test"]);
    assert_eq!(mock.orders().iter().filter(renewed).count(), 2, "once");
}

#[test]
fn e6_a_wrong_clock_renews_and_removes_nothing_and_is_named() {
    for jump in [DAYS_400, -9 * DAYS_400] {
        let mock = AcmeMock::start(Manner::default());
        let clients = mock.clients();
        let app = TestApp::start_with(|config| mock.configure(config, &[HOST]));
        let now = Timestamp::from(SystemTime::now());
        app.clock().set(now);
        assert!(answers(mock.https, HOST, &clients));
        valid(&app, HOST);
        let made = app.admin().post(DOMAINS, &json!({"domain": "old.test"})).expect(201, "a domain");
        valid(&app, "old.test");
        let id = text(&made["domain"], "id").to_owned();
        assert_eq!(app.admin().delete(&format!("{DOMAINS}/{id}")).status, 200);
        let state = app.data_dir().join("tls/state.json");
        poll("it is noted", LATE, || {
            fs::read_to_string(&state).is_ok_and(|state| state.contains("undesiredSince")).then_some(())
        });
        app.clock().set(now.plus_millis(jump));
        // Wakes the renewer, and has a certificate of its own.
        rounds(&app, ["other.test", "third.test"]);
        let side = if jump > 0 { "400 days ahead of" } else { "3600 days behind" };
        let want = format!("this machine's clock is {side} the authority's");
        poll(&want, LATE, || problems(&app).contains(&want).then_some(()));
        // A start with the wrong clock knows no better time before it asks.
        let app = app.restart();
        assert!(answers(mock.https, HOST, &clients));
        poll(&want, LATE, || problems(&app).contains(&want).then_some(()));
        rounds(&app, ["fourth.test", "fifth.test"]);
        assert_eq!(mock.orders().len(), 6, "{jump}: one for each name");
        assert!(answers(mock.https, "old.test", &clients), "{jump}: it is not removed");
        assert_eq!(https_of(&app, HOST)["state"], "valid", "{jump}: by the time of the authority");
    }
}
