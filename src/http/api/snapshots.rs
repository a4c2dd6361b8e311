//! Each [`SnapshotCommand`] on the core.

use crate::core::{Context, Error, Links};
use crate::http::api::dialect::{Created, ImportQuery, ImportView, Reply, SnapshotCommand};

pub(super) async fn run(links: &Links, context: &Context, command: SnapshotCommand) -> Result<Reply, Error> {
    let made = |outcome| Reply::Made(outcome, None);
    Ok(match command {
        SnapshotCommand::Create(draft) => {
            made(Created::Snapshot(links.create_snapshot(context, draft).await?))
        }
        SnapshotCommand::List(company) => {
            Reply::Snapshots(links.snapshots(context, company.as_deref()).await?)
        }
        SnapshotCommand::One(id) => Reply::Snapshot(links.snapshot(context, &id).await?),
        SnapshotCommand::Delete(id) => {
            links.delete_snapshot(context, &id).await?;
            Reply::Done
        }
        SnapshotCommand::Share(company, id, kind) => {
            made(Created::Share(links.share_snapshot(context, company.as_deref(), &id, kind).await?))
        }
        SnapshotCommand::Import(draft) => {
            made(Created::Import(Box::new(links.import_snapshot(context, draft).await?)))
        }
        SnapshotCommand::ImportStatus(id) => Reply::Import(links.import_status(context, id).await?),
        SnapshotCommand::Imports(company, id, query) => {
            let all = links.snapshot_imports(context, company.as_deref(), &id).await?;
            asked(all, query)?
        }
    })
}

/// The imports asked for, out of all, the newest first.
fn asked(all: Vec<ImportView>, query: ImportQuery) -> Result<Reply, Error> {
    match query {
        ImportQuery::Page { from, to, after, limit } => {
            let within = |view: &ImportView| {
                (from..=to).contains(&view.import.created_at)
                    && after.is_none_or(|after| view.import.id < after)
            };
            Ok(Reply::Imports(all.into_iter().filter(within).take(limit).collect()))
        }
        ImportQuery::Latest(workspace) => {
            let newest = all.into_iter().find(|view| view.workspace == workspace);
            newest.map(Reply::Import).ok_or(Error::NotFound("import"))
        }
    }
}
