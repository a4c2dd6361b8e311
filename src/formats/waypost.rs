//! Waypost's own format: JSON Lines, each line the object that the native API shows of a link, with members
//! that only a file may contain. A line may also be the body of a `POST /api/v1/links`.
//!
//! The JSON of a link is defined here once. The native API uses the same fields and objects.

pub mod changes;
pub mod draft;
pub mod fields;
pub mod known;
pub mod link_json;
pub mod rule_json;
mod rule_values;
pub mod rules;
pub mod spelling;

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Serialize;

use self::known::KnownFields;
use self::link_json::Detail;
use super::format::{Extras, Format, ImportLine};
use crate::core::{Imported, LinkView};
use crate::json::{self, COUNT_RULE, Field, FieldError, Json, Mistyped, Object};
use crate::model::Invalid;
use crate::model::link::{DomainChoice, PasswordHash};
use crate::model::tag::check_color;
use crate::model::workspace::check_name;

/// The fields of a line: those of a new link, and those that only an export has.
pub const LINE: KnownFields = &[
    draft::NAMES,
    // Not `reuse`: each line of a file is a link.
    &["codePrefix"],
    &fields::OPTION_NAMES,
    &["aliases", "tags", "workspaceId", "passwordHash", "campaignName"],
    link_json::READ_ONLY,
];

/// The same as a set: a file has millions of lines.
static KNOWN: LazyLock<HashSet<&str>> = LazyLock::new(|| LINE.iter().copied().flatten().copied().collect());

/// The format.
pub(super) const FORMAT: Format = Format { name: "waypost", write, read };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExportLine<'a> {
    #[serde(flatten)]
    detail: Detail<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_name: Option<&'a str>,
}

fn write(view: &LinkView, extras: Extras<'_>) -> Vec<u8> {
    let Extras { with_password_hash, campaign_name } = extras;
    let hash = view.link.options.password.as_ref().filter(|_| with_password_hash);
    let password_hash = hash.map(PasswordHash::as_str);
    json::to_bytes(&ExportLine { detail: Detail::of_export(view), password_hash, campaign_name })
}

fn read(line: &[u8]) -> Result<ImportLine, String> {
    parse(json::object(line)?).map_err(|error| error.to_string())
}

fn parse(mut body: Object) -> Result<ImportLine, FieldError> {
    let unknown =
        body.iter().map(|(name, _)| name).filter(|name| !KNOWN.contains(name)).map(Box::from).collect();
    // An export has the name of a response, a create that of a request; the reader knows the latter.
    body.rename("shortCode", "customSlug");
    let hash = body.text("passwordHash")?.value().map(PasswordHash::parse).transpose()?;
    // The mask with a hash is an export; alone it is a password that is lost, and the link would be open.
    if body.text("password")?.value() == Some(draft::MASK) {
        if hash.is_none() {
            let why = "the line has no hash of its password; export with --with-password-hashes";
            return Err(Invalid::new("password", why).into());
        }
        body.remove("password");
    }
    let draft = draft::read(&body, &DomainChoice::Default)?;
    let mut link = Imported {
        draft,
        // An id of another program cannot be kept: the link gets a generated id.
        id: body.text("id")?.value().and_then(|id| id.parse().ok()),
        // Times and clicks are kept, so that a moved link has the same statistics.
        created_at: body.instant("createdAt")?.value(),
        updated_at: body.instant("updatedAt")?.value(),
        clicks: body.count("clickCount", COUNT_RULE)?.value().unwrap_or(0),
        hash,
        aliases: draft::aliases(&body)?,
    };
    link.draft.names.campaign_name = campaign_name(&body)?;
    // By name and not by id: the tags of another instance have other ids.
    let tags = tags(&body)?;
    link.draft.names.tags = Some(tags.iter().map(|(name, _)| name.clone()).collect());
    for (name, color) in tags {
        if let Some(color) = color {
            check_color(&color).map_err(|invalid| Invalid { field: "tags", ..invalid })?;
            link.draft.names.tag_colors.insert(name, color);
        }
    }
    Ok(ImportLine { workspace: body.text("workspaceId")?.value().map(str::to_owned), link, unknown })
}

/// Returns the name of the campaign, which only an export has.
fn campaign_name(body: &Object) -> Result<Option<Box<str>>, FieldError> {
    let Some(name) = body.text("campaignName")?.value() else { return Ok(None) };
    check_name("campaignName", name)?;
    Ok(Some(name.into()))
}

/// Returns the names of the tags, with their colors in an export. They are written as in the API
/// (`[{"tag":{"name"}}]`) or as plain strings.
fn tags(body: &Object) -> Result<Vec<(Box<str>, Option<Box<str>>)>, Mistyped> {
    let mistyped =
        || Mistyped(Invalid::new("tags", "must be an array of names, or of tags as the API shows them"));
    let Field::Value(items) = body.list("tags")? else { return Ok(Vec::new()) };
    let tag = |item: &Json| match item {
        Json::Text(name) => Some((Box::from(name.as_str()), None)),
        Json::Object(outer) => match outer.get("tag") {
            Field::Value(Json::Object(tag)) => {
                let color = tag.text("color").ok()?.value().map(Box::from);
                tag.text("name").ok()?.value().map(|name| (name.into(), color))
            }
            Field::Value(_) | Field::Null | Field::Absent => None,
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) => None,
    };
    items.iter().map(|item| tag(item).ok_or_else(mistyped)).collect()
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
            // A number in quotes: no type is converted without an error.
            (r#"{"url":"https://e.test/","clickCount":"5"}"#, "clickCount: must be a whole number"),
            (r#"{"url":"https://e.test/","createdAt":"yesterday"}"#, "createdAt: must be a date such as"),
            (r#"{"url":"https://e.test/","password":"********"}"#, "password: the line has no hash"),
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
        assert_eq!(line.link.draft.names.tags, Some(vec![Box::from("promo")]));
        assert_eq!(line.link.draft.names.tag_colors.get("promo").map(|color| &**color), Some("#000000"));
        assert_eq!(line.link.draft.code.as_ref().map(crate::model::short_code::ShortCode::as_str), Some("x"));
        assert!(line.link.id.is_some() && line.link.hash.is_some() && line.link.draft.password.is_none());
        assert_eq!(line.unknown, [""; 0].map(Box::from), "an export has no unknown field");
        // What a client would send to create a link.
        let plain = read(br#"{"url":"https://e.test/","tags":["a","b"]}"#).expect("a create body");
        assert_eq!(
            (plain.link.draft.names.tags.map(|tags| tags.len()), plain.link.id, plain.link.created_at),
            (Some(2), None, None)
        );
        let unknown =
            read(br#"{"url":"https://e.test/","slug":"q","shortCode":"a","b c":1}"#).expect("a line").unknown;
        assert_eq!(unknown, ["b c", "slug"].map(Box::from));
    }
}
