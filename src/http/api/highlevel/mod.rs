//! HighLevel's API (docs/decisions.md A19-A28). An agency is a company, and a location is a workspace. A link's
//! `name` is its title, and its `redirectTo` its destination. The `Version` header has no effect: clients of every
//! version get the same responses.

mod error;
pub(super) mod links;
mod rate_headers;
pub(super) mod snapshots;
