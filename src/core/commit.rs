//! The only path of a write: a proposal goes to the log, and the call returns once the table has applied the
//! Change and the cache no longer has what the Change replaces.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::context::{Claim, Context};
use super::error::Error;
use super::handle::Core;
use super::history::notes::{AuditNote, is_audited};
use super::shared::Shared;
use super::tenants::caller::Credential;
use super::tenants::directory::{Directory, Versioned};
use crate::clicks::counter::Counter;
use crate::clock::Timestamp;
use crate::log::{CommitError, Position, Precondition, Proposal, Put};
use crate::model::audit::AuditAct;
use crate::model::domain::DomainNumber;
use crate::model::id::{Id, IdSource};
use crate::model::key::ApiKey;
use crate::model::link::{Alias, Link};
use crate::table::keys::{self, Kind};
use crate::table::record::{AliasRecord, OutcomeRecord, RetiredKey, Stored, StoredOutcome};

/// Attempts of a command when other writes change the records that it relies on.
pub(super) const ATTEMPTS: usize = 8;

/// The preconditions and writes of a command, collected before it is committed.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) preconditions: Vec<Precondition>,
    pub(super) puts: Vec<Put>,
    /// The keys of [`Effect::rely_on_once`]. A Change may have thousands of links on many domains, so a search of
    /// the preconditions would take quadratic time.
    pub(super) relied_on: HashSet<Bytes>,
    /// What the audit list gets, once the commit has ids for its entries.
    pub(super) notes: Vec<AuditNote>,
    /// Whether the audit list gets nothing: see [`Effect::unlisted`].
    pub(super) is_unlisted: bool,
}

impl Effect {
    /// Writes a record that must not exist yet.
    pub(super) fn create(&mut self, key: Bytes, record: Vec<u8>) {
        self.preconditions.push(Precondition { key: key.clone(), revision: None });
        self.put(key, record);
    }

    /// Writes the record of a link under a code that no link and no alias has.
    pub(super) fn create_link(&mut self, domain: DomainNumber, code: &str, record: Vec<u8>) {
        self.preconditions.push(Precondition { key: keys::alias(domain, code), revision: None });
        self.create(keys::link(domain, code), record);
    }

    /// Requires that no link and no alias has a code.
    pub(super) fn rely_on_free(&mut self, domain: DomainNumber, code: &str) {
        for key in [keys::alias(domain, code), keys::link(domain, code)] {
            self.preconditions.push(Precondition { key, revision: None });
        }
    }

    /// Writes an alias of a link. The record of the link in the same effect lists it.
    pub(super) fn put_alias(&mut self, link: &Link, alias: &Alias) {
        let record = AliasRecord { workspace: link.workspace, link: link.id };
        self.put(keys::alias(alias.domain, alias.code.as_str()), record.encode());
    }

    /// Removes an alias of a link. Needs no precondition beside the one on the record of the link, which lists its
    /// aliases.
    pub(super) fn remove_alias(&mut self, alias: &Alias) {
        self.puts.push(Put { key: keys::alias(alias.domain, alias.code.as_str()), value: None });
    }

    /// Writes a record in place of the one of `revision`.
    pub(super) fn replace(&mut self, key: Bytes, revision: Position, record: Vec<u8>) {
        self.rely_on(key.clone(), revision);
        self.put(key, record);
    }

    /// Removes the record, which must have this revision.
    pub(super) fn remove(&mut self, key: Bytes, revision: Position) {
        self.rely_on(key.clone(), revision);
        self.puts.push(Put { key, value: None });
    }

    /// Requires a revision of a record without writing it.
    pub(super) fn rely_on(&mut self, key: Bytes, revision: Position) {
        self.preconditions.push(Precondition { key, revision: Some(revision) });
    }

    /// Like [`Effect::rely_on`], for a record that several writes of this effect rely on. Only the first call for
    /// a key has an effect.
    pub(super) fn rely_on_once(&mut self, key: Bytes, revision: Position) {
        if self.relied_on.insert(key.clone()) {
            self.rely_on(key, revision);
        }
    }

    /// Removes an API key and its sessions. Entries of audit lists and links name the key: its name stays for them.
    pub(super) fn remove_key(&mut self, directory: &Directory, key: &Versioned<ApiKey>, now: Timestamp) {
        let Versioned { revision, record } = key;
        self.remove(keys::api_key(record.id), *revision);
        self.put(keys::retired_key(record.id), RetiredKey { name: record.name.clone(), at: now }.encode());
        // A session that is signed in at this moment opens nothing without its key. The sweep removes it.
        let sessions = directory.sessions().of_key(Some(record.id));
        self.forget(sessions.map(|session| keys::session(&session.record.hash)).collect());
    }

