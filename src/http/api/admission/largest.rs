//! How many bytes a command's answer may take at most, while it is produced and until it is sent:
//! the records that are read, their views and the text of the answer. A request acquires this much
//! of the [`super::response_budget`] before it reads the table.

use hyper::Version;

use crate::core::{Context, LINK_BYTES_MAX, STREAM_BYTES_MAX};
use crate::http::api::dialect::{ApiError, Command, SnapshotCommand};
use crate::http::api::execute::Backend;
use crate::http::api::streamed_list;

/// Answers that may take no more are produced without room: what is at work is bounded by its slot,
/// and what is this short is not kept apart when it is sent.
const SHORT: usize = 16 * 1024;

/// A text buffer that grows may be twice as large as its text, beside what it is made from.
const PER_TEXT_BYTE: usize = 3;

/// Most bytes of one tag as record, view and text, by the bounds on its name.
const TAG_BYTES: usize = 1_200;

/// The same of a campaign, whose name may be longer.
const CAMPAIGN_BYTES: usize = 2_400;

/// What lists of snapshots and imports are charged, some thousands of them.
const SNAPSHOTS_BYTES: usize = 4 * 1024 * 1024;

/// What one domain or the deliveries of one link take at most: a few addresses of some KB.
const SOME_ADDRESSES: usize = 128 * 1024;

/// Most bytes of what one merge field becomes: the base of a domain and a contact link.
const FIELD_BYTES: usize = 1_024;

/// What the answer to a bulk says of a row beside its address: ids, the short URL, or why it failed.
const ROW_BYTES: usize = 1_200;

/// A body of this size describes a link whose answer is short.
const SHORT_BODY: usize = 1_024;

/// Returns how many bytes the answer may take, or `None` if it is short. `body` is the length of the
/// request's body. Fails if the answer may be longer than everything that the tenant may hold, which
/// is `most` bytes.
pub(in crate::http::api) fn largest(
    backend: &Backend,
    context: &Context,
    command: &Command,
    version: Version,
    body: usize,
    most: usize,
) -> Result<Option<usize>, ApiError> {
    let tenants = &backend.tenants;
    let bytes = match command {
        Command::Link(_) | Command::LinkByCode(_) | Command::UpdateLink { .. } | Command::ExplainLink(..) => {
            LINK_BYTES_MAX
        }
        Command::CreateLink(_) if body <= SHORT_BODY => 0,
        Command::CreateLink(_) => (4 * body + SHORT).min(LINK_BYTES_MAX),
        Command::Links(query) => query.largest_bytes(),
        Command::AllLinks(..) if version < Version::HTTP_11 => streamed_list::HELD_MAX + STREAM_BYTES_MAX,
        Command::AllLinks(..) => STREAM_BYTES_MAX,
        Command::Render { text, .. } => {
            PER_TEXT_BYTE * (text.len() + FIELD_BYTES * text.matches("{{").count())
        }
        Command::Tags => TAG_BYTES * crate::core::TAGS_MAX,
        Command::Campaigns(_) => CAMPAIGN_BYTES * crate::core::CAMPAIGNS_MAX,
        Command::Domain(_)
        | Command::CreateDomain(_)
        | Command::UpdateDomain(..)
        | Command::Deliveries(_) => SOME_ADDRESSES,
        Command::Domains => return listed(PER_TEXT_BYTE * tenants.size_of_domains(context), most),
        Command::Workspaces => return listed(PER_TEXT_BYTE * tenants.size_of_workspaces(context), most),
        Command::Companies => return listed(PER_TEXT_BYTE * tenants.size_of_companies(context), most),
        Command::Keys => return listed(PER_TEXT_BYTE * tenants.size_of_keys(context), most),
        Command::Acting => PER_TEXT_BYTE * tenants.size_of_workspace(&context.workspace.id),
        Command::Workspace(id) => PER_TEXT_BYTE * tenants.size_of_workspace(id),
        Command::UpdateWorkspace(id, ..) => PER_TEXT_BYTE * (tenants.size_of_workspace(id) + body),
        Command::CreateWorkspace(..) | Command::OfSnapshots(SnapshotCommand::Share(..)) => {
            PER_TEXT_BYTE * body
        }
        Command::OfSnapshots(SnapshotCommand::List(_) | SnapshotCommand::Imports(..)) => SNAPSHOTS_BYTES,
        // The addresses of the body as views, and again as text.
        Command::CreateBulk(bulk) => 2 * body + ROW_BYTES * bulk.rows.len(),
        Command::DeleteLink(_)
        | Command::UnlockPassword(_)
        | Command::CreateTag { .. }
        | Command::UpdateTag(..)
        | Command::DeleteTag(_)
        | Command::CreateCampaign(_)
        | Command::Campaign(_)
        | Command::UpdateCampaign(..)
        | Command::DeleteDomain(_)
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
            | SnapshotCommand::ImportStatus(_),
        ) => 0,
    };
    Ok((bytes > SHORT).then_some(bytes))
}

/// A list whose length is known beforehand is refused if it can never have room.
fn listed(bytes: usize, most: usize) -> Result<Option<usize>, ApiError> {
    if bytes > most {
        let megabytes = most / PER_TEXT_BYTE / (1024 * 1024);
        return Err(ApiError::Forbidden(format!(
            "the list is longer than {megabytes} MB, which is the most that a key of this reach may read at \
             once; read its objects by id, or with keys of less reach"
        )));
    }
    Ok((bytes > SHORT).then_some(bytes))
}
