//! Redirect loops: the places of this server that a link or a domain may send a visitor to, and the check
//! that no write closes a loop of them.
//!
//! [`routes::Routes::edges`] is the one list of such places. A new field with a destination does not compile
//! until the list names it. [`search::search`] checks every write that adds an edge: links ([`check`]),
//! domains, imports, and the custom values of a workspace, which fill destinations. `doctor` runs the same
//! search over the log.
//!
//! Two kinds of loops pass the check. One is loops that an older version or another `public_url` left behind.
//! The other is loops that a write cannot see, such as a path that a later link forwards. The visit follows
//! the chain before it redirects (`visit::loops`), so it detects both.

mod check;
pub(in crate::core) mod fallback;
pub(in crate::core) mod filled;
pub(in crate::core) mod routes;
pub(in crate::core) mod search;
mod survey;

pub use self::routes::Hop;
pub use self::survey::{Report, Survey};
