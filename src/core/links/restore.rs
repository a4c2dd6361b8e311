//! Deleted links come back, with their id, clicks and history, while their tombstones exist. Aliases, tags and the
//! campaign come back as far as they are still free or still exist. Shares of their statistics show them again.
//!
//! 1. The total is in the table before the link is: a visit in between would load a counter without the clicks, and
//!    the next drain would write its total over theirs. A total without a link is removed with the tombstone.
//! 2. The sweep removes total and details of expired tombstones without a look at later Changes. So no link comes back
//!    in the last moments of its tombstone.

use super::address::own_address;
use super::loops::routes::Siblings;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::history::notes::{AuditNote, is_same};
use crate::core::shared::Shared;
use crate::core::tenants::directory::Versioned;
use crate::core::tenants::viewer::Viewer;
use crate::core::view::LinkView;
use crate::log::Proposal;
use crate::model::Invalid;
use crate::model::audit::AuditAct;
use crate::model::domain::Domain;
use crate::model::id::Id;
use crate::model::link::{AddressPatch, Alias, Link};
use crate::table::record::{LinkAt, StoredOutcome, Tombstone};
use crate::table::{Found, keys};

/// The end of a tombstone in which its link cannot be restored: longer than a restore takes from its check to its
/// Change.
const LAST_MOMENTS: i64 = 60_000;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// A link that is about to be restored.
struct Returning {
    link: Link,
    domain: Versioned<Domain>,
    /// The domains of its aliases.
    alias_domains: Vec<Versioned<Domain>>,
    /// The generation of the exclusive lock before the checks.
    checked_at: u64,
}

impl Links {
    /// Restores a deleted link, at another address if `address` has one. Fails with [`Error::NotFound`] once its
    /// tombstone is gone, with [`Error::CodeTaken`] or [`Error::FormerCodeTaken`] if another link
    /// has its code, and with [`Error::Rule`] if its domain
    /// or a rule of today prevents it.
    pub async fn restore(&self, context: &Context, id: Id, address: AddressPatch) -> Result<LinkView, Error> {
        // The error of a code that the caller has chosen names its field.
        let is_given = address.code.is_some();
        let restored = self.restore_at(context, id, address).await;
        restored.map_err(|error| if is_given { error } else { error.of_former_code(true) })
    }

    async fn restore_at(&self, context: &Context, id: Id, address: AddressPatch) -> Result<LinkView, Error> {
        for _ in 0..ATTEMPTS {
            let found = self.find_deleted(context, id).await?;
            let returning = self.check_returning(context, &found.record, &address).await?;
            // After the checks: a restore that is refused writes nothing.
            self.restore_total(&found.record).await?;
            if let Some(link) = self.commit_restored(context, found, returning).await? {
                self.revive(id);
                return self.view(link).await;
            }
        }
        Err(Error::Busy)
    }

    /// Returns the tombstone of a link that can be restored.
    async fn find_deleted(&self, context: &Context, id: Id) -> Result<Found<Tombstone>, Error> {
        let viewer = Viewer::of(context);
        self.blocking(move |shared| {
            let workspace = shared.workspace_in_sight(&viewer, id)?;
            if shared.table.link_by_id(workspace, id)?.is_some() {
                // Not success: the caller may have meant another link.
                return Err(Invalid::new("link", "is not deleted").into());
            }
            let found = shared.table.get::<Tombstone>(&keys::tombstone(workspace, id))?;
            let now = shared.clock.now().as_millis();
            let is_whole =
                |found: &Found<Tombstone>| shared.restorable_until(&found.record) - LAST_MOMENTS > now;
            found.filter(is_whole).ok_or(Error::NotFound("link"))
        })
        .await
    }

