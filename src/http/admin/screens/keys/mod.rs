//! API keys: the list, a new one whose secret is shown once, and what other programs need to create links.

pub(in crate::http::admin) mod list;
pub(in crate::http::admin) mod new;
mod tools;
mod words;
