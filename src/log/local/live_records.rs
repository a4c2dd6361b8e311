//! Finds the live records of a log from the log alone: the last write of each key wins.
//!
//! The `replaces` of entries would take less memory, but it is not reliable: a table that silently lost a
//! record leads to a wrong `replaces`, and the lost record would be live beside its successor. Memory is
//! bounded: with more keys than [`MAX_KEYS`], the log is read again for each part of the keys.

use std::collections::HashMap;

use super::segments::{Changes, Records, Segment};
use crate::log::frame::header_footer::SegmentKind;
use crate::log::key_hash::{KeyHash, KeyHasher};
use crate::log::{Fingerprint, LogError, Position, Record, SnapshotReader};

/// Limit of keys in memory, at 24 bytes each plus the free capacity of the map: at most 13 MB, because
/// compaction runs beside everything else, in the smallest container too. Beyond it, each further part of
/// the keys costs two passes over the log, about 1 s per GB.
pub(crate) const MAX_KEYS: u64 = 400_000;

/// Marks a key whose record was emitted. No Change has this position.
const EMITTED: Position = Position(u64::MAX);

/// A write in the log.
#[derive(Debug)]
pub(crate) struct Write<'a> {
    /// The key.
    pub(crate) key: &'a bytes::Bytes,
    /// The position of the write.
    pub(crate) revision: Position,
    /// The record; `None` for a removal.
    pub(crate) value: Option<&'a bytes::Bytes>,
}

/// Reads all writes in any order. Called twice for each part of the keys.
pub(crate) type WriteSource<'a> =
    dyn FnMut(&mut dyn FnMut(Write<'_>) -> Result<(), LogError>) -> Result<(), LogError> + 'a;

/// Calls `each` once with each live record. Returns the fingerprint of all of them. `keys` is an estimate
/// of the number of keys.
pub(crate) fn each_live(
    keys: u64,
    max_keys: u64,
    source: &mut WriteSource<'_>,
    each: &mut dyn FnMut(Record) -> Result<(), LogError>,
) -> Result<Fingerprint, LogError> {
    let hasher = KeyHasher::new();
    let parts = keys.div_ceil(max_keys).max(1);
    // With the right capacity the map does not grow, which would double its memory for a moment. The parts
    // are of nearly equal size.
    let expected = keys.div_ceil(parts).min(max_keys);
    let expected = usize::try_from(expected + expected / 16).unwrap_or(0);
    let mut fingerprint = Fingerprint::default();
    for part in 0..parts {
        let mut last: HashMap<KeyHash, Position> = HashMap::with_capacity(expected);
        source(&mut |write| {
            let hash = hasher.hash(write.key);
            // By the hash, so that all writes of a key are in one part.
            if hash[0] % parts == part {
                let known = last.entry(hash).or_default();
                *known = write.revision.max(*known);
            }
            Ok(())
        })?;
        source(&mut |write| {
            let Some(value) = write.value else { return Ok(()) };
            let Some(known) = last.get_mut(&hasher.hash(write.key)) else { return Ok(()) };
            // A later write of the key exists, or the record was already emitted.
            if *known != write.revision {
                return Ok(());
            }
            *known = EMITTED;
            let record = Record { key: write.key.clone(), revision: write.revision, value: value.clone() };
            if record.key.first() != Some(&crate::log::CLICKS_PREFIX) {
                fingerprint.add(&record.key, record.revision);
            }
            each(record)
        })?;
    }
    Ok(fingerprint)
}

/// Returns an upper estimate of the number of keys, for [`each_live`]. Click totals are rewritten often,
/// and there are at most as many as records.
pub(crate) fn keys(segments: &[Segment]) -> u64 {
    let records: u64 = segments.iter().map(|segment| segment.stats.records).sum();
    let clicks: u64 = segments.iter().map(|segment| segment.stats.clicks).sum();
    records + clicks.min(records)
}

/// Reads the writes of intact segments. Calls `tick` for each one, which may stop the read with an error.
pub(crate) fn read(
    segments: &[Segment],
    tick: &mut dyn FnMut() -> Result<(), LogError>,
    each: &mut dyn FnMut(Write<'_>) -> Result<(), LogError>,
) -> Result<(), LogError> {
    for segment in segments {
        match segment.header.kind {
            SegmentKind::Snapshot => {
                let mut records = Records::new(segment)?;
                while let Some(Record { key, revision, value }) = records.next()? {
                    tick()?;
                    each(Write { key: &key, revision, value: Some(&value) })?;
                }
            }
            SegmentKind::Changes => {
                let mut changes = Changes::new(segment)?;
                while let Some(change) = changes.next()? {
                    tick()?;
                    for entry in &change.entries {
                        let (key, value) = (&entry.put.key, entry.put.value.as_ref());
                        each(Write { key, revision: change.position, value })?;
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;

    /// For any number of keys in memory, and any order of writes.
    #[test]
    fn the_last_write_of_each_key_is_emitted_once() {
        let writes: Vec<(Bytes, Position, Option<Bytes>)> = (1..500_u64)
            .map(|n| {
                let key = Bytes::from(format!("{}{}", if n % 5 == 0 { 'c' } else { 'l' }, n * 31 % 60));
                (key, Position(n), (n % 7 != 0).then(|| Bytes::from(n.to_string())))
            })
            .collect();
        let mut wanted = BTreeMap::new();
        for (key, revision, value) in &writes {
            match value {
                Some(value) => wanted.insert(key.clone(), (*revision, value.clone())),
                None => wanted.remove(key),
            };
        }
        let mut fingerprint = Fingerprint::default();
        for (key, (revision, _)) in wanted.iter().filter(|(key, _)| key[0] == b'l') {
            fingerprint.add(key, *revision);
        }
        // One key in memory, a few, and all.
        for (max_keys, backwards) in [(1, false), (7, false), (7, true), (1_000, true)] {
            let mut ordered: Vec<_> = writes.iter().collect();
            if backwards {
                ordered.reverse();
            }
            let mut source = |each: &mut dyn FnMut(Write<'_>) -> Result<(), LogError>| {
                // A write may occur twice: in the log and in the table.
                ordered.iter().chain(&ordered).try_for_each(|(key, revision, value)| {
                    each(Write { key, revision: *revision, value: value.as_ref() })
                })
            };
            let mut found = BTreeMap::new();
            let computed = each_live(writes.len() as u64, max_keys, &mut source, &mut |record| {
                let twice = found.insert(record.key, (record.revision, record.value));
                assert_eq!(twice, None);
                Ok(())
            });
            assert_eq!(computed.expect("nothing fails"), fingerprint, "{max_keys}, {backwards}");
            assert_eq!(found, wanted, "{max_keys}, {backwards}");
        }
    }
}
