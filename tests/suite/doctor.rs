//! `waypost doctor`: one test for each possible problem, with the built binary.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::KEY;
use crate::support::process::{PATIENCE, Plan, command, copy_folder, not_tested, poll, unused_address};

/// Exit code and findings.
struct Said {
    code: Option<i32>,
    text: String,
    stderr: String,
}

impl Said {
    /// Checks for a line on `about` with this level and this text, and for no secret in any line.
    #[track_caller]
    fn has(&self, level: &str, about: &str, part: &str) -> &Said {
        let start = format!("{level:<8} {about}: ");
        let found = self.text.lines().any(|line| line.starts_with(&start) && line.contains(part));
        assert!(found, "no `{start}...{part}` in\n{}{}", self.text, self.stderr);
        assert!(!self.text.contains(KEY) && !self.stderr.contains(KEY), "{}", self.text);
        self
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &Said {
        assert_eq!(self.code, Some(code), "{}{}", self.text, self.stderr);
        self
    }

    /// Returns the lines that are not ok.
    fn findings(&self) -> Vec<&str> {
        self.text.lines().filter(|line| !line.starts_with("ok ")).collect()
    }
}

fn asked(plan: Plan) -> Said {
    let (code, text, stderr) = plan.arg("doctor").fails();
    Said { code, text, stderr }
}

fn doctor(data: &Path) -> Said {
    asked(plan(data))
}

/// Returns a plan without a host name to resolve: the machine may have no resolver.
fn plan(data: &Path) -> Plan {
    Plan::on(data).env("WAYPOST_PUBLIC_URL", "http://localhost:8080")
}

/// Returns a data folder with some links and a stopped server.
fn used() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = plan(&data).start();
    for code in ["a", "b", "c"] {
        server.admin().create(&json!({"url": "https://e.test/", "customSlug": code}));
    }
    server.stop();
    (folder, data)
}

/// Returns names, times and contents below a folder.
fn contents(folder: &Path) -> Vec<(PathBuf, SystemTime, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let changed = fs::metadata(&path).and_then(|it| it.modified()).expect("a time");
        if path.is_dir() {
            found.extend(contents(&path));
            found.push((path, changed, Vec::new()));
        } else {
            found.push((path.clone(), changed, fs::read(path).expect("a file")));
        }
    }
    found.sort();
    found
}

/// Returns the newest segment of the log.
fn segment(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("log")).expect("the log").map(|file| file.expect("a file").path());
    files.filter(|path| path.extension().is_some_and(|it| it == "log")).max().expect("a segment")
}

#[test]
fn a_well_kept_folder_has_no_findings_and_is_left_as_it_was() {
    let (folder, data) = used();
    let before = contents(&data);
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).expect("made");
    let said = asked(plan(&data).env("TMPDIR", &temporary.display().to_string()));
    assert!(contents(&temporary).is_empty(), "its copy of the table is removed");
    assert_eq!(said.findings(), Vec::<&str>::new(), "{}", said.text);
    said.ends(0)
        .has("ok", "data folder", "can be written")
        .has("ok", "permissions", "only its owner")
        .has("ok", "clock", "the log was last written at")
        .has("ok", "log", "sound, at position")
        .has("ok", "table", "whole, at position")
        .has("ok", "listening", "is free")
        .has("ok", "loops", "none of 3 links");
    assert!(contents(&data) == before, "it changes nothing");
    // A server starts on the folder, with all links.
    let server = plan(&data).start();
    assert_eq!(server.visitor().at("localhost").get("/a").status, 302);
    server.stop();
}

