//! Links that form a loop, and domains that send visitors back to this server.

use super::countries::COUNTRIES;
use super::deny_list::DENY_LIST;
use super::finding::{Case, Finding};
use super::store::LogCheck;
use crate::app::files::{self, SOURCES};
use crate::cli::output::{counted, form};
use crate::core::Site;
use crate::core::deny_list::DenyList;
use crate::core::links::loops::{Report, Survey};
use crate::log::LogError;

const LOOPS: &str = "loops";

/// Searches all links of the log for loops, and for destinations on the deny list.
pub(super) fn loops(case: &Case, log: &LogCheck, deny_list: DenyList) -> Vec<Finding> {
    let Some(archive) = log.archive.as_ref().filter(|_| log.is_read) else {
        return vec![Finding::skipped(LOOPS, "the log was not read through")];
    };
    let site = Site::parse(&case.config.public_url).expect("the configuration was checked");
    let places = files::known_places(&case.config);
    let survey = Survey::new(site, &case.config.links, deny_list, places);
    let mut survey = survey.expect("the configuration was checked");
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
    let Report { links, leading_here, left_out, looping, named, misdirected, examples, .. } = report;
    let mut found = Vec::new();
    if *looping > 0 {
        let text = format!(
            "{looping} of {} {} a loop, such as {}: the visitors get an error page (508). Change the destinations, also \
             expiredUrl",
            counted(*links, "link"),
            form(*looping, "forms", "form"),
            named.join(", ")
        );
        found.push(Finding::warning(LOOPS, text));
    }
    if let [first, ..] = &report.looping_roots[..] {
        let number = report.looping_roots.len() as u64;
        let text = format!(
            "{} of domains {} a loop, such as {first}: the visitors get an error page (508). Set other addresses, or null",
            counted(number, "root URL"),
            form(number, "forms", "form"),
        );
        found.push(Finding::warning(LOOPS, text));
    }
    if let [first, ..] = &misdirected[..] {
        let text = format!(
            "{} of domains {} to this server itself and {} not followed, such as {first}: visitors get the plain page. \
             Set other addresses, or null",
            counted(misdirected.len() as u64, "URL"),
            form(misdirected.len() as u64, "leads", "lead"),
            form(misdirected.len() as u64, "is", "are")
        );
        found.push(Finding::warning(LOOPS, text));
    }
    // Links in a loop lead back here as well, and are already reported.
    if leading_here > looping {
        let text = format!(
            "{leading_here} of {} {} back to a domain of this instance, such as {}: a visitor is redirected here once \
             more. Change the destinations, unless this is intended",
            counted(*links, "link"),
            form(*leading_here, "leads", "lead"),
            examples.join(", ")
        );
        found.push(Finding::warning(LOOPS, text));
    }
    if *left_out > 0 {
        let text = format!(
            "{} more {} back here and {} not searched for loops",
            left_out,
            form(*left_out, "link leads", "links lead"),
            form(*left_out, "was", "were")
        );
        found.push(Finding::warning(LOOPS, text));
    }
    if found.is_empty() {
        let links = counted(*links, "link");
        let text = format!("none of {links} leads back to a domain of this instance");
        found.push(Finding::ok(LOOPS, text));
    }
    found.extend(denied(report));
    found.extend(placeless(report));
    found
}

/// Reports links whose rules compare a place that the server cannot know, since an import keeps such rules.
fn placeless(report: &Report) -> Option<Finding> {
    let Report { links, placeless, placeless_examples, .. } = report;
    let text = || {
        format!(
            "the rules of {placeless} of {} need the place of a visitor, such as {}, and this server cannot know it: these \
             rules hold for nobody. {SOURCES}",
            counted(*links, "link"),
            placeless_examples.join(", ")
        )
    };
    (*placeless > 0).then(|| Finding::problem(COUNTRIES, text()))
}

/// Reports links whose host was denied after they were written.
fn denied(report: &Report) -> Option<Finding> {
    let Report { links, denied, denied_examples, .. } = report;
    let text = || {
        format!(
            "{denied} of {} {} to a host on the deny list, such as {}: visitors get a warning page (403). Change the \
             destinations, also expiredUrl, or delete the links",
            counted(*links, "link"),
            form(*denied, "leads", "lead"),
            denied_examples.join(", ")
        )
    };
    (*denied > 0).then(|| Finding::warning(DENY_LIST, text()))
}
