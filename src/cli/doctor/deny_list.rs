//! The file of the deny list.

use super::finding::{Case, Finding};
use crate::cli::output::counted;
use crate::clock::Timestamp;
use crate::core::deny_list::DenyList;

pub(super) const DENY_LIST: &str = "deny list";

/// Days after which a list is old: new harmful hosts appear every day.
const OLD_DAYS: i64 = 30;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// Checks the file, if the configuration names one. Returns the list for the check of the links; it is empty if the
/// file cannot be used.
pub(super) fn deny_list(case: &Case) -> (Option<Finding>, DenyList) {
    let Some(path) = &case.config.links.denied_hosts else { return (None, DenyList::default()) };
    let list = match DenyList::open(Some(path)) {
        Ok(list) => list,
        Err(error) => {
            let text =
                format!("{error}. The next start fails; a server that runs keeps the list that it has");
            return (Some(Finding::problem(DENY_LIST, text)), DenyList::default());
        }
    };
    let status = list.status();
    let age = case.clock.now().as_millis() - status.modified.map_or(0, Timestamp::as_millis);
    let days = (age / DAY_MILLIS).max(0);
    let (hosts, old) = (counted(status.hosts, "host"), counted(days.unsigned_abs(), "day"));
    let text = format!("{} has {hosts} and is {old} old", path.display());
    let finding = if days > OLD_DAYS {
        let remedy =
            "Fetch a new one regularly, write it beside the file and rename it: the server reloads it";
        Finding::warning(DENY_LIST, format!("{text}. {remedy}"))
    } else {
        Finding::ok(DENY_LIST, text)
    };
    (Some(finding), list)
}
