//! [`ClickStore`]: all cells of this instance. It follows the log, keeps the latest cells in memory, and stores the
//! others as parts in the folder `clicks` of the data folder.
//!
//! 1. The log has the cells of at most the last [`ring::SIZE`](super::ring::SIZE) drains. So a part is written before the
//!    cells of that many drains are in memory only: see [`shared`].
//! 2. A part has all cells of a range of positions of the log. The ranges of two parts are apart, or the file of one was
//!    left by a merge whose result is the other.
//! 3. Cells in memory and the list of parts change under one lock, so that a reader finds each cell once.

mod archive;
mod busy;
mod files;
mod follow;
mod latest;
mod mark;
mod merges;
mod plan;
mod recent;
mod recent_of;
mod sealer;
mod shared;
mod small_file;
mod steady;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

pub use self::archive::{ArchivedPart, ClickArchive, Leftovers, PartFault};
pub use self::busy::RecentClicks;
pub use self::files::{FOLDER, is_of_a_copy};
pub use self::follow::{FollowFailure, is_tick, key, tick_behind};
pub use self::mark::ListedPart;
pub use self::plan::Keep;
pub use self::recent::RecentError;
pub use self::recent_of::{KnownParts, RecentStep};
pub use self::shared::{HasRoom, IsKept};
use self::shared::{HeldCells, Shared};
use self::steady::SteadyTime;
use super::cell::TimeSlot;
use super::live::LiveClicks;
use super::part::error::PartError;
use super::part::reader::ClickPart;
use super::tick::{LinkRow, Tick};
use super::top::TopLinks;
use crate::clock::Clock;
use crate::log::local::disk::Disk;
use crate::log::{Log, Position};
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// A handle to the cells, cheap to clone.
#[derive(Clone, Debug)]
pub struct ClickStore(Arc<Shared>);

/// What a question reads: the cells of one moment.
#[derive(Debug)]
pub struct View {
    /// The parts, in the order of their positions.
    pub parts: Vec<Arc<ClickPart>>,
    /// The cells that are in no part.
    pub open: Arc<Tick>,
}

/// The state of the store, for metrics and `doctor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// The number of parts.
    pub parts: usize,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Cells that are in no part.
    pub open_cells: usize,
    /// Parts whose details are missing since the start: damaged ones, which were set aside, those that the start could
    /// not read, and those that somebody has removed.
    pub damaged: u64,
    /// See [`ClickStore::has_caught_up`].
    pub has_caught_up: bool,
    /// Changes of the log whose cells are neither in memory nor in a part.
    pub behind: u64,
    /// The number of tries to write cells to the disk that failed since the start.
    pub failed_writes: u64,
    /// Whether the last try failed. The cells wait in memory and in the log.
    pub is_unwritten: bool,
}

impl ClickStore {
    /// Opens the parts of a folder. A damaged part is set aside, with a message in the log of the program.
    pub fn open(
        disk: Arc<dyn Disk>,
        log: Arc<dyn Log>,
        clock: Clock,
        keep: Keep,
        has_room: HasRoom,
    ) -> io::Result<ClickStore> {
        // Later Changes are of this process, whose ring knows their keys.
        let goal = log.position();
        let opened = files::open(&*disk, log.id(), goal)?;
        let newest = opened.parts.iter().map(|stored| stored.header().last).max();
        let steady = SteadyTime::open(&*disk, newest, TimeSlot::of_millis(clock.now().as_millis()));
        let cells = HeldCells {
            parts: opened.parts,
            // The follower begins here, so no cell of a part is read from the log a second time.
            applied: opened.mark.position,
            last_number: opened.mark.last_number,
            holes: opened.holes,
            ..HeldCells::default()
        };
        let live = LiveClicks::new(clock.now());
        Ok(ClickStore(Arc::new(Shared {
            disk,
            log,
            clock,
            keep,
            has_room,
            cells: Mutex::new(cells),
            durable: AtomicU64::new(opened.mark.position.0),
            // After an orderly stop, all is in parts.
            has_caught_up: AtomicBool::new(opened.mark.position >= goal),
            mark: Mutex::new(opened.mark),
            live,
            maintenance: Mutex::new(steady),
            sealed: Condvar::new(),
            goal,
            // Ticks of an earlier process may be in the log only, and their keys must not be reused.
            are_keys_free: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            // An earlier process may have removed some and ended before the log was compacted.
            has_removed: AtomicBool::new(keep.all.is_some()),
            damaged: AtomicU64::new(opened.damaged),
            failed_seals: AtomicU64::new(0),
            is_part_wanted: AtomicBool::new(false),
            is_unwritten: AtomicBool::new(false),
            threads: Mutex::default(),
        })))
    }

