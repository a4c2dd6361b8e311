//! Commands that were interrupted, and folders that were moved. A start, `verify` and `restore` demand a
//! positive mark of completeness and identity. Acknowledged data is renamed, never removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::support::process::{Plan, copy_folder, not_tested};

/// The number of links with each name.
const LINKS: usize = 40;

/// A data folder whose server was stopped, and a backup of an earlier state.
struct Case {
    folder: TempDir,
}

/// The exit code of a command, and its output.
pub(super) struct Ended {
    code: Option<i32>,
    said: String,
}

impl Ended {
    pub(super) fn code(&self) -> Option<i32> {
        self.code
    }

    /// Checks that the command ended by itself, with a decision.
    #[track_caller]
    pub(super) fn with_any(&self) {
        assert!([Some(0), Some(1)].contains(&self.code), "{:?}: {}", self.code, self.said);
    }

    #[track_caller]
    pub(super) fn with(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for part in parts {
            assert!(self.said.contains(part), "no {part:?} in {}", self.said);
        }
    }
}

/// Runs a command on a data folder.
pub(super) fn run(data: &Path, args: &[&str]) -> Ended {
    run_below(data, &[], args)
}

/// Like `run`, started by another program with its arguments.
pub(super) fn run_below(data: &Path, below: &[&str], args: &[&str]) -> Ended {
    let mut plan = Plan::on(data);
    for arg in args {
        plan = plan.arg(arg);
    }
    if let [program, rest @ ..] = below {
        plan = plan.below(program, rest);
    }
    let (code, stdout, stderr) = plan.fails();
    Ended { code, said: format!("{stdout}{stderr}") }
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Creates the links `{name}0` to `{name}39`.
pub(super) fn fill(data: &Path, name: &str) {
    let server = Plan::on(data).start();
    let mut admin = server.admin();
    for number in 0..LINKS {
        let url = format!("https://e.test/{name}{number}");
        admin.create(&json!({"url": url, "customSlug": format!("{name}{number}")}));
    }
    server.stop();
}

/// Returns whether a server on the folder has the links of `name`. Panics if it has some of them.
#[track_caller]
pub(super) fn has_all(data: &Path, name: &str) -> bool {
    let server = Plan::on(data).start();
    let mut visitor = server.visitor();
    let here = (0..LINKS).filter(|number| {
        let answer = visitor.head(&format!("/{name}{number}"));
        assert!([302, 404].contains(&answer.status), "{answer:?}");
        answer.status == 302
    });
    let count = here.count();
    server.stop();
    assert!([0, LINKS].contains(&count), "{count} of {LINKS} links of {name}");
    count == LINKS
}

impl Case {
    /// Creates a backup with the links `a`, and a data folder with the links `a` and `b`.
    fn make() -> Case {
        let case = Case { folder: tempfile::tempdir().expect("a temporary folder") };
        fill(&case.data(), "a");
        run(&case.data(), &["backup", &shown(&case.backup())]).with(0, &["verified"]);
        fill(&case.data(), "b");
        case
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.at("data")
    }

    fn backup(&self) -> PathBuf {
        self.at("backup")
    }

    /// Copies the data folder.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.at(name);
        copy_folder(&self.data(), &copy);
        copy
    }
}

/// Returns the arguments of strace that kill a process at its n-th call, or `None` if strace is missing.
pub(super) fn kill_at(calls: &str, when: usize) -> Option<Vec<String>> {
    let works = Command::new("strace").args(["-qq", "true"]).output();
    works.is_ok_and(|output| output.status.success()).then(|| {
        let inject = format!("inject={calls}:signal=SIGKILL:when={when}");
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls},renameat2"), "-e", &inject]
            .map(str::to_owned)
            .to_vec()
    })
}

pub(super) const RENAMES: &str = "rename,renameat,renameat2";

#[test]
fn n09_a_start_continues_or_names_a_killed_restore() {
    kill_a_restore_at_each_rename(&[]);
}

