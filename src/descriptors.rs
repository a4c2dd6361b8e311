//! File descriptors: how many the system allows, how many are open, and how they are shared.
//!
//! The number that the program needs does not grow with its data. [`RESERVED`] descriptors serve everything
//! except connections of visitors; connections take the rest, and never more.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Limit of what the program itself keeps open: standard streams, the runtime's descriptors, the listener,
/// the lock, the table's files, the log's folder, its writer and its readers. A server without visitors has
/// 20 open. The rest is for exports of the table, compaction and the name look-ups of webhooks. The start
/// fails if the system allows fewer than twice as many.
pub(crate) const OWN: u64 = 32;

/// Descriptors that must be free before the log begins a segment. The new file takes one, and redirects and
/// `accept` need theirs whatever the log does. With fewer, the log continues in its open segment.
pub const KEPT: u64 = 64;

/// Descriptors that connections never take: [`OWN`], [`KEPT`], 64 webhooks in flight, 24 indexes of links, and the
/// sockets of 32 name look-ups with some reserve.
pub const RESERVED: u64 = 256;

/// The fewest descriptors for a start: [`OWN`], and as many for connections.
pub(crate) const NEEDED: u64 = 2 * OWN;

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

/// Fails if the limit leaves a server too few descriptors.
pub fn check() -> Result<(), TooFew> {
    let limit = limit();
    if limit < NEEDED { Err(TooFew { limit }) } else { Ok(()) }
}

/// Raises the limit to the most that the system allows without privileges: the usual soft limit of 1,024 exists for
/// programs that use `select`. If the system rejects it, the limit stays.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // The program also works with few descriptors.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// Returns how many descriptors can still be opened. Takes up to some milliseconds with tens of thousands
/// open.
pub fn left() -> u64 {
    limit().saturating_sub(open())
}

/// Returns how many descriptors are open, or 0 if `/proc` is not mounted.
pub(crate) fn open() -> u64 {
    let Ok(folder) = fs::metadata("/proc/self/fd") else { return 0 };
    // Linux 6.2 and later report the number as the size of the folder.
    if folder.len() > 0 {
        return folder.len();
    }
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests open and close files at the same time, so the comparison has a tolerance.
    #[test]
    fn open_files_are_counted() {
        let before = open();
        let held: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").expect("a file")).collect();
        let counted = open();
        assert!(counted >= 200, "{before} before, {counted} with {} more", held.len());
        assert!(left() <= limit() - 200);
    }
}