    /// Starts the thread that follows the log and the thread that merges. `is_kept` is asked by merges.
    pub fn start(&self, is_kept: IsKept) -> io::Result<()> {
        let (follower, merger) = (Arc::clone(&self.0), Arc::clone(&self.0));
        let mut threads = self.0.threads.lock();
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(run)
        };
        threads.push(spawn("clicks-follow", Box::new(move || follow::run(&follower)))?);
        // Not on the follower: a long merge would delay seals until the ring has no key left.
        threads.push(spawn("clicks-merge", Box::new(move || merges::run(&merger, &is_kept)))?);
        Ok(())
    }

    /// Adds all that the log has and carries out all merges, on this thread. For a store whose threads do not run.
    pub fn settle(&self, is_kept: &IsKept) -> Result<(), FollowFailure> {
        follow::catch_up(&self.0)?;
        // Ends, since each plan leads to fewer parts or to a higher level.
        while merges::step(&self.0, is_kept)? {}
        Ok(())
    }

    /// Writes all cells of the log as parts, and ends both threads. The log must be closed before, so that it has an
    /// end. Blocks.
    pub fn stop(&self) {
        // Before the wake-up, or a woken thread would wait again.
        {
            // Under the lock of the wait: a notification between a check of the flag and the wait would be lost.
            let _cells = self.0.cells.lock();
            self.0.is_stopping.store(true, Ordering::Release);
        }
        self.0.sealed.notify_all();
        for thread in std::mem::take(&mut *self.0.threads.lock()) {
            if thread.join().is_err() {
                // Not fatal: what is in no part is in the log.
                tracing::error!("a thread of the click store panicked");
            }
        }
    }

    /// Returns the clicks of this moment.
    pub fn live(&self) -> &LiveClicks {
        &self.0.live
    }

    /// Returns the last position of the log whose cells are in durable parts, [`Position::START`] until those of
    /// the log of before the start are.
    pub fn durable(&self) -> Position {
        let are_keys_free = self.0.are_keys_free.load(Ordering::Acquire);
        // `START` admits only keys that the ring knows to be unused.
        if are_keys_free { Position(self.0.durable.load(Ordering::Acquire)) } else { Position::START }
    }

    /// Asks for a part before its time: no key of the ring is free.
    pub fn ask_for_part(&self) {
        self.0.is_part_wanted.store(true, Ordering::Relaxed);
    }

    /// Returns whether cells were removed from parts since the last call, because of their age or with their link, that
    /// the log may still have.
    pub fn take_removed(&self) -> bool {
        self.0.has_removed.swap(false, Ordering::AcqRel)
    }

    /// Makes the next [`ClickStore::take_removed`] return true: the log still has removed cells.
    pub fn note_removed(&self) {
        self.0.has_removed.store(true, Ordering::Release);
    }

    /// Returns the number of the last tick that is in a durable part: see [`Ring::behind`](super::ring::Ring::behind).
    pub fn last_number(&self) -> u8 {
        self.0.cells.lock().last_number
    }

    /// Returns the last position of the log whose cells a [`ClickStore::view`] has.
    pub fn applied(&self) -> Position {
        self.0.cells.lock().applied
    }

    /// Returns whether the store has caught up with the log of before the start. Until then, a view lacks cells.
    pub fn has_caught_up(&self) -> bool {
        self.0.has_caught_up.load(Ordering::Acquire)
    }

    /// Returns all cells of this moment.
    pub fn view(&self) -> View {
        // One lock for both: a seal between two would count cells twice or not at all.
        let mut cells = self.0.cells.lock();
        let HeldCells { open, sorted, .. } = &mut *cells;
        let open = Arc::clone(sorted.get_or_insert_with(|| Arc::new(open.sorted())));
        View { parts: cells.parts.iter().map(|stored| Arc::clone(&stored.part)).collect(), open }
    }

    /// Returns the clicks of these links, which are sorted and each once, in their order: those from the slot `since` on,
    /// and the latest one of all. `is_cancelled` is called for each block, so every few microseconds.
    pub fn recent(
        &self,
        links: &[LinkRow],
        since: TimeSlot,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<RecentClicks>, RecentError> {
        self.0.recent(links, since, is_cancelled)
    }

    /// Returns the links of a workspace with the latest clicks, at least the first `keep` ones if there are as many. The
    /// number of a link is one more than that of its slot. `is_cancelled` is called for each block.
    pub fn latest(
        &self,
        workspace: WorkspaceNumber,
        keep: usize,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<TopLinks, RecentError> {
        self.0.latest(workspace, keep, is_cancelled)
    }

    /// Reads one more part for the recent clicks of all links of a workspace: see [`RecentStep`]. Calls `each` with the sums
    /// of the part, those of clicks from the slot `since` on. After an error it may have been called with a part of them.
    pub fn recent_of(
        &self,
        workspace: WorkspaceNumber,
        since: TimeSlot,
        known: &mut KnownParts,
        each: &mut dyn FnMut(Id, RecentClicks),
    ) -> Result<RecentStep, RecentError> {
        self.0.recent_of(workspace, since, known, each)
    }

    /// Removes the cells of deleted links from all parts. Blocks, as long as writing these parts again takes. Cells in
    /// memory stay: they are of the last hour, in which a deleted link has no clicks.
    pub fn forget(&self, links: &BTreeSet<LinkRow>) -> io::Result<()> {
        merges::forget(&self.0, links)
    }

    /// Sets a part aside that a reader found damaged. Its cells are missing from then on.
    pub fn set_aside(&self, part: &Arc<ClickPart>, error: &PartError) {
        self.0.set_aside(part, error);
    }

    /// Returns the state of the store.
    pub fn status(&self) -> StoreStatus {
        // Before the cells: a Change that comes in between is then none that they lack.
        let end = self.0.log.position();
        let cells = self.0.cells.lock();
        StoreStatus {
            parts: cells.parts.len(),
            bytes: cells.parts.iter().map(|stored| stored.bytes).sum(),
            open_cells: cells.open.len(),
            damaged: self.0.damaged.load(Ordering::Relaxed),
            has_caught_up: self.0.has_caught_up.load(Ordering::Acquire),
            behind: end.0.saturating_sub(cells.applied.0),
            failed_writes: self.0.failed_seals.load(Ordering::Relaxed),
            is_unwritten: self.0.is_unwritten.load(Ordering::Relaxed),
        }
    }
}
