//! The file of a segment, open only while it is read.
//!
//! A log of 64 GB has a thousand segments, so a descriptor held by each would grow with the data until
//! `accept` found none. The descriptors of a log are its writer's and one for each reader at work.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::segment::Name;

/// Names a segment's file and opens it on demand.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    disk: Arc<dyn Disk>,
    name: Name,
    /// The open file, where another process may remove the name at any moment: see
    /// [`SegmentFile::pin`].
    pinned: Option<Arc<dyn DiskFile>>,
}

impl SegmentFile {
    /// Refers to the file of this name, which need not be open.
    pub(crate) fn new(disk: &Arc<dyn Disk>, name: Name) -> SegmentFile {
        SegmentFile { disk: Arc::clone(disk), name, pinned: None }
    }

    /// Returns the file, open. The caller closes it by dropping the last handle, and reads on from it
    /// when compaction removes the name. Fails with `NotFound` once the name is removed.
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
