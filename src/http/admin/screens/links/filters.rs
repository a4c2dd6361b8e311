//! The menus of the list's filters.

use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::dialect::Reply;

/// Most entries of a menu. A workspace with more tags filters by a click on a tag of a link.
const ENTRIES_MAX: usize = 100;

/// A menu of a filter.
pub(super) struct FilterMenu {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// Values, what they mean, and whether the value is chosen.
    pub(super) entries: Vec<(String, String, bool)>,
}

impl FilterMenu {
    /// The filters that have a menu.
    pub(super) const NAMES: [&'static str; 7] =
        ["tag", "campaign", "domain", "expired", "hasRules", "noClicksDays", "health"];

    /// Returns the menus, with what the address of the page has chosen.
    pub(super) async fn all(request: &PageRequest<'_>) -> Result<Vec<FilterMenu>, PageError> {
        let Reply::Tags(tags) = request.get("/api/v1/tags", "").await? else {
            return Err(PageError::Internal);
        };
        let Reply::Campaigns(campaigns) =
            request.get("/api/v1/campaigns", &format!("limit={ENTRIES_MAX}")).await?
        else {
            return Err(PageError::Internal);
        };
        let Reply::Domains(domains) = request.get("/api/v1/domains", "").await? else {
            return Err(PageError::Internal);
        };
        let named = |name: String| (name.clone(), name);
        let fixed = |entries: &[(&str, &str)]| {
            entries.iter().map(|(value, name)| ((*value).to_owned(), (*name).to_owned())).collect::<Vec<_>>()
        };
        let menus = [
            ("tag", "Tag", tags.into_iter().map(|tag| named(tag.name.into())).collect()),
            (
                "campaign",
                "Campaign",
                // By id, since two campaigns may have one name.
                campaigns
                    .campaigns
                    .into_iter()
                    .map(|view| (view.campaign.id.to_string(), view.campaign.name.to_string()))
                    .collect(),
            ),
            ("domain", "Domain", domains.into_iter().map(|view| named(view.name)).collect()),
            ("expired", "Expiry", fixed(&[("true", "expired"), ("false", "not expired")])),
            ("hasRules", "Rules", fixed(&[("true", "with rules"), ("false", "without rules")])),
            (
                "noClicksDays",
                "Clicks",
                fixed(&[("30", "none in 30 days"), ("90", "none in 90 days"), ("365", "none in a year")]),
            ),
            ("health", "Destination", fixed(&[("broken", "does not work")])),
        ];
        let menu = |(name, label, entries)| FilterMenu::of(request, name, label, entries);
        Ok(menus.into_iter().map(menu).filter(|menu| menu.entries.len() > 1).collect())
    }

    fn of(
        request: &PageRequest<'_>,
        name: &'static str,
        label: &'static str,
        mut entries: Vec<(String, String)>,
    ) -> FilterMenu {
        entries.truncate(ENTRIES_MAX);
        let chosen = request.param(name).unwrap_or_default();
        // What the address has stays, also if the menu does not offer it.
        if !chosen.is_empty() && entries.iter().all(|(value, _)| *value != chosen) {
            entries.push((chosen.clone(), chosen.clone()));
        }
        let all = std::iter::once((String::new(), "any".to_owned())).chain(entries);
        let entries = all.map(|(value, name)| {
            let is_chosen = value == chosen;
            (value, name, is_chosen)
        });
        FilterMenu { name, label, entries: entries.collect() }
    }
}
