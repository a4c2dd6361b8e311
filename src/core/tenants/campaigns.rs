//! Campaigns of the workspaces that the caller sees.
//!
//! A link may keep the id of a campaign that was deleted: views and lists leave out a campaign that does not exist. So a
//! link may refer to one without a precondition.

use std::sync::Arc;

use super::caps::Capped;
use super::viewer::Viewer;
use super::workspaces::only_instance_names_ids;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::history::fields;
use crate::core::history::notes::AuditNote;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::core::view::{CampaignPage, CampaignView};
use crate::log::Precondition;
use crate::model::Invalid;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::campaign::{Campaign, CampaignDraft, CampaignEdit, CampaignRef};
use crate::model::id::{ForeignId, Id};
use crate::model::key::Reach;
use crate::model::workspace::{WorkspaceNumber, check_name};
use crate::table::record::{Stored, StoredOutcome};
use crate::table::{Found, keys};

/// Most campaigns of one workspace: a list reads all of them to sort them. Past it, creations are rejected.
pub const CAMPAIGNS_MAX: usize = 10_000;

/// A page of a short list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// The number of the page, from 1.
    pub page: u64,
    /// Most entries on the page, at least 1.
    pub limit: usize,
}

impl Tenants {
    /// Returns the acting workspace's campaigns, the newest first: one page, or all.
    pub async fn campaigns(&self, context: &Context, paging: Option<Paging>) -> Result<CampaignPage, Error> {
        let prefix = keys::campaigns_of(context.workspace.number);
        let read = move |shared: &Shared, cancel: &Cancel| shared.read_all::<Campaign>(&prefix, cancel);
        let mut all = self.scanning(&context.tenant, read).await?;
        // By serial: the keys sort by ids, which the instance may choose.
        all.sort_by_key(|campaign| std::cmp::Reverse(campaign.serial));
        let total = all.len();
        // `limit` is never 0, also without campaigns.
        let Paging { page, limit } = paging.unwrap_or(Paging { page: 1, limit: total.max(1) });
        let skip = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(limit);
        let workspace = &context.workspace;
        let view = |campaign| CampaignView { campaign, workspace: Arc::clone(workspace) };
        let campaigns = all.into_iter().skip(skip).take(limit).map(view).collect();
        Ok(CampaignPage { campaigns, total: total as u64, page, limit })
    }

    /// Creates a campaign in the acting workspace. Fails with [`Error::Taken`] if its id is in use.
    pub async fn create_campaign(
        &self,
        context: &Context,
        draft: CampaignDraft,
    ) -> Result<CampaignView, Error> {
        check_name("name", &draft.name)?;
        only_instance_names_ids(context, draft.id.as_ref())?;
        let workspace = context.workspace.number;
        // Announced before the count: see `caps`.
        let creating = self.shared.caps.announce(Capped::Campaigns(workspace), 1);
        let there = self.blocking(move |shared| Ok(shared.table.campaigns(workspace)?)).await?;
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        creating.check(
            there,
            CAMPAIGNS_MAX,
            &format!("a workspace has at most {CAMPAIGNS_MAX} campaigns"),
        )?;
        let mut made = None;
        let committed = self
            .commit_new(context, |next_id| {
                let campaign = new_campaign(context, next_id(), draft.id, draft.name);
                let id = &campaign.id;
                let mut effect = Effect::default();
                effect.create(keys::campaign(workspace, id), campaign.encode());
                effect.note(note(&campaign, AuditAct::Create));
                // The other spelling of the id must be free as well.
                if let Some(alias) = &draft.alias {
                    effect
                        .preconditions
                        .push(Precondition { key: keys::campaign(workspace, alias), revision: None });
                }
                effect.store_outcome(context.claim, context.now, || StoredOutcome::Campaign {
                    workspace,
                    id: id.clone(),
                });
                made = Some(campaign);
                effect
            })
            .await?;
        match (committed, made) {
            (Committed::Done, Some(campaign)) => {
                Ok(CampaignView { campaign, workspace: Arc::clone(&context.workspace) })
            }
            // The id or its other spelling is in use, or a repetition was faster.
            _ => Err(Error::Taken { field: "id" }),
        }
    }

    /// Returns a campaign of the acting workspace or of another one within reach.
    pub async fn campaign(&self, context: &Context, named: CampaignRef) -> Result<CampaignView, Error> {
        let found = self.find_campaign(context, named).await?;
        context.object.read(found.revision)?;
        self.campaign_view(found.record)
    }

