//! The most memory that the response to a command may take while it is produced and sent: the records that
//! are read, their views, and the text. A request acquires this much of the [`super::response_budget`] before
//! it reads the table.

use hyper::Version;

use crate::core::{Context, HISTORY_BYTES_MAX, LINK_BYTES_MAX, STREAM_BYTES_MAX};
use crate::http::api::dialect::{
    ApiError, Command, Facet, FileAct, FileOf, ImportQuery, LinkAct, SnapshotCommand,
};
use crate::http::api::execute::{Backend, api_error};
use crate::http::api::streamed_list;

/// Responses that take no more are produced without room. Their number is bounded: while they are produced by
/// the slots of requests, and while they are sent by the limit of connections.
const SHORT: usize = 16 * 1024;

/// Bytes for each byte of text: a buffer that grows may be twice as large as its text, and the views exist
/// beside it.
const PER_TEXT_BYTE: usize = 3;

/// Most bytes of one tag as record, view and text, by the bounds on its name.
const TAG_BYTES: usize = 1_200;

/// The same of a campaign, whose name may be longer.
const CAMPAIGN_BYTES: usize = 2_400;

/// Most bytes of one snapshot or import as record, view and text: a name of 200 characters of 4 bytes, three
/// ids of 64, and a text in a buffer of twice its length.
const SNAPSHOT_BYTES: usize = 4 * 1024;

/// Most bytes of one share of statistics as record, view and text: a hash, ids and its link.
const CLICK_SHARE_BYTES: usize = 2 * 1_024;

/// Most bytes of one domain or of the deliveries of one link: a few URLs of some KB.
const SOME_ADDRESSES: usize = 128 * 1024;

/// Most bytes that replace one merge field: the base URL of a domain and a contact link.
const FIELD_BYTES: usize = 1_024;

/// Most bytes of one row in the response to a bulk, beside its URL: ids, the short URL, or an error.
const ROW_BYTES: usize = 1_200;

/// Most bytes of one row about clicks, as row and text: two keys of 253 bytes, a short URL, and counts.
const ANALYTICS_ROW_BYTES: usize = 2 * 1_024;

/// The same of a row by time, whose key is a number.
const ANALYTICS_TIME_BYTES: usize = 384;

/// Longest body that describes a link with a short response.
const SHORT_BODY: usize = 1_024;

