//! Where the files of an installation are, and what they contain. The binary carries them all, so that it can be
//! installed by itself.

use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

use crate::cli::manual;
use crate::settings::listen::Listen;

/// The settings of the service.
pub(super) const CONFIG: &str = "/etc/waypost/waypost.toml";

/// The first words of every file that `setup` writes, and may therefore write again.
pub(super) const MARK: &str = "# Written by `waypost setup";

/// The line of the settings without a domain.
const NO_DOMAIN: &str = "#domain = \"go.example.com\"";

/// A file of the installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedFile {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
    /// Whether it is a page or a script, which has no part in the decision about an installation.
    pub(super) is_generated: bool,
}

impl PlannedFile {
    pub(super) fn new(path: impl Into<PathBuf>, mode: u32, bytes: impl Into<Vec<u8>>) -> PlannedFile {
        PlannedFile { path: path.into(), mode, bytes: bytes.into(), is_generated: false }
    }

    fn generated(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> PlannedFile {
        PlannedFile { is_generated: true, ..PlannedFile::new(path, 0o644, bytes) }
    }
}

/// Where an installation has its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// `/usr`, the place of packages.
    Package,
    /// `/usr/local`, the place of administrators.
    Local,
}

impl Prefix {
    pub(super) fn binary(self) -> PathBuf {
        self.below("bin/waypost")
    }

    /// Returns the folder of the units.
    pub(super) fn units(self) -> &'static Path {
        Path::new(match self {
            Prefix::Package => "/usr/lib/systemd/system",
            Prefix::Local => "/etc/systemd/system",
        })
    }

    pub(super) fn sysusers(self) -> &'static Path {
        Path::new(match self {
            Prefix::Package => "/usr/lib/sysusers.d/waypost.conf",
            Prefix::Local => "/etc/sysusers.d/waypost.conf",
        })
    }

    fn below(self, name: &str) -> PathBuf {
        let folder = match self {
            Prefix::Package => "/usr",
            Prefix::Local => "/usr/local",
        };
        Path::new(folder).join(name)
    }
}

/// Returns the unit of the service, for a binary at this path.
pub(super) fn service(prefix: Prefix, binary: &Path) -> PlannedFile {
    let text = include_str!("waypost.service").replace("@BINARY@", &binary.display().to_string());
    PlannedFile::new(prefix.units().join("waypost.service"), 0o644, text)
}

/// Returns the unit of the sockets, and what the service needs no longer with it.
pub(super) fn sockets(prefix: Prefix, listens: &[Listen]) -> [PlannedFile; 2] {
    let open = listens.iter().filter(|&listen| *listen != Listen::Off);
    let streams: Vec<_> = open.map(|listen| format!("ListenStream={}\n", stream(listen))).collect();
    let text = include_str!("waypost.socket").replace("@STREAMS@", &streams.concat());
    [
        PlannedFile::new(prefix.units().join("waypost.socket"), 0o644, text),
        PlannedFile::new(
            prefix.units().join("waypost.service.d/socket.conf"),
            0o644,
            include_str!("socket.conf"),
        ),
    ]
}

/// Writes an address as systemd reads it.
fn stream(listen: &Listen) -> String {
    match listen {
        // All addresses, also on a machine without IPv6.
        Listen::Tcp(address) if address.is_ipv6() && address.ip().is_unspecified() => {
            address.port().to_string()
        }
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
        Listen::Off => String::new(),
    }
}

/// Returns the file that creates the user of the service.
pub(super) fn user(prefix: Prefix) -> PlannedFile {
    PlannedFile::new(prefix.sysusers(), 0o644, include_str!("sysusers.conf"))
}

/// Returns the settings of a new service.
pub(super) fn settings(domains: &[String]) -> PlannedFile {
    // Names of hosts need no escapes.
    let names: Vec<_> = domains.iter().map(|name| format!("{name:?}")).collect();
    let line = match &names[..] {
        [] => NO_DOMAIN.to_owned(),
        [name] => format!("domain = {name}"),
        names => format!("domain = [{}]", names.join(", ")),
    };
    PlannedFile::new(CONFIG, 0o644, include_str!("waypost.toml").replace("@DOMAIN@", &line))
}

/// Returns the manual page of the program, which the unit names.
pub(super) fn manual(prefix: Prefix, command: &Command) -> io::Result<PlannedFile> {
    Ok(PlannedFile::generated(prefix.below("share/man/man1/waypost.1"), manual::whole(command)?))
}

/// Returns the manual pages of all commands, and the completions of three shells.
pub(super) fn manuals(prefix: Prefix, command: &Command) -> io::Result<Vec<PlannedFile>> {
    let mut files = Vec::new();
    for (name, page) in manual::pages(command)? {
        files.push(PlannedFile::generated(prefix.below(&format!("share/man/man1/{name}.1")), page));
    }
    let shells = [
        (Shell::Bash, "share/bash-completion/completions/waypost"),
        (Shell::Zsh, "share/zsh/vendor-completions/_waypost"),
        (Shell::Fish, "share/fish/vendor_completions.d/waypost.fish"),
    ];
    for (shell, path) in shells {
        files.push(PlannedFile::generated(prefix.below(path), manual::script(shell, command.clone())));
    }
    Ok(files)
}
