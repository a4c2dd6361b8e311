//! Arguments that several commands have.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::process::{getegid, geteuid};

use super::error::CommandError;
use crate::app::data_folder;
use crate::app::data_folder::{quoted, shown_user};
use crate::config::{Config, unquoted};

/// The file that is read without `--config`, if the working folder has it.
const FILE: &str = "waypost.toml";

/// The usual file of a service. It is never read without being named: what a command works on must not depend on
/// what else is installed on the machine.
const SERVICE_FILE: &str = "/etc/waypost/waypost.toml";

/// The variable that names the file.
const FILE_VARIABLE: &str = "WAYPOST_CONFIG";

/// The arguments that name the configuration, and override a part of it.
#[derive(Clone, Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file. Without one: the file that `WAYPOST_CONFIG` names, or waypost.toml of the working
    /// folder if only this user or root can write it, or none.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Of [`ServerFile`] alone: `--domain` of the commands for links is another one.
    #[arg(skip)]
    domain: Option<String>,
    /// The address or the socket to listen on, such as `:8080` or `unix:/run/waypost.sock`.
    #[arg(long, value_name = "ADDRESS", help_heading = "Settings")]
    listen: Option<String>,
    /// The start of short URLs, such as `https://go.example.com`.
    #[arg(long, value_name = "URL", help_heading = "Settings")]
    public_url: Option<String>,
    /// The folder of all data.
    #[arg(long, value_name = "FOLDER", help_heading = "Settings")]
    data_dir: Option<String>,
}

impl ConfigFile {
    /// Reads the configuration from the file, the environment and the arguments.
    pub(super) fn load(&self) -> Result<Config, CommandError> {
        let mut variables = Vec::new();
        // `std::env::vars` would panic at any variable that is not UTF-8, also at one of another program.
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => variables.push((name, value)),
                // Not ignored: a setting that is silently missing would be worse than an error.
                Err(_) if name.starts_with("WAYPOST_") && name != FILE_VARIABLE => {
                    return Err(CommandError::Usage(format!("environment variable {name}: must be UTF-8")));
                }
                // A variable of another program.
                Err(_) => {}
            }
        }
        let flags = [
            ("domain", &self.domain),
            ("listen", &self.listen),
            ("public_url", &self.public_url),
            ("data_dir", &self.data_dir),
        ];
        let flags: Vec<_> =
            flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        let loaded = Config::load_with(self.file()?.as_deref(), variables, &flags);
        loaded.map_err(|error| CommandError::Usage(error.to_string()))
    }

    /// Returns the file to read. Fails if the one in the working folder may be another user's.
    pub(super) fn file(&self) -> Result<Option<PathBuf>, CommandError> {
        let named = std::env::var_os(FILE_VARIABLE)
            .map(|file| file.to_str().map(|file| unquoted(file).into()).unwrap_or(file));
        let named = named.filter(|file| !file.is_empty());
        if let Some(file) = self.config.clone().or_else(|| named.map(PathBuf::from)) {
            return Ok(Some(file));
        }
        let here = Path::new(FILE);
        if !here.is_file() {
            return Ok(None);
        }
        check_ours(here).map_err(CommandError::Usage)?;
        Ok(Some(here.to_owned()))
    }

    /// Returns a command line with these arguments, such as `waypost doctor --config FILE`.
    pub(super) fn command(&self, command: &str) -> String {
        let words = [
            ("--config", self.config.as_ref().map(|file| file.display().to_string())),
            ("--domain", self.domain.clone()),
            ("--listen", self.listen.clone()),
            ("--public-url", self.public_url.clone()),
            ("--data-dir", self.data_dir.clone()),
        ];
        let words =
            words.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", quoted(&value?))));
        format!("waypost {command}{}", words.collect::<String>())
    }

    /// Fails if the data folder of the configuration does not exist: for a command that reads it, another configuration was
    /// most likely meant.
    pub(super) fn check_data_folder(&self, config: &Config) -> Result<(), CommandError> {
        let dir = &config.data_dir;
        let is_missing = std::fs::metadata(dir).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        // An unfinished backup to this folder is beside it: the command says how it is completed.
        if is_missing && matches!(data_folder::unfinished(dir), Ok(None)) {
            return Err(CommandError::Failed(format!(
                "the data folder {} does not exist. Name the configuration of the server with --config FILE, or its data folder \
                 with --data-dir FOLDER.{}",
                config.data_dir.display(),
                self.hint()
            )));
        }
        Ok(())
    }

    /// Returns a sentence about the file of a service that was not read, or an empty text. Begins with a space.
    pub(super) fn hint(&self) -> String {
        // An error of the file is reported by the command itself.
        hint(self.file().map_or(true, |file| file.is_some()), Path::new(SERVICE_FILE))
    }
}

