//! Workspaces and companies within the caller's reach.

use std::sync::Arc;

use super::commit::{ATTEMPTS, Committed, Effect};
use super::directory::Held;
use super::{Context, Error, Links, WorkspaceView, credits};
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::key::Reach;
use crate::model::workspace::{
    Company, CompanyDraft, Workspace, WorkspaceDraft, WorkspaceEdit, WorkspaceNumber, check_name,
};
use crate::table::keys;
use crate::table::record::{Number, Stored, StoredOutcome};

impl Links {
    /// All workspaces within reach, the newest first.
    pub async fn workspaces(&self, context: &Context) -> Result<Vec<WorkspaceView>, Error> {
        let all: Vec<_> =
            self.directory().workspaces(&context.reach).rev().map(|held| Arc::clone(&held.record)).collect();
        let mut views = Vec::with_capacity(all.len());
        for workspace in all {
            views.push(self.workspace_view(&workspace).await?);
        }
        Ok(views)
    }

    /// Makes a workspace, in the caller's company unless an instance key names another.
    pub async fn create_workspace(
        &self,
        context: &Context,
        draft: WorkspaceDraft,
    ) -> Result<WorkspaceView, Error> {
        check_name("name", &draft.name)?;
        if matches!(context.reach, Reach::Workspace(_)) {
            return Err(Error::Forbidden("a workspace key cannot make workspaces".to_owned()));
        }
        only_instance_names_ids(context, draft.id.as_ref())?;
        let company = self.choose_company(context, draft.company.as_ref())?;
        for _ in 0..ATTEMPTS {
            let last =
                self.directory().workspaces(&Reach::Instance).next_back().map(|held| held.record.number.0);
            let number = WorkspaceNumber(last.map_or(0, |last| last + 1));
            let mut workspace = Workspace {
                number,
                id: draft.id.clone().unwrap_or_else(|| Id::from_bits(0).into()),
                company: company.clone(),
                name: draft.name.clone(),
                credits: None,
                default_domain: None,
                custom_values: std::collections::BTreeMap::new(),
                created_at: context.now,
            };
            for edit in draft.edits.clone() {
                workspace.apply(edit)?;
            }
            self.check_default_domain(&workspace)?;
            let committed = self
                .commit_new(context, |next_id| {
                    if draft.id.is_none() {
                        workspace.id = next_id().into();
                    }
                    let mut effect = Effect::default();
                    effect.create(keys::workspace_id(&workspace.id), Number(u64::from(number.0)).encode());
                    effect.create(keys::workspace(number), workspace.encode());
                    if workspace.credits.is_some() {
                        credits::set(&mut effect, &workspace);
                    }
                    effect.answer(context.claim, context.now, || StoredOutcome::Workspace(number));
                    effect
                })
                .await?;
            match committed {
                Committed::Done => return self.workspace_view(&Arc::new(workspace)).await,
                Committed::Conflict(key) if key == keys::workspace_id(&workspace.id) => {
                    return Err(Error::Taken { field: "id" });
                }
                Committed::Conflict(_) => {}
            }
        }
        Err(Error::Busy)
    }

    /// One workspace.
    pub async fn workspace(&self, context: &Context, id: &ForeignId) -> Result<WorkspaceView, Error> {
        self.workspace_view(&self.find_workspace(context, id)?.record).await
    }

    /// Changes a workspace. Credits are for those above it to set.
    pub async fn update_workspace(
        &self,
        context: &Context,
        id: &ForeignId,
        edits: Vec<WorkspaceEdit>,
    ) -> Result<WorkspaceView, Error> {
        let sets_credits = edits.iter().any(|edit| matches!(edit, WorkspaceEdit::Credits(_)));
        if sets_credits && matches!(context.reach, Reach::Workspace(_)) {
            return Err(Error::Forbidden("a workspace key cannot set its own credits".to_owned()));
        }
        for _ in 0..ATTEMPTS {
            let held = self.find_workspace(context, id)?;
            let mut workspace = (*held.record).clone();
            for edit in edits.clone() {
                workspace.apply(edit)?;
            }
            self.check_default_domain(&workspace)?;
            // New values may lead links elsewhere: what they close must not change until the values
            // are applied.
            let (number, values) = (workspace.number, &workspace.custom_values);
            let moved = if *values == held.record.custom_values {
                None
            } else {
                Some(self.moved_by(&context.tenant, number, values).await?)
            };
            let mut effect = Effect::default();
            effect.replace(keys::workspace(workspace.number), held.revision, workspace.encode());
            if sets_credits {
                credits::set(&mut effect, &workspace);
            }
            let committed = match &moved {
                None => self.commit(context, effect).await?,
                Some(moved) => {
                    let commit = async {
                        if !self.0.check_values(number, values, moved)? {
                            return Ok(None);
                        }
                        self.commit(context, effect).await.map(Some)
                    };
                    let Some(committed) = self.0.exclusive.hold_exclusive(&context.tenant, commit).await?
                    else {
                        continue;
                    };
                    committed
                }
            };
            if let Committed::Done = committed {
                return self.workspace_view(&Arc::new(workspace)).await;
            }
        }
        Err(Error::Busy)
    }

