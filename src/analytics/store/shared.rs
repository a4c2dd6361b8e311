//! [`Shared`]: what is behind every handle of the click store, and the step from memory to a part.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::files::{self, StoredPart};
use super::mark::Mark;
use super::plan::Keep;
use super::steady::SteadyTime;
use crate::analytics::live::LiveClicks;
use crate::analytics::open::{self, OpenCells};
use crate::analytics::part::error::PartError;
use crate::analytics::part::header::{PartHeader, PartLevel};
use crate::analytics::part::reader::ClickPart;
use crate::analytics::part::writer::PartWriter;
use crate::analytics::ring;
use crate::analytics::tick::Tick;
use crate::clock::Clock;
use crate::log::local::disk::Disk;
use crate::log::{Log, Position};

/// Ticks in memory that make a part. Half of the ring: the other half is for the time until the part is durable.
const SEAL_TICKS: usize = ring::SIZE / 2;

/// Cells in memory that make a part: some 8 MB.
const SEAL_CELLS: usize = 65_536;

/// Cells in memory past which no Change is added until a part is written: some 16 MB. The last Change adds up to 65,536
/// more.
pub(super) const CELLS_HELD: usize = 2 * SEAL_CELLS;

/// Returns whether the disk has room for this number of bytes.
pub type HasRoom = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// Returns whether the cells of a link are kept by a merge. The link is the row of [`LinkRow`](crate::analytics::tick::LinkRow).
pub type IsKept = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What is behind every handle.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Clock,
    pub(super) keep: Keep,
    pub(super) has_room: HasRoom,
    pub(super) cells: Mutex<HeldCells>,
    /// What the file `position` contains. Locked while it is written, behind `maintenance` and before `cells`.
    pub(super) mark: Mutex<Mark>,
    /// The clicks of this moment.
    pub(super) live: LiveClicks,
    /// The time of merges. Held while files are merged. Locked before `cells`.
    pub(super) maintenance: Mutex<SteadyTime>,
    /// Notified when a part was written, for merges.
    pub(super) sealed: Condvar,
    /// The last position of the log whose cells are in durable parts.
    pub(super) durable: AtomicU64,
    /// The end of the log at the start.
    pub(super) goal: Position,
    /// Set once the cells up to `goal` are in memory or in a part.
    pub(super) has_caught_up: AtomicBool,
    /// Set once they are in a part, so that their keys may be used again.
    pub(super) are_keys_free: AtomicBool,
    pub(super) is_stopping: AtomicBool,
    /// Whether cells were removed from parts that the log may still have.
    pub(super) has_removed: AtomicBool,
    pub(super) damaged: AtomicU64,
    /// The number of tries to write cells that failed.
    pub(super) failed_seals: AtomicU64,
    /// Whether a part is wanted before its time.
    pub(super) is_part_wanted: AtomicBool,
    /// Whether the last try failed.
    pub(super) is_unwritten: AtomicBool,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("disk", &self.disk).finish_non_exhaustive()
    }
}

/// The cells of one moment.
#[derive(Debug, Default)]
pub(super) struct HeldCells {
    /// In the order of their positions.
    pub(super) parts: Vec<Arc<StoredPart>>,
    pub(super) open: OpenCells,
    /// The cells of `open` as questions read them. Built by the first question after each tick: the questions of a page
    /// come at once, and a sort for each would take longer than their sums.
    pub(super) sorted: Option<Arc<Tick>>,
    /// The number of ticks in `open`.
    pub(super) ticks: usize,
    /// The number of the last tick in `open` or in a part: see [`ring::Ring::behind`].
    pub(super) last_number: u8,
    /// The last position whose cells are in `open` or in a part.
    pub(super) applied: Position,
    /// The positions of parts that are not in `parts`: of damaged ones, and of those that could not be read. A merge over
    /// them would replace them, and they may be read again one day.
    pub(super) holes: Vec<(u64, u64)>,
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Returns whether the cells in memory are enough for a part.
    pub(super) fn is_full(&self) -> bool {
        let cells = self.cells.lock();
        cells.ticks >= SEAL_TICKS || cells.open.len() >= SEAL_CELLS
    }

