//! The handle on the table: opens and closes the store, and answers look-ups of one record.
//!
//! All reads block (sled does): call them on the blocking pool.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::error::{Error, StoreError};
use super::found::{Found, decoded};
use super::index;
use super::keys::{self, Kind};
use super::notes::HealthNotes;
use super::record::{self, AliasRecord, Applied, Cell, Corrupt, Number, ShareRecord, Stored};
use super::settings::Settings;
use super::staged::{self, ReadView};
use super::store::{self, Store};
use super::waiters::{AppliedCallback, Waiters};
use crate::clicks::counter;
use crate::clock::Timestamp;
use crate::log::Position;
use crate::model::click_share::ClickShare;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;
use crate::model::node::NodeNumber;
use crate::model::snapshot::Snapshot;
use crate::model::workspace::{Company, WorkspaceNumber};

/// The state of the table, for `/metrics`, `/readyz` and error texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The last applied position.
    pub applied: Position,
    /// Whether reads succeed.
    pub ready: bool,
    /// The reason why reads fail, empty if they do not.
    pub waiting_for: String,
    /// Number of live records, by the log's fingerprint.
    pub records: u64,
    /// Bytes of sled's files.
    pub bytes: u64,
    /// Rebuilds since the start.
    pub rebuilds: u64,
    /// The end of the last scrub that found the table whole.
    pub last_scrub: Option<Timestamp>,
    /// The last error of the store.
    pub last_error: Option<String>,
}

