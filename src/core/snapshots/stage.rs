//! Staging: a snapshot's links into the workspace, some hundred per Change, hidden; then the last
//! Change, which makes them visible and uses a one-time share up.
//!
//! Staged links hold their codes like any others: who asks for one of them meanwhile is told that
//! it is taken. Each Change waits until the table has it, so that the log never runs ahead and
//! other writers and readers get their turns in between.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::import::{Job, used_up};
use crate::core::commit::{ATTEMPTS, Committed, Effect, chance};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::links::loops::routes::Siblings;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::core::tenants::directory::Versioned;
use crate::log::CommitError;
use crate::model::Invalid;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::{ForeignId, Id};
use crate::model::key::Reach;
use crate::model::link::{DomainChoice, Link, Options};
use crate::model::short_code::ShortCode;
use crate::model::snapshot::{ImportStatus, OnConflict, ShareKind, Snapshot, SnapshotKind};
use crate::model::tag::Tag;
use crate::model::workspace::WorkspaceNumber;
use crate::table::keys;
use crate::table::record::{Chunk, FrozenLink, Staged, Stored, TagName};

/// Links of one Change: what other writers' creates wait behind, and the table's one thread with
/// them, for some milliseconds. Fewer, and an import would be mostly fsyncs.
const LINKS_PER_CHANGE: usize = 250;

/// How long an import rests after each Change, as a part of the time that it took: on a machine of
/// two cores, staging without pause makes redirects wait for a core.
const REST: f64 = 0.5;

/// How often some links are tried again when others took one of their codes meanwhile: more than
/// [`ATTEMPTS`], since hundreds of codes meet other writers more often than one does.
const STAGE_ATTEMPTS: usize = 64;

/// Last number that is tried behind a taken code, as in `sale-2`. Then a code is drawn.
const RENAMED_LAST: u32 = 9;

/// A link as it will be.
struct StagedRow {
    domain: Versioned<Domain>,
    code: ShortCode,
    options: Options,
}

/// What becomes of some of the snapshot's links.
#[derive(Default)]
struct StagePlan {
    rows: Vec<StagedRow>,
    skipped: u64,
    renamed: u64,
}

/// The snapshot's tags in the workspace: those of the same name, and new ones, which are made with
/// the last Change.
#[derive(Default)]
struct TagMapping {
    /// By their place in the snapshot.
    ids: Vec<Id>,
    new: Vec<Tag>,
}

/// What a last Change came to.
enum StageResult {
    Completed,
    /// Others made a tag of the same name meanwhile, which the links are to have instead.
    TagMade,
}

