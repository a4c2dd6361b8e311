//! Domains: the list, and one domain with its options, certificate, logo and app links.

mod apps;
pub(in crate::http::admin) mod files;
mod https;
pub(in crate::http::admin) mod list;
pub(in crate::http::admin) mod one;
mod options;
mod page;
mod row;
