//! What an operator meets at the edges: outputs that cannot be written, files and folders of other users, signals that
//! are sent twice, and imports with former short URLs.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};

use crate::support::app::HOST;
use crate::support::process::{Plan, command, not_tested};

/// A user who owns nothing.
const NOBODY: u32 = 65_534;

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// Runs a command with a stdout on a full disk.
fn into_full(command: &mut Command) -> (Option<i32>, String) {
    let full = File::options().write(true).open("/dev/full").expect("the system has it");
    let output = command.stdout(full).stderr(Stdio::piped()).output().expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The error of every first line in a crontab, which runs in another folder without the settings of the server.
#[test]
fn a_missing_data_folder_leads_to_the_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("copy").display().to_string();
    for arguments in [&["backup", &copy][..], &["verify"], &["export"], &["export", "--clicks"]] {
        let (code, said) = run(command().args(arguments).current_dir(folder.path()));
        assert_eq!(code, Some(1), "{said}");
        let want = format!("the data folder {} does not exist", folder.path().join("data").display());
        let remedy = "Name the configuration of the server with --config FILE";
        assert!(said.contains(&want) && said.contains(remedy), "{arguments:?}: {said}");
    }
    let (code, said) = run(command().args(["verify", "no"]).current_dir(folder.path()));
    assert!(code == Some(1) && said.contains("name a data folder of Waypost, or a backup"), "{said}");
    assert!(fs::read_dir(folder.path()).expect("a folder").next().is_none(), "nothing was created");
}

#[test]
fn a_data_folder_is_not_restored_from_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    Plan::on(&data).start().stop();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&data, &link).expect("a link");
    let names = || {
        let names = fs::read_dir(&data).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let before = names();
    for from in [&data, &link] {
        let (code, _, said) =
            Plan::on(&data).arg("restore").arg("--replace").arg(&from.display().to_string()).fails();
        assert!(
            code == Some(1) && said.contains("is the data folder itself: name the folder of a backup"),
            "{said}"
        );
    }
    assert_eq!(names(), before);
}

/// Options that change nothing are accepted, as by all commands, and not offered.
#[test]
fn commands_without_a_listener_do_not_offer_one() {
    for (name, offers_url) in [("backup", false), ("restore", false), ("verify", false), ("export", true)] {
        let (code, help) = run(command().args([name, "--help"]));
        assert!(code == Some(0) && help.contains("--data-dir <FOLDER>"), "{help}");
        assert!(!help.contains("--listen"), "{name}: {help}");
        assert_eq!(help.contains("--public-url"), offers_url, "{name}: {help}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    Plan::on(&folder.path().join("data")).start().stop();
    let plan = Plan::on(&folder.path().join("data")).arg("verify").arg("--listen").arg(":8081");
    assert_eq!(plan.fails().0, Some(0));
}

#[test]
fn an_output_that_is_lost_is_no_success() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, lines) = (folder.path().join("data"), folder.path().join("lines"));
    fs::write(&lines, "{\"url\": \"https://e.test/\"}\n").expect("a small file");
    let lines = lines.display().to_string();
    let copy = folder.path().join("copy").display().to_string();
    for arguments in [
        &["import", &lines][..],
        &["verify"],
        &["export"],
        &["doctor"],
        &["backup", &copy],
        &["version"],
        &["--version"],
        &["--help"],
        &["link", "--help"],
        &["man"],
        &["completions", "bash"],
    ] {
        let (code, stderr) = into_full(command().args(arguments).env("WAYPOST_DATA_DIR", &data));
        assert!(code == Some(1) && stderr.contains("cannot write"), "{arguments:?}: {code:?} {stderr}");
    }
    // Without a reader, as behind `head`, the rest is not wanted.
    let line = format!("{} man | head -c 1; {0} --help | head -c 1", env!("CARGO_BIN_EXE_waypost"));
    let (code, printed) = run(Command::new("bash").args(["-o", "pipefail", "-c", &line]));
    assert!(code == Some(0), "{printed}");
    let server = Plan::on(&data).start();
    let client = |arguments: &[&str]| {
        let mut client = command();
        client.args(arguments).env("WAYPOST_DATA_DIR", &data).env("WAYPOST_KEY", crate::support::app::KEY);
        client.arg("--server").arg(format!("http://{}", server.address()));
        client
    };
    for arguments in [&["link", "list"][..], &["key", "list"], &["domain", "list"]] {
        let (code, stderr) = into_full(&mut client(arguments));
        assert!(code == Some(1) && stderr.contains("cannot write"), "{arguments:?}: {code:?} {stderr}");
    }
    // A secret that is lost is named, with the way to revoke its key.
    let (code, stderr) = into_full(&mut client(&["key", "create", "lost", "--scope", "links.write"]));
    assert_eq!(code, Some(1), "{stderr}");
    let revoke = stderr.split('`').nth(1).expect("a command").to_owned();
    let words: Vec<&str> = revoke.split(' ').skip(1).collect();
    let (code, printed) = run(client(&words).arg("--yes"));
    assert!(code == Some(0), "{revoke}: {printed}");
    server.stop();
}

