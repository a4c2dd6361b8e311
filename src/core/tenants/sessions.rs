//! Sessions of the dashboard: signing in with a key, finding the caller of a request by its cookie, and ending
//! sessions.
//!
//! A session has the rights that its key has at the moment of each request. Revoking the key, or its expiry, ends its
//! sessions at once. They survive a restart.

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;

use super::caller::Caller;
use super::caps::{Capped, Creating};
use super::directory::Directory;
use super::keys::note;
use super::secrets::{generate_session_secret, hash};
use super::weights;
use crate::clock::Timestamp;
use crate::core::commit::{ATTEMPTS, Committed, Effect, chance};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::shared::Shared;
use crate::log::Position;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::id::Id;
use crate::model::key::{Reach, Scope, SecretHash};
use crate::model::session::{Session, SessionKey, device_of};
use crate::table::keys;
use crate::table::record::Stored;

/// Most sessions of one key at once: a person has a few browsers. Past it, a sign-in ends the session that was used
/// longest ago, so that nobody is locked out by browsers that were lost.
pub const SESSIONS_MAX: usize = 20;

/// Sessions that are over which one sign-in removes, so that its Change stays small. The sweep removes the others.
const OVER_AT_ONCE: usize = 100;

/// A session in use and its caller.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The types have the docs.
pub struct SignedIn {
    pub caller: Caller,
    pub session: Arc<Session>,
}

impl Tenants {
    /// Creates a session of the caller's key and returns its secret, which is stored nowhere. `device` describes the
    /// browser; what is too long is cut. Fails with [`Error::Forbidden`] if the key may only create links, or if the
    /// sessions of its tenant would take too much memory, and with [`Error::Unauthorized`] if the key was revoked or has
    /// expired.
    pub async fn sign_in(&self, caller: &Caller, device: &str) -> Result<String, Error> {
        if caller.is_create_only() {
            let why = "this key may only create links: sign in with a key that may read them";
            return Err(Error::Forbidden(why.to_owned()));
        }
        let context = self.session_context(caller)?;
        let device = device_of(device);
        // Announced before the count: see `caps`.
        let creating = self.shared.caps.announce(Capped::Sessions(caller.key()), 1);
        let replaced = self.replaced_sessions(caller.key(), &creating, context.now)?;
        let freed = replaced.iter().map(|session| weights::of_named(&session.device)).sum();
        let (bytes, tenant) = (weights::of_named(&device), &context.tenant);
        // Kept until the Change is applied, like `creating`.
        let _growth = self.shared.announce_growth(&context.reach, tenant, freed, bytes)?;
        let secret = generate_session_secret();
        let session = Session {
            // The commit generates the id.
            id: Id::from_bits(0),
            hash: SecretHash(hash(&secret)),
            token: chance().to_le_bytes(),
            key: self.shared.session_key(caller, &secret)?,
            device,
            created_at: context.now,
            seen_at: context.now,
        };
        let committed = self.commit_new(&context, |next_id| {
            let session = Session { id: next_id(), ..session };
            let mut effect = Effect::default();
            effect.create(keys::session(&session.hash), session.encode());
            // Without preconditions: another sign-in may have replaced one of them.
            effect.forget(replaced.iter().map(|session| keys::session(&session.hash)).collect());
            note_session(&mut effect, AuditAct::Create, session.id, caller);
            effect
        });
        match committed.await? {
            Committed::Done => Ok(secret),
            // The hash is new, and a revoked key is another error, so nothing else can conflict.
            Committed::Conflict(_) => Err(Error::Busy),
        }
    }

    /// Returns the session with this secret and its caller at `now`. Returns `None` if there is no such session, if it
    /// is over, or if its key was revoked, has expired, or is another one in the environment than at the sign-in.
    pub fn session_of(&self, secret: &str, now: Timestamp) -> Option<SignedIn> {
        let directory = self.directory();
        let session = Arc::clone(&directory.sessions().of_hash(&hash(secret))?.record);
        let caller = self.shared.caller_of(&directory, &session, now)?;
        if let SessionKey::Environment(bound) = &session.key {
            self.shared.environment_key.as_ref().filter(|key| key.is_bound(secret, bound))?;
        }
        Some(SignedIn { caller, session })
    }

