//! What leaves the program beside its answers: logs, metrics, backups. None of it tells a secret.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::app::KEY;
use crate::support::http::text;
use crate::support::process::Plan;

/// T105: with everything logged that can be, no secret is in it, in metrics, or in errors: not the
/// keys, not passwords, not what a visitor sent along.
#[test]
fn t105_no_secret_is_logged_shown_or_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).env("WAYPOST_LOG_FILTER", "trace").start();
    let mut admin = server.admin();
    let made = admin
        .post("/api/v1/keys", &json!({"name": "k", "scopes": ["links.readonly"]}))
        .expect(201, "a key")["key"]
        .clone();
    let secret = text(&made, "secret").to_owned();
    admin.create(&json!({"url": "https://e.test/canary-destination", "customSlug": "s"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "p", "password": "canary-password"}));
    let space = admin.get("/api/v1/workspaces").json()["workspaces"][0]["id"].clone();
    let path = format!("/api/v1/workspaces/{}/webhook-secret", space.as_str().expect("an id"));
    let hook = admin.get(&path).expect(200, "the secret of webhooks");
    let hook =
        hook.to_string().split('"').find(|word| word.starts_with("whsec_")).expect("a secret").to_owned();
    server.visitor().with_key(&secret).get("/api/v1/links").expect(200, "the new key");
    // Wrong ones are somebody's right ones elsewhere.
    let answers = [
        server.visitor().with_key("canary-wrong-key-0123456789").get("/api/v1/links"),
        server.visitor().get("/api/v1/links?key=canary-query&password=canary-query"),
        server.visitor().with("Cookie", "session=canary-cookie").get("/s?token=canary-token"),
        server.visitor().with("Referer", "https://canary-referer.test/x").get("/nothing-canary-path"),
        server.visitor().send_form(
            "/p",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            b"password=canary-guess",
        ),
        admin.post("/api/v1/links", &json!({"url": "nonsense canary-body", "password": "canary-body"})),
        admin.post("/api/v1/keys", &json!({"name": 5, "secret": "canary-body"})),
    ];
    let metrics = server.admin().get("/metrics").text();
    let health = server.visitor().get("/healthz").text() + &server.visitor().get("/readyz").text();
    let logs = server.stop();
    assert!(logs.contains("API request"), "something is logged: {logs}");
    let shown = format!("{answers:?}");
    for (what, text) in [("logs", &logs), ("metrics", &metrics), ("health", &health)] {
        for canary in [KEY, &secret, &hook, "canary"] {
            let line = text.lines().find(|line| line.contains(canary));
            assert!(line.is_none(), "{canary} in {what}: {}", line.unwrap_or_default());
        }
    }
    for canary in [KEY, &secret, &hook, "canary-password", "canary-query", "canary-cookie", "canary-guess"] {
        assert!(!shown.contains(canary), "{canary} in an answer");
    }
}

/// T106: a backup made while links are written holds each that was acknowledged before it began, is
/// its owner's alone, and is what a restore puts back, and what a server starts on.
#[test]
fn t106_a_backup_during_writes_is_whole_and_private() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let server = Plan::on(&at("data")).start();
    let run = |data: &Path, args: &[&str]| {
        let mut plan = Plan::on(data);
        for arg in args {
            plan = plan.arg(arg);
        }
        let (code, _, stderr) = plan.fails();
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
    };
    let (over, mut safe) = (AtomicBool::new(false), Vec::new());
    let backups: Vec<_> = (0..3).map(|n| at(&format!("backup{n}"))).collect();
    let made = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (over, made, server) = (&over, &made, &server);
        scope.spawn(move || {
            let mut admin = server.admin();
            for number in 0_u64.. {
                admin.create(
                    &json!({"url": format!("https://e.test/{number}"), "customSlug": format!("c{number}")}),
                );
                made.store(number + 1, Ordering::Release);
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for backup in &backups {
            safe.push(made.load(Ordering::Acquire));
            run(&at("data"), &["backup", &backup.display().to_string()]);
        }
        over.store(true, Ordering::Relaxed);
    });
    server.stop();
    for (backup, safe) in backups.iter().zip(safe) {
        let mode = fs::metadata(backup).expect("the backup").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{mode:o}");
        let restored = at("restored");
        let _ = fs::remove_dir_all(&restored);
        run(&restored, &["restore", &backup.display().to_string()]);
        run(&restored, &["verify"]);
        for data in [&restored, backup] {
            let server = Plan::on(data).start();
            let mut visitor = server.visitor();
            for number in 0..safe {
                let to = format!("https://e.test/{number}");
                let answer = visitor.head(&format!("/c{number}"));
                assert_eq!(answer.header("location"), Some(&*to), "c{number} of {}", data.display());
            }
            let total = server.admin().get("/api/v1/links?limit=1").json()["total"].as_u64();
            assert!(total >= Some(safe), "{total:?} of {safe}");
            server.stop();
        }
    }
}
