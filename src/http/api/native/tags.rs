//! Tags in the native dialect. Their JSON is a part of a link's, so `formats` defines it.

use crate::http::api::dialect::{BadRequest, Command, RequestParts, ScopedCommand, object, write};
use crate::model::tag::TagEdit;

/// The fields of a new tag.
pub(super) const NEW: &[&[&str]] = &[&["name", "color", "workspaceId"]];

/// The fields of a changed tag: a client may send back a whole tag.
pub(super) const CHANGE: &[&[&str]] = &[NEW[0], &["id"]];

/// Parses `POST /tags {name, color?}`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let name = body.required("name")?.into();
    // Null is the default color, as if it was absent.
    let edits = body.text("color")?.value().map(|color| TagEdit::Color(color.into())).into_iter().collect();
    write(request, &body, Command::CreateTag { name, edits })
}

/// Parses `PATCH /tags/{id} {name?, color?}`.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = request.id("tag")?;
    let body = object(request)?;
    let name = body.optional("name")?.map(|name| TagEdit::Name(name.into()));
    // Null is an error here: a tag always has a color.
    let color = body.optional("color")?.map(|color| TagEdit::Color(color.into()));
    write(request, &body, Command::UpdateTag(id, name.into_iter().chain(color).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::check_parse;
    use crate::json::Mistyped;
    use crate::model::Invalid;

    #[test]
    fn names_are_strings() {
        let mistyped = |why| Err(Mistyped(Invalid::new("name", why)).into());
        check_parse(create, r#"{"color":"red"}"#, mistyped("is required"));
        check_parse(update, r#"{"name":null}"#, mistyped("must be a string"));
    }
}
