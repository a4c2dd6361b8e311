//! A link as one line of JSON, for `waypost export` and `import`: what the API shows of it, plus
//! what only a file may hold. A line may also be the body of a `POST /links`.

use serde::Serialize;

use super::render::{Detail, json};
use super::{fields, links};
use crate::clock::Timestamp;
use crate::http::api::dialect::{BadRequest, Imported, LinkView};
use crate::http::api::json::{self, COUNT_RULE, Field, Fields, Json};
use crate::model::Invalid;
use crate::model::link::{DomainChoice, PasswordHash};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(flatten)]
    detail: Detail<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hash: Option<&'a str>,
}

/// The line of a link, without a line break. The password's hash is in it only when asked for.
pub fn show(view: &LinkView, with_password_hash: bool) -> Vec<u8> {
    let hash = view.link.options.password.as_ref().filter(|_| with_password_hash);
    json(&Line { detail: Detail::of(view), password_hash: hash.map(PasswordHash::as_str) })
}

/// A line read back.
pub struct ReadLine {
    /// The workspace that the line names.
    pub workspace: Option<String>,
    /// The link.
    pub link: Imported,
}

/// Reads a line; the error is a sentence that names the field.
pub fn read(line: &[u8]) -> Result<ReadLine, String> {
    let mut body = json::object(line)?;
    body.rename("shortCode", "customSlug");
    let hash = body
        .text("passwordHash")
        .map_err(|error| words(&error))?
        .value()
        .map(PasswordHash::parse)
        .transpose()
        .map_err(|invalid| invalid.to_string())?;
    if body.text("password").map_err(|error| words(&error))?.value() == Some(links::MASK) {
        if hash.is_none() {
            return Err("password: the line tells that there is one, but not its hash; \
                        export with --with-password-hashes"
                .to_owned());
        }
        body.remove("password");
    }
    let draft = links::draft(&body, &DomainChoice::Default).map_err(refusal_words)?;
    let id = body.text("id").map_err(|error| words(&error))?.value();
    let link = Imported {
        draft,
        // An id that is not ours cannot be kept; the link gets one of its own.
        id: id.and_then(|id| id.parse().ok()),
        created_at: instant(&body, "createdAt")?,
        updated_at: instant(&body, "updatedAt")?,
        clicks: body.count("clickCount", COUNT_RULE).map_err(|error| words(&error))?.value().unwrap_or(0),
        hash,
        tags: tags(&body)?,
    };
    let workspace = body.text("workspaceId").map_err(|error| words(&error))?.value().map(str::to_owned);
    Ok(ReadLine { workspace, link })
}

fn instant(body: &Fields, name: &'static str) -> Result<Option<Timestamp>, String> {
    let text = body.text(name).map_err(|error| words(&error))?.value();
    text.map(|text| fields::instant(name, text)).transpose().map_err(|invalid| invalid.to_string())
}

/// Names of tags: as the API shows them (`[{"tag":{"name"}}]`) or plain strings.
fn tags(body: &Fields) -> Result<Vec<Box<str>>, String> {
    let refuse = || "tags: must be an array of names, or of tags as the API shows them".to_owned();
    let Field::Value(items) = body.list("tags").map_err(|error| words(&error))? else {
        return Ok(Vec::new());
    };
    let name = |item: &Json| match item {
        Json::Text(name) => Some(Box::from(name.as_str())),
        Json::Object(outer) => match outer.get("tag") {
            Field::Value(Json::Object(tag)) => tag.text("name").ok()?.value().map(Box::from),
            Field::Value(_) | Field::Null | Field::Absent => None,
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) => None,
    };
    items.iter().map(|item| name(item).ok_or_else(refuse)).collect()
}

fn words(mistyped: &json::Mistyped) -> String {
    mistyped.0.to_string()
}

fn refusal_words(refusal: BadRequest) -> String {
    match refusal {
        BadRequest::Malformed(why) => why,
        BadRequest::Mistyped(invalid) | BadRequest::Rule(invalid) => Invalid::to_string(&invalid),
        BadRequest::NotFound(what) => format!("{what} not found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_cannot_be_links() {
        let rows = [
            ("{", "the body is not valid JSON"),
            ("[]", "the body must be a JSON object"),
            ("{}", "url: is required"),
            (r#"{"url":"https://e.test/","clickCount":"5"}"#, "clickCount: must be a whole number"),
            (r#"{"url":"https://e.test/","createdAt":"yesterday"}"#, "createdAt: must be an ISO 8601"),
            (
                r#"{"url":"https://e.test/","password":"********"}"#,
                "password: the line tells that there is one",
            ),
            (
                r#"{"url":"https://e.test/","passwordHash":"md5"}"#,
                "passwordHash: must be an Argon2 hash in PHC form",
            ),
            (r#"{"url":"https://e.test/","tags":[{"id":"x"}]}"#, "tags: must be an array of names"),
            (r#"{"url":"https://e.test/","shortCode":"a/b"}"#, "customSlug: must consist of"),
        ];
        for (line, want) in rows {
            let error = read(line.as_bytes()).err().unwrap_or_default();
            assert!(error.starts_with(want), "{line}: {error}");
        }
    }

    #[test]
    fn an_exported_line_and_a_create_body_both_read() {
        let exported = r##"{"id":"0N88vwqiElLIf3iP0wzK","shortCode":"x","url":"https://e.test/","domain":"localhost",
            "tags":[{"tag":{"id":"0N88vwqiElLIf3iP0wzK","name":"promo","color":"#000000"}}],"clickCount":7,
            "password":"********","passwordHash":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$qCpuu1cMQmyfBhUCcnFLPg","createdAt":"2024-01-15T10:30:00.000Z",
            "workspaceId":"ws_1","webhookUrls":null,"campaignId":null,"redirectType":"307"}"##;
        let line = read(exported.as_bytes()).expect("an exported line");
        assert_eq!((line.workspace.as_deref(), line.link.clicks), (Some("ws_1"), 7));
        assert_eq!(line.link.tags, [Box::from("promo")]);
        assert_eq!(line.link.draft.code.as_ref().map(crate::model::short_code::ShortCode::as_str), Some("x"));
        assert!(line.link.id.is_some() && line.link.hash.is_some() && line.link.draft.password.is_none());
        let plain = read(br#"{"url":"https://e.test/","tags":["a","b"]}"#).expect("a create body");
        assert_eq!((plain.link.tags.len(), plain.link.id, plain.link.created_at), (2, None, None));
    }
}
