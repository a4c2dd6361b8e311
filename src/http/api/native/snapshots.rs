//! Snapshots, shares and imports in the native dialect.

use serde::Serialize;

use crate::http::api::dialect::{
    BadRequest, Command, ImportView, RequestParts, ScopedCommand, ShareView, SnapshotCommand, SnapshotView,
    foreign_id, object, read, write,
};
use crate::json::{AsText, Field, Mistyped};
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::snapshot::{
    ImportDraft, ImportFailure, ImportStatus, OnConflict, ShareKind, SnapshotDraft, share_id,
};

/// Parses `GET /snapshots`: all snapshots within the key's reach.
pub(super) fn list(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let company = request.query.text("companyId")?.map(Box::from);
    read(request, Command::OfSnapshots(SnapshotCommand::List(company)))
}

/// Parses `GET /snapshots/{id}`.
pub(super) fn one(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfSnapshots(SnapshotCommand::One(request.foreign_id("snapshot")?)))
}

/// Parses `DELETE /snapshots/{id}`.
pub(super) fn delete(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfSnapshots(SnapshotCommand::Delete(request.foreign_id("snapshot")?)))
}

/// Parses `GET /snapshots/imports/{id}`.
pub(super) fn status(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfSnapshots(SnapshotCommand::ImportStatus(request.id("import")?)))
}

/// The fields of a new snapshot.
pub(super) const NEW: &[&[&str]] = &[&["name", "workspaceId", "id", "includePasswords"]];

/// Parses `POST /snapshots {name, workspaceId?, id?, includePasswords?}`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let id = foreign_id(&body, "id")?;
    let with_passwords = body.flag("includePasswords")?.value().unwrap_or(false);
    let draft = SnapshotDraft { id, name: body.required("name")?.into(), with_passwords };
    // Here, so that a bad name fails before any record is read.
    draft.check()?;
    write(request, &body, Command::OfSnapshots(SnapshotCommand::Create(draft)))
}

/// The fields of a new share.
pub(super) const SHARE: &[&[&str]] = &[&["type", "relationshipNumbers", "workspaceIds"]];

/// Parses `POST /snapshots/{id}/shares {type, relationshipNumbers?, workspaceIds?}`.
pub(super) fn share(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = request.foreign_id("snapshot")?;
    let body = object(request)?;
    let list = |name| Ok::<_, Mistyped>((name, body.texts(name)?.value().unwrap_or_default()));
    let lists = [list("relationshipNumbers")?, list("workspaceIds")?];
    let kind = ShareKind::parse("type", body.required("type")?, lists)?;
    // Not `write`: the body names workspaces of receivers, not the one that the request acts in.
    read(request, Command::OfSnapshots(SnapshotCommand::Share(None, id, kind)))
}

/// The fields of a new import.
pub(super) const IMPORT: &[&[&str]] = &[&["shareLink", "shareId", "workspaceId", "onConflict"]];

/// Parses `POST /snapshots/import {shareLink | shareId, workspaceId?, onConflict?}`.
pub(super) fn import(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let share = match (body.text("shareLink")?, body.text("shareId")?) {
        // They could name different shares.
        (Field::Value(_), Field::Value(_)) => {
            return Err(Invalid::new("shareId", "cannot be given together with shareLink").into());
        }
        (Field::Value(link), _) => share_id("shareLink", link)?,
        (_, Field::Value(id)) => share_id("shareId", id)?,
        _ => return Err(Mistyped(Invalid::new("shareLink", "is required, or shareId")).into()),
    };
    let on_conflict =
        body.text("onConflict")?.value().map(OnConflict::parse).transpose()?.unwrap_or_default();
    let draft = ImportDraft { share, on_conflict };
    write(request, &body, Command::OfSnapshots(SnapshotCommand::Import(draft)))
}

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
    id: AsText<Id>,
    snapshot_id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    share_link: &'a str,
    // Each list belongs to one type of share, so no response has both.
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
            id: AsText(share.id),
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
    id: AsText<Id>,
    snapshot_id: &'a str,
    share_id: AsText<Id>,
    workspace_id: &'a str,
    status: &'static str,
    progress: ProgressJson,
    created: u64,
    skipped: u64,
    renamed: u64,
    error: Option<String>,
    created_at: String,
    finished_at: Option<String>,
}

