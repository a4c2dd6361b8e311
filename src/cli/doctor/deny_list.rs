//! The file of the deny list.

use super::finding::{Case, Finding};
use crate::cli::output::counted;
use crate::core::deny_list::DenyFile;

const DENY_LIST: &str = "deny list";

/// Days after which a list is old: new harmful hosts appear every day.
const OLD_DAYS: i64 = 30;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// Checks the file, if the configuration names one.
pub(super) fn deny_list(case: &Case) -> Vec<Finding> {
    let Some(path) = &case.config.links.denied_hosts else { return Vec::new() };
    let finding = match DenyFile::read(path) {
        Err(error) => {
            let text =
                format!("{error}. The next start fails; a server that runs keeps the list that it has");
            Finding::problem(DENY_LIST, text)
        }
        Ok(file) => {
            let age = case.clock.now().as_millis().saturating_sub(file.modified().as_millis()).max(0);
            let days = age / DAY_MILLIS;
            let (hosts, days_shown) = (counted(file.hosts(), "host"), counted(days.unsigned_abs(), "day"));
            let text = format!("{} has {hosts} and is {days_shown} old", path.display());
            if days > OLD_DAYS {
                let remedy = "Fetch a new one regularly: docs/operating.md, section \"Deny list\"; the server reloads it";
                Finding::warning(DENY_LIST, format!("{text}. {remedy}"))
            } else {
                Finding::ok(DENY_LIST, text)
            }
        }
    };
    vec![finding]
}