    /// Adds an entry to the audit list of a workspace.
    pub(super) fn note(&mut self, note: AuditNote) {
        self.notes.push(note);
    }

    /// Adds an entry about a change of a link, unless only the time of its last change differs. Without an act, what
    /// differs decides.
    pub(super) fn note_change(&mut self, before: &Link, after: &Link, act: Option<AuditAct>) {
        match AuditNote::of_change(before, after) {
            Some(note) => self.note(note.by_act(act)),
            None => self.unlisted(),
        }
    }

    /// Marks a change that is in no audit list: of an object that no workspace has, or of none at all.
    pub(super) fn unlisted(&mut self) {
        self.is_unlisted = true;
    }

    /// Removes records that nothing relies on, such as old entries of an audit list and sessions.
    pub(super) fn forget(&mut self, keys: Vec<Bytes>) {
        self.puts.extend(keys.into_iter().map(|key| Put { key, value: None }));
    }

    /// Returns whether an audit list gets all that it must.
    fn is_accounted_for(&self) -> bool {
        let is_audited = |put: &Put| Kind::of(&put.key).is_some_and(is_audited);
        // A link that replaces no record is a new one, whose creation has no entry.
        let is_known = |key: &Bytes| {
            self.preconditions.iter().any(|known| known.key == *key && known.revision.is_some())
        };
        let is_changed = |put: &Put| Kind::of(&put.key) == Some(Kind::Link) && is_known(&put.key);
        self.is_unlisted
            || !self.notes.is_empty()
            || !self.puts.iter().any(|put| is_audited(put) || is_changed(put))
    }

    /// Writes a record without any precondition.
    pub(super) fn put(&mut self, key: Bytes, record: Vec<u8>) {
        self.puts.push(Put { key, value: Some(record.into()) });
    }

    /// Stores the outcome of the request, so that a repetition returns the same. Requires that no outcome is
    /// stored yet: a concurrent repetition, which cannot see the outcome yet, must not run a second time.
    pub(super) fn store_outcome(
        &mut self,
        claim: Option<Claim>,
        now: Timestamp,
        outcome: impl FnOnce() -> StoredOutcome,
    ) {
        if let Some(claim) = claim {
            let record = OutcomeRecord { body: claim.body, at: now, outcome: outcome() };
            self.create(keys::outcome(&claim.scope), record.encode());
        }
    }
}

/// The result of a proposal.
pub(super) enum Committed {
    /// The Change is durable, applied and visible.
    Done,
    /// The record under this key has changed since it was read. The command reads it again and retries.
    Conflict(Bytes),
}

/// Resolves to the position of the Change and whether it is visible, once it is durable, or to the reason why the
/// proposal was rejected.
type PendingCommit = oneshot::Receiver<Result<(Position, bool), CommitError>>;

impl Core {
    /// Commits an effect on the authority of the context's key: see [`Shared::rely_on_key`]. Fails with
    /// [`Error::Unauthorized`] if the key was revoked.
    pub(super) async fn commit(&self, context: &Context, mut effect: Effect) -> Result<Committed, Error> {
        let own = self.shared.rely_on_key(context.key, &mut effect)?;
        let settled = {
            // Locked until the proposal is in the log's queue: see `Shared::ids`.
            let mut ids = self.shared.ids.lock();
            write_notes(context, &mut effect, &mut ids);
            self.shared.propose(context.request, effect)
        };
        self.settle_own(context, settled, own).await
    }

    /// Commits an effect that removes a link and its total. The link's counter is retired under the `totals`
    /// lock, so that a concurrent drain does not write the total again after its removal.
    pub(super) async fn commit_removal(
        &self,
        context: &Context,
        mut effect: Effect,
        counter: Option<Arc<Counter>>,
    ) -> Result<Committed, Error> {
        let own = self.shared.rely_on_key(context.key, &mut effect)?;
        let pending = {
            // Both locks: the id of the entry in the order of the log, and no total behind the removal.
            let mut ids = self.shared.ids.lock();
            write_notes(context, &mut effect, &mut ids);
            let _order = self.shared.totals.lock();
            if let Some(counter) = &counter {
                counter.retire();
            }
            self.shared.propose(context.request, effect)
        };
        let settled = self.settle_own(context, pending, own).await;
        if let Some(counter) = counter.filter(|_| !matches!(settled, Ok(Committed::Done))) {
            // The link still exists, so its counter counts again.
            counter.revive();
            // The drains since then have skipped the counter.
            self.shared.cache.counters().put_back(vec![counter]);
        }
        settled
    }

    /// Commits an effect of the program itself, for which no key is needed.
    pub(super) async fn commit_unasked(&self, effect: Effect) -> Result<Committed, Error> {
        // 0 marks a Change that no request made.
        let settled = self.shared.propose(0, effect);
        Ok(self.settle(settled).await?.0)
    }

