//! The errors of the core's commands. Each dialect maps every variant to its vendor's response.

use std::io;

use crate::log::CommitError;
use crate::model::Invalid;
use crate::settings::BadSetting;

/// The reason why the core cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A setting broke a rule.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The system starts no thread for reading links.
    #[error(transparent)]
    Thread(io::Error),
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is well-formed but breaks a rule. The message has the field and the rule.
    #[error(transparent)]
    Rule(#[from] Invalid),
    /// The caller sees no such object.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The object was deleted before. Only some dialects have a status of its own for this.
    #[error("{0} is already deleted")]
    AlreadyDeleted(&'static str),
    /// The object has another revision than its client requires.
    #[error("the object was changed since it was read")]
    Changed,
    /// The object was for a single use and was used.
    #[error("{0}")]
    Gone(&'static str),
    /// The company does not exist or is outside the caller's reach.
    #[error("no such company")]
    UnknownCompany,
    /// The short code is in use on its domain.
    #[error("the short code {code:?} is already in use")]
    CodeTaken {
        /// The code in use.
        code: Box<str>,
    },
    /// Another link has the code that an undo or a restore would give back.
    #[error("the former code {code:?} of the link is in use by another one")]
    FormerCodeTaken {
        /// The code in use.
        code: Box<str>,
        /// Whether the caller may choose another code.
        is_restore: bool,
    },
    /// Another object has the same unique value.
    #[error("{field}: is already in use")]
    Taken {
        /// The field whose value must be unique.
        field: &'static str,
    },
    /// The key was revoked or has expired during the request.
    #[error("the API key was revoked or has expired")]
    Unauthorized,
    /// The key lacks the right to run this command.
    #[error("{0}")]
    Forbidden(String),
    /// The workspace has no credits left.
    #[error("the workspace has no credits left")]
    NoCredits,
    /// Other writes changed the same objects at each attempt, or a pool is full. The caller may retry.
    #[error("the object is being changed by others; try again")]
    Busy,
    /// The table is being rebuilt or cannot be read at the moment.
    #[error("the store is not ready: {0}")]
    NotReady(String),
    /// The table cannot be read: it is catching up or being rebuilt, or its disk fails.
    #[error("the store is not ready: {0}")]
    Table(#[from] crate::table::Error),
    /// The log rejected the write.
    #[error(transparent)]
    Log(CommitError),
}

impl Error {
    /// Returns the error of a code that the caller did not name, since an undo or a restore brings it back.
    pub(super) fn of_former_code(self, is_restore: bool) -> Error {
        match self {
            Error::CodeTaken { code } => Error::FormerCodeTaken { code, is_restore },
            other => other,
        }
    }
}
