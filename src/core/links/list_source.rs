//! What a list reads: one of the lists of the table, and a filter on its links.

use std::collections::HashSet;

use super::query::LinkQuery;
use super::search::LinkSearch;
use super::state_filter::{StateFacts, StateTest};
use crate::core::error::Error;
use crate::core::link_index::filter::EntryFilter;
use crate::core::shared::Shared;
use crate::model::Invalid;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;
use crate::table::List;

/// The part of a query that must read each link.
pub(super) struct Filter {
    search: Option<LinkSearch>,
    domain: Option<DomainNumber>,
    /// Set if the list is not the tag's own.
    tag: Option<Id>,
    /// Set if several campaigns have the name that is asked for.
    campaigns: Option<Vec<ForeignId>>,
    /// `None` if each link passes.
    state: Option<StateTest>,
    /// Set if the list is that of broken links, which has no counter.
    only_broken: bool,
    /// Links that do not pass, since they were clicked lately.
    clicked: Option<HashSet<Id>>,
}

impl ListSource {
    /// Returns whether the list has all links of a workspace.
    pub(super) fn is_workspace(&self) -> bool {
        self.list == List::All && self.filter.admits_all()
    }
}

impl Filter {
    pub(super) fn admits(&self, link: &Link) -> bool {
        let options = &link.options;
        let tagged = self.tag.is_none_or(|tag| options.tags.contains(&tag));
        let domain = self.domain.is_none_or(|domain| link.domain == domain);
        let state = self.state.is_none_or(|state| state.admits(StateFacts::of(link)));
        let campaign = |campaigns: &Vec<ForeignId>| {
            options.campaign.as_ref().is_some_and(|campaign| campaigns.contains(campaign))
        };
        let campaign = self.campaigns.as_ref().is_none_or(campaign);
        tagged
            && domain
            && state
            && self.clicked.as_ref().is_none_or(|clicked| !clicked.contains(&link.id))
            && campaign
            && self.search.as_ref().is_none_or(|search| search.matches(link))
    }

    /// Returns the filter of the entries of an index. Links that do not work, and those that were clicked lately, are no
    /// property of an entry.
    pub(super) fn of_entries(self) -> EntryFilter {
        let Filter { search, domain, tag, campaigns, state, only_broken: _, clicked: _ } = self;
        EntryFilter { search, domain, tag, campaigns, state }
    }

    pub(super) fn admits_all(&self) -> bool {
        self.search.is_none()
            && self.domain.is_none()
            && self.state.is_none()
            && self.tag.is_none()
            && self.campaigns.is_none()
            && !self.only_broken
            && self.clicked.is_none()
    }

    /// Excludes links.
    pub(super) fn exclude(&mut self, clicked: HashSet<Id>) {
        self.clicked = Some(clicked);
    }
}

/// The list that is read, and the filter on its links.
pub(super) struct ListSource {
    pub(super) list: List,
    pub(super) filter: Filter,
}

impl Shared {
    /// Returns what a query reads, or `None` when nothing can match.
    pub(super) fn source(
        &self,
        workspace: WorkspaceNumber,
        query: &LinkQuery,
    ) -> Result<Option<ListSource>, Error> {
        if query.only_broken && !self.directory.load().has_checks(workspace) {
            let why = "needs \"checkLinks\": true of the workspace, whose links are not checked";
            return Err(Invalid::new("health", why).into());
        }
        let state = query.state.at(self.clock.now(), || self.zone_of(workspace))?;
        let state = (!query.state.admits_all()).then_some(state);
        let domain = match &query.domain {
            Some(name) => match self.domain_by_name(&self.directory.load(), name) {
                Some(domain) => Some(domain),
                // An unknown domain matches nothing, which is no error.
                None => return Ok(None),
            },
            None => None,
        };
        let tag = match &query.tag_named {
            Some(text) => Some(self.tag_by_name(workspace, text)?),
            None => query.tag,
        };
        let campaigns = match (&query.campaign, &query.campaign_named) {
            (_, Some(text)) => Some(self.campaigns_by_name(workspace, text)?),
            // None that exists: links may have the id of a campaign that was deleted.
            (Some(named), None) => {
                Some(self.campaign(workspace, named)?.map(|found| found.record.id).into_iter().collect())
            }
            (None, None) => None,
        };
        // The list of one tag or one campaign is read, and the other is a filter.
        let of_tag = || tag.map_or(List::All, List::Tag);
        let (list, tag, campaigns) = match campaigns.as_deref() {
            Some([]) => return Ok(None),
            // The shortest list nearly always.
            _ if query.only_broken => (List::Broken, tag, campaigns),
            None => (of_tag(), None, None),
            Some([one]) => (List::Campaign(one.clone()), tag, None),
            Some(_) => (of_tag(), None, campaigns),
        };
        // Prepared once, not for each link.
        let search = query.search.as_ref().and_then(|text| self.search(workspace, text));
        let filter =
            Filter { search, domain, tag, campaigns, state, only_broken: query.only_broken, clicked: None };
        Ok(Some(ListSource { list, filter }))
    }
}
