//! What several test modules use.

/// A certificate authority with manners that a test sets.
pub(crate) mod acme_mock;
/// The program inside the test's process, with a clock that the test sets.
pub(crate) mod app;
/// Floods of HTTP/2.
pub(crate) mod attacks;
/// A real browser that reaches this machine only.
pub(crate) mod browser;
/// A log that fails on demand.
pub(crate) mod failing_log;
/// Frames of HTTP/2 by hand.
pub(crate) mod frames;
/// Links with webhooks, and clicks on them.
pub(crate) mod hooks;
/// A raw HTTP client.
pub(crate) mod http;
/// Servers with HTTPS.
pub(crate) mod https_app;
/// The pairs in the table's files.
pub(crate) mod leaves;
/// Paths and keys of the native API.
pub(crate) mod native;
/// A certificate authority for tests.
pub(crate) mod pebble;
/// The binary as a child process.
pub(crate) mod process;
/// Pictures of QR codes and their pixels.
pub(crate) mod qr_pictures;
/// A receiver of webhooks, with correct and faulty responses.
pub(crate) mod receiver;
/// A server on a port of its own, and a client that writes bytes.
pub(crate) mod server;
/// A disk that loses what was not synced.
pub(crate) mod sim_disk;
/// A table in memory.
pub(crate) mod table;
/// A certificate authority, and clients of TLS.
pub(crate) mod tls;
/// Requests, each with the response that a vendor documents.
pub(crate) mod transcript;
