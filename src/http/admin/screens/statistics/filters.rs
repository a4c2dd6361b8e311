//! The filters of the screen in words, each with the addresses that remove or turn it.

use super::asked::Asked;
use super::words::{shown_value, singular};
use crate::http::admin::page_request::PageRequest;
use crate::http::admin::screens::links::list::without_scheme;
use crate::http::api::dialect::Reply;

/// Letters of an id.
const ID_LETTERS: usize = 20;

/// A filter in words.
pub(super) struct FilterText {
    pub(super) text: String,
    /// What the turned filter does, and its address. A filter by id cannot exclude.
    pub(super) turn: Option<(&'static str, String)>,
    pub(super) without: String,
}

/// Returns the filters of the address in words.
pub(super) async fn filter_texts(request: &PageRequest<'_>, asked: &Asked) -> Vec<FilterText> {
    let mut texts = Vec::new();
    for (at, name, value) in asked.filters() {
        let is_id = name.ends_with("Id");
        let excluded = value.strip_prefix('-').filter(|_| !is_id);
        let shown = match name {
            "linkId" => short_url(request, value).await,
            // A list of links filters by their ids.
            "link" if is_id_like(excluded.unwrap_or(value)) => {
                short_url(request, excluded.unwrap_or(value)).await
            }
            _ => shown_value(name, excluded.unwrap_or(value)),
        };
        let verb = if excluded.is_some() { "is not" } else { "is" };
        let turned = match excluded {
            Some(value) => ("Include", value.to_owned()),
            None => ("Exclude", format!("-{value}")),
        };
        let (act, value) = turned;
        texts.push(FilterText {
            text: format!("{} {verb} {shown}", singular(name)),
            turn: (!is_id).then(|| (act, asked.replacing(at, Some(&value)))),
            without: asked.replacing(at, None),
        });
    }
    texts
}

/// Returns the short URL of a link without its scheme, or its id for a key that may not read links.
pub(in crate::http::admin) async fn short_url(request: &PageRequest<'_>, id: &str) -> String {
    // Any other text of the address could lead to another path of the API.
    let is_id = is_id_like(id);
    let path = format!("/api/v1/links/{id}");
    match if is_id { request.get(&path, "").await.ok() } else { None } {
        Some(Reply::Link(view)) => without_scheme(&view.short_url).to_owned(),
        _ => id.to_owned(),
    }
}

/// Returns whether a text has the form of an id.
fn is_id_like(text: &str) -> bool {
    text.len() == ID_LETTERS && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
