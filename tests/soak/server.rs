//! The release binary as a child process, on a fresh folder.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;

/// The key of every server here.
pub(crate) const KEY: &str = "wp_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// Longest wait for a start or an end on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// The server's own id, where another program started it.
    id: Pid,
    pub(crate) address: SocketAddr,
    output: TempDir,
}

/// How a server is started.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) env: Vec<(&'static str, String)>,
    /// A program with its arguments that starts the server.
    pub(crate) below: Vec<String>,
    /// What the program gets as stdin.
    pub(crate) stdin: Option<OwnedFd>,
}

impl Plan {
    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Plan {
        self.env.push((name, value.to_owned()));
        self
    }

    pub(crate) fn below(mut self, words: &[&str]) -> Plan {
        self.below = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<OwnedFd>) -> Plan {
        self.stdin = Some(stdin.into());
        self
    }

    /// Starts the server. Fails with its output if it ends instead.
    pub(crate) fn start(self, data: &Path) -> Result<Server, String> {
        let binary = env!("CARGO_BIN_EXE_waypost").to_owned();
        let words: Vec<String> = self.below.iter().cloned().chain([binary]).collect();
        let output = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("an output file");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .env("WAYPOST_LISTEN", "127.0.0.1:0")
            .env("WAYPOST_DATA_DIR", data)
            .env("WAYPOST_PUBLIC_URL", "http://go.test")
            .env("WAYPOST_ADMIN_KEY", KEY)
            // One machine plays all visitors.
            .env("WAYPOST_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "1000000")
            .env("WAYPOST_LIMITS__MISSES_PER_MINUTE", "4000000000")
            .envs(self.env)
            .stdin(self.stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        let mut child = command.spawn().expect("the binary starts");
        let end = Instant::now() + PATIENCE;
        loop {
            // The line of the log, since with a domain the greeting has its URL.
            let said = fs::read_to_string(output.path().join("stderr")).unwrap_or_default();
            let found = said.split_once("Waypost started ").and_then(|(_, rest)| {
                let (_, rest) = rest.split_once(" listen=")?;
                rest.split_once(char::is_whitespace).and_then(|(address, _)| address.parse().ok())
            });
            if let Some(address) = found {
                let id = the_server(child.id());
                return Ok(Server { child, id, address, output });
            }
            let ended = child.try_wait().expect("a child of ours").is_some();
            if ended || Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                return Err(fs::read_to_string(output.path().join("stderr")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Returns the process named `waypost` that this one is or has started.
fn the_server(id: u32) -> Pid {
    let is_it =
        |id: u32| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name == "waypost\n");
    let mut at = id;
    while !is_it(at) {
        let children = fs::read_to_string(format!("/proc/{at}/task/{at}/children")).unwrap_or_default();
        let Some(next) = children.split_whitespace().next().and_then(|id| id.parse().ok()) else { break };
        at = next;
    }
    Pid::from_raw(i32::try_from(at).expect("a process")).expect("a process")
}

impl Server {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.id.as_raw_nonzero()))
    }

    /// Returns the resident memory in KB.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Returns the most resident memory so far in KB.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(name)).expect("its memory");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Returns the CPU time of the threads with this name.
    pub(crate) fn cpu_of(&self, name: &str) -> Duration {
        let threads = fs::read_dir(self.proc("task")).into_iter().flatten().flatten();
        let threads = threads.filter(|thread| {
            fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        });
        // Nanoseconds on a processor are the first field.
        let times = threads.filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(times.sum())
    }

    /// Returns the CPU time.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).expect("it runs");
        // After the name, which may contain anything: user and system time in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("it runs").count()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.output.path().join("stderr")).unwrap_or_default()
    }

    /// Returns the number of warnings and errors in the log, without the line for each call of an API.
    pub(crate) fn complaints(&self) -> usize {
        let said = self.stderr();
        said.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Sends SIGUSR2.
    pub(crate) fn restart(&self) {
        let _ = kill_process(self.id, Signal::USR2);
    }

    /// Sends SIGHUP.
    pub(crate) fn reload(&self) {
        let _ = kill_process(self.id, Signal::HUP);
    }

    /// Waits until the server was ready this many times.
    pub(crate) fn await_starts(&self, count: usize, within: Duration) {
        let end = Instant::now() + within;
        while self.stderr().matches("Waypost started").count() < count {
            assert!(Instant::now() < end, "no start within {within:?}: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let _ = kill_process(self.id, Signal::TERM);
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(Instant::now() < end, "it does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.is_running() {
            let _ = kill_process(self.id, Signal::KILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // Below another program, the server may end later than that program, thread by thread. A zombie holds
        // no resources.
        let end = Instant::now() + PATIENCE;
        let lives = || {
            let threads = fs::read_dir(self.proc("task")).into_iter().flatten().flatten();
            let mut states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
            states.any(|stat| !stat.contains(") Z "))
        };
        while lives() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Imports a file of links into a data folder without a server.
pub(crate) fn import_lines(data: &Path, lines: &Path) {
    let ended = Command::new(env!("CARGO_BIN_EXE_waypost"))
        .env_clear()
        .env("WAYPOST_DATA_DIR", data)
        .env("WAYPOST_PUBLIC_URL", "http://go.test")
        .env("WAYPOST_ADMIN_KEY", KEY)
        .arg("import")
        .arg(lines)
        .output()
        .expect("the binary starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