    /// Changes a campaign: all edits or none.
    pub async fn update_campaign(
        &self,
        context: &Context,
        named: CampaignRef,
        edits: Vec<CampaignEdit>,
    ) -> Result<CampaignView, Error> {
        for _ in 0..ATTEMPTS {
            let found = self.find_campaign(context, named.clone()).await?;
            context.object.check(found.revision)?;
            let mut campaign = found.record.clone();
            // Applied to a fresh record at each attempt.
            for edit in edits.clone() {
                campaign.apply(edit)?;
            }
            campaign.updated_at = context.now;
            let mut effect = Effect::default();
            let key = keys::campaign(campaign.workspace, &campaign.id);
            effect.replace(key, found.revision, campaign.encode());
            let fields = fields::of_campaign(&found.record, &campaign);
            effect.note(note(&campaign, AuditAct::Edit).changing(&fields));
            if let Committed::Done = self.commit(context, effect).await? {
                return self.campaign_view(campaign);
            }
        }
        Err(Error::Busy)
    }

    /// Deletes a campaign. Its links no longer show it.
    pub async fn delete_campaign(&self, context: &Context, named: CampaignRef) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let found = self.find_campaign(context, named.clone()).await?;
            context.object.check(found.revision)?;
            let mut effect = Effect::default();
            // Links keep the id, as they keep those of deleted tags: a campaign may have millions of links.
            effect.remove(keys::campaign(found.record.workspace, &found.record.id), found.revision);
            effect.note(note(&found.record, AuditAct::Delete));
            if let Committed::Done = self.commit(context, effect).await? {
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    async fn find_campaign(&self, context: &Context, named: CampaignRef) -> Result<Found<Campaign>, Error> {
        let viewer = Viewer::of(context);
        self.blocking(move |shared| {
            for workspace in shared.workspaces_with_campaign(&viewer, &named)? {
                if let Some(found) = shared.campaign(workspace, &named)? {
                    return Ok(found);
                }
            }
            Err(Error::NotFound("campaign"))
        })
        .await
    }
}

impl Shared {
    /// Returns the workspaces to search for a campaign, the acting workspace first. A company has a bounded
    /// number of workspaces; for the operator an index has the workspaces with this id.
    fn workspaces_with_campaign(
        &self,
        viewer: &Viewer,
        named: &CampaignRef,
    ) -> Result<Vec<WorkspaceNumber>, Error> {
        let mut workspaces = vec![viewer.acting];
        match &viewer.reach {
            Reach::Workspace(_) => {}
            Reach::Company(_) => {
                let directory = self.directory.load();
                workspaces
                    .extend(directory.workspaces(&viewer.reach).map(|versioned| versioned.record.number));
            }
            Reach::Instance => {
                for id in std::iter::once(&named.id).chain(&named.alias) {
                    // One owner is enough: every workspace is within reach.
                    workspaces.extend(self.table.owners_of_campaign(id, 1)?);
                }
            }
        }
        Ok(workspaces)
    }

    /// Returns the campaign that `named` refers to, or `None` if the workspace has no such campaign.
    pub(in crate::core) fn campaign(
        &self,
        workspace: WorkspaceNumber,
        named: &CampaignRef,
    ) -> Result<Option<Found<Campaign>>, Error> {
        // The id as it was given wins over its other spelling.
        for id in std::iter::once(&named.id).chain(&named.alias) {
            if let Some(found) = self.table.get(&keys::campaign(workspace, id))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Fails if the workspace does not have this campaign. Another workspace's campaign gives the same error
    /// as none.
    pub(in crate::core) fn check_campaign(
        &self,
        workspace: WorkspaceNumber,
        id: Option<&ForeignId>,
    ) -> Result<(), Error> {
        let Some(id) = id else { return Ok(()) };
        self.campaign(workspace, &id.clone().into())?.map(|_| ()).ok_or_else(|| unknown().into())
    }
}

/// Returns the error for an unknown campaign.
pub(in crate::core) fn unknown() -> Invalid {
    Invalid::new("campaignId", "is not a campaign of this workspace")
}

/// Returns a new campaign of the acting workspace. Without an id, its serial is its id.
pub(in crate::core) fn new_campaign(
    context: &Context,
    serial: Id,
    id: Option<ForeignId>,
    name: Box<str>,
) -> Campaign {
    Campaign {
        id: id.unwrap_or_else(|| serial.into()),
        serial,
        workspace: context.workspace.number,
        name,
        created_at: context.now,
        updated_at: context.now,
    }
}

/// Returns the note for the audit list about a campaign.
fn note(campaign: &Campaign, act: AuditAct) -> AuditNote {
    AuditNote::of(campaign.workspace, act, SubjectKind::Campaign, &campaign.id, Some(&campaign.name))
}
