//! Waypost.
pub mod clicks;
pub mod clock;
pub mod log;
pub mod model;
