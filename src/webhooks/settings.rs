//! `[webhooks]` of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::network::Networks;
use crate::settings::{BadSetting, duration};

/// Most attempts for a delivery, the first included.
const ATTEMPTS_MAX: usize = 5;

/// The time after its click in which an event may be attempted. An hour-old event is of little use, and
/// a host that was down must not be flooded with old events once it is up. Past it: given up.
pub(super) const LIFETIME: Duration = Duration::from_hours(1);

/// `[webhooks]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Networks in which receivers are allowed besides the public internet.
    pub allowed_networks: Vec<String>,
    /// The delay after each failed attempt. Another attempt follows each delay.
    pub retry_after: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allowed_networks: Vec::new(),
            retry_after: ["15s", "2m", "10m", "40m"].map(str::to_owned).to_vec(),
        }
    }
}

impl Settings {
    /// Fails, naming the rule, if a value of the right type breaks one.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.networks()?;
        self.delays().map(|_| ())
    }

    /// Returns the parsed [`Settings::allowed_networks`].
    pub fn networks(&self) -> Result<Networks, BadSetting> {
        let shown = || format!("{:?}", self.allowed_networks);
        Networks::parse(self.allowed_networks.iter().map(String::as_str))
            .map_err(|invalid| BadSetting::new("allowed_networks", shown(), invalid.why))
    }

    /// Returns the parsed [`Settings::retry_after`].
    pub(super) fn delays(&self) -> Result<Vec<Duration>, BadSetting> {
        let delays: Option<Vec<Duration>> =
            self.retry_after.iter().map(|text| duration::parse(text)).collect();
        let fits = |delays: &Vec<Duration>| {
            // Checked: two huge durations overflow.
            let sum = delays.iter().try_fold(Duration::ZERO, |sum, delay| sum.checked_add(*delay));
            // One less than the attempts: the first has no delay. A delay past the life of an event would
            // never be used.
            (1..ATTEMPTS_MAX).contains(&delays.len()) && sum.is_some_and(|sum| sum < LIFETIME)
        };
        let rule = "must be 1 to 4 durations such as \"15s\", together less than \"1h\"";
        delays
            .filter(fits)
            .ok_or_else(|| BadSetting::new("retry_after", format!("{:?}", self.retry_after), rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_named_with_its_rule() {
        let check = |networks: &[&str], delays: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let settings = Settings { allowed_networks: own(networks), retry_after: own(delays) };
            settings.check().map_err(|bad| bad.to_string())
        };
        assert_eq!(check(&["10.0.0.0/8", "::1"], &["1s"]), Ok(()));
        // 59 minutes: just below the life of an event.
        assert_eq!(check(&[], &["15m", "15m", "15m", "14m"]), Ok(()));
        let networks = check(&["10.0.0.1/8"], &["1s"]).expect_err("bits beyond");
        assert!(
            networks.ends_with("[\"10.0.0.1/8\"]: \"10.0.0.1/8\" has bits beyond its prefix"),
            "{networks}"
        );
        // The last two: exactly an hour, and one delay too many.
        let rows: [&[&str]; 5] = [&[], &["1"], &["1h"], &["30m", "30m"], &["1s"; 5]];
        for delays in rows {
            let why = format!(
                "`retry_after` = {delays:?}: must be 1 to 4 durations such as \"15s\", together less than \"1h\""
            );
            assert_eq!(check(&[], delays), Err(why));
        }
    }
}
