//! The full-disk guard. It tells when writes must stop, early enough that the disk is never found
//! full in the middle of one: sled latches such an error until it is opened anew.
//!
//! [`DiskGuard`] keeps a preallocated file, the ballast, in the data folder. Writes stop when what is
//! free beside it falls below the margin; the stop path then frees the ballast, so that the last
//! click totals and the clean close find room. A start on a full disk frees it too: the table must catch
//! up before links can be followed. What the table leaves becomes the ballast again at once, and a whole
//! one is made once there is room, or at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, StatVfs, fallocate, statvfs};

use crate::private_files;

/// The part of the volume that the ballast takes, as a divisor.
const PART: u64 = 16;

/// Bounds of the ballast. A sixteenth of a VPS's disk would be gigabytes held for nothing; 16 MiB
/// hold the click totals of 500,000 links, more than one flush ever writes. The lower bound still
/// fits a volume of a few megabytes, where a fixed 16 would refuse every write.
const MIN_RESERVE: u64 = 1024 * 1024;
/// See [`MIN_RESERVE`].
const MAX_RESERVE: u64 = 16 * 1024 * 1024;

/// Free space that must be left once the ballast is gone: only the last frames are written then.
const RELEASED_MARGIN: u64 = 64 * 1024;

/// How long an answer about the volume is good. Short: at the 15 MB/s that log and table write
/// together under load, a megabyte of margin lasts 70 ms.
const FRESH: Duration = Duration::from_millis(10);

/// What the table will write for each byte of the log: sled keeps records, index and old versions
/// in pieces of half a megabyte. Measured at 3 with records of 3 KB; small ones take less.
const TABLE_SHARE: u64 = 4;

/// What the table may have in its buffers, of which the volume knows nothing yet: two of sled's,
/// of half a megabyte each. The log stops this much earlier than the table, which so finds room
/// for all that was admitted while it keeps up. A table that lags stops at the margin like the log, and
/// takes in the rest once there is room, from the log.
const BUFFERED: u64 = 1024 * 1024;

/// Name of the ballast in the data folder.
pub const BALLAST: &str = "ballast";

/// Watches the free space of one volume.
#[derive(Debug)]
pub struct DiskGuard {
    /// `None` for one that a test sets by hand.
    volume: Option<PathBuf>,
    state: Mutex<GuardState>,
}

#[derive(Debug, Default)]
struct GuardState {
    checked: Option<Instant>,
    /// Bytes free at the check, less those admitted since.
    free: u64,
    /// The table's writes stop below this, and the log's [`GuardState::ahead`] of it.
    margin: u64,
    ahead: u64,
    low: bool,
    /// Whether the log was refused: it is admitted again only when clearly more is free.
    refused: bool,
    /// What became of the ballast in this run.
    ballast: Ballast,
}

/// The state of the ballast.
#[derive(Debug, Default, PartialEq, Eq)]
enum Ballast {
    /// It is of its full size, or was released for good.
    #[default]
    Settled,
    /// It was freed for a start.
    Lent,
    /// It is smaller than it should be: a whole one is made once the log has room beside it.
    Short,
}

/// What a volume has left, before anything is made on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that can be written, those of the ballast among them.
    pub free: u64,
    /// Writes stop when less is free.
    pub stops_below: u64,
    /// Files that can be made.
    pub inodes: u64,
}

impl DiskSpace {
    /// The volume of `folder`.
    pub fn of(folder: &Path) -> io::Result<DiskSpace> {
        let volume = statvfs(folder)?;
        let ballast = fs::metadata(folder.join(BALLAST)).map_or(0, |file| file.len());
        // Some systems count no inodes.
        let inodes = if volume.f_files == 0 { u64::MAX } else { volume.f_favail };
        let free = volume.f_bavail.saturating_mul(volume.f_frsize).saturating_add(ballast);
        Ok(DiskSpace { free, stops_below: 2 * reserve_of(&volume) + BUFFERED, inodes })
    }
}

/// The ballast for a volume, and the margin beside it.
fn reserve_of(volume: &StatVfs) -> u64 {
    let size = volume.f_blocks.saturating_mul(volume.f_frsize);
    (size / PART).clamp(MIN_RESERVE, MAX_RESERVE)
}

impl DiskGuard {
    /// Watches the volume of `folder`, and makes the ballast there if there is room for it.
    pub fn open(folder: &Path) -> io::Result<DiskGuard> {
        let volume = statvfs(folder)?;
        let reserve = reserve_of(&volume);
        let space = DiskGuard {
            volume: Some(folder.to_owned()),
            // The margin equals the ballast: it takes in what is written between two checks and
            // the table's own files, whose growth nobody announces.
            state: Mutex::new(GuardState { margin: reserve, ahead: BUFFERED, ..GuardState::default() }),
        };
        if let Err(error) = space.make_ballast(reserve) {
            tracing::warn!(
                folder = %folder.display(),
                bytes = reserve,
                %error,
                "no room for the reserve against a full disk: going on without it"
            );
        }
        Ok(space)
    }

    /// One that has room until [`DiskGuard::set_low`] says otherwise.
    pub fn unlimited() -> DiskGuard {
        let state = GuardState { free: u64::MAX, ..GuardState::default() };
        DiskGuard { volume: None, state: Mutex::new(state) }
    }

