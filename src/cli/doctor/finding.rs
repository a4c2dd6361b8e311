//! [`Finding`]: the result of a check. [`Case`]: the input of all checks.

use std::fmt;

use crate::clock::Clock;
use crate::config::Config;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    /// Not checked.
    Skipped,
    /// It works, but the operator should know.
    Warning,
    /// It does not work, or soon will not.
    Problem,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "ok",
            Level::Skipped => "skipped",
            Level::Warning => "warning",
            Level::Problem => "problem",
        })
    }
}

/// A result of a check, which is printed as one line.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The subject.
    pub(super) about: &'static str,
    /// The state, the reason, and the remedy.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn ok(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, about, text: text.into() }
    }

    pub(super) fn skipped(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Skipped, about, text: text.into() }
    }

    pub(super) fn warning(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, about, text: text.into() }
    }

    pub(super) fn problem(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Problem, about, text: text.into() }
    }
}

/// The input of all checks.
pub(super) struct Case {
    pub(super) config: Config,
    pub(super) clock: Clock,
}
