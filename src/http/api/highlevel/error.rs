//! Errors of HighLevel's links: the vendor's statuses, and bodies with the vendor's keys. 400 is a request that
//! cannot be parsed, and its message is a sentence. 422 is a body that lacks something or breaks a rule, and its
//! message is a list.

use std::borrow::Cow;

use hyper::StatusCode;
use serde::Serialize;

use crate::http::api::dialect::{
    ApiError, BadRequest, Body, CHANGED, NO_ENDPOINT, capitalised, wrong_method,
};
use crate::model::Invalid;

/// The vendor's text for a location that is unknown or outside the reach of the key.
const NO_ACCESS: &str = "The token does not have access to this location.";

/// The vendor's text for an invalid key.
const BAD_TOKEN: &str = "Invalid token: access token is invalid";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkErrorJson<'a> {
    status_code: u16,
    message: SentenceOrList<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SentenceOrList<'a> {
    Sentence(Cow<'a, str>),
    List([Cow<'a, str>; 1]),
}

/// The status and message of an error. `has_phrase` adds the phrase of the status as `error`, as at the vendor.
struct Words<'a> {
    status: StatusCode,
    message: Cow<'a, str>,
    has_phrase: bool,
}

/// Renders an error.
pub(super) fn render(error: &ApiError) -> Body {
    let Words { status, message, has_phrase } = words(error);
    // Clients read a list from a 422 and a string from all else (docs/decisions.md A20).
    let message = if status == StatusCode::UNPROCESSABLE_ENTITY {
        SentenceOrList::List([message])
    } else {
        SentenceOrList::Sentence(message)
    };
    let phrase = status.canonical_reason().filter(|_| has_phrase);
    let body = LinkErrorJson { status_code: status.as_u16(), message, error: phrase };
    Body::json(status, &body)
}

fn words(error: &ApiError) -> Words<'_> {
    let bare = |status, message| Words { status, message, has_phrase: false };
    let fixed = |status, text: &'static str| Words { status, message: text.into(), has_phrase: true };
    let unprocessable =
        |message| Words { status: StatusCode::UNPROCESSABLE_ENTITY, message, has_phrase: true };
    match error {
        ApiError::BadRequest(BadRequest::Malformed(why)) => bare(StatusCode::BAD_REQUEST, why.into()),
        ApiError::BadRequest(BadRequest::Mistyped(invalid)) => {
            bare(StatusCode::BAD_REQUEST, sentence(invalid).into())
        }
        ApiError::BadRequest(BadRequest::Rule(invalid)) => unprocessable(sentence(invalid).into()),
        ApiError::BadRequest(BadRequest::NotFound(what))
        | ApiError::NotFound(what)
        | ApiError::AlreadyDeleted(what) => {
            bare(StatusCode::NOT_FOUND, (capitalised(what) + " not found").into())
        }
        ApiError::BadRequest(BadRequest::CodeForId(_)) => {
            bare(StatusCode::NOT_FOUND, "Link not found".into())
        }
        ApiError::BadScheme(why) => Words {
            status: StatusCode::UNAUTHORIZED,
            message: format!("Invalid token: {why}").into(),
            has_phrase: true,
        },
        // The vendor has one text for both.
        ApiError::NoKey | ApiError::BadKey => fixed(StatusCode::UNAUTHORIZED, BAD_TOKEN),
        ApiError::Forbidden(why) => {
            Words { status: StatusCode::FORBIDDEN, message: why.into(), has_phrase: true }
        }
        // 403 also for an id that does not exist, as at the vendor (docs/decisions.md A5).
        ApiError::UnknownWorkspace | ApiError::UnknownCompany => {
            bare(StatusCode::FORBIDDEN, NO_ACCESS.into())
        }
        // Objects of this dialect have no ETag, so no request gets this error.
        ApiError::Changed => fixed(StatusCode::PRECONDITION_FAILED, CHANGED),
        ApiError::Gone(why) => fixed(StatusCode::GONE, why),
        // This API generates codes and names nothing else, so no request gets these two.
        ApiError::CodeTaken(_) | ApiError::FormerCodeTaken { .. } => {
            fixed(StatusCode::CONFLICT, "the short code is already in use")
        }
        ApiError::Taken(_) => fixed(StatusCode::CONFLICT, "the value is already in use"),
        ApiError::NoCredits => fixed(StatusCode::PAYMENT_REQUIRED, "the location has no credits left"),
        ApiError::OtherBody => {
            unprocessable("Idempotency-Key was used before with another request body".into())
        }
        ApiError::NoEndpoint => bare(StatusCode::NOT_FOUND, NO_ENDPOINT.into()),
        ApiError::WrongMethod(allowed) => Words {
            status: StatusCode::METHOD_NOT_ALLOWED,
            message: wrong_method(allowed).into(),
            has_phrase: true,
        },
        ApiError::TooMany(seconds) => Words {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: format!("Too Many Requests; try again in {seconds} s").into(),
            has_phrase: true,
        },
        ApiError::Server(error) => {
            Words { status: error.status(), message: error.sentence(), has_phrase: true }
        }
    }
}

/// Returns a sentence in the words of this dialect: the model's `url` is `redirectTo`, its `title` is `name`.
fn sentence(invalid: &Invalid) -> String {
    let field = match invalid.field {
        "url" => "redirectTo",
        "title" => "name",
        other => other,
    };
    format!("{field}{} {}", invalid.at, invalid.why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::ServerError;

    #[test]
    fn bodies_have_the_vendors_keys() {
        let rule = |field| ApiError::BadRequest(BadRequest::Rule(Invalid::new(field, "must not be empty")));
        let rows = [
            (
                ApiError::BadRequest(BadRequest::Malformed("no JSON".to_owned())),
                r#"{"statusCode":400,"message":"no JSON"}"#,
            ),
            (
                ApiError::BadRequest(BadRequest::Mistyped(Invalid::new("locationId", "is required"))),
                r#"{"statusCode":400,"message":"locationId is required"}"#,
            ),
            (
                rule("title"),
                r#"{"statusCode":422,"message":["name must not be empty"],"error":"Unprocessable Entity"}"#,
            ),
            (
                rule("url"),
                r#"{"statusCode":422,"message":["redirectTo must not be empty"],"error":"Unprocessable Entity"}"#,
            ),
            (
                ApiError::BadKey,
                r#"{"statusCode":401,"message":"Invalid token: access token is invalid","error":"Unauthorized"}"#,
            ),
            (
                ApiError::UnknownWorkspace,
                r#"{"statusCode":403,"message":"The token does not have access to this location."}"#,
            ),
            (
                ApiError::Forbidden("no".to_owned()),
                r#"{"statusCode":403,"message":"no","error":"Forbidden"}"#,
            ),
            (ApiError::AlreadyDeleted("link"), r#"{"statusCode":404,"message":"Link not found"}"#),
            (
                ApiError::NoCredits,
                r#"{"statusCode":402,"message":"the location has no credits left","error":"Payment Required"}"#,
            ),
            (
                ApiError::Server(ServerError::DiskFull),
                r#"{"statusCode":507,"message":"the disk is full; nothing was written","error":"Insufficient Storage"}"#,
            ),
        ];
        for (error, want) in rows {
            let Body { status, bytes: body, .. } = render(&error);
            assert_eq!(String::from_utf8_lossy(&body), format!("{want}\n"));
            assert!(want.starts_with(&format!("{{\"statusCode\":{}", status.as_u16())), "{status}");
        }
    }
}
