//! Commands on the data folder, killed by strace at the n-th call of each system call, for all n. After each
//! kill the folder has the old state, the new state, or a start fails and names the command that completes
//! the change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Report;
use crate::server::{KEY, Plan, Server};

/// Calls that change a folder, or that occur between two such calls. strace counts each separately.
const CALLS: [&str; 18] = [
    "openat",
    "mkdir",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "write",
    "pwrite64",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "flock",
    "getdents64",
    "close",
    "chmod",
];

/// Links of the old state, and of the restored or imported one.
const LINKS: u64 = 60;

/// Time limit of all kills of one command. A part ends at its own limit.
const BOUND: Duration = Duration::from_mins(4);

/// The results of one command under all kills.
#[derive(Default)]
struct Tally {
    runs: u64,
    before: u64,
    after: u64,
    refused: u64,
    wrong: Vec<String>,
    /// Whether the time limit came before the last call.
    is_cut: bool,
}

/// The state of a folder after a kill.
enum Found {
    Before,
    After,
    /// The start failed, and the command that it named produced the new state.
    Finished,
}

struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a command to its end, below strace if `kill` is given.
fn run(data: &Path, kill: Option<(&str, u64)>, args: &[&str]) -> (Option<i32>, String) {
    let binary = env!("CARGO_BIN_EXE_waypost");
    let mut command = if let Some((call, when)) = kill {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        strace.args(["-e", &format!("inject={call}:signal=SIGKILL:when={when}"), binary]);
        strace
    } else {
        Command::new(binary)
    };
    command.args(args).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let output =
        command.env("WAYPOST_DATA_DIR", data).env("WAYPOST_ADMIN_KEY", KEY).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn start(data: &Path) -> Result<Server, String> {
    Plan::default().start(data)
}

/// Creates a folder with links of this name.
fn fill(data: &Path, name: &str) {
    let server = start(data).expect("it starts");
    let mut client = server.client();
    for number in 0..LINKS {
        assert_eq!(client.create(&format!("{name}{number}"), &json!({})).status, 201);
    }
    server.stop();
}

/// Returns how many links of a name a server has.
fn count(server: &Server, name: &str) -> u64 {
    let mut client = server.client();
    (0..LINKS).map(|number| u64::from(client.get(&format!("/{name}{number}")).status == 302)).sum()
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    let copied = Command::new("cp").args(["-a", &shown(from), &shown(to)]).status();
    assert!(copied.is_ok_and(|status| status.success()), "a copy");
}

/// Kills `args` at every call. `prepare` creates the folder, `look` returns its state afterwards.
fn kill_everywhere(
    report: &mut Report,
    what: &str,
    prepare: &mut dyn FnMut(),
    attempt: &mut dyn FnMut(Option<(&str, u64)>) -> Option<i32>,
    look: &mut dyn FnMut() -> Result<Found, String>,
) {
    let begun = Instant::now();
    let mut tally = Tally::default();
    // The short form skips more and more of the later calls.
    let next = |when: u64, short: bool| if short { when + 1 + when / 4 } else { when + 1 };
    for call in CALLS {
        let mut when = 1;
        loop {
            if begun.elapsed() > BOUND {
                tally.is_cut = true;
                break;
            }
            prepare();
            let code = attempt(Some((call, when)));
            tally.runs += 1;
            match look() {
                Ok(Found::Before) => tally.before += 1,
                Ok(Found::After) => tally.after += 1,
                Ok(Found::Finished) => tally.refused += 1,
                Err(why) => tally.wrong.push(format!("{call} {when}: {why}")),
            }
            if code == Some(0) {
                break;
            }
            when = next(when, report.is_short());
        }
    }
    let Tally { runs, before, after, refused, wrong, is_cut } = tally;
    let cut = if is_cut { ", cut at its bound" } else { "" };
    report.row(
        "N09,30",
        &format!("{what}, killed at the n-th call"),
        "before, after, or finished by hand",
        &format!("{runs} runs: {before}/{after}/{refused}{cut} {wrong:?}"),
        wrong.is_empty() && runs > 50,
    );
}

pub(crate) fn n09_n30_killed_at_every_system_call(report: &mut Report) {
    let tried = Command::new("strace").args(["-qq", "true"]).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return report.skipped("N09,30", "commands killed at every system call", "no strace");
    }
    let folders = Folders { root: tempfile::tempdir().expect("a temporary folder") };
    let (old, backup) = (folders.at("old"), folders.at("backup"));
    fill(&old, "a");
    assert_eq!(run(&old, None, &["backup", &shown(&backup)]).0, Some(0));
    fill(&old, "b");
    backups(report, &folders, &old);
    restores(report, &folders, &old, &backup);
    imports(report, &folders, &old);
    compactions(report, &folders);
}

