//! The section `[table]` of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::{BadSetting, duration};

/// `[table]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// sled's page cache in bytes. Resident memory grows by about twice this. A small cache suffices: hot
    /// links are in the link cache, and this one then has the inner pages of sled's tree.
    pub cache_capacity: u64,
    /// How often sled's buffers are made durable. Bounds the part of the log that the start after a crash
    /// replays. No link is lost either way.
    #[serde(with = "crate::settings::duration")]
    pub flush_interval: Duration,
    /// How often all records are read and compared with the log's fingerprint. The first pass begins right
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
    /// Fails if a value breaks a rule that its type does not express.
    pub fn check(&self) -> Result<(), BadSetting> {
        if self.cache_capacity < 1024 * 1024 {
            return Err(BadSetting::new("cache_capacity", self.cache_capacity, "must be at least 1048576"));
        }
        let second = Duration::from_secs(1);
        for (key, value, least) in [
            // A flush takes tens of milliseconds: with less, the disk would hardly rest.
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
