//! What several suites stand on.

/// A disk that loses what was not synced.
pub(crate) mod sim_disk;
/// A table in memory.
pub(crate) mod table;
