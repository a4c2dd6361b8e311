//! [`PartError`]: why a part cannot be read.

use std::io;

use crate::analytics::column::BadColumn;

/// Why a part cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The disk returned an error. A retry may succeed.
    #[error("cannot read the file: {0}")]
    Io(#[from] io::Error),
    /// The bytes are damaged: the part is set aside.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    /// A later version wrote the part.
    #[error("the file has version {0}, which a later Waypost wrote: upgrade Waypost")]
    Newer(u8),
}

impl From<BadColumn> for PartError {
    fn from(_: BadColumn) -> PartError {
        // The checksum of the block was right, so its writer had a fault, or the damage kept the checksum.
        PartError::Damaged("a block contradicts itself")
    }
}