/// Returns the most bytes that the response may take, or `None` if it is short. `body` is the length of the
/// request's body. Fails if the response may exceed `most`, the share of the tenant.
pub(in crate::http::api) async fn largest(
    backend: &Backend,
    context: &Context,
    command: &Command,
    version: Version,
    body: usize,
    most: usize,
) -> Result<Option<usize>, ApiError> {
    let tenants = &backend.tenants;
    let bytes = match command {
        Command::Link(_)
        | Command::LinkByCode(
            _,
            LinkAct::Read | LinkAct::Update { .. } | LinkAct::Explain(_) | LinkAct::Undo(_),
        )
        | Command::LinkByIdOrCode(..)
        | Command::UpdateLink { .. }
        | Command::UndoLink(..)
        | Command::RestoreLink(..)
        | Command::ExplainLink(..)
        | Command::ExplainDraft(..)
        // The whole link is read, and its rules are a part of it.
        | Command::OfRules(_) => LINK_BYTES_MAX,
        // Most creates: they would wait for room that their response does not need.
        Command::CreateLink(_) if body <= SHORT_BODY => 0,
        // The response repeats the fields of the body, at most as many bytes as any link has.
        Command::CreateLink(_) => (4 * body + SHORT).min(LINK_BYTES_MAX),
        Command::LinkQr(_, request) | Command::LinkByCode(_, LinkAct::Qr(request)) => request.largest_bytes(),
        Command::Links(query) => query.largest_bytes(),
        Command::LinkHistory(..)
        | Command::LinkByCode(_, LinkAct::History(_))
        | Command::DeletedLinks(_)
        | Command::Audit(_) => HISTORY_BYTES_MAX,
        // Held whole: see `streamed_list`.
        Command::AllLinks(..) if version < Version::HTTP_11 => streamed_list::HELD_MAX + STREAM_BYTES_MAX,
        Command::AllLinks(..) => STREAM_BYTES_MAX,
        Command::Render { text, .. } => {
            // Each `{{` may begin a merge field, which is replaced by something longer.
            PER_TEXT_BYTE * (text.len() + FIELD_BYTES * text.matches("{{").count())
        }
        Command::Analytics(query, _) if query.by == [Facet::Time] => ANALYTICS_TIME_BYTES * query.limit,
        Command::Analytics(query, _) => ANALYTICS_ROW_BYTES * query.limit,
        Command::AnalyticsTables(query) => ANALYTICS_ROW_BYTES * query.limit * query.by.len().max(1),
        // Their number is capped for each workspace, so the bound needs no look-up.
        Command::Tags => TAG_BYTES * crate::core::TAGS_MAX,
        Command::ClickShares => CLICK_SHARE_BYTES * crate::core::CLICK_SHARES_MAX,
        Command::Campaigns(_) => CAMPAIGN_BYTES * crate::core::CAMPAIGNS_MAX,
        // A file is at most as long as its bound.
        Command::OfFile(_, _, FileAct::Read)
        | Command::OfFile(FileOf::Domain(_), _, FileAct::Set(_))
        | Command::Domain(_)
        | Command::CreateDomain(_)
        | Command::UpdateDomain(..)
        | Command::Deliveries(_)
        | Command::LinkByCode(_, LinkAct::Deliveries) => SOME_ADDRESSES,
        // These lists have no pages, so their real size is looked up.
        Command::Domains => return listed(PER_TEXT_BYTE * tenants.size_of_domains(context), most),
        Command::Workspaces => return listed(PER_TEXT_BYTE * tenants.size_of_workspaces(context), most),
        Command::Companies => return listed(PER_TEXT_BYTE * tenants.size_of_companies(context), most),
        Command::Keys => return listed(PER_TEXT_BYTE * tenants.size_of_keys(context), most),
        Command::Acting => PER_TEXT_BYTE * tenants.size_of_workspace(&context.workspace.id),
        Command::Workspace(id) | Command::OfFile(FileOf::Workspace(id), _, FileAct::Set(_)) => {
            PER_TEXT_BYTE * tenants.size_of_workspace(id)
        }
        // The values of the body are added to those that the workspace has.
        Command::UpdateWorkspace(id, ..) => PER_TEXT_BYTE * (tenants.size_of_workspace(id) + body),
        Command::CreateWorkspace(..) | Command::OfSnapshots(SnapshotCommand::Share(..)) => {
            PER_TEXT_BYTE * body
        }
        Command::OfSnapshots(SnapshotCommand::List(company)) => {
            // Counted, since a company has as many as its workspaces; one more than fits shows that too many
            // exist.
            let fits = most / SNAPSHOT_BYTES;
            let count = backend.snapshots.count(context, company.as_deref(), fits + 1).await;
            return listed(SNAPSHOT_BYTES * count.map_err(|error| api_error(error, context.request))?, most);
        }
        Command::OfSnapshots(SnapshotCommand::Imports(_, _, ImportQuery::Page { limit, .. })) => {
            SNAPSHOT_BYTES * limit
        }
        // The URLs of the body as views, and again as text; and a few warnings.
        Command::CreateBulk(bulk) => 2 * body + ROW_BYTES * bulk.rows.len() + SHORT,
        // 60 numbers, and events that are sent one by one.
        Command::LiveMinutes
        | Command::Listen(..)
        | Command::DeleteLink(_)
        | Command::LinkByCode(_, LinkAct::Delete | LinkAct::UnlockPassword)
        | Command::UnlockPassword(_)
        | Command::CreateTag { .. }
        | Command::UpdateTag(..)
        | Command::DeleteTag(_)
        | Command::ShareClicks(_)
        | Command::UpdateClickShare(..)
        | Command::RevokeClickShare(_)
        | Command::CreateCampaign(_)
        | Command::Campaign(_)
        | Command::UpdateCampaign(..)
        | Command::DeleteCampaign(_)
        | Command::DeleteDomain(_)
        | Command::OfFile(_, _, FileAct::Remove)
        | Command::CreateCompany(_)
        | Command::CreateKey(_)
        | Command::RevokeKey(_)
        | Command::WebhookSecret(_)
        | Command::RotateWebhookSecret(_)
        | Command::OfSnapshots(
            SnapshotCommand::Create(_)
            | SnapshotCommand::One(_)
            | SnapshotCommand::Delete(_)
            | SnapshotCommand::Import(_)
            | SnapshotCommand::ImportStatus(_)
            | SnapshotCommand::Imports(_, _, ImportQuery::Latest(_)),
        ) => 0,
    };
    Ok((bytes > SHORT).then_some(bytes))
}

/// Returns the same for a list whose length is known. Fails if the list can never have room.
fn listed(bytes: usize, most: usize) -> Result<Option<usize>, ApiError> {
    // A wait would be in vain: even all of the tenant's share is too little.
    if bytes > most {
        // As text, which is what the client could receive.
        let megabytes = most / PER_TEXT_BYTE / (1024 * 1024);
        return Err(ApiError::Forbidden(format!(
            "the list is longer than {megabytes} MB, which is the most that a key of this reach may read at \
             once; read its objects by id, or with keys of less reach"
        )));
    }
    Ok((bytes > SHORT).then_some(bytes))
}
