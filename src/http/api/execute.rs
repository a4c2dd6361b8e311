//! Each [`Command`] on the [`Backend`], and each [`Error`] of theirs as a [`ApiError`]: the only file of
//! the APIs that calls the core. Errors that are ours are logged here, once, with their cause;
//! callers are shown none of it.

use hyper::StatusCode;

use super::response::Payload;
use super::{snapshots, streamed_list};
use crate::core::{Context, Error, Links, Snapshots, Tenants};
use crate::http::api::dialect::{
    ApiError, BadRequest, Command, Created, ImmutableFields, LinkView, NamedDomain, Reply, ServerError,
};
use crate::log::CommitError;
use crate::model::Invalid;
use crate::model::id::Id;
use crate::model::link::{Edit, Patch};
use crate::model::workspace::WorkspaceEdit;
use crate::visit::Visitor;
use crate::webhooks::Webhooks;

/// What commands run on.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Links.
    pub links: Links,
    /// What companies and workspaces have beside links.
    pub tenants: Tenants,
    /// Snapshots, shares and imports.
    pub snapshots: Snapshots,
    /// What clicks on them do.
    pub visitor: Visitor,
    /// What became of the events of clicks.
    pub webhooks: Webhooks,
}

/// What a command came to.
#[derive(Debug)]
pub(super) enum Answered {
    /// For the endpoint to render.
    Reply(Reply),
    /// Rendered already, since it may be too long to be held.
    List(Payload),
}

pub(super) async fn execute(
    backend: &Backend,
    context: &Context,
    command: Command,
) -> Result<Answered, ApiError> {
    run(backend, context, command).await.map_err(|error| failure(error, context))
}

async fn run(backend: &Backend, context: &Context, command: Command) -> Result<Answered, Error> {
    let Backend { links, tenants, snapshots, visitor, webhooks } = backend;
    let made = |outcome| Reply::Made(outcome, None);
    Ok(Answered::Reply(match command {
        Command::CreateLink(draft) => made(Created::Link(Box::new(links.create(context, draft).await?))),
        Command::CreateBulk(bulk) => made(Created::Bulk(links.create_bulk(context, bulk).await?)),
        Command::Link(id) => Reply::Link(Box::new(links.get(context, id).await?)),
        Command::LinkByCode(code) => Reply::Link(Box::new(links.get_by_code(context, code).await?)),
        Command::Links(query) => Reply::Links(links.list(context, query).await?),
        Command::AllLinks(slice, wording) => {
            let content = streamed_list::begin(links.stream(context, slice), wording).await?;
            return Ok(Answered::List(Payload { status: StatusCode::OK, kind: wording.kind, content }));
        }
        Command::Acting => Reply::Workspace(tenants.workspace(context, &context.workspace.id).await?),
        Command::UpdateLink { id, patch, fixed } => {
            Reply::Changed(Box::new(update(links, context, id, patch, &fixed).await?))
        }
        Command::DeleteLink(id) => {
            links.delete(context, id).await?;
            Reply::LinkDeleted(id)
        }
        Command::ExplainLink(id, question) => {
            Reply::Explained(Box::new(visitor.explain(context, id, question).await?))
        }
        Command::UnlockPassword(id) => done(visitor.forget_attempts(context, id).await?),
        Command::Deliveries(id) => {
            // A foreign link's are as unknown as the link.
            links.get(context, id).await?;
            Reply::Deliveries(webhooks.deliveries(id))
        }
        Command::Render { text, contact } => {
            Reply::Rendered(tenants.render(context, &text, contact.as_ref()).await?)
        }
        Command::Tags => Reply::Tags(tenants.tags(context).await?),
        Command::CreateTag { name, edits } => {
            made(Created::Tag(tenants.create_tag(context, name, edits).await?))
        }
        Command::UpdateTag(id, edits) => Reply::Tag(tenants.update_tag(context, id, edits).await?),
        Command::DeleteTag(id) => done(tenants.delete_tag(context, id).await?),
        Command::Campaigns(paging) => Reply::Campaigns(tenants.campaigns(context, paging).await?),
        Command::CreateCampaign(draft) => {
            made(Created::Campaign(tenants.create_campaign(context, draft).await?))
        }
        Command::Campaign(named) => Reply::Campaign(tenants.campaign(context, named).await?),
        Command::UpdateCampaign(named, edits) => {
            Reply::Campaign(tenants.update_campaign(context, named, edits).await?)
        }
        Command::Domains => Reply::Domains(tenants.domains(context).await?),
        Command::CreateDomain(draft) => made(Created::Domain(tenants.create_domain(context, draft).await?)),
        Command::Domain(id) => Reply::Domain(tenants.domain(context, id).await?),
        Command::UpdateDomain(id, edits) => Reply::Domain(tenants.update_domain(context, id, edits).await?),
        Command::DeleteDomain(id) => done(tenants.delete_domain(context, id).await?),
        Command::Workspaces => Reply::Workspaces(tenants.workspaces(context).await?),
        Command::CreateWorkspace(mut draft, domain) => {
            draft.edits.extend(default_domain(tenants, context, domain)?);
            made(Created::Workspace(tenants.create_workspace(context, draft).await?))
        }
        Command::Workspace(id) => Reply::Workspace(tenants.workspace(context, &id).await?),
        Command::UpdateWorkspace(id, mut edits, domain) => {
            edits.extend(default_domain(tenants, context, domain)?);
            Reply::Workspace(tenants.update_workspace(context, &id, edits).await?)
        }
        Command::Companies => Reply::Companies(tenants.companies(context)),
        Command::CreateCompany(draft) => {
            made(Created::Company(tenants.create_company(context, draft).await?))
        }
        Command::Keys => Reply::Keys(tenants.keys(context)),
        Command::CreateKey(draft) => {
            let (key, secret) = tenants.create_key(context, draft).await?;
            Reply::Made(Created::Key(key), Some(secret))
        }
        Command::WebhookSecret(id) => Reply::WebhookSecret(tenants.webhook_secret(context, &id).await?),
        Command::RotateWebhookSecret(id) => {
            made(Created::WebhookSecret(tenants.rotate_webhook_secret(context, &id).await?))
        }
        Command::RevokeKey(id) => done(tenants.revoke_key(context, id).await?),
        Command::OfSnapshots(command) => snapshots::run(snapshots, context, command).await?,
    }))
}

