//! [`App`]: the whole program, as `main` and the tests start it.
//!
//! Start: bind, lock the data folder, open the table, open the log with the table as its applied state, start the
//! thread that applies the log to the table, serve. From then on requests are answered; requests that need the store
//! get 503 until the table has caught up. Stop: close the listener, finish requests in progress, write waiting
//! webhooks and the last clicks, close the log, apply the rest to the table.

mod click_details;
pub mod data_folder;
pub mod files;
pub mod liveness;
mod sockets;
mod start_error;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::click_details::ClickDetails;
use self::data_folder::{FolderError, FolderLock, LOG_FOLDER, TABLE_FOLDER};
use self::liveness::{Liveness, Pulse};
use self::sockets::Sockets;
pub use self::start_error::{MORE_THREADS, StartError};
use crate::cache::Cache;
use crate::certificates::report::{self, Hosts};
use crate::certificates::{CertificateName, CertificateNames, Certificates, StoredCertificates};
use crate::checks::Checks;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::deny_list::DenyList;
use crate::core::{Bootstrap, BootstrapError, BuildError, Core, Parts, Site};
use crate::descriptors;
use crate::http::api::ops::{self, Ops};
use crate::http::api::{Api, Backend};
use crate::http::conn::handover::{HandedOver, KeptSocket};
use crate::http::conn::listener::UNIX_PEER;
use crate::http::conn::server::{self, DrainTime};
use crate::http::counts::HttpCounts;
use crate::http::service::{HttpsPolicy, Service};
use crate::log::Log;
use crate::log::local::disk_guard::DiskGuard;
use crate::log::local::{LocalLog, LogFolder};
use crate::model::node::NodeNumber;
use crate::private_files;
use crate::readiness::{Latch, Readiness};
use crate::settings::listen::Listen;
use crate::table::Table;
use crate::visit::Visitor;
use crate::visit::host_misses::{self, HostMisses};
use crate::webhooks::Webhooks;

/// The pause between two writes of the hosts to be reported, so that `doctor` beside the server sees them soon.
const HOSTS_SAVED_EVERY: Duration = Duration::from_secs(15);

/// Most lines of a start about certificates: a server may have thousands of domains.
const REPORTS_MAX: usize = 20;

/// How often the start checks whether the table has caught up.
const READY_POLL: Duration = Duration::from_millis(5);

/// How long connections of sockets that were handed over wait for a table that is behind. Afterwards requests that need
/// it get 503: a rebuild may take minutes, and no client waits for one.
const HANDED_WAIT: Duration = Duration::from_secs(10);

/// The drain of a restart, for whose end visitors wait in the queue of the socket. Most clients send their request at
/// once; some connect ahead of it.
const RESTART_DRAIN: DrainTime =
    DrainTime { within: Duration::from_secs(2), first_request: Duration::from_secs(1) };

/// Log, table and core without a server: the lower half of [`App`], which `import` uses alone.
pub struct Store {
    /// The log, which is the truth.
    pub log: Arc<dyn Log>,
    /// The engine of the log, for the metrics that only a log in files has.
    local: Arc<LocalLog>,
    /// The state of the log, for look-ups.
    pub table: Table,
    /// All commands.
    pub core: Core,
    /// The events of clicks and their delivery.
    pub webhooks: Webhooks,
    /// The checks of links' destinations.
    checks: Checks,
    /// The guard against a full disk.
    pub guard: Arc<DiskGuard>,
    /// The details of clicks.
    details: Option<ClickDetails>,
    // Last, so that the folder is unlocked after everything above is closed.
    _lock: FolderLock,
}

impl Store {
    /// Locks and opens the data folder. Blocks while a damaged log is repaired. The table catches up in the
    /// background.
    pub fn open(config: &Config, clock: Clock, readiness: &Readiness) -> Result<Store, StartError> {
        Store::open_as(NodeNumber::ALONE, config, clock, readiness, |log| log)
    }

