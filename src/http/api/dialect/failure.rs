//! Why a request failed, in words that belong to no vendor. Each dialect words every case.

use crate::http::api::dialect::Refusal;

/// Why a request failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It was no command.
    Refused(Refusal),
    /// No key was sent.
    NoKey,
    /// The key is unknown, revoked, expired, malformed, or sent twice in two ways.
    BadKey,
    /// The key may not do this: a whole sentence.
    Forbidden(String),
    /// The workspace named is not within the key's sight.
    UnknownWorkspace,
    /// No such object.
    NotFound(&'static str),
    /// Deleted before.
    AlreadyDeleted(&'static str),
    /// It was there, for one use: a whole sentence.
    Gone(&'static str),
    /// The company named is not within the key's sight.
    UnknownCompany,
    /// The short code is in use.
    CodeTaken(Box<str>),
    /// The value of this field is in use.
    Taken(&'static str),
    /// The workspace has no credits left.
    NoCredits,
    /// The `Idempotency-Key` was used with another body.
    OtherBody,
    /// No such endpoint.
    NoEndpoint,
    /// The endpoint has other methods.
    WrongMethod,
    /// Too many requests: try again after so many seconds.
    TooMany(u32),
    /// The body is longer than so many bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    SlowBody,
    /// The body is compressed.
    EncodedBody,
    /// The change is larger than the log takes.
    ChangeTooLarge,
    /// Others keep changing the same objects, or too much waits: try again.
    Busy,
    /// The store cannot be read or written now: try again.
    NotReady,
    /// The disk did not confirm the write.
    OutcomeUnknown,
    /// The disk is full.
    DiskFull,
    /// Ours; logged where it was found.
    Internal,
}

impl Failure {
    /// Seconds after which to try again.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Failure::TooMany(seconds) => Some(*seconds),
            Failure::Busy => Some(1),
            Failure::NotReady | Failure::OutcomeUnknown => Some(5),
            Failure::DiskFull => Some(30),
            Failure::Refused(_)
            | Failure::NoKey
            | Failure::BadKey
            | Failure::Forbidden(_)
            | Failure::UnknownWorkspace
            | Failure::NotFound(_)
            | Failure::AlreadyDeleted(_)
            | Failure::Gone(_)
            | Failure::UnknownCompany
            | Failure::CodeTaken(_)
            | Failure::Taken(_)
            | Failure::NoCredits
            | Failure::OtherBody
            | Failure::NoEndpoint
            | Failure::WrongMethod
            | Failure::TooLarge(_)
            | Failure::SlowBody
            | Failure::EncodedBody
            | Failure::ChangeTooLarge
            | Failure::Internal => None,
        }
    }
}
