//! [`ConfigError`]: why a configuration cannot be used. Messages contain no secret: only errors about known names
//! contain values, and a line of the file is named by its number and never quoted.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::names::SettingNames;
use super::wrong_type::{self, SECRET_MIN};
use crate::users::remedy_to_read;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The fields are the parts of the messages.
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}{}", path.display(), remedy_to_read(path, error))]
    Unreadable { path: PathBuf, error: std::io::Error },
    /// The file is no TOML, or has an unknown key.
    #[error("{}: TOML parse error at line {line}, column {column}: {why}", path.display())]
    File {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        why: String,
    },
    /// A value of the file has the wrong type.
    #[error("{}, line {line}: `{key}` = {value}: {rule}", path.display())]
    Type {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// With its section.
        key: String,
        /// As in the file, if it cannot be a secret.
        value: String,
        rule: String,
    },
    /// An environment variable has the prefix and names no setting. Its value may be a secret.
    #[error("environment variable {name}: unknown field `{field}` (its value is not shown), expected one of {known}{}", hint(.nearest.as_deref()))]
    UnknownVariable {
        name: String,
        /// The key in its section.
        field: String,
        /// The variables of its section.
        known: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// An environment variable has a value of the wrong type, or one that breaks a rule.
    #[error("environment variable {name} = {value:?}: {why}")]
    Variable { name: String, value: String, why: String },
    /// A flag of the command line has such a value.
    #[error("{name} {value:?}: {why}")]
    Flag { name: String, value: String, why: String },
    /// A relative `data_dir` of a file named a folder below the working folder in earlier versions, which contains a
    /// log.
    #[error(
        "{}: `data_dir` = {value:?} is relative to this file, which is {}, where no log is. Earlier versions took it \
         relative to the working folder, and {} contains a log. Write the whole path: data_dir = {:?}, or {:?} to begin a new one",
        file.display(), new.display(), old.display(), old.display().to_string(), new.display().to_string()
    )]
    Moved { file: PathBuf, value: String, new: PathBuf, old: PathBuf },
    /// A value of the right type breaks a rule.
    #[error("{source_name}: `{section}{key}` = {value}: {rule}")]
    Rule {
        /// The file, or "environment and defaults".
        source_name: String,
        /// With a dot at its end, or empty.
        section: &'static str,
        key: String,
        /// As the file would spell it.
        value: String,
        rule: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"))
}

impl ConfigError {
    /// Creates the error of a file from an error of the TOML parser, whose own message would quote the line.
    pub(super) fn in_file(
        path: &Path,
        text: &str,
        error: &toml::de::Error,
        names: &SettingNames,
    ) -> ConfigError {
        let span = error.span().unwrap_or_default();
        // `get` and not an index: a span of the parser must never panic here.
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let wrong = wrong_type::value_at(text, span.start, |name| names.is_section(name));
        if let Some(wrong) = wrong
            && unknown_key(error.message()).is_none()
            && let Some(rule) = wrong_type::rule(&wrong.key, error.message(), wrong.is_list).or_else(|| {
                error.message().contains("expected struct").then(|| wrong_type::SECTION.to_owned())
            })
        {
            let rule = if names.is_section(&wrong.key) { wrong_type::SECTION.to_owned() } else { rule };
            return ConfigError::Type {
                path: path.to_owned(),
                line,
                key: wrong.key,
                value: wrong.shown.unwrap_or("(not shown)").to_owned(),
                rule,
            };
        }
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let lines = lines_of(text, &span);
        let unknown = unknown_key(error.message());
        let mut why = match unknown {
            // The line is the header of a section, and its name is the error.
            Some(key) if is_header(lines, key) => error.message().to_owned(),
            _ => without_values(error.message(), lines),
        };
        // An unknown key is in the message already, also if another section knows it.
        if unknown.is_none()
            && let Some(key) =
                lines.split_once('=').map(|(key, _)| key.trim()).filter(|key| names.is_known(key))
        {
            why = format!("`{key}`: {why}");
        }
        let section = wrong_type::section_at(text, span.start).unwrap_or_default();
        if let Some(nearest) = unknown.and_then(|key| names.nearest_key(key, &section)) {
            why = format!("{why}; {nearest}");
        }
        ConfigError::File {
            path: path.to_owned(),
            line,
            // In characters, as editors count.
            column: before[line_start..].chars().count() + 1,
            why,
        }
    }
}

/// Returns the lines that a span touches.
fn lines_of<'a>(text: &'a str, span: &Range<usize>) -> &'a str {
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end = span.end.max(start);
    let end = text.get(end..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| end + at);
    text.get(start..end).unwrap_or(text)
}

/// Returns the key that a message of the parser calls unknown.
fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// Returns whether a line is `[key]` or `[[key]]`.
fn is_header(line: &str, key: &str) -> bool {
    line.trim().trim_start_matches('[').trim_end_matches(']').trim() == key && line.trim().starts_with('[')
}

/// Replaces every part of a message that quotes a value of these lines. Names remain.
fn without_values(message: &str, lines: &str) -> String {
    let mut shown = message.to_owned();
    for line in lines.lines() {
        // A line without `=` is no setting: the whole line may be a secret.
        let value = line.split_once('=').map_or(line, |(_, value)| value);
        let value = value.trim();
        let inner = value.trim_matches(|c: char| matches!(c, '"' | '\'' | '[' | ']' | '{' | '}'));
        let words = value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | '='));
        // The whole value first: replacing its words would leave the text between them.
        for secret in [value, inner].into_iter().chain(words).filter(|part| part.len() >= SECRET_MIN) {
            shown = shown.replace(secret, "(not shown)");
        }
    }
    shown
}
