//! The sources of countries: the header of trusted proxies, and the file.

use std::time::{SystemTime, UNIX_EPOCH};

use super::finding::{Case, Finding};
use crate::analytics::country::Source;
use crate::app::files;
use crate::cli::output::counted;

pub(super) const COUNTRIES: &str = "countries";

/// Days after which a file is old: networks move between countries, and publishers have a new file each month.
const OLD_DAYS: u64 = 100;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Returns where the countries of visitors come from, in the order in which a server asks. Nothing without details of
/// clicks.
pub(super) fn countries(case: &Case) -> Vec<Finding> {
    let clicks = &case.config.clicks;
    if !clicks.details {
        return Vec::new();
    }
    let header = clicks.country_header.as_ref().map(|header| {
        let proxies = case.config.http.trusted_proxies.join(", ");
        let text =
            format!("the header {header} of the trusted proxies ({proxies}) has the country of a visitor");
        Finding::ok(COUNTRIES, text)
    });
    let of_file = match files::country_source(&case.config) {
        Ok(Some(source)) => Some(of_source(&source, case)),
        // Nothing is missing where the proxy reports the country.
        Ok(None) if header.is_some() => None,
        Ok(None) => {
            let text = "visitors have no countries: there is no file of them. The package tor-geoipdb of Debian has one, and \
                        `clicks.country_file` names another";
            Some(Finding::ok(COUNTRIES, text))
        }
        Err(error) => {
            let text = format!(
                "{error}. A start continues without this file; a server that runs keeps what it has read"
            );
            Some(Finding::problem(COUNTRIES, text))
        }
    };
    header.into_iter().chain(of_file).collect()
}

fn of_source(source: &Source, case: &Case) -> Finding {
    let (file, ranges) = (source.path.display(), counted(source.ranges as u64, "range"));
    let text = format!("{file} ({}) has {ranges}", source.kind.name());
    let Some(days) = source.made().map(|made| age_days(made, case)) else {
        return Finding::warning(COUNTRIES, format!("{text} and no date, so it may be of any age"));
    };
    let text = format!("{text} and is {} old", counted(days, "day"));
    if days > OLD_DAYS {
        let remedy = "Fetch a new one regularly, write it beside the file and rename it: the server reads it by itself";
        return Finding::warning(COUNTRIES, format!("{text}. {remedy}"));
    }
    Finding::ok(COUNTRIES, text)
}

fn age_days(made: SystemTime, case: &Case) -> u64 {
    let made = made.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = u64::try_from(case.clock.now().as_millis() / 1_000).unwrap_or(0);
    // A file of the future has a wrong date, or this machine has: that is another finding.
    now.saturating_sub(made) / DAY_SECONDS
}
