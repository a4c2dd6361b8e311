//! [`CommandError`]: why a command ended early.

use std::fmt;

/// Why a command ended early, as its last line on stderr.
#[derive(Debug)]
pub(super) enum CommandError {
    /// Bad usage or configuration. The exit code is 2.
    Usage(String),
    /// Any other error. The exit code is 1.
    Failed(String),
    /// The server has no such object. The exit code is 1.
    NotFound(String),
    /// The object was changed since it was read. The exit code is 1.
    Changed(String),
    /// No server of Waypost answered. The exit code is 3.
    Unreachable(String),
}

impl CommandError {
    /// Creates the error of a command from its cause.
    pub(super) fn from(error: impl fmt::Display) -> CommandError {
        CommandError::Failed(error.to_string())
    }

    /// Returns the message.
    pub(super) fn text(self) -> String {
        match self {
            CommandError::Usage(why)
            | CommandError::Failed(why)
            | CommandError::NotFound(why)
            | CommandError::Changed(why)
            | CommandError::Unreachable(why) => why,
        }
    }

    /// Appends a line to the message.
    pub(super) fn with_line(self, line: &str) -> CommandError {
        match self {
            CommandError::Usage(why) => CommandError::Usage(format!("{why}\n{line}")),
            CommandError::Failed(why) => CommandError::Failed(format!("{why}\n{line}")),
            CommandError::NotFound(why) => CommandError::NotFound(format!("{why}\n{line}")),
            CommandError::Changed(why) => CommandError::Changed(format!("{why}\n{line}")),
            CommandError::Unreachable(why) => CommandError::Unreachable(format!("{why}\n{line}")),
        }
    }

    /// Replaces the field at the start of an error of the API by the option or the argument that sets it.
    pub(super) fn with_options(self, tables: &[&[(&str, &str)]]) -> CommandError {
        let CommandError::Failed(why) = self else { return self };
        let renamed = why.split_once(": ").and_then(|(field, rule)| {
            let (_, option) = tables.iter().copied().flatten().find(|(name, _)| *name == field)?;
            Some(format!("{option}: {rule}"))
        });
        CommandError::Failed(renamed.unwrap_or(why))
    }
}