#[test]
fn n09_a_start_continues_or_names_a_killed_restore_without_an_atomic_exchange() {
    kill_a_restore_at_each_rename(&["-e", "inject=renameat2:error=EINVAL"]);
}

/// After a kill of a restore at any rename, a start fails and names the command that completes the restore, and
/// the one that keeps the old log. strace gets `more` arguments.
fn kill_a_restore_at_each_rename(more: &[&str]) {
    let case = Case::make();
    let backup = shown(&case.backup());
    let mut killed = 0;
    // strace counts each system call separately.
    for (call, when) in
        ["rename", "renameat", "renameat2"].into_iter().flat_map(|c| (1..9).map(move |w| (c, w)))
    {
        let Some(mut strace) = kill_at(call, when) else {
            return not_tested("a restore that is killed between its renames: no strace here");
        };
        if !more.is_empty() && call == "renameat2" {
            continue;
        }
        strace.extend(more.iter().map(|word| (*word).to_owned()));
        let row = format!("{call} {when}");
        let data = case.copy(&row);
        let below: Vec<&str> = strace.iter().map(String::as_str).collect();
        let ended = run_below(&data, &below, &["restore", "--replace", &backup]);
        if ended.code == Some(0) {
            if when == 8 {
                assert!(has_all(&data, "a") && !has_all(&data, "b"), "{row}: {}", ended.said);
            }
            continue;
        }
        if data.join("log/clicks").exists() {
            // Behind the exchange: the restore is complete, and the next start puts the details of clicks in place.
            assert!(has_all(&data, "a") && !has_all(&data, "b"), "{row}");
            assert!(data.join("clicks").exists() && !data.join("log/clicks").exists(), "{row}");
            continue;
        }
        killed += 1;
        let key = fs::read(data.join("admin.key")).ok();
        for command in [&[][..], &["export"], &["doctor"]] {
            run(&data, command).with(1, &["was interrupted", "waypost restore --replace"]);
        }
        if call == "renameat2" {
            // The old log is in place, and nothing of it was replaced.
            let kept = case.at(&format!("{row} kept"));
            copy_folder(&data, &kept);
            run(&kept, &[]).with(1, &["keep the log from before: rm -r", "log.replaced-"]);
            fs::remove_dir_all(replaced_log(&kept)).expect("removed, as the message says");
            assert!(has_all(&kept, "a") && has_all(&kept, "b"), "{row}");
        }
        run(&data, &["restore", "--replace", &backup]).with(0, &["restored position"]);
        assert!(has_all(&data, "a") && !has_all(&data, "b"), "{row}");
        // What was replaced is the old log, and whole.
        let replaced = case.at(&format!("{row} replaced"));
        copy_folder(&replaced_log(&data), &replaced.join("log"));
        assert!(has_all(&replaced, "b"), "{row}");
        assert_eq!(fs::read(data.join("admin.key")).ok(), key, "{row}");
    }
    let at_least = if more.is_empty() { 4 } else { 6 };
    assert!(killed >= at_least, "{killed} killed");
}

/// Returns the only log that a restore replaced.
#[track_caller]
fn replaced_log(data: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(data).expect("a folder").flatten().map(|e| e.path()).collect();
    found.retain(|path| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("log.replaced-")));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// A restore that was killed after its exchange is complete. The mark in its log leads to no loss: the log takes
/// writes, and a later restore keeps it like any other.
#[test]
fn n09_the_mark_of_a_restored_log_removes_nothing_later() {
    let case = Case::make();
    let backup = shown(&case.backup());
    for is_started in [false, true] {
        let data = case.copy(&format!("data{is_started}"));
        run(&data, &["restore", "--replace", &backup]).with(0, &["restored position"]);
        // As a kill before the last step leaves it.
        fs::write(data.join("log/restoring"), "").expect("written");
        if is_started {
            fill(&data, "c");
            assert!(!data.join("log/restoring").exists());
        }
        fs::remove_dir_all(replaced_log(&data)).expect("removed");
        run(&data, &["restore", "--replace", &backup]).with(0, &["restored position"]);
        assert!(has_all(&data, "a") && !has_all(&data, "c"));
        let replaced = case.at(&format!("replaced{is_started}"));
        copy_folder(&replaced_log(&data), &replaced.join("log"));
        assert_eq!(has_all(&replaced, "c"), is_started);
    }
}