/// For monitoring: the same findings as one document, also if the configuration cannot be used.
#[test]
fn findings_can_be_json() {
    let (_folder, data) = used();
    let ask = |plan: Plan| -> (Option<i32>, Value) {
        let (code, text, stderr) = plan.arg("doctor").arg("--json").fails();
        assert_eq!(text.lines().count(), 1, "{text} {stderr}");
        (code, serde_json::from_str(&text).expect("a document"))
    };
    let (code, document) = ask(plan(&data));
    assert_eq!((code, &document["problems"], &document["warnings"]), (Some(0), &json!(0), &json!(0)));
    let findings = document["findings"].as_array().expect("a list");
    let lines: Vec<_> = findings
        .iter()
        .map(|it| {
            let [level, about, text] =
                ["level", "about", "text"].map(|key| it[key].as_str().expect("a text"));
            // The time and the free space change.
            format!("{level:<8} {about}: {}", text.get(..12).unwrap_or(text))
        })
        .collect();
    let plain = doctor(&data);
    assert_eq!(plain.text.lines().count(), lines.len());
    for (line, want) in plain.text.lines().zip(&lines) {
        assert!(line.starts_with(want), "{line} {want}");
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("ours");
    let (code, document) = ask(plan(&data));
    assert_eq!((code, &document["problems"]), (Some(1), &json!(1)));
    let (code, document) = ask(plan(&data).env("WAYPOST_HTTP__MAX_BODY", "1"));
    assert_eq!((code, &document["problems"]), (Some(2), &json!(1)));
    assert_eq!(document["findings"][0]["about"], "configuration");
}

#[test]
fn a_lost_key_of_the_instance() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    plan(&data).without("WAYPOST_ADMIN_KEY").start().stop();
    let without_key = || asked(plan(&data).without("WAYPOST_ADMIN_KEY"));
    assert!(!without_key().text.contains("admin key: "), "{}", without_key().text);
    fs::remove_file(data.join("admin.key")).expect("it exists");
    let want = "admin.key, so the commands for links need --key-file FILE";
    without_key().ends(0).has("warning", "admin key", want).has("ok", "permissions", "only its owner");
    assert!(without_key().text.contains("WAYPOST_KEY=SECRET waypost key create admin-2 --instance"));
    // A key of the environment is written nowhere.
    assert!(!doctor(&data).text.contains("admin key: "));
}

#[test]
fn details_of_clicks() {
    let (folder, data) = used();
    doctor(&data).has("ok", "click details", "0 files of 0 bytes, with the details of all clicks");
    let server = plan(&data).start();
    server.visitor().at("localhost").get("/a");
    poll("the click is stored", PATIENCE, || {
        let text = doctor(&data).text;
        text.contains("0 files of 0 bytes; the details of the latest clicks are in the log").then_some(())
    });
    server.stop();
    doctor(&data).ends(0).has("ok", "click details", "1 file of").has(
        "ok",
        "click details",
        ", with the details of all clicks",
    );
    let clicks = data.join("clicks");
    let find = |end: &str| -> PathBuf {
        let names = fs::read_dir(&clicks).expect("a folder").map(|entry| entry.expect("an entry").path());
        names.filter(|path| path.display().to_string().ends_with(end)).max().expect("a file")
    };
    // A part of an older log: another id, and right checksums.
    let other = folder.path().join("other");
    let server = plan(&other).start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    server.visitor().at("localhost").get("/a");
    server.stop();
    let foreign = fs::read_dir(other.join("clicks")).expect("a folder").flatten();
    let foreign =
        foreign.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "part"));
    let placed = clicks.join("0000000000000001-0000000000000001.part");
    fs::copy(foreign.expect("a part"), &placed).expect("copied");
    doctor(&data).ends(0).has(
        "warning",
        "click details",
        "1 file has details of clicks that are not in the log",
    );
    fs::remove_file(&placed).expect("removed");
    // Damage, which a start sets aside.
    let part = find(".part");
    let mut bytes = fs::read(&part).expect("a part");
    bytes[60] ^= 1;
    fs::write(&part, bytes).expect("written");
    let name = part.file_name().expect("a name").to_string_lossy().into_owned();
    doctor(&data).ends(1).has("problem", "click details", &name);
    fs::rename(&part, part.with_extension("part.damaged")).expect("renamed");
    doctor(&data).ends(0).has("warning", "click details", "1 file set aside: damaged (clicks/*.damaged: 1)");
    // A folder that no server can use.
    fs::rename(&clicks, data.join("moved")).expect("renamed");
    doctor(&data).ends(0).has("ok", "click details", "there are none yet");
    asked(plan(&data).env("WAYPOST_CLICKS__DETAILS", "false")).has("ok", "click details", "none are kept");
    fs::write(&clicks, "a file").expect("written");
    doctor(&data).ends(1).has("problem", "click details", "is no folder that this user can read and write");
    // A start goes on without it, so it is no error of the settings.
    let (code, stdout, stderr) = plan(&data).arg("--check").fails();
    assert!(code == Some(0) && stderr.contains("keeps no details of them"), "{stdout}{stderr}");
}

