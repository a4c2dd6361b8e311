//! How many passwords a stranger may try: counted before anything is hashed, so that guessing costs
//! the guesser and not us. While locked, the right password is refused as well, or the answers
//! would tell it from the wrong ones. A visitor who has the cookie of the right password is not asked
//! for it, and so is not locked out.
//!
//! Attempts are counted for a link under its present password: setting the password again, also to
//! the same text, begins anew. An owner ends a lock so, or by [`Attempts::forget`].

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ahash::RandomState;
use parking_lot::Mutex;

use crate::model::id::Id;
use crate::model::link::PasswordHash;
use crate::model::network::customer;

/// Wrong passwords per link and address in [`PER_ADDRESS_TIME`]: enough for typing errors, 4.3
/// million years for eight random letters. Past it: 429 until the time is over.
const PER_ADDRESS: u32 = 10;
const PER_ADDRESS_TIME: Duration = Duration::from_mins(1);

/// Wrong passwords per link and address in [`PER_LINK_TIME`]: a fifth of [`PER_LINK`], so that one
/// address can never lock a link for all others, and four together cannot. Past it: 429 until the time
/// is over.
const PER_ADDRESS_LONG: u32 = 20;

/// Wrong passwords per link in [`PER_LINK_TIME`], whatever their addresses: against many machines.
/// It lets many strangers lock a link for an hour, which is better than letting them in.
const PER_LINK: u32 = 100;
const PER_LINK_TIME: Duration = Duration::from_hours(1);

/// Most windows of each of three kinds, some 8 MB. Past it those that are over go, and when none is, all
/// do: to get there by addresses takes as many of them, and each link's own window stands.
const WINDOWS_MAX: usize = 65_536;

/// Locked for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Locked(pub(super) Duration);

/// Counts attempts. One lock: it is taken once per attempt, each of which costs 20 ms of hashing.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    windows: Mutex<Windows>,
    /// Makes a short name of a stored hash.
    names: RandomState,
}

/// A link under its present password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct GuessTarget {
    link: Id,
    /// A name of the stored hash, which differs for each that was ever made.
    hash: u64,
}

#[derive(Debug, Default)]
struct Windows {
    short_by_address: HashMap<(GuessTarget, IpAddr), Window, RandomState>,
    long_by_address: HashMap<(GuessTarget, IpAddr), Window, RandomState>,
    by_link: HashMap<GuessTarget, Window, RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    ends: Instant,
    attempts: u32,
}

impl Window {
    fn room(&self, most: u32, now: Instant) -> Result<(), Locked> {
        if self.attempts < most || now >= self.ends { Ok(()) } else { Err(Locked(self.ends - now)) }
    }
}

impl Attempts {
    /// Returns what attempts at this link are counted for.
    pub(super) fn target(&self, link: Id, hash: &PasswordHash) -> GuessTarget {
        GuessTarget { link, hash: self.names.hash_one(hash.as_str()) }
    }

    /// Takes an attempt, or says how long there is none.
    pub(super) fn begin(&self, target: GuessTarget, peer: IpAddr, now: Instant) -> Result<(), Locked> {
        let mut windows = self.windows.lock();
        let address = (target, customer(peer));
        if let Some(window) = windows.by_link.get(&target) {
            window.room(PER_LINK, now)?;
        }
        if let Some(window) = windows.long_by_address.get(&address) {
            window.room(PER_ADDRESS_LONG, now)?;
        }
        if let Some(window) = windows.short_by_address.get(&address) {
            window.room(PER_ADDRESS, now)?;
        }
        add(&mut windows.by_link, target, PER_LINK_TIME, now);
        add(&mut windows.long_by_address, address, PER_LINK_TIME, now);
        add(&mut windows.short_by_address, address, PER_ADDRESS_TIME, now);
        Ok(())
    }

    /// The attempt was right, or was not made after all: it does not count.
    pub(super) fn take_back(&self, target: GuessTarget, peer: IpAddr) {
        let mut windows = self.windows.lock();
        let Windows { short_by_address, long_by_address, by_link } = &mut *windows;
        let address = (target, customer(peer));
        let found =
            [by_link.get_mut(&target), short_by_address.get_mut(&address), long_by_address.get_mut(&address)];
        for window in found.into_iter().flatten() {
            window.attempts = window.attempts.saturating_sub(1);
        }
    }

    /// Returns for how long a link is locked for all addresses, if it is.
    pub(super) fn locked(&self, target: GuessTarget, now: Instant) -> Option<Locked> {
        self.windows.lock().by_link.get(&target)?.room(PER_LINK, now).err()
    }

    /// Forgets all attempts at a link.
    pub(super) fn forget(&self, target: GuessTarget) {
        let mut windows = self.windows.lock();
        windows.by_link.remove(&target);
        windows.short_by_address.retain(|(of, _), _| *of != target);
        windows.long_by_address.retain(|(of, _), _| *of != target);
    }
}

