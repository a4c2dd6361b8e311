//! What companies and workspaces have beside links: domains, keys, sessions, tags, campaigns, contacts, secrets,
//! credits and caps. The [`directory`] has the records that every request reads.

mod attachments;
pub(super) mod caller;
pub(super) mod campaigns;
pub(super) mod caps;
pub(crate) mod contacts;
pub(super) mod credits;
pub mod directory;
pub(super) mod domains;
pub(super) mod folded_tags;
mod growth;
mod key_owner;
pub(super) mod keys;
pub(super) mod secrets;
mod session_index;
pub(super) mod sessions;
pub(super) mod sizes;
pub(super) mod tag_names;
pub(super) mod tags;
pub(super) mod viewer;
pub(super) mod webhook_secrets;
mod weights;
pub(super) mod workspaces;
