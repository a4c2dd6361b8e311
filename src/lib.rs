//! Waypost.
pub mod cache;
pub mod clicks;
pub mod clock;
pub mod links;
pub mod log;
pub mod model;
pub mod table;
pub mod visit;
