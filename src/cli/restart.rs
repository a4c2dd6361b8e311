//! A restart in place, at SIGUSR2: the process executes the file that it was started from, with its sockets. Visitors wait
//! in the queues of the sockets. The id of the process stays, so supervisors, containers and shells notice nothing.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::error::CommandError;
use crate::app::data_folder;
use crate::config::Config;
use crate::http::conn::handover::{KeptSocket, PassedOn};
use crate::settings::listen::Listen;

/// How long the file to be started may take to check the configuration.
const CHECK_WAIT: Duration = Duration::from_secs(10);

/// How long the file may still be open for writing.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// The interval at which the check is looked at.
const CHECK_POLL: Duration = Duration::from_millis(10);

/// The variable with which a server asks `--check` about its own restart. Its value is the data folder of the server,
/// which it has locked. An older program ignores it.
const ASKS: &str = "RESTART_OF_WAYPOST";

/// The start of a line of `--check` for [`ASKS`], which names an address to listen on. As [`VALID`], it must stay.
const LISTENS: &str = "waypost: listens on ";

/// The file of this program, also after the file was replaced.
const RUNNING: &str = "/proc/self/exe";

/// An option that is for one start alone.
const FOR_ONE_START: &str = "--accept-loss";

/// The line that `--check` prints. With an exit code alone, programs such as `true` would pass. A running server looks for
/// it in the output of newer versions, so it must stay.
pub(super) const VALID: &str = "waypost: the configuration is valid";

/// The file that this process was started from. An upgrade replaces what is at its path.
#[derive(Clone, Debug)]
pub(super) struct ProgramFile(PathBuf);

impl ProgramFile {
    /// Finds the file. Must be called at the start, before an upgrade can replace it.
    pub(super) fn find() -> ProgramFile {
        let typed = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
        let running = std::env::current_exe().unwrap_or_else(|_| RUNNING.into());
        // The path that was typed may be a symbolic link, which an upgrade changes.
        let is_same = |path: &PathBuf| id_of(path).is_some() && id_of(path) == id_of(&running);
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let found = if typed.components().count() > 1 {
            Some(absolute(typed)).filter(is_same)
        } else {
            let folders = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&folders).map(|folder| absolute(folder.join(&typed))).find(is_same)
        };
        ProgramFile(found.unwrap_or(running))
    }

    /// Runs the file with the arguments of this process and `--check`, on behalf of a server with this data folder.
    /// Returns where it would listen; nothing if it is an older version, which does not print it. Fails if it does not
    /// run, if the configuration is not valid for it, or if it is another program.
    pub(super) async fn check(&self, data_dir: &Path) -> Result<Vec<Listen>, String> {
        let shown = self.0.display();
        // Such as a file that is gone, or no program.
        let child =
            self.start_check(data_dir).await.map_err(|error| format!("cannot run {shown}: {error}"))?;
        let child = ended(child).await.map_err(|error| format!("{shown} --check: {error}"))?;
        // Of a process that has ended: nothing blocks.
        let output = child.wait_with_output().map_err(|error| format!("{shown} --check: {error}"))?;
        if output.status.success() {
            // A script around the program may print other lines.
            let printed = String::from_utf8_lossy(&output.stdout);
            if !printed.lines().any(|line| line == VALID) {
                return Err(format!("{shown} --check does not print `{VALID}`: it is another program"));
            }
            let listen = printed.lines().filter_map(|line| line.strip_prefix(LISTENS));
            return listen
                .map(|text| Listen::parse(text).map_err(|why| format!("{shown}: {text}: {why}")))
                .collect();
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        Err(format!("{shown} --check: {}: {said}", output.status))
    }

    async fn start_check(&self, data_dir: &Path) -> io::Result<Child> {
        let begun = Instant::now();
        loop {
            let started = Command::new(&self.0)
                .args(arguments().skip(1))
                .arg("--check")
                .env(ASKS, data_dir)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            match started {
                // An installation still has the file open for writing.
                Err(error)
                    if error.kind() == ErrorKind::ExecutableFileBusy && begun.elapsed() < BUSY_WAIT =>
                {
                    tokio::time::sleep(CHECK_POLL).await;
                }
                started => return started,
            }
        }
    }

    /// Executes the file in this process. Returns only if the system refuses it, and the running program as well.
    pub(super) fn execute(&self, kept: &[KeptSocket]) -> CommandError {
        let passed = match PassedOn::new(kept) {
            Ok(passed) => passed,
            Err(error) => {
                return CommandError::Failed(format!(
                    "cannot pass the sockets on: {error}; start the server again"
                ));
            }
        };
        let error = executed(&self.0, &passed);
        tracing::error!(%error, "cannot run {}: the old program starts again", self.0.display());
        // The store is closed, so the old program must start again as well.
        let error = executed(Path::new(RUNNING), &passed);
        CommandError::Failed(format!("cannot run {}: {error}; start the server again", self.0.display()))
    }
}

/// Returns the answer to a server that asks about its restart with this configuration: the lines with its addresses.
/// Fails if the configuration names another data folder, on which this program could not start.
pub(super) fn answer(config: &Config) -> Result<Vec<String>, CommandError> {
    let Some(asking) = std::env::var_os(ASKS) else { return Ok(Vec::new()) };
    let id = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    if id(&config.data_dir) != id(Path::new(&asking)) {
        data_folder::check_next(&config.data_dir).map_err(|error| CommandError::Usage(error.to_string()))?;
    }
    let secure = config.https_listen().unwrap_or(Listen::Off);
    let named = [&config.listen, &secure].into_iter().filter(|listen| **listen != Listen::Off);
    Ok(named.map(|listen| format!("{LISTENS}{listen}")).collect())
}

fn executed(program: &Path, passed: &PassedOn) -> io::Error {
    let mut arguments = arguments();
    let name = arguments.next().unwrap_or_default();
    Command::new(program).arg0(name).args(arguments).envs(passed.variables()).exec()
}

/// Returns the arguments of this process that are also for the next start.
fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().filter(|argument| argument != FOR_ONE_START)
}

fn id_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Waits until a child has ended. Kills it when it takes too long.
async fn ended(mut child: Child) -> io::Result<Child> {
    let end = Instant::now() + CHECK_WAIT;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => return Ok(child),
            Ok(None) if Instant::now() < end => tokio::time::sleep(CHECK_POLL).await,
            Ok(None) => {
                // Both, so that no zombie stays.
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end"));
            }
            Err(error) => return Err(error),
        }
    }
}
