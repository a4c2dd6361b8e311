//! One process per data folder, also if its files are renamed; and special files instead of regular ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::interrupted::{fill, has_all, run, shown};
use crate::support::process::{PATIENCE, Plan, Process, copy_folder, not_tested, poll};

fn create(server: &Process, code: &str) -> u16 {
    let body = json!({"url": "https://e.test/", "customSlug": code});
    server.admin().post("/api/v1/links", &body).status
}

fn ran(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).status().is_ok_and(|status| status.success())
}

/// The folder of the log is locked even if the lock file was removed. Neither a second server nor a restore
/// takes the files of a running server.
#[test]
fn n12_a_removed_lock_file_admits_no_second_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup"));
    fill(&data, "a");
    run(&data, &["backup", &shown(&backup)]).with(0, &["verified"]);
    let server = Plan::on(&data).start();
    fs::remove_file(data.join("lock")).expect("removed");
    for args in [
        &[][..],
        &["serve", "--accept-loss"],
        &["import", "/dev/null"],
        &["restore", "--replace", &shown(&backup)],
    ] {
        run(&data, args).with(1, &["already in use"]);
    }
    run(&data, &["doctor"]).with(0, &["a server has it open"]);
    assert_eq!(create(&server, "after"), 201);
    server.stop();
    assert!(has_all(&data, "a"));
}

/// If the log was replaced under a running server, the server acknowledges nothing that a restart would lose,
/// and a second process does not take the table for damaged.
#[test]
fn n12_a_log_that_was_replaced_under_its_server_gets_no_write() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    fill(&data, "a");
    copy_folder(&data, &copy);
    let server = Plan::on(&data).start();
    fs::rename(data.join("log"), data.join("log.moved")).expect("renamed");
    assert_eq!(create(&server, "refused"), 503);
    assert_eq!(server.visitor().head("/a7").status, 302);
    copy_folder(&copy.join("log"), &data.join("log"));
    assert_eq!(create(&server, "refused"), 503);
    // The new log is not locked, but the table is.
    fs::remove_file(data.join("lock")).expect("removed");
    run(&data, &[]).with(1, &["already in use"]);
    run(&data, &["doctor"]).with(1, &["another process has it open"]);
    assert_eq!(server.visitor().head("/a7").status, 302);
    fs::remove_dir_all(data.join("log")).expect("removed");
    fs::rename(data.join("log.moved"), data.join("log")).expect("renamed");
    poll("writes once the folder is back", PATIENCE, || (create(&server, "accepted") == 201).then_some(()));
    server.stop();
    let server = Plan::on(&data).start();
    assert_eq!(server.visitor().head("/accepted").status, 302);
    server.stop();
    assert!(has_all(&data, "a"));
}

/// A data folder was moved, and another one has its name: neither server writes into the other's folder.
#[test]
fn n12_a_moved_data_folder_and_its_successor_do_not_mix() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, moved) = (folder.path().join("data"), folder.path().join("moved"));
    fill(&data, "a");
    let server = Plan::on(&data).start();
    fs::rename(&data, &moved).expect("renamed");
    assert_eq!(create(&server, "refused"), 503);
    fill(&data, "b");
    assert_eq!(create(&server, "refused"), 503);
    assert_eq!(server.visitor().head("/a7").status, 302);
    server.stop();
    assert!(has_all(&data, "b") && !has_all(&data, "a"));
    assert!(has_all(&moved, "a") && !has_all(&moved, "b"));
}

/// A copy of hard links shares the files themselves.
#[test]
fn n12_a_copy_of_hard_links_is_not_written_beside_its_original() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    fill(&data, "a");
    let server = Plan::on(&data).start();
    if !ran("cp", &["-al", &shown(&data), &shown(&copy)]) {
        return not_tested("a copy of hard links: cp cannot make one here");
    }
    run(&copy, &[]).with(1, &["already in use"]);
    fs::remove_file(copy.join("lock")).expect("removed");
    run(&copy, &[]).with(1, &["already in use"]);
    fs::remove_dir_all(copy.join("table")).expect("removed");
    run(&copy, &[]).with(1, &["another process writes it"]);
    assert_eq!(create(&server, "after"), 201);
    server.stop();
    assert!(has_all(&data, "a"));
}

/// Kinds of files with the name of a regular one.
const KINDS: [&str; 5] = ["pipe", "socket", "folder", "device", "loop"];

fn make(kind: &str, path: &Path) {
    drop(fs::remove_file(path));
    drop(fs::remove_dir_all(path));
    match kind {
        "pipe" => assert!(ran("mkfifo", &[&shown(path)]), "a pipe"),
        "socket" => drop(UnixListener::bind(path).expect("a socket")),
        "folder" => fs::create_dir(path).expect("a folder"),
        "device" => symlink("/dev/zero", path).expect("a link"),
        _ => symlink(path, path).expect("a link"),
    }
}

/// A special file with the name of a regular one leads to a clear error, or to service from the other copy.
/// No start hangs.
#[test]
fn n32b_no_start_waits_for_a_special_file_that_it_reads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The path of a socket must be short.
    let at = |name: &str| folder.path().join(name);
    fill(&at("o"), "a");
    for kind in KINDS {
        for name in [
            "log/000000000001.log",
            "log/000000000009.log",
            "log/000000000009.snapshot",
            "log/closed",
            "lock",
        ] {
            let data = at("d");
            copy_folder(&at("o"), &data);
            make(kind, &data.join(name));
            let file = name.rsplit('/').next().expect("a name");
            if name != "lock" {
                run(&data, &["verify"]).with(1, &[file]);
                run(&data, &["backup", &shown(&at("b"))]).with(1, &[file]);
            }
            let file = if name == "lock" { "cannot use the data folder" } else { file };
            run(&data, &[]).with(1, &[file]);
            run(&data, &["doctor"]).with(1, &[]);
            clear(&data);
        }
    }
}

#[test]
fn n32b_no_start_waits_for_a_special_file_that_it_replaces() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fill(&at("o"), "a");
    for kind in KINDS {
        for name in ["table/db", "table/conf", "table", "admin.key", "ballast"] {
            let data = at("d");
            copy_folder(&at("o"), &data);
            make(kind, &data.join(name));
            run(&data, &["doctor"]).with_any();
            let server = Plan::on(&data).start();
            assert_eq!(create(&server, "after"), 201, "{kind} {name}");
            server.stop();
            assert!(has_all(&data, "a"), "{kind} {name}");
            clear(&data);
        }
    }
}

fn clear(data: &Path) {
    fs::remove_dir_all(data).expect("removed");
}
