//! [`PageError`]: why a page of the dashboard cannot be shown.

use hyper::StatusCode;

use crate::http::api::dialect::ApiError;
use crate::http::api::in_process;
use crate::model::Invalid;

/// Why a page cannot be shown.
#[derive(Clone, Debug)]
pub(super) enum PageError {
    /// The API rejects what the page asks for.
    Api(ApiError),
    /// There is no such page.
    NoPage,
    /// The path has pages for other methods only.
    WrongMethod,
    /// A page of another site sends the form.
    Foreign,
    /// The form has no token, or that of another session.
    NoToken,
    /// The form is longer than this number of bytes.
    TooLarge(usize),
    /// The form cannot be read.
    BadBody,
    /// The store is still being opened.
    NotReady,
    /// A fault of the program: the reply belongs to another command.
    Internal,
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> PageError {
        PageError::Api(error)
    }
}

impl PageError {
    /// Creates the error of a field of a form that breaks a rule of its page.
    pub(super) fn rule(field: &'static str, why: impl Into<String>) -> PageError {
        PageError::Api(ApiError::BadRequest(Invalid::new(field, why.into()).into()))
    }

    /// Returns the seconds after which the same request may succeed. `None`: it fails again.
    pub(super) fn retry_after(&self) -> Option<u32> {
        match self {
            PageError::Api(error) => error.retry_after(),
            PageError::NotReady => Some(1),
            _ => None,
        }
    }

    /// Returns the status and the sentence of the error.
    pub(super) fn words(&self) -> (StatusCode, String) {
        let (status, text) = match self {
            PageError::Api(error) => return in_process::worded(error),
            PageError::NoPage => (StatusCode::NOT_FOUND, "There is no such page."),
            PageError::WrongMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "This page answers GET and POST only.")
            }
            PageError::Foreign => (
                StatusCode::FORBIDDEN,
                "This form was sent by a page of another site, and nothing was changed.",
            ),
            PageError::NoToken => (
                StatusCode::FORBIDDEN,
                "This form belongs to another session, and nothing was changed: open its page again, and repeat.",
            ),
            PageError::TooLarge(bytes) => {
                return (StatusCode::PAYLOAD_TOO_LARGE, format!("A form has at most {bytes} bytes."));
            }
            PageError::BadBody => {
                (StatusCode::BAD_REQUEST, "The form could not be read, and nothing was changed.")
            }
            PageError::NotReady => {
                (StatusCode::SERVICE_UNAVAILABLE, "The server is starting: try again in some seconds.")
            }
            PageError::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "A fault of the server: its log has the details.")
            }
        };
        (status, text.to_owned())
    }

    /// Returns whether the server has failed, and not the form: another try with other texts would not help.
    pub(super) fn is_of_server(&self) -> bool {
        matches!(self, PageError::Api(ApiError::Server(_)) | PageError::Internal)
    }

    /// Returns the field of a form that an error is about, by its name in the API, and the rule that it breaks.
    pub(super) fn field(&self) -> Option<(String, String)> {
        let (_, sentence) = self.words();
        // Each rule of the API is `field: rule` (docs/api.md).
        let (field, rule) = sentence.split_once(": ")?;
        // Another sentence may have a colon as well.
        let is_name = field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"[]._-".contains(&byte));
        is_name.then(|| (field.to_owned(), rule.to_owned()))
    }
}
