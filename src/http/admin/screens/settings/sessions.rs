//! Sessions: who is signed in with which key, and ending them. The API has no endpoints for them, so they come from the
//! core, which shows and ends those that the caller's key may see.

use std::collections::HashMap;

use crate::core::Error;
use crate::http::admin::format::minute;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::dialect::{ApiError, Reply};
use crate::http::body::HttpResponse;

/// Sessions on the page: the one used last comes first.
const SESSIONS: usize = 100;

/// A session of the list.
pub(super) struct SessionRow {
    pub(super) id: String,
    pub(super) device: String,
    pub(super) key: String,
    pub(super) began: String,
    pub(super) seen: String,
    pub(super) ends: String,
    pub(super) is_own: bool,
}

/// Returns the sessions that the caller sees.
pub(super) async fn list(request: &PageRequest<'_>) -> Result<Vec<SessionRow>, PageError> {
    let names = key_names(request).await?;
    let sessions = request.api.backend().tenants.sessions(&request.who.caller);
    let own = request.frame.person.as_ref().map_or("", |person| &person.name);
    let row = |session: &std::sync::Arc<crate::model::session::Session>| {
        let key = session.key.id();
        SessionRow {
            id: session.id.to_string(),
            device: session.device.to_string(),
            key: match key {
                _ if key == request.who.caller.key() => own.to_owned(),
                None => "WAYPOST_ADMIN_KEY".to_owned(),
                Some(id) => names.get(&id.to_string()).cloned().unwrap_or_else(|| id.to_string()),
            },
            began: minute(session.created_at),
            seen: minute(session.seen_at),
            ends: minute(session.ends_at()),
            is_own: session.id == request.who.session.id,
        }
    };
    Ok(sessions.iter().take(SESSIONS).map(row).collect())
}

/// Returns the names of keys by their ids. Empty for a key that may not see others.
async fn key_names(request: &PageRequest<'_>) -> Result<HashMap<String, String>, PageError> {
    if !request.frame.may().administer {
        return Ok(HashMap::new());
    }
    let Reply::Keys(all) = request.get("/api/v1/keys", "").await? else { return Err(PageError::Internal) };
    Ok(all.iter().map(|view| (view.key.id.to_string(), view.key.name.to_string())).collect())
}

/// Ends a session.
pub(in crate::http::admin) async fn end(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let id = id.parse().map_err(|_| PageError::Api(ApiError::NotFound("session")))?;
    let ended = request.api.backend().tenants.end_session(&request.who.caller, id).await;
    match ended {
        // One that has ended is what was wanted, such as after a second press of the button.
        Ok(()) | Err(Error::NotFound(_)) => Ok(request.frame.redirect("/admin/settings?done=ended")),
        Err(error) => Err(PageError::Api(request.api.error(error))),
    }
}
