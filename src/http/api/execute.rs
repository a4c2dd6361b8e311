//! Runs each [`Command`] on the [`Backend`], and maps each [`Error`] of the core to an [`ApiError`]. Only this
//! file, `snapshots.rs` and `perform.rs` call the core for a command. Errors of the server are logged here,
//! once, with their cause. No response contains a cause.

use super::response::Payload;
use super::{live_stream, rules, snapshots, streamed_list};
use crate::certificates::Certificates;
use crate::core::{Context, DomainView, Error, Links, Snapshots, Tenants};
use crate::http::api::dialect::{
    ApiError, BadRequest, CodeRef, Command, Created, Endpoint, Explanation, FileAct, FileOf, ImmutableFields,
    JSON, LinkAct, LinkView, NamedDomain, Reply, ServerError,
};
use crate::log::CommitError;
use crate::model::Invalid;
use crate::model::attachment::AttachmentUse;
use crate::model::id::Id;
use crate::model::key::KeyDraft;
use crate::model::link::{DomainChoice, Edit, Patch};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceEdit;
use crate::visit::Visitor;
use crate::webhooks::Webhooks;

/// The parts that commands run on.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each field is the handle of its part.
pub struct Backend {
    pub links: Links,
    pub tenants: Tenants,
    pub snapshots: Snapshots,
    pub visitor: Visitor,
    pub webhooks: Webhooks,
    /// `None` on a server without HTTPS.
    pub certificates: Option<Certificates>,
}

impl Backend {
    /// Adds the state of its certificate to a domain.
    fn with_https(&self, mut view: DomainView) -> DomainView {
        // Here and not in the core, which has no certificates.
        let now = self.tenants.clock().now();
        view.https = self.certificates.as_ref().and_then(|certificates| certificates.status(&view.name, now));
        view
    }
}

/// The result of a command.
#[derive(Debug)]
pub(super) enum Answered {
    /// To be rendered by the endpoint.
    Reply(Reply),
    /// Rendered as it is sent, since the list may be too long for memory.
    List(Payload),
}

impl Answered {
    /// Returns whether the reply is one object with a revision.
    pub(super) fn has_revision(&self) -> bool {
        use Created::{Campaign, Domain, Link, Tag, Workspace};
        matches!(
            self,
            Answered::Reply(
                Reply::Made(Link(_) | Domain(_) | Campaign(_) | Workspace(_) | Tag(_), _)
                    | Reply::Link(_)
                    | Reply::Changed(_)
                    | Reply::Tag(_)
                    | Reply::Campaign(_)
                    | Reply::Domain(_)
                    | Reply::Workspace(_)
                    | Reply::File(_)
            )
        )
    }

    /// Renders the result as its endpoint does, with the warnings about the request. Fails if the endpoint
    /// belongs to another command, which the first request of a test shows.
    pub(super) fn render(self, endpoint: &Endpoint, warnings: &[String]) -> Result<Payload, ApiError> {
        let reply = match self {
            Answered::Reply(reply) => reply,
            Answered::List(payload) => return Ok(Payload { warnings: warnings.to_vec(), ..payload }),
        };
        let warnings = [&reply.warnings()[..], warnings].concat();
        let Some(body) = (endpoint.reply)(&reply) else {
            tracing::error!(
                template = endpoint.template,
                "the endpoint cannot render the reply to its command"
            );
            return Err(ServerError::Internal.into());
        };
        // Only an object has a place for them.
        let in_header = if body.kind == JSON { Vec::new() } else { warnings.clone() };
        Ok(Payload { warnings: in_header, ..body.with_warnings(&warnings).into() })
    }
}

/// Runs a command.
pub(super) async fn execute(
    backend: &Backend,
    context: &Context,
    command: Command,
) -> Result<Answered, ApiError> {
    run(backend, context, command).await.map_err(|error| api_error(error, context.request))
}

/// Adds the clicks of the last days, and what checks have found, to the links of a reply, if its dialect shows them.
pub(super) async fn with_recent(links: &Links, mut answered: Answered, shows_recent: bool) -> Answered {
    if !shows_recent {
        return answered;
    }
    let views = match &mut answered {
        Answered::Reply(Reply::Link(link) | Reply::Changed(link) | Reply::Made(Created::Link(link), _)) => {
            std::slice::from_mut(&mut **link)
        }
        Answered::Reply(Reply::Links(page)) => &mut page.links[..],
        _ => return answered,
    };
    let (recent, health) = (links.recent(views).await, links.health(views).await);
    for ((view, recent), health) in views.iter_mut().zip(recent).zip(health) {
        view.recent = Some(recent);
        view.health = health;
    }
    answered
}