    /// Fills or frees a volume made by [`DiskGuard::unlimited`]; a real one ignores it.
    pub fn set_low(&self, low: bool) {
        if self.volume.is_none() {
            self.state.lock().low = low;
        }
    }

    /// Whether writes must stop. Cheap enough to be asked before each.
    pub fn is_low(&self) -> bool {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        state.low
    }

    /// Whether `bytes` more of the log may be written, and what the table makes of them; they are
    /// taken as written if so. Refuses before [`DiskGuard::is_low`] says so, which leaves the table
    /// room for what was admitted already.
    pub fn admits(&self, bytes: u64) -> bool {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        if self.volume.is_none() {
            return !state.low;
        }
        let table = bytes.saturating_mul(TABLE_SHARE);
        let wanted = bytes.saturating_add(table).saturating_add(state.margin).saturating_add(state.ahead);
        // Once refused, a quarter of the margin more must be free, lest it flap at the border.
        let enough = if state.refused { wanted.saturating_add(state.margin / 4) } else { wanted };
        state.refused = state.low || state.free < enough;
        if state.refused {
            return false;
        }
        state.free -= bytes + table;
        true
    }

    /// Returns whether the table may write. `is_catching_up` before it has caught up with the log after a
    /// start: on a full disk the ballast is freed for that, and may be used up except for the last margin.
    pub fn admits_table(&self, is_catching_up: bool) -> bool {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        if is_catching_up && state.low && self.volume.is_some() {
            if state.ballast != Ballast::Lent {
                tracing::warn!("the disk is full: the reserve is freed so that the table can catch up");
                self.free_ballast();
                state.ballast = Ballast::Lent;
                state.checked = None;
                self.refresh(&mut state);
            }
            return state.free >= RELEASED_MARGIN;
        }
        if !is_catching_up && state.ballast == Ballast::Lent {
            self.take_back(&mut state);
        }
        !state.low
    }

    /// A write found the disk full: no more are admitted until a check finds room again.
    pub fn ran_out(&self) {
        let mut state = self.state.lock();
        if self.volume.is_some() {
            state.checked = Some(Instant::now());
            state.low = true;
        }
    }

    /// Frees the ballast: what is written from now on is the last of this run.
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
                state.free = volume.f_bavail.saturating_mul(volume.f_frsize);
                // Once low, a quarter more must be free, lest it flap at the border.
                let enough = if state.low { state.margin + state.margin / 4 } else { state.margin };
                state.low = state.free < enough;
                let whole = state.margin.saturating_mul(2).saturating_add(state.ahead);
                if state.ballast == Ballast::Short && state.free > whole {
                    self.take_back(state);
                }
            }
            // No news is no reason to stop: a disk that is truly full says so itself.
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot ask how full the disk is");
                state.low = false;
                state.free = u64::MAX;
            }
        }
    }

    /// Makes the ballast again, of what is free if that is less than it should have.
    fn take_back(&self, state: &mut GuardState) {
        let size = state.margin.min(state.free.saturating_sub(RELEASED_MARGIN));
        let made = self.make_ballast(size);
        if let Err(error) = &made {
            tracing::warn!(%error, "cannot make the reserve against a full disk again");
        }
        // Where it cannot be made, this run goes on without it.
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
        // Half a ballast would be taken for a whole one by its length, or hold what others need.
        if made.is_err() {
            fs::remove_file(&path)?;
        }
        made
    }
}

/// For file systems that cannot preallocate: real zeros.
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
    fn keeps_a_ballast_within_bounds_and_frees_it() {
        let folder = tempfile::tempdir().unwrap();
        let space = DiskGuard::open(folder.path()).unwrap();
        let ballast = folder.path().join(BALLAST);
        let size = fs::metadata(&ballast).unwrap().len();
        assert!((MIN_RESERVE..=MAX_RESERVE).contains(&size), "{size}");
        assert!(!space.is_low());
        assert!(space.admits(1));
        space.release();
        assert!(!ballast.exists());
        assert!(!space.is_low());
        drop(space);
        DiskGuard::open(folder.path()).unwrap();
        assert_eq!(fs::metadata(&ballast).unwrap().len(), size, "made again at the next start");
    }

    #[test]
    fn refuses_what_would_eat_into_the_margin() {
        let folder = tempfile::tempdir().unwrap();
        let space = DiskGuard::open(folder.path()).unwrap();
        assert!(!space.admits(u64::MAX / 2));
        assert!(space.admits(1));
        let room = {
            let state = space.state.lock();
            state.free - state.margin - state.ahead
        };
        assert!(!space.admits(room / 2), "the table's share would not fit");
        let before = Instant::now();
        space.ran_out();
        assert!(space.state.lock().checked >= Some(before));
        // Fresh for as long as the test takes.
        space.state.lock().checked = Some(before + FRESH * 100_000);
        assert!(space.is_low());
        assert!(!space.admits(1));
        space.state.lock().checked = Some(before);
        std::thread::sleep(FRESH);
        assert!(space.admits(1), "heals by itself");
    }

    #[test]
    fn a_hand_fills_and_frees_it() {
        let space = DiskGuard::unlimited();
        assert!(space.admits(u64::MAX));
        space.set_low(true);
        assert!(space.is_low() && !space.admits(0));
        space.set_low(false);
        assert!(space.admits(1));
    }
}