    /// All companies within reach, the oldest first.
    pub fn companies(&self, context: &Context) -> Vec<Company> {
        let seen = |company: &Company| match &context.reach {
            Reach::Instance => true,
            Reach::Company(id) => company.id == *id,
            Reach::Workspace(_) => company.id == context.workspace.company,
        };
        let directory = self.directory();
        let mut companies: Vec<Company> = directory
            .companies()
            .filter(|held| seen(&held.record))
            .map(|held| (*held.record).clone())
            .collect();
        companies.sort_by_key(|company| company.created_at);
        companies
    }

    /// Makes a company. Only instance keys can.
    pub async fn create_company(&self, context: &Context, draft: CompanyDraft) -> Result<Company, Error> {
        draft.check()?;
        if context.reach != Reach::Instance {
            return Err(Error::Forbidden("only an instance key may make companies".to_owned()));
        }
        let mut made = None;
        let committed = self
            .commit_new(context, |next_id| {
                let id = next_id();
                let company = Company {
                    relationship_number: draft
                        .relationship_number
                        .unwrap_or_else(|| drawn_relationship_number(id.bits())),
                    id: draft.id.unwrap_or_else(|| id.into()),
                    name: draft.name,
                    created_at: context.now,
                };
                let mut effect = Effect::default();
                effect.create(keys::company(&company.id), company.encode());
                effect.answer(context.claim, context.now, || StoredOutcome::Company(company.id.clone()));
                made = Some(company);
                effect
            })
            .await?;
        match (committed, made) {
            (Committed::Done, Some(company)) => Ok(company),
            _ => Err(Error::Taken { field: "id" }),
        }
    }

    fn choose_company(&self, context: &Context, named: Option<&ForeignId>) -> Result<ForeignId, Error> {
        let own = match &context.reach {
            Reach::Company(id) => id.clone(),
            Reach::Instance | Reach::Workspace(_) => context.workspace.company.clone(),
        };
        let Some(named) = named else { return Ok(own) };
        let within = context.reach == Reach::Instance || *named == own;
        if within && self.directory().company(named).is_some() {
            return Ok(named.clone());
        }
        Err(Invalid::new("companyId", "is not a company within this key's reach").into())
    }

    fn check_default_domain(&self, workspace: &Workspace) -> Result<(), Invalid> {
        let Some(id) = workspace.default_domain else { return Ok(()) };
        let directory = self.directory();
        let domain = directory.domains().find(|domain| domain.id == id);
        match domain.filter(|domain| domain.workspace.is_none_or(|owner| owner == workspace.number)) {
            Some(_) => Ok(()),
            None => Err(Invalid::new("defaultDomain", "is not a domain of this workspace")),
        }
    }

    pub(super) fn find_workspace(&self, context: &Context, id: &ForeignId) -> Result<Held<Workspace>, Error> {
        let directory = self.directory();
        let found = directory.workspaces(&context.reach).find(|held| held.record.id == *id).cloned();
        found.ok_or(Error::NotFound("workspace"))
    }

    pub(super) async fn workspace_view(&self, workspace: &Arc<Workspace>) -> Result<WorkspaceView, Error> {
        let credits = self.credits_left(workspace).await?;
        let directory = self.directory();
        let chosen =
            workspace.default_domain.and_then(|id| directory.domains().find(|domain| domain.id == id));
        let default_domain =
            chosen.map_or_else(|| self.0.site.host().to_owned(), |domain| self.0.site.name_of(domain));
        Ok(WorkspaceView { workspace: Arc::clone(workspace), default_domain, credits })
    }
}

pub(super) fn only_instance_names_ids(context: &Context, id: Option<&ForeignId>) -> Result<(), Error> {
    if id.is_some() && context.reach != Reach::Instance {
        return Err(Error::Forbidden("only an instance key may choose ids".to_owned()));
    }
    Ok(())
}

/// A number of HighLevel's form; unique enough for people, ids are what is unique for us.
pub(super) fn drawn_relationship_number(chance: u128) -> Box<str> {
    format!("0-{:03}-{:03}", chance % 1_000, chance / 1_000 % 1_000).into()
}
