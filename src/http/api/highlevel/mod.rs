//! HighLevel's API (DECISIONS 19-24). Links and the probe of locations are [`HighLevelLinks`]; a
//! location is a workspace, a link's `name` its title, `redirectTo` its destination.
//!
//! The `Version` header says nothing here: every version's clients are answered alike.

mod failure;
mod links;

pub(super) use self::links::HighLevelLinks;
