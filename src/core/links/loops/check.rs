//! The checks of single writes, against the table and the other rows of the same command.
//!
//! A write that adds an edge holds the exclusive lock from its last check until its Change is applied, so
//! that no two writes close a loop together.

use super::routes::{Edge, Hop, Origin, Routes, Siblings, Values, Via};
use super::search::{Graph, Start, search};
use crate::core::deny_list::list::denied_rule;
use crate::core::error::Error;
use crate::core::exclusive::assert_released;
use crate::core::handle::Core;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::core::tenants::contacts;
use crate::core::tenants::directory::Directory;
use crate::model::Invalid;
use crate::model::destination::Destination;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::link::{Link, Options};
use crate::model::short_code::ShortCode;
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;
use crate::table::keys;
use crate::table::record::Number;

/// The rule that a link breaks when it leads back to itself.
const BACK: &str = "must not lead back to this short link";

/// Most links with placeholders of one workspace, the newest first, that a change of its custom values reads:
/// one record each, so a fraction of a second. Loops through older links are detected by the visit.
const FILLED_MAX: usize = 10_000;

/// Most links that new custom values lead to this server and that are checked for loops. Each check reads up
/// to [`super::search::search`]'s bound of records. Loops through further links are detected by the visit.
const CHECKED_MAX: usize = 200;

/// Most links whose check is repeated under the exclusive lock, if the links changed since the check: some
/// milliseconds. The check of more links is repeated without the lock, since no other write of the instance
/// runs under it.
const RECHECKED_MAX: usize = 4;

/// The table, with the rows that the same command is about to write.
struct TableGraph<'a> {
    shared: &'a Shared,
    routes: Routes<'a>,
    siblings: &'a Siblings,
}

impl Graph for TableGraph<'_> {
    type Error = Error;

    fn edges_of(&self, domain: DomainNumber, code: &ShortCode) -> Result<Vec<Edge>, Error> {
        let siblings = self.siblings.links.get(&(domain, code.clone()));
        let mut edges: Vec<Edge> = siblings.into_iter().flatten().cloned().collect();
        // Staged links of an import count before they are visible, since they would close the loop later.
        if let Some(link) = self.shared.table.link_or_staged(domain, code.as_str())? {
            edges.extend(self.routes.edges(Origin::Link(link.workspace, &link.options)));
        }
        Ok(edges)
    }

    fn has(&self, domain: DomainNumber, code: &ShortCode) -> Result<bool, Error> {
        let is_row = self.siblings.links.contains_key(&(domain, code.clone()));
        Ok(is_row || self.shared.table.is_taken(domain, code.as_str())?)
    }

    fn link_of_alias(
        &self,
        domain: DomainNumber,
        code: &ShortCode,
    ) -> Result<Option<(DomainNumber, ShortCode)>, Error> {
        if let Some(place) = self.siblings.aliases.get(&(domain, code.clone())) {
            return Ok(Some(place.clone()));
        }
        let found = self.shared.table.link_of_alias(domain, code.as_str())?;
        Ok(found.map(|found| (found.record.domain, found.record.code)))
    }

    fn link_of_contact(&self, token: &str) -> Result<Option<(DomainNumber, ShortCode)>, Error> {
        let key = self.routes.directory.contact_key();
        // Without a key of the instance or with a wrong signature, the address leads nowhere.
        let Some(said) = key.and_then(|key| contacts::contact_at(&key, token)) else { return Ok(None) };
        // An imported link keeps its id, so a contact may name it before the table has it.
        if let Some(place) = self.siblings.ids.get(&said.link) {
            return Ok(Some(place.clone()));
        }
        let table = &self.shared.table;
        let number = table.get::<Number>(&keys::workspace_id(&said.workspace))?.map(|found| found.record.0);
        let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else { return Ok(None) };
        let found = table.link_by_id(WorkspaceNumber(number), said.link)?;
        Ok(found.map(|found| (found.record.domain, found.record.code)))
    }
}

/// Links that new custom values would lead to another place of this server.
pub(in crate::core) struct Moved {
    links: Vec<Link>,
    /// The count of [`FilledLinks`](super::filled::FilledLinks) before the links were read.
    count: u64,
    /// The generation of the exclusive lock before the links were checked.
    checked_at: u64,
}

impl Core {
    /// Returns the links that `values` would lead to another place of this server than the present values do.
    /// Fails if one of them would lead back to itself, or to a denied host.
    pub(in crate::core) async fn moved_by(
        &self,
        tenant: &Tenant,
        workspace: WorkspaceNumber,
        values: &Values,
    ) -> Result<Moved, Error> {
        let values = values.clone();
        // Both are read before the links, so that a change during the read is noticed.
        let count = self.shared.filled_links.count(workspace);
        let checked_at = self.shared.exclusive.generation();
        let read = move |shared: &Shared, cancel: &Cancel| {
            // One directory for both, so that only the values differ.
            let directory = shared.directory.load();
            let before = shared.routes(&directory);
            let after = before.with_values(workspace, &values);
            let (mut links, mut denied) = (Vec::new(), None);
            shared.table.each_fillable(workspace, FILLED_MAX, &mut |link| {
                let origin = Origin::Link(workspace, &link.options);
                let (old, new) = (before.edges(origin), after.edges(origin));
                if let Some(host) = shared.newly_denied(&new, &old) {
                    denied = Some((link.code.clone(), host));
                    return false;
                }
                // A link that leads where it led before was checked when it was written.
                if new != old && after.any_leads_here(&new) {
                    links.push(link);
                }
                links.len() < CHECKED_MAX && !cancel.is_set()
            })?;
            if let Some((code, host)) = denied {
                let why = format!("with these values, url of {:?} {}", code.as_str(), denied_rule(&host));
                return Err(Invalid::new("customValues", why).into());
            }
            shared.check_moved(workspace, &values, &links)?;
            Ok(links)
        };
        Ok(Moved { links: self.scanning(tenant, read).await?, count, checked_at })
    }
}

