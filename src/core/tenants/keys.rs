//! API keys: finding the caller of a request by its secret, creating keys and revoking them.

use std::sync::Arc;

use super::caller::{Caller, Credential};
use super::caps::Capped;
use super::directory::is_master;
use super::secrets::{generate_secret, hash, key_record};
use super::weights;
use crate::clock::Timestamp;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::history::notes::AuditNote;
use crate::core::shared::Shared;
use crate::core::view::KeyView;
use crate::model::Invalid;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::id::Id;
use crate::model::key::{ApiKey, KeyDraft, KeyReach, Reach, Scope, Scopes};
use crate::model::tenant::Tenant;
use crate::model::workspace::{Workspace, WorkspaceNumber, check_name};
use crate::table::keys;
use crate::table::record::{Stored, StoredOutcome};

/// Most keys of one reach (a workspace, a company, the instance), live or expired: a list returns all of
/// them, and all keys are in memory. It is some twenty times what the largest tenants elsewhere have. Past
/// it, a creation replaces keys that have expired. If there are none, it is forbidden until keys are revoked.
pub(in crate::core) const KEYS_MAX: usize = 1_000;

/// Expired keys that one creation removes, so that the next creations find room without another Change.
const EXPIRED_AT_ONCE: usize = 100;

impl Tenants {
    /// Returns the caller with this secret, or `None` if no live key has it.
    pub fn authenticate(&self, secret: &str, now: Timestamp) -> Option<Caller> {
        let hash = hash(secret);
        // Not stored, so it works with a store that has no key left.
        if self.shared.environment_key.as_ref().is_some_and(|key| key.is(&hash)) {
            return Some(Caller::Environment);
        }
        let directory = self.directory();
        let versioned = directory.key_of_secret(&hash).filter(|versioned| versioned.record.is_live(now))?;
        Some(Caller::Key { record: Arc::clone(&versioned.record), revision: versioned.revision })
    }

    /// Fails with [`Error::Unauthorized`] if the key was revoked or has expired since its request began. A
    /// request calls this after every wait; a Change checks the same when it is committed.
    pub fn check_key(&self, key: Option<Credential>) -> Result<(), Error> {
        self.shared.check_key(key)
    }

    /// Returns the workspace in which `caller` acts: the named one, or the oldest one within reach. Returns
    /// `None` if the named one is not within reach.
    pub fn acting(&self, caller: &Caller, named: Option<&str>) -> Option<Arc<Workspace>> {
        let directory = self.directory();
        let reach = caller.reach();
        let found = match named {
            Some(id) => {
                let named = directory.workspace_named(id);
                named.filter(|versioned| directory.reaches(&reach, versioned.record.number))
            }
            None => directory.workspaces(&reach).next(),
        };
        found.map(|versioned| Arc::clone(&versioned.record))
    }

    /// Returns a stand-in workspace for the key of a company that has no workspace. It is in no list.
    /// Commands about the company itself, such as creating its first workspace, act in it.
    pub fn acting_for_company(&self, caller: &Caller) -> Option<Arc<Workspace>> {
        let Reach::Company(id) = caller.reach() else { return None };
        let directory = self.directory();
        let company = directory.company(&id).filter(|_| directory.workspace_count(&id) == 0)?;
        Some(Arc::new(Workspace {
            // Never given to a workspace, so the stand-in owns no records.
            number: WorkspaceNumber(u32::MAX),
            id: company.record.id.clone(),
            company: company.record.id.clone(),
            name: company.record.name.clone(),
            credits: None,
            default_domain: None,
            custom_values: std::collections::BTreeMap::new(),
            statistics: true,
            timezone: None,
            qr: crate::model::qr_style::QrStyle::default(),
            check_links: false,
            created_at: company.record.created_at,
        }))
    }

    /// Returns the tenant whose share of the pools keys of this reach use.
    pub fn tenant_of(&self, reach: &Reach) -> Tenant {
        self.directory().tenant_of_reach(reach)
    }

    /// Returns all keys whose reach lies within the caller's, the newest first.
    pub fn keys(&self, context: &Context) -> Vec<KeyView> {
        let directory = self.directory();
        directory
            .keys_within(&context.reach)
            .rev()
            .map(|versioned| self.key_view(&versioned.record))
            .collect()
    }

