//! The binary itself: its start, its output, its errors, its end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::app::{HOST, KEY};
use crate::support::http::{Client, Connection, text};
use crate::support::native::new_key;
use crate::support::process::{PATIENCE, Plan, Process, command, not_tested, poll, unused_address};

/// A server without a key in its environment, as on a fresh machine.
fn fresh(data: &Path) -> Plan {
    Plan::on(data).without("WAYPOST_ADMIN_KEY")
}

/// Begins a request to create a link, and returns once the server waits for its body.
fn begin(server: &Process, length: usize) -> Connection {
    let mut connection = Connection::open(server.address()).expect("accepted");
    let head = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    );
    connection.send(head.as_bytes()).expect("sent");
    assert_eq!(connection.receive(true).expect("an answer").map(|answer| answer.status), Some(100));
    connection
}

/// Returns the `curl` command that a start prints behind "Create a link:".
/// Returns the printed commands that create a link: of the command line, and of the API.
fn printed_commands(stdout: &str) -> [String; 2] {
    let between = |before: &str, behind: &str| {
        let (_, text) = stdout.split_once(before).unwrap_or_else(|| panic!("{before} in {stdout}"));
        let (text, _) = text.split_once(behind).unwrap_or_else(|| panic!("{behind} in {stdout}"));
        text.trim().to_owned()
    };
    [between("Create a link:", "The same by the API:"), between("The same by the API:", "Documentation:")]
}

#[test]
fn the_first_start_prints_everything_needed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = fresh(&data).start();
    let said = server.stdout();
    let key_file = data.join("admin.key");
    for part in
        [format!("http://{}", server.address()), data.display().to_string(), key_file.display().to_string()]
    {
        assert!(said.contains(&part), "{part} is missing in: {said}");
    }
    let mode = fs::metadata(&key_file).expect("the key file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let key = fs::read_to_string(&key_file).expect("readable");
    assert_eq!(key.trim_end().len(), 46, "{key}");
    assert!(
        !said.contains(key.trim_end()) && !server.stderr().contains(key.trim_end()),
        "a key is not for logs"
    );

    let [command, pasted] = printed_commands(&said);
    // In another terminal: without the variables of the server.
    let ran = Command::new("sh").args(["-c", &command]).env_clear().current_dir(folder.path()).output();
    let ran = ran.expect("sh runs");
    assert!(ran.status.success() && ran.stdout.contains(&b'{'), "{command}: {ran:?}");

    assert!(pasted.starts_with("curl "), "{pasted}");
    if Command::new("curl").arg("--version").output().is_err() {
        not_tested("the printed command: curl is not installed");
        return;
    }
    let ran = Command::new("sh").args(["-c", &format!("{pasted} -sS -w '\\n%{{http_code}}'")]).output();
    let ran = ran.expect("sh runs");
    let output = String::from_utf8_lossy(&ran.stdout);
    let (body, status) = output.rsplit_once('\n').unwrap_or_else(|| panic!("{ran:?}"));
    assert_eq!(status, "201", "{ran:?}");
    let made: Value = serde_json::from_str(body).expect("JSON");
    let link = &made["link"];
    let short = text(link, "shortUrl");
    let path = short.strip_prefix(&format!("http://{HOST}")).unwrap_or_else(|| panic!("{short}"));
    let answer = server.visitor().get(path);
    assert_eq!((answer.status, answer.header("location")), (302, Some("https://example.com/")));
    assert_eq!(server.visitor().with_key(key.trim_end()).clicks(text(link, "id")), 1);
    server.stop();
}

