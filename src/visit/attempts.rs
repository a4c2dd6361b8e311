//! How many passwords a stranger may try: counted before anything is hashed, so that guessing costs
//! the guesser and not us. While locked, the right password is refused as well, or the answers
//! would tell it from the wrong ones.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::model::id::Id;
use crate::model::network::customer;

/// Wrong passwords per link and address in [`PER_ADDRESS_TIME`]: enough for typing errors, 4.3
/// million years for eight random letters. Past it: 429 until the time is over.
const PER_ADDRESS: u32 = 10;
const PER_ADDRESS_TIME: Duration = Duration::from_mins(1);

/// Wrong passwords per link in [`PER_LINK_TIME`], whatever their addresses: against many machines.
/// It lets many strangers lock a link for an hour, which is better than letting them in.
const PER_LINK: u32 = 100;
const PER_LINK_TIME: Duration = Duration::from_hours(1);

/// Most windows of each kind, some 5 MB. Past it those that are over go, and when none is, all
/// do: to get there by addresses takes as many of them, and each link's own window stands.
const WINDOWS_MAX: usize = 65_536;

/// Locked for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Locked(pub(super) Duration);

/// Counts attempts. One lock: it is taken once per attempt, each of which costs 20 ms of hashing.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Windows>);

#[derive(Debug, Default)]
struct Windows {
    of_address: HashMap<(Id, IpAddr), Window, ahash::RandomState>,
    of_link: HashMap<Id, Window, ahash::RandomState>,
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
    /// Takes an attempt, or says how long there is none.
    pub(super) fn begin(&self, link: Id, peer: IpAddr, now: Instant) -> Result<(), Locked> {
        let mut windows = self.0.lock();
        let address = (link, customer(peer));
        if let Some(window) = windows.of_link.get(&link) {
            window.room(PER_LINK, now)?;
        }
        if let Some(window) = windows.of_address.get(&address) {
            window.room(PER_ADDRESS, now)?;
        }
        add(&mut windows.of_link, link, PER_LINK_TIME, now);
        add(&mut windows.of_address, address, PER_ADDRESS_TIME, now);
        Ok(())
    }

    /// The attempt was right, or was not made after all: it does not count.
    pub(super) fn take_back(&self, link: Id, peer: IpAddr) {
        let mut windows = self.0.lock();
        let Windows { of_address, of_link } = &mut *windows;
        let found = [of_link.get_mut(&link), of_address.get_mut(&(link, customer(peer)))];
        for window in found.into_iter().flatten() {
            window.attempts = window.attempts.saturating_sub(1);
        }
    }
}

fn add<K: Hash + Eq>(
    windows: &mut HashMap<K, Window, ahash::RandomState>,
    key: K,
    time: Duration,
    now: Instant,
) {
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

    const LINK: Id = Id::from_bits(1);

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
        assert_eq!(attempts.begin(Id::from_bits(2), one, later), Ok(()));
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
            let _ = attempts.begin(Id::from_bits(n.into()), IpAddr::V4(n.into()), now);
        }
        let windows = attempts.0.lock();
        assert!(windows.of_address.len() <= WINDOWS_MAX && windows.of_link.len() <= WINDOWS_MAX);
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
            let (link, peer) = (Id::from_bits(u128::from(n) + 1), IpAddr::V4(n.into()));
            taken += u32::from(attempts.begin(link, peer, now).is_ok());
            attempts.take_back(link, peer);
        }
        assert_eq!(taken, most + 10);
        assert!(attempts.begin(LINK, guesser, now).is_err());
    }
}
