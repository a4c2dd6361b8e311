//! [`Extent`]: a place in the file of a part, with the checksum of its bytes.

/// Where some bytes of the file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// From the start of the file.
    pub offset: u64,
    /// Their number.
    pub bytes: u32,
    /// Their CRC-32C.
    pub crc: u32,
}