fn backups(report: &mut Report, folders: &Folders, old: &Path) {
    let to = folders.at("to");
    kill_everywhere(
        report,
        "backup",
        &mut || {
            // The leftovers of the previous run stay: the next one must cope with them.
            drop(fs::remove_dir_all(&to));
        },
        &mut |kill| run(old, kill, &["backup", &shown(&to)]).0,
        &mut || {
            if to.exists() {
                let (code, said) = run(old, None, &["verify", &shown(&to)]);
                return if code == Some(0) { Ok(Found::After) } else { Err(said) };
            }
            match run(old, None, &["backup", &shown(&to)]) {
                (Some(0), _) => Ok(Found::Before),
                (_, said) => Err(said),
            }
        },
    );
}

fn restores(report: &mut Report, folders: &Folders, old: &Path, backup: &Path) {
    let data = folders.at("data");
    let from = shown(backup);
    let look = |data: &Path, has_old: bool| {
        let judge = |server: &Server| match (count(server, "a"), count(server, "b")) {
            (LINKS, 0) => Ok(Found::After),
            (LINKS, LINKS) if has_old => Ok(Found::Before),
            (0, 0) if !has_old => Ok(Found::Before),
            other => Err(format!("{other:?} links")),
        };
        match start(data) {
            Ok(server) => judge(&server),
            Err(said) if said.contains("waypost restore --replace") => {
                let (code, said) = run(data, None, &["restore", "--replace", &from]);
                if code != Some(0) {
                    return Err(said);
                }
                match judge(&start(data)?)? {
                    Found::After => Ok(Found::Finished),
                    _ => Err("not restored by the command".to_owned()),
                }
            }
            Err(said) => Err(said),
        }
    };
    kill_everywhere(
        report,
        "restore into a new folder",
        &mut || drop(fs::remove_dir_all(&data)),
        &mut |kill| run(&data, kill, &["restore", &from]).0,
        &mut || look(&data, false),
    );
    kill_everywhere(
        report,
        "restore --replace",
        &mut || copy(old, &data),
        &mut |kill| run(&data, kill, &["restore", "--replace", &from]).0,
        &mut || look(&data, true),
    );
}

fn imports(report: &mut Report, folders: &Folders, old: &Path) {
    let (data, file) = (folders.at("data"), folders.at("links.jsonl"));
    let lines = (0..LINKS).map(|n| format!("{{\"url\":\"https://e.test/\",\"customSlug\":\"i{n}\"}}\n"));
    fs::write(&file, lines.collect::<String>()).expect("room for a file");
    let look = |data: &Path, is_new: bool| {
        let server = start(data)?;
        match (count(&server, "i"), count(&server, "a")) {
            (imported, LINKS) if !is_new && [0, LINKS].contains(&imported) => {
                Ok(if imported == 0 { Found::Before } else { Found::After })
            }
            (imported, 0) if is_new && [0, LINKS].contains(&imported) => {
                Ok(if imported == 0 { Found::Before } else { Found::After })
            }
            other => Err(format!("{other:?} links")),
        }
    };
    kill_everywhere(
        report,
        "import into a new folder",
        &mut || drop(fs::remove_dir_all(&data)),
        &mut |kill| run(&data, kill, &["import", &shown(&file)]).0,
        &mut || look(&data, true),
    );
    kill_everywhere(
        report,
        "import",
        &mut || copy(old, &data),
        &mut |kill| run(&data, kill, &["import", &shown(&file)]).0,
        &mut || look(&data, false),
    );
}

