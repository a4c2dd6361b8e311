//! The handles of the core. [`Core`] has what all commands need. [`Links`], [`Tenants`], [`Snapshots`] and
//! [`ClickLog`] have the commands and dereference to it. All share one state, and cloning a handle copies an
//! `Arc`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::deny_list::list::DenyList;
use super::error::{BuildError, Error};
use super::exclusive::{ExclusiveLock, assert_released};
use super::history;
use super::link_index::registry::LinkIndexes;
use super::links::codes::Generator;
use super::links::loops::filled::FilledLinks;
use super::pools::cpu_pool::{Cancel, CpuPool, Threads};
use super::pools::hashing::Hasher;
use super::pools::listeners;
use super::pools::loader::LoadPool;
use super::settings::Settings;
use super::shared::Shared;
use super::site::Site;
use super::snapshots::at_work::AtWork;
use super::tenants::caps::Caps;
use super::tenants::directory::Directory;
use super::tenants::folded_tags::FoldedWorkspaces;
use super::tenants::secrets::EnvironmentKey;
use crate::analytics::Analytics;
use crate::analytics::capture::Capture;
use crate::analytics::country::LoadedCountries;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::fair::Shares;
use crate::log::{Log, Position};
use crate::model::id::IdSource;
use crate::model::network::Networks;
use crate::model::node::NodeNumber;
use crate::model::tenant::Tenant;
use crate::table::record::Stored;
use crate::table::{Found, Table};

/// Most searches, sorted lists and deep pages that queue for a thread. Past it, a request fails with 503 and
/// may be retried.
const SCANS_WAITING_MAX: u32 = 64;

/// The same of public pictures and pages of statistics, for which visitors ask without a key.
const PUBLIC_WAITING_MAX: u32 = 64;

/// The core of an instance.
#[derive(Clone)]
pub struct Core {
    pub(in crate::core) shared: Arc<Shared>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("site", &self.shared.site).finish_non_exhaustive()
    }
}

/// Creates, changes, lists, resolves and imports links.
#[derive(Clone, Debug)]
pub struct Links(Core);

/// Manages what companies and workspaces have beside links: domains, keys, sessions, tags, campaigns, contacts and
/// the secrets of webhooks.
#[derive(Clone, Debug)]
pub struct Tenants(Core);

/// Freezes, shares and imports snapshots.
#[derive(Clone, Debug)]
pub struct Snapshots(Core);

/// Writes clicks to the log: drains counters and reserves clicks of links with a limit.
#[derive(Clone, Debug)]
pub struct ClickLog(Core);

macro_rules! dereference_to_core {
    ($($handle:ident),+) => {$(
        impl Deref for $handle {
            type Target = Core;

            fn deref(&self) -> &Core {
                &self.0
            }
        }
    )+};
}

dereference_to_core!(Links, Tenants, Snapshots, ClickLog);

/// The arguments of [`Core::new`].
pub struct Parts {
    /// Holds every record. Table and cache are derived from it.
    pub log: Arc<dyn Log>,
    /// Answers look-ups.
    pub table: Table,
    /// Holds the links that were visited recently.
    pub cache: Cache,
    /// The source of the time.
    pub clock: Clock,
    /// `public_url`.
    pub site: Site,
    /// `[links]`.
    pub settings: Settings,
    /// `[history]`.
    pub history: history::settings::Settings,
    /// `webhooks.allowed_networks`.
    pub allowed_networks: Networks,
    /// `links.denied_hosts`, as it was read.
    pub deny_list: DenyList,
    /// `WAYPOST_ADMIN_KEY`.
    pub environment_key: Option<String>,
    /// The number of this node.
    pub node: NodeNumber,
    /// The details of clicks. `None` if the operator keeps none.
    pub analytics: Option<Arc<Analytics>>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Core {
    /// Creates the core. The settings must have passed [`Settings::check`]. Fails if a setting breaks a rule,
    /// or if the system starts no thread that reads links.
    pub fn new(parts: Parts) -> Result<Core, BuildError> {
        let hash_memory = parts.settings.hash_memory;
        let scan_threads = Threads::new();
        let shared = Shared {
            log: parts.log,
            table: parts.table,
            cache: parts.cache,
            // Empty until `Observer::reset` has read the table. Until then requests fail with 503.
            directory: ArcSwap::from_pointee(Directory::default()),
            directory_changes: Notify::new(),
            // Replaced at the reset, after which ids continue behind the newest one of the table.
            ids: Mutex::new(IdSource::after(None)),
            exclusive: ExclusiveLock::new(),
            node: parts.node,
            totals: Mutex::new(()),
            drained: Mutex::new(Position::START),
            next_workspace: Mutex::new(0),
            caps: Caps::default(),
            credit_locks: Mutex::default(),
            clock: parts.clock,
            site: parts.site,
            schemes: parts.settings.schemes()?,
            allowed_networks: parts.allowed_networks,
            deny_list: parts.deny_list,
            codes: Generator::new(
                parts.settings.code_style,
                &parts.settings.code_alphabet,
                parts.settings.code_length,
            )?,
            settings: parts.settings,
            history: parts.history,
            environment_key: parts.environment_key.as_deref().map(EnvironmentKey::new),
            hashing: Hasher::new(hash_memory),
            scans: CpuPool::new(&scan_threads, SCANS_WAITING_MAX),
            public: CpuPool::new(&scan_threads, PUBLIC_WAITING_MAX),
            loader: LoadPool::start().map_err(BuildError::Thread)?,
            snapshots: AtWork::default(),
            filled_links: FilledLinks::default(),
            link_changes: AtomicU64::new(0),
            folded_tags: FoldedWorkspaces::default(),
            indexes: LinkIndexes::default(),
            listeners: listeners::places(),
            analytics: parts.analytics,
            is_loaded: AtomicBool::new(false),
        };
        Ok(Core { shared: Arc::new(shared) })
    }

    /// Returns the handle of links.
    pub fn links(&self) -> Links {
        Links(self.clone())
    }

    /// Returns the handle of what companies and workspaces have beside links.
    pub fn tenants(&self) -> Tenants {
        Tenants(self.clone())
    }

    /// Returns the handle of snapshots, shares and imports.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots(self.clone())
    }

