//! Starting and operating the server: its address, which files it reads, and what its messages name.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use serde_json::{Value, json};

use waypost::model::short_code::RESERVED;

use crate::support::app::{HOST, KEY, TestApp};
use crate::support::http::text;
use crate::support::process::{PATIENCE, Plan, Process, not_tested, poll, unused_address};

/// Returns the text of a response over a Unix socket.
fn ask(socket: &Path, head: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("accepted");
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Waits for the banner of a server on a Unix socket, which has no address that the support code can read.
fn listens(server: &Process, socket: &Path) {
    let want = format!("Waypost is listening on unix:{}", socket.display());
    poll("the banner", PATIENCE, || server.stdout().contains(&want).then_some(()));
}

#[test]
fn f04_a_pod_beside_a_service_of_this_name_starts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path())
        .env("WAYPOST_PORT", "tcp://10.0.0.1:8080")
        .env("WAYPOST_SERVICE_HOST", "10.0.0.1")
        .env("WAYPOST_SERVICE_PORT", "8080")
        .env("WAYPOST_PORT_8080_TCP_ADDR", "10.0.0.1")
        .start();
    let log = server.stderr();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("passed over")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for name in
        ["WAYPOST_PORT,", "WAYPOST_SERVICE_HOST,", "WAYPOST_SERVICE_PORT", "WAYPOST_PORT_8080_TCP_ADDR"]
    {
        assert!(lines[0].contains(name), "{name}: {}", lines[0]);
    }
    server.stop();
}

#[test]
fn m6_a_unix_socket_serves_and_its_clients_are_trusted_proxies() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("w.sock");
    let shown = format!("unix:{}", socket.display());
    // A program that was killed has left its file.
    drop(UnixListener::bind(&socket).expect("bound"));
    let plan = || {
        let plan = Plan::on(&folder.path().join("data")).listen(&shown);
        plan.env("WAYPOST_LIMITS__MISSES_PER_MINUTE", "3").env("WAYPOST_HTTP__TRUSTED_PROXIES", "192.0.2.1")
    };
    let server = plan().spawn();
    listens(&server, &socket);
    assert_eq!(fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o660);
    let body = json!({"url": "https://e.test/", "customSlug": "s"}).to_string();
    let create = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {KEY}\r\nContent-Length: {}\r\nConnection: close\
         \r\n\r\n{body}",
        body.len()
    );
    let mut stream = UnixStream::connect(&socket).expect("accepted");
    stream.write_all(create.as_bytes()).expect("sent");
    let mut made = String::new();
    stream.read_to_string(&mut made).expect("an answer");
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    assert!(ask(&socket, &format!("GET /s HTTP/1.1\r\nHost: {HOST}")).starts_with("HTTP/1.1 302"));
    // The addresses of two visitors have a limit each.
    let miss = |address: &str| {
        let head = format!("GET /missing HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: {address}");
        ask(&socket, &head)[9..12].to_owned()
    };
    let (first, second) = ("198.51.100.1", "198.51.100.2");
    assert_eq!([first, first, first, first, second].map(miss), ["404", "404", "404", "429", "404"]);
    // A second server does not take the socket, and touches no data folder.
    let other = folder.path().join("other");
    let (code, _, stderr) = Plan::on(&other).listen(&shown).fails();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("in use") && stderr.contains("Another program listens there"), "{stderr}");
    assert!(!other.exists() && socket.exists());
    let (_, findings, _) = plan().arg("doctor").fails();
    assert!(findings.contains(&format!("the server runs on {shown} and is ready")), "{findings}");
    server.stop();
    assert!(!socket.exists(), "removed at the stop");
}

#[test]
fn m6_a_port_alone_means_all_addresses() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).listen(":0").without("WAYPOST_PUBLIC_URL").start();
    let port = server.address().port();
    assert_ne!(port, 0);
    // Over IPv4 as well.
    let visitor = crate::support::http::Client::new(([127, 0, 0, 1], port).into(), "localhost");
    let made = visitor.with_key(KEY).create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    assert_eq!(text(&made, "shortUrl"), format!("http://localhost:{port}/s"), "short URLs follow the port");
    assert!(
        server.stdout().contains(&format!("curl -X POST http://localhost:{port}/api")),
        "{}",
        server.stdout()
    );
    server.stop();
}