#[test]
fn the_second_start_keeps_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = fresh(folder.path()).start();
    let key = fs::read_to_string(folder.path().join("admin.key")).expect("the key file");
    let mut admin = server.visitor().with_key(key.trim_end());
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "s", "title": "T"}));
    for _ in 0..7 {
        server.visitor().get("/s");
    }
    server.stop();
    let server = fresh(folder.path()).start();
    let mut admin = server.visitor().with_key(key.trim_end());
    assert_eq!(fs::read_to_string(folder.path().join("admin.key")).expect("the key file"), key);
    // The details of before the start are read beside it.
    let found = poll("the link", PATIENCE, || {
        let found =
            admin.get(&format!("/api/v1/links/{}", text(&made, "id"))).expect(200, "kept")["link"].take();
        Some(found).filter(|link| !link["clicks30d"].is_null())
    });
    let mut want = made.clone();
    assert!(found["lastClickAt"].is_string(), "{found}");
    for (field, value) in
        [("clickCount", &json!(7)), ("clicks30d", &json!(7)), ("lastClickAt", &found["lastClickAt"])]
    {
        want[field] = value.clone();
    }
    assert_eq!(found, want);
    assert_eq!(server.visitor().get("/s").header("location"), Some("https://e.test/"));
    server.stop();
}

/// A key with some scopes can create no key with all of them, so it does not replace the first key.
#[test]
fn the_last_key_with_all_scopes_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = fresh(folder.path()).start();
    let first = fs::read_to_string(folder.path().join("admin.key")).expect("the key file");
    let mut admin = server.visitor().with_key(first.trim_end());
    let listed = admin.get("/api/v1/keys").expect(200, "keys");
    let path = format!("/api/v1/keys/{}", text(&listed["keys"][0], "id"));
    // The key for Prometheus in docs/operating.md.
    new_key(&mut admin, &json!({"instance": true, "scopes": ["admin"]}));
    let why = "this is the last key with all scopes for the whole instance: create another one before you revoke it";
    admin.delete(&path).refuses(403, why, "beside an admin-only key");
    let all = json!([
        "links.readonly",
        "links.write",
        "snapshots.readonly",
        "snapshots.write",
        "admin",
        "metrics.readonly"
    ]);
    let second = new_key(&mut admin, &json!({"instance": true, "scopes": all}));
    server.visitor().with_key(&second).delete(&path).expect(200, "beside a key with all scopes");
    server.stop();
}

#[test]
fn a_start_without_a_key_with_all_scopes_writes_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    let limited = new_key(&mut server.admin(), &json!({"instance": true, "scopes": ["admin"]}));
    server.stop();
    let server = fresh(folder.path()).start();
    let key = fs::read_to_string(folder.path().join("admin.key")).expect("a key file");
    server.visitor().with_key(key.trim_end()).create(&json!({"url": "https://e.test/"}));
    server.visitor().with_key(&limited).get("/api/v1/keys").expect(200, "other keys stay valid");
    server.stop();
    // The next start finds this key and writes no other one.
    fresh(folder.path()).start().stop();
    assert_eq!(fs::read_to_string(folder.path().join("admin.key")).expect("the key file"), key);
}

/// After a restore of another instance's backup, the key file is there, and opens nothing.
#[test]
fn a_key_file_of_another_log_is_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fresh(folder.path()).start().stop();
    let file = folder.path().join("admin.key");
    fs::write(&file, "wp_of_another_instance\n").expect("written");
    let server = fresh(folder.path()).start();
    let said = server.stdout();
    let want =
        format!("admin key   {} is not a valid key of this log: use the one that you kept", file.display());
    assert!(said.contains(&want) && said.contains("Bearer YOUR_KEY"), "{said}");
    server.stop();
    fs::remove_file(&file).expect("removed");
    let server = fresh(folder.path()).start();
    assert!(server.stdout().contains("admin key   not stored here: use the one"), "{}", server.stdout());
    server.stop();
    assert!(!file.exists());
}

#[test]
fn a_public_url_with_another_port_is_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let free = unused_address();
    let url = "http://localhost:8080";
    let server = fresh(folder.path()).env("WAYPOST_PUBLIC_URL", url).listen(&free.to_string()).start();
    let want = format!(
        "warning     short URLs begin with http://localhost:8080, but the server listens on port {}",
        free.port()
    );
    assert!(server.stdout().contains(&want), "{}", server.stdout());
    server.stop();
}