    /// Returns the handle of clicks on their way to the log.
    pub fn click_log(&self) -> ClickLog {
        ClickLog(self.clone())
    }

    /// Returns domains, workspaces, companies and keys at this instant, without a lock.
    pub fn directory(&self) -> arc_swap::Guard<Arc<Directory>> {
        self.shared.directory.load()
    }

    /// Returns the names of all domains, the default domain first.
    pub fn domain_names(&self) -> Vec<String> {
        self.directory().domains().map(|domain| self.site().name_of(domain)).collect()
    }

    /// Returns once domains, workspaces, companies or keys may have changed since the last call. For one caller.
    pub async fn directory_changed(&self) {
        self.shared.directory_changes.notified().await;
    }

    /// Returns how this instance is reached from outside.
    pub fn site(&self) -> &Site {
        &self.shared.site
    }

    /// Returns the hosts to which no link may lead.
    pub fn deny_list(&self) -> &DenyList {
        &self.shared.deny_list
    }

    /// Returns the cache of links.
    pub fn cache(&self) -> &Cache {
        &self.shared.cache
    }

    /// Returns the details of clicks, `None` if the operator keeps none.
    pub fn analytics(&self) -> Option<&Arc<Analytics>> {
        self.shared.analytics.as_ref()
    }

    /// Returns the countries of addresses, if the server may know some.
    pub fn countries(&self) -> Option<&LoadedCountries> {
        self.shared.analytics.as_ref().map(|analytics| &*analytics.countries)
    }

    /// Returns what captures the details of clicks.
    pub fn capture(&self) -> Option<&Capture> {
        self.shared.analytics.as_ref().map(|analytics| &analytics.capture)
    }

    /// Returns how many writes held the exclusive lock for longer than 100 ms.
    pub fn long_exclusive_holds(&self) -> u64 {
        self.shared.exclusive.long_holds()
    }

    /// Returns the source of the time.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Returns the pools that requests of several tenants share, each with a tenant's share of it.
    pub fn pools(&self) -> Vec<(&'static str, Shares)> {
        let searches = ("searches that wait", self.shared.scans.shares());
        let public = ("public pictures and pages that wait", self.shared.public.shares());
        [searches, public].into_iter().chain(self.shared.snapshots.pools()).collect()
    }

    /// Runs a read of many records on the scan pool. Fails with [`Error::Busy`] if too many scans wait.
    pub(in crate::core) async fn scanning<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Shared, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        self.shared.scans.run(tenant, move |cancel| work(&shared, cancel)).await?
    }

    /// Like [`Core::scanning`], for work that computes for long: on a thread of low priority, so that redirects come first
    /// also where there are as many threads as cores.
    pub(in crate::core) async fn computing<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Shared, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        self.shared.scans.run_behind(tenant, move |cancel| work(&shared, cancel)).await?
    }

    /// Like [`Core::computing`], for a visitor without a key. It has a waiting room of its own, and takes turns with the
    /// searches and lists of its workspace.
    pub(in crate::core) async fn computing_for_visitor<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Shared, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        self.shared.public.run_behind(tenant, move |cancel| work(&shared, cancel)).await?
    }

    /// Like [`Core::scanning`], for the next slice of a scan that was already admitted: it is never rejected
    /// because of the number of waiting scans.
    pub(in crate::core) async fn resume_scanning<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Shared, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        self.shared.scans.resume(tenant, move |cancel| work(&shared, cancel)).await?
    }

    /// Runs a read of bounded length, such as of a record or a page, on a thread that may block. Longer reads
    /// use [`Core::scanning`].
    pub(in crate::core) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        // The pool for blocking work may be full, and a hold of the exclusive lock must not wait for it.
        assert_released("a thread for blocking is awaited");
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(answer) => answer,
            Err(stopped) => match stopped.try_into_panic() {
                // Resumed here, so that the request that caused the panic fails with 500.
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime stopped before the work began.
                Err(_) => Err(Error::NotReady("the server is stopping".to_owned())),
            },
        }
    }

    /// Reads one record, or `None` if it does not exist.
    pub(in crate::core) async fn record<T: Stored + Send + 'static>(
        &self,
        key: Bytes,
    ) -> Result<Option<Found<T>>, Error> {
        self.blocking(move |shared: &Shared| Ok(shared.table.get::<T>(&key)?)).await
    }
}
