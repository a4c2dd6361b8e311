//! Redirect loops: which places of this server a link or a domain may send a visitor to, and the
//! check that no write closes a loop of them.
//!
//! [`routes::Routes::edges`] is the one list of such places. A new field that holds a destination does not
//! compile until the list names it. Every write that adds an edge is checked by [`search::search`]: links
//! ([`check`]), domains, imports, and the custom values of a workspace, which fill destinations.
//! `doctor` runs the same search over the log.
//!
//! Two kinds of loops pass the check: those that an older version or another `public_url` left
//! behind, and those that a write cannot see, such as a path that a later link forwards. The visit
//! follows the chain before it redirects (`visit::loops`), so these end there.

mod check;
pub(in crate::core) mod fallback;
pub(in crate::core) mod filled;
pub(in crate::core) mod routes;
pub(in crate::core) mod search;
mod survey;

pub use self::routes::Hop;
pub use self::survey::{Report, Survey};
