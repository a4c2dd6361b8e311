//! The result of one attempt, and its consequences for the delivery and for the receiver.

use std::time::Duration;

use super::scheduler::Health;
use crate::outbound::error::ConnectError;

/// The reason why an attempt failed. Its text is shown to the owner of the link, so it contains nothing
/// about a private network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The attempt took longer than [`super::send::ATTEMPT_TIMEOUT`].
    #[error("no answer within 5 s")]
    TimedOut,
    /// The response is not valid HTTP.
    #[error("no valid answer: {0}")]
    Http(Box<str>),
    /// The store cannot provide the secret to sign with.
    #[error("the signing secret cannot be stored now")]
    NoSecret,
    /// The attempt panicked.
    #[error("internal error")]
    Internal,
}

/// The result of one attempt: the status of the response, or why there is none.
pub(super) struct AttemptResult {
    pub(super) result: Result<u16, SendError>,
    pub(super) took: Duration,
}

/// The consequence of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// Retry later.
    Failed(Health),
    /// Do not retry: the receiver answered 410, "Gone".
    Gone,
}

impl Outcome {
    /// Returns the outcome of an attempt.
    pub(super) fn of(result: &Result<u16, SendError>) -> Outcome {
        match result {
            Ok(200..=299) => Outcome::Delivered,
            Ok(410) => Outcome::Gone,
            // The receiver is overloaded or down: other deliveries to it would fail as well.
            Ok(429 | 500..)
            | Err(
                SendError::Connect(
                    ConnectError::Unresolved | ConnectError::Refused(_) | ConnectError::Tls(_),
                )
                | SendError::TimedOut
                | SendError::Http(_),
            ) => Outcome::Failed(Health::Unhealthy),
            // These say nothing about the host: redirects, and other 4xx, may be of this URL alone. A
            // name in a private network is retried as well, since its address may change; a retry costs
            // one look-up.
            Ok(_)
            | Err(
                SendError::Connect(ConnectError::Private | ConnectError::Busy | ConnectError::BadUrl)
                | SendError::NoSecret
                | SendError::Internal,
            ) => Outcome::Failed(Health::Unknown),
        }
    }
}

/// Longest stored text of an error in characters: a TLS error lists all names of a certificate, up to
/// 25 KB, and the history contains thousands of attempts. Past it: cut off.
const ERROR_MAX: usize = 200;

/// Returns the error of an attempt in words, or `None` if it succeeded.
pub(super) fn error_text(result: &Result<u16, SendError>) -> Option<String> {
    match result {
        Ok(200..=299) => None,
        Ok(300..=399) => Some("redirects are not followed".to_owned()),
        Ok(410) => Some("the receiver is gone".to_owned()),
        // Without the body of the response, which may contain anything.
        Ok(_) => Some("the receiver did not accept it".to_owned()),
        // By characters: a cut by bytes could be within one.
        Err(error) => Some(error.to_string().chars().take(ERROR_MAX).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_result_has_its_outcome_and_text() {
        let (unhealthy, unknown) = (Outcome::Failed(Health::Unhealthy), Outcome::Failed(Health::Unknown));
        let rows = [
            (Ok(200), Outcome::Delivered, None),
            (Ok(204), Outcome::Delivered, None),
            (Ok(299), Outcome::Delivered, None),
            (Ok(300), unknown, Some("redirects are not followed")),
            (Ok(307), unknown, Some("redirects are not followed")),
            (Ok(400), unknown, Some("the receiver did not accept it")),
            (Ok(410), Outcome::Gone, Some("the receiver is gone")),
            (Ok(429), unhealthy, Some("the receiver did not accept it")),
            (Ok(500), unhealthy, Some("the receiver did not accept it")),
            // Not in any standard, but a receiver may send it.
            (Ok(999), unhealthy, Some("the receiver did not accept it")),
            (Err(SendError::TimedOut), unhealthy, Some("no answer within 5 s")),
            (
                Err(ConnectError::Refused(io::ErrorKind::ConnectionRefused).into()),
                unhealthy,
                Some("cannot connect: connection refused"),
            ),
            (Err(ConnectError::Private.into()), unknown, Some("the host leads into a private network")),
        ];
        for (result, outcome, why) in rows {
            assert_eq!(Outcome::of(&result), outcome, "{result:?}");
            assert_eq!(error_text(&result).as_deref(), why, "{result:?}");
        }
    }

    #[test]
    fn a_stored_error_is_short() {
        // Letters of two bytes, since the bound counts characters.
        let named = ConnectError::Tls(vec!["é.example"; 1_000].join(", ").into());
        assert_eq!(error_text(&Err(named.into())).map(|text| text.chars().count()), Some(ERROR_MAX));
    }
}
