//! Snapshots: frozen copies of a workspace's links, shared and imported.
//!
//! Both freezing and importing write far more than one Change may hold. What they write first is
//! out of sight: chunks of content that no snapshot names, links whose import is under way. One
//! last small Change makes all of it visible, or, if it never comes, [`sweep`] removes it.

pub(super) mod at_work;
mod catalog;
mod freeze;
mod import;
mod lease;
pub(super) mod share;
mod stage;
mod sweep;
pub(super) mod view;
