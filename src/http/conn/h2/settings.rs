//! What the server announces in its settings (RFC 9113 6.5.2) and its first window.

/// Streams that a client may have open. Browsers use up to 100.
pub(super) const STREAMS_MAX: u32 = 100;

/// Bytes of bodies that a client may send ahead, on a stream and on the connection.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 256 * 1024;
