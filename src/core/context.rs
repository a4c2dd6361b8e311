//! [`Context`]: the caller of a command, the workspace it acts in, and its idempotency claim.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Error;
use super::revision::ObjectRevision;
use super::tenants::caller::Credential;
use crate::clock::Timestamp;
use crate::model::domain::Domain;
use crate::model::key::{Reach, Scopes};
use crate::model::tenant::Tenant;
use crate::model::workspace::Workspace;

/// The caller of a command and the workspace that the command acts in.
#[derive(Clone, Debug)]
pub struct Context {
    /// The stored key; `None` for the key in the environment, and for commands of the program itself.
    pub key: Option<Credential>,
    /// The objects that the caller sees.
    pub reach: Reach,
    /// The commands that the caller may run.
    pub scopes: Scopes,
    /// The tenant whose share of the pools the command uses: see [`super::Tenants::tenant_of`].
    pub tenant: Tenant,
    /// The acting workspace: new objects belong to it.
    pub workspace: Arc<Workspace>,
    /// Appears in log lines and in the log's Changes; 0 for none.
    pub request: u64,
    /// The instant of the request.
    pub now: Timestamp,
    /// Present if the request has an `Idempotency-Key`.
    pub claim: Option<Claim>,
    /// The client that waits for the response.
    pub client: Client,
    /// The revision of the object that the command reads or changes.
    pub object: ObjectRevision,
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
            object: ObjectRevision::default(),
        }
    }

    /// Fails if the domain is the default domain, which is shared, and the key is not one of the instance.
    pub(super) fn may_change(&self, domain: &Domain) -> Result<(), Error> {
        if domain.workspace.is_none() && self.reach != Reach::Instance {
            return Err(Error::Forbidden("only an instance key may change the default domain".to_owned()));
        }
        Ok(())
    }
}

/// An `Idempotency-Key` in use. It is stored in the same Change as the effect of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Hash of API key, method, path and the client's key.
    pub scope: [u8; 16],
    /// Hash of the body. A request with the same key and another body is rejected.
    pub body: [u8; 16],
}

/// The client of a command. A command that has written nothing may stop once its client has left. A command
/// that has written continues. [`Client::default`] is for commands of the program itself and never leaves.
#[derive(Clone, Debug, Default)]
pub struct Client(Arc<AtomicBool>);

/// Marks the client as gone when it is dropped.
#[derive(Debug)]
pub struct Waiting(Client);

impl Client {
    /// Returns a guard to keep for as long as the client waits.
    pub fn wait(&self) -> Waiting {
        Waiting(self.clone())
    }

    /// Returns whether the client no longer waits.
    pub(crate) fn has_left(&self) -> bool {
        // Relaxed: only a hint to stop, by which no data is read.
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
