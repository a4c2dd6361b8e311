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
use serde_json::json;

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
    /// Print one JSON document at the end, for monitoring.
    #[arg(long)]
    json: bool,
}

/// Runs all checks and prints their findings.
pub(super) fn run(arguments: &DoctorArguments) -> Result<(), CommandError> {
    let config = arguments.config_file.load().inspect_err(|error| {
        if let CommandError::Usage(why) = error {
            let text = format!("{why}. Nothing else was checked: correct it first");
            // As a finding too, so that the output of `doctor` always names the problem.
            let mut report = DoctorReport::new(arguments.json);
            report.note(Finding::problem("configuration", text));
            report.end();
        }
    })?;
    // As a start does: the checks are of the limit that a server would have.
    descriptors::raise();
    let case = Case { config, clock: Clock::system() };
    let mut report = DoctorReport::new(arguments.json);
    let mut note = |finding: Finding| report.note(finding);
    let mut found = machine::configuration(&case);
    let (list_finding, deny_list) = deny_list::deny_list(&case);
    found.extend(list_finding);
    found.extend(countries::countries(&case));
    found.extend(folder::data_folder(&case));
    found.extend(folder::disk_space(&case));
    found.extend(machine::descriptors(&case));
    found.extend(machine::clock(&case));
    // Printed before the log is read, which may take seconds.
    found.into_iter().for_each(&mut note);
    // Kept while the table is read, so that no server starts at that time.
    let lock = folder::lock(&case);
    let mut log = store::log(&case);
    std::mem::take(&mut log.findings).into_iter().for_each(&mut note);
    store::table(&case, &lock, &log).into_iter().for_each(&mut note);
    clicks::clicks(&case, &log).into_iter().for_each(&mut note);
    network::listening(&case, &lock).into_iter().for_each(&mut note);
    network::domains(&case, &log).into_iter().for_each(&mut note);
    let https = https::https(&case, &log);
    https.findings.into_iter().for_each(&mut note);
    reach::reach(&case, &lock, &https.served).into_iter().for_each(&mut note);
    network::unknown_hosts(&case, &log).into_iter().for_each(&mut note);
    loops::loops(&case, &log, deny_list).into_iter().for_each(&mut note);
    note(passwords::passwords(&log));
    report.end();
    let (warnings, problems) = (report.count(Level::Warning), report.count(Level::Problem));
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

/// The findings so far. Lines are printed at once, and JSON at the end.
struct DoctorReport {
    is_json: bool,
    findings: Vec<Finding>,
}

impl DoctorReport {
    fn new(is_json: bool) -> DoctorReport {
        DoctorReport { is_json, findings: Vec::new() }
    }

    fn note(&mut self, mut finding: Finding) {
        // Names and errors may contain control characters: they must not break the line or control the terminal.
        finding.text = finding.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if !self.is_json {
            print_line(&format!("{:<8} {}: {}", finding.level, finding.about, finding.text));
        }
        self.findings.push(finding);
    }

    fn count(&self, level: Level) -> u64 {
        self.findings.iter().filter(|finding| finding.level == level).count() as u64
    }

    /// Prints the document, if one is wanted.
    fn end(&self) {
        if self.is_json {
            let findings = self.findings.iter().map(|Finding { level, about, text }| {
                json!({"level": level.to_string(), "about": about, "text": text})
            });
            let document = json!({
                "problems": self.count(Level::Problem),
                "warnings": self.count(Level::Warning),
                "findings": findings.collect::<Vec<_>>(),
            });
            print_line(&document.to_string());
        }
    }
}
