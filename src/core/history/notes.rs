//! What a command notes about its changes. The commit turns notes into entries of the audit list, in the same Change.

use bytes::Bytes;

use crate::core::error::Error;
use crate::core::shared::Shared;
use crate::model::audit::{AuditAct, AuditEntry, AuditSubject, SubjectId, SubjectKind};
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;
use crate::table::keys::{self, Kind};
use crate::table::record::{LinkAt, Stored};

/// A change of an object of a workspace.
#[derive(Debug)]
pub(in crate::core) struct AuditNote {
    workspace: WorkspaceNumber,
    act: AuditAct,
    subject: AuditSubject,
    name: Option<Box<str>>,
    before: Option<Box<Link>>,
    /// The changed fields of another object.
    fields: Vec<Box<str>>,
    /// Id and key of a change of the past. `None`: of this moment, by the caller.
    past: Option<(Id, Option<Id>)>,
}

impl AuditNote {
    /// Returns the note about an object other than a link.
    pub(in crate::core) fn of(
        workspace: WorkspaceNumber,
        act: AuditAct,
        kind: SubjectKind,
        id: impl Into<SubjectId>,
        name: Option<&str>,
    ) -> AuditNote {
        let subject = AuditSubject { kind, id: id.into() };
        AuditNote {
            workspace,
            act,
            subject,
            name: name.map(Box::from),
            before: None,
            fields: Vec::new(),
            past: None,
        }
    }

    /// Returns the note about a link that itself stays as it was.
    pub(in crate::core) fn of_link(link: &Link, act: AuditAct) -> AuditNote {
        AuditNote::of(link.workspace, act, SubjectKind::Link, link.id, None)
    }

    /// Returns the note about the creation of a link. A link has no such entry before its deletion.
    pub(in crate::core) fn of_creation(link: &Link) -> AuditNote {
        // The id of the link is that of the entry: both have the time of the creation.
        let past = Some((link.id, link.created_by));
        AuditNote { past, ..AuditNote::of_link(link, AuditAct::Create) }
    }

    /// Returns the note about a change of a link, `None` if it changes nothing but the time of the last change. The first
    /// change of a link always has a note: by the time in it, an undo knows that the link before it is the created one.
    pub(in crate::core) fn of_change(before: &Link, after: &Link) -> Option<AuditNote> {
        // The domain first: a move often comes with another code.
        let act = if after.domain != before.domain {
            AuditAct::Move
        } else if after.code != before.code || after.typed_code != before.typed_code {
            AuditAct::Rename
        } else {
            if is_same(before, after) && !is_as_created(before) {
                return None;
            }
            AuditAct::Edit
        };
        Some(AuditNote::of_link(after, act).from(before))
    }

    /// Adds the link before the change.
    pub(in crate::core) fn from(self, before: &Link) -> AuditNote {
        AuditNote { before: Some(Box::new(before.clone())), ..self }
    }

    /// Adds the fields that the change has changed.
    pub(in crate::core) fn changing(self, fields: &[&str]) -> AuditNote {
        AuditNote { fields: fields.iter().map(|name| Box::from(*name)).collect(), ..self }
    }

    /// Replaces the act, if one is given.
    pub(in crate::core) fn by_act(self, act: Option<AuditAct>) -> AuditNote {
        AuditNote { act: act.unwrap_or(self.act), ..self }
    }

    /// Returns key and bytes of the entry. `by` is the key that runs the command.
    pub(in crate::core) fn entry(self, by: Option<Id>, next_id: impl FnOnce() -> Id) -> (Bytes, Vec<u8>) {
        let AuditNote { workspace, act, subject, name, before, fields, past } = self;
        // Only a new entry takes an id, so that ids of the past stay in their place.
        let (id, by) = past.unwrap_or_else(|| (next_id(), by));
        (keys::audit(workspace, id), AuditEntry { by, act, subject, name, before, fields }.encode())
    }
}

