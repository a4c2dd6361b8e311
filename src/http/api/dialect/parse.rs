//! How a request becomes a command, where dialects agree: `workspaceId` in query or body, and a
//! body that is a JSON object.

use super::{BadRequest, Command, RequestParts, ScopedCommand};
use crate::http::api::json::{self, Fields};

/// A command without a body; its workspace may be in the query.
pub fn read(call: &RequestParts<'_>, command: Command) -> Result<ScopedCommand, BadRequest> {
    Ok(ScopedCommand { workspace: call.query.text("workspaceId")?.map(str::to_owned), command })
}

/// A command with a body; its workspace may be in body or query.
pub fn write(call: &RequestParts<'_>, body: &Fields, command: Command) -> Result<ScopedCommand, BadRequest> {
    let mut asked = read(call, command)?;
    if let Some(named) = body.text("workspaceId")?.value() {
        asked.workspace = Some(named.to_owned());
    }
    Ok(asked)
}

/// The body, which must be a JSON object.
pub fn object(call: &RequestParts<'_>) -> Result<Fields, BadRequest> {
    json::object(call.body).map_err(BadRequest::Malformed)
}
