//! Failures in Linquid's dialect: its statuses and codes (docs/decisions.md A16), its sample messages where
//! its pages have one, else a sentence that names the field in its words. Statuses for which it
//! documents no code have one in its style.

use hyper::StatusCode;
use serde::Serialize;

use super::render;
use crate::http::api::dialect::{Body, Failure, Refusal, Trouble, capitalised};
use crate::model::Invalid;

#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    error: Reason<'a>,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'a str,
    message: &'a str,
}

pub(super) fn render(failure: &Failure) -> Body {
    let (status, code, message) = words(failure);
    Body::json(status, render::json(&Envelope { success: false, error: Reason { code, message: &message } }))
}

const INVALID: &str = "VALIDATION_ERROR";
const NOT_FOUND: &str = "NOT_FOUND";
const TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";
const UNAVAILABLE: &str = "SERVICE_UNAVAILABLE";

fn words(failure: &Failure) -> (StatusCode, &'static str, String) {
    let say = |status, code, text: &str| (status, code, text.to_owned());
    match failure {
        Failure::Refused(Refusal::Malformed(why)) => (StatusCode::BAD_REQUEST, INVALID, why.clone()),
        Failure::Refused(Refusal::Mistyped(invalid) | Refusal::Rule(invalid)) => {
            (StatusCode::BAD_REQUEST, INVALID, sentence(invalid))
        }
        Failure::Refused(Refusal::NotFound(what)) | Failure::NotFound(what) => {
            (StatusCode::NOT_FOUND, NOT_FOUND, capitalised(&format!("{what} not found")))
        }
        Failure::AlreadyDeleted(what) => {
            (StatusCode::NOT_FOUND, "ALREADY_DELETED", capitalised(&format!("{what} is already deleted")))
        }
        Failure::NoKey => say(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Invalid or missing API key"),
        Failure::BadKey => say(StatusCode::UNAUTHORIZED, "INVALID_API_KEY", "Invalid or disabled API key"),
        Failure::Forbidden(why) => (StatusCode::FORBIDDEN, "FORBIDDEN", capitalised(why)),
        Failure::UnknownWorkspace => say(StatusCode::NOT_FOUND, NOT_FOUND, "Workspace not found"),
        Failure::UnknownCompany => say(StatusCode::NOT_FOUND, NOT_FOUND, "Company not found"),
        Failure::Gone(why) => (StatusCode::GONE, "GONE", capitalised(why)),
        Failure::CodeTaken(_) => {
            say(StatusCode::CONFLICT, "SHORT_CODE_EXISTS", "This short code is already in use")
        }
        Failure::Taken(field) => {
            (StatusCode::CONFLICT, "ALREADY_EXISTS", format!("{field}: is already in use"))
        }
        Failure::NoCredits => {
            say(StatusCode::PAYMENT_REQUIRED, "INSUFFICIENT_CREDITS", "Workspace has insufficient credits")
        }
        Failure::OtherBody => say(
            StatusCode::BAD_REQUEST,
            INVALID,
            "Idempotency-Key: was used before with another request body",
        ),
        Failure::NoEndpoint => say(StatusCode::NOT_FOUND, NOT_FOUND, "There is no such endpoint"),
        Failure::TooMany(seconds) => (
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            format!("Too many requests; try again in {seconds} s"),
        ),
        Failure::Trouble(trouble) => (trouble.status(), code(*trouble), capitalised(&trouble.sentence())),
    }
}

/// In the style of the vendor's codes.
fn code(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::BadHost => INVALID,
        Trouble::LongTarget => "URI_TOO_LONG",
        Trouble::WrongMethod => "METHOD_NOT_ALLOWED",
        Trouble::OldHttp => "HTTP_VERSION_NOT_SUPPORTED",
        Trouble::TooLarge(_) | Trouble::ChangeTooLarge => TOO_LARGE,
        Trouble::SlowBody => "REQUEST_TIMEOUT",
        Trouble::EncodedBody => "UNSUPPORTED_MEDIA_TYPE",
        Trouble::Busy | Trouble::NotReady | Trouble::OutcomeUnknown => UNAVAILABLE,
        Trouble::DiskFull | Trouble::NoDescriptors => "INSUFFICIENT_STORAGE",
        Trouble::Internal => "INTERNAL_ERROR",
    }
}

/// A broken rule in the vendor's words. Whatever is wrong with the form of a destination is one
/// documented text, which clients may compare; what else may be wrong with it is told.
fn sentence(invalid: &Invalid) -> String {
    let why = &invalid.why;
    let field = match invalid.field {
        "url" if !why.starts_with("must not lead back") && !why.starts_with("must be at most") => {
            return "Invalid destination URL format".to_owned();
        }
        "url" => "destinationUrl",
        "maxClicks" => "clicksLimit",
        "isActive" => "enabled",
        "domain" => "domainId",
        "tagIds" => "tags",
        own => own,
    };
    format!("{field}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_status_and_code() {
        let mistyped = || Refusal::Mistyped(Invalid::new("maxClicks", "must be a number"));
        let not_found = "Link not found";
        let rows = [
            (Failure::Refused(Refusal::Malformed("no".into())), 400, INVALID, "no"),
            (Failure::Refused(mistyped()), 400, INVALID, "clicksLimit: must be a number"),
            (Failure::Refused(Refusal::NotFound("link")), 404, NOT_FOUND, not_found),
            (Failure::NoKey, 401, "UNAUTHORIZED", "Invalid or missing API key"),
            (Failure::BadKey, 401, "INVALID_API_KEY", "Invalid or disabled API key"),
            (Failure::Forbidden("no \u{e9}".into()), 403, "FORBIDDEN", "No \u{e9}"),
            (Failure::UnknownWorkspace, 404, NOT_FOUND, "Workspace not found"),
            (Failure::NotFound("link"), 404, NOT_FOUND, not_found),
            (Failure::AlreadyDeleted("link"), 404, "ALREADY_DELETED", "Link is already deleted"),
            (Failure::CodeTaken("x".into()), 409, "SHORT_CODE_EXISTS", "This short code is already in use"),
            (Failure::Taken("id"), 409, "ALREADY_EXISTS", "id: is already in use"),
            (Failure::NoCredits, 402, "INSUFFICIENT_CREDITS", "Workspace has insufficient credits"),
            (Failure::NoEndpoint, 404, NOT_FOUND, "There is no such endpoint"),
            (Trouble::TooLarge(9).into(), 413, TOO_LARGE, "The body must be at most 9 bytes"),
            (Trouble::ChangeTooLarge.into(), 413, TOO_LARGE, "The change is too large to be stored at once"),
            (Trouble::SlowBody.into(), 408, "REQUEST_TIMEOUT", "The body did not arrive in time"),
            (Trouble::Busy.into(), 503, UNAVAILABLE, "Busy; try again"),
            (Trouble::NotReady.into(), 503, UNAVAILABLE, "The store is not ready; try again"),
            (Trouble::DiskFull.into(), 507, "INSUFFICIENT_STORAGE", "The disk is full; nothing was written"),
            (Trouble::Internal.into(), 500, "INTERNAL_ERROR", "Internal error"),
        ];
        for (failure, status, code, message) in rows {
            let Body { status: got, bytes, .. } = render(&failure);
            let want = format!(r#"{{"success":false,"error":{{"code":"{code}","message":"{message}"}}}}"#);
            assert_eq!((got.as_u16(), String::from_utf8_lossy(&bytes)), (status, want.into()));
        }
    }
}
