//! The commands of the README and of `docs/` work as shown. The ```` ```console ```` blocks of one document
//! run in order, in one shell: with a fresh server, and with one server for all documents in the order in which
//! the README links them. The output must have the shape shown: ids and numbers may
//! differ, and `...` matches anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::TestApp;
use crate::support::process::{Plan, Process, not_tested};

/// A command of a document, with the output shown.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    command: String,
    output: Vec<String>,
}

fn parse(markdown: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let mut inside = false;
    // A backslash at the end of a line continues the command.
    let mut goes_on = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            inside = !inside && line == "```console";
        } else if !inside || (line.starts_with("# ") && !goes_on) {
            // A comment has a line of its own: not every shell ignores one behind a command.
        } else if let Some(command) = line.strip_prefix("$ ") {
            found.push(Shown { command: command.to_owned(), output: Vec::new() });
            goes_on = command.ends_with('\\');
        } else if let Some(last) = found.last_mut() {
            if goes_on {
                last.command.push('\n');
                last.command.push_str(line);
                goes_on = line.ends_with('\\');
            } else {
                last.output.push(line.to_owned());
            }
        }
    }
    found
}

/// Replaces ids and then numbers, which differ from run to run.
fn alike(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        if word.len() == 20 && word.bytes().any(|b| b.is_ascii_digit()) {
            out.push_str("ID");
        } else if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
            out.push('0');
        } else {
            out.push_str(&word);
        }
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// Whether a line matches the one shown; `...` matches anything.
fn fits(shown: &str, line: &str) -> bool {
    let (shown, line) = (alike(shown), alike(line));
    let mut pieces = shown.split("...").peekable();
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or("")) else { return false };
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty()
}

/// Checks that all lines shown occur in this order. The headers of `curl -i` may contain more lines in
/// between.
#[track_caller]
fn check(document: &str, shown: &Shown, output: &str) {
    let mut lines = output.lines().map(str::trim_end);
    for want in &shown.output {
        let found = lines.any(|line| fits(want, line));
        assert!(found, "{document}: $ {}\nshould show\n{want}\nbut showed\n{output}", shown.command);
    }
}

#[test]
fn blocks_and_shapes() {
    let markdown = "x\n```console\n# d\n$ a \\\n  b\nout\n# e\n$ c\n```\n$ no\n```sh\n$ no\n```\n";
    let want = [
        Shown { command: "a \\\n  b".to_owned(), output: vec!["out".to_owned()] },
        Shown { command: "c".to_owned(), output: vec![] },
    ];
    assert_eq!(parse(markdown), want);
    let rows = [
        ("a 5 b", "a 17 b", true),
        ("a 5 b", "a x b", false),
        ("{\"id\":\"0N88vwqp0EUhFT57aXBu\",...", "{\"id\":\"0N890htaFIDI4TsGqy4V\",\"x\":1}", true),
        ("a...z", "abcz", true),
        ("a...z", "abc", false),
        ("a", "ab", false),
        ("a...b...c", "a-b-c", true),
        ("a...b...c", "a-c", false),
    ];
    for (shown, line, want) in rows {
        assert_eq!(fits(shown, line), want, "{shown} {line}");
    }
}

/// The documents with commands, in the order in which a reader reads them.
const READING_ORDER: [&str; 14] = [
    "README.md",
    "links.md",
    "qr.md",
    "history.md",
    "api.md",
    "analytics.md",
    "privacy.md",
    "commands.md",
    "clients.md",
    "webhooks.md",
    "checks.md",
    "operating.md",
    "troubleshooting.md",
    "format.md",
];

