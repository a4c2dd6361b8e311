//! One module per part of Waypost.

/// The binary: starts, refusals, signals, ends.
mod lifecycle;
/// The log: its contract, power cuts, damage, failing disks.
mod log;
/// What a visitor gets.
mod redirect;
/// The table follows the log through reopening, wiping and damage.
mod table;
