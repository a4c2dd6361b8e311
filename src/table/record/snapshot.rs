//! Records of snapshots, of their content in chunks, of shares and imports, and of the marks of work under
//! way.

use serde::{Deserialize, Serialize};

use super::entity::foreign;
use super::owner::{Owned, Owner, read_first};
use super::{Corrupt, LinkAt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::link::{Link, Options};
use crate::model::node::NodeNumber;
use crate::model::short_code::ShortCode;
use crate::model::snapshot::{Import, ImportFailure, ImportStatus, Share, ShareKind, Snapshot, SnapshotKind};
use crate::model::workspace::WorkspaceNumber;

/// The versions of a snapshot's and of an import's record. Each function that reads such records matches all
/// of them, so that a new version compiles only when every function reads it.
enum SnapshotVersion {
    V1,
}

impl SnapshotVersion {
    /// Splits the version off the bytes of a record.
    fn split<'a>(kind: &str, bytes: &'a [u8]) -> Result<(SnapshotVersion, &'a [u8]), Corrupt> {
        match version(bytes)? {
            (1, rest) => Ok((SnapshotVersion::V1, rest)),
            (other, _) => unknown(kind, other),
        }
    }
}

/// The first fields of [`SnapshotV1`], which [`Owned::owner_in`] reads alone.
#[derive(Serialize, Deserialize)]
struct SnapshotHeadV1 {
    id: Box<str>,
    frozen: u128,
    company: Box<str>,
    workspace: u32,
}

#[derive(Serialize, Deserialize)]
struct SnapshotV1 {
    /// The first field: `owner_in` reads a prefix of the record.
    head: SnapshotHeadV1,
    name: Box<str>,
    // Two kinds exist. A third one needs a version.
    imported: bool,
    links: u64,
    tags: u64,
    has_passwords: bool,
    chunks: u32,
    created_at: i64,
}

impl Stored for Snapshot {
    fn encode(&self) -> Vec<u8> {
        let stored = SnapshotV1 {
            head: SnapshotHeadV1 {
                id: self.id.as_str().into(),
                frozen: self.frozen.bits(),
                company: self.company.as_str().into(),
                workspace: self.workspace.0,
            },
            name: self.name.clone(),
            imported: self.kind == SnapshotKind::Imported,
            links: self.links,
            tags: self.tags,
            has_passwords: self.has_passwords,
            chunks: self.chunks,
            created_at: self.created_at.as_millis(),
        };
        write(1, &stored)
    }

    fn decode(bytes: &[u8]) -> Result<Snapshot, Corrupt> {
        let stored: SnapshotV1 = match SnapshotVersion::split("a snapshot", bytes)? {
            (SnapshotVersion::V1, rest) => read(rest)?,
        };
        Ok(Snapshot {
            id: foreign(&stored.head.id)?,
            frozen: Id::from_bits(stored.head.frozen),
            company: foreign(&stored.head.company)?,
            workspace: WorkspaceNumber(stored.head.workspace),
            name: stored.name,
            kind: if stored.imported { SnapshotKind::Imported } else { SnapshotKind::Own },
            links: stored.links,
            tags: stored.tags,
            has_passwords: stored.has_passwords,
            chunks: stored.chunks,
            created_at: Timestamp::from_millis(stored.created_at),
        })
    }
}

impl Owned for Snapshot {
    fn owner_in(bytes: &[u8]) -> Option<Owner> {
        let head: SnapshotHeadV1 = match SnapshotVersion::split("a snapshot", bytes).ok()? {
            (SnapshotVersion::V1, rest) => read_first(rest)?,
        };
        Some(Owner { company: head.company, workspace: WorkspaceNumber(head.workspace) })
    }

    fn owner(&self) -> Owner {
        Owner { company: self.company.as_str().into(), workspace: self.workspace }
    }
}

/// A part of a snapshot's content. Chunks with tags come first.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// Name and color of tags. Links refer to them by their index among all tags.
    Tags(Vec<(Box<str>, Box<str>)>),
    /// Links.
    Links(Vec<FrozenLink>),
}