    /// Returns the link as it comes back, after all checks of a new link.
    async fn check_returning(
        &self,
        context: &Context,
        tombstone: &Tombstone,
        address: &AddressPatch,
    ) -> Result<Returning, Error> {
        let (mut link, address, now) = (tombstone.link.clone(), address.clone(), context.now);
        self.blocking(move |shared| {
            // Read before the checks, so that every exclusive write that they may have missed is noticed.
            let checked_at = shared.exclusive.generation();
            let domain = shared.readdress_returning(&mut link, &address)?;
            let alias_domains = shared.keep_free_aliases(&mut link)?;
            link.updated_at = now;
            shared.keep_existing_facets(&mut link)?;
            let options = &link.options;
            // Today's rules: a scheme may have been removed from the configuration, and a host denied.
            shared.check_schemes(options, None)?;
            shared.check_webhooks(options)?;
            Shared::check_options(options)?;
            shared.check_denied(link.workspace, options, None)?;
            if let Some(code) = link.code.with_emoji_style()
                && shared.table.link(link.domain, code.as_str())?.is_some()
            {
                return Err(Error::CodeTaken { code: code.as_str().into() });
            }
            shared.check_returning_loop(&link)?;
            Ok(Returning { link, domain, alias_domains, checked_at })
        })
        .await
    }

    /// Writes the total that a link had, unless its tombstone has none.
    async fn restore_total(&self, tombstone: &Tombstone) -> Result<(), Error> {
        let id = tombstone.link.id;
        let pending = {
            // No drain may write an older total behind this one.
            let _order = self.shared.totals.lock();
            // A visit that had loaded the link before its deletion was counted, and is in no total.
            let counted = self.shared.cache.counters().live(id).map_or(0, |counter| counter.total());
            let total = counted.max(tombstone.clicks);
            if total == 0 {
                return Ok(());
            }
            let puts = vec![self.shared.put_total(id, total)];
            self.shared.log.commit(Proposal { puts, ..Proposal::default() })
        };
        let position = pending.await.map_err(Error::Log)?;
        if self.shared.table.wait(position).await {
            return Ok(());
        }
        Err(Error::NotReady("the table has not applied the last changes yet".to_owned()))
    }

    /// Commits a restored link. Returns `None` if another write was faster: the caller reads all again.
    async fn commit_restored(
        &self,
        context: &Context,
        found: Found<Tombstone>,
        returning: Returning,
    ) -> Result<Option<Link>, Error> {
        let Returning { link, domain, alias_domains, checked_at } = returning;
        let (workspace, id) = (link.workspace, link.id);
        // The restore is an entry like others, so the oldest one may have to go.
        let surplus = self.blocking(move |shared| shared.surplus_entries(workspace, id)).await?;
        let earlier = &found.record.link;
        let note = AuditNote::of_link(&link, AuditAct::Restore);
        let mut effect = Effect::default();
        // First: of two restores at once, the second finds the link and not its code in use.
        effect.remove(keys::tombstone(workspace, id), found.revision);
        for domain in alias_domains.iter().chain([&domain]) {
            effect.rely_on_once(keys::domain(domain.record.number), domain.revision);
        }
        effect.create_link(link.domain, link.code.as_str(), LinkAt::encode(&link));
        for alias in &link.aliases {
            // Free at the check, and perhaps not any more: the next attempt leaves it out.
            effect.rely_on_free(alias.domain, alias.code.as_str());
            effect.put_alias(&link, alias);
        }
        effect.note(if is_same(earlier, &link) { note } else { note.from(earlier) });
        effect.forget(surplus);
        let outcome = || StoredOutcome::Link { workspace, id };
        effect.store_outcome(context.claim, context.now, outcome);
        let leads_here = || self.shared.leads_here(workspace, &link.options);
        let commit = async {
            // As in a create: only an exclusive write can have added to a chain.
            if checked_at != self.shared.exclusive.generation() {
                self.shared.check_returning_loop(&link)?;
            }
            self.commit(context, effect).await
        };
        match self.shared.exclusive.hold_if(&context.tenant, leads_here, commit).await? {
            Committed::Done => Ok(Some(link)),
            Committed::Conflict(key)
                if keys::parse_address(&key) == Some((link.domain, link.code.as_str())) =>
            {
                Err(Error::CodeTaken { code: link.code.as_str().into() })
            }
            Committed::Conflict(_) => Ok(None),
        }
    }

