//! Staging: writes a snapshot's links into the workspace, hidden and some hundred per Change. The last Change
//! makes them visible and uses up a one-time share.
//!
//! Staged links occupy their codes, so a request for one of these codes gets "already in use". Each Change
//! waits until the table has applied it. So the log does not run ahead of the table, and other writes and
//! reads run in between.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::import::{Job, used_up};
use crate::core::commit::{ATTEMPTS, Committed, Effect, chance};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::history::notes::AuditNote;
use crate::core::links::loops::routes::Siblings;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::core::tenants::caps::Creating;
use crate::core::tenants::directory::Versioned;
use crate::core::tenants::tag_names::{KnownTags, name_key};
use crate::log::CommitError;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::{ForeignId, Id};
use crate::model::key::Reach;
use crate::model::link::{DomainChoice, Link, Options};
use crate::model::short_code::ShortCode;
use crate::model::snapshot::{ImportStatus, OnConflict, ShareKind, Snapshot, SnapshotKind};
use crate::model::tag::Tag;
use crate::model::workspace::WorkspaceNumber;
use crate::model::{Invalid, text};
use crate::table::keys;
use crate::table::record::{Chunk, FrozenLink, Staged, Stored, TagName};

/// Links of one Change. Other writes, and the table's one thread, wait some milliseconds behind each Change.
/// With smaller Changes most of an import would be fsyncs.
const LINKS_PER_CHANGE: usize = 250;

/// Pause after each Change, as a part of the time that the Change took. On a machine with two cores, staging
/// without pauses makes redirects wait for a core.
const REST: f64 = 0.5;

/// Attempts for one Change when other writes take its codes. More than [`ATTEMPTS`], since hundreds of codes
/// conflict more often than one.
const STAGE_ATTEMPTS: usize = 64;

/// Last number that is appended to a code in use, as in `sale-2`. After that a code is generated.
const RENAMED_LAST: u32 = 9;

/// A link as it will be written.
struct StagedRow {
    domain: Versioned<Domain>,
    code: ShortCode,
    typed_code: Option<ShortCode>,
    options: Options,
}

/// The links of one Change, and how many were left out or renamed.
#[derive(Default)]
struct StagePlan {
    rows: Vec<StagedRow>,
    skipped: u64,
    renamed: u64,
}

/// The snapshot's tags in the workspace: existing tags of the same name, and new tags, which the last Change
/// creates.
#[derive(Default)]
struct TagMapping {
    /// By the tag's position in the snapshot.
    ids: Vec<Id>,
    new: Vec<Tag>,
}

/// The result of the last Change.
enum StageResult {
    Completed,
    /// Another request has created a tag of the same name, which the links must get instead.
    TagMade,
}

