//! The history of links and the audit lists of workspaces. A command writes an entry in the Change of what it does
//! ([`notes`]), so that both follow from the log. The creation of a link has no entry while the link exists: its record
//! has the key and the time.

pub mod deleted;
pub(in crate::core) mod fields;
pub mod list;
pub(in crate::core) mod notes;
pub mod revisions;
pub mod settings;
