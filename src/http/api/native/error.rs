//! Failures in the native dialect: the vendor's statuses, and one sentence.

use hyper::StatusCode;
use serde::Serialize;

use super::render;
use crate::http::api::dialect::{ApiError, BadRequest, Body};
use crate::model::Invalid;

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a str,
}

pub(super) fn render(failure: &ApiError) -> Body {
    let (status, error) = words(failure);
    Body::json(status, render::json(&Envelope { error: &error }))
}

fn words(failure: &ApiError) -> (StatusCode, String) {
    let say = |status, text: &str| (status, text.to_owned());
    match failure {
        ApiError::BadRequest(BadRequest::Malformed(why)) => (StatusCode::BAD_REQUEST, why.clone()),
        ApiError::BadRequest(BadRequest::Mistyped(invalid)) => (StatusCode::BAD_REQUEST, sentence(invalid)),
        ApiError::BadRequest(BadRequest::Rule(invalid)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, sentence(invalid))
        }
        ApiError::BadRequest(BadRequest::NotFound(what))
        | ApiError::NotFound(what)
        | ApiError::AlreadyDeleted(what) => (StatusCode::NOT_FOUND, format!("{what} not found")),
        // One text for both: what is wrong with a key is nobody's to learn.
        ApiError::NoKey | ApiError::BadKey => say(StatusCode::UNAUTHORIZED, "missing or invalid API key"),
        ApiError::Forbidden(why) => (StatusCode::FORBIDDEN, why.clone()),
        ApiError::UnknownWorkspace => say(StatusCode::NOT_FOUND, "workspace not found"),
        ApiError::UnknownCompany => say(StatusCode::NOT_FOUND, "company not found"),
        ApiError::Gone(why) => say(StatusCode::GONE, why),
        ApiError::CodeTaken(code) => {
            (StatusCode::CONFLICT, format!("customSlug: {code:?} is already in use on this domain"))
        }
        ApiError::Taken(field) => (StatusCode::CONFLICT, format!("{field}: is already in use")),
        ApiError::NoCredits => say(StatusCode::PAYMENT_REQUIRED, "the workspace has no credits left"),
        ApiError::OtherBody => say(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Idempotency-Key: was used before with another request body",
        ),
        ApiError::NoEndpoint => say(StatusCode::NOT_FOUND, "there is no such endpoint"),
        ApiError::TooMany(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, format!("too many requests; try again in {seconds} s"))
        }
        ApiError::Server(trouble) => (trouble.status(), trouble.sentence().into_owned()),
    }
}

/// In this dialect's words: the model says "shortCode" for what clients send as `customSlug`.
fn sentence(invalid: &Invalid) -> String {
    let field = if invalid.field == "shortCode" { "customSlug" } else { invalid.field };
    format!("{field}: {}", invalid.why)
}