/// A handle on the table, cheap to clone.
#[derive(Clone, Debug)]
pub struct Table(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) settings: Settings,
    /// Locked only to clone the `Arc`. A reader may look up a record during a walk over others: if the walk
    /// held this lock, a waiting writer (`close_store`) would deadlock with the look-up.
    pub(super) store: RwLock<Option<Arc<Store>>>,
    pub(super) ready: AtomicBool,
    // A copy of the position in `mark`, which readers load without its lock.
    pub(super) applied: AtomicU64,
    /// The log of the store, and its fingerprint at the last written position.
    pub(super) mark: Mutex<Option<Applied>>,
    /// Set by a reader that found a corrupt record. The apply thread then rebuilds: a reader must not write.
    pub(super) suspect: AtomicBool,
    /// [`Table::is_open_elsewhere`].
    pub(super) open_elsewhere: AtomicBool,
    pub(super) stopping: AtomicBool,
    // Set by each batch, cleared by a flush: an idle table is not flushed.
    pub(super) dirty: AtomicBool,
    pub(super) waiters: Waiters,
    /// Results of checks that wait for the apply thread.
    pub(super) notes: HealthNotes,
    pub(super) status: Mutex<Status>,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Table {
    /// Opens the table in `dir`. Never fails: a table that cannot be opened or read is rebuilt from the log
    /// by [`Table::start`].
    pub fn open(dir: &Path, settings: Settings) -> Table {
        let shared = Shared {
            dir: dir.to_owned(),
            settings,
            store: RwLock::new(None),
            ready: AtomicBool::new(false),
            applied: AtomicU64::new(0),
            mark: Mutex::new(None),
            suspect: AtomicBool::new(false),
            open_elsewhere: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            waiters: Waiters::default(),
            notes: HealthNotes::default(),
            status: Mutex::new(Status { waiting_for: "opening".to_owned(), ..Status::default() }),
            threads: Mutex::new(Vec::new()),
        };
        let deadline = Instant::now() + RELEASE;
        let mut opened = shared.open_store();
        // After a restart the ending process may still have the files open.
        while matches!(opened, Err(Error::Store(StoreError::InUse))) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            opened = shared.open_store();
        }
        match opened {
            Ok(_) => {}
            // Not damage: the files of a running process must not be rebuilt.
            Err(Error::Store(StoreError::InUse)) => shared.open_elsewhere.store(true, Ordering::Release),
            Err(error) => {
                tracing::warn!(%error, path = %dir.display(), "the table cannot be opened and will be rebuilt from the log");
            }
        }
        Table(Arc::new(shared))
    }

    /// Returns whether a process has the table in `dir` open. Changes nothing, and returns `false` for a table that
    /// cannot be read.
    pub fn is_in_use(dir: &Path) -> bool {
        store::is_in_use(dir).unwrap_or(false)
    }

    /// Returns whether another process had the table open at [`Table::open`].
    pub fn is_open_elsewhere(&self) -> bool {
        self.0.open_elsewhere.load(Ordering::Acquire)
    }

    /// Waits until the Changes up to `position` are applied and visible to reads. Returns false after some
    /// seconds: the table is being rebuilt, or the disk is full and sled must not write.
    pub async fn wait(&self, position: Position) -> bool {
        let (sender, callback) = oneshot::channel();
        let notify = move |is_applied| {
            // The receiver is gone if the task was cancelled.
            let _ = sender.send(is_applied);
        };
        self.on_applied(position, Box::new(notify));
        // The sender is dropped without a call if the calling thread panics.
        callback.await.unwrap_or(false)
    }

    /// Calls `callback` as [`Table::wait`] returns.
    pub fn on_applied(&self, position: Position, callback: AppliedCallback) {
        self.0.waiters.add(position, callback);
    }

    /// Returns the link of `code` on `domain`, unless an import hides it.
    pub fn link(&self, domain: DomainNumber, code: &str) -> Result<Option<Found<Link>>, Error> {
        let key = keys::link(domain, code);
        self.read(|store| ReadView::default().link(store, &key))
    }

    /// Returns the link of `code` on `domain`, even if an import hides it.
    pub fn link_or_staged(&self, domain: DomainNumber, code: &str) -> Result<Option<Link>, Error> {
        let key = keys::link(domain, code);
        self.read(|store| Ok(staged::read(store, &key)?.map(|(_, staged)| staged.link)))
    }

    /// Returns the link that has this code of this domain as an alias.
    pub fn link_of_alias(&self, domain: DomainNumber, code: &str) -> Result<Option<Found<Link>>, Error> {
        let key = keys::alias(domain, code);
        self.read(|store| match decoded(store, &key, AliasRecord::decode)? {
            Some(Found { record: AliasRecord { workspace, link }, .. }) => by_id(store, workspace, link),
            None => Ok(None),
        })
    }

    /// Returns whether a link, hidden or not, or an alias has this code of this domain.
    pub fn is_taken(&self, domain: DomainNumber, code: &str) -> Result<bool, Error> {
        let [link, alias] = [keys::link(domain, code), keys::alias(domain, code)];
        self.read(|store| Ok(store.get(&link)?.is_some() || store.get(&alias)?.is_some()))
    }

    /// Returns whether a domain has aliases.
    pub fn has_aliases_on(&self, domain: DomainNumber) -> Result<bool, Error> {
        Ok(!self.first_keys(&keys::aliases_on(domain), 1)?.is_empty())
    }

    /// Returns whether a record exists under this key, hidden links included.
    pub fn holds_key(&self, key: &[u8]) -> Result<bool, Error> {
        self.read(|store| Ok(store.get(key)?.is_some()))
    }

    /// Returns the link of this id in `workspace`.
    pub fn link_by_id(&self, workspace: WorkspaceNumber, id: Id) -> Result<Option<Found<Link>>, Error> {
        self.read(|store| by_id(store, workspace, id))
    }

    /// Returns the workspace that has a link or a tombstone of this id.
    pub fn owner_of(&self, id: Id) -> Result<Option<WorkspaceNumber>, Error> {
        self.read(|store| {
            let found = store.get(&keys::owner_of(id))?;
            Ok(found.and_then(|number| keys::trailing_workspace(&number)))
        })
    }

    /// Returns up to `at_most` workspaces that have a campaign of this id.
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

    /// Returns the first keys that begin with `prefix`, up to `at_most`.
    pub fn first_keys(&self, prefix: &[u8], at_most: usize) -> Result<Vec<Bytes>, Error> {
        self.read(|store| {
            let pairs = store.prefix(prefix).take(at_most);
            pairs.map(|pair| pair.map(|(key, _)| Bytes::copy_from_slice(&key))).collect()
        })
    }

    /// Returns all companies, also from a table that was not started.
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
                // The entry is written before its snapshot, which a reader in between does not find.
                found.extend(decoded(store, &key, Snapshot::decode)?.map(|found| found.record));
            }
            Ok(found)
        })
    }

    /// Returns the number of snapshots of a workspace, or of all workspaces for `None`; not more than `most`,
    /// so that the time has a bound.
    pub fn snapshot_count(&self, workspace: Option<WorkspaceNumber>, most: usize) -> Result<usize, Error> {
        let prefix =
            workspace.map_or_else(|| Bytes::copy_from_slice(&Kind::Snapshot.prefix()), keys::snapshots_of);
        self.read(|store| {
            let pairs = store.prefix(&prefix).take(most);
            pairs.map(|pair| pair.map(|_| 1)).sum()
        })
    }

    /// Returns the shares of statistics of a workspace, in order of their ids.
    pub fn click_shares_of(&self, workspace: WorkspaceNumber) -> Result<Vec<ClickShare>, Error> {
        self.read(|store| {
            let mut shares = Vec::new();
            for pair in store.prefix(&keys::shares_of(workspace)) {
                let (index, _) = pair?;
                let Some(key) = keys::listed_share(&index) else { continue };
                // As of snapshots: the entry is written first.
                if let Some(Found { record: ShareRecord::Clicks(share), .. }) =
                    decoded(store, &key, ShareRecord::decode)?
                {
                    shares.push(share);
                }
            }
            Ok(shares)
        })
    }

    /// Returns the number of shares of statistics of a workspace, not more than `most`.
    pub fn click_share_count(&self, workspace: WorkspaceNumber, most: usize) -> Result<usize, Error> {
        self.read(|store| {
            let pairs = store.prefix(&keys::shares_of(workspace)).take(most);
            pairs.map(|pair| pair.map(|_| 1)).sum()
        })
    }

    /// Returns the click totals of a link in the table, with `node` as the own node.
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
                    // The prefix is that of the id, so the rest of the key is damaged.
                    None => return Err(Corrupt::new("a click total has no node").into()),
                }
            }
            // Visitors click random links: each read is likely of another page, and a walk counts only some. A list reads
            // neighbours: counted each time, they took 48 s for a million links.
            store.count_found(&prefix)?;
            Ok(cells)
        })
    }

    /// Returns the record under `key`.
    pub fn get<T: Stored>(&self, key: &[u8]) -> Result<Option<Found<T>>, Error> {
        self.read(|store| decoded(store, key, T::decode))
    }

    /// Returns all records whose key begins with `prefix`, in the order of their keys.
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

    /// Returns whether the store has the derived entries of this version, ready or not.
    pub(super) fn has_this_index(&self) -> bool {
        let store = self.0.store.read().clone();
        // Without `read`, which fails until the table is ready.
        let version = store.map(|store| decoded(&store, keys::INDEX_VERSION, Number::decode));
        matches!(version, Some(Ok(Some(found))) if found.record.0 == index::VERSION)
    }

    /// Returns the newest link id of a workspace. New ids must sort behind it.
    pub fn newest_id(&self, workspace: WorkspaceNumber) -> Result<Option<Id>, Error> {
        self.read(|store| {
            // Ids sort by time, so the last entry of the list is the newest.
            let last = store.prefix_back(&keys::list_of(workspace)).next().transpose()?;
            Ok(last.and_then(|(key, _)| keys::trailing_id(&key)))
        })
    }

    /// Returns whether the table has caught up with the log, so that reads succeed.
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Returns the state of the table.
    pub fn status(&self) -> Status {
        // One value after the other, without a common lock: a status is for people.
        let mut status = self.0.status.lock().clone();
        status.applied = Position(self.0.applied.load(Ordering::Acquire));
        status.ready = self.0.ready.load(Ordering::Acquire);
        status.records = self.0.mark.lock().map_or(0, |mark| mark.fingerprint.count);
        status.bytes = self.0.store.read().as_ref().map_or(0, |store| store.size_on_disk());
        status
    }

    /// Runs a read, unless the table is not ready. Starts a rebuild if the read finds damage.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Store) -> Result<T, Error>) -> Result<T, Error> {
        let store = self.0.store.read().clone();
        let Some(store) = store.filter(|_| self.0.ready.load(Ordering::Acquire)) else {
            return Err(Error::NotReady(self.0.status.lock().waiting_for.clone()));
        };
        // The clone keeps the store open during the read: `close_store` waits for it.
        let found = look(&store);
        if let Err(why @ (Error::Corrupt(_) | Error::Store(StoreError::Panicked(_)))) = &found {
            tracing::error!(%why, "a record of the table is damaged; the table will be rebuilt from the log");
            self.0.suspect.store(true, Ordering::Release);
        }
        found
    }
}

