//! Why a configuration cannot be used, in words that hold no secret: values stand only in errors about
//! names that are known, and a line of the file is named by its number and never quoted.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::names;

/// Shorter pieces of a line are no secret and may stand in a message, such as a number of the wrong type.
const SECRET_MIN: usize = 6;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no TOML, or has an unknown key or a value of the wrong type.
    #[error("{}: TOML parse error at line {line}, column {column}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// A variable of the environment has our prefix and is no setting. Its value may be a secret.
    #[error("environment variable {name}: unknown field `{field}` (its value is not shown){}", hint(.nearest.as_deref()))]
    UnknownVariable {
        /// Its name.
        name: String,
        /// What it names in its section.
        field: String,
        /// The one that was meant.
        nearest: Option<String>,
    },
    /// A variable of the environment has a value of the wrong type.
    #[error("environment variable {name} = {value:?}: {why}")]
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong.
        why: String,
    },
    /// A value of the right type breaks a rule.
    #[error("{source_name}: `{section}{key}` = {value}: {rule}")]
    Rule {
        /// The file, or "environment and defaults".
        source_name: String,
        /// With a dot at its end, or empty.
        section: &'static str,
        /// The key within it.
        key: String,
        /// As the file would spell it.
        value: String,
        /// What it must be.
        rule: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"))
}

impl ConfigError {
    /// Describes an error of the TOML parser, which would quote the line.
    pub(super) fn in_file(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let lines = lines_of(text, &span);
        let unknown = unknown_key(error.message());
        let mut why = match unknown {
            // The line is the header of a section: the name itself is what is wrong.
            Some(key) if is_header(lines, key) => error.message().to_owned(),
            _ => without_values(error.message(), lines),
        };
        if let Some(key) = lines.split_once('=').map(|(key, _)| key.trim()).filter(|key| names::is_known(key))
        {
            why = format!("`{key}`: {why}");
        }
        if let Some(nearest) = unknown.and_then(names::nearest_key) {
            why = format!("{why}; {nearest}");
        }
        ConfigError::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            why,
        }
    }
}

/// The lines that a span touches.
fn lines_of<'a>(text: &'a str, span: &Range<usize>) -> &'a str {
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end = span.end.max(start);
    let end = text.get(end..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| end + at);
    text.get(start..end).unwrap_or(text)
}

/// The key in the parser's words for one that does not exist.
fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// Whether a line is `[key]` or `[[key]]`.
fn is_header(line: &str, key: &str) -> bool {
    line.trim().trim_start_matches('[').trim_end_matches(']').trim() == key && line.trim().starts_with('[')
}

/// Takes out of a message what it quotes from the values of these lines. Names stay.
fn without_values(message: &str, lines: &str) -> String {
    let mut shown = message.to_owned();
    for line in lines.lines() {
        // A line without `=` is no setting, and all of it may be a secret.
        let value = line.split_once('=').map_or(line, |(_, value)| value);
        let value = value.trim();
        let inner = value.trim_matches(|c: char| matches!(c, '"' | '\'' | '[' | ']' | '{' | '}'));
        let words = value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | '='));
        for secret in [value, inner].into_iter().chain(words).filter(|part| part.len() >= SECRET_MIN) {
            shown = shown.replace(secret, "(not shown)");
        }
    }
    shown
}