    /// Stores that a session is in use, if its stored time is older than [`crate::model::session::RENEW_AFTER`].
    /// Otherwise, and for a session that has ended, does nothing.
    pub async fn renew_session(&self, session: &Session) -> Result<(), Error> {
        let now = self.shared.clock.now();
        let Some(effect) = self.renewal(session, now) else { return Ok(()) };
        // A conflict means that another request of the browser has renewed the session, or that it was ended. The
        // first leaves nothing to do, and the second must not bring it back.
        self.commit_unasked(effect).await.map(drop)
    }

    /// Returns the live sessions of the caller's key, and of all keys within its reach if it has the scope `admin`. The
    /// one used last comes first.
    pub fn sessions(&self, caller: &Caller) -> Vec<Arc<Session>> {
        let (directory, now) = (self.directory(), self.shared.clock.now());
        let is_live = |session: &Session| self.shared.caller_of(&directory, session, now).is_some();
        let seen = seen_keys(&directory, caller).into_iter();
        let sessions = seen.flat_map(|key| directory.sessions().of_key(key));
        let live = sessions.map(|session| &session.record).filter(|session| is_live(session));
        let mut live: Vec<_> = live.cloned().collect();
        live.sort_by_key(|session| Reverse((session.seen_at, session.id)));
        live
    }

