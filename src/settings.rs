//! The spelling of settings in the configuration file, for the `Settings` of every module: durations are
//! strings such as `"10s"`. The keys are defined by these `Settings`.

pub mod duration;
pub mod listen;

use std::borrow::Cow;
use std::fmt;

/// A setting that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` = {value}: {rule}")]
pub struct BadSetting {
    /// The key within its section.
    pub key: &'static str,
    /// The value as in the file.
    pub value: String,
    /// The rule ("must be at least 1").
    pub rule: Cow<'static, str>,
}

impl BadSetting {
    /// Creates the error of a broken rule of `key`.
    pub fn new(
        key: &'static str,
        value: impl fmt::Display,
        rule: impl Into<Cow<'static, str>>,
    ) -> BadSetting {
        BadSetting { key, value: value.to_string(), rule: rule.into() }
    }
}
