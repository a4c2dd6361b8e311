//! Files that the settings name and a start cannot use: the exit code, the user who must read them, and what a start logs of
//! certificates that visitors will refuse.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use waypost::certificates::settings::CertificateFiles;

use crate::support::app::HOST;
use crate::support::process::{Plan, not_tested, unused_address};
use crate::support::tls::Authority;

/// The user id of `nobody` on most systems.
const NOBODY: u32 = 65_534;

/// A folder that every user may enter, with a copy of the binary.
struct Place {
    home: TempDir,
    binary: PathBuf,
}

impl Place {
    fn new() -> Place {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).expect("ours");
        let binary = home.path().join("waypost");
        fs::copy(env!("CARGO_BIN_EXE_waypost"), &binary).expect("a copy");
        Place { home, binary }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes settings with a pair of files, and returns a plan for them.
    fn plan(&self, files: &CertificateFiles, more: &str) -> Plan {
        let config = self.at("waypost.toml");
        let text = format!(
            "{more}\n[https]\nlisten = \"{}\"\ncertificates = [{{ chain = \"{}\", key = \"{}\" }}]\n",
            unused_address(),
            files.chain.display(),
            files.key.display()
        );
        fs::write(&config, text).expect("a small file");
        Plan::on(&self.at("data"))
            .env("WAYPOST_PUBLIC_URL", &format!("https://{HOST}"))
            .arg("--config")
            .arg(&config.display().to_string())
    }

    /// Starts the plan as another user.
    fn as_nobody(&self, plan: Plan) -> (Option<i32>, String, String) {
        plan.of(&self.binary).below("setpriv", &["--reuid=65534", "--regid=65534", "--clear-groups"]).fails()
    }
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        not_tested("files of another user: only root can create them");
    }
    is_root
}

/// A supervisor must not repeat such a start, and `--check` finds it as well.
#[test]
fn a_file_that_cannot_be_used_ends_a_start_with_2() {
    let place = Place::new();
    let good = Authority::new().issue(place.home.path(), &[HOST]);
    let (missing, broken) = (place.at("missing.pem"), place.at("broken.pem"));
    fs::write(&broken, "no PEM").expect("a small file");
    let other = place.at("other.pem");
    fs::write(&other, KeyPair::generate().expect("a key").serialize_pem()).expect("a small file");
    let pair = |chain: &Path, key: &Path| CertificateFiles { chain: chain.to_owned(), key: key.to_owned() };
    let roots = format!(
        "domain = \"{HOST}\"\n[https]\nlisten = \"{}\"\nauthority_roots = \"{}\"\n",
        unused_address(),
        missing.display()
    );
    let denied = format!("links.denied_hosts = \"{}\"", missing.display());
    let rows = [
        (pair(&missing, &good.key), "", "missing.pem: No such file"),
        (pair(&good.chain, &missing), "", "missing.pem: No such file"),
        (pair(&broken, &good.key), "", "broken.pem contains no usable certificate"),
        (pair(&good.chain, &broken), "", "broken.pem contains no usable private key"),
        (pair(&good.chain, &other), "", "other.pem is not the key of the certificate"),
        (good.clone(), &*denied, "cannot read the deny list"),
    ];
    for (files, more, want) in rows {
        for check in [false, true] {
            let plan = place.plan(&files, more);
            let (code, _, stderr) = if check { plan.arg("--check").fails() } else { plan.fails() };
            assert_eq!(code, Some(2), "{want}: {stderr}");
            assert!(stderr.contains(want), "{want}: {stderr}");
        }
    }
    let config = place.at("roots.toml");
    fs::write(&config, roots).expect("a small file");
    let plan = Plan::on(&place.at("data")).arg("--config").arg(&config.display().to_string());
    let (code, _, stderr) = plan.env("WAYPOST_PUBLIC_URL", &format!("https://{HOST}")).fails();
    assert!(
        code == Some(2) && stderr.contains("`https.authority_roots` names the file"),
        "{code:?} {stderr}"
    );
    assert!(!place.at("data").exists(), "a refused start leaves nothing");
}

/// The files of certbot and of most programs are root's alone.
#[test]
fn the_user_who_must_read_a_key_is_named_with_the_command() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let good = Authority::new().issue(place.home.path(), &[HOST]);
    let key = good.key.display();
    fs::set_permissions(&good.key, Permissions::from_mode(0o600)).expect("ours");
    fs::set_permissions(&good.chain, Permissions::from_mode(0o644)).expect("ours");
    let (code, _, stderr) = place.as_nobody(place.plan(&good, ""));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("(uid 65534) must be able to read it: sudo chgrp "), "{stderr}");
    assert!(stderr.contains(&format!("{key} && sudo chmod g+r {key}")), "{stderr}");
    // As in /etc/letsencrypt/live.
    let closed = place.at("live");
    fs::create_dir(&closed).expect("a folder");
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).expect("ours");
    let live = CertificateFiles { chain: good.chain.clone(), key: closed.join("privkey.pem") };
    fs::copy(&good.key, &live.key).expect("a small file");
    let (code, _, stderr) = place.as_nobody(place.plan(&live, ""));
    assert_eq!(code, Some(2), "{stderr}");
    let want =
        format!("must be able to read it, and may not enter {}. Give that user a copy", closed.display());
    assert!(stderr.contains(&want), "{stderr}");
    let command = format!("{} /etc/waypost/privkey.pem", live.key.display());
    assert!(stderr.contains("sudo install -D -m 600 -o ") && stderr.contains(&command), "{stderr}");
}

