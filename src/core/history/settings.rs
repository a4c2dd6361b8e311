//! `[history]` of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::BadSetting;

/// Most entries about one link. Each change of the link reads their keys, and its history is decoded as a whole.
const REVISIONS_MOST: usize = 1_000;

/// Bounds of `history.max_age`: the sweep looks for old entries once a day, and 10 years as for tombstones.
const AGE_LEAST: Duration = Duration::from_hours(24);
const AGE_MOST: Duration = Duration::from_hours(24 * 3_650);

/// `[history]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most entries about one link. The next change of the link removes the oldest.
    pub max_revisions: usize,
    /// How long entries are kept.
    #[serde(with = "crate::settings::duration")]
    pub max_age: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { max_revisions: 20, max_age: Duration::from_hours(24 * 90) }
    }
}

impl Settings {
    /// Fails if a value has the right type but breaks a rule.
    pub fn check(&self) -> Result<(), BadSetting> {
        if !(1..=REVISIONS_MOST).contains(&self.max_revisions) {
            return Err(BadSetting::new("max_revisions", self.max_revisions, "must be from 1 to 1000"));
        }
        if !(AGE_LEAST..=AGE_MOST).contains(&self.max_age) {
            let shown = format!("{:?}", crate::settings::duration::show(self.max_age));
            return Err(BadSetting::new("max_age", shown, "must be from 1d to 3650d"));
        }
        Ok(())
    }

    /// Returns the greatest time, in milliseconds since 1970, whose entries have expired at `now`.
    pub(in crate::core) fn expired_at(&self, now: i64) -> i64 {
        now.saturating_sub(i64::try_from(self.max_age.as_millis()).unwrap_or(i64::MAX))
    }
}
