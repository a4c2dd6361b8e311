//! The disk as the engine uses it: few operations on one folder, each with a stated durability. Tests
//! replace it by a simulated disk that loses writes and fails fsyncs.
//!
//! A write is durable after [`DiskFile::sync_data`], a name after [`Disk::sync_dir`]. Nothing else is
//! durable.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, flock, openat, renameat, stat, unlinkat};
use rustix::io::Errno;

use crate::private_files::{check_regular, lock};

/// A folder of files.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Returns the names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates an empty file. Replaces a file of the same name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file. It stays readable after its name is removed.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file. Replaces a file that has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes all names durable that were created, renamed or removed so far.
    fn sync_dir(&self) -> io::Result<()>;
    /// Returns the path of a file, for messages.
    fn path(&self, name: &str) -> String;
    /// Fails if the path no longer leads to the folder. A restart would not find what is written to it
    /// then.
    fn check_path(&self) -> io::Result<()> {
        Ok(())
    }
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Returns the length of the file.
    fn size(&self) -> io::Result<u64>;
    /// Reads up to the length of `buffer`. Returns the number of bytes; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`. After an error some of them may be written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Makes all writes durable (`fdatasync`). After an error, nothing is known about writes since the last
    /// success. A retry may succeed without any effect, because the kernel may have dropped the pages.
    fn sync_data(&self) -> io::Result<()>;
    /// Locks the file for writing. Fails if another process has locked it. The lock of the folder does not
    /// cover a file with a second name in another folder, as in a copy made of hard links.
    fn claim(&self) -> io::Result<()> {
        Ok(())
    }
    /// Releases the lock of [`DiskFile::claim`].
    fn release(&self) {}
}

/// A folder of the file system. Only the owner can read the files in it.
///
/// Every operation is relative to the open folder, not to its path. If the folder is renamed under a
/// running server, it keeps its files; another folder at the same path gets none of them.
#[derive(Debug)]
pub struct FsDisk {
    path: PathBuf,
    folder: File,
    writable: bool,
}

impl FsDisk {
    /// Opens the folder, and creates it if it is missing.
    pub fn open(path: &Path) -> io::Result<FsDisk> {
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            if let Some(parent) = path.canonicalize()?.parent() {
                // The name of the new folder must be durable as well.
                File::open(parent)?.sync_all()?;
            }
        }
        FsDisk::at(path, true)
    }

    /// Opens an existing folder for reading: beside a server that writes to it, or on a read-only medium.
    pub fn read_only(path: &Path) -> io::Result<FsDisk> {
        FsDisk::at(path, false)
    }

    fn at(path: &Path, writable: bool) -> io::Result<FsDisk> {
        let flags = OFlags::DIRECTORY.bits().cast_signed();
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        Ok(FsDisk { path: path.to_owned(), folder, writable })
    }
}

impl Disk for FsDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            // A name that is no UTF-8 is none of the engine's.
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let create = || openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR);
        let file = match create() {
            // The file is replaced and not truncated, because the name may be a link to a file elsewhere.
            Err(Errno::EXIST) => {
                self.remove(name)?;
                create()?
            }
            opened => opened?,
        };
        let file = File::from(file);
        file.claim()?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        // A file on a read-only medium cannot be opened for writing.
        let access = if self.writable { OFlags::RDWR } else { OFlags::RDONLY };
        // A pipe would block the call, and a device may have no end.
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.folder, name, flags, Mode::empty())?);
        check_regular(&file)?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.folder, from, &self.folder, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        // fsync instead of fdatasync: the metadata of a folder is its content.
        self.folder.sync_all()
    }

    fn path(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn check_path(&self) -> io::Result<()> {
        let moved = |why: &str| io::Error::other(format!("the folder {} {why}", self.path.display()));
        let there = match stat(&self.path) {
            Ok(there) => there,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(moved("was moved or removed: put it back")),
            // Another error does not show where the folder is.
            Err(_) => return Ok(()),
        };
        let ours = self.folder.metadata()?;
        // By device and inode: another folder may have the same path.
        if (there.st_dev, there.st_ino) == (ours.dev(), ours.ino()) {
            return Ok(());
        }
        Err(moved("is another one than at the start: put the one from the start back, or restart"))
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

    fn claim(&self) -> io::Result<()> {
        match lock(self) {
            Err(Errno::WOULDBLOCK) => {
                let why = "another process writes it, here or in a folder that has a hard link to it";
                Err(io::Error::new(io::ErrorKind::ResourceBusy, why))
            }
            // On a file system without locks, the lock of the folder remains.
            _ => Ok(()),
        }
    }

    fn release(&self) {
        // An error does not matter: closing the file releases the lock too.
        let _ = flock(self, FlockOperation::Unlock);
    }
}

/// The unit in which unreadable parts are skipped: a page, the unit of failure of media and kernels.
const BAD_BLOCK: usize = 4096;

/// Reads until `buffer` is full or the file ends. Parts that the medium cannot read become zeros, which no
/// checksum accepts. They are damage like any other, and the parts around them are still read.
pub(crate) fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                let left = (file.size()?).saturating_sub(offset + done as u64);
                let length = buffer.len().min(done + usize::try_from(left).unwrap_or(usize::MAX));
                // One bad page fails the whole read, so the rest is read page by page.
                read_around(file, &mut buffer[done..length], offset + done as u64);
                return Ok(length);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Number of bytes that are searched at once.
const SEARCHED_BYTES: usize = 256 * 1024;

/// Returns how many bytes were written behind the last frame of a file. Zeros at the end do not count: they
/// are spare room for frames.
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
            // After a short read the rest counts as unreadable.
            Ok(read) => block[read..].fill(0),
            Err(_) => block.fill(0),
        }
        at += block.len() as u64;
    }
}
