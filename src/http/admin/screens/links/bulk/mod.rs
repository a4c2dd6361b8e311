//! The same change of many links: of those that are checked in the list, of its page, or of all that its filters pass.
//!
//! 1. A page of its own says how many links there are and what will happen, before anything does.
//! 2. Each link is changed by a request of its own, as its form would. A repetition changes nothing twice.
//! 3. All links of a list are walked from the newest to the oldest: what a change removes from the list moves no other one.

mod act;
mod confirm;
mod selected;
mod step;

use self::act::BulkAct;
use self::selected::{SelectedLinks, pairs};
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::body::HttpResponse;

/// Shows what will happen, or does a step of it.
pub(in crate::http::admin) async fn act(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let form = &request.form;
    let (name, act) = BulkAct::read(form)?;
    let selected = SelectedLinks::read(form)?;
    match (act, &selected) {
        (BulkAct::Download, SelectedLinks::Checked(ids)) => super::files::of_checked(request, ids).await,
        (BulkAct::Download, SelectedLinks::All(filters)) => {
            let path = format!("/admin/links.csv?{}", query_of(&pairs(filters)));
            Ok(request.frame.redirect(&path))
        }
        _ if form.has("go") => step::show(request, (name, act), &selected).await,
        _ => confirm::show(request, (name, act), &selected).await,
    }
}
