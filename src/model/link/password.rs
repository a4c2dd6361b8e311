//! [`Password`] and its [`PasswordHash`]; `Debug` prints neither. An imported hash chooses the memory and the
//! passes of each check. [`PasswordHash::parts`] bounds both, and every check calls it.

use std::fmt;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Algorithm, Params, Version};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use crate::model::Invalid;

/// Longest password in bytes, in the spelling that is hashed or in the one that was sent. A visitor must not be able to order more hashing.
pub const PASSWORD_MAX: usize = 1_024;

/// Longest text of a password in bytes: no spelling of a password of [`PASSWORD_MAX`] bytes has four times as many.
pub const PASSWORD_TEXT_MAX: usize = 4 * PASSWORD_MAX;

/// Most memory of one check in KiB: three times that of our own hashes, and the default of the libraries of
/// PHP, Node and Python. Past it: the hash is rejected, since anyone on the internet can order a check.
pub const HASH_MEMORY_KIB_MAX: u32 = 64 * 1024;

/// Most passes over that memory. Memory and passes together bound the work of one check to 640 MiB, which is
/// 17 times that of our own hashes: some 0.4 s of one core. Past it: the hash is rejected.
const HASH_PASSES_MAX: u32 = 10;

/// Most lanes. They are computed one after another here, so that they cost nothing besides memory and passes.
/// A hash with more lanes is for another class of machine. Past it: the hash is rejected.
const HASH_LANES_MAX: u32 = 4;

/// Longest text of a hash in bytes; with every part at its bound it has 310. Past it: the hash is rejected
/// without being parsed.
const HASH_TEXT_MAX: usize = 512;

/// The Argon2 hash of a password in PHC form. Without `==`; see [`PasswordHash::is`].
#[derive(Clone)]
pub struct PasswordHash(Box<str>);

/// The parts of a hash, each within its bound.
#[derive(Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct HashParts {
    pub algorithm: Algorithm,
    pub version: Version,
    /// Memory, passes, lanes and the length of the output.
    pub params: Params,
    pub salt: Salt,
    pub output: Output,
}

impl PasswordHash {
    /// Parses an imported hash. Fails if it is no Argon2 hash in PHC form, or if a check against it would
    /// exceed a bound.
    pub fn parse(text: &str) -> Result<PasswordHash, Invalid> {
        let hash = PasswordHash::from_stored(text.into());
        hash.parts()?;
        Ok(hash)
    }

    /// Wraps the text of a record without checks: a record of an older version may contain any text. A link
    /// keeps such a hash, so that the link stays closed: [`PasswordHash::parts`] fails, so no password opens
    /// it.
    pub fn from_stored(text: Box<str>) -> PasswordHash {
        PasswordHash(text)
    }

    /// Returns the text in PHC form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the parts of the hash. Fails, naming the rule, if a password must not be checked against it.
    pub fn parts(&self) -> Result<HashParts, Invalid> {
        let invalid = |why: String| Invalid::new("passwordHash", why);
        let not_phc = || invalid("must be an Argon2 hash in PHC form ($argon2id$v=19$m=...)".to_owned());
        if self.0.len() > HASH_TEXT_MAX {
            return Err(invalid(format!("must be at most {HASH_TEXT_MAX} bytes")));
        }
        // The length is checked first: an import may contain any text.
        let phc = argon2::PasswordHash::new(&self.0).map_err(|_| not_phc())?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| not_phc())?;
        let version = phc.version.map(Version::try_from).transpose();
        let version = version.map_err(|_| invalid("must be of version 16 or 19 of Argon2".to_owned()))?;
        let lengths = || invalid("must have a salt of 8 to 48 bytes and a hash of 10 to 64 bytes".to_owned());
        let (Some(salt), Some(output)) = (phc.salt, phc.hash) else { return Err(lengths()) };
        let wrong = |_| invalid("must have valid parameters m, t and p".to_owned());
        let params = Params::try_from(&phc).map_err(wrong)?;
        // Memory, passes and lanes are what a visitor's attempt will cost.
        if params.m_cost() > HASH_MEMORY_KIB_MAX {
            return Err(invalid(format!("must take at most {HASH_MEMORY_KIB_MAX} KiB of memory (m)")));
        }
        if params.t_cost() > HASH_PASSES_MAX {
            return Err(invalid(format!("must take at most {HASH_PASSES_MAX} passes (t)")));
        }
        if params.p_cost() > HASH_LANES_MAX {
            return Err(invalid(format!("must have at most {HASH_LANES_MAX} lanes (p)")));
        }
        // A hash without a version is of the version that the `argon2` crate assumes.
        Ok(HashParts { algorithm, version: version.unwrap_or_default(), params, salt, output })
    }

    /// Returns whether both are the hash of the same record. Salts differ, so two records never have equal
    /// hashes. Not in constant time, since a visitor provides neither of them.
    pub fn is(&self, other: &PasswordHash) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// A password in clear text before it is hashed: 1 to [`PASSWORD_MAX`] bytes as given or in its normal form
