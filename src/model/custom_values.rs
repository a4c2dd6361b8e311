//! `{{custom_values.NAME}}` in a destination is a placeholder for a value of the link's workspace
//! (docs/decisions.md A22, as at HighLevel). Spaces within the braces are allowed, since HighLevel's editor
//! writes them.
//!
//! A destination with placeholders is checked twice, by the rules of every destination: with harmless text in
//! their place when the link is saved, and with the values when the link is compiled.

use std::borrow::Cow;

use crate::model::Invalid;

const PREFIX: &str = "custom_values.";

/// The start of every placeholder in the stored spelling.
pub const PLACEHOLDER: &str = "{{custom_values.";

/// The reason why a destination with placeholders is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// The workspace has no value of this name.
    #[error("the workspace has no custom value named {0:?}")]
    Unknown(Box<str>),
    /// With the values in place, the text breaks a rule of destinations.
    #[error("with the workspace's custom values, {0}")]
    Invalid(Invalid),
}

/// A part of a text with placeholders.
enum TextPart<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Returns whether a text contains placeholders, valid or not.
pub(super) fn is_in(text: &str) -> bool {
    parts(text).any(|part| matches!(part, Ok(TextPart::Name(_)) | Err(_)))
}

/// Rejects placeholders in a field that is not filled in.
pub fn reject(field: &'static str, text: &str) -> Result<(), Invalid> {
    if is_in(text) {
        return Err(Invalid::new(
            field,
            "must not contain {{custom_values...}}: only the destination is filled in",
        ));
    }
    Ok(())
}

/// Returns the text with each placeholder replaced by `value`. Fails with the name of the first placeholder
/// for which `value` returns `None`.
pub(super) fn fill<'v>(text: &str, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> Result<String, Box<str>> {
    let mut filled = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            // A malformed placeholder is text: `normal` has rejected new ones, so it comes from an old
            // record.
            Ok(TextPart::Text(text)) | Err(text) => filled.push_str(text),
            Ok(TextPart::Name(name)) => filled.push_str(&value(name).ok_or(name)?),
        }
    }
    Ok(filled)
}

/// Returns the text in its stored spelling: no spaces in the braces, and the rest encoded by `encode`. Fails
/// if a placeholder is malformed.
pub(super) fn normal(
    field: &'static str,
    text: &str,
    encode: impl Fn(&str) -> String,
) -> Result<String, Invalid> {
    let mut normal = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Ok(TextPart::Text(text)) => normal.push_str(&encode(text)),
            Ok(TextPart::Name(name)) => normal.push_str(&["{{", PREFIX, name, "}}"].concat()),
            Err(_) => {
                let why = "must write custom values as {{custom_values.NAME}}, NAME of A-Z, a-z, 0-9 and _";
                return Err(Invalid::new(field, why));
            }
        }
    }
    Ok(normal)
}

/// Splits a text into its parts. An error is a text that begins like a placeholder and is not one.
fn parts(text: &str) -> impl Iterator<Item = Result<TextPart<'_>, &str>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(at) = opening(rest) else {
            return Some(Ok(TextPart::Text(std::mem::take(&mut rest))));
        };
        if at > 0 {
            let (before, from) = rest.split_at(at);
            rest = from;
            return Some(Ok(TextPart::Text(before)));
        }
        // Two bytes are `{{`: `opening` returned this position.
        let inner = rest[2..].trim_start().strip_prefix(PREFIX).unwrap_or("");
        let named = inner.split_once("}}").map(|(name, after)| (name.trim_end(), after));
        match named.filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                rest = after;
                Some(Ok(TextPart::Name(name)))
            }
            // The rest is not searched: one malformed placeholder is enough to reject the text.
            None => Some(Err(std::mem::take(&mut rest))),
        }
    })
}

/// Returns the position of the next placeholder. Other double braces are text like any other.
fn opening(text: &str) -> Option<usize> {
    text.match_indices("{{").map(|(at, _)| at).find(|at| text[at + 2..].trim_start().starts_with(PREFIX))
}

fn is_name(name: &str) -> bool {
    // No space and no brace: the end of a name must be unambiguous.
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        let rows = [
            ("https://e.test/", Some("https://e.test/")),
            ("https://e.test/{{custom_values.a}}", Some("https://e.test/<a>")),
            ("{{custom_values.a}}", Some("<a>")),
            ("{{ custom_values.a }}x{{custom_values.b_2}}", Some("<a>x<b_2>")),
            // Only `custom_values.` begins a placeholder.
            ("https://e.test/{{contact.id}}", Some("https://e.test/{{contact.id}}")),
            // The outer braces are text.
            ("{{{{custom_values.a}}}}", Some("{{<a>}}")),
            ("https://e.test/{{custom_values.missing}}", None),
        ];
        for (text, want) in rows {
            let value = |name: &str| (name != "missing").then(|| format!("<{name}>").into());
            assert_eq!(fill(text, value).ok().as_deref(), want, "{text}");
        }
    }

    #[test]
    fn the_stored_spelling() {
        let rows = [
            ("{{ custom_values.a  }}/b", Some("{{custom_values.a}}/b")),
            (
                "https://e.test/{{custom_values.a}}?{{contact.id}}",
                Some("https://e.test/{{custom_values.a}}?{{contact.id}}"),
            ),
            ("https://e.test/{{custom_values.}}", None),
            ("https://e.test/{{custom_values.a b}}", None),
            ("https://e.test/{{custom_values.a", None),
            ("https://e.test/{{custom_values.a-b}}", None),
        ];
        for (text, want) in rows {
            // Also a malformed placeholder: otherwise `normal` would not get to reject the text.
            assert!(is_in(text), "{text}");
            assert_eq!(normal("url", text, str::to_owned).ok().as_deref(), want, "{text}");
        }
        assert!(!is_in("https://e.test/{{contact.id}}"));
    }
}
