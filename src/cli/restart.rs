//! A restart in place, at SIGUSR2: the process executes the file that it was started from, with its sockets. Visitors wait
//! in the queues of the sockets. The id of the process stays, so supervisors, containers and shells notice nothing.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::error::CommandError;
use crate::http::conn::handover::{KeptSocket, PassedOn};

/// How long the file to be started may take to check the configuration.
const CHECK_WAIT: Duration = Duration::from_secs(10);

/// The interval at which the check is looked at.
const CHECK_POLL: Duration = Duration::from_millis(10);

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

    /// Runs the file with the arguments of this process and `--check`. Fails if it does not run, if the configuration is
    /// not valid for it, or if it is another program.
    pub(super) async fn check(&self) -> Result<(), String> {
        let shown = self.0.display();
        let started = Command::new(&self.0)
            .args(arguments().skip(1))
            .arg("--check")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        // Such as a file that is gone, or no program.
        let child = started.map_err(|error| format!("cannot run {shown}: {error}"))?;
        let child = ended(child).await.map_err(|error| format!("{shown} --check: {error}"))?;
        // Of a process that has ended: nothing blocks.
        let output = child.wait_with_output().map_err(|error| format!("{shown} --check: {error}"))?;
        if output.status.success() {
            // A script around the program may print other lines.
            let is_valid = String::from_utf8_lossy(&output.stdout).lines().any(|line| line == VALID);
            let other = || format!("{shown} --check does not print `{VALID}`: it is another program");
            return if is_valid { Ok(()) } else { Err(other()) };
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        Err(format!("{shown} --check: {}: {said}", output.status))
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