/// A server that compacts constantly: links with long notes that are edited repeatedly.
fn compactions(report: &mut Report, folders: &Folders) {
    let data = folders.at("compacted");
    let begun = Instant::now();
    let most = if report.is_short() { 6 } else { 40 };
    let (mut runs, mut killed, mut wrong) = (0, 0, Vec::new());
    for call in ["renameat", "unlinkat", "openat", "ftruncate", "fsync", "fdatasync", "pwrite64"] {
        for when in 1..=most {
            if begun.elapsed() > 2 * BOUND {
                break;
            }
            drop(fs::remove_dir_all(&data));
            runs += 1;
            match compact(&data, call, when * if call == "pwrite64" { 50 } else { 3 }) {
                Ok(was_killed) => killed += u64::from(was_killed),
                Err(why) => wrong.push(format!("{call} {when}: {why}")),
            }
        }
    }
    report.row(
        "N09",
        "compaction, killed at the n-th call",
        "nothing acknowledged is lost",
        &format!("{runs} runs, {killed} killed {wrong:?}"),
        wrong.is_empty() && killed > 0,
    );
}

fn compact(data: &Path, call: &str, when: u64) -> Result<bool, String> {
    const EDITS: u64 = 1_500;
    let inject = format!("inject={call}:signal=SIGKILL:when={when}");
    let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
    let plan = Plan::default()
        .env("WAYPOST_LOG__SEGMENT_BYTES", "1048576")
        .env("WAYPOST_LOG__COMPACT_ABOVE", "1048576")
        .below(&words);
    // Code and edit of the last acknowledged change, and of a change sent after it.
    let (mut acked, mut sent) = (None, 0);
    let mut ids = Vec::new();
    if let Ok(mut server) = plan.start(data) {
        let mut client = server.client();
        for code in 0..4 {
            let made = client.create(&format!("c{code}"), &json!({}));
            if made.status != 201 {
                break;
            }
            ids.push(made.json()["link"]["id"].as_str().unwrap_or_default().to_owned());
        }
        for edit in 0..EDITS {
            let Some(id) = ids.get(usize::try_from(edit % 4).unwrap_or(0)) else { break };
            sent = edit;
            let body = json!({"url": format!("https://e.test/{edit}"), "notes": "\u{1f680}".repeat(3_900)});
            let answer = client.send("PATCH", &format!("/api/v1/links/{id}"), &body.to_string());
            match answer {
                Ok(answer) if answer.status == 200 => acked = Some(edit),
                Ok(answer) if answer.status != 429 => return Err(format!("edit {edit}: {}", answer.status)),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        if server.is_running() && sent + 1 == EDITS {
            server.stop();
            return Ok(false);
        }
    }
    let server = start(data)?;
    let mut client = server.client();
    for (code, _) in ids.iter().enumerate() {
        let answer = client.get(&format!("/c{code}"));
        let to = answer.header("location").unwrap_or_default().to_owned();
        let last =
            |end: Option<u64>| end.and_then(|end| (0..=end).rev().find(|edit| edit % 4 == code as u64));
        let fits = [last(acked), last(Some(sent))].iter().any(|edit| match edit {
            Some(edit) => to == format!("https://e.test/{edit}"),
            None => answer.status == 302,
        });
        if !fits {
            return Err(format!("c{code} leads to {to:?} after edit {acked:?}"));
        }
    }
    Ok(true)
}
