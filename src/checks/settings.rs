//! `[checks]` of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::health::CheckSchedule;
use crate::settings::{BadSetting, duration};

/// Bounds of `checks.interval`: more often than hourly is a monitor of servers, which this is not.
const INTERVAL_LEAST: Duration = Duration::from_hours(1);
const INTERVAL_MOST: Duration = Duration::from_hours(24 * 365);

/// Shortest `checks.confirm_after`: the restart of a server takes less.
const CONFIRM_LEAST: Duration = Duration::from_mins(1);

/// Bounds of `checks.timeout`.
const TIMEOUT_LEAST: Duration = Duration::from_secs(1);
const TIMEOUT_MOST: Duration = Duration::from_mins(1);

/// Bounds of `checks.concurrency`. Fewer cannot be divided between tenants; each takes a descriptor.
const CONCURRENCY_LEAST: u32 = 4;
const CONCURRENCY_MOST: u32 = 128;

/// `[checks]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The time between two checks of a link.
    #[serde(with = "crate::settings::duration")]
    pub interval: Duration,
    /// The time between a check that failed and the one that confirms it.
    #[serde(with = "crate::settings::duration")]
    pub confirm_after: Duration,
    /// The time for one request.
    #[serde(with = "crate::settings::duration")]
    pub timeout: Duration,
    /// Most links that are checked at the same time.
    pub concurrency: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            interval: Duration::from_hours(24 * 7),
            confirm_after: Duration::from_hours(1),
            timeout: Duration::from_secs(10),
            concurrency: 16,
        }
    }
}

impl Settings {
    /// Fails if a value has the right type but breaks a rule.
    pub fn check(&self) -> Result<(), BadSetting> {
        let shown = |value| format!("{:?}", duration::show(value));
        if !(INTERVAL_LEAST..=INTERVAL_MOST).contains(&self.interval) {
            return Err(BadSetting::new("interval", shown(self.interval), "must be from 1h to 365d"));
        }
        if !(CONFIRM_LEAST..=self.interval).contains(&self.confirm_after) {
            let rule = "must be from 1m to `checks.interval`";
            return Err(BadSetting::new("confirm_after", shown(self.confirm_after), rule));
        }
        if !(TIMEOUT_LEAST..=TIMEOUT_MOST).contains(&self.timeout) {
            return Err(BadSetting::new("timeout", shown(self.timeout), "must be from 1s to 1m"));
        }
        if !(CONCURRENCY_LEAST..=CONCURRENCY_MOST).contains(&self.concurrency) {
            return Err(BadSetting::new("concurrency", self.concurrency, "must be from 4 to 128"));
        }
        Ok(())
    }

    pub(super) fn schedule(&self) -> CheckSchedule {
        CheckSchedule { interval: self.interval, confirm_after: self.confirm_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_named_with_its_rule() {
        let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
        let good = Settings::default();
        let rows = [
            (good.clone(), None),
            (Settings { interval: hour, confirm_after: hour, ..good.clone() }, None),
            (
                Settings { interval: hour / 2, ..good.clone() },
                Some("`interval` = \"30m\": must be from 1h to 365d"),
            ),
            (
                Settings { interval: hour, confirm_after: day, ..good.clone() },
                Some("`confirm_after` = \"1d\": must be from 1m to `checks.interval`"),
            ),
            (
                Settings { confirm_after: Duration::from_secs(1), ..good.clone() },
                Some("`confirm_after` = \"1s\": must be from 1m to `checks.interval`"),
            ),
            (Settings { timeout: hour, ..good.clone() }, Some("`timeout` = \"1h\": must be from 1s to 1m")),
            (Settings { concurrency: 3, ..good.clone() }, Some("`concurrency` = 3: must be from 4 to 128")),
            (Settings { concurrency: 129, ..good }, Some("`concurrency` = 129: must be from 4 to 128")),
        ];
        for (settings, want) in rows {
            let got = settings.check().map_err(|bad| bad.to_string()).err();
            assert_eq!(got.as_deref(), want, "{settings:?}");
        }
    }
}