/// (NFKC). `Debug` does not print it.
///
/// Keyboards send one password in several spellings: `ü` as one character or as two, a space that does not
/// break, digits of full width. What is hashed is NFKC with plain spaces (NIST SP 800-63B 5.1.1.2; RFC 8265
/// 4.2.2 with compatibility forms), so that a password opens a link on each device.
#[derive(Clone)]
pub struct Password {
    normal: Box<str>,
    /// The text as it came, if it is another one. Earlier versions hashed it.
    given: Option<Box<str>>,
}

/// Compares in constant time: the duration reveals only the length of the password.
impl PartialEq for Password {
    fn eq(&self, other: &Password) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Password {}

impl Password {
    /// Parses a password. Fails if it is empty, or longer than [`PASSWORD_MAX`] both as given and in its normal
    /// form.
    pub fn parse(text: &str) -> Result<Password, Invalid> {
        let too_long = || Invalid::new("password", "must be at most 1024 bytes");
        match text.len() {
            // An empty password would be a form that every visitor passes.
            0 => Err(Invalid::new("password", "must not be empty")),
            1..=PASSWORD_TEXT_MAX => {
                let normal: String =
                    text.nfkc().map(|c| if c.is_whitespace() && !c.is_control() { ' ' } else { c }).collect();
                // Keyboards may send more bytes than were set.
                if text.len() > PASSWORD_MAX && normal.len() > PASSWORD_MAX {
                    return Err(too_long());
                }
                let given = (normal != text).then(|| text.into());
                Ok(Password { normal: normal.into(), given })
            }
            _ => Err(too_long()),
        }
    }

    /// Returns the bytes to hash.
    pub fn as_bytes(&self) -> &[u8] {
        self.normal.as_bytes()
    }

