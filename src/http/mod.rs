//! HTTP: the accept loop ([`server`]), the shell around redirects ([`service`]) and the JSON APIs
//! ([`api`]). What a click does is `crate::visit`'s; what a command does is `crate::core`'s.
//!
//! Absent on purpose: HTTP/2 and TLS (a reverse proxy's work), CORS headers (keys do not belong
//! into browsers), a `Server` header.

pub mod api;
pub mod body;
pub mod conn;
pub mod counts;
pub mod dates;
pub mod host;
mod miss_limit;
pub mod route;
pub mod service;

pub use self::conn::server::Settings;
