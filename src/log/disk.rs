//! The one folder of the log as the engine sees it: few operations, each with a stated
//! durability, so that tests can put a simulated disk underneath (lost writes, failing fsyncs).
//!
//! A write is durable after [`DiskFile::sync_data`], a name after [`Disk::sync_dir`]; nothing else
//! promises anything.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of files.
pub trait Disk: Send + Sync + fmt::Debug {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new, empty file; one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// An existing file. Stays readable when its name is removed.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names created, renamed and removed so far durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// How messages call this file.
    fn path(&self, name: &str) -> String;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length.
    fn size(&self) -> io::Result<u64>;
    /// Reads up to `buffer`'s length; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`. After an error some of them may be there.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts or extends it.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Makes what was written durable (`fdatasync`). After an error nothing is known of anything
    /// written since the last success, and trying again would only seem to help: the kernel may
    /// have dropped the pages.
    fn sync_data(&self) -> io::Result<()>;
}

/// A folder of the system. What it makes, only its owner can read.
#[derive(Debug)]
pub struct FsDisk {
    folder: PathBuf,
    writable: bool,
}

impl FsDisk {
    /// The folder, made if it is missing.
    pub fn open(folder: &Path) -> io::Result<FsDisk> {
        if !folder.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            if let Some(parent) = folder.canonicalize()?.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(FsDisk { folder: folder.to_owned(), writable: true })
    }

    /// An existing folder, to be read only: beside a server that writes it, or on a medium that
    /// takes no writes.
    pub fn read_only(folder: &Path) -> io::Result<FsDisk> {
        fs::read_dir(folder)?;
        Ok(FsDisk { folder: folder.to_owned(), writable: false })
    }
}

impl Disk for FsDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Arc::new(file.open(self.folder.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(self.writable).open(self.folder.join(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        // fsync, not fdatasync: for a folder the metadata is the content.
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// The unit in which an unreadable spot is skipped: the page, which is what media and kernels fail
/// by.
const BAD_BLOCK: usize = 4096;

/// Reads until `buffer` is full or the file ends. A spot that the medium cannot read yields zeros,
/// which no checksum accepts: it is damage like any other, and what lies around it is not lost.
pub(crate) fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                let left = (file.size()?).saturating_sub(offset + done as u64);
                let length = buffer.len().min(done + usize::try_from(left).unwrap_or(usize::MAX));
                read_around(file, &mut buffer[done..length], offset + done as u64);
                return Ok(length);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// How much is searched at once.
const SEARCHED_BYTES: usize = 256 * 1024;

/// How many bytes stand behind the last frame of a file, the zeros at its end left out: those are
/// room that was made for frames to come.
pub(crate) fn written_behind(file: &dyn DiskFile, end: u64, size: u64) -> io::Result<u64> {
    let mut buffer = vec![0; SEARCHED_BYTES];
    let (mut offset, mut written) = (end, 0);
    while offset < size {
        let read = read_full(file, &mut buffer, offset)?;
        if read == 0 {
            break;
        }
        if let Some(last) = buffer[..read].iter().rposition(|byte| *byte != 0) {
            written = offset - end + last as u64 + 1;
        }
        offset += read as u64;
    }
    Ok(written)
}

fn read_around(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) {
    let mut at = offset;
    for block in buffer.chunks_mut(BAD_BLOCK) {
        match file.read_at(block, at) {
            Ok(read) => block[read..].fill(0),
            Err(_) => block.fill(0),
        }
        at += block.len() as u64;
    }
}
