//! Identifiers. Waypost generates [`Id`]s: 20 characters `[0-9A-Za-z]` that sort by time of creation, 16
//! bytes in memory. A [`ForeignId`] may come from a vendor, and clients may contain it: 1 to 64 characters
//! `[A-Za-z0-9_-]`. [`IdSource`] generates ids so that no later id sorts before an earlier one, even if the
//! clock steps back.

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::model::Invalid;

/// Digits in the order of their bytes, so that the text sorts like the number.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of an id.
const LENGTH: usize = 20;

/// Random bits below the milliseconds. 48 bits of time (8,900 years) above 71 random bits stay below 62^20,
/// so that 20 digits always suffice.
const RANDOM_BITS: u32 = 71;

/// An identifier that Waypost generated: milliseconds since 1970, then random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u128);

impl Id {
    /// Returns the id of this number, as the keys of the table contain it.
    pub const fn from_bits(bits: u128) -> Id {
        Id(bits)
    }

    /// Returns the least id of an instant, in milliseconds since 1970.
    pub(crate) fn first_at(millis: i64) -> Id {
        // Saturates: no id has a time before 1970, or one of more than 48 bits.
        let millis = u128::try_from(millis).unwrap_or(0).min((1 << 48) - 1);
        Id(millis << RANDOM_BITS)
    }

    /// Returns the time of creation in milliseconds since 1970.
    pub fn millis(self) -> i64 {
        i64::try_from(self.0 >> RANDOM_BITS).unwrap_or(i64::MAX)
    }

    /// Returns the number. Numbers sort like texts.
    pub fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; LENGTH];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = DIGITS[(rest % 62) as usize];
            rest /= 62;
        }
        f.write_str(std::str::from_utf8(&text).expect("the digits are ASCII"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 20 characters `[0-9A-Za-z]`, so no object has this id.
#[derive(Debug, thiserror::Error)]
#[error("is not an id")]
pub struct NotAnId;

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Id, NotAnId> {
        // Bytes, before the digits are read: a long text costs nothing.
        if text.len() != LENGTH {
            return Err(NotAnId);
        }
        let mut bits: u128 = 0;
        for byte in text.bytes() {
            let digit = DIGITS.iter().position(|d| *d == byte).ok_or(NotAnId)?;
            // 62^20 < 2^120: twenty digits cannot overflow.
            bits = bits * 62 + digit as u128;
        }
        Ok(Id(bits))
    }
}

/// An identifier that may come from a vendor: of a company, workspace, campaign or snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignId(Box<str>);

impl ForeignId {
    /// Parses 1 to 64 characters `[A-Za-z0-9_-]` (docs/decisions.md A7).
    pub fn parse(field: &'static str, text: &str) -> Result<ForeignId, Invalid> {
        let fits = (1..=64).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Ok(ForeignId(text.into()));
        }
        Err(Invalid::new(field, "must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -"))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Id> for ForeignId {
    fn from(id: Id) -> ForeignId {
        ForeignId(id.to_string().into())
    }
}

impl fmt::Display for ForeignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Generates ids in ascending order.
///
/// If the clock is in the same millisecond as the last id, or behind it, the next id is the last id plus a
/// random step.
#[derive(Debug)]
pub struct IdSource {
    last: u128,
}

/// Bits of the largest step between two ids of one millisecond: enough that an id cannot be guessed, and few
/// enough that 2^31 ids fit into a millisecond.
const STEP_BITS: u32 = 40;

impl IdSource {
    /// Creates a source that starts after `last`, the newest existing id.
    pub fn after(last: Option<Id>) -> IdSource {
        // From the stored ids: after a restart with a clock that is behind, new ids still sort last.
        IdSource { last: last.map_or(0, Id::bits) }
    }

    /// Returns the next id. `random` is 128 bits from the system's generator.
    pub fn next(&mut self, now: Timestamp, random: u128) -> Id {
        // A clock before 1970 counts as 1970.
        // 48 bits, so that a clock that is far ahead cannot overflow the 20 digits.
        let millis = u128::try_from(now.as_millis()).unwrap_or(0) & ((1 << 48) - 1);
        let fresh = (millis << RANDOM_BITS) | (random >> (128 - RANDOM_BITS));
        // A later millisecond is required: within one, fresh random bits may sort before the last id.
        self.last = if fresh > self.last && fresh >> RANDOM_BITS > self.last >> RANDOM_BITS {
            fresh
        } else {
            // Plus one: a random step of zero must not repeat the last id.
            self.last + 1 + (random & ((1 << STEP_BITS) - 1))
        };
        Id(self.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_later_id_sorts_later_even_if_the_clock_steps_back() {
        let mut source = IdSource::after(None);
        let mut last = String::new();
        for (row, millis) in [1_000, 1_000, 1_001, 5, 0, -7, 2_000].into_iter().enumerate() {
            // All random bits set: the largest step, which carries into the time.
            let id = source.next(Timestamp::from_millis(millis), u128::MAX).to_string();
            assert!(id > last, "row {row}: {id} after {last}");
            assert_eq!(id.len(), 20, "row {row}");
            last = id;
        }
    }

    #[test]
    fn invalid_ids_are_rejected() {
        // The last one has 20 bytes, and a letter beyond ASCII.
        for text in ["", "short", "00000000000000000000x", "0000000000000000000_", "é000000000000000000"] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
        for text in ["", "a b", "é", &"x".repeat(65)] {
            let error = ForeignId::parse("id", text).map_err(|e| e.to_string());
            let want = "id: must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -";
            assert_eq!(error.err().as_deref(), Some(want), "{text}");
        }
    }

    proptest! {
        #[test]
        // 119 bits are 48 of time and 71 random ones: every id that is generated.
        fn text_and_number_are_inverse_and_sort_alike(a in 0..(1_u128 << 119), b in 0..(1_u128 << 119)) {
            let (a, b) = (Id::from_bits(a), Id::from_bits(b));
            prop_assert_eq!(a.to_string().parse::<Id>().ok(), Some(a));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