/// A change to a data folder.
type Harm = fn(&Path);

/// Each state that an interrupted command or an operator may leave.
#[test]
fn n09_a_folder_that_lost_its_log_is_not_taken_for_a_new_one() {
    let case = Case::make();
    let backup = shown(&case.backup());
    let rows: [(&str, Harm, &[&str]); 7] = [
        (
            "a copy not yet in place",
            |data| copy_folder(&data.join("log"), &data.join("log.restoring")),
            &["log.restoring", "rm -r", "waypost restore --replace"],
        ),
        (
            "a copy, and the old log aside",
            |data| {
                fs::rename(data.join("log"), data.join("log.replaced-1700000000000")).expect("renamed");
                fs::create_dir(data.join("log.restoring")).expect("made");
            },
            &["mv -T", "log.replaced-1700000000000", "waypost restore --replace"],
        ),
        (
            "the old log aside",
            |data| {
                fs::rename(data.join("log"), data.join("log.replaced-1700000000000")).expect("renamed");
            },
            &["mv -T", "log.replaced-1700000000000", "waypost restore --replace"],
        ),
        (
            "no log",
            |data| fs::remove_dir_all(data.join("log")).expect("removed"),
            &["table", "--accept-loss", "waypost restore --replace"],
        ),
        (
            "an empty log",
            |data| {
                fs::remove_dir_all(data.join("log")).expect("removed");
                fs::create_dir(data.join("log")).expect("made");
            },
            &["table", "--accept-loss"],
        ),
        (
            "neither log nor table",
            |data| {
                fs::remove_dir_all(data.join("log")).expect("removed");
                fs::remove_dir_all(data.join("table")).expect("removed");
                fs::write(data.join("admin.key"), "wp_of_before\n").expect("written");
            },
            &["admin.key", "--accept-loss"],
        ),
        (
            "a restore that found no room",
            |data| {
                for name in ["log", "table"] {
                    fs::remove_dir_all(data.join(name)).expect("removed");
                }
                fs::create_dir(data.join("log.restoring")).expect("made");
            },
            &["log.restoring", "waypost restore --replace"],
        ),
    ];
    for (row, harm, parts) in rows {
        let data = case.copy(row);
        harm(&data);
        let key = fs::read(data.join("admin.key")).ok();
        run(&data, &[]).with(1, parts);
        // `doctor` announces what the start does, in the same words.
        run(&data, &["doctor"]).with(1, parts);
        for command in [vec!["export"], vec!["verify"], vec!["backup", "/nonexistent/backup"]] {
            run(&data, &command).with(1, &parts[..1]);
        }
        assert_eq!(fs::read(data.join("admin.key")).ok(), key, "{row}");
        assert!(!data.join("log/000000000001.log").exists() || data.join("log.restoring").exists(), "{row}");
        run(&data, &["restore", "--replace", &backup]).with(0, &["restored position"]);
        assert!(has_all(&data, "a") && !has_all(&data, "b"), "{row}");
    }
}

/// With a complete table, the log can be written from it on demand. Without a table, a new instance begins,
/// and the old key is kept.
#[test]
fn n09_a_lost_log_is_rebuilt_from_the_table_on_demand_only() {
    let case = Case::make();
    let data = case.copy("without a log");
    fs::remove_dir_all(data.join("log")).expect("removed");
    run(&data, &[]).with(1, &["--accept-loss"]);
    let server = Plan::on(&data).arg("--accept-loss").start();
    assert_eq!(server.visitor().head("/b7").status, 302);
    server.stop();
    assert!(has_all(&data, "a") && has_all(&data, "b"));
    let data = case.copy("without both");
    for name in ["log", "table"] {
        fs::remove_dir_all(data.join(name)).expect("removed");
    }
    fs::write(data.join("admin.key"), "wp_of_before\n").expect("written");
    let server = Plan::on(&data).without("WAYPOST_ADMIN_KEY").arg("--accept-loss").start();
    assert_eq!(server.visitor().head("/b7").status, 404);
    server.stop();
    let kept = fs::read_dir(&data)
        .expect("a folder")
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("admin.key.replaced-"));
    let kept = kept.expect("the old key is kept").path();
    assert_eq!(fs::read_to_string(kept).expect("readable"), "wp_of_before\n");
}

