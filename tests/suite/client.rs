//! `waypost link`, `key` and `domain`: the commands that are clients of a running server, with the built binary.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::{HOST, KEY};
use crate::support::http::text;
use crate::support::process::{PATIENCE, Plan, Process, command, not_tested, poll, unused_address};
use crate::support::tls::Authority;

/// A running server with its own `admin.key`, and the folder of its data.
struct Served {
    folder: TempDir,
    server: Process,
}

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Printed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Printed {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit code and a part of the error.
    #[track_caller]
    fn fails(&self, code: i32, part: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(part) && self.stdout.is_empty(), "{part}: {self:?}");
    }
}

impl Served {
    fn start() -> Served {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Plan::on(folder.path()).without("WAYPOST_ADMIN_KEY").start();
        Served { folder, server }
    }

    /// Returns a command with the configuration of the server.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut client = command();
        client
            .args(arguments)
            .env("WAYPOST_DATA_DIR", self.folder.path())
            .env("WAYPOST_LISTEN", self.server.address().to_string());
        client
    }

    fn run(&self, arguments: &[&str]) -> Printed {
        run(&mut self.command(arguments), "")
    }

    /// Creates a link and returns it.
    #[track_caller]
    fn create(&self, arguments: &[&str]) -> Value {
        self.run(&[&["link", "create"], arguments].concat()).json()["link"].clone()
    }

    /// Runs a command on a terminal of this width, with these keys typed.
    fn on_terminal(&self, arguments: &[&str], width: usize, typed: &str) -> Option<Printed> {
        on_terminal(&self.command(arguments), width, typed)
    }
}

/// Runs a command on a terminal of this width, with these keys typed.
fn on_terminal(client: &Command, width: usize, typed: &str) -> Option<Printed> {
    if Command::new("script").arg("--version").output().is_err() {
        not_tested("commands on a terminal: script is not installed");
        return None;
    }
    let words: Vec<_> = client.get_args().map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let line = format!("stty cols {width}; {} {}", env!("CARGO_BIN_EXE_waypost"), words.join(" "));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).env("TERM", "dumb");
    for (name, value) in client.get_envs() {
        if let Some(value) = value {
            terminal.env(name, value);
        }
    }
    let printed = run(&mut terminal, typed);
    Some(Printed { stdout: printed.stdout.replace('\r', ""), ..printed })
}

fn run(command: &mut Command, stdin: &str) -> Printed {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    // A command that reads nothing may have ended.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("the command ends");
    let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Printed { code: output.status.code(), stdout: read(&output.stdout), stderr: read(&output.stderr) }
}

#[test]
fn n14_links_from_the_command_line() {
    let served = Served::start();
    let made = served.create(&["https://e.test/spring", "spring", "--title", "Spring", "--max-clicks", "5"]);
    assert_eq!(
        (&made["shortCode"], &made["title"], &made["maxClicks"]),
        (&json!("spring"), &json!("Spring"), &json!(5))
    );
    let generated =
        served.create(&["https://e.test/2", "--expires", "2030-01-01", "--set", "forwardPath=true"]);
    assert_eq!(generated["expiresAt"].as_str().map(|at| &at[..10]), Some("2030-01-01"));
    assert_eq!(generated["forwardPath"], true);
    let soon = served.create(&["https://e.test/3", "--expires", "30d", "--set", "notes=a"]);
    assert!(soon["expiresAt"].is_string(), "{soon}");

    // The output is the answer of the API, to the byte.
    let key = fs::read_to_string(served.folder.path().join("admin.key")).expect("the key");
    let mut admin = served.server.visitor().with_key(key.trim());
    let shown = served.run(&["link", "show", "spring"]);
    assert_eq!(shown.stdout, admin.get("/api/v1/links/by-code/spring").text());
    let listed = served.run(&["link", "list", "--sort", "oldest", "--limit", "2", "--json"]);
    assert_eq!(listed.stdout, admin.get("/api/v1/links?sort=oldest&limit=2&page=1").text());
    let found = served.run(&["link", "ls", "--search", "spring"]).json();
    assert_eq!((&found["total"], &found["links"][0]["shortCode"]), (&json!(1), &json!("spring")));

    let changed =
        served.run(&["link", "edit", "spring", "--url", "https://e.test/summer", "--title", ""]).json();
    assert_eq!(
        (&changed["link"]["url"], &changed["link"]["title"], &changed["link"]["maxClicks"]),
        (&json!("https://e.test/summer"), &Value::Null, &json!(5))
    );
    let freed = served.run(&["link", "edit", "spring", "--max-clicks", "none", "--expires", "never"]).json();
    assert_eq!((&freed["link"]["maxClicks"], &freed["link"]["expiresAt"]), (&Value::Null, &Value::Null));
    let by_url = served.run(&["link", "show", text(&made, "shortUrl")]).json();
    assert_eq!(by_url["link"]["id"], made["id"]);
    assert_eq!(served.run(&["link", "open", "spring"]).stdout, format!("{}\n", text(&made, "shortUrl")));
    let gone = served.run(&["link", "delete", "spring", "--yes"]);
    assert_eq!(gone.stdout, "{\"success\":true}\n");
    served.run(&["link", "show", "spring"]).fails(1, "waypost: link not found");
    served.server.stop();
}

#[test]
fn n14_tags_are_named_and_passwords_are_not_arguments() {
    let served = Served::start();
    let created = served.run(&["link", "create", "https://e.test/", "a", "--tag", "Spring", "--tag", "news"]);
    assert_eq!(
        (created.code, created.stderr.as_str()),
        (Some(0), "created the tag \"Spring\"\ncreated the tag \"news\"\n")
    );
    let names = |printed: &Printed| {
        let answer: Value = serde_json::from_str(&printed.stdout).expect("an answer");
        let tags = answer["link"]["tags"].as_array().expect("tags").clone();
        let mut names: Vec<_> = tags.iter().map(|tag| text(&tag["tag"], "name").to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&created), ["Spring", "news"]);
    let edited = served.run(&["link", "edit", "a", "--untag", "news", "--tag", "spring"]);
    assert_eq!(names(&edited), ["Spring"], "a tag is found in any case");
    assert_eq!(served.run(&["link", "list", "--tag", "SPRING"]).json()["total"], 1);
    served.run(&["link", "list", "--tag", "none"]).fails(1, "there is no tag \"none\"; all tags: ");

    let protected =
        run(&mut served.command(&["link", "create", "https://e.test/", "b", "--password"]), "open sesame\n");
    assert_eq!(protected.json()["link"]["password"], "********");
    run(&mut served.command(&["link", "edit", "b", "--password"]), "\n").fails(2, "the password is empty");
    let opened = served.run(&["link", "edit", "b", "--no-password"]).json();
    assert_eq!(opened["link"]["password"], Value::Null);
    served.server.stop();
}

/// Edits at the same time lose nothing of each other.
#[test]
fn edits_of_one_link_at_the_same_time() {
    let served = Served::start();
    served.run(&["link", "create", "https://e.test/", "race", "--short"]);
    for code in ["b", "c", "d"] {
        served.run(&["link", "edit", "race", "--code", code, "--keep-old-code"]).json();
        served.run(&["link", "edit", code, "--code", "race", "--keep-old-code"]).json();
    }
    std::thread::scope(|scope| {
        for number in 0..6 {
            let served = &served;
            scope.spawn(move || {
                let tag = format!("r{number}");
                let edited = served.run(&["link", "edit", "race", "--tag", &tag, "--tag", "common"]);
                assert_eq!(edited.code, Some(0), "{edited:?}");
            });
        }
        for code in ["b", "c"] {
            let served = &served;
            scope.spawn(move || {
                let edited = served.run(&["link", "edit", "race", "--unalias", code]);
                assert_eq!(edited.code, Some(0), "{edited:?}");
            });
        }
    });
    let link = served.run(&["link", "show", "race"]).json()["link"].clone();
    let tags = link["tags"].as_array().expect("tags");
    let mut names: Vec<_> = tags.iter().map(|tag| text(&tag["tag"], "name")).collect();
    names.sort_unstable();
    assert_eq!(names, ["common", "r0", "r1", "r2", "r3", "r4", "r5"]);
    let aliases = link["aliases"].as_array().expect("aliases");
    let codes: Vec<_> = aliases.iter().map(|alias| text(alias, "shortCode")).collect();
    assert_eq!(codes, ["d"]);
    served.server.stop();
}

