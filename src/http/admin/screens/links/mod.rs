//! The screens of links: the list, the form, one link, deleted links.

pub(in crate::http::admin) mod bulk;
pub(in crate::http::admin) mod deleted;
pub(in crate::http::admin) mod edit;
pub(in crate::http::admin) mod files;
mod filters;
pub(in crate::http::admin) mod list;
pub(in crate::http::admin) mod one;
pub(in crate::http::admin) mod qr;
