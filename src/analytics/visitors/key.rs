//! [`DayKey`]: the random key of a day, and the hashes of visitors under it.

use std::fmt;
use std::io;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::analytics::tick::LinkRow;

/// Milliseconds of a day of UTC.
pub(super) const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// Bytes of the secrets.
const SECRET_BYTES: usize = 16;

/// Bytes of a workspace's number, with which a [`LinkRow`] begins.
const WORKSPACE_BYTES: usize = 4;

/// A day of UTC: the number of days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i32);

impl Day {
    /// Returns the day of a time in milliseconds since 1970.
    pub(super) fn of_millis(millis: i64) -> Day {
        let day = millis.div_euclid(DAY_MILLIS);
        // A clock that is wildly wrong must not panic.
        Day(i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX }))
    }

    /// Returns its first millisecond since 1970.
    pub(super) fn start_millis(self) -> i64 {
        i64::from(self.0) * DAY_MILLIS
    }
}

/// A visitor under the key of a day. In memory only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct VisitorHash(u64);

/// A visitor and a link, or a visitor and a workspace: 40 bits of a keyed hash. Two of ten million pairs are equal by
/// chance with each hundred-thousandth new pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct VisitorPair(u64);

impl VisitorPair {
    /// Number of bytes.
    pub(super) const BYTES: usize = 5;

    /// Returns the pair of the low 40 bits.
    pub(super) fn from_number(number: u64) -> VisitorPair {
        VisitorPair(number & ((1 << (8 * VisitorPair::BYTES)) - 1))
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    pub(super) fn to_bytes(self) -> [u8; VisitorPair::BYTES] {
        let [_, _, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; VisitorPair::BYTES]) -> VisitorPair {
        let mut number = [0; 8];
        number[8 - VisitorPair::BYTES..].copy_from_slice(&bytes);
        VisitorPair(u64::from_be_bytes(number))
    }
}

/// The key of a day.
pub(super) struct DayKey {
    day: Day,
    /// Of this day alone. All that is derived from an address is a hash under it.
    secret: [u8; SECRET_BYTES],
    /// Seeds the hash of User-Agents. The next key has it as well: a process keeps its seed over midnight, and after a
    /// restart the same User-Agent must have the same hash. No hash of a User-Agent is stored, so the seed reveals
    /// nothing.
    agent_seed: [u8; SECRET_BYTES],
}

/// What a hash is of. So hashes of different things cannot be equal by construction.
#[derive(Clone, Copy)]
enum Subject {
    VisitorHash = 1,
    Link,
    Workspace,
    Fingerprint,
}

impl DayKey {
    /// Bytes of [`DayKey::encode`].
    pub(super) const BYTES: usize = 4 + 2 * SECRET_BYTES + 4;

    /// Creates a random key. Fails if the system has no random bytes.
    pub(super) fn random(day: Day, agent_seed: Option<[u8; SECRET_BYTES]>) -> io::Result<DayKey> {
        let agent_seed = match agent_seed {
            Some(seed) => seed,
            None => random_bytes()?,
        };
        // Independent of yesterday's secret, so that one day's key reveals no other day.
        Ok(DayKey { day, secret: random_bytes()?, agent_seed })
    }

    /// Returns the day.
    pub(super) fn day(&self) -> Day {
        self.day
    }

    /// Returns the seed of the hash of User-Agents.
    pub(super) fn agent_seed(&self) -> [u8; SECRET_BYTES] {
        self.agent_seed
    }

    /// Returns the bytes of the key's file: the day, the secret, the seed, and a checksum.
    pub(super) fn encode(&self) -> [u8; DayKey::BYTES] {
        let mut bytes = [0; DayKey::BYTES];
        let (day, rest) = bytes.split_at_mut(4);
        let (secret, rest) = rest.split_at_mut(SECRET_BYTES);
        let (seed, checksum) = rest.split_at_mut(SECRET_BYTES);
        day.copy_from_slice(&self.day.0.to_le_bytes());
        secret.copy_from_slice(&self.secret);
        seed.copy_from_slice(&self.agent_seed);
        // Against damage only: a forger can read the key in the same file.
        let crc = checksum_of(&[day, secret, seed]);
        checksum.copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes the bytes of the key's file. Returns `None` if they are damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<DayKey> {
        let (day, rest) = bytes.split_first_chunk()?;
        let (secret, rest) = rest.split_first_chunk()?;
        let (agent_seed, checksum) = rest.split_first_chunk()?;
        // A file of another length fails as well, since the checksum must be all of the rest.
        let is_whole = checksum == checksum_of(&[day, secret, agent_seed]).to_le_bytes();
        let day = Day(i32::from_le_bytes(*day));
        is_whole.then_some(DayKey { day, secret: *secret, agent_seed: *agent_seed })
    }

    /// Returns the visitor with this address and this hash of a User-Agent. An IPv6 address is cut to its network of
    /// 64 bits, since devices change the rest every day or more often.
    pub(super) fn visitor(&self, address: IpAddr, agent: u64) -> VisitorHash {
        // A listener of both families sees IPv4 clients as `::ffff:a.b.c.d`.
        let address = match address.to_canonical() {
            // Mapped, it has bits behind the 64th, so it equals no network of IPv6.
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        };
        // Fields of fixed length: no two visitors have the same bytes.
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&address.to_be_bytes());
        bytes[16..].copy_from_slice(&agent.to_be_bytes());
        VisitorHash(self.hash(Subject::VisitorHash, &bytes))
    }

