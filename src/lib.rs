//! Waypost.
pub mod clicks;
pub mod clock;
pub mod links;
pub mod log;
pub mod model;
pub mod visit;
