//! Snapshots, shares and imports in the native dialect.

use serde::Serialize;

use super::render::Text;
use crate::http::api::dialect::{ImportView, ShareView, SnapshotView};
use crate::model::id::{ForeignId, Id};
use crate::model::snapshot::{ImportFailure, ImportStatus, ShareKind};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotJson<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    company_id: &'a str,
    workspace_id: &'a str,
    links: u64,
    tags: u64,
    includes_passwords: bool,
    created_at: String,
}

impl<'a> SnapshotJson<'a> {
    pub(super) fn of(view: &'a SnapshotView) -> SnapshotJson<'a> {
        let snapshot = &view.snapshot;
        SnapshotJson {
            id: snapshot.id.as_str(),
            name: &snapshot.name,
            kind: snapshot.kind.name(),
            company_id: snapshot.company.as_str(),
            workspace_id: view.workspace.as_str(),
            links: snapshot.links,
            tags: snapshot.tags,
            includes_passwords: snapshot.has_passwords,
            created_at: snapshot.created_at.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShareJson<'a> {
    id: Text<Id>,
    snapshot_id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    share_link: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relationship_numbers: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workspace_ids: Vec<&'a str>,
    used_at: Option<String>,
    created_at: String,
}

impl<'a> ShareJson<'a> {
    pub(super) fn of(view: &'a ShareView) -> ShareJson<'a> {
        let share = &view.share;
        let (numbers, workspaces) = match &share.kind {
            ShareKind::Companies(numbers) => (numbers.iter().map(|number| &**number).collect(), Vec::new()),
            ShareKind::Workspaces(ids) => (Vec::new(), ids.iter().map(ForeignId::as_str).collect()),
            ShareKind::Once | ShareKind::Permanent => (Vec::new(), Vec::new()),
        };
        ShareJson {
            id: Text(share.id),
            snapshot_id: share.snapshot.as_str(),
            kind: share.kind.name(),
            share_link: &view.url,
            relationship_numbers: numbers,
            workspace_ids: workspaces,
            used_at: share.used_at.map(|at| at.to_string()),
            created_at: share.created_at.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportJson<'a> {
    id: Text<Id>,
    snapshot_id: &'a str,
    share_id: Text<Id>,
    workspace_id: &'a str,
    status: &'static str,
    progress: Progress,
    created: u64,
    skipped: u64,
    renamed: u64,
    error: Option<String>,
    created_at: String,
    finished_at: Option<String>,
}

/// Links dealt with, of how many.
#[derive(Serialize)]
struct Progress {
    done: u64,
    total: u64,
}

impl<'a> ImportJson<'a> {
    pub(super) fn of(view: &'a ImportView) -> ImportJson<'a> {
        let import = &view.import;
        let error = match &import.status {
            ImportStatus::Failed(failure) => Some(words(failure)),
            ImportStatus::Pending | ImportStatus::Completed => None,
        };
        ImportJson {
            id: Text(import.id),
            snapshot_id: import.snapshot.as_str(),
            share_id: Text(import.share),
            workspace_id: view.workspace.as_str(),
            status: import.status.name(),
            progress: Progress { done: view.done, total: import.links },
            created: import.made,
            skipped: import.skipped,
            renamed: import.renamed,
            error,
            created_at: import.created_at.to_string(),
            finished_at: import.finished_at.map(|at| at.to_string()),
        }
    }
}

/// Whether the import has not ended: its caller is told 202.
pub(super) fn is_pending(view: &ImportView) -> bool {
    view.import.status == ImportStatus::Pending
}

fn words(failure: &ImportFailure) -> String {
    match failure {
        ImportFailure::Interrupted => "the server stopped meanwhile; nothing was imported".to_owned(),
        ImportFailure::UsedUp => "the share was used up by another import".to_owned(),
        ImportFailure::CodeTaken(code) => format!("customSlug: {code:?} is already in use on this domain"),
        ImportFailure::NoCredits => "the workspace has no credits left".to_owned(),
        ImportFailure::SnapshotGone => "the snapshot was deleted meanwhile".to_owned(),
        ImportFailure::Refused(why) => why.to_string(),
        ImportFailure::Unavailable => "the store did not take it; nothing was imported".to_owned(),
    }
}
