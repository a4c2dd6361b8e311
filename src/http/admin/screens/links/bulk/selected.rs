//! [`SelectedLinks`]: the links that a form selects, by their ids or as all links of a list.

use crate::http::admin::form::Form;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::admin::screens::links::list::{FILTERS, path_of};
use crate::http::api::dialect::{LinkView, Reply};
use crate::http::api::native;

/// Most links that are named by their ids: four times those of a page. Past it: 422.
const CHECKED_MAX: usize = 100;

/// Links that a page names.
pub(super) const NAMED: usize = 10;

/// The links that a form selects.
pub(super) enum SelectedLinks {
    /// By their ids.
    Checked(Vec<String>),
    /// All links that pass the filters.
    All(Vec<(&'static str, String)>),
}

impl SelectedLinks {
    pub(super) fn read(form: &Form) -> Result<SelectedLinks, PageError> {
        let which = form.text("which").unwrap_or("checked");
        if which == "all" {
            let filter = |name: &&'static str| Some((*name, form.text(name)?.to_owned()));
            return Ok(SelectedLinks::All(FILTERS.iter().filter_map(filter).collect()));
        }
        let name = if which == "page" { "page" } else { "id" };
        let ids: Vec<String> = form.all(name).map(str::to_owned).collect();
        match ids.len() {
            0 => Err(PageError::rule("links", "check at least one link of the list, or choose all of them")),
            1..=CHECKED_MAX => Ok(SelectedLinks::Checked(ids)),
            _ => Err(PageError::rule("links", format!("check at most {CHECKED_MAX}, or choose all links"))),
        }
    }

    /// Returns the fields that carry the selection to the next form.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        match self {
            SelectedLinks::Checked(ids) => ids.iter().map(|id| ("id".to_owned(), id.clone())).collect(),
            SelectedLinks::All(filters) => {
                let all = ("which".to_owned(), "all".to_owned());
                let filters = filters.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
                std::iter::once(all).chain(filters).collect()
            }
        }
    }

    /// Returns the list that the selection is of.
    pub(super) fn list(&self) -> String {
        match self {
            SelectedLinks::Checked(_) => path_of(&[]),
            SelectedLinks::All(filters) => path_of(&pairs(filters)),
        }
    }
}

pub(super) fn pairs<'a>(filters: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    filters.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Returns the number of the selected links, the first ones, and whether there may be more than the number.
pub(super) async fn first_links(
    request: &PageRequest<'_>,
    selected: &SelectedLinks,
) -> Result<(u64, Vec<LinkView>, bool), PageError> {
    match selected {
        SelectedLinks::All(filters) => {
            let query = query_of(&[&pairs(filters)[..], &[("limit", "10")]].concat());
            let Reply::Links(page) = request.get("/api/v1/links", &query).await? else {
                return Err(PageError::Internal);
            };
            Ok((page.total, page.links, page.incomplete))
        }
        SelectedLinks::Checked(ids) => {
            let mut links = Vec::new();
            // Those that are not named are not read: their changes report what is wrong.
            for id in ids.iter().take(NAMED) {
                let Reply::Link(view) = request.get(&format!("/api/v1/links/{id}"), "").await? else {
                    return Err(PageError::Internal);
                };
                links.push(*view);
            }
            Ok((ids.len() as u64, links, false))
        }
    }
}

/// Returns the ids of the next links of a list, the newest first, and the cursor behind them.
pub(super) async fn page_of(
    request: &PageRequest<'_>,
    filters: &[(&'static str, String)],
    cursor: Option<&str>,
) -> Result<(Vec<String>, Option<String>), PageError> {
    // Not the order of the list: its cursor moves with what is changed.
    let more = [("sort", "newest"), ("limit", "100"), ("cursor", cursor.unwrap_or(""))];
    let query = query_of(&[&pairs(filters)[..], &more].concat());
    let Reply::Links(page) = request.get("/api/v1/links", &query).await? else {
        return Err(PageError::Internal);
    };
    let next = page.next.as_ref().and_then(|next| native::cursor_text(next, page.sort));
    Ok((page.links.iter().map(|view| view.link.id.to_string()).collect(), next))
}