/// A backup that was cut anywhere is rejected, or complete.
#[test]
fn n30_a_backup_that_was_cut_is_refused() {
    let case = Case::make();
    let backup = case.at("whole");
    run(&case.data(), &["backup", &shown(&backup)]).with(0, &["verified"]);
    let segment = "log/000000000001.log";
    let bytes = fs::read(backup.join(segment)).expect("a segment");
    let starts: Vec<usize> =
        (74..bytes.len()).filter(|at| bytes[*at..].starts_with(&[0xF5, b'W', 0xFF, b'P'])).collect();
    let cut = |name: &str, to: usize, with_mark: bool| {
        let copy = case.at(name);
        copy_folder(&backup, &copy);
        fs::write(copy.join(segment), &bytes[..to]).expect("written");
        if !with_mark {
            fs::remove_file(copy.join("log/closed")).expect("removed");
        }
        copy
    };
    // A log that is cut at the end of a frame looks complete.
    for (row, frame) in [10, starts.len() / 2, starts.len() - 1].into_iter().enumerate() {
        for with_mark in [false, true] {
            let copy = cut(&format!("cut{row}{with_mark}"), starts[frame], with_mark);
            let (shown, restored) = (shown(&copy), case.at(&format!("restored{row}{with_mark}")));
            run(&case.data(), &["verify", &shown]).with(1, &[]);
            run(&restored, &["restore", &shown]).with(1, &[]);
            assert!(!restored.join("log").exists(), "{row}");
            if !with_mark {
                run(&case.data(), &["verify", &shown]).with(1, &["closing mark", "--accept-loss"]);
                run(&case.data(), &["verify", "--accept-loss", &shown]).with(0, &["sound"]);
                run(&restored, &["restore", "--accept-loss", &shown]).with(0, &["restored position"]);
            }
        }
    }
    // A server does not start on a cut copy either, which no server has used before.
    let copy = case.at("cut0false");
    for _ in 0..2 {
        run(&copy, &[]).with(1, &["no closing mark", "--accept-loss"]);
    }
    run(&copy, &["doctor"]).with(1, &["no closing mark", "--accept-loss"]);
    Plan::on(&copy).arg("--accept-loss").start().stop();
    Plan::on(&copy).start().stop();
    // Complete except for the mark: a restore on demand brings everything back.
    let copy = cut("no mark", bytes.len(), false);
    run(&case.at("r"), &["restore", &shown(&copy)]).with(1, &["closing mark", "--accept-loss"]);
    run(&case.at("r"), &["restore", "--accept-loss", &shown(&copy)]).with(0, &["restored position"]);
    assert!(has_all(&case.at("r"), "a") && has_all(&case.at("r"), "b"));
    // The mark of another copy, as left by a copy over an older one.
    let copy = cut("other mark", bytes.len(), true);
    fs::copy(case.backup().join("log/closed"), copy.join("log/closed")).expect("copied");
    run(&case.at("o"), &["restore", &shown(&copy)]).with(1, &["does not match"]);
    // The data folder itself has no mark while its server runs, and is sound.
    let server = Plan::on(&case.data()).start();
    run(&case.data(), &["verify"]).with(0, &["sound"]);
    run(&case.data(), &["verify", &shown(&case.data())]).with(0, &["sound"]);
    server.stop();
}

/// Returns all paths below a folder.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { [vec![path.clone()], paths(&path)].concat() } else { vec![path] })
        .collect();
    found.sort();
    found
}

