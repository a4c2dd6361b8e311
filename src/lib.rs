//! Waypost.
pub mod app;
pub mod cache;
pub mod cli;
pub mod clicks;
pub mod clock;
pub mod config;
pub mod http;
pub mod links;
pub mod log;
pub mod model;
pub mod readiness;
pub mod settings;
pub mod table;
pub mod visit;
