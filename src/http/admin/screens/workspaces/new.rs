//! The forms of a new workspace and of a new company.

use super::options::{NEW_COMPANY, NEW_WORKSPACE};
use crate::http::admin::fields::FieldTexts;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::admin::screens::simple_form::{FormOutcome, NewObject, create};
use crate::http::api::dialect::{Created, Reply};
use crate::http::body::HttpResponse;
use crate::model::key::Scope;

const WORKSPACE: NewObject = NewObject {
    heading: "New workspace",
    intro: "A workspace has links, tags, campaigns and domains of its own, which others do not see. It cannot be deleted.",
    fields: NEW_WORKSPACE,
    api: "/api/v1/workspaces",
    back: "/admin/workspaces",
    scope: Scope::Admin,
};

const COMPANY: NewObject = NewObject {
    heading: "New company",
    intro: "A company owns workspaces. A key of the company sees all of them. It cannot be deleted.",
    fields: NEW_COMPANY,
    api: "/api/v1/companies",
    back: "/admin/workspaces",
    scope: Scope::Admin,
};

/// Shows the form of a new workspace, or creates it.
pub(in crate::http::admin) async fn workspace(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let Reply::Companies(companies) = request.get("/api/v1/companies", "").await? else {
        return Err(PageError::Internal);
    };
    let entry =
        |company: &crate::model::workspace::Company| (company.id.to_string(), company.name.to_string());
    let mut texts = FieldTexts::default();
    texts.set("companyId", companies.first().map_or("", |company| company.id.as_str()));
    texts.offer("companyId", companies.iter().map(entry).collect());
    match create(request, &WORKSPACE, texts).await? {
        FormOutcome::Page(page) => Ok(page),
        FormOutcome::Done(answer) => match reply_of(*answer)? {
            Reply::Made(Created::Workspace(view), _) => {
                Ok(request.frame.redirect(&format!("/admin/workspaces/{}?done=created", view.workspace.id)))
            }
            _ => Err(PageError::Internal),
        },
    }
}

/// Shows the form of a new company, or creates it.
pub(in crate::http::admin) async fn company(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    match create(request, &COMPANY, FieldTexts::default()).await? {
        FormOutcome::Page(page) => Ok(page),
        FormOutcome::Done(_) => Ok(request.frame.redirect("/admin/workspaces?done=created")),
    }
}
