//! The Table: the log's state in sled, for look-ups by key and lists in order.
//!
//! It follows the log and never leads it: one thread applies Changes in order, with plain
//! inserts, the position last. It may be deleted, damaged or behind at any moment; then it is
//! replayed or rebuilt from the log, while reads answer [`Error::NotReady`] instead of "no such
//! record".
//!
//! All reads block (sled does): call them on the blocking pool.

mod applied_state;
mod apply;
mod history;
mod index;
pub mod keys;
mod leaf;
mod list;
mod owned;
mod progress;
pub mod record;
mod scrub;
mod settings;
mod sort;
mod staged;
mod store;
mod totals;
mod waiters;
mod walk;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use self::keys::Kind;
use self::record::{Applied, Cell, Corrupt, Number, Stored};
use self::store::{Store, StoreError};
use self::waiters::Waiters;
use crate::clicks::counter;
use crate::clock::Timestamp;
use crate::log::Position;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;
use crate::model::node::NodeNumber;
use crate::model::snapshot::Snapshot;
use crate::model::workspace::{Company, WorkspaceNumber};

pub use self::apply::{FlushGuard, Observer};
pub use self::list::{List, Order, Scanned};
pub use self::settings::Settings;
pub use self::staged::ReadView;
pub use self::waiters::AppliedCallback;

/// Why the table could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is being replayed or rebuilt, or was closed.
    #[error("{0}")]
    NotReady(String),
    /// sled failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is not what was written. The table rebuilds itself when it finds one.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// A record and its revision.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The position of the Change that wrote it.
    pub revision: Position,
    /// The record.
    pub record: T,
}

/// The state of the table, for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Last position applied.
    pub applied: Position,
    /// Whether reads are answered.
    pub ready: bool,
    /// What holds it up, when they are not.
    pub waiting_for: String,
    /// Live records, by the log's fingerprint.
    pub records: u64,
    /// Bytes of sled's files.
    pub bytes: u64,
    /// Rebuilds since the start.
    pub rebuilds: u64,
    /// When all records were last compared with the fingerprint and found whole.
    pub last_scrub: Option<Timestamp>,
    /// The last error of the store.
    pub last_error: Option<String>,
}

