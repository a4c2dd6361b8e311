//! Arguments that several commands have.

use std::path::PathBuf;

use clap::Args;

use super::error::CommandError;
use crate::config::Config;

/// The argument that names the configuration.
#[derive(Clone, Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file. Without one, the defaults are used.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads the configuration from the file and the environment.
    pub(super) fn load(&self) -> Result<Config, CommandError> {
        let mut variables = Vec::new();
        // `std::env::vars` would panic at any variable that is not UTF-8, also at one of another program.
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => variables.push((name, value)),
                // Not ignored: a setting that is silently missing would be worse than an error.
                Err(_) if name.starts_with("WAYPOST_") => {
                    return Err(CommandError::Usage(format!("environment variable {name}: must be UTF-8")));
                }
                // A variable of another program.
                Err(_) => {}
            }
        }
        let loaded = Config::load(self.config.as_deref(), variables);
        loaded.map_err(|error| CommandError::Usage(error.to_string()))
    }
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
