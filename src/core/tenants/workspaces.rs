//! Workspaces and companies within the caller's reach.

use std::sync::Arc;

use super::caller::Caller;
use super::caps::{Capped, Creating};
use super::credits;
use super::directory::{Versioned, tenant_of_workspace};
use super::weights;
use crate::core::commit::{ATTEMPTS, Committed, Effect, chance};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::history::fields;
use crate::core::history::notes::AuditNote;
use crate::core::shared::Shared;
use crate::core::view::WorkspaceView;
use crate::model::Invalid;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::id::{ForeignId, Id};
use crate::model::key::Reach;
use crate::model::tenant::Tenant;
use crate::model::workspace::{
    Company, CompanyDraft, Workspace, WorkspaceDraft, WorkspaceEdit, WorkspaceNumber, check_name,
};
use crate::table::keys;
use crate::table::record::{CompanyId, Number, Stored, StoredOutcome};

/// Most workspaces of one company: a list returns all of them, and all are in memory, which one company's key
/// could fill otherwise. Keys of one reach and domains of one workspace have the same cap. Past it, creations
/// are forbidden. Only the operator creates companies.
const WORKSPACES_MAX: usize = 1_000;

/// Random relationship numbers that are tried for a new company. There are a million numbers, so with a
/// thousand companies one attempt in a thousand finds a used number.
const NUMBERS_TRIED_MAX: usize = 32;

impl Tenants {
    /// Returns ids and names of the workspaces within the caller's reach, the oldest first, at most `limit`.
    pub fn workspace_names(&self, caller: &Caller, limit: usize) -> Vec<(String, String)> {
        let directory = self.directory();
        let within = directory.workspaces(&caller.reach()).take(limit);
        within.map(|versioned| (versioned.record.id.to_string(), versioned.record.name.to_string())).collect()
    }

    /// Returns all workspaces within reach, the newest first.
    pub async fn workspaces(&self, context: &Context) -> Result<Vec<WorkspaceView>, Error> {
        let reach = context.reach.clone();
        self.scanning(&context.tenant, move |shared, cancel| {
            let directory = shared.directory.load();
            let all = directory.workspaces(&reach).rev().take_while(|_| !cancel.is_set());
            all.map(|versioned| shared.workspace_view(&directory, &versioned.record)).collect()
        })
        .await
    }

