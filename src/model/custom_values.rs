//! `{{custom_values.NAME}}` in a destination stands for a value of the link's workspace
//! (docs/decisions.md A22, as at HighLevel). Spaces within the braces are allowed, as its editor writes them.
//!
//! A destination with placeholders is checked twice: when it is saved, with something harmless in
//! their place, and when it is compiled, with the values, by the rules of every destination.

use std::borrow::Cow;

use crate::model::Invalid;

const PREFIX: &str = "custom_values.";

/// What every placeholder begins with in the spelling that is stored.
pub const PLACEHOLDER: &str = "{{custom_values.";

/// A value that a destination needs and the workspace lacks, or one that makes no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// There is no value of this name.
    #[error("the workspace has no custom value named {0:?}")]
    Unknown(Box<str>),
    /// With the values in place it is no destination.
    #[error("with the workspace's custom values, {0}")]
    Invalid(Invalid),
}

/// A piece of a text with placeholders.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Whether a text holds placeholders.
pub(super) fn is_in(text: &str) -> bool {
    pieces(text).any(|piece| matches!(piece, Ok(Piece::Name(_)) | Err(_)))
}

/// The text with each placeholder replaced; `None` from `value` ends it with that name.
pub(super) fn fill<'v>(text: &str, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> Result<String, Box<str>> {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Ok(Piece::Text(text)) | Err(text) => filled.push_str(text),
            Ok(Piece::Name(name)) => filled.push_str(&value(name).ok_or(name)?),
        }
    }
    Ok(filled)
}

/// The text in the one spelling that is stored: no spaces in the braces, the rest through
/// `encode`.
pub(super) fn normal(
    field: &'static str,
    text: &str,
    encode: impl Fn(&str) -> String,
) -> Result<String, Invalid> {
    let mut normal = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Ok(Piece::Text(text)) => normal.push_str(&encode(text)),
            Ok(Piece::Name(name)) => normal.push_str(&["{{", PREFIX, name, "}}"].concat()),
            Err(_) => {
                let why = "must write custom values as {{custom_values.NAME}}, NAME of A-Z, a-z, 0-9 and _";
                return Err(Invalid::new(field, why));
            }
        }
    }
    Ok(normal)
}

/// What a text is made of; an error is what begins as a placeholder and is none.
fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, &str>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(at) = opening(rest) else {
            return Some(Ok(Piece::Text(std::mem::take(&mut rest))));
        };
        if at > 0 {
            let (before, from) = rest.split_at(at);
            rest = from;
            return Some(Ok(Piece::Text(before)));
        }
        let inner = rest[2..].trim_start().strip_prefix(PREFIX).unwrap_or("");
        let named = inner.split_once("}}").map(|(name, after)| (name.trim_end(), after));
        match named.filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                rest = after;
                Some(Ok(Piece::Name(name)))
            }
            None => Some(Err(std::mem::take(&mut rest))),
        }
    })
}

/// Where the next placeholder begins. Other double braces are text like any other.
fn opening(text: &str) -> Option<usize> {
    text.match_indices("{{").map(|(at, _)| at).find(|at| text[at + 2..].trim_start().starts_with(PREFIX))
}

fn is_name(name: &str) -> bool {
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
            ("https://e.test/{{contact.id}}", Some("https://e.test/{{contact.id}}")),
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
            assert!(is_in(text), "{text}");
            assert_eq!(normal("url", text, str::to_owned).ok().as_deref(), want, "{text}");
        }
        assert!(!is_in("https://e.test/{{contact.id}}"));
    }
}