    /// Creates a key and returns it with its secret, which is never shown again. Fails with
    /// [`Error::Forbidden`] if the key would reach further, may do more or live longer than the caller's.
    pub async fn create_key(&self, context: &Context, draft: KeyDraft) -> Result<(KeyView, String), Error> {
        check_name("name", &draft.name)?;
        let reach = self.choose_reach(context, draft.reach.as_ref())?;
        if draft.scopes == Scopes::default() {
            return Err(Invalid::new("scopes", "must not be empty").into());
        }
        // Such a key could do nothing: it may only create links, and lacks the scope for it.
        if draft.create_only && !draft.scopes.allow(Scope::LinksWrite) {
            return Err(Invalid::new("createOnly", "needs the scope links.write").into());
        }
        // The metrics are of all tenants together.
        if reach != Reach::Instance && draft.scopes.iter().any(|scope| scope == Scope::MetricsRead) {
            let rule = "metrics.readonly is for keys of the whole instance: add \"instance\": true";
            return Err(Invalid::new("scopes", rule).into());
        }
        if !context.scopes.cover(draft.scopes) {
            return Err(Error::Forbidden("a key cannot grant scopes that it does not have".to_owned()));
        }
        // `None` for the environment's key, which never expires.
        let own_end = context.key.and_then(|key| key.expires_at);
        if own_end.is_some_and(|own| draft.expires_at.is_none_or(|end| end > own)) {
            return Err(Error::Forbidden(
                "expiresAt: a key cannot create a key that expires later than itself".to_owned(),
            ));
        }
        if draft.expires_at.is_some_and(|end| end <= context.now) {
            return Err(Invalid::new("expiresAt", "must be in the future").into());
        }
        // Announced before the count: see `caps`.
        let creating = self.shared.caps.announce(Capped::Keys(reach.clone()), 1);
        self.replace_expired(&reach, context.now).await?;
        let alike = self.directory().key_count(&reach);
        creating.check(alike, KEYS_MAX, &format!("there are at most {KEYS_MAX} keys of one reach"))?;
        let bytes = weights::of_named(&draft.name);
        // Kept until the Change is applied, like `creating`.
        let _growth = self.shared.announce_growth(&context.reach, &self.tenant_of(&reach), 0, bytes)?;
        let secret = generate_secret();
        let mut made = None;
        let committed = self
            .commit_new(context, |next_id| {
                let mut key = key_record(next_id(), &secret, draft.name, reach, draft.scopes, context.now);
                key.create_only = draft.create_only;
                key.expires_at = draft.expires_at;
                let mut effect = Effect::default();
                effect.create(keys::api_key(key.id), key.encode());
                note(&mut effect, AuditAct::Create, SubjectKind::Key, key.id, &key);
                effect.store_outcome(context.claim, context.now, || StoredOutcome::Key(key.id));
                made = Some(key);
                effect
            })
            .await?;
        match (committed, made) {
            (Committed::Done, Some(key)) => Ok((self.key_view(&Arc::new(key)), secret)),
            // The id is new, so only a repetition can conflict.
            _ => Err(Error::Busy),
        }
    }

    /// Removes expired keys of a reach that has no place for another key: they stay stored for lists, but must
    /// not fill the cap.
    async fn replace_expired(&self, reach: &Reach, now: Timestamp) -> Result<(), Error> {
        let mut effect = Effect::default();
        let directory = self.directory();
        if directory.key_count(reach) >= KEYS_MAX {
            for expired in directory.expired_keys(reach, now).take(EXPIRED_AT_ONCE) {
                effect.remove_key(&directory, expired, now);
            }
        }
        // Not held during the wait.
        drop(directory);
        if !effect.puts.is_empty() {
            // A conflict means that another request has removed some of them.
            self.commit_unasked(effect).await?;
        }
        Ok(())
    }

