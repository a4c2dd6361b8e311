//! Links: creating, changing, listing, resolving and importing them.

mod address;
pub(super) mod bulk;
pub(super) mod codes;
pub(super) mod create;
pub(super) mod health;
pub(super) mod import;
pub(super) mod list;
mod list_source;
pub mod loops;
pub(super) mod named;
pub(super) mod password;
mod qr;
pub(super) mod query;
mod ranked;
pub(super) mod rankings;
pub(super) mod recent;
pub(super) mod resolve;
pub(super) mod restore;
mod reuse;
mod rewrite;
pub(super) mod rule_edits;
mod search;
mod sources;
pub(super) mod stream;
pub(super) mod undo;
pub(super) mod update;
