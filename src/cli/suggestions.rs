//! The tip in an error about an unknown command or option. clap names the nearest spelling, which misleads where a word
//! of another program is meant: `create` is near `restore`.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// Words of users and of other programs, with the command that is meant.
const COMMANDS: &[(&str, &str)] = &[
    ("create", "link create"),
    ("new", "link create"),
    ("add", "link create"),
    ("shorten", "link create"),
    ("short", "link create"),
    ("list", "link list"),
    ("ls", "link list"),
    ("links", "link list"),
    ("urls", "link list"),
    ("show", "link show"),
    ("get", "link show"),
    ("info", "link show"),
    ("stats", "link show"),
    ("clicks", "link show"),
    ("edit", "link edit"),
    ("update", "link edit"),
    ("set", "link edit"),
    ("delete", "link delete"),
    ("remove", "link delete"),
    ("rm", "link delete"),
    ("open", "link open"),
    ("keys", "key list"),
    ("token", "key create"),
    ("apikey", "key create"),
    ("revoke", "key revoke"),
    ("domains", "domain list"),
    ("start", "serve"),
    ("run", "serve"),
    ("server", "serve"),
    ("check", "doctor"),
    ("status", "doctor"),
    ("health", "doctor"),
    ("test", "doctor"),
    ("dump", "export"),
    ("save", "backup"),
    ("load", "import"),
    ("completion", "completions"),
    ("manual", "man"),
    ("docs", "man"),
];

/// Options of other programs, with the option that is meant.
const OPTIONS: &[(&str, &str)] = &[
    ("--port", "--listen"),
    ("--host", "--listen"),
    ("--bind", "--listen"),
    ("--address", "--listen"),
    ("--data", "--data-dir"),
    ("--base-url", "--public-url"),
    ("--key", "--key-file"),
    ("--token", "--key-file"),
    ("--api-key", "--key-file"),
    ("--slug", "CODE"),
    ("--code", "CODE"),
    ("--expires-at", "--expires"),
    ("--expiry", "--expires"),
    ("--tags", "--tag"),
    ("--scopes", "--scope"),
    ("--force", "--yes"),
];

/// Names the command or the option that was likely meant. `root` is the whole command line.
pub(super) fn improve(mut error: Error, root: &Command) -> Error {
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let Some(word) = context(&error, ContextKind::InvalidSubcommand) else { return error };
            if let Some(meant) = command(&word) {
                let meant = ContextValue::Strings(vec![meant.to_owned()]);
                error.insert(ContextKind::SuggestedSubcommand, meant);
            }
        }
        ErrorKind::UnknownArgument => {
            let Some(word) = context(&error, ContextKind::InvalidArg) else { return error };
            let meant = OPTIONS.iter().find(|(option, _)| *option == word).map(|(_, meant)| *meant);
            if let Some(meant) = meant.filter(|meant| has_option(root, meant)) {
                error.insert(ContextKind::SuggestedArg, ContextValue::String(meant.to_owned()));
            }
        }
        _ => {}
    }
    error
}

fn context(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    }
}

/// Returns the command that a word means.
fn command(word: &str) -> Option<&'static str> {
    // A URL in place of a command.
    if word.contains("://") {
        return Some("link create");
    }
    let word = word.to_lowercase();
    COMMANDS.iter().find(|(other, _)| *other == word).map(|(_, meant)| *meant)
}

/// Returns whether any command has the option. An argument without dashes is that of `link create`.
fn has_option(command: &Command, option: &str) -> bool {
    let Some(long) = option.strip_prefix("--") else { return true };
    command.get_arguments().any(|argument| argument.get_long() == Some(long))
        || command.get_subcommands().any(|inner| has_option(inner, option))
}
