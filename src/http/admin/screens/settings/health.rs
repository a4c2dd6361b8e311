//! The health of the server in words, from what `/healthz`, `/readyz` and `/metrics` report.

use crate::clock::Timestamp;
use crate::core::Caller;
use crate::http::admin::chart::grouped;
use crate::http::admin::format::minute;
use crate::http::api::ops::{HealthReport, Ops};
use crate::model::key::{Reach, Scope};

/// The health of the server.
pub(super) struct HealthWords {
    /// What is wrong, a sentence each, as everyone may read it.
    pub(super) problems: Vec<String>,
    /// Names and values. Empty for a key that may not read the metrics.
    pub(super) facts: Vec<(&'static str, String)>,
}

/// Returns the health of the server for this caller.
pub(super) fn words(ops: &Ops, caller: &Caller) -> HealthWords {
    let report = ops.report();
    let may_read = caller.reach() == Reach::Instance && caller.scopes().allow(Scope::MetricsRead);
    let mut problems = report.problems.clone();
    problems.extend(report.waiting.iter().map(|why| format!("not ready: {why}")));
    let facts = if may_read || ops.is_public { facts(&report) } else { Vec::new() };
    HealthWords { problems, facts }
}

fn facts(report: &HealthReport) -> Vec<(&'static str, String)> {
    let value = |name| report.value(name);
    let number = |name| value(name).map(grouped);
    let size = |name| value(name).map(bytes);
    let day = |name| value(name).filter(|at| *at > 0).map(date);
    let rows = [
        ("Version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("Running for", value("uptime_seconds").map(duration)),
        ("Position of the log", number("log_position")),
        (
            "Size of the log",
            size("log_bytes")
                .zip(number("log_segments"))
                .map(|(size, files)| format!("{size}, segments: {files}")),
        ),
        ("Log last read whole", day("log_scrubbed_seconds")),
        (
            "Disk",
            value("log_disk_full").map(|full| match full {
                0 => "has room: writes are accepted".to_owned(),
                _ => "full: writes are refused until there is room".to_owned(),
            }),
        ),
        (
            "Table",
            size("table_bytes").zip(value("table_lag")).map(|(size, behind)| match behind {
                0 => format!("{size}, up to date"),
                behind => format!("{size}, {} changes behind the log", grouped(behind)),
            }),
        ),
        (
            "Links in memory",
            number("cache_links").zip(size("cache_bytes")).map(|(links, size)| format!("{links} in {size}")),
        ),
        ("Details of clicks", size("click_details_bytes")),
        (
            "Countries of visitors",
            value("country_ranges").map(|ranges| countries(ranges, day("country_built_seconds"))),
        ),
        ("First certificate ends", day("certificate_earliest_expiry_seconds")),
        ("Webhooks that wait", number("webhooks_queued")),
        ("Open connections", number("http_connections_open")),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn countries(ranges: u64, built: Option<String>) -> String {
    match (ranges, built) {
        (0, _) => "there is no file of countries, or a proxy reports them".to_owned(),
        (ranges, Some(built)) => format!("a file of {built} with {} ranges", grouped(ranges)),
        (ranges, None) => format!("a file with {} ranges", grouped(ranges)),
    }
}

fn date(seconds: u64) -> String {
    minute(Timestamp::from_millis(i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)))
}

/// Returns a number of bytes as people read it: `1.5 MB`.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1_000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Returns a span as people read it: `3 days 4 h`.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, hours, _) => format!("1 day {hours} h"),
        (days, hours, _) => format!("{} days {hours} h", grouped(days)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_people() {
        for (number, want) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 KB"),
            (999_999, "999.9 KB"),
            (1_000_000, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (u64::MAX, "18446744.0 TB"),
        ] {
            assert_eq!(bytes(number), want);
        }
        for (seconds, want) in [
            (5, "5 s"),
            (61, "1 min"),
            (3_700, "1 h 1 min"),
            (90_000, "1 day 1 h"),
            (1_000_000, "11 days 13 h"),
        ] {
            assert_eq!(duration(seconds), want);
        }
        assert_eq!(countries(0, None), "there is no file of countries, or a proxy reports them");
    }
}
