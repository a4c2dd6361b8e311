//! Creating many links in one request, all or nothing or row by row.
//!
//! A row-by-row bulk writes many Changes. Each Change stores how many rows are done, so that a repetition
//! under the same `Idempotency-Key` continues where a crash stopped the first request.

use std::collections::HashSet;
use std::sync::Arc;

use super::create::Prepared;
use super::loops::routes::Siblings;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::idempotency::is_over;
use crate::core::shared::Shared;
use crate::core::view::BulkView;
use crate::log::CommitError;
use crate::model::Invalid;
use crate::model::id::Id;
use crate::model::link::{DomainChoice, Draft, Link, Names};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{OutcomeRecord, Stored, StoredBulk, StoredOutcome};
use crate::table::{Found, keys};

/// Most rows of one bulk (docs/decisions.md A13): one command must not delay the others. Past it, the request
/// is rejected.
pub const ROWS_MAX: usize = 1_000;

/// Bytes of records after which a row-by-row bulk begins its next Change: half the size limit of a Change, so
/// that the rest of the Change fits as well.
const CHANGE_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 2;

/// Rows that are checked under the lock before the task yields its thread. Each check reads some records from
/// memory.
const ROWS_PER_YIELD: usize = 16;

/// A bulk creation. Rows that could not be parsed keep their positions, so that the response has a result for
/// each row.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// The domain of rows that name none.
    pub domain: DomainChoice,
    /// At most [`ROWS_MAX`] rows, each a draft or the rule that it breaks.
    pub rows: Vec<Result<Draft, Invalid>>,
    /// Whether the first failing row fails the whole bulk.
    pub atomic: bool,
}

/// Rows of one Change that is written under the exclusive lock, unless the bulk is atomic. Their check and
/// commit take some 10 ms, in which every other write waits. The next Change queues behind the writes that
/// waited.
const EXCLUSIVE_ROWS_MAX: usize = 100;

/// A row that waits for its Change.
struct BulkRow {
    number: usize,
    /// Domain and code as the row gives them: see [`Links::choose_domains`].
    domain: DomainChoice,
    code: Option<ShortCode>,
    prepared: Prepared,
    collided: usize,
}

/// The rows of the next Change. They are prepared, hashed and checked without any lock.
#[derive(Default)]
struct RowGroup {
    rows: Vec<BulkRow>,
    /// Bytes of their records.
    bytes: usize,
    /// Whether a row leads to this server, so that the Change needs the exclusive lock.
    leads_here: bool,
    /// The generation of the exclusive lock before the first row was checked.
    checked_at: u64,
}

impl RowGroup {
    /// Returns whether a row of `bytes` belongs to the next group, because this one has no room for it.
    fn is_full(&self, bytes: usize, leads_here: bool) -> bool {
        let is_exclusive = self.leads_here || leads_here;
        !self.rows.is_empty()
            && (self.bytes + bytes >= CHANGE_BYTES || is_exclusive && self.rows.len() >= EXCLUSIVE_ROWS_MAX)
    }

    fn add(&mut self, row: BulkRow, bytes: usize, leads_here: bool, checked_at: u64) {
        if self.rows.is_empty() {
            self.checked_at = checked_at;
        }
        self.leads_here |= leads_here;
        self.rows.push(row);
        self.bytes += bytes;
    }
}

