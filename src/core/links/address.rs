//! The short URL of a link changes: another code, another domain, aliases. The link keeps its id, clicks and date of
//! creation. The old code is free at once, or becomes an alias of the link.
//!
//! 1. One Change removes the record under the old code and creates it under the new one, so that no reader finds
//!    two links or none.
//! 2. The record of a link lists its aliases. Every Change of a link with aliases writes their records again:
//!    [`Core::applied`](crate::core) invalidates the cache by the keys of a Change, and the cache has an entry of
//!    its own for each alias.
//! 3. The removal of the old record is the first precondition. If two changes of one link race, the second
//!    therefore reads the link again, and does not report its own new code as taken.

use std::sync::Arc;

use super::loops::routes::Siblings;
use crate::core::commit::Effect;
use crate::core::error::Error;
use crate::core::shared::Shared;
use crate::core::tenants::directory::Versioned;
use crate::log::Position;
use crate::model::Invalid;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::link::{ALIASES_MAX, AddressPatch, Alias, AliasName, Link};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::table::keys;
use crate::table::record::LinkAt;

/// What a change of a link does to its addresses.
#[derive(Debug, Default)]
pub(in crate::core) struct AddressChange {
    moved: Option<Relocation>,
    dropped: Vec<Alias>,
    /// Aliases that the link gets although it did not have their codes before, with their domains.
    gained: Vec<(Alias, Versioned<Domain>)>,
}

#[derive(Debug)]
struct Relocation {
    /// The address before.
    old: Alias,
    /// The domain of the new address.
    domain: Versioned<Domain>,
    /// Whether the new address was an alias of the link.
    is_own: bool,
}

impl AddressChange {
    pub(super) fn is_moved(&self) -> bool {
        self.moved.is_some()
    }

    /// Returns the code that another link has, if a conflict on `key` means this.
    pub(super) fn taken(&self, key: &[u8], link: &Link) -> Option<ShortCode> {
        let (domain, code) = keys::parse_address(key)?;
        // The address of the link first: an alias may have the same code on another domain.
        let moved = self.moved.iter().map(|_| (link.domain, &link.code));
        let gained = self.gained.iter().map(|(alias, _)| (alias.domain, &alias.code));
        moved.chain(gained).find(|at| (at.0, at.1.as_str()) == (domain, code)).map(|(_, code)| code.clone())
    }

    /// Returns the aliases that the link gets, for the search for loops: the table lacks them.
    pub(super) fn gained_by(&self, link: &Link) -> Siblings {
        let mut siblings = Siblings::default();
        for (alias, _) in &self.gained {
            siblings.alias(alias, link.domain, link.code.clone());
        }
        siblings
    }

    /// Adds the record of the changed link, which had this revision, and the records of its aliases.
    pub(super) fn write(&self, effect: &mut Effect, link: &Link, revision: Position) {
        let (code, record) = (link.code.as_str(), LinkAt::encode(link));
        match &self.moved {
            None => effect.replace(keys::link(link.domain, code), revision, record),
            Some(Relocation { old, domain, is_own }) => {
                effect.remove(keys::link(old.domain, old.code.as_str()), revision);
                // The domain's case rule decides the key.
                effect.rely_on_once(keys::domain(domain.record.number), domain.revision);
                if *is_own {
                    effect.create(keys::link(link.domain, code), record);
                } else {
                    effect.create_link(link.domain, code, record);
                }
            }
        }
        for alias in &self.dropped {
            effect.remove_alias(alias);
        }
        for (alias, domain) in &self.gained {
            // The domain may be deleted while no alias is on it.
            effect.rely_on_once(keys::domain(domain.record.number), domain.revision);
            effect.rely_on_free(alias.domain, alias.code.as_str());
        }
        for alias in &link.aliases {
            effect.put_alias(link, alias);
        }
    }
}

/// Returns the short URL of a link in the form of an alias.
pub(super) fn own_address(link: &Link) -> Alias {
    Alias { domain: link.domain, code: link.code.clone(), typed_code: link.typed_code.clone() }
}

impl Shared {
    /// Gives a link the addresses of `patch`. Fails if a domain is not the workspace's, or if an alias is not the
    /// link's.
    pub(super) fn readdress(&self, link: &mut Link, patch: &AddressPatch) -> Result<AddressChange, Error> {
        let mut change = AddressChange::default();
        if let Some(names) = &patch.aliases {
            let kept = self.named_aliases(link, names)?;
            let (kept, dropped) = std::mem::take(&mut link.aliases)
                .into_iter()
                .partition(|a| kept.iter().any(|kept| kept.is_at(a)));
            (link.aliases, change.dropped) = (kept, dropped);
        }
        if patch.domain.is_none() && patch.code.is_none() {
            return Ok(change);
        }
        let domain = if let Some(name) = &patch.domain {
            self.domain_of(link.workspace, "domain", name)?
        } else {
            let lost = || Error::NotReady("a link's domain is missing".to_owned());
            self.directory.load().versioned_domain(link.domain).cloned().ok_or_else(lost)?
        };
        let number = domain.record.number;
        let typed = patch.code.as_ref().unwrap_or_else(|| link.shown_code()).clone();
        let code = domain.record.key_of(typed.clone());
        let new_typed = (typed != code).then_some(typed);
        let old = Alias {
            domain: link.domain,
            code: std::mem::replace(&mut link.code, code),
            typed_code: std::mem::replace(&mut link.typed_code, new_typed),
        };
        link.domain = number;
        let new = Alias { domain: number, code: link.code.clone(), typed_code: link.typed_code.clone() };
        // The same address, perhaps printed in another way.
        if new.is_at(&old) {
            return Ok(change);
        }
        if let Some(at) = link.aliases.iter().position(|alias| alias.is_at(&new)) {
            change.dropped.push(link.aliases.remove(at));
        }
        // Also an alias that the same patch removes from the list: its record is removed in the same Change.
        let is_own = change.dropped.iter().any(|alias| alias.is_at(&new));
        if patch.keeps_old {
            if link.aliases.len() >= ALIASES_MAX {
                return Err(Invalid::new("keepOldCode", "a link has at most 10 aliases").into());
            }
            link.aliases.push(old.clone());
        }
        change.moved = Some(Relocation { old, domain, is_own });
        Ok(change)
    }