#[test]
fn before_the_first_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    doctor(&data)
        .ends(0)
        .has("warning", "data folder", "the first start creates it")
        .has("ok", "log", "there is none yet")
        .has("ok", "table", "there is none yet");
    assert!(!data.exists());
    asked(plan(&data).arg("--strict").arg("x")).ends(2);
    let (code, ..) = plan(&data).arg("doctor").arg("--strict").fails();
    assert_eq!(code, Some(1));
}

#[test]
fn beside_a_running_server() {
    let (_folder, data) = used();
    let server = plan(&data).start();
    let address = server.address().to_string();
    asked(plan(&data).listen(&address))
        .ends(0)
        .has("ok", "listening", "runs on")
        .has("skipped", "table", "a server has it open")
        .has("ok", "log", "sound");
    // The server kept its lock, and still serves and writes.
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "d"}));
    assert_eq!(server.visitor().at("localhost").get("/d").status, 302);
    // With an address of its own.
    doctor(&data).ends(0);
    let free = unused_address();
    asked(plan(&data).listen(&free.to_string())).ends(0).has("warning", "listening", "no program listens");
    // A server on this address, with another data folder.
    let other = tempfile::tempdir().expect("a temporary folder");
    asked(plan(other.path()).listen(&address)).ends(1).has("problem", "listening", "another data folder");
    server.stop();
}

#[test]
fn a_configuration_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("waypost.toml");
    fs::write(&file, "[http]\nmax_connections = 0\n").expect("a file");
    let shown = file.display().to_string();
    asked(plan(folder.path()).env("WAYPOST_HTTP__NONSENSE", "1")).ends(2).has(
        "problem",
        "configuration",
        "nonsense",
    );
    let (code, text, _) = plan(folder.path()).arg("doctor").arg("--config").arg(&shown).fails();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("waypost.toml: `http.max_connections` = 0: must be at least 1"), "{text}");
}

#[test]
fn settings_that_are_allowed_and_likely_mistakes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    asked(plan(&data).listen("0.0.0.0:0").env("WAYPOST_METRICS__PUBLIC", "true"))
        .ends(0)
        .has("warning", "configuration", "the own machine of each visitor")
        .has("warning", "configuration", "can read the metrics");
    let https = |listen: &str| plan(&data).listen(listen).env("WAYPOST_PUBLIC_URL", "https://127.0.0.1");
    let why = "`http.trusted_proxies` is empty";
    asked(https("0.0.0.0:0")).ends(0).has("warning", "configuration", why);
    // The proxies of this machine are trusted if no other one can connect.
    assert!(!asked(https("127.0.0.1:0")).ends(0).text.contains(why));
    let why = "short URLs begin with http://localhost:8080, but the server listens on port 1808";
    let other = plan(&data).listen("127.0.0.1:1808").env("WAYPOST_PUBLIC_URL", "http://localhost:8080");
    asked(other).ends(0).has("warning", "configuration", why);
    // Without `public_url`, short URLs follow the port.
    let follows = asked(plan(&data).listen("127.0.0.1:1808").without("WAYPOST_PUBLIC_URL"));
    assert!(!follows.ends(0).text.contains("short URLs begin"));
    for (url, listen) in [("http://[::1]:1808", "[::1]:1808"), ("http://go.test", "127.0.0.1:1808")] {
        let said =
            asked(plan(&data).listen(listen).env("WAYPOST_PUBLIC_URL", url)).ends(0).findings().join("\n");
        assert!(!said.contains("short URLs begin"), "{url}: {said}");
    }
}