    /// Lets the counter of a restored link, which its deletion has retired, count again.
    fn revive(&self, id: Id) {
        let counters = self.shared.cache.counters();
        if let Some(counter) = counters.live(id) {
            counter.revive();
            // The drains since the deletion have skipped the counter.
            counters.put_back(vec![counter]);
        }
    }
}

impl Shared {
    /// Returns when the sweep may remove a tombstone, in milliseconds since 1970.
    pub(in crate::core) fn restorable_until(&self, tombstone: &Tombstone) -> i64 {
        let kept = i64::from(self.settings.tombstone_days) * DAY_MILLIS;
        tombstone.deleted_at.as_millis().saturating_add(kept)
    }

    /// Returns the domain of a deleted link, after it got the address of a request, if that has one.
    fn readdress_returning(&self, link: &mut Link, to: &AddressPatch) -> Result<Versioned<Domain>, Error> {
        if to.domain.is_some() || to.code.is_some() {
            let domain = match &to.domain {
                Some(name) => self.domain_of(link.workspace, "domain", name)?,
                None => self.domain_at("domain", link.workspace, &own_address(link))?,
            };
            // Another domain alone keeps the code as it was typed, and applies its own case rule.
            let typed = to.code.clone().unwrap_or_else(|| link.shown_code().clone());
            let (code, typed) = domain.record.key_and_typed(Some(typed));
            link.domain = domain.record.number;
            link.code = code.unwrap_or_else(|| link.code.clone());
            link.typed_code = typed;
        }
        let own = own_address(link);
        // Also of a given domain: its revision is a precondition of the Change.
        let domain = self.domain_at("domain", link.workspace, &own)?;
        if self.table.is_taken(own.domain, own.code.as_str())? {
            return Err(Error::CodeTaken { code: own.code.as_str().into() });
        }
        Ok(domain)
    }

    /// Drops the aliases whose codes are in use or whose domains are gone. Returns the domains of the others.
    fn keep_free_aliases(&self, link: &mut Link) -> Result<Vec<Versioned<Domain>>, Error> {
        let own = own_address(link);
        let mut kept: Vec<(Alias, Versioned<Domain>)> = Vec::with_capacity(link.aliases.len());
        for alias in std::mem::take(&mut link.aliases) {
            let Ok(domain) = self.domain_at("aliases", link.workspace, &alias) else { continue };
            // The link may return at an address that was its alias.
            if !alias.is_at(&own) && !self.table.is_taken(alias.domain, alias.code.as_str())? {
                kept.push((alias, domain));
            }
        }
        let (aliases, domains) = kept.into_iter().unzip();
        link.aliases = aliases;
        Ok(domains)
    }

    /// Drops the tags and the campaign that no longer exist.
    fn keep_existing_facets(&self, link: &mut Link) -> Result<(), Error> {
        // What is gone must not keep the link away: no request creates a tag with a given id.
        let mut tags = Vec::with_capacity(link.options.tags.len());
        for tag in &link.options.tags {
            if self.table.holds_key(&keys::tag(link.workspace, *tag))? {
                tags.push(*tag);
            }
        }
        link.options.tags = tags;
        if self.check_campaign(link.workspace, link.options.campaign.as_ref()).is_err() {
            link.options.campaign = None;
        }
        Ok(())
    }

    fn check_returning_loop(&self, link: &Link) -> Result<(), Error> {
        // The table has none of the addresses yet.
        let mut siblings = Siblings::default();
        for alias in &link.aliases {
            siblings.alias(alias, link.domain, link.code.clone());
        }
        self.check_loop(link.domain, Some(&link.code), (link.workspace, &link.options), &siblings)
    }
}
