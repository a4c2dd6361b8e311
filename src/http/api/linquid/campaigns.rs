//! Requests about campaigns, and the spelling of their ids.
//!
//! An id that was generated here has no `camp_`, and responses put `camp_` before it. An id that was imported
//! from the vendor has `camp_` already, and is shown unchanged. So both spellings name the same campaign.

use std::borrow::Cow;

use super::paging::paging;
use crate::http::api::dialect::{BadRequest, Command, RequestParts, ScopedCommand, object, read, write};
use crate::model::Invalid;
use crate::model::campaign::{CampaignDraft, CampaignEdit, CampaignRef};
use crate::model::id::ForeignId;

const PREFIX: &str = "camp_";

/// Parses `POST /api/campaigns {name, id?}`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let named = body.text("id")?.value().map(|id| named("id", id)).transpose()?;
    let (id, alias) = named.map_or((None, None), |named| (Some(named.id), named.alias));
    let draft = CampaignDraft { id, alias, name: body.required("name")?.into() };
    write(request, &body, Command::CreateCampaign(draft))
}

/// Parses `PATCH /api/campaigns/{id} {name?}`.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = id(request)?;
    let body = object(request)?;
    let edits = body.optional("name")?.map(|name| CampaignEdit::Name(name.into())).into_iter().collect();
    write(request, &body, Command::UpdateCampaign(id, edits))
}

/// Parses `GET /api/campaigns?page&limit`.
pub(super) fn list(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::Campaigns(Some(paging(&request.query)?)))
}

/// Returns the campaign in the path.
pub(super) fn id(request: &RequestParts<'_>) -> Result<CampaignRef, BadRequest> {
    named("id", request.id).map_err(|_| BadRequest::NotFound("campaign"))
}

/// Returns a campaign by either spelling of its id.
pub(super) fn named(field: &'static str, text: &str) -> Result<CampaignRef, Invalid> {
    let id = ForeignId::parse(field, text)?;
    let other = text.strip_prefix(PREFIX).map_or_else(|| [PREFIX, text].concat(), str::to_owned);
    // Without or with the prefix, some texts are too short or too long for an id: they have one spelling.
    Ok(CampaignRef { id, alias: ForeignId::parse(field, &other).ok() })
}

/// Returns the id as responses show it.
pub(super) fn show(id: &ForeignId) -> Cow<'_, str> {
    let text = id.as_str();
    if text.starts_with(PREFIX) { text.into() } else { [PREFIX, text].concat().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_one_campaign() {
        let long = "x".repeat(62);
        let rows = [
            ("camp_xyz789", "camp_xyz789", Some("xyz789")),
            ("xyz789", "camp_xyz789", Some("camp_xyz789")),
            // Nothing is left without the prefix.
            ("camp_", "camp_", None),
            // With the prefix it would have 67 characters, of which an id has at most 64.
            (&long, &[PREFIX, &long].concat(), None),
        ];
        for (text, shown, other) in rows {
            let named = named("id", text).expect("an id");
            assert_eq!(show(&named.id), shown, "{text}");
            assert_eq!(named.alias.as_ref().map(ForeignId::as_str), other, "{text}");
        }
        assert!(named("id", "a b").is_err());
    }
}
