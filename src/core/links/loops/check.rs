//! The checks of single writes, against the table and what the same command writes.
//!
//! Whatever adds an edge holds the exclusive lock from its last check until it is applied, so that
//! no two writes close a loop together.

use super::routes::{Edge, Hop, Origin, Routes, Siblings, Values, Via};
use super::search::{Graph, Start, search};
use crate::core::error::Error;
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

/// What a link must not do.
const BACK: &str = "must not lead back to this short link";

/// Links with placeholders of one workspace, the newest first, that a change of its custom values
/// looks at: a record is read for each, so this takes a fraction of a second. Loops through older
/// ones are left to the visit.
const FILLED_MAX: usize = 10_000;

/// Links that new custom values lead to this server and that are checked for loops, which reads up
/// to [`super::search::search`]'s bound of records for each while no other link can be changed. Loops
/// through further ones are left to the visit.
const CHECKED_MAX: usize = 200;

/// The table, with what the same command is about to write.
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
        // Links that an import has staged count before they are visible: they would close the loop
        // later.
        if let Some(link) = self.shared.table.link_or_staged(domain, code.as_str())? {
            edges.extend(self.routes.edges(Origin::Link(link.workspace, &link.options)));
        }
        Ok(edges)
    }

    fn link_of_contact(&self, token: &str) -> Result<Option<(DomainNumber, ShortCode)>, Error> {
        let key = self.routes.directory.contact_key();
        let Some(said) = key.and_then(|key| contacts::verify(&key, token)) else { return Ok(None) };
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

/// Links that new custom values would lead elsewhere within this server.
pub(in crate::core) struct Moved {
    links: Vec<Link>,
    /// The count of [`FilledLinks`] before they were read.
    count: u64,
    /// Exclusive writes that had ended before they were checked.
    checked_at: u64,
}

impl Core {
    /// Reads which links `values` would lead to another place of this server than the present values of
    /// the workspace, and rejects values by which one of them would lead back to itself.
    pub(in crate::core) async fn moved_by(
        &self,
        tenant: &Tenant,
        workspace: WorkspaceNumber,
        values: &Values,
    ) -> Result<Moved, Error> {
        let values = values.clone();
        let count = self.shared.filled_links.count(workspace);
        let checked_at = self.shared.exclusive.generation();
        let read = move |shared: &Shared, cancel: &Cancel| {
            let directory = shared.directory.load();
            let before = shared.routes(&directory);
            let after = before.with_values(workspace, &values);
            let mut links = Vec::new();
            shared.table.each_fillable(workspace, FILLED_MAX, &mut |link| {
                let origin = Origin::Link(workspace, &link.options);
                let (old, new) = (before.edges(origin), after.edges(origin));
                if new != old && after.any_leads_here(&new) {
                    links.push(link);
                }
                links.len() < CHECKED_MAX && !cancel.is_set()
            })?;
            shared.check_moved(workspace, &values, &links)?;
            Ok(links)
        };
        Ok(Moved { links: self.scanning(tenant, read).await?, count, checked_at })
    }
}

impl Shared {
    /// Rejects custom values by which a link would lead back to itself, or into a loop, or too far.
    /// Called under the exclusive lock: reads only if other exclusive writes have ended since `moved`
    /// was checked. Returns false when `moved` is out of date.
    pub(in crate::core) fn check_values(
        &self,
        workspace: WorkspaceNumber,
        values: &Values,
        moved: &Moved,
    ) -> Result<bool, Error> {
        if self.filled_links.count(workspace) != moved.count {
            return Ok(false);
        }
        if moved.checked_at != self.exclusive.generation() {
            self.check_moved(workspace, values, &moved.links)?;
        }
        Ok(true)
    }

    fn check_moved(&self, workspace: WorkspaceNumber, values: &Values, moved: &[Link]) -> Result<(), Error> {
        let directory = self.directory.load();
        let routes = self.routes(&directory).with_values(workspace, values);
        let graph = TableGraph { shared: self, routes, siblings: &Siblings::default() };
        for link in moved {
            let edges = routes.edges(Origin::Link(workspace, &link.options));
            let hop = Hop::Link { domain: link.domain, code: link.code.clone(), rest: Box::default() };
            let start = Start { hop: &hop, edges: &edges };
            for edge in edges.iter().filter(|edge| matches!(edge.via, Via::Click { .. })) {
                if let Some(fault) = search(&graph, routes, Some(start), &edge.to)? {
                    let (code, rule) = (link.code.as_str(), fault.rule(BACK));
                    let why = format!("with these values, {} of {code:?} {rule}", edge.field);
                    return Err(Invalid::new("customValues", why).into());
                }
            }
        }
        Ok(())
    }

    /// Rejects a `rootUrl` that leads back to the domain's root, or into a loop, or too far. Reads as
    /// many records as a search visits places.
    pub(in crate::core) fn check_root(&self, domain: &Domain) -> Result<(), Error> {
        let Some(root) = &domain.root_url else { return Ok(()) };
        let directory = self.directory.load();
        let routes = self.routes(&directory).with_domain(domain);
        let graph = TableGraph { shared: self, routes, siblings: &Siblings::default() };
        let start = Start { hop: &Hop::Root(domain.number), edges: &[] };
        match search(&graph, routes, Some(start), root)? {
            Some(fault) => Err(Invalid::new("rootUrl", fault.rule("must not lead back to itself")).into()),
            None => Ok(()),
        }
    }

    /// Returns what decides where destinations lead, as of `directory`.
    pub(in crate::core) fn routes<'a>(&'a self, directory: &'a Directory) -> Routes<'a> {
        Routes::new(&self.site, directory, &self.schemes)
    }

    /// Lists every place that a link of this workspace may lead to.
    pub(in crate::core) fn edges(&self, workspace: WorkspaceNumber, options: &Options) -> Vec<Edge> {
        self.routes(&self.directory.load()).edges(Origin::Link(workspace, options))
    }

    /// Whether a link of this workspace may lead to a place of this server.
    pub(in crate::core) fn leads_here(&self, workspace: WorkspaceNumber, options: &Options) -> bool {
        let directory = self.directory.load();
        let routes = self.routes(&directory);
        routes.any_leads_here(&routes.edges(Origin::Link(workspace, options)))
    }

    /// Rejects a link that leads back to itself, into a loop of others, or through too many of
    /// them. `code` is `None` for one that is not generated yet, to which nothing can lead.
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
        for edge in &edges {
            if let Some(fault) = search(&graph, routes, start, &edge.to)? {
                return Err(Invalid::new(edge.field, fault.rule(BACK)).into());
            }
        }
        Ok(())
    }

    /// Returns the place of this server that a destination leads to, as of now.
    pub(in crate::core) fn hop(&self, destination: &Destination) -> Option<Hop> {
        self.routes(&self.directory.load()).hop(destination)
    }
}
