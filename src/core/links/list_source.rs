//! What a list reads: one of the lists of the table, and a filter on its links.

use super::query::LinkQuery;
use super::search::LinkSearch;
use crate::core::error::Error;
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
    is_active: Option<bool>,
    /// Set if the list is that of broken links, which has no counter.
    only_broken: bool,
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
        let active = self.is_active.is_none_or(|active| options.is_active == active);
        let campaign = |campaigns: &Vec<ForeignId>| {
            options.campaign.as_ref().is_some_and(|campaign| campaigns.contains(campaign))
        };
        let campaign = self.campaigns.as_ref().is_none_or(campaign);
        tagged
            && domain
            && active
            && campaign
            && self.search.as_ref().is_none_or(|search| search.matches(link))
    }

    pub(super) fn admits_all(&self) -> bool {
        self.search.is_none()
            && self.domain.is_none()
            && self.is_active.is_none()
            && self.tag.is_none()
            && self.campaigns.is_none()
            && !self.only_broken
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
        let LinkQuery { is_active, only_broken, .. } = *query;
        let filter = Filter { search, domain, tag, campaigns, is_active, only_broken };
        Ok(Some(ListSource { list, filter }))
    }
}
