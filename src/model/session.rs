//! [`Session`]: a sign-in to the dashboard with an API key. A session has the rights of its key and ends with it.
//! The secret is in the cookie of one browser; the store contains its SHA-256.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::model::key::SecretHash;

/// How long a session lasts after it was used last: a working day and its breaks. A browser that was left open in the
/// evening is signed out in the morning.
pub const IDLE: Duration = Duration::from_hours(12);

/// How long a session lasts at most, however often it is used: a cookie that was copied is worthless after a month.
pub const LIFE: Duration = Duration::from_hours(30 * 24);

/// How long the stored time of the last use may lag behind. A Change for each request would write to the disk for each
/// view of a page. An idle session so ends up to this much before [`IDLE`] is over.
pub const RENEW_AFTER: Duration = Duration::from_mins(15);

/// Most characters of the description of a browser: a list shows it in one line.
pub const DEVICE_MAX: usize = 100;

/// The name of the cookie with the secret of a session, on a server without HTTPS.
pub const COOKIE: &str = "waypost";

/// The name of the cookie with HTTPS. The prefix makes browsers keep it for its host alone.
pub const HTTPS_COOKIE: &str = "__Host-waypost";

/// A sign-in to the dashboard.
#[derive(Clone)]
pub struct Session {
    /// The id in lists. It opens nothing.
    pub id: Id,
    /// The SHA-256 of the secret.
    pub hash: SecretHash,
    /// Random bytes that each form of the session sends back: a page of another site cannot know them.
    pub token: [u8; 16],
    /// The key whose rights the session has.
    pub key: SessionKey,
    /// A description of the browser, such as "Firefox on Linux", at most [`DEVICE_MAX`] characters.
    pub device: Box<str>,
    /// When the key was entered.
    pub created_at: Timestamp,
    /// When the session was used last, at most [`RENEW_AFTER`] ago while it is in use.
    pub seen_at: Timestamp,
}

/// The key of a session.
#[derive(Clone, Copy, Debug)]
pub enum SessionKey {
    /// A stored key.
    Key(Id),
    /// The key in the environment. The hash is of this key and of the session's secret together. So whoever reads
    /// the log without the secret cannot test guesses of the key, which a person may have chosen.
    Environment(SecretHash),
}

impl SessionKey {
    /// Returns the id of the key, `None` for the key in the environment.
    pub fn id(self) -> Option<Id> {
        match self {
            SessionKey::Key(id) => Some(id),
            SessionKey::Environment(_) => None,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the token: in a log it would let a page of another site send a form of the session.
        let Session { id, key, device, .. } = self;
        f.debug_struct("Session")
            .field("id", id)
            .field("key", key)
            .field("device", device)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Returns when the session ends if it is not used again. From this instant on it is unknown, as an expired key.
    pub fn ends_at(&self) -> Timestamp {
        let (idle, last) = (after(self.seen_at, IDLE), after(self.created_at, LIFE));
        idle.min(last)
    }

    /// Returns whether a use at `now` must be stored.
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
        // A clock that was set back renews nothing, so that the end never moves closer.
        now >= after(self.seen_at, RENEW_AFTER)
    }
}

/// Returns a description of a browser as it is stored: in one line, and not longer than [`DEVICE_MAX`] characters.
pub fn device_of(text: &str) -> Box<str> {
    // It may come from a header, which a client chooses. Nothing rejects a sign-in because of it.
    let shown = text.chars().filter(|character| !character.is_control());
    let shown: String = shown.take(DEVICE_MAX).collect();
    shown.trim().into()
}

fn after(at: Timestamp, time: Duration) -> Timestamp {
    at.plus_millis(i64::try_from(time.as_millis()).expect("the constants above are at most 30 days"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * 1_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn session(created_at: i64, seen_at: i64) -> Session {
        Session {
            id: Id::from_bits(1),
            hash: SecretHash([2; 32]),
            token: [3; 16],
            key: SessionKey::Key(Id::from_bits(4)),
            device: "Firefox on Linux".into(),
            created_at: Timestamp::from_millis(created_at),
            seen_at: Timestamp::from_millis(seen_at),
        }
    }

    #[test]
    fn a_session_ends_by_idleness_or_age() {
        for (row, seen, want) in [
            ("never used again", 0, 12 * HOUR),
            ("used", 3 * HOUR, 15 * HOUR),
            ("the last use that counts whole", 30 * DAY - 12 * HOUR, 30 * DAY),
            ("used in its last hours", 30 * DAY - HOUR, 30 * DAY),
        ] {
            assert_eq!(session(0, seen).ends_at().as_millis(), want, "{row}");
        }
    }

    #[test]
    fn a_use_is_stored_every_quarter_of_an_hour() {
        let at = |millis| session(0, DAY).needs_renewal(Timestamp::from_millis(DAY + millis));
        assert_eq!(
            [at(-DAY), at(0), at(15 * MINUTE - 1), at(15 * MINUTE), at(HOUR)],
            [false, false, false, true, true]
        );
    }

    #[test]
    fn a_device_is_one_short_line() {
        for (text, want) in [
            ("Firefox on Linux", "Firefox on Linux"),
            (" a\r\nb\u{7f}c\t", "abc"),
            ("", ""),
            (&"ä".repeat(101), &"ä".repeat(100)),
        ] {
            assert_eq!(&*device_of(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_log_line_shows_neither_hash_nor_token() {
        let shown = format!("{:?}", session(0, 0));
        assert_eq!(
            shown,
            r#"Session { id: 00000000000000000001, key: Key(00000000000000000004), device: "Firefox on Linux", .. }"#
        );
    }
}
