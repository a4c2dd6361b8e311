//! Links and what they belong to. Every write passes here, in the order log, table, cache; every
//! lookup of a redirect starts here.
//!
//! [`Links`] is a handle, cheap to clone. Its methods take a [`Context`]: on whose behalf, in
//! which workspace, under which idempotency claim. They know no HTTP and no vendor.

pub mod clicks;
mod client;
mod commit;
mod error;
mod exclusive;
mod follow;
mod idempotency;
pub mod links;
mod pools;
mod site;
mod snapshots;
mod start;
mod sweep;
pub mod tenants;
mod view;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub use self::client::Client;
pub use self::error::{BuildError, Error};
pub use self::idempotency::{Claim, Created, Previous};
pub use self::links::bulk::{Bulk, ROWS_MAX};
pub use self::links::import::{Import, Imported, OnConflict};
pub use self::links::list::LINK_BYTES_MAX;
pub use self::links::named::Names;
pub use self::links::query::{Cursor, LIMIT_DEFAULT, LIMIT_MAX, LinkQuery, Page, Sort};
pub use self::links::resolve::Resolved;
pub use self::links::stream::{LinkStream, ListRange, STREAM_BYTES_MAX};
pub use self::pools::cpu_pool::heavy_threads;
pub use self::site::Site;
pub use self::snapshots::{ImportView, SharePage, ShareView, SnapshotView};
pub use self::start::{Bootstrap, KEY_FILE, StartError};
pub use self::tenants::campaigns::{CAMPAIGNS_MAX, Paging};
pub use self::tenants::contacts::{CONTACT_PATH, Rendered};
pub use self::tenants::keys::{Caller, Credential};
pub use self::tenants::tags::TAGS_MAX;
pub use self::view::{
    BulkView, CampaignPage, CampaignView, DomainView, FailedRow, KeyView, LinkView, WebhookSecretView,
    WorkspaceView,
};

use self::pools::cpu_pool::{Cancel, CpuPool};
use self::tenants::caps::Caps;
use self::tenants::directory::Directory;
use self::tenants::keys::EnvironmentKey;
use crate::cache::Cache;
use crate::clock::{Clock, Timestamp};
use crate::fair::Shares;
use crate::log::{Log, Position};
use crate::model::destination::ExtraSchemes;
use crate::model::id::IdSource;
use crate::model::key::{Reach, Scopes};
use crate::model::network::Networks;
use crate::model::node::NodeNumber;
use crate::model::tenant::Tenant;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::settings::BadSetting;
use crate::table::Table;
use crate::table::record::Stored;

/// Memory for hashing passwords by default: four buffers of 19 MiB, and as much for hashes from
/// elsewhere, which take up to 64 MiB.
const HASH_MEMORY: usize = 152 * 1024 * 1024;

/// `[links]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Characters of a generated short code. Grows by itself when collisions start.
    pub code_length: usize,
    /// What generated short codes are made of.
    pub code_alphabet: String,
    /// Schemes of destinations beyond http and https.
    pub extra_schemes: Vec<String>,
    /// How long a deleted link's statistics are kept, in days.
    pub tombstone_days: u32,
    /// Memory for hashing passwords in bytes. Not a setting: `config::memory` makes it fit what the
    /// system allows.
    #[serde(skip)]
    pub hash_memory: usize,
    /// Links that one search, filter or sort looks at before it ends `incomplete`; a link of several
    /// KB counts as several.
    pub scan_max: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            code_length: 7,
            code_alphabet: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".to_owned(),
            extra_schemes: Vec::new(),
            tombstone_days: 30,
            hash_memory: HASH_MEMORY,
            scan_max: 200_000,
        }
    }
}

impl Settings {
    /// Every rule about a value that has the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        links::codes::Generator::new(self)?;
        self.schemes()?;
        if self.tombstone_days > 3_650 {
            return Err(BadSetting::new("tombstone_days", self.tombstone_days, "must be at most 3650"));
        }
        if !(SCAN_MAX_LEAST..=SCAN_MAX_MOST).contains(&self.scan_max) {
            let rule = "must be from 1000 to 1000000000";
            return Err(BadSetting::new("scan_max", self.scan_max, rule));
        }
        Ok(())
    }

    fn schemes(&self) -> Result<ExtraSchemes, BadSetting> {
        let schemes = &self.extra_schemes;
        let rule = "must be schemes in lower case such as \"ftp\", none that browsers execute";
        ExtraSchemes::new(schemes.clone())
            .map_err(|_| BadSetting::new("extra_schemes", format!("{schemes:?}"), rule))
    }
}

