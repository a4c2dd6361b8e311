//! The tip in an error about an unknown command, option or argument. clap names the nearest spelling, which misleads
//! where a word of another program is meant: `stop` is near `restore`.
//!
//! Promise: a tip names no command that replaces or deletes something, unless the word itself means that.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

use crate::app::data_folder::quoted;
use crate::formats::waypost::fields::OPTION_NAMES;

/// Guess that people type, where they type them, and the tip.
struct Guess {
    /// The command in which the words are unknown. Empty: the program itself for commands, every command for options.
    within: &'static str,
    words: &'static [&'static str],
    /// `{word}` is the word itself.
    tip: &'static str,
}

const fn guess(within: &'static str, words: &'static [&'static str], tip: &'static str) -> Guess {
    Guess { within, words, tip }
}

/// Commands of users and of other programs.
const COMMANDS: &[Guess] = &[
    guess("", &["create", "new", "add", "shorten", "short"], "`waypost link create URL`"),
    guess("", &["list", "ls", "links", "urls"], "`waypost link list`"),
    guess("", &["show", "get", "info", "view", "cat"], "`waypost link show CODE`"),
    guess("", &["clicks", "statistics", "analytics", "visits", "report"], "`waypost stats CODE`"),
    guess("", &["shares"], "`waypost share list`"),
    guess("", &["search", "find", "grep"], "`waypost link list --search TEXT`"),
    guess("", &["explain", "why", "simulate"], "`waypost link explain CODE`"),
    guess("", &["edit", "update", "set", "change"], "`waypost link edit CODE`"),
    guess("", &["rename", "mv", "move"], "`waypost link edit CODE --code NEW` renames a link"),
    guess("", &["delete", "remove", "rm", "del"], "`waypost link delete CODE`"),
    guess("", &["open"], "`waypost link open CODE`"),
    guess("", &["keys"], "`waypost key list`"),
    guess("", &["token", "apikey", "tokens"], "`waypost key create NAME --scope links.write`"),
    guess("", &["revoke"], "`waypost key revoke ID`"),
    guess(
        "",
        &["login", "logout", "auth", "signin"],
        "there is no login: `waypost key create NAME --scope links.write` creates a key, and `--key-file FILE` or the \
         variable WAYPOST_KEY passes it",
    ),
    guess(
        "",
        &["user", "users", "account", "member", "adduser"],
        "Waypost has API keys in place of users: `waypost key create NAME --scope links.write`",
    ),
    guess("", &["domains", "host", "hosts"], "`waypost domain list`"),
    guess(
        "",
        &["tag", "tags"],
        "tags belong to links: `waypost link create URL --tag NAME`, `waypost link list --tag NAME`",
    ),
    guess(
        "",
        &["workspace", "workspaces", "company", "companies", "tenant"],
        "the API manages workspaces and companies (/api/v1/workspaces); the option --workspace ID of `waypost link` \
         selects one",
    ),
    guess(
        "",
        &["campaign", "campaigns", "snapshot", "snapshots", "webhook", "webhooks", "api"],
        "the API does this: /api/docs of the running server shows how",
    ),
    guess("", &["start", "run", "server", "up", "daemon", "listen"], "`waypost serve`"),
    guess(
        "",
        &["stop", "shutdown", "down", "quit", "kill"],
        "Ctrl-C or SIGTERM stops a server; a service is stopped with: systemctl stop waypost",
    ),
    guess(
        "",
        &["restart", "reload"],
        "a service is restarted, with new settings or a new binary, by: systemctl reload waypost; any other server by: \
         kill -USR2 PID. No visit fails",
    ),
    guess(
        "",
        &["logs", "log", "journal"],
        "the server logs to stderr; the log of a service is shown by: journalctl -u waypost",
    ),
    guess("", &["check", "status", "health", "test", "ping", "diagnose"], "`waypost doctor`"),
    guess(
        "",
        &["config", "configure", "settings", "configtest"],
        "`waypost serve --check` checks the configuration; `waypost print settings` lists all settings with their defaults",
    ),
    guess(
        "",
        &["init", "install", "bootstrap", "service"],
        "`waypost setup` installs a service of systemd; `waypost serve` needs nothing, and creates its data folder and its key",
    ),
    guess(
        "",
        &["upgrade", "self-update", "self-upgrade"],
        "make a backup with `waypost backup FOLDER`, then run `setup` of the new binary, which restarts the service \
         without a failed visit",
    ),
    guess(
        "",
        &["migrate"],
        "a new version reads the data of all earlier ones, and `waypost import FILE` reads links of \
         other programs",
    ),
    guess("", &["dump"], "`waypost export`"),
    guess("", &["save"], "`waypost backup FOLDER`"),
    guess("", &["load"], "`waypost import FILE`"),
    guess("", &["completion"], "`waypost completions SHELL`"),
    guess("", &["manual", "docs", "manpage"], "`waypost man`"),
    guess("link", &["search", "find", "grep"], "`waypost link list --search TEXT`"),
    guess("link", &["info", "stats", "clicks", "view"], "`waypost link show CODE`"),
    guess("link", &["why", "test", "check", "simulate"], "`waypost link explain CODE`"),
    guess("link", &["rename", "mv", "move"], "`waypost link edit CODE --code NEW`"),
    guess("link", &["change", "modify"], "`waypost link edit CODE`"),
    guess(
        "link",
        &["rule", "rules", "split", "variant", "winner"],
        "rules are a field: `waypost link edit CODE --set rules=@FILE` reads them from a file",
    ),
    guess("link", &["tag"], "`waypost link edit CODE --tag NAME`"),
    guess("link", &["disable", "deactivate", "pause"], "`waypost link edit CODE --set isActive=false`"),
    guess("link", &["enable", "activate", "resume"], "`waypost link edit CODE --set isActive=true`"),
    guess("link", &["import"], "`waypost import FILE`"),
    guess("link", &["export", "dump"], "`waypost export`"),
    guess(
        "key",
        &["show", "get", "info"],
        "`waypost key list` lists keys; a secret is shown once, when its key is created",
    ),
    guess(
        "key",
        &["rotate", "renew", "regenerate"],
        "`waypost key create NAME --scope SCOPE`, then revoke the old key",
    ),
    guess("domain", &["show", "get", "info"], "`waypost domain list`"),
    guess(
        "domain",
        &["rm", "delete", "remove", "edit", "set", "update", "change"],
        "the API changes and deletes domains (/api/v1/domains/ID); `waypost domain list` shows the ids",
    ),
];

/// Options of users and of other programs.
const OPTIONS: &[Guess] = &[
    guess(
        "link create",
        &["--slug", "--code", "--alias", "--custom-slug", "--short-code", "-s"],
        CREATE_CODE,
    ),
    guess("link create", &["--url", "--destination", "--target", "--long-url"], CREATE_CODE),
    guess("link create", &["--quiet", "-q", "--porcelain"], "`--short` prints the short URL alone"),
    guess(
        "link edit",
        &["--slug", "--alias", "--custom-slug", "--short-code", "--rename", "--new-code"],
        "`--code NEW` renames the link",
    ),
    guess("link edit", &["--destination", "--target", "--long-url"], "`--url URL`"),
    guess(
        "link list",
        &["--all", "-a"],
        "`--limit 100` lists 100 links and `--page N` the next ones; `waypost export` writes all links",
    ),
    guess("link list", &["--query", "-q", "--filter", "--grep"], "`--search TEXT`"),
    guess("link list", &["-n", "--count", "--per-page"], "`--limit N`"),
    guess("export", &["--file", "-o", "--out", "-f"], "`--output FILE`"),
    guess(
        "backup",
        &["--output", "-o", "--to", "--out"],
        "the folder is an argument: `waypost backup FOLDER`",
    ),
    guess("import", &["--file", "--input", "-f", "-i"], "the file is an argument: `waypost import FILE`"),
    guess("import", &["--skip", "--ignore", "--skip-existing"], "`--on-conflict skip`"),
    guess("import", &["--check", "--test", "-n"], "`--dry-run`"),
    guess("link", &["--host", "--api", "--endpoint", "--address"], "`--server URL`"),
    guess("key", &["--host", "--api", "--endpoint", "--address"], "`--server URL`"),
    guess("domain", &["--host", "--api", "--endpoint", "--address"], "`--server URL`"),
    guess(
        "",
        &["-p", "--port", "--host", "--bind", "--address"],
        "`--listen :8080` sets the port of the server",
    ),
    guess("", &["-c", "--conf", "--config-file", "-f"], "`--config FILE`"),
    guess("", &["--data", "--data-folder", "--dir", "-d"], "`--data-dir FOLDER`"),
    guess("", &["--base-url", "--url"], "`--public-url URL`"),
    guess("", &["--key", "--token", "--api-key", "-k"], "`--key-file FILE`, or the variable WAYPOST_KEY"),
    guess("", &["--expires-at", "--expiry", "--expire", "--ttl", "--expires-in"], "`--expires WHEN`"),
    guess("", &["--clicks", "--click-limit", "--max-visits", "--limit-clicks"], "`--max-clicks N`"),
    guess("", &["--tags"], "`--tag NAME`"),
    guess("", &["--scopes", "--permissions"], "`--scope SCOPE`"),
    guess("", &["--force", "--assume-yes"], "`--yes`"),
    guess(
        "",
        &["--verbose", "-v", "--debug", "--log-level"],
        "the variable WAYPOST_LOG_FILTER=debug shows more",
    ),
];

const CREATE_CODE: &str = "URL and code are arguments: `waypost link create URL CODE`";

/// Arguments of commands that have none.
const ARGUMENTS: &[Guess] = &[
    guess("link list", &[], "`waypost link list --search {word}`"),
    guess("export", &[], "`waypost export --output {word}`"),
    guess("doctor", &[], "`waypost doctor --data-dir {word}`"),
];

/// Commands that replace or delete something, or create much. A near spelling alone must not lead to them.
const HEAVY: [&str; 4] = ["restore", "import", "delete", "revoke"];

/// Names with at least this similarity, from 0 to 1, count as misspellings of a heavy command.
const ALIKE: f64 = 0.8;

/// Names the command or the option that was likely meant. `root` is the whole command line, and `typed` are its words
/// without the program.
pub(super) fn improve(mut error: Error, root: &Command, typed: &[String]) -> Error {
    if let Some(tip) = tip(&error, root, typed) {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        return error;
    }
    remove_heavy(&mut error);
    // "To pass '--x' as a value" is no help for an option that does not exist.
    if context(&error, ContextKind::InvalidArg).is_some_and(|word| word.starts_with('-')) {
        error.remove(ContextKind::Suggested);
    }
    error
}

fn tip(error: &Error, root: &Command, typed: &[String]) -> Option<String> {
    let (path, command) = within(root, typed);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = context(error, ContextKind::InvalidSubcommand)?;
            // A URL in place of a command.
            if word.contains("://") && matches!(path.as_str(), "" | "link") {
                return Some(format!("`waypost link create {}`", quoted(&word)));
            }
            let word = word.to_lowercase();
            let found =
                COMMANDS.iter().find(|row| row.within == path && row.words.contains(&word.as_str()))?;
            Some(found.tip.to_owned())
        }
        ErrorKind::UnknownArgument => {
            let word = context(error, ContextKind::InvalidArg)?;
            if !word.starts_with('-') {
                let found = ARGUMENTS.iter().find(|row| row.within == path)?;
                return Some(found.tip.replace("{word}", &quoted(&word)));
            }
            let is_within =
                |row: &&Guess| row.within.is_empty() || path == row.within || is_below(&path, row.within);
            let mut rows = OPTIONS.iter().filter(is_within);
            rows.find(|row| row.words.contains(&word.as_str()) && has_option(command, row.tip))
                .map(|row| row.tip.to_owned())
                .or_else(|| field(&path, &word))
        }
        // Options before the name of the command belong to the program itself.
        ErrorKind::ArgumentConflict if path.is_empty() => {
            let at = typed.iter().position(|word| root.find_subcommand(word).is_some())?;
            let (before, after) = typed.split_at(at);
            let words: Vec<_> = after.iter().chain(before).map(|word| quoted(word)).collect();
            Some(format!("options follow the name of the command: `waypost {}`", words.join(" ")))
        }
        _ => None,
    }
}