impl Shared {
    /// Rejects custom values by which a link would lead back to itself, into a loop, or too far. Must be
    /// called under the exclusive lock. Returns false if `moved` is out of date: the caller reads it again
    /// without the lock.
    pub(in crate::core) fn check_values(
        &self,
        workspace: WorkspaceNumber,
        values: &Values,
        moved: &Moved,
    ) -> Result<bool, Error> {
        // A link with placeholders was written since, and `moved` may lack it.
        if self.filled_links.count(workspace) != moved.count {
            return Ok(false);
        }
        if moved.checked_at == self.exclusive.generation() {
            return Ok(true);
        }
        if moved.links.len() > RECHECKED_MAX {
            return Ok(false);
        }
        self.check_moved(workspace, values, &moved.links)?;
        Ok(true)
    }

    fn check_moved(&self, workspace: WorkspaceNumber, values: &Values, moved: &[Link]) -> Result<(), Error> {
        if moved.len() > RECHECKED_MAX {
            assert_released("many links are checked for loops");
        }
        let directory = self.directory.load();
        let routes = self.routes(&directory).with_values(workspace, values);
        let graph = TableGraph { shared: self, routes, siblings: &Siblings::default() };
        for link in moved {
            let edges = routes.edges(Origin::Link(workspace, &link.options));
            let hop = Hop::Link { domain: link.domain, code: link.code.clone(), rest: Box::default() };
            let start = Start { hop: &hop, edges: &edges };
            // Only these edges may have placeholders: `expiredUrl` is never filled.
            for edge in edges.iter().filter(|edge| matches!(edge.via, Via::Click { .. })) {
                if let Some(fault) = search(&graph, routes, Some(start), &edge.to)? {
                    let (code, rule) = (link.code.as_str(), fault.rule(BACK));
                    let why = format!("with these values, {}{} of {code:?} {rule}", edge.field, edge.at);
                    return Err(Invalid::new("customValues", why).into());
                }
            }
        }
        Ok(())
    }

    /// Rejects a `rootUrl` that leads back to the domain's root, into a loop, or too far. Reads one record
    /// for each place that the search visits.
    pub(in crate::core) fn check_root(&self, domain: &Domain) -> Result<(), Error> {
        let Some(root) = &domain.root_url else { return Ok(()) };
        let directory = self.directory.load();
        let routes = self.routes(&directory).with_domain(domain);
        let graph = TableGraph { shared: self, routes, siblings: &Siblings::default() };
        // The edges of a root come from `routes`, which has the unwritten domain.
        let start = Start { hop: &Hop::Root(domain.number), edges: &[] };
        match search(&graph, routes, Some(start), root)? {
            Some(fault) => Err(Invalid::new("rootUrl", fault.rule("must not lead back to itself")).into()),
            None => Ok(()),
        }
    }

    /// Returns the routes as of `directory`.
    pub(in crate::core) fn routes<'a>(&'a self, directory: &'a Directory) -> Routes<'a> {
        Routes::new(&self.site, directory, &self.schemes)
    }

    /// Returns every place that a link of this workspace may lead to.
    pub(in crate::core) fn edges(&self, workspace: WorkspaceNumber, options: &Options) -> Vec<Edge> {
        self.routes(&self.directory.load()).edges(Origin::Link(workspace, options))
    }

    /// Returns whether a link of this workspace may lead to a place of this server.
    pub(in crate::core) fn leads_here(&self, workspace: WorkspaceNumber, options: &Options) -> bool {
        let directory = self.directory.load();
        let routes = self.routes(&directory);
        routes.any_leads_here(&routes.edges(Origin::Link(workspace, options)))
    }

    /// Rejects a link that leads back to itself, into a loop of others, or through too many of them. `code`
    /// is `None` for a code that is not generated yet, to which nothing can lead.
    pub(in crate::core) fn check_loop(
        &self,
        domain: DomainNumber,
        code: Option<&ShortCode>,
        (workspace, options): (WorkspaceNumber, &Options),
        siblings: &Siblings,
    ) -> Result<(), Error> {
        let directory = self.directory.load();
        let routes = self.routes(&directory);
        let graph = TableGraph { shared: self, routes, siblings };
        let edges = routes.edges(Origin::Link(workspace, options));
        let hop = code.map(|code| Hop::Link { domain, code: code.clone(), rest: Box::default() });
        let start = hop.as_ref().map(|hop| Start { hop, edges: &edges });
        // One search for each edge, so that the error names the field.
        for edge in &edges {
            if let Some(fault) = search(&graph, routes, start, &edge.to)? {
                return Err(edge.invalid(fault.rule(BACK)).into());
            }
        }
        Ok(())
    }

    /// Returns the place of this server that a destination leads to, as of now.
    pub(in crate::core) fn hop(&self, destination: &Destination) -> Option<Hop> {
        self.routes(&self.directory.load()).hop(destination)
    }
}
