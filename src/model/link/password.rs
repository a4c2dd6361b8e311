//! [`Password`] and its [`PasswordHash`], neither of which prints. A hash from outside names the
//! memory and the passes that each check takes: [`PasswordHash::parts`] bounds both, and nothing is
//! checked against a hash without it.

use std::fmt;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Algorithm, Params, Version};
use subtle::ConstantTimeEq;

use crate::model::Invalid;

/// Longest password in bytes: hashing more is work for a stranger to order.
pub const PASSWORD_MAX: usize = 1_024;

/// Most memory that one check of a hash may take, in KiB: three times our own hashes, and what the
/// defaults of PHP, Node and Python's libraries ask for. Past it: the hash is rejected, since a
/// guess by anyone on the internet would take that much.
pub const HASH_MEMORY_KIB_MAX: u32 = 64 * 1024;

/// Most passes over that memory. Memory and passes together bound the work of one check to 640 MiB,
/// which is 17 times that of our own hashes: some 0.4 s of one core. Past it: the hash is rejected.
const HASH_PASSES_MAX: u32 = 10;

/// Most lanes. They are computed one after another here, so that they cost nothing beyond memory and
/// passes; a hash with more was made for another class of machine. Past it: the hash is rejected.
const HASH_LANES_MAX: u32 = 4;

/// Longest text of a hash in bytes: every part at its bound takes 310. Past it: the hash is rejected
/// without being parsed.
const HASH_TEXT_MAX: usize = 512;

/// A password's Argon2 hash in PHC form. Not comparable with `==`.
#[derive(Clone)]
pub struct PasswordHash(Box<str>);

/// A hash taken apart: within every bound, and so affordable to check.
#[derive(Debug)]
pub struct HashParts {
    /// Which Argon2.
    pub algorithm: Algorithm,
    /// Its version.
    pub version: Version,
    /// Memory, passes, lanes and the output's length.
    pub params: Params,
    /// What was hashed with the password.
    pub salt: Salt,
    /// What the right password comes to.
    pub output: Output,
}

impl PasswordHash {
    /// Parses a hash that was made elsewhere. Fails if it is no Argon2 hash in PHC form, or if
    /// checking a password against it would exceed a bound.
    pub fn parse(text: &str) -> Result<PasswordHash, Invalid> {
        let hash = PasswordHash::from_stored(text.into());
        hash.parts()?;
        Ok(hash)
    }

    /// Wraps the text of a record without checking it: a record that an older version wrote may hold
    /// any text. A link keeps such a hash, so that it stays closed; [`PasswordHash::parts`] fails,
    /// so that no password opens it.
    pub fn from_stored(text: Box<str>) -> PasswordHash {
        PasswordHash(text)
    }

    /// Returns the text in PHC form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the hash apart. Fails, naming the rule, if it must not be checked against.
    pub fn parts(&self) -> Result<HashParts, Invalid> {
        let invalid = |why: String| Invalid::new("passwordHash", why);
        let not_phc = || invalid("must be an Argon2 hash in PHC form ($argon2id$v=19$m=...)".to_owned());
        if self.0.len() > HASH_TEXT_MAX {
            return Err(invalid(format!("must be at most {HASH_TEXT_MAX} bytes")));
        }
        let phc = argon2::PasswordHash::new(&self.0).map_err(|_| not_phc())?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| not_phc())?;
        let version = phc.version.map(Version::try_from).transpose();
        let version = version.map_err(|_| invalid("must be of version 16 or 19 of Argon2".to_owned()))?;
        let lengths = || invalid("must have a salt of 8 to 48 bytes and a hash of 10 to 64 bytes".to_owned());
        let (Some(salt), Some(output)) = (phc.salt, phc.hash) else { return Err(lengths()) };
        let wrong = |_| invalid("must have valid parameters m, t and p".to_owned());
        let params = Params::try_from(&phc).map_err(wrong)?;
        if params.m_cost() > HASH_MEMORY_KIB_MAX {
            return Err(invalid(format!("must take at most {HASH_MEMORY_KIB_MAX} KiB of memory (m)")));
        }
        if params.t_cost() > HASH_PASSES_MAX {
            return Err(invalid(format!("must take at most {HASH_PASSES_MAX} passes (t)")));
        }
        if params.p_cost() > HASH_LANES_MAX {
            return Err(invalid(format!("must have at most {HASH_LANES_MAX} lanes (p)")));
        }
        Ok(HashParts { algorithm, version: version.unwrap_or_default(), params, salt, output })
    }

    /// Whether both are the same record's: neither is of a stranger's making, and salts differ.
    pub fn is(&self, other: &PasswordHash) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// A password in clear, on its way to being hashed: 1 to [`PASSWORD_MAX`] bytes, never printed.
#[derive(Clone)]
pub struct Password(Box<str>);

/// In constant time: how long it takes says nothing of the password but its length.
impl PartialEq for Password {
    fn eq(&self, other: &Password) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Password {}

impl Password {
    /// Checks its length.
    pub fn parse(text: &str) -> Result<Password, Invalid> {
        match text.len() {
            0 => Err(Invalid::new("password", "must not be empty")),
            1..=PASSWORD_MAX => Ok(Password(text.into())),
            _ => Err(Invalid::new("password", "must be at most 1024 bytes")),
        }
    }

    /// What is to be hashed.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
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

    /// Each row is a hash and the rule that it breaks; the empty rule is none.
    #[test]
    fn n22_a_hash_from_elsewhere_is_bounded_in_every_part() {
        let hash = |head: &str| format!("{head}${SALT}${OUTPUT}");
        let (long_salt, long_output) = ("A".repeat(66), "A".repeat(87));
        let rows = [
            (hash("$argon2id$v=19$m=19456,t=2,p=1"), ""),
            (hash("$argon2id$v=19$m=65536,t=10,p=4"), ""),
            (hash("$argon2i$v=19$m=4096,t=3,p=1"), ""),
            (hash("$argon2d$v=16$m=4096,t=3,p=1"), ""),
            (hash("$argon2id$m=4096,t=3,p=1"), ""),
            (hash("$argon2id$v=19$p=1,t=3,m=4096"), ""),
            (hash("$argon2id$v=19$m=65537,t=1,p=1"), "at most 65536 KiB"),
            (hash("$argon2id$v=19$m=3145728,t=1,p=1"), "at most 65536 KiB"),
            (hash("$argon2id$v=19$m=4294967295,t=1,p=1"), "at most 65536 KiB"),
            (hash("$argon2id$v=19$m=4294967296,t=1,p=1"), "must"),
            (hash("$argon2id$v=19$m=19456,t=11,p=1"), "at most 10 passes"),
            (hash("$argon2id$v=19$m=19456,t=4000000,p=1"), "at most 10 passes"),
            (hash("$argon2id$v=19$m=19456,t=0,p=1"), "valid parameters"),
            (hash("$argon2id$v=19$m=19456,t=2,p=5"), "at most 4 lanes"),
            (hash("$argon2id$v=19$m=19456,t=2,p=16777216"), "must"),
            (hash("$argon2id$v=19$m=19456,t=2,p=0"), "valid parameters"),
            (hash("$argon2id$v=19$m=7,t=2,p=1"), "valid parameters"),
            (hash("$argon2id$v=19$m=16,t=2,p=4"), "valid parameters"),
            (hash("$argon2id$v=19$m=-1,t=2,p=1"), "must"),
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
                    assert!(!rule.is_empty() && invalid.why.contains(rule), "{text}: {invalid}");
                }
            }
        }
    }
}
