//! If the system refuses threads, a start ends with a message and exit code 1, and never with a panic or
//! without output. Needs a control group, which only root can create.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::{Plan, not_tested};

/// A control group that limits threads; removed when dropped.
struct Group(PathBuf);

impl Group {
    /// Creates a group. Returns `None` with a printed notice if that is impossible.
    fn new() -> Option<Group> {
        let name = format!("waypost-test-{}", std::process::id());
        for root in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"] {
            let path = Path::new(root).join(&name);
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Group(path);
            if group.allows("max") {
                return Some(group);
            }
        }
        not_tested("refused threads: no control group of threads can be made here");
        None
    }

    fn allows(&self, threads: &str) -> bool {
        fs::write(self.0.join("pids.max"), threads).is_ok()
    }

    /// Returns a plan whose process enters the group before it becomes the command.
    fn plan(&self, data: &Path, command: &[&str]) -> Plan {
        let plan = command.iter().fold(Plan::on(data), |plan, word| plan.arg(word));
        plan.below("sh", &["-c", &format!("echo $$ > {}/cgroup.procs; exec \"$@\"", self.0.display()), "sh"])
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group is empty once its last process has ended.
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

#[test]
fn n39b_refused_threads_end_a_start_with_a_message() {
    let Some(group) = Group::new() else { return };
    let home = tempfile::tempdir().expect("a temporary folder");
    let lines = home.path().join("lines").display().to_string();
    fs::write(&lines, "{\"url\":\"https://e.test/\"}\n").expect("a small file");
    for threads in ["1", "2", "3", "5", "9", "17", "26"] {
        assert!(group.allows(threads), "{threads}");
        for command in [&["serve"][..], &["import", &lines]] {
            let (code, stdout, stderr) = group.plan(&home.path().join("data"), command).fails();
            let row = format!("{command:?} with {threads}: {stderr}");
            assert_eq!((code, stdout.as_str()), (Some(1), ""), "{row}");
            assert!(stderr.contains("threads for this process") && stderr.contains("pids limit"), "{row}");
            assert!(!stderr.contains("panicked"), "{row}");
        }
    }
    // Enough for a start, and too few for all work at once, which then queues.
    assert!(group.allows("64"));
    let server = group.plan(&home.path().join("data"), &[]).start();
    assert_eq!(server.visitor().get("/healthz").status, 200);
    server.stop();
}
