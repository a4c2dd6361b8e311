//! The checks of links' destinations, without the requests: which links are due, what there is to check, and the results
//! in the table.

use std::sync::Arc;

use url::Url;

use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::shared::Shared;
use crate::core::view::{HealthView, LinkView};
use crate::log::Position;
use crate::model::destination::Destination;
use crate::model::health::{CheckSchedule, Checked, HealthChange, HealthState, LinkHealth};
use crate::model::id::Id;
use crate::model::key::Reach;
use crate::model::link::Link;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::{DuePage, HealthNote, keys};

/// A link with its destinations that can be checked.
#[derive(Clone, Debug)]
pub struct LinkToCheck {
    #[allow(missing_docs)] // The type has the doc.
    pub link: Link,
    /// Web pages elsewhere, each once, with their indexes in `Options::destinations`. None if a click leads nowhere now.
    pub targets: Vec<(u16, Destination)>,
    revision: Position,
    /// The result of the last check.
    before: Option<LinkHealth>,
}

impl Links {
    /// Returns the workspaces whose links are checked.
    pub fn checked_workspaces(&self) -> Vec<Arc<Workspace>> {
        // Copied: a round must not keep an old directory in memory.
        let directory = self.directory();
        let all = directory.workspaces(&Reach::Instance).map(|versioned| &versioned.record);
        all.filter(|workspace| workspace.check_links).cloned().collect()
    }

    /// Returns links of a workspace behind `after` that are due.
    pub async fn links_to_check(
        &self,
        workspace: WorkspaceNumber,
        after: Option<Id>,
        schedule: CheckSchedule,
    ) -> Result<DuePage, Error> {
        self.blocking(move |shared| {
            let now = shared.clock.now();
            let is_due = |health: &LinkHealth| health.due_at(schedule) <= now;
            Ok(shared.table.links_to_check(workspace, after, &is_due)?)
        })
        .await
    }

    /// Returns a link with what there is to check, `None` if the link is hidden or was deleted.
    pub async fn link_to_check(
        &self,
        workspace: WorkspaceNumber,
        id: Id,
    ) -> Result<Option<LinkToCheck>, Error> {
        self.blocking(move |shared| {
            // Before the link, whose revision decides whether a result is stored: a result of before is then of this
            // revision, or of one with the same destinations.
            let before = shared.table.health(workspace, id)?;
            let Some(found) = shared.table.link_by_id(workspace, id)? else { return Ok(None) };
            let targets = shared.targets_to_check(&found.record);
            Ok(Some(LinkToCheck { link: found.record, targets, revision: found.revision, before }))
        })
        .await
    }

    /// Stores the result of a check. Returns the new result and what it changes, or `None` if the link was changed or
    /// deleted since: then it is checked again.
    pub async fn note_check(
        &self,
        checked_link: &LinkToCheck,
        checked: Checked,
        schedule: CheckSchedule,
    ) -> Option<(LinkHealth, Option<HealthChange>)> {
        let LinkToCheck { link, before, revision, .. } = checked_link;
        let health = LinkHealth::after(before.as_ref(), checked, self.shared.clock.now(), schedule);
        let note = HealthNote {
            key: keys::link(link.domain, link.code.as_str()),
            revision: *revision,
            workspace: link.workspace,
            link: link.id,
            health,
        };
        // One check of a link at a time, so the result of before is still the last one.
        let is_stored = self.shared.table.note_health(note).await;
        is_stored.then(|| (health, LinkHealth::change(before.as_ref(), &health)))
    }

    /// Returns what the checks of these links have found, in their order. `None` in workspaces without checks.
    pub async fn health(&self, views: &[LinkView]) -> Vec<Option<HealthView>> {
        let unknown = vec![None; views.len()];
        // No checks, no thread for blocking work, and no copy of a link.
        if !views.iter().any(|view| view.workspace.check_links) {
            return unknown;
        }
        let links: Vec<_> =
            views.iter().map(|view| view.workspace.check_links.then(|| view.link.clone())).collect();
        let found = self.blocking(move |shared| {
            links.iter().map(|link| link.as_ref().map(|link| shared.health_view(link)).transpose()).collect()
        });
        // As with recent clicks: a page without results is better than no page.
        found.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "links show no results of checks");
            unknown
        })
    }

    /// Returns whether a URL names a host of this server.
    pub fn is_own_host(&self, url: &Url) -> bool {
        self.shared.is_own_host(url)
    }

    /// Returns the address of a destination as a visitor would get it, by its index in `Options::destinations`.
    pub fn destination_at(&self, link: &Link, at: u16) -> Option<Box<str>> {
        self.shared.destination_at(link, at)
    }
}

impl Shared {
    fn health_view(&self, link: &Link) -> Result<HealthView, Error> {
        let health = self.table.health(link.workspace, link.id)?;
        let fails = |health: &LinkHealth| matches!(health.state, HealthState::Failing | HealthState::Broken);
        // Which destination works is of no interest, and each may be 8 KB in a list.
        let failing = health.filter(fails);
        let url = failing.and_then(|health| self.destination_at(link, health.target));
        Ok(HealthView { health, url })
    }

    fn destination_at(&self, link: &Link, at: u16) -> Option<Box<str>> {
        let destination = link.options.destinations().nth(usize::from(at))?;
        let target = self.target(link, destination).ok()?;
        Some(target.as_str().into())
    }

    fn is_own_host(&self, url: &Url) -> bool {
        // By names alone. An address may be of another machine, and the filter of addresses knows those of this one.
        let named = |host: &str| self.directory.load().domain_named(host).is_some();
        self.site.is_host_of(url) || url.host_str().is_some_and(|host| named(host.trim_end_matches('.')))
    }

    /// Returns the destinations that a check sends requests to. Links that lead nowhere now have none: nobody sees whether
    /// they work.
    fn targets_to_check(&self, link: &Link) -> Vec<(u16, Destination)> {
        let now = self.clock.now();
        let options = &link.options;
        let mut targets: Vec<(u16, Destination)> = Vec::new();
        if !options.is_active || options.expires_at.is_some_and(|end| now >= end) {
            return targets;
        }
        for (at, destination) in (0..).zip(options.destinations()) {
            // A destination without its custom value leads nowhere: the log says so when a visitor comes.
            let Ok(target) = self.target(link, destination) else { continue };
            // Other schemes have no server that could be asked.
            let web = target.to_url().filter(|url| matches!(url.scheme(), "http" | "https"));
            let is_elsewhere = web.is_some_and(|url| !self.is_own_host(&url));
            let is_known = targets.iter().any(|(_, known)| known.as_str() == target.as_str());
            if is_elsewhere && !is_known {
                targets.push((at, target));
            }
        }
        targets
    }
}
