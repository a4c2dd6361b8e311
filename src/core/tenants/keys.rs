//! API keys: who a secret belongs to, and making and revoking keys.
//!
//! Secrets are 256 random bits, shown once; the store has their SHA-256. Looking a secret up by
//! its hash leaks nothing through time: what is compared is a hash that nobody can aim.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::caps::Capped;
use super::directory::{Held, is_master};
use crate::clock::Timestamp;
use crate::core::commit::{Committed, Effect};
use crate::core::{Context, Error, KeyView, Links, Shared};
use crate::log::Position;
use crate::model::Invalid;
use crate::model::id::Id;
use crate::model::key::{ApiKey, KeyDraft, KeyReach, Reach, Scopes, SecretHash};
use crate::model::workspace::{Workspace, WorkspaceNumber, check_name};
use crate::table::keys;
use crate::table::record::{Stored, StoredOutcome};

/// What our secrets begin with, so that a leaked one can be recognised.
const SECRET_PREFIX: &str = "wp_";
/// 43 characters of 62 hold 256 bits.
const SECRET_LENGTH: usize = 43;
/// Characters of a secret that lists show.
const HINT_LENGTH: usize = 7;

/// Most live keys of one reach (a workspace, a company, the instance): lists of keys are answered
/// whole, and all keys are in memory. Some twenty times what the largest tenants elsewhere have. Past
/// it: forbidden, until others are revoked or expire.
const KEYS_MAX: usize = 1_000;

const DIGITS: [char; 62] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K',
    'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
    'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

/// Who holds a valid key.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The key in the environment (`WAYPOST_ADMIN_KEY`): instance reach, every scope, not stored.
    Environment,
    /// A stored key.
    Key {
        /// Its record.
        record: Arc<ApiKey>,
        /// The revision of that record.
        revision: Position,
    },
}

/// The stored key that a command runs on the authority of. Every Change of the command relies on
/// this revision of the key's record, so a key that was revoked cannot commit, however long its
/// request waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The key's id.
    pub id: Id,
    /// The revision of its record.
    pub revision: Position,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

impl Caller {
    /// The key's id; `None` for the key in the environment.
    pub fn key(&self) -> Option<Id> {
        match self {
            Caller::Environment => None,
            Caller::Key { record, .. } => Some(record.id),
        }
    }

    /// Returns what its commands rely on; `None` for the key in the environment.
    pub fn credential(&self) -> Option<Credential> {
        match self {
            Caller::Environment => None,
            Caller::Key { record, revision } => {
                Some(Credential { id: record.id, revision: *revision, expires_at: record.expires_at })
            }
        }
    }

    /// Returns whether it may create links and do nothing else.
    pub fn is_create_only(&self) -> bool {
        matches!(self, Caller::Key { record, .. } if record.create_only)
    }

    /// Whose objects it sees.
    pub fn reach(&self) -> Reach {
        match self {
            Caller::Environment => Reach::Instance,
            Caller::Key { record, .. } => record.reach.clone(),
        }
    }

    /// What it may do.
    pub fn scopes(&self) -> Scopes {
        match self {
            Caller::Environment => Scopes::all(),
            Caller::Key { record, .. } => record.scopes,
        }
    }
}

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

    fn is(&self, hash: &[u8; 32]) -> bool {
        self.0.ct_eq(hash).into()
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A fresh secret.
pub(in crate::core) fn draw_secret() -> String {
    format!("{SECRET_PREFIX}{}", nanoid::nanoid!(SECRET_LENGTH, &DIGITS))
}

/// The record of a key with this secret.
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
        hint: secret.chars().take(HINT_LENGTH).collect::<String>().into(),
        created_at: now,
    }
}

impl Links {
    /// Who holds this secret, if the key is live at `now`.
    pub fn authenticate(&self, secret: &str, now: Timestamp) -> Option<Caller> {
        let hash = hash(secret);
        if self.0.environment_key.as_ref().is_some_and(|key| key.is(&hash)) {
            return Some(Caller::Environment);
        }
        let directory = self.directory();
        let held = directory.key_of_secret(&hash).filter(|held| held.record.is_live(now))?;
        Some(Caller::Key { record: Arc::clone(&held.record), revision: held.revision })
    }

    /// Fails with [`Error::Unauthorized`] if the key was revoked or has expired since its request
    /// began. Called behind every wait of a request; a Change checks the same when it is committed.
    pub fn check_key(&self, key: Option<Credential>) -> Result<(), Error> {
        let Some(key) = key else { return Ok(()) };
        self.0.check_expiry(&key)?;
        let is_known = self.directory().key(key.id).is_some_and(|held| held.revision == key.revision);
        if is_known { Ok(()) } else { Err(Error::Unauthorized) }
    }

    /// The workspace in which `caller` acts: the named one, if it is within reach, else the oldest
    /// within reach. `None` when the named one is not to be seen.
    pub fn acting(&self, caller: &Caller, named: Option<&str>) -> Option<Arc<Workspace>> {
        let directory = self.directory();
        let reach = caller.reach();
        let found = match named {
            Some(id) => {
                let named = directory.workspace_named(id);
                named.filter(|held| directory.reaches(&reach, held.record.number))
            }
            None => directory.workspaces(&reach).next(),
        };
        found.map(|held| Arc::clone(&held.record))
    }

