//! Limits the passwords that a visitor may try. An attempt is counted before the password is hashed, so that
//! a guess costs the server nothing past a limit.
//!
//! 1. During a lock the right password is rejected as well: otherwise the responses would reveal which guess
//!    was right.
//! 2. A visitor with the cookie of the right password sends none, and so is never locked out.
//! 3. Attempts are counted for a link with its present password. A new password, even with the same text,
//!    starts with no attempts. An owner ends a lock this way, or with [`Attempts::forget`].

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ahash::RandomState;
use parking_lot::Mutex;

use crate::model::id::Id;
use crate::model::link::PasswordHash;
use crate::model::network::customer;

/// Wrong passwords per link and address in [`PER_ADDRESS_TIME`]: enough for typing errors. At this rate,
/// eight random letters take 4.3 million years. Past it: 429 until the time is over.
const PER_ADDRESS: u32 = 10;
const PER_ADDRESS_TIME: Duration = Duration::from_mins(1);

/// Wrong passwords per link and address in [`PER_LINK_TIME`]: a fifth of [`PER_LINK`], so that four addresses
/// together cannot lock a link for all others. Past it: 429 until the time is over.
const PER_ADDRESS_LONG: u32 = 20;

/// Wrong passwords per link in [`PER_LINK_TIME`], of all addresses: against guesses from many machines. Many
/// machines together can lock a link for an hour, which is better than a password that is found.
const PER_LINK: u32 = 100;
const PER_LINK_TIME: Duration = Duration::from_hours(1);

/// Most windows of each of three kinds, some 8 MB. Past it: expired windows are evicted and, if none is
/// expired, all windows of the kind. An attacker needs this number of addresses to get there, and the window
/// of each link is in another map.
const WINDOWS_MAX: usize = 65_536;

/// A lock, with the time until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Locked(pub(super) Duration);

/// Counts attempts. One lock suffices: it is acquired once per attempt, and the hash of an attempt takes 20
/// ms.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    windows: Mutex<Windows>,
    /// Hashes stored hashes to short names.
    names: RandomState,
}

/// A link with its present password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct GuessTarget {
    link: Id,
    /// A short name of the stored hash. Each hash has its own salt, so a new password has another name.
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
    /// Fails if the window is full at `now`.
    fn admit(&self, most: u32, now: Instant) -> Result<(), Locked> {
        if self.attempts < most || now >= self.ends { Ok(()) } else { Err(Locked(self.ends - now)) }
    }
}

impl Attempts {
    /// Returns the target of attempts at this link.
    pub(super) fn target(&self, link: Id, hash: &PasswordHash) -> GuessTarget {
        GuessTarget { link, hash: self.names.hash_one(hash.as_str()) }
    }

    /// Counts an attempt. Fails, without counting, if the target is locked for this address.
    pub(super) fn begin(&self, target: GuessTarget, peer: IpAddr, now: Instant) -> Result<(), Locked> {
        let mut windows = self.windows.lock();
        // A whole /64 is one customer: otherwise a guesser has 2^64 IPv6 addresses.
        let address = (target, customer(peer));
        // All windows are checked before any is changed: a rejected attempt counts in none of them.
        // Windows of an hour first: the time of the first full window is shown to the visitor, and the minute
        // of the last one would be too short.
        if let Some(window) = windows.by_link.get(&target) {
            window.admit(PER_LINK, now)?;
        }
        if let Some(window) = windows.long_by_address.get(&address) {
            window.admit(PER_ADDRESS_LONG, now)?;
        }
        if let Some(window) = windows.short_by_address.get(&address) {
            window.admit(PER_ADDRESS, now)?;
        }
        add(&mut windows.by_link, target, PER_LINK_TIME, now);
        add(&mut windows.long_by_address, address, PER_LINK_TIME, now);
        add(&mut windows.short_by_address, address, PER_ADDRESS_TIME, now);
        Ok(())
    }

    /// Removes an attempt from the count: it was right, or the password was not checked after all.
    pub(super) fn take_back(&self, target: GuessTarget, peer: IpAddr) {
        let mut windows = self.windows.lock();
        let Windows { short_by_address, long_by_address, by_link } = &mut *windows;
        let address = (target, customer(peer));
        let found =
            [by_link.get_mut(&target), short_by_address.get_mut(&address), long_by_address.get_mut(&address)];
        for window in found.into_iter().flatten() {
            // The window may be a later one than that of the attempt.
            window.attempts = window.attempts.saturating_sub(1);
        }
    }

