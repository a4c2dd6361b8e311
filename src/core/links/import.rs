//! Imports many links from a file, straight into the log. Changes have half a megabyte. The next Change is
//! built while the last one becomes durable, and the table follows at its own pace. Memory is bounded for a
//! file of any length: by how far the log lets its table lag, by [`RECENT_MAX`] and by [`LEADING_HERE_MAX`].
//! Nothing else may write to the store.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::create::Prepared;
use super::loops::routes::Siblings;
use crate::cache::Lookup;
use crate::clock::Timestamp;
use crate::core::commit::{Effect, chance};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::{Core, Links};
use crate::core::tenants::tag_names::KnownTags;
use crate::log::key_hash::{KeyHash, KeyHasher};
use crate::log::{Pending, Position, Proposal};
use crate::model::Invalid;
use crate::model::campaign::{CampaignDraft, CampaignRef};
use crate::model::click_share::SharedClicks;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::{
    ALIASES_MAX, Alias, AliasName, DomainChoice, Draft, Edit, Link, Names, PasswordHash, TAGS_MAX,
};
use crate::model::short_code::ShortCode;
use crate::model::tag::{TagEdit, check_name};
use crate::model::text::folded_name;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::ShareRecord;
use crate::table::{Table, keys};

/// Bytes of records after which a Change is proposed: half the size limit of a Change, so that the last
/// record and the rest of the Change fit as well.
const CHANGE_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 2;

/// Most keys that are remembered because the table may lack them: 17 bytes each, and as many again for the
/// older half. Past it, the import waits until the table has the older half. The wait is short as long as
/// this is half of how far the log lets the table lag. A check that writes nothing remembers all keys.
const RECENT_MAX: usize = 400_000;

/// Most links leading to other links of this server that are remembered, with their destinations: a few MB,
/// or 80 MB with the longest addresses. Past it, the import waits until the table has them.
const LEADING_HERE_MAX: usize = 10_000;

/// Most bytes that a record takes in a Change besides key and value.
const PUT_BYTES: usize = 64;

/// A link from a file.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other field is the link itself.
pub struct Imported {
    pub draft: Draft,
    /// The link's id. Kept if no other link has it.
    pub id: Option<Id>,
    /// When the link was created; the time of the import if `None`.
    pub created_at: Option<Timestamp>,
    /// When the link was last changed; `created_at` if `None`.
    pub updated_at: Option<Timestamp>,
    /// Its clicks so far.
    pub clicks: u64,
    /// The hash of its password.
    pub hash: Option<PasswordHash>,
    /// Former short URLs.
    pub aliases: Vec<AliasName>,
}

/// What became of a link from a file, beside the link.
#[derive(Debug, Default)]
pub struct ImportedNotes {
    /// The aliases that were left out, since their codes are in use.
    pub left_out: Vec<Alias>,
    /// The rules that hold for no visitor at present.
    pub idle: Vec<Invalid>,
}

/// What happens to a line whose short code is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// The import ends there. Links of earlier lines stay.
    Fail,
    /// The line is skipped.
    Skip,
}

/// Keys that the table may lack, in two halves. When the younger half is full, the older half is dropped.
struct Recent {
    hasher: KeyHasher,
    younger: HashSet<KeyHash>,
    older: HashSet<KeyHash>,
    /// A table that has applied this position has the older keys.
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

    /// Drops the older half once the table has it, if the younger half is full. All present keys are in the
    /// log up to `position`.
    async fn rotate(&mut self, table: &Table, position: Position) -> Result<(), Error> {
        if self.younger.len() >= RECENT_MAX {
            reach(table, self.older_at).await?;
            self.older = std::mem::take(&mut self.younger);
            self.older_at = position;
        }
        Ok(())
    }
}

/// Waits until the table has applied `position`. Fails with [`Error::NotReady`] if the table makes no
/// progress.
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

