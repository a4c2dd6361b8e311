//! Errors of the table.

use std::path::PathBuf;

use super::record::Corrupt;

/// A read of the table failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The table is being replayed or rebuilt, or was closed.
    #[error("{0}")]
    NotReady(String),
    /// sled failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is damaged. The table rebuilds itself when it finds one.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// sled returned an error.
    #[error("{0}")]
    Sled(#[from] sled::Error),
    /// Another process has the table open. The files are not damaged: they must not be removed or written.
    #[error("another process has the table open")]
    InUse,
    /// A path of sled's files is not a file that it could open.
    #[error("{} cannot be opened: {source}", path.display())]
    Strange {
        /// The path that cannot be opened.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// sled panicked, as it does on some damaged files.
    #[error("its files are damaged: {0}")]
    Panicked(String),
    /// The file could not be synced.
    #[error("cannot sync {path}: {source}")]
    Sync {
        /// sled's data file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
}