impl Snapshots {
    /// Does all of it; anew when others make one of its tags before its end.
    pub(super) async fn stage(&self, job: &mut Job) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            if let StageResult::Completed = self.stage_all(job).await? {
                return Ok(());
            }
            self.unstage(job.import.workspace, job.import.id, job.lease.revision).await?;
            (job.import.made, job.import.skipped, job.import.renamed) = (0, 0, 0);
            job.progress.store(0, Ordering::Relaxed);
        }
        Err(Error::Busy)
    }

    async fn stage_all(&self, job: &mut Job) -> Result<StageResult, Error> {
        let there = self.tenants().tags(&job.context).await?;
        let known: HashMap<Box<str>, Id> = there.into_iter().map(|tag| (tag.name, tag.id)).collect();
        let mut tags = TagMapping::default();
        // Until the Change that completes the import creates them.
        let mut creating = None;
        for number in 0..job.snapshot.record.chunks {
            let chunk = self.record::<Chunk>(keys::chunk(job.import.frozen, number)).await?;
            match chunk.ok_or(Error::NotFound("snapshot"))?.record {
                Chunk::Tags(list) => {
                    for (name, color) in list {
                        tags.add(&self.shared, &job.context, &known, name, color);
                    }
                    // Not beside itself: it would count twice.
                    drop(creating.take());
                    let (workspace, new) = (job.import.workspace, tags.new.len());
                    creating = Some(self.blocking(move |shared| shared.announce_tags(workspace, new)).await?);
                }
                Chunk::Links(mut links) => {
                    let is_foreign = job.snapshot.record.company != job.import.company;
                    for link in &mut links {
                        if is_foreign {
                            // Another company's receivers are not to hear of this one's visitors.
                            link.options.webhook_urls.clear();
                        }
                        let place = |id: &Id| tags.ids.get(usize::try_from(id.bits()).ok()?).copied();
                        link.options.tags = link.options.tags.iter().filter_map(place).collect();
                    }
                    let mut links = links.into_iter();
                    loop {
                        let some: Vec<_> = links.by_ref().take(LINKS_PER_CHANGE).collect();
                        if some.is_empty() {
                            break;
                        }
                        let begun = Instant::now();
                        self.stage_some(job, some).await?;
                        tokio::time::sleep(begun.elapsed().mul_f64(REST)).await;
                    }
                }
            }
        }
        let ended = self.complete(job, tags.new).await;
        drop(creating);
        ended
    }

    async fn stage_some(&self, job: &mut Job, frozen: Vec<FrozenLink>) -> Result<(), Error> {
        let count = frozen.len() as u64;
        let frozen = Arc::new(frozen);
        let workspace = job.import.workspace;
        let leads_here = || frozen.iter().any(|link| self.shared.leads_here(workspace, &link.options));
        for _ in 0..STAGE_ATTEMPTS {
            self.renew(&mut job.lease).await?;
            let checked_at = self.shared.exclusive.generation();
            let plan = {
                let (context, on_conflict) = (job.context.clone(), job.on_conflict);
                let frozen = Arc::clone(&frozen);
                self.blocking(move |shared| shared.plan(&context, on_conflict, &frozen)).await?
            };
            let mark = keys::staging(job.import.workspace, job.import.id);
            let commit = async {
                if checked_at != self.shared.exclusive.generation() {
                    match self.shared.check_rows(workspace, &plan.rows) {
                        Ok(()) => {}
                        // Planned anew, which says what becomes of the link that leads back now.
                        Err(Error::Rule(_)) => return Ok(None),
                        Err(error) => return Err(error),
                    }
                }
                let build = |next_id: &mut dyn FnMut() -> Id| {
                    let mut effect = Effect::default();
                    effect.rely_on(mark.clone(), job.lease.revision);
                    for row in &plan.rows {
                        row.add(&mut effect, job, next_id());
                    }
                    effect
                };
                self.commit_new(&job.context, build).await.map(Some)
            };
            let Some(committed) =
                self.shared.exclusive.hold_if(&job.context.tenant, leads_here, commit).await?
            else {
                continue;
            };
            match committed {
                Committed::Done => {
                    job.import.made += plan.rows.len() as u64;
                    job.import.skipped += plan.skipped;
                    job.import.renamed += plan.renamed;
                    job.progress.fetch_add(count, Ordering::Relaxed);
                    return Ok(());
                }
                Committed::Conflict(key) if key == mark => return Err(Error::Busy),
                // Someone took one of the codes, or changed a domain: look again.
                Committed::Conflict(_) => {}
            }
        }
        Err(Error::Busy)
    }

    /// The last Change.
    async fn complete(&self, job: &mut Job, tags: Vec<Tag>) -> Result<StageResult, Error> {
        let mut import = job.import.clone();
        import.status = ImportStatus::Completed;
        import.finished_at = Some(self.shared.clock.now());
        let balance = keys::balance(import.workspace);
        let (share, snapshot) = (keys::share(import.share), keys::snapshot(&import.snapshot));
        let names: Vec<_> = tags.iter().map(|tag| keys::tag_name(tag.workspace, &tag.name)).collect();
        let listed = self.entry_for_importer(job).await?;
        for _ in 0..ATTEMPTS {
            let mut effect = Effect::default();
            effect.replace(keys::import(import.frozen, import.id), job.revision, import.encode());
            effect.remove(keys::staging(import.workspace, import.id), job.lease.revision);
            effect.rely_on(snapshot.clone(), job.snapshot.revision);
            if job.share.record.kind == ShareKind::Once {
                let mut used = job.share.record.clone();
                used.used_at = import.finished_at;
                effect.replace(share.clone(), job.share.revision, used.encode());
            }
            for tag in &tags {
                effect.create(keys::tag(tag.workspace, tag.id), tag.encode());
                effect.create(keys::tag_name(tag.workspace, &tag.name), TagName(tag.id).encode());
            }
            if let Some(listed) = &listed {
                effect.create(keys::snapshot(&listed.id), listed.encode());
            }
            let made = usize::try_from(import.made).unwrap_or(usize::MAX);
            let credit_guard = self.credit_guard(import.workspace).await?;
            if credit_guard.affords(made) < made {
                return Err(Error::NoCredits);
            }
            credit_guard.pay(&mut effect, made);
            match self.commit(&job.context, effect).await {
                Ok(Committed::Done) => {
                    job.import = import;
                    return Ok(StageResult::Completed);
                }
                Ok(Committed::Conflict(key)) if names.contains(&key) => return Ok(StageResult::TagMade),
                Ok(Committed::Conflict(key)) if key == share => return Err(used_up()),
                Ok(Committed::Conflict(key)) if key == snapshot => return Err(Error::NotFound("snapshot")),
                Ok(Committed::Conflict(key)) if key == balance => {}
                // The mark is gone.
                Ok(Committed::Conflict(_)) => return Err(Error::Busy),
                Err(Error::Log(CommitError::TooLarge { .. })) => {
                    let why = "brings more tags than can be made at once; make some of them first";
                    return Err(Invalid::new("tags", why).into());
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy)
    }

    /// What a company that imports another's snapshot sees of it in its own list: once, and without
    /// content.
    async fn entry_for_importer(&self, job: &Job) -> Result<Option<Snapshot>, Error> {
        let source = &job.snapshot.record;
        if source.company == job.import.company {
            return Ok(None);
        }
        let company = &job.import.company;
        let reach = Reach::Company(company.clone());
        let read = move |shared: &Shared, cancel: &Cancel| shared.snapshots_within(&reach, cancel);
        let all = self.resume_scanning(&job.context.tenant, read).await?;
        if all.iter().any(|other| other.frozen == source.frozen && other.company == *company) {
            return Ok(None);
        }
        let id = self.shared.ids.lock().next(job.context.now, chance());
        Ok(Some(Snapshot {
            id: ForeignId::from(id),
            company: company.clone(),
            workspace: job.import.workspace,
            kind: SnapshotKind::Imported,
            chunks: 0,
            created_at: job.context.now,
            ..source.clone()
        }))
    }
}

impl TagMapping {
    fn add(
        &mut self,
        shared: &Shared,
        context: &Context,
        known: &HashMap<Box<str>, Id>,
        name: Box<str>,
        color: Box<str>,
    ) {
        if let Some(id) = known.get(&name) {
            self.ids.push(*id);
            return;
        }
        let id = shared.ids.lock().next(context.now, chance());
        self.ids.push(id);
        self.new.push(Tag { id, workspace: context.workspace.number, name, color, created_at: context.now });
    }
}

impl StagedRow {
    fn add(&self, effect: &mut Effect, job: &Job, id: Id) {
        let domain = &self.domain.record;
        let key = keys::domain(domain.number);
        if !effect.preconditions.iter().take(8).any(|expect| expect.key == key) {
            effect
                .preconditions
                .insert(0, crate::log::Precondition { key, revision: Some(self.domain.revision) });
        }
        let link = Link {
            id,
            workspace: job.import.workspace,
            domain: domain.number,
            code: self.code.clone(),
            created_at: job.context.now,
            updated_at: job.context.now,
            created_by: job.context.key.map(|key| key.id),
            options: self.options.clone(),
        };
        effect.create(keys::link(domain.number, self.code.as_str()), Staged::encode(&link, job.import.id));
    }
}

impl Shared {
    /// Decides where each link goes and under which code.
    fn plan(
        &self,
        context: &Context,
        on_conflict: OnConflict,
        frozen: &[FrozenLink],
    ) -> Result<StagePlan, Error> {
        let mut plan = StagePlan::default();
        let mut domains: HashMap<Option<Box<str>>, Versioned<Domain>> = HashMap::new();
        let mut seen = HashSet::new();
        let mut siblings = Siblings::default();
        let workspace = context.workspace.number;
        for link in frozen {
            let domain = match domains.get(&link.domain) {
                Some(domain) => domain.clone(),
                None => self.domain_for(context, link.domain.as_deref())?,
            };
            domains.entry(link.domain.clone()).or_insert_with(|| domain.clone());
            let number = domain.record.number;
            let mut code = domain.record.key_of(link.code.clone());
            if self.is_taken(&seen, &domain, &code)? {
                match on_conflict {
                    OnConflict::Fail => return Err(Error::CodeTaken { code: code.as_str().into() }),
                    OnConflict::Skip => {
                        plan.skipped += 1;
                        continue;
                    }
                    OnConflict::Rename => {
                        code = self.renamed(&seen, &domain, &code)?;
                        plan.renamed += 1;
                    }
                }
            }
            match self.check_frozen(number, &code, (workspace, &link.options), &mut siblings) {
                Ok(()) => {}
                Err(Error::Rule(_)) if on_conflict == OnConflict::Skip => {
                    plan.skipped += 1;
                    continue;
                }
                Err(Error::Rule(invalid)) => {
                    // One of thousands: its short code says which.
                    let why = format!("of {:?} {}", code.as_str(), invalid.why);
                    return Err(Invalid::new(invalid.field, why).into());
                }
                Err(error) => return Err(error),
            }
            seen.insert((number, code.clone()));
            plan.rows.push(StagedRow { domain, code, options: link.options.clone() });
        }
        Ok(plan)
    }

    /// Repeats the check for loops of planned links, in their order.
    fn check_rows(&self, workspace: WorkspaceNumber, rows: &[StagedRow]) -> Result<(), Error> {
        let mut siblings = Siblings::default();
        for row in rows.iter().filter(|row| self.leads_here(workspace, &row.options)) {
            let number = row.domain.record.number;
            self.check_loop(number, Some(&row.code), (workspace, &row.options), &siblings)?;
            siblings.add(number, row.code.clone(), self.edges(workspace, &row.options));
        }
        Ok(())
    }

    /// Rejects a link whose password no check may be made against, and one that leads back to itself.
    /// An older version took hashes of any price into its snapshots.
    fn check_frozen(
        &self,
        domain: DomainNumber,
        code: &ShortCode,
        (workspace, options): (WorkspaceNumber, &Options),
        siblings: &mut Siblings,
    ) -> Result<(), Error> {
        if let Some(hash) = &options.password {
            hash.parts()?;
        }
        if self.leads_here(workspace, options) {
            self.check_loop(domain, Some(code), (workspace, options), siblings)?;
            siblings.add(domain, code.clone(), self.edges(workspace, options));
        }
        Ok(())
    }

    /// The domain of the same name if the workspace may use it, else its default domain, where links
    /// of a default domain go in any case.
    fn domain_for(&self, context: &Context, name: Option<&str>) -> Result<Versioned<Domain>, Error> {
        let choice = name.map_or(DomainChoice::Default, |name| DomainChoice::Name(name.into()));
        match self.choose_domain(context, &choice) {
            Err(Error::Rule(_)) => self.choose_domain(context, &DomainChoice::Default),
            chosen => chosen,
        }
    }

    fn is_taken(&self, seen: &Seen, domain: &Versioned<Domain>, code: &ShortCode) -> Result<bool, Error> {
        let number = domain.record.number;
        Ok(seen.contains(&(number, code.clone()))
            || self.table.holds_key(&keys::link(number, code.as_str()))?)
    }

    fn renamed(&self, seen: &Seen, domain: &Versioned<Domain>, code: &ShortCode) -> Result<ShortCode, Error> {
        for number in 2..=RENAMED_LAST {
            // One that gets too long gets a code of ours.
            let Ok(other) = ShortCode::parse(&format!("{}-{number}", code.as_str())) else { break };
            let other = domain.record.key_of(other);
            if !self.is_taken(seen, domain, &other)? {
                return Ok(other);
            }
        }
        let mut collided = 0;
        loop {
            let generated = self.codes.next(collided, domain.record.case_sensitive);
            let generated = domain.record.key_of(generated);
            if !self.is_taken(seen, domain, &generated)? {
                return Ok(generated);
            }
            collided += 1;
        }
    }
}

/// Domains and codes of the same Change, which the table does not have yet.
type Seen = HashSet<(DomainNumber, ShortCode)>;
