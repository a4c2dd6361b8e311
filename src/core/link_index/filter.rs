//! What a list asks of each entry of the index.

use super::entry::IndexEntry;
use crate::core::links::search::LinkSearch;
use crate::core::links::state_filter::StateTest;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};

/// The filters of a list. A link passes those that are set.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct EntryFilter {
    pub(in crate::core) search: Option<LinkSearch>,
    pub(in crate::core) domain: Option<DomainNumber>,
    pub(in crate::core) tag: Option<Id>,
    /// One of these campaigns.
    pub(in crate::core) campaigns: Option<Vec<ForeignId>>,
    /// `None` if each link passes.
    pub(in crate::core) state: Option<StateTest>,
}

impl EntryFilter {
    /// Returns whether a link passes.
    pub(super) fn admits(&self, entry: IndexEntry<'_>) -> bool {
        // The cheap comparisons first.
        self.state.is_none_or(|state| state.admits(entry.state()))
            && self.domain.is_none_or(|domain| entry.domain() == domain)
            && self.tag.is_none_or(|tag| entry.tags().any(|of| of == tag))
            && self.campaigns.as_ref().is_none_or(|campaigns| {
                // As bytes: an id of a campaign is ASCII, and needs no check.
                let campaign = entry.campaign();
                campaigns.iter().any(|of| of.as_str().as_bytes() == campaign)
            })
            && self
                .search
                .as_ref()
                .is_none_or(|search| search.is_in_text(entry.text(), entry.is_plain(), entry.domains()))
    }
}