/// Called with key, revision and bytes of a record.
pub type EachRaw<'a> = dyn FnMut(&[u8], Position, &[u8]) -> Result<(), Error> + 'a;

fn by_id(store: &Store, workspace: WorkspaceNumber, id: Id) -> Result<Option<Found<Link>>, Error> {
    let Some(entry) = store.get(&keys::listed(workspace, id))? else { return Ok(None) };
    // While a deletion is applied, the index entry may outlive its link. The code may also belong to a newer link
    // by then.
    let link = ReadView::default().link(store, &keys::link_of_index(&entry))?;
    Ok(link.filter(|found| found.record.id == id && found.record.workspace == workspace))
}

impl Shared {
    /// Opens sled if it is closed. Returns the position that the store has, and publishes it.
    pub(super) fn open_store(&self) -> Result<Option<Applied>, Error> {
        // Held over the open: two callers must not open sled at once.
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

    /// Closes the store and waits until no reader uses it: sled cannot be open twice.
    pub(super) fn close_store(&self) {
        // Taken first: no later read gets the store.
        let Some(store) = self.store.write().take() else { return };
        while Arc::strong_count(&store) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How long [`Table::open`] retries while another process has the files open. A process that ends releases
/// them in this time; a running one does not.
const RELEASE: Duration = Duration::from_secs(1);

/// How often threads of the table check whether to stop.
pub(super) const NAP: Duration = Duration::from_millis(100);
