//! The API key of a client, and where it is from. The key of the data folder is sent to this machine only.

use std::io;
use std::path::Path;

use super::api_server::ApiServer;
use super::client_arguments::ClientArguments;
use super::error::CommandError;
use crate::app::data_folder::{LOG_FOLDER, remedy};
use crate::config::{CLIENT_KEY, CLIENT_KEY_FILE, Config, unquoted};
use crate::core::KEY_FILE;
use crate::model::text;

/// An API key, and where it is from.
pub(super) struct KeySource {
    pub(super) key: String,
    /// For messages; never the key.
    pub(super) place: String,
    /// Whether it is `admin.key` of the data folder.
    pub(super) is_own: bool,
}

/// Finds the key for a server: the one that an argument or a variable names, or that of the data folder.
pub(super) fn find_key(
    arguments: &ClientArguments,
    server: &ApiServer,
    load: impl FnOnce() -> Result<Config, CommandError>,
) -> Result<KeySource, CommandError> {
    let named = |file: &Path, by: &str| {
        read_key(file).map_err(|error| CommandError::Usage(not_read(file, &error, by)))
    };
    if let Some(file) = &arguments.key_file {
        return named(file, "--key-file");
    }
    if let Some(key) = variable(CLIENT_KEY)? {
        return Ok(KeySource { key, place: CLIENT_KEY.to_owned(), is_own: false });
    }
    if let Some(file) = variable(CLIENT_KEY_FILE)? {
        return named(Path::new(&file), CLIENT_KEY_FILE);
    }
    // The key of this machine must not reach the operator of another one.
    if !server.is_here() {
        return Err(CommandError::Usage(format!(
            "name a key of {} with --key-file FILE or the variable {CLIENT_KEY}: the key in the data folder of this \
             machine is not sent to another one",
            server.shown()
        )));
    }
    let config = load()?;
    if let Some(key) = &config.admin_key {
        return Ok(KeySource { key: key.0.clone(), place: "WAYPOST_ADMIN_KEY".to_owned(), is_own: false });
    }
    let file = config.data_dir.join(KEY_FILE);
    let found = read_key(&file).map(|source| KeySource { is_own: true, ..source });
    found.map_err(|error| CommandError::Usage(no_own_key(arguments, &config, &file, &error)))
}

/// Returns the value of a variable that is set and not empty, without quotation marks around it.
pub(super) fn variable(name: &str) -> Result<Option<String>, CommandError> {
    match std::env::var(name) {
        Ok(value) if !unquoted(&value).is_empty() => Ok(Some(unquoted(&value).to_owned())),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(CommandError::Usage(format!("environment variable {name}: must be UTF-8")))
        }
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
    }
}

fn read_key(file: &Path) -> io::Result<KeySource> {
    let text = std::fs::read_to_string(file)?;
    // Editors begin a file with a byte order mark.
    Ok(KeySource { key: text::trim_blank(&text).to_owned(), place: whole(file), is_own: false })
}

/// How a lost key of the instance is replaced, as a sentence.
pub(super) const ANOTHER_KEY: &str = "If the key is lost, start the server once with WAYPOST_ADMIN_KEY=SECRET, of at least 16 characters of your own, and create \
     another: WAYPOST_KEY=SECRET waypost key create admin-2 --instance --scope admin --scope links.write";

/// Returns a whole path, for messages.
fn whole(file: &Path) -> String {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
}

/// Returns why a key file that was named cannot be read, and the remedy. `by` is what named it.
fn not_read(file: &Path, error: &io::Error, by: &str) -> String {
    let shown = whole(file);
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "there is no {shown}, which {by} names: it is a file with an API key alone, such as the secret that `waypost key \
             create` prints"
        ),
        _ => format!("cannot read {shown}, which {by} names: {error}{}", remedy(file, error)),
    }
}

/// Returns why the key in the data folder cannot be read, and the remedy.
fn no_own_key(arguments: &ClientArguments, config: &Config, file: &Path, error: &io::Error) -> String {
    let shown = whole(file);
    let other = format!("name a key with --key-file FILE or the variable {CLIENT_KEY}");
    match error.kind() {
        io::ErrorKind::NotFound if config.data_dir.join(LOG_FOLDER).is_dir() => {
            format!("there is no {shown}, and a server has used this data folder: {other}. {ANOTHER_KEY}")
        }
        io::ErrorKind::NotFound => format!(
            "there is no {shown}: the first start of the server writes it (`{}`). Name the configuration of the server with \
             --config FILE, or {other}.{}",
            arguments.config_file.command("serve"),
            arguments.config_file.hint()
        ),
        _ => format!("cannot read {shown}: {error}{}; or {other}", remedy(file, error)),
    }
}
