//! The guard against a full disk. It stops writes early enough that no write finds the disk full: sled
//! keeps failing after such an error until it is opened again.
//!
//! [`DiskGuard`] preallocates a file in the data folder, the ballast.
//!
//! 1. Writes stop when the free space beside the ballast is below a margin.
//! 2. A stop frees the ballast, so that the last click totals and the clean close can be written.
//! 3. A start on a full disk frees the ballast too, because links work only after the table has caught up.
//!    The remaining space becomes the ballast again at once. A ballast of full size is created when there
//!    is room, or at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, StatVfs, fallocate, statvfs};

use crate::private_files;

/// The divisor of the volume's size that gives the size of the ballast.
const PART: u64 = 16;

/// Bounds of the ballast. A sixteenth of a VPS's disk would be gigabytes without use; 16 MiB are enough for
/// the click totals of 500,000 links, more than one flush ever writes. The lower bound still fits a volume
/// of a few megabytes, where 16 MiB would stop every write.
const MIN_RESERVE: u64 = 1024 * 1024;
/// See [`MIN_RESERVE`].
const MAX_RESERVE: u64 = 16 * 1024 * 1024;

/// Free space that must remain once the ballast is freed. Only the last frames are written then.
const RELEASED_MARGIN: u64 = 64 * 1024;

/// How long a measurement of the volume is valid. Short: at the 15 MB/s that log and table write together
/// under load, a megabyte of margin lasts 70 ms.
const FRESH: Duration = Duration::from_millis(10);

/// Bytes that the table writes for each byte of the log: sled stores records, index and old versions in
/// pieces of half a megabyte. Measured: 3 with records of 3 KB, less with small ones.
const TABLE_SHARE: u64 = 4;

/// Bytes that the table may have in its buffers, unknown to the volume: two of sled's buffers of half a
/// megabyte. The log stops this much earlier than the table, so a table that keeps up has room for all
/// admitted writes. A table that lags stops at the margin like the log, and applies the rest from the log
/// once there is room.
const BUFFERED: u64 = 1024 * 1024;

/// Name of the ballast in the data folder.
pub const BALLAST: &str = "ballast";

/// Watches the free space of one volume.
#[derive(Debug)]
pub struct DiskGuard {
    /// `None` for a guard that a test sets by hand.
    volume: Option<PathBuf>,
    state: Mutex<GuardState>,
}

#[derive(Debug, Default)]
struct GuardState {
    checked: Option<Instant>,
    /// Bytes free at the last check, minus the bytes admitted since.
    free: u64,
    /// The table stops below `margin`, the log below `margin` + `ahead`.
    margin: u64,
    ahead: u64,
    low: bool,
    /// Whether the last write of the log was rejected. It is admitted again only when clearly more is free.
    refused: bool,
    /// Whether the last line that was logged is the one about a full disk.
    is_reported: bool,
    /// The state of the ballast in this run.
    ballast: Ballast,
}

impl GuardState {
    /// Logs that the disk is full, once until it has room.
    fn note_full(&mut self) {
        if !std::mem::replace(&mut self.is_reported, true) {
            tracing::warn!(
                free = self.free,
                "the disk is full: links cannot be changed until there is space; redirects continue"
            );
        }
    }
}

/// The state of the ballast.
#[derive(Debug, Default, PartialEq, Eq)]
enum Ballast {
    /// The ballast has its full size, or was freed for good.
    #[default]
    Settled,
    /// The ballast was freed for a start.
    Lent,
    /// The ballast is too small. A ballast of full size is created once the log has room beside it.
    Short,
}

/// The free space of a volume, before anything is created on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that can be written, the ballast included.
    pub free: u64,
    /// Writes stop when less than this is free.
    pub stops_below: u64,
    /// Number of files that can be created.
    pub inodes: u64,
}

impl DiskSpace {
    /// Returns the space of the volume that contains `folder`.
    pub fn of(folder: &Path) -> io::Result<DiskSpace> {
        let volume = statvfs(folder)?;
        let ballast = fs::metadata(folder.join(BALLAST)).map_or(0, |file| file.len());
        // Some file systems do not count inodes.
        let inodes = if volume.f_files == 0 { u64::MAX } else { volume.f_favail };
        let free = volume.f_bavail.saturating_mul(volume.f_frsize).saturating_add(ballast);
        Ok(DiskSpace { free, stops_below: 2 * reserve_of(&volume) + BUFFERED, inodes })
    }
}

/// Returns the size of the ballast for a volume, which is also the margin beside it.
fn reserve_of(volume: &StatVfs) -> u64 {
    let size = volume.f_blocks.saturating_mul(volume.f_frsize);
    (size / PART).clamp(MIN_RESERVE, MAX_RESERVE)
}

