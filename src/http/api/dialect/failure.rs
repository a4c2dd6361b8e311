//! Why a request failed, in words that belong to no vendor. Each dialect words every case.

use std::borrow::Cow;

use hyper::StatusCode;

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
    /// Too many requests: try again after so many seconds.
    TooMany(u32),
    /// What no vendor documents.
    Trouble(Trouble),
}

/// What no vendor documents, and every dialect says alike: what is wrong with the request as HTTP,
/// and what is wrong here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The request names no host, several, or none that could exist.
    BadHost,
    /// The target is longer than any of ours.
    LongTarget,
    /// The endpoint has other methods.
    WrongMethod,
    /// The answer is too long for a client of HTTP/1.0.
    OldHttp,
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
    /// The log can open no file.
    NoDescriptors,
    /// Ours; logged where it was found.
    Internal,
}

impl Failure {
    /// Seconds after which to try again.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Failure::TooMany(seconds) => Some(*seconds),
            Failure::Trouble(trouble) => trouble.retry_after(),
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
            | Failure::NoEndpoint => None,
        }
    }
}

impl Trouble {
    /// Its status.
    pub fn status(self) -> StatusCode {
        match self {
            Trouble::BadHost => StatusCode::BAD_REQUEST,
            Trouble::LongTarget => StatusCode::URI_TOO_LONG,
            Trouble::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Trouble::OldHttp => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Trouble::TooLarge(_) | Trouble::ChangeTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Trouble::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Trouble::EncodedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Trouble::Busy | Trouble::NotReady | Trouble::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
            Trouble::DiskFull | Trouble::NoDescriptors => StatusCode::INSUFFICIENT_STORAGE,
            Trouble::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What is told of it, without a capital letter or a full stop.
    pub fn sentence(self) -> Cow<'static, str> {
        let fixed = match self {
            Trouble::TooLarge(max) => return format!("the body must be at most {max} bytes").into(),
            Trouble::BadHost => "the request must name one host, well-formed",
            Trouble::LongTarget => "the address is too long",
            Trouble::WrongMethod => "the method is not allowed here; see the Allow header",
            Trouble::OldHttp => {
                "the list is too long for HTTP/1.0; ask with HTTP/1.1, or with skip and limit"
            }
            Trouble::SlowBody => "the body did not arrive in time",
            Trouble::EncodedBody => "the body must not have a Content-Encoding",
            Trouble::ChangeTooLarge => "the change is too large to be stored at once",
            Trouble::Busy => "busy; try again",
            Trouble::NotReady => "the store is not ready; try again",
            Trouble::OutcomeUnknown => {
                "outcome unknown: the disk did not confirm the write; repeat it with the same Idempotency-Key"
            }
            Trouble::DiskFull => "the disk is full; nothing was written",
            Trouble::NoDescriptors => "no file descriptor is left for the log; nothing was written",
            Trouble::Internal => "internal error",
        };
        fixed.into()
    }

    fn retry_after(self) -> Option<u32> {
        match self {
            Trouble::Busy => Some(1),
            Trouble::NotReady | Trouble::OutcomeUnknown => Some(5),
            Trouble::DiskFull | Trouble::NoDescriptors => Some(30),
            Trouble::BadHost
            | Trouble::LongTarget
            | Trouble::WrongMethod
            | Trouble::OldHttp
            | Trouble::TooLarge(_)
            | Trouble::SlowBody
            | Trouble::EncodedBody
            | Trouble::ChangeTooLarge
            | Trouble::Internal => None,
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        Failure::Trouble(trouble)
    }
}

/// A sentence with a capital letter, for vendors whose sentences have one.
pub fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
