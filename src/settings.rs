//! How settings are spelt in the configuration file, for every module's `Settings`: durations are
//! strings such as `"10s"`. Nothing here knows a key; each module's `Settings` does.

pub mod duration;

use std::fmt;

/// A setting that breaks a rule: which key, what it is, and the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` = {value}: {rule}")]
pub struct BadSetting {
    /// The key within its section.
    pub key: &'static str,
    /// The value as the file would spell it.
    pub value: String,
    /// The rule ("must be at least 1").
    pub rule: &'static str,
}

impl BadSetting {
    /// A broken rule of `key`.
    pub fn new(key: &'static str, value: impl fmt::Display, rule: &'static str) -> BadSetting {
        BadSetting { key, value: value.to_string(), rule }
    }
}
