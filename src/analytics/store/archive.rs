//! [`ClickArchive`]: the parts of a folder of click details, read without owning it and also beside the server that
//! writes it: for `backup`, `restore`, `verify`, `export` and `doctor`.
//!
//! 1. An archive has each cell up to [`ClickArchive::durable`] once. The log has the cells behind it.
//! 2. It keeps its files open, so that a merge cannot remove them from it. It never writes to the folder.
//! 3. A copy has parts and the mark of their position. The files of visitors are never in a copy.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, linkat};
use rustix::process::geteuid;

use super::files;
use super::mark::{DAMAGED, ListedPart, Mark, PART, REPLACED};
use crate::analytics::cell::TimeSlot;
use crate::analytics::part::error::PartError;
use crate::analytics::part::header::PartHeader;
use crate::analytics::part::reader::ClickPart;
use crate::log::Position;
use crate::log::local::disk::FsDisk;
use crate::private_files::{FILE_MODE, open_regular};

/// How often a folder is read again because the server wrote or merged parts in between. Each attempt takes
/// milliseconds, and a part is written once in some seconds at most.
const TRIES: usize = 20;

/// The parts of a folder at one moment.
#[derive(Debug)]
pub struct ClickArchive {
    folder: PathBuf,
    /// In the order of their positions.
    parts: Vec<ArchivedPart>,
    mark: Option<Mark>,
    durable: Position,
    faults: Vec<PartFault>,
    /// Parts that the mark lists, and whose files are gone.
    missing: Vec<ListedPart>,
    /// Names of the parts that a server on the log would leave out.
    foreign: Vec<String>,
    leftovers: Leftovers,
}

/// A part of an archive.
#[derive(Debug)]
pub struct ArchivedPart {
    /// The name of its file.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its content.
    pub part: ClickPart,
    file: Arc<File>,
}

/// A part that cannot be read.
#[derive(Debug)]
pub struct PartFault {
    /// The name of its file.
    pub name: String,
    /// The first and the last slot of its cells, `None` if its header is damaged.
    pub slots: Option<(TimeSlot, TimeSlot)>,
    /// What is wrong.
    pub error: PartError,
}

/// Files that no answer reads any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Damaged parts that a server has set aside.
    pub damaged: u64,
    /// Parts whose clicks are not in the log.
    pub replaced: u64,
}

/// The names in a folder, as far as they concern parts.
#[derive(PartialEq, Eq)]
struct PartNames {
    parts: BTreeSet<String>,
    /// Those of parts, and of parts that were set aside.
    all: BTreeSet<String>,
    mark: Option<Mark>,
    leftovers: Leftovers,
}

impl ClickArchive {
    /// Opens the parts of a folder. Returns `None` if there is no such folder. A part that cannot be read is one of
    /// [`ClickArchive::faults`]. Blocks for some milliseconds.
    pub fn open(folder: &Path) -> io::Result<Option<ClickArchive>> {
        for _ in 0..TRIES {
            let Some(names) = PartNames::of(folder)? else { return Ok(None) };
            let archive = match ClickArchive::read(folder, &names) {
                // A merge has removed it. Its cells are in another part.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read?,
            };
            // Otherwise a merged part may have appeared behind the list, or a part that the mark covers already.
            if PartNames::of(folder)? == Some(names) {
                return Ok(Some(archive));
            }
        }
        Err(io::Error::other("its files change too fast to be read: run the command again"))
    }