#[test]
fn n14_keys_and_domains_from_the_command_line() {
    let served = Served::start();
    let made = served.run(&[
        "key",
        "create",
        "Kim",
        "--scope",
        "links.write,snapshots.readonly",
        "--expires",
        "90d",
    ]);
    let key = made.json()["key"].clone();
    assert_eq!((&key["name"], &key["kind"]), (&json!("Kim"), &json!("workspace")));
    assert_eq!(key["scopes"].as_array().map(Vec::len), Some(2));
    let secret = text(&key, "secret");
    // The new key works, from the variable and from a file.
    let mut client = served.command(&["link", "create", "https://e.test/", "kim"]);
    assert_eq!(run(client.env("WAYPOST_KEY", secret), "").json()["link"]["shortCode"], "kim");
    let file = served.folder.path().join("kim.key");
    fs::write(&file, format!("{secret}\n")).expect("a small file");
    let file = file.display().to_string();
    served
        .run(&["key", "list", "--key-file", &file])
        .fails(1, "this key lacks the scope admin (the key is from /");
    assert_eq!(served.run(&["key", "list"]).json()["keys"].as_array().map(Vec::len), Some(2));
    served.run(&["key", "revoke", "Kim"]).fails(2, "give --yes");
    assert_eq!(served.run(&["key", "revoke", "Kim", "--yes"]).stdout, "{\"success\":true}\n");
    served
        .run(&["link", "list", "--key-file", &file])
        .fails(1, "the API key is unknown, revoked, expired or malformed");
    served.run(&["key", "revoke", "Kim", "--yes"]).fails(1, "there is no key \"Kim\"");
    served.run(&["key", "create", "k", "--scope", "all"]).fails(2, "links.readonly, links.write");
    served.run(&["key", "create", "k"]).fails(2, "--scope");

    assert_eq!(served.run(&["domain", "add", "go.e.test"]).json()["domain"]["domain"], "go.e.test");
    served.run(&["domain", "add", "go.e.test"]).fails(1, "HOST: is already in use");
    assert_eq!(served.run(&["domain", "list"]).json()["domains"].as_array().map(Vec::len), Some(2));
    served.create(&["https://e.test/", "there", "--domain", "go.e.test"]);
    let there = served.run(&["link", "show", "there", "--domain", "go.e.test"]).json();
    assert_eq!(there["link"]["domain"], "go.e.test");
    served.run(&["link", "show", "there"]).fails(1, "link not found");
    served.server.stop();
}

/// Exit code 1: the server refused. 2: the call is wrong. 3: no server answered.
#[test]
fn n14_errors_name_the_remedy() {
    let served = Served::start();
    served.create(&["https://e.test/", "a"]);
    let rows: &[(&[&str], i32, &str)] = &[
        (&["link", "create", "https://e.test/", "a"], 1, "CODE: \"a\" is already in use on this domain"),
        (&["link", "create", "nonsense"], 1, "waypost: URL: "),
        (
            &["link", "create", "https://e.test/", "--expires", "soon"],
            2,
            "a duration from now such as 30d, 12h, 1w, 6mo, 90min or 2d12h",
        ),
        (
            &["link", "create", "https://e.test/", "--max-clicks", "0"],
            2,
            "must be a whole number, 1 or more, or none",
        ),
        (
            &["link", "create", "b", "https://e.test/"],
            2,
            "the URL comes first: `waypost link create https://e.test/ b`",
        ),
        (&["link", "edit", "a", "--code", "a/b"], 1, "waypost: --code: must consist of"),
        (&["link", "edit", "a", "--keep-old-code"], 2, "--code <NEW>"),
        (
            &["link", "edit", "a", "--unalias", "z"],
            1,
            "\"z\" is no former code of http://go.test/a; its former codes: none",
        ),
        (&["link", "explain", "a", "--at", "soon"], 1, "waypost: --at: "),
        (
            &["key", "create", "k", "--scope", "metrics.readonly"],
            2,
            "--scope metrics.readonly needs --instance",
        ),
        (
            &["link", "create", "https://e.test/", "--max-clicks", "x"],
            2,
            "must be a whole number, 1 or more, or none",
        ),
        (&["link", "create", "https://e.test/", "--set", "x"], 2, "must be FIELD=VALUE"),
        (&["link", "create"], 2, "<URL>"),
        (&["link", "list", "--limit", "1000"], 1, "waypost: --limit: must be a whole number from 1 to 100"),
        (&["link", "list", "--sort", "x"], 2, "newest, oldest, clicks, clicks30d, lastClick, title"),
        (&["link", "edit", "a"], 2, "no option names what to change"),
        (&["link", "delete", "a"], 2, "give --yes"),
        (
            &["link", "delete", "none", "--yes"],
            1,
            "link not found: no link has the code \"none\" on the default domain of the server at http://127.0.0.1:",
        ),
        (&["link", "show", "https://go.test/"], 2, "is no short URL"),
        (&["link", "show", "a", "--domain", "none.test"], 1, "domain: is not a domain of this workspace"),
        (&["link", "list", "--workspace", "none"], 1, "workspace not found"),
        (
            &["link", "list", "--server", "go.test"],
            2,
            "must be scheme and host, such as https://go.example.com",
        ),
        // The key of this machine is not sent elsewhere.
        (&["link", "list", "--server", "https://192.0.2.1"], 2, "is not sent to another one"),
        (&["link", "list", "--key-file", "/nowhere/key"], 2, "there is no /nowhere/key"),
        (&["domain", "add", "a b"], 1, "HOST: must be a host name"),
    ];
    for (arguments, code, part) in rows {
        let printed = served.run(arguments);
        assert_eq!(printed.code, Some(*code), "{arguments:?}: {printed:?}");
        assert!(printed.stderr.contains(part) && printed.stdout.is_empty(), "{arguments:?}: {printed:?}");
    }

    // Another configuration on the same machine.
    let mut wrong = served.command(&["link", "list"]);
    run(wrong.env("WAYPOST_KEY", "wp_wrong"), "").fails(1, "(the key is from WAYPOST_KEY)");
    let mut elsewhere = served.command(&["link", "list"]);
    let free = unused_address().to_string();
    let refused = run(elsewhere.env("WAYPOST_LISTEN", &free), "");
    refused.fails(3, &format!("no server answers at http://{free}: start it with `waypost serve`"));
    let mut no_port = served.command(&["link", "list"]);
    run(no_port.env("WAYPOST_LISTEN", "127.0.0.1:0"), "").fails(2, "name it with --server URL");
    let named = format!("http://{}", served.server.address());
    assert_eq!(run(no_port.args(["--server", &named]), "").json()["total"], 1);

    // Before the first start there is no key, and no folder is created.
    let new = served.folder.path().join("new");
    let mut fresh = served.command(&["link", "list"]);
    run(fresh.env("WAYPOST_DATA_DIR", &new), "")
        .fails(2, "the first start of the server writes it (`waypost serve`)");
    assert!(!new.exists(), "a client creates nothing");
    served.server.stop();
}

/// A tag needs a request of its own. If the server refuses the link, the command deletes the tag again.
#[test]
fn a_refused_link_leaves_no_new_tag() {
    let served = Served::start();
    assert_eq!(served.run(&["link", "create", "https://e.test/", "a", "--tag", "old"]).code, Some(0));
    let never = ["--tag", "old", "--tag", "never"];
    let rules = served.folder.path().join("rules.json");
    fs::write(&rules, "[{}]").expect("a file");
    let rules = format!("rules=@{}", rules.display());
    let long = "x".repeat(300);
    let rows: &[(&[&str], &str)] = &[
        (&["link", "create", "https://e.test/", "b", "--set", &rules], "rules[0]: must have one of"),
        (&["link", "create", "https://e.test/", "a"], "already in use"),
        (&["link", "create", "nope"], "URL: must be an absolute URL"),
        (&["link", "create", "https://e.test/", "b", "--tag", &long], "must be at most"),
        (&["link", "edit", "a", "--url", "nope"], "--url: must be an absolute URL"),
        (&["link", "edit", "none", "--url", "https://e.test/2"], "link not found"),
    ];
    for (arguments, part) in rows {
        served.run(&[*arguments, &never].concat()).fails(1, part);
        served.run(&["link", "list", "--tag", "never"]).fails(1, "all tags: old\n");
    }
    // Without credits.
    let key = fs::read_to_string(served.folder.path().join("admin.key")).expect("the key");
    let mut admin = served.server.visitor().with_key(key.trim());
    let path = "/api/v1/workspaces";
    let workspace = admin.get(path).expect(200, "workspaces")["workspaces"][0]["id"].clone();
    let path = format!("{path}/{}", workspace.as_str().expect("an id"));
    admin.patch(&path, &json!({"credits": 0})).expect(200, "none left");
    let create = ["link", "create", "https://e.test/", "b"];
    served.run(&[&create[..], &never].concat()).fails(1, "the workspace has no credits left");
    served.run(&["link", "list", "--tag", "never"]).fails(1, "all tags: old\n");
    served.server.stop();
}

