//! Failures in the native dialect: the vendor's statuses, and one sentence.

use hyper::StatusCode;
use serde::Serialize;

use super::render;
use crate::http::api::dialect::{Failure, Refusal};
use crate::model::Invalid;

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
}

pub(super) fn render(failure: &Failure) -> (StatusCode, Vec<u8>) {
    let (status, error) = words(failure);
    (status, render::json(&Body { error: &error }))
}

fn words(failure: &Failure) -> (StatusCode, String) {
    let say = |status, text: &str| (status, text.to_owned());
    match failure {
        Failure::Refused(Refusal::Malformed(why)) => (StatusCode::BAD_REQUEST, why.clone()),
        Failure::Refused(Refusal::Mistyped(invalid)) => (StatusCode::BAD_REQUEST, sentence(invalid)),
        Failure::Refused(Refusal::Rule(invalid)) => (StatusCode::UNPROCESSABLE_ENTITY, sentence(invalid)),
        Failure::Refused(Refusal::NotFound(what))
        | Failure::NotFound(what)
        | Failure::AlreadyDeleted(what) => (StatusCode::NOT_FOUND, format!("{what} not found")),
        // One text for both: what is wrong with a key is nobody's to learn.
        Failure::NoKey | Failure::BadKey => say(StatusCode::UNAUTHORIZED, "missing or invalid API key"),
        Failure::Forbidden(why) => (StatusCode::FORBIDDEN, why.clone()),
        Failure::UnknownWorkspace => say(StatusCode::NOT_FOUND, "workspace not found"),
        Failure::UnknownCompany => say(StatusCode::NOT_FOUND, "company not found"),
        Failure::Gone(why) => say(StatusCode::GONE, why),
        Failure::CodeTaken(code) => {
            (StatusCode::CONFLICT, format!("customSlug: {code:?} is already in use on this domain"))
        }
        Failure::Taken(field) => (StatusCode::CONFLICT, format!("{field}: is already in use")),
        Failure::NoCredits => say(StatusCode::PAYMENT_REQUIRED, "the workspace has no credits left"),
        Failure::OtherBody => say(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Idempotency-Key: was used before with another request body",
        ),
        Failure::NoEndpoint => say(StatusCode::NOT_FOUND, "there is no such endpoint"),
        Failure::WrongMethod => {
            say(StatusCode::METHOD_NOT_ALLOWED, "the method is not allowed here; see the Allow header")
        }
        Failure::TooMany(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, format!("too many requests; try again in {seconds} s"))
        }
        Failure::TooLarge(max) => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("the body must be at most {max} bytes"))
        }
        Failure::SlowBody => say(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Failure::EncodedBody => {
            say(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must not have a Content-Encoding")
        }
        Failure::ChangeTooLarge => {
            say(StatusCode::PAYLOAD_TOO_LARGE, "the change is too large to be stored at once")
        }
        Failure::Busy => say(StatusCode::SERVICE_UNAVAILABLE, "busy; try again"),
        Failure::NotReady => say(StatusCode::SERVICE_UNAVAILABLE, "the store is not ready; try again"),
        Failure::OutcomeUnknown => say(
            StatusCode::SERVICE_UNAVAILABLE,
            "outcome unknown: the disk did not confirm the write; repeat it with the same Idempotency-Key",
        ),
        Failure::DiskFull => say(StatusCode::INSUFFICIENT_STORAGE, "the disk is full; nothing was written"),
        Failure::Internal => say(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    }
}

/// In this dialect's words: the model says "shortCode" for what clients send as `customSlug`.
fn sentence(invalid: &Invalid) -> String {
    let field = if invalid.field == "shortCode" { "customSlug" } else { invalid.field };
    format!("{field}: {}", invalid.why)
}