#[test]
fn t70_the_key_of_the_environment_is_valid_while_it_is_set() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    assert!(!folder.path().join("admin.key").exists(), "no key is made when one is given");
    assert!(!server.stdout().contains(KEY) && !server.stderr().contains(KEY), "a key is not for logs");
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    server.stop();
    let other = "another-key-of-the-environment";
    let server = Plan::on(folder.path()).env("WAYPOST_ADMIN_KEY", other).start();
    server.admin().get("/api/v1/links").expect(401, "the key of before");
    server.visitor().with_key(other).get("/api/v1/links").expect(200, "the key of now");
    server.stop();
    let stored = grep(folder.path(), KEY.as_bytes());
    assert!(stored.is_empty(), "the key was written to {stored:?}");
}

/// Returns the files below a folder that contain these bytes.
fn grep(folder: &Path, wanted: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(grep(&path, wanted));
        } else if fs::read(&path).expect("readable").windows(wanted.len()).any(|bytes| bytes == wanted) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn connections_that_are_asked_for_leave_descriptors_to_the_log() {
    for (setting, want) in [("5000", 1), ("100", 0)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan::on(folder.path()).descriptors(600).env("WAYPOST_HTTP__MAX_CONNECTIONS", setting);
        let server = plan.start();
        assert_eq!(server.visitor().get("/healthz").status, 200);
        let told = server.stderr();
        let told: Vec<_> = told.lines().filter(|line| line.contains("http.max_connections")).collect();
        assert_eq!(told.len(), want, "{told:?}");
        assert!(told.iter().all(|line| line.contains("asked=5000 used=344")), "{told:?}");
    }
}

#[test]
fn t104_a_bad_configuration_is_refused_before_a_port_opens() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("waypost.toml");
    let name = file.display().to_string();
    let rows: [(&str, &[(&str, &str)], &[&str]); 8] = [
        ("[http]\nmax_connections = 0\n", &[], &[&name, "`http.max_connections`", "0", "must be at least 1"]),
        ("[http]\nmax_conections = 5\n", &[], &[&name, "unknown field `max_conections`", "line 2"]),
        ("listen = \"here\"\n", &[], &[&name, "listen", "line 1"]),
        ("public_url = \"go.example.com\"\n", &[], &[&name, "`public_url`", "go.example.com", "must be"]),
        ("[clicks]\nflush_interval = \"1\"\n", &[], &[&name, "line 2", "must be a duration"]),
        ("=", &[], &[&name, "line 1"]),
        ("", &[("WAYPOST_HTTP__NONSENSE", "1")], &["WAYPOST_HTTP__NONSENSE", "unknown field `nonsense`"]),
        ("", &[("WAYPOST_ADMIN_KEY", "short")], &["WAYPOST_ADMIN_KEY", "must be at least 16 characters"]),
    ];
    let data = folder.path().join("data");
    for check in [false, true] {
        for (content, environment, parts) in &rows {
            fs::write(&file, content).expect("a small file");
            let mut plan = Plan::on(&data).arg("--config").arg(&name);
            // Otherwise the environment would override the row.
            if content.contains("public_url") {
                plan = plan.without("WAYPOST_PUBLIC_URL");
            }
            for (key, value) in *environment {
                plan = plan.env(key, value);
            }
            let plan = if check { plan.arg("--check") } else { plan };
            let (code, stdout, stderr) = plan.fails();
            assert_eq!((code, stdout.as_str()), (Some(2), ""), "{content}: {stderr}");
            for part in *parts {
                assert!(stderr.contains(part), "{content}: {part} is missing in: {stderr}");
            }
        }
    }
    assert!(!data.exists(), "nothing is made before the configuration is right");
    let (code, _, stderr) = Plan::on(&data).arg("--config").arg("/no/such/file.toml").fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("/no/such/file.toml"), "{stderr}");
    let (code, _, stderr) = Plan::on(&data).arg("--nonsense").fails();
    assert_eq!(code, Some(2), "{stderr}");
    let (code, _, stderr) = Plan::on(&data).arg("--check").fails();
    assert_eq!(code, Some(0), "a right configuration: {stderr}");
    assert!(!data.exists(), "a check makes nothing");
}