/// Returns whether two states of a link differ in nothing but the time of the last change.
pub(in crate::core) fn is_same(before: &Link, after: &Link) -> bool {
    // The records have every field, also those that a later version adds. Only the address is in their keys.
    let as_before = Link { updated_at: before.updated_at, ..after.clone() };
    (before.domain, &before.code) == (after.domain, &after.code)
        && LinkAt::encode(before) == LinkAt::encode(&as_before)
}

/// Returns whether a link was not changed since its creation.
pub(in crate::core) fn is_as_created(link: &Link) -> bool {
    // An imported link may keep times of before its creation here.
    link.updated_at <= link.created_at || link.updated_at.as_millis() <= link.id.millis()
}

/// Returns whether a Change that writes a record of this kind on behalf of a caller needs an entry in an audit list.
/// Every kind is named, so that a new one does not compile before it is decided.
pub(in crate::core) fn is_audited(kind: Kind) -> bool {
    match kind {
        // Each of these is a decision of a person, or of a program with a key.
        Kind::Domain
        | Kind::Share
        | Kind::ApiKey
        | Kind::Session
        | Kind::Campaign
        | Kind::Snapshot
        | Kind::Tag
        | Kind::Workspace
        | Kind::Tombstone
        | Kind::WebhookSecret => true,
        // The creation of a link has no entry. Each other write of one comes with a tombstone or an entry of its own.
        Kind::Link
        | Kind::Alias
        // Belongs to no workspace, and only the operator creates companies.
        | Kind::Company
        | Kind::RelationshipNumber
        // Written beside a record above.
        | Kind::Attachment
        | Kind::HostName
        | Kind::WorkspaceId
        | Kind::TagName
        | Kind::Audit
        | Kind::RetiredKey
        // Of the program itself, or the content of a snapshot or an import, whose last Change has the entry.
        | Kind::Outcome
        | Kind::Balance
        | Kind::Clicks
        | Kind::Chunk
        | Kind::ContentMark
        | Kind::ContactKey
        | Kind::Import
        | Kind::WaitingDeliveries
        | Kind::ImportContent
        | Kind::Staging
        // Derived: no Change has them.
        | Kind::CampaignOwner
        | Kind::ByDestination
        | Kind::ListedByCampaign
        | Kind::DomainLinkCount
        | Kind::ShareOfWorkspace
        | Kind::Fillable
        | Kind::Broken
        | Kind::Checked
        | Kind::ListedByTag
        | Kind::History
        | Kind::LinkOwner
        | Kind::AuditOfLink
        | Kind::CampaignCount
        | Kind::Listed
        | Kind::Applied
        | Kind::LinkCount
        | Kind::StagedCount
        | Kind::TagCount
        | Kind::IndexVersion
        | Kind::SnapshotOfWorkspace => false,
    }
}

impl Shared {
    /// Returns the keys of the entries about a link that the next one replaces: the oldest above
    /// `history.max_revisions`.
    pub(in crate::core) fn surplus_entries(
        &self,
        workspace: WorkspaceNumber,
        link: Id,
    ) -> Result<Vec<Bytes>, Error> {
        let mut ids = self.table.entries_about(workspace, link)?;
        // That of the creation, which a restored link has. Its next deletion writes it again, and a Change writes each key
        // once.
        ids.retain(|id| *id != link);
        Ok(self.surplus_of(workspace, ids.into_iter()))
    }

    /// Like [`Shared::surplus_entries`], of entries that were read, the oldest first.
    pub(in crate::core) fn surplus_of(
        &self,
        workspace: WorkspaceNumber,
        entries: impl ExactSizeIterator<Item = Id>,
    ) -> Vec<Bytes> {
        // One more than there are: the entry that is about to be written.
        let surplus = (entries.len() + 1).saturating_sub(self.history.max_revisions);
        entries.take(surplus).map(|id| keys::audit(workspace, id)).collect()
    }
}
