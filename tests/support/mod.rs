//! What several suites stand on.

/// The program in this process, its clock in the test's hand.
pub(crate) mod app;
/// A real browser that reaches nothing but this machine.
pub(crate) mod browser;
/// A log that fails on demand.
pub(crate) mod failing_log;
/// Links with receivers, and clicks on them.
pub(crate) mod hooks;
/// A raw HTTP client.
pub(crate) mod http;
/// What is in the table's files.
pub(crate) mod leaves;
/// The binary as a child process.
pub(crate) mod process;
/// A receiver of webhooks, well or ill.
pub(crate) mod receiver;
/// A whole server on a port of its own, and a client that writes bytes.
pub(crate) mod server;
/// A disk that loses what was not synced.
pub(crate) mod sim_disk;
/// A table in memory.
pub(crate) mod table;
/// Requests and the answers that a vendor documents.
pub(crate) mod transcript;
