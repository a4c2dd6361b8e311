//! [`Ring`]: the keys under which the log has the latest ticks.
//!
//! The log keeps the last record of each key. So the number of keys bounds the bytes of ticks in a compacted log, and a
//! tick is overwritten only once its cells are in a durable part.

use crate::log::Position;

/// Number of keys of a node.
pub const SIZE: usize = 256;

/// Half of the keys.
const HALF: u8 = 128;
const _: () = assert!(2 * (HALF as usize) == SIZE);

/// The position of a tick that is on its way to the log. No tick is durable up to it.
const UNDER_WAY: Position = Position(u64::MAX);

/// The positions of the ticks under all keys of this node.
#[derive(Debug)]
pub struct Ring {
    next: u8,
    positions: Box<[Position; SIZE]>,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring { next: 0, positions: Box::new([Position::START; SIZE]) }
    }
}

/// The position of a tick of an earlier process that may be in no part yet.
const UNKNOWN: Position = Position(1);

impl Ring {
    /// Creates the ring of a process. `last` is the number of the last tick of an earlier process that is in a durable
    /// part. Ticks of up to half the numbers behind it may be in the log only, so the ring begins at the other half.
    pub fn behind(last: u8) -> Ring {
        // 129 keys are free before the store has caught up: two minutes of drains, one a second.
        let mut ring = Ring { next: last.wrapping_add(HALF), ..Ring::default() };
        for number in 1..HALF {
            ring.positions[usize::from(last.wrapping_add(number))] = UNKNOWN;
        }
        ring
    }

    /// Returns the number of a key that may be written, `None` while the tick under it is not in a durable part.
    /// `durable` is the last position whose cells are durable, [`Position::START`] before that is known. The caller
    /// settles the number.
    pub fn take(&mut self, durable: Position) -> Option<u8> {
        let number = self.next;
        let position = &mut self.positions[usize::from(number)];
        // `UNDER_WAY` is larger than any position.
        if *position > durable {
            return None;
        }
        // At once: its position is known after the commit, and another drain may come before.
        *position = UNDER_WAY;
        // No number is skipped, since `behind` infers the newest ticks from one number.
        self.next = number.wrapping_add(1);
        Some(number)
    }

    /// Notes the position of a tick in the log.
    pub fn settle(&mut self, number: u8, position: Position) {
        self.positions[usize::from(number)] = position;
    }

    /// Notes that the log has rejected a tick. If its number was the last one, it is the next one again: a full disk
    /// rejects several ticks a second, and no part is written that would free the keys of earlier ticks.
    pub fn reject(&mut self, number: u8) {
        // Under this key, the log has at most an older tick, whose cells are in a part.
        self.positions[usize::from(number)] = Position::START;
        if self.next == number.wrapping_add(1) {
            self.next = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_reused_once_its_tick_is_durable() {
        let mut ring = Ring::default();
        for position in 1..=SIZE as u64 {
            let number = ring.take(Position::START).expect("unused");
            assert_eq!(u64::from(number), position - 1);
            ring.settle(number, Position(position * 10));
        }
        // The oldest tick is at position 10, so a part up to 9 does not have it.
        assert_eq!(ring.take(Position(9)), None);
        assert_eq!(ring.take(Position(10)), Some(0));
        // On its way, however far parts are durable.
        assert_eq!(ring.take(Position(20)), Some(1));
        // Rejected: from here on, only number 0 blocks the ring.
        ring.reject(1);
        for number in 1..=255 {
            assert_eq!(ring.take(Position(9_999)), Some(number));
        }
        assert_eq!(ring.take(Position(9_999)), None, "the first is still on its way");
        ring.settle(0, Position(9_998));
        assert_eq!((ring.take(Position(9_997)), ring.take(Position(9_999))), (None, Some(0)));
    }

    #[test]
    fn a_full_disk_uses_up_no_key() {
        let mut ring = Ring::default();
        let last = ring.take(Position::START).expect("unused");
        ring.settle(last, Position(10));
        // Each second one more tick waits, and all are tried and rejected.
        for waiting in 1..100 {
            let taken: Vec<_> = (0..waiting).map_while(|_| ring.take(Position(9))).collect();
            assert_eq!(taken.len(), waiting, "the only tick in the log blocks its own key alone");
            taken.into_iter().rev().for_each(|number| ring.reject(number));
        }
        assert_eq!(ring.take(Position(9)), Some(last + 1), "no number is skipped");
    }

    #[test]
    fn a_rejected_number_before_others_is_free_at_its_next_turn() {
        let mut ring = Ring::default();
        let (first, second) = (ring.take(Position::START), ring.take(Position::START));
        assert_eq!((first, second), (Some(0), Some(1)));
        ring.reject(0);
        ring.settle(1, Position(5));
        let rest: Vec<_> = std::iter::from_fn(|| ring.take(Position::START)).collect();
        assert_eq!((rest[0], rest.len()), (2, SIZE - 1), "all but the key of the second");
    }

    #[test]
    fn a_ring_begins_at_the_half_that_is_durable() {
        let mut ring = Ring::behind(250);
        // From 122 to 250: a ring that began at 251 would overwrite ticks that are in the log only.
        for number in 0..129 {
            assert_eq!(ring.take(Position::START), Some(250_u8.wrapping_add(HALF).wrapping_add(number)));
        }
        // From here on, an earlier process may have written ticks that are in no part.
        assert_eq!(ring.take(Position::START), None);
        // Any position above `START` means that the store has caught up.
        assert_eq!(ring.take(Position(7)), Some(251));
    }
}
