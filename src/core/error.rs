//! Why a command failed, in the core's words. Each dialect maps every case to its vendor's body.

use std::io;

use crate::log::CommitError;
use crate::model::Invalid;
use crate::settings::BadSetting;

/// Why the parts could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A setting broke a rule.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The system starts no thread that reads links.
    #[error(transparent)]
    Thread(io::Error),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Well-formed, but breaks a rule: the caller's fault, names field and rule.
    #[error(transparent)]
    Rule(#[from] Invalid),
    /// No such object within the caller's sight.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// Deleted before: told apart only by the dialect that has a code for it.
    #[error("{0} is already deleted")]
    AlreadyDeleted(&'static str),
    /// It was there, for one use, which was made.
    #[error("{0}")]
    Gone(&'static str),
    /// The company named is not within the caller's reach, or does not exist.
    #[error("no such company")]
    UnknownCompany,
    /// The short code is in use on its domain.
    #[error("the short code {code:?} is already in use")]
    CodeTaken {
        /// The code.
        code: Box<str>,
    },
    /// Something else of this name exists already.
    #[error("{field}: is already in use")]
    Taken {
        /// The field whose value must be unique.
        field: &'static str,
    },
    /// The key was revoked or has expired since its request began.
    #[error("the API key was revoked or has expired")]
    Unauthorized,
    /// The key may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The workspace has no credits left.
    #[error("the workspace has no credits left")]
    NoCredits,
    /// Others changed the same objects again and again meanwhile; the caller may repeat it.
    #[error("the object is being changed by others; try again")]
    Busy,
    /// The table is being rebuilt or cannot be read now.
    #[error("the store is not ready: {0}")]
    NotReady(String),
    /// The table cannot answer: being replayed or rebuilt, or its disk fails.
    #[error("the store is not ready: {0}")]
    Table(#[from] crate::table::Error),
    /// The log did not take the write.
    #[error(transparent)]
    Log(CommitError),
}