impl DiskGuard {
    /// Watches the volume of `folder`, and creates the ballast if there is room.
    pub fn open(folder: &Path) -> io::Result<DiskGuard> {
        let volume = statvfs(folder)?;
        let reserve = reserve_of(&volume);
        let guard = DiskGuard {
            volume: Some(folder.to_owned()),
            // The margin equals the ballast. It absorbs the writes between two checks, and the growth of
            // the table's files, which nothing announces.
            state: Mutex::new(GuardState { margin: reserve, ahead: BUFFERED, ..GuardState::default() }),
        };
        if let Err(error) = guard.make_ballast(reserve) {
            tracing::warn!(
                folder = %folder.display(),
                bytes = reserve,
                %error,
                "no room for the reserve against a full disk: continuing without it"
            );
        }
        Ok(guard)
    }

    /// Creates a guard that has room until [`DiskGuard::set_low`] is called.
    pub fn unlimited() -> DiskGuard {
        let state = GuardState { free: u64::MAX, ..GuardState::default() };
        DiskGuard { volume: None, state: Mutex::new(state) }
    }

    /// Fills or frees the volume of [`DiskGuard::unlimited`]. Has no effect on a real volume.
    pub fn set_low(&self, low: bool) {
        if self.volume.is_none() {
            self.state.lock().low = low;
        }
    }

    /// Returns whether writes must stop. Cheap enough to be called before each write.
    pub fn is_low(&self) -> bool {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        state.low
    }

    /// Returns whether the log may write `bytes`, and the table what results from them; counts them as
    /// written if so. Rejects earlier than [`DiskGuard::is_low`], which leaves the table room for admitted
    /// writes.
    pub fn admits(&self, bytes: u64) -> bool {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        if self.volume.is_none() {
            return !state.low;
        }
        // The table writes the same records later, when nothing can reject them any more.
        let table = bytes.saturating_mul(TABLE_SHARE);
        let wanted = bytes.saturating_add(table).saturating_add(state.margin).saturating_add(state.ahead);
        // After a rejection a quarter of the margin more must be free, so that the state does not flap at
        // the limit.
        let enough = if state.refused { wanted.saturating_add(state.margin / 4) } else { wanted };
        state.refused = state.low || state.free < enough;
        if state.refused {
            // Here as well as in `report`, which may come after a short incident.
            state.note_full();
            return false;
        }
        // Until the next check, admitted writes are subtracted instead of measured.
        state.free -= bytes + table;
        true
    }

    /// Returns whether a file of `bytes` that nothing depends on leaves all the room that log and table need. Changes
    /// nothing for them.
    pub fn leaves_room(&self, bytes: u64) -> bool {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        if self.volume.is_none() {
            return !state.low;
        }
        // Twice the margin: such a file must not be what stops the log.
        let wanted = bytes.saturating_add(state.margin.saturating_mul(2)).saturating_add(state.ahead);
        !state.low && state.free >= wanted
    }

    /// Returns whether the table may write. `is_catching_up` means that the table has not caught up with
    /// the log since the start. On a full disk the ballast is freed for this, and may be used except for
    /// the last margin.
    pub fn admits_table(&self, is_catching_up: bool) -> bool {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        if is_catching_up && state.low && self.volume.is_some() {
            if state.ballast != Ballast::Lent {
                tracing::warn!("the disk is full: the reserve is freed so that the table can catch up");
                self.free_ballast();
                // The freed space counts at once, so it is measured again.
                state.ballast = Ballast::Lent;
                state.checked = None;
                self.refresh(&mut state);
            }
            return state.free >= RELEASED_MARGIN;
        }
        if !is_catching_up && state.ballast == Ballast::Lent {
            self.restore_ballast(&mut state);
        }
        !state.low
    }

    /// Logs when the log begins to reject writes for want of space, and when there is room again. Returns whether that has
    /// just happened. To be called regularly, since no write may follow that would find it.
    pub(crate) fn report(&self) -> bool {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        if self.volume.is_none() {
            return false;
        }
        // As `admits` decides after a rejection.
        let enough = state.margin.saturating_add(state.margin / 4).saturating_add(state.ahead);
        let is_full = state.low || (state.refused && state.free < enough);
        if is_full {
            state.note_full();
            return false;
        }
        let was_full = std::mem::take(&mut state.is_reported);
        if was_full {
            tracing::info!(free = state.free, "the disk has room again: links can be changed");
        }
        was_full
    }

    /// Stops writes after one found the disk full, until a check finds room again.
    pub(crate) fn ran_out(&self) {
        let mut state = self.state.lock();
        if self.volume.is_some() {
            // So that no older measurement admits the next write.
            state.checked = Some(Instant::now());
            state.low = true;
        }
    }

    /// Frees the ballast for the last writes of this run.
    pub fn release(&self) {
        let mut state = self.state.lock();
        if self.volume.is_none() {
            state.low = false;
            return;
        }
        self.free_ballast();
        state.ballast = Ballast::Settled;
        state.margin = RELEASED_MARGIN;
        state.ahead = 0;
        state.refused = false;
        // The end of the program is not the end of the incident.
        state.is_reported = false;
        state.checked = None;
        state.low = false;
    }

