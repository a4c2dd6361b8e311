//! The program, put together: what `main` starts and what tests start.
//!
//! Start: lock the data folder, open the table as far as it opens, open the log with the table as
//! its applied state, let the table follow, bind, serve. Requests are answered from then on; those that
//! need the store get 503 until it has caught up. Stop: close the listener, let started requests
//! finish, write down webhooks that wait and the last clicks, close the log, let the table apply what is left.

pub mod data_folder;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::data_folder::{FolderError, FolderLock, LOG_FOLDER, TABLE_FOLDER};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::{Bootstrap, BuildError, Core, Parts, Site, StartError as FirstRecordsError};
use crate::descriptors;
use crate::http::api::ops::{self, Ops};
use crate::http::api::{Api, Backend};
use crate::http::conn::server;
use crate::http::counts::Counts;
use crate::http::dates::Dates;
use crate::http::service::Service;
use crate::log::local::disk_guard::DiskGuard;
use crate::log::local::{LocalLog, LogFolder};
use crate::log::{Log, LogError};
use crate::model::node::NodeNumber;
use crate::private_files;
use crate::readiness::{Latch, Readiness};
use crate::table::Table;
use crate::visit::Visitor;
use crate::webhooks::Webhooks;

/// How often the start looks whether the table has caught up.
const READY_POLL: Duration = Duration::from_millis(5);

/// What to do where threads are refused. Each takes address space and counts as a process.
pub const MORE_THREADS: &str = "Raise the limit of processes (`ulimit -u`, TasksMax= of a service, the pids limit of \
                                a container) or of address space (`ulimit -v`)";

