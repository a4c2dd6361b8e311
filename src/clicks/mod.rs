//! Counting clicks: the live [`counter`] of each link, the [`registry`] that finds and drains them, and the
//! [`reservations`] of links with a limit.
//!
//! Clicks are only in memory until the next drain: a crash loses at most one flush interval of them. A clean
//! stop drains last and loses none. Clicks of a link with a limit are in the log before they happen.

pub mod counter;
pub mod registry;
pub mod reservations;