#[test]
fn a_configuration_that_another_user_wrote_is_not_found_by_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("waypost.toml");
    fs::write(&file, "data_dir = \"data\"\n").expect("a small file");
    let check =
        |more: &[&str]| run(command().current_dir(folder.path()).args(["serve", "--check"]).args(more));
    let mode = |mode| fs::set_permissions(&file, Permissions::from_mode(mode)).expect("ours");
    let named = ["--config", "waypost.toml"];
    for (bits, is_read) in [(0o644, true), (0o600, true), (0o666, false), (0o646, false)] {
        mode(bits);
        let (code, printed) = check(&[]);
        assert_eq!(code == Some(0), is_read, "{bits:o}: {printed}");
        let want = format!("add --config {} if you mean this file", file.display());
        assert!(is_read || (code == Some(2) && printed.contains(&want)), "{bits:o}: {printed}");
        assert_eq!(check(&named).0, Some(0), "{bits:o}: named");
    }
    mode(0o644);
    if !geteuid().is_root() {
        not_tested("a configuration of another user: only root can make one");
        return;
    }
    chown(&file, Some(NOBODY), None).expect("as root");
    let (code, printed) = check(&[]);
    assert!(code == Some(2) && printed.contains("(uid 65534)"), "{printed}");
    assert_eq!(check(&named).0, Some(0), "named");
    // Another user's link to a file of ours.
    let (real, link) = (folder.path().join("real.toml"), &file);
    fs::rename(&file, &real).expect("ours");
    chown(&real, Some(0), None).expect("as root");
    std::os::unix::fs::symlink(&real, link).expect("a link");
    assert_eq!(check(&[]).0, Some(0), "a link of ours");
    std::os::unix::fs::lchown(link, Some(NOBODY), None).expect("as root");
    assert_eq!(check(&[]).0, Some(2), "a link of another user");
}

#[test]
fn root_creates_no_data_folder_within_the_folder_of_another_user() {
    if !geteuid().is_root() {
        not_tested("a start as root in the folder of another user: only root can try it");
        return;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let lines = home.path().join("lines");
    fs::write(&lines, "{\"url\": \"https://e.test/\"}\n").expect("a small file");
    let theirs = home.path().join("theirs");
    fs::create_dir(&theirs).expect("a folder");
    chown(&theirs, Some(NOBODY), None).expect("as root");
    let lines = lines.display().to_string();
    for data in [theirs.join("data"), theirs.join("a/b/data")] {
        for arguments in [&["serve"][..], &["import", &lines], &["doctor"]] {
            let plan = arguments.iter().fold(Plan::on(&data), |plan, argument| plan.arg(argument));
            let (code, stdout, stderr) = plan.fails();
            let printed = format!("{stdout}{stderr}");
            assert_eq!(code, Some(1), "{arguments:?}: {printed}");
            let within = format!("would be created in {}, which belongs to ", theirs.display());
            for part in [&within, "(uid 65534)", "sudo -u ", &format!("waypost {}", arguments[0])] {
                assert!(printed.contains(part), "{arguments:?}: {part} is missing in {printed}");
            }
        }
    }
    assert_eq!(fs::read_dir(&theirs).expect("a folder").count(), 0, "nothing was created");
}

#[test]
fn a_failed_start_is_a_line_of_json_if_the_log_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a small file");
    let config = folder.path().join("w.toml");
    fs::write(&config, "log_format = \"json\"\n").expect("a small file");
    let config = config.display().to_string();
    let json = |plan: Plan| plan.env("WAYPOST_LOG_FORMAT", "json");
    for (plan, code) in [
        (json(Plan::on(&file)), 1),
        (Plan::on(&file).arg("--config").arg(&config), 1),
        (json(Plan::on(&file).listen("nowhere")), 2),
    ] {
        let (ended, _, stderr) = plan.fails();
        assert_eq!(ended, Some(code), "{stderr}");
        let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let last = lines.last().expect("a line");
        assert!(last["level"] == "ERROR" && last["timestamp"].is_string(), "{stderr}");
        assert!(last["message"].as_str().is_some_and(|text| text.contains("waypost doctor")), "{stderr}");
    }
}

