//! Workspaces and companies: their list, new ones, and a workspace with its options, logo and webhook secret.

pub(in crate::http::admin) mod list;
pub(in crate::http::admin) mod new;
pub(in crate::http::admin) mod one;
mod options;
pub(in crate::http::admin) mod secret;
