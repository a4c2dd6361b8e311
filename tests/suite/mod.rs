//! One module per part of Waypost.

/// The log: its contract, power cuts, damage, failing disks.
mod log;
