//! Errors in Linquid's dialect: the vendor's statuses and codes (docs/decisions.md A16). The message is the
//! sample of the vendor's pages where they have one, or a sentence that names the field in the vendor's words.
//! A status without a documented code has a code in the same style.

use hyper::StatusCode;
use serde::Serialize;

use crate::http::api::dialect::{
    ApiError, BadRequest, Body, CHANGED, NO_ENDPOINT, ServerError, capitalised, wrong_method,
};
use crate::model::Invalid;

#[derive(Serialize)]
struct ErrorBody<'a> {
    success: bool,
    error: CodedMessage<'a>,
}

#[derive(Serialize)]
struct CodedMessage<'a> {
    code: &'a str,
    message: &'a str,
}

/// Renders an error.
pub(super) fn render(error: &ApiError) -> Body {
    let (status, code, message) = words(error);
    Body::json(status, &ErrorBody { success: false, error: CodedMessage { code, message: &message } })
}

const INVALID: &str = "VALIDATION_ERROR";
const NOT_FOUND: &str = "NOT_FOUND";
const TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";
const UNAVAILABLE: &str = "SERVICE_UNAVAILABLE";

fn words(error: &ApiError) -> (StatusCode, &'static str, String) {
    let fixed = |status, code, text: &str| (status, code, text.to_owned());
    match error {
        ApiError::BadRequest(BadRequest::Malformed(why)) => (StatusCode::BAD_REQUEST, INVALID, why.clone()),
        // One status for both: the vendor has no 422.
        ApiError::BadRequest(BadRequest::Mistyped(invalid) | BadRequest::Rule(invalid)) => {
            (StatusCode::BAD_REQUEST, INVALID, sentence(invalid))
        }
        ApiError::BadRequest(BadRequest::CodeForId(by_code)) => {
            let message =
                format!("Link not found: an id is needed here; {by_code} returns the link of a code");
            (StatusCode::NOT_FOUND, NOT_FOUND, message)
        }
        ApiError::BadRequest(BadRequest::NotFound(what)) | ApiError::NotFound(what) => {
            (StatusCode::NOT_FOUND, NOT_FOUND, capitalised(&format!("{what} not found")))
        }
        // `NOT_FOUND` once the tombstone is gone (docs/decisions.md A16).
        ApiError::AlreadyDeleted(what) => {
            (StatusCode::NOT_FOUND, "ALREADY_DELETED", capitalised(&format!("{what} is already deleted")))
        }
        // The vendor documents a code for each of the two.
        ApiError::NoKey => fixed(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Invalid or missing API key"),
        ApiError::BadKey => fixed(StatusCode::UNAUTHORIZED, "INVALID_API_KEY", "Invalid or disabled API key"),
        ApiError::BadScheme(why) => (StatusCode::UNAUTHORIZED, "INVALID_API_KEY", capitalised(why)),
        ApiError::Forbidden(why) => (StatusCode::FORBIDDEN, "FORBIDDEN", capitalised(why)),
        ApiError::UnknownWorkspace => fixed(StatusCode::NOT_FOUND, NOT_FOUND, "Workspace not found"),
        ApiError::UnknownCompany => fixed(StatusCode::NOT_FOUND, NOT_FOUND, "Company not found"),
        // Objects of this dialect have no ETag, so no request gets this error.
        ApiError::Changed => fixed(StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED", CHANGED),
        ApiError::Gone(why) => (StatusCode::GONE, "GONE", capitalised(why)),
        ApiError::CodeTaken(_) | ApiError::FormerCodeTaken { .. } => {
            fixed(StatusCode::CONFLICT, "SHORT_CODE_EXISTS", "This short code is already in use")
        }
        ApiError::Taken(field) => {
            (StatusCode::CONFLICT, "ALREADY_EXISTS", format!("{field}: is already in use"))
        }
        ApiError::NoCredits => {
            fixed(StatusCode::PAYMENT_REQUIRED, "INSUFFICIENT_CREDITS", "Workspace has insufficient credits")
        }
        ApiError::OtherBody => fixed(
            StatusCode::BAD_REQUEST,
            INVALID,
            "Idempotency-Key: was used before with another request body",
        ),
        ApiError::NoEndpoint => (StatusCode::NOT_FOUND, NOT_FOUND, capitalised(NO_ENDPOINT)),
        ApiError::WrongMethod(allowed) => {
            (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", capitalised(&wrong_method(allowed)))
        }
        ApiError::TooMany(seconds) => (
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            format!("Too many requests; try again in {seconds} s"),
        ),
        ApiError::Server(error) => (error.status(), code(*error), capitalised(&error.sentence())),
    }
}

/// Returns a code in the style of the vendor's.
fn code(error: ServerError) -> &'static str {
    match error {
        // The only code that the vendor documents for 400.
        ServerError::BadHost => INVALID,
        ServerError::LongTarget => "URI_TOO_LONG",
        ServerError::Unencrypted => "FORBIDDEN",
        ServerError::OldHttp => "HTTP_VERSION_NOT_SUPPORTED",
        ServerError::TooLarge(_) | ServerError::ChangeTooLarge => TOO_LARGE,
        ServerError::SlowBody => "REQUEST_TIMEOUT",
        ServerError::EncodedBody => "UNSUPPORTED_MEDIA_TYPE",
        ServerError::Busy | ServerError::NotReady | ServerError::OutcomeUnknown => UNAVAILABLE,
        ServerError::DiskFull | ServerError::NoDescriptors => "INSUFFICIENT_STORAGE",
        ServerError::Internal => "INTERNAL_ERROR",
    }
}

/// The starts of rules about a destination that have texts of their own.
const OWN_TEXTS: [&str; 3] = ["must not lead back", "must be at most", "leads to"];

/// Returns a broken rule in the vendor's words. All errors of a destination's form have one documented text,
/// which clients may compare. Its length, a loop and a denied host have texts of their own.
fn sentence(invalid: &Invalid) -> String {
    let why = &invalid.why;
    let field = match invalid.field {
        // By the text of the rule, since an `Invalid` has no kind.
        "url" if !OWN_TEXTS.iter().any(|start| why.starts_with(start)) => {
            return "Invalid destination URL format".to_owned();
        }
        "url" => "destinationUrl",
        "maxClicks" => "clicksLimit",
        "isActive" => "enabled",
        "domain" => "domainId",
        "tagIds" => "tags",
        // Of a single rule.
        "rules" => return of_rule(invalid),
        // Of a question about clicks.
        "from" => "start",
        own => own,
    };
    format!("{field}{}: {why}", invalid.at)
}

/// Returns an error of a rule in the vendor's words. Only one rule is in a request, so the error names no index.
fn of_rule(invalid: &Invalid) -> String {
    let at = match invalid.at.strip_prefix('[') {
        Some(indexed) => indexed.split_once(']').map_or("", |(_, rest)| rest),
        None => &invalid.at,
    };
    let end = at.get(1..).and_then(|rest| rest.find(['.', '['])).map_or(at.len(), |end| end + 1);
    let (first, rest) = at.split_at(end);
    let (first, rest) = match first.trim_start_matches('.') {
        "" => ("rule", rest),
        "url" => ("destinationUrl", rest),
        // Those of a percentage.
        "variants" => ("destinationUrl", ""),
        "match" => ("conditionLogic", rest),
        own => (own, rest),
    };
    format!("{first}{rest}: {}", invalid.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_status_and_code() {
        let mistyped = || BadRequest::Mistyped(Invalid::new("maxClicks", "must be a number"));
        let not_found = "Link not found";
        let rows = [
            (ApiError::BadRequest(BadRequest::Malformed("no".into())), 400, INVALID, "no"),
            (ApiError::BadRequest(mistyped()), 400, INVALID, "clicksLimit: must be a number"),
            (ApiError::BadRequest(BadRequest::NotFound("link")), 404, NOT_FOUND, not_found),
            (ApiError::NoKey, 401, "UNAUTHORIZED", "Invalid or missing API key"),
            (ApiError::BadKey, 401, "INVALID_API_KEY", "Invalid or disabled API key"),
            (ApiError::Forbidden("no \u{e9}".into()), 403, "FORBIDDEN", "No \u{e9}"),
            (ApiError::UnknownWorkspace, 404, NOT_FOUND, "Workspace not found"),
            (ApiError::NotFound("link"), 404, NOT_FOUND, not_found),
            (ApiError::AlreadyDeleted("link"), 404, "ALREADY_DELETED", "Link is already deleted"),
            (ApiError::CodeTaken("x".into()), 409, "SHORT_CODE_EXISTS", "This short code is already in use"),
            (ApiError::Taken("id"), 409, "ALREADY_EXISTS", "id: is already in use"),
            (ApiError::NoCredits, 402, "INSUFFICIENT_CREDITS", "Workspace has insufficient credits"),
            (
                ApiError::NoEndpoint,
                404,
                NOT_FOUND,
                "There is no such endpoint: /api/docs lists all endpoints",
            ),
            (
                ApiError::WrongMethod("GET, HEAD".into()),
                405,
                "METHOD_NOT_ALLOWED",
                "The method is not allowed here; allowed are GET, HEAD",
            ),
            (ApiError::BadScheme("no bearer"), 401, "INVALID_API_KEY", "No bearer"),
            (ServerError::TooLarge(9).into(), 413, TOO_LARGE, "The body must be at most 9 bytes"),
            (
                ServerError::ChangeTooLarge.into(),
                413,
                TOO_LARGE,
                "The change is too large to be stored at once",
            ),
            (ServerError::SlowBody.into(), 408, "REQUEST_TIMEOUT", "The body did not arrive in time"),
            (ServerError::Busy.into(), 503, UNAVAILABLE, "Busy; try again"),
            (ServerError::NotReady.into(), 503, UNAVAILABLE, "The store is not ready; try again"),
            (
                ServerError::DiskFull.into(),
                507,
                "INSUFFICIENT_STORAGE",
                "The disk is full; nothing was written",
            ),
            (ServerError::Internal.into(), 500, "INTERNAL_ERROR", "Internal error"),
        ];
        for (error, status, code, message) in rows {
            let Body { status: got, bytes, .. } = render(&error);
            let want = format!(
                "{{\"success\":false,\"error\":{{\"code\":\"{code}\",\"message\":\"{message}\"}}}}\n"
            );
            assert_eq!((got.as_u16(), String::from_utf8_lossy(&bytes)), (status, want.into()));
        }
    }
}
