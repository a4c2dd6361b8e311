//! The words of the domain as types. Pure: no I/O, no clock, no serde, no async.
//!
//! A value that exists is valid: each type is parsed once, at an edge. Parsing fails only with [`Invalid`],
//! which names the field and the broken rule.

pub mod address;
pub mod attachment;
pub mod audit;
pub mod campaign;
pub mod certificate;
pub mod click_share;
pub mod color;
pub mod contact;
pub mod custom_values;
pub mod denied_hosts;
pub mod destination;
pub mod domain;
pub mod escape;
pub mod health;
pub mod id;
pub mod key;
pub mod link;
pub mod network;
pub mod node;
pub mod qr_style;
pub mod session;
pub mod short_code;
pub mod snapshot;
pub mod tag;
pub mod tenant;
pub mod text;
pub mod webhook;
pub mod workspace;

/// A value that breaks a rule. Its text is shown to the client that sent the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}{at}: {why}")]
pub struct Invalid {
    /// The name of the field in the model. A dialect translates the name into its vendor's.
    pub field: &'static str,
    /// The place within a field that is a list or an object, such as `[2].url`. Empty for the whole field.
    pub at: Box<str>,
    /// The rule, readable without the name of the field ("must be at most 2048 characters").
    pub why: String,
}

impl Invalid {
    /// Creates an error for `field`.
    pub fn new(field: &'static str, why: impl Into<String>) -> Invalid {
        Invalid { field, at: Box::default(), why: why.into() }
    }

    /// Returns the error of a field whose place within another one is `at`.
    #[must_use]
    pub fn below(self, at: &str) -> Invalid {
        Invalid { at: format!("{at}{}", self.at).into(), ..self }
    }
}

/// Rejects text of more than `max` characters, and text with control characters other than tab and line
/// breaks: no page and no log can show those safely.
pub(crate) fn plain_text(field: &'static str, text: &str, max: usize) -> Result<(), Invalid> {
    // Characters and not bytes: the limit is shown to people, in any script.
    if text.chars().count() > max {
        return Err(Invalid::new(field, format!("must be at most {max} characters")));
    }
    // Tab and line breaks are in notes and descriptions that people paste.
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    Ok(())
}
