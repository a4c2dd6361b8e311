//! [`Address`]: an address as a number of its family.

use std::ops::{Shr, Sub};

/// An address as a number.
pub(super) trait Address:
    Copy + Ord + Into<u128> + Sub<Output = Self> + Shr<u32, Output = Self>
{
    /// Returns the next address, `None` after the last.
    fn next(self) -> Option<Self>;

    /// Returns the little-endian number of the first `width` bytes. Reads as many bytes as the type has, since a read of
    /// a fixed length needs no branch.
    fn read(bytes: &[u8], width: u8) -> Self;
}

macro_rules! address {
    ($number:ty) => {
        impl Address for $number {
            fn next(self) -> Option<$number> {
                self.checked_add(1)
            }

            fn read(bytes: &[u8], width: u8) -> $number {
                let bytes = bytes.first_chunk().expect("padded");
                // A width of 0 would shift by all bits, which overflows; the mask is 0 then.
                let mask = <$number>::MAX.checked_shr(<$number>::BITS - 8 * u32::from(width)).unwrap_or(0);
                <$number>::from_le_bytes(*bytes) & mask
            }
        }
    };
}

address!(u32);
address!(u128);