/// What the server would ignore, with a warning, is refused before anything is created.
#[test]
fn fields_that_a_link_has_not_are_refused() {
    let served = Served::start();
    served.create(&["https://e.test/", "a"]);
    let create = ["link", "create", "https://e.test/", "--tag", "never"];
    let rows = [
        ("slug=b", "--set slug: is no field that can be set; did you mean CODE?"),
        ("campaign=Spring", "did you mean --set campaignId=VALUE?"),
        ("utmsource=mail", "did you mean --set utmSource=VALUE?"),
        ("showDestination=true", "--set showDestination: is a field of domains"),
        ("tagIds=[]", "--set tagIds: another option or argument sets the same field"),
        ("url=https://e.test/2", "--set url: another option or argument sets the same field"),
        ("password=secret1", "--set password: other users of this machine see arguments"),
    ];
    for (set, part) in rows {
        served.run(&[&create[..], &["--set", set]].concat()).fails(2, part);
    }
    let edit = ["link", "edit", "a", "--set"];
    served.run(&[&edit[..], &["clickCount=0"]].concat()).fails(2, "--set clickCount: cannot be set");
    served.run(&[&edit[..], &["reuse=true"]].concat()).fails(2, "only `link create` has this field");
    served.run(&[&edit[..], &["tagIds=x"]].concat()).fails(1, "--set tagIds: must be an array of strings");
    served.run(&[&edit[..], &["password=null"]].concat()).json();
    assert_eq!(served.run(&["link", "list", "--search", "e.test"]).json()["total"], 1);
    served.run(&["link", "list", "--tag", "never"]).fails(1, "all tags: there is no tag");
    served.server.stop();
}

/// A server without HTTP is reached at its own address, under the name that its certificate has.
#[test]
fn a_server_with_https_alone_has_its_commands() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new();
    let files = authority.issue(folder.path(), &[HOST]);
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, authority.pem()).expect("a small file");
    let (data, address) = (folder.path().join("data"), unused_address().to_string());
    let pair = format!("[{{ chain = {:?}, key = {:?} }}]", files.chain, files.key);
    // Of registered domains. A public one would not be asked for names in .test.
    let private = format!("https://{}/dir", unused_address());
    let settings = [
        ("WAYPOST_HTTPS__AUTHORITY", private.as_str()),
        ("WAYPOST_DOMAIN", HOST),
        ("WAYPOST_LISTEN", "none"),
        ("WAYPOST_HTTPS__LISTEN", address.as_str()),
        ("WAYPOST_HTTPS__CERTIFICATES", pair.as_str()),
    ];
    let plan = Plan::on(&data).without("WAYPOST_PUBLIC_URL").without("WAYPOST_ADMIN_KEY").listen("none");
    let server = settings.iter().fold(plan, |plan, (name, value)| plan.env(name, value)).spawn();
    let banner =
        poll("the banner", PATIENCE, || Some(server.stdout()).filter(|text| text.contains("/api/docs")));
    let port = address.rsplit_once(':').expect("a port").1;
    let url = format!("https://{HOST}:{port}");
    for line in [
        format!("Waypost is listening on {url}\n"),
        format!("curl -X POST {url}/api/v1/links"),
        format!("link create https://example.com/ --server {url} --key-file "),
    ] {
        assert!(banner.contains(&line), "{line}: {banner}");
    }
    let client = |arguments: &[&str]| {
        let mut client = command();
        client.args(arguments).envs(settings).env("WAYPOST_DATA_DIR", &data);
        client
    };
    let trusting = |arguments: &[&str]| run(client(arguments).env("SSL_CERT_FILE", &roots), "");
    let created = trusting(&["link", "create", "https://e.test/", "a"]).json();
    assert_eq!(created["link"]["shortUrl"], format!("{url}/a"));
    let domains = trusting(&["domain", "list"]).json();
    assert_eq!(domains["domains"][0]["https"]["state"], "valid", "{domains}");
    let mut list = client(&["domain", "list"]);
    if let Some(listed) = on_terminal(list.env("SSL_CERT_FILE", &roots), 120, "") {
        assert!(listed.stdout.contains(" HTTPS ") && listed.stdout.contains(" valid "), "{listed:?}");
    }
    let mut add = client(&["domain", "add", "b.test"]);
    if let Some(added) = on_terminal(add.env("SSL_CERT_FILE", &roots), 120, "") {
        assert!(added.stdout.contains("Its certificate is requested then"), "{added:?}");
    }
    let not_trusted = run(&mut client(&["link", "list"]), "");
    not_trusted.fails(3, &format!("the certificate of the server at {url} ({address}) is not trusted here"));
    not_trusted.fails(3, "in the variable SSL_CERT_FILE");
    let mut other = client(&["link", "list"]);
    run(other.env("WAYPOST_DOMAIN", "other.test"), "").fails(3, "has no certificate for this name yet");
    server.stop();
}

/// A server that is no Waypost, or speaks another protocol.
#[test]
fn n14_another_server_is_named() {
    let rows: [(&str, &str); 4] = [
        (
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>",
            "it answered 502 Bad Gateway without JSON",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "it answered 200 OK without JSON"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "cannot reach the server at http://127.0.0.1"),
        ("", "cannot reach the server at http://127.0.0.1"),
    ];
    for (answer, part) in rows {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let _ = std::io::Read::read(&mut stream, &mut [0; 4_096]);
            let _ = stream.write_all(answer.as_bytes());
        });
        let mut client = command();
        client.args(["link", "list", "--server", &server]).env("WAYPOST_KEY", KEY);
        run(&mut client, "").fails(3, part);
        serving.join().expect("no panic");
    }
}

