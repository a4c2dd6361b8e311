//! Snapshots: frozen copies of a workspace's links, which can be shared and imported.
//!
//! Freezing and importing write far more than fits into one Change. So they first write records that nothing
//! shows yet: chunks of content that no snapshot names, and links of an unfinished import. One last small
//! Change makes all of it visible. If that Change never comes, [`sweep`] removes the records.

pub(super) mod at_work;
mod catalog;
mod freeze;
pub(super) mod import;
mod lease;
pub(super) mod share;
mod stage;
mod sweep;
pub(super) mod view;
