//! Runs a command for a key that is still valid, and a POST with an `Idempotency-Key` once.

use super::execute::{self, Answered, Backend};
use super::idempotency::ScopeLocks;
use crate::core::{Context, Credential, Previous};
use crate::http::api::dialect::{ApiError, Command, Reply, ServerError};

/// Runs commands on the backend, each claim once. Cheap to clone: all clones share one state.
#[derive(Clone, Debug)]
pub(super) struct Idempotent {
    backend: Backend,
    locks: ScopeLocks,
}

impl Idempotent {
    pub(super) fn new(backend: Backend) -> Idempotent {
        Idempotent { backend, locks: ScopeLocks::default() }
    }

    /// Runs a command, once per claim. A write relies on the record of its key, so the log rejects the write
    /// of a revoked key. For all else the key is checked after each wait.
    pub(super) async fn run(&self, context: &Context, command: Command) -> Result<Answered, ApiError> {
        // After the wait for room, for commands whose Change would not rely on the key.
        self.check(context.key)?;
        let is_read = command.is_read();
        let answered = self.run_claimed(context, command).await;
        if is_read {
            // A revoked key must not see what a slow read returns.
            self.check(context.key)?;
        }
        answered
    }

    /// Runs a command unless an earlier request with the same claim has run it.
    async fn run_claimed(&self, context: &Context, command: Command) -> Result<Answered, ApiError> {
        let Some(claim) = context.claim else {
            return execute::execute(&self.backend, context, command).await;
        };
        let _lock = self.locks.lock(claim.scope).await.ok_or(ServerError::Busy)?;
        // Under the lock: a request with the same key must not look before the first one has written.
        let previous = self.backend.links.previous(context).await;
        self.check(context.key)?;
        match previous.map_err(|error| execute::api_error(error, context.request))? {
            Previous::New => execute::execute(&self.backend, context, command).await,
            // Without the secret of a key: only the first response shows it.
            Previous::Same(outcome) => Ok(Answered::Reply(Reply::Made(outcome, None))),
            Previous::Other => Err(ApiError::OtherBody),
        }
    }

    /// Fails if the key was revoked or has expired since its request began.
    pub(super) fn check(&self, key: Option<Credential>) -> Result<(), ApiError> {
        self.backend.tenants.check_key(key).map_err(|_| ApiError::BadKey)
    }
}
