//! The log's history in the table: one [`HistoryEntry`] for each of the last positions. The next start
//! detects by it a log that has the same id and other Changes.
//!
//! Entries are in chunks, which are written before the position: after a crash a chunk may be ahead of the
//! position, never behind.

use super::error::Error;
use super::keys;
use super::record::Cell;
use super::store::Store;
use crate::log::{HistoryEntry, Position};

/// Positions per chunk. A Change that is applied alone rewrites its chunk, 256 bytes at most.
const CHUNK: u64 = 32;

/// Number of remembered positions: half a megabyte. A log that lost more Changes, or was restored from an
/// older copy, looks like a fork: the start then fails.
const REMEMBERED: u64 = 65_536;

const ENTRY_BYTES: usize = 8;

/// Appends entries of consecutive positions.
pub(super) fn append(store: &Store, entries: &[(Position, HistoryEntry)]) -> Result<(), Error> {
    for part in entries.chunk_by(|(a, _), (b, _)| a.0 / CHUNK == b.0 / CHUNK) {
        let [(first, _), ..] = part else { continue };
        let number = first.0 / CHUNK;
        let mut bytes = chunk(store, number)?.unwrap_or_default();
        // Later entries of the chunk are of a run that a crash interrupted, and are replaced.
        bytes.resize(offset(*first), 0);
        for (_, entry) in part {
            bytes.extend_from_slice(&entry.change.to_le_bytes());
            bytes.extend_from_slice(&entry.state.to_le_bytes());
        }
        let last = part.last().map_or(*first, |(position, _)| *position);
        let key = keys::history(number);
        let cell = Cell { revision: last, replaces: Position::START, value: &bytes };
        store.insert(&key, cell.encode(&key))?;
        if let Some(old) = number.checked_sub(REMEMBERED / CHUNK)
            // Once for each chunk, when its first position is written.
            && offset(*first) == 0
        {
            store.remove(&keys::history(old))?;
        }
    }
    Ok(())
}

/// Returns the entry of a position, `None` if it is not remembered.
pub(super) fn at(store: &Store, position: Position) -> Result<Option<HistoryEntry>, Error> {
    let Some(bytes) = chunk(store, position.0 / CHUNK)? else { return Ok(None) };
    // Past the end of the chunk, nothing was written yet.
    let entry = bytes.get(offset(position)..).and_then(|rest| rest.split_first_chunk::<4>());
    let Some((change, rest)) = entry else { return Ok(None) };
    let Some(state) = rest.first_chunk::<4>() else { return Ok(None) };
    let entry = HistoryEntry { change: u32::from_le_bytes(*change), state: u32::from_le_bytes(*state) };
    // Zeros fill a chunk before the first position that was ever recorded in it.
    Ok(Some(entry).filter(|entry| *entry != HistoryEntry::default()))
}

fn offset(position: Position) -> usize {
    usize::try_from(position.0 % CHUNK).unwrap_or(0) * ENTRY_BYTES
}

fn chunk(store: &Store, number: u64) -> Result<Option<Vec<u8>>, Error> {
    let key = keys::history(number);
    let Some(bytes) = store.get(&key)? else { return Ok(None) };
    // A damaged chunk counts as forgotten: the table works without it.
    Ok(Cell::decode(&key, &bytes).ok().map(|cell| cell.value.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(position: u64) -> (Position, HistoryEntry) {
        let number = u32::try_from(position).expect("small");
        (Position(position), HistoryEntry { change: number + 1, state: number + 2 })
    }

    #[test]
    fn the_last_positions_are_remembered_and_older_ones_are_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        // 100 is inside of a chunk, whose earlier positions are zeros.
        let (first, last) = (100, 100 + REMEMBERED + 1_000);
        let all: Vec<_> = (first..=last).map(entry).collect();
        // Runs that begin and end inside of chunks.
        for run in all.chunks(50) {
            append(&store, run).expect("it writes");
        }
        // Before the first one, too old twice, and not written yet.
        for position in [first - 1, first, last - REMEMBERED - CHUNK, last + 1] {
            assert_eq!(at(&store, Position(position)).expect("it reads"), None, "{position}");
        }
        for position in [last - REMEMBERED + CHUNK, last - 77, last] {
            let want = Some(entry(position).1);
            assert_eq!(at(&store, Position(position)).expect("it reads"), want, "{position}");
        }
        // A crash interrupted the last run: the next run overwrites it.
        append(&store, &[(Position(last - 3), HistoryEntry { change: 9, state: 9 })]).expect("it writes");
        let rewritten = at(&store, Position(last - 3)).expect("it reads");
        assert_eq!(rewritten, Some(HistoryEntry { change: 9, state: 9 }));
        assert_eq!(at(&store, Position(last)).expect("it reads"), None);
    }
}
