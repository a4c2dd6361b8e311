//! Shares of statistics in the native dialect.

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::formats::waypost::draft::MASK;
use crate::http::api::dialect::{
    BadRequest, ClickShareView, Command, RequestParts, ScopedCommand, object, write, zone_of,
};
use crate::json::{AsText, Field, Object};
use crate::model::Invalid;
use crate::model::click_share::{ClickShareDraft, ClickSharePatch, SharedClicks};
use crate::model::id::Id;
use crate::model::link::Password;

/// The fields of a new share.
pub(super) const NEW: &[&[&str]] =
    &[&["linkId", "tagId", "password", "expiresAt", "timezone", "workspaceId"]];

/// The fields of a changed share: a client may send back a whole share.
pub(super) const CHANGE: &[&[&str]] = &[&["password", "expiresAt", "timezone", "workspaceId"], READ_ONLY];

/// The fields of a whole share that no change sets.
pub(super) const READ_ONLY: &[&str] = &["id", "linkId", "tagId", "shareLink", "createdAt"];

/// Parses `POST /analytics/shares {linkId | tagId, password?, expiresAt?, timezone?, workspaceId?}`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let password = match body.text("password")?.value() {
        // It only stands for a hidden password.
        Some(MASK) => return Err(Invalid::new("password", "must not be ********").into()),
        Some(text) => Some(Password::parse(text)?),
        None => None,
    };
    let zone = body.text("timezone")?.value().map(|text| zone_of(text, "timezone")).transpose()?;
    let draft = ClickShareDraft {
        of: of(&body)?,
        password,
        timezone: zone.as_ref().and_then(|zone| zone.iana_name()).map(Into::into),
        // The page has the days of this zone.
        expires_at: body.end("expiresAt")?.value().map(|end| end.within(|| zone.unwrap_or(TimeZone::UTC))),
    };
    write(request, &body, Command::ShareClicks(draft))
}

/// Parses `PATCH /analytics/shares/{id} {password?, expiresAt?, timezone?}`.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = request.id("share")?;
    let body = object(request)?;
    let password = match body.text("password")? {
        // A client that sends back a whole share sends what it was shown.
        Field::Value(MASK) => Field::Absent,
        text => text.map(Password::parse).transpose()?,
    };
    let zone = body.text("timezone")?.map(|text| zone_of(text, "timezone")).transpose()?;
    let name = |zone: TimeZone| zone.iana_name().map(Into::into);
    let patch = ClickSharePatch {
        password: password.nullable(),
        expires_at: body.end("expiresAt")?.nullable(),
        timezone: zone.nullable().map(|zone| zone.and_then(name)),
    };
    write(request, &body, Command::UpdateClickShare(id, patch))
}

/// Returns what a new share shows.
fn of(body: &Object) -> Result<SharedClicks, BadRequest> {
    // As in a path: an id that no object can have is an object that does not exist.
    let id = |text: &str, what| text.parse().map_err(|_| BadRequest::NotFound(what));
    match (body.text("linkId")?, body.text("tagId")?) {
        (Field::Value(_), Field::Value(_)) => {
            Err(Invalid::new("tagId", "cannot be given together with linkId").into())
        }
        (Field::Value(link), _) => Ok(SharedClicks::Link(id(link, "link")?)),
        (_, Field::Value(tag)) => Ok(SharedClicks::Tag(id(tag, "tag")?)),
        // A rule, since null and an empty text fit the schema.
        _ => Err(Invalid::new("linkId", "is required, or tagId").into()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClickShareJson<'a> {
    id: AsText<Id>,
    link_id: Option<AsText<Id>>,
    tag_id: Option<AsText<Id>>,
    share_link: &'a str,
    password: Option<&'static str>,
    expires_at: String,
    timezone: &'a str,
    created_at: String,
}

impl<'a> ClickShareJson<'a> {
    pub(super) fn of(view: &'a ClickShareView) -> ClickShareJson<'a> {
        let share = &view.share;
        let (link_id, tag_id) = match share.of {
            SharedClicks::Link(id) => (Some(AsText(id)), None),
            SharedClicks::Tag(id) => (None, Some(AsText(id))),
        };
        ClickShareJson {
            id: AsText(share.id),
            link_id,
            tag_id,
            share_link: &view.url,
            // Whether there is a password, and nothing of it.
            password: share.password.as_ref().map(|_| MASK),
            expires_at: share.expires_at.to_string(),
            timezone: share.timezone.as_deref().unwrap_or("UTC"),
            created_at: share.created_at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::check_parse;

    #[test]
    fn shares() {
        let id = "000000000000000000AB";
        let share = |of: &str, expires_at: &str| {
            format!(
                "ShareClicks(ClickShareDraft {{ of: {of}({id}), password: None, expires_at: {expires_at}, timezone: None }})"
            )
        };
        check_parse(create, &format!(r#"{{"linkId":"{id}"}}"#), Ok(&share("Link", "None")));
        check_parse(create, &format!(r#"{{"tagId":"{id}","expiresAt":""}}"#), Ok(&share("Tag", "None")));
        let rule = |field, why| Err(BadRequest::Rule(Invalid::new(field, why)));
        let both = "cannot be given together with linkId";
        check_parse(create, r#"{"linkId":"a","tagId":"b"}"#, rule("tagId", both));
        let masked = format!(r#"{{"linkId":"{id}","password":"********"}}"#);
        check_parse(create, &masked, rule("password", "must not be ********"));
        let zone = "must be a name of the IANA database, such as Europe/Berlin or Asia/Kolkata";
        let on_mars = format!(r#"{{"linkId":"{id}","timezone":"Mars"}}"#);
        check_parse(create, &on_mars, rule("timezone", zone));
        check_parse(create, r#"{"linkId":"a"}"#, Err(BadRequest::NotFound("link")));
        check_parse(create, "{}", rule("linkId", "is required, or tagId"));
    }
}
