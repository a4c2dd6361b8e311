//! Many links from a file, straight into the log: Changes of half a megabyte, the next on its way
//! while the table takes in the last. For a store that nobody else writes to.

use std::collections::{HashMap, HashSet};

use super::commit::{Effect, chance};
use super::create::{Prepared, Siblings};
use super::{Context, Error, Links};
use crate::clock::Timestamp;
use crate::log::{CommitError, Proposal, Put};
use crate::model::Invalid;
use crate::model::campaign::{CampaignDraft, CampaignRef};
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::{Draft, Edit, Link, PasswordHash};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::table::keys;
use crate::table::record::encode_clicks;

/// Bytes of records after which a Change is handed in: half of what one may hold, so that what
/// surrounds the records fits as well.
const CHANGE_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 2;

/// What a record takes beside its destination, at most for a link without long texts.
const RECORD_BYTES: usize = 300;

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
    /// Names of its tags, made on demand.
    pub tags: Vec<Box<str>>,
}

/// What becomes of a line whose short code is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// The import ends there; what went before it stays.
    Fail,
    /// The line is left out.
    Skip,
}

/// An import under way.
pub struct Import<'a> {
    links: &'a Links,
    on_conflict: OnConflict,
    /// Nothing is written; every line is checked.
    dry_run: bool,
    /// Tags by workspace and name.
    tags: HashMap<WorkspaceNumber, HashMap<Box<str>, Id>>,
    /// Codes of this import: the table does not have them yet.
    seen: HashSet<(DomainNumber, ShortCode)>,
    ids: HashSet<Id>,
    effect: Effect,
    bytes: usize,
    /// Links made (or that would be), and left out.
    pub made: u64,
    /// Lines left out.
    pub skipped: u64,
}

impl Links {
    /// Begins an import.
    pub fn import(&self, on_conflict: OnConflict, dry_run: bool) -> Import<'_> {
        Import {
            links: self,
            on_conflict,
            dry_run,
            tags: HashMap::new(),
            seen: HashSet::new(),
            ids: HashSet::new(),
            effect: Effect::default(),
            bytes: 0,
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
            None => self.links.hash(imported.draft.password.take()).await?,
        };
        let tags = self.tag_ids(context, &imported.tags).await?;
        if !tags.is_empty() {
            imported.draft.edits.push(Edit::Tags(tags));
        }
        let prepared = self.links.0.prepare(context, imported.draft.clone(), hash)?;
        if let Some(id) = &prepared.options.campaign {
            self.ensure_campaign(context, id).await?;
        }
        let Some(code) = self.free_code(&prepared)? else {
            self.skipped += 1;
            return Ok(());
        };
        if let Some(code) = &prepared.code {
            self.links.0.check_loop(
                prepared.domain.record.number,
                Some(code),
                &prepared.options,
                &Siblings::new(),
            )?;
        }
        self.made += 1;
        if self.dry_run {
            return Ok(());
        }
        let id = self.id(context, imported.id)?;
        let link = Link {
            created_at: imported.created_at.unwrap_or(context.now),
            updated_at: imported.updated_at.or(imported.created_at).unwrap_or(context.now),
            ..prepared.link(context, id, code)
        };
        self.bytes += link.options.destination.as_str().len() + RECORD_BYTES;
        prepared.add(&mut self.effect, &link);
        if imported.clicks > 0 {
            self.effect.put(keys::clicks(id), encode_clicks(imported.clicks));
        }
        if self.bytes >= CHANGE_BYTES { self.hand_in().await } else { Ok(()) }
    }

    /// Writes what is left. Returns when the table has everything, or stands still: what is in the log
    /// is not lost then.
    pub async fn finish(mut self) -> Result<(u64, u64), Error> {
        self.hand_in().await?;
        let table = &self.links.0.table;
        let mut applied = table.status().applied;
        while !table.wait(self.links.0.log.position()).await {
            let now = table.status().applied;
            if now == applied {
                let why = "all lines are in the log, but the table does not take them in (a full disk?); \
                           the next start does";
                return Err(Error::NotReady(why.to_owned()));
            }
            applied = now;
        }
        Ok((self.made, self.skipped))
    }

    async fn hand_in(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let effect = std::mem::take(&mut self.effect);
        if effect.puts.is_empty() {
            return Ok(());
        }
        self.propose(effect.expects, effect.puts).await
    }

    /// Commits; a Change that turns out too large is halved. Nobody else writes, so an expectation
    /// that fails is our mistake, not a race.
    async fn propose(&self, expects: Vec<crate::log::Expect>, puts: Vec<Put>) -> Result<(), Error> {
        let mut waiting = vec![puts];
        let mut expects = expects;
        while let Some(mut puts) = waiting.pop() {
            let proposal = Proposal { expects: expects.clone(), puts: puts.clone(), request: 0 };
            match self.links.0.log.commit(proposal).await {
                Ok(_) => expects.clear(),
                Err(CommitError::TooLarge { .. }) if puts.len() > 1 => {
                    // Only the first half keeps the expectations: they hold for all at once.
                    let later = puts.split_off(puts.len() / 2);
                    waiting.push(later);
                    waiting.push(puts);
                }
                Err(error) => return Err(Error::Log(error)),
            }
        }
        Ok(())
    }

    /// The code to use: the one asked for if it is free, a fresh one if none was; `None` to leave
    /// the line out.
    fn free_code(&mut self, prepared: &Prepared) -> Result<Option<ShortCode>, Error> {
        let shared = &self.links.0;
        let domain = prepared.domain.record.number;
        let mut collided = 0;
        loop {
            let code = prepared.code(shared, collided);
            let taken = self.seen.contains(&(domain, code.clone()))
                || shared.table.link(domain, code.as_str())?.is_some();
            if !taken {
                self.seen.insert((domain, code.clone()));
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
        let shared = &self.links.0;
        let drawn = || shared.ids.lock().next(context.now, chance());
        // An id from the future would push all later ones before it; one seen twice would make two
        // links share a place in the list.
        let fits = |id: &Id| id.millis() <= context.now.as_millis();
        if let Some(id) = wanted.filter(|id| fits(id) && self.ids.insert(*id)) {
            let directory = self.links.directory();
            for held in directory.workspaces(&crate::model::key::Reach::Instance) {
                if shared.table.link_by_id(held.record.number, id)?.is_some() {
                    return Ok(drawn());
                }
            }
            return Ok(id);
        }
        Ok(drawn())
    }

    /// Makes the campaign of a line that the workspace does not have. A line tells its id only, so
    /// that is its name until someone gives it another.
    async fn ensure_campaign(&self, context: &Context, id: &ForeignId) -> Result<(), Error> {
        let named = CampaignRef::from(id.clone());
        let found = self.links.0.campaign(context.workspace.number, &named)?;
        if found.is_none() && !self.dry_run {
            let draft = CampaignDraft { id: Some(id.clone()), or: None, name: id.as_str().into() };
            self.links.create_campaign(context, draft).await?;
        }
        Ok(())
    }

    async fn tag_ids(&mut self, context: &Context, names: &[Box<str>]) -> Result<Vec<Id>, Error> {
        let mut ids = Vec::with_capacity(names.len());
        if !names.is_empty() && !self.tags.contains_key(&context.workspace.number) {
            let there = self.links.tags(context).await?.into_iter().map(|tag| (tag.name, tag.id));
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
                self.links.create_tag(context, name.clone(), Vec::new()).await?.id
            };
            known.insert(name.clone(), id);
            ids.push(id);
        }
        Ok(ids)
    }
}
