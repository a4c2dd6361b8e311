//! `waypost doctor`: looks at everything that a server depends on and says, one line each, what is
//! well and what is not, why that matters and what to do. Changes nothing; works beside a running
//! server, which it then asks how it is.
//!
//! Ends with 0 when there is no problem (warnings may stand), with 1 when there is one (or, with
//! `--strict`, a warning), and with 2 when the configuration cannot be used.

mod folder;
mod loops;
mod machine;
mod network;
mod passwords;
mod store;

use std::fmt;
use std::path::PathBuf;

use clap::Args;

use super::{Common, Failure, load, tell};
use crate::clock::Clock;
use crate::config::Config;

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Exit codes: 0 without problems, 1 with one (or, with --strict, a warning), \
                        2 when the configuration cannot be used.")]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Count warnings as problems.
    #[arg(long)]
    strict: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    /// It was not checked.
    Skipped,
    /// It works, and somebody should know.
    Warning,
    /// It does not work, or will not.
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

/// One line.
#[derive(Debug)]
struct Finding {
    level: Level,
    about: &'static str,
    /// What, why, and what to do.
    text: String,
}

impl Finding {
    fn ok(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, about, text: text.into() }
    }

    fn skipped(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Skipped, about, text: text.into() }
    }

    fn warning(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, about, text: text.into() }
    }

    fn problem(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Problem, about, text: text.into() }
    }
}

/// What the checks know of each other.
struct Case {
    config: Config,
    file: Option<PathBuf>,
    clock: Clock,
}

/// Runs all checks and prints what they find.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = load(&arguments.common).inspect_err(|failure| {
        if let Failure::Usage(why) = failure {
            let text = format!("{why}. Nothing else was looked at: correct it first");
            show(&Finding::problem("configuration", text));
        }
    })?;
    let case = Case { config, file: arguments.common.config.clone(), clock: Clock::system() };
    let mut worst = (0, 0);
    let mut note = |finding: &Finding| {
        match finding.level {
            Level::Ok | Level::Skipped => {}
            Level::Warning => worst.0 += 1,
            Level::Problem => worst.1 += 1,
        }
        show(finding);
    };
    let mut found = machine::configuration(&case);
    found.extend(folder::data_folder(&case));
    found.extend(folder::disk_space(&case));
    found.extend(machine::descriptors(&case));
    found.extend(machine::clock(&case));
    found.iter().for_each(&mut note);
    // Held while the table is read, so that no server starts into that; never taken from one.
    let lock = folder::lock(&case);
    let log = store::log(&case);
    log.findings.iter().for_each(&mut note);
    store::table(&case, &lock, &log).iter().for_each(&mut note);
    network::listening(&case, &lock).iter().for_each(&mut note);
    network::domains(&case, &log).iter().for_each(&mut note);
    loops::loops(&case, &log).iter().for_each(&mut note);
    note(&passwords::passwords(&log));
    let (warnings, problems) = worst;
    if problems > 0 || (arguments.strict && warnings > 0) {
        return Err(Failure::Failed(format!("{}, {}", many(problems, "problem"), many(warnings, "warning"))));
    }
    Ok(())
}

fn show(finding: &Finding) {
    // Whatever a file or a name holds, it stays one line and cannot speak to the terminal.
    let text: String = finding.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    tell(&format!("{:<8} {}: {text}", finding.level, finding.about));
}

fn many(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