#[test]
fn t99_one_process_per_data_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    let (code, stdout, stderr) = Plan::on(folder.path()).fails();
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("already in use"), "{stderr}");
    assert!(stderr.contains(&folder.path().display().to_string()), "{stderr}");
    server.admin().create(&json!({"url": "https://e.test/"}));
    server.stop();
    Plan::on(folder.path()).start().stop();
}

#[test]
fn t104_an_address_in_use_is_named() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let address = unused_address().to_string();
    // Another process: children that other tests start at this moment would inherit a socket of this one.
    let first = Plan::on(other.path()).listen(&address).start();
    let (code, stdout, stderr) = Plan::on(folder.path()).listen(&address).fails();
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("in use"), "{stderr}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is made");
    first.stop();
    Plan::on(folder.path()).listen(&address).start().stop();
}

#[test]
fn t97_a_data_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "no folder").expect("a small file");
    for data in [file.clone(), file.join("data")] {
        let (code, stdout, stderr) = Plan::on(&data).fails();
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(&data.display().to_string()), "{stderr}");
    }
}

#[test]
fn t100_a_stop_finishes_what_was_started() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).patient().env("WAYPOST_CLICKS__FLUSH_INTERVAL", "1h").start();
    let made = server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let mut idle = Connection::open(server.address()).expect("accepted");
    let mut visitor = server.visitor();
    for _ in 0..50 {
        assert_eq!(visitor.get("/s").status, 302);
    }
    // The body of a request is under way when the signal arrives.
    let body = r#"{"url":"https://e.test/late","customSlug":"late"}"#;
    let mut started = begin(&server, body.len());
    started.send(&body.as_bytes()[..10]).expect("sent");
    let address = server.address();
    server.signal(Signal::TERM);
    poll("the listener's end", PATIENCE, || Connection::open(address).is_err().then_some(()));
    started.send(&body.as_bytes()[10..]).expect("still read");
    let answer = started.receive(false).expect("an answer").expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(answer.closes(), "told that it was the last: {answer:?}");
    assert!(idle.is_closed(), "idle connections are closed");
    let status = server.ends("the end after SIGTERM, long before the drain's limit");
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    let server = Plan::on(folder.path()).start();
    assert_eq!(server.visitor().head("/late").status, 302);
    assert_eq!(server.admin().clicks(text(&made, "id")), 50, "no click is lost by a stop");
    server.stop();
}

#[test]
fn sigint_stops_as_sigterm_does() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).start();
    server.signal(Signal::INT);
    assert_eq!(server.ends("the end after SIGINT").code(), Some(0), "{}", server.stderr());
}

#[test]
fn t101_a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).patient().start();
    let made = server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    // A request without an end keeps the drain waiting.
    let _held = begin(&server, 9);
    let address = server.address();
    server.signal(Signal::TERM);
    poll("the listener's end", PATIENCE, || Connection::open(address).is_err().then_some(()));
    assert!(server.is_running(), "it waits for the started request: {}", server.stderr());
    // A second within a second is the first again, as `timeout` sends it.
    server.signal(Signal::TERM);
    poll("the second signal", PATIENCE, || server.stderr().contains("stopping already").then_some(()));
    assert!(server.is_running(), "{}", server.stderr());
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    server.signal(Signal::TERM);
    let status = server.ends("the end after another signal");
    assert_eq!(status.code(), Some(1), "{status}: not an orderly end");
    let server = Plan::on(folder.path()).start();
    server.admin().get(&format!("/api/v1/links/{}", text(&made, "id"))).expect(200, "nothing is lost");
    server.stop();
}

#[test]
fn a_drain_has_a_limit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).patient().env("WAYPOST_HTTP__DRAIN_TIMEOUT", "300ms").start();
    let _held = begin(&server, 9);
    server.signal(Signal::TERM);
    assert_eq!(server.ends("the end of the drain").code(), Some(0), "{}", server.stderr());
}

