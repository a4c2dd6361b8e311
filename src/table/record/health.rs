//! The result of the checks of a link's destinations. Only the table has it.

use serde::{Deserialize, Serialize};

use super::{Corrupt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::model::health::{CheckFinding, HealthState, LinkHealth};

/// Version 1. The key has the workspace and the id of the link.
#[derive(Serialize, Deserialize)]
struct HealthV1 {
    state: u8,
    since: i64,
    checked_at: i64,
    finding: u8,
    // The status of an answer; 0 for all other findings.
    status: u16,
    target: u16,
    retry_at: Option<i64>,
}

/// The findings without a status, by their numbers, which begin at 1.
const FINDINGS: [CheckFinding; 9] = [
    CheckFinding::Unresolved,
    CheckFinding::Refused,
    CheckFinding::TimedOut,
    CheckFinding::Tls,
    CheckFinding::Malformed,
    CheckFinding::RedirectLoop,
    CheckFinding::BadRedirect,
    CheckFinding::Private,
    CheckFinding::Unchecked,
];

/// The states by their numbers.
const STATES: [HealthState; 4] =
    [HealthState::Ok, HealthState::Failing, HealthState::Broken, HealthState::Unknown];

/// Returns the index of a value in a table of a few.
fn number<T: PartialEq>(values: &[T], value: &T) -> u8 {
    let at = values.iter().position(|other| other == value);
    u8::try_from(at.expect("the table has every value")).expect("the table is small")
}

impl Stored for LinkHealth {
    fn encode(&self) -> Vec<u8> {
        // Every field is named, so that a new one does not compile until it is stored.
        let LinkHealth { state, since, checked_at, finding, target, retry_at } = *self;
        let (finding, status) = match finding {
            CheckFinding::Answered(status) => (0, status),
            other => (1 + number(&FINDINGS, &other), 0),
        };
        let record = HealthV1 {
            state: number(&STATES, &state),
            since: since.as_millis(),
            checked_at: checked_at.as_millis(),
            finding,
            status,
            target,
            retry_at: retry_at.map(Timestamp::as_millis),
        };
        write(1, &record)
    }

    fn decode(bytes: &[u8]) -> Result<LinkHealth, Corrupt> {
        let HealthV1 { state, since, checked_at, finding, status, target, retry_at } = match version(bytes)? {
            (1, rest) => read(rest)?,
            (other, _) => return unknown("the result of a check", other),
        };
        let finding = match finding.checked_sub(1) {
            None => CheckFinding::Answered(status),
            Some(at) => {
                let found = FINDINGS.get(usize::from(at)).copied();
                found.ok_or_else(|| Corrupt(format!("finding {finding}")))?
            }
        };
        let state = STATES.get(usize::from(state)).copied();
        Ok(LinkHealth {
            state: state.ok_or_else(|| Corrupt("an unknown state".to_owned()))?,
            since: Timestamp::from_millis(since),
            checked_at: Timestamp::from_millis(checked_at),
            finding,
            target,
            retry_at: retry_at.map(Timestamp::from_millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes are on users' disks: if this test fails, add a version instead of editing it.
    #[test]
    fn version_1_is_read_for_ever() {
        let at = Timestamp::from_millis;
        let health = LinkHealth {
            state: HealthState::Broken,
            since: at(1),
            checked_at: at(2),
            finding: CheckFinding::Answered(404),
            target: 3,
            retry_at: Some(at(4)),
        };
        let unchecked = LinkHealth { finding: CheckFinding::Unchecked, retry_at: None, ..health };
        let rows =
            [(health, vec![1, 2, 2, 4, 0, 251, 148, 1, 3, 1, 8]), (unchecked, vec![1, 2, 2, 4, 9, 0, 3, 0])];
        for (health, bytes) in rows {
            assert_eq!(health.encode(), bytes, "{health:?}");
            assert_eq!(LinkHealth::decode(&bytes).ok(), Some(health));
        }
        for finding in FINDINGS {
            for state in STATES {
                let health = LinkHealth { state, finding, ..health };
                assert_eq!(LinkHealth::decode(&health.encode()).ok(), Some(health));
            }
        }
        for damaged in [&[1, 4, 2, 4, 0, 0, 3, 0][..], &[1, 2, 2, 4, 10, 0, 3, 0], &[2], &[]] {
            assert!(LinkHealth::decode(damaged).is_err(), "{damaged:?}");
        }
    }
}
