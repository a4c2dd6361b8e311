//! Backups: complete, private, and without the text of any key.

use crate::support::process::Plan;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A backup made during writes contains each link that was acknowledged before the backup began. Only its
/// owner can read it. `restore` accepts it, and a server starts on it.
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
