//! `{{custom_values.NAME}}` in a destination is a placeholder for a value of the link's workspace
//! (docs/decisions.md A22, as at HighLevel). Spaces within the braces are allowed, since HighLevel's editor
//! writes them.
//!
//! A destination with placeholders is checked twice, by the rules of every destination: with harmless text in
//! their place when the link is saved, and with the values when the link is compiled.

use std::borrow::Cow;

use crate::model::Invalid;
use crate::model::text::{is_invisible, trim_blank};

const PREFIX: &str = "custom_values.";

/// The beginning of the placeholders of all programs that fill in texts.
const OPENING: &str = "{{";

const PLACEHOLDER_RULE: &str = "must write placeholders as {{custom_values.NAME}}, NAME of A-Z, a-z, 0-9 and _, and \
                                other braces as %7B and %7D";

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

/// Rejects every placeholder, known or not, in a field that is not filled in: visitors would get its braces.
pub fn reject(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.contains(OPENING) {
        return Err(Invalid::new(
            field,
            "must not contain {{: placeholders are filled in only in the destination, as {{custom_values.NAME}}",
        ));
    }
    Ok(())
}

/// Rejects placeholders that are unknown or malformed. To be called for a text without a valid one.
pub(super) fn reject_unknown(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.contains(OPENING) { Err(Invalid::new(field, PLACEHOLDER_RULE)) } else { Ok(()) }
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
    let mut is_behind_name = false;
    for part in parts(text) {
        match part {
            Ok(TextPart::Text(text)) => {
                // A third brace is another program's spelling, as in `{{{name}}}`.
                let is_third = text.ends_with('{') || (is_behind_name && text.starts_with('}'));
                if is_third || text.contains(OPENING) {
                    return Err(Invalid::new(field, PLACEHOLDER_RULE));
                }
                normal.push_str(&encode(text));
                is_behind_name = false;
            }
            Ok(TextPart::Name(name)) => {
                normal.push_str(&["{{", PREFIX, name, "}}"].concat());
                is_behind_name = true;
            }
            Err(_) => return Err(Invalid::new(field, PLACEHOLDER_RULE)),
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
        let inner = trim_blank_start(&rest[2..]).strip_prefix(PREFIX).unwrap_or("");
        let named = inner.split_once("}}").map(|(name, after)| (trim_blank(name), after));
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
    text.match_indices(OPENING)
        .map(|(at, _)| at)
        .find(|at| trim_blank_start(&text[at + 2..]).starts_with(PREFIX))
}

fn trim_blank_start(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || is_invisible(c))
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
            // Only `custom_values.` begins a placeholder of a stored text.
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
            ("https://e.test/{{custom_values.}}", None),
            ("https://e.test/{{custom_values.a b}}", None),
            ("https://e.test/{{custom_values.a", None),
            ("https://e.test/{{custom_values.a-b}}", None),
            ("https://e.test/{{\u{200b}custom_values.a\u{a0}}}", Some("https://e.test/{{custom_values.a}}")),
            // A brace alone is text, as in JSON.
            ("{{custom_values.a}}?q={\"a\":{\"b\":1}}", Some("{{custom_values.a}}?q={\"a\":{\"b\":1}}")),
            // Placeholders of other programs, and other spellings.
            ("https://e.test/{{{custom_values.a}}}", None),
            ("{{custom_values.a}}/{{{custom_values.a}}}", None),
            ("{{custom_values.a}}/{{contact.first_name}}", None),
            ("{{contact.first_name}}/{{custom_values.a}}", None),
            ("{{custom_values.a}}/{{Custom_Values.a}}", None),
            ("{{custom_values.a}}}", None),
            ("{{custom_values.a}}/{{custom_values . a}}", None),
        ];
        for (text, want) in rows {
            assert_eq!(normal("url", text, str::to_owned).ok().as_deref(), want, "{text}");
        }
        for text in
            ["{{contact.id}}", "{{{custom_values.a}}}", "{{", "{{Custom_values.a}}", "{{custom_value.a}}"]
        {
            assert!(reject("expiredUrl", text).is_err() && reject_unknown("url", text).is_err(), "{text}");
        }
        assert!(reject("expiredUrl", "?q={\"a\":{\"b\":1}}").is_ok());
    }
}
