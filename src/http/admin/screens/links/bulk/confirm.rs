//! The page that says what will happen to many links, before anything does.

use askama::Template;
use hyper::StatusCode;

use super::act::BulkAct;
use super::selected::{NAMED, SelectedLinks, first_links};
use crate::http::admin::chart::grouped;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::admin::screens::links::list::without_scheme;
use crate::http::api::dialect::Reply;
use crate::http::body::HttpResponse;

#[derive(Template)]
#[template(path = "bulk.html")]
struct BulkPage<'a> {
    frame: &'a Frame,
    heading: String,
    consequence: &'static str,
    /// The field for the tag or campaign: `tag`, `untag`, `campaign`, or another name for none.
    act: &'static str,
    /// Ids and names to choose from.
    choices: Vec<(String, String)>,
    is_danger: bool,
    submit: String,
    /// Short URLs of the first links.
    named: Vec<String>,
    more: String,
    hidden: Vec<(String, String)>,
    back: String,
}

/// Shows the page.
pub(super) async fn show(
    request: &PageRequest<'_>,
    (name, act): (&'static str, BulkAct),
    selected: &SelectedLinks,
) -> Result<HttpResponse, PageError> {
    let (total, links, is_incomplete) = first_links(request, selected).await?;
    if total == 0 {
        return Err(PageError::rule("links", "this list has no link any more"));
    }
    let plural = if total == 1 { "link" } else { "links" };
    let or_more = if is_incomplete { " or more" } else { "" };
    let count = format!("{}{or_more} {plural}", grouped(total));
    // The selection itself and not what it found: links may be created before the next form.
    let mut hidden = selected.fields();
    hidden.extend([("act".to_owned(), name.to_owned()), ("total".to_owned(), total.to_string())]);
    let named: Vec<_> =
        links.iter().take(NAMED).map(|view| without_scheme(&view.short_url).to_owned()).collect();
    let page = BulkPage {
        frame: request.frame,
        heading: format!("{} {count}", act.words().0),
        consequence: act.consequence(),
        act: name,
        choices: choices(request, act).await?,
        is_danger: act == BulkAct::Delete,
        submit: if act == BulkAct::Delete { format!("Delete {count}") } else { format!("Change {count}") },
        more: grouped(total.saturating_sub(named.len() as u64)),
        named,
        hidden,
        back: selected.list(),
    };
    Ok(request.frame.page(StatusCode::OK, &page))
}

/// Returns ids and names of the tags or campaigns to choose from.
async fn choices(request: &PageRequest<'_>, act: BulkAct) -> Result<Vec<(String, String)>, PageError> {
    match act {
        BulkAct::AddTag | BulkAct::RemoveTag => match request.get("/api/v1/tags", "").await? {
            Reply::Tags(all) => {
                Ok(all.iter().map(|tag| (tag.id.to_string(), tag.name.to_string())).collect())
            }
            _ => Err(PageError::Internal),
        },
        BulkAct::Move => match request.get("/api/v1/campaigns", "").await? {
            Reply::Campaigns(page) => {
                let each = page.campaigns.iter().map(|view| &view.campaign);
                Ok(each
                    .map(|campaign| (campaign.id.as_str().to_owned(), campaign.name.to_string()))
                    .collect())
            }
            _ => Err(PageError::Internal),
        },
        _ => Ok(Vec::new()),
    }
}
