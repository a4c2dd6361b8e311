//! [`ClickShare`]: the permission to see the statistics of one link, or of the links of one tag.

use crate::clock::{GivenTime, Timestamp};
use crate::model::Invalid;
use crate::model::id::Id;
use crate::model::link::{Password, PasswordHash};
use crate::model::workspace::WorkspaceNumber;

/// The life of a share whose end is not given: 30 days.
const LIFE_DEFAULT: i64 = 30 * DAY_MILLIS;

/// The longest life of a share: five years. A share that nobody ends would show its link for ever.
const LIFE_MAX: i64 = 5 * 366 * DAY_MILLIS;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// What a share shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedClicks {
    /// The clicks of a link.
    Link(Id),
    /// The clicks of the links that have a tag.
    Tag(Id),
}

/// The permission to see statistics. It ends with its link, its tag or its workspace as well.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct ClickShare {
    /// The id in the share link. A visitor who knows the id may open the page of the share.
    pub id: Id,
    /// The workspace of the link or tag.
    pub workspace: WorkspaceNumber,
    pub of: SharedClicks,
    /// The password that the page asks for.
    pub password: Option<PasswordHash>,
    /// From this time on, the share shows nothing.
    pub expires_at: Timestamp,
    pub created_at: Timestamp,
    /// The name of the time zone of the page's days. `None`: UTC.
    pub timezone: Option<Box<str>>,
}

/// A share that is to be created.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct ClickShareDraft {
    pub of: SharedClicks,
    pub password: Option<Password>,
    /// `None`: 30 days from now.
    pub expires_at: Option<Timestamp>,
    /// The name of a time zone that exists. `None`: UTC.
    pub timezone: Option<Box<str>>,
}

/// Changes of a share. `None` leaves a field as it is.
#[derive(Clone, Debug)]
pub struct ClickSharePatch {
    /// `Some(None)`: the page asks for none.
    pub password: Option<Option<Password>>,
    /// `Some(None)`: 30 days from now. A date alone is one of the zone that the share has then.
    pub expires_at: Option<Option<GivenTime>>,
    /// `Some(None)`: UTC.
    pub timezone: Option<Option<Box<str>>>,
}

impl ClickShareDraft {
    /// Returns the end of the share. Fails if it has passed, or is too far away.
    pub fn end(&self, now: Timestamp) -> Result<Timestamp, Invalid> {
        ClickShare::end(self.expires_at, now)
    }
}

impl ClickShare {
    /// Returns the end of a share that is to end at `expires_at`. Fails if it has passed, or is too far away.
    pub fn end(expires_at: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Invalid> {
        let end = expires_at.unwrap_or(now.plus_millis(LIFE_DEFAULT));
        // Unlike a link, an expired share cannot be revived: it would be created in vain.
        if end <= now {
            return Err(Invalid::new("expiresAt", "must be later than now"));
        }
        if end > now.plus_millis(LIFE_MAX) {
            return Err(Invalid::new("expiresAt", "must be at most five years from now"));
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_ends() {
        let now = Timestamp::from_millis(1_000);
        let end = |expires_at: Option<i64>| {
            let of = SharedClicks::Link(Id::from_bits(1));
            let expires_at = expires_at.map(Timestamp::from_millis);
            let end = ClickShareDraft { of, password: None, expires_at, timezone: None }.end(now);
            end.map(Timestamp::as_millis).map_err(|error| error.to_string())
        };
        assert_eq!(end(None), Ok(2_592_001_000));
        assert_eq!(end(Some(1_001)), Ok(1_001));
        assert_eq!(end(Some(1_000)), Err("expiresAt: must be later than now".to_owned()));
        assert_eq!(end(Some(1_000 + LIFE_MAX)), Ok(1_000 + LIFE_MAX));
        let rule = "expiresAt: must be at most five years from now";
        assert_eq!(end(Some(1_001 + LIFE_MAX)), Err(rule.to_owned()));
    }
}