/// `timeout` sends SIGTERM to the server and then to its process group, which has the server as well.
#[test]
fn a_signal_that_is_sent_twice_at_once_is_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Plan::on(folder.path()).start();
    for _ in 0..3 {
        server.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = server.ends("the end after a signal");
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    assert!(!server.stderr().contains("ended at once"), "{}", server.stderr());
}

#[test]
fn an_unreadable_import_creates_no_data_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("lines"));
    let line = "{\"url\": \"https://e.test/\"}";
    let utf16 = |end: &str| {
        let text = format!("{line}{end}");
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()
    };
    let big = std::iter::once(0xfeff_u16).chain(line.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    let rows: [Vec<u8>; 7] = [
        utf16(""),
        utf16("\r\n"),
        big,
        b"\n\n \n{broken}\n".to_vec(),
        b"{\"url\": \"https://e.test/\"".to_vec(),
        b"\x80\xff\xfe garbage".to_vec(),
        [b"{\"url\": \"https://e.test/".as_slice(), &vec![b'a'; 1 << 20], b"\"}\n"].concat(),
    ];
    let import = || {
        let mut import = command();
        import.arg("import").env("WAYPOST_DATA_DIR", &data);
        import
    };
    for bytes in &rows {
        fs::write(&file, bytes).expect("a file");
        let start: String = String::from_utf8_lossy(bytes).chars().take(20).collect();
        let (code, printed) = run(import().arg(&file));
        assert!(code == Some(1) && printed.contains("nothing was imported"), "{start}: {printed}");
        let (code, printed) = run(import().arg("-").stdin(File::open(&file).expect("a file")));
        assert!(code == Some(1) && printed.contains("nothing was imported"), "{start}: {printed}");
        assert!(!data.exists(), "{start}");
    }
    // Blank lines and the mark of Windows are no mistake, and the check takes nothing from the input.
    fs::write(&file, format!("\u{feff}{line}\n{line}")).expect("a file");
    let (code, printed) = run(import().arg("-").stdin(File::open(&file).expect("a file")));
    assert!(code == Some(0) && printed.contains("imported 2 links"), "{printed}");
}

/// A folder with links to import, and an instance for them.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn import(&self, arguments: &[&str], lines: &[Value]) -> (Option<i32>, String) {
        let file = self.folder.path().join("lines");
        let text: String = lines.iter().map(|line| line.to_string() + "\n").collect();
        fs::write(&file, text).expect("a small file");
        let public = format!("http://{HOST}");
        let mut import = command();
        import.env("WAYPOST_DATA_DIR", self.data()).env("WAYPOST_PUBLIC_URL", public);
        run(import.arg("import").args(arguments).arg(&file))
    }
}

fn line(code: &str, aliases: &[&str]) -> Value {
    let aliases: Vec<_> = aliases.iter().map(|code| json!({"shortCode": code})).collect();
    json!({"url": format!("https://e.test/{code}"), "customSlug": code, "aliases": aliases})
}

#[test]
fn m3_an_import_checks_aliases_as_codes() {
    let place = Place::new();
    assert_eq!(place.import(&[], &[line("old", &["older"])]).0, Some(0));
    let eleven: Vec<String> = (0..11).map(|n| format!("n{n}")).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    let back = json!({"url": format!("http://{HOST}/b"), "customSlug": "a", "aliases": [{"shortCode": "b"}]});
    let one = json!({"url": format!("http://{HOST}/two"), "customSlug": "one"});
    let two =
        json!({"url": format!("http://{HOST}/one"), "customSlug": "x", "aliases": [{"shortCode": "two"}]});
    let foreign = json!({"url": "https://e.test/", "aliases": [{"domain": "gone.test", "shortCode": "x"}]});
    let rows = [
        (
            "the alias of an earlier import",
            vec![line("x", &["older"])],
            1,
            "aliases: the short code \"older\"",
        ),
        ("the code of an earlier import", vec![line("x", &["old"])], 1, "aliases: the short code \"old\""),
        ("two lines", vec![line("x", &["b"]), line("y", &["b"])], 2, "aliases: the short code \"b\""),
        ("a code after an alias", vec![line("x", &["b"]), line("b", &[])], 2, "the short code \"b\""),
        (
            "an alias after a code",
            vec![line("b", &[]), line("x", &["b"])],
            2,
            "aliases: the short code \"b\"",
        ),
        ("too many", vec![line("x", &eleven)], 1, "aliases: must be at most 10"),
        ("a loop through its own alias", vec![back], 1, "must not lead back to this short link"),
        ("a loop through the alias of a line", vec![one, two], 2, "must not lead back to this short link"),
        ("a domain that is missing", vec![foreign], 1, "aliases: gone.test: is not a domain"),
    ];
    for (what, lines, number, error) in rows {
        for arguments in [&["--dry-run"][..], &["--dry-run", "--on-conflict", "fail"], &[]] {
            let before = Place::new();
            // Each on a copy: a real import keeps the lines before the wrong one.
            assert_eq!(before.import(&[], &[line("old", &["older"])]).0, Some(0));
            let (code, printed) = before.import(arguments, &lines);
            let want = format!("line {number}: ");
            let found = printed.contains(&want) && printed.contains(error);
            assert!(code == Some(1) && found, "{what} {arguments:?}: {printed}");
        }
    }
}

