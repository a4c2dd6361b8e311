//! What a machine has already: the parts of an installation, its service manager, and its files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::layout::{PlannedFile, Prefix};
use super::steps::output_of;

/// The folder that exists where systemd is the first process (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// The name of the user and of the service.
pub(super) const NAME: &str = "waypost";

/// The state of a machine before the installation.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// The file of this program.
    pub(super) program: PathBuf,
    pub(super) is_root: bool,
    pub(super) has_systemd: bool,
    pub(super) has_user: bool,
    /// Units that are started with the machine.
    pub(super) enabled: Vec<&'static str>,
    /// Units that run.
    pub(super) active: Vec<&'static str>,
    /// The folder that stands for `/`.
    root: PathBuf,
}

/// The units of an installation.
pub(super) const SERVICE: &str = "waypost.service";
pub(super) const SOCKET: &str = "waypost.socket";

impl Machine {
    /// Examines this machine.
    pub(super) fn this() -> Result<Machine, String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("cannot find the file of this program: {error}"))?;
        // Not by a look-up: the user of the service must be one of this machine.
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let has_systemd = Path::new(SYSTEMD).is_dir();
        let state = |question: &str| -> Vec<&'static str> {
            let asked = |unit: &&&'static str| {
                has_systemd && output_of(&["systemctl", question, "--quiet", unit].map(str::to_owned)).is_ok()
            };
            [&SERVICE, &SOCKET].into_iter().filter(asked).copied().collect()
        };
        Ok(Machine {
            program,
            is_root: rustix::process::geteuid().is_root(),
            has_systemd,
            has_user: users.lines().any(|line| line.split(':').next() == Some(NAME)),
            enabled: state("is-enabled"),
            active: state("is-active"),
            root: PathBuf::from("/"),
        })
    }

    /// Returns where this program is installed, or else where it will be.
    pub(super) fn prefix(&self) -> Prefix {
        if self.program == Prefix::Package.binary() { Prefix::Package } else { Prefix::Local }
    }

    /// Returns the content of a file, if it exists.
    pub(super) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        fs::read(self.at(path)).ok()
    }

    /// Returns whether a file is already as it should be.
    pub(super) fn has(&self, file: &PlannedFile) -> bool {
        let found = fs::metadata(self.at(&file.path));
        let is_mode = found.is_ok_and(|found| found.permissions().mode() & 0o7777 == file.mode);
        is_mode && self.content(&file.path).is_some_and(|bytes| bytes == file.bytes)
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A machine with these files that nothing else describes yet.
    #[cfg(test)]
    pub(super) fn empty(root: &Path) -> Machine {
        Machine {
            program: PathBuf::from("/home/ann/waypost"),
            is_root: true,
            has_systemd: true,
            has_user: false,
            enabled: Vec::new(),
            active: Vec::new(),
            root: root.to_owned(),
        }
    }
}