fn done((): ()) -> Reply {
    Reply::Done
}

/// What cannot change never did, so looking before changing races with nobody.
async fn update(
    links: &Links,
    context: &Context,
    id: Id,
    mut patch: Patch,
    fixed: &ImmutableFields,
) -> Result<LinkView, Error> {
    if *fixed != ImmutableFields::default() {
        let view = links.get(context, id).await?;
        if let Some(field) = changed(&view, fixed) {
            return Err(Invalid::new(field, "cannot be changed").into());
        }
        let link = &view.link;
        if link.options.title.is_none() && fixed.lent_title.as_deref() == Some(link.code.as_str()) {
            patch.edits.retain(|edit| !matches!(edit, Edit::Title(_)));
        }
    }
    links.update(context, id, patch).await
}

/// The first of the fixed fields that differs from the link's.
fn changed(view: &LinkView, fixed: &ImmutableFields) -> Option<&'static str> {
    let domain = fixed.domain.as_deref().is_some_and(|name| !name.eq_ignore_ascii_case(&view.domain_name));
    let code = fixed.code.clone().is_some_and(|code| view.domain.key_of(code) != view.link.code);
    let link_type = fixed.link_type.is_some_and(|kind| kind != view.link.options.link_type);
    let fields = [("domain", domain), ("shortCode", code), ("linkType", link_type)];
    fields.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
}

/// The edit that sets a default domain given by name or id.
fn default_domain(
    tenants: &Tenants,
    context: &Context,
    named: NamedDomain,
) -> Result<Option<WorkspaceEdit>, Error> {
    let text = match named {
        None => return Ok(None),
        Some(None) => return Ok(Some(WorkspaceEdit::DefaultDomain(None))),
        Some(Some(text)) => text,
    };
    match tenants.domain_of_name_or_id(context, &text) {
        Some(id) => Ok(Some(WorkspaceEdit::DefaultDomain(Some(id)))),
        None => Err(Invalid::new("defaultDomain", "is not a domain of this workspace").into()),
    }
}

/// A failed command as its caller is told.
pub(super) fn failure(error: Error, context: &Context) -> ApiError {
    let request = format_args!("{:016x}", context.request).to_string();
    match error {
        Error::Rule(invalid) => ApiError::BadRequest(BadRequest::Rule(invalid)),
        Error::NotFound(what) => ApiError::NotFound(what),
        Error::Gone(why) => ApiError::Gone(why),
        Error::UnknownCompany => ApiError::UnknownCompany,
        Error::AlreadyDeleted(what) => ApiError::AlreadyDeleted(what),
        Error::CodeTaken { code } => ApiError::CodeTaken(code),
        Error::Taken { field } => ApiError::Taken(field),
        Error::Unauthorized => ApiError::BadKey,
        Error::Forbidden(why) => ApiError::Forbidden(why),
        Error::NoCredits => ApiError::NoCredits,
        Error::Busy | Error::Log(CommitError::Conflict { .. }) => ServerError::Busy.into(),
        Error::Log(CommitError::TooLarge { .. }) => ServerError::ChangeTooLarge.into(),
        // Said by the log itself, once, when it begins and when it ends.
        Error::Log(CommitError::DiskFull) => ServerError::DiskFull.into(),
        Error::Log(error @ CommitError::NoDescriptors) => {
            tracing::error!(request, %error, "a write was refused: raise the limit of open files");
            ServerError::NoDescriptors.into()
        }
        Error::NotReady(why) => {
            tracing::warn!(request, why, "a command found the store not ready");
            ServerError::NotReady.into()
        }
        Error::Table(error) => {
            tracing::warn!(request, %error, "a command could not read the table");
            ServerError::NotReady.into()
        }
        Error::Log(error @ CommitError::Unknown) => {
            tracing::error!(request, %error, "a write was not confirmed");
            ServerError::OutcomeUnknown.into()
        }
        Error::Log(error @ CommitError::Unavailable(_)) => {
            tracing::error!(request, %error, "a write was not taken");
            ServerError::NotReady.into()
        }
    }
}
