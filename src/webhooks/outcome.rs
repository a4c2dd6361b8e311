//! What one try came to, and what follows from it.

use std::io;
use std::time::Duration;

use super::scheduler::Health;

/// Why a try did not succeed. Shown to the link's owner: never says more about a private network
/// than that it is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// The stored URL is none any more.
    #[error("is not a URL that events can be sent to")]
    BadUrl,
    /// Other names' look-ups take all places.
    #[error("too many host names are being resolved")]
    Busy,
    /// No address.
    #[error("the host name cannot be resolved")]
    Unresolved,
    /// An address that is not allowed.
    #[error("the host leads into a private network")]
    Private,
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::ErrorKind),
    /// No trust.
    #[error("TLS failed: {0}")]
    Tls(Box<str>),
    /// Too slow.
    #[error("no answer within 5 s")]
    TimedOut,
    /// No answer that can be read.
    #[error("no valid answer: {0}")]
    Http(Box<str>),
    /// Ours: nothing to sign with.
    #[error("the signing secret cannot be stored now")]
    NoSecret,
    /// Ours.
    #[error("internal error")]
    Internal,
}

/// What one try came to.
pub(super) struct Tried {
    pub(super) result: Result<u16, SendError>,
    pub(super) took: Duration,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// To be tried again.
    Failed(Health),
    /// Never again: 410, "Gone".
    Gone,
}

impl Outcome {
    pub(super) fn of(result: &Result<u16, SendError>) -> Outcome {
        match result {
            Ok(200..=299) => Outcome::Delivered,
            Ok(410) => Outcome::Gone,
            Ok(429 | 500..)
            | Err(
                SendError::Unresolved
                | SendError::Connect(_)
                | SendError::Tls(_)
                | SendError::TimedOut
                | SendError::Http(_),
            ) => Outcome::Failed(Health::Unwell),
            // Redirects among them: other URLs of the same host may be in order. A name that leads
            // into a private network may come to lead elsewhere, so it is tried again as well, which
            // costs a look-up.
            Ok(_)
            | Err(
                SendError::Private
                | SendError::Busy
                | SendError::BadUrl
                | SendError::NoSecret
                | SendError::Internal,
            ) => Outcome::Failed(Health::Unknown),
        }
    }
}

/// Longest fault in characters that is kept: TLS names all that a certificate is for, which may be
/// 25 KB, and thousands of results are kept. Past it: cut off.
const FAULT_MAX: usize = 200;

/// A try's fault in words.
pub(super) fn fault(result: &Result<u16, SendError>) -> Option<String> {
    match result {
        Ok(200..=299) => None,
        Ok(300..=399) => Some("redirects are not followed".to_owned()),
        Ok(410) => Some("the receiver is gone".to_owned()),
        Ok(_) => Some("the receiver did not accept it".to_owned()),
        Err(failure) => Some(failure.to_string().chars().take(FAULT_MAX).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_an_answer() {
        let (unwell, unknown) = (Outcome::Failed(Health::Unwell), Outcome::Failed(Health::Unknown));
        let rows = [
            (Ok(200), Outcome::Delivered, None),
            (Ok(204), Outcome::Delivered, None),
            (Ok(299), Outcome::Delivered, None),
            (Ok(300), unknown, Some("redirects are not followed")),
            (Ok(307), unknown, Some("redirects are not followed")),
            (Ok(400), unknown, Some("the receiver did not accept it")),
            (Ok(410), Outcome::Gone, Some("the receiver is gone")),
            (Ok(429), unwell, Some("the receiver did not accept it")),
            (Ok(500), unwell, Some("the receiver did not accept it")),
            (Ok(999), unwell, Some("the receiver did not accept it")),
            (Err(SendError::TimedOut), unwell, Some("no answer within 5 s")),
            (
                Err(SendError::Connect(io::ErrorKind::ConnectionRefused)),
                unwell,
                Some("cannot connect: connection refused"),
            ),
            (Err(SendError::Private), unknown, Some("the host leads into a private network")),
        ];
        for (result, verdict, why) in rows {
            assert_eq!(Outcome::of(&result), verdict, "{result:?}");
            assert_eq!(fault(&result).as_deref(), why, "{result:?}");
        }
    }

    #[test]
    fn faults_are_short_whatever_a_receiver_sends() {
        let named = SendError::Tls(vec!["é.example"; 1_000].join(", ").into());
        assert_eq!(fault(&Err(named)).map(|text| text.chars().count()), Some(FAULT_MAX));
    }
}
