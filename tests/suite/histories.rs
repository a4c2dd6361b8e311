//! Logs and tables that were restored by hand from copies. The start distinguishes a log that lost its end, a
//! fork, and the log of another instance; `doctor` announces what the start will do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::interrupted::{fill, has_all, run};
use crate::support::process::{Plan, copy_folder};

/// Replaces a part of a data folder by that of another folder.
fn take(part: &str, from: &Path, data: &Path) {
    fs::remove_dir_all(data.join(part)).expect("removed");
    copy_folder(&from.join(part), &data.join(part));
}

fn ends_with(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    names.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

fn tables_aside(data: &Path) -> usize {
    let names = fs::read_dir(data).expect("a folder").flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("table.replaced-")).count()
}

/// A log that is a prefix of the table's history is completed from the table, as `doctor` announces. The
/// files that were put there are kept.
#[test]
fn n33_an_older_log_is_completed_and_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, old) = (folder.path().join("data"), folder.path().join("old"));
    fill(&data, "a");
    copy_folder(&data, &old);
    fill(&data, "b");
    take("log", &old, &data);
    let put_back = fs::read(data.join("log/000000000001.log")).expect("a segment");
    run(&data, &["doctor"])
        .with(1, &["problem  next start", "rewrites the log from the table", "*.replaced"]);
    let server = Plan::on(&data).start();
    assert!(server.stderr().contains(" ERROR "), "{}", server.stderr());
    server.stop();
    assert!(has_all(&data, "a") && has_all(&data, "b"));
    let kept = ends_with(&data.join("log"), ".replaced");
    assert_eq!(kept.len(), 1, "{kept:?}");
    let kept = fs::read(&kept[0]).expect("readable");
    // A start may cut unused space off the end of a file, and nothing else.
    assert_eq!(kept[..kept.len().min(put_back.len())], put_back[..kept.len().min(put_back.len())]);
    run(&data, &["doctor"]).with(0, &["sound", "whole, at position"]);
}

/// If log and table are a fork, the start fails and removes nothing. Each of the two remedies in its message
/// works.
#[test]
fn n33_a_forked_log_and_table_are_both_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fill(&at("old"), "a");
    for name in ["log side", "table side"] {
        copy_folder(&at("old"), &at(name));
    }
    // One position more than the other side, so that each side is ahead once.
    fill(&at("log side"), "b");
    fill(&at("table side"), "c");
    let server = Plan::on(&at("table side")).start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "one-more"}));
    server.stop();
    for (log, table, kept, other) in
        [("log side", "table side", "b", "c"), ("table side", "log side", "c", "b")]
    {
        let data = at(&format!("{log} fork"));
        copy_folder(&at(log), &data);
        take("table", &at(table), &data);
        let parts = ["different histories", "mv ", "table.aside", "log.aside", "waypost serve --accept-loss"];
        run(&data, &["doctor"]).with(1, &[&parts[..], &["problem  next start: it is refused"]].concat());
        for args in [&[][..], &["serve", "--accept-loss"], &["import", "/dev/null"]] {
            run(&data, args).with(1, &parts);
        }
        assert_eq!(ends_with(&data.join("log"), ".replaced").len() + tables_aside(&data), 0);
        // First remedy: keep the log.
        let with_log = at(&format!("{log} keeps its log"));
        copy_folder(&data, &with_log);
        fs::rename(with_log.join("table"), with_log.join("table.aside")).expect("renamed");
        assert!(has_all(&with_log, "a") && has_all(&with_log, kept) && !has_all(&with_log, other));
        // Second remedy: keep the table.
        fs::rename(data.join("log"), data.join("log.aside")).expect("renamed");
        Plan::on(&data).arg("--accept-loss").start().stop();
        assert!(has_all(&data, "a") && !has_all(&data, kept) && has_all(&data, other));
    }
}

/// Two edits of one link at the same position are a fork, although keys and revisions are equal on both
/// sides.
#[test]
fn n33_a_fork_of_one_edit_is_noticed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let server = Plan::on(&at("old")).start();
    let made = server.admin().create(&json!({"url": "https://e.test/", "customSlug": "edited"}));
    let id = made["id"].as_str().expect("an id").to_owned();
    server.stop();
    for side in ["x", "y"] {
        copy_folder(&at("old"), &at(side));
        let server = Plan::on(&at(side)).start();
        let edit = json!({"url": format!("https://e.test/{side}")});
        server.admin().patch(&format!("/api/v1/links/{id}"), &edit).expect(200, "an edit");
        server.stop();
    }
    let data = at("fork");
    copy_folder(&at("x"), &data);
    take("table", &at("y"), &data);
    run(&data, &[]).with(1, &["different histories"]);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("ours");
    // A table that is only behind is brought up to date.
    take("table", &at("old"), &data);
    run(&data, &["doctor"]).with(0, &["changes behind the log"]);
    let server = Plan::on(&data).start();
    assert_eq!(server.visitor().head("/edited").header("location"), Some("https://e.test/x"));
    server.stop();
}

/// With the log of another instance, the table is rebuilt. The old table is kept, and an error is logged.
#[test]
fn n32_the_table_of_another_log_is_kept_aside() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    fill(&data, "a");
    fill(&other, "b");
    take("log", &other, &data);
    run(&data, &["doctor"]).with(0, &["warning  table", "belongs to another log", "table.replaced-"]);
    let server = Plan::on(&data).start();
    let said = server.stderr();
    assert!(said.lines().any(|line| line.contains(" ERROR ") && line.contains("table.replaced-")), "{said}");
    server.stop();
    assert_eq!(tables_aside(&data), 1);
    assert!(has_all(&data, "b") && !has_all(&data, "a"));
    run(&data, &["doctor"]).with(0, &["whole, at position"]);
    assert_eq!(tables_aside(&data), 1);
}
