//! Unknown fields of a body. They are ignored, as by the vendor, so that clients of later versions work. The answer
//! names them in `warnings`, each once and with the field that was likely meant: otherwise `customslug` would
//! give a generated code without a word.
//!
//! Only names that look like names of fields are repeated, since any other key may be a secret at the wrong place.

use std::collections::HashSet;

pub(super) use crate::formats::waypost::known::NEW_LINK;
use crate::formats::waypost::known::{KnownFields, is_known, meant, owner};
use crate::formats::waypost::{draft, fields, link_json};
use crate::http::api::dialect::{BadRequest, RequestParts, ScopedCommand};
use crate::json::{self, Field, Json, Object, looks_like_a_field};
use crate::model::Invalid;

/// Most unknown fields that an answer names. The rest is counted: an answer must stay short, and a body of a bulk
/// may have 100,000 keys.
const NAMED_MAX: usize = 20;

/// The fields of a changed link: a client may send back a whole link.
pub(super) const LINK_CHANGE: KnownFields = &[
    draft::NAMES,
    &["aliases", "keepOldCode", "workspaceId"],
    &fields::TAG_CHANGES,
    &fields::OPTION_NAMES,
    link_json::READ_ONLY,
];

/// Lists of fields that answers have and no change sets.
const READ_ONLY: &[&[&str]] = &[
    link_json::READ_ONLY,
    super::domains::READ_ONLY,
    super::workspaces::READ_ONLY,
    super::campaigns::READ_ONLY,
    super::click_shares::READ_ONLY,
];

/// Fields of a link that other requests have, and where.
const ELSEWHERE: &[(&str, &str)] =
    &[("aliases", "; to add an alias, rename the link by a PATCH with keepOldCode")];

/// The same of domains and workspaces: their files have requests of their own.
const FILES: &[(&str, &str)] = &[
    ("qrLogo", "; PUT .../qr-logo sets it"),
    ("appleAppSiteAssociation", "; PUT .../apple-app-site-association sets it"),
    ("assetLinks", "; PUT .../assetlinks.json sets it"),
];

/// What answers contain one object in.
const WRAPPERS: &[&str] = &["link", "domain", "workspace", "campaign", "tag", "share"];

/// The unknown fields of one request.
#[derive(Default)]
pub(super) struct UnknownFields {
    /// Each warning, in the order of the body.
    named: Vec<String>,
    /// The names in `named`: a bulk names a field at its first row.
    seen: HashSet<Box<str>>,
    /// The number of fields that are not in `named`.
    more: usize,
}

impl UnknownFields {
    /// Adds the fields of an object that are not known. `place` precedes their names.
    pub(super) fn note(&mut self, place: &str, body: &Object, known: KnownFields) {
        // Only who sends back a whole link, with its id, sends the fields that answers alone have.
        let is_whole = !matches!(body.get("id"), Field::Absent);
        let settable: Vec<_> = known.iter().copied().filter(|names| !READ_ONLY.contains(names)).collect();
        let is_named = |name: &str| is_known(name, if is_whole { known } else { &settable });
        for (name, value) in body.iter().filter(|(name, _)| !is_named(name)) {
            if self.seen.contains(name) {
                continue;
            }
            if self.named.len() == NAMED_MAX || !looks_like_a_field(name) {
                self.more += 1;
                continue;
            }
            self.seen.insert(name.into());
            let hint = hint(name, value, known, &settable).unwrap_or_default();
            self.named.push(format!("{place}{name}: is no field of this request, and was ignored{hint}"));
        }
    }

    /// Returns the warnings of the response.
    pub(super) fn warnings(mut self) -> Vec<String> {
        match self.more {
            0 => {}
            1 => self.named.push("1 more key is no field of this request, and was ignored".to_owned()),
            more => {
                self.named.push(format!("{more} more keys are no fields of this request, and were ignored"));
            }
        }
        self.named
    }
}

/// Returns what the client most likely has to do about an unknown field.
fn hint(
    name: &str,
    value: &Json,
    known: KnownFields,
    settable: &[&'static [&'static str]],
) -> Option<String> {
    let found = |hints: &[(&str, &str)]| {
        hints.iter().find(|(field, _)| *field == name).map(|(_, hint)| (*hint).to_owned())
    };
    // Lists with `url` are those of links.
    let elsewhere = if known.concat().contains(&"url") {
        found(ELSEWHERE).or_else(|| owner(name).map(|owner| format!("; it is a field of {owner}")))
    } else {
        found(FILES)
    };
    // Before a likely name: `link` alone would be taken for `url`.
    let wrapped =
        || is_wrapper(name, value).then(|| format!("; send what is within {name}, as in an answer"));
    let meant = || meant(name, settable).map(|field| format!("; did you mean {field}?"));
    let fixed = || is_known(name, known).then(|| "; a PATCH cannot change it".to_owned());
    elsewhere.or_else(wrapped).or_else(meant).or_else(fixed)
}