/// Returns the README and all documents below `docs`.
pub(super) fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("the documents");
    let mut paths: Vec<PathBuf> = docs
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.push(root.join("README.md"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a document");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Returns the commands of each document that has some, and none if a tool is missing.
fn commands() -> Vec<(String, Vec<Shown>)> {
    for tool in ["curl", "sed", "xxd", "python3"] {
        if Command::new(tool).arg("--version").output().is_err() {
            not_tested(&format!("the commands of the documents: {tool} is not installed"));
            return Vec::new();
        }
    }
    let shown = documents()
        .into_iter()
        .map(|(path, text)| (path.file_name().expect("a file").to_string_lossy().into_owned(), parse(&text)));
    let documents: Vec<_> = shown.filter(|(_, shown)| !shown.is_empty()).collect();
    assert!(documents.iter().map(|(_, shown)| shown.len()).sum::<usize>() >= 40, "{documents:?}");
    documents
}

#[test]
fn every_command_does_what_its_document_shows() {
    for (name, shown) in commands() {
        let reader = Reader::start();
        reader.run(&name, &shown);
        reader.server.stop();
    }
}

/// A reader does not empty the store between two pages.
#[test]
fn the_documents_can_be_read_one_after_the_other() {
    let mut commands = commands();
    if commands.is_empty() {
        return;
    }
    let place = |name: &str| READING_ORDER.iter().position(|other| *other == name);
    commands.sort_by_key(|(name, _)| place(name).unwrap_or_else(|| panic!("{name} is not in READING_ORDER")));
    let reader = Reader::start();
    for (name, shown) in commands {
        reader.run(&name, &shown);
    }
    reader.server.stop();
}

/// A reader with a server of its own, and the folder where both work.
struct Reader {
    folder: TempDir,
    server: Process,
}

impl Reader {
    fn start() -> Reader {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::copy(root.join("config.example.toml"), folder.path().join("config.example.toml"))
            .expect("a copy");
        // Without a terminal, curl would print a progress meter.
        fs::write(folder.path().join(".curlrc"), "silent\nshow-error\n").expect("a small file");
        // Started without settings, as by a reader, except for the port, which may be in use here.
        let server = Plan::on(&folder.path().join("data"))
            .without("WAYPOST_ADMIN_KEY")
            .without("WAYPOST_PUBLIC_URL")
            .start();
        Reader { folder, server }
    }

    fn run(&self, document: &str, commands: &[Shown]) {
        run_document(document, commands, self.folder.path(), &self.server);
    }
}

fn run_document(document: &str, commands: &[Shown], folder: &Path, server: &Process) {
    let here = folder.display().to_string();
    let address = server.address().to_string();
    // Translates between the paths and addresses in the documents and those of this run.
    let shown = |text: &str| text.replace(&here, "/srv/waypost").replace(&address, "127.0.0.1:8080");
    let run = |text: &str| {
        text.replace("localhost:8080", &address)
            .replace("127.0.0.1:8080", &address)
            .replace("/tmp/", &format!("{here}/"))
    };

    let mut script = "set -u\n".to_owned();
    let mut ran = Vec::new();
    for command in commands {
        match command.command.as_str() {
            "cargo run --release" => check(document, command, &shown(&server.stdout())),
            // This very command is running.
            "cargo test" => {}
            text => {
                script.extend([&run(text), "\nprintf '\\n@@%s@@\\n' $?\n"]);
                ran.push(command);
            }
        }
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_waypost")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:{path}", binary.display()))
        .env("HOME", folder)
        // The commands that are clients find the server by its configuration.
        .env("WAYPOST_LISTEN", server.address().to_string())
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rest = output.as_str();
    for command in ran {
        let name = &command.command;
        let (said, behind) =
            rest.split_once("\n@@").unwrap_or_else(|| panic!("{document}: $ {name}: {rest}"));
        let (status, behind) = behind.split_once("@@\n").expect("the mark's end");
        assert_eq!(status, "0", "{document}: $ {name}\n{said}");
        check(document, command, &shown(&said.replace(&format!("{here}/waypost"), "/tmp/waypost")));
        rest = behind;
    }
}

/// The whole README fits the first look of a reader.
#[test]
fn the_readme_is_short() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let (lines, words) = (readme.lines().count(), readme.split_whitespace().count());
    assert!(lines <= 140 && words <= 1_100, "{lines} lines, {words} words");
}

/// Each link to a file of the repository resolves.
#[test]
fn links_between_documents_lead_somewhere() {
    for (path, text) in documents() {
        let folder = path.parent().expect("a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, _) = target.split_once('#').unwrap_or((target, ""));
            let is_file = !file.is_empty() && !file.contains("://");
            assert!(!is_file || folder.join(file).exists(), "{}: {target}", path.display());
        }
    }
}

/// Returns the rows of the table of options: names and example.
fn option_rows(links: &str) -> Vec<(Vec<&str>, &str)> {
    let rows = links.lines().skip_while(|line| !line.starts_with("| option | example |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with("| "));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        let names =
            cells[0].trim_start_matches("| ").split(", ").map(|name| name.trim_matches('`')).collect();
        (names, cells[1].trim_matches('`'))
    })
    .collect()
}

#[test]
fn every_option_has_an_example_that_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = fs::read_to_string(root.join("docs/links.md")).expect("the document");
    let rows = option_rows(&links);
    assert!(rows.len() > 10, "the table is there");
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut shown: Vec<&str> = Vec::new();
    for (names, example) in rows {
        let fields: Value = serde_json::from_str(&format!("{{{example}}}")).expect(example);
        let fields = fields.as_object().expect("fields");
        for name in &names {
            assert!(fields.contains_key(*name), "{name} is not in {example}");
        }
        let mut body = json!({"url": "https://example.com/"});
        body.as_object_mut().expect("an object").extend(fields.clone());
        admin.create(&body);
        shown.extend(names);
    }
    // Every field of a link that a caller can set is in the table.
    let link = admin.create(&json!({"url": "https://example.com/"}));
    let not_set = [
        "id",
        "shortCode",
        "shortUrl",
        "domain",
        "clickCount",
        "clicks30d",
        "lastClickAt",
        "createdAt",
        "updatedAt",
        "tags",
        "qrCode",
        "workspaceId",
        "rules",
        // Made by a rename.
        "aliases",
        "createdBy",
        "campaignId",
    ];
    let missing: Vec<_> = link
        .as_object()
        .expect("a link")
        .keys()
        .filter(|key| !shown.contains(&key.as_str()) && !not_set.contains(&key.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}