#[test]
fn n14_a_key_that_may_not_be_read() {
    let served = Served::start();
    let file = served.folder.path().join("secret.key");
    fs::write(&file, "wp_x").expect("a small file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("our file");
    if fs::read(&file).is_ok() {
        not_tested("a key of another user: this user reads every file");
        // A name that leads through a file is an error as well.
        let inside = file.join("x").display().to_string();
        served.run(&["link", "list", "--key-file", &inside]).fails(2, "cannot read ");
    } else {
        let shown = file.display().to_string();
        served.run(&["link", "list", "--key-file", &shown]).fails(2, "check its modes");
    }
    fs::write(served.folder.path().join("empty.key"), "\n").expect("a small file");
    let empty = served.folder.path().join("empty.key").display().to_string();
    served.run(&["link", "list", "--key-file", &empty]).fails(2, "contains no API key");
    served.server.stop();
}

#[test]
fn n14_a_terminal_shows_tables() {
    let served = Served::start();
    let long = format!("https://e.test/{}", "long/".repeat(40));
    served.create(&[&long, "spring", "--title", "T\u{202e}x"]);
    served.create(&["https://e.test/", "b"]);
    let Some(listed) = served.on_terminal(&["link", "list"], 70, "") else { return };
    let lines: Vec<_> = listed.stdout.lines().collect();
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(lines[0].starts_with("SHORT URL") && lines[0].contains("CLICKS"), "{listed:?}");
    assert!(lines[1].starts_with("http://go.test/b ") && lines[2].contains("..."), "{listed:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 70), "{listed:?}");
    assert!(!listed.stdout.contains('\u{202e}'), "a title controls no terminal: {listed:?}");

    let json = served.on_terminal(&["link", "list", "--json"], 70, "").expect("as before");
    assert!(json.stdout.starts_with("{\"links\":["), "{json:?}");
    let shown = served.on_terminal(&["link", "show", "b"], 70, "").expect("as before");
    assert!(
        shown.stdout.contains("short URL    http://go.test/b\ndestination  https://e.test/\n"),
        "{shown:?}"
    );
    let key = served.on_terminal(&["key", "create", "k", "--scope", "admin"], 70, "").expect("as before");
    assert!(key.stdout.contains("secret  wp_") && key.stdout.contains("not shown again"), "{key:?}");
    let keys = served.on_terminal(&["key", "list"], 120, "").expect("as before");
    assert!(keys.stdout.starts_with("NAME") && !keys.stdout.contains('{'), "{keys:?}");
    let domains = served.on_terminal(&["domain", "list"], 120, "").expect("as before");
    assert!(domains.stdout.starts_with("DOMAIN") && domains.stdout.contains("\ngo.test"), "{domains:?}");

    let kept = served.on_terminal(&["link", "delete", "b"], 70, "n\n").expect("as before");
    assert_eq!(kept.code, Some(1), "{kept:?}");
    assert!(
        kept.stdout.contains("Delete http://go.test/b, which leads to https://e.test/? `waypost link restore b` can bring it back. [y/N]"),
        "{kept:?}"
    );
    served.run(&["link", "show", "b"]).json();
    let gone = served.on_terminal(&["link", "delete", "b"], 70, "y\n").expect("as before");
    assert!(gone.code == Some(0) && gone.stdout.contains("deleted http://go.test/b"), "{gone:?}");
    served.run(&["link", "show", "b"]).fails(1, "link not found");
    served.server.stop();
}

/// Every command that lists or shows something prints its text into a pipe as well.
#[test]
fn tables_for_pipes() {
    let served = Served::start();
    let long = format!("https://e.test/{}", "long/".repeat(40));
    let code = "\u{6625}\u{306e}\u{30bb}\u{30fc}\u{30eb}";
    let link = served.create(&[&long, code]);
    served.create(&["https://e.test/", &format!("fair-{}", "z".repeat(60))]);
    served.create(&["https://e.test/", "gone"]);
    served.run(&["link", "edit", code, "--title", "T"]).json();
    served.run(&["link", "delete", "gone", "--yes"]).json();
    let share = served.run(&["share", "create", code]).json();
    let address = text(&share["share"], "shareLink");
    let key = served.run(&["key", "create", "Kim", "--scope", "links.write"]).json();
    let domains = served.run(&["domain", "list"]).json();
    let ids = [text(&key["key"], "id"), text(&domains["domains"][0], "id"), text(&link, "id")];
    let commands: [(&[&str], &str); 11] = [
        (&["link", "list"], "SHORT URL "),
        (&["link", "list", "--sort", "clicks"], "SHORT URL "),
        (&["link", "show", code], "short URL "),
        (&["link", "history", code], "REVISION "),
        (&["link", "explain", code], "short URL "),
        (&["link", "deleted"], "CODE "),
        (&["link", "edit", code, "--title", "T2"], "short URL "),
        (&["stats"], "clicks of "),
        (&["share", "list"], "ADDRESS "),
        (&["key", "list"], "NAME "),
        (&["domain", "list"], "DOMAIN "),
    ];
    for (arguments, start) in commands {
        let table = [arguments, &["--table"]].concat();
        // Without a terminal nothing is cut.
        let whole = served.run(&table);
        assert!(whole.code == Some(0) && whole.stdout.starts_with(start), "{arguments:?}: {whole:?}");
        let is_table = start.trim_end() == start.trim_end().to_uppercase();
        let is_cut = whole.stdout.contains("...");
        assert!(!is_cut, "{arguments:?}: {whole:?}");
        for width in ["40", "60", "80", "100"] {
            let narrow = run(served.command(&table).env("COLUMNS", width), "");
            let most: usize = width.parse().expect("a number");
            for line in narrow.stdout.lines().filter(|_| is_table) {
                let wide = line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
                let forced = line.split_whitespace().any(|word| ids.contains(&word) || word == address);
                assert!(wide <= most || forced, "{arguments:?}, {width}: {narrow:?}");
            }
            // Ids and addresses are there, and whole.
            let own = [("key", ids[0]), ("domain", ids[1]), ("share", address)];
            if let Some((_, id)) = own.iter().find(|(command, _)| *command == arguments[0]) {
                assert!(narrow.stdout.contains(id), "{arguments:?}, {width}: {narrow:?}");
            }
        }
        served.run(&[&table[..], &["--json"]].concat()).fails(2, "cannot be used with");
    }
    // Codes as they were typed, destinations without their scheme, and the numbers of all links.
    let listed =
        run(served.command(&["link", "list", "--sort", "clicks", "--table"]).env("COLUMNS", "100"), "");
    for part in [&format!("http://go.test/{code} "), "/fair-zzz", "CLICKS", "STATE", " e.test/long/"] {
        assert!(listed.stdout.contains(part), "{part}: {listed:?}");
    }
    let shown = served.run(&["link", "show", code, "--table"]);
    assert!(shown.stdout.contains(&format!("\ncode         {code}\n")), "{shown:?}");
    served.run(&["link", "create", "https://e.test/", "--short", "--table"]).fails(2, "cannot be used with");
    served.server.stop();
}

/// The last click is known by the quarter of an hour, and is not shown like a measured time.
#[test]
fn the_last_click_is_shown_as_it_is_known() {
    let served = Served::start();
    served.create(&["https://e.test/", "a"]);
    served.server.visitor().send("GET", "/a", &[], None);
    let shown = poll("the click", PATIENCE, || {
        let shown = served.run(&["link", "show", "a", "--table"]);
        shown.stdout.contains("last click").then_some(shown)
    });
    let line = shown.stdout.lines().find(|line| line.starts_with("last click")).expect("a line");
    let time = line.trim_start_matches("last click").trim();
    assert!(time.starts_with("about 20") && time.ends_with(" UTC") && time.len() == 26, "{line}");
    served.server.stop();
}

/// Help texts are no Markdown: `<https://...>` would be a redirection of the shell.
#[test]
fn help_can_be_pasted() {
    let commands = [
        "",
        "serve",
        "link",
        "link create",
        "link list",
        "link edit",
        "link explain",
        "link qr",
        "key create",
        "stats",
        "share create",
        "domain add",
        "export",
        "import",
        "verify",
        "backup",
        "doctor",
        "restore",
        "setup",
        "print",
    ];
    for command in commands {
        let mut words: Vec<_> = command.split_whitespace().collect();
        words.push("--help");
        let help = waypost(&words);
        assert!(help.code == Some(0) && !help.stdout.contains("<http"), "{command}: {}", help.stdout);
        let page = waypost(&[&["man"], &words[..words.len() - 1]].concat());
        assert!(page.code == Some(0) && !page.stdout.contains("<http"), "{command}");
    }
    let help = waypost(&["link", "create", "--help"]).stdout;
    assert!(help.contains("in the time zone of the workspace") && help.contains("of UTC"), "{help}");
}

#[test]
fn clicks_and_shares_from_the_command_line() {
    let served = Served::start();
    let link = served.create(&["https://e.test/", "a"]);
    let tagged = served.run(&["link", "create", "https://e.test/", "b", "--tag", "fair"]);
    assert_eq!(tagged.code, Some(0), "{tagged:?}");
    for path in ["/a", "/a", "/b"] {
        served.server.visitor().send("GET", path, &[("referer", "https://news.test/")], None);
    }
    poll("the clicks", PATIENCE, || {
        let answer = served.run(&["stats"]);
        (answer.code == Some(0) && answer.json()["total"]["clicks"] == 3).then_some(())
    });
    let of_link = served.run(&["stats", "go.test/a", "--by", "referrer", "--interval", "today"]).json();
    assert_eq!(of_link["analytics"], json!([{"referrer": "news.test", "clicks": 2, "visitors": 1}]));
    served.run(&["stats", "nothing"]).fails(1, "link not found");
    served.run(&["stats", "--by", "colour"]).fails(1, "--by: must be one or two different names");
    served.run(&["stats", "--interval", "1y"]).fails(1, "--interval: must be 24h");
    let share =
        served.run(&["share", "create", "a", "--expires", "90d", "--timezone", "Europe/Berlin"]).json();
    let (id, address) = (text(&share["share"], "id"), text(&share["share"], "shareLink"));
    assert_eq!((&share["share"]["linkId"], address), (&link["id"], &*format!("http://{HOST}/?share={id}")));
    let of_tag = served.run(&["share", "create", "--tag", "fair"]).json();
    assert!(of_tag["share"]["tagId"].is_string(), "{of_tag}");
    served.run(&["share", "create"]).fails(2, "CODE");
    served.run(&["share", "create", "--tag", "nothing"]).fails(1, "there is no tag \"nothing\"");
    served.run(&["share", "create", "a", "--expires", "never"]).fails(2, "a share has an end");
    served.run(&["share", "create", "a"]).json();
    served.run(&["share", "edit", id]).fails(2, "no option names what to change");
    let changed = served.run(&["share", "edit", address, "--timezone", "UTC"]).json();
    assert_eq!(changed["share"]["timezone"], "UTC");
    served
        .run(&["share", "edit", id, "--timezone", "Mars"])
        .fails(1, "--timezone: must be a name of the IANA database");
    let listed = served.run(&["share", "list"]).json();
    assert_eq!(listed["shares"].as_array().map(Vec::len), Some(3));
    served.run(&["share", "revoke", id, "--yes"]).json();
    served.run(&["share", "revoke", id, "--yes"]).fails(1, "share not found");
    served.run(&["share", "revoke", "a b"]).fails(2, "is no id of a share");
    // On a terminal, tables.
    let Some(shown) = served.on_terminal(&["stats", "a"], 80, "") else { return };
    for part in [
        "clicks of       http://go.test/a",
        "clicks          2",
        "REFERRER   CLICKS  VISITORS\nnews.test       2",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
    // Nobody knows the countries.
    assert!(!shown.stdout.contains("COUNTRY"), "{shown:?}");
    let all = served.on_terminal(&["stats"], 80, "").expect("as before");
    assert!(all.stdout.contains("clicks of       all links") && all.stdout.contains("SHORT URL"), "{all:?}");
    let shares = served.on_terminal(&["share", "list"], 60, "").expect("as before");
    assert!(shares.stdout.starts_with("ADDRESS"), "{shares:?}");
    let lost = served.on_terminal(&["link", "delete", "a"], 80, "n\n").expect("as before");
    assert!(
        lost.stdout
            .contains(", and its statistics of 2 clicks? `waypost link restore a` can bring it back. [y/N]"),
        "{lost:?}"
    );
    served.server.stop();
}

fn waypost(arguments: &[&str]) -> Printed {
    run(command().args(arguments), "")
}

#[test]
fn n14_completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = waypost(&["completions", shell]);
        assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""), "{shell}");
        let parts = ["waypost", "link", "max-clicks", "completions"];
        assert!(parts.iter().all(|part| script.stdout.contains(part)), "{shell}: {}", script.stdout);
    }
    // The shell that is here accepts its script.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("waypost.bash");
    fs::write(&script, waypost(&["completions", "bash"]).stdout).expect("a file");
    check_syntax("bash", &script);
    waypost(&["completions", "cmd"]).fails(2, "bash");

    let main = waypost(&["man"]).stdout;
    assert!(main.contains(".TH waypost") && main.contains("doctor"), "{main}");
    let create = waypost(&["man", "link", "create"]).stdout;
    assert!(create.contains(".TH waypost-link-create") && create.contains("max\\-clicks"), "{create}");
    waypost(&["man", "link", "creat"])
        .fails(2, "there is no command \"creat\"; commands: create, list, show");
}

