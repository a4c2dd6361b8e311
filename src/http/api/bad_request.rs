//! [`BadRequest`]: why a request is no command, in no vendor's words.

use crate::json::{FieldError, Mistyped};
use crate::model::Invalid;

/// Why a request is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// Not understood at all: a whole sentence.
    Malformed(String),
    /// A field is missing or of the wrong type.
    Mistyped(Invalid),
    /// A value of the right type breaks a rule.
    Rule(Invalid),
    /// Its path names no object that could exist.
    NotFound(&'static str),
}

impl From<Mistyped> for BadRequest {
    fn from(Mistyped(invalid): Mistyped) -> BadRequest {
        BadRequest::Mistyped(invalid)
    }
}

impl From<FieldError> for BadRequest {
    fn from(error: FieldError) -> BadRequest {
        match error {
            FieldError::Mistyped(invalid) => BadRequest::Mistyped(invalid),
            FieldError::Rule(invalid) => BadRequest::Rule(invalid),
        }
    }
}

/// The errors of the model are broken rules.
impl From<Invalid> for BadRequest {
    fn from(invalid: Invalid) -> BadRequest {
        BadRequest::Rule(invalid)
    }
}
