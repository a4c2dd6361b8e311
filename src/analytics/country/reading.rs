//! [`Reading`]: the files of a source, while they are read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::{CountryError, FileRule, LineRule};
use super::gathered::{CountryTable, GatheredRanges};
use super::mmdb::{self, Mmdb, MmdbError};
use super::rows::Overlap;
use super::source::{Attribution, Source, SourceKind};
use super::text::{self, TextError};
use crate::private_files::open_regular;

/// Largest file. That of the most detailed database has half of it.
const BYTES_MAX: u64 = 512 << 20;

/// Bytes at the start of a file by which compressed files are found.
const HEAD: usize = 512;

/// What was read so far.
#[derive(Default)]
pub(super) struct Reading {
    gathered: GatheredRanges,
    /// The files, each with the number of lines up to its end.
    files: Vec<(PathBuf, u32)>,
    source: Source,
    mmdb: Option<Mmdb>,
}

impl Reading {
    /// Reads a file.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), CountryError> {
        let fails = |source| CountryError::Io { path: path.to_owned(), source };
        // A pipe would block the start, and a device may have no end.
        let mut file = open_regular(path, File::options().read(true)).map_err(fails)?;
        let found = file.metadata().map_err(fails)?;
        // Before any byte is read, since an `.mmdb` is kept as a whole.
        if found.len() > BYTES_MAX {
            return Err(CountryError::File { path: path.to_owned(), rule: FileRule::TooLarge(BYTES_MAX) });
        }
        self.source.modified = self.source.modified.max(found.modified().ok());
        let kind = FileKind::of(&mut file).map_err(fails)?;
        self.read_content(path, kind, file)
    }

    /// Reads the content of a file from memory.
    pub(super) fn read_memory(&mut self, content: &[u8]) -> Result<(), CountryError> {
        let end = content.len().saturating_sub(usize::try_from(mmdb::METADATA_MAX).expect("128 KB"));
        let kind = FileKind::of_bytes(&content[..content.len().min(HEAD)], &content[end..]);
        self.read_content(Path::new("memory"), kind, content)
    }

    /// Sorts and packs what was read.
    pub(super) fn finish(mut self) -> Result<(CountryTable, Source, Option<Mmdb>), CountryError> {
        // Otherwise visitors would have no country, and the operator no reason.
        if self.gathered.is_empty() {
            let path = self.files.into_iter().next().map_or_else(PathBuf::new, |(path, _)| path);
            return Err(CountryError::File { path, rule: FileRule::Empty });
        }
        let table = self.gathered.pack().map_err(|overlap| overlap_error(&self.files, overlap))?;
        self.source.ranges = table.ranges();
        Ok((table, self.source, self.mmdb))
    }

    fn read_content(&mut self, path: &Path, kind: FileKind, content: impl Read) -> Result<(), CountryError> {
        let breaks = |rule| Err(CountryError::File { path: path.to_owned(), rule });
        match kind {
            FileKind::Mmdb => self.read_mmdb(path, content)?,
            FileKind::Text => self.read_text(path, content)?,
            FileKind::Compressed => return breaks(FileRule::Compressed),
            FileKind::Unknown => return breaks(FileRule::Unknown),
        }
        self.files.push((path.to_owned(), self.gathered.lines()));
        Ok(())
    }

    fn read_mmdb(&mut self, path: &Path, content: impl Read) -> Result<(), CountryError> {
        let mut bytes = Vec::new();
        let fails = |source| CountryError::Io { path: path.to_owned(), source };
        // A file can grow after its size was checked.
        content.take(BYTES_MAX).read_to_end(&mut bytes).map_err(fails)?;
        let wrong = |error| match error {
            MmdbError::Damaged(source) => CountryError::Mmdb { path: path.to_owned(), source },
            MmdbError::Rule(rule) => CountryError::File { path: path.to_owned(), rule },
        };
        let mmdb = Mmdb::new(bytes).map_err(wrong)?;
        // It has no lines, and counts as one, so that an error can name it.
        self.gathered.next_line().map_err(|rule| wrong(rule.into()))?;
        mmdb.read(&mut self.gathered).map_err(wrong)?;
        let built = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(mmdb.built()));
        self.describe(path, SourceKind::Mmdb, built, Attribution::of_mmdb(mmdb.kind()));
        self.mmdb = Some(mmdb);
        Ok(())
    }

    fn read_text(&mut self, path: &Path, content: impl Read) -> Result<(), CountryError> {
        let comments = text::read(BufReader::new(content.take(BYTES_MAX)), &mut self.gathered);
        let comments = comments.map_err(|error| match error {
            TextError::Io(source) => CountryError::Io { path: path.to_owned(), source },
            TextError::Line(line, rule) => CountryError::Line { path: path.to_owned(), line, rule },
        })?;
        // Of the known files, only Tor's have comments.
        let kind = if comments.exist { SourceKind::Tor } else { SourceKind::Csv };
        // The content first: a file can have any name.
        let attribution = if comments.ipfire { Some(Attribution::IPFIRE) } else { Attribution::of_csv(path) };
        self.describe(path, kind, comments.built, attribution);
        Ok(())
    }

    fn describe(
        &mut self,
        path: &Path,
        kind: SourceKind,
        built: Option<SystemTime>,
        attribution: Option<Attribution>,
    ) {
        // A file is listed after it was read, so this is the first one.
        if self.files.is_empty() {
            self.source.kind = kind;
            path.clone_into(&mut self.source.path);
        }
        self.source.built = match (self.source.built, built) {
            // A set of files is as stale as its oldest one.
            (Some(known), Some(built)) => Some(known.min(built)),
            (known, built) => known.or(built),
        };
        self.source.attribution = self.source.attribution.or(attribution);
    }
}

