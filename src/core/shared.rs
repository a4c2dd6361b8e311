//! [`Shared`]: the state behind every handle of the core.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::deny_list::list::DenyList;
use super::error::Error;
use super::exclusive::ExclusiveLock;
use super::history;
use super::link_index::registry::LinkIndexes;
use super::links::codes::Generator;
use super::links::loops::filled::FilledLinks;
use super::pools::cpu_pool::{Cancel, CpuPool};
use super::pools::hashing::Hasher;
use super::pools::loader::LoadPool;
use super::settings::Settings;
use super::site::Site;
use super::snapshots::at_work::AtWork;
use super::tenants::caps::Caps;
use super::tenants::directory::Directory;
use super::tenants::folded_tags::FoldedWorkspaces;
use super::tenants::secrets::EnvironmentKey;
use crate::analytics::Analytics;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::fair::FairSemaphore;
use crate::log::{Log, Position};
use crate::model::destination::ExtraSchemes;
use crate::model::id::IdSource;
use crate::model::network::Networks;
use crate::model::node::NodeNumber;
use crate::model::workspace::WorkspaceNumber;
use crate::table::Table;
use crate::table::record::Stored;

pub(in crate::core) struct Shared {
    pub(in crate::core) log: Arc<dyn Log>,
    pub(in crate::core) table: Table,
    pub(in crate::core) cache: Cache,
    // Replaced as a whole by the apply thread, so readers need no lock.
    pub(in crate::core) directory: ArcSwap<Directory>,
    /// Notified after each change of the directory.
    pub(in crate::core) directory_changes: Notify,
    /// 1. Ids are generated and appended to the log under this one lock, so that ids are in the order of the
    ///    log.
    pub(in crate::core) ids: Mutex<IdSource>,
    /// 2. Held from the last check of a write until its Change is applied: see [`super::exclusive`].
    pub(in crate::core) exclusive: ExclusiveLock,
    /// The node whose click totals are written here.
    pub(in crate::core) node: NodeNumber,
    /// 3. Click totals are computed and appended to the log under this one lock. A total can be smaller than
    ///    the one before it, when fewer clicks are reserved; it must not be overtaken by a later one.
    pub(in crate::core) totals: Mutex<()>,
    /// 4. All totals drained from the counters are in the log up to this position. Held while unused counters
    ///    are evicted.
    pub(in crate::core) drained: Mutex<Position>,
    /// The least number that was given to no workspace since the start, so that concurrent creations get
    /// different numbers.
    pub(in crate::core) next_workspace: Mutex<u32>,
    /// Creations in progress of what has a cap.
    pub(in crate::core) caps: Caps,
    /// 5. Creations in a workspace with credits run one by one: see `credits::CreditGuard`. Acquired before
    ///    `exclusive`, never under it: under it, a queue of creations would delay every other write.
    pub(in crate::core) credit_locks: Mutex<HashMap<WorkspaceNumber, Arc<tokio::sync::Mutex<()>>>>,
    pub(in crate::core) clock: Clock,
    pub(in crate::core) site: Site,
    pub(in crate::core) settings: Settings,
    pub(in crate::core) history: history::settings::Settings,
    pub(in crate::core) schemes: ExtraSchemes,
    pub(in crate::core) allowed_networks: Networks,
    /// The hosts to which no link may lead. Consulted by writes, and by visits that are evaluated.
    pub(in crate::core) deny_list: DenyList,
    pub(in crate::core) codes: Generator,
    pub(in crate::core) environment_key: Option<EnvironmentKey>,
    pub(in crate::core) hashing: Hasher,
    /// The pool for reads that look at each link of a list.
    pub(in crate::core) scans: CpuPool,
    /// The pool for what visitors may ask for without a key. It shares the threads with `scans` and not the waiting room: a flood
    /// must not get the lists of its workspace rejected.
    pub(in crate::core) public: CpuPool,
    pub(in crate::core) loader: LoadPool,
    pub(in crate::core) snapshots: AtWork,
    /// Counts changes of links with placeholders, so that a change of custom values notices them.
    pub(in crate::core) filled_links: FilledLinks,
    /// The number of changes of links, on which sums by their tags, campaigns, domains and UTM parameters depend.
    pub(in crate::core) link_changes: AtomicU64,
    pub(in crate::core) folded_tags: FoldedWorkspaces,
    /// The links of workspaces with many of them, for searches, filters and sorts.
    pub(in crate::core) indexes: LinkIndexes,
    /// The details of clicks. `None` if the operator keeps none.
    pub(in crate::core) analytics: Option<Arc<Analytics>>,
    /// The places of listeners to clicks.
    pub(in crate::core) listeners: FairSemaphore,
    /// Set once the directory is loaded. Before, nothing can be found, and every request fails with 503.
    pub(in crate::core) is_loaded: AtomicBool,
}

impl Shared {
    /// Reads all records whose key begins with `prefix`, in order. Stops early if `cancel` is set.
    pub(in crate::core) fn read_all<T: Stored>(
        &self,
        prefix: &[u8],
        cancel: &Cancel,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        self.table.each(prefix, &mut |_, record| {
            all.push(record);
            // A cancelled read returns a part of the records, to no caller.
            !cancel.is_set()
        })?;
        Ok(all)
    }
}
