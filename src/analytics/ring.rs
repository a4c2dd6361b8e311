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

    /// Notes the position of a tick in the log; [`Position::START`] for a tick that the log has rejected.
    pub fn settle(&mut self, number: u8, position: Position) {
        self.positions[usize::from(number)] = position;
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
        ring.settle(1, Position::START);
        for number in 2..=255 {
            assert_eq!(ring.take(Position(9_999)), Some(number));
        }
        assert_eq!(ring.take(Position(9_999)), None, "the first is still on its way");
        ring.settle(0, Position(9_998));
        assert_eq!((ring.take(Position(9_997)), ring.take(Position(9_999))), (None, Some(0)));
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
