//! [`BadRequest`]: why a request is no command, without the words of a vendor.

use crate::json::{FieldError, Mistyped};
use crate::model::Invalid;

/// Why a request is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// The request cannot be parsed. Contains a whole sentence.
    Malformed(String),
    /// A field is missing or of the wrong type.
    Mistyped(Invalid),
    /// A value of the right type breaks a rule.
    Rule(Invalid),
    /// The path names no object that could exist. Contains the kind of object.
    NotFound(&'static str),
    /// The path has a code in place of the id of a link. Contains the path by code.
    CodeForId(&'static str),
}

impl From<Mistyped> for BadRequest {
    fn from(Mistyped(invalid): Mistyped) -> BadRequest {
        BadRequest::Mistyped(invalid)
    }
}

impl From<FieldError> for BadRequest {
    fn from(error: FieldError) -> BadRequest {
        match error {
            // Kept apart: dialects answer 400 to one of them and 422 to the other (docs/decisions.md A10).
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