#[expect(clippy::too_many_lines, reason = "an arm for each command, most of one line")]
async fn run(backend: &Backend, context: &Context, command: Command) -> Result<Answered, Error> {
    let Backend { links, tenants, snapshots, visitor, webhooks, certificates: _ } = backend;
    let created = |outcome| Reply::Made(outcome, None);
    Ok(Answered::Reply(match command {
        Command::CreateLink(draft) => match links.reusable(context, &draft).await? {
            Some(link) => Reply::Link(Box::new(link)),
            None => created(Created::Link(Box::new(links.create(context, draft).await?))),
        },
        Command::CreateBulk(bulk) => created(Created::Bulk(links.create_bulk(context, bulk).await?)),
        Command::Link(id) => Reply::Link(Box::new(links.get(context, id).await?)),
        Command::LinkByCode(named, act) => by_code(backend, context, named, act).await?,
        Command::LinkByIdOrCode(id, code) => {
            Reply::Link(Box::new(by_id_or_code(links, context, id, code).await?))
        }
        Command::Links(query) => Reply::Links(links.list(context, query).await?),
        Command::AllLinks(range, format) => {
            // The first batch is read here, so that an error still has a status of its own.
            let content = streamed_list::begin(links.stream(context, range), format).await?;
            return Ok(Answered::List(Payload::new(format.kind, content)));
        }
        Command::Acting => Reply::Workspace(tenants.workspace(context, &context.workspace.id).await?),
        Command::UpdateLink { id, patch, fixed } => {
            Reply::Changed(Box::new(update(links, context, id, patch, &fixed).await?))
        }
        Command::DeleteLink(id) => delete(links, context, id).await?,
        Command::ExplainLink(id, question) => explained(visitor.explain(context, id, *question).await?),
        Command::ExplainDraft(draft, question) => {
            explained(visitor.explain_draft(context, *draft, *question).await?)
        }
        Command::UnlockPassword(id) => done(visitor.forget_attempts(context, id).await?),
        Command::Deliveries(id) => deliveries(links, webhooks, context, id).await?,
        Command::LinkQr(id, request) => Reply::Qr(links.qr(&links.get(context, id).await?, request).await?),
        Command::LinkHistory(id, range) => Reply::History(links.history(context, id, range).await?),
        Command::UndoLink(id, to) => undo(links, context, id, to).await?,
        Command::RestoreLink(id, address) => {
            created(Created::Link(Box::new(links.restore(context, id, address).await?)))
        }
        Command::DeletedLinks(query) => Reply::DeletedLinks(links.deleted(context, query).await?),
        Command::Audit(query) => Reply::Audit(links.audit(context, query).await?),
        Command::Analytics(query, format) => {
            Reply::Analytics(Box::new(links.analytics(context, *query).await?), format)
        }
        Command::AnalyticsTables(query) => {
            Reply::AnalyticsTables(links.analytics_tables(context, *query).await?)
        }
        Command::ShareClicks(draft) => {
            created(Created::ClickShare(links.share_clicks(context, draft).await?))
        }
        Command::ClickShares => Reply::ClickShares(links.click_shares(context).await?),
        Command::UpdateClickShare(id, patch) => {
            Reply::ClickShare(links.update_click_share(context, id, patch).await?)
        }
        Command::RevokeClickShare(id) => done(links.revoke_click_share(context, id).await?),
        Command::LiveMinutes => Reply::LiveMinutes(links.live_minutes(context)?),
        Command::Listen(link, format) => {
            return Ok(Answered::List(live_stream::begin(links.listen(context, link).await?, format)));
        }
        Command::Render { text, contact } => {
            Reply::Rendered(tenants.render(context, &text, contact.as_ref()).await?)
        }
        Command::Tags => Reply::Tags(tenants.tags(context).await?),
        Command::CreateTag { name, edits } => {
            created(Created::Tag(tenants.create_tag(context, name, edits).await?))
        }
        Command::UpdateTag(id, edits) => Reply::Tag(tenants.update_tag(context, id, edits).await?),
        Command::DeleteTag(id) => done(tenants.delete_tag(context, id).await?),
        Command::Campaigns(paging) => Reply::Campaigns(tenants.campaigns(context, paging).await?),
        Command::CreateCampaign(draft) => {
            created(Created::Campaign(tenants.create_campaign(context, draft).await?))
        }
        Command::Campaign(named) => Reply::Campaign(tenants.campaign(context, named).await?),
        Command::UpdateCampaign(named, edits) => {
            Reply::Campaign(tenants.update_campaign(context, named, edits).await?)
        }
        Command::DeleteCampaign(named) => done(tenants.delete_campaign(context, named).await?),
        Command::Domains => {
            let all = tenants.domains(context).await?;
            Reply::Domains(all.into_iter().map(|domain| backend.with_https(domain)).collect())
        }
        Command::CreateDomain(draft) => {
            created(Created::Domain(backend.with_https(tenants.create_domain(context, draft).await?)))
        }
        Command::Domain(id) => Reply::Domain(backend.with_https(tenants.domain(context, id).await?)),
        Command::UpdateDomain(id, edits) => {
            Reply::Domain(backend.with_https(tenants.update_domain(context, id, edits).await?))
        }
        Command::DeleteDomain(id) => done(tenants.delete_domain(context, id).await?),
        Command::Workspaces => Reply::Workspaces(tenants.workspaces(context).await?),
        Command::CreateWorkspace(mut draft, domain) => {
            draft.edits.extend(default_domain(tenants, context, domain)?);
            created(Created::Workspace(tenants.create_workspace(context, draft).await?))
        }
        Command::Workspace(id) => Reply::Workspace(tenants.workspace(context, &id).await?),
        Command::UpdateWorkspace(id, mut edits, domain) => {
            edits.extend(default_domain(tenants, context, domain)?);
            Reply::Workspace(tenants.update_workspace(context, &id, edits).await?)
        }
        // From memory, so without a wait.
        Command::Companies => Reply::Companies(tenants.companies(context)),
        Command::CreateCompany(draft) => {
            created(Created::Company(tenants.create_company(context, draft).await?))
        }
        Command::Keys => Reply::Keys(tenants.keys(context)),
        Command::CreateKey(draft) => create_key(tenants, context, draft).await?,
        Command::WebhookSecret(id) => Reply::WebhookSecret(tenants.webhook_secret(context, &id).await?),
        Command::RotateWebhookSecret(id) => {
            created(Created::WebhookSecret(tenants.rotate_webhook_secret(context, &id).await?))
        }
        Command::OfFile(of, used, act) => of_file(backend, context, of, used, act).await?,
        Command::RevokeKey(id) => done(tenants.revoke_key(context, id).await?),
        Command::OfSnapshots(command) => snapshots::run(snapshots, context, command).await?,
        Command::OfRules(command) => rules::run(links, context, command).await?,
    }))
}