#[test]
fn flags_override_the_environment_and_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, data) = (folder.path().join("waypost.toml"), folder.path().join("elsewhere"));
    fs::write(&file, "public_url = \"https://file.test\"\n").expect("a small file");
    let plan = || {
        Plan::on(&folder.path().join("data"))
            .arg("--config")
            .arg(&file.display().to_string())
            .arg("--data-dir")
            .arg(&data.display().to_string())
    };
    let address = unused_address().to_string();
    let server = plan().arg("--listen").arg(&address).arg("--public-url").arg("https://flag.test").start();
    assert_eq!(server.address().to_string(), address);
    assert!(server.stdout().contains("short URLs  https://flag.test/"), "{}", server.stdout());
    assert!(data.join("log").is_dir() && !folder.path().join("data").exists());
    server.stop();
    let (code, _, stderr) = plan().arg("--listen").arg("nowhere:1").fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--listen \"nowhere:1\": must be an address and a port such as"), "{stderr}");
    let (code, _, stderr) = plan().arg("--public-url").arg("go.test").fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--public-url \"go.test\": must be scheme and host"), "{stderr}");
}

/// Each spelling of several names means the same, and a check names what no certificate will come for.
#[test]
fn several_names_are_repeated_or_have_commas() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let names = |arguments: &[&str]| {
        let plan =
            Plan::on(&folder.path().join("data")).without("WAYPOST_PUBLIC_URL").arg("print").arg("compose");
        let (code, stdout, stderr) = arguments.iter().fold(plan, |plan, argument| plan.arg(argument)).fails();
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout.lines().find_map(|line| line.trim().strip_prefix("WAYPOST_DOMAIN: ")).map(str::to_owned)
    };
    for arguments in [&["--domain", "a.test,b.test"][..], &["--domain", "a.test", "--domain", "b.test"]] {
        assert_eq!(names(arguments).as_deref(), Some("\"a.test,b.test\""), "{arguments:?}");
    }
    for (name, is_warned) in [("go.example.com", false), ("localhost", true), ("192.168.1.5", true)] {
        let plan = Plan::on(&folder.path().join("data")).without("WAYPOST_PUBLIC_URL").listen("none");
        let (code, stdout, stderr) = plan.arg("--domain").arg(name).arg("--check").fails();
        assert_eq!((code, stdout.trim()), (Some(0), "waypost: the configuration is valid"), "{stderr}");
        let want = format!("warning: `domain`: {name} is not ");
        assert_eq!(stderr.contains(&want), is_warned, "{name}: {stderr}");
    }
}

/// Returns a plan that runs in this folder, without settings that a test may set in a file.
fn within(folder: &Path) -> Plan {
    let folder = folder.display().to_string();
    Plan::on(Path::new("unused"))
        .without("WAYPOST_DATA_DIR")
        .without("WAYPOST_PUBLIC_URL")
        .below("env", &["-C", &folder])
}

#[test]
fn the_file_is_found_and_its_data_folder_is_beside_it() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let [here, there, unused] = ["here", "there", "unused"].map(|name| home.path().join(name));
    for (folder, host) in [(&here, "here.test"), (&there, "there.test"), (&unused, "unused.test")] {
        fs::create_dir(folder).expect("a folder");
        let text = format!("data_dir = \"data\"\npublic_url = \"https://{host}\"\n");
        fs::write(folder.join("waypost.toml"), text).expect("a small file");
    }
    let named = there.join("waypost.toml").display().to_string();
    let rows = [
        (within(&here), "here.test", &here),
        (within(&here).env("WAYPOST_CONFIG", ""), "here.test", &here),
        (within(&unused).env("WAYPOST_CONFIG", &named), "there.test", &there),
        (within(home.path()).env("WAYPOST_CONFIG", "there/waypost.toml"), "there.test", &there),
        (within(&unused).arg("--config").arg(&named), "there.test", &there),
    ];
    for (plan, host, folder) in rows {
        let server = plan.start();
        let banner = server.stdout();
        assert!(banner.contains(&format!("https://{host}/")), "{banner}");
        assert!(banner.contains(&format!("data        {}\n", folder.join("data").display())), "{banner}");
        server.stop();
    }
    assert!(!home.path().join("data").exists());
    let (code, _, stderr) = within(&here).env("WAYPOST_CONFIG", "/no/such.toml").fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("cannot read /no/such.toml"), "{stderr}");
}