    /// Returns the bytes as they came, if they differ from those to hash. A hash of an earlier version or of
    /// another program may be of them.
    pub fn given_bytes(&self) -> Option<&[u8]> {
        self.given.as_ref().map(|given| given.as_bytes())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "c2FsdHNhbHRzYWx0c2FsdA";
    const OUTPUT: &str = "qCpuu1cMQmyfBhUCcnFLPg";

    #[test]
    fn f05_spellings_of_one_password_are_one() {
        let rows = [
            ("M\u{fc}ller", "Mu\u{308}ller"),
            ("パスワード", "ハ\u{309a}スワート\u{3099}"),
            ("open sesame", "open\u{a0}sesame"),
            ("open sesame", "open\u{3000}sesame"),
            ("open sesame", "open\u{1680}sesame"),
            ("1234", "\u{ff11}\u{ff12}\u{ff13}\u{ff14}"),
        ];
        for (one, other) in rows {
            let (one, other) = (Password::parse(one).expect(one), Password::parse(other).expect(other));
            assert!(one == other && one.given_bytes().is_none() && other.given_bytes().is_some());
        }
        // The longest password, on a keyboard that sends letters and marks, and on one of full width.
        for (one, other) in [("\u{fc}", "u\u{308}"), ("0", "\u{ff10}"), ("\u{3a0}", "\u{1d6b7}")] {
            let many = |part: &str| part.repeat(PASSWORD_MAX / one.len());
            assert!(Password::parse(&many(one)) == Password::parse(&many(other)), "{one}");
            assert!(Password::parse(&(many(other) + other)).is_err(), "{one}");
        }
        // Case, order and ends count.
        for (one, other) in [("a", "A"), ("a ", "a"), ("a\tb", "a b"), ("haló", "halo")] {
            assert!(Password::parse(one) != Password::parse(other), "{one}");
        }
    }

    /// Each row is a hash and the rule that it breaks; the empty rule is none.
    #[test]
    fn n22_an_imported_hash_is_bounded_in_every_part() {
        let hash = |head: &str| format!("{head}${SALT}${OUTPUT}");
        let (long_salt, long_output) = ("A".repeat(66), "A".repeat(87));
        let rows = [
            (hash("$argon2id$v=19$m=19456,t=2,p=1"), ""),
            (hash("$argon2id$v=19$m=65536,t=10,p=4"), ""),
            // Other variants and the older version: imports keep their hashes, with the same bounds.
            (hash("$argon2i$v=19$m=4096,t=3,p=1"), ""),
            (hash("$argon2d$v=16$m=4096,t=3,p=1"), ""),
            (hash("$argon2id$m=4096,t=3,p=1"), ""),
            // Parameters in another order.
            (hash("$argon2id$v=19$p=1,t=3,m=4096"), ""),
            (hash("$argon2id$v=19$m=65537,t=1,p=1"), "at most 65536 KiB"),
            (hash("$argon2id$v=19$m=3145728,t=1,p=1"), "at most 65536 KiB"),
            (hash("$argon2id$v=19$m=4294967295,t=1,p=1"), "at most 65536 KiB"),
            // Beyond 32 bits: the parser rejects it, and no cast may wrap it.
            (hash("$argon2id$v=19$m=4294967296,t=1,p=1"), "must"),
            (hash("$argon2id$v=19$m=19456,t=11,p=1"), "at most 10 passes"),
            (hash("$argon2id$v=19$m=19456,t=4000000,p=1"), "at most 10 passes"),
            (hash("$argon2id$v=19$m=19456,t=0,p=1"), "valid parameters"),
            (hash("$argon2id$v=19$m=19456,t=2,p=5"), "at most 4 lanes"),
            (hash("$argon2id$v=19$m=19456,t=2,p=16777216"), "must"),
            (hash("$argon2id$v=19$m=19456,t=2,p=0"), "valid parameters"),
            (hash("$argon2id$v=19$m=7,t=2,p=1"), "valid parameters"),
            // Argon2 needs 8 KiB for each lane.
            (hash("$argon2id$v=19$m=16,t=2,p=4"), "valid parameters"),
            (hash("$argon2id$v=19$m=-1,t=2,p=1"), "must"),
            // A repeated parameter: the bound must not see the one and the hash use the other.
            (hash("$argon2id$v=19$m=19456,m=3145728,t=2,p=1"), "must"),
            (hash("$argon2id$v=18$m=19456,t=2,p=1"), "version 16 or 19"),
            (hash("$argon2x$v=19$m=19456,t=2,p=1"), "PHC form"),
            (hash("$bcrypt$v=19$m=19456,t=2,p=1"), "PHC form"),
            ("$argon2id$garbage".to_owned(), "must"),
            ("$argon2id$".to_owned(), "must"),
            ("md5".to_owned(), "PHC form"),
            (String::new(), "PHC form"),
            ("$argon2id$v=19$m=19456,t=2,p=1".to_owned(), "a salt of"),
            (format!("$argon2id$v=19$m=19456,t=2,p=1${SALT}"), "a salt of"),
            (format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${OUTPUT}"), "must"),
            (format!("$argon2id$v=19$m=19456,t=2,p=1${long_salt}${OUTPUT}"), "must"),
            (format!("$argon2id$v=19$m=19456,t=2,p=1${SALT}$aGFzaA"), "must"),
            (format!("$argon2id$v=19$m=19456,t=2,p=1${SALT}${long_output}"), "must"),
            (format!("$argon2id$v=19$m=19456,t=2,p=1${SALT}${OUTPUT}$more"), "must"),
            (hash("$argon2id$v=19$m=19456,t=2,p=1") + &"A".repeat(600), "at most 512 bytes"),
        ];
        for (text, rule) in rows {
            match PasswordHash::parse(&text) {
                Ok(hash) => assert!(rule.is_empty() && hash.as_str() == text, "{text} keeps every rule"),
                Err(invalid) => {
                    assert_eq!(invalid.field, "passwordHash", "{text}");
                    // `contains` of an empty rule is always true, so the rule must not be empty.
                    assert!(!rule.is_empty() && invalid.why.contains(rule), "{text}: {invalid}");
                }
            }
        }
    }
}
