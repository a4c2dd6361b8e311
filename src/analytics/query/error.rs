//! [`QueryError`]: why a question has no answer.

use std::borrow::Cow;

use crate::analytics::part::error::PartError;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The question contradicts a rule, which the text names.
    #[error("{0}")]
    Question(&'static str),
    /// A value of a filter is none of its facet.
    #[error("`{value}` is not a value of {facet}: {rule}")]
    Value {
        /// The name of the facet.
        facet: &'static str,
        /// The value.
        value: String,
        /// What values are.
        rule: Cow<'static, str>,
    },
    /// The part at this place of the source cannot be read. If the part is damaged, the caller sets it aside.
    #[error("part {0}: {1}")]
    Part(usize, PartError),
    /// A breakdown by two facets has too many rows for the memory of one question.
    #[error("a breakdown has more than a million rows: group by one field, or add a filter")]
    TooLarge,
    /// The question was cancelled, or its deadline passed.
    #[error("the question takes too long")]
    TooSlow,
}
