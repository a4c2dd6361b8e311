//! The screens of links: the list, the form, one link, deleted links.

pub(in crate::http::admin) mod bulk;
pub(in crate::http::admin) mod deleted;
pub(in crate::http::admin) mod edit;
pub(in crate::http::admin) mod files;
mod filters;
pub(in crate::http::admin) mod list;
pub(in crate::http::admin) mod one;
pub(in crate::http::admin) mod qr;

use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::dialect::{LinkView, Reply};

/// Returns the link of an id.
async fn link_of(request: &PageRequest<'_>, id: &str) -> Result<Box<LinkView>, PageError> {
    match request.get(&format!("/api/v1/links/{id}"), "").await? {
        Reply::Link(view) => Ok(view),
        _ => Err(PageError::Internal),
    }
}
