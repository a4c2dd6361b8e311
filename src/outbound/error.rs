//! [`ConnectError`]: why there is no connection to a server that a user names.

use std::io;

/// The reason why there is no connection. Its text is shown to the owner of the link, so it contains nothing about a
/// private network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The stored URL breaks a rule of a later version.
    #[error("is not a URL that events can be sent to")]
    BadUrl,
    /// All look-ups that the tenant may have are in use.
    #[error("too many host names are being resolved")]
    Busy,
    /// The name has no address, or the look-up failed.
    #[error("the host name cannot be resolved")]
    Unresolved,
    /// One of the addresses is not allowed.
    #[error("the host leads into a private network")]
    Private,
    /// None of the addresses accepts a connection.
    #[error("cannot connect: {0}")]
    Refused(io::ErrorKind),
    /// The TLS handshake failed, or the certificate is not trusted.
    #[error("TLS failed: {0}")]
    Tls(Box<str>),
}