/// `sudo waypost --check`: root reads everything, and the server runs as the user of the data folder.
#[test]
fn a_check_by_root_finds_what_the_user_of_the_data_folder_cannot_read() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let good = Authority::new().issue(place.home.path(), &[HOST]);
    for path in [&good.key, &good.chain] {
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("ours");
    }
    fs::create_dir(place.at("data")).expect("a folder");
    std::os::unix::fs::chown(place.at("data"), Some(NOBODY), Some(NOBODY)).expect("as root");
    let plan = || place.plan(&good, "");
    drop(plan());
    fs::set_permissions(place.at("waypost.toml"), Permissions::from_mode(0o644)).expect("ours");
    let check = || plan().arg("--check").fails();
    assert_eq!(check().0, Some(0), "{:?}", check());
    for path in [&good.key, &place.at("waypost.toml")] {
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("ours");
        let (code, stdout, stderr) = check();
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        let want = format!("{}: the user ", path.display());
        assert!(stderr.contains(&want) && stderr.contains("(uid 65534) must be able to read it"), "{stderr}");
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("ours");
    }
}

/// Browsers refuse these, and the server cannot: the log of the start is where somebody looks.
#[test]
fn a_start_logs_what_visitors_would_refuse() {
    let place = Place::new();
    let authority = Authority::new();
    let write = |names: &[&str], now: SystemTime| {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("names");
        let files = CertificateFiles { chain: place.at("chain.pem"), key: place.at("key.pem") };
        fs::write(&files.chain, authority.sign(params, &key, now)).expect("a small file");
        fs::write(&files.key, key.serialize_pem()).expect("a small file");
        files
    };
    let (now, year) = (SystemTime::now(), Duration::from_hours(365 * 24));
    let warnings = |files: &CertificateFiles| {
        let said = place.plan(files, "").start().stop();
        let lines: Vec<_> = said.lines().filter(|line| line.contains(" WARN ")).map(str::to_owned).collect();
        lines.join("\n")
    };
    let ended = warnings(&write(&[HOST], now - year));
    assert!(ended.contains(&format!("the owner's certificate for {HOST} ended on 20")), "{ended}");
    let future = warnings(&write(&[HOST], now + year));
    assert!(future.contains(&format!("the owner's certificate for {HOST} begins on 20")), "{future}");
    let other = warnings(&write(&["other.test"], now));
    assert!(other.contains("is for other.test, and no domain of this server has such a name"), "{other}");
    assert!(other.contains(&format!("no certificate for {HOST}")), "{other}");
    let good = warnings(&write(&[HOST], now));
    assert!(!good.contains("certificate"), "{good}");
}

/// The hook of docs/https.md, with another user and folder.
#[test]
fn the_hook_for_certbot_gives_the_service_its_copies() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/https.md")).expect("the page");
    let (_, hook) = text.split_once("```sh\n#!/bin/sh\n").expect("the hook");
    let hook = hook.split("```").next().expect("its end");
    let target = place.at("etc");
    let hook = hook
        .replace("-o waypost -g waypost", &format!("-o {NOBODY} -g {NOBODY}"))
        .replace("/etc/waypost", &target.display().to_string());
    let lineage = place.at("live");
    fs::create_dir(&lineage).expect("a folder");
    fs::set_permissions(&lineage, Permissions::from_mode(0o700)).expect("ours");
    let issued = Authority::new().issue(&lineage, &[HOST]);
    fs::rename(&issued.key, lineage.join("privkey.pem")).expect("renamed");
    fs::rename(&issued.chain, lineage.join("fullchain.pem")).expect("renamed");
    let ran = std::process::Command::new("sh").arg("-c").arg(hook).env("RENEWED_LINEAGE", &lineage).status();
    assert!(ran.expect("a shell").success());
    let files = CertificateFiles { chain: target.join("fullchain.pem"), key: target.join("privkey.pem") };
    for path in [&files.chain, &files.key] {
        let found = fs::metadata(path).expect("a copy");
        assert_eq!((found.mode() & 0o777, found.uid()), (0o600, NOBODY), "{}", path.display());
    }
    let plan = place.plan(&files, "");
    fs::set_permissions(place.at("waypost.toml"), Permissions::from_mode(0o644)).expect("ours");
    let (code, _, stderr) = place.as_nobody(plan.arg("--check"));
    assert_eq!(code, Some(0), "{stderr}");
}
