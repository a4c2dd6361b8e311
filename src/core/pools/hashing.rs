//! Hashing and checking of link passwords with Argon2id. It runs on few threads ([`super::cpu_pool`]), so
//! that neither redirects nor other requests starve, and in memory that is allocated once
//! ([`super::hash_memory`]). A hash that costs more than the model allows is never computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;

use super::cpu_pool::{Cancel, CpuPool, Threads, at_once};
use super::hash_memory::{HashMemory, OWN_KIB, TooLarge};
use crate::core::error::Error;
use crate::model::link::{HashParts, Password, PasswordHash};
use crate::model::tenant::Tenant;

/// Passes and lanes of our own hashes: with [`OWN_KIB`], some 20 ms of one core.
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Bytes of our own salts and hashes.
const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = Params::DEFAULT_OUTPUT_LEN;

/// Most waiting callers, of visitors and of admins each: some two seconds of one core. Past it, a call fails
/// with [`Error::Busy`].
const WAITING_MAX: u32 = 64;

/// Shortest interval between two log lines about unusable hashes, in milliseconds. Otherwise each guess of a
/// stranger would write one.
const WARN_EVERY: i64 = 60_000;

/// Computes hashes. Visitors and admins share the threads but not the queue: a flood of guesses must not get
/// creations rejected.
#[derive(Debug)]
pub(in crate::core) struct Hasher {
    visitors: CpuPool,
    admins: CpuPool,
    memory: Arc<HashMemory>,
    /// When an unusable hash was last logged, in milliseconds.
    warned: AtomicI64,
}

impl Hasher {
    /// Creates a hasher that uses at most `memory` bytes, besides one hash of our own.
    pub(in crate::core) fn new(memory: usize) -> Hasher {
        let memory = Arc::new(HashMemory::new(memory, at_once()));
        // As many threads as buffers, so none of our own hashes waits for memory on a thread.
        let threads = Threads::of(memory.slots());
        Hasher {
            visitors: CpuPool::new(&threads, WAITING_MAX),
            admins: CpuPool::new(&threads, WAITING_MAX),
            memory,
            warned: AtomicI64::new(i64::MIN),
        }
    }

    /// Hashes a password under a new salt on behalf of `tenant`. Fails with [`Error::Busy`] if too many
    /// callers wait.
    pub(in crate::core) async fn hash(
        &self,
        tenant: &Tenant,
        password: Password,
    ) -> Result<PasswordHash, Error> {
        let memory = Arc::clone(&self.memory);
        // One hash is too short to be cancelled.
        self.admins.run(tenant, move |_: &Cancel| hashed(&memory, &password)).await
    }

    /// Returns whether a visitor's password has this hash, on behalf of `tenant`. A password that came in
    /// another spelling is also checked as it came, after the first check has failed. Fails with
    /// [`Error::Busy`] if too many callers wait. The inner result fails if the hash needs more memory than
    /// this machine allows for one.
    pub(in crate::core) async fn is_password(
        &self,
        tenant: &Tenant,
        password: Password,
        parts: HashParts,
    ) -> Result<Result<bool, TooLarge>, Error> {
        let memory = Arc::clone(&self.memory);
        self.visitors.run(tenant, move |_: &Cancel| is_right(&memory, &password, &parts)).await
    }

    /// Returns whether an unusable hash may be logged now, at most once per [`WARN_EVERY`].
    pub(in crate::core) fn may_warn(&self, now: i64) -> bool {
        let last = self.warned.load(Ordering::Relaxed);
        // Saturates, since `warned` begins at the least number.
        let is_due = now.saturating_sub(last) >= WARN_EVERY;
        // Of concurrent callers one logs.
        is_due && self.warned.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn hashed(memory: &HashMemory, password: &Password) -> PasswordHash {
    let params = Params::new(OWN_KIB, PASSES, LANES, None).expect("constant parameters are valid");
    let text = ParamsString::try_from(&params).expect("constant parameters have a text");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).expect("the system's random generator works");
    let mut output = [0; OUTPUT_BYTES];
    let done = memory.with(OWN_KIB, |blocks| {
        argon2.hash_password_into_with_memory(password.as_bytes(), &salt, &mut output, blocks)
    });
    done.expect("our own hashes always fit").expect("a bounded password always hashes");
    let phc = argon2::PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: text,
        salt: Some(Salt::new(&salt).expect("16 bytes are a salt")),
        hash: Some(Output::new(&output).expect("32 bytes are a hash")),
    };
    PasswordHash::from_stored(phc.to_string().into())
}

