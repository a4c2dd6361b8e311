//! Click totals that wait to be written. Only the newest total of each link is written, in the order of the
//! keys: neighbours share a page. The table thereby keeps up with more clicked links per second than it could
//! write one by one.
//!
//! Skipping a total is safe: a later total of the same run replaces it, and no reader sees a position between
//! the two.

use super::keys;
use super::leaf::Edit;
use super::record::{Cell, decode_clicks, encode_clicks};
use crate::log::{self, Position};
use crate::model::id::Id;
use crate::model::node::NodeNumber;

/// Most waiting totals: 2 MB, and one second to write, for which a reader of the same run may wait. Past this
/// bound the run ends and they are written.
const WAITING_MAX: usize = 65_536;

/// Totals encoded at once: half a megabyte.
const BATCH: usize = 4_096;

/// The total of a link on one node, and the position of the Change that wrote it.
struct Total {
    id: Id,
    node: NodeNumber,
    revision: Position,
    clicks: u64,
}

/// Totals that are not in the store yet.
#[derive(Default)]
pub(super) struct Totals(Vec<Total>);

impl Totals {
    /// Queues the total of an entry. Returns false if the entry is not a total or cannot be decoded: the
    /// caller then writes it as it is.
    pub(super) fn take(&mut self, entry: &log::Entry, revision: Position) -> bool {
        let (true, Some(value)) = (entry.put.is_clicks(), &entry.put.value) else { return false };
        let (Some((id, node)), Ok(clicks)) = (keys::parse_clicks(&entry.put.key), decode_clicks(value))
        else {
            return false;
        };
        self.0.push(Total { id, node, revision, clicks });
        true
    }

    /// Returns whether the totals must be written before more are queued. Keeps only the newest of each link.
    pub(super) fn are_many(&mut self) -> bool {
        if self.0.len() < WAITING_MAX {
            return false;
        }
        // Frees enough if the same links are clicked again and again.
        self.sort();
        // With fewer free places than half, the next calls would sort too often.
        self.0.len() > WAITING_MAX / 2
    }

    /// Removes and returns up to [`BATCH`] totals in the order of their keys, `None` if there are none.
    pub(super) fn take_some(&mut self) -> Option<Vec<Edit>> {
        self.sort();
        // From the end, which moves no other total. Batches may come in any order.
        let some = self.0.split_off(self.0.len().saturating_sub(BATCH));
        let edits = some.into_iter().map(|Total { id, node, revision, clicks }| {
            let (key, value) = (keys::clicks(id, node), encode_clicks(clicks));
            let value = Cell { revision, replaces: Position::START, value: &value }.encode(&key);
            Edit { key, value: Some(value) }
        });
        Some(edits.collect()).filter(|edits: &Vec<Edit>| !edits.is_empty())
    }

    /// Sorts by id and node, and keeps the newest of each.
    fn sort(&mut self) {
        // The newest total first: of equal keys, `dedup` keeps the first.
        self.0.sort_unstable_by_key(|total| (total.id, total.node, std::cmp::Reverse(total.revision)));
        self.0.dedup_by_key(|total| (total.id, total.node));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::log::Put;

    fn entry(id: u128, value: Option<Vec<u8>>) -> log::Entry {
        let put =
            Put { key: keys::clicks(Id::from_bits(id), NodeNumber::ALONE), value: value.map(Bytes::from) };
        log::Entry { put, replaces: None }
    }

    fn take(totals: &mut Totals, id: u128, at: u64, clicks: u64) {
        assert!(totals.take(&entry(id, Some(encode_clicks(clicks))), Position(at)));
    }

    /// The number of waiting totals is that of the clicked links, not of their clicks.
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
        let edits = totals.take_some().expect("some wait");
        assert!(edits.is_sorted_by_key(|edit| &edit.key) && totals.take_some().is_none());
        assert_eq!(edits.len(), 1_000);
        for (id, edit) in edits.iter().enumerate() {
            assert_eq!(edit.key, keys::clicks(Id::from_bits(id as u128), NodeNumber::ALONE));
            let cell = Cell::decode(&edit.key, edit.value.as_ref().expect("a total")).expect("it reads");
            let clicks = decode_clicks(cell.value).expect("it reads");
            assert_eq!((cell.revision, clicks), (Position(100), 1_000), "{id}");
        }
    }

    /// Past the bound the run ends, and totals are written in batches.
    #[test]
    fn n48_waiting_totals_are_bounded_and_written_in_batches() {
        let mut totals = Totals::default();
        for id in 0..WAITING_MAX as u128 {
            assert!(!totals.are_many(), "{id}");
            take(&mut totals, id, 1, 1);
        }
        assert!(totals.are_many());
        let batches = std::iter::from_fn(|| totals.take_some());
        let sizes: Vec<_> = batches.map(|edits| edits.len()).collect();
        assert_eq!(sizes, vec![BATCH; WAITING_MAX / BATCH]);
    }

    /// A removal, another record, and a total that cannot be decoded are not queued.
    #[test]
    fn other_entries_are_not_queued() {
        let mut totals = Totals::default();
        assert!(!totals.take(&entry(1, None), Position(1)));
        assert!(!totals.take(&entry(1, Some(vec![255])), Position(1)));
        let put = Put { key: keys::domain(crate::model::domain::DomainNumber(1)), value: Some(Bytes::new()) };
        assert!(!totals.take(&log::Entry { put, replaces: None }, Position(1)));
        assert!(totals.0.is_empty());
    }
}
