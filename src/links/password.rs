//! Hashing and checking of link passwords: Argon2id, on few threads ([`super::cpu_pool`]), so that neither
//! redirects nor other admin calls starve.

use super::cpu_pool::{Cancel, CpuPool, Threads};
use super::{Error, Links};
use crate::model::link::{Password, PasswordHash};
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// 19 MiB, 2 passes, 1 lane: OWASP's first recommendation for Argon2id; some 20 ms of one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Most that wait, of visitors and of admins each: some two seconds of one core. Past it: 503, try
/// again.
const WAITING_MAX: u32 = 64;

/// Hashes. Visitors and admins share the threads and not the queue: a flood of guesses must not
/// have creators refused.
#[derive(Debug)]
pub(super) struct Hasher {
    visitors: CpuPool,
    admins: CpuPool,
}

impl Links {
    /// Returns whether a password is the one that was hashed, for a visitor of a link of `workspace`,
    /// to which the work is charged. Fails with [`Error::Busy`] when too many wait.
    pub async fn is_password(
        &self,
        workspace: WorkspaceNumber,
        password: Password,
        hash: &PasswordHash,
    ) -> Result<bool, Error> {
        let hash = hash.clone();
        let check = move |_: &Cancel| {
            let hash = argon2::PasswordHash::new(&hash.0);
            // One that cannot be read opens nothing.
            hash.is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
        };
        let tenant = self.tenant_of_workspace(workspace);
        self.0.hashing.visitors.run(&tenant, check).await
    }
}

impl Hasher {
    pub(super) fn new() -> Hasher {
        let threads = Threads::new();
        let visitors = CpuPool::new(&threads, WAITING_MAX);
        Hasher { visitors, admins: CpuPool::new(&threads, WAITING_MAX) }
    }

    pub(super) async fn hash(&self, tenant: &Tenant, password: Password) -> Result<PasswordHash, Error> {
        let hash = move |_: &Cancel| argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string());
        let hashed = self.admins.run(tenant, hash).await?;
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
        let one = hasher.hash(&Tenant::Operator, password()).await.expect("hashed");
        let two = hasher.hash(&Tenant::Operator, password()).await.expect("hashed");
        assert!(one.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.0);
        assert_ne!(one.0, two.0);
    }
}