/// An import in progress.
pub struct Import<'a> {
    links: &'a Links,
    on_conflict: OnConflict,
    /// Whether lines are only checked and nothing is written.
    dry_run: bool,
    /// Tags by workspace and name.
    tags: HashMap<WorkspaceNumber, KnownTags>,
    /// The shares of statistics by workspace and link, as they were before the import: at most 1,000 of a workspace.
    shares: HashMap<WorkspaceNumber, HashMap<Id, Vec<Id>>>,
    /// Codes and ids of this import that the table may lack.
    codes: Recent,
    ids: Recent,
    /// Links of this import that the table may lack and that lead to this server.
    leading_here: Siblings,
    effect: Effect,
    bytes: usize,
    /// Number of links in the effect.
    gathered: u64,
    /// The line of the link that is being added, and that of the last link in the effect.
    line: u64,
    added: u64,
    /// The Change that was proposed last, with the number of its links and the line of the last one.
    pending: Option<(Pending, u64, u64)>,
    /// The line of the last link that the log has.
    durable: u64,
    /// Links that the log has, or would have without `dry_run`.
    made: u64,
    /// Skipped lines.
    skipped: u64,
}

impl Core {
    /// Waits until the table has everything that the log has. Fails with [`Error::NotReady`] if the table
    /// makes no progress; nothing in the log is lost then.
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
            shares: HashMap::new(),
            codes: Recent::new(),
            ids: Recent::new(),
            leading_here: Siblings::default(),
            effect: Effect::default(),
            bytes: 0,
            gathered: 0,
            line: 0,
            added: 0,
            pending: None,
            durable: 0,
            made: 0,
            skipped: 0,
        }
    }
}

