//! Records of campaigns.

use serde::{Deserialize, Serialize};

use super::entity::foreign;
use super::{Corrupt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::model::campaign::Campaign;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

#[derive(Serialize, Deserialize)]
struct CampaignV1 {
    id: Box<str>,
    // Ids of vendors do not sort by time: lists are in the order of this number.
    serial: u128,
    workspace: u32,
    name: Box<str>,
    created_at: i64,
    updated_at: i64,
}

impl Stored for Campaign {
    fn encode(&self) -> Vec<u8> {
        let stored = CampaignV1 {
            id: self.id.as_str().into(),
            serial: self.serial.bits(),
            workspace: self.workspace.0,
            name: self.name.clone(),
            created_at: self.created_at.as_millis(),
            updated_at: self.updated_at.as_millis(),
        };
        write(1, &stored)
    }

    fn decode(bytes: &[u8]) -> Result<Campaign, Corrupt> {
        let stored: CampaignV1 = match version(bytes)? {
            (1, rest) => read(rest)?,
            (other, _) => return unknown("a campaign", other),
        };
        Ok(Campaign {
            id: foreign(&stored.id)?,
            serial: Id::from_bits(stored.serial),
            workspace: WorkspaceNumber(stored.workspace),
            name: stored.name,
            created_at: Timestamp::from_millis(stored.created_at),
            updated_at: Timestamp::from_millis(stored.updated_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::id::ForeignId;
    use crate::table::record::{OutcomeRecord, StoredOutcome};

    /// Bytes on disk: never to be edited, only added to.
    #[test]
    fn the_first_version_is_read_for_ever() {
        let golden = [1, 2, b'c', b'1', 9, 3, 1, b'N', 10, 12];
        let campaign = Campaign {
            id: ForeignId::parse("id", "c1").expect("a valid id"),
            serial: Id::from_bits(9),
            workspace: WorkspaceNumber(3),
            name: "N".into(),
            created_at: Timestamp::from_millis(5),
            updated_at: Timestamp::from_millis(6),
        };
        assert_eq!(campaign.encode(), golden);
        assert_eq!(Campaign::decode(&golden).ok(), Some(campaign));
    }

    #[test]
    fn an_outcome_refers_to_the_campaign_it_created() {
        let id = ForeignId::parse("id", "c1").expect("a valid id");
        let outcome = StoredOutcome::Campaign { workspace: WorkspaceNumber(3), id };
        let record = OutcomeRecord { body: [7; 16], at: Timestamp::from_millis(5), outcome };
        let golden = [&[1][..], &[7; 16], &[10, 8, 3, 2, b'c', b'1']].concat();
        assert_eq!(record.encode(), golden);
        assert_eq!(OutcomeRecord::decode(&golden).ok(), Some(record));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            // With an unknown version, no byte behind it would be read.
            bytes[0] = 1;
            let _ = Campaign::decode(&bytes);
        }
    }
}
