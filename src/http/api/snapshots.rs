//! Runs each [`SnapshotCommand`] on the core.

use crate::clock::Timestamp;
use crate::core::{Context, Error, ImportFilter, Snapshots};
use crate::http::api::dialect::{Created, ImportQuery, Reply, SnapshotCommand};

/// Runs a command.
pub(super) async fn run(
    snapshots: &Snapshots,
    context: &Context,
    command: SnapshotCommand,
) -> Result<Reply, Error> {
    let created = |outcome| Reply::Made(outcome, None);
    Ok(match command {
        SnapshotCommand::Create(draft) => created(Created::Snapshot(snapshots.create(context, draft).await?)),
        SnapshotCommand::List(company) => {
            Reply::Snapshots(snapshots.list(context, company.as_deref()).await?)
        }
        SnapshotCommand::One(id) => Reply::Snapshot(snapshots.get(context, &id).await?),
        SnapshotCommand::Delete(id) => {
            snapshots.delete(context, &id).await?;
            Reply::Done
        }
        SnapshotCommand::Share(company, id, kind) => {
            created(Created::Share(snapshots.share(context, company.as_deref(), &id, kind).await?))
        }
        SnapshotCommand::Import(draft) => {
            created(Created::Import(Box::new(snapshots.import(context, draft).await?)))
        }
        SnapshotCommand::ImportStatus(id) => Reply::Import(snapshots.import_status(context, id).await?),
        SnapshotCommand::Imports(company, id, query) => {
            let some = snapshots.imports(context, company.as_deref(), &id, filter(&query)).await?;
            match query {
                ImportQuery::Page { .. } => Reply::Imports(some),
                // 404 without an import: the vendor's response has no form for none.
                ImportQuery::Latest(_) => {
                    some.into_iter().next().map(Reply::Import).ok_or(Error::NotFound("import"))?
                }
            }
        }
    })
}

fn filter(query: &ImportQuery) -> ImportFilter {
    match query.clone() {
        ImportQuery::Page { from, to, after, limit } => {
            ImportFilter { from, to, after, workspace: None, most: limit }
        }
        ImportQuery::Latest(workspace) => ImportFilter {
            from: Timestamp::from_millis(i64::MIN),
            to: Timestamp::from_millis(i64::MAX),
            after: None,
            workspace: Some(workspace),
            most: 1,
        },
    }
}