impl Import<'_> {
    /// Adds one link to the acting workspace. An error concerns this link alone, unless lines are lost
    /// ([`lost_from`](Import::lost_from)).
    pub async fn add(&mut self, context: &Context, mut imported: Imported) -> Result<ImportedNotes, Error> {
        // A hash from the file needs no work. A dry run writes nothing, so it hashes nothing.
        let hash = match imported.hash.take() {
            Some(hash) => Some(hash),
            None if self.dry_run => None,
            None => self.links.hash(context, imported.draft.password.take()).await?,
        };
        let names = std::mem::take(&mut imported.draft.names);
        let campaign = self.links.named_campaign(context.workspace.number, &names).await?;
        imported.draft.edits.extend(campaign);
        check_tag_names(&names)?;
        let mut prepared = self.links.shared.prepare(context, imported.draft, hash)?;
        let named = self.named_aliases(context, std::mem::take(&mut imported.aliases))?;
        let Some(code) = self.free_code(&prepared)? else {
            self.skipped += 1;
            return Ok(ImportedNotes::default());
        };
        // Before the options move into the link.
        let idle = prepared.options.idle_rules(context.now);
        let (aliases, left_out) = self.free_aliases((prepared.domain.record.number, &code), named)?;
        let workspace = context.workspace.number;
        self.remember_aliases(&aliases, (prepared.domain.record.number, &code));
        if self.links.shared.leads_here(workspace, &prepared.options) {
            let domain = prepared.domain.record.number;
            // The address of a contact names its link by id.
            if let Some(id) = imported.id {
                self.leading_here.name(id, domain, code.clone());
            }
            // The table may lack the links of earlier lines, so the search gets them as siblings.
            let own = (workspace, &prepared.options);
            self.links.shared.check_loop(domain, Some(&code), own, &self.leading_here)?;
            self.leading_here.add(
                domain,
                code.clone(),
                self.links.shared.edges(workspace, &prepared.options),
            );
        }
        // Behind the checks: a line that is refused or skipped leaves neither a tag nor a campaign.
        if let Some(id) = &prepared.options.campaign {
            self.ensure_campaign(context, id, names.campaign_name.clone()).await?;
        }
        let tags = self.tag_ids(context, &names).await?;
        if !tags.is_empty() {
            prepared.options.apply(Edit::Tags(tags))?;
        }
        if self.dry_run {
            self.made += 1;
            return Ok(ImportedNotes { left_out, idle });
        }
        let id = self.id(context, imported.id)?;
        // A link that was deleted lately continues: an older export has fewer clicks than there are details.
        let clicks = imported.clicks.max(self.links.shared.clicks_at_deletion(workspace, id)?);
        let link = Link {
            created_at: imported.created_at.unwrap_or(context.now),
            updated_at: imported.updated_at.or(imported.created_at).unwrap_or(context.now),
            ..prepared.link(context, id, code)
        };
        let mut link = link;
        link.aliases = aliases;
        (self.gathered, self.added) = (self.gathered + 1, self.line);
        let before = self.effect.puts.len();
        self.end_shares(workspace, id)?;
        prepared.add(&mut self.effect, &link);
        for alias in &link.aliases {
            self.effect.put_alias(&link, alias);
        }
        if clicks > 0 {
            self.effect.puts.push(self.links.shared.put_total(id, clicks));
        }
        self.bytes += self.effect.puts[before..].iter().map(|put| put.bytes() + PUT_BYTES).sum::<usize>();
        if self.bytes >= CHANGE_BYTES {
            self.propose().await?;
        }
        Ok(ImportedNotes { left_out, idle })
    }

    /// Commits the rest. Returns the numbers of created links and of skipped lines once the log has
    /// everything.
    pub async fn finish(&mut self) -> Result<(u64, u64), Error> {
        self.propose().await?;
        self.settle().await?;
        Ok((self.made, self.skipped))
    }

    /// Sets the line of the file that the next link is from.
    pub fn set_line(&mut self, line: u64) {
        self.line = line;
    }

    /// Returns the number of links that the log has, or would have without `dry_run`.
    pub fn created(&self) -> u64 {
        self.made
    }

    /// Returns the first line of which the log may lack the link although it was added, because a Change failed.
    /// `None` if the log has all of them. To be called after `finish`.
    pub fn lost_from(&self) -> Option<u64> {
        (self.durable < self.added).then_some(self.durable + 1)
    }

    /// Proposes the collected links. If a Change fails, no later Change is proposed, so the log has the
    /// beginning of the file and nothing else of it.
    async fn propose(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        let Effect { preconditions, puts, .. } = std::mem::take(&mut self.effect);
        if puts.is_empty() {
            return Ok(());
        }
        // One Change in flight: if it fails, this one is never proposed.
        self.settle().await?;
        let pending = self.links.shared.log.commit(Proposal { preconditions, puts, request: 0 });
        self.pending = Some((pending, gathered, self.added));
        if self.codes.younger.len().max(self.ids.younger.len()) >= RECENT_MAX {
            // The position below must cover the Change that was just proposed.
            self.settle().await?;
            let (table, position) = (&self.links.shared.table, self.links.shared.log.position());
            self.codes.rotate(table, position).await?;
            self.ids.rotate(table, position).await?;
        }
        if self.leading_here.len() >= LEADING_HERE_MAX {
            // The table can only catch up with what the log has.
            self.settle().await?;
            self.links.catch_up().await?;
            self.leading_here.clear();
        }
        Ok(())
    }

    /// Waits until the last Change is durable. Nothing else writes to the store, so a failed precondition is
    /// a bug and not a race.
    async fn settle(&mut self) -> Result<(), Error> {
        if let Some((pending, links, line)) = self.pending.take() {
            pending.await.map_err(Error::Log)?;
            self.made += links;
            self.durable = line;
        }
        Ok(())
    }

    /// Returns the given code if it is free, or a new one if none was given. Returns `None` to skip the line.
    fn free_code(&mut self, prepared: &Prepared) -> Result<Option<ShortCode>, Error> {
        let shared = &self.links.shared;
        let domain = prepared.domain.record.number;
        let mut collided = 0;
        loop {
            let code = prepared.code(shared, collided);
            let key = keys::link(domain, code.as_str());
            // The cache knows most free codes as absent, which saves a read of the table for each line.
            let is_absent = || matches!(shared.cache.get(domain, code.as_str(), |_| ()), Lookup::Absent);
            let in_table = |code: &ShortCode| Ok::<_, Error>(shared.table.is_taken(domain, code.as_str())?);
            let taken = self.codes.has(&key)
                || !is_absent() && in_table(&code)?
                || code.with_emoji_style().is_some_and(|earlier| in_table(&earlier).unwrap_or(true));
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

    /// Returns the aliases that a line names. Fails if it names too many, or a domain that the workspace lacks.
    fn named_aliases(&self, context: &Context, names: Vec<AliasName>) -> Result<Vec<Alias>, Error> {
        if names.len() > ALIASES_MAX {
            return Err(Invalid::new("aliases", "must be at most 10").into());
        }
        let mut aliases: Vec<Alias> = Vec::with_capacity(names.len());
        for AliasName { domain, code } in names {
            let choice = domain.clone().map_or(DomainChoice::Default, DomainChoice::Name);
            let chosen =
                self.links.shared.choose_domain(context, &choice).map_err(|error| match (error, domain) {
                    (Error::Rule(invalid), Some(name)) => {
                        let why = format!("{name}: {}", invalid.why);
                        Error::from(Invalid::new("aliases", why))
                    }
                    (other, _) => other,
                });
            let domain = chosen?.record;
            let (key, typed_code) = domain.key_and_typed(Some(code));
            aliases.extend(key.map(|code| Alias { domain: domain.number, code, typed_code }));
        }
        Ok(aliases)
    }

    /// Returns the aliases of the link at `own` whose codes are free, and those whose codes are in use. Fails at one of
    /// the latter, unless conflicts are skipped.
    fn free_aliases(
        &mut self,
        own: (DomainNumber, &ShortCode),
        named: Vec<Alias>,
    ) -> Result<(Vec<Alias>, Vec<Alias>), Error> {
        let (mut aliases, mut left_out): (Vec<Alias>, Vec<Alias>) = (Vec::new(), Vec::new());
        for alias in named {
            // The line names its own address, or one twice: on one domain, two former short URLs may be equal.
            if (alias.domain, &alias.code) == own || aliases.iter().any(|other| other.is_at(&alias)) {
                continue;
            }
            // As for links: the key of a link with the code marks it as taken.
            let key = keys::link(alias.domain, alias.code.as_str());
            let table = &self.links.shared.table;
            if !self.codes.has(&key) && !table.is_taken(alias.domain, alias.code.as_str())? {
                self.codes.add(&key);
                aliases.push(alias);
            } else if self.on_conflict == OnConflict::Skip {
                left_out.push(alias);
            } else {
                let why = format!("the short code {:?} is already in use", alias.shown_code().as_str());
                return Err(Invalid::new("aliases", why).into());
            }
        }
        Ok((aliases, left_out))
    }

    /// Remembers the aliases of the link at `own` for the search for loops, until the table has them.
    fn remember_aliases(&mut self, aliases: &[Alias], (domain, code): (DomainNumber, &ShortCode)) {
        for alias in aliases {
            self.leading_here.alias(alias, domain, code.clone());
        }
    }

    fn id(&mut self, context: &Context, wanted: Option<Id>) -> Result<Id, Error> {
        let shared = &self.links.shared;
        let generated = || shared.ids.lock().next(context.now, chance());
        // An id from the future would sort before all later ids. An id that is used twice would give two
        // links one position in lists.
        let fits = |id: &Id| id.millis() <= context.now.as_millis();
        if let Some(id) = wanted.filter(|id| fits(id) && !self.ids.has(&id.bits().to_le_bytes())) {
            self.ids.add(&id.bits().to_le_bytes());
            return Ok(if shared.is_there(id)? { generated() } else { id });
        }
        // Generated ids are never used twice, so they need not be remembered.
        Ok(generated())
    }

    /// Removes the shares of statistics that a deleted link with this id had. A link of a file is a new link, and only a
    /// restore continues the shares of the old one.
    fn end_shares(&mut self, workspace: WorkspaceNumber, id: Id) -> Result<(), Error> {
        let links = self.links;
        let all = match self.shares.entry(workspace) {
            Entry::Occupied(known) => known.into_mut(),
            // Read once for each workspace: nothing else writes to the store.
            Entry::Vacant(unread) => {
                let mut all: HashMap<Id, Vec<Id>> = HashMap::new();
                for share in links.shared.table.click_shares_of(workspace)? {
                    if let SharedClicks::Link(link) = share.of {
                        all.entry(link).or_default().push(share.id);
                    }
                }
                unread.insert(all)
            }
        };
        for share in all.remove(&id).unwrap_or_default() {
            let key = keys::share(share);
            if let Some(found) = links.shared.table.get::<ShareRecord>(&key)? {
                self.effect.remove(key, found.revision);
            }
        }
        Ok(())
    }

    /// Creates the campaign of a line if the workspace does not have it. Without a name in the line, its id
    /// becomes its name. The table must catch up first: a creation waits until it is visible, but not as long
    /// as the backlog of an import may take.
    async fn ensure_campaign(
        &self,
        context: &Context,
        id: &ForeignId,
        name: Option<Box<str>>,
    ) -> Result<(), Error> {
        let named = CampaignRef::from(id.clone());
        let found = self.links.shared.campaign(context.workspace.number, &named)?;
        // A dry run creates nothing, and a missing campaign would be created without an error.
        if found.is_none() && !self.dry_run {
            self.links.catch_up().await?;
            let name = name.unwrap_or_else(|| id.as_str().into());
            let draft = CampaignDraft { id: Some(id.clone()), alias: None, name };
            self.links.tenants().create_campaign(context, draft).await?;
        }
        Ok(())
    }

    /// Returns the ids of tags. Creates those that are missing, with the colors of the line.
    async fn tag_ids(&mut self, context: &Context, names: &Names) -> Result<Vec<Id>, Error> {
        let (colors, names) = (&names.tag_colors, names.tags.as_deref().unwrap_or_default());
        let mut ids = Vec::with_capacity(names.len());
        // A line without tags must not leave an empty map: the tags of its workspace were not read.
        if names.is_empty() {
            return Ok(ids);
        }
        let workspace = context.workspace.number;
        // Read once per workspace: afterwards only this import creates tags.
        if !self.tags.contains_key(&workspace) {
            let there = self.links.tenants().tags(context).await?;
            self.tags.insert(workspace, KnownTags::new(&there));
        }
        let known = self.tags.entry(workspace).or_default();
        for name in names {
            if let Some(id) = known.get(name) {
                ids.push(id);
                continue;
            }
            let id = if self.dry_run {
                // Never stored: a dry run writes nothing.
                Id::from_bits(0)
            } else {
                // The table must catch up first, as for a campaign.
                self.links.catch_up().await?;
                let color = colors.get(name).cloned().map(TagEdit::Color);
                self.links.tenants().create_tag(context, name.clone(), color.into_iter().collect()).await?.id
            };
            known.add(name, id);
            ids.push(id);
        }
        Ok(ids)
    }
}

/// Fails if a line names a tag that cannot be created, or too many tags.
fn check_tag_names(names: &Names) -> Result<(), Invalid> {
    let all = names.tags.as_deref().unwrap_or_default();
    for name in all {
        check_name(name).map_err(|invalid| Invalid { field: "tags", ..invalid })?;
    }
    // Two spellings of one name are one tag.
    let each: HashSet<_> = all.iter().map(|name| folded_name(name)).collect();
    if each.len() > TAGS_MAX {
        return Err(Invalid::new("tags", format!("must be at most {TAGS_MAX} tags")));
    }
    Ok(())
}