/// Links that are finished, and all links of the import.
#[derive(Serialize)]
struct ProgressJson {
    done: u64,
    total: u64,
}

impl<'a> ImportJson<'a> {
    pub(super) fn of(view: &'a ImportView) -> ImportJson<'a> {
        let import = &view.import;
        let error = match &import.status {
            ImportStatus::Failed(failure) => Some(sentence(failure)),
            ImportStatus::Pending | ImportStatus::Completed => None,
        };
        ImportJson {
            id: AsText(import.id),
            snapshot_id: import.snapshot.as_str(),
            share_id: AsText(import.share),
            workspace_id: view.workspace.as_str(),
            status: import.status.name(),
            progress: ProgressJson { done: view.done, total: import.links },
            created: import.made,
            skipped: import.skipped,
            renamed: import.renamed,
            error,
            created_at: import.created_at.to_string(),
            finished_at: import.finished_at.map(|at| at.to_string()),
        }
    }
}

/// Returns whether the import has not ended. The response to its request is 202 then.
pub(super) fn is_pending(view: &ImportView) -> bool {
    view.import.status == ImportStatus::Pending
}

fn sentence(failure: &ImportFailure) -> String {
    match failure {
        ImportFailure::Interrupted => {
            "the server stopped before the import ended; nothing was imported".to_owned()
        }
        ImportFailure::UsedUp => "the share was used up by another import".to_owned(),
        ImportFailure::CodeTaken(code) => format!("customSlug: {code:?} is already in use on this domain"),
        ImportFailure::NoCredits => "the workspace has no credits left".to_owned(),
        ImportFailure::SnapshotGone => "the snapshot was deleted before the import ended".to_owned(),
        ImportFailure::Refused(why) => why.to_string(),
        ImportFailure::Unavailable => "the write was rejected; nothing was imported".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::query::Query;

    fn check(
        parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
        body: &str,
        want: Result<&str, &str>,
    ) {
        let request = RequestParts { id: "s1", query: Query::parse(None), body: body.as_bytes() };
        let got = match parse(&request) {
            Ok(scoped) => Ok(format!("{:?}", scoped.command)),
            Err(BadRequest::Mistyped(invalid) | BadRequest::Rule(invalid)) => Err(invalid.to_string()),
            Err(other) => Err(format!("{other:?}")),
        };
        assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{body}");
    }

    #[test]
    fn snapshots() {
        let created = r#"OfSnapshots(Create(SnapshotDraft { id: None, name: "N", with_passwords: true }))"#;
        check(create, r#"{"name":"N","includePasswords":true}"#, Ok(created));
        check(create, "{}", Err("name: is required"));
        check(create, r#"{"name":" "}"#, Err("name: must not be empty"));
        let shared = r#"OfSnapshots(Share(None, ForeignId("s1"), Companies(["0-1-2"])))"#;
        check(share, r#"{"type":"agency_link","relationshipNumbers":["0-1-2"]}"#, Ok(shared));
        let missing = "workspaceIds: is required with this type of share";
        // The list of another type does not count.
        check(share, r#"{"type":"location_link","relationshipNumbers":["0-1-2"]}"#, Err(missing));
        let id = "000000000000000000AB";
        let imported = format!("OfSnapshots(Import(ImportDraft {{ share: {id}, on_conflict: Skip }}))");
        let body = format!(r#"{{"shareLink":"https://go.test/?share={id}","onConflict":"skip"}}"#);
        check(import, &body, Ok(&imported));
        check(import, "{}", Err("shareLink: is required, or shareId"));
        check(import, r#"{"shareId":"x"}"#, Err("shareId: is not a share of this server"));
        let both = "shareId: cannot be given together with shareLink";
        check(import, r#"{"shareId":"x","shareLink":"y"}"#, Err(both));
        let conflict = format!(r#"{{"shareId":"{id}","onConflict":"merge"}}"#);
        check(import, &conflict, Err("onConflict: must be fail, skip or rename"));
    }
}
