//! One binary for all tests that see Waypost from outside.

/// The tests, one module per part.
mod suite;
/// What several suites stand on: simulated disks, tables in memory.
mod support;
