//! Lines on stdout and stderr. Neither ends a command when it is closed.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

/// The socket of the system's log.
const SYSLOG: &str = "/dev/log";

/// The start of a line in the system's log: facility `daemon`, severity `error`.
const SYSLOG_ERROR: &str = "<27>";

/// Writes a result to stdout.
pub(super) fn print_line(line: &str) {
    // `println!` would panic at a closed pipe, such as that of `head`.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Returns a count and its noun, such as `1 link` or `2 links`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    match noun {
        _ if count == 1 => format!("1 {noun}"),
        // The only plural of the messages that needs more than an `s`.
        "hash" => format!("{count} hashes"),
        _ => format!("{count} {noun}s"),
    }
}

/// Returns the form of a verb or a noun that fits a count.
pub(super) fn form(count: u64, one: &'static str, several: &'static str) -> &'static str {
    if count == 1 { one } else { several }
}

/// Writes a line to stderr.
pub(super) fn print_note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes the error that ends the program to stderr. If stderr accepts nothing, such as a file on a full disk,
/// the line goes to stdout, or else to the system's log: the program must not end without a message.
pub(super) fn print_error(line: &str) {
    // One write, so that lines of several processes do not mix.
    let whole = format!("{line}\n");
    if io::stderr().write_all(whole.as_bytes()).is_ok() {
        return;
    }
    let mut stdout = io::stdout();
    // The flush is part of the check: stdout buffers lines.
    if stdout.write_all(whole.as_bytes()).and_then(|()| stdout.flush()).is_ok() {
        return;
    }
    let _ = UnixDatagram::unbound()
        .and_then(|socket| socket.send_to(format!("{SYSLOG_ERROR}{line}").as_bytes(), SYSLOG));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_one_has_a_singular() {
        let rows =
            [(0, "link", "0 links"), (1, "link", "1 link"), (2, "link", "2 links"), (3, "hash", "3 hashes")];
        for (count, noun, want) in rows {
            assert_eq!(counted(count, noun), want);
        }
    }
}
