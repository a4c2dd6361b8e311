//! Contact links: a link has an own address for each contact, and the clicks there name the contact.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::model::id::{ForeignId, Id};

/// Bytes of the key that signs contact links: as many as the hash has (RFC 7518 3.2).
pub const CONTACT_KEY_BYTES: usize = 32;

/// The key that signs the contact links of this instance. `Debug` does not print it.
#[derive(Clone)]
pub struct ContactKey(pub [u8; CONTACT_KEY_BYTES]);

/// Compares in constant time: the duration reveals nothing about the key.
impl PartialEq for ContactKey {
    fn eq(&self, other: &ContactKey) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ContactKey {}

impl fmt::Debug for ContactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither a log line nor the message of a failed test may contain the key.
        f.write_str("ContactKey(..)")
    }
}

/// The content of a contact link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct ContactLink {
    pub link: Id,
    /// The id of the workspace in the APIs.
    pub workspace: ForeignId,
    /// The id of the contact, which only the vendor's API knows.
    pub contact: ForeignId,
}
