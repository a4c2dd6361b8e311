//! [`Visitors`]: which clicks are the first of their visitor today.
//!
//! A visitor is a keyed hash of an address and of a User-Agent. The key is random and lives for one day of UTC; when it
//! is gone, nothing leads from a hash to an address or from one day to the next. Hashes of visitors are in memory
//! alone. The [`filter`] and the file of pairs have 40 bits of a hash of a hash.
//!
//! Counts are too low by what the filter takes for known by mistake, at most 0.04 % at a million pairs. After a restart they
//! are too high by the pairs that had not reached the file.

mod files;
mod filter;
mod key;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use self::files::DayFiles;
use self::filter::PairFilter;
use self::key::{DAY_MILLIS, Day, DayKey, VisitorPair};
use crate::analytics::tick::LinkRow;

pub use self::files::{KEY_FILE, SEEN_FILE};

/// Default limit of the filter's memory: 10 million pairs a day.
pub const MEMORY_DEFAULT: usize = 16 << 20;

/// How far the clock may go back over midnight before the key is replaced: an hour.
const CLOCK_TOLERANCE: i64 = DAY_MILLIS / 24;

/// How visitors are recognised.
#[derive(Clone, Debug)]
pub struct VisitorSettings {
    /// The folder of the two files. It exists.
    pub folder: PathBuf,
    /// Whether the files are written. Without them, a restart counts visitors again.
    pub files: bool,
    /// Limit of the filter's memory in bytes.
    pub memory: usize,
}

/// What a click is the first of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstVisit {
    /// The click is the first of its visitor on this link today.
    pub of_link: bool,
    /// The click is the first of its visitor in this workspace today. Then it is the first on its link as well.
    pub of_workspace: bool,
}

/// The visitors of the day.
#[derive(Debug)]
pub struct Visitors {
    settings: VisitorSettings,
    key: DayKey,
    filter: PairFilter,
    /// `None` without files, and while yesterday's could not be removed.
    files: Option<DayFiles>,
    /// Whether the folder has no files but those of today.
    is_clean: bool,
    /// The error of an append, until [`Visitors::flush`] returns it.
    failed: Option<io::Error>,
}

/// Removes the files of a folder.
pub fn forget(folder: &Path) {
    for name in [KEY_FILE, SEEN_FILE] {
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "{} cannot be removed", path.display());
            }
            _ => {}
        }
    }
}

impl Visitors {
    /// Continues the day of `now`, in milliseconds since 1970, if the files are of this day. Else removes them and
    /// begins the day. A file that cannot be used is reported in the log of the program. Fails if the system has no random
    /// bytes.
    pub fn open(settings: VisitorSettings, now: i64) -> io::Result<Visitors> {
        let day = Day::of_millis(now);
        let folder = settings.folder.clone();
        // A file that cannot be used costs the visitors so far, and not the details of all clicks.
        let unusable = |error: &io::Error| {
            tracing::error!(
                %error,
                "{KEY_FILE} or {SEEN_FILE} in {} cannot be used: visitors of today who come again are counted again",
                folder.display()
            );
        };
        let found = DayFiles::new(&settings.folder).read_key().inspect_err(unusable).unwrap_or_default();
        // Also from a key of an earlier day: a User-Agent must keep its hash over a restart.
        let seed = found.as_ref().map(DayKey::agent_seed);
        let filter = PairFilter::new(0, settings.memory);
        // Never a key of another day: its hashes would connect two days.
        if let Some(key) = found.filter(|key| settings.files && key.day() == day) {
            let mut visitors = Visitors { settings, key, filter, files: None, is_clean: true, failed: None };
            // Without the pairs that cannot be read, and without writing new ones.
            drop(visitors.restore().inspect_err(unusable));
            return Ok(visitors);
        }
        let key = DayKey::random(day, seed)?;
        let mut visitors = Visitors { settings, key, filter, files: None, is_clean: false, failed: None };
        // At once, so that yesterday's key is gone even if no click comes. `advance` tries again.
        drop(visitors.replace_files().inspect_err(unusable));
        Ok(visitors)
    }

    /// Begins the next day if `now` is past midnight of UTC. Call it before the clicks of `now`, and at least once an
    /// hour. Returns whether a day began.
    ///
    /// Fails if a file cannot be removed or created; the next call retries. The day has begun then, and the old key is
    /// out of memory; only the pairs of the new day are not written. Fails without effect if the system has no random
    /// bytes.
    pub fn advance(&mut self, now: i64) -> io::Result<bool> {
        let is_over = self.is_over(now);
        if is_over {
            // Before the files: an error below must not keep yesterday's key in memory.
            self.key = DayKey::random(Day::of_millis(now), Some(self.key.agent_seed()))?;
            // As many visitors as yesterday, so that the filter need not grow.
            self.filter = PairFilter::new(self.filter.len(), self.settings.memory);
            self.is_clean = false;
        }
        if !self.is_clean {
            self.replace_files()?;
        }
        Ok(is_over)
    }