fn check_syntax(shell: &str, script: &Path) {
    match Command::new(shell).arg("-n").arg(script).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => not_tested(&format!("the completions of {shell}: it is not installed")),
    }
}

#[test]
fn n14_the_command_that_was_meant_is_named() {
    assert_eq!(waypost(&["version"]).stdout, format!("waypost {}\n", env!("CARGO_PKG_VERSION")));
    let rows: &[(&[&str], &str)] = &[
        (&["create", "https://e.test/"], "`waypost link create URL`"),
        (&["stop"], "Ctrl-C or SIGTERM stops a server"),
        (&["restart"], "systemctl reload waypost"),
        (&["upgrade"], "then run `setup` of the new binary"),
        (&["domain", "rm", "x"], "the API changes and deletes domains"),
        (&["--config", "f", "doctor"], "`waypost doctor --config f`"),
        (&["link", "list", "spring"], "`waypost link list --search spring`"),
        (&["backp"], "'backup'"),
        (&["link", "create", "u", "--utm-source", "x"], "`--set utmSource=VALUE`"),
    ];
    for (arguments, meant) in rows {
        let printed = waypost(arguments);
        assert_eq!(printed.code, Some(2), "{arguments:?}: {printed:?}");
        let tips: Vec<_> = printed.stderr.lines().filter(|line| line.contains("tip:")).collect();
        assert!(tips.len() == 1 && tips[0].contains(meant), "{arguments:?}: {printed:?}");
        assert!(!printed.stderr.contains("restore"), "{arguments:?}: {tips:?}");
    }
}

#[test]
fn f21_a3_tags_keys_and_passwords_are_read_as_meant() {
    let served = Served::start();
    let made = served.run(&["link", "create", "https://e.test/", "one", "--tag", "Gr\u{f6}\u{df}e"]);
    assert!(made.code == Some(0) && made.stderr.contains("created the tag"), "{made:?}");
    for name in ["Gro\u{308}\u{df}e", "GR\u{d6}\u{df}E", "gr\u{f6}\u{df}e\u{200b}"] {
        let list = served.run(&["link", "list", "--tag", name]).json();
        assert_eq!(list["total"], 1, "{name:?}");
        served.run(&["link", "edit", "one", "--untag", name]).json();
        let edited = served.run(&["link", "edit", "one", "--tag", name]).json();
        assert_eq!(edited["link"]["tags"][0]["tag"]["name"], "Gr\u{f6}\u{df}e", "{name:?}");
    }
    let key = fs::read_to_string(served.folder.path().join("admin.key")).expect("the key");
    let file = served.folder.path().join("key");
    fs::write(&file, format!("\u{feff}{key}\r\n")).expect("a file");
    let path = file.to_str().expect("a path");
    served.run(&["link", "list", "--key-file", path]).json();
    let quoted = run(served.command(&["link", "list"]).env("WAYPOST_KEY", format!("\"{}\"", key.trim())), "");
    quoted.json();
    let mut command = served.command(&["link", "create", "https://e.test/", "locked", "--password"]);
    run(&mut command, "\u{feff}secret1\r\n").json();
    let mut visitor = served.server.visitor();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(visitor.send("POST", "/locked", &form, Some(b"password=secret1")).status, 303);
}

/// A former code is a part of a link: its deletion must not delete the link.
#[test]
fn a_former_code_does_not_delete_its_link() {
    let served = Served::start();
    served.create(&["https://e.test/", "old"]);
    let renamed = served.run(&["link", "edit", "old", "--code", "new", "--keep-old-code"]).json();
    assert_eq!(renamed["link"]["shortUrl"], "http://go.test/new");
    let refused =
        served.run(&["link", "delete", "old", "--yes", "--workspace", text(&renamed["link"], "workspaceId")]);
    refused.fails(
        2,
        "\"old\" is a former code of http://go.test/new, which leads to https://e.test/; nothing was deleted",
    );
    // Both commands of the message do what they say.
    let commands: Vec<_> = refused.stderr.split('`').skip(1).step_by(2).collect();
    let words = |line: &str| line.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>();
    let edited = words(commands[1]);
    assert_eq!(edited[..3], ["link", "edit", "--workspace"], "{commands:?}");
    let note = served.run(&["link", "edit", "old", "--title", "T"]);
    assert_eq!(
        (note.code, note.stderr.as_str()),
        (Some(0), "note: \"old\" is a former code of http://go.test/new, which was changed\n")
    );
    let freed = served.run(&edited.iter().map(String::as_str).collect::<Vec<_>>()).json();
    assert_eq!(freed["link"]["aliases"], json!([]));
    served.run(&["link", "show", "old"]).fails(1, "link not found");
    let deleted = [words(commands[0]), vec!["--yes".to_owned()]].concat();
    served.run(&deleted.iter().map(String::as_str).collect::<Vec<_>>()).json();
    served.run(&["link", "show", "new"]).fails(1, "link not found");
    served.server.stop();
}

