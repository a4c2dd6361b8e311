//! Hashing of link passwords: Argon2id on the blocking pool, no more at once than cores, so that
//! neither redirects nor other admin calls starve.

use std::thread::available_parallelism;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use super::Error;
use crate::model::link::{Password, PasswordHash};

/// 19 MiB, 2 passes, 1 lane: OWASP's first recommendation for Argon2id; some 20 ms of one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

#[derive(Debug)]
pub(super) struct Hasher {
    /// One permit per core.
    cores: Semaphore,
}

impl Hasher {
    pub(super) fn new() -> Hasher {
        Hasher { cores: Semaphore::new(available_parallelism().map_or(1, usize::from)) }
    }

    pub(super) async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        let _permit = self.cores.acquire().await.expect("the semaphore is never closed");
        let hashed = tokio::task::spawn_blocking(move || {
            argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string())
        });
        let hashed = hashed.await.map_err(|_| Error::NotReady("the server is stopping".to_owned()))?;
        Ok(PasswordHash(hashed.expect("constant parameters and a bounded password always hash").into()))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("constant parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_are_argon2id_and_salted() {
        let hasher = Hasher::new();
        let password = || Password::parse("geheim").expect("valid");
        let one = hasher.hash(password()).await.expect("hashed");
        let two = hasher.hash(password()).await.expect("hashed");
        assert!(one.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.0);
        assert_ne!(one.0, two.0);
    }
}