    /// Ends one of [`Tenants::sessions`]. When this returns, its secret is unknown. Fails with [`Error::NotFound`] if
    /// the caller sees no such session.
    pub async fn end_session(&self, caller: &Caller, id: Id) -> Result<(), Error> {
        let context = self.session_context(caller)?;
        for _ in 0..ATTEMPTS {
            let found = self.session_in_sight(caller, id, context.now);
            let (key, revision, holder) = found.ok_or(Error::NotFound("session"))?;
            let mut effect = Effect::default();
            effect.remove(key, revision);
            note_session(&mut effect, AuditAct::Delete, id, &holder);
            // A conflict means that the session was renewed, or was ended by another request.
            if let Committed::Done = self.commit(&context, effect).await? {
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    /// Ends a session on its own behalf. One that has ended is no error.
    pub async fn end_own_session(&self, session: &Session) -> Result<(), Error> {
        if self.directory().sessions().of_hash(&session.hash.0).is_none() {
            return Ok(());
        }
        let mut effect = Effect::default();
        // Whatever its revision: a renewal at this moment must not keep it. In no audit list, since it changes nothing
        // for others.
        effect.forget(vec![keys::session(&session.hash)]);
        self.commit_unasked(effect).await.map(drop)
    }

    /// Returns the context of a command about sessions. They belong to a key and to no workspace.
    fn session_context(&self, caller: &Caller) -> Result<Context, Error> {
        let workspace = self.acting(caller, None).or_else(|| self.acting_for_company(caller));
        let program =
            Context::of_program(workspace.ok_or(Error::NotFound("workspace"))?, self.shared.clock.now());
        let reach = caller.reach();
        let tenant = self.tenant_of(&reach);
        Ok(Context { key: caller.credential(), reach, scopes: caller.scopes(), tenant, ..program })
    }

    /// Returns the sessions of a key that a sign-in removes: those that are over, and of the live ones as many as are
    /// above the cap, the one used longest ago first.
    fn replaced_sessions(
        &self,
        key: Option<Id>,
        creating: &Creating,
        now: Timestamp,
    ) -> Result<Vec<Arc<Session>>, Error> {
        let directory = self.directory();
        let all = directory.sessions().of_key(key).map(|session| Arc::clone(&session.record));
        let (mut live, mut replaced): (Vec<_>, Vec<_>) =
            all.partition(|session| self.shared.caller_of(&directory, session, now).is_some());
        let surplus = creating.surplus(live.len(), SESSIONS_MAX);
        // More sign-ins at once than a key may have sessions: the sessions that they create cannot be ended yet.
        if surplus > live.len() {
            return Err(Error::Busy);
        }
        live.sort_by_key(|session| (session.seen_at, session.id));
        replaced.truncate(OVER_AT_ONCE);
        replaced.extend(live.into_iter().take(surplus));
        Ok(replaced)
    }

    /// Returns the write that renews a session, `None` if it is not due or the session has ended.
    fn renewal(&self, session: &Session, now: Timestamp) -> Option<Effect> {
        let directory = self.directory();
        // The stored one: other requests of the browser may have renewed it since this one began.
        let present = directory.sessions().of_hash(&session.hash.0)?;
        self.shared.caller_of(&directory, &present.record, now)?;
        if !present.record.needs_renewal(now) {
            return None;
        }
        let renewed = Session { seen_at: now, ..(*present.record).clone() };
        let mut effect = Effect::default();
        effect.replace(keys::session(&renewed.hash), present.revision, renewed.encode());
        Some(effect)
    }

    /// Returns key, revision and holder of a live session that the caller sees.
    fn session_in_sight(&self, caller: &Caller, id: Id, now: Timestamp) -> Option<(Bytes, Position, Caller)> {
        let directory = self.directory();
        let session = directory.sessions().of_id(id)?;
        let is_seen = match session.record.key.id() {
            key if key == caller.key() => true,
            _ if !sees_others(caller) => false,
            Some(key) => directory.key_within(&caller.reach(), key).is_some(),
            None => caller.reach() == Reach::Instance,
        };
        let holder = self.shared.caller_of(&directory, &session.record, now).filter(|_| is_seen)?;
        Some((keys::session(&session.record.hash), session.revision, holder))
    }
}

impl Shared {
    /// Returns the caller of a session at `now`, `None` if it is over or its key is no longer valid. Whether the key in
    /// the environment is still the same one shows the secret alone: see [`Tenants::session_of`].
    fn caller_of(&self, directory: &Directory, session: &Session, now: Timestamp) -> Option<Caller> {
        if session.ends_at() <= now {
            return None;
        }
        let Some(id) = session.key.id() else {
            return self.environment_key.as_ref().map(|_| Caller::Environment);
        };
        let key = directory.key(id).filter(|key| key.record.is_live(now))?;
        Some(Caller::Key { record: Arc::clone(&key.record), revision: key.revision })
    }

    /// Returns the keys and revisions of the sessions that are over at `now`, for the sweep.
    pub(in crate::core) fn sessions_over(
        &self,
        directory: &Directory,
        now: Timestamp,
    ) -> Vec<(Bytes, Position)> {
        let all = directory.sessions().iter();
        let over = all.filter(|session| self.caller_of(directory, &session.record, now).is_none());
        over.map(|session| (keys::session(&session.record.hash), session.revision)).collect()
    }

    /// Returns the key of a new session of this caller.
    fn session_key(&self, caller: &Caller, secret: &str) -> Result<SessionKey, Error> {
        match caller {
            Caller::Key { record, .. } => Ok(SessionKey::Key(record.id)),
            Caller::Environment => {
                let key = self.environment_key.as_ref().ok_or(Error::Unauthorized)?;
                Ok(SessionKey::Environment(key.bind(secret)))
            }
        }
    }
}

/// Returns whether a caller sees the sessions of other keys within its reach: those who may revoke the keys.
fn sees_others(caller: &Caller) -> bool {
    caller.scopes().allow(Scope::Admin)
}

/// Returns the keys whose sessions a caller sees, each once. `None` stands for the key in the environment.
fn seen_keys(directory: &Directory, caller: &Caller) -> Vec<Option<Id>> {
    if !sees_others(caller) {
        return vec![caller.key()];
    }
    // The caller's own key is within its reach. The key in the environment reaches the instance.
    let environment = (caller.reach() == Reach::Instance).then_some(None);
    let within = directory.keys_within(&caller.reach()).map(|key| Some(key.record.id));
    environment.into_iter().chain(within).collect()
}

/// Adds an entry about a session to the audit list of its key's workspace, under the name of the key.
fn note_session(effect: &mut Effect, act: AuditAct, id: Id, holder: &Caller) {
    match holder {
        Caller::Key { record, .. } => note(effect, act, SubjectKind::Session, id, record),
        // The key in the environment reaches further than every workspace.
        Caller::Environment => effect.unlisted(),
    }
}