    /// Like [`Store::open`], as a node of a cluster and with the log that `wrap` returns.
    pub fn open_as(
        node: NodeNumber,
        config: &Config,
        clock: Clock,
        readiness: &Readiness,
        wrap: impl FnOnce(Arc<dyn Log>) -> Arc<dyn Log>,
    ) -> Result<Store, StartError> {
        // Before the data folder is touched, like every other error of the configuration.
        let deny_list = DenyList::open(config.links.denied_hosts.as_deref())?;
        let dir = &config.data_dir;
        let in_folder = |error| FolderError::Unusable { path: dir.clone(), error };
        // Before the folder and the lock file are created: a refused start leaves nothing, and the lock file means
        // that a server ran here.
        data_folder::check_owner(dir)?;
        data_folder::check(dir, config.log.accept_loss)?;
        private_files::create_folder(dir).map_err(in_folder)?;
        let mut lock = data_folder::lock(dir)?;
        data_folder::keep_private(dir);
        // Again under the lock: another process may have changed the folder since the first check.
        let is_loss_accepted = data_folder::check(dir, config.log.accept_loss)?;
        let log_folder = LogFolder::create(&dir.join(LOG_FOLDER)).map_err(in_folder)?;
        lock.extend(dir)?;
        if is_loss_accepted {
            data_folder::set_key_aside(dir, clock.now()).map_err(in_folder)?;
        }
        let guard = Arc::new(DiskGuard::open(dir).map_err(in_folder)?);
        // Opening the log and the table writes a little. On a full disk that takes the reserve.
        guard.admits_table(true);
        if !dir.join(TABLE_FOLDER).exists() {
            // The log is created first: the next start fails on a table or a key without a log.
            log_folder.begin_if_empty(clock.now())?;
        }
        let table = Table::open(&dir.join(TABLE_FOLDER), config.table.clone());
        if table.is_open_elsewhere() {
            return Err(FolderError::InUse { path: dir.clone() }.into());
        }
        let applied_state = Arc::new(table.clone());
        let local = log_folder.open(config.log.clone(), clock.clone(), applied_state, Arc::clone(&guard))?;
        let local = Arc::new(local);
        let log = wrap(Arc::clone(&local) as Arc<dyn Log>);
        let details = ClickDetails::open(config, &log, &clock, &guard);
        let core = Core::new(Parts {
            log: Arc::clone(&log),
            table: table.clone(),
            cache: Cache::new(&config.cache),
            clock: clock.clone(),
            site: Site::parse(&config.public_url).expect("the configuration was checked"),
            settings: config.links.clone(),
            history: config.history.clone(),
            // The networks of the webhooks: a URL that a write accepts must be one that a delivery may reach.
            allowed_networks: config.webhooks.networks()?,
            deny_list,
            environment_key: config.admin_key.as_ref().map(|key| key.0.clone()),
            node,
            analytics: details.as_ref().map(|details| Arc::clone(&details.analytics)),
        })
        .map_err(|error| match error {
            BuildError::Setting(bad) => StartError::Setting(bad),
            BuildError::Thread(error) => StartError::Threads { error },
        })?;
        let webhooks = Webhooks::new(core.tenants(), &config.webhooks)?;
        let checks = Checks::new(&core, webhooks.clone(), &config.checks, config.webhooks.networks()?);
        let (watched, written) = (Arc::clone(&guard), Arc::clone(&local));
        let observer = Arc::new(core.clone());
        // sled opens files by path. It must not write into a folder that was renamed to this path.
        let followed = table.clone();
        let is_catching_up = AtomicBool::new(true);
        let may_write = move || {
            // Only until the table is ready once: later the reserve is for the last clicks.
            if is_catching_up.load(Ordering::Relaxed) && followed.is_ready() {
                is_catching_up.store(false, Ordering::Relaxed);
            }
            watched.admits_table(is_catching_up.load(Ordering::Relaxed)) && written.check_path().is_ok()
        };
        table
            .start(Arc::clone(&log), observer, Arc::new(may_write), clock, readiness)
            .map_err(|error| StartError::Threads { error })?;
        Ok(Store { log, local, table, core, webhooks, checks, guard, details, _lock: lock })
    }

