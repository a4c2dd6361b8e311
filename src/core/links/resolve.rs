//! From domain and code to a compiled link: from the cache, or from one read of the table that concurrent
//! requests share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::loops::fallback::misdirected;
use super::loops::routes::Hop;
use crate::cache::entry::{Conditional, Entry, Guards, Target, Targets};
use crate::clicks::registry::Counters;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::pools::loader::{LinkReader, Resolved};
use crate::core::shared::Shared;
use crate::model::Invalid;
use crate::model::custom_values::Unfilled;
use crate::model::destination::Destination;
use crate::model::domain::{Domain, DomainNumber, HostName};
use crate::model::link::Link;
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;

impl Links {
    /// Returns the compiled destinations of a link as of now, with UTM parameters.
    pub fn targets(&self, link: &Link) -> Targets {
        self.shared.targets(link)
    }

    /// Returns the code of a link or alias as it was typed, for print. Reads the table on a domain that ignores case.
    pub async fn typed_code(&self, domain: &Domain, code: &str) -> Result<ShortCode, Error> {
        let (number, code) = (domain.number, ShortCode::from_stored(code));
        if domain.case_sensitive {
            return Ok(code);
        }
        self.blocking(move |shared| {
            if let Some(found) = shared.table.link(number, code.as_str())? {
                return Ok(found.record.shown_code().clone());
            }
            let found = shared.table.link_of_alias(number, code.as_str())?;
            let aliases = found.map(|found| found.record.aliases).unwrap_or_default();
            let alias = aliases.into_iter().find(|alias| alias.domain == number && alias.code == code);
            Ok(alias.and_then(|alias| alias.typed_code).unwrap_or(code))
        })
        .await
    }

    /// Returns the place of this server that a destination leads to, as of now.
    pub fn hop(&self, destination: &Destination) -> Option<Hop> {
        self.shared.hop(destination)
    }

    /// Returns the place of this server that a destination leads to, like [`Links::hop`]. `unknown_host` is a
    /// host of no domain that is known to reach the default domain.
    pub fn hop_from(&self, unknown_host: Option<&str>, destination: &Destination) -> Option<Hop> {
        self.hop(destination).or_else(|| {
            let name = Some(HostName::parse("host", unknown_host?).ok()?);
            let directory = self.directory();
            let home = Domain { name, ..(**directory.domain(DomainNumber::DEFAULT)?).clone() };
            self.shared.routes(&directory).with_domain(&home).hop(destination)
        })
    }

    /// Lists fallbacks and roots of domains that lead to this server and are not followed, as
    /// `domain: field URL`: they were set before this server had the name.
    pub fn misdirected(&self) -> Vec<String> {
        let directory = self.directory();
        misdirected(self.shared.routes(&directory))
    }

    /// Returns whether a destination leads to this server, to a short link or not.
    pub fn is_here(&self, destination: &Destination) -> bool {
        let directory = self.directory();
        self.shared.routes(&directory).is_here(destination)
    }

    /// Reads a link that is not in the cache, and adds it to the cache. Concurrent calls for the same code
    /// share one read. Fails if the table cannot be read.
    pub async fn load(&self, domain: DomainNumber, code: &str) -> Result<Resolved, Error> {
        self.shared.loader.load(Arc::clone(&self.shared) as Arc<dyn LinkReader>, domain, code).await
    }

    /// Returns an entry with the record of its link: see [`Entry::needs_record`]. Returns `None` if the link is gone, and
    /// fails if the table cannot be read.
    pub async fn with_record(&self, entry: Entry) -> Result<Option<Entry>, Error> {
        self.blocking(move |shared| {
            let link = shared.link_at(entry.domain, entry.code.as_str())?;
            // Another link may have got the code since.
            Ok(link.filter(|link| link.id == entry.counter.id()).map(|link| {
                let (targets, guards) = shared.compiled(&link);
                entry.with_record(Conditional::compile(link, targets, guards))
            }))
        })
        .await
    }
}

