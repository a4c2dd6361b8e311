//! Many links from a file, straight into the log: Changes of half a megabyte, the next made while the
//! last becomes durable, and both while the table follows at its own pace. Memory is bounded,
//! however long the file: by what the log lets its table lag behind, by [`RECENT_MAX`] and by
//! [`LEADING_HERE_MAX`]. For a store that nobody else writes to.

use std::collections::{HashMap, HashSet};

use super::create::Prepared;
use super::loops::routes::Siblings;
use crate::cache::Lookup;
use crate::clock::Timestamp;
use crate::core::commit::{Effect, chance};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::{Core, Links};
use crate::log::key_hash::{KeyHash, KeyHasher};
use crate::log::{Pending, Position, Proposal};
use crate::model::Invalid;
use crate::model::campaign::{CampaignDraft, CampaignRef};
use crate::model::id::{ForeignId, Id};
use crate::model::link::{Draft, Edit, Link, PasswordHash};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::table::{Table, keys};

/// Bytes of records after which a Change is handed in: half of what one may hold, so that what
/// surrounds the records, and the last of them, fit as well.
const CHANGE_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 2;

/// Keys remembered for want of a table that has them, 17 bytes each and as many once more. Past it
/// the import waits until the table has the older half, which it has in time as long as this is half
/// of what the log lets it lag behind. A check that writes nothing remembers all.
const RECENT_MAX: usize = 400_000;

/// Links of ours that lead to others of ours, remembered likewise with where they lead: a few MB, and of
/// the longest addresses 80. Past it the import waits until the table has them.
const LEADING_HERE_MAX: usize = 10_000;

/// What a record takes in a Change beside key and value, at most.
const PUT_BYTES: usize = 64;

/// A link from elsewhere, with what it brings along.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The link.
    pub draft: Draft,
    /// Its id, kept if nobody has it.
    pub id: Option<Id>,
    /// When it was made, if it says.
    pub created_at: Option<Timestamp>,
    /// When it was last changed, if it says.
    pub updated_at: Option<Timestamp>,
    /// Its clicks so far.
    pub clicks: u64,
    /// Its password's hash.
    pub hash: Option<PasswordHash>,
}

/// What becomes of a line whose short code is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// The import ends there; what went before it stays.
    Fail,
    /// The line is left out.
    Skip,
}

/// Keys that the table may lack, in two halves: when the younger is full, the older goes.
struct Recent {
    hasher: KeyHasher,
    younger: HashSet<KeyHash>,
    older: HashSet<KeyHash>,
    /// The table that has come so far has the older ones.
    older_at: Position,
}

impl Recent {
    fn new() -> Recent {
        let (younger, older) = (HashSet::new(), HashSet::new());
        Recent { hasher: KeyHasher::new(), younger, older, older_at: Position::START }
    }

    fn has(&self, key: &[u8]) -> bool {
        let hash = self.hasher.hash(key);
        self.younger.contains(&hash) || self.older.contains(&hash)
    }

    fn add(&mut self, key: &[u8]) {
        self.younger.insert(self.hasher.hash(key));
    }

    /// Forgets the older ones, once the table has them; all there are now are in the log up to
    /// `position`.
    async fn turn(&mut self, table: &Table, position: Position) -> Result<(), Error> {
        if self.younger.len() >= RECENT_MAX {
            reach(table, self.older_at).await?;
            self.older = std::mem::take(&mut self.younger);
            self.older_at = position;
        }
        Ok(())
    }
}

/// Returns when the table has everything up to `position`, with an error when it stands still.
async fn reach(table: &Table, position: Position) -> Result<(), Error> {
    let mut applied = table.status().applied;
    while !table.wait(position).await {
        let now = table.status().applied;
        if now == applied {
            let why = "the table does not take in what the log has (a full disk?); nothing that was \
                       made is lost, and the next start takes it in";
            return Err(Error::NotReady(why.to_owned()));
        }
        applied = now;
    }
    Ok(())
}