#[test]
fn m3_an_import_names_the_aliases_that_it_leaves_out() {
    let place = Place::new();
    assert_eq!(place.import(&[], &[line("old", &["older"])]).0, Some(0));
    // The own code, and one alias twice, are no conflict.
    let lines = [line("x", &["older", "b", "b", "x"]), line("old", &["c"])];
    for arguments in [&["--on-conflict", "skip", "--dry-run"][..], &["--on-conflict", "skip"]] {
        let (code, printed) = place.import(arguments, &lines);
        assert_eq!(code, Some(0), "{printed}");
        assert!(printed.contains("line 1: aliases: \"older\" is already in use, and left out"), "{printed}");
        assert!(printed.contains("skipped 1 whose short code is in use"), "{printed}");
    }
    let server = Plan::on(&place.data()).start();
    let mut visitor = server.visitor();
    for (path, to) in [("/x", "x"), ("/b", "x"), ("/older", "old")] {
        let to = format!("https://e.test/{to}");
        assert_eq!(visitor.get(path).header("location"), Some(to.as_str()), "{path}");
    }
    assert_eq!(visitor.get("/c").status, 404, "its line was skipped");
    server.stop();
}

#[test]
fn m3_aliases_move_with_their_link_to_another_domain() {
    let place = Place::new();
    let server = Plan::on(&place.data()).start();
    let kept = json!({"domain": "kept.test"});
    server.admin().post("/api/v1/domains", &kept).expect(201, "a domain");
    let printed = json!({"domain": "print.test", "caseSensitive": false});
    server.admin().post("/api/v1/domains", &printed).expect(201, "a domain");
    server.stop();
    let link = json!({
        "url": "https://e.test/", "domain": "gone.test", "customSlug": "New",
        "aliases": [
            {"domain": "gone.test", "shortCode": "Beside"}, {"domain": "lost.test", "shortCode": "lost"},
            {"domain": "kept.test", "shortCode": "kept"}, {"shortCode": "unnamed"},
        ],
    });
    let (code, printed) = place.import(&["--domain", "print.test"], &[link]);
    assert_eq!(code, Some(0), "{printed}");
    let server = Plan::on(&place.data()).start();
    for (host, path) in [
        ("print.test", "/new"),
        ("print.test", "/beside"),
        ("print.test", "/lost"),
        ("kept.test", "/kept"),
        ("print.test", "/unnamed"),
    ] {
        assert_eq!(server.visitor().at(host).get(path).status, 302, "{host}{path}");
    }
    let list = server.admin().get("/api/v1/links?domain=print.test").expect(200, "a list");
    let id = list["links"][0]["id"].as_str().expect("an id").to_owned();
    let shown = server.admin().get(&format!("/api/v1/links/{id}")).expect(200, "the link");
    // With the capitals of the file.
    assert_eq!(shown["link"]["aliases"][0]["shortUrl"], "https://print.test/Beside", "{shown}");
    server.stop();
}

#[test]
fn a_folder_of_another_user_is_a_problem_for_root() {
    if !geteuid().is_root() {
        not_tested("the data folder of another user: only root can make one");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    Plan::on(&data).start().stop();
    let all = |path: &Path| run(Command::new("chown").args(["-R", "65534"]).arg(path));
    assert_eq!(all(&data).0, Some(0));
    let (code, stdout, _) = Plan::on(&data).arg("doctor").fails();
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("sudo -u ") && stdout.contains("waypost doctor"), "{stdout}");
}
