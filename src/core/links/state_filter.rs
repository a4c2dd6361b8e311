//! Filters by what a link is: switched on, with rules, expired, created in some time.

use jiff::tz::TimeZone;

use crate::clock::{GivenTime, Timestamp};
use crate::model::Invalid;
use crate::model::link::Link;

/// The filters as a client gives them. Each is `None` if it does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateFilter {
    /// Whether the links are switched on.
    pub is_active: Option<bool>,
    /// Whether the links have rules.
    pub has_rules: Option<bool>,
    /// Whether `expiresAt` of the links is past.
    pub is_expired: Option<bool>,
    /// The earliest creation. A date is its first moment in the zone of the workspace.
    pub created_from: Option<GivenTime>,
    /// The end of the creations, which is not part of the time.
    pub created_to: Option<GivenTime>,
}

impl StateFilter {
    /// Returns whether each link passes.
    pub(in crate::core) fn admits_all(&self) -> bool {
        *self == StateFilter::default()
    }

    /// Returns the filter at an instant, with dates of a zone. Fails if no time is between the dates.
    pub(in crate::core) fn at(
        &self,
        now: Timestamp,
        zone: impl FnOnce() -> TimeZone,
    ) -> Result<StateTest, Invalid> {
        let StateFilter { is_active, has_rules, is_expired, created_from, created_to } = *self;
        // Few lists have dates, and a zone costs a look-up.
        let zone = (created_from.is_some() || created_to.is_some()).then(zone).unwrap_or(TimeZone::UTC);
        let millis = |time: GivenTime| time.within(|| zone.clone()).as_millis();
        let (from, to) = (created_from.map_or(i64::MIN, millis), created_to.map_or(i64::MAX, millis));
        // An empty time is a mistake of the client, and would look like a workspace without links.
        if from >= to {
            return Err(Invalid::new("createdFrom", "must be before createdTo"));
        }
        Ok(StateTest { is_active, has_rules, is_expired, now: now.as_millis(), created: (from, to) })
    }
}

/// A [`StateFilter`] at an instant.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct StateTest {
    is_active: Option<bool>,
    has_rules: Option<bool>,
    is_expired: Option<bool>,
    now: i64,
    /// The first millisecond, and the end.
    created: (i64, i64),
}

/// What the filters compare.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct StateFacts {
    pub(in crate::core) is_active: bool,
    pub(in crate::core) has_rules: bool,
    /// In milliseconds, the greatest number without an end.
    pub(in crate::core) expires_at: i64,
    /// In milliseconds.
    pub(in crate::core) created_at: i64,
}

impl StateFacts {
    pub(in crate::core) fn of(link: &Link) -> StateFacts {
        let options = &link.options;
        StateFacts {
            is_active: options.is_active,
            has_rules: !options.branches().is_empty(),
            expires_at: options.expires_at.map_or(i64::MAX, Timestamp::as_millis),
            created_at: link.created_at.as_millis(),
        }
    }
}

impl StateTest {
    /// Returns whether a link passes.
    pub(in crate::core) fn admits(&self, state: StateFacts) -> bool {
        self.is_active.is_none_or(|wanted| state.is_active == wanted)
            && self.has_rules.is_none_or(|wanted| state.has_rules == wanted)
            // `expiresAt` itself is the first instant of 410.
            && self.is_expired.is_none_or(|wanted| (state.expires_at <= self.now) == wanted)
            && (self.created.0..self.created.1).contains(&state.created_at)
    }
}
