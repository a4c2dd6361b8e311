//! Records of webhooks: the signing secret of each workspace, and deliveries that wait over a restart.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Corrupt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::model::webhook::{SECRET_BYTES, Secret, WebhookSecret};
use crate::model::workspace::WorkspaceNumber;

#[derive(Serialize, Deserialize)]
struct WebhookSecretV1 {
    workspace: u32,
    secret: [u8; SECRET_BYTES],
    created_at: i64,
    // Signs until this time as well, while receivers change to the new secret.
    previous: Option<([u8; SECRET_BYTES], i64)>,
}

impl Stored for WebhookSecret {
    fn encode(&self) -> Vec<u8> {
        let previous = self.previous.as_ref().map(|(secret, until)| (secret.0, until.as_millis()));
        let stored = WebhookSecretV1 {
            workspace: self.workspace.0,
            secret: self.secret.0,
            created_at: self.created_at.as_millis(),
            previous,
        };
        write(1, &stored)
    }

    fn decode(bytes: &[u8]) -> Result<WebhookSecret, Corrupt> {
        let stored: WebhookSecretV1 = match version(bytes)? {
            (1, rest) => read(rest)?,
            (other, _) => return unknown("a webhook secret", other),
        };
        let until = |(secret, until)| (Secret(secret), Timestamp::from_millis(until));
        Ok(WebhookSecret {
            workspace: WorkspaceNumber(stored.workspace),
            secret: Secret(stored.secret),
            created_at: Timestamp::from_millis(stored.created_at),
            previous: stored.previous.map(until),
        })
    }
}

/// A queued delivery: it has not been tried, or its next try is due later.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields have the names of their contents.
pub struct WaitingDelivery {
    /// The id of the event, equal for all its tries.
    pub event: Id,
    pub link: Id,
    /// Its secret signs the delivery.
    pub workspace: WorkspaceNumber,
    pub url: Box<str>,
    pub body: Bytes,
    /// The time of the click.
    pub offered_at: Timestamp,
    /// Number of past tries.
    pub tries: u8,
    /// The time of the next try.
    pub due: Timestamp,
}

/// A batch of the deliveries that were queued at a stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingDeliveries(pub Vec<WaitingDelivery>);

#[derive(Serialize, Deserialize)]
struct WaitingDeliveryV1 {
    event: u128,
    link: u128,
    workspace: u32,
    url: Box<str>,
    body: Vec<u8>,
    offered_at: i64,
    tries: u8,
    due: i64,
}

impl Stored for WaitingDeliveries {
    fn encode(&self) -> Vec<u8> {
        let one = |waiting: &WaitingDelivery| WaitingDeliveryV1 {
            event: waiting.event.bits(),
            link: waiting.link.bits(),
            workspace: waiting.workspace.0,
            url: waiting.url.clone(),
            body: waiting.body.to_vec(),
            offered_at: waiting.offered_at.as_millis(),
            tries: waiting.tries,
            due: waiting.due.as_millis(),
        };
        write(1, &self.0.iter().map(one).collect::<Vec<_>>())
    }

    fn decode(bytes: &[u8]) -> Result<WaitingDeliveries, Corrupt> {
        let stored: Vec<WaitingDeliveryV1> = match version(bytes)? {
            (1, rest) => read(rest)?,
            (other, _) => return unknown("waiting deliveries", other),
        };
        let one = |stored: WaitingDeliveryV1| WaitingDelivery {
            event: Id::from_bits(stored.event),
            link: Id::from_bits(stored.link),
            workspace: WorkspaceNumber(stored.workspace),
            url: stored.url,
            body: stored.body.into(),
            offered_at: Timestamp::from_millis(stored.offered_at),
            tries: stored.tries,
            due: Timestamp::from_millis(stored.due),
        };
        Ok(WaitingDeliveries(stored.into_iter().map(one).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn secrets_and_deliveries_survive() {
        let secret = WebhookSecret {
            workspace: WorkspaceNumber(3),
            secret: Secret([7; SECRET_BYTES]),
            created_at: at(5),
            previous: Some((Secret([8; SECRET_BYTES]), at(9))),
        };
        assert_eq!(WebhookSecret::decode(&secret.encode()).ok(), Some(secret));
        let waiting = WaitingDelivery {
            event: Id::from_bits(1),
            link: Id::from_bits(2),
            workspace: WorkspaceNumber(3),
            url: "https://hooks.example.com/".into(),
            body: Bytes::from_static(b"{}"),
            offered_at: at(4),
            tries: 2,
            due: at(6),
        };
        let all = WaitingDeliveries(vec![waiting.clone(), waiting]);
        assert_eq!(WaitingDeliveries::decode(&all.encode()).ok(), Some(all));
    }

    /// Bytes on disk: never edit them, add a version.
    #[test]
    fn the_first_version_is_read_for_ever() {
        let mut golden = vec![1, 3];
        golden.extend([7; SECRET_BYTES]);
        golden.extend([10, 0]);
        let secret = WebhookSecret::decode(&golden).expect("version 1");
        assert_eq!((secret.workspace, secret.created_at), (WorkspaceNumber(3), at(5)));
        assert_eq!(secret.encode(), golden);
        let golden = [1, 1, 1, 2, 3, 1, b'u', 2, b'{', b'}', 8, 2, 12];
        let waiting = WaitingDeliveries::decode(&golden).expect("version 1");
        assert_eq!((&*waiting.0[0].url, waiting.0[0].tries, waiting.0[0].due), ("u", 2, at(6)));
        assert_eq!(waiting.encode(), golden);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            // With an unknown version, no byte behind it would be read.
            bytes[0] = 1;
            let _ = WebhookSecret::decode(&bytes);
            let _ = WaitingDeliveries::decode(&bytes);
        }
    }
}
