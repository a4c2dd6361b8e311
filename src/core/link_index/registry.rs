//! [`LinkIndexes`]: the indexes of the workspaces whose lists are used.
//!
//! 1. The first search, filter or sort of a workspace with many links builds its index. From then on the thread that
//!    applies Changes writes each Change to it.
//! 2. At most [`INDEXES_MAX`] are kept. The company with the most of them loses the one that was used the longest time
//!    ago. An index that nobody used for [`UNUSED`] is dropped with its memory and its file.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::index::{IndexLost, LinkIndex};
use super::parts::IndexBuild;
use crate::log::Put;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{Staged, workspace_of_link};
use crate::table::{self, Table, keys};

/// Most indexes: each has a file.
const INDEXES_MAX: usize = 24;

/// Time without a list after which an index is dropped, with its memory and its file.
const UNUSED: Duration = Duration::from_mins(30);

/// The indexes of all workspaces.
#[derive(Debug, Default)]
pub(in crate::core) struct LinkIndexes {
    kept: Mutex<HashMap<WorkspaceNumber, KeptIndex>>,
    /// Whether there is any, so that a Change costs one load on a server without long lists.
    is_used: AtomicBool,
}

#[derive(Debug)]
struct KeptIndex {
    index: Arc<LinkIndex>,
    company: ForeignId,
    used: Instant,
}

impl LinkIndexes {
    /// Returns the index of a workspace. Begins one with `build` if there is none. Fails if its file cannot be created.
    pub(in crate::core) fn get_or_begin(
        &self,
        workspace: WorkspaceNumber,
        company: &ForeignId,
        table: &Table,
        build: IndexBuild,
    ) -> Result<Arc<LinkIndex>, IndexFailure> {
        let mut kept = self.kept.lock();
        if let Some(found) = kept.get_mut(&workspace) {
            found.used = Instant::now();
            return Ok(Arc::clone(&found.index));
        }
        make_room(&mut kept);
        // Under the lock: an import that ends behind this line is noted.
        let imports = table.stagings(workspace)?;
        let index = LinkIndex::new(workspace, table.scratch_file().map_err(IndexLost::Io)?, imports, build);
        let index = Arc::new(index);
        let (company, used) = (company.clone(), Instant::now());
        kept.insert(workspace, KeptIndex { index: Arc::clone(&index), company, used });
        self.is_used.store(true, Ordering::Release);
        Ok(index)
    }

    /// Notes a record of a link that was written.
    pub(in crate::core) fn note_link(&self, put: &Put) {
        if !self.is_used.load(Ordering::Acquire) {
            return;
        }
        let (Some((domain, code)), Some(value)) = (keys::parse_link(&put.key), &put.value) else { return };
        // Only the first fields are read: most links are of workspaces without an index.
        let Some(workspace) = workspace_of_link(value) else { return self.clear() };
        let Some(index) = self.of(workspace) else { return };
        let noted = match Staged::decode(domain, code, value) {
            Ok(staged) => index.put(&staged),
            // The table has rejected the record as well, and is rebuilt.
            Err(_) => Err(IndexLost::Outgrown),
        };
        if let Err(lost) = noted {
            tracing::debug!(%lost, "an index of links is dropped");
            self.forget(&index);
        }
    }

    /// Notes links whose records are gone.
    pub(in crate::core) fn note_gone(&self, links: &[(WorkspaceNumber, Id)]) {
        if !self.is_used.load(Ordering::Acquire) {
            return;
        }
        for (workspace, id) in links {
            if let Some(index) = self.of(*workspace) {
                index.remove(*id);
            }
        }
    }

    /// Notes that an import has begun to write links, or that it has ended.
    pub(in crate::core) fn note_import(&self, workspace: WorkspaceNumber, import: Id, is_over: bool) {
        let Some(index) = self.of(workspace) else { return };
        if is_over { index.end_import(import) } else { index.begin_import(import) }
    }

    /// Returns the indexes with a column of clicks.
    pub(in crate::core) fn with_clicks(&self) -> Vec<Arc<LinkIndex>> {
        if !self.is_used.load(Ordering::Acquire) {
            return Vec::new();
        }
        let kept = self.kept.lock();
        kept.values().filter(|kept| kept.index.has_clicks()).map(|kept| Arc::clone(&kept.index)).collect()
    }

    fn of(&self, workspace: WorkspaceNumber) -> Option<Arc<LinkIndex>> {
        self.kept.lock().get(&workspace).map(|kept| Arc::clone(&kept.index))
    }

    /// Removes an index, unless the workspace has another one by now.
    pub(in crate::core) fn forget(&self, index: &Arc<LinkIndex>) {
        index.lose();
        let mut kept = self.kept.lock();
        // Another reader may have begun the next one already.
        if kept.get(&index.workspace).is_some_and(|kept| Arc::ptr_eq(&kept.index, index)) {
            kept.remove(&index.workspace);
        }
    }

    /// Removes all indexes: Changes may have been missed.
    pub(in crate::core) fn clear(&self) {
        self.kept.lock().drain().for_each(|(_, kept)| kept.index.lose());
    }

    /// Removes and returns the indexes that nobody has used for long.
    pub(in crate::core) fn take_unused(&self) -> Vec<Arc<LinkIndex>> {
        if self.is_used.load(Ordering::Acquire) { take_unused(&mut self.kept.lock()) } else { Vec::new() }
    }
}

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub(in crate::core) enum IndexFailure {
    /// The file cannot be created.
    #[error(transparent)]
    Lost(#[from] IndexLost),
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] table::Error),
}

fn take_unused(kept: &mut HashMap<WorkspaceNumber, KeptIndex>) -> Vec<Arc<LinkIndex>> {
    let unused = kept.extract_if(|_, kept| kept.used.elapsed() >= UNUSED);
    let unused: Vec<_> = unused.map(|(_, kept)| kept.index).collect();
    // A reader that has one would miss the Changes from here on.
    for index in &unused {
        index.lose();
    }
    unused
}

/// Removes an index if one more would be too many.
fn make_room(kept: &mut HashMap<WorkspaceNumber, KeptIndex>) {
    if kept.len() < INDEXES_MAX {
        return;
    }
    let mut of_company: HashMap<&ForeignId, usize> = HashMap::new();
    for kept in kept.values() {
        *of_company.entry(&kept.company).or_default() += 1;
    }
    // The company with the most pays, so that others keep theirs.
    let most = of_company.into_iter().max_by_key(|(_, count)| *count).map(|(company, _)| company.clone());
    let of_most = kept.iter().filter(|(_, kept)| Some(&kept.company) == most.as_ref());
    if let Some(workspace) = of_most.min_by_key(|(_, kept)| kept.used).map(|(workspace, _)| *workspace) {
        // Marked, so that a reader does not show a list that misses Changes.
        kept.remove(&workspace).into_iter().for_each(|kept| kept.index.lose());
    }
}
