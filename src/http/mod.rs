//! HTTP: connections ([`conn`]), the service of redirects ([`service`]), the JSON APIs ([`api`]) and the dashboard
//! ([`admin`]). Clicks belong to `crate::visit`, commands to `crate::core`.
//!
//! Absent on purpose: CORS headers (keys do not belong on pages of others), a `Server` header.

pub mod admin;
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
