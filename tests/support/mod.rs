//! What several suites stand on.

/// A whole server on a port of its own, and a client that writes bytes.
pub(crate) mod server;
/// A disk that loses what was not synced.
pub(crate) mod sim_disk;
/// A table in memory.
pub(crate) mod table;
