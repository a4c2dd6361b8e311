//! The stored outcome of a POST with an `Idempotency-Key`.

use serde::{Deserialize, Serialize};

use super::entity::foreign;
use super::{Corrupt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;

/// The outcome of a POST with an `Idempotency-Key`. It is in the same Change as what the POST created, and
/// valid for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRecord {
    /// A hash of the request's body.
    pub body: [u8; 16],
    /// The time of the request.
    pub at: Timestamp,
    /// What the request created.
    pub outcome: StoredOutcome,
}

/// The created object, by its id and not its body, so that a bulk of 1,000 links stays small.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant has the name of the created object.
pub enum StoredOutcome {
    Link { workspace: WorkspaceNumber, id: Id },
    Bulk(StoredBulk),
    Tag { workspace: WorkspaceNumber, id: Id },
    Domain(DomainNumber),
    Workspace(WorkspaceNumber),
    Company(ForeignId),
    Key(Id),
    WebhookSecret(WorkspaceNumber),
    Campaign { workspace: WorkspaceNumber, id: ForeignId },
    Snapshot(ForeignId),
    Share(Id),
    Import(Id),
    Rule { workspace: WorkspaceNumber, link: Id, number: u16 },
}

/// The progress of a bulk, written with each of its Changes: a repeated request after a crash continues
/// there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBulk {
    /// The workspace of the links.
    pub workspace: WorkspaceNumber,
    /// The created links, in the order of their rows.
    pub links: Vec<Id>,
    /// The failed rows: row, code and reason.
    pub failed: Vec<(u32, Option<Box<str>>, Box<str>)>,
    /// Number of finished rows.
    pub done: u32,
    /// Number of all rows.
    pub of: u32,
}

#[derive(Serialize, Deserialize)]
enum OutcomeV1 {
    // bincode writes the index of a variant: the order never changes, and later variants are last.
    Link {
        workspace: u32,
        id: u128,
    },
    Bulk {
        workspace: u32,
        links: Vec<u128>,
        failed: Vec<(u32, Option<Box<str>>, Box<str>)>,
        done: u32,
        of: u32,
    },
    Tag {
        workspace: u32,
        id: u128,
    },
    Domain(u32),
    Workspace(u32),
    Company(Box<str>),
    Key(u128),
    WebhookSecret(u32),
    Campaign {
        workspace: u32,
        id: Box<str>,
    },
    Snapshot(Box<str>),
    Share(u128),
    Import(u128),
    Rule {
        workspace: u32,
        link: u128,
        number: u16,
    },
}

#[derive(Serialize, Deserialize)]
struct OutcomeRecordV1 {
    // A repetition with another body is rejected.
    body: [u8; 16],
    at: i64,
    outcome: OutcomeV1,
}

impl OutcomeRecordV1 {
    fn from_model(record: &OutcomeRecord) -> OutcomeRecordV1 {
        let outcome = match &record.outcome {
            StoredOutcome::Link { workspace, id } => {
                OutcomeV1::Link { workspace: workspace.0, id: id.bits() }
            }
            StoredOutcome::Bulk(bulk) => OutcomeV1::Bulk {
                workspace: bulk.workspace.0,
                links: bulk.links.iter().map(|id| id.bits()).collect(),
                failed: bulk.failed.clone(),
                done: bulk.done,
                of: bulk.of,
            },
            StoredOutcome::Tag { workspace, id } => OutcomeV1::Tag { workspace: workspace.0, id: id.bits() },
            StoredOutcome::Domain(number) => OutcomeV1::Domain(number.0),
            StoredOutcome::Workspace(number) => OutcomeV1::Workspace(number.0),
            StoredOutcome::Company(id) => OutcomeV1::Company(id.as_str().into()),
            StoredOutcome::Key(id) => OutcomeV1::Key(id.bits()),
            StoredOutcome::WebhookSecret(number) => OutcomeV1::WebhookSecret(number.0),
            StoredOutcome::Campaign { workspace, id } => {
                OutcomeV1::Campaign { workspace: workspace.0, id: id.as_str().into() }
            }
            StoredOutcome::Snapshot(id) => OutcomeV1::Snapshot(id.as_str().into()),
            StoredOutcome::Share(id) => OutcomeV1::Share(id.bits()),
            StoredOutcome::Import(id) => OutcomeV1::Import(id.bits()),
            StoredOutcome::Rule { workspace, link, number } => {
                OutcomeV1::Rule { workspace: workspace.0, link: link.bits(), number: *number }
            }
        };
        OutcomeRecordV1 { body: record.body, at: record.at.as_millis(), outcome }
    }

    fn into_model(self) -> Result<OutcomeRecord, Corrupt> {
        let outcome = match self.outcome {
            OutcomeV1::Link { workspace, id } => {
                StoredOutcome::Link { workspace: WorkspaceNumber(workspace), id: Id::from_bits(id) }
            }
            OutcomeV1::Bulk { workspace, links, failed, done, of } => StoredOutcome::Bulk(StoredBulk {
                workspace: WorkspaceNumber(workspace),
                links: links.into_iter().map(Id::from_bits).collect(),
                failed,
                done,
                of,
            }),
            OutcomeV1::Tag { workspace, id } => {
                StoredOutcome::Tag { workspace: WorkspaceNumber(workspace), id: Id::from_bits(id) }
            }
            OutcomeV1::Domain(number) => StoredOutcome::Domain(DomainNumber(number)),
            OutcomeV1::Workspace(number) => StoredOutcome::Workspace(WorkspaceNumber(number)),
            OutcomeV1::Company(id) => StoredOutcome::Company(foreign(&id)?),
            OutcomeV1::Key(id) => StoredOutcome::Key(Id::from_bits(id)),
            OutcomeV1::WebhookSecret(number) => StoredOutcome::WebhookSecret(WorkspaceNumber(number)),
            OutcomeV1::Campaign { workspace, id } => {
                StoredOutcome::Campaign { workspace: WorkspaceNumber(workspace), id: foreign(&id)? }
            }
            OutcomeV1::Snapshot(id) => StoredOutcome::Snapshot(foreign(&id)?),
            OutcomeV1::Share(id) => StoredOutcome::Share(Id::from_bits(id)),
            OutcomeV1::Import(id) => StoredOutcome::Import(Id::from_bits(id)),
            OutcomeV1::Rule { workspace, link, number } => {
                let workspace = WorkspaceNumber(workspace);
                StoredOutcome::Rule { workspace, link: Id::from_bits(link), number }
            }
        };
        Ok(OutcomeRecord { body: self.body, at: Timestamp::from_millis(self.at), outcome })
    }
}

impl Stored for OutcomeRecord {
    fn encode(&self) -> Vec<u8> {
        write(1, &OutcomeRecordV1::from_model(self))
    }

    fn decode(bytes: &[u8]) -> Result<OutcomeRecord, Corrupt> {
        match version(bytes)? {
            (1, rest) => read::<OutcomeRecordV1>(rest)?.into_model(),
            (other, _) => unknown("an idempotency outcome", other),
        }
    }
}