    /// Writes the cells in memory as a part. Keeps them in memory if that fails.
    pub(super) fn seal(&self) -> io::Result<()> {
        let sealed = self.try_seal();
        self.is_unwritten.store(sealed.is_err(), Ordering::Relaxed);
        self.failed_seals.fetch_add(sealed.is_err().into(), Ordering::Relaxed);
        sealed
    }

    fn try_seal(&self) -> io::Result<()> {
        // A copy: the write must not hold the lock, and a failed one must leave the cells in memory.
        let (tick, last_number, from, to) = {
            let cells = self.cells.lock();
            let from = Position(self.durable.load(Ordering::Acquire)).next();
            (cells.open.sorted(), cells.last_number, from, cells.applied)
        };
        // No Change since the last seal: a mark with the same position is not worth a sync.
        if to < from {
            return Ok(());
        }
        // Hours without clicks need a mark only, which keeps a start from reading their log.
        let stored = if tick.cells.is_empty() { None } else { Some(self.write(&tick, from, to)?) };
        // Behind the part: a crash between the two finds the part, whose header has the same position.
        self.update_mark(|mark| {
            (mark.position, mark.last_number) = (to, last_number);
            if let Some(stored) = &stored {
                mark.list(stored.header());
            }
        })?;
        let mut cells = self.cells.lock();
        // Only the follower adds cells, and it is the one that seals: `open` has what `tick` has.
        cells.open = OpenCells::default();
        cells.sorted = None;
        cells.ticks = 0;
        // Within the same lock, so that a question sees the cells once.
        cells.parts.extend(stored.map(Arc::new));
        drop(cells);
        // Last: from here on, the ring may overwrite all ticks up to this position.
        self.durable.store(to.0, Ordering::Release);
        self.sealed.notify_all();
        Ok(())
    }

    /// Changes the mark, durably. Leaves it as it is if that fails.
    pub(super) fn update_mark(&self, change: impl FnOnce(&mut Mark)) -> io::Result<()> {
        // Held during the write: the follower and a merge may change the mark at once.
        let mut mark = self.mark.lock();
        let mut next = mark.clone();
        change(&mut next);
        next.write(&*self.disk)?;
        *mark = next;
        Ok(())
    }

    fn write(&self, tick: &Tick, from: Position, to: Position) -> io::Result<StoredPart> {
        // Twice the largest cell with its texts, as a bound that needs no encoding.
        if !(self.has_room)(tick.cells.len() as u64 * 512) {
            // Before a file exists: on a full disk, links need the last space more than details do.
            return Err(io::ErrorKind::StorageFull.into());
        }
        let slots = || tick.cells.iter().map(|cell| cell.slot);
        // Of the cells and not of the clock: a tick that waited for a key has older slots.
        let (first, last) = (slots().min().unwrap_or_default(), slots().max().unwrap_or_default());
        let header = PartHeader {
            level: PartLevel::Run,
            node: 0,
            log: self.log.id(),
            first,
            last,
            from: from.0,
            to: to.0,
        };
        files::write(&*self.disk, &header, |file| {
            let writer = PartWriter::new(file, &header)?;
            open::write(tick, writer)
        })
    }

    pub(super) fn set_aside(&self, part: &Arc<ClickPart>, error: &PartError) {
        // A merge may have replaced the file of this name. It reads the part itself, and the next reader asks again.
        let Some(_alone) = self.maintenance.try_lock() else { return };
        let mut cells = self.cells.lock();
        // Two questions may find the same damage, and a merge may have replaced the part.
        let Some(at) = cells.parts.iter().position(|stored| Arc::ptr_eq(&stored.part, part)) else { return };
        let stored = cells.parts.remove(at);
        cells.holes.push((stored.header().from, stored.header().to));
        // The rename syncs the folder, and questions must not wait for that.
        drop(cells);
        files::set_aside(&*self.disk, &stored.name, error);
        // Without the update, the file that was set aside is known by its name.
        drop(self.update_mark(|mark| mark.unlist(stored.header())));
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }
}
