//! A link as one contact gets it: it leads where the link leads, and its clicks name the contact.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::model::id::{ForeignId, Id};

/// Bytes of the key that contact links are signed with: as many as the hash has (RFC 7518 3.2).
pub const CONTACT_KEY_BYTES: usize = 32;

/// The key that the contact links of this instance are signed with. Does not print.
#[derive(Clone)]
pub struct ContactKey(pub [u8; CONTACT_KEY_BYTES]);

/// In constant time: how long it takes says nothing of the key.
impl PartialEq for ContactKey {
    fn eq(&self, other: &ContactKey) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ContactKey {}

impl fmt::Debug for ContactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactKey(..)")
    }
}

/// What a contact link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactLink {
    /// The link.
    pub link: Id,
    /// Its owner.
    pub workspace: ForeignId,
    /// Who got it.
    pub contact: ForeignId,
}