/// On whose behalf a command runs.
#[derive(Clone, Debug)]
pub struct Context {
    /// The stored key; `None` for the key in the environment, and for commands of the program itself.
    pub key: Option<Credential>,
    /// Whose objects it sees.
    pub reach: Reach,
    /// What it may do.
    pub scopes: Scopes,
    /// To whom its use of shared resources is charged: see [`Links::tenant_of`].
    pub tenant: Tenant,
    /// The workspace it acts in.
    pub workspace: Arc<Workspace>,
    /// Ties log lines and Changes to the request; 0 for none.
    pub request: u64,
    /// The instant of the request.
    pub now: Timestamp,
    /// Present on a request with an `Idempotency-Key`.
    pub claim: Option<Claim>,
    /// Who waits for the answer.
    pub client: Client,
}

impl Context {
    /// Returns the context of a command of the program itself, which reaches the whole instance.
    pub fn of_program(workspace: Arc<Workspace>, now: Timestamp) -> Context {
        Context {
            key: None,
            reach: Reach::Instance,
            scopes: Scopes::all(),
            tenant: Tenant::Operator,
            workspace,
            request: 0,
            now,
            claim: None,
            client: Client::default(),
        }
    }
}

/// Most searches, sorted lists and deep pages that wait for a thread. Past it: 503, try again.
const SCANS_WAITING_MAX: u32 = 64;

/// Smallest and largest `links.scan_max`: a search must get through what a small workspace has, and none
/// may be as good as unbounded.
const SCAN_MAX_LEAST: u64 = 1_000;
const SCAN_MAX_MOST: u64 = 1_000_000_000;

/// The handle.
#[derive(Clone)]
pub struct Links(Arc<Shared>);

struct Shared {
    log: Arc<dyn Log>,
    table: Table,
    cache: Cache,
    directory: ArcSwap<Directory>,
    /// Ids are drawn and handed to the log under this one lock: the order of ids is the order of
    /// the log.
    ids: Mutex<IdSource>,
    /// Between the last check of a write and its applied Change: see [`exclusive`].
    exclusive: exclusive::ExclusiveLock,
    /// The node whose click totals are written here.
    node: NodeNumber,
    /// Click totals are computed and handed to the log under this one lock: a total that is
    /// smaller, since less is reserved, must not overtake a later one.
    totals: Mutex<()>,
    /// What was drained from the counters is in the log up to here. Held while counters are forgotten.
    drained: Mutex<Position>,
    /// The least number that no workspace was given since the start: creators that run at the same moment
    /// get different numbers.
    next_workspace: Mutex<u32>,
    /// Creators in a workspace with credits go one by one: see `credits::CreditGuard`. Acquired before
    /// `exclusive`, never under it: a queue of creators would keep everybody waiting.
    /// Creations of what is capped.
    caps: Caps,
    credit_locks: Mutex<HashMap<WorkspaceNumber, Arc<tokio::sync::Mutex<()>>>>,
    clock: Clock,
    site: Site,
    settings: Settings,
    schemes: ExtraSchemes,
    allowed_networks: Networks,
    codes: links::codes::Generator,
    environment_key: Option<EnvironmentKey>,
    hashing: pools::hashing::Hasher,
    /// Reads that look at each link of a list.
    scans: CpuPool,
    loader: pools::loader::LoadPool,
    snapshots: snapshots::AtWork,
    /// Changes of links with placeholders, for who changes what fills them.
    filled_links: links::loops::FilledLinks,
    /// Set once the directory was read: before, everything looks as if it did not exist.
    is_loaded: AtomicBool,
}

impl Shared {
    /// Reads all records whose key begins with `prefix`, in order, unless nobody waits for them any more.
    fn read_all<T: Stored>(&self, prefix: &[u8], cancel: &Cancel) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        self.table.each(prefix, &mut |_, record| {
            all.push(record);
            !cancel.is_set()
        })?;
        Ok(all)
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("site", &self.0.site).finish_non_exhaustive()
    }
}

