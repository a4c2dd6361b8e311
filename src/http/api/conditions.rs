//! `ETag`, `If-Match` and `If-None-Match`: a tag is the revision of a record, in hexadecimal digits.
//!
//! A tag changes with each edit and with nothing else: not with the clicks of a link, nor with what a response shows of
//! other objects. So 304 says that nobody has edited the object.

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::{HeaderMap, Response, StatusCode};

use crate::core::{ObjectRevision, Revisions};
use crate::http::api::dialect::{ApiError, BadRequest};
use crate::http::body::{Content, HttpResponse};
use crate::log::Position;
use crate::model::Invalid;
use crate::visit::entity_tag::{self, Listed};

/// Most tags in one header.
const TAGS_MAX: usize = 100;

/// Parses the conditions of a request. A GET is answered first, and `unless_current` compares its `If-None-Match` with the
/// tag of the response.
pub(super) fn parse(headers: &HeaderMap, is_get: bool) -> Result<ObjectRevision, ApiError> {
    let required = revisions(headers, &IF_MATCH, "If-Match")?;
    let known = if is_get { None } else { revisions(headers, &IF_NONE_MATCH, "If-None-Match")? };
    Ok(ObjectRevision::new(required, known))
}

/// Returns the tag of a revision.
pub(super) fn tag(revision: Position) -> HeaderValue {
    entity_tag::spelt(&format!("{:x}", revision.0))
}

/// Returns 304 without a body in place of a content that the client of a GET has.
pub(super) fn unless_current(request: &HeaderMap, response: HttpResponse) -> HttpResponse {
    let tag = response.headers().get(ETAG).filter(|_| response.status() == StatusCode::OK);
    if !tag.is_some_and(|tag| entity_tag::is_current(request, tag)) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Content::default())
}

fn revisions(
    headers: &HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<Revisions>, ApiError> {
    let error = || {
        let why =
            "must be `*`, or at most 100 tags in double quotes as an `ETag` has them, with commas between";
        ApiError::BadRequest(BadRequest::Mistyped(Invalid::new(name, why)))
    };
    if !headers.contains_key(header) {
        return Ok(None);
    }
    let mut tags = Vec::new();
    let mut is_any = false;
    for entry in entity_tag::listed(headers, header) {
        match entry {
            Listed::Any => is_any = true,
            Listed::Tag(text) => tags.push(revision(text)),
            Listed::Malformed => return Err(error()),
        }
    }
    if tags.len() > TAGS_MAX || (is_any && !tags.is_empty()) || (!is_any && tags.is_empty()) {
        return Err(error());
    }
    Ok(Some(if is_any { Revisions::Any } else { Revisions::OneOf(tags.into()) }))
}

/// Returns the revision with this text in its tag; 0, which no object has, for the text of another server.
fn revision(text: &str) -> Position {
    // Spelt as `tag` spells it, so that a revision has one tag.
    let is_ours = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Position(if is_ours { u64::from_str_radix(text, 16).unwrap_or(0) } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_parsed() {
        let one_of = |tags: &[u64]| Ok(Some(Revisions::OneOf(tags.iter().copied().map(Position).collect())));
        let rows: [(&[&str], Result<Option<Revisions>, ()>); 13] = [
            (&[], Ok(None)),
            (&["*"], Ok(Some(Revisions::Any))),
            (&["\"1f\""], one_of(&[31])),
            (&["W/\"1f\""], one_of(&[31])),
            (&["\"1\", \"2\" ,", "\"3\""], one_of(&[1, 2, 3])),
            // Of another server.
            (&["\"1F\", \"\", \"+1\", \"11111111111111111\""], one_of(&[0, 0, 0, 0])),
            (&["1f"], Err(())),
            (&["\"1f"], Err(())),
            (&["w/\"1f\""], Err(())),
            (&["*, \"1\""], Err(())),
            (&[""], Err(())),
            (&["\""], Err(())),
            (&["\u{e9}"], Err(())),
        ];
        for (lines, want) in rows {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_MATCH, HeaderValue::from_bytes(line.as_bytes()).expect("legal"));
            }
            assert_eq!(revisions(&headers, &IF_MATCH, "If-Match").map_err(|_| ()), want, "{lines:?}");
        }
        let many = vec!["\"1\""; TAGS_MAX + 1].join(",");
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::try_from(many).expect("ASCII"))]);
        assert!(parse(&headers, false).is_err() && parse(&headers, true).is_ok());
        assert_eq!(tag(Position(31)), "\"1f\"");
    }
}
