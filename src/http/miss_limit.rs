//! The limit of misses (visits to codes without a link) for each address. It makes scanners and broken
//! clients stop, and bounds what they cost. It does not hide links: the length of generated codes does.
//! Existing links still open past the limit, since one address may serve thousands of people.
//!
//! Misses are counted in a table of fixed size, by a keyed hash of the address. A million forged addresses
//! take no more memory than one, and addresses with the same slot share its count. A count belongs to one
//! minute since the start, so up to twice the limit passes around the end of a minute.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::model::network::customer;

/// Slots of the table, 128 KB in all. So few visitors miss within a minute that two of them hardly ever share
/// a slot.
const SLOTS: usize = 16_384;

/// Counts misses, or other requests, for each address.
#[derive(Debug)]
pub(super) struct MissLimit {
    per_minute: u32,
    began: Instant,
    random: ahash::RandomState,
    /// Each has the minute in its upper half, and the misses within that minute in its lower half.
    slots: Box<[AtomicU64]>,
}

impl MissLimit {
    pub(super) fn new(per_minute: u32) -> MissLimit {
        MissLimit {
            per_minute,
            began: Instant::now(),
            random: ahash::RandomState::new(),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts a miss. Returns the time until the next minute if there were too many.
    pub(super) fn miss(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.began).as_secs();
        let minute = since / 60;
        // Keyed, so that no client can choose addresses that share a slot with another one.
        let hash = self.random.hash_one(customer(peer));
        let slot = usize::try_from(hash % SLOTS as u64).expect("below the number of slots");
        let add = |slot: u64| {
            let misses = if slot >> 32 == minute { slot & u64::from(u32::MAX) } else { 0 };
            // Saturates: an overflow would change the minute.
            (minute << 32) | (misses + 1).min(u64::from(u32::MAX))
        };
        // `add` never fails the update, so both results are the value before it.
        let before =
            self.slots[slot].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slot| Some(add(slot)));
        let misses = add(before.unwrap_or_else(|slot| slot)) & u64::from(u32::MAX);
        (misses > u64::from(self.per_minute)).then(|| Duration::from_secs(60 - since % 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_limit_for_each_minute() {
        let scans = MissLimit::new(3);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let at = |seconds: u64| scans.began + Duration::from_secs(seconds);
        for _ in 0..3 {
            assert_eq!(scans.miss(address("2001:db8::1"), at(10)), None);
        }
        assert_eq!(scans.miss(address("2001:db8::2"), at(11)), Some(Duration::from_secs(49)), "of its /64");
        assert_eq!(scans.miss(address("2001:db8:1::2"), at(11)), None, "another");
        assert_eq!(scans.miss(address("2001:db8::1"), at(60)), None, "the next minute");
    }

    /// One bit of an address that forges all others does not help it.
    #[test]
    fn t80_forged_addresses_take_no_memory_and_lift_no_limit() {
        let scans = MissLimit::new(3);
        let now = scans.began;
        for n in 0..1_000_000_u32 {
            scans.miss(IpAddr::V4(n.into()), now);
        }
        assert!((0..1_000_u32).all(|n| scans.miss(IpAddr::V4((n << 8).into()), now).is_some()));
    }
}
