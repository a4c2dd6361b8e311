//! What the configuration leads to, descriptors, and the clock.

use std::fs;
use std::time::UNIX_EPOCH;

use super::{Case, Finding};
use crate::app::data_folder::LOG_FOLDER;
use crate::clock::Timestamp;
use crate::core::Site;
use crate::descriptors;

const CONFIGURATION: &str = "configuration";
const DESCRIPTORS: &str = "descriptors";
const CLOCK: &str = "clock";

/// No Waypost is older: a clock before 2026 was never set.
const EARLIEST_MILLIS: i64 = 1_767_225_600_000;

/// A clock this far behind the log's last write was set back; less is what files' times and
/// machines' clocks differ by.
const SLACK_MILLIS: i64 = 5_000;

/// A clock this far ahead of the log's last write (ten years) is more likely wrong than the server
/// was away.
const AWAY_MILLIS: i64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Below this, a site that is linked to from somewhere busy turns visitors away.
const FEW_CONNECTIONS: usize = 500;

/// What is allowed and yet likely a mistake.
pub(super) fn configuration(case: &Case) -> Vec<Finding> {
    let config = &case.config;
    let source = case.file.as_ref().map_or_else(
        || "defaults, and the environment over them".to_owned(),
        |file| format!("{}, and the environment over it", file.display()),
    );
    let mut found = vec![Finding::ok(CONFIGURATION, format!("{source}: every value is allowed"))];
    let is_local = config.listen.ip().is_loopback();
    let is_secure = config.public_url.starts_with("https:");
    let host = Site::parse(&config.public_url).map(|site| site.host().to_owned()).unwrap_or_default();
    if !is_local && host == "localhost" {
        let text = format!(
            "it listens on {}, but short URLs begin with {}, which leads every visitor to their own machine. Set \
             `public_url`",
            config.listen, config.public_url
        );
        found.push(Finding::warning(CONFIGURATION, text));
    }
    if is_secure && config.http.trusted_proxies.is_empty() {
        let text = "`public_url` is https, which a proxy before Waypost must speak, but `http.trusted_proxies` is \
                    empty: all visitors seem to come from the proxy, and share its limits. Name the proxy there";
        found.push(Finding::warning(CONFIGURATION, text));
    }
    if config.metrics.public && !is_local {
        let text = format!(
            "`metrics.public` is on and it listens on {}: whoever can connect reads the metrics. Turn it off, or \
             keep strangers out by a firewall",
            config.listen
        );
        found.push(Finding::warning(CONFIGURATION, text));
    }
    found
}

/// Whether the limit of open files fits the connections.
pub(super) fn descriptors(case: &Case) -> Vec<Finding> {
    let limit = descriptors::limit();
    let connections = case.config.http.connections();
    let raise = "raise the limit of open files (`ulimit -n`, or LimitNOFILE= of a service)";
    let asked = case.config.http.max_connections.filter(|asked| *asked > connections);
    let finding = if let Err(too_few) = descriptors::check() {
        Finding::problem(DESCRIPTORS, too_few.to_string())
    } else if limit < descriptors::RESERVED * 2 {
        let text = format!(
            "the limit of open files is {limit}: with so few, log and connections take them from each other. To \
             help, {raise} to {} or more",
            descriptors::RESERVED * 4
        );
        Finding::problem(DESCRIPTORS, text)
    } else if let Some(asked) = asked {
        let needed = (asked as u64).saturating_add(descriptors::RESERVED);
        let text = format!(
            "`http.max_connections` = {asked} needs {needed} open files, and the limit is {limit}: no more than \
             {connections} are taken. To help, {raise}, or lower the setting"
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

/// Whether the time can be true.
pub(super) fn clock(case: &Case) -> Vec<Finding> {
    let now = case.clock.now();
    let fix = "Set the clock, and keep it set (NTP): links expire by it";
    if now.as_millis() < EARLIEST_MILLIS {
        return vec![Finding::problem(CLOCK, format!("it says {now}, which is past. {fix}"))];
    }
    let Some(written) = last_write(case) else {
        return vec![Finding::ok(CLOCK, format!("it says {now}; there is no log yet to compare it with"))];
    };
    let ahead = now.as_millis().saturating_sub(written.as_millis());
    let finding = if ahead < -SLACK_MILLIS {
        let text =
            format!("it says {now}, but the log was written at {written}: one of the two is wrong. {fix}");
        Finding::problem(CLOCK, text)
    } else if ahead > AWAY_MILLIS {
        let text = format!(
            "it says {now}, ten years and more after the log was last written ({written}): links that expire would \
             be over. If that is wrong: {fix}"
        );
        Finding::warning(CLOCK, text)
    } else {
        Finding::ok(CLOCK, format!("it says {now}; the log was last written at {written}"))
    };
    vec![finding]
}

/// When a file of the log was last written.
fn last_write(case: &Case) -> Option<Timestamp> {
    let files = fs::read_dir(case.config.data_dir.join(LOG_FOLDER)).ok()?.flatten();
    let times = files.filter_map(|file| file.metadata().ok()?.modified().ok());
    let newest = times.max()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(newest.as_millis()).ok()?))
}