    /// Returns what the key of a company without a workspace acts in: a stand-in that is in no list, for
    /// commands about the company itself, such as making its first workspace.
    pub fn acting_for_company(&self, caller: &Caller) -> Option<Arc<Workspace>> {
        let Reach::Company(id) = caller.reach() else { return None };
        let directory = self.directory();
        let company = directory.company(&id).filter(|_| directory.workspace_count(&id) == 0)?;
        Some(Arc::new(Workspace {
            number: WorkspaceNumber(u32::MAX),
            id: company.record.id.clone(),
            company: company.record.id.clone(),
            name: company.record.name.clone(),
            credits: None,
            default_domain: None,
            custom_values: std::collections::BTreeMap::new(),
            created_at: company.record.created_at,
        }))
    }

    /// All keys whose reach lies within the caller's, the newest first.
    pub fn keys(&self, context: &Context) -> Vec<KeyView> {
        let directory = self.directory();
        directory.keys_within(&context.reach).rev().map(|held| self.key_view(&held.record)).collect()
    }

    /// Makes a key that reaches no further and may do no more than the caller's. Answers it with
    /// its secret, which is never told again.
    pub async fn create_key(&self, context: &Context, draft: KeyDraft) -> Result<(KeyView, String), Error> {
        check_name("name", &draft.name)?;
        let reach = self.choose_reach(context, draft.reach.as_ref())?;
        if draft.scopes == Scopes::default() {
            return Err(Invalid::new("scopes", "must not be empty").into());
        }
        if !context.scopes.cover(draft.scopes) {
            return Err(Error::Forbidden("a key cannot grant scopes that it does not have".to_owned()));
        }
        let own_end = context.key.and_then(|key| key.expires_at);
        if own_end.is_some_and(|own| draft.expires_at.is_none_or(|end| end > own)) {
            return Err(Error::Forbidden("a key cannot make one that outlives it".to_owned()));
        }
        if draft.expires_at.is_some_and(|end| end <= context.now) {
            return Err(Invalid::new("expiresAt", "must be in the future").into());
        }
        let creating = self.0.caps.announce(Capped::Keys(reach.clone()), 1);
        let is_live = |held: &&Held<ApiKey>| held.record.is_live(context.now);
        let alike = self.directory().keys_like(&reach).filter(is_live).count();
        creating.check(alike, KEYS_MAX, &format!("there are at most {KEYS_MAX} keys of one reach"))?;
        let secret = draw_secret();
        let mut made = None;
        let committed = self
            .commit_new(context, |next_id| {
                let mut key = key_record(next_id(), &secret, draft.name, reach, draft.scopes, context.now);
                key.create_only = draft.create_only;
                key.expires_at = draft.expires_at;
                let mut effect = Effect::default();
                effect.create(keys::api_key(key.id), key.encode());
                effect.store_outcome(context.claim, context.now, || StoredOutcome::Key(key.id));
                made = Some(key);
                effect
            })
            .await?;
        match (committed, made) {
            (Committed::Done, Some(key)) => Ok((self.key_view(&Arc::new(key)), secret)),
            _ => Err(Error::Busy),
        }
    }

    /// Revokes a key: from the answer on it is unknown.
    pub async fn revoke_key(&self, context: &Context, id: Id) -> Result<(), Error> {
        // Among those within reach, not by the id alone: a key of another's takes as long as none.
        let held = self.directory().key_within(&context.reach, id).cloned();
        let held = held.ok_or(Error::NotFound("key"))?;
        let masters = self.directory().masters();
        if self.0.environment_key.is_none() && is_master(&held.record) && masters == 1 {
            let why = "this is the last key that reaches everything: make another before revoking it";
            return Err(Error::Forbidden(why.to_owned()));
        }
        let mut effect = Effect::default();
        effect.remove(keys::api_key(id), held.revision);
        match self.commit(context, effect).await? {
            Committed::Done => Ok(()),
            // Keys are never changed: whoever was faster has revoked it.
            Committed::Conflict(_) => Err(Error::NotFound("key")),
        }
    }

    fn choose_reach(&self, context: &Context, asked: Option<&KeyReach>) -> Result<Reach, Error> {
        let directory = self.directory();
        let reach = match asked {
            None => Some(Reach::Workspace(context.workspace.number)),
            Some(KeyReach::Instance) => Some(Reach::Instance),
            Some(KeyReach::Company(id)) => {
                directory.company(id).map(|held| Reach::Company(held.record.id.clone()))
            }
            Some(KeyReach::Workspace(id)) => {
                directory.workspace_named(id.as_str()).map(|held| Reach::Workspace(held.record.number))
            }
        };
        // What exists elsewhere is as forbidden as what does not exist: no oracle.
        let within = reach.filter(|reach| self.is_within(&context.reach, reach));
        within.ok_or_else(|| {
            Error::Forbidden("a key cannot reach further than the key that makes it".to_owned())
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
    /// Fails with [`Error::Unauthorized`] if the key has expired by now.
    pub(in crate::core) fn check_expiry(&self, key: &Credential) -> Result<(), Error> {
        match key.expires_at {
            Some(end) if end <= self.clock.now() => Err(Error::Unauthorized),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_unlike() {
        let (one, two) = (draw_secret(), draw_secret());
        assert_eq!(one.len(), 46);
        assert!(one.starts_with("wp_") && one[3..].bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(one, two);
    }

    #[test]
    fn t71_the_environment_key_is_compared_whole() {
        let key = EnvironmentKey::new("s3cret");
        assert!(key.is(&hash("s3cret")));
        for other in ["s3cre", "s3cret ", "S3CRET", ""] {
            assert!(!key.is(&hash(other)), "{other:?}");
        }
        assert_eq!(format!("{key:?}"), "EnvironmentKey(..)");
    }
}
