//! Links that form a loop, and domains that send visitors back to this server.

use super::finding::{Case, Finding};
use super::store::LogCheck;
use crate::core::Site;
use crate::core::links::loops::{Report, Survey};
use crate::log::LogError;

const LOOPS: &str = "loops";

/// Searches all links of the log for loops.
pub(super) fn loops(case: &Case, log: &LogCheck) -> Vec<Finding> {
    let Some(archive) = log.archive.as_ref().filter(|_| log.is_read) else {
        return vec![Finding::skipped(LOOPS, "the log was not read through")];
    };
    let site = Site::parse(&case.config.public_url).expect("the configuration was checked");
    let mut survey = Survey::new(site, &case.config.links).expect("the configuration was checked");
    // A record that cannot be decoded is damage of the log, as its crc matched.
    let damaged = |error: crate::table::record::Corrupt| LogError::Damaged(error.to_string());
    // Two passes: whether a link leads back here depends on all domains.
    let read = archive
        .each_record(&mut |record| survey.add_to_directory(&record).map_err(damaged))
        .and_then(|_| archive.each_record(&mut |record| survey.add_link(&record).map_err(damaged)));
    match read {
        Ok(_) => findings(&survey.report()),
        Err(error) => vec![Finding::problem(LOOPS, format!("{error}. `waypost verify` reports more"))],
    }
}

fn findings(report: &Report) -> Vec<Finding> {
    let Report { links, leading_here, left_out, looping, named, misdirected, examples } = report;
    let mut found = Vec::new();
    if *looping > 0 {
        let text = format!(
            "{looping} of {links} links form a loop, such as {}: their visitors get an error page (508). Change \
             their destinations, also expiredUrl",
            named.join(", ")
        );
        found.push(Finding::warning(LOOPS, text));
    }
    if let [first, ..] = &misdirected[..] {
        let text = format!(
            "{} URLs of domains lead to this server itself and are not followed, such as {first}: visitors \
             get the plain page. Set them to other addresses, or to null",
            misdirected.len()
        );
        found.push(Finding::warning(LOOPS, text));
    }
    // Links in a loop lead back here as well, and are already reported.
    if leading_here > looping {
        let text = format!(
            "{leading_here} of {links} links lead back to a domain of this instance, such as {}: a visitor is \
             redirected here once more. Change their destinations, unless this is intended",
            examples.join(", ")
        );
        found.push(Finding::warning(LOOPS, text));
    }
    if *left_out > 0 {
        let text = format!("{left_out} more links lead back here and were not searched for loops");
        found.push(Finding::warning(LOOPS, text));
    }
    if found.is_empty() {
        let text = format!("none of {links} links leads back to a domain of this instance");
        found.push(Finding::ok(LOOPS, text));
    }
    found
}
