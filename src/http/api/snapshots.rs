//! Runs each [`SnapshotCommand`] on the core.

use crate::core::{Context, Error, Snapshots};
use crate::http::api::dialect::{Created, ImportQuery, ImportView, Reply, SnapshotCommand};

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
            let all = snapshots.imports(context, company.as_deref(), &id).await?;
            select(all, query)?
        }
    })
}

/// Returns the imports that a query selects out of all, which begin with the newest.
fn select(all: Vec<ImportView>, query: ImportQuery) -> Result<Reply, Error> {
    match query {
        // Ids sort by time, so a page continues below the last id of the page before.
        ImportQuery::Page { from, to, after, limit } => {
            let within = |view: &ImportView| {
                (from..=to).contains(&view.import.created_at)
                    && after.is_none_or(|after| view.import.id < after)
            };
            Ok(Reply::Imports(all.into_iter().filter(within).take(limit).collect()))
        }
        // 404 without an import: the vendor's response has no form for none.
        ImportQuery::Latest(workspace) => {
            let newest = all.into_iter().find(|view| view.workspace == workspace);
            newest.map(Reply::Import).ok_or(Error::NotFound("import"))
        }
    }
}
