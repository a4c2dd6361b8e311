//! HTTP: connections ([`conn`]), the service of redirects ([`service`]) and the JSON APIs ([`api`]). Clicks
//! belong to `crate::visit`, commands to `crate::core`.
//!
//! Absent on purpose: HTTP/2 and TLS (a reverse proxy has them), CORS headers (keys do not belong in
//! browsers), a `Server` header.

pub mod api;
pub mod body;
pub mod conn;
pub mod counts;
pub mod dates;
mod exposition;
pub mod host;
mod miss_limit;
mod process_metrics;
pub mod route;
pub mod service;

pub use self::conn::server::Settings;