/// Returns whether a client has sent a whole answer, and not the object in it.
fn is_wrapper(name: &str, value: &Json) -> bool {
    WRAPPERS.contains(&name) && matches!(value, Json::Object(_))
}

/// Fails if a body has a field that its request does not have. For requests that change something with any body: their
/// client reads a warning only after it.
pub(super) fn only_fields(body: &Object, known: KnownFields) -> Result<(), BadRequest> {
    let Some(name) = body.iter().map(|(name, _)| name).find(|name| !is_known(name, known)) else {
        return Ok(());
    };
    // Any other key may be a secret.
    if !looks_like_a_field(name) {
        return Err(Invalid::new("body", "has a key that is no field of this request").into());
    }
    // These requests have few fields, so that the error can list them.
    let hint = match meant(name, known) {
        Some(field) => format!("did you mean {field}?"),
        None => format!("it may have {}", known.concat().join(", ")),
    };
    Err(Invalid::new("", format!("is no field of this request; {hint}")).below(name).into())
}

/// Parses a request whose body has these fields. Adds its unknown fields to the command as warnings. In an error
/// about a missing field, names the unknown field that was likely meant for it.
pub(super) fn noted(
    request: &RequestParts<'_>,
    parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
    known: KnownFields,
) -> Result<ScopedCommand, BadRequest> {
    let parsed = parse(request);
    // Parsed twice: the body has at most 64 KB, and `parse` remains a function of the request alone.
    let Ok(body) = json::object(request.body) else { return parsed };
    match parsed {
        Ok(mut scoped) => {
            let mut unknown = UnknownFields::default();
            unknown.note("", &body, known);
            scoped.warnings = unknown.warnings();
            Ok(scoped)
        }
        Err(BadRequest::Mistyped(invalid)) if invalid.why == "is required" => {
            Err(BadRequest::Mistyped(with_meant(invalid, &body, known)))
        }
        Err(error) => Err(error),
    }
}

