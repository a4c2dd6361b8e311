//! The log's bytes: frames, and the hash behind the manifest.

use crate::log::Position;

/// What one live record adds to the manifest's sum.
pub fn record_hash(_key: &[u8], _revision: Position) -> u128 {
    0
}