#[test]
fn t101_a_signal_during_the_start_is_not_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Plan::on(folder.path()).start().stop();
    for micros in [0, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000] {
        let mut server = Plan::on(folder.path()).spawn();
        std::thread::sleep(Duration::from_micros(micros));
        server.signal(Signal::TERM);
        let status = server.ends("the end of a start that was stopped");
        // A signal before the handler is installed ends the program by default.
        let fine = status.code() == Some(0) || status.signal() == Some(15);
        assert!(fine, "after {micros} us: {status} {}", server.stderr());
    }
    Plan::on(folder.path()).start().stop();
}

#[test]
fn t101_closed_output_does_not_end_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = unused_address();
    let mut child = command()
        .env("WAYPOST_LISTEN", port.to_string())
        .env("WAYPOST_DATA_DIR", folder.path())
        .env("WAYPOST_PUBLIC_URL", format!("http://{HOST}"))
        .env("WAYPOST_ADMIN_KEY", KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // Close both pipes before the first line.
    drop((child.stdout.take(), child.stderr.take()));
    let served = poll("a server without output", PATIENCE, || {
        assert!(child.try_wait().expect("a child").is_none(), "it ended");
        let mut client = Client::new(port, HOST).with_key(KEY);
        let body = json!({"url": "https://e.test/"}).to_string();
        client.try_send("POST", "/api/v1/links", &[], Some(body.as_bytes())).ok().filter(|a| a.status == 201)
    });
    assert!(served.json()["link"]["id"].is_string());
    let pid = rustix::process::Pid::from_child(&child);
    // The program has no handler for it, and must not end either.
    rustix::process::kill_process(pid, Signal::PIPE).expect("a child of ours");
    assert_eq!(Client::new(port, HOST).get("/healthz").status, 200);
    rustix::process::kill_process(pid, Signal::TERM).expect("a child of ours");
    let status = poll("the end after SIGTERM", PATIENCE, || child.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn t102_every_counted_click_outlives_a_stop() {
    const CONNECTIONS: u64 = 16;
    const EACH: u64 = 1_250;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).env("WAYPOST_CLICKS__FLUSH_INTERVAL", "50ms").start();
    let mut admin = server.admin();
    let ids: Vec<String> = (0..4)
        .map(|n| {
            let made = admin.create(&json!({"url": "https://e.test/", "customSlug": format!("s{n}")}));
            text(&made, "id").to_owned()
        })
        .collect();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let mut visitor = server.visitor();
            scope.spawn(move || {
                for hit in 0..EACH {
                    let answer = visitor.get(&format!("/s{}", (connection + hit) % 4));
                    assert_eq!(answer.status, 302, "connection {connection}, hit {hit}");
                }
            });
        }
    });
    server.stop();
    let server = Plan::on(folder.path()).start();
    let mut admin = server.admin();
    let totals: Vec<u64> = ids.iter().map(|id| admin.clicks(id)).collect();
    assert_eq!(totals.iter().sum::<u64>(), CONNECTIONS * EACH, "{totals:?}");
    server.stop();
}

/// Signals that a closing terminal or a log rotation sends do not end the server. It does not need stdin.
#[test]
fn t101_signals_that_mean_nothing_do_not_end_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).start();
    let made = server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    for signal in [Signal::HUP, Signal::USR1, Signal::PIPE] {
        for _ in 0..5 {
            server.signal(signal);
        }
        assert_eq!(server.visitor().get("/s").status, 302, "{signal:?}");
        assert!(server.is_running(), "{signal:?}");
    }
    poll("each is told", PATIENCE, || {
        let said = server.stderr();
        ["SIGHUP", "SIGUSR1"].iter().all(|name| said.contains(name)).then_some(())
    });
    assert_eq!(server.admin().clicks(text(&made, "id")), 3);
    assert!(!server.stop().contains("panicked"));
}