/// The arguments of commands that have all settings of a server.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerFile {
    #[command(flatten)]
    file: ConfigFile,
    /// The name under which visitors reach this server over HTTPS, such as `go.example.com`. Needs the ports 80 and 443.
    /// Several names are repeated, or separated by commas.
    #[arg(long = "domain", value_name = "NAME", help_heading = "Settings")]
    domains: Vec<String>,
}

impl ServerFile {
    /// Reads the configuration like [`ConfigFile::load`].
    pub(super) fn load(&self) -> Result<Config, CommandError> {
        self.whole().load()
    }

    /// Returns a command line with these arguments, for a command that has them all.
    pub(super) fn command(&self, command: &str) -> String {
        self.whole().command(command)
    }

    /// Returns a command line for a client of the server, which has not `--domain`.
    pub(super) fn client_command(&self, command: &str) -> String {
        self.file.command(command)
    }

    fn whole(&self) -> ConfigFile {
        // As the variable has them.
        let domain = Some(self.domains.join(",")).filter(|_| !self.domains.is_empty());
        ConfigFile { domain, ..self.file.clone() }
    }
}

/// Fails if another user could have written a file that was found and not named: the commands of a person in a shared
/// folder would follow that user, and could send a key to a server of theirs.
fn check_ours(file: &Path) -> Result<(), String> {
    let us = geteuid().as_raw();
    let refused = |why: String| {
        let shown = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let shown = quoted(&shown.display().to_string());
        Err(format!(
            "{shown} was found here and not read, since {why}: add --config {shown} if you mean this file"
        ))
    };
    // Of a link and of the file that it leads to.
    for found in [std::fs::symlink_metadata(file), std::fs::metadata(file)].into_iter().flatten() {
        let (owner, mode) = (found.uid(), found.mode());
        if owner != us && owner != 0 {
            return refused(format!("it belongs to {} and this is {}", shown_user(owner), shown_user(us)));
        }
        // The own group is usually the group of this user alone.
        let by_group = mode & 0o020 != 0 && found.gid() != getegid().as_raw();
        if !found.is_symlink() && (mode & 0o002 != 0 || by_group) {
            return refused(format!("other users can write it (mode {:03o})", mode & 0o777));
        }
    }
    Ok(())
}

fn hint(has_file: bool, service: &Path) -> String {
    if has_file || !service.is_file() {
        return String::new();
    }
    let file = service.display();
    format!(" {file} exists and was not read: add --config {file} if you mean that server")
}

/// Parses the path of a file or folder that a command creates. Rejects a `~` at the start: no shell replaced
/// it, so it would become the name of a folder.
pub(super) fn created_path(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('~') {
        return Err(
            "no shell replaces `~` here: write the whole path, or ./~ for a file of that name".to_owned()
        );
    }
    Ok(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_service_is_named_and_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("waypost.toml");
        assert_eq!(hint(false, &file), "");
        std::fs::write(&file, "").expect("a small file");
        let want = format!("add --config {} if you mean that server", file.display());
        assert!(hint(false, &file).ends_with(&want));
        assert_eq!(hint(true, &file), "");
    }

    #[test]
    fn a_command_keeps_its_configuration() {
        let config_file = ConfigFile {
            domain: None,
            config: Some(PathBuf::from("/etc/my waypost.toml")),
            listen: None,
            public_url: None,
            data_dir: Some("/srv/d".to_owned()),
        };
        let want = "waypost link list --config '/etc/my waypost.toml' --data-dir /srv/d";
        assert_eq!(config_file.command("link list"), want);
    }
}
