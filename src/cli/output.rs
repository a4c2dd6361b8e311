//! Lines on stdout and stderr. A closed pipe, such as that of `head`, is no error. Any other error of stdout is kept, and
//! ends the command with exit code 1 once it is done ([`finish`]): a full disk must not look like success.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::error::CommandError;
use super::log_lines;
use crate::clock::Clock;

/// The socket of the system's log.
const SYSLOG: &str = "/dev/log";

/// The start of a line in the system's log: facility `daemon`, severity `error`.
const SYSLOG_ERROR: &str = "<27>";

/// The first error of stdout.
static LOST: OnceLock<String> = OnceLock::new();

/// Whether the error that ends the program is a line of JSON, like the lines of the log.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Writes a result to stdout.
pub(super) fn print_line(line: &str) {
    // `println!` would panic at a closed pipe.
    keep(writeln!(io::stdout(), "{line}"));
}

/// Writes text with line breaks of its own to stdout.
pub(super) fn print_text(text: &[u8]) {
    keep(io::stdout().write_all(text));
}

/// Writes a result that cannot be had again to stdout, and fails if it did not get there.
pub(super) fn deliver(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}

/// Keeps an error of stdout for the end of the command.
pub(super) fn keep(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.get_or_init(|| error.to_string());
    }
}

/// Fails if a line did not reach stdout.
pub(super) fn finish() -> Result<(), CommandError> {
    // Of what is still in the buffer.
    keep(io::stdout().flush());
    LOST.get().map_or(Ok(()), |error| Err(CommandError::Failed(format!("cannot write to stdout: {error}"))))
}

/// Makes the error that ends the program a line of JSON.
pub(super) fn end_in_json() {
    IS_JSON.store(true, Ordering::Relaxed);
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
    let line = if IS_JSON.load(Ordering::Relaxed) {
        json!({"timestamp": Clock::system().now().to_string(), "level": "ERROR", "message": line}).to_string()
    } else {
        line.to_owned()
    };
    let line = if log_lines::is_journal() { format!("<3>{line}") } else { line };
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