fn add<K: Hash + Eq>(windows: &mut HashMap<K, Window, RandomState>, key: K, time: Duration, now: Instant) {
    if windows.len() >= WINDOWS_MAX {
        windows.retain(|_, window| now < window.ends && window.attempts > 0);
        if windows.len() >= WINDOWS_MAX {
            windows.clear();
        }
    }
    let window = windows.entry(key).or_insert(Window { ends: now + time, attempts: 0 });
    if now >= window.ends {
        *window = Window { ends: now + time, attempts: 0 };
    }
    window.attempts += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: GuessTarget = target(1);

    const fn target(link: u128) -> GuessTarget {
        GuessTarget { link: Id::from_bits(link), hash: 0 }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ten_a_minute_and_address() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..10 {
            assert_eq!(attempts.begin(LINK, one, start), Ok(()));
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(attempts.begin(LINK, one, later), Err(Locked(Duration::from_secs(40))));
        assert_eq!(attempts.begin(LINK, other, later), Ok(()));
        assert_eq!(attempts.begin(target(2), one, later), Ok(()));
        let over = start + Duration::from_mins(1);
        assert_eq!(attempts.begin(LINK, one, over), Ok(()));
    }

    #[test]
    fn a_hundred_an_hour_and_link() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for n in 0..100 {
            assert_eq!(attempts.begin(LINK, address(&format!("192.0.2.{n}")), start), Ok(()));
        }
        let locked = Err(Locked(Duration::from_hours(1)));
        assert_eq!(attempts.begin(LINK, address("198.51.100.1"), start), locked);
        attempts.take_back(LINK, address("192.0.2.5"));
        assert_eq!(attempts.begin(LINK, address("198.51.100.1"), start), Ok(()));
    }

    /// One address, for as long as it likes, leaves four fifths of an hour's attempts to others.
    #[test]
    fn n16_one_address_does_not_lock_a_link() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let one = address("192.0.2.1");
        let minutes = (0..60).map(|minute| start + Duration::from_secs(minute * 60));
        let mut taken = 0;
        for now in minutes {
            taken += (0..11).filter(|_| attempts.begin(LINK, one, now).is_ok()).count();
        }
        assert_eq!(taken, 20, "ten in the first minute, ten in the second");
        let last = start + Duration::from_mins(59);
        assert_eq!(attempts.locked(LINK, last), None);
        assert_eq!(attempts.begin(LINK, address("192.0.2.2"), last), Ok(()));
        assert_eq!(attempts.begin(LINK, one, start + Duration::from_hours(1)), Ok(()));
    }

    #[test]
    fn n16_an_owner_ends_a_lock() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let hash = |text: &str| PasswordHash::from_stored(text.into());
        let target = attempts.target(Id::from_bits(1), &hash("one"));
        let all = (0..100).map(|n| address(&format!("192.0.2.{n}")));
        for peer in all {
            assert_eq!(attempts.begin(target, peer, now), Ok(()));
        }
        let stranger = address("198.51.100.1");
        assert_eq!(attempts.locked(target, now), Some(Locked(Duration::from_hours(1))));
        assert!(attempts.begin(target, stranger, now).is_err());
        let set_again = attempts.target(Id::from_bits(1), &hash("two"));
        assert_eq!(attempts.begin(set_again, stranger, now), Ok(()), "a password set again begins anew");
        assert_eq!(attempts.target(Id::from_bits(1), &hash("one")), target);
        attempts.forget(target);
        assert_eq!(attempts.locked(target, now), None);
        assert_eq!(attempts.begin(target, address("192.0.2.7"), now), Ok(()));
    }

    #[test]
    fn right_ones_do_not_count() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(attempts.begin(LINK, address("::1"), now), Ok(()));
            attempts.take_back(LINK, address("::1"));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..200_000_u32 {
            let _ = attempts.begin(target(n.into()), IpAddr::V4(n.into()), now);
        }
        let windows = attempts.windows.lock();
        assert!(windows.short_by_address.len() <= WINDOWS_MAX && windows.by_link.len() <= WINDOWS_MAX);
    }

    /// Else whoever guesses could buy new attempts by filling the memory with right ones.
    #[test]
    fn t116_windows_that_count_nothing_go_first() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let guesser = address("2001:db8::1");
        for _ in 0..10 {
            assert_eq!(attempts.begin(LINK, guesser, now), Ok(()));
        }
        let (most, mut taken) = (u32::try_from(WINDOWS_MAX).expect("it is small"), 0);
        for n in 1..=most + 10 {
            let (link, peer) = (target(u128::from(n) + 1), IpAddr::V4(n.into()));
            taken += u32::from(attempts.begin(link, peer, now).is_ok());
            attempts.take_back(link, peer);
        }
        assert_eq!(taken, most + 10);
        assert!(attempts.begin(LINK, guesser, now).is_err());
    }
}
