//! File descriptors: how many the system allows, how many are open, and how they are shared out.
//!
//! The number that this program needs does not grow with its data. [`RESERVED`] descriptors serve all
//! that is no connection of a visitor; connections take the rest, and never more.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Bounds what the program itself holds open: standard streams, the runtime's, the listener, the lock,
/// the table's files, the log's folder, its writer and its readers. A server without visitors holds 20;
/// the rest is for exports of the table, compaction and the name look-ups of webhooks. The start is
/// refused where the system allows fewer than twice as many.
pub const OWN: u64 = 32;

/// Descriptors that must be left before the log begins a segment: the new file takes one, and redirects
/// and `accept` must find theirs whatever the log does. With fewer, the log writes on in the segment
/// that is open.
pub const KEPT: u64 = 64;

/// Descriptors that connections never take: [`OWN`], [`KEPT`], 64 webhooks in flight, and the sockets of
/// 32 name look-ups with some room beside.
pub const RESERVED: u64 = 256;

/// The fewest descriptors that a server starts with: [`OWN`], and as many for connections.
pub const NEEDED: u64 = 2 * OWN;

/// The system allows too few descriptors to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Waypost needs {NEEDED} descriptors of open files ({OWN} for its own files and {OWN} for connections; {} are \
     recommended), and the limit is {limit}: raise LimitNOFILE= of the service, or `ulimit -n`",
    4 * RESERVED
)]
pub struct TooFew {
    /// The limit of this process.
    pub limit: u64,
}

/// Returns the number of descriptors that the system allows this process.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Rejects a limit that leaves a server too few descriptors to serve.
pub fn check() -> Result<(), TooFew> {
    let limit = limit();
    if limit < NEEDED { Err(TooFew { limit }) } else { Ok(()) }
}

/// Raises the limit to the most that the system allows without privileges. For commands that keep many
/// files open; a refusal leaves the limit as it is.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // The command works with few descriptors as well.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// Returns how many descriptors can still be opened. Takes up to some milliseconds with tens of
/// thousands open.
pub fn left() -> u64 {
    limit().saturating_sub(open())
}

/// Returns how many descriptors are open; 0 where `/proc` is not mounted.
fn open() -> u64 {
    let Ok(folder) = fs::metadata("/proc/self/fd") else { return 0 };
    // Linux 6.2 and later count them as the size of the folder.
    if folder.len() > 0 {
        return folder.len();
    }
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests open and close files meanwhile, so the count is compared with room to spare.
    #[test]
    fn open_files_are_counted() {
        let before = open();
        let held: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").expect("a file")).collect();
        let counted = open();
        assert!(counted >= 200, "{before} before, {counted} with {} more", held.len());
        assert!(left() <= limit() - 200);
    }
}
