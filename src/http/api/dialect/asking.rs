//! How a request becomes a command, where dialects agree: `workspaceId` in query or body, and a
//! body that is a JSON object.

use super::{Asked, Call, Command, Refusal};
use crate::http::api::json::{self, Fields};

/// A command without a body; its workspace may be in the query.
pub fn read(call: &Call<'_>, command: Command) -> Result<Asked, Refusal> {
    Ok(Asked { workspace: call.query.text("workspaceId")?.map(str::to_owned), command })
}

/// A command with a body; its workspace may be in body or query.
pub fn write(call: &Call<'_>, body: &Fields, command: Command) -> Result<Asked, Refusal> {
    let mut asked = read(call, command)?;
    if let Some(named) = body.text("workspaceId")?.value() {
        asked.workspace = Some(named.to_owned());
    }
    Ok(asked)
}

/// The body, which must be a JSON object.
pub fn object(call: &Call<'_>) -> Result<Fields, Refusal> {
    json::object(call.body).map_err(Refusal::Malformed)
}
