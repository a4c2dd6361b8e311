//! The list of workspaces and companies.

use std::collections::HashMap;

use askama::Template;
use hyper::StatusCode;

use crate::http::admin::chart::grouped;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::admin::pages::{ListPlace, of_page};
use crate::http::api::dialect::Reply;
use crate::http::body::HttpResponse;

/// Workspaces on a page.
const WORKSPACES: usize = 50;

/// Companies on the page: those beyond are found by their workspaces.
const COMPANIES: usize = 100;

#[derive(Template)]
#[template(path = "workspaces.html")]
struct WorkspacesPage<'a> {
    frame: &'a Frame,
    total: String,
    rows: Vec<WorkspaceRow>,
    companies: Vec<CompanyRow>,
    place: ListPlace,
}

struct WorkspaceRow {
    id: String,
    name: String,
    company: String,
    credits: String,
    domain: String,
    is_acting: bool,
}

struct CompanyRow {
    name: String,
    number: String,
    workspaces: String,
}

/// Shows the list.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let Reply::Workspaces(all) = request.get("/api/v1/workspaces", "").await? else {
        return Err(PageError::Internal);
    };
    let Reply::Companies(companies) = request.get("/api/v1/companies", "").await? else {
        return Err(PageError::Internal);
    };
    let mut numbers: HashMap<String, u64> = HashMap::new();
    for view in &all {
        *numbers.entry(view.workspace.company.to_string()).or_default() += 1;
    }
    let names: HashMap<String, String> =
        companies.iter().map(|company| (company.id.to_string(), company.name.to_string())).collect();
    let acting = request.frame.person.as_ref().and_then(|person| person.workspace.as_deref());
    let total = grouped(all.len() as u64);
    let (shown, place) = of_page(request, all, WORKSPACES, "/admin/workspaces", &[]);
    let row = |view: &crate::core::WorkspaceView| {
        let company = view.workspace.company.to_string();
        WorkspaceRow {
            id: view.workspace.id.to_string(),
            name: view.workspace.name.to_string(),
            credits: view.credits.map_or("no bound".to_owned(), grouped),
            domain: view.default_domain.clone(),
            is_acting: acting == Some(view.workspace.id.as_str()),
            // A key of a workspace sees no company.
            company: names.get(&company).cloned().unwrap_or(company),
        }
    };
    let company = |company: &crate::model::workspace::Company| CompanyRow {
        name: company.name.to_string(),
        number: company.relationship_number.to_string(),
        workspaces: grouped(numbers.get(company.id.as_str()).copied().unwrap_or(0)),
    };
    let page = WorkspacesPage {
        frame: request.frame,
        total,
        rows: shown.iter().map(row).collect(),
        companies: companies.iter().take(COMPANIES).map(company).collect(),
        place,
    };
    Ok(request.frame.page(StatusCode::OK, &page))
}
