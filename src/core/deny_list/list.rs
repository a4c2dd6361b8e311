//! [`DenyList`]: the deny list in force. A reload replaces it as a whole, so a look-up needs no lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::file::{DenyFile, DenyFileError};
use crate::clock::Timestamp;
use crate::model::denied_hosts::DeniedHosts;
use crate::model::destination::Destination;
use crate::private_files::FileStamp;

/// The hosts to which this server leads no visitor. The default is no list, which costs nothing.
#[derive(Debug, Default)]
pub struct DenyList {
    path: Option<PathBuf>,
    hosts: ArcSwapOption<DeniedHosts>,
    /// Visits that got the warning page.
    refused_visits: AtomicU64,
    pub(super) watched: Mutex<Watched>,
}

/// What the checks of the file have seen.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The file of the list in force.
    pub(super) in_force: Option<FileStamp>,
    /// The result of the last check: `Err` for a file that cannot be found.
    pub(super) last_seen: Option<Result<FileStamp, std::io::ErrorKind>>,
    /// The file whose content was refused. It is not read again before it changes.
    pub(super) refused: Option<FileStamp>,
    /// The warning that was logged last, while the file cannot be used.
    pub(super) warning: Option<String>,
}

/// The state of the list for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DenyListStatus {
    /// Hosts of the list in force.
    pub hosts: u64,
    /// When the file of the list in force was written. `None` without a list.
    pub modified: Option<Timestamp>,
    /// Whether the present file cannot be used, so that an older list is in force.
    pub is_stale: bool,
    /// Visits that got the warning page.
    pub refused_visits: u64,
}

impl DenyList {
    /// Reads the list at the start. Fails if the file cannot be used: a server without its list would redirect to
    /// every host.
    pub fn open(path: Option<&Path>) -> Result<DenyList, DenyFileError> {
        let Some(path) = path else { return Ok(DenyList::default()) };
        let file = DenyFile::read(path)?;
        tracing::info!(path = %path.display(), hosts = file.hosts(), "the deny list is loaded");
        let list = DenyList { path: Some(path.to_owned()), ..DenyList::default() };
        list.replace(file);
        Ok(list)
    }

    /// Returns whether the server has a list.
    pub fn is_in_use(&self) -> bool {
        self.path.is_some()
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the host of a URL if it or a domain above it is on the list.
    pub fn host_of(&self, to: &Destination) -> Option<Box<str>> {
        // Most servers have no list, and must not pay for one.
        self.path.as_ref()?;
        self.hosts.load().as_ref()?.host_of(to)
    }

    /// Counts a visit that got the warning page.
    pub fn count_refused_visit(&self) {
        self.refused_visits.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the state of the list.
    pub fn status(&self) -> DenyListStatus {
        let watched = self.watched.lock();
        DenyListStatus {
            hosts: self.hosts.load().as_ref().map_or(0, |hosts| hosts.len() as u64),
            modified: watched
                .in_force
                .map(|stamp| Timestamp::from_millis(stamp.modified().saturating_mul(1_000))),
            is_stale: watched.warning.is_some(),
            refused_visits: self.refused_visits.load(Ordering::Relaxed),
        }
    }

    pub(super) fn replace(&self, file: DenyFile) {
        self.hosts.store(Some(Arc::new(file.hosts)));
        let mut watched = self.watched.lock();
        let in_force = Some(file.stamp);
        *watched = Watched { in_force, last_seen: in_force.map(Ok), ..Watched::default() };
    }

    /// Returns a list of these hosts without a file.
    #[cfg(test)]
    pub(crate) fn of(hosts: &[&str]) -> DenyList {
        let mut reader = crate::model::denied_hosts::DenyListReader::default();
        for host in hosts {
            reader.add_line(host.as_bytes()).expect(host);
        }
        let hosts = ArcSwapOption::from_pointee(reader.finish());
        DenyList { path: Some(PathBuf::from("denied-hosts.txt")), hosts, ..DenyList::default() }
    }
}

/// Returns the rule that a URL on a denied host breaks.
pub(crate) fn denied_rule(host: &str) -> String {
    format!("leads to {host}, a host on the deny list of this server")
}