/// Returns the error of two lines, which may be of two files.
fn overlap_error(files: &[(PathBuf, u32)], overlap: Overlap) -> CountryError {
    let locate = |line: u32| {
        // Lines have one sequence over all files, so the ends of files separate them.
        let file = files.partition_point(|(_, end)| *end < line).min(files.len() - 1);
        let before = file.checked_sub(1).map_or(0, |before| files[before].1);
        (files[file].0.clone(), line - before)
    };
    let ((path, line), (other, other_line)) = (locate(overlap.line), locate(overlap.other));
    CountryError::Line { path, line, rule: LineRule::Overlap { path: other, line: other_line } }
}

/// Returns the files of a database: for Tor's `geoip` also `geoip6` beside it, if that exists.
pub(super) fn with_siblings(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![path.to_owned()];
    // Tor has a file for each family, and an operator names only the first.
    if path.file_name().is_some_and(|name| name == "geoip") {
        let ipv6 = path.with_file_name("geoip6");
        paths.extend(ipv6.exists().then_some(ipv6));
    }
    paths
}

#[derive(Clone, Copy)]
enum FileKind {
    Mmdb,
    Text,
    Compressed,
    Unknown,
}

impl FileKind {
    /// Returns the kind of a file by its first and last bytes. Leaves the file at its start.
    fn of(file: &mut File) -> io::Result<FileKind> {
        let mut head = Vec::new();
        file.take(HEAD as u64).read_to_end(&mut head)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(mmdb::METADATA_MAX)))?;
        let mut end = Vec::new();
        file.take(mmdb::METADATA_MAX).read_to_end(&mut end)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(FileKind::of_bytes(&head, &end))
    }

    fn of_bytes(head: &[u8], end: &[u8]) -> FileKind {
        // By its end: an `.mmdb` begins with its tree, whose bytes may look like any other kind.
        if mmdb::has_metadata(end) {
            return FileKind::Mmdb;
        }
        match head {
            // gzip, zip, xz, zstd, bzip2
            [0x1f, 0x8b, ..]
            | [b'P', b'K', 3, 4, ..]
            | [0xfd, b'7', b'z', ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [b'B', b'Z', b'h', ..] => FileKind::Compressed,
            // UTF-16 too: as a bad first line it would be reported less clearly.
            _ if head.contains(&0) => FileKind::Unknown,
            _ => FileKind::Text,
        }
    }
}