/// `cp` onto a full disk creates the closing mark without its content. Each command demands a mark that matches
/// the log, not a file of its name, and none changes the copy.
#[test]
fn n30_a_copy_whose_mark_does_not_match_starts_no_server() {
    let case = Case::make();
    let whole = case.at("whole");
    run(&case.data(), &["backup", &shown(&whole)]).with(0, &["verified"]);
    let bytes = fs::read(whole.join("log/000000000001.log")).expect("a segment");
    let mark = fs::read(whole.join("log/closed")).expect("a mark");
    let older = fs::read(case.backup().join("log/closed")).expect("a mark");
    let frame = (bytes.len() / 2..bytes.len()).find(|at| bytes[*at..].starts_with(&[0xF5, b'W', 0xFF, b'P']));
    let frame = frame.expect("a frame in the second half");
    let marks: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("garbage", &[0xA5; 73]),
        ("cut", &mark[..40]),
        ("of an older backup", &older),
        ("whole", &mark),
    ];
    let cut_logs = [Some(frame), Some(bytes.len() - 3), Some(bytes.len()), None];
    for (row, to, mark) in cut_logs.into_iter().flat_map(|to| marks.map(|(row, mark)| (row, to, mark))) {
        if row == "whole" && to == Some(bytes.len()) {
            continue;
        }
        let copy = case.at(&format!("{row} {to:?}"));
        fs::create_dir_all(copy.join("log")).expect("made");
        fs::write(copy.join("log/closed"), mark).expect("written");
        if let Some(to) = to {
            fs::write(copy.join("log/000000000001.log"), &bytes[..to]).expect("written");
        }
        let (before, shown) = (paths(&copy), shown(&copy));
        for command in [&[][..], &["doctor"], &["export"], &["backup", "/nonexistent/backup"]] {
            run(&copy, command).with(1, &["no closing mark", "--accept-loss"]);
        }
        run(&copy, &["verify"]).with(1, &[]);
        run(&case.data(), &["verify", &shown]).with(1, &[]);
        run(&case.at("restored"), &["restore", &shown]).with(1, &[]);
        assert_eq!(paths(&copy), before, "{row} {to:?}");
    }
    assert!(!case.at("restored").exists());
    assert!(has_all(&whole, "a") && has_all(&whole, "b"));
}

/// The folder of a backup that was killed does not become a new instance, and the same backup completes it.
#[test]
fn n09_a_folder_of_a_killed_backup_is_not_taken_for_a_new_one() {
    let case = Case::make();
    for is_there in [false, true] {
        let to = case.at(&format!("to{is_there}"));
        let copy =
            if is_there { to.join("log.unfinished") } else { case.at("tofalse.unfinished").join("log") };
        copy_folder(&case.backup().join("log"), &copy);
        let before = paths(case.folder.path());
        for command in [&[][..], &["--accept-loss"], &["doctor"], &["export"], &["verify"]] {
            run(&to, command).with(1, &["the backup was interrupted", "waypost backup", "rm -r"]);
        }
        run(&case.at("r"), &["restore", &shown(&to)]).with(1, &["the backup was interrupted"]);
        assert_eq!(paths(case.folder.path()), before);
        run(&case.data(), &["backup", &shown(&to)]).with(0, &["verified"]);
        assert!(!copy.exists());
        assert!(has_all(&to, "a") && has_all(&to, "b"));
    }
}

