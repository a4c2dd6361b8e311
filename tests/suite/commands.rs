//! What a newcomer types: commands on files and data folders say what they did, and lead to the next command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::{Plan, command};

/// A folder of its own, with a data folder that need not exist.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.at(name), text).expect("a small file");
        self.at(name).display().to_string()
    }

    /// Runs a command on the data folder. Returns the exit code and everything that it printed.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        ended(command().args(arguments).env("WAYPOST_DATA_DIR", self.at("data")))
    }

    /// Runs a command line in a shell in which `waypost` is the built binary.
    fn shell(&self, line: &str) -> (Option<i32>, String) {
        let binary = Path::new(env!("CARGO_BIN_EXE_waypost"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", binary.parent().expect("a folder").display());
        let mut shell = Command::new("sh");
        ended(shell.args(["-c", line]).env("PATH", path).env("WAYPOST_DATA_DIR", self.at("data")))
    }

    /// Returns the destinations of all links, sorted.
    fn links(&self) -> Vec<String> {
        let (code, lines) = self.run(&["export"]);
        assert_eq!(code, Some(0), "{lines}");
        let lines = lines.lines().filter(|line| line.starts_with('{'));
        let url = |line| {
            let link: Value = serde_json::from_str(line).expect("a line of JSON");
            link["url"].as_str().expect("a destination").to_owned()
        };
        let mut urls: Vec<_> = lines.map(url).collect();
        urls.sort();
        urls
    }
}

fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().expect("the command runs");
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), printed.concat())
}

