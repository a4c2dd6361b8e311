//! `[table]`: what the operator may choose about the table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::{BadSetting, duration};

/// `[table]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// sled's page cache in bytes. Resident memory grows by about twice this; hot links are
    /// served from the link cache, so a small one suffices, which has the pages that lead to others.
    pub cache_capacity: u64,
    /// How often sled's buffers are made durable. Bounds how much of the log a crash makes the
    /// next start replay; no link depends on it.
    #[serde(with = "crate::settings::duration")]
    pub flush_interval: Duration,
    /// How often all records are read and compared with the fingerprint. The first pass begins right
    /// after the start.
    #[serde(with = "crate::settings::duration")]
    pub scrub_interval: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            cache_capacity: 4 * 1024 * 1024,
            flush_interval: Duration::from_secs(1),
            scrub_interval: Duration::from_hours(6),
        }
    }
}

impl Settings {
    /// Every rule about a value that has the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        if self.cache_capacity < 1024 * 1024 {
            return Err(BadSetting::new("cache_capacity", self.cache_capacity, "must be at least 1048576"));
        }
        let second = Duration::from_secs(1);
        for (key, value, least) in [
            ("flush_interval", self.flush_interval, second / 100),
            ("scrub_interval", self.scrub_interval, second),
        ] {
            if value < least {
                let shown = format!("{:?}", duration::show(value));
                return Err(BadSetting::new(key, shown, "must be at least \"10ms\", for scrubbing \"1s\""));
            }
        }
        Ok(())
    }
}
