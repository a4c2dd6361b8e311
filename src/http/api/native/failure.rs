//! Failures in the native dialect: the vendor's statuses, and one sentence.

use hyper::StatusCode;
use serde::Serialize;

use super::render;
use crate::http::api::dialect::{Body, Failure, Refusal};
use crate::model::Invalid;

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a str,
}

pub(super) fn render(failure: &Failure) -> Body {
    let (status, error) = words(failure);
    Body::json(status, render::json(&Envelope { error: &error }))
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
        Failure::TooMany(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, format!("too many requests; try again in {seconds} s"))
        }
        Failure::Trouble(trouble) => (trouble.status(), trouble.sentence().into_owned()),
    }
}

/// In this dialect's words: the model says "shortCode" for what clients send as `customSlug`.
fn sentence(invalid: &Invalid) -> String {
    let field = if invalid.field == "shortCode" { "customSlug" } else { invalid.field };
    format!("{field}: {}", invalid.why)
}
