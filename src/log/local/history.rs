//! The history of a log as the table remembers it: tells a log that lost its end from one that went
//! another way.
//!
//! The id of a log says where it began. Two copies of one data folder share it, and each may go on
//! by itself: then both have a position 301, and the two are not the same. So the table keeps a
//! [`HistoryEntry`] for each of the last positions, and a start compares them with the log.

use std::collections::VecDeque;

use super::scan::ScanReport;
use super::segments::{Changes, Segments};
use crate::log::{AppliedState, Change, Fingerprint, LogError, Position};

/// Changes of the log that are compared with what the table remembers. The newest one alone would do:
/// two histories that parted do not write the same bytes in the same millisecond. The others cost
/// nothing, and tell from where on the two differ.
const COMPARED: usize = 16;

/// What the table remembers of the log at one position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryEntry {
    /// [`Change::digest`] of the Change there; 0 when it is not known.
    pub change: u32,
    /// [`Fingerprint::digest`] of the fingerprint after it.
    pub state: u32,
}

impl HistoryEntry {
    /// Returns the entry of a Change, whose fingerprint is known.
    pub fn of(change: &Change) -> HistoryEntry {
        HistoryEntry { change: change.digest(), state: change.fingerprint.digest() }
    }
}

impl Change {
    /// Returns a checksum of what the Change is, however it is encoded. Never 0. It is kept on disk: what
    /// it covers must not change.
    pub fn digest(&self) -> u32 {
        let mut crc = crc32c::crc32c(&self.position.0.to_le_bytes());
        let mut add = |bytes: &[u8]| crc = crc32c::crc32c_append(crc, bytes);
        add(&self.at.as_millis().to_le_bytes());
        add(&self.node.to_le_bytes());
        add(&self.request.to_le_bytes());
        for entry in &self.entries {
            let value = entry.put.value.as_deref();
            // The lengths keep the parts apart; no value is as long as the mark of a removal.
            let length = value.map_or(u64::MAX, |value| value.len() as u64);
            add(&(entry.put.key.len() as u64).to_le_bytes());
            add(&length.to_le_bytes());
            add(&entry.replaces.unwrap_or_default().0.to_le_bytes());
            add(&entry.put.key);
            add(value.unwrap_or_default());
        }
        crc.max(1)
    }
}

impl Fingerprint {
    /// Returns a checksum of the fingerprint. It is kept on disk, like [`Change::digest`].
    pub fn digest(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.count.to_le_bytes()), &self.sum.to_le_bytes())
    }
}

/// The last Changes of a log up to the position of its table.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<Change>);

impl Recent {
    /// Takes the next Change in order.
    pub(crate) fn push(&mut self, change: Change) {
        if self.0.len() == COMPARED {
            self.0.pop_front();
        }
        self.0.push_back(change);
    }
}

/// How the history of a log and that of its table compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// One is the beginning of the other, as far as the log can be read.
    Same,
    /// They differ at this position.
    Forked(Position),
    /// The table remembers nothing of what the log holds: it was written by a version that kept no
    /// history, or reached its position long after the log's last.
    Unknown,
}

/// Compares a log with the table of the same log that has applied `applied`.
pub(crate) fn compare(
    survey: &mut ScanReport,
    applied_state: &dyn AppliedState,
    applied: Position,
) -> Result<Relation, LogError> {
    let mut recent = std::mem::take(&mut survey.recent);
    if recent.0.is_empty() {
        recent = read(&survey.chain, applied)?;
    }
    let mut relation = Relation::Unknown;
    for change in &recent.0 {
        let known = applied_state.history(change.position).filter(|entry| entry.change != 0);
        match known {
            Some(entry) if entry.change != change.digest() => return Ok(Relation::Forked(change.position)),
            Some(_) => relation = Relation::Same,
            None => {}
        }
    }
    Ok(if recent.0.is_empty() { compare_snapshot(&survey.chain, applied_state, applied) } else { relation })
}

/// Compares the state of the snapshot that a log without Changes begins with.
fn compare_snapshot(chain: &Segments, applied_state: &dyn AppliedState, applied: Position) -> Relation {
    let Some(snapshot) = chain.snapshot().filter(|snapshot| snapshot.header.before <= applied) else {
        // The log holds nothing that the table could contradict.
        return Relation::Same;
    };
    let base = snapshot.header.before;
    match applied_state.history(base) {
        Some(entry) if entry.state == snapshot.header.fingerprint.digest() => Relation::Same,
        // Not taken for a fork: a compaction may have put a wrong fingerprint right.
        _ => Relation::Unknown,
    }
}

/// Reads the last Changes up to `applied` from a segment that the survey did not have to read.
fn read(chain: &Segments, applied: Position) -> Result<Recent, LogError> {
    let mut recent = Recent::default();
    let end = chain.segments.last().map_or(Position::START, |segment| segment.last);
    let Some(segment) = chain.find(applied.min(end)) else { return Ok(recent) };
    let mut changes = Changes::new(segment)?;
    // A segment that cannot be read on is damage, of which the survey tells.
    while let Ok(Some(change)) = changes.next() {
        if change.position > applied {
            break;
        }
        recent.push(change);
    }
    Ok(recent)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Timestamp;
    use crate::log::{Entry, Put};

    fn change(at: i64, key: &str, value: Option<&str>) -> Change {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let put = Put { key: Bytes::copy_from_slice(key.as_bytes()), value };
        Change {
            position: Position(7),
            at: Timestamp::from_millis(at),
            node: 0,
            request: 0,
            entries: vec![Entry { put, replaces: None }],
            fingerprint: Fingerprint::default(),
        }
    }

    /// Kept on disk, so for ever.
    #[test]
    fn golden_digests() {
        assert_eq!(change(1, "lkey", Some("value")).digest(), GOLDEN_CHANGE);
        assert_eq!(Fingerprint { count: 3, sum: 9 }.digest(), GOLDEN_STATE);
    }

    const GOLDEN_CHANGE: u32 = 0x2f77_67ff;
    const GOLDEN_STATE: u32 = 0x342e_ff54;

    #[test]
    fn changes_that_differ_anywhere_have_other_digests() {
        let digest = change(1, "ab", Some("c")).digest();
        for other in [
            change(2, "ab", Some("c")),
            change(1, "a", Some("bc")),
            change(1, "abc", Some("")),
            change(1, "abc", None),
            change(1, "ab", Some("d")),
        ] {
            assert_ne!(other.digest(), digest, "{other:?}");
        }
    }
}
