//! Hashing and checking of link passwords: Argon2id on the blocking pool, no more at once than
//! cores, and a bounded number waiting, so that neither redirects nor other admin calls starve.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use super::{Error, Links};
use crate::model::link::{Password, PasswordHash};

/// 19 MiB, 2 passes, 1 lane: OWASP's first recommendation for Argon2id; some 20 ms of one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Most that wait for a core: a second's work of two cores or so. Past it: 503, try again.
const WAITING_MAX: usize = 64;

/// Threads that hashing holds at most: one for each core.
pub fn hashing_at_once() -> usize {
    available_parallelism().map_or(1, usize::from)
}

#[derive(Debug)]
pub(super) struct Hasher {
    /// One permit per core.
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Leaves the queue however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Links {
    /// Whether a password is the one that was hashed. [`Error::Busy`] when too many wait.
    pub async fn is_password(&self, password: Password, hash: &PasswordHash) -> Result<bool, Error> {
        let hash = hash.clone();
        self.0
            .hashing
            .run(move || {
                let hash = argon2::PasswordHash::new(&hash.0);
                // One that cannot be read opens nothing.
                hash.is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await
    }
}

impl Hasher {
    pub(super) fn new() -> Hasher {
        Hasher { cores: Arc::new(Semaphore::new(hashing_at_once())), waiting: AtomicUsize::new(0) }
    }

    pub(super) async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        let hash = move || argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string());
        let hashed = self.run(hash).await?;
        Ok(PasswordHash(hashed.expect("constant parameters and a bounded password always hash").into()))
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX + self.cores.available_permits() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Busy);
        }
        let waiting = Waiting(&self.waiting);
        let permit = Arc::clone(&self.cores).acquire_owned().await.expect("the semaphore is never closed");
        drop(waiting);
        let done = tokio::task::spawn_blocking(move || {
            // Until the work is done, also when whoever asked is gone.
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| Error::NotReady("the server is stopping".to_owned()))
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