impl Snapshots {
    /// Stages the whole import. Starts again if another request creates one of its tags before the end.
    pub(super) async fn stage(&self, job: &mut Job) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            if let StageResult::Completed = self.stage_all(job).await? {
                return Ok(());
            }
            // The staged links name a tag that was not created, so they are removed and staged again.
            self.unstage(job.import.workspace, job.import.id, job.lease.revision).await?;
            (job.import.made, job.import.skipped, job.import.renamed) = (0, 0, 0);
            job.progress.store(0, Ordering::Relaxed);
        }
        Err(Error::Busy)
    }

    async fn stage_all(&self, job: &mut Job) -> Result<StageResult, Error> {
        let there = self.tenants().tags(&job.context).await?;
        let known = KnownTags::new(&there);
        let mut tags = TagMapping::default();
        // Announced until the Change that completes the import creates the tags.
        let mut creating = None;
        for number in 0..job.snapshot.record.chunks {
            // One chunk in memory, however large the snapshot is.
            let chunk = self.record::<Chunk>(keys::chunk(job.import.frozen, number)).await?;
            // A chunk is missing only if the snapshot was deleted.
            match chunk.ok_or(Error::NotFound("snapshot"))?.record {
                Chunk::Tags(list) => {
                    for (name, color) in list {
                        tags.add(&self.shared, &job.context, &known, name, color);
                    }
                    // Dropped first, since the new announcement includes these tags and would count them
                    // twice.
                    drop(creating.take());
                    let (workspace, new) = (job.import.workspace, tags.new.len());
                    creating = Some(self.blocking(move |shared| shared.announce_tags(workspace, new)).await?);
                }
                Chunk::Links(mut links) => {
                    let is_foreign = job.snapshot.record.company != job.import.company;
                    for link in &mut links {
                        if is_foreign {
                            // Receivers of another company must not get events about visitors of this one.
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
        // Kept through the last Change, which creates the tags.
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
            // Read before the checks of the plan, so that exclusive writes during them are noticed.
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
                        // The next plan decides about the link that leads back now.
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
                // The import was undone, so nothing more may be staged.
                Committed::Conflict(key) if key == mark => return Err(Error::Busy),
                // Another write took one of the codes or changed a domain: plan again.
                Committed::Conflict(_) => {}
            }
        }
        Err(Error::Busy)
    }

    /// Commits the last Change: the import's end, its new tags, and the use of a one-time share.
    async fn complete(&self, job: &mut Job, tags: Vec<Tag>) -> Result<StageResult, Error> {
        let mut import = job.import.clone();
        import.status = ImportStatus::Completed;
        import.finished_at = Some(self.shared.clock.now());
        let balance = keys::balance(import.workspace);
        let (share, snapshot) = (keys::share(import.share), keys::snapshot(&import.snapshot));
        let names: Vec<_> = tags.iter().map(|tag| name_key(tag.workspace, &tag.name)).collect();
        // Announced until the entry is visible.
        let (listed, _creating) = self.entry_for_importer(job).await?.unzip();
        for _ in 0..ATTEMPTS {
            let mut effect = Effect::default();
            effect.replace(keys::import(import.frozen, import.id), job.revision, import.encode());
            effect.remove(keys::staging(import.workspace, import.id), job.lease.revision);
            let (kind, of) = (SubjectKind::Snapshot, &job.snapshot.record);
            let note = AuditNote::of(import.workspace, AuditAct::Import, kind, &of.id, Some(&of.name));
            effect.note(note);
            // An import fails if its snapshot is deleted before the end.
            effect.rely_on(snapshot.clone(), job.snapshot.revision);
            // Of two imports of a one-time share, one wins here (docs/decisions.md A27).
            if job.share.record.kind == ShareKind::Once {
                let mut used = job.share.record.clone();
                used.used_at = import.finished_at;
                effect.replace(share.clone(), job.share.revision, used.encode());
            }
            for tag in &tags {
                effect.create(keys::tag(tag.workspace, tag.id), tag.encode());
                effect.create(name_key(tag.workspace, &tag.name), TagName(tag.id).encode());
            }
            if let Some(listed) = &listed {
                effect.create(keys::snapshot(&listed.id), listed.encode());
            }
            let made = usize::try_from(import.made).unwrap_or(usize::MAX);
            // Paid in the last Change: a hidden link costs nothing.
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
                // Only the credits have changed: the next attempt reads them again.
                Ok(Committed::Conflict(key)) if key == balance => {}
                // The mark was removed: the import was undone.
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

    /// Returns the entry that another company's snapshot gets in the importing company's list: one for each
    /// snapshot, without content. Returns `None` if the entry exists or is not needed.
    async fn entry_for_importer(&self, job: &Job) -> Result<Option<(Snapshot, Creating)>, Error> {
        let Some(creating) = self.announce_entry(&job.context, &job.snapshot.record).await? else {
            return Ok(None);
        };
        let id = self.shared.ids.lock().next(job.context.now, chance());
        let listed = Snapshot {
            id: ForeignId::from(id),
            company: job.import.company.clone(),
            workspace: job.import.workspace,
            kind: SnapshotKind::Imported,
            chunks: 0,
            created_at: job.context.now,
            ..job.snapshot.record.clone()
        };
        Ok(Some((listed, creating)))
    }

    /// Announces the entry of a snapshot in the importing company's list. Returns `None` if the entry exists
    /// or is not needed. Fails with [`Error::Forbidden`] if the workspace has too many snapshots.
    pub(super) async fn announce_entry(
        &self,
        context: &Context,
        source: &Snapshot,
    ) -> Result<Option<Creating>, Error> {
        let (company, number) = (context.workspace.company.clone(), context.workspace.number);
        if source.company == company {
            return Ok(None);
        }
        let frozen = source.frozen;
        let announce = move |shared: &Shared, cancel: &Cancel| {
            let reach = Reach::Company(company);
            // One workspace at a time, so that the memory does not grow with the company.
            for versioned in shared.directory.load().workspaces(&reach).take_while(|_| !cancel.is_set()) {
                let some = shared.table.snapshots_of(versioned.record.number)?;
                if some.iter().any(|other| other.frozen == frozen) {
                    return Ok(None);
                }
            }
            shared.announce_snapshot(number).map(Some)
        };
        self.resume_scanning(&context.tenant, announce).await
    }
}

impl TagMapping {
    fn add(
        &mut self,
        shared: &Shared,
        context: &Context,
        known: &KnownTags,
        name: Box<str>,
        color: Box<str>,
    ) {
        // A snapshot of an earlier version may have two spellings of one name.
        let new = || {
            self.new
                .iter()
                .find(|tag| text::folded_name(&tag.name) == text::folded_name(&name))
                .map(|tag| tag.id)
        };
        if let Some(id) = known.get(&name).or_else(new) {
            self.ids.push(id);
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
        effect.rely_on_once(keys::domain(domain.number), self.domain.revision);
        let link = Link {
            id,
            workspace: job.import.workspace,
            domain: domain.number,
            code: self.code.clone(),
            typed_code: self.typed_code.clone(),
            aliases: Vec::new(),
            created_at: job.context.now,
            updated_at: job.context.now,
            created_by: job.context.key.map(|key| key.id),
            options: self.options.clone(),
        };
        effect.create_link(domain.number, self.code.as_str(), Staged::encode(&link, job.import.id));
    }
}

impl Shared {
    /// Decides on which domain and under which code each link is written.
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
            // The links of one Change share few domains, so each domain is chosen once.
            let domain = match domains.get(&link.domain) {
                Some(domain) => domain.clone(),
                None => self.domain_for(context, link.domain.as_deref())?,
            };
            domains.entry(link.domain.clone()).or_insert_with(|| domain.clone());
            let number = domain.record.number;
            let typed = link.typed_code.as_ref().unwrap_or(&link.code).respelled();
            let mut code = domain.record.key_of(typed.clone());
            let mut typed_code = (typed != code).then_some(typed);
            if self.is_taken(&seen, &domain, &code)? {
                match on_conflict {
                    OnConflict::Fail => return Err(Error::CodeTaken { code: code.as_str().into() }),
                    OnConflict::Skip => {
                        plan.skipped += 1;
                        continue;
                    }
                    OnConflict::Rename => {
                        code = self.renamed(&seen, &domain, &code)?;
                        typed_code = None;
                        plan.renamed += 1;
                    }
                }
            }
            match self.check_frozen(number, &code, (workspace, &link.options), &mut siblings) {
                Ok(()) => {}
                // `Skip` also leaves out links that break a rule.
                Err(Error::Rule(_)) if on_conflict == OnConflict::Skip => {
                    plan.skipped += 1;
                    continue;
                }
                Err(Error::Rule(invalid)) => {
                    // The message names the link by its code, since an import has thousands.
                    let why = format!("of {:?} {}", code.as_str(), invalid.why);
                    return Err(Invalid::new(invalid.field, why).into());
                }
                Err(error) => return Err(error),
            }
            // Only here: a link that is left out occupies no code.
            seen.insert((number, code.clone()));
            plan.rows.push(StagedRow { domain, code, typed_code, options: link.options.clone() });
        }
        Ok(plan)
    }

    /// Repeats the check for loops of planned links, in their order.
    fn check_rows(&self, workspace: WorkspaceNumber, rows: &[StagedRow]) -> Result<(), Error> {
        let mut siblings = Siblings::default();
        // Links that lead elsewhere are part of no chain.
        for row in rows.iter().filter(|row| self.leads_here(workspace, &row.options)) {
            let number = row.domain.record.number;
            self.check_loop(number, Some(&row.code), (workspace, &row.options), &siblings)?;
            siblings.add(number, row.code.clone(), self.edges(workspace, &row.options));
        }
        Ok(())
    }

    /// Rejects a link whose password hash is beyond the bounds, a link to a denied host, and a link that leads back to
    /// itself. An older version took hashes of any cost into its snapshots.
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
        self.check_denied(workspace, options, None)?;
        if self.leads_here(workspace, options) {
            self.check_loop(domain, Some(code), (workspace, options), siblings)?;
            siblings.add(domain, code.clone(), self.edges(workspace, options));
        }
        Ok(())
    }

    /// Returns the domain of the same name if the workspace may use it, else the workspace's default domain.
    /// Links of the source's default domain always go to the default domain.
    fn domain_for(&self, context: &Context, name: Option<&str>) -> Result<Versioned<Domain>, Error> {
        let choice = name.map_or(DomainChoice::Default, |name| DomainChoice::Name(name.into()));
        match self.choose_domain(context, &choice) {
            Err(Error::Rule(_)) => self.choose_domain(context, &DomainChoice::Default),
            chosen => chosen,
        }
    }

    fn is_taken(&self, seen: &Seen, domain: &Versioned<Domain>, code: &ShortCode) -> Result<bool, Error> {
        let number = domain.record.number;
        // A hidden link of another import holds its key as well.
        Ok(seen.contains(&(number, code.clone())) || self.table.is_taken(number, code.as_str())?)
    }

    fn renamed(&self, seen: &Seen, domain: &Versioned<Domain>, code: &ShortCode) -> Result<ShortCode, Error> {
        // The original counts as number 1.
        for number in 2..=RENAMED_LAST {
            // A code that becomes too long gets a generated one instead.
            let Ok(other) = ShortCode::parse(&format!("{}-{number}", code.as_str())) else { break };
            let other = domain.record.key_of(other);
            if !self.is_taken(seen, domain, &other)? {
                return Ok(other);
            }
        }
        let mut collided = 0;
        // Codes grow with the collisions, so this ends.
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

/// Domains and codes of the same Change, which are not in the table yet.
type Seen = HashSet<(DomainNumber, ShortCode)>;
