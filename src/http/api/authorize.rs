//! What a key may do, and in which workspace a request acts.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::core::{Caller, Tenants};
use crate::http::api::dialect::{ApiError, BadRequest, Command, ScopedCommand, WorkspaceRule};
use crate::model::Invalid;
use crate::model::workspace::Workspace;

const WORKSPACE: HeaderName = HeaderName::from_static("x-workspace-id");

/// Fails unless the key may give this command at all.
pub(super) fn permit(caller: &Caller, command: &Command) -> Result<(), ApiError> {
    // Before the scopes: such a key has the scope of writing links, and may not use it for changes.
    if caller.is_create_only() && !command.creates_links() {
        return Err(ApiError::Forbidden("this key may only create links".to_owned()));
    }
    let scope = command.scope();
    if caller.scopes().allow(scope) {
        return Ok(());
    }
    Err(ApiError::Forbidden(format!("this key lacks the scope {}", scope.name())))
}

/// Returns the workspace that the header names, if any.
pub(super) fn named_workspace(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let error = |why: &str| ApiError::BadRequest(BadRequest::Mistyped(Invalid::new("X-Workspace-Id", why)));
    let mut lines = headers.get_all(WORKSPACE).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    // Proxies and servers differ in which of two lines counts, so the tenant would be uncertain.
    if lines.next().is_some() {
        return Err(error("must be given once"));
    }
    let id = line.to_str().map_err(|_| error("must be visible ASCII"))?;
    // As in query and body, empty is none: scripts send a variable that is not set.
    Ok((!id.is_empty()).then(|| id.to_owned()))
}

/// Returns the workspace in which a request acts. `header` is the workspace that its header names.
pub(super) fn workspace(
    tenants: &Tenants,
    caller: &Caller,
    scoped: &ScopedCommand,
    header: Option<&str>,
    rule: WorkspaceRule,
) -> Result<Arc<Workspace>, ApiError> {
    let in_request = scoped.workspace.as_deref();
    let named = match rule {
        WorkspaceRule::HeaderWins => header.or(in_request),
        WorkspaceRule::NameWins | WorkspaceRule::Confines => in_request.or(header),
    };
    let workspace = tenants.acting(caller, named).or_else(|| {
        // A company without a workspace may still list and create what belongs to the company.
        let is_of_company = named.is_none() && scoped.command.is_of_company();
        is_of_company.then(|| tenants.acting_for_company(caller)).flatten()
    });
    // One error for foreign and for unknown workspaces, so that ids cannot be probed.
    workspace.ok_or(ApiError::UnknownWorkspace)
}