/// Earlier versions took `data_dir` relative to the working folder. The data there must not be left behind silently.
#[test]
fn a_data_folder_at_its_old_place_stops_every_command() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (work, etc) = (home.path().join("work"), home.path().join("etc"));
    for folder in [&work, &etc] {
        fs::create_dir(folder).expect("a folder");
    }
    within(&work).env("WAYPOST_DATA_DIR", "data").start().stop();
    let file = etc.join("waypost.toml");
    fs::write(&file, "data_dir = \"data\"\n").expect("a small file");
    let shown = file.display().to_string();
    let old = work.join("data").display().to_string();
    for command in ["serve", "export", "doctor"] {
        let (code, stdout, stderr) = within(&work).arg(command).arg("--config").arg(&shown).fails();
        assert_eq!(code, Some(2), "{command}: {stderr}");
        let want = format!("Write the whole path: data_dir = {old:?}");
        assert!(stderr.contains(&want), "{command}: {stdout} {stderr}");
    }
    assert!(!etc.join("data").exists());
    // With a log at both places the file is followed, and the other log is named.
    within(&etc).start().stop();
    let server = within(&work).arg("--config").arg(&shown).start();
    let log = server.stderr();
    assert!(log.contains("WARN") && log.contains(&format!("{old} contains a log as well")), "{log}");
    server.stop();
}

#[test]
fn proxies_of_this_machine_are_trusted_if_no_other_machine_can_connect() {
    let rows = [
        (None, "127.0.0.1:0", ["404", "404"]),
        (Some("192.0.2.1"), "127.0.0.1:0", ["404", "429"]),
        (Some("[]"), "127.0.0.1:0", ["404", "429"]),
        (None, "0.0.0.0:0", ["404", "429"]),
    ];
    for (proxies, listen, want) in rows {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan::on(folder.path()).listen(listen).env("WAYPOST_LIMITS__MISSES_PER_MINUTE", "1");
        let plan = proxies.into_iter().fold(plan, |plan, it| plan.env("WAYPOST_HTTP__TRUSTED_PROXIES", it));
        let server = plan.start();
        let local = ([127, 0, 0, 1], server.address().port()).into();
        let statuses = ["198.51.100.1", "198.51.100.2"].map(|address| {
            let mut visitor = crate::support::http::Client::new(local, HOST);
            visitor.send("GET", "/missing", &[("X-Forwarded-For", address)], None).status.to_string()
        });
        assert_eq!(statuses, want, "{proxies:?} {listen}");
        server.stop();
    }
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).below("prlimit", &["--nofile=300:2000"]).start();
    let limits = fs::read_to_string(server.proc("limits")).expect("a running process");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("its limit");
    assert_eq!(line.split_whitespace().nth(3), Some("2000"), "{line}");
    assert!(server.stderr().contains("connections=1744"), "{}", server.stderr());
    server.stop();
}

#[test]
fn a_failed_start_ends_by_naming_doctor() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "no folder").expect("a small file");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    let rows = [
        (Plan::on(&file), "waypost doctor"),
        (Plan::on(&folder.path().join("data")).env("WAYPOST_LISTEN_", "1"), "waypost doctor"),
        (
            Plan::on(&folder.path().join("data")).arg("--listen").arg("192.0.2.1:1"),
            "waypost doctor --listen 192.0.2.1:1",
        ),
        (Plan::on(&folder.path().join("data")).listen(&taken), "waypost doctor"),
    ];
    for (plan, doctor) in rows {
        let (_, _, stderr) = plan.fails();
        let want = format!("`{doctor}` checks everything that a start needs");
        assert_eq!(stderr.lines().last(), Some(want.as_str()), "{stderr}");
    }
}

