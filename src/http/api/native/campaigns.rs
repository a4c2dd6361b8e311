//! Campaigns in the native dialect. The vendor has none; these are ours (docs/decisions.md A15).

use serde::Serialize;

use super::places::{foreign_id, set_text};
use super::{object, write};
use crate::http::api::dialect::{BadRequest, CampaignView, Command, RequestParts, ScopedCommand};
use crate::model::campaign::{CampaignDraft, CampaignEdit};

/// `POST /campaigns {name, id?}`.
pub(super) fn create(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let draft = CampaignDraft { id: foreign_id(&body, "id")?, or: None, name: body.required("name")?.into() };
    write(call, &body, Command::CreateCampaign(draft))
}

/// `PATCH /campaigns/{id} {name?}`.
pub(super) fn update(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = call.foreign_id("campaign")?;
    let body = object(call)?;
    let edits = set_text(&body, "name")?.map(|name| CampaignEdit::Name(name.into())).into_iter().collect();
    write(call, &body, Command::UpdateCampaign(id.into(), edits))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CampaignJson<'a> {
    id: &'a str,
    name: &'a str,
    workspace_id: &'a str,
    created_at: String,
    updated_at: String,
}

impl<'a> CampaignJson<'a> {
    pub(super) fn of(view: &'a CampaignView) -> CampaignJson<'a> {
        let campaign = &view.campaign;
        CampaignJson {
            id: campaign.id.as_str(),
            name: &campaign.name,
            workspace_id: view.workspace.id.as_str(),
            created_at: campaign.created_at.to_string(),
            updated_at: campaign.updated_at.to_string(),
        }
    }
}
