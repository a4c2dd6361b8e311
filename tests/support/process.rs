//! The real binary as a child process: started with an environment, observed, signalled, killed. It never
//! outlives the test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::app::{HOST, KEY};
use crate::support::http::{Client, Sockets};

/// Longest wait for a start, an exit or any other polled event, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// The interval of polls.
const POLL: Duration = Duration::from_millis(2);

/// Polls until `look` returns a value. Panics with `what` at the deadline.
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

/// Returns an address of the loopback on which nothing listens. No two tests that run at once get the same. A
/// socket that finds a free port would not do: until they execute their program, the children that other tests
/// start have a copy of the socket, and the port stays in use.
pub(crate) fn unused_address() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // Below the ports that the system gives to connections.
    let port = 20_000 + GIVEN.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, 77, high, low], port))
}

/// Prints what cannot be tested on this machine. Writes to stderr directly, since the test harness captures
/// the output of passing tests.
pub(crate) fn not_tested(what: &str) {
    let _ = writeln!(io::stderr(), "NOT TESTED: {what}");
}

/// Returns a command for the binary, with no variable of Waypost in its environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// How to start the binary.
pub(crate) struct Plan {
    command: Command,
    listen: String,
    listens: bool,
}

impl Plan {
    /// Returns a plan for a server on this data folder, on a free port, with [`KEY`].
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

    /// Sets deadlines for heads, bodies and the drain that are longer than any test waits.
    #[must_use]
    pub(crate) fn patient(self) -> Plan {
        ["HEADER", "BODY", "DRAIN"]
            .iter()
            .fold(self, |plan, name| plan.env(&format!("WAYPOST_HTTP__{name}_TIMEOUT"), "10m"))
    }

    /// Sets a variable whose value may be invalid UTF-8.
    #[must_use]
    pub(crate) fn env_os(mut self, name: &str, value: &OsStr) -> Plan {
        self.command.env(name, value);
        self
    }

    /// Sets whether the configuration file contains the address to listen on.
    #[must_use]
    pub(crate) fn listen_in_file(mut self, is_so: bool) -> Plan {
        self.listens = !is_so;
        self
    }

    /// Removes a variable.
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

    /// Limits the number of open files from the start of the process.
    #[must_use]
    pub(crate) fn descriptors(self, most: u32) -> Plan {
        self.below("prlimit", &[&format!("--nofile={most}")])
    }

    /// Starts a copy of the binary at this path.
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

    /// Starts the binary by another program, whose arguments precede the command.
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

    /// Starts the process and returns at once.
    pub(crate) fn spawn(mut self) -> Process {
        let output = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("an output file");
        if self.listens {
            self.command.env("WAYPOST_LISTEN", &self.listen);
        }
        let command = self.command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        // A copy of the binary is busy for a moment if another test started a process while it was written: the child
        // has its open file until it runs its own program.
        let child = poll("the binary", PATIENCE, || match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
            child => Some(child.expect("the binary starts")),
        });
        Process { child, output, address: None, sockets: Sockets::default() }
    }

    /// Starts the process and waits until it serves requests.
    #[track_caller]
    pub(crate) fn start(self) -> Process {
        let mut process = self.spawn();
        if let Err(status) = process.serves() {
            panic!("the server ended with {status}: {}", process.stderr());
        }
        process
    }

    /// Starts a process that must end by itself, and returns its exit code, stdout and stderr.
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
    sockets: Sockets,
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

    /// Waits until the process prints its address. Returns an error if it ends instead.
    #[track_caller]
    pub(crate) fn serves(&mut self) -> Result<SocketAddr, ExitStatus> {
        let found = poll("the first lines of a start", PATIENCE, || {
            // Check for the end before reading the output, so that no output written before the end is
            // missed.
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
        Client::new(self.address(), HOST).listed(&self.sockets)
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

    /// Returns the path of a file below `/proc/<id>`.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child of ours, not yet waited for");
    }

    /// Waits until the process ends.
    #[track_caller]
    pub(crate) fn ends(&mut self, what: &str) -> ExitStatus {
        poll(what, PATIENCE, || self.child.try_wait().expect("a child of ours"))
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub(crate) fn kill(&mut self) {
        // An error means that the process has ended already.
        let _ = self.child.kill();
        self.child.wait().expect("a child of ours");
    }

    /// Sends SIGTERM, checks that the process ends cleanly, and returns its stderr.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        self.sockets.finish();
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

/// Returns the address in `listening on http://127.0.0.1:1234`, once the line is complete.
fn listening(stdout: &str) -> Option<SocketAddr> {
    let (_, rest) = stdout.split_once("listening on http://")?;
    let (address, _) = rest.split_once(char::is_whitespace)?;
    address.trim_end_matches('/').parse().ok()
}

/// Copies a data folder without the reserve against a full disk, which the next start creates again.
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

/// Random numbers from a seed, which a failing test can print (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Creates a generator with the seed in `WAYPOST_SEED`, or else with the current time.
    pub(crate) fn seeded() -> (u64, Dice) {
        let given = std::env::var("WAYPOST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |since| since.subsec_nanos().into())
        });
        (seed, Dice(seed))
    }

    /// Creates an independent generator, for another thread.
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

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