/// `waypost | head -1`, and standard streams that are closed from the start.
#[test]
fn t101_a_pipe_that_closes_after_the_first_line_does_not_end_it() {
    for script in ["exec \"$0\" 2>/dev/null | head -n 1", "exec \"$0\" <&- >&- 2>&-"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = unused_address();
        let binary = command().get_program().to_owned();
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(binary)
            .env("WAYPOST_LISTEN", port.to_string())
            .env("WAYPOST_DATA_DIR", folder.path())
            .env("WAYPOST_ADMIN_KEY", KEY)
            .env("WAYPOST_LOG_FILTER", "debug")
            .stdout(Stdio::null())
            .spawn()
            .expect("sh runs");
        let made = poll("a server", PATIENCE, || {
            let mut admin = Client::new(port, "localhost").with_key(KEY);
            let body = json!({"url": "https://e.test/", "customSlug": "s"}).to_string();
            admin.try_send("POST", "/api/v1/links", &[], Some(body.as_bytes())).ok()
        });
        // An early request may arrive during the start.
        assert!([201, 503].contains(&made.status), "{script}: {made:?}");
        for _ in 0..20 {
            assert_ne!(Client::new(port, "localhost").get("/s").status, 500, "{script}");
        }
        // The shell does not print the server's id. Find the process by its listening socket.
        let owner = fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let command = fs::read(entry.path().join("comm")).ok()?;
            let wanted = format!("WAYPOST_LISTEN={port}");
            let is_it = command.starts_with(b"waypost")
                && environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes());
            is_it.then(|| entry.file_name().to_str()?.parse::<i32>().ok()).flatten()
        });
        let owner = rustix::process::Pid::from_raw(owner.expect("it runs")).expect("a process");
        rustix::process::kill_process(owner, Signal::TERM).expect("it runs");
        let status = poll("the end after SIGTERM", PATIENCE, || child.try_wait().expect("a child"));
        assert_eq!(status.code(), Some(0), "{script}: {status}");
        Plan::on(folder.path()).start().stop();
    }
}

/// Errors in the environment, the file and the command line.
#[test]
fn t104_configurations_that_cannot_be_read() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let file = folder.path().join("waypost.toml");
    let name = file.display().to_string();
    let broken = std::ffi::OsStr::from_bytes(b"caf\xe9");
    // Variables of other programs are ignored.
    Plan::on(&data).env_os("SOMEBODYS_NAME", broken).start().stop();
    let (code, stdout, stderr) = Plan::on(&data).env_os("WAYPOST_PUBLIC_URL", broken).fails();
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("WAYPOST_PUBLIC_URL") && stderr.contains("UTF-8"), "{stderr}");
    let rows: [(&[u8], &[&str]); 11] = [
        (b"listen = 99999\n", &["listen", "line 1", "from 0 to 65535"]),
        (b"listen = \"127.0.0.1:99999\"\n", &["listen", "line 1"]),
        (b"data_dir = \"\"\n", &["`data_dir`", "must name a folder"]),
        (b"data_dir = 1\n", &["data_dir", "line 1"]),
        (b"log_filter = \"warn,waypost=loud\"\n", &["`log_filter`"]),
        (b"[http]\nmax_body = -1\n", &["max_body", "line 2"]),
        (b"[http]\nmax_body = \"64 KB\"\n", &["max_body", "line 2"]),
        (b"[http]\ntrusted_proxies = [\"everyone\"]\n", &["`http.trusted_proxies`", "everyone"]),
        (b"[http]\nmax_body = 4096\nmax_body = 8192\n", &["max_body", "line 3"]),
        (b"[nonsense]\n", &["unknown field `nonsense`", "line 1"]),
        (b"public_url = \"caf\xe9\"\n", &["UTF-8"]),
    ];
    for (content, parts) in rows {
        fs::write(&file, content).expect("a small file");
        let shown = String::from_utf8_lossy(content).into_owned();
        for check in [true, false] {
            let mut plan = Plan::on(&data).arg("--config").arg(&name);
            for variable in ["WAYPOST_PUBLIC_URL", "WAYPOST_DATA_DIR"] {
                plan = plan.without(variable);
            }
            // The address of the row must take effect.
            plan = plan.listen_in_file(content.starts_with(b"listen"));
            let (code, stdout, stderr) = if check { plan.arg("--check") } else { plan }.fails();
            assert_eq!((code, stdout.as_str()), (Some(2), ""), "{shown}: {stderr}");
            assert!(stderr.contains(&name) && stderr.lines().count() < 12, "{shown}: {stderr}");
            for part in parts {
                assert!(stderr.contains(part), "{shown}: {part} is missing in: {stderr}");
            }
        }
    }
    // A folder instead of the file.
    let (code, _, stderr) = Plan::on(&data).arg("--config").arg(&folder.path().display().to_string()).fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains(&folder.path().display().to_string()), "{stderr}");
    // No message contains the secret, whatever is wrong with it.
    let (code, _, stderr) = Plan::on(&data).env("WAYPOST_ADMIN_KEY", "canary with spaces in it").fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(!stderr.contains("canary"), "{stderr}");
}

