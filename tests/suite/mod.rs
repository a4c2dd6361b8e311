//! One module per part of Waypost.

/// The log: its contract, power cuts, damage, failing disks.
mod log;
/// The table follows the log through reopening, wiping and damage.
mod table;
