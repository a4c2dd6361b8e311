//! [`ShareRecord`]: a share of a snapshot, or of statistics. Both have their ids in one kind of link, so they are
//! records of one kind. The version of the record tells them apart: 1 is a share of a snapshot, 2 one of statistics, and
//! 3 one of statistics with a time zone.

use serde::{Deserialize, Serialize};

use super::{Corrupt, Stored, read, version, write};
use crate::clock::Timestamp;
use crate::model::click_share::{ClickShare, SharedClicks};
use crate::model::id::Id;
use crate::model::link::PasswordHash;
use crate::model::snapshot::Share;
use crate::model::workspace::WorkspaceNumber;

/// What the id in a share link names.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The types have the docs.
pub enum ShareRecord {
    Snapshot(Share),
    Clicks(ClickShare),
}

#[derive(Serialize, Deserialize)]
enum SharedClicksV2 {
    // bincode writes the index of a variant: the order never changes, and later variants are last.
    Link(u128),
    Tag(u128),
}

/// Version 2 of the record: a share of statistics.
#[derive(Serialize, Deserialize)]
struct ClickShareV2 {
    id: u128,
    workspace: u32,
    of: SharedClicksV2,
    password: Option<Box<str>>,
    expires_at: i64,
    created_at: i64,
}

/// Version 3 of the record: a share of statistics with a time zone. Others stay at version 2.
#[derive(Serialize, Deserialize)]
struct ClickShareV3 {
    share: ClickShareV2,
    timezone: Box<str>,
}

impl Stored for ShareRecord {
    fn encode(&self) -> Vec<u8> {
        let share = match self {
            ShareRecord::Snapshot(share) => return share.encode(),
            ShareRecord::Clicks(share) => share,
        };
        let ClickShare { id, workspace, of, password, expires_at, created_at, timezone } = share;
        let stored = ClickShareV2 {
            id: id.bits(),
            workspace: workspace.0,
            of: match of {
                SharedClicks::Link(id) => SharedClicksV2::Link(id.bits()),
                SharedClicks::Tag(id) => SharedClicksV2::Tag(id.bits()),
            },
            password: password.as_ref().map(|hash| hash.as_str().into()),
            expires_at: expires_at.as_millis(),
            created_at: created_at.as_millis(),
        };
        match timezone {
            None => write(2, &stored),
            Some(timezone) => write(3, &ClickShareV3 { share: stored, timezone: timezone.clone() }),
        }
    }

    fn decode(bytes: &[u8]) -> Result<ShareRecord, Corrupt> {
        let (stored, timezone) = match version(bytes)? {
            (2, rest) => (read(rest)?, None),
            (3, rest) => {
                let ClickShareV3 { share, timezone } = read(rest)?;
                (share, Some(timezone))
            }
            // It also has the error about versions that nothing reads.
            _ => return Share::decode(bytes).map(ShareRecord::Snapshot),
        };
        let ClickShareV2 { id, workspace, of, password, expires_at, created_at } = stored;
        Ok(ShareRecord::Clicks(ClickShare {
            id: Id::from_bits(id),
            workspace: WorkspaceNumber(workspace),
            of: match of {
                SharedClicksV2::Link(id) => SharedClicks::Link(Id::from_bits(id)),
                SharedClicksV2::Tag(id) => SharedClicks::Tag(Id::from_bits(id)),
            },
            password: password.map(PasswordHash::from_stored),
            expires_at: Timestamp::from_millis(expires_at),
            created_at: Timestamp::from_millis(created_at),
            timezone,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ForeignId;
    use crate::model::snapshot::ShareKind;

    /// These bytes are on users' disks: if this test fails, add a version instead of editing it.
    #[test]
    fn both_shares_are_read_for_ever() {
        let clicks = ClickShare {
            id: Id::from_bits(8),
            workspace: WorkspaceNumber(3),
            of: SharedClicks::Tag(Id::from_bits(7)),
            password: Some(PasswordHash::from_stored("$a".into())),
            expires_at: Timestamp::from_millis(6),
            created_at: Timestamp::from_millis(5),
            timezone: None,
        };
        let with_zone = ClickShare { timezone: Some("ab".into()), ..clicks.clone() };
        let of_link =
            ClickShare { of: SharedClicks::Link(Id::from_bits(9)), password: None, ..clicks.clone() };
        let of_snapshot = Share {
            id: Id::from_bits(8),
            snapshot: ForeignId::parse("id", "s1").expect("an id"),
            frozen: Id::from_bits(7),
            kind: ShareKind::Once,
            used_at: None,
            created_at: Timestamp::from_millis(5),
        };
        let rows = [
            (ShareRecord::Clicks(clicks), vec![2, 8, 3, 1, 7, 1, 2, b'$', b'a', 12, 10]),
            (ShareRecord::Clicks(with_zone), vec![3, 8, 3, 1, 7, 1, 2, b'$', b'a', 12, 10, 2, b'a', b'b']),
            (ShareRecord::Clicks(of_link), vec![2, 8, 3, 0, 9, 0, 12, 10]),
            (ShareRecord::Snapshot(of_snapshot), vec![1, 8, 2, b's', b'1', 7, 0, 0, 10]),
        ];
        for (share, bytes) in rows {
            assert_eq!(share.encode(), bytes);
            // By their bytes: a hash has no `==`.
            assert_eq!(ShareRecord::decode(&bytes).expect("a share").encode(), bytes);
            assert_eq!(format!("{:?}", ShareRecord::decode(&bytes).ok()), format!("{:?}", Some(share)));
        }
        let error = ShareRecord::decode(&[4, 8]).expect_err("no version 4");
        assert_eq!(error.to_string(), "not a record: a share of version 4, written by a newer Waypost");
    }
}
