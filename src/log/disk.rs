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