fn is_right(memory: &HashMemory, password: &Password, hash: &HashParts) -> Result<bool, TooLarge> {
    if has_hash(memory, password.as_bytes(), hash)? {
        return Ok(true);
    }
    password.given_bytes().map_or(Ok(false), |given| has_hash(memory, given, hash))
}

fn has_hash(memory: &HashMemory, password: &[u8], hash: &HashParts) -> Result<bool, TooLarge> {
    let argon2 = Argon2::new(hash.algorithm, hash.version, hash.params.clone());
    // Hashes from elsewhere have outputs of other lengths than our own.
    let mut output = [0; Output::MAX_LENGTH];
    let output = &mut output[..hash.output.len()];
    let done = memory.with(hash.params.m_cost(), |blocks| {
        argon2.hash_password_into_with_memory(password, &hash.salt, output, blocks)
    })?;
    // Compared in constant time, so that the time does not reveal how many bytes match.
    Ok(done.is_ok() && output.ct_eq(hash.output.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_are_argon2id_and_salted() {
        let hasher = Hasher::new(usize::MAX);
        let password = || Password::parse("geheim").expect("valid");
        let one = hasher.hash(&Tenant::Operator, password()).await.expect("hashed");
        let two = hasher.hash(&Tenant::Operator, password()).await.expect("hashed");
        assert!(one.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.as_str());
        assert_ne!(one.as_str(), two.as_str());
    }

    /// A hash of an earlier version is of the bytes that came then.
    #[test]
    fn f05_a_hash_of_the_given_bytes_still_opens() {
        use argon2::PasswordHasher;
        let memory = HashMemory::new(usize::MAX, 1);
        let old = Argon2::default().hash_password("Mu\u{308}ller".as_bytes()).expect("hashed").to_string();
        let parts = PasswordHash::parse(&old).and_then(|hash| hash.parts()).expect("within all bounds");
        let is_right = |text: &str| {
            is_right(&memory, &Password::parse(text).expect("a password"), &parts).expect("fits")
        };
        assert!(is_right("Mu\u{308}ller") && !is_right("Mu\u{308}lle") && !is_right("M\u{fc}ller"));
        let new = hashed(&memory, &Password::parse("Mu\u{308}ller").expect("a password"));
        let parts = new.parts().expect("within all bounds");
        for text in ["Mu\u{308}ller", "M\u{fc}ller"] {
            let password = Password::parse(text).expect("a password");
            assert_eq!(super::is_right(&memory, &password, &parts), Ok(true), "{text:?}");
        }
    }

    /// Checks of hashes agree with the crate's own verifier for all parameters.
    #[test]
    fn n22_hashes_of_every_kind_are_checked_rightly() {
        use argon2::CustomizedPasswordHasher;
        let memory = HashMemory::new(usize::MAX, 1);
        let right = Password::parse("geheim").expect("valid");
        let wrong = Password::parse("geheim2").expect("valid");
        let rows = [
            ("argon2id", 19, Params::new(64, 3, 4, Some(64))),
            // Version 16 (0x10) precedes the present one, 19 (0x13).
            ("argon2id", 16, Params::new(100, 1, 1, Some(16))),
            ("argon2i", 19, Params::new(OWN_KIB, 1, 1, None)),
            // One KiB beyond the kept buffers, so the hash gets a buffer of its own.
            ("argon2d", 19, Params::new(OWN_KIB + 1, 1, 3, None)),
        ];
        for (kind, version, params) in rows {
            let params = params.expect("valid parameters");
            let made = Argon2::default().hash_password_customized(
                right.as_bytes(),
                b"a salt of some length",
                Some(kind),
                Some(version),
                params,
            );
            let text = made.expect("hashed").to_string();
            let parts = PasswordHash::parse(&text).and_then(|hash| hash.parts()).expect("within all bounds");
            assert_eq!(is_right(&memory, &right, &parts), Ok(true), "{text}");
            assert_eq!(is_right(&memory, &wrong, &parts), Ok(false), "{text}");
        }
        let ours = hashed(&memory, &right);
        let parts = ours.parts().expect("ours keeps every bound");
        assert_eq!(is_right(&memory, &right, &parts), Ok(true));
        assert_eq!(is_right(&memory, &wrong, &parts), Ok(false));
    }
}
