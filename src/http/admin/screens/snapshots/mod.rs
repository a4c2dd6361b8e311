//! The screens of snapshots: the list, one with its shares, and the import of a share.

pub(in crate::http::admin) mod import;
pub(in crate::http::admin) mod list;
pub(in crate::http::admin) mod one;
