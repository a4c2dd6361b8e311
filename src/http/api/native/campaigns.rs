//! Campaigns in the native dialect. The vendor has none: they follow its style (docs/decisions.md A15).

use serde::Serialize;

use crate::http::api::dialect::{
    BadRequest, CampaignView, Command, RequestParts, ScopedCommand, foreign_id, object, write,
};
use crate::model::campaign::{CampaignDraft, CampaignEdit};

/// The fields of a new campaign.
pub(super) const NEW: &[&[&str]] = &[&["name", "id", "workspaceId"]];

/// The fields of a changed campaign: a client may send back a whole campaign.
pub(super) const CHANGE: &[&[&str]] = &[&["name", "workspaceId"], READ_ONLY];

/// The fields of a whole campaign that no change sets.
pub(super) const READ_ONLY: &[&str] = &["id", "createdAt", "updatedAt"];

/// Parses `POST /campaigns {name, id?}`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    // An id has a second spelling (`or`) in Linquid's dialect alone.
    let draft =
        CampaignDraft { id: foreign_id(&body, "id")?, alias: None, name: body.required("name")?.into() };
    write(request, &body, Command::CreateCampaign(draft))
}

/// Parses `PATCH /campaigns/{id} {name?}`.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = request.foreign_id("campaign")?;
    let body = object(request)?;
    let edits = body.optional("name")?.map(|name| CampaignEdit::Name(name.into())).into_iter().collect();
    write(request, &body, Command::UpdateCampaign(id.into(), edits))
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
