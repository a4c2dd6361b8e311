//! Secrets of API keys and of sessions: 256 random bits that are shown once. The store has only their SHA-256. A
//! look-up by this hash shows nothing through its timing, since nobody can choose the hash that is compared.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::model::key::{ApiKey, Reach, Scopes, SecretHash};

/// The beginning of our secrets, by which scanners recognise a leaked one.
const SECRET_PREFIX: &str = "wp_";
/// 43 characters out of 62 have 256 bits.
const SECRET_LENGTH: usize = 43;
/// Characters of a secret that lists show.
const HINT_LENGTH: usize = 7;

const DIGITS: [char; 62] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K',
    'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
    'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

/// The hash of `WAYPOST_ADMIN_KEY`.
pub(in crate::core) struct EnvironmentKey([u8; 32]);

impl fmt::Debug for EnvironmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvironmentKey(..)")
    }
}

impl EnvironmentKey {
    pub(in crate::core) fn new(secret: &str) -> EnvironmentKey {
        EnvironmentKey(hash(secret))
    }

    pub(super) fn is(&self, hash: &[u8; 32]) -> bool {
        self.0.ct_eq(hash).into()
    }

    /// Returns the hash of this key and of a session's secret together.
    pub(super) fn bind(&self, secret: &str) -> SecretHash {
        // The text in front keeps this hash apart from every other SHA-256 of the store.
        let hash = Sha256::new().chain_update("session of the environment key").chain_update(self.0);
        SecretHash(hash.chain_update(secret).finalize().into())
    }

    /// Returns whether a hash is of this key and of a session's secret.
    pub(super) fn is_bound(&self, secret: &str, bound: &SecretHash) -> bool {
        self.bind(secret).0.ct_eq(&bound.0).into()
    }
}

pub(super) fn hash(secret: &str) -> [u8; 32] {
    // A fast hash is enough: the 256 random bits of our secrets cannot be guessed.
    Sha256::digest(secret.as_bytes()).into()
}

/// Returns a new random secret.
pub(in crate::core) fn generate_secret() -> String {
    format!("{SECRET_PREFIX}{}", nanoid::nanoid!(SECRET_LENGTH, &DIGITS))
}

/// Returns a new random secret of a session, 43 characters that a cookie can have unquoted.
pub(super) fn generate_session_secret() -> String {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("the system's random generator works");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the record of a key with this secret.
pub(in crate::core) fn key_record(
    id: Id,
    secret: &str,
    name: Box<str>,
    reach: Reach,
    scopes: Scopes,
    now: Timestamp,
) -> ApiKey {
    ApiKey {
        id,
        name,
        reach,
        scopes,
        create_only: false,
        expires_at: None,
        hash: SecretHash(hash(secret)),
        // The prefix and four characters: enough to recognise a key, too few to guess it.
        hint: secret.chars().take(HINT_LENGTH).collect::<String>().into(),
        created_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, two) = (generate_secret(), generate_secret());
        // `wp_` and 43 characters.
        assert_eq!(one.len(), 46);
        assert!(one.starts_with("wp_") && one[3..].bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(one, two);
    }

    #[test]
    fn secrets_of_sessions_are_long_and_differ() {
        let (one, two) = (generate_session_secret(), generate_session_secret());
        assert_eq!(one.len(), 43);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{one}");
        assert_ne!(one, two);
    }

    #[test]
    fn a_session_is_bound_to_the_environment_key_and_its_own_secret() {
        let (key, other) = (EnvironmentKey::new("s3cret"), EnvironmentKey::new("S3cret"));
        let bound = key.bind("a");
        assert!(key.is_bound("a", &bound));
        assert!(!key.is_bound("b", &bound) && !other.is_bound("a", &bound));
        assert_ne!(bound.0, hash("s3cret"), "a reader of the store could test guesses of the key");
    }

    #[test]
    fn t71_the_environment_key_is_compared_whole() {
        let key = EnvironmentKey::new("s3cret");
        assert!(key.is(&hash("s3cret")));
        // A part, a longer text, another case, and nothing.
        for other in ["s3cre", "s3cret ", "S3CRET", ""] {
            assert!(!key.is(&hash(other)), "{other:?}");
        }
        assert_eq!(format!("{key:?}"), "EnvironmentKey(..)");
    }
}