impl LinkReader for Shared {
    fn read(&self, domain: DomainNumber, code: &str) -> Result<Resolved, Error> {
        // Before the read: an entry is not kept if a Change has touched its code since.
        let epoch = self.cache.epoch(domain, code);
        let Some(link) = self.link_at(domain, code)? else {
            self.cache.keep_absent(epoch, domain, code);
            return Ok(Resolved::Absent);
        };
        let id = link.id;
        let is_limited = link.options.max_clicks.is_some();
        let counter =
            self.cache.counters().get_or_load(id, is_limited, || self.table.clicks(id, self.node))?;
        // Before the entry is in the cache, so that each click of it has the workspace.
        counter.set_workspace(link.workspace);
        let is_kept = !Counters::is_detached(&counter);
        let (targets, guards) = self.compiled(&link);
        // Logged at the load, not at every visit.
        if let Err(error) = targets.first() {
            tracing::warn!(link = %id, %error, "a link leads nowhere until its workspace has the value");
        }
        let has_statistics = self.has_statistics(link.workspace);
        let entry = Entry::compile_guarded(link, counter, targets, guards).in_workspace(has_statistics);
        let entry = entry.at(domain, code);
        if is_kept {
            self.cache.keep(epoch, entry.clone());
        }
        Ok(Resolved::Found(entry))
    }
}

impl Shared {
    /// Reads the link of a code, which is its own or an alias.
    fn link_at(&self, domain: DomainNumber, code: &str) -> Result<Option<Link>, Error> {
        let found = match self.table.link(domain, code)? {
            // Read only for codes without a link. The record of an alias is written with each change of its link,
            // so that an entry under the alias is invalidated as well.
            None => self.table.link_of_alias(domain, code)?,
            found => found,
        };
        Ok(found.map(|found| found.record))
    }

    /// Compiles the destinations of a link, and why its clicks are not plain beside its options.
    fn compiled(&self, link: &Link) -> (Targets, Guards) {
        let targets = self.targets(link);
        // A visit must follow the chain first, so such a link is never a plain redirect.
        let leads_here = self.leads_here(link.workspace, &link.options);
        // Nor is a link to a denied host. The list is read after the epoch, like the record: a reload replaces it
        // before the epoch ends.
        let is_denied = targets.destinations().any(|to| self.deny_list.host_of(to).is_some());
        (targets, Guards { leads_here, is_denied })
    }

    /// Returns whether details of clicks are captured in a workspace.
    pub(in crate::core) fn has_statistics(&self, number: WorkspaceNumber) -> bool {
        self.directory.load().has_statistics(number)
    }

    /// Compiles every destination of a link.
    fn targets(&self, link: &Link) -> Targets {
        let mut targets = link.options.destinations().map(|to| self.target(link, to));
        // The own `url` always exists; the rest is that of the rules, in their order.
        let first = targets.next().unwrap_or_else(|| Ok(link.options.target()));
        Targets::new(first, targets)
    }

    pub(in crate::core) fn target(&self, link: &Link, destination: &Destination) -> Target {
        let options = &link.options;
        if !destination.is_fillable() {
            return Ok(destination.with_utm(&options.utm));
        }
        let directory = self.directory.load();
        let none = BTreeMap::new();
        let values =
            directory.workspace(link.workspace).map_or(&none, |versioned| &versioned.record.custom_values);
        let target = destination.filled(values, options.link_type, &self.schemes)?.with_utm(&options.utm);
        // Values change without their links, so a destination may lead back since the link was written.
        match self.hop(&target) {
            // Only the link itself. Longer loops are left to the visit, which follows the chain.
            Some(Hop::Link { domain, code, .. }) if (domain, &code) == (link.domain, &link.code) => {
                Err(Unfilled::Invalid(Invalid::new("url", "must not lead back to this short link")))
            }
            _ => Ok(target),
        }
    }
}