/// A handle on the table, cheap to clone.
#[derive(Clone, Debug)]
pub struct Table(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    dir: PathBuf,
    settings: Settings,
    /// Locked only to take the handle: a reader may look up one record while it walks over others,
    /// so it must not wait for itself behind whoever closes the store.
    store: RwLock<Option<Arc<Store>>>,
    ready: AtomicBool,
    applied: AtomicU64,
    /// Which log the store was built from, and its fingerprint: as of the position last written.
    mark: Mutex<Option<Applied>>,
    /// Set by a reader that met a corrupt record; the apply thread rebuilds.
    suspect: AtomicBool,
    /// See [`Table::is_held_elsewhere`].
    held: AtomicBool,
    stopping: AtomicBool,
    dirty: AtomicBool,
    waiters: Waiters,
    status: Mutex<Status>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Table {
    /// Opens the table in `dir`. Never fails: what cannot be opened or read is left to
    /// [`Table::start`], which rebuilds it from the log.
    pub fn open(dir: &Path, settings: Settings) -> Table {
        let shared = Shared {
            dir: dir.to_owned(),
            settings,
            store: RwLock::new(None),
            ready: AtomicBool::new(false),
            applied: AtomicU64::new(0),
            mark: Mutex::new(None),
            suspect: AtomicBool::new(false),
            held: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            waiters: Waiters::default(),
            status: Mutex::new(Status { waiting_for: "opening".to_owned(), ..Status::default() }),
            threads: Mutex::new(Vec::new()),
        };
        let deadline = Instant::now() + RELEASE;
        let mut opened = shared.open_store();
        while matches!(opened, Err(Error::Store(StoreError::Held))) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            opened = shared.open_store();
        }
        match opened {
            Ok(_) => {}
            Err(Error::Store(StoreError::Held)) => shared.held.store(true, Ordering::Release),
            Err(error) => {
                tracing::warn!(%error, path = %dir.display(), "the table cannot be opened and will be rebuilt from the log");
            }
        }
        Table(Arc::new(shared))
    }

    /// Whether another process had the table open when this one tried to.
    pub fn is_held_elsewhere(&self) -> bool {
        self.0.held.load(Ordering::Acquire)
    }

    /// Returns once everything up to `position` is applied, and visible to whoever reads next.
    /// False when that takes longer than some seconds: the table is being rebuilt, or the disk is
    /// full and sled must not write.
    pub async fn wait(&self, position: Position) -> bool {
        let (sender, callback) = oneshot::channel();
        let tell = move |is_applied| {
            // Whoever gave up waiting loses nothing by it.
            let _ = sender.send(is_applied);
        };
        self.on_applied(position, Box::new(tell));
        callback.await.unwrap_or(false)
    }

    /// As [`Table::wait`], for who is told by a call.
    pub fn on_applied(&self, position: Position, callback: AppliedCallback) {
        self.0.waiters.add(position, callback);
    }

    /// The link that lives there.
    pub fn link(&self, domain: DomainNumber, code: &str) -> Result<Option<Found<Link>>, Error> {
        let key = keys::link(domain, code);
        self.read(|store| {
            let found = ReadView::default().link(store, &key)?;
            store.count_page(&key)?;
            Ok(found)
        })
    }

    /// The link of this id in `workspace`.
    pub fn link_by_id(&self, workspace: WorkspaceNumber, id: Id) -> Result<Option<Found<Link>>, Error> {
        self.read(|store| {
            let Some(place) = store.get(&keys::listed(workspace, id))? else { return Ok(None) };
            // The index entry may outlive its link for a moment while a deletion is applied, or
            // point to a code that was created anew.
            let link = ReadView::default().link(store, &keys::link_of_index(&place))?;
            Ok(link.filter(|found| found.record.id == id && found.record.workspace == workspace))
        })
    }

    /// Returns the workspace that has a link of this id, or what is left of a deleted one.
    pub fn owner_of(&self, id: Id) -> Result<Option<WorkspaceNumber>, Error> {
        self.read(|store| {
            let found = store.get(&keys::owner_of(id))?;
            Ok(found.and_then(|number| keys::trailing_workspace(&number)))
        })
    }

    /// Returns the first workspaces, up to `at_most`, that have a campaign of this id.
    pub fn owners_of_campaign(&self, id: &ForeignId, at_most: usize) -> Result<Vec<WorkspaceNumber>, Error> {
        self.read(|store| {
            let mut owners = Vec::new();
            for pair in store.prefix(&keys::owners_of_campaign(id)).take(at_most) {
                let (key, _) = pair?;
                owners.extend(keys::trailing_workspace(&key));
            }
            Ok(owners)
        })
    }

    /// Reads all companies, also from a table that was not started.
    pub fn companies(&self) -> Result<Vec<Company>, Error> {
        let store = self.0.store.read().clone();
        let Some(store) = store else { return Ok(Vec::new()) };
        let mut companies = Vec::new();
        for pair in store.prefix(&Kind::Company.prefix()) {
            let (key, bytes) = pair?;
            companies.push(Company::decode(Cell::decode(&key, &bytes)?.value)?);
        }
        Ok(companies)
    }

    /// Returns the snapshots of a workspace, in order of their ids.
    pub fn snapshots_of(&self, workspace: WorkspaceNumber) -> Result<Vec<Snapshot>, Error> {
        self.read(|store| {
            let mut found = Vec::new();
            for pair in store.prefix(&keys::snapshots_of(workspace)) {
                let (index, _) = pair?;
                let Some(key) = keys::listed_snapshot(&index) else { continue };
                found.extend(decoded(store, &key, Snapshot::decode)?.map(|found| found.record));
            }
            Ok(found)
        })
    }

    /// Returns a link's click totals, as far as they are in the log, as `node` sees them.
    pub fn clicks(&self, id: Id, node: NodeNumber) -> Result<counter::Cells, Error> {
        let prefix = keys::clicks_of(id);
        self.read(|store| {
            let mut cells = counter::Cells::default();
            for pair in store.prefix(&prefix) {
                let (key, bytes) = pair?;
                let total = record::decode_clicks(Cell::decode(&key, &bytes)?.value)?;
                match keys::parse_clicks(&key) {
                    Some((_, of)) if of == node => cells.own = total,
                    Some((_, of)) => cells.others.push((of, total)),
                    None => return Err(Corrupt::new("a click total has no node").into()),
                }
            }
            store.count_page(&prefix)?;
            Ok(cells)
        })
    }

    /// The record under `key`.
    pub fn get<T: Stored>(&self, key: &[u8]) -> Result<Option<Found<T>>, Error> {
        self.read(|store| decoded(store, key, T::decode))
    }

    /// All records whose key begins with `prefix`, in order.
    pub fn all<T: Stored>(&self, prefix: &[u8]) -> Result<Vec<T>, Error> {
        let mut records = Vec::new();
        self.each(prefix, &mut |_, record| {
            records.push(record);
            true
        })?;
        Ok(records)
    }

    /// Calls `each` with every record whose key begins with `prefix`, until it returns false.
    pub fn each<T: Stored>(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], T) -> bool,
    ) -> Result<(), Error> {
        self.read(|store| {
            for pair in store.prefix(prefix) {
                let (key, bytes) = pair?;
                if !each(&key, T::decode(Cell::decode(&key, &bytes)?.value)?) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Calls `each` with key, revision and bytes of every record whose key begins with `prefix`.
    pub fn each_raw(&self, prefix: &[u8], each: &mut EachRaw<'_>) -> Result<(), Error> {
        self.read(|store| {
            for pair in store.prefix(prefix) {
                let (key, bytes) = pair?;
                let cell = Cell::decode(&key, &bytes)?;
                each(&key, cell.revision, cell.value)?;
            }
            Ok(())
        })
    }

    /// Whether the store has the derived entries of this version, ready or not.
    fn has_this_index(&self) -> bool {
        let store = self.0.store.read().clone();
        let version = store.map(|store| decoded(&store, keys::INDEX_VERSION, Number::decode));
        matches!(version, Some(Ok(Some(found))) if found.record.0 == index::VERSION)
    }

    /// The newest link id of any workspace: ids drawn from now on must sort behind it.
    pub fn newest_id(&self, workspace: WorkspaceNumber) -> Result<Option<Id>, Error> {
        self.read(|store| {
            let last = store.prefix_back(&keys::list_of(workspace)).next().transpose()?;
            Ok(last.and_then(|(key, _)| keys::trailing_id(&key)))
        })
    }

    /// Returns whether the table has caught up with the log, and so answers.
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// What `/metrics` and `/readyz` tell.
    pub fn status(&self) -> Status {
        let mut status = self.0.status.lock().clone();
        status.applied = Position(self.0.applied.load(Ordering::Acquire));
        status.ready = self.0.ready.load(Ordering::Acquire);
        status.records = self.0.mark.lock().map_or(0, |mark| mark.fingerprint.count);
        status.bytes = self.0.store.read().as_ref().map_or(0, |store| store.size_on_disk());
        status
    }

    fn read<T>(&self, look: impl FnOnce(&Store) -> Result<T, Error>) -> Result<T, Error> {
        let store = self.0.store.read().clone();
        let Some(store) = store.filter(|_| self.0.ready.load(Ordering::Acquire)) else {
            return Err(Error::NotReady(self.0.status.lock().waiting_for.clone()));
        };
        let found = look(&store);
        if let Err(why @ (Error::Corrupt(_) | Error::Store(StoreError::Panicked(_)))) = &found {
            tracing::error!(%why, "the table holds a damaged record and will be rebuilt from the log");
            self.0.suspect.store(true, Ordering::Release);
        }
        found
    }
}

/// Takes key, revision and bytes of a record.
pub type EachRaw<'a> = dyn FnMut(&[u8], Position, &[u8]) -> Result<(), Error> + 'a;

fn decoded<T>(
    store: &Store,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, Corrupt>,
) -> Result<Option<Found<T>>, Error> {
    let Some(bytes) = store.get(key)? else { return Ok(None) };
    let cell = Cell::decode(key, &bytes)?;
    Ok(Some(Found { revision: cell.revision, record: decode(cell.value)? }))
}

impl Shared {
    /// Opens sled if it is not open, and takes over where it had come.
    fn open_store(&self) -> Result<Option<Applied>, Error> {
        let mut slot = self.store.write();
        if slot.is_none() {
            *slot = Some(Arc::new(Store::open(&self.dir, self.settings.cache_capacity)?));
        }
        let Some(store) = slot.as_ref() else { return Ok(None) };
        let mark = decoded(store, keys::APPLIED, Applied::decode)?.map(|found| found.record);
        *self.mark.lock() = mark;
        self.applied.store(mark.map_or(0, |mark| mark.position.0), Ordering::Release);
        Ok(mark)
    }

    /// Returns once nobody uses the store any more: sled refuses to be open twice.
    fn close_store(&self) {
        let Some(store) = self.store.write().take() else { return };
        while Arc::strong_count(&store) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How long the table waits for a process that is ending to release its files. A process that runs
/// keeps them longer.
const RELEASE: Duration = Duration::from_secs(1);

/// How long threads of the table sleep between looks at whether they shall stop.
const NAP: Duration = Duration::from_millis(100);