    /// Revokes a key. When this returns, the key is unknown.
    pub async fn revoke_key(&self, context: &Context, id: Id) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            // Searched among the keys within reach and not by the id alone, so that a foreign key takes as
            // long as none.
            let versioned = self.directory().key_within(&context.reach, id).cloned();
            let versioned = versioned.ok_or(Error::NotFound("key"))?;
            let mut effect = Effect::default();
            effect.remove_key(&self.directory(), &versioned, context.now);
            note(&mut effect, AuditAct::Delete, SubjectKind::Key, id, &versioned.record);
            // Only such a key can create another one like it, so the last one must stay.
            if self.shared.environment_key.is_none() && is_master(&versioned.record) {
                let Some(other) = self.directory().master_besides(id).cloned() else {
                    let why = "this is the last key with all scopes for the whole instance: create another one before you \
                               revoke it";
                    return Err(Error::Forbidden(why.to_owned()));
                };
                // A revocation of the other key at the same time must not succeed as well.
                effect.rely_on(keys::api_key(other.record.id), other.revision);
            }
            match self.commit(context, effect).await? {
                Committed::Done => return Ok(()),
                // Keys are never changed, so another request has revoked one of the two. The next attempt
                // does not find this key, or relies on a third one.
                Committed::Conflict(_) => {}
            }
        }
        Err(Error::Busy)
    }

    fn choose_reach(&self, context: &Context, asked: Option<&KeyReach>) -> Result<Reach, Error> {
        let directory = self.directory();
        let reach = match asked {
            None => Some(Reach::Workspace(context.workspace.number)),
            Some(KeyReach::Instance) => Some(Reach::Instance),
            Some(KeyReach::Company(id)) => {
                directory.company(id).map(|versioned| Reach::Company(versioned.record.id.clone()))
            }
            Some(KeyReach::Workspace(id)) => directory
                .workspace_named(id.as_str())
                .map(|versioned| Reach::Workspace(versioned.record.number)),
        };
        // A key may not learn whether a company or workspace outside its reach exists, so both cases give one
        // error.
        let within = reach.filter(|reach| self.is_within(&context.reach, reach));
        within.ok_or_else(|| {
            let why = match asked {
                Some(KeyReach::Company(_)) => {
                    "companyId: there is no such company within the reach of this key"
                }
                Some(KeyReach::Workspace(_)) => {
                    "workspaceId: there is no such workspace within the reach of this key"
                }
                Some(KeyReach::Instance) | None => "a key cannot reach further than the key that creates it",
            };
            Error::Forbidden(why.to_owned())
        })
    }

    pub(in crate::core) fn is_within(&self, outer: &Reach, inner: &Reach) -> bool {
        match (outer, inner) {
            (Reach::Instance, _) => true,
            (Reach::Company(outer), Reach::Company(inner)) => outer == inner,
            (Reach::Company(_), Reach::Workspace(number)) => self.directory().reaches(outer, *number),
            (Reach::Workspace(outer), Reach::Workspace(inner)) => outer == inner,
            (Reach::Company(_), Reach::Instance)
            | (Reach::Workspace(_), Reach::Instance | Reach::Company(_)) => false,
        }
    }
}

impl Shared {
    /// Returns the tenant whose share of the pools a workspace's keys and visits of its links use.
    pub(in crate::core) fn tenant_of_workspace(&self, number: WorkspaceNumber) -> Tenant {
        self.directory.load().tenant_of_reach(&Reach::Workspace(number))
    }

    /// Fails with [`Error::Unauthorized`] if the key was revoked or has expired since its request began.
    pub(in crate::core) fn check_key(&self, key: Option<Credential>) -> Result<(), Error> {
        let Some(key) = key else { return Ok(()) };
        // By the clock: no Change marks the moment.
        self.check_expiry(&key)?;
        let is_known =
            self.directory.load().key(key.id).is_some_and(|versioned| versioned.revision == key.revision);
        if is_known { Ok(()) } else { Err(Error::Unauthorized) }
    }

    /// Fails with [`Error::Unauthorized`] if the key has expired.
    pub(in crate::core) fn check_expiry(&self, key: &Credential) -> Result<(), Error> {
        match key.expires_at {
            Some(end) if end <= self.clock.now() => Err(Error::Unauthorized),
            _ => Ok(()),
        }
    }
}

/// Adds an entry about a key, or about a session of it, to the audit list of its workspace.
pub(super) fn note(effect: &mut Effect, act: AuditAct, kind: SubjectKind, id: Id, key: &ApiKey) {
    match key.reach {
        Reach::Workspace(owner) => effect.note(AuditNote::of(owner, act, kind, id, Some(&key.name))),
        // A workspace must not learn of keys that reach further than itself.
        Reach::Instance | Reach::Company(_) => effect.unlisted(),
    }
}