/// Why Waypost cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log cannot be opened.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The system allows too few open files.
    #[error(transparent)]
    Descriptors(#[from] descriptors::TooFew),
    /// The system starts no more threads.
    #[error("the system starts no more threads for this process: {error}. {MORE_THREADS}")]
    Threads {
        /// Why.
        error: io::Error,
    },
    /// A setting broke a rule.
    #[error("{0}")]
    Setting(#[from] crate::settings::BadSetting),
}

/// Log, table and core without a server: what `import` works on, and the lower half of [`App`].
pub struct Store {
    /// The truth.
    pub log: Arc<dyn Log>,
    /// The engine below it, for what only a log in files can report.
    local: Arc<LocalLog>,
    /// Look-ups.
    pub table: Table,
    /// Everything the commands do.
    pub core: Core,
    /// What receivers are told of clicks.
    pub webhooks: Webhooks,
    /// The full-disk guard.
    pub space: Arc<DiskGuard>,
    /// Held for as long as the store is open.
    _lock: FolderLock,
}

impl Store {
    /// Locks and opens the data folder. Blocks for as long as a damaged log takes to repair; the
    /// table catches up behind.
    pub fn open(config: &Config, clock: Clock, readiness: &Readiness) -> Result<Store, StartError> {
        Store::open_as(NodeNumber::ALONE, config, clock, readiness, |log| log)
    }

    /// Like [`Store::open`], as a node of a cluster and over what `wrap` makes of the log.
    pub fn open_as(
        node: NodeNumber,
        config: &Config,
        clock: Clock,
        readiness: &Readiness,
        wrap: impl FnOnce(Arc<dyn Log>) -> Arc<dyn Log>,
    ) -> Result<Store, StartError> {
        let dir = &config.data_dir;
        let in_folder = |error| FolderError::Unusable { path: dir.clone(), error };
        private_files::create_folder(dir).map_err(in_folder)?;
        // Before the lock file is there: it is a sign that a server ran here.
        data_folder::check(dir, config.log.accept_loss)?;
        let mut lock = data_folder::lock(dir)?;
        data_folder::keep_private(dir);
        let is_loss_accepted = data_folder::check(dir, config.log.accept_loss)?;
        let log_folder = LogFolder::create(&dir.join(LOG_FOLDER)).map_err(in_folder)?;
        lock.extend(dir)?;
        if is_loss_accepted {
            data_folder::set_key_aside(dir, clock.now()).map_err(in_folder)?;
        }
        let space = Arc::new(DiskGuard::open(dir).map_err(in_folder)?);
        // Opening the log and the table writes a little: a full disk frees its reserve for that.
        space.admits_table(true);
        if !dir.join(TABLE_FOLDER).exists() {
            // The log first: a table or a key without a log stops the next start.
            log_folder.begin_if_empty(clock.now())?;
        }
        let table = Table::open(&dir.join(TABLE_FOLDER), config.table.clone());
        if table.is_held_elsewhere() {
            return Err(FolderError::InUse { path: dir.clone() }.into());
        }
        let applied_state = Arc::new(table.clone());
        let local = log_folder.open(config.log.clone(), clock.clone(), applied_state, Arc::clone(&space))?;
        let local = Arc::new(local);
        let log = wrap(Arc::clone(&local) as Arc<dyn Log>);
        let core = Core::new(Parts {
            log: Arc::clone(&log),
            table: table.clone(),
            cache: Cache::new(&config.cache),
            clock: clock.clone(),
            site: Site::parse(&config.public_url).expect("the configuration was checked"),
            settings: config.links.clone(),
            allowed_networks: config.webhooks.networks()?,
            environment_key: config.admin_key.as_ref().map(|key| key.0.clone()),
            node,
        })
        .map_err(|error| match error {
            BuildError::Setting(bad) => StartError::Setting(bad),
            BuildError::Thread(error) => StartError::Threads { error },
        })?;
        let webhooks = Webhooks::new(core.tenants(), &config.webhooks)?;
        let (guard, written) = (Arc::clone(&space), Arc::clone(&local));
        let observer = Arc::new(core.clone());
        // sled writes by path as well: not into a folder that took the place of this one.
        let followed = table.clone();
        let is_catching_up = AtomicBool::new(true);
        let may_write = move || {
            // Once: a table that fails later must leave the reserve to the last clicks.
            if is_catching_up.load(Ordering::Relaxed) && followed.is_ready() {
                is_catching_up.store(false, Ordering::Relaxed);
            }
            guard.admits_table(is_catching_up.load(Ordering::Relaxed)) && written.check_path().is_ok()
        };
        table
            .start(Arc::clone(&log), observer, Arc::new(may_write), clock, readiness)
            .map_err(|error| StartError::Threads { error })?;
        Ok(Store { log, local, table, core, webhooks, space, _lock: lock })
    }

    /// Returns once the table has caught up and, on the first start, the first records are made.
    pub async fn ready(&self, data_dir: &Path) -> Result<Bootstrap, FirstRecordsError> {
        while !self.core.is_loaded() {
            tokio::time::sleep(READY_POLL).await;
        }
        self.core.bootstrap(data_dir).await
    }

    /// What answers requests to this store.
    pub fn service(&self, config: &Config, readiness: &Readiness, counts: &Arc<Counts>) -> Service {
        let sources: Vec<Box<dyn ops::Source>> = vec![
            Box::new(Arc::clone(counts)),
            Box::new(Arc::clone(&self.log)),
            Box::new(Arc::clone(&self.local)),
            Box::new(self.table.clone()),
            Box::new(ops::Lag { log: Arc::clone(&self.log), table: self.table.clone() }),
            Box::new(self.core.cache().clone()),
            Box::new(self.core.clone()),
            Box::new(self.webhooks.clone()),
        ];
        let visitor = Visitor::new(&self.core, self.webhooks.clone(), config.visit.clone());
        let backend = Backend {
            links: self.core.links(),
            tenants: self.core.tenants(),
            snapshots: self.core.snapshots(),
            visitor: visitor.clone(),
            webhooks: self.webhooks.clone(),
        };
        Service::new(
            visitor,
            Api::new(backend, &config.http, &config.limits, Arc::clone(counts)),
            Ops::new(&config.metrics, readiness.clone(), sources),
            Arc::clone(counts),
            &config.http,
            config.limits.misses_per_minute,
        )
    }

    /// Writes the last clicks, closes the log, lets the table apply what is left. Blocks at its
    /// end, while the last records are made durable.
    pub async fn close(self) {
        // The guard may refuse before it calls the disk full: then the reserve is for this as well.
        if self.space.is_low() || self.core.click_log().flush_last().await.is_err() {
            self.space.release();
        }
        if let Err(error) = self.core.click_log().flush_last().await {
            tracing::error!(%error, "the last clicks could not be written and are lost");
        }
        let closed = tokio::task::spawn_blocking(move || {
            self.log.close();
            self.table.stop();
        });
        if closed.await.is_err() {
            tracing::error!("closing the store panicked");
        }
    }
}

/// The program: a store, a server, and what runs beside them.
pub struct App {
    address: SocketAddr,
    store: Store,
    data_dir: PathBuf,
    readiness: Readiness,
    first_records: Mutex<Option<Latch>>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    flusher: JoinHandle<()>,
    beside: JoinSet<()>,
}

impl App {
    /// Starts. Returns when it is bound and serves; see [`App::ready`] for the rest.
    pub async fn start(config: Config, clock: Clock) -> Result<App, StartError> {
        App::start_over(config, clock, |log| log).await
    }

    /// The same, over what `wrap` makes of the log: for tests of what happens when it fails.
    pub async fn start_over(
        config: Config,
        clock: Clock,
        wrap: impl FnOnce(Arc<dyn Log>) -> Arc<dyn Log> + Send + 'static,
    ) -> Result<App, StartError> {
        descriptors::check()?;
        let readiness = Readiness::default();
        let (dates, watched) = (Dates::default(), clock.clone());
        let first_records = readiness.hold("the first records are being looked for");
        let store = {
            let (config, readiness) = (config.clone(), readiness.clone());
            let open = move || Store::open_as(NodeNumber::ALONE, &config, clock, &readiness, wrap);
            let opened = tokio::task::spawn_blocking(open).await;
            opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?
        };
        let in_use = |error| StartError::Listen { address: config.listen, error };
        let listener = match server::bind(config.listen) {
            Ok(listener) => listener,
            Err(error) => {
                store.close().await;
                return Err(in_use(error));
            }
        };
        let address = listener.local_addr().map_err(in_use)?;
        let counts = Arc::new(Counts::default());
        let service = store.service(&config, &readiness, &counts);
        let (stop, mut stopped) = watch::channel(false);
        let flusher_stops = stopped.clone();
        let mut beside = JoinSet::new();
        beside.spawn(dates.clone().watch(watched));
        let server = tokio::spawn(async move {
            let told = async move {
                // The sender lives in the App, which is told to stop before it goes.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let connect = move |peer: SocketAddr| dates.dated(service.connect(peer.ip()));
            let drained = server::serve(vec![listener.into()], &config.http, counts, connect, told).await;
            if drained.aborted > 0 {
                tracing::warn!(connections = drained.aborted, "connections were cut at the end of the drain");
            }
        });
        store.webhooks.start();
        let (click_log, sweeping) = (store.core.click_log(), store.core.clone());
        let flusher = tokio::spawn(async move {
            click_log.flush_regularly(config.clicks.flush_interval, flusher_stops).await;
        });
        beside.spawn(async move { sweeping.sweep_regularly().await });
        Ok(App {
            address,
            store,
            data_dir: config.data_dir,
            readiness,
            first_records: Mutex::new(Some(first_records)),
            stop,
            server,
            flusher,
            beside,
        })
    }

    /// Where it listens: the port that the system chose, when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything the commands do.
    pub fn core(&self) -> &Core {
        &self.store.core
    }

    /// What receivers are told of clicks.
    pub fn webhooks(&self) -> &Webhooks {
        &self.store.webhooks
    }

    /// Returns once requests of every kind are answered. On the first start makes the first
    /// records.
    pub async fn ready(&self) -> Result<Bootstrap, FirstRecordsError> {
        let bootstrap = self.store.ready(&self.data_dir).await?;
        let misdirected = self.store.core.links().misdirected();
        if let [first, ..] = &misdirected[..] {
            let number = misdirected.len();
            tracing::warn!(number, %first, "URLs of domains lead to this server itself and are not followed");
        }
        drop(self.first_records.lock().take());
        while !self.readiness.held().is_empty() {
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(bootstrap)
    }

    /// Stops in order: no new connections, started requests finish (within `http.drain_timeout`),
    /// webhooks that wait are written down, then the store closes with its last clicks.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if self.server.await.is_err() {
            tracing::error!("the server panicked");
        }
        if self.flusher.await.is_err() {
            tracing::error!("the flusher of clicks panicked");
        }
        self.beside.shutdown().await;
        // After the last click, and before the log closes, which takes what waits.
        self.store.webhooks.stop().await;
        self.store.close().await;
    }
}