    /// Records a click, and returns what it is the first of. `agent` is a hash of the User-Agent with
    /// [`Visitors::agent_seed`].
    pub fn visit(&mut self, address: IpAddr, agent: u64, link: &LinkRow) -> FirstVisit {
        let visitor = self.key.visitor(address, agent);
        // A visitor of the link is one of its workspace, so only a new pair of a link needs the second look-up.
        let of_link = self.insert(self.key.link_pair(visitor, link));
        let of_workspace = of_link && self.insert(self.key.workspace_pair(visitor, link));
        FirstVisit { of_link, of_workspace }
    }

    /// Returns whether today has more visitors than the limit of memory is for. The counts of the day are then an
    /// estimate: about 1 % of the visitors that are new are missed, and more of later ones.
    pub fn is_estimate(&self) -> bool {
        self.filter.is_overfull()
    }

    /// Returns the seed for hashes of User-Agents. It is the same after a restart.
    pub fn agent_seed(&self) -> [u8; 16] {
        self.key.agent_seed()
    }

    /// Returns the bytes of the filter.
    pub fn memory(&self) -> usize {
        self.filter.bytes()
    }

    /// Writes the new pairs of the day to their file. They survive a crash of the process from then on. Fails if the
    /// disk has failed since the last call. The pairs that were not written are counted again if the process restarts
    /// today.
    pub fn flush(&mut self) -> io::Result<()> {
        let flushed = self.files.as_mut().map_or(Ok(()), DayFiles::flush);
        self.failed.take().map_or(flushed, Err)
    }

    fn is_over(&self, now: i64) -> bool {
        let day = self.key.day();
        // A clock that was far ahead, and is right again, must not keep its key until that day comes.
        Day::of_millis(now) > day || now < day.start_millis() - CLOCK_TOLERANCE
    }

    fn insert(&mut self, pair: VisitorPair) -> bool {
        // Before the insert, which adds a layer; from then on the errors of both layers add up.
        if self.filter.is_about_to_grow()
            && let Err(error) = self.enlarge()
        {
            self.failed = Some(error);
        }
        let is_new = self.filter.insert(pair);
        // The limit of memory limits the file as well, so that a flood cannot fill the disk.
        if is_new
            && !self.filter.is_overfull()
            && let Some(files) = &mut self.files
            && let Err(error) = files.append(pair)
        {
            self.failed = Some(error);
        }
        is_new
    }

    /// Replaces the filter by a larger one of one layer, if all pairs are in the file. Otherwise, and if this fails, the
    /// filter adds a layer. For a moment there are two filters; the old one has a quarter of the bytes of the new one.
    ///
    /// Reads a pair in 50 ns: 0.1 s for the two million pairs at which a filter reaches the default limit.
    fn enlarge(&mut self) -> io::Result<()> {
        let Some(files) = self.files.as_mut() else { return Ok(()) };
        // The larger filter gets only what is in the file.
        files.flush()?;
        // A pair that a failed write lost would be counted again.
        if files.are_complete() {
            self.filter = filter_of_file(files, self.filter.len() + 1, self.settings.memory)?;
        }
        Ok(())
    }

    /// Reads the pairs of the day.
    fn restore(&mut self) -> io::Result<()> {
        let mut files = DayFiles::new(&self.settings.folder);
        files.open_seen(&self.key)?;
        // Sized for the whole file, so that a restart ends with one layer.
        let pairs = usize::try_from(files.pairs()).unwrap_or(usize::MAX);
        self.filter = filter_of_file(&files, pairs, self.settings.memory)?;
        self.files = Some(files);
        Ok(())
    }

    /// Removes the files of another day, and creates those of today.
    fn replace_files(&mut self) -> io::Result<()> {
        // After an error below, no pair of today may be appended to yesterday's file.
        self.files = None;
        let mut files = DayFiles::new(&self.settings.folder);
        if self.settings.files {
            files.create(&self.key)?;
            self.files = Some(files);
        } else {
            files.remove()?;
        }
        // Only now, so that an error above leads to another try.
        self.is_clean = true;
        Ok(())
    }
}

/// Returns a filter with the pairs of a file, with room for `expected` pairs in its first layer.
fn filter_of_file(files: &DayFiles, expected: usize, bytes_max: usize) -> io::Result<PairFilter> {
    let mut filter = PairFilter::new(expected, bytes_max);
    files.read(|pair| {
        filter.insert(pair);
        // A file that was written under a larger limit may have more pairs than fit.
        !filter.is_overfull()
    })?;
    Ok(filter)
}

#[cfg(test)]
mod tests;
