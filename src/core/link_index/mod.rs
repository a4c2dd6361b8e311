//! Indexes of links in memory and in a file, for lists of workspaces with many links. They are derived from the table, and
//! built when a list needs them: see [`index::LinkIndex`].

mod arena;
mod build;
mod clicks;
mod columns;
mod entry;
pub(in crate::core) mod filter;
pub(in crate::core) mod index;
pub(in crate::core) mod numbers;
pub(in crate::core) mod parts;
mod recent;
pub(in crate::core) mod registry;
pub(in crate::core) mod scan;
pub(in crate::core) mod slots;
pub(in crate::core) mod titles;
