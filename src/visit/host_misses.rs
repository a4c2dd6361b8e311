//! [`HostMisses`]: requests for hosts that are no domain, so that an operator whose proxy sends another `Host`
//! learns why all links are 404. Counted behind a miss of the directory only.
//!
//! The counts of the most requested hosts are kept in bounded memory (Misra and Gries): a host with more than
//! one request in 17 is always among them, and no count is too high. A host that is requested now and then, as
//! by scanners, drops out.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::private_files::Replacement;

/// Hosts that are counted at one time.
const HOSTS_MAX: usize = 16;

/// Requests from which a host is reported. Fewer may be typing errors and scanners.
const REPORTED_FROM: u64 = 20;

/// Shortest time between two log lines.
const LOGGED_EVERY: Duration = Duration::from_mins(10);

/// The file in the data folder with the reported hosts of a running or stopped server.
const FILE: &str = "unknown-hosts";

/// Longest file that is read: longer than all that [`HostMisses::save`] writes.
const FILE_MAX: u64 = 16 * 1024;

/// A host with its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub struct HostCount {
    pub host: String,
    pub requests: u64,
}

impl HostCount {
    /// Describes the problem and its remedy.
    pub fn report(&self) -> String {
        let HostCount { host, requests } = self;
        format!(
            "{requests} requests for host `{host}` were answered 404, since it is no domain of this server: set \
             `public_url` to the address of the links, or let the proxy send `proxy_set_header Host $host`"
        )
    }
}

/// The counts since the start.
#[derive(Debug, Default)]
pub struct HostMisses {
    total: AtomicU64,
    state: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    hosts: Vec<HostCount>,
    logged_at: Option<Instant>,
    /// What [`HostMisses::save`] wrote last.
    saved: Vec<HostCount>,
}

impl HostMisses {
    /// Counts a request for a host that is no domain.
    pub(super) fn count(&self, host: &str) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        let Some(found) = state.add(host) else { return };
        // Now and then, and outside of the lock: any client can cause this line.
        if state.logged_at.is_none_or(|at| at.elapsed() >= LOGGED_EVERY) {
            state.logged_at = Some(Instant::now());
            drop(state);
            tracing::warn!("{}", found.report());
        }
    }

    /// Returns the number of all such requests.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Writes the reported hosts into the data folder, if they have changed, for `doctor` and the next start.
    pub fn save(&self, data_dir: &Path) -> io::Result<()> {
        let hosts = {
            let state = self.state.lock();
            let hosts = reported(&state.hosts);
            if hosts.is_empty() || hosts == state.saved {
                return Ok(());
            }
            hosts
        };
        let mut file = Replacement::create(&data_dir.join(FILE))?;
        for HostCount { host, requests } in &hosts {
            writeln!(file, "{requests}\t{host}")?;
        }
        file.publish()?;
        // Last: a report that could not be written is written the next time.
        self.state.lock().saved = hosts;
        Ok(())
    }
}

impl Counted {
    /// Adds a request, and returns the host if it is to be reported.
    fn add(&mut self, host: &str) -> Option<HostCount> {
        if let Some(known) = self.hosts.iter_mut().find(|known| known.host == host) {
            known.requests += 1;
            return (known.requests >= REPORTED_FROM).then(|| known.clone());
        }
        if self.hosts.len() < HOSTS_MAX {
            self.hosts.push(HostCount { host: host.to_owned(), requests: 1 });
            return None;
        }
        // One request of each known host is cancelled against this one.
        self.hosts.iter_mut().for_each(|known| known.requests -= 1);
        self.hosts.retain(|known| known.requests > 0);
        None
    }
}

/// Returns the hosts that are reported, the most requested one first.
fn reported(hosts: &[HostCount]) -> Vec<HostCount> {
    let mut hosts: Vec<_> = hosts.iter().filter(|known| known.requests >= REPORTED_FROM).cloned().collect();
    hosts.sort_by(|one, other| other.requests.cmp(&one.requests).then_with(|| one.host.cmp(&other.host)));
    hosts
}

/// Returns the hosts that a server with this data folder reported, except for those in `own`, which are domains
/// by now. A missing or unreadable file has none.
pub fn saved(data_dir: &Path, own: impl Fn(&str) -> bool) -> Vec<HostCount> {
    let path = data_dir.join(FILE);
    if !fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= FILE_MAX) {
        return Vec::new();
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let row = |line: &str| {
        let (requests, host) = line.split_once('\t')?;
        Some(HostCount { host: host.to_owned(), requests: requests.parse().ok()? })
    };
    text.lines().filter_map(row).filter(|known| !own(&known.host)).collect()
}

/// Removes the report of an earlier server, once its successor has logged it.
pub fn forget(data_dir: &Path) {
    // It may not exist.
    let _ = fs::remove_file(data_dir.join(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_requested_often_is_reported_whatever_else_is_requested() {
        let misses = HostMisses::default();
        for n in 0..1_000 {
            misses.count("waypost");
            misses.count(&format!("h{n}.test"));
        }
        let hosts = reported(&misses.state.lock().hosts);
        let [HostCount { host, requests }] = &hosts[..] else { panic!("{hosts:?}") };
        assert_eq!(host, "waypost");
        assert!((900..=1_000).contains(requests), "{requests}");
        assert_eq!(misses.total(), 2_000);
    }

    #[test]
    fn forged_hosts_take_no_memory_and_are_not_reported() {
        let misses = HostMisses::default();
        for n in 0..100_000 {
            misses.count(&format!("h{n}.test"));
        }
        assert!(misses.state.lock().hosts.len() <= HOSTS_MAX);
        assert!(reported(&misses.state.lock().hosts).is_empty());
    }

    #[test]
    fn a_report_outlives_its_server() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let misses = HostMisses::default();
        for _ in 0..19 {
            misses.count("waypost");
        }
        misses.save(folder.path()).expect("written");
        assert!(saved(folder.path(), |_| false).is_empty(), "too few");
        for _ in 0..215 {
            misses.count("waypost");
        }
        misses.save(folder.path()).expect("written");
        let found = saved(folder.path(), |_| false);
        assert!(
            found[0].report().starts_with("234 requests for host `waypost` were answered 404"),
            "{found:?}"
        );
        assert!(saved(folder.path(), |host| host == "waypost").is_empty(), "a domain by now");
        forget(folder.path());
        assert!(saved(folder.path(), |_| false).is_empty());
    }
}
