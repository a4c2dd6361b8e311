//! [`NameStatus`]: the state of the certificate of a name.

use crate::clock::Timestamp;

/// The state of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateState {
    /// It is being requested for the first time.
    Pending,
    /// There is none, and the last try failed.
    Failing,
    /// It is valid.
    Valid,
    /// It is valid for a sixth of its time at most: its renewal fails.
    Expiring,
    /// It has ended, and is served until there is another one.
    Expired,
}

impl CertificateState {
    /// Returns the name in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            CertificateState::Pending => "pending",
            CertificateState::Failing => "failing",
            CertificateState::Valid => "valid",
            CertificateState::Expiring => "expiring",
            CertificateState::Expired => "expired",
        }
    }
}

/// The state of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameStatus {
    /// The state of the certificate.
    pub state: CertificateState,
    /// The last moment at which it is valid.
    pub expires_at: Option<Timestamp>,
    /// Why the last try failed, as a sentence. `None` after a success.
    pub failure: Option<String>,
    /// When it is tried again after a failure.
    pub next_try: Option<Timestamp>,
}

impl NameStatus {
    /// Returns the state of a name before the first try to get its certificate.
    pub fn pending() -> NameStatus {
        NameStatus { state: CertificateState::Pending, expires_at: None, failure: None, next_try: None }
    }
}
