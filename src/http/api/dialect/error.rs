//! Why a request failed, without the words of a vendor. Each dialect renders every case.

use std::borrow::Cow;

use hyper::StatusCode;

use crate::http::api::dialect::BadRequest;

/// Why a request failed.
#[derive(Clone, Debug)]
pub enum ApiError {
    /// The request is no command.
    BadRequest(BadRequest),
    /// No key was sent.
    // Apart from `BadKey`, since Linquid has a code for each.
    NoKey,
    /// The key is unknown, revoked, expired, malformed, or sent twice in two ways.
    BadKey,
    /// The key is in a header of another form. Contains a whole sentence.
    // Depends on the form alone, so it reveals nothing about keys.
    BadScheme(&'static str),
    /// The key may not do this. Contains a whole sentence.
    Forbidden(String),
    /// The key does not reach the named workspace, or it does not exist.
    UnknownWorkspace,
    /// No such object.
    NotFound(&'static str),
    /// Deleted before.
    AlreadyDeleted(&'static str),
    /// The object has another revision than `If-Match` or `If-None-Match` requires.
    Changed,
    /// The object could be used once, and was. Contains a whole sentence.
    Gone(&'static str),
    /// The key does not reach the named company, or it does not exist.
    UnknownCompany,
    /// The short code is in use.
    CodeTaken(Box<str>),
    /// Another link has the code that an undo or a restore would give back.
    FormerCodeTaken {
        /// The code.
        code: Box<str>,
        /// Whether the request may choose another one.
        is_restore: bool,
    },
    /// The value of this field is in use.
    Taken(&'static str),
    /// The workspace has no credits left.
    NoCredits,
    /// The `Idempotency-Key` was used with another body.
    OtherBody,
    /// No such endpoint.
    NoEndpoint,
    /// The endpoint has only these other methods.
    WrongMethod(Box<str>),
    /// Too many requests. Contains the seconds until the next one is admitted.
    TooMany(u32),
    /// An error that no vendor documents.
    Server(ServerError),
}

/// Errors that no vendor documents, with the same status and sentence in every dialect: of the request as
/// HTTP, and of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerError {
    /// The request names no host, several, or none that could exist.
    BadHost,
    /// The target exceeds the limit of length.
    LongTarget,
    /// The request came over HTTP, and the server has HTTPS.
    Unencrypted,
    /// The response is too long for a client of HTTP/1.0.
    OldHttp,
    /// The body is longer than this number of bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    SlowBody,
    /// The body is compressed.
    EncodedBody,
    /// The change exceeds the largest record of the log.
    ChangeTooLarge,
    /// Other requests keep changing the same objects, or a share is used up.
    Busy,
    /// The store cannot be read or written now.
    NotReady,
    /// The disk did not confirm the write.
    OutcomeUnknown,
    /// The disk is full.
    DiskFull,
    /// The log can open no file.
    NoDescriptors,
    /// A fault of the program. The log contains the cause.
    Internal,
}

impl ApiError {
    /// Seconds after which to try again.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            ApiError::TooMany(seconds) => Some(*seconds),
            ApiError::Server(error) => error.retry_after(),
            ApiError::BadRequest(_)
            | ApiError::NoKey
            | ApiError::BadKey
            | ApiError::BadScheme(_)
            | ApiError::Forbidden(_)
            | ApiError::UnknownWorkspace
            | ApiError::NotFound(_)
            | ApiError::AlreadyDeleted(_)
            | ApiError::Changed
            | ApiError::Gone(_)
            | ApiError::UnknownCompany
            | ApiError::CodeTaken(_)
            | ApiError::FormerCodeTaken { .. }
            | ApiError::Taken(_)
            | ApiError::NoCredits
            | ApiError::OtherBody
            | ApiError::NoEndpoint
            | ApiError::WrongMethod(_) => None,
        }
    }
}

impl ServerError {
    /// Returns the status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            ServerError::BadHost => StatusCode::BAD_REQUEST,
            ServerError::LongTarget => StatusCode::URI_TOO_LONG,
            ServerError::Unencrypted => StatusCode::FORBIDDEN,
            ServerError::OldHttp => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            // Either way the same request can never succeed, unlike with 503.
            ServerError::TooLarge(_) | ServerError::ChangeTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ServerError::SlowBody => StatusCode::REQUEST_TIMEOUT,
            ServerError::EncodedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // All three pass by themselves, so each has a `Retry-After`.
            ServerError::Busy | ServerError::NotReady | ServerError::OutcomeUnknown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            // 507 and not 503: waiting is not enough, an operator must act.
            ServerError::DiskFull | ServerError::NoDescriptors => StatusCode::INSUFFICIENT_STORAGE,
            ServerError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns a sentence for the response, without a capital letter or a full stop.
    pub fn sentence(self) -> Cow<'static, str> {
        let fixed = match self {
            ServerError::TooLarge(max) => return format!("the body must be at most {max} bytes").into(),
            ServerError::BadHost => "the request must name one host, well-formed",
            ServerError::LongTarget => {
                "the address has more than 8192 bytes; a filter of questions about clicks has at most 200 values"
            }
            ServerError::Unencrypted => {
                "the API is served over HTTPS only: use https://, and replace a key that was sent over HTTP"
            }
            ServerError::OldHttp => {
                "the list is too long for HTTP/1.0; ask with HTTP/1.1, or with skip and limit"
            }
            ServerError::SlowBody => "the body did not arrive in time",
            ServerError::EncodedBody => "the body must not have a Content-Encoding",
            ServerError::ChangeTooLarge => "the change is too large to be stored at once",
            ServerError::Busy => "busy; try again",
            ServerError::NotReady => "the store is not ready; try again",
            ServerError::OutcomeUnknown => {
                // With the key a repetition finds the first outcome, if there is one, and does not create
                // twice.
                "outcome unknown: the disk did not confirm the write; repeat it with the same Idempotency-Key"
            }
            ServerError::DiskFull => "the disk is full; nothing was written",
            ServerError::NoDescriptors => "no file descriptor is left for the log; nothing was written",
            ServerError::Internal => "internal error",
        };
        fixed.into()
    }

    fn retry_after(self) -> Option<u32> {
        match self {
            // A share is released as soon as another request ends.
            ServerError::Busy => Some(1),
            ServerError::NotReady | ServerError::OutcomeUnknown => Some(5),
            // Longer, since it takes an operator to make room.
            ServerError::DiskFull | ServerError::NoDescriptors => Some(30),
            ServerError::BadHost
            | ServerError::LongTarget
            | ServerError::Unencrypted
            | ServerError::OldHttp
            | ServerError::TooLarge(_)
            | ServerError::SlowBody
            | ServerError::EncodedBody
            | ServerError::ChangeTooLarge
            // A repetition would meet the same fault.
            | ServerError::Internal => None,
        }
    }
}

impl From<ServerError> for ApiError {
    fn from(error: ServerError) -> ApiError {
        ApiError::Server(error)
    }
}

/// The sentence of [`ApiError::NoEndpoint`].
pub(crate) const NO_ENDPOINT: &str = "there is no such endpoint: /api/docs lists all endpoints";

/// The sentence of [`ApiError::Changed`].
pub(crate) const CHANGED: &str =
    "If-Match: it was changed since you read it: read it again, and repeat the change with the new ETag";

/// Returns the sentence of [`ApiError::WrongMethod`].
pub(crate) fn wrong_method(allowed: &str) -> String {
    format!("the method is not allowed here; allowed are {allowed}")
}

/// Returns a sentence with a capital letter, for vendors whose sentences have one.
pub fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