/// The way back from a command: its history, undo, and the return of a deleted link.
#[test]
fn changes_are_shown_and_undone() {
    let served = Served::start();
    served.create(&["https://e.test/", "spring", "--title", "old"]);
    served.run(&["link", "edit", "spring", "--title", "new"]).json();
    let history = served.run(&["link", "history", "spring"]).json();
    assert_eq!(
        history["history"][0]["changes"],
        json!([{"field": "title", "before": "old", "after": "new"}])
    );
    let created = text(&history["history"][1], "revision").to_owned();
    assert_eq!(served.run(&["link", "undo", "spring"]).json()["link"]["title"], "old");
    assert_eq!(served.run(&["link", "undo", "spring"]).json()["link"]["title"], "new");
    assert_eq!(served.run(&["link", "undo", "spring", "--to", &created]).json()["link"]["title"], "old");
    served.run(&["link", "undo", "spring", "--to", "yesterday"]).fails(1, "revision not found");
    served.run(&["link", "history", "spring", "--limit", "0"]).fails(1, "waypost: --limit: ");
    if let Some(shown) = served.on_terminal(&["link", "history", "spring", "--limit", "2"], 200, "") {
        for part in ["REVISION", "undo", "admin", "  title: new -> old\n", "more: --cursor "] {
            assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
        }
    }
    served.run(&["link", "delete", "spring", "--yes"]).json();
    served.create(&["https://e.test/", "spring"]);
    let taken = served.run(&["link", "restore", "spring"]);
    taken.fails(
        1,
        "waypost: its code \"spring\" is in use by another link now: `waypost link restore spring --code NEW` gives",
    );
    served.run(&["link", "restore", "spring", "--code", "a/b"]).fails(1, "--code: must consist of");
    assert_eq!(served.run(&["link", "deleted"]).json()["links"][0]["shortCode"], "spring");
    let back = served.run(&["link", "restore", "go.test/spring", "--code", "autumn"]).json();
    assert_eq!((&back["link"]["shortCode"], &back["link"]["title"]), (&json!("autumn"), &json!("old")));
    served.run(&["link", "restore", "spring"]).fails(1, "no link with the code \"spring\" can be restored");
    served.server.stop();
}

/// A history in a terminal has each value whole, and the rules that changed alone.
#[test]
fn a_history_shows_whole_values_and_changed_rules() {
    let served = Served::start();
    let rules = r#"rules=[{"name":"iPhone","conditions":[{"field":"os","operator":"in","value":["iOS"]}],"url":"https://e.test/ios"},{"name":"test","variants":[{"name":"old","url":"https://e.test/old","weight":70},{"url":"https://e.test/new","weight":30}]}]"#;
    served.create(&["https://e.test/first/address", "ab", "--set", rules]);
    let listed = served.run(&["link", "list", "--table"]).stdout;
    assert!(listed.contains("2 rules, else e.test/first/address"), "{listed}");
    let second = "https://e.test/second/address";
    served.run(&["link", "edit", "ab", "--url", second]).json();
    // A file with the rules as the API shows them.
    let link = served.run(&["link", "show", "ab"]).json()["link"].clone();
    let mut won = link["rules"].clone();
    won[1]["winner"] = json!("old");
    let file = served.folder.path().join("rules.json").display().to_string();
    fs::write(&file, won.to_string()).expect("a small file");
    let edited = served.run(&["link", "edit", "ab", "--set", &format!("rules=@{file}")]).json();
    assert_eq!(
        (&edited["link"]["rules"][1]["winner"], &edited["link"]["rules"][1]["id"]),
        (&json!("old"), &json!(2))
    );
    let mut narrow = served.command(&["link", "history", "ab", "--table"]);
    let shown = run(narrow.env("COLUMNS", "100"), "").stdout;
    let split = "always: \"old\" (weight 70) https://e.test/old, variant 2 (weight 30) https://e.test/new";
    for part in [
        format!("\n  url: https://e.test/first/address -> {second}\n"),
        format!("\n  rule 2: \"test\" {split}\n         -> \"test\" {split}; winner \"old\"\n"),
    ] {
        assert!(shown.contains(&part), "{part}: {shown}");
    }
    assert!(!shown.contains("iPhone"), "a rule that is as before: {shown}");

    // An undo names what it undid, and the way further back.
    let history = served.run(&["link", "history", "ab"]).json();
    let created = text(&history["history"][2], "revision");
    let undone = served.run(&["link", "undo", "ab", "--table"]).stdout;
    for part in [
        "\n\nundone:\n  rule 2: \"test\" always: \"old\" (weight 70)",
        &format!("`waypost link undo ab --to {created}` undoes the change before it as well"),
        "`waypost link undo ab` takes this undo back",
    ] {
        assert!(undone.contains(part), "{part}: {undone}");
    }
    let further = served.run(&["link", "undo", "ab", "--to", created, "--table"]).stdout;
    assert!(further.contains(&format!("\n  url: {second} -> https://e.test/first/address\n")), "{further}");
    served
        .run(&["link", "undo", "ab", "--to", "x"])
        .fails(1, "`waypost link history ab` lists the revisions");
    served.create(&["https://e.test/", "new"]);
    served.run(&["link", "undo", "new"]).fails(1, "waypost: there is no change of this link");
    for (content, want) in [("{}", "must contain an array of rules"), ("[", "must contain JSON")] {
        fs::write(&file, content).expect("a small file");
        served.run(&["link", "edit", "ab", "--set", &format!("rules=@{file}")]).fails(2, want);
    }
    served
        .run(&["link", "edit", "ab", "--set", "rules=@/nowhere/x"])
        .fails(2, "--set rules=@/nowhere/x: No such file");
    served.server.stop();
}

/// The way back from a deletion or a rename is named.
#[test]
fn a_deleted_or_renamed_link_has_a_way_back() {
    let served = Served::start();
    let first = served.create(&["https://e.test/1", "a"]);
    served.server.visitor().send("GET", "/a?qr=1", &[], None);
    let deleted = served.run(&["link", "delete", "a", "--yes", "--table"]).stdout;
    assert!(
        deleted.starts_with("deleted http://go.test/a; `waypost link restore a` restores it until 20"),
        "{deleted}"
    );
    for command in ["show", "undo", "edit"] {
        let change: &[&str] = if command == "edit" { &["--title", "T"] } else { &[] };
        let gone = served.run(&[&["link", command, "a"], change].concat());
        gone.fails(1, "it was deleted at 20");
        gone.fails(1, "`waypost link restore a` restores it until 20");
    }
    // Two deleted links had the code: the one with clicks is the older one.
    let second = served.create(&["https://e.test/2", "a"]);
    served.run(&["link", "delete", "a", "--yes"]).json();
    let listed = served.run(&["link", "deleted", "--table"]).stdout;
    assert!(listed.contains(text(&first, "id")) && listed.contains(text(&second, "id")), "{listed}");
    let back = served.run(&["link", "restore", text(&first, "id")]).json();
    assert_eq!((&back["link"]["id"], &back["link"]["clickCount"]), (&first["id"], &json!(1)));
    served.run(&["link", "restore", text(&first, "id")]).fails(1, "waypost: CODE: is not deleted");
    served
        .run(&["link", "restore", "0N88vwqp0EUhFT57aXBu"])
        .fails(1, "can be restored; `waypost link deleted` lists");
    served.run(&["link", "delete", "a", "--yes"]).json();
    let newest = served.run(&["link", "restore", "a"]);
    assert!(
        newest.code == Some(0)
            && newest.stderr.starts_with("note: 1 older link with this code can be restored"),
        "{newest:?}"
    );
    // The code may be in print.
    let renamed = served.run(&["link", "edit", "a", "--code", "b"]);
    assert!(
        renamed.code == Some(0)
            && renamed.stderr.starts_with(
                "note: http://go.test/a has 1 click and no longer opens the link: `waypost link undo"
            )
            && renamed.stderr.contains("--keep-old-code keeps both"),
        "{renamed:?}"
    );
    for rename in
        [&["b", "--code", "c", "--keep-old-code"][..], &["c", "--code", "c"], &["c", "--title", "T"]]
    {
        served.run(&[&["link", "edit"], rename].concat()).json();
    }
    served.create(&["https://e.test/", "quiet"]);
    served.run(&["link", "edit", "quiet", "--code", "silent"]).json();
    served.server.stop();
}