    /// Returns the lock of a link for all addresses, if there is one.
    pub(super) fn locked(&self, target: GuessTarget, now: Instant) -> Option<Locked> {
        self.windows.lock().by_link.get(&target)?.admit(PER_LINK, now).err()
    }

    /// Removes all attempts at a link.
    pub(super) fn forget(&self, target: GuessTarget) {
        let mut windows = self.windows.lock();
        windows.by_link.remove(&target);
        // A hash map cannot search by the first half of its key. Only a request of the link's owner pays for
        // this.
        windows.short_by_address.retain(|(of, _), _| *of != target);
        windows.long_by_address.retain(|(of, _), _| *of != target);
    }
}

/// Counts an attempt in the window of `key`, and evicts windows if there are too many.
fn add<K: Hash + Eq>(windows: &mut HashMap<K, Window, RandomState>, key: K, time: Duration, now: Instant) {
    if windows.len() >= WINDOWS_MAX {
        // Also windows whose attempts were all right: otherwise right passwords could evict wrong ones.
        windows.retain(|_, window| now < window.ends && window.attempts > 0);
        if windows.len() >= WINDOWS_MAX {
            windows.clear();
        }
    }
    let window = windows.entry(key).or_insert(Window { ends: now + time, attempts: 0 });
    // An expired window starts again, in the place of the old one.
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
    fn ten_attempts_a_minute_per_address() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..10 {
            assert_eq!(attempts.begin(LINK, one, start), Ok(()));
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(attempts.begin(LINK, one, later), Err(Locked(Duration::from_secs(40))));
        assert_eq!(attempts.begin(LINK, other, later), Ok(()));
        assert_eq!(attempts.begin(target(2), one, later), Ok(()));
        // A window has ended at its end, not after it.
        let over = start + Duration::from_mins(1);
        assert_eq!(attempts.begin(LINK, one, over), Ok(()));
    }

    #[test]
    fn a_hundred_attempts_an_hour_per_link() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for n in 0..100 {
            assert_eq!(attempts.begin(LINK, address(&format!("192.0.2.{n}")), start), Ok(()));
        }
        let locked = Err(Locked(Duration::from_hours(1)));
        assert_eq!(attempts.begin(LINK, address("198.51.100.1"), start), locked);
        // A right password of any address makes room in the window of the link.
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
        // Within the hour of the first attempt.
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
        // Another hash is another target: the lock of the old password does not apply.
        let set_again = attempts.target(Id::from_bits(1), &hash("two"));
        assert_eq!(attempts.begin(set_again, stranger, now), Ok(()), "a password set again begins anew");
        assert_eq!(attempts.target(Id::from_bits(1), &hash("one")), target);
        attempts.forget(target);
        assert_eq!(attempts.locked(target, now), None);
        assert_eq!(attempts.begin(target, address("192.0.2.7"), now), Ok(()));
    }

    #[test]
    fn right_passwords_do_not_count() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(attempts.begin(LINK, address("::1"), now), Ok(()));
            attempts.take_back(LINK, address("::1"));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        // Three times `WINDOWS_MAX`, each with its own link and address, so that no window is shared.
        for n in 0..200_000_u32 {
            let _ = attempts.begin(target(n.into()), IpAddr::V4(n.into()), now);
        }
        let windows = attempts.windows.lock();
        assert!(windows.short_by_address.len() <= WINDOWS_MAX && windows.by_link.len() <= WINDOWS_MAX);
    }

    /// Otherwise an attacker could evict the wrong attempts by many right ones, and guess again.
    #[test]
    fn t116_windows_without_attempts_are_evicted_first() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let guesser = address("2001:db8::1");
        for _ in 0..10 {
            assert_eq!(attempts.begin(LINK, guesser, now), Ok(()));
        }
        let (most, mut taken) = (u32::try_from(WINDOWS_MAX).expect("it is small"), 0);
        for n in 1..=most + 10 {
            let (link, peer) = (target(u128::from(n) + 1), IpAddr::V4(n.into()));
            taken += u32::from(attempts.begin(link, peer, now).is_ok());
            // A window without attempts is left.
            attempts.take_back(link, peer);
        }
        assert_eq!(taken, most + 10);
        assert!(attempts.begin(LINK, guesser, now).is_err());
    }
}
