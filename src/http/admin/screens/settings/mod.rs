//! Settings of a person, sessions, and the health of the server.

mod health;
pub(in crate::http::admin) mod sessions;
pub(in crate::http::admin) mod show;
