//! A new link from its JSON, for `POST /links`, a row of a bulk, and a line of an import.

use super::fields;
use crate::json::{FieldError, Object};
use crate::model::Invalid;
use crate::model::link::{DomainChoice, Draft, Names, Password};
use crate::model::short_code::ShortCode;

/// The text that replaces a password in responses. A client that sends it back changes nothing.
pub const MASK: &str = "********";

/// Reads a new link. `default` is the domain of a body that names none.
pub fn read(body: &Object, default: &DomainChoice) -> Result<Draft, FieldError> {
    let destination = body.required("url")?.into();
    let link_type = body.text("linkType")?.map(fields::link_type).transpose()?.value().unwrap_or_default();
    let password = match body.text("password")?.value() {
        // A new link has no password to keep, so the mask is an error, unlike in a change.
        Some(MASK) => {
            return Err(Invalid::new(
                "password",
                "must be a new password: ******** only stands for a hidden one",
            )
            .into());
        }
        Some(text) => Some(Password::parse(text)?),
        None => None,
    };
    Ok(Draft {
        domain: domain(body)?.unwrap_or_else(|| default.clone()),
        code: code(body)?,
        destination,
        link_type,
        password,
        edits: fields::of_draft(body)?,
        // The caller sets them: an import names tags, a create has their ids.
        names: Names::default(),
    })
}

/// Reads the domain that a body names.
pub fn domain(body: &Object) -> Result<Option<DomainChoice>, FieldError> {
    Ok(body.text("domain")?.value().map(|name| DomainChoice::Name(name.into())))
}

/// Reads `customSlug`, or `alias`, the name in the vendor's quick start. Returns `None` for null and "", which
/// ask for a generated code.
pub fn code(body: &Object) -> Result<Option<ShortCode>, FieldError> {
    // Both are read before they are compared, so that a wrong type is always reported.
    let slug = body.text("customSlug")?.value();
    let alias = body.text("alias")?.value();
    let (field, text) = match (slug, alias) {
        (Some(slug), Some(alias)) if slug != alias => {
            return Err(Invalid::new("alias", "must equal customSlug when both are given").into());
        }
        (Some(slug), _) => ("customSlug", slug),
        (None, Some(alias)) => ("alias", alias),
        (None, None) => return Ok(None),
    };
    Ok(Some(ShortCode::parse(text).map_err(|invalid| Invalid { field, ..invalid })?))
}
