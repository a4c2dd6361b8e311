//! The checks of writes: no URL of a link or of a domain may lead to a denied host. A write that leaves a URL as it is
//! passes, since the host may have been denied later. Webhook URLs are no destinations: see `links::loops`.

use super::list::denied_rule;
use crate::core::links::loops::routes::{Edge, Origin};
use crate::core::shared::Shared;
use crate::model::Invalid;
use crate::model::destination::Destination;
use crate::model::domain::Domain;
use crate::model::link::{Markup, Options};
use crate::model::workspace::WorkspaceNumber;

/// A URL, the field that has it, and the place within the field.
type FieldUrl = (&'static str, Box<str>, Destination);

impl Shared {
    /// Rejects options with a URL on a denied host, unless the link had the same URL `before`.
    pub(in crate::core) fn check_denied(
        &self,
        workspace: WorkspaceNumber,
        options: &Options,
        before: Option<&Options>,
    ) -> Result<(), Invalid> {
        if !self.deny_list.is_in_use() {
            return Ok(());
        }
        let before = before.map_or_else(Vec::new, |before| {
            // Parameters do not change where a URL leads.
            let with_same_utm = Options { utm: options.utm.clone(), ..before.clone() };
            self.urls_of(workspace, &with_same_utm)
        });
        self.reject_denied(&self.urls_of(workspace, options), &before)
    }

    /// Like [`Shared::check_denied`], for the fallbacks of a domain.
    pub(in crate::core) fn check_denied_domain(
        &self,
        domain: &Domain,
        before: Option<&Domain>,
    ) -> Result<(), Invalid> {
        if !self.deny_list.is_in_use() {
            return Ok(());
        }
        let directory = self.directory.load();
        let urls_of = |domain| named(self.routes(&directory).edges(Origin::Domain(domain)));
        self.reject_denied(&urls_of(domain), &before.map_or_else(Vec::new, urls_of))
    }

    /// Returns the denied host that a link would lead to by `new` edges and not by `old` ones.
    pub(in crate::core) fn newly_denied(&self, new: &[Edge], old: &[Edge]) -> Option<Box<str>> {
        new.iter().filter(|edge| !old.contains(edge)).find_map(|edge| self.deny_list.host_of(&edge.to))
    }

    fn reject_denied(&self, urls: &[FieldUrl], before: &[FieldUrl]) -> Result<(), Invalid> {
        // Whatever the place: a rule that moves leads nowhere else.
        let is_new = |(field, _, to): &&FieldUrl| {
            !before.iter().any(|(other, _, before)| (field, to) == (other, before))
        };
        for (field, at, to) in urls.iter().filter(is_new) {
            if let Some(host) = self.deny_list.host_of(to) {
                return Err(Invalid::new(field, denied_rule(&host)).below(at));
            }
        }
        Ok(())
    }

    /// Returns every URL of a link that visitors are led to or that its pages load.
    fn urls_of(&self, workspace: WorkspaceNumber, options: &Options) -> Vec<FieldUrl> {
        let mut urls = named(self.edges(workspace, options));
        // A value may be missing. The host is often in the text.
        for (at, to) in options.destinations().enumerate().filter(|(_, to)| to.is_fillable()) {
            let Invalid { field, at, .. } = options.invalid_target(at, "");
            if !urls.iter().any(|(known, place, _)| (*known, place) == (field, &at)) {
                urls.extend(to.example().map(|to| (field, at, to)));
            }
        }
        urls.extend(options.image.clone().map(|url| ("image", Box::default(), url)));
        for (field, tags) in [("headTags", &options.head_tags), ("bodyTags", &options.body_tags)] {
            urls.extend(tags.iter().flat_map(Markup::urls).map(|url| (field, Box::default(), url)));
        }
        urls
    }
}

fn named(edges: Vec<Edge>) -> Vec<FieldUrl> {
    edges.into_iter().map(|edge| (edge.field, edge.at, edge.to)).collect()
}
