//! [`DenyFile`]: reads the file of the deny list, within bounds, as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::model::denied_hosts::{DeniedHosts, DenyListReader};
use crate::private_files::FileStamp;
use crate::users::remedy_to_read;

/// Largest file: public lists of a million hosts have some 30 MB. Past it, the file is refused.
const FILE_MAX: u64 = 256 * 1024 * 1024;

/// Most lines: their hosts take 80 MB in memory. Past it, the file is refused.
const LINES_MAX: u64 = 10_000_000;

/// Longest line in bytes. A line of a hosts file may have several hosts. Past it, the file is refused.
const LINE_MAX: u64 = 4 * 1024;

/// Why the file of the deny list cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The fields are the parts of the messages.
pub enum DenyFileError {
    #[error("cannot read the deny list {}: {error}{}", path.display(), remedy(path, error))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the deny list {} is no regular file: name a file in `links.denied_hosts`", path.display())]
    NotAFile { path: PathBuf },
    #[error("the deny list {}, line {line}: {rule}. Correct the line, or write # before it", path.display())]
    Line {
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        rule: &'static str,
    },
    #[error("the deny list {} has more than {bound}: use a shorter list", path.display())]
    TooLarge { path: PathBuf, bound: &'static str },
    #[error(
        "the deny list {} changed while it was read: try again, and let a new list replace it by renaming",
        path.display()
    )]
    Changed { path: PathBuf },
}

fn remedy(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => remedy_to_read(path, error),
        _ => ". Create the file, which may be empty, or remove `links.denied_hosts` from the configuration"
            .to_owned(),
    }
}

/// A deny list as it was read.
#[derive(Debug)]
pub struct DenyFile {
    pub(super) hosts: DeniedHosts,
    pub(super) stamp: FileStamp,
}

impl DenyFile {
    /// Reads the file. Blocks for about a second for a million hosts. Fails if a line breaks a rule.
    pub fn read(path: &Path) -> Result<DenyFile, DenyFileError> {
        let unreadable = |error| DenyFileError::Unreadable { path: path.to_owned(), error };
        // Before the file is opened: a pipe would block until another program writes.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(DenyFileError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(unreadable)?;
        let stamp = FileStamp::from(&file.metadata().map_err(unreadable)?);
        let too_large = |bound| DenyFileError::TooLarge { path: path.to_owned(), bound };
        if stamp.bytes() > FILE_MAX {
            return Err(too_large("256 MiB"));
        }
        let mut input = BufReader::with_capacity(1 << 16, &file);
        let (mut reader, mut line, mut number) = (DenyListReader::default(), Vec::new(), 0);
        loop {
            line.clear();
            // Bounded, so that a file without line ends is not read into memory.
            if input.by_ref().take(LINE_MAX + 1).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
                break;
            }
            number += 1;
            if number > LINES_MAX {
                return Err(too_large("10,000,000 lines"));
            }
            let added = if line.len() as u64 > LINE_MAX {
                Err("must be at most 4096 bytes")
            } else {
                reader.add_line(&line)
            };
            added.map_err(|rule| DenyFileError::Line { path: path.to_owned(), line: number, rule })?;
        }
        // A part of a list would be in force as if it were all of it.
        if FileStamp::from(&file.metadata().map_err(unreadable)?) != stamp {
            return Err(DenyFileError::Changed { path: path.to_owned() });
        }
        Ok(DenyFile { hosts: reader.finish(), stamp })
    }

    /// Returns the number of hosts.
    pub fn hosts(&self) -> u64 {
        self.hosts.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<u64, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("denied");
        fs::write(&path, text).expect("a small file");
        let read = DenyFile::read(&path).map(|file| file.hosts());
        read.map_err(|error| error.to_string().replace(&path.display().to_string(), "denied"))
    }

    #[test]
    fn m_errors_of_the_deny_list_name_path_line_and_rule() {
        assert_eq!(read(b""), Ok(0));
        assert_eq!(read(b"\xef\xbb\xbf# list\r\n\r\nevil.example\r\nother.example"), Ok(2));
        let want = "the deny list denied, line 3: must have a dot: a name such as com would deny every host that ends \
                    in it. Correct the line, or write # before it";
        assert_eq!(read(b"evil.example\n\ncom\n"), Err(want.to_owned()));
        let mut long = b"evil.example\n".to_vec();
        long.resize(5_000, b'#');
        let want = "the deny list denied, line 2: must be at most 4096 bytes. Correct the line, or write # before it";
        assert_eq!(read(&long), Err(want.to_owned()));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = DenyFile::read(folder.path()).map_err(|error| error.to_string());
        assert!(error.is_err_and(|why| why.contains("is no regular file")));
        let error = DenyFile::read(&folder.path().join("none")).map_err(|error| error.to_string());
        assert!(error.is_err_and(|why| why.contains("Create the file, which may be empty")));
    }

    #[test]
    fn m_a_deny_list_has_a_largest_size() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("denied");
        // Sparse: it takes no space on the disk.
        File::create(&path).and_then(|file| file.set_len(FILE_MAX + 1)).expect("an empty file");
        let error = DenyFile::read(&path).map_err(|error| error.to_string());
        assert!(error.is_err_and(|why| why.contains("has more than 256 MiB")));
    }
}