    fn refresh(&self, state: &mut GuardState) {
        let Some(folder) = &self.volume else { return };
        if state.checked.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        state.checked = Some(Instant::now());
        match statvfs(folder) {
            Ok(volume) => {
                // Without the blocks that are reserved for root.
                state.free = volume.f_bavail.saturating_mul(volume.f_frsize);
                // Once low, a quarter of the margin more must be free, so that the state does not flap at
                // the limit.
                let enough = if state.low { state.margin + state.margin / 4 } else { state.margin };
                state.low = state.free < enough;
                // Room for the ballast, the margin beside it, and the buffers of the table.
                let whole = state.margin.saturating_mul(2).saturating_add(state.ahead);
                if state.ballast == Ballast::Short && state.free > whole {
                    self.restore_ballast(state);
                }
            }
            // An unknown state does not stop writes: a write to a full disk fails by itself.
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot measure the free space of the disk");
                state.low = false;
                state.free = u64::MAX;
            }
        }
    }

    /// Creates the ballast again, with the free space if that is less than its full size.
    fn restore_ballast(&self, state: &mut GuardState) {
        let size = state.margin.min(state.free.saturating_sub(RELEASED_MARGIN));
        let made = self.make_ballast(size);
        if let Err(error) = &made {
            tracing::warn!(%error, "cannot create the reserve against a full disk again");
        }
        // If the ballast cannot be created, this run continues without it.
        let is_short = size < state.margin && made.is_ok();
        state.ballast = if is_short { Ballast::Short } else { Ballast::Settled };
        state.checked = None;
    }

    fn free_ballast(&self) {
        let Some(folder) = &self.volume else { return };
        match fs::remove_file(folder.join(BALLAST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "cannot free the reserve against a full disk");
            }
            _ => {}
        }
    }

    fn make_ballast(&self, size: u64) -> io::Result<()> {
        let Some(folder) = &self.volume else { return Ok(()) };
        let path = folder.join(BALLAST);
        // An earlier run left a ballast of this size.
        if fs::metadata(&path).is_ok_and(|found| found.len() == size) {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = private_files::open_regular(&path, options)?;
        let made = match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Err(rustix::io::Errno::OPNOTSUPP) => fill(&mut file, size),
            other => other.map_err(io::Error::from),
        };
        // The next start would take an incomplete ballast for a complete one, by its length.
        if made.is_err() {
            fs::remove_file(&path)?;
        }
        made
    }
}

/// Writes zeros, for file systems that cannot preallocate.
fn fill(file: &mut File, size: u64) -> io::Result<()> {
    let zeros = vec![0; 64 * 1024];
    let mut left = size;
    while left > 0 {
        let part = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&zeros[..part])?;
        left -= part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_is_within_bounds_and_can_be_freed() {
        let folder = tempfile::tempdir().unwrap();
        let guard = DiskGuard::open(folder.path()).unwrap();
        let ballast = folder.path().join(BALLAST);
        let size = fs::metadata(&ballast).unwrap().len();
        assert!((MIN_RESERVE..=MAX_RESERVE).contains(&size), "{size}");
        assert!(!guard.is_low());
        assert!(guard.admits(1));
        guard.release();
        assert!(!ballast.exists());
        assert!(!guard.is_low());
        drop(guard);
        DiskGuard::open(folder.path()).unwrap();
        assert_eq!(fs::metadata(&ballast).unwrap().len(), size, "made again at the next start");
    }

    #[test]
    fn writes_that_need_the_margin_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let guard = DiskGuard::open(folder.path()).unwrap();
        assert!(!guard.admits(u64::MAX / 2));
        assert!(guard.admits(1));
        let room = {
            let state = guard.state.lock();
            state.free - state.margin - state.ahead
        };
        // Asked first: the answer changes nothing for the log.
        assert!(!guard.leaves_room(u64::MAX) && !guard.leaves_room(room) && guard.leaves_room(1));
        assert!(!guard.admits(room / 2), "the table's share would not fit");
        let before = Instant::now();
        guard.ran_out();
        assert!(guard.state.lock().checked >= Some(before));
        // Valid for as long as the test takes.
        guard.state.lock().checked = Some(before + FRESH * 100_000);
        assert!(guard.is_low());
        assert!(!guard.admits(1) && !guard.leaves_room(1));
        guard.state.lock().checked = Some(before);
        std::thread::sleep(FRESH);
        assert!(guard.admits(1), "heals by itself");
    }

    #[test]
    fn an_unlimited_guard_is_filled_and_freed_by_hand() {
        let guard = DiskGuard::unlimited();
        assert!(guard.admits(u64::MAX));
        guard.set_low(true);
        assert!(guard.is_low() && !guard.admits(0));
        guard.set_low(false);
        assert!(guard.admits(1));
    }
}
