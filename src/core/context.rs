//! [`Context`]: on whose behalf a command runs, in which workspace, and under which idempotency claim.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tenants::caller::Credential;
use crate::clock::Timestamp;
use crate::model::key::{Reach, Scopes};
use crate::model::tenant::Tenant;
use crate::model::workspace::Workspace;

/// On whose behalf a command runs.
#[derive(Clone, Debug)]
pub struct Context {
    /// The stored key; `None` for the key in the environment, and for commands of the program itself.
    pub key: Option<Credential>,
    /// Whose objects it sees.
    pub reach: Reach,
    /// What it may do.
    pub scopes: Scopes,
    /// To whom its use of shared resources is charged: see [`super::Tenants::tenant_of`].
    pub tenant: Tenant,
    /// The workspace it acts in.
    pub workspace: Arc<Workspace>,
    /// Ties log lines and Changes to the request; 0 for none.
    pub request: u64,
    /// The instant of the request.
    pub now: Timestamp,
    /// Present on a request with an `Idempotency-Key`.
    pub claim: Option<Claim>,
    /// Who waits for the answer.
    pub client: Client,
}

impl Context {
    /// Returns the context of a command of the program itself, which reaches the whole instance.
    pub fn of_program(workspace: Arc<Workspace>, now: Timestamp) -> Context {
        Context {
            key: None,
            reach: Reach::Instance,
            scopes: Scopes::all(),
            tenant: Tenant::Operator,
            workspace,
            request: 0,
            now,
            claim: None,
            client: Client::default(),
        }
    }
}

/// An `Idempotency-Key` at work: recorded in the same Change as what the request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Hash of API key, method, path and the client's key.
    pub scope: [u8; 16],
    /// Hash of the body: another body under the same key is refused.
    pub body: [u8; 16],
}

/// The client of a command. A command that has written nothing may end when its client has left; one that
/// has written goes on. For commands of the program itself, which always wait: [`Client::default`].
#[derive(Clone, Debug, Default)]
pub struct Client(Arc<AtomicBool>);

/// Marks the client as gone when it is dropped.
#[derive(Debug)]
pub struct Waiting(Client);

impl Client {
    /// Returns a guard to be kept for as long as the client waits.
    pub fn wait(&self) -> Waiting {
        Waiting(self.clone())
    }

    /// Returns whether the client no longer waits.
    pub fn has_left(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
