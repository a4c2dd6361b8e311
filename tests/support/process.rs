//! The real binary as a child process: started with an environment, watched, signalled, killed.
//! Never outlives the test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::app::{HOST, KEY};
use crate::support::http::Client;

/// How long a start, an exit or anything else polled for may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// How often a poll looks.
const POLL: Duration = Duration::from_millis(2);

/// Polls until `look` finds something; fails naming `what` at the deadline.
#[track_caller]
pub(crate) fn poll<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(POLL);
    }
}

/// Says what is not tested on this machine, past the capture that hides what passing tests say.
pub(crate) fn not_tested(what: &str) {
    let _ = writeln!(io::stderr(), "NOT TESTED: {what}");
}

/// The binary, with nothing of ours in its environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// What to start.
pub(crate) struct Plan {
    command: Command,
    listen: String,
    listens: bool,
}

impl Plan {
    /// A server on this data folder, any port, with [`KEY`].
    pub(crate) fn on(data: &Path) -> Plan {
        let plan = Plan { command: command(), listen: "127.0.0.1:0".to_owned(), listens: true };
        plan.env("WAYPOST_DATA_DIR", &data.display().to_string())
            .env("WAYPOST_PUBLIC_URL", &format!("http://{HOST}"))
            .env("WAYPOST_ADMIN_KEY", KEY)
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Plan {
        self.command.env(name, value);
        self
    }

    /// With deadlines for heads, bodies and the drain that are longer than any test waits.
    #[must_use]
    pub(crate) fn patient(self) -> Plan {
        ["HEADER", "BODY", "DRAIN"]
            .iter()
            .fold(self, |plan, name| plan.env(&format!("WAYPOST_HTTP__{name}_TIMEOUT"), "10m"))
    }

    /// A value that need not be text.
    #[must_use]
    pub(crate) fn env_os(mut self, name: &str, value: &OsStr) -> Plan {
        self.command.env(name, value);
        self
    }

    /// Whether the address is the configuration file's to say.
    #[must_use]
    pub(crate) fn listen_in_file(mut self, is_so: bool) -> Plan {
        self.listens = !is_so;
        self
    }

    /// Without this variable.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Plan {
        self.command.env_remove(name);
        self
    }

    #[must_use]
    pub(crate) fn arg(mut self, arg: &str) -> Plan {
        self.command.arg(arg);
        self
    }

    #[must_use]
    pub(crate) fn listen(mut self, address: &str) -> Plan {
        address.clone_into(&mut self.listen);
        self
    }

    /// With at most so many descriptors from its start on.
    #[must_use]
    pub(crate) fn descriptors(self, most: u32) -> Plan {
        self.below("prlimit", &[&format!("--nofile={most}")])
    }

    /// A copy of the binary that lies there.
    #[must_use]
    pub(crate) fn of(self, binary: &Path) -> Plan {
        let mut command = Command::new(binary);
        command.args(self.command.get_args()).env_clear();
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Plan { command, ..self }
    }

    /// Started by another program, which takes these arguments before the command.
    #[must_use]
    pub(crate) fn below(self, program: &str, args: &[&str]) -> Plan {
        let mut command = Command::new(program);
        command.args(args).arg(self.command.get_program()).args(self.command.get_args()).env_clear();
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Plan { command, ..self }
    }

    /// Starts it and returns at once.
    pub(crate) fn spawn(mut self) -> Process {
        let output = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("an output file");
        if self.listens {
            self.command.env("WAYPOST_LISTEN", &self.listen);
        }
        let child = self
            .command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the binary starts");
        Process { child, output, address: None }
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    pub(crate) fn start(self) -> Process {
        let mut process = self.spawn();
        if let Err(status) = process.serves() {
            panic!("the server ended with {status}: {}", process.stderr());
        }
        process
    }

    /// Starts what must end by itself: its exit code, stdout and stderr.
    #[track_caller]
    pub(crate) fn fails(self) -> (Option<i32>, String, String) {
        let mut process = self.spawn();
        let status = process.ends("a start that must fail");
        (status.code(), process.stdout(), process.stderr())
    }
}

/// A child process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    output: TempDir,
    address: Option<SocketAddr>,
}

impl Process {
    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.output.path().join(name)).expect("the output file");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn stdout(&self) -> String {
        self.read("stdout")
    }

    pub(crate) fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits until it says where it listens; an error when it ends instead.
    #[track_caller]
    pub(crate) fn serves(&mut self) -> Result<SocketAddr, ExitStatus> {
        let found = poll("the first lines of a start", PATIENCE, || {
            // In this order: what a process wrote before it ended is not missed.
            let ended = self.child.try_wait().expect("a child of ours");
            match (listening(&self.stdout()), ended) {
                (Some(address), _) => Some(Ok(address)),
                (None, Some(status)) => Some(Err(status)),
                (None, None) => None,
            }
        });
        self.address = found.ok();
        found
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("asked after `serves`")
    }

    pub(crate) fn visitor(&self) -> Client {
        Client::new(self.address(), HOST)
    }

    pub(crate) fn admin(&self) -> Client {
        self.visitor().with_key(KEY)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// What the system tells about it under `/proc/<id>`.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child of ours, not yet waited for");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ends(&mut self, what: &str) -> ExitStatus {
        poll(what, PATIENCE, || self.child.try_wait().expect("a child of ours"))
    }

    /// SIGKILL, and gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("a child of ours");
    }

    /// SIGTERM, and the clean end that must follow.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.ends("the end after SIGTERM");
        assert!(status.success(), "{status} after SIGTERM: {}", self.stderr());
        self.stderr()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = self.stderr();
            let lines: Vec<_> = said.lines().filter(|line| !line.contains(" INFO ")).collect();
            eprintln!("the server's last lines:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

/// The address in `listening on http://127.0.0.1:1234`, once the line is whole.
fn listening(stdout: &str) -> Option<SocketAddr> {
    let (_, rest) = stdout.split_once("listening on http://")?;
    let (address, _) = rest.split_once(char::is_whitespace)?;
    address.trim_end_matches('/').parse().ok()
}

/// Copies a folder, the reserve against a full disk left out: it is made again at the start.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a readable folder") {
        let entry = entry.expect("an entry");
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else if entry.file_name() != "ballast" {
            fs::copy(entry.path(), target).expect("room for a copy");
        }
    }
}

/// Dice from a seed that a failing test can print (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// From the environment variable `WAYPOST_SEED`, else from the clock.
    pub(crate) fn seeded() -> (u64, Dice) {
        let given = std::env::var("WAYPOST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |since| since.subsec_nanos().into())
        });
        (seed, Dice(seed))
    }

    /// Other dice, so that each thread has its own.
    pub(crate) fn split(&mut self) -> Dice {
        Dice(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
