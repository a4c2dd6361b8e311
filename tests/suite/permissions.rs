//! Only the owner can read the files of the program, whatever the umask, the existing permissions and
//! symbolic links.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;

use crate::support::http::text;
use crate::support::process::{Plan, command};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its owner may");
}

/// Returns everything below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

/// Returns a plan for a server on `data` with this umask.
fn plan(data: &Path, umask: &str) -> Plan {
    Plan::on(data).below("sh", &["-c", &format!("umask {umask}; exec \"$@\""), "sh"])
}

#[track_caller]
fn is_private(data: &Path, when: &str) {
    let found = below(data);
    assert!(found.len() >= 7, "{found:?}");
    for path in found {
        assert_eq!(mode(&path) & 0o077, 0, "{} {when}: mode {:o}", path.display(), mode(&path));
    }
}

/// The table and the lock had the permissions of the umask, so that every user could read the hashes of
/// passwords.
#[test]
fn n10_only_the_owner_reads_the_data() {
    for umask in ["000", "022", "0777"] {
        let home = tempfile::tempdir().expect("a temporary folder");
        let data = home.path().join("data");
        fs::create_dir(&data).expect("a folder");
        set_mode(&data, 0o755);
        // Without a key in the environment, the start writes `admin.key`.
        let server = plan(&data, umask).without("WAYPOST_ADMIN_KEY").start();
        is_private(&data, "after the first start");
        let said = server.stop();
        assert!(said.contains("chmod 700"), "a readable folder is not told of: {said}");
        let server = plan(&data, umask).start();
        server
            .admin()
            .create(&json!({"url": "https://e.test/", "customSlug": "p", "password": "secret password"}));
        server.stop();
        is_private(&data, "after a write");
        // As `cp -r` under another umask leaves the folder.
        for path in below(&data) {
            set_mode(&path, if path.is_dir() { 0o777 } else { 0o666 });
        }
        let server = plan(&data, umask).start();
        is_private(&data, "after a start on copied files");
        assert_eq!(server.visitor().get("/p").status, 200, "the page that asks for the password");
        let said = server.stop();
        let of_key = "other users could read the key of the instance";
        assert!(said.contains(of_key) && said.contains("admin.key"), "{said}");
        assert_eq!(mode(&data), 0o755, "the folder itself is its owner's to close");
        is_private(&data, "after the stop");
    }
}

#[test]
fn n10_a_new_data_folder_is_private() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("a/data");
    let said = plan(&data, "000").start().stop();
    assert!(!said.contains("chmod"), "{said}");
    assert_eq!((mode(&data), mode(data.parent().expect("a folder"))), (0o700, 0o700));
    is_private(&data, "after the first start");
}

/// An export appears completely, with permissions of its own, and does not follow a symbolic link.
#[test]
fn n45_an_export_is_private_and_follows_no_link() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let server = Plan::on(&data).start();
    let link = server.admin().create(&json!({"url": "https://e.test/", "password": "secret password"}));
    assert!(!text(&link, "id").is_empty());
    server.stop();
    let file = |name: &str, mode| {
        let path = home.path().join(name);
        fs::write(&path, "old").expect("a small file");
        set_mode(&path, mode);
        path
    };
    let (open, victim) = (file("open", 0o666), file("victim", 0o644));
    let (linked, dangling) = (home.path().join("linked"), home.path().join("dangling"));
    symlink(&victim, &linked).expect("a link");
    symlink(home.path().join("nowhere"), &dangling).expect("a link");
    for output in [&open, &linked, &dangling, &home.path().join("new")] {
        let shown = output.display().to_string();
        let export =
            plan(&data, "000").arg("export").arg("--with-password-hashes").arg("--output").arg(&shown);
        let (code, _, stderr) = export.fails();
        assert_eq!(code, Some(0), "{shown}: {stderr}");
        assert!(fs::symlink_metadata(output).expect("it is there").is_file(), "{shown}");
        assert_eq!(mode(output), 0o600, "{shown}");
        assert!(fs::read_to_string(output).expect("text").contains("$argon2id$"), "{shown}");
    }
    assert_eq!((mode(&victim), fs::read_to_string(&victim).ok()), (0o644, Some("old".to_owned())));
    assert!(!home.path().join("nowhere").exists());

    // A failed export leaves the existing file.
    let kept = file("kept", 0o640);
    let broken = home.path().join("broken");
    fs::create_dir_all(broken.join("log")).expect("folders");
    let (to, before) = (kept.display().to_string(), fs::read_dir(home.path()).expect("a folder").count());
    let (code, ..) = Plan::on(&broken).arg("export").arg("--output").arg(&to).fails();
    assert_eq!(code, Some(1));
    assert_eq!((mode(&kept), fs::read_to_string(&kept).ok()), (0o640, Some("old".to_owned())));
    assert_eq!(fs::read_dir(home.path()).expect("a folder").count(), before, "nothing unfinished stays");
    for (output, want, part) in [
        ("/dev/null", 1, "redirect stdout"),
        (&*home.path().display().to_string(), 1, "no regular file"),
        ("~/x", 2, "./~"),
    ] {
        let (code, _, stderr) = Plan::on(&data).arg("export").arg("--output").arg(output).fails();
        assert!(code == Some(want) && stderr.contains(part), "{output}: {code:?} {stderr}");
    }
}

/// If stderr is a file on a full disk, the reason of the failed start is on stdout.
#[test]
fn n29b_a_failed_start_prints_its_reason_although_stderr_is_full() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let file = home.path().join("file");
    fs::write(&file, "").expect("a file");
    let full = File::options().write(true).open("/dev/full").expect("the device that is always full");
    let ended = command()
        .env("WAYPOST_DATA_DIR", file.join("data"))
        .env("WAYPOST_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stderr(full)
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.starts_with("waypost: cannot use the data folder "), "{said:?}");
}