/// An import under way.
pub struct Import<'a> {
    links: &'a Links,
    on_conflict: OnConflict,
    /// Nothing is written; every line is checked.
    dry_run: bool,
    /// Tags by workspace and name.
    tags: HashMap<WorkspaceNumber, HashMap<Box<str>, Id>>,
    /// Codes of this import that the table may not have yet, and ids.
    codes: Recent,
    ids: Recent,
    /// Links of this import that the table may not have yet and that lead to places of ours.
    leading_here: Siblings,
    effect: Effect,
    bytes: usize,
    /// Links in the effect.
    gathered: u64,
    /// The Change on its way, and how many links it makes.
    pending: Option<(Pending, u64)>,
    /// Links that the log has (or would have).
    made: u64,
    /// Lines left out.
    skipped: u64,
}

impl Core {
    /// Returns when the table has everything that the log has, with an error when it stands still:
    /// nothing in the log is lost then.
    pub async fn catch_up(&self) -> Result<(), Error> {
        reach(&self.shared.table, self.shared.log.position()).await
    }
}

impl Links {
    /// Begins an import.
    pub fn import(&self, on_conflict: OnConflict, dry_run: bool) -> Import<'_> {
        Import {
            links: self,
            on_conflict,
            dry_run,
            tags: HashMap::new(),
            codes: Recent::new(),
            ids: Recent::new(),
            leading_here: Siblings::default(),
            effect: Effect::default(),
            bytes: 0,
            gathered: 0,
            pending: None,
            made: 0,
            skipped: 0,
        }
    }
}