#[test]
fn root_does_not_write_into_the_folder_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        not_tested("a start as root in the folder of another user: only root can try it");
        return;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    Plan::on(&data).start().stop();
    let (copy, lines) = (home.path().join("copy").display().to_string(), home.path().join("lines"));
    let (code, _, stderr) = Plan::on(&data).arg("backup").arg(&copy).fails();
    assert_eq!(code, Some(0), "{stderr}");
    fs::write(&lines, "{\"url\": \"https://e.test/\"}\n").expect("a small file");
    let lines = lines.display().to_string();
    let nobody = |path: &Path| std::os::unix::fs::chown(path, Some(65_534), None).expect("as root");
    nobody(&data);
    let owned =
        || fs::read_dir(&data).expect("a folder").flatten().map(|it| it.metadata().expect("it").uid());
    for arguments in [&["serve"][..], &["import", &lines], &["restore", "--replace", &copy]] {
        let plan = arguments.iter().fold(Plan::on(&data), |plan, argument| plan.arg(argument));
        let (code, _, stderr) = plan.fails();
        assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
        let belongs = format!("the data folder {} belongs to ", data.display());
        let command = format!("waypost {}", arguments.join(" "));
        for part in [&belongs, "(uid 65534)", "sudo -u ", "--preserve-env=WAYPOST_ADMIN_KEY,", &command] {
            assert!(stderr.contains(part), "{arguments:?}: {part} is missing in {stderr}");
        }
    }
    assert!(owned().all(|uid| uid == 0), "nothing was written");
    // The command as that user could not read this backup, so the error names the command before it.
    let (_, _, stderr) = Plan::on(&data).arg("restore").arg("--replace").arg(&copy).fails();
    assert!(stderr.contains("sudo chown -R ") && stderr.contains(&copy), "{stderr}");
    // Also with the folder of the log alone, as after `chown -R` without the folder itself.
    std::os::unix::fs::chown(&data, Some(0), None).expect("as root");
    nobody(&data.join("log"));
    assert_eq!(Plan::on(&data).fails().0, Some(1));
    // Reading is allowed.
    assert_eq!(Plan::on(&data).arg("verify").fails().0, Some(0));
}

/// A user without the right to read is not shown an empty folder.
#[test]
fn no_permission_is_not_no_data_folder() {
    if !rustix::process::geteuid().is_root() {
        not_tested("the data folder of another user: only root can create one");
        return;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let binary = home.path().join("waypost");
    fs::copy(env!("CARGO_BIN_EXE_waypost"), &binary).expect("a copy");
    let data = home.path().join("data");
    Plan::on(&data).start().stop();
    let target = home.path().join("target").display().to_string();
    let as_nobody = |arguments: &[&str]| {
        let plan = arguments.iter().fold(Plan::on(&data), |plan, argument| plan.arg(argument));
        plan.of(&binary).below("setpriv", &["--reuid=65534", "--regid=65534", "--clear-groups"]).fails()
    };
    for arguments in [&["backup", &target][..], &["export"], &["verify"], &["doctor"], &["serve"]] {
        let (code, stdout, stderr) = as_nobody(arguments);
        let text = format!("{stdout}{stderr}");
        assert_eq!(code, Some(1), "{arguments:?}: {text}");
        assert!(text.contains("Permission denied") || text.contains("by this user"), "{arguments:?}: {text}");
        for wrong in ["no data folder", "contains no log", "there is none yet", "does not exist"] {
            assert!(!text.contains(wrong), "{arguments:?}: {text}");
        }
        assert!(arguments == ["doctor"] || text.contains("sudo -u root"), "{arguments:?}: {text}");
    }
    // Only the user of the data folder restores. So a backup that root made must become the user's.
    let copy = home.path().join("copy").display().to_string();
    assert_eq!(Plan::on(&data).arg("backup").arg(&copy).fails().0, Some(0));
    let nobody = |path: &Path| std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).expect("as root");
    nobody(&data);
    let (code, _, stderr) = as_nobody(&["restore", "--replace", &copy]);
    let gives = stderr.contains("sudo chown -R ") && stderr.contains(&copy);
    assert!(code == Some(1) && gives && !stderr.contains("sudo -u root"), "{stderr}");
    let missing = home.path().join("missing");
    let (_, _, stderr) = Plan::on(&missing).arg("export").fails();
    assert!(stderr.contains("does not exist"), "{stderr}");
}

