//! HTTP: the accept loop ([`server`]), the shell around redirects ([`service`]) and the JSON APIs
//! ([`api`]). What a click does is `crate::visit`'s; what a command does is `crate::links`'s.
//!
//! Absent on purpose: HTTP/2 and TLS (a reverse proxy's work), CORS headers (keys do not belong
//! into browsers), a `Server` header.

pub mod api;
pub mod body;
pub mod counts;
pub mod dates;
mod deadline;
mod ending;
pub mod host;
pub mod place;
mod places;
mod scans;
pub mod server;
pub mod service;
mod stream;
mod turn;

pub use self::server::Settings;