/// Runs a command on the link of a code.
async fn by_code(backend: &Backend, context: &Context, named: CodeRef, act: LinkAct) -> Result<Reply, Error> {
    let Backend { links, visitor, webhooks, .. } = backend;
    let view = links.get_by_code(context, &named.domain, named.code).await?;
    let id = view.link.id;
    Ok(match act {
        LinkAct::Read => Reply::Link(Box::new(view)),
        LinkAct::Update { patch, fixed } => {
            Reply::Changed(Box::new(update(links, context, id, *patch, &fixed).await?))
        }
        LinkAct::Delete => delete(links, context, id).await?,
        LinkAct::Explain(question) => explained(visitor.explain(context, id, *question).await?),
        LinkAct::Qr(request) => Reply::Qr(links.qr(&view, request).await?),
        LinkAct::Deliveries => Reply::Deliveries(webhooks.deliveries(id)),
        LinkAct::UnlockPassword => done(visitor.forget_attempts(context, id).await?),
        LinkAct::History(range) => Reply::History(links.history(context, id, range).await?),
        LinkAct::Undo(to) => undo(links, context, id, to).await?,
    })
}

/// Returns the link of an id, or else of a code: the code of one link may be the id of another, and the id wins.
async fn by_id_or_code(links: &Links, context: &Context, id: Id, code: ShortCode) -> Result<LinkView, Error> {
    match links.get(context, id).await {
        Err(Error::NotFound(_)) => links.get_by_code(context, &DomainChoice::Default, code).await,
        found => found,
    }
}

fn explained(explanation: Explanation) -> Reply {
    Reply::Explained(Box::new(explanation))
}