/// Adds the unknown field that was likely meant for a missing one.
fn with_meant(missing: Invalid, body: &Object, known: KnownFields) -> Invalid {
    if let Some((name, _)) = body.iter().find(|(name, value)| is_wrapper(name, value)) {
        let why = format!("is required; {name} is no field of this request: send what is within it");
        return Invalid::new(missing.field, why);
    }
    let found = body.iter().map(|(name, _)| name).find(|name| {
        !is_known(name, known) && looks_like_a_field(name) && meant(name, known) == Some(missing.field)
    });
    match found {
        Some(name) => Invalid::new(missing.field, format!("is required; {name} is no field of this request")),
        None => missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::query::Query;

    fn warnings(body: &str, known: KnownFields) -> Vec<String> {
        let mut unknown = UnknownFields::default();
        unknown.note("", &json::object(body.as_bytes()).expect("an object"), known);
        unknown.warnings()
    }

    #[test]
    fn the_likely_field_is_named() {
        let rows = [
            ("customslug", NEW_LINK, Some("customSlug")),
            ("custom_slug", NEW_LINK, Some("customSlug")),
            ("key", NEW_LINK, Some("customSlug")),
            ("slug", NEW_LINK, Some("customSlug")),
            ("shortCode", NEW_LINK, Some("customSlug")),
            ("long_url", NEW_LINK, Some("url")),
            ("longUrl", NEW_LINK, Some("url")),
            ("URL", NEW_LINK, Some("url")),
            ("expires_at", NEW_LINK, Some("expiresAt")),
            ("expirseAt", NEW_LINK, Some("expiresAt")),
            ("tags", NEW_LINK, Some("tagIds")),
            ("tagId", NEW_LINK, Some("tagIds")),
            ("nonsense", NEW_LINK, None),
            ("", NEW_LINK, None),
            ("scope", super::super::keys::NEW, Some("scopes")),
            ("key", super::super::keys::NEW, Some("name")),
            ("key", super::super::domains::NEW, None),
        ];
        for (name, known, want) in rows {
            assert_eq!(meant(name, known), want, "{name}");
        }
    }

    #[test]
    fn keys_that_are_no_names_are_counted() {
        let rows = [
            (r#"{"url":"u"}"#, vec![]),
            (
                r#"{"key":1}"#,
                vec!["key: is no field of this request, and was ignored; did you mean customSlug?"],
            ),
            (
                r#"{"showDestination":true}"#,
                vec![
                    "showDestination: is no field of this request, and was ignored; it is a field of domains",
                ],
            ),
            (r#"{"wp_0123":1}"#, vec!["1 more key is no field of this request, and was ignored"]),
            (
                r#"{"a b":1,"zzz":null,"":2}"#,
                vec![
                    "zzz: is no field of this request, and was ignored",
                    "2 more keys are no fields of this request, and were ignored",
                ],
            ),
        ];
        for (body, want) in rows {
            assert_eq!(warnings(body, NEW_LINK), want, "{body}");
        }
        let names = (b'a'..=b'z').map(|letter| format!("\"zq{}\":1", char::from(letter)));
        let many = warnings(&format!("{{{}}}", names.collect::<Vec<_>>().join(",")), NEW_LINK);
        assert_eq!(many.len(), NAMED_MAX + 1);
        assert_eq!(many[NAMED_MAX], "6 more keys are no fields of this request, and were ignored");
        assert!(warnings(&format!("{{\"{}\":1}}", "q".repeat(65)), NEW_LINK)[0].starts_with("1 more key"));
    }

    /// A request that acts at once is refused for an unknown field.
    #[test]
    fn requests_that_act_at_once_know_all_their_fields() {
        let undo = super::super::history::UNDO;
        let rows = [
            (r#"{"revision":"x","workspaceId":"w"}"#, None),
            (r#"{"to":"x"}"#, Some("to: is no field of this request; did you mean revision?")),
            (r#"{"Revision":"x"}"#, Some("Revision: is no field of this request; did you mean revision?")),
            (r#"{"zzz":1}"#, Some("zzz: is no field of this request; it may have revision, workspaceId")),
            (r#"{"wp_0123":1}"#, Some("body: has a key that is no field of this request")),
        ];
        for (body, want) in rows {
            let got = only_fields(&json::object(body.as_bytes()).expect("an object"), undo).err();
            let got = got.map(|error| match error {
                BadRequest::Rule(rule) => rule.to_string(),
                other => panic!("{other:?}"),
            });
            assert_eq!(got.as_deref(), want, "{body}");
        }
    }

    /// What a change ignores is named, unless a client sends back a whole object.
    #[test]
    fn fields_that_no_change_sets_are_named() {
        let (domain, workspace) = (super::super::domains::CHANGE, super::super::workspaces::CHANGE);
        let ignored = "is no field of this request, and was ignored";
        let rows = [
            (domain, r#"{"id":"x","qrLogo":null,"domain":"a.test"}"#, vec![]),
            (
                domain,
                r#"{"appleAppSiteAssociation":{"applinks":{}},"qrLogo":"x"}"#,
                vec![
                    format!("appleAppSiteAssociation: {ignored}; PUT .../apple-app-site-association sets it"),
                    format!("qrLogo: {ignored}; PUT .../qr-logo sets it"),
                ],
            ),
            (domain, r#"{"domain":"b.test"}"#, vec![format!("domain: {ignored}; a PATCH cannot change it")]),
            (
                domain,
                r#"{"domain":{"id":"x"}}"#,
                vec![format!("domain: {ignored}; send what is within domain, as in an answer")],
            ),
            (
                workspace,
                r#"{"companyId":"c","qrLogo":"x"}"#,
                vec![
                    format!("companyId: {ignored}; a PATCH cannot change it"),
                    format!("qrLogo: {ignored}; PUT .../qr-logo sets it"),
                ],
            ),
            (
                LINK_CHANGE,
                r#"{"link":{"id":"x"}}"#,
                vec![format!("link: {ignored}; send what is within link, as in an answer")],
            ),
        ];
        for (known, body, want) in rows {
            assert_eq!(warnings(body, known), want, "{body}");
        }
    }

    /// A client that reads a link and sends it back is not warned.
    #[test]
    fn a_change_knows_what_responses_have() {
        assert_eq!(warnings(r#"{"id":"x","clickCount":1,"qrCode":null}"#, LINK_CHANGE), [""; 0]);
        assert_eq!(warnings(r#"{"clickCount":1,"shortCode":"a"}"#, LINK_CHANGE).len(), 2);
        assert_eq!(warnings(r#"{"id":"x"}"#, NEW_LINK).len(), 1);
    }

    #[test]
    fn a_missing_field_is_found_under_another_name() {
        let request =
            RequestParts { id: "", query: Query::parse(None), body: br#"{"long_url":"https://e.test/"}"# };
        let error = noted(&request, super::super::links::create, NEW_LINK).expect_err("no url");
        let why = "is required; long_url is no field of this request";
        assert_eq!(error, BadRequest::Mistyped(Invalid::new("url", why)));
        let whole = RequestParts { body: br#"{"link":{"url":"https://e.test/"}}"#, ..request };
        let error = noted(&whole, super::super::links::create, NEW_LINK).expect_err("no url");
        let why = "is required; link is no field of this request: send what is within it";
        assert_eq!(error, BadRequest::Mistyped(Invalid::new("url", why)));
    }
}