    /// Creates a workspace in the caller's company, or in the company that an instance key names.
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
        // Announced before the count: see `caps`.
        let creating = self.shared.caps.announce(Capped::Workspaces(company.clone()), 1);
        let there = self.directory().workspace_count(&company);
        creating.check(
            there,
            WORKSPACES_MAX,
            &format!("a company has at most {WORKSPACES_MAX} workspaces"),
        )?;
        for _ in 0..ATTEMPTS {
            // At each attempt, since a number that conflicted is in use.
            let number = self.shared.next_workspace();
            let mut workspace = Workspace {
                number,
                // Replaced below, where ids are generated in the order of the log.
                id: draft.id.clone().unwrap_or_else(|| Id::from_bits(0).into()),
                company: company.clone(),
                name: draft.name.clone(),
                credits: None,
                default_domain: None,
                custom_values: std::collections::BTreeMap::new(),
                statistics: true,
                timezone: None,
                qr: crate::model::qr_style::QrStyle::default(),
                check_links: false,
                created_at: context.now,
            };
            for edit in draft.edits.clone() {
                workspace.apply(edit)?;
            }
            workspace.qr.check()?;
            self.check_default_domain(&workspace)?;
            // Kept until the Change is applied, like `creating`.
            let _growth = self.announce_workspace(context, None, &workspace)?;
            let committed = self
                .commit_new(context, |next_id| {
                    if draft.id.is_none() {
                        workspace.id = next_id().into();
                    }
                    let mut effect = Effect::default();
                    effect.create(keys::workspace_id(&workspace.id), Number(u64::from(number.0)).encode());
                    effect.create(keys::workspace(number), workspace.encode());
                    effect.note(note(&workspace, AuditAct::Create));
                    // The balance is a record of its own: see `credits`.
                    if workspace.credits.is_some() {
                        credits::set(&mut effect, &workspace);
                    }
                    effect.store_outcome(context.claim, context.now, || StoredOutcome::Workspace(number));
                    effect
                })
                .await?;
            match committed {
                Committed::Done => return self.workspace_view(&Arc::new(workspace)).await,
                Committed::Conflict(key) if key == keys::workspace_id(&workspace.id) => {
                    return Err(Error::Taken { field: "id" });
                }
                // The number is in use: try the next one.
                Committed::Conflict(_) => {}
            }
        }
        Err(Error::Busy)
    }

    /// Returns a workspace within reach.
    pub async fn workspace(&self, context: &Context, id: &ForeignId) -> Result<WorkspaceView, Error> {
        let versioned = self.find_workspace(context, id)?;
        context.object.read(versioned.revision)?;
        self.workspace_view(&versioned.record).await
    }

    /// Changes a workspace: all edits or none. A workspace's own key may not set its credits.
    pub async fn update_workspace(
        &self,
        context: &Context,
        id: &ForeignId,
        edits: Vec<WorkspaceEdit>,
    ) -> Result<WorkspaceView, Error> {
        let sets_credits = edits.iter().any(|edit| matches!(edit, WorkspaceEdit::Credits(_)));
        // An unchanged default may be a domain that was deleted since, which must not block other edits.
        let sets_default = edits.iter().any(|edit| matches!(edit, WorkspaceEdit::DefaultDomain(_)));
        if sets_credits && matches!(context.reach, Reach::Workspace(_)) {
            return Err(Error::Forbidden("a workspace key cannot set its own credits".to_owned()));
        }
        for _ in 0..ATTEMPTS {
            let versioned = self.find_workspace(context, id)?;
            context.object.check(versioned.revision)?;
            let mut workspace = (*versioned.record).clone();
            for edit in edits.clone() {
                workspace.apply(edit)?;
            }
            workspace.qr.check()?;
            if sets_default {
                self.check_default_domain(&workspace)?;
            }
            // Kept until the Change is applied, so that the bound holds for concurrent requests.
            let _growth = self.announce_workspace(context, Some(&versioned.record), &workspace)?;
            // New values may lead links to other addresses of this server. The chain that the check sees must
            // not change until the values are applied.
            let (number, values) = (workspace.number, &workspace.custom_values);
            let moved = if *values == versioned.record.custom_values {
                None
            } else {
                Some(self.moved_by(&context.tenant, number, values).await?)
            };
            let mut effect = Effect::default();
            effect.replace(keys::workspace(workspace.number), versioned.revision, workspace.encode());
            let mut changed = fields::of_workspace(&versioned.record, &workspace);
            // The same number again fills the balance up.
            if sets_credits && !changed.contains(&"credits") {
                changed.push("credits");
            }
            effect.note(note(&workspace, AuditAct::Edit).changing(&changed));
            if sets_credits {
                credits::set(&mut effect, &workspace);
            }
            let committed = match &moved {
                None => self.commit(context, effect).await?,
                Some(moved) => {
                    let commit = async {
                        if !self.shared.check_values(number, values, moved)? {
                            // Other links were written since the check, which is repeated without the lock.
                            return Ok(None);
                        }
                        self.commit(context, effect).await.map(Some)
                    };
                    let Some(committed) =
                        self.shared.exclusive.hold_exclusive(&context.tenant, commit).await?
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

    /// Returns all companies within reach, the oldest first.
    pub fn companies(&self, context: &Context) -> Vec<Company> {
        let directory = self.directory();
        let mut companies: Vec<Company> = match &context.reach {
            Reach::Instance => directory.companies().map(|versioned| (*versioned.record).clone()).collect(),
            Reach::Company(id) => {
                directory.company(id).map(|versioned| (*versioned.record).clone()).into_iter().collect()
            }
            Reach::Workspace(_) => {
                let company = directory.company(&context.workspace.company);
                company.map(|versioned| (*versioned.record).clone()).into_iter().collect()
            }
        };
        // The directory has them in the order of their ids, which the instance may choose.
        companies.sort_by_key(|company| company.created_at);
        companies
    }

    /// Creates a company. Fails with [`Error::Forbidden`] unless an instance key runs it.
    pub async fn create_company(&self, context: &Context, draft: CompanyDraft) -> Result<Company, Error> {
        draft.check()?;
        if context.reach != Reach::Instance {
            return Err(Error::Forbidden("only an instance key may make companies".to_owned()));
        }
        if draft.id.as_ref().is_some_and(|id| self.directory().company(id).is_some()) {
            return Err(Error::Taken { field: "id" });
        }
        // Kept until the Change is applied. Its records are the operator's, who alone creates companies.
        let bytes = weights::of_named(&draft.name);
        let _growth = self.shared.announce_growth(&context.reach, &Tenant::Operator, 0, bytes)?;
        for _ in 0..NUMBERS_TRIED_MAX {
            let number = draft.relationship_number.clone().unwrap_or_else(random_relationship_number);
            let number_key = keys::relationship_number(&number);
            // Companies that were created before the numbers were unique have no record under this key.
            let mut is_taken = self.directory().has_relationship_number(&number);
            if !is_taken {
                let mut made = None;
                let committed = self
                    .commit_new(context, |next_id| {
                        let id = draft.id.clone().unwrap_or_else(|| next_id().into());
                        let (name, relationship_number) = (draft.name.clone(), number.clone());
                        let company = Company { id, name, relationship_number, created_at: context.now };
                        let mut effect = Effect::default();
                        create_company(&mut effect, &company);
                        let outcome = || StoredOutcome::Company(company.id.clone());
                        effect.store_outcome(context.claim, context.now, outcome);
                        made = Some(company);
                        effect
                    })
                    .await?;
                match (committed, made) {
                    (Committed::Done, Some(company)) => return Ok(company),
                    (Committed::Conflict(key), _) if key == number_key => is_taken = true,
                    // The id is in use, or a repetition was faster.
                    _ => return Err(Error::Taken { field: "id" }),
                }
            }
            // A given number cannot be replaced by another one.
            if is_taken && draft.relationship_number.is_some() {
                return Err(Error::Taken { field: "relationshipNumber" });
            }
        }
        Err(Error::Busy)
    }

    /// Announces the memory that a workspace will need beside what it has: see [`super::growth`].
    fn announce_workspace(
        &self,
        context: &Context,
        before: Option<&Workspace>,
        after: &Workspace,
    ) -> Result<Vec<Creating>, Error> {
        let before = before.map_or(0, weights::of_workspace);
        let (tenant, after) = (tenant_of_workspace(after), weights::of_workspace(after));
        self.shared.announce_growth(&context.reach, &tenant, before, after)
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
        match self.directory().domain_seen(workspace.number, id) {
            Some(_) => Ok(()),
            None => Err(Invalid::new("defaultDomain", "is not a domain of this workspace")),
        }
    }

    pub(in crate::core) fn find_workspace(
        &self,
        context: &Context,
        id: &ForeignId,
    ) -> Result<Versioned<Workspace>, Error> {
        let directory = self.directory();
        let named = directory.workspace_named(id.as_str());
        let found = named.filter(|versioned| directory.reaches(&context.reach, versioned.record.number));
        found.cloned().ok_or(Error::NotFound("workspace"))
    }
}

impl Shared {
    /// Returns a number that neither a workspace nor a concurrent creation has.
    fn next_workspace(&self) -> WorkspaceNumber {
        let last = self.directory.load().last_workspace().map_or(0, |last| last.0 + 1);
        let mut next = self.next_workspace.lock();
        // The directory lacks the creations in progress, so the larger number counts.
        let number = last.max(*next);
        *next = number + 1;
        WorkspaceNumber(number)
    }
}

/// Adds a company to an effect. Requires that its id and relationship number are unused.
pub(in crate::core) fn create_company(effect: &mut Effect, company: &Company) {
    effect.create(keys::company(&company.id), company.encode());
    effect.create(
        keys::relationship_number(&company.relationship_number),
        CompanyId(company.id.clone()).encode(),
    );
}

pub(in crate::core) fn only_instance_names_ids(
    context: &Context,
    id: Option<&ForeignId>,
) -> Result<(), Error> {
    if id.is_some() && context.reach != Reach::Instance {
        return Err(Error::Forbidden("only an instance key may choose ids".to_owned()));
    }
    Ok(())
}

/// Returns a random relationship number.
pub(in crate::core) fn random_relationship_number() -> Box<str> {
    let chance = chance();
    format!("0-{:03}-{:03}", chance % 1_000, chance / 1_000 % 1_000).into()
}

/// Returns the note for the audit list about a workspace itself.
pub(super) fn note(workspace: &Workspace, act: AuditAct) -> AuditNote {
    let name = Some(&*workspace.name);
    AuditNote::of(workspace.number, act, SubjectKind::Workspace, &workspace.id, name)
}