/// Runs a command on a file of a domain or workspace. Returns its owner after a change.
async fn of_file(
    backend: &Backend,
    context: &Context,
    of: FileOf,
    used: AttachmentUse,
    act: FileAct,
) -> Result<Reply, Error> {
    let tenants = &backend.tenants;
    let (file, removes) = match act {
        FileAct::Read => {
            return Ok(Reply::File(match of {
                FileOf::Domain(id) => tenants.domain_file(context, id, used).await?,
                // A workspace has no other file.
                FileOf::Workspace(id) => tenants.workspace_logo(context, &id).await?,
            }));
        }
        FileAct::Set(file) => (Some(file), false),
        FileAct::Remove => (None, true),
    };
    let owner = match of {
        FileOf::Domain(id) => {
            Reply::Domain(backend.with_https(tenants.set_domain_file(context, id, used, file).await?))
        }
        FileOf::Workspace(id) => Reply::Workspace(tenants.set_workspace_logo(context, &id, file).await?),
    };
    Ok(if removes { Reply::Done } else { owner })
}

async fn delete(links: &Links, context: &Context, id: Id) -> Result<Reply, Error> {
    links.delete(context, id).await?;
    Ok(Reply::LinkDeleted(id))
}

/// Undoes a change of a link. The reply is that of a repetition under the same `Idempotency-Key`.
async fn undo(links: &Links, context: &Context, id: Id, to: Option<Id>) -> Result<Reply, Error> {
    let link = links.undo(context, id, to).await?;
    Ok(Reply::Made(Created::Link(Box::new(link)), None))
}

/// Returns the latest deliveries of a link. Fails like `Command::Link` for a link of another tenant.
async fn deliveries(links: &Links, webhooks: &Webhooks, context: &Context, id: Id) -> Result<Reply, Error> {
    links.get(context, id).await?;
    Ok(Reply::Deliveries(webhooks.deliveries(id)))
}

/// Creates a key. This is the only response with the secret: the log has no more than its hash.
async fn create_key(tenants: &Tenants, context: &Context, draft: KeyDraft) -> Result<Reply, Error> {
    let (key, secret) = tenants.create_key(context, draft).await?;
    Ok(Reply::Made(Created::Key(key), Some(secret)))
}

fn done((): ()) -> Reply {
    Reply::Done
}

/// Updates a link after a check of the fields that cannot change. Check and update need no common lock:
/// the value of such a field is the same at both.
async fn update(
    links: &Links,
    context: &Context,
    id: Id,
    mut patch: Patch,
    fixed: &ImmutableFields,
) -> Result<LinkView, Error> {
    // Most updates name no such field, and are spared the read.
    if *fixed != ImmutableFields::default() {
        let view = links.get(context, id).await?;
        if let Some(field) = changed(&view, fixed) {
            return Err(Invalid::new(field, "cannot be changed").into());
        }
        let link = &view.link;
        // The client sends back the code that a response showed as the title. It must not become one.
        if link.options.title.is_none() && fixed.lent_title.as_deref() == Some(link.shown_code().as_str()) {
            patch.edits.retain(|edit| !matches!(edit, Edit::Title(_)));
        }
    }
    links.update(context, id, patch).await
}

/// Returns the first of the fixed fields that differs from the link's.
fn changed(view: &LinkView, fixed: &ImmutableFields) -> Option<&'static str> {
    fixed.link_type.is_some_and(|kind| kind != view.link.options.link_type).then_some("linkType")
}

/// Returns the edit that sets a default domain given by name or id. It is resolved here: a dialect sees no domains.
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

