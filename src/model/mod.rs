//! The words of the domain as types. Pure: no I/O, no clock, no serde, no async.
//!
//! A value that exists is valid: each type is parsed once, at an edge, and the only way to fail
//! is [`Invalid`], which names the field and the rule it breaks.

pub mod campaign;
pub mod contact;
pub mod custom_values;
pub mod destination;
pub mod domain;
pub mod id;
pub mod key;
pub mod link;
pub mod network;
pub mod node;
pub mod short_code;
pub mod snapshot;
pub mod tag;
pub mod tenant;
pub mod webhook;
pub mod workspace;

/// A value that breaks a rule, as told to the caller who sent it: `field`: why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// The field in the model's own words; a dialect translates it into its vendor's.
    pub field: &'static str,
    /// The rule, readable alone after the field's name ("must be at most 2048 characters").
    pub why: String,
}

impl Invalid {
    /// A broken rule of `field`.
    pub fn new(field: &'static str, why: impl Into<String>) -> Invalid {
        Invalid { field, why: why.into() }
    }
}

/// Refuses text longer than `max` characters or holding control characters other than tab and
/// line breaks, which no page or log can show safely.
pub(crate) fn plain_text(field: &'static str, text: &str, max: usize) -> Result<(), Invalid> {
    if text.chars().count() > max {
        return Err(Invalid::new(field, format!("must be at most {max} characters")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    Ok(())
}