impl Import<'_> {
    /// Takes one link into the acting workspace. An error is about this link alone; what went
    /// before it is not lost.
    pub async fn add(&mut self, context: &Context, mut imported: Imported) -> Result<(), Error> {
        let hash = match imported.hash.take() {
            Some(hash) => Some(hash),
            None if self.dry_run => None,
            None => self.links.hash(context, imported.draft.password.take()).await?,
        };
        let names = std::mem::take(&mut imported.draft.names);
        let campaign = self.links.named_campaign(context.workspace.number, &names).await?;
        imported.draft.edits.extend(campaign);
        let tags = self.tag_ids(context, &names.tags.unwrap_or_default()).await?;
        if !tags.is_empty() {
            imported.draft.edits.push(Edit::Tags(tags));
        }
        let prepared = self.links.shared.prepare(context, imported.draft, hash)?;
        if let Some(id) = &prepared.options.campaign {
            self.ensure_campaign(context, id).await?;
        }
        let Some(code) = self.free_code(&prepared)? else {
            self.skipped += 1;
            return Ok(());
        };
        let workspace = context.workspace.number;
        if self.links.shared.leads_here(workspace, &prepared.options) {
            let domain = prepared.domain.record.number;
            if let Some(id) = imported.id {
                self.leading_here.name(id, domain, code.clone());
            }
            let own = (workspace, &prepared.options);
            self.links.shared.check_loop(domain, Some(&code), own, &self.leading_here)?;
            self.leading_here.add(
                domain,
                code.clone(),
                self.links.shared.edges(workspace, &prepared.options),
            );
        }
        if self.dry_run {
            self.made += 1;
            return Ok(());
        }
        let id = self.id(context, imported.id)?;
        let link = Link {
            created_at: imported.created_at.unwrap_or(context.now),
            updated_at: imported.updated_at.or(imported.created_at).unwrap_or(context.now),
            ..prepared.link(context, id, code)
        };
        self.gathered += 1;
        let before = self.effect.puts.len();
        prepared.add(&mut self.effect, &link);
        if imported.clicks > 0 {
            self.effect.puts.push(self.links.shared.put_total(id, imported.clicks));
        }
        self.bytes += self.effect.puts[before..].iter().map(|put| put.bytes() + PUT_BYTES).sum::<usize>();
        if self.bytes >= CHANGE_BYTES { self.hand_in().await } else { Ok(()) }
    }

    /// Writes what is left. Returns how many links were made, and how many lines left out, when the
    /// log has everything.
    pub async fn finish(mut self) -> Result<(u64, u64), Error> {
        self.hand_in().await?;
        self.settle().await?;
        Ok((self.made, self.skipped))
    }

    /// A Change behind one that failed is not written either: what the log has of a file is its
    /// beginning.
    async fn hand_in(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        let Effect { preconditions, puts } = std::mem::take(&mut self.effect);
        if puts.is_empty() {
            return Ok(());
        }
        self.settle().await?;
        let pending = self.links.shared.log.commit(Proposal { preconditions, puts, request: 0 });
        self.pending = Some((pending, gathered));
        if self.codes.younger.len().max(self.ids.younger.len()) >= RECENT_MAX {
            self.settle().await?;
            let (table, position) = (&self.links.shared.table, self.links.shared.log.position());
            self.codes.turn(table, position).await?;
            self.ids.turn(table, position).await?;
        }
        if self.leading_here.len() >= LEADING_HERE_MAX {
            self.settle().await?;
            self.links.catch_up().await?;
            self.leading_here.clear();
        }
        Ok(())
    }

    /// Waits until the Change on its way is durable. Nobody else writes, so an expectation that fails
    /// is our mistake, not a race.
    async fn settle(&mut self) -> Result<(), Error> {
        if let Some((pending, links)) = self.pending.take() {
            pending.await.map_err(Error::Log)?;
            self.made += links;
        }
        Ok(())
    }

    /// The code to use: the one asked for if it is free, a fresh one if none was; `None` to leave
    /// the line out.
    fn free_code(&mut self, prepared: &Prepared) -> Result<Option<ShortCode>, Error> {
        let shared = &self.links.shared;
        let domain = prepared.domain.record.number;
        let mut collided = 0;
        loop {
            let code = prepared.code(shared, collided);
            let key = keys::link(domain, code.as_str());
            let is_absent = || matches!(shared.cache.get(domain, code.as_str(), |_| ()), Lookup::Absent);
            let taken =
                self.codes.has(&key) || !is_absent() && shared.table.link(domain, code.as_str())?.is_some();
            if !taken {
                self.codes.add(&key);
                return Ok(Some(code));
            }
            if prepared.code.is_none() {
                collided += 1;
            } else if self.on_conflict == OnConflict::Skip {
                return Ok(None);
            } else {
                return Err(Error::CodeTaken { code: code.as_str().into() });
            }
        }
    }

    fn id(&mut self, context: &Context, wanted: Option<Id>) -> Result<Id, Error> {
        let shared = &self.links.shared;
        let generated = || shared.ids.lock().next(context.now, chance());
        // An id from the future would push all later ones before it; one seen twice would make two
        // links share a place in the list.
        let fits = |id: &Id| id.millis() <= context.now.as_millis();
        if let Some(id) = wanted.filter(|id| fits(id) && !self.ids.has(&id.bits().to_le_bytes())) {
            self.ids.add(&id.bits().to_le_bytes());
            return Ok(if shared.is_there(id)? { generated() } else { id });
        }
        Ok(generated())
    }

    /// Makes the campaign of a line that the workspace does not have. A line tells its id only, so
    /// that is its name until someone gives it another. The table comes first: whoever makes a campaign
    /// waits until it is seen, but not for as long as an import's backlog may take.
    async fn ensure_campaign(&self, context: &Context, id: &ForeignId) -> Result<(), Error> {
        let named = CampaignRef::from(id.clone());
        let found = self.links.shared.campaign(context.workspace.number, &named)?;
        if found.is_none() && !self.dry_run {
            self.links.catch_up().await?;
            let draft = CampaignDraft { id: Some(id.clone()), or: None, name: id.as_str().into() };
            self.links.tenants().create_campaign(context, draft).await?;
        }
        Ok(())
    }

    async fn tag_ids(&mut self, context: &Context, names: &[Box<str>]) -> Result<Vec<Id>, Error> {
        let mut ids = Vec::with_capacity(names.len());
        if !names.is_empty() && !self.tags.contains_key(&context.workspace.number) {
            let there = self.links.tenants().tags(context).await?.into_iter().map(|tag| (tag.name, tag.id));
            self.tags.insert(context.workspace.number, there.collect());
        }
        let known = self.tags.entry(context.workspace.number).or_default();
        for name in names {
            if let Some(id) = known.get(name) {
                ids.push(*id);
                continue;
            }
            crate::model::tag::check_name(name).map_err(|invalid| Invalid { field: "tags", ..invalid })?;
            let id = if self.dry_run {
                Id::from_bits(0)
            } else {
                // As for a campaign.
                self.links.catch_up().await?;
                self.links.tenants().create_tag(context, name.clone(), Vec::new()).await?.id
            };
            known.insert(name.clone(), id);
            ids.push(id);
        }
        Ok(ids)
    }
}
