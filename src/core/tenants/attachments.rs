//! Files of domains and workspaces: logos, and the files of app links. Each Change of a file replaces the record of its owner
//! too, which lists it, so that one revision orders all of them.

use super::domains::{self, has_file};
use super::workspaces;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::history::fields;
use crate::core::view::{DomainView, WorkspaceView};
use crate::log::Put;
use crate::model::attachment::{Attachment, AttachmentFormat, AttachmentUse};
use crate::model::audit::AuditAct;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::{ForeignId, Id};
use crate::table::keys::{self, AttachmentOwner};
use crate::table::record::Stored;

impl Tenants {
    /// Returns a file of a domain that the acting workspace may use.
    pub async fn domain_file(
        &self,
        context: &Context,
        id: Id,
        used: AttachmentUse,
    ) -> Result<Attachment, Error> {
        let found = self.find_domain(context, id)?;
        context.object.read(found.revision)?;
        self.file(AttachmentOwner::Domain(found.record.number), used).await
    }

    /// Returns the logo of a workspace within reach.
    pub async fn workspace_logo(&self, context: &Context, id: &ForeignId) -> Result<Attachment, Error> {
        let found = self.find_workspace(context, id)?;
        context.object.read(found.revision)?;
        self.file(AttachmentOwner::Workspace(found.record.number), AttachmentUse::Logo).await
    }

    /// Returns a file that visitors may read. Fails with [`Error::NotFound`] if the domain has none.
    pub async fn public_file(&self, domain: DomainNumber, used: AttachmentUse) -> Result<Attachment, Error> {
        self.file(AttachmentOwner::Domain(domain), used).await
    }

    async fn file(&self, owner: AttachmentOwner, used: AttachmentUse) -> Result<Attachment, Error> {
        let found = self.record::<Attachment>(keys::attachment(owner, used)).await?;
        found.map(|found| found.record).ok_or(Error::NotFound(used.name()))
    }

    /// Replaces a file of a domain, or removes it. Fails with [`Error::NotFound`] if there is none to remove.
    pub async fn set_domain_file(
        &self,
        context: &Context,
        id: Id,
        used: AttachmentUse,
        file: Option<Attachment>,
    ) -> Result<DomainView, Error> {
        for _ in 0..ATTEMPTS {
            // Read again at each attempt, since another write may have changed it.
            let versioned = self.find_domain(context, id)?;
            context.object.check(versioned.revision)?;
            context.may_change(&versioned.record)?;
            let mut domain = (*versioned.record).clone();
            let owner = AttachmentOwner::Domain(domain.number);
            let mut effect = Effect::default();
            put(&mut effect, owner, used, file.as_ref(), has_file(&domain, used))?;
            set(&mut domain, used, file.as_ref().map(|file| file.format));
            effect.replace(keys::domain(domain.number), versioned.revision, domain.encode());
            domains::note_change(&mut effect, &domain, &[fields::of_file(used)]);
            if let Committed::Done = self.commit(context, effect).await? {
                return self.domain_view(context, domain.into()).await;
            }
        }
        Err(Error::Busy)
    }

    /// Replaces the logo of a workspace, or removes it. Fails with [`Error::NotFound`] if there is none to remove.
    pub async fn set_workspace_logo(
        &self,
        context: &Context,
        id: &ForeignId,
        file: Option<Attachment>,
    ) -> Result<WorkspaceView, Error> {
        for _ in 0..ATTEMPTS {
            let versioned = self.find_workspace(context, id)?;
            context.object.check(versioned.revision)?;
            let mut workspace = (*versioned.record).clone();
            let owner = AttachmentOwner::Workspace(workspace.number);
            let mut effect = Effect::default();
            put(&mut effect, owner, AttachmentUse::Logo, file.as_ref(), workspace.qr.logo.is_some())?;
            workspace.qr.logo = file.as_ref().map(|file| file.format);
            effect.replace(keys::workspace(workspace.number), versioned.revision, workspace.encode());
            let note = workspaces::note(&workspace, AuditAct::Edit);
            effect.note(note.changing(&[fields::of_file(AttachmentUse::Logo)]));
            if let Committed::Done = self.commit(context, effect).await? {
                return self.workspace_view(&workspace.into()).await;
            }
        }
        Err(Error::Busy)
    }
}

/// Adds a file or its removal to an effect that replaces the record of its owner.
fn put(
    effect: &mut Effect,
    owner: AttachmentOwner,
    used: AttachmentUse,
    file: Option<&Attachment>,
    has_file: bool,
) -> Result<(), Error> {
    // A removal that removes nothing is most likely of a wrong owner.
    if file.is_none() && !has_file {
        return Err(Error::NotFound(used.name()));
    }
    let (key, value) = (keys::attachment(owner, used), file.map(|file| file.encode().into()));
    // Without a precondition of its own: the record of the owner has one.
    effect.puts.push(Put { key, value });
    Ok(())
}

fn set(domain: &mut Domain, used: AttachmentUse, format: Option<AttachmentFormat>) {
    match used {
        AttachmentUse::Logo => domain.qr.logo = format,
        AttachmentUse::AppleApps => domain.apple_apps = format.is_some(),
        AttachmentUse::AndroidApps => domain.android_apps = format.is_some(),
    }
}
