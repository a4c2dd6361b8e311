//! What a person chooses for all pages: colors, the workspace, single keys.

use crate::http::admin::cookies::KeptChoice;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_request::PageRequest;
use crate::http::admin::screens::sign_in::own_path;
use crate::http::body::HttpResponse;

/// Keeps a choice, and leads back to the page of its form.
pub(in crate::http::admin) fn keep(request: &PageRequest<'_>) -> HttpResponse {
    let form = &request.form;
    let back = own_path(form.text("back").unwrap_or("/admin"));
    let cookie = if let Some(theme) = form.text("theme") {
        KeptChoice::Theme.keep(if matches!(theme, "light" | "dark") { theme } else { "" })
    } else if let Some(workspace) = form.text("workspace") {
        KeptChoice::Workspace.keep(workspace)
    } else {
        form.text("keys").and_then(|keys| KeptChoice::Keys.keep(if keys == "off" { keys } else { "" }))
    };
    // A page of an object of the former workspace would be an error.
    let back = if form.has("workspace") { "/admin" } else { back };
    Frame::with_cookie(request.frame.redirect(back), cookie)
}