    fn read(folder: &Path, names: &PartNames) -> io::Result<ClickArchive> {
        let (mut parts, mut faults) = (Vec::new(), Vec::new());
        for name in &names.parts {
            match ArchivedPart::open(folder, name) {
                Ok(part) => parts.push(part),
                Err(PartError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                // Also one that this user may not read: the others are worth a backup.
                Err(error) => faults.push(PartFault { name: name.clone(), slots: None, error }),
            }
        }
        let (parts, _) = files::ordered(parts, ArchivedPart::header);
        let mark = names.mark.clone();
        let missing = mark.as_ref().map(|mark| {
            let headers: Vec<_> = parts.iter().map(ArchivedPart::header).collect();
            mark.missing(&headers, |name| names.all.contains(name))
        });
        let missing = missing.unwrap_or_default();
        let last = parts.last().map(|part| Position(part.header().to)).unwrap_or_default();
        let durable = mark.as_ref().map_or(last, |mark| last.max(mark.position));
        let folder = folder.to_owned();
        let (foreign, leftovers) = (Vec::new(), names.leftovers);
        Ok(ClickArchive { folder, parts, mark, durable, faults, missing, foreign, leftovers })
    }

    /// Leaves out what a server on this log leaves out: parts of another log, and parts with clicks behind `end`, the
    /// last position of the log. From then on they are [`ClickArchive::foreign`].
    pub fn keep_those_of(&mut self, log: u128, end: Position) {
        let is_ours = |header: &PartHeader| header.log == log && header.to <= end.0;
        let foreign = self.parts.extract_if(.., |part| !is_ours(part.header()));
        self.foreign.extend(foreign.map(|part| part.name));
        self.mark = self.mark.take().filter(|mark| mark.log == log && mark.position <= end);
        if self.mark.is_none() {
            // The list is that of another log.
            self.missing.clear();
        }
        let last = self.parts.last().map(|part| Position(part.header().to)).unwrap_or_default();
        self.durable = self.mark.as_ref().map_or(last, |mark| last.max(mark.position));
    }

    /// Returns whether the log has all cells behind [`ClickArchive::durable`], if it was opened after the archive and
    /// before this call. The log keeps a cell at least until a later mark covers it.
    pub fn is_current(&self) -> io::Result<bool> {
        let mark = Mark::read(&FsDisk::read_only(&self.folder)?);
        Ok(mark.is_none_or(|mark| mark.position <= self.durable))
    }

    /// Returns the last position of the log whose cells are in the parts.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Returns the parts, in the order of their positions.
    pub fn parts(&self) -> &[ArchivedPart] {
        &self.parts
    }

    /// Returns the bytes of all parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Returns the parts that cannot be read.
    pub fn faults(&self) -> &[PartFault] {
        &self.faults
    }

    /// Returns the parts that were there once and that somebody has removed.
    pub fn missing(&self) -> &[ListedPart] {
        &self.missing
    }

    /// Returns the names of the parts that [`ClickArchive::keep_those_of`] has left out.
    pub fn foreign(&self) -> &[String] {
        &self.foreign
    }

    /// Returns the number of files that no answer reads any more.
    pub fn leftovers(&self) -> Leftovers {
        self.leftovers
    }

    /// Reads every part. Those that are damaged become [`ClickArchive::faults`] and are left out from then on. Calls
    /// `progress` with the bytes done and the bytes in all.
    pub fn check(&mut self, progress: &mut dyn FnMut(u64, u64)) {
        let (total, mut done) = (self.bytes(), 0);
        for part in std::mem::take(&mut self.parts) {
            done += part.bytes;
            match part.part.check() {
                Ok(()) => self.parts.push(part),
                Err(error) => {
                    let PartHeader { first, last, .. } = *part.header();
                    self.faults.push(PartFault { name: part.name, slots: Some((first, last)), error });
                }
            }
            progress(done, total);
        }
    }

    /// Copies parts and mark into a new or empty folder, durably. A file is linked where both folders are on one file
    /// system and it belongs to this user, and copied otherwise.
    pub fn copy_to(&self, folder: &Path) -> io::Result<()> {
        let disk = FsDisk::open(folder)?;
        for part in &self.parts {
            part.place(&folder.join(&part.name))?;
        }
        // Without both, the details of this log begin later, and a mark would claim an earlier start.
        let Some(log) =
            self.mark.as_ref().map(|mark| mark.log).or_else(|| Some(self.parts.first()?.header().log))
        else {
            return Ok(());
        };
        let last_number = self.mark.as_ref().map_or(0, |mark| mark.last_number);
        // Of what the copy has: the caller has reported what it lacks.
        let parts = self.parts.iter().map(|part| ListedPart::of(part.header())).collect();
        // Syncs the folder, so the names of the parts are durable as well.
        Mark { log, position: self.durable, last_number, parts }.write(&disk)
    }
}

impl ArchivedPart {
    fn open(folder: &Path, name: &str) -> Result<ArchivedPart, PartError> {
        let file = Arc::new(open_regular(&folder.join(name), File::options().read(true))?);
        let bytes = file.metadata()?.len();
        let part = ClickPart::open(Arc::clone(&file) as _)?;
        Ok(ArchivedPart { name: name.to_owned(), bytes, part, file })
    }

    /// Returns what the part contains.
    pub fn header(&self) -> &PartHeader {
        self.part.header()
    }

    /// Creates a link to the file, or a copy of it.
    fn place(&self, to: &Path) -> io::Result<()> {
        // A link keeps the owner. A copy for another user must belong to that one.
        if self.file.metadata()?.uid() == geteuid().as_raw() {
            // By the open file: a merge may have removed its name, or given it to another file.
            let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            if linkat(CWD, open.as_str(), CWD, to, AtFlags::SYMLINK_FOLLOW).is_ok() {
                return Ok(());
            }
        }
        // Another file system, a file whose last name is gone, or a system that allows no links.
        let mut options = File::options();
        let mut copy = options.write(true).create_new(true).mode(FILE_MODE).open(to)?;
        let mut source = &*self.file;
        source.rewind()?;
        io::copy(&mut source, &mut copy)?;
        copy.sync_all()
    }
}

impl PartNames {
    fn of(folder: &Path) -> io::Result<Option<PartNames>> {
        // Before the names, and compared with the mark behind them: a part that it lists had its file all the time.
        let mark = match FsDisk::read_only(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            disk => Mark::read(&disk?),
        };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries?,
        };
        let mut names =
            PartNames { parts: BTreeSet::new(), all: BTreeSet::new(), mark, leftovers: Leftovers::default() };
        for entry in entries {
            // A name that is no UTF-8 is none of ours.
            let Ok(name) = entry?.file_name().into_string() else { continue };
            names.leftovers.damaged += u64::from(name.ends_with(DAMAGED));
            names.leftovers.replaced += u64::from(name.ends_with(REPLACED));
            if name.ends_with(PART) {
                names.parts.insert(name.clone());
            }
            if [PART, DAMAGED, REPLACED].iter().any(|end| name.ends_with(end)) {
                names.all.insert(name);
            }
        }
        Ok(Some(names))
    }
}

impl PartFault {
    /// Returns the span of its slots in UTC, such as `2026-11-28T00:00Z to 2026-11-29T00:00Z`, or that it is unknown.
    pub fn hours(&self) -> String {
        self.slots.map_or_else(|| "an unknown time".to_owned(), |(first, last)| files::hours(first, last))
    }
}

impl ListedPart {
    /// Returns the span of its slots in UTC, as [`PartFault::hours`] does.
    pub fn hours(&self) -> String {
        files::hours(self.first, self.last)
    }
}