/// A backup gets its name when it is complete, at whatever point it is killed. The same command then creates
/// it.
#[test]
fn n30_a_backup_that_was_killed_has_no_name() {
    let case = Case::make();
    let (mut killed, mut wholes) = (0, 0);
    for calls in ["pwrite64", "fsync,fdatasync", RENAMES, "openat"] {
        for when in [1, 2, 3, 4, 5, 8, 40, 60, 80, 100] {
            let Some(strace) = kill_at(calls, when) else {
                return not_tested("a backup that is killed: no strace here");
            };
            for is_there in [false, true] {
                let to = case.at(&format!("{}-{when}-{is_there}", calls.replace(',', "")));
                if is_there {
                    fs::create_dir(&to).expect("made");
                }
                let below: Vec<&str> = strace.iter().map(String::as_str).collect();
                let ended = run_below(&case.data(), &below, &["backup", &shown(&to)]);
                let verified = run(&case.data(), &["verify", &shown(&to)]);
                if ended.code == Some(0) || to.join("log").exists() {
                    wholes += 1;
                    verified.with(0, &["sound"]);
                } else {
                    killed += 1;
                    verified.with(1, &[]);
                    run(&case.at("none"), &["restore", &shown(&to)]).with(1, &[]);
                    assert_eq!(to.exists(), is_there, "{}", to.display());
                    run(&case.data(), &["backup", &shown(&to)]).with(0, &["verified"]);
                    run(&case.data(), &["verify", &shown(&to)]).with(0, &["sound"]);
                }
            }
        }
    }
    assert!(killed >= 10 && wholes >= 1, "{killed} killed, {wholes} whole");
    let left = fs::read_dir(case.folder.path()).expect("a folder").flatten();
    let left: Vec<_> =
        left.filter(|entry| entry.file_name().to_string_lossy().contains("unfinished")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The rest of a killed export may contain password hashes. The next export to the same file removes it.
#[test]
fn an_export_removes_the_rest_of_a_killed_one() {
    let case = Case::make();
    let file = shown(&case.at("links.jsonl"));
    let Some(strace) = kill_at("fsync,fdatasync", 1) else {
        return not_tested("an export that is killed: no strace here");
    };
    let below: Vec<&str> = strace.iter().map(String::as_str).collect();
    run_below(&case.data(), &below, &["export", "--output", &file]);
    let unfinished = || {
        let names = paths(case.folder.path()).into_iter().map(|path| shown(&path));
        names.filter(|name| name.ends_with(".unfinished")).count()
    };
    assert_eq!((unfinished(), Path::new(&file).exists()), (1, false));
    run(&case.data(), &["export", "--output", &file]).with(0, &["exported 80 links"]);
    assert_eq!((unfinished(), Path::new(&file).exists()), (0, true));
}

/// A file system of this size, unmounted when dropped.
struct Volume(TempDir);

impl Volume {
    fn mount(size: &str) -> Option<Volume> {
        let at = tempfile::tempdir().expect("a temporary folder");
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "waypost-test"]).arg(at.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Volume(at))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// On a full disk, a backup leaves nothing, and a restore leaves no folder that a start takes for a new one.
#[test]
fn n30_n09_a_full_disk_leaves_no_half_copy() {
    let case = Case::make();
    let server = Plan::on(&case.data()).start();
    let notes = "\u{1f680}".repeat(3_900);
    for number in 0..100 {
        let url = format!("https://e.test/{number}");
        server.admin().create(&json!({"url": url, "customSlug": format!("long{number}"), "notes": notes}));
    }
    server.stop();
    let backup = case.at("large");
    run(&case.data(), &["backup", &shown(&backup)]).with(0, &["verified"]);
    let Some(volume) = Volume::mount("1m") else {
        return not_tested("a backup and a restore on a disk that fills: no tmpfs can be mounted here");
    };
    let (to, data) = (volume.0.path().join("backup"), volume.0.path().join("data"));
    run(&case.data(), &["backup", &shown(&to)]).with(1, &["No space left"]);
    assert_eq!(fs::read_dir(volume.0.path()).expect("a folder").count(), 0, "nothing is left");
    // The root of a volume is a folder that cannot have a sibling on that volume.
    run(&case.data(), &["backup", &shown(volume.0.path())]).with(1, &["No space left"]);
    run(&data, &["restore", &shown(&backup)]).with(1, &["No space left"]);
    run(&data, &[]).with(1, &["log.restoring", "waypost restore"]);
    assert!(!data.join("log").exists());
    run(&data, &["restore", &shown(&case.backup())]).with(0, &["restored position"]);
    run(&data, &["verify"]).with(0, &["sound"]);
    // A complete old log still starts after a restore that failed beside it.
    run(&data, &["restore", "--replace", &shown(&backup)]).with(1, &["No space left"]);
    assert!(!data.join("log.restoring").exists());
    run(&data, &["verify"]).with(0, &["sound"]);
}