/// The URL that a scanner shows is what its owner explains.
#[test]
fn a_pasted_url_is_explained_with_its_path_and_its_query() {
    let served = Served::start();
    let rules = r#"rules=[{"name":"print","conditions":[{"field":"trigger","operator":"equals","value":"qr"}],"url":"https://e.test/print"},{"name":"rest","enabled":false,"url":"https://e.test/rest"}]"#;
    served.create(&["https://e.test/", "fly", "--set", rules, "--set", "forwardPath=true"]);
    let location = |arguments: &[&str]| {
        let explained = served.run(&[&["link", "explain"], arguments].concat()).json();
        text(&explained["explain"], "location").to_owned()
    };
    let rows: [(&[&str], &str); 8] = [
        (&["fly"], "https://e.test/"),
        (&["http://go.test/fly?qr=1"], "https://e.test/print"),
        (&["fly?qr=1"], "https://e.test/print"),
        (&["fly", "--trigger", "qr"], "https://e.test/print"),
        (&["fly", "--trigger", "qr", "--query", "a=1"], "https://e.test/print"),
        (&["fly?qr=1", "--trigger", "link"], "https://e.test/"),
        (&["go.test/fly/x/y"], "https://e.test/x/y"),
        (&["http://go.test/fly/x?qr=1"], "https://e.test/print/x"),
    ];
    for (arguments, want) in rows {
        assert_eq!(location(arguments), want, "{arguments:?}");
    }
    served
        .run(&["link", "explain", "fly?a=1", "--query", "b=1"])
        .fails(2, "--query: CODE has one already, \"a=1\"");
    served.run(&["link", "explain", "go.test/fly/x", "--path", "y"]).fails(2, "--path: CODE has one already");
    let table = |name: &str| {
        let shown = served.run(&["link", "explain", name, "--table"]).stdout;
        let cells = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        shown.lines().map(cells).collect::<Vec<_>>()
    };
    let (scanned, typed) = (table("fly?qr=1"), table("fly"));
    let rows = [
        (
            &scanned,
            "rule 1 \"print\" holds trigger equals qr: yes (qr); the destination is https://e.test/print",
        ),
        (&scanned, "rule 2 \"rest\" skipped the first rule that holds decides"),
        (&typed, "rule 1 \"print\" does not hold trigger equals qr: no (link)"),
        (&typed, "rule 2 \"rest\" skipped is switched off"),
    ];
    for (shown, want) in rows {
        assert!(shown.iter().any(|line| line == want), "{want}: {shown:#?}");
    }
    let mixed = served.run(&["stats", "--by", "variant"]);
    assert!(mixed.code == Some(0) && mixed.stderr.contains("each link numbers its rules"), "{mixed:?}");
    served.run(&["stats", "fly", "--by", "variant"]).json();
    served.server.stop();
}

#[test]
fn links_are_explained_and_named_as_people_type_them() {
    let served = Served::start();
    served.create(&["https://e.test/", "p2", "--set", "blockBots=true", "--set", "notes=123"]);
    let explained = served.run(&["link", "explain", "p2", "--ua", "Googlebot/2.1"]).json();
    assert_eq!(
        (&explained["explain"]["outcome"], &explained["explain"]["status"]),
        (&json!("blocked"), &json!(403))
    );
    for name in ["p2", "/p2", "p2/", "localhost:1/p2", "go.test/p2", "http://go.test/p2?x"] {
        let shown = served.run(&["link", "show", name]).json();
        assert_eq!(
            (&shown["link"]["shortCode"], &shown["link"]["notes"]),
            (&json!("p2"), &json!("123")),
            "{name}"
        );
    }
    let short = served.run(&["link", "create", "https://e.test/", "s", "--short"]);
    assert_eq!((short.code, short.stdout.as_str()), (Some(0), "http://go.test/s\n"));
    let past = served.run(&["link", "create", "https://e.test/", "past", "--expires", "2020-01-01"]);
    assert_eq!(
        (past.code, past.stderr.as_str()),
        (Some(0), "warning: --expires 2020-01-01 is in the past\n")
    );
    let later = served.create(&["https://e.test/", "--expires", "1w2d"]);
    assert!(later["expiresAt"].is_string(), "{later}");
    // A month for one person and a minute for another.
    for command in [["link", "create", "https://e.test/"], ["link", "edit", "p2"], ["share", "create", "p2"]]
    {
        served
            .run(&[&command[..], &["--expires", "1m"]].concat())
            .fails(2, "1m may mean minutes or months: write 1min or 1mo");
    }
    served.run(&["key", "create", "k", "--scope", "admin", "--expires", "1m"]).fails(2, "write 1min or 1mo");
    let month = served.create(&["https://e.test/", "--expires", "1mo"]);
    assert!(text(&month, "expiresAt") > text(&later, "expiresAt"), "{month}");
    // A short URL in place of the code, as in all other commands.
    served.run(&["domain", "add", "shop.test"]).json();
    let there = served.create(&["https://e.test/", "shop.test/q3"]);
    assert_eq!((&there["domain"], &there["shortCode"]), (&json!("shop.test"), &json!("q3")));
    assert_eq!(served.create(&["https://e.test/", "http://go.test/q4"])["shortUrl"], "http://go.test/q4");
    served
        .run(&["link", "create", "https://e.test/", "shop.test/q5", "--domain", "go.test"])
        .fails(2, "CODE is on shop.test, and --domain is go.test");
    served.run(&["link", "create", "https://e.test/", "a/b"]).fails(1, "CODE: must consist of letters");

    // A suggested command keeps the options that matter.
    let file = served.folder.path().join("a config.toml");
    fs::write(&file, "").expect("a small file");
    let file = file.display().to_string();
    let missing = served.run(&["link", "show", "none", "--config", &file]);
    missing.fails(1, &format!("`waypost link list --config '{file}'` lists all links"));
    served.server.stop();
}

#[test]
fn a_list_on_a_terminal_shows_states_and_the_next_page() {
    let served = Served::start();
    let Some(empty) = served.on_terminal(&["link", "list"], 100, "") else { return };
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), "0 links\n"), "{empty:?}");
    served.create(&["https://e.test/", "off", "--set", "isActive=false"]);
    served.create(&["https://e.test/", "later", "--set", "validSince=2100-01-01"]);
    served.run(&["link", "create", "https://e.test/", "past", "--expires", "2020-01-01"]);
    served.create(&["https://e.test/", "on"]);
    let listed = served.on_terminal(&["link", "list"], 100, "").expect("as before");
    let rows: Vec<Vec<&str>> = listed.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let states: Vec<_> = rows
        .iter()
        .map(|row| row.get(2).map_or("", |_| row[if row[0] == "SHORT" { 2 } else { 1 }]))
        .collect();
    assert_eq!(states, ["STATE", "live", "expired", "scheduled", "inactive"], "{listed:?}");
    let paged = served.on_terminal(&["link", "list", "--limit", "2"], 100, "").expect("as before");
    assert!(paged.stdout.ends_with("4 links; page 1 of 2: --page 2 shows the next one\n"), "{paged:?}");
    let behind =
        served.on_terminal(&["link", "list", "--limit", "2", "--page", "9"], 100, "").expect("as before");
    assert_eq!(behind.stdout, "4 links; there is no page 9: the last one is --page 2\n");

    served.run(&["link", "edit", "on", "--code", "on2", "--keep-old-code"]).json();
    let shown = served.on_terminal(&["link", "show", "on2"], 100, "").expect("as before");
    assert!(
        shown.stdout.contains("aliases      http://go.test/on\n")
            && shown.stdout.contains("state        live\n"),
        "{shown:?}"
    );
    let explained = served.on_terminal(&["link", "explain", "on2"], 100, "").expect("as before");
    assert!(
        explained.stdout.contains("outcome            redirect\n") && explained.stdout.contains("RULE"),
        "{explained:?}"
    );
    // Typed twice, and not shown.
    let create = ["link", "create", "https://e.test/", "p", "--password"];
    let differ = served.on_terminal(&create, 100, "one\ntwo\n").expect("as before");
    assert!(
        differ.code == Some(2) && differ.stdout.contains("the two passwords differ; nothing was changed"),
        "{differ:?}"
    );
    let same = served.on_terminal(&create, 100, "one\none\n").expect("as before");
    assert!(same.code == Some(0) && same.stdout.contains("********"), "{same:?}");
    served.server.stop();
}