#[test]
fn a_folder_that_others_can_read() {
    let (_folder, data) = used();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    mode(&data, 0o755);
    doctor(&data).ends(1).has("problem", "permissions", "chmod 700");
    mode(&data, 0o700);
    let key = data.join("admin.key");
    fs::write(&key, "wp_secret-that-stays-here").expect("a file");
    mode(&key, 0o644);
    let said = doctor(&data);
    said.ends(1).has("problem", "permissions", "chmod 600");
    assert!(!said.text.contains("secret-that-stays-here"));
    mode(&key, 0o600);
    doctor(&data).ends(0);
}

#[test]
fn a_folder_with_files_of_another_user() {
    let (_folder, data) = used();
    if !rustix::process::geteuid().is_root() {
        not_tested("files of another user: only root can make them");
        return;
    }
    let chown = |path: &Path| std::os::unix::fs::chown(path, Some(12_345), None).expect("as root");
    chown(&segment(&data));
    doctor(&data).ends(1).has("problem", "permissions", "of uid 12345");
    for path in [data.clone(), data.join("log"), data.join("table"), data.join("clicks")] {
        for entry in fs::read_dir(&path).expect("a folder") {
            chown(&entry.expect("an entry").path());
        }
        chown(&path);
    }
    doctor(&data)
        .ends(1)
        .has("problem", "permissions", "belongs to uid 12345, and that user cannot read")
        .has("ok", "table", "whole, at position");
}

#[test]
fn a_data_folder_that_is_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("data");
    fs::write(&file, "").expect("a file");
    doctor(&file).ends(1).has("problem", "data folder", "is no folder");
    doctor(&file.join("below")).ends(1).has("problem", "data folder", "cannot be read");
}

#[test]
fn too_few_descriptors() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = env!("CARGO_BIN_EXE_waypost");
    for (limit, setting, level, part) in [
        (
            1_000,
            "5000",
            "warning",
            "`http.max_connections` = 5000 needs 5256 open files, and the limit is 1000: no more than 744",
        ),
        (300, "20", "problem", "log and connections compete for them"),
        (700, "", "warning", "only 444 visitors can be connected at once"),
        (1_000, "600", "ok", "enough for 600 connections"),
    ] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit} && exec {binary} doctor")]);
        shell
            .env_clear()
            .env("WAYPOST_DATA_DIR", folder.path().join("data"))
            .env("WAYPOST_LISTEN", "127.0.0.1:0");
        if !setting.is_empty() {
            shell.env("WAYPOST_HTTP__MAX_CONNECTIONS", setting);
        }
        let output = shell.output().expect("sh runs");
        let said = Said {
            code: output.status.code(),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        said.ends(i32::from(level == "problem")).has(level, "descriptors", part);
    }
}

#[test]
fn a_clock_that_is_wrong() {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    let (_folder, data) = used();
    let written = |at| {
        for file in fs::read_dir(data.join("log")).expect("the log") {
            let file = File::options().write(true).open(file.expect("a file").path()).expect("ours");
            file.set_modified(at).expect("ours");
        }
    };
    let now = SystemTime::now();
    written(now + YEAR);
    doctor(&data).ends(1).has("problem", "clock", "but the log was written at");
    written(now - 12 * YEAR);
    doctor(&data).ends(0).has("warning", "clock", "more than ten years");
    written(now);
    doctor(&data).ends(0).has("ok", "clock", "the log was last written at");
}

#[test]
fn a_log_that_is_damaged() {
    let (_folder, data) = used();
    let path = segment(&data);
    let whole = fs::read(&path).expect("the segment");
    let mut broken = whole.clone();
    broken[whole.len() / 2] ^= 0x10;
    fs::write(&path, &broken).expect("written");
    doctor(&data).ends(1).has("problem", "log", "`waypost verify` reports more");
    fs::write(&path, &whole).expect("written");
    doctor(&data).ends(0).has("ok", "log", "sound");
    fs::remove_dir_all(data.join("log")).expect("removed");
    doctor(&data).ends(1).has("problem", "log", "waypost serve --accept-loss");
}