    /// Gives a link the addresses that it had at another time. Fails if a domain is not the workspace's any more, or now
    /// stores the code in another form.
    pub(super) fn readdress_as(&self, link: &mut Link, earlier: &Link) -> Result<AddressChange, Error> {
        let mut change = AddressChange::default();
        let (old, new) = (own_address(link), own_address(earlier));
        for alias in &earlier.aliases {
            // No other link can have these, so they need no check.
            let is_own = alias.is_at(&old) || link.aliases.iter().any(|other| other.is_at(alias));
            if !is_own {
                change.gained.push((alias.clone(), self.domain_at("aliases", link.workspace, alias)?));
            }
        }
        let is_kept = |alias: &Alias| earlier.aliases.iter().any(|other| other.is_at(alias));
        change.dropped = link.aliases.iter().filter(|alias| !is_kept(alias)).cloned().collect();
        if !new.is_at(&old) {
            let domain = self.domain_at("domain", link.workspace, &new)?;
            // The record of this alias is removed in the same Change.
            let is_own = link.aliases.iter().any(|alias| alias.is_at(&new));
            change.moved = Some(Relocation { old, domain, is_own });
        }
        link.aliases.clone_from(&earlier.aliases);
        (link.domain, link.code, link.typed_code) = (new.domain, new.code, new.typed_code);
        Ok(change)
    }

    /// Returns the domain of an address of earlier, if the workspace may use it and it still stores the code in this
    /// form.
    pub(in crate::core) fn domain_at(
        &self,
        field: &'static str,
        workspace: WorkspaceNumber,
        at: &Alias,
    ) -> Result<Versioned<Domain>, Error> {
        let shown = at.shown_code();
        let directory = self.directory.load();
        let found = directory.versioned_domain(at.domain).cloned();
        // A number is given to one domain only, so this is the domain of then or none.
        let usable = found.filter(|found| found.record.workspace.is_none_or(|owner| owner == workspace));
        let Some(domain) = usable else {
            let why = format!(
                "the domain of the code {:?} is no domain of this workspace any more",
                shown.as_str()
            );
            return Err(Invalid::new(field, why).into());
        };
        // A domain without links may change its rule: the old key would be found by no visit.
        if domain.record.key_of(shown.clone()) != at.code {
            let why =
                format!("the case rule of the domain of the code {:?} is another one now", shown.as_str());
            return Err(Invalid::new(field, why).into());
        }
        Ok(domain)
    }

    fn named_aliases(&self, link: &Link, names: &[AliasName]) -> Result<Vec<Alias>, Error> {
        let mut found = Vec::with_capacity(names.len().min(ALIASES_MAX));
        for AliasName { domain, code } in names {
            let domain = match domain {
                Some(name) => Some(self.domain_of(link.workspace, "aliases", name)?.record),
                None => self.directory.load().domain(link.domain).map(Arc::clone),
            };
            let key = domain.map(|domain| (domain.number, domain.key_of(code.clone())));
            let is_it = |alias: &&Alias| {
                key.as_ref().is_some_and(|(at, key)| (alias.domain, &alias.code) == (*at, key))
            };
            let Some(alias) = link.aliases.iter().find(is_it) else {
                let why = format!(
                    "{:?} is no alias of this link: a PATCH of aliases only removes; rename the link with \
                     keepOldCode to add one",
                    code.as_str()
                );
                return Err(Invalid::new("aliases", why).into());
            };
            found.push(alias.clone());
        }
        Ok(found)
    }

    /// Returns the domain of this name, if the workspace may use it.
    pub(super) fn domain_of(
        &self,
        workspace: WorkspaceNumber,
        field: &'static str,
        name: &str,
    ) -> Result<Versioned<Domain>, Error> {
        let directory = self.directory.load();
        let number: Option<DomainNumber> = self.domain_by_name(&directory, name);
        let found = number.and_then(|number| directory.versioned_domain(number)).cloned();
        let usable = found.filter(|found| found.record.workspace.is_none_or(|owner| owner == workspace));
        usable.ok_or_else(|| Invalid::new(field, "is not a domain of this workspace").into())
    }
}
