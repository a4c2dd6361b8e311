//! [`ConditionDraft`]: a condition as a client sends it. The reader of a condition does not know the workspace, whose
//! `timezone` decides what a date alone and a time without a zone are.

use jiff::tz::TimeZone;

use crate::clock::{GivenTime, Timestamp};

use super::condition::{Condition, ConditionField, ConditionValue};

/// A condition that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionDraft {
    /// In UTC, until [`ConditionDraft::within`] is called.
    condition: Condition,
    local: Local,
}

/// What a condition leaves to the zone of the workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Local {
    /// Nothing.
    #[default]
    Nothing,
    /// Dates alone among the ends of `date`.
    #[allow(missing_docs)] // The ends as in `ConditionValue::Dates`.
    Dates { from: Option<GivenTime>, to: Option<GivenTime> },
    /// The zone of `time`.
    Zone,
}

impl ConditionDraft {
    /// Creates the draft of a condition whose dates and zone are those of UTC where `local` leaves them open.
    pub fn new(condition: Condition, local: Local) -> ConditionDraft {
        ConditionDraft { condition, local }
    }

    /// Returns the field.
    pub fn field(&self) -> ConditionField {
        self.condition.field
    }

    /// Returns the condition, in UTC where the draft leaves the zone open.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Returns the condition like [`ConditionDraft::condition`].
    pub fn into_condition(self) -> Condition {
        self.condition
    }

    /// Returns the condition in this zone.
    #[must_use]
    pub fn within(self, zone: &TimeZone) -> ConditionDraft {
        let ConditionDraft { mut condition, local } = self;
        let at = |given: Option<GivenTime>| given.map(|given| instant(given, zone));
        match (local, &mut condition.value) {
            (Local::Dates { from, to }, value) => {
                *value = ConditionValue::Dates { from: at(from), to: at(to) };
            }
            (Local::Zone, ConditionValue::WeekTimes(times)) => {
                times.zone = zone.iana_name().unwrap_or("UTC").into();
            }
            _ => {}
        }
        condition.into()
    }
}

/// Returns an instant in a zone.
pub(super) fn instant(given: GivenTime, zone: &TimeZone) -> Timestamp {
    given.within(|| zone.clone())
}

impl From<Condition> for ConditionDraft {
    fn from(condition: Condition) -> ConditionDraft {
        ConditionDraft { condition, local: Local::Nothing }
    }
}
