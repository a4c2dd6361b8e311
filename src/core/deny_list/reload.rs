//! Reloads the deny list when its file changes. A file that cannot be used is reported once, and the list in force
//! stays.

use std::path::Path;
use std::time::Duration;

use super::file::{DenyFile, DenyFileError};
use crate::core::handle::Core;
use crate::model::destination::Destination;
use crate::private_files::FileStamp;

/// The pause between two checks of the file. A change is loaded once two checks in a row find the same file, so
/// within 5 seconds.
const CHECKED_EVERY: Duration = Duration::from_secs(2);

impl Core {
    /// Reloads the deny list whenever its file changes. Returns at once if the server has no list.
    pub async fn reload_deny_list_regularly(&self) {
        while self.shared.deny_list.is_in_use() {
            tokio::time::sleep(CHECKED_EVERY).await;
            let core = self.clone();
            // The read of a large file would block a thread of the runtime.
            let checked = tokio::task::spawn_blocking(move || core.reload_deny_list_if_changed()).await;
            if checked.is_err() {
                tracing::error!("a check of the deny list panicked");
            }
        }
    }

    /// Loads the file of the deny list if it differs from the list in force and from the check before.
    fn reload_deny_list_if_changed(&self) {
        let list = &self.shared.deny_list;
        let Some(path) = list.path() else { return };
        let seen = FileStamp::of(path).map_err(|error| error.kind());
        {
            let mut watched = list.watched.lock();
            if seen.is_ok() && seen.ok() == watched.in_force {
                watched.last_seen = Some(seen);
                if watched.warning.take().is_some() {
                    tracing::info!(path = %path.display(), "the file of the deny list in force is back");
                }
                return;
            }
            // The first check that finds a change may find a file that is half written.
            if watched.last_seen.replace(seen) != Some(seen) || seen.is_ok() && seen.ok() == watched.refused {
                return;
            }
        }
        match DenyFile::read(path) {
            Ok(file) => self.adopt(path, file),
            // The next check finds another file.
            Err(DenyFileError::Changed { .. }) => {}
            Err(error) => {
                let mut watched = list.watched.lock();
                // A file that cannot be read is tried again: a network may be back.
                let is_content = !matches!(error, DenyFileError::Unreadable { .. });
                watched.refused = seen.ok().filter(|_| is_content);
                let warning = error.to_string();
                if watched.warning.as_ref() != Some(&warning) {
                    tracing::warn!("{warning}. The old list stays in force");
                    watched.warning = Some(warning);
                }
            }
        }
    }

    /// Puts a list into force, and removes the links from the cache that it concerns.
    fn adopt(&self, path: &Path, file: DenyFile) {
        let list = &self.shared.deny_list;
        let hosts = file.hosts();
        list.replace(file);
        // After the list is in force, since a load uses it. Requests from now on must not join a load that used the
        // old list.
        self.shared.loader.forget_all();
        let is_denied = |to: &Destination| list.host_of(to).is_some();
        self.shared.cache.revise(|entry| entry.is_denied() != entry.leads_to(is_denied));
        tracing::info!(path = %path.display(), hosts, "the deny list is loaded");
    }
}