/// Maps an error of the core to the error that the response shows, and logs it if it is the server's.
pub(super) fn api_error(error: Error, request: u64) -> ApiError {
    let request = format_args!("{request:016x}").to_string();
    match error {
        Error::Rule(invalid) => ApiError::BadRequest(BadRequest::Rule(invalid)),
        Error::NotFound(what) => ApiError::NotFound(what),
        Error::Changed => ApiError::Changed,
        Error::Gone(why) => ApiError::Gone(why),
        Error::UnknownCompany => ApiError::UnknownCompany,
        Error::AlreadyDeleted(what) => ApiError::AlreadyDeleted(what),
        Error::CodeTaken { code } => ApiError::CodeTaken(code),
        Error::FormerCodeTaken { code, is_restore } => ApiError::FormerCodeTaken { code, is_restore },
        Error::Taken { field } => ApiError::Taken(field),
        Error::Unauthorized => ApiError::BadKey,
        Error::Forbidden(why) => ApiError::Forbidden(why),
        Error::NoCredits => ApiError::NoCredits,
        // A conflict that lasted through all retries: the client may try again.
        Error::Busy | Error::Log(CommitError::Conflict { .. }) => ServerError::Busy.into(),
        Error::Log(CommitError::TooLarge { .. }) => ServerError::ChangeTooLarge.into(),
        // Logged by the log itself, once when the disk is full and once when it has room again.
        Error::Log(CommitError::DiskFull) => ServerError::DiskFull.into(),
        Error::Log(error @ CommitError::NoDescriptors) => {
            tracing::error!(request, %error, "a write was rejected: raise the limit of open files");
            ServerError::NoDescriptors.into()
        }
        Error::NotReady(why) => {
            // A warning: it ends by itself when the table is loaded.
            tracing::warn!(request, why, "a command found the store not ready");
            ServerError::NotReady.into()
        }
        Error::Table(error) => {
            tracing::warn!(request, %error, "a command could not read the table");
            ServerError::NotReady.into()
        }
        // Neither success nor failure: the write may be on the disk.
        Error::Log(error @ CommitError::Unknown) => {
            tracing::error!(request, %error, "a write was not confirmed");
            ServerError::OutcomeUnknown.into()
        }
        Error::Log(error @ CommitError::Unavailable(_)) => {
            tracing::error!(request, %error, "a write was rejected");
            ServerError::NotReady.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::header::CONTENT_TYPE;
    use hyper::{Method, StatusCode};

    use super::*;
    use crate::http::api::dialect::{Body, BodyKind, Dialect, PathMatch, endpoint, find, show};
    use crate::http::api::response::render;
    use crate::model::workspace::Company;

    /// A dialect whose endpoints return other types than JSON.
    struct Pictures;

    impl Dialect for Pictures {
        fn name(&self) -> &'static str {
            "pictures"
        }

        fn claims(&self, _: &str) -> bool {
            false
        }

        fn endpoints(&self) -> &'static [Endpoint] {
            const fn get(template: &'static str, reply: fn(&Reply) -> Option<Body>) -> Endpoint {
                endpoint("GET", template, BodyKind::None, |_| Err(BadRequest::NotFound("picture")), reply)
            }
            const ENDPOINTS: &[Endpoint] = &[
                get("/picture", |reply| {
                    show(reply, |id: &Id| Body {
                        status: StatusCode::OK,
                        kind: "image/svg+xml",
                        bytes: format!("<svg><title>{id}</title></svg>").into_bytes(),
                    })
                }),
                get("/table", |reply| {
                    show(reply, |companies: &[Company]| Body {
                        status: StatusCode::OK,
                        kind: "text/csv; charset=utf-8",
                        bytes: format!("id,name\r\n{}", companies.len()).into_bytes(),
                    })
                }),
            ];
            ENDPOINTS
        }

        fn error(&self, _: &ApiError) -> Body {
            Body { status: StatusCode::IM_A_TEAPOT, kind: "text/plain", bytes: b"no picture".to_vec() }
        }
    }

    #[tokio::test]
    async fn an_endpoint_determines_the_type_of_its_reply() {
        let rows = [
            ("/picture", Reply::LinkDeleted(Id::from_bits(0)), 200, "image/svg+xml", "<svg><title>0"),
            ("/table", Reply::Companies(Vec::new()), 200, "text/csv; charset=utf-8", "id,name\r\n0"),
            // The reply of another command: the dialect renders the error.
            ("/table", Reply::Done, 418, "text/plain", "no picture"),
        ];
        for (path, reply, status, kind, begin) in rows {
            let row = format!("{path} {reply:?}");
            let PathMatch::Endpoint(endpoint, _) = find(Pictures.endpoints(), &Method::GET, path) else {
                panic!("{row}");
            };
            let payload = Answered::Reply(reply).render(endpoint, &[]);
            let response = render(&Pictures, payload, None, None, false);
            assert_eq!(response.status().as_u16(), status, "{row}");
            assert_eq!(response.headers()[CONTENT_TYPE], kind, "{row}");
            let body = response.into_body().collect().await.expect("in memory").to_bytes();
            assert!(body.starts_with(begin.as_bytes()), "{row}: {body:?}");
        }
    }
}
