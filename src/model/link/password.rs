//! [`Password`] and its [`PasswordHash`], neither of which prints.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::model::Invalid;

/// Longest password in bytes: hashing more is work for a stranger to order.
pub const PASSWORD_MAX: usize = 1_024;

/// A password's Argon2id hash in PHC form. Not comparable with `==`.
#[derive(Clone)]
pub struct PasswordHash(pub Box<str>);

impl PasswordHash {
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