    /// Generates ids and commits the effect that `build` returns, as one step: see `Shared::ids`.
    pub(super) async fn commit_new(
        &self,
        context: &Context,
        build: impl FnOnce(&mut dyn FnMut() -> Id) -> Effect,
    ) -> Result<Committed, Error> {
        let (settled, own) = {
            // Locked until the proposal is in the log's queue: see `Shared::ids`.
            let mut ids = self.shared.ids.lock();
            let mut effect = build(&mut || ids.next(context.now, chance()));
            let own = self.shared.rely_on_key(context.key, &mut effect)?;
            write_notes(context, &mut effect, &mut ids);
            (self.shared.propose(context.request, effect), own)
        };
        self.settle_own(context, settled, own).await
    }

    /// Like [`Core::settle`], but a conflict on the record of the command's own key is final. Notes the position of
    /// the Change as the revision of the object.
    async fn settle_own(
        &self,
        context: &Context,
        settled: PendingCommit,
        own: Option<Bytes>,
    ) -> Result<Committed, Error> {
        match self.settle(settled).await? {
            // Key records are never changed, so a conflict on one means that it was revoked.
            (Committed::Conflict(key), _) if Some(&key) == own.as_ref() => Err(Error::Unauthorized),
            (committed, position) => {
                if let Some(position) = position {
                    context.object.wrote(position);
                }
                Ok(committed)
            }
        }
    }

    /// Waits for a proposal. Returns the position of its Change, unless it was in conflict.
    async fn settle(&self, settled: PendingCommit) -> Result<(Committed, Option<Position>), Error> {
        // A sender is dropped without an answer only when the log or the table stops.
        let stopped = || Err(CommitError::Unavailable("it was stopped".to_owned()));
        match settled.await.unwrap_or_else(|_| stopped()) {
            Ok((position, true)) => Ok((Committed::Done, Some(position))),
            // Retryable, not final: the Change is in the log, and a repetition with its `Idempotency-Key`
            // finds it.
            Ok((_, false)) => Err(Error::NotReady("the change is durable, but not visible yet".to_owned())),
            Err(CommitError::Conflict { key, .. }) => {
                // The Change that won may be in the log and not applied yet. A retry before it is applied
                // would read the same old record and fail again.
                self.shared.table.wait(self.shared.log.position()).await;
                Ok((Committed::Conflict(key), None))
            }
            Err(error) => Err(Error::Log(error)),
        }
    }
}

/// Turns the notes of an effect into entries of audit lists.
fn write_notes(context: &Context, effect: &mut Effect, ids: &mut IdSource) {
    // A part of every test that runs a command: no command forgets its entry.
    debug_assert!(effect.is_accounted_for(), "a change without an entry of an audit list: {effect:?}");
    for note in std::mem::take(&mut effect.notes) {
        // None for the key in the environment, which is no record.
        let by = context.key.map(|key| key.id);
        let (key, record) = note.entry(by, || ids.next(context.now, chance()));
        effect.put(key, record);
    }
}

impl Shared {
    /// Requires the present revision of the key that runs the command, and returns the key of that record.
    /// The log compares revisions on one thread in the order of the Changes, so no Change of a key comes
    /// after its revocation. Expiry is checked here, against the clock.
    fn rely_on_key(&self, key: Option<Credential>, effect: &mut Effect) -> Result<Option<Bytes>, Error> {
        let Some(key) = key else { return Ok(None) };
        self.check_expiry(&key)?;
        let record = keys::api_key(key.id);
        // First, so that a revoked key is reported before any other conflict.
        effect.preconditions.insert(0, Precondition { key: record.clone(), revision: Some(key.revision) });
        Ok(Some(record))
    }

    /// Proposes an effect. The log's callback registers directly with the table, so that the caller is woken
    /// only once, when the Change is visible.
    fn propose(&self, request: u64, effect: Effect) -> PendingCommit {
        let (sender, settled) = oneshot::channel();
        let table = self.table.clone();
        let answer = move |answer| match answer {
            // The receiver is gone if the caller was dropped.
            Ok(position) => {
                table.on_applied(position, Box::new(move |is| drop(sender.send(Ok((position, is))))));
            }
            Err(why) => drop(sender.send(Err(why))),
        };
        let proposal = Proposal { preconditions: effect.preconditions, puts: effect.puts, request };
        self.log.propose(proposal, Box::new(answer));
        settled
    }
}

/// Returns 128 bits from the system's random generator.
pub(super) fn chance() -> u128 {
    let mut bytes = [0; 16];
    // A panic is better than ids that repeat or can be guessed.
    getrandom::fill(&mut bytes).expect("the system's random generator works");
    u128::from_le_bytes(bytes)
}
