//! Tests that take minutes: thousands of connections, twice the load that fits, failing disks and clocks.
//! `tests/soak/run` runs them against the release binary. Without `WAYPOST_SOAK` this program does nothing.
//!
//! Each part prints its rows of one table: case, subject, limit, measured value, result. A part ends at its
//! own time limit, and a panic is a failed row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

mod attacks;
mod client;
mod details;
mod faults;
mod footprint;
mod goaway;
mod hashing;
mod https;
mod kills;
mod load;
mod month;
mod overload;
mod qr;
mod restarts;
mod server;
mod slow;
mod support;
mod time;
mod unread;
mod visitors;

/// Rows of the table.
pub(crate) struct Report {
    short: bool,
    failed: usize,
    skipped: usize,
}

impl Report {
    /// Whether parts take a few seconds each.
    pub(crate) fn is_short(&self) -> bool {
        self.short
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, case: &str, what: &str, bar: &str, measured: &str, passed: bool) {
        let verdict = if passed { "passed" } else { "FAILED" };
        self.failed += usize::from(!passed);
        say(&format!("{case:<8}| {what:<58}| {bar:<34}| {measured:<42}| {verdict}"));
    }

    /// Adds a row for a case that cannot be tested here.
    pub(crate) fn skipped(&mut self, case: &str, what: &str, why: &str) {
        self.skipped += 1;
        say(&format!("{case:<8}| {what:<58}| {:<34}| {why:<42}| NOT TESTED", ""));
    }
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

type Part = (&'static str, fn(&mut Report));

const PARTS: &[Part] = &[
    ("slow", slow::t26_t27_slow_connections),
    ("misses", load::t109_a_million_unknown_codes),
    ("clicks", load::t102_a_hundred_thousand_clicks),
    ("overload", overload::t111_twice_the_capacity),
    ("memory", load::t110_sixty_four_megabytes),
    ("hashing", hashing::n02_passwords_in_sixty_four_megabytes),
    ("footprint", footprint::n48_memory_of_clicks),
    ("order", faults::t93_synced_before_the_answer),
    ("faults", faults::t95_the_nth_write_and_sync_fail),
    ("kills", kills::n09_n30_killed_at_every_system_call),
    ("files", faults::t14_no_file_is_opened_for_a_visitor),
    ("readonly", faults::t97_a_disk_that_becomes_read_only),
    ("restarts", restarts::e16_restarts_that_nobody_notices),
    ("https", https::e5_handshakes_for_unknown_names),
    ("https", https::e7_certificates_are_replaced_under_load),
    ("https", attacks::e13_attacks_by_fifty_at_once),
    ("https", goaway::e14_requests_over_the_end_of_connections),
    ("https", https::e20_the_size_of_the_binary),
    ("details", details::c1_details_agree_with_totals),
    ("stall", details::c3_the_disk_stands_still),
    ("month", month::c4_a_month_of_clicks),
    ("visitors", visitors::c7_visitors_of_a_day),
    ("time", time::t103_the_systems_clock_jumps),
    ("qr", qr::pictures_are_read_by_two_decoders),
    ("unread", unread::n01_a_thousand_unread_answers),
];

fn main() -> ExitCode {
    let Ok(wanted) = std::env::var("WAYPOST_SOAK") else { return ExitCode::SUCCESS };
    let mut report =
        Report { short: std::env::var_os("WAYPOST_SOAK_SHORT").is_some(), failed: 0, skipped: 0 };
    for (name, part) in PARTS {
        if !(wanted == "all" || wanted.split(',').any(|part| part == *name)) {
            continue;
        }
        let begun = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| part(&mut report))).is_err() {
            report.row("", name, "no panic of the test", "see above", false);
        }
        let took = begun.elapsed().as_secs();
        say(&format!(
            "        ({name}: {took} s; {} failed, {} not tested here)",
            report.failed, report.skipped
        ));
    }
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