/// Returns the command that the words lead to, by name and whole.
fn within<'c>(root: &'c Command, typed: &[String]) -> (String, &'c Command) {
    let (mut path, mut command) = (Vec::new(), root);
    for word in typed {
        let Some(inner) = command.find_subcommand(word) else { break };
        path.push(inner.get_name());
        command = inner;
    }
    (path.join(" "), command)
}

fn is_below(path: &str, within: &str) -> bool {
    path.strip_prefix(within).is_some_and(|rest| rest.starts_with(' '))
}

/// Returns whether the command has the option that a tip begins with. A tip about anything else always fits.
fn has_option(command: &Command, tip: &str) -> bool {
    let Some(rest) = tip.strip_prefix("`--") else { return true };
    let name = rest.split(['`', ' ']).next();
    command.get_arguments().any(|argument| argument.get_long() == name)
}

/// Returns the tip about an option that is a field of the API, such as `--utm-source`.
fn field(path: &str, word: &str) -> Option<String> {
    if !matches!(path, "link create" | "link edit") {
        return None;
    }
    let bare = word.trim_start_matches('-').replace(['-', '_'], "").to_ascii_lowercase();
    let name = OPTION_NAMES.iter().find(|name| name.to_ascii_lowercase() == bare)?;
    Some(format!("`--set {name}=VALUE`"))
}