    /// Returns the pair of a visitor and a link.
    pub(super) fn link_pair(&self, visitor: VisitorHash, link: &LinkRow) -> VisitorPair {
        self.pair(Subject::Link, visitor, link)
    }

    /// Returns the pair of a visitor and the workspace of a link.
    pub(super) fn workspace_pair(&self, visitor: VisitorHash, link: &LinkRow) -> VisitorPair {
        self.pair(Subject::Workspace, visitor, &link[..WORKSPACE_BYTES])
    }

    /// Returns a hash by which a file of pairs is known to be of this key.
    pub(super) fn fingerprint(&self) -> [u8; 8] {
        self.hash(Subject::Fingerprint, &[]).to_be_bytes()
    }

    fn pair(&self, subject: Subject, visitor: VisitorHash, of: &[u8]) -> VisitorPair {
        // On the stack, since every counted click computes a pair.
        let mut bytes = [0; 8 + size_of::<LinkRow>()];
        let bytes = &mut bytes[..8 + of.len()];
        bytes[..8].copy_from_slice(&visitor.0.to_be_bytes());
        bytes[8..].copy_from_slice(of);
        VisitorPair::from_number(self.hash(subject, bytes))
    }

    fn hash(&self, subject: Subject, bytes: &[u8]) -> u64 {
        let mut subject_and_bytes = [0; 1 + 8 + size_of::<LinkRow>()];
        subject_and_bytes[0] = subject as u8;
        subject_and_bytes[1..=bytes.len()].copy_from_slice(bytes);
        // SipHash is made for short inputs under a secret: without it, addresses cannot be tried out.
        SipHasher13::new_with_key(&self.secret).hash(&subject_and_bytes[..=bytes.len()])
    }
}

/// Shows the day only.
impl fmt::Debug for DayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DayKey").field("day", &self.day).finish_non_exhaustive()
    }
}

fn checksum_of(fields: &[&[u8]]) -> u32 {
    fields.iter().fold(0, |crc, field| crc32c::crc32c_append(crc, field))
}

fn random_bytes() -> io::Result<[u8; SECRET_BYTES]> {
    let mut bytes = [0; SECRET_BYTES];
    // Without a fallback: a key that can be guessed would make visitors traceable.
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DayKey {
        DayKey { day: Day(20_000), secret: [7; 16], agent_seed: [9; 16] }
    }

    fn visitor(address: &str, agent: u64) -> VisitorHash {
        key().visitor(address.parse().expect("an address"), agent)
    }

    #[test]
    fn a_visitor_is_a_network_and_a_user_agent() {
        assert_eq!(visitor("203.0.113.9", 1), visitor("::ffff:203.0.113.9", 1));
        assert_eq!(visitor("2001:db8:1:2::3", 1), visitor("2001:db8:1:2:ffff::", 1));
        // Each line has one part of its own: agent, host, family, network, notation, secret.
        let others = [
            visitor("203.0.113.9", 1),
            visitor("203.0.113.9", 2),
            visitor("203.0.113.8", 1),
            visitor("2001:db8:1:2::3", 1),
            visitor("2001:db8:1:3::3", 1),
            // An old notation that is no mapped address: it belongs to the network `::/64`.
            visitor("::203.0.113.9", 1),
            DayKey { secret: [8; 16], ..key() }.visitor("203.0.113.9".parse().expect("an address"), 1),
        ];
        for (at, one) in others.iter().enumerate() {
            assert!(others[at + 1..].iter().all(|other| one != other), "{at}");
        }
    }

    #[test]
    fn a_key_survives_its_file_and_damage_is_noticed() {
        let bytes = key().encode();
        let found = DayKey::decode(&bytes).expect("whole");
        assert_eq!((found.day, found.secret, found.agent_seed), (Day(20_000), [7; 16], [9; 16]));
        for at in 0..bytes.len() {
            assert!(DayKey::decode(&bytes[..at]).is_none(), "cut at {at}");
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert!(DayKey::decode(&damaged).is_none(), "damaged at {at}");
        }
        assert!(DayKey::decode(&[&bytes[..], &[0]].concat()).is_none());
    }

    #[test]
    fn days_begin_at_midnight() {
        assert_eq!(Day::of_millis(0), Day(0));
        assert_eq!(Day::of_millis(DAY_MILLIS - 1), Day(0));
        assert_eq!(Day::of_millis(DAY_MILLIS), Day(1));
        // A division that rounds toward zero would make day 0 two days long.
        assert_eq!(Day::of_millis(-1), Day(-1));
        assert_eq!(Day::of_millis(i64::MAX), Day(i32::MAX));
        assert_eq!(Day::of_millis(i64::MIN), Day(i32::MIN));
        assert_eq!(Day::of_millis(Day(20_000).start_millis()), Day(20_000));
    }

    #[test]
    fn pairs_have_five_bytes() {
        let pair = VisitorPair::from_number(0x1234_5678_9abc_def0);
        assert_eq!(pair.number(), 0x78_9abc_def0);
        assert_eq!(VisitorPair::from_bytes(pair.to_bytes()), pair);
    }

    /// The key is a secret, and logs print errors with their context.
    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", key()), "DayKey { day: Day(20000), .. }");
    }
}