#[test]
fn a_table_of_another_log() {
    let (folder, data) = used();
    let older = folder.path().join("older");
    copy_folder(&data, &older);
    let server = plan(&data).start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "d"}));
    server.stop();
    let newer = folder.path().join("newer");
    copy_folder(&data, &newer);
    let take = |part: &str, from: &Path| {
        fs::remove_dir_all(data.join(part)).expect("removed");
        copy_folder(&from.join(part), &data.join(part));
    };
    // An older log with the newer table.
    take("log", &older);
    doctor(&data).ends(1).has("problem", "next start", "rewrites the log from the table");
    take("log", &newer);
    take("table", &older);
    doctor(&data).ends(0).has("ok", "table", "behind the log");
    let (_other, elsewhere) = used();
    take("table", &elsewhere);
    doctor(&data).ends(0).has("warning", "table", "it belongs to another log");
    fs::remove_dir_all(data.join("table")).expect("removed");
    fs::create_dir(data.join("table")).expect("made");
    doctor(&data).ends(0).has("warning", "table", "cannot be opened, or is empty");
}

/// Also a table that is damaged, behind the log or without a mark of a clean stop is left as it was.
#[test]
fn a_table_in_trouble_is_left_as_it_was() {
    let (_folder, data) = used();
    let mut server = plan(&data).start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "d"}));
    server.kill();
    let db = data.join("table/db");
    let whole = fs::read(&db).expect("the table");
    for row in ["after a kill", "damaged", "empty"] {
        match row {
            "damaged" => {
                let mut bytes = whole.clone();
                let middle = bytes.len() / 2;
                bytes[middle..].fill(0xA5);
                fs::write(&db, bytes).expect("written");
            }
            "empty" => fs::write(&db, "").expect("written"),
            _ => {}
        }
        let before = contents(&data);
        doctor(&data).has("ok", "log", "sound");
        assert!(contents(&data) == before, "{row}");
    }
}

#[test]
fn a_table_without_room_for_a_copy() {
    let (_folder, data) = used();
    let at = tempfile::tempdir().expect("a temporary folder");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "waypost-test"]).arg(at.path()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        not_tested("a table without room for a copy: no tmpfs can be mounted here");
        return;
    }
    let said = asked(plan(&data).env("TMPDIR", &at.path().display().to_string()));
    let unmounted = Command::new("umount").arg("-l").arg(at.path()).status();
    said.ends(0).has("skipped", "table", "Set TMPDIR to a folder with room");
    assert!(unmounted.is_ok_and(|status| status.success()));
}

#[test]
fn an_address_in_use_or_of_another_machine() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("its address").to_string();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the doctor's question");
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    });
    asked(plan(&data).listen(&taken)).ends(1).has("problem", "listening", "another program listens");
    other.join().expect("it ends");
    asked(plan(&data).listen("192.0.2.1:8080")).ends(1).has(
        "problem",
        "listening",
        "No interface of this machine",
    );
}

#[test]
fn a_port_that_needs_a_privilege() {
    // The user id of `nobody` on most systems.
    const NOBODY: u32 = 65_534;
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if first.trim().parse().unwrap_or(1_024) <= 80 {
        not_tested("port 80 without the right to it: this system lets everybody have it");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut port_80 = plan(&data).listen("127.0.0.1:80").arg("doctor");
    if rustix::process::geteuid().is_root() {
        // In a folder that other users can reach: the build folder may be accessible to root only.
        let binary = folder.path().join("waypost");
        fs::copy(env!("CARGO_BIN_EXE_waypost"), &binary).expect("a copy");
        std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("as root");
        let nobody = NOBODY.to_string();
        let ran = Command::new("setpriv").arg("--version").output();
        if !ran.is_ok_and(|output| output.status.success()) {
            not_tested("port 80 without the right to it: this is root, and setpriv is not installed");
            return;
        }
        port_80 = port_80.of(&binary).below(
            "setpriv",
            &[
                "--reuid",
                &nobody,
                "--regid",
                &nobody,
                "--clear-groups",
                "--inh-caps=-all",
                "--bounding-set=-all",
            ],
        );
    }
    let (code, text, stderr) = port_80.fails();
    Said { code, text, stderr }
        .ends(0)
        .has("warning", "listening", "127.0.0.1:80 is free, and this user cannot bind it")
        .has("warning", "listening", "cap_net_bind_service");
}

#[test]
fn a_domain_that_does_not_resolve() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    asked(plan(&folder.path().join("data")).env("WAYPOST_PUBLIC_URL", "http://no-such-host.invalid"))
        .ends(0)
        .has("warning", "domain", "no-such-host.invalid");
}