/// What [`Links`] is made from.
pub struct Parts {
    /// The truth.
    pub log: Arc<dyn Log>,
    /// Look-ups.
    pub table: Table,
    /// The hot set.
    pub cache: Cache,
    /// The time.
    pub clock: Clock,
    /// `public_url`.
    pub site: Site,
    /// `[links]`.
    pub settings: Settings,
    /// `webhooks.allowed_networks`.
    pub allowed_networks: Networks,
    /// `WAYPOST_ADMIN_KEY`.
    pub environment_key: Option<String>,
    /// The node that this is.
    pub node: NodeNumber,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Links {
    /// Puts the parts together. The settings must have passed [`Settings::check`].
    pub fn new(parts: Parts) -> Result<Links, BuildError> {
        let hash_memory = parts.settings.hash_memory;
        let shared = Shared {
            log: parts.log,
            table: parts.table,
            cache: parts.cache,
            directory: ArcSwap::from_pointee(Directory::default()),
            ids: Mutex::new(IdSource::after(None)),
            exclusive: exclusive::ExclusiveLock::new(),
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
            codes: links::codes::Generator::new(&parts.settings)?,
            settings: parts.settings,
            environment_key: parts.environment_key.as_deref().map(EnvironmentKey::new),
            hashing: pools::hashing::Hasher::new(hash_memory),
            scans: CpuPool::new(&pools::cpu_pool::Threads::new(), SCANS_WAITING_MAX),
            loader: pools::loader::LoadPool::start().map_err(BuildError::Thread)?,
            snapshots: snapshots::AtWork::default(),
            filled_links: links::loops::FilledLinks::default(),
            is_loaded: AtomicBool::new(false),
        };
        Ok(Links(Arc::new(shared)))
    }

    /// Domains, workspaces, companies and keys as of now.
    pub fn directory(&self) -> arc_swap::Guard<Arc<Directory>> {
        self.0.directory.load()
    }

    /// How this instance is reached.
    pub fn site(&self) -> &Site {
        &self.0.site
    }

    /// The hot set.
    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Returns how many writes have kept others waiting for longer than 100 ms.
    pub fn long_exclusive_holds(&self) -> u64 {
        self.0.exclusive.long_holds()
    }

    /// The time.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Returns the pools of this part that requests of several tenants draw from, with their shares.
    pub fn pools(&self) -> Vec<(&'static str, Shares)> {
        let searches = ("searches that wait", self.0.scans.shares());
        std::iter::once(searches).chain(self.0.snapshots.pools()).collect()
    }

    /// Returns to whom the use of shared resources by a key of this reach is charged.
    pub fn tenant_of(&self, reach: &Reach) -> Tenant {
        match reach {
            Reach::Instance => Tenant::Operator,
            Reach::Company(id) => Tenant::Company(id.clone()),
            Reach::Workspace(number) => self.tenant_of_workspace(*number),
        }
    }

    /// Returns to whom visits of a workspace's links are charged, and what its own keys do.
    pub(crate) fn tenant_of_workspace(&self, number: WorkspaceNumber) -> Tenant {
        let company = self.directory().workspace(number).map(|held| held.record.company.clone());
        // Workspaces are never removed; a number without one would be a damaged store.
        company.map_or(Tenant::Operator, |company| Tenant::Workspace { company, number })
    }

    /// Runs table reads that look at many records on the pool for them.
    async fn scanning<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Shared, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.0);
        self.0.scans.run(tenant, move |cancel| work(&shared, cancel)).await?
    }

    /// Like [`Links::scanning`], for the next slice of a scan that was already admitted.
    async fn resume_scanning<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Shared, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.0);
        self.0.scans.resume(tenant, move |cancel| work(&shared, cancel)).await?
    }

    /// Runs table reads of bounded length where blocking is allowed: of a record or a page. Longer ones are
    /// [`Links::scanning`].
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        exclusive::assert_released("a thread for blocking is awaited");
        let shared = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(answer) => answer,
            Err(stopped) => match stopped.try_into_panic() {
                // The panic goes on to the request that caused it, which answers 500.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::NotReady("the server is stopping".to_owned())),
            },
        }
    }
}
