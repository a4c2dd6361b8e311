//! `waypost doctor`: checks everything that a server depends on. It prints one line per check: the state, why it
//! matters, and the remedy. It changes nothing: it opens a copy of the table. It requests the health of a running server.
//!
//! The exit code is 0 without problems, also with warnings. It is 1 with a problem or, with `--strict`, with a
//! warning. It is 2 if the configuration cannot be used.

mod clicks;
mod countries;
mod deny_list;
mod finding;
mod folder;
mod https;
mod loops;
mod machine;
mod network;
mod passwords;
mod reach;
mod store;
mod table_copy;

use clap::Args;

use self::finding::{Case, Finding, Level};
use super::arguments::ServerFile;
use super::error::CommandError;
use super::output::{counted, print_line};
use crate::clock::Clock;
use crate::descriptors;

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 without problems, 1 with a problem (with --strict, also with a warning), \
                        2 if the configuration cannot be used."
)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    config_file: ServerFile,
    /// Count warnings as problems.
    #[arg(long)]
    strict: bool,
}

/// Runs all checks and prints their findings.
pub(super) fn run(arguments: &DoctorArguments) -> Result<(), CommandError> {
    let config = arguments.config_file.load().inspect_err(|error| {
        if let CommandError::Usage(why) = error {
            let text = format!("{why}. Nothing else was checked: correct it first");
            // As a finding too, so that the output of `doctor` always names the problem.
            show(&Finding::problem("configuration", text));
        }
    })?;
    // As a start does: the checks are of the limit that a server would have.
    descriptors::raise();
    let case = Case { config, clock: Clock::system() };
    let mut worst = (0_u64, 0_u64);
    let mut note = |finding: &Finding| {
        match finding.level {
            Level::Ok | Level::Skipped => {}
            Level::Warning => worst.0 += 1,
            Level::Problem => worst.1 += 1,
        }
        show(finding);
    };
    let mut found = machine::configuration(&case);
    let (list_finding, deny_list) = deny_list::deny_list(&case);
    found.extend(list_finding);
    found.extend(countries::countries(&case));
    found.extend(folder::data_folder(&case));
    found.extend(folder::disk_space(&case));
    found.extend(machine::descriptors(&case));
    found.extend(machine::clock(&case));
    // Printed before the log is read, which may take seconds.
    found.iter().for_each(&mut note);
    // Kept while the table is read, so that no server starts at that time.
    let lock = folder::lock(&case);
    let log = store::log(&case);
    log.findings.iter().for_each(&mut note);
    store::table(&case, &lock, &log).iter().for_each(&mut note);
    clicks::clicks(&case, &log).iter().for_each(&mut note);
    network::listening(&case, &lock).iter().for_each(&mut note);
    network::domains(&case, &log).iter().for_each(&mut note);
    let https = https::https(&case, &log);
    https.findings.iter().for_each(&mut note);
    reach::reach(&case, &lock, &https.served).iter().for_each(&mut note);
    network::unknown_hosts(&case, &log).iter().for_each(&mut note);
    loops::loops(&case, &log, deny_list).iter().for_each(&mut note);
    note(&passwords::passwords(&log));
    let (warnings, problems) = worst;
    // All checks run before this: one problem must not hide another.
    if problems > 0 || (arguments.strict && warnings > 0) {
        return Err(CommandError::Failed(format!(
            "{}, {}",
            counted(problems, "problem"),
            counted(warnings, "warning")
        )));
    }
    Ok(())
}

fn show(finding: &Finding) {
    // Names and errors may contain control characters: they must not break the line or control the terminal.
    let text: String = finding.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    print_line(&format!("{:<8} {}: {text}", finding.level, finding.about));
}