#[test]
fn a_host_that_is_no_domain_is_named() {
    let (_folder, data) = used();
    let server = plan(&data).start();
    let mut proxied = server.admin().at("waypost");
    for _ in 0..25 {
        assert_eq!(proxied.get("/s").status, 404);
    }
    drop(proxied);
    server.stop();
    let said = doctor(&data);
    said.has("warning", "domain", "25 requests for host `waypost` were answered 404");
    said.has("warning", "domain", "`proxy_set_header Host $host`").ends(0);
    // The next start logs the report, and the server writes another one only if the requests continue.
    plan(&data).start().stop();
    let said = doctor(&data);
    assert!(!said.findings().iter().any(|line| line.contains("requests for host")), "{:?}", said.findings());
}

#[test]
fn the_sources_of_countries() {
    let (_folder, data) = used();
    doctor(&data).has("ok", "countries", "visitors have no countries: there is no file").ends(0);
    let file = data.join("own.csv");
    let with_file = || plan(&data).env("WAYPOST_CLICKS__COUNTRY_FILE", file.to_str().expect("a path"));
    asked(with_file()).has("problem", "countries", "own.csv").ends(1);
    fs::write(&file, "192.0.2.0,192.0.2.255,AT\n").expect("room");
    let said = asked(with_file());
    said.has("ok", "countries", "own.csv (csv) has 1 range and is 0 days old").ends(0);
    let old = SystemTime::now() - Duration::from_hours(24 * 101);
    File::options().write(true).open(&file).and_then(|file| file.set_modified(old)).expect("a time");
    asked(with_file()).has("warning", "countries", "is 101 days old. Fetch a new one").ends(0);
    // The proxies of this machine are trusted by default.
    let with_header = plan(&data).env("WAYPOST_CLICKS__COUNTRY_HEADER", "CF-IPCountry");
    asked(with_header).has(
        "ok",
        "countries",
        "the header CF-IPCountry of the trusted proxies (127.0.0.0/8, ::1)",
    );
    let without = plan(&data).env("WAYPOST_CLICKS__DETAILS", "false");
    assert!(!asked(without).text.contains("countries: "), "nothing keeps a country");
}

#[test]
fn links_that_lead_back_here() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = plan(&data).start();
    server.admin().create(&json!({"url": "https://go.test/there", "customSlug": "back"}));
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "away"}));
    server.stop();
    // The link's destination becomes an address of this server.
    asked(plan(&data).env("WAYPOST_PUBLIC_URL", "https://go.test")).ends(0).has(
        "warning",
        "loops",
        "1 of 2 links leads back to a domain of this instance, such as /back",
    );
}

#[test]
fn a_disk_without_room() {
    let at = tempfile::tempdir().expect("a temporary folder");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "waypost-test"]).arg(at.path()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        not_tested("a disk without room: no tmpfs can be mounted here");
        return;
    }
    let fill = |bytes: usize| fs::write(at.path().join("fill"), vec![1; bytes]).expect("room");
    fill(1024);
    let roomy = doctor(&at.path().join("data"));
    fill(1024 * 1024);
    let full = doctor(&at.path().join("data"));
    let unmounted = Command::new("umount").arg("-l").arg(at.path()).status();
    roomy.ends(1).has("problem", "disk space", "writes are refused (507)");
    full.ends(1).has("problem", "disk space", "writes are refused (507)");
    assert!(unmounted.is_ok_and(|status| status.success()));
}

#[test]
fn its_help_names_the_exit_codes() {
    let output = command().args(["doctor", "--help"]).output().expect("it runs");
    // The width of the terminal decides the line breaks.
    let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["0 without problems", "1 with a problem", "2 if the configuration cannot be used", "--strict"]
    {
        assert!(text.contains(part), "{text}");
    }
}