/// Removes suggestions of heavy commands that are no misspellings.
fn remove_heavy(error: &mut Error) {
    let Some(word) = context(error, ContextKind::InvalidSubcommand) else { return };
    let Some(ContextValue::Strings(names)) = error.remove(ContextKind::SuggestedSubcommand) else { return };
    let fits = |name: &String| {
        !HEAVY.contains(&name.as_str()) || strsim::normalized_damerau_levenshtein(&word, name) >= ALIKE
    };
    let names: Vec<_> = names.into_iter().filter(fits).collect();
    if !names.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(names));
    }
}

fn context(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    /// Returns the error of a command line as it is printed.
    fn printed(line: &str) -> String {
        let typed: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = Cli::try_parse_from(std::iter::once("waypost".to_owned()).chain(typed.clone()));
        improve(parsed.expect_err(line), &Cli::command(), &typed).to_string()
    }

    /// Returns the command lines that a tip names.
    fn commands(tip: &str) -> Vec<&str> {
        tip.split('`').skip(1).step_by(2).filter_map(|text| text.strip_prefix("waypost ")).collect()
    }

    #[test]
    fn every_word_has_its_tip_and_every_tip_names_commands_that_exist() {
        let rows = COMMANDS.iter().map(|row| (row, false)).chain(OPTIONS.iter().map(|row| (row, true)));
        for (row, is_option) in rows {
            for word in row.words {
                // An option needs a command that has what its tip names.
                let all = ["", "link create", "link list", "link delete", "key create", "serve"];
                let fitting = all.into_iter().find(|path| {
                    let typed: Vec<_> = path.split_whitespace().map(str::to_owned).collect();
                    has_option(within(&Cli::command(), &typed).1, row.tip)
                });
                let path = match row.within {
                    "" if is_option => fitting.unwrap_or_else(|| panic!("no command has {}", row.tip)),
                    "link" | "key" | "domain" if is_option => &format!("{} list", row.within),
                    path => path,
                };
                let line = format!("{path} {word}");
                let text = printed(&line);
                assert!(text.contains(&format!("  tip: {}\n", row.tip)), "{line}: {text}");
                assert_eq!(text.matches("tip:").count(), 1, "{line}: {text}");
            }
            let is_heavy = |word: &&str| HEAVY.contains(word);
            for command in commands(row.tip) {
                let typed: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
                let (path, _) = within(&Cli::command(), &typed);
                assert!(!path.is_empty(), "{}: there is no {command}", row.tip);
                let means_it = row
                    .words
                    .iter()
                    .any(|word| ["delete", "revoke", "load", "import", "migrate"].contains(word))
                    || row.within == "import";
                assert!(means_it || !path.split(' ').any(|word| is_heavy(&word)), "{}", row.tip);
            }
        }
    }

    #[test]
    fn tips_of_other_command_lines() {
        let rows = [
            ("https://e.test/", "`waypost link create https://e.test/`"),
            ("link https://e.test/", "`waypost link create https://e.test/`"),
            ("link list spring", "`waypost link list --search spring`"),
            ("export links.jsonl", "`waypost export --output links.jsonl`"),
            ("--config f doctor", "options follow the name of the command: `waypost doctor --config f`"),
            (
                "--config f link list",
                "options follow the name of the command: `waypost link list --config f`",
            ),
            ("link create u --utm-source x", "`--set utmSource=VALUE`"),
            ("link edit c --forward-path", "`--set forwardPath=VALUE`"),
            ("link rm c --force", "`--yes`"),
            // As clap finds them by their spelling.
            ("backp", "'backup'"),
            ("restor", "'restore'"),
            ("link craete u", "'create'"),
            ("link list --serach x", "'--search'"),
        ];
        for (line, want) in rows {
            let text = printed(line);
            let tips: Vec<_> = text.lines().filter(|line| line.contains("tip:")).collect();
            assert!(tips.len() == 1 && tips[0].contains(want), "{line}: {text}");
        }
        for line in [
            "restar",
            "stopp",
            "domain rmm",
            "key deleted",
            "link list --nonsense",
            "frobnicate",
            "import f --yes",
        ] {
            let text = printed(line);
            let is_wrong =
                ["restore", "delete", "revoke", "as a value"].iter().any(|word| text.contains(word));
            assert!(!is_wrong || line.starts_with("key"), "{line}: {text}");
        }
    }
}