#[test]
fn the_start_is_one_line_and_lines_can_be_json() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    let log = server.stderr();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("Waypost started")).collect();
    let data = format!("data_dir={}", folder.path().display());
    let address = format!("listen={}", server.address());
    let url = format!("public_url=http://{HOST}");
    let domains = format!("domains={HOST}");
    for part in [concat!("version=", env!("CARGO_PKG_VERSION")), &data, &address, &url, &domains] {
        assert!(lines.len() == 1 && lines[0].contains(part), "{part} is missing in {log}");
    }
    server.stop();
    let server = Plan::on(folder.path()).env("WAYPOST_LOG_FORMAT", "json").start();
    server.admin().get("/api/v1/links");
    let address = server.address().to_string();
    let log = server.stop();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let start =
        lines.iter().find(|line| line["message"] == "Waypost started").expect("the line of the start");
    assert_eq!((start["level"].as_str(), start["listen"].as_str()), (Some("INFO"), Some(address.as_str())));
    assert!(start["timestamp"].is_string() && start["version"].is_string(), "{start}");
    let (code, _, stderr) = Plan::on(folder.path()).env("WAYPOST_LOG_FORMAT", "xml").fails();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("WAYPOST_LOG_FORMAT") && stderr.contains("`text` or `json`"), "{stderr}");
}

#[test]
fn reserved_codes_are_listed() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"url": "https://e.test/", "customSlug": "links"});
    let error = admin.post("/api/v1/links", &body).expect(422, "reserved")["error"].to_string();
    let (description, page) = (admin.get("/api/openapi.json").text(), admin.get("/api/docs").text());
    for word in RESERVED {
        assert!(error.contains(word), "{word}: {error}");
        assert!(description.contains(&format!("`{word}`")), "{word}");
        assert!(page.contains(&format!("<code>{word}</code>")), "{word}");
    }
}

#[test]
fn an_import_names_files_of_another_format() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (file, data) = (home.path().join("links"), home.path().join("data"));
    let rows = [
        ("code,url\nspring,https://e.test/\n", "CSV"),
        ("\u{feff}\"code\";\"url\"\n\"a\";\"https://e.test/\"\n", "CSV"),
        ("url\thits\nhttps://e.test/\t3\n", "CSV"),
        ("spring,https://e.test/", "CSV"),
        ("[\n  {\"url\": \"https://e.test/\"}\n]\n", "jq -c '.[]'"),
        ("[{\"url\": \"https://e.test/\"}]\n", "jq -c '.[]'"),
        ("{\n  \"url\": \"https://e.test/\"\n}\n", "jq -c ."),
        ("https://e.test/a\nhttps://e.test/b\n", "a list of URLs"),
    ];
    for (text, want) in rows {
        fs::write(&file, text).expect("a small file");
        for dry_run in [false, true] {
            let plan = Plan::on(&data).arg("import").arg(&file.display().to_string());
            let plan = if dry_run { plan.arg("--dry-run") } else { plan };
            let (code, _, stderr) = plan.fails();
            assert_eq!(code, Some(1), "{text}: {stderr}");
            assert!(stderr.contains(want) && stderr.contains("line 1: "), "{text}: {stderr}");
        }
    }
    assert!(!data.exists(), "nothing is made");
}
