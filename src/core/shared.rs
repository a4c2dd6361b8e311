//! [`Shared`]: the state behind every handle of the core.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::error::Error;
use super::exclusive::ExclusiveLock;
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
use super::tenants::secrets::EnvironmentKey;
use crate::cache::Cache;
use crate::clock::Clock;
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
    pub(in crate::core) directory: ArcSwap<Directory>,
    /// Ids are drawn and handed to the log under this one lock: the order of ids is the order of
    /// the log.
    pub(in crate::core) ids: Mutex<IdSource>,
    /// Between the last check of a write and its applied Change: see [`super::exclusive`].
    pub(in crate::core) exclusive: ExclusiveLock,
    /// The node whose click totals are written here.
    pub(in crate::core) node: NodeNumber,
    /// Click totals are computed and handed to the log under this one lock: a total that is
    /// smaller, since less is reserved, must not overtake a later one.
    pub(in crate::core) totals: Mutex<()>,
    /// What was drained from the counters is in the log up to here. Held while counters are forgotten.
    pub(in crate::core) drained: Mutex<Position>,
    /// The least number that no workspace was given since the start: creators that run at the same moment
    /// get different numbers.
    pub(in crate::core) next_workspace: Mutex<u32>,
    /// Creators in a workspace with credits go one by one: see `credits::CreditGuard`. Acquired before
    /// `exclusive`, never under it: a queue of creators would keep everybody waiting.
    /// Creations of what is capped.
    pub(in crate::core) caps: Caps,
    pub(in crate::core) credit_locks: Mutex<HashMap<WorkspaceNumber, Arc<tokio::sync::Mutex<()>>>>,
    pub(in crate::core) clock: Clock,
    pub(in crate::core) site: Site,
    pub(in crate::core) settings: Settings,
    pub(in crate::core) schemes: ExtraSchemes,
    pub(in crate::core) allowed_networks: Networks,
    pub(in crate::core) codes: Generator,
    pub(in crate::core) environment_key: Option<EnvironmentKey>,
    pub(in crate::core) hashing: Hasher,
    /// Reads that look at each link of a list.
    pub(in crate::core) scans: CpuPool,
    pub(in crate::core) loader: LoadPool,
    pub(in crate::core) snapshots: AtWork,
    /// Changes of links with placeholders, for who changes what fills them.
    pub(in crate::core) filled_links: FilledLinks,
    /// Set once the directory was read: before, everything looks as if it did not exist.
    pub(in crate::core) is_loaded: AtomicBool,
}

impl Shared {
    /// Reads all records whose key begins with `prefix`, in order, unless nobody waits for them any more.
    pub(in crate::core) fn read_all<T: Stored>(
        &self,
        prefix: &[u8],
        cancel: &Cancel,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        self.table.each(prefix, &mut |_, record| {
            all.push(record);
            !cancel.is_set()
        })?;
        Ok(all)
    }
}