#[test]
fn the_server_and_the_key_are_named_by_variables() {
    let served = Served::start();
    let key = served.folder.path().join("admin.key").display().to_string();
    let server = format!("http://{}", served.server.address());
    let list = |variables: &[(&str, &str)]| {
        let mut client = command();
        client.args(["link", "list"]).env_remove("WAYPOST_ADMIN_KEY").current_dir(served.folder.path());
        run(client.envs(variables.iter().copied()), "")
    };
    list(&[("WAYPOST_SERVER", &server), ("WAYPOST_KEY_FILE", &key)]).json();
    list(&[("WAYPOST_SERVER", "go.test")])
        .fails(2, "environment variable WAYPOST_SERVER: must be scheme and host");
    let secure = server.replacen("http:", "https:", 1);
    list(&[("WAYPOST_SERVER", &secure), ("WAYPOST_KEY_FILE", &key)])
        .fails(3, &format!("speaks HTTP without TLS: name it with --server {server}"));
    list(&[("WAYPOST_KEY_FILE", "/no/such/file")])
        .fails(2, "there is no /no/such/file, which WAYPOST_KEY_FILE names");
    served
        .run(&["link", "list", "--key-file", "/no/such/file"])
        .fails(2, "/no/such/file, which --key-file names: it is a file with an API key alone");
    // A lost key is no first start.
    fs::remove_file(&key).expect("our file");
    let lost = served.run(&["link", "list"]);
    lost.fails(2, "a server has used this data folder: name a key with --key-file");
    assert!(
        lost.stderr.contains("start the server once with WAYPOST_ADMIN_KEY=SECRET")
            && !lost.stderr.contains("first start"),
        "{lost:?}"
    );
    fs::write(&key, "wp_another").expect("our file");
    served.run(&["link", "list"]).fails(1, "It is no key of this server. If the key is lost, start");
    // The server runs with these variables.
    served.server.stop();
    Plan::on(served.folder.path()).env("WAYPOST_SERVER", &server).start().stop();
}

#[test]
fn manual_pages_have_the_usual_sections() {
    let page = waypost(&["man", "link", "create"]).stdout;
    for part in [
        ".SH EXAMPLES",
        ".SH \"FILES\"",
        ".SH \"ENVIRONMENT\"",
        ".SH \"EXIT STATUS\"",
        "WAYPOST_KEY_FILE",
        "\\-\\-expires 1w",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let help = waypost(&["key", "create", "--help"]).stdout;
    assert!(help.contains("metrics.readonly") && help.contains("snapshots.write"), "{help}");
}

#[test]
fn a_code_is_printed_or_written() {
    let served = Served::start();
    served.create(&["https://e.test/", "poster"]);
    let printed = served.run(&["link", "qr", "poster"]);
    // A file of characters is no picture.
    assert!(printed.code == Some(0) && printed.stderr.contains("--output - prints one\n"), "{printed:?}");
    let picture = served.run(&["link", "qr", "poster", "-o", "-"]);
    assert!(picture.stdout.starts_with("<svg ") && picture.stderr.is_empty(), "{picture:?}");
    let picture = served.run(&["link", "qr", "poster", "-o", "-", "--format", "png", "--margin", "1"]);
    assert!(
        picture.stdout.contains("PNG") && picture.stderr.contains("margin is less than 4"),
        "{picture:?}"
    );
    served
        .run(&["link", "qr", "poster", "-o", "-", "--format", "gif"])
        .fails(2, "--format: must be svg or png");
    let lines: Vec<&str> = printed.stdout.lines().collect();
    // 25 modules and the margin, two in a line; then the text of the code.
    assert_eq!((lines.len(), lines.last()), (17 + 1, Some(&"http://go.test/poster?qr=1")));
    assert!(lines[..17].iter().all(|line| line.chars().count() == 33), "{printed:?}");
    let narrow = served.run(&["link", "qr", "poster", "--json", "--margin", "0"]);
    assert_eq!(
        narrow.stderr,
        "warning: --margin 0: scanners need 4, unless the page around the code has its background\n"
    );
    let json: Value = serde_json::from_str(&narrow.stdout).expect("JSON");
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(13));
    let file = |name: &str| served.folder.path().join(name);
    for (name, start) in [("a.svg", &b"<svg "[..]), ("a.png", &b"\x89PNG"[..])] {
        let path = file(name).display().to_string();
        let written = served
            .run(&["link", "qr", "poster", "--output", &path, "--size", "300", "--fg", "#1a237e"])
            .json();
        let bytes = fs::read(&path).expect("a file");
        assert!(bytes.starts_with(start), "{name}");
        assert_eq!((&written["file"], &written["bytes"]), (&json!(path), &json!(bytes.len())));
    }
    // A picture is no secret: its mode is that of the umask, and an old file keeps its own.
    for (mask, name, want) in [("022", "c.svg", 0o644), ("027", "d.svg", 0o640), ("022", "d.svg", 0o640)] {
        let path = file(name);
        let qr = served.command(&["link", "qr", "poster", "-o", &path.display().to_string()]);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("umask {mask}; exec \"$@\""), "sh"])
            .arg(qr.get_program())
            .args(qr.get_args());
        shell.envs(qr.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let written = run(&mut shell, "");
        assert_eq!(written.code, Some(0), "{written:?}");
        let mode = fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, want, "{mask} {name}");
    }
    let key = fs::read_to_string(served.folder.path().join("admin.key")).expect("the key");
    let mut admin = served.server.visitor().with_key(key.trim());
    let png = file("e.png").display().to_string();
    served.run(&["link", "qr", "poster", "-o", &png]).json();
    let logo = br#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="4"/></svg>"#;
    let there = "/api/v1/domains/00000000000000000000/qr-logo";
    admin.send("PUT", there, &[], Some(logo)).expect(200, "a logo");
    let written = served.run(&["link", "qr", "poster", "-o", &png]);
    assert!(
        written.code == Some(0) && written.stderr.starts_with("note: a PNG has no logo: "),
        "{written:?}"
    );
    served.run(&["link", "qr", "poster", "-o", &png, "--no-logo"]).json();
    let path = file("b.png").display().to_string();
    let rows: [(&[&str], i32, &str); 7] = [
        (&["none"], 1, "link not found"),
        (&["poster", "--output", "code.gif"], 2, "--output: code.gif must end in .svg or .png"),
        (&["poster", "--output", &path, "--fg", "eee"], 1, "--fg: has too little contrast to bg"),
        (&["poster", "--output", &path, "--size", "9999"], 1, "--size: must be from 32 to 2048"),
        (&["poster", "--size", "300"], 2, "--output <FILE>"),
        (&["poster", "--level", "X"], 2, "--level: must be auto, L, M, Q or H"),
        (&["poster", "--output", "/nowhere/a.svg"], 1, "cannot write /nowhere/a.svg"),
    ];
    for (arguments, code, part) in rows {
        served.run(&[&["link", "qr"], arguments].concat()).fails(code, part);
    }
    assert!(!file("b.png").exists());
    if let Some(shown) = served.on_terminal(&["link", "qr", "poster"], 100, "") {
        assert!(shown.stdout.contains("\x1b[38;5;16;48;5;231m    "), "{shown:?}");
        let narrow = served.on_terminal(&["link", "qr", "poster"], 30, "").expect("as before");
        assert!(
            narrow.code == Some(1) && narrow.stdout.contains("needs 33 columns, and the terminal has 30"),
            "{narrow:?}"
        );
    }
    served.server.stop();
}
