//! Requests about campaigns, and how their ids are spelt.
//!
//! A campaign made here or natively has an id without `camp_`, which is put before it; one that
//! was brought along from the vendor has it already, and is shown as it is. So a spelling with it
//! and one without mean the same campaign.

use std::borrow::Cow;

use super::{object, write};
use crate::http::api::dialect::{BadRequest, Command, RequestParts, ScopedCommand};
use crate::http::api::json::{Field, Mistyped};
use crate::model::Invalid;
use crate::model::campaign::{CampaignDraft, CampaignEdit, CampaignRef};
use crate::model::id::ForeignId;

const PREFIX: &str = "camp_";

/// `POST /api/campaigns {name, id?}`.
pub(super) fn create(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let named = body.text("id")?.value().map(|id| named("id", id)).transpose()?;
    let (id, or) = named.map_or((None, None), |named| (Some(named.id), named.or));
    let draft = CampaignDraft { id, or, name: body.required("name")?.into() };
    write(call, &body, Command::CreateCampaign(draft))
}

/// `PATCH /api/campaigns/{id} {name?}`.
pub(super) fn update(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = id(call)?;
    let body = object(call)?;
    let edits = match body.text("name")? {
        Field::Absent => Vec::new(),
        Field::Null => return Err(Mistyped(Invalid::new("name", "must be a string")).into()),
        Field::Value(name) => vec![CampaignEdit::Name(name.into())],
    };
    write(call, &body, Command::UpdateCampaign(id, edits))
}

/// The campaign in the path.
pub(super) fn id(call: &RequestParts<'_>) -> Result<CampaignRef, BadRequest> {
    named("id", call.id).map_err(|_| BadRequest::NotFound("campaign"))
}

/// A campaign by either spelling of its id.
pub(super) fn named(field: &'static str, text: &str) -> Result<CampaignRef, Invalid> {
    let id = ForeignId::parse(field, text)?;
    let other = text.strip_prefix(PREFIX).map_or_else(|| [PREFIX, text].concat(), str::to_owned);
    // What is left of, or becomes of, some texts is no id: they are spelt in one way only.
    Ok(CampaignRef { id, or: ForeignId::parse(field, &other).ok() })
}

/// A campaign's id as it is printed.
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
            ("camp_", "camp_", None),
            (&long, &[PREFIX, &long].concat(), None),
        ];
        for (text, shown, other) in rows {
            let named = named("id", text).expect("an id");
            assert_eq!(show(&named.id), shown, "{text}");
            assert_eq!(named.or.as_ref().map(ForeignId::as_str), other, "{text}");
        }
        assert!(named("id", "a b").is_err());
    }
}
