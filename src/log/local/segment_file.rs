//! The file of a segment, open only while it is read.
//!
//! A log of 64 GB has a thousand segments. Descriptors that stay open would grow with the data until
//! `accept` found none. The log has one descriptor for its writer and one for each active reader.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::segment::Name;

/// The name of a segment's file, which is opened on demand.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    disk: Arc<dyn Disk>,
    name: Name,
    /// The open file, if another process may remove the name at any moment. See [`SegmentFile::pin`].
    pinned: Option<Arc<dyn DiskFile>>,
}

impl SegmentFile {
    /// Creates a reference to the file of this name. Does not open it.
    pub(crate) fn new(disk: &Arc<dyn Disk>, name: Name) -> SegmentFile {
        SegmentFile { disk: Arc::clone(disk), name, pinned: None }
    }

    /// Returns the open file. It stays readable after compaction removes the name, and closes when the last
    /// handle is dropped. Fails with `NotFound` if the name is removed.
    pub(crate) fn open(&self) -> io::Result<Arc<dyn DiskFile>> {
        match &self.pinned {
            Some(file) => Ok(Arc::clone(file)),
            None => self.disk.open(&self.name.to_string()),
        }
    }

    /// Keeps `file`, which was opened here, for all later calls of [`SegmentFile::open`].
    pub(crate) fn pin(&mut self, file: Arc<dyn DiskFile>) {
        self.pinned = Some(file);
    }
}