/// A link in a snapshot.
#[derive(Clone, Debug)]
pub struct FrozenLink {
    /// The name of its domain, `None` for the default domain of its workspace.
    pub domain: Option<Box<str>>,
    /// Its code on that domain.
    pub code: ShortCode,
    /// The code as it was typed, if it differs.
    pub typed_code: Option<ShortCode>,
    /// All options. Ids of tags are indexes among the snapshot's tags.
    pub options: Options,
}

#[derive(Serialize, Deserialize)]
struct FrozenLinkV1 {
    domain: Option<Box<str>>,
    // Beside the record of the link, which has its code in its key.
    code: Box<str>,
    /// A link's record of any version. All fields but the options are zero.
    link: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
enum ChunkV1 {
    Tags(Vec<(Box<str>, Box<str>)>),
    Links(Vec<FrozenLinkV1>),
}

impl FrozenLink {
    fn stored(&self) -> FrozenLinkV1 {
        // The record of a link has these fields. An import sets its own.
        let nought = Timestamp::from_millis(0);
        let link = Link {
            id: Id::from_bits(0),
            workspace: WorkspaceNumber(0),
            domain: DomainNumber(0),
            code: self.code.clone(),
            typed_code: self.typed_code.clone(),
            // Of the original alone: its old addresses cannot lead to a copy.
            aliases: Vec::new(),
            created_at: nought,
            updated_at: nought,
            created_by: None,
            options: self.options.clone(),
        };
        FrozenLinkV1 {
            domain: self.domain.clone(),
            code: self.code.as_str().into(),
            link: LinkAt::encode(&link),
        }
    }
}

impl Stored for Chunk {
    fn encode(&self) -> Vec<u8> {
        let stored = match self {
            Chunk::Tags(tags) => ChunkV1::Tags(tags.clone()),
            Chunk::Links(links) => ChunkV1::Links(links.iter().map(FrozenLink::stored).collect()),
        };
        write(1, &stored)
    }

