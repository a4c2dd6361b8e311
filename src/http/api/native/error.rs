//! Errors in the native dialect: the vendor's status, and one sentence.

use hyper::StatusCode;
use serde::Serialize;

use crate::http::api::dialect::{ApiError, BadRequest, Body, CHANGED, NO_ENDPOINT, wrong_method};
use crate::model::Invalid;

/// Where a reader without a valid key finds one. The folder itself is not named: strangers see this text.
const FIRST_KEY: &str = "the first start writes a key to `admin.key` in the data folder";

#[derive(Serialize)]
struct ErrorJson<'a> {
    error: &'a str,
}

/// Renders an error.
pub(super) fn render(error: &ApiError) -> Body {
    let (status, error) = words(error);
    Body::json(status, &ErrorJson { error: &error })
}

/// Returns the status and the sentence of an error.
pub(super) fn words(error: &ApiError) -> (StatusCode, String) {
    let fixed = |status, text: &str| (status, text.to_owned());
    match error {
        ApiError::BadRequest(BadRequest::Malformed(why)) => (StatusCode::BAD_REQUEST, why.clone()),
        ApiError::BadRequest(BadRequest::Mistyped(invalid)) => (StatusCode::BAD_REQUEST, sentence(invalid)),
        ApiError::BadRequest(BadRequest::Rule(invalid)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, sentence(invalid))
        }
        // A path that is parsed as an endpoint and is none.
        ApiError::NoEndpoint | ApiError::BadRequest(BadRequest::NotFound("endpoint")) => {
            fixed(StatusCode::NOT_FOUND, NO_ENDPOINT)
        }
        // The revisions of a link are in one place only.
        ApiError::BadRequest(BadRequest::NotFound("revision")) | ApiError::NotFound("revision") => fixed(
            StatusCode::NOT_FOUND,
            "revision not found: `GET .../history` has the revisions of the link",
        ),
        ApiError::BadRequest(BadRequest::NotFound(what))
        | ApiError::NotFound(what)
        // This dialect has one error for every object that does not exist.
        | ApiError::AlreadyDeleted(what) => (StatusCode::NOT_FOUND, format!("{what} not found")),
        // The id of a link and its code look alike, and both occur in short URLs and answers.
        ApiError::BadRequest(BadRequest::CodeForId(path)) => {
            (StatusCode::NOT_FOUND, format!("link not found: an id is needed here; by code, it is {path}"))
        }
        ApiError::BadScheme(why) => fixed(StatusCode::UNAUTHORIZED, why),
        ApiError::NoKey => (StatusCode::UNAUTHORIZED, format!("the API key is missing: send it as `Authorization: Bearer KEY`; {FIRST_KEY}")),
        // One text for all of these: more would help to guess a key.
        ApiError::BadKey => {
            (StatusCode::UNAUTHORIZED, format!("the API key is unknown, revoked, expired or malformed; {FIRST_KEY}"))
        }
        ApiError::Forbidden(why) => (StatusCode::FORBIDDEN, why.clone()),
        ApiError::UnknownWorkspace => fixed(StatusCode::NOT_FOUND, "workspace not found"),
        ApiError::UnknownCompany => fixed(StatusCode::NOT_FOUND, "company not found"),
        ApiError::Changed => fixed(StatusCode::PRECONDITION_FAILED, CHANGED),
        ApiError::Gone(why) => fixed(StatusCode::GONE, why),
        ApiError::CodeTaken(code) => {
            (StatusCode::CONFLICT, format!("customSlug: {code:?} is already in use on this domain"))
        }
        ApiError::FormerCodeTaken { code, is_restore } => {
            let hint = if *is_restore { ": `customSlug` gives it another one" } else { "" };
            (StatusCode::CONFLICT, format!("link: its code {code:?} is in use by another link now{hint}"))
        }
        ApiError::Taken(field) => (StatusCode::CONFLICT, format!("{field}: is already in use")),
        ApiError::NoCredits => fixed(StatusCode::PAYMENT_REQUIRED, "the workspace has no credits left"),
        // The body is well-formed and breaks a rule (docs/decisions.md A8).
        ApiError::OtherBody => fixed(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Idempotency-Key: was used before with another request body",
        ),
        ApiError::WrongMethod(allowed) => (StatusCode::METHOD_NOT_ALLOWED, wrong_method(allowed)),
        ApiError::TooMany(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, format!("too many requests; try again in {seconds} s"))
        }
        ApiError::Server(error) => (error.status(), error.sentence().into_owned()),
    }
}

/// Returns a sentence in the words of this dialect: the model's `shortCode` is `customSlug` here.
fn sentence(invalid: &Invalid) -> String {
    let field = if invalid.field == "shortCode" { "customSlug" } else { invalid.field };
    format!("{field}{}: {}", invalid.at, invalid.why)
}