/// Fifty requests of all kinds are under way at SIGTERM, with unflushed clicks. Each request gets its
/// response, each click is kept, and no connection is reset.
#[test]
fn t100_fifty_requests_on_their_way_finish() {
    const EACH: usize = 25;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).patient().env("WAYPOST_CLICKS__FLUSH_INTERVAL", "1h").start();
    let made = server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let mut creating = Vec::new();
    let mut clicking = Vec::new();
    for number in 0..EACH {
        let body = format!(r#"{{"url": "https://e.test/{number}", "customSlug": "n{number}"}}"#);
        let mut connection = begin(&server, body.len());
        connection.send(&body.as_bytes()[..body.len() / 2]).expect("sent");
        creating.push((connection, body));
        let mut connection = Connection::open(server.address()).expect("accepted");
        connection
            .send(format!("GET /s HTTP/1.1\r\nHost: {HOST}\r\n\r\n").repeat(40).as_bytes())
            .expect("sent");
        assert!(connection.begins().expect("an answer"), "the request has begun");
        clicking.push(connection);
    }
    let address = server.address();
    server.signal(Signal::TERM);
    poll("the listener's end", PATIENCE, || Connection::open(address).is_err().then_some(()));
    for (connection, body) in &mut creating {
        connection.send(&body.as_bytes()[body.len() / 2..]).expect("still read");
    }
    for (connection, body) in &mut creating {
        let answer = connection.receive(false).expect("no reset").expect("an answer");
        assert!(answer.status == 201 && answer.closes(), "{body}: {answer:?}");
    }
    let mut clicks = 0;
    for connection in &mut clicking {
        while let Some(answer) = connection.receive(false).expect("no reset") {
            assert_eq!(answer.status, 302, "{answer:?}");
            clicks += 1;
        }
    }
    let status = server.ends("the end after SIGTERM, long before the drain's limit");
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    assert!(clicks >= EACH as u64, "{clicks}");
    let server = Plan::on(folder.path()).start();
    for number in 0..EACH {
        assert_eq!(server.visitor().head(&format!("/n{number}")).status, 302, "n{number}");
    }
    // A request that was read and not answered may be counted. An answered one always is.
    let total = server.admin().clicks(text(&made, "id"));
    assert!((clicks..=40 * EACH as u64).contains(&total), "{total} of {clicks}");
    server.stop();
}

/// The second process fails with every command, and takes nothing from the first.
#[test]
fn t99_every_second_process_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut all: Vec<_> = (0..6).map(|_| Plan::on(folder.path()).spawn()).collect();
    let mut serving = Vec::new();
    for process in &mut all {
        match process.serves() {
            Ok(_) => serving.push(process),
            Err(status) => {
                assert_eq!(status.code(), Some(1), "{}", process.stderr());
                assert!(process.stderr().contains("already in use"), "{}", process.stderr());
            }
        }
    }
    assert_eq!(serving.len(), 1, "one has it");
    let first = serving.remove(0);
    for command in [&["import", "/dev/null"][..], &["restore", "/nowhere"]] {
        let mut plan = Plan::on(folder.path());
        for arg in command {
            plan = plan.arg(arg);
        }
        let (code, _, stderr) = plan.fails();
        assert_ne!(code, Some(0), "{command:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{command:?}: {stderr}");
    }
    first.admin().create(&json!({"url": "https://e.test/"}));
}
