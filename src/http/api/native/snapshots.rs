//! Requests about snapshots.

use super::{object, read, write};
use crate::http::api::dialect::{BadRequest, Command, RequestParts, ScopedCommand, SnapshotCommand};
use crate::http::api::json::{Field, Mistyped};
use crate::model::Invalid;
use crate::model::id::ForeignId;
use crate::model::snapshot::{ImportDraft, OnConflict, ShareKind, SnapshotDraft, share_id};

/// `GET /snapshots`: all within the key's reach.
pub(super) fn list(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let company = call.query.text("companyId")?.map(Box::from);
    read(call, Command::OfSnapshots(SnapshotCommand::List(company)))
}

/// `GET /snapshots/{id}`.
pub(super) fn one(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(call, Command::OfSnapshots(SnapshotCommand::One(call.foreign_id("snapshot")?)))
}

/// `DELETE /snapshots/{id}`.
pub(super) fn delete(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(call, Command::OfSnapshots(SnapshotCommand::Delete(call.foreign_id("snapshot")?)))
}

/// `GET /snapshots/imports/{id}`.
pub(super) fn status(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(call, Command::OfSnapshots(SnapshotCommand::ImportStatus(call.id("import")?)))
}

/// `POST /snapshots {name, workspaceId?, id?, includePasswords?}`.
pub(super) fn create(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let id = body.text("id")?.value().map(|id| ForeignId::parse("id", id)).transpose()?;
    let with_passwords = body.flag("includePasswords")?.value().unwrap_or(false);
    let draft = SnapshotDraft { id, name: body.required("name")?.into(), with_passwords };
    draft.check()?;
    write(call, &body, Command::OfSnapshots(SnapshotCommand::Create(draft)))
}

/// `POST /snapshots/{id}/shares {type, relationshipNumbers?, workspaceIds?}`.
pub(super) fn share(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = call.foreign_id("snapshot")?;
    let body = object(call)?;
    let list = |name| Ok::<_, Mistyped>((name, body.texts(name)?.value().unwrap_or_default()));
    let lists = [list("relationshipNumbers")?, list("workspaceIds")?];
    let kind = ShareKind::parse("type", body.required("type")?, lists)?;
    read(call, Command::OfSnapshots(SnapshotCommand::Share(None, id, kind)))
}

/// `POST /snapshots/import {shareLink | shareId, workspaceId?, onConflict?}`.
pub(super) fn import(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let share = match (body.text("shareLink")?, body.text("shareId")?) {
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
    write(call, &body, Command::OfSnapshots(SnapshotCommand::Import(draft)))
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
        let call = RequestParts { id: "s1", query: Query::parse(None), body: body.as_bytes() };
        let got = match parse(&call) {
            Ok(asked) => Ok(format!("{:?}", asked.command)),
            Err(BadRequest::Mistyped(invalid) | BadRequest::Rule(invalid)) => Err(invalid.to_string()),
            Err(other) => Err(format!("{other:?}")),
        };
        assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{body}");
    }

    #[test]
    fn snapshots() {
        let made = r#"OfSnapshots(Create(SnapshotDraft { id: None, name: "N", with_passwords: true }))"#;
        check(create, r#"{"name":"N","includePasswords":true}"#, Ok(made));
        check(create, "{}", Err("name: is required"));
        check(create, r#"{"name":" "}"#, Err("name: must not be empty"));
        let shared = r#"OfSnapshots(Share(None, ForeignId("s1"), Companies(["0-1-2"])))"#;
        check(share, r#"{"type":"agency_link","relationshipNumbers":["0-1-2"]}"#, Ok(shared));
        let missing = "workspaceIds: is required with this type of share";
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
