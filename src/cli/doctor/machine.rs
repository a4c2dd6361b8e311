//! The configuration, the limit of open files, and the clock.

use std::fs;
use std::time::UNIX_EPOCH;

use super::finding::{Case, Finding};
use crate::app::data_folder::LOG_FOLDER;
use crate::clock::Timestamp;
use crate::core::Site;
use crate::descriptors;

const CONFIGURATION: &str = "configuration";
const DESCRIPTORS: &str = "descriptors";
const CLOCK: &str = "clock";

/// The first year of this program: a clock before 2026 was never set.
const EARLIEST_MILLIS: i64 = 1_767_225_600_000;

/// A clock that is further behind the last write of the log was set back. Smaller differences are normal between
/// file times and clocks.
const SLACK_MILLIS: i64 = 5_000;

/// A clock that is further ahead of the last write of the log (ten years) is more likely wrong than the server was
/// off.
const AWAY_MILLIS: i64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Fewer connections are a warning: a busy site would close connections of visitors.
const FEW_CONNECTIONS: usize = 500;

/// Checks for values that are allowed but likely mistakes.
pub(super) fn configuration(case: &Case) -> Vec<Finding> {
    let config = &case.config;
    let origin = &config.origin;
    let mut found = vec![Finding::ok(CONFIGURATION, format!("{}: every value is allowed", origin.shown()))];
    if let Some(text) = origin.passed_over_text() {
        found.push(Finding::ok(CONFIGURATION, text));
    }
    found.extend(origin.warnings.iter().map(|text| Finding::warning(CONFIGURATION, text)));
    let is_local = config.listen.is_local();
    let is_secure = config.public_url.starts_with("https:");
    let host = Site::parse(&config.public_url).map(|site| site.host().to_owned()).unwrap_or_default();
    // The default of `public_url`, with a `listen` that was changed.
    if !is_local && host == "localhost" {
        let text = format!(
            "it listens on {}, but short URLs begin with {}, the own machine of each visitor. Set \
             `public_url`",
            config.listen, config.public_url
        );
        found.push(Finding::warning(CONFIGURATION, text));
    } else if let Some(why) = config.unserved_port() {
        found.push(Finding::warning(CONFIGURATION, why));
    }
    // Without `domain` and certificates, only a proxy in front can serve it.
    if is_secure && config.https_listen().is_none() && config.http.trusted_proxies.is_empty() {
        let text = "`public_url` is https, and neither `domain` nor `https.certificates` is set: this needs a proxy in \
                    front of Waypost, but `http.trusted_proxies` is empty, so all visitors have the address of the \
                    proxy and share its limits. Set `domain`, or add the proxy";
        found.push(Finding::warning(CONFIGURATION, text));
    }
    if config.metrics.public && !is_local {
        let text = format!(
            "`metrics.public` is on and it listens on {}: every client that can connect can read the metrics. Turn \
             it off, or restrict access by a firewall",
            config.listen
        );
        found.push(Finding::warning(CONFIGURATION, text));
    }
    found
}

/// Checks that the limit of open files suffices for the connections.
pub(super) fn descriptors(case: &Case) -> Vec<Finding> {
    let limit = descriptors::limit();
    let connections = case.config.http.connections();
    let raise = "raise the limit of open files (`ulimit -n`, or LimitNOFILE= of a service)";
    let wanted = case.config.http.max_connections.filter(|wanted| *wanted > connections);
    // From the worst case to the best: the first that applies is reported.
    let finding = if let Err(too_few) = descriptors::check() {
        Finding::problem(DESCRIPTORS, too_few.to_string())
    } else if limit < descriptors::RESERVED * 2 {
        let text = format!(
            "the limit of open files is {limit}: log and connections compete for them. To solve this, {raise} to {} \
             or more",
            descriptors::RESERVED * 4
        );
        Finding::problem(DESCRIPTORS, text)
    } else if let Some(wanted) = wanted {
        let needed = (wanted as u64).saturating_add(descriptors::RESERVED);
        let text = format!(
            "`http.max_connections` = {wanted} needs {needed} open files, and the limit is {limit}: no more than \
             {connections} are accepted. To solve this, {raise}, or lower the setting"
        );
        Finding::warning(DESCRIPTORS, text)
    } else if connections < FEW_CONNECTIONS {
        let text = format!("only {connections} visitors can be connected at once. To allow more, {raise}");
        Finding::warning(DESCRIPTORS, text)
    } else {
        let text = format!(
            "{limit} open files are allowed here, enough for {connections} connections; a service may have its own \
             limit"
        );
        Finding::ok(DESCRIPTORS, text)
    };
    vec![finding]
}

/// Checks that the time is plausible.
pub(super) fn clock(case: &Case) -> Vec<Finding> {
    let now = case.clock.now();
    let fix = "Set the clock, and keep it synchronized (NTP): links expire by it";
    if now.as_millis() < EARLIEST_MILLIS {
        return vec![Finding::problem(CLOCK, format!("it shows {now}, which is in the past. {fix}"))];
    }
    let Some(written) = last_write(case) else {
        return vec![Finding::ok(CLOCK, format!("it shows {now}; it was compared with no log"))];
    };
    // Signed: a negative difference is a clock that is behind.
    let ahead = now.as_millis().saturating_sub(written.as_millis());
    let finding = if ahead < -SLACK_MILLIS {
        let text =
            format!("it shows {now}, but the log was written at {written}: one of the two is wrong. {fix}");
        Finding::problem(CLOCK, text)
    } else if ahead > AWAY_MILLIS {
        let text = format!(
            "it shows {now}, more than ten years after the log was last written ({written}): links with a date would \
             have expired. If that is wrong: {fix}"
        );
        Finding::warning(CLOCK, text)
    } else {
        Finding::ok(CLOCK, format!("it shows {now}; the log was last written at {written}"))
    };
    vec![finding]
}

/// Returns when a file of the log was last written.
fn last_write(case: &Case) -> Option<Timestamp> {
    let files = fs::read_dir(case.config.data_dir.join(LOG_FOLDER)).ok()?.flatten();
    let times = files.filter_map(|file| file.metadata().ok()?.modified().ok());
    // By the times of the files: the log need not be readable for this.
    let newest = times.max()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(newest.as_millis()).ok()?))
}
