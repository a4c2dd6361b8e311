//! Shares: each allows imports of one snapshot, and has a page that its link opens.

use super::view::ShareView;
use crate::core::commit::{Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::history::notes::AuditNote;
use crate::core::idempotency::Created;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::id::{ForeignId, Id};
use crate::model::snapshot::{Share, ShareKind, Snapshot, SnapshotKind};
use crate::table::record::{ShareRecord, Stored, StoredOutcome};
use crate::table::{Found, keys};

/// The content of a share's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharePage {
    /// The name of the snapshot.
    pub name: Box<str>,
    /// Number of links in the snapshot.
    pub links: u64,
    /// Whether it can still be imported.
    pub is_usable: bool,
}

impl Snapshots {
    /// Shares a snapshot of the named company, or of the caller's own company.
    pub async fn share(
        &self,
        context: &Context,
        company: Option<&str>,
        id: &ForeignId,
        kind: ShareKind,
    ) -> Result<ShareView, Error> {
        let company = company.map(|named| self.company_of(context, Some(named))).transpose()?;
        let found = self.find_snapshot(context, id).await?;
        let snapshot = &found.record;
        if company.is_some_and(|company| company != snapshot.company) {
            // The same error as for an unknown snapshot.
            return Err(Error::NotFound("snapshot"));
        }
        if snapshot.kind == SnapshotKind::Imported {
            return Err(Error::Forbidden("only the owner of a snapshot may share it".to_owned()));
        }
        let mut made = None;
        let committed = self
            .commit_new(context, |next_id| {
                let share = Share {
                    id: next_id(),
                    snapshot: snapshot.id.clone(),
                    frozen: snapshot.frozen,
                    kind,
                    used_at: None,
                    created_at: context.now,
                };
                let mut effect = Effect::default();
                // A snapshot that is deleted at the same moment gets no share.
                effect.rely_on(keys::snapshot(id), found.revision);
                effect.create(keys::share(share.id), share.encode());
                let (kind, name) = (SubjectKind::SnapshotShare, Some(&*snapshot.name));
                effect.note(AuditNote::of(snapshot.workspace, AuditAct::Create, kind, share.id, name));
                effect.store_outcome(context.claim, context.now, || StoredOutcome::Share(share.id));
                made = Some(share);
                effect
            })
            .await?;
        match (committed, made) {
            (Committed::Done, Some(share)) => Ok(self.share_view(share)),
            // The snapshot was deleted, or a repetition was faster: a retry finds out.
            _ => Err(Error::Busy),
        }
    }

    /// Returns a share and its snapshot, or `None` if either does not exist.
    pub(super) async fn find_share(&self, id: Id) -> Result<Option<(Found<Share>, Found<Snapshot>)>, Error> {
        self.blocking(move |shared| {
            let Some(Found { revision, record: ShareRecord::Snapshot(record) }) =
                shared.table.get::<ShareRecord>(&keys::share(id))?
            else {
                return Ok(None);
            };
            let share = Found { revision, record };
            let snapshot = shared.table.get::<Snapshot>(&keys::snapshot(&share.record.snapshot))?;
            // A snapshot that was created later under the same id was not shared.
            let same = snapshot.filter(|snapshot| snapshot.record.frozen == share.record.frozen);
            Ok(same.map(|snapshot| (share, snapshot)))
        })
        .await
    }

    /// Returns the content of a share's page and the share's link. Does not use the share.
    pub async fn share_page(&self, id: Id) -> Result<Option<(SharePage, String)>, Error> {
        // Opening the page uses nothing up, only an import does (docs/decisions.md A26).
        Ok(self.find_share(id).await?.map(|(share, snapshot)| {
            let page = SharePage {
                name: snapshot.record.name,
                links: snapshot.record.links,
                is_usable: share.record.used_at.is_none(),
            };
            (page, self.share_view(share.record).url)
        }))
    }

    /// Returns a share of either kind, for a repeated request.
    pub(in crate::core) async fn share_again(&self, id: Id) -> Result<Created, Error> {
        let found = self.record::<ShareRecord>(keys::share(id)).await?;
        match found.ok_or(Error::NotFound("share"))?.record {
            ShareRecord::Snapshot(share) => Ok(Created::Share(self.share_view(share))),
            ShareRecord::Clicks(share) => {
                let view = self.blocking(move |shared| shared.click_share_view(share)).await?;
                Ok(Created::ClickShare(view))
            }
        }
    }
}