impl Links {
    /// Creates many links. If the bulk is atomic, the first failing row fails the request and nothing is
    /// created. Otherwise each row succeeds or fails on its own. Fails with [`Error::Unauthorized`] if the
    /// key is revoked before the last row; the rows before that stay.
    pub async fn create_bulk(&self, context: &Context, bulk: Bulk) -> Result<BulkView, Error> {
        if bulk.rows.len() > ROWS_MAX {
            return Err(Invalid::new("links", "must be at most 1000 rows").into());
        }
        let atomic = bulk.atomic;
        let of = u32::try_from(bulk.rows.len()).expect("at most 1,000 rows");
        let mut so_far = self.resume(context).await?.unwrap_or(StoredBulk {
            workspace: context.workspace.number,
            links: Vec::new(),
            failed: Vec::new(),
            done: 0,
            of,
        });
        let mut siblings: Arc<Siblings> = Arc::default();
        let mut group = RowGroup::default();
        for (number, row) in bulk.rows.into_iter().enumerate().skip(so_far.done as usize) {
            // A revocation ends the bulk at the next row, which may wait long to be hashed. If nothing was
            // written yet, a client that has left ends it too.
            self.shared.check_key(context.key)?;
            if context.client.has_left() && so_far.done == 0 {
                return Err(Error::Busy);
            }
            let code =
                row.as_ref().ok().and_then(|draft| draft.code.as_ref()).map(|code| Box::from(code.as_str()));
            if let Ok(draft) = &row
                && draft.reuse
            {
                let last = u32::try_from(number).expect("at most 1,000 rows");
                match self.reuse_row(context, draft, &mut group, &mut so_far, (last, atomic)).await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) if atomic => return Err(in_row(number, error)),
                    Err(error) => {
                        record_failure(&mut so_far, number, code, error)?;
                        continue;
                    }
                }
            }
            // Read before the row is checked, so that exclusive writes during the check are noticed.
            let checked_at = self.shared.exclusive.generation();
            match self.prepare_row(context, number, row, &siblings).await {
                Ok(row) => {
                    let prepared = &row.prepared;
                    let size = prepared.bytes_in_a_change(context);
                    let leads_here = self.shared.leads_here(context.workspace.number, &prepared.options);
                    // An atomic bulk is one Change. If it is too large, the log rejects it.
                    if !atomic && group.is_full(size, leads_here) {
                        let last = u32::try_from(number).expect("at most 1,000 rows");
                        let full = std::mem::take(&mut group);
                        self.commit_rows(context, full, &mut so_far, last, false).await?;
                    }
                    // Later rows may lead to a given code. Nothing can lead to a generated one.
                    if let Some(code) = &prepared.code {
                        let edges = self.shared.edges(context.workspace.number, &prepared.options);
                        let domain = prepared.domain.record.number;
                        Arc::make_mut(&mut siblings).add(domain, code.clone(), edges);
                    }
                    group.add(row, size, leads_here, checked_at);
                }
                Err(error) if atomic => return Err(in_row(number, error)),
                Err(error) => record_failure(&mut so_far, number, code, error)?,
            }
        }
        self.commit_rows(context, group, &mut so_far, of, atomic).await?;
        self.bulk_view(so_far).await
    }

    /// Adds the link that a row reuses to the result. Returns `false` if the row creates a link. The rows before
    /// `last` are committed first, if the row repeats one of them or follows them in the result. All rows of an
    /// atomic bulk are one Change: they reuse only older links, which come first in the result.
    async fn reuse_row(
        &self,
        context: &Context,
        draft: &Draft,
        group: &mut RowGroup,
        so_far: &mut StoredBulk,
        (last, atomic): (u32, bool),
    ) -> Result<bool, Error> {
        let wanted = self.shared.prepare(context, draft.clone(), None)?.options;
        let is_same = |row: &BulkRow| {
            let options = &row.prepared.options;
            (&options.destination, &options.utm) == (&wanted.destination, &wanted.utm)
        };
        if !atomic && group.rows.iter().any(is_same) {
            self.commit_rows(context, std::mem::take(group), so_far, last, false).await?;
        }
        let Some(view) = self.reusable(context, draft).await? else { return Ok(false) };
        if !atomic && !group.rows.is_empty() {
            self.commit_rows(context, std::mem::take(group), so_far, last, false).await?;
        }
        so_far.links.push(view.link.id);
        Ok(true)
    }

    async fn prepare_row(
        &self,
        context: &Context,
        number: usize,
        row: Result<Draft, Invalid>,
        siblings: &Arc<Siblings>,
    ) -> Result<BulkRow, Error> {
        let draft = row?;
        if draft.names != Names::default() {
            // The Change of a group has no place for new tags, and no API offers names in a bulk.
            return Err(Invalid::new("tags", "must be ids in a bulk creation").into());
        }
        let hash = self.hash(context, draft.password.clone()).await?;
        let (domain, code) = (draft.domain.clone(), draft.code.clone());
        let prepared = self.shared.prepare(context, draft, hash)?;
        self.shared.check_sources(&prepared.options, None)?;
        let prepared = self.check(context, prepared, siblings).await?;
        Ok(BulkRow { number, domain, code, prepared, collided: 0 })
    }

    /// Returns how far an earlier request under the same claim came before a crash, if there was one.
    async fn resume(&self, context: &Context) -> Result<Option<StoredBulk>, Error> {
        let Some(claim) = context.claim else { return Ok(None) };
        let found = self
            .blocking(move |shared| Ok(shared.table.get::<OutcomeRecord>(&keys::outcome(&claim.scope))?))
            .await?;
        // Another body is another request, whose progress must not be continued.
        let mine = |found: &Found<OutcomeRecord>| {
            found.record.body == claim.body && !is_over(&found.record, context.now)
        };
        Ok(found.filter(mine).and_then(|found| match found.record.outcome {
            StoredOutcome::Bulk(bulk) => Some(bulk),
            _ => None,
        }))
    }

    /// Commits a group of rows, all before row `last`, in one Change and one hold of the exclusive lock. A
    /// row fails if another write has taken its code, if it now leads back to itself, or if the workspace has
    /// no credit for it. The other rows are then tried again without it. If the bulk is atomic, such a row
    /// fails all.
    async fn commit_rows(
        &self,
        context: &Context,
        group: RowGroup,
        so_far: &mut StoredBulk,
        last: u32,
        atomic: bool,
    ) -> Result<(), Error> {
        let RowGroup { rows: mut waiting, checked_at, .. } = group;
        let waiting = &mut waiting;
        // An attempt that fails for a row removes the row, so each row may cost one attempt more.
        for _ in 0..ATTEMPTS + waiting.len() {
            self.choose_domains(context, waiting, so_far, atomic)?;
            let mut codes = self.pick_codes(waiting, so_far, atomic)?;
            // Acquired before the exclusive lock: see `Shared::credit_locks`.
            let credit_guard = self.credit_guard(context.workspace.number).await?;
            let paid = credit_guard.affords(waiting.len());
            if atomic && paid < waiting.len() {
                return Err(Error::NoCredits);
            }
            codes.truncate(paid);
            let mut after = so_far.clone();
            // Rows that failed their check since the last Change are done too: a repetition skips them.
            after.done = last;
            for row in &waiting[paid..] {
                let code = row.prepared.code.as_ref().map(|code| code.as_str().into());
                record_failure(&mut after, row.number, code, Error::NoCredits)?;
            }
            // With a claim, the failures are stored even if no row creates a link.
            if codes.is_empty() && context.claim.is_none() {
                *so_far = after;
                return Ok(());
            }
            let commit = async {
                // Only exclusive writes add to a chain: without one, the check before the lock is still
                // valid.
                if checked_at != self.shared.exclusive.generation()
                    && let Some(row) = self.shared.leading_back(context.workspace.number, waiting).await?
                {
                    return Ok(Err(row));
                }
                let build = |next_id: &mut dyn FnMut() -> Id| {
                    let mut effect = new_links(context, waiting, &codes, next_id, &mut after.links);
                    credit_guard.pay(&mut effect, paid);
                    remember(&mut effect, context, so_far.done, &after);
                    effect
                };
                self.commit_new(context, build).await.map(Ok)
            };
            let workspace = context.workspace.number;
            // Evaluated again under the lock: a domain that was added since may make a row lead here.
            let leads_here =
                || waiting.iter().any(|row| self.shared.leads_here(workspace, &row.prepared.options));
            match self.shared.exclusive.hold_if(&context.tenant, leads_here, commit).await {
                Ok(Ok(Committed::Done)) => {
                    *so_far = after;
                    return Ok(());
                }
                Ok(Ok(Committed::Conflict(key))) => code_conflict(waiting, &codes, so_far, &key, atomic)?,
                Ok(Err((at, error))) => {
                    let BulkRow { number, prepared, .. } = waiting.remove(at);
                    if atomic {
                        return Err(in_row(number, error));
                    }
                    record_failure(so_far, number, prepared.code.map(|code| code.as_str().into()), error)?;
                }
                // Only an atomic bulk can be too large: the groups of others end at half the limit.
                Err(Error::Log(CommitError::TooLarge { .. })) if atomic => {
                    return Err(Invalid::new(
                        "atomic",
                        "rows of more than 1 MB together cannot be all or nothing",
                    )
                    .into());
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy)
    }

    /// Chooses the domain of each waiting row again, since the domain may have changed: its revision is a
    /// precondition of the Change, and its case rule decides the key. Rows without a domain fail here.
    fn choose_domains(
        &self,
        context: &Context,
        waiting: &mut Vec<BulkRow>,
        so_far: &mut StoredBulk,
        atomic: bool,
    ) -> Result<(), Error> {
        let mut at = 0;
        while let Some(row) = waiting.get_mut(at) {
            match self.shared.choose_domain(context, &row.domain) {
                Ok(domain) => {
                    let (code, typed) = domain.record.key_and_typed(row.code.clone());
                    (row.prepared.code, row.prepared.typed_code) = (code, typed);
                    row.prepared.domain = domain;
                    at += 1;
                }
                Err(error) if atomic => return Err(in_row(row.number, error)),
                Err(error) => {
                    let BulkRow { number, code, .. } = waiting.remove(at);
                    record_failure(so_far, number, code.map(|code| code.as_str().into()), error)?;
                }
            }
        }
        Ok(())
    }

    /// Returns a code for each waiting row. Rows with the code of an earlier row fail here.
    fn pick_codes(
        &self,
        waiting: &mut Vec<BulkRow>,
        so_far: &mut StoredBulk,
        atomic: bool,
    ) -> Result<Vec<ShortCode>, Error> {
        let mut seen = HashSet::new();
        let mut codes = Vec::with_capacity(waiting.len());
        let mut at = 0;
        // A row whose generated code repeats stays at `at` and gets another one.
        while let Some(row) = waiting.get(at) {
            let code = row.prepared.code(&self.shared, row.collided);
            if seen.insert((row.prepared.domain.record.number, code.clone())) {
                codes.push(code);
                at += 1;
            } else if row.prepared.code.is_some() {
                let row = waiting.remove(at);
                let error = Error::CodeTaken { code: code.as_str().into() };
                if atomic {
                    return Err(in_row(row.number, error));
                }
                record_failure(so_far, row.number, Some(code.as_str().into()), error)?;
            }
        }
        Ok(codes)
    }
}

impl Shared {
    /// Repeats the check for loops for rows that were checked before the lock, in their order. Returns the
    /// first row that leads back to itself, with its error.
    async fn leading_back(
        &self,
        workspace: WorkspaceNumber,
        rows: &[BulkRow],
    ) -> Result<Option<(usize, Error)>, Error> {
        let mut siblings = Siblings::default();
        for (at, BulkRow { prepared, .. }) in rows.iter().enumerate() {
            let domain = prepared.domain.record.number;
            let own = (workspace, &prepared.options);
            match self.check_loop(domain, prepared.code.as_ref(), own, &siblings) {
                Ok(()) => {}
                Err(error @ Error::Rule(_)) => return Ok(Some((at, error))),
                Err(error) => return Err(error),
            }
            if let Some(code) = &prepared.code {
                siblings.add(domain, code.clone(), self.edges(workspace, &prepared.options));
            }
            // The lock is kept, but other tasks of this thread get their turn.
            if at % ROWS_PER_YIELD == ROWS_PER_YIELD - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(None)
    }
}

/// Returns the effect that creates the links of these rows, and adds their ids to `ids`.
fn new_links(
    context: &Context,
    rows: &[BulkRow],
    codes: &[ShortCode],
    next_id: &mut dyn FnMut() -> Id,
    ids: &mut Vec<Id>,
) -> Effect {
    let mut effect = Effect::default();
    for (row, code) in rows.iter().zip(codes) {
        let link: Link = row.prepared.link(context, next_id(), code.clone());
        row.prepared.add(&mut effect, &link);
        ids.push(link.id);
    }
    effect
}

/// Stores how many rows are done, for a repeated request.
fn remember(effect: &mut Effect, context: &Context, done: u32, after: &StoredBulk) {
    let outcome = || StoredOutcome::Bulk(after.clone());
    match (context.claim, done) {
        // Later Changes of the same bulk replace what its first Change stored.
        (Some(claim), 1..) => {
            let record = OutcomeRecord { body: claim.body, at: context.now, outcome: outcome() };
            effect.put(keys::outcome(&claim.scope), record.encode());
        }
        _ => effect.store_outcome(context.claim, context.now, outcome),
    }
}

/// Handles a conflict on `key`. If it is the code of a row, the row gets another generated code, or fails if
/// the code was given.
fn code_conflict(
    waiting: &mut Vec<BulkRow>,
    codes: &[ShortCode],
    so_far: &mut StoredBulk,
    key: &[u8],
    atomic: bool,
) -> Result<(), Error> {
    let mut rows = waiting.iter().zip(codes);
    let taken = keys::parse_address(key);
    let at = rows.position(|(row, code)| taken == Some((row.prepared.domain.record.number, code.as_str())));
    // Another record has changed, such as the credits. The next attempt reads it again.
    let Some(at) = at else { return Ok(()) };
    if waiting[at].prepared.code.is_none() {
        // Counted, since repeated collisions make generated codes longer.
        waiting[at].collided += 1;
        return Ok(());
    }
    let row = waiting.remove(at);
    let code: Box<str> = codes[at].as_str().into();
    let error = Error::CodeTaken { code: code.clone() };
    if atomic {
        Err(in_row(row.number, error))
    } else {
        record_failure(so_far, row.number, Some(code), error)
    }
}

/// Records the failure of a row. Errors that are not the row's own fail the request.
fn record_failure(
    so_far: &mut StoredBulk,
    number: usize,
    code: Option<Box<str>>,
    error: Error,
) -> Result<(), Error> {
    let reason = match &error {
        // Not the fault of the row: the whole request may be repeated.
        Error::NotReady(_) | Error::Table(_) | Error::Log(_) | Error::Busy | Error::Unauthorized => {
            return Err(error);
        }
        // All variants are named, so that a new one does not compile before its row is decided.
        Error::Rule(_)
        | Error::NotFound(_)
        | Error::AlreadyDeleted(_)
        | Error::Changed
        | Error::Gone(_)
        | Error::UnknownCompany
        | Error::FormerCodeTaken { .. }
        | Error::Taken { .. }
        | Error::Forbidden(_)
        | Error::NoCredits => error.to_string(),
        // With the field, as all rules have it. An earlier version stored it without.
        Error::CodeTaken { code } => format!("shortCode: {code:?} is already in use on this domain"),
    };
    so_far.failed.push((u32::try_from(number).expect("at most 1,000 rows"), code, reason.into()));
    Ok(())
}

/// Adds the row's number to an error that fails the whole request.
fn in_row(number: usize, error: Error) -> Error {
    match error {
        Error::Rule(invalid) => {
            Error::Rule(Invalid::new("links", format!("row {number}: {invalid}; nothing was created")))
        }
        other => other,
    }
}
