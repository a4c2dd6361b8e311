//! Errors of the body of a rule, with their place.

use crate::http::api::dialect::BadRequest;
use crate::model::Invalid;

/// Creates the error of a value that breaks a rule, at this place of the body.
pub(super) fn rule(at: &str, why: impl Into<String>) -> BadRequest {
    BadRequest::Rule(Invalid::new("rules", why).below(at))
}

/// Creates the error of a member that is missing or of the wrong type.
pub(super) fn mistyped(at: &str, why: &str) -> BadRequest {
    BadRequest::Mistyped(Invalid::new("rules", why).below(at))
}