    fn decode(bytes: &[u8]) -> Result<Chunk, Corrupt> {
        let stored: ChunkV1 = match version(bytes)? {
            (1, rest) => read(rest)?,
            (other, _) => return unknown("a snapshot's chunk", other),
        };
        let link = |stored: FrozenLinkV1| {
            let link = LinkAt::decode(DomainNumber(0), &stored.code, &stored.link)?;
            Ok(FrozenLink {
                domain: stored.domain,
                code: link.code,
                typed_code: link.typed_code,
                options: link.options,
            })
        };
        Ok(match stored {
            ChunkV1::Tags(tags) => Chunk::Tags(tags),
            ChunkV1::Links(links) => {
                Chunk::Links(links.into_iter().map(link).collect::<Result<_, Corrupt>>()?)
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
enum ShareKindV1 {
    // bincode writes the index of a variant: the order never changes, and later variants are last.
    Once,
    Permanent,
    Companies(Vec<Box<str>>),
    Workspaces(Vec<Box<str>>),
}

#[derive(Serialize, Deserialize)]
struct ShareV1 {
    id: u128,
    snapshot: Box<str>,
    frozen: u128,
    kind: ShareKindV1,
    // Set by the last Change of an import: of two imports at once, one wins.
    used_at: Option<i64>,
    created_at: i64,
}

impl Stored for Share {
    fn encode(&self) -> Vec<u8> {
        let stored = ShareV1 {
            id: self.id.bits(),
            snapshot: self.snapshot.as_str().into(),
            frozen: self.frozen.bits(),
            kind: match &self.kind {
                ShareKind::Once => ShareKindV1::Once,
                ShareKind::Permanent => ShareKindV1::Permanent,
                ShareKind::Companies(numbers) => ShareKindV1::Companies(numbers.clone()),
                ShareKind::Workspaces(ids) => {
                    ShareKindV1::Workspaces(ids.iter().map(|id| id.as_str().into()).collect())
                }
            },
            used_at: self.used_at.map(Timestamp::as_millis),
            created_at: self.created_at.as_millis(),
        };
        write(1, &stored)
    }

    fn decode(bytes: &[u8]) -> Result<Share, Corrupt> {
        let stored: ShareV1 = match version(bytes)? {
            (1, rest) => read(rest)?,
            (other, _) => return unknown("a share", other),
        };
        Ok(Share {
            id: Id::from_bits(stored.id),
            snapshot: foreign(&stored.snapshot)?,
            frozen: Id::from_bits(stored.frozen),
            kind: match stored.kind {
                ShareKindV1::Once => ShareKind::Once,
                ShareKindV1::Permanent => ShareKind::Permanent,
                ShareKindV1::Companies(numbers) => ShareKind::Companies(numbers),
                ShareKindV1::Workspaces(ids) => {
                    ShareKind::Workspaces(ids.iter().map(|id| foreign(id)).collect::<Result<_, _>>()?)
                }
            },
            used_at: stored.used_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(stored.created_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
enum FailureV1 {
    // As for [`ShareKindV1`], the order never changes.
    Interrupted,
    UsedUp,
    CodeTaken(Box<str>),
    NoCredits,
    SnapshotGone,
    Refused(Box<str>),
    Unavailable,
}

#[derive(Serialize, Deserialize)]
enum StatusV1 {
    // As for [`ShareKindV1`], the order never changes.
    Pending,
    Completed,
    Failed(FailureV1),
}

impl StatusV1 {
    fn from_model(status: &ImportStatus) -> StatusV1 {
        match status {
            ImportStatus::Pending => StatusV1::Pending,
            ImportStatus::Completed => StatusV1::Completed,
            ImportStatus::Failed(failure) => StatusV1::Failed(match failure {
                ImportFailure::Interrupted => FailureV1::Interrupted,
                ImportFailure::UsedUp => FailureV1::UsedUp,
                ImportFailure::CodeTaken(code) => FailureV1::CodeTaken(code.clone()),
                ImportFailure::NoCredits => FailureV1::NoCredits,
                ImportFailure::SnapshotGone => FailureV1::SnapshotGone,
                ImportFailure::Refused(why) => FailureV1::Refused(why.clone()),
                ImportFailure::Unavailable => FailureV1::Unavailable,
            }),
        }
    }

    fn into_model(self) -> ImportStatus {
        match self {
            StatusV1::Pending => ImportStatus::Pending,
            StatusV1::Completed => ImportStatus::Completed,
            StatusV1::Failed(failure) => ImportStatus::Failed(match failure {
                FailureV1::Interrupted => ImportFailure::Interrupted,
                FailureV1::UsedUp => ImportFailure::UsedUp,
                FailureV1::CodeTaken(code) => ImportFailure::CodeTaken(code),
                FailureV1::NoCredits => ImportFailure::NoCredits,
                FailureV1::SnapshotGone => ImportFailure::SnapshotGone,
                FailureV1::Refused(why) => ImportFailure::Refused(why),
                FailureV1::Unavailable => ImportFailure::Unavailable,
            }),
        }
    }
}

/// The first fields of [`ImportV1`], which [`Owned::owner_in`] reads alone.
#[derive(Serialize, Deserialize)]
struct ImportHeadV1 {
    id: u128,
    share: u128,
    snapshot: Box<str>,
    frozen: u128,
    company: Box<str>,
    workspace: u32,
}

#[derive(Serialize, Deserialize)]
struct ImportV1 {
    /// The first field: `owner_in` reads a prefix of the record.
    head: ImportHeadV1,
    status: StatusV1,
    links: u64,
    made: u64,
    skipped: u64,
    renamed: u64,
    created_at: i64,
    finished_at: Option<i64>,
}

impl Stored for Import {
    fn encode(&self) -> Vec<u8> {
        let stored = ImportV1 {
            head: ImportHeadV1 {
                id: self.id.bits(),
                share: self.share.bits(),
                snapshot: self.snapshot.as_str().into(),
                frozen: self.frozen.bits(),
                company: self.company.as_str().into(),
                workspace: self.workspace.0,
            },
            status: StatusV1::from_model(&self.status),
            links: self.links,
            made: self.made,
            skipped: self.skipped,
            renamed: self.renamed,
            created_at: self.created_at.as_millis(),
            finished_at: self.finished_at.map(Timestamp::as_millis),
        };
        write(1, &stored)
    }

    fn decode(bytes: &[u8]) -> Result<Import, Corrupt> {
        let stored: ImportV1 = match SnapshotVersion::split("an import", bytes)? {
            (SnapshotVersion::V1, rest) => read(rest)?,
        };
        let head = &stored.head;
        Ok(Import {
            id: Id::from_bits(head.id),
            share: Id::from_bits(head.share),
            snapshot: foreign(&head.snapshot)?,
            frozen: Id::from_bits(head.frozen),
            company: foreign(&head.company)?,
            workspace: WorkspaceNumber(head.workspace),
            status: stored.status.into_model(),
            links: stored.links,
            made: stored.made,
            skipped: stored.skipped,
            renamed: stored.renamed,
            created_at: Timestamp::from_millis(stored.created_at),
            finished_at: stored.finished_at.map(Timestamp::from_millis),
        })
    }
}

impl Owned for Import {
    fn owner_in(bytes: &[u8]) -> Option<Owner> {
        let head: ImportHeadV1 = match SnapshotVersion::split("an import", bytes).ok()? {
            (SnapshotVersion::V1, rest) => read_first(rest)?,
        };
        Some(Owner { company: head.company, workspace: WorkspaceNumber(head.workspace) })
    }

    fn owner(&self) -> Owner {
        Owner { company: self.company.as_str().into(), workspace: self.workspace }
    }
}

/// The mark of unfinished work: an import under way, or content that no snapshot has, either not yet or no
/// longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkMark {
    /// The id of the content.
    pub frozen: Id,
    /// The node that does the work.
    pub owner: NodeNumber,
    /// The end of the lease: until then no other node may undo the work.
    pub until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct WorkMarkV2 {
    frozen: u128,
    owner: u16,
    until: i64,
}

impl WorkMark {
    /// Returns whether another node than `node` has a lease of the work.
    pub fn is_leased_to_other(&self, node: NodeNumber, now: Timestamp) -> bool {
        self.owner != node && now < self.until
    }
}

impl Stored for WorkMark {
    fn encode(&self) -> Vec<u8> {
        let Self { frozen, owner, until } = self;
        write(2, &WorkMarkV2 { frozen: frozen.bits(), owner: owner.0, until: until.as_millis() })
    }

    fn decode(bytes: &[u8]) -> Result<WorkMark, Corrupt> {
        match version(bytes)? {
            // From a version without leases, and so of a single machine, which has been restarted since.
            (1, rest) => Ok(WorkMark {
                frozen: Id::from_bits(read(rest)?),
                owner: NodeNumber::ALONE,
                until: Timestamp::from_millis(0),
            }),
            (2, rest) => {
                let WorkMarkV2 { frozen, owner, until } = read(rest)?;
                Ok(WorkMark {
                    frozen: Id::from_bits(frozen),
                    owner: NodeNumber(owner),
                    until: Timestamp::from_millis(until),
                })
            }
            (other, _) => unknown("a mark of work", other),
        }
    }
}

/// The id of a snapshot's content, under the id of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrozenId(pub Id);

impl Stored for FrozenId {
    fn encode(&self) -> Vec<u8> {
        write(1, &self.0.bits())
    }

    fn decode(bytes: &[u8]) -> Result<FrozenId, Corrupt> {
        match version(bytes)? {
            (1, rest) => Ok(FrozenId(Id::from_bits(read(rest)?))),
            (other, _) => unknown("a pointer to a snapshot", other),
        }
    }
}

#[cfg(test)]
mod tests;
