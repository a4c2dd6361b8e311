//! Click totals on their way into the store. Of the totals that wait, only the newest of each link is
//! written, and in the order of the keys, in which neighbours share a page: so the table keeps up with
//! clicks on more links a second than it could write one by one.
//!
//! A total may be left out, since a later one of the same run replaces it and no reader is shown the
//! position between them.

use super::record::{Cell, decode_clicks, encode_clicks};
use super::store::Store;
use super::{Error, keys};
use crate::log::{self, Position};
use crate::model::id::Id;

/// Totals that wait at most: 2 MB, and a second of the table's time, for which a reader of the same run
/// may wait. Past it the run ends, and they are written.
const WAITING_MAX: usize = 65_536;

/// Totals written between two looks at the room on the disk: about a megabyte of sled's, which writes a
/// page anew with each tenth.
const PIECE: usize = 4_096;

/// A link's total, and the position of the Change that wrote it.
struct Total {
    id: Id,
    revision: Position,
    clicks: u64,
}

/// Totals that are not in the store yet.
#[derive(Default)]
pub(super) struct Totals(Vec<Total>);

impl Totals {
    /// Takes the total that an entry writes, until it is written. False if it is none, or none that can
    /// be read.
    pub(super) fn take(&mut self, entry: &log::Entry, revision: Position) -> bool {
        let (true, Some(value)) = (entry.put.is_clicks(), &entry.put.value) else { return false };
        let (Some(id), Ok(clicks)) = (keys::trailing_id(&entry.put.key), decode_clicks(value)) else {
            return false;
        };
        self.0.push(Total { id, revision, clicks });
        true
    }

    /// Returns whether they are to be written before more are taken. Leaves only the newest of each link.
    pub(super) fn are_many(&mut self) -> bool {
        if self.0.len() < WAITING_MAX {
            return false;
        }
        self.sort();
        // With room for less than half as many again, each of the next would be sorted too often.
        self.0.len() > WAITING_MAX / 2
    }

    /// Writes some of them. False once none is left.
    pub(super) fn write_some(&mut self, store: &Store) -> Result<bool, Error> {
        self.sort();
        for Total { id, revision, clicks } in self.0.split_off(self.0.len().saturating_sub(PIECE)) {
            let (key, value) = (keys::clicks(id), encode_clicks(clicks));
            let cell = Cell { revision, replaces: Position::START, value: &value };
            store.insert(&key, cell.encode(&key))?;
            store.count_page(&key)?;
        }
        Ok(!self.0.is_empty())
    }

    /// By id, the newest of each.
    fn sort(&mut self) {
        self.0.sort_unstable_by_key(|total| (total.id, std::cmp::Reverse(total.revision)));
        self.0.dedup_by_key(|total| total.id);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::log::Put;
    use crate::table::decoded;
    use crate::table::record::decode_clicks;

    fn entry(id: u128, value: Option<Vec<u8>>) -> log::Entry {
        let put = Put { key: keys::clicks(Id::from_bits(id)), value: value.map(Bytes::from) };
        log::Entry { put, replaces: None }
    }

    fn take(totals: &mut Totals, id: u128, at: u64, clicks: u64) {
        assert!(totals.take(&entry(id, Some(encode_clicks(clicks))), Position(at)));
    }

    /// The totals that the table lags behind with are as many as the links that were clicked, not as the
    /// seconds in which they were.
    #[test]
    fn n48_only_the_newest_total_of_each_link_waits() {
        let mut totals = Totals::default();
        for at in 1..=100 {
            for id in 0..1_000 {
                take(&mut totals, id, at, 10 * at);
                assert!(!totals.are_many());
            }
        }
        assert!(totals.0.len() <= WAITING_MAX, "{} wait", totals.0.len());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&folder.path().join("table"), 1 << 20).expect("opened");
        totals.sort();
        assert_eq!(totals.0.len(), 1_000);
        while totals.write_some(&store).expect("written") {}
        for id in 0..1_000 {
            let found = decoded(&store, &keys::clicks(Id::from_bits(id)), decode_clicks);
            let found = found.expect("read").expect("there");
            assert_eq!((found.revision, found.record), (Position(100), 1_000), "{id}");
        }
    }

    /// Of more links than that, the run ends; and it is written in pieces, between which is looked whether
    /// the disk has room.
    #[test]
    fn n48_totals_that_wait_are_bounded_and_written_in_pieces() {
        let mut totals = Totals::default();
        for id in 0..WAITING_MAX as u128 {
            assert!(!totals.are_many(), "{id}");
            take(&mut totals, id, 1, 1);
        }
        assert!(totals.are_many());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&folder.path().join("table"), 1 << 20).expect("opened");
        let mut pieces = 1;
        while totals.write_some(&store).expect("written") {
            pieces += 1;
        }
        assert_eq!(pieces, WAITING_MAX.div_ceil(PIECE));
    }

    /// A removal, another record, and a total that cannot be read are written as they come.
    #[test]
    fn what_is_no_total_is_not_taken() {
        let mut totals = Totals::default();
        assert!(!totals.take(&entry(1, None), Position(1)));
        assert!(!totals.take(&entry(1, Some(vec![255])), Position(1)));
        let put = Put { key: keys::domain(crate::model::domain::DomainNumber(1)), value: Some(Bytes::new()) };
        assert!(!totals.take(&log::Entry { put, replaces: None }, Position(1)));
        assert!(totals.0.is_empty());
    }
}
