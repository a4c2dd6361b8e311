//! A new link from its JSON, for `POST /links`, a row of a bulk, and a line of an import.

use super::fields;
use crate::json::{Field, FieldError, Json, Mistyped, Object};
use crate::model::Invalid;
use crate::model::link::{AliasName, DomainChoice, Draft, Names, Password};
use crate::model::short_code::ShortCode;
use crate::model::text::trim_invisible;

/// The text that replaces a password in responses. A client that sends it back changes nothing.
pub const MASK: &str = "********";

/// The name of the short code.
pub const CODE: &str = "customSlug";

/// The fields of a new link that are no options.
pub const NAMES: &[&str] = &["url", "domain", CODE, "alias", "linkType", "password"];

/// The fields of a new link that a change does not have.
pub const NEW_NAMES: &[&str] = &["reuse", "codePrefix"];

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
        code_prefix: code_prefix(body)?,
        reuse: body.flag("reuse")?.value().unwrap_or(false),
    })
}

/// Reads the domain that a body names.
pub fn domain(body: &Object) -> Result<Option<DomainChoice>, FieldError> {
    Ok(body.text("domain")?.value().map(|name| DomainChoice::Name(name.into())))
}

/// Longest prefix of a generated code, in characters. A code has at most 128.
const PREFIX_MAX: usize = 40;

/// Reads `codePrefix`, for a generated code.
fn code_prefix(body: &Object) -> Result<Option<Box<str>>, FieldError> {
    let Some(prefix) = body.text("codePrefix")?.value().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if code(body)?.is_some() {
        return Err(Invalid::new("codePrefix", "works only without customSlug").into());
    }
    if prefix.chars().count() > PREFIX_MAX {
        return Err(Invalid::new("codePrefix", "must be at most 40 characters").into());
    }
    // The characters of a code. A reserved word alone is no code, but it may begin one.
    ShortCode::parse(&format!("{prefix}-0")).map_err(|invalid| Invalid { field: "codePrefix", ..invalid })?;
    Ok(Some(prefix.into()))
}

/// Reads `aliases`, as a response shows them: objects with `domain` and `shortCode`.
pub fn aliases(body: &Object) -> Result<Vec<AliasName>, FieldError> {
    let mistyped =
        || Mistyped(Invalid::new("aliases", "must be an array of objects with domain and shortCode"));
    let Field::Value(items) = body.list("aliases")? else { return Ok(Vec::new()) };
    let alias = |item: &Json| {
        let Json::Object(alias) = item else { return Err(mistyped().into()) };
        let text = |name| alias.text(name).map(Field::value).map_err(|_| mistyped());
        let code = ShortCode::parse(text("shortCode")?.ok_or_else(mistyped)?);
        let code = code.map_err(|invalid| Invalid { field: "aliases", ..invalid })?;
        Ok(AliasName { domain: text("domain")?.map(Box::from), code })
    };
    items.iter().map(alias).collect()
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
    // What cannot be seen comes with a pasted text, and no code has it.
    Ok(Some(ShortCode::parse(trim_invisible(text)).map_err(|invalid| Invalid { field, ..invalid })?))
}
