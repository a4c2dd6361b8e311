//! The arguments of the commands that are clients of a server.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use url::Url;

use super::arguments::ConfigFile;
use crate::app::data_folder::quoted;

/// The arguments that name the server, the key and the form of the output.
#[derive(Clone, Debug, Args)]
pub(super) struct ClientArguments {
    #[command(flatten)]
    pub(super) config_file: ConfigFile,
    /// The server, such as `https://go.example.com`. Default: the variable `WAYPOST_SERVER`, or the address in the
    /// configuration.
    #[arg(long, value_name = "URL", value_parser = server_url, help_heading = "Server")]
    pub(super) server: Option<Url>,
    /// A file with the API key. Default: the key in the variable `WAYPOST_KEY`, the file that `WAYPOST_KEY_FILE` names, or
    /// admin.key in the data folder.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub(super) key_file: Option<PathBuf>,
    /// The id of the workspace to act in. Default: the oldest one that the key reaches.
    #[arg(long, value_name = "ID", help_heading = "Server")]
    pub(super) workspace: Option<String>,
    /// Print the answer of the API. This is the default if stdout is no terminal.
    #[arg(long)]
    pub(super) json: bool,
    /// Print text for people, also if stdout is no terminal: for `less`, `head`, `watch` and files.
    #[arg(long, conflicts_with = "json")]
    table: bool,
}

impl ClientArguments {
    /// Returns whether the output is the answer of the API, and not a text for people.
    pub(super) fn shows_json(&self) -> bool {
        // A script gets what it can parse, unless it asks for text.
        self.json || !(self.table || io::stdout().is_terminal())
    }

    /// Returns a command line with the same configuration, server, key and workspace.
    pub(super) fn command(&self, command: &str) -> String {
        let words = [
            ("--server", self.server.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned())),
            ("--key-file", self.key_file.as_ref().map(|file| file.display().to_string())),
            ("--workspace", self.workspace.clone()),
        ];
        let words =
            words.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", quoted(&value?))));
        self.config_file.command(command) + &words.collect::<String>()
    }
}

/// Parses `--server`.
pub(super) fn server_url(text: &str) -> Result<Url, String> {
    let rule = "must be scheme and host, such as https://go.example.com or http://127.0.0.1:8080";
    let url = Url::parse(text).map_err(|_| rule.to_owned())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let has_user = !url.username().is_empty() || url.password().is_some();
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && !has_user;
    if fits { Ok(url) } else { Err(rule.to_owned()) }
}
