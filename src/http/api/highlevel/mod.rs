//! HighLevel's API (DECISIONS 19-24): a location is a workspace, a link's `name` its title, its
//! `redirectTo` its destination. The `Version` header says nothing here: clients of every version
//! are answered alike.

mod failure;
mod links;

/// Links, and the probe of locations.
pub(super) struct HighLevelLinks;
