//! [`Found`]: a record as a reader gets it.

use super::error::Error;
use super::record::{Cell, Corrupt};
use super::store::Store;
use crate::log::Position;

/// A record and its revision.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The position of the Change that wrote it.
    pub revision: Position,
    /// The decoded record.
    pub record: T,
}

/// Returns the record under a key, `None` without one.
pub(super) fn decoded<T>(
    store: &Store,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, Corrupt>,
) -> Result<Option<Found<T>>, Error> {
    let Some(bytes) = store.get(key)? else { return Ok(None) };
    // The checksum covers the key: a value that ends up under another key is damage.
    let cell = Cell::decode(key, &bytes)?;
    Ok(Some(Found { revision: cell.revision, record: decode(cell.value)? }))
}