/// A line that is refused or skipped leaves neither a tag nor a campaign.
#[test]
fn a_line_without_a_link_leaves_no_tag_and_no_campaign() {
    let line = |code: &str, url: &str, name: &str| {
        let tag = json!({"tag": {"name": name}});
        json!({"url": url, "customSlug": code, "tags": [tag], "campaignId": "new"}).to_string()
    };
    let rows = [
        (line("taken", "https://e.test/", "new"), Some(0), "skipped 1 whose"),
        (line("b", "nope", "new"), Some(1), "url: must be"),
        (line("b", "http://localhost:8080/b", "new"), Some(1), "url: "),
        (line("b", "https://e.test/", &"x".repeat(300)), Some(1), "must be at most"),
    ];
    for (second, code, part) in rows {
        let place = Place::new();
        let first =
            json!({"url": "https://e.test/", "customSlug": "taken", "tags": [{"tag": {"name": "old"}}]});
        let file = place.write("links.jsonl", &format!("{first}\n{second}\n"));
        let (ended, printed) = place.run(&["import", "--on-conflict", "skip", &file]);
        assert!(ended == code && printed.contains(part), "{second}: {printed}");
        let server = Plan::on(&place.at("data")).start();
        let mut admin = server.admin();
        let names = |kind: &str, list: Value| {
            let all = list[kind].as_array().expect("a list").clone();
            all.iter().map(|one| one["name"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("tags", admin.get("/api/v1/tags").expect(200, "tags")), ["old"], "{second}");
        let campaigns = names("campaigns", admin.get("/api/v1/campaigns").expect(200, "campaigns"));
        assert!(campaigns.is_empty(), "{second}: {campaigns:?}");
        server.stop();
    }
}

/// A second import of the lines before a bad one created links without a code again, as the message advised.
#[test]
fn an_import_that_stopped_is_continued_without_duplicates() {
    let line = |number: u32| json!({"url": format!("https://e.test/{number}")}).to_string();
    for (bad, why) in [
        ("nonsense".to_owned(), "line 3: it is not valid JSON: expected ident at column 2"),
        (json!({"url": "nonsense"}).to_string(), "line 3: url: "),
    ] {
        let place = Place::new();
        let text = |third: &str| format!("{}\n{}\n{third}\n\n{}\n", line(1), line(2), line(4));
        let file = place.write("the links.jsonl", &text(&bad));
        let (code, printed) = place.run(&["import", "--on-conflict", "skip", &file]);
        assert!(code == Some(1) && printed.contains(why), "{printed}");
        assert!(printed.contains("imported 2 links of the lines before line 3 into "), "{printed}");
        let next = printed.lines().last().expect("a command").trim();
        assert_eq!(next, format!("tail -n +3 '{file}' | waypost import --on-conflict skip -"));
        // Corrected, the command that was printed imports the rest, and nothing twice.
        place.write("the links.jsonl", &text(&line(3)));
        let (code, printed) = place.shell(next);
        assert!(code == Some(0) && printed.contains("imported 2 links into "), "{printed}");
        assert_eq!(place.links(), [1, 2, 3, 4].map(|number| format!("https://e.test/{number}")));
    }
}

#[test]
fn an_import_that_stopped_at_once_is_repeated() {
    let place = Place::new();
    let taken = "{\"url\":\"https://e.test/\",\"customSlug\":\"a\"}\n";
    let file = place.write("links.jsonl", taken);
    assert_eq!(place.run(&["import", &file]).0, Some(0));
    let (code, printed) = place.run(&["import", &file]);
    assert!(
        code == Some(1) && printed.contains("add --on-conflict skip\nnothing was imported into "),
        "{printed}"
    );
    assert!(!printed.contains("tail") && !printed.contains("durable"), "{printed}");
    assert!(place.run(&["import", "--on-conflict", "skip", &file]).1.contains("skipped 1 whose"));
}

/// A field under another name was dropped without a word: `slug` gave a generated code.
#[test]
fn an_import_names_the_fields_that_it_ignores() {
    let place = Place::new();
    let one = |code: &str| json!({"url": "https://e.test/", "slug": code}).to_string();
    let file = place
        .write("links.jsonl", &format!("{}\n{}\n{}\n", "{\"url\":\"https://e.test/\"}", one("a"), one("b")));
    let first = "warning: line 2: slug: is no field of a link, and is ignored; did you mean customSlug?\n";
    for arguments in [&["import", "--dry-run", &file][..], &["import", &file]] {
        let (code, printed) = place.run(arguments);
        assert_eq!((code, printed.matches(first).count()), (Some(0), 1), "{printed}");
        assert!(printed.contains("warning: ignored slug in 2 lines\n"), "{printed}");
    }
    // A line cannot stand for a link that is there.
    let file = place.write("reuse.jsonl", "{\"url\":\"https://e.test/\",\"reuse\":true}\n");
    let (code, printed) = place.run(&["import", "--dry-run", &file]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("warning: line 1: reuse: is no field of a link, and is ignored\n"), "{printed}");
    // An export has no unknown field.
    let exported = place.at("exported.jsonl").display().to_string();
    assert_eq!(place.run(&["export", "--output", &exported]).0, Some(0));
    let (code, printed) = place.run(&["import", "--dry-run", "--on-conflict", "skip", &exported]);
    assert!(code == Some(0) && !printed.contains("warning"), "{printed}");
}

/// A restore without `--config` went into `./data` and did not name it.
#[test]
fn a_restore_names_its_folder_and_its_links() {
    let place = Place::new();
    let file = place.write("links.jsonl", "{\"url\":\"https://e.test/1\"}\n{\"url\":\"https://e.test/2\"}\n");
    assert_eq!(place.run(&["import", &file]).0, Some(0));
    let copy = place.at("copy").display().to_string();
    assert_eq!(place.run(&["backup", &copy]).0, Some(0));
    let new = place.at("new");
    let mut restore = command();
    restore.args(["restore", &copy]).env_remove("WAYPOST_DATA_DIR");
    let (code, printed) = ended(restore.args(["--data-dir", "new"]).current_dir(place.folder.path()));
    let want = format!("and 2 links into the new data folder {}\n", new.display());
    assert!(code == Some(0) && printed.ends_with(&want), "{printed}");
    let (code, printed) = place.run(&["restore", "--replace", &copy]);
    let want =
        format!("and 2 links into {}, in place of another log; what was there", place.at("data").display());
    assert!(code == Some(0) && printed.contains(&want), "{printed}");
    Plan::on(&new).start().stop();
}

#[test]
fn a_backup_into_the_data_folder_is_refused() {
    let place = Place::new();
    let file = place.write("links.jsonl", "{\"url\":\"https://e.test/1\"}\n");
    assert_eq!(place.run(&["import", &file]).0, Some(0));
    for name in ["data/copy", "data/log/copy", "data"] {
        let (code, printed) = place.run(&["backup", &place.at(name).display().to_string()]);
        assert!(code == Some(1) && printed.contains(" is in the data folder "), "{name}: {printed}");
        assert!(!place.at("data/copy").exists() && !place.at("data/log/copy").exists());
    }
}

#[test]
fn doctor_names_what_overrides_the_configuration() {
    let place = Place::new();
    let file = place.write("w.toml", "data_dir = \"data\"\n");
    let mut doctor = command();
    doctor.args(["doctor", "--config", &file]);
    let (_, printed) = ended(&mut doctor);
    assert!(
        printed.contains(&format!("ok       configuration: {file}: every value is allowed\n")),
        "{printed}"
    );
    let (_, printed) =
        ended(doctor.args(["--public-url", "http://localhost"]).env("WAYPOST_LISTEN", "127.0.0.1:0"));
    let want = format!("configuration: {file}, overridden by --public-url, WAYPOST_LISTEN: every value");
    assert!(printed.contains(&want), "{printed}");
}
