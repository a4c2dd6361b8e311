//! [`StartError`]: why Waypost cannot start, each with its remedy.

use std::io;

use super::data_folder::FolderError;
use crate::certificates::FileError;
use crate::core::deny_list::DenyFileError;
use crate::descriptors;
use crate::http::conn::handover::HandoverError;
use crate::http::conn::listener;
use crate::log::LogError;
use crate::settings::listen::Listen;

/// The remedy where the system refuses threads. Each thread takes address space and counts as a process.
pub const MORE_THREADS: &str = "Raise the limit of processes (`ulimit -u`, TasksMax= of a service, the pids limit of \
                                a container) or of address space (`ulimit -v`)";

/// Why Waypost cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log cannot be opened.
    #[error("{0}")]
    Log(#[from] LogError),
    /// A file about certificates cannot be used.
    #[error(transparent)]
    Certificate(#[from] FileError),
    /// The address cannot be bound.
    #[error("cannot listen on {listen}: {error}. {}", listener::remedy(listen, error))]
    #[allow(missing_docs)] // The parts of the message.
    Listen { listen: Listen, error: io::Error },
    /// Sockets that were handed over cannot be used.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The system allows too few open files.
    #[error(transparent)]
    Descriptors(#[from] descriptors::TooFew),
    /// The system starts no more threads.
    #[error("the system starts no more threads for this process: {error}. {MORE_THREADS}")]
    #[allow(missing_docs)] // The cause.
    Threads { error: io::Error },
    /// The deny list cannot be used.
    #[error(transparent)]
    DenyList(#[from] DenyFileError),
    /// A setting breaks a rule.
    #[error("{0}")]
    Setting(#[from] crate::settings::BadSetting),
}