    /// Returns once the table has caught up and, on the first start, the first records are created.
    pub async fn ready(&self, data_dir: &Path) -> Result<Bootstrap, BootstrapError> {
        self.loaded().await;
        self.core.bootstrap(data_dir).await
    }

    /// Returns once the table has caught up.
    async fn loaded(&self) {
        while !self.core.is_loaded() {
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Creates the service that answers requests to this store.
    pub fn service(
        &self,
        config: &Config,
        readiness: &Readiness,
        counts: &Arc<HttpCounts>,
        https: Option<HttpsPolicy>,
    ) -> Service {
        let visitor = Visitor::new(&self.core, self.webhooks.clone(), config.visit.clone());
        let certificates = https.as_ref().map(|https| https.certificates().clone());
        let mut sources: Vec<Box<dyn ops::MetricSource>> = vec![
            Box::new(Arc::clone(counts)),
            Box::new(Arc::clone(visitor.host_misses())),
            Box::new(Arc::clone(&self.log)),
            Box::new(Arc::clone(&self.local)),
            Box::new(self.table.clone()),
            Box::new(ops::Lag { log: Arc::clone(&self.log), table: self.table.clone() }),
            Box::new(self.core.cache().clone()),
            Box::new(self.core.clone()),
            Box::new(self.webhooks.clone()),
            Box::new(self.checks.clone()),
        ];
        if let Some(details) = &self.details {
            sources.push(Box::new(Arc::clone(&details.analytics)));
        } else if config.clicks.details {
            sources.push(Box::new(ops::NoClickDetails));
        }
        if let Some(certificates) = certificates.clone() {
            sources.push(Box::new(ops::Https {
                certificates,
                clock: self.core.clock().clone(),
                counts: Arc::clone(counts),
            }));
        }
        let backend = Backend {
            links: self.core.links(),
            tenants: self.core.tenants(),
            snapshots: self.core.snapshots(),
            visitor: visitor.clone(),
            webhooks: self.webhooks.clone(),
            certificates,
        };
        Service::new(
            visitor,
            Api::new(backend, &config.http, &config.limits, Arc::clone(counts)),
            Ops::new(&config.metrics, readiness.clone(), sources),
            Arc::clone(counts),
            &config.http,
            https,
            config.limits.misses_per_minute,
        )
    }

    /// Starts what delivers webhooks and checks links, and the threads that store the details of clicks.
    fn start(&self) -> Result<(), StartError> {
        self.webhooks.start();
        self.checks.start();
        self.details.as_ref().map_or(Ok(()), |details| details.start(&self.table))
    }

    /// Reads the deny list and the countries of visitors again whenever their files change.
    fn watch_files(&self, tasks: &mut JoinSet<()>) {
        if let Some(details) = &self.details {
            tasks.spawn(details.country_watch().run());
        }
        let core = self.core.clone();
        tasks.spawn(async move { core.reload_deny_list_regularly().await });
    }

    /// Writes the last clicks, closes the log, and waits until the table has applied the rest and is durable.
    pub async fn close(self) {
        // The guard rejects writes before the disk is full. The reserve is for the last clicks then, too.
        if self.guard.is_low() || self.core.click_log().flush_last().await.is_err() {
            self.guard.release();
        }
        if let Err(error) = self.core.click_log().flush_last().await {
            tracing::error!(%error, "the last clicks could not be written and are lost");
        }
        let waiting = self.details.as_ref().map_or(0, |details| details.analytics.waiting());
        if waiting > 0 {
            // The log was full, or no part could be written, which frees the keys of ticks.
            tracing::error!(
                "the details of {waiting} visits could not be written and are lost; the clicks are counted"
            );
        }
        let closed = tokio::task::spawn_blocking(move || {
            // The log first: the table applies what is left only once no write follows.
            self.log.close();
            if let Some(details) = &self.details {
                details.analytics.store.stop();
            }
            self.table.stop();
        });
        if closed.await.is_err() {
            tracing::error!("closing the store panicked");
        }
    }
}

/// The program: a store, a server, and background tasks.
pub struct App {
    listen: Listen,
    https: Listen,
    certificates: Certificates,
    store: Store,
    host_misses: Arc<HostMisses>,
    /// The names in `domain`. Those of hosts are domains for links.
    names: CertificateNames,
    data_dir: PathBuf,
    readiness: Readiness,
    first_records: Mutex<Option<Latch>>,
    stop: watch::Sender<bool>,
    /// How long the drain may take.
    drain: watch::Sender<DrainTime>,
    pulse: Pulse,
    /// Second descriptors of the listening sockets: until they are dropped, connections are queued.
    kept: Vec<KeptSocket>,
    server: JoinHandle<()>,
    flusher: JoinHandle<()>,
    beside: JoinSet<()>,
}

impl App {
    /// Starts the program. Returns once it serves requests; [`App::ready`] returns once it is ready.
    pub async fn start(config: Config, clock: Clock) -> Result<App, StartError> {
        App::start_over(config, clock, HandedOver::default(), |log| log).await
    }

    /// Like [`App::start`], with sockets that were handed over and the log that `wrap` returns, for tests of failing
    /// logs.
    pub async fn start_over(
        mut config: Config,
        clock: Clock,
        handed: HandedOver,
        wrap: impl FnOnce(Arc<dyn Log>) -> Arc<dyn Log> + Send + 'static,
    ) -> Result<App, StartError> {
        // First: a process with too few descriptors would fail later, in the middle of a write.
        descriptors::check()?;
        // Before the data folder is touched: a start on a busy port leaves nothing behind.
        let sockets = Sockets::reserve(&config, handed)?;
        let (listen, https) = (sockets.http.clone(), sockets.https.clone());
        // The system has chosen a port for port 0.
        config.follow_ports(&listen, &https);
        let (certificates, authority) = {
            let config = config.clone();
            // Here, so that a missing file is reported before anything of the data folder is read.
            let read = tokio::task::spawn_blocking(move || files::certificates(&config)).await;
            read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?
        };
        let readiness = Readiness::default();
        let watched = clock.clone();
        let first_records = readiness.hold("the first records are being looked for");
        let store = {
            let (config, readiness) = (config.clone(), readiness.clone());
            let open = move || Store::open_as(NodeNumber::ALONE, &config, clock, &readiness, wrap);
            // Opening reads files and may repair a log: it would block a thread of the runtime.
            let opened = tokio::task::spawn_blocking(open).await;
            opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?
        };
        if sockets.are_handed_over() {
            // Visitors are in the queue: 503 at once would be worse for them than the rest of the start.
            if tokio::time::timeout(HANDED_WAIT, store.loaded()).await.is_ok() {
                // Without its default domain, a new instance finds no link. `ready` repeats it, and its error.
                let _ = store.core.bootstrap(&config.data_dir).await;
            }
        }
        let mut beside = JoinSet::new();
        if let Some(authority) = authority {
            let stored = read_stored(&certificates, &config.data_dir).await;
            // Before the first connection, which may wait for a certificate.
            let networks = config.webhooks.networks()?;
            let (core, clock) = (store.core.clone(), watched.clone());
            beside.spawn(certificates.renew(stored, authority, core, clock, networks));
        }
        let (listeners, kept) = match sockets.open(&config, &certificates) {
            Ok(opened) => opened,
            Err(error) => {
                // Another program may have taken the port since: the log is closed cleanly.
                store.close().await;
                return Err(error);
            }
        };
        let counts = Arc::new(HttpCounts::default());
        let policy = (https != Listen::Off).then(|| {
            let port = https.tcp().map(|address| address.port());
            HttpsPolicy::new(certificates.clone(), &config.domain, &config.https, port)
        });
        let service = store.service(&config, &readiness, &counts, policy);
        let host_misses = Arc::clone(service.host_misses());
        let (stop, mut stopped) = watch::channel(false);
        let flusher_stops = stopped.clone();
        beside.spawn(service.dates().clone().watch(watched));
        let (drain, within) = watch::channel(DrainTime::from(config.http.drain_timeout));
        let pulse = Pulse::default();
        let beating = pulse.clone();
        let server = tokio::spawn(async move {
            let stop_signal = async move {
                let stopping = async {
                    // An error means that the sender was dropped with the App: also a reason to stop.
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                // The accept loop polls this future, so each beat is one of that loop.
                beating.beat_until(stopping).await;
                *within.borrow()
            };
            let connect = move |peer: SocketAddr, scheme| service.connect(peer.ip(), scheme);
            let drained = server::serve(listeners, &config.http, counts, connect, stop_signal).await;
            if drained.aborted > 0 {
                tracing::warn!(connections = drained.aborted, "connections were cut at the end of the drain");
            }
        });
        // After the server is bound: a start that fails must send nothing.
        store.start()?;
        let (click_log, sweeping) = (store.core.click_log(), store.core.clone());
        let flusher = tokio::spawn(async move {
            click_log.flush_regularly(config.clicks.flush_interval, flusher_stops).await;
        });
        beside.spawn(async move { sweeping.sweep_regularly().await });
        beside.spawn(certificates.clone().reload_regularly(store.core.clock().clone()));
        store.watch_files(&mut beside);
        let (misses, folder) = (Arc::clone(&host_misses), config.data_dir.clone());
        beside.spawn(async move {
            loop {
                tokio::time::sleep(HOSTS_SAVED_EVERY).await;
                save_host_misses(&misses, &folder).await;
            }
        });
        Ok(App {
            listen,
            https,
            certificates,
            store,
            host_misses,
            names: config.domain,
            data_dir: config.data_dir,
            readiness,
            first_records: Mutex::new(Some(first_records)),
            stop,
            drain,
            pulse,
            kept,
            server,
            flusher,
            beside,
        })
    }

    /// Returns where HTTP is served. Its port is the one that the system chose if the setting is 0.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// Returns where HTTPS is served.
    pub fn https(&self) -> &Listen {
        &self.https
    }

    /// Returns the address of the listener. The port of a Unix socket is 0.
    pub fn address(&self) -> SocketAddr {
        self.listen.tcp().unwrap_or(SocketAddr::new(UNIX_PEER, 0))
    }

    /// Returns all commands.
    pub fn core(&self) -> &Core {
        &self.store.core
    }

    /// Returns the certificates of HTTPS.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Returns the checks of links' destinations.
    pub fn checks(&self) -> &Checks {
        &self.store.checks
    }

    /// Returns the events of clicks and their delivery.
    pub fn webhooks(&self) -> &Webhooks {
        &self.store.webhooks
    }

    /// Returns once requests of every kind are answered. Creates the first records on the first start.
    pub async fn ready(&self) -> Result<Bootstrap, BootstrapError> {
        let bootstrap = self.store.ready(&self.data_dir).await?;
        // After the first records: a domain belongs to a workspace.
        let domains: Vec<_> = self.names.all().iter().filter_map(CertificateName::host).cloned().collect();
        if let Err(error) = self.store.core.tenants().add_missing_domains(&domains).await {
            // Links of other domains work, and the next start tries again.
            tracing::error!(%error, "a name in `domain` could not be registered as a domain: it can have no links yet");
        }
        self.report_certificates();
        let misdirected = self.store.core.links().misdirected();
        if let [first, ..] = &misdirected[..] {
            let number = misdirected.len();
            tracing::warn!(number, %first, "URLs of domains lead to this server itself and are not followed");
        }
        let (directory, site) = (self.store.core.links().directory(), self.store.core.links());
        let is_own = |host: &str| host == site.site().host() || directory.domain_named(host).is_some();
        for host in host_misses::saved(&self.data_dir, is_own) {
            tracing::warn!("before this start, {}", host.report());
        }
        host_misses::forget(&self.data_dir);
        drop(self.first_records.lock().take());
        while !self.readiness.held().is_empty() {
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(bootstrap)
    }

    /// Logs what is wrong with the certificates of the owner: visitors get an error of their browsers.
    fn report_certificates(&self) {
        let core = &self.store.core;
        let of_links = core.links().site().host().to_owned();
        let names = self.names.all().iter().map(ToString::to_string);
        let all = core.domain_names().into_iter().chain(names).chain([of_links.clone()]).collect();
        let hosts = Hosts { of_links, all: Some(all) };
        let has_authority = self.names.first().is_some();
        let found = report::of_owner(&self.certificates, &hosts, has_authority, core.clock().now());
        for report in found.iter().take(REPORTS_MAX) {
            tracing::warn!("{}", report.text);
        }
        if found.len() > REPORTS_MAX {
            tracing::warn!(
                "{} more lines about certificates: `waypost doctor` has them",
                found.len() - REPORTS_MAX
            );
        }
    }

    /// Begins to read the files of the owner's certificates that have changed. Returns at once, whatever the disk does.
    pub fn reload(&self) {
        drop(self.certificates.begin_reload(self.store.core.clock().now()));
    }

    /// Binds the sockets that the next program listens on, as its settings say, beside those that this one has. From
    /// now on the system queues connections to them. Fails, and changes nothing, if one cannot be bound, or if the
    /// socket of a supervisor is of no setting: the next program would fail, and with it the server.
    pub fn prepare_restart(&mut self, listen: &[Listen]) -> Result<(), StartError> {
        let bound = sockets::bind_next(&self.kept, listen)?;
        self.kept.extend(bound);
        Ok(())
    }

    /// Returns the data folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Returns a handle that checks whether the server works.
    pub fn liveness(&self) -> Liveness {
        Liveness::new(self.pulse.clone(), Arc::clone(&self.store.local))
    }

    /// Stops in order: no new connections; requests in progress finish within `http.drain_timeout`; waiting webhooks
    /// are written; the store closes with its last clicks.
    pub async fn stop(mut self) {
        if self.kept.iter().any(KeptSocket::is_of_supervisor) {
            // The supervisor probably starts the next server: no visitor may notice, as at a restart.
            self.drain.send_modify(|time| time.first_request = RESTART_DRAIN.first_request);
        }
        // First, so that new connections are refused as soon as the server closes its listener.
        self.kept.clear();
        self.close().await;
    }

    /// Like [`App::stop`], and returns the sockets, in which the system queues new connections. Requests in progress
    /// have two seconds.
    pub async fn stop_for_restart(mut self) -> Vec<KeptSocket> {
        let kept = std::mem::take(&mut self.kept);
        self.drain.send_modify(|time| {
            *time = DrainTime { within: RESTART_DRAIN.within.min(time.within), ..RESTART_DRAIN };
        });
        self.close().await;
        kept
    }

    async fn close(mut self) {
        self.stop.send_replace(true);
        if let Some(details) = &self.store.details {
            // Before the drain, which waits for responses: those of listeners have no end of their own.
            details.analytics.store.live().close();
        }
        // The server first: the flusher must see the clicks of the last requests.
        if self.server.await.is_err() {
            tracing::error!("the server panicked");
        }
        if self.flusher.await.is_err() {
            tracing::error!("the flusher of clicks panicked");
        }
        // Aborted: the dates and the sweep never end by themselves.
        self.beside.shutdown().await;
        save_host_misses(&self.host_misses, &self.data_dir).await;
        // Before the webhooks, to which it gives events.
        self.store.checks.stop().await;
        // After the last click, since clicks queue events, and before the log closes, which stores them.
        self.store.webhooks.stop().await;
        self.store.close().await;
    }
}

/// Reads the certificates of the data folder, which the process has locked.
async fn read_stored(certificates: &Certificates, data_dir: &Path) -> StoredCertificates {
    let (certificates, data_dir) = (certificates.clone(), data_dir.to_owned());
    let read = tokio::task::spawn_blocking(move || certificates.read_stored(&data_dir)).await;
    read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Writes the hosts that are to be reported into the data folder.
async fn save_host_misses(misses: &Arc<HostMisses>, data_dir: &Path) {
    let (misses, data_dir) = (Arc::clone(misses), data_dir.to_owned());
    let saved = tokio::task::spawn_blocking(move || misses.save(&data_dir)).await;
    // The log line of the first report exists already.
    if let Ok(Err(error)) = saved {
        tracing::debug!(%error, "the unknown hosts could not be written into the data folder");
    }
}
