//! `[links]` of the configuration.

use serde::{Deserialize, Serialize};

use super::links::codes::Generator;
use crate::model::destination::ExtraSchemes;
use crate::settings::BadSetting;

/// Memory for hashing passwords by default: four buffers of 19 MiB, and as much for hashes from
/// elsewhere, which take up to 64 MiB.
const HASH_MEMORY: usize = 152 * 1024 * 1024;

/// Smallest and largest `links.scan_max`: a search must get through what a small workspace has, and none
/// may be as good as unbounded.
const SCAN_MAX_LEAST: u64 = 1_000;
const SCAN_MAX_MOST: u64 = 1_000_000_000;

/// `[links]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Characters of a generated short code. Grows by itself when collisions start.
    pub code_length: usize,
    /// What generated short codes are made of.
    pub code_alphabet: String,
    /// Schemes of destinations beyond http and https.
    pub extra_schemes: Vec<String>,
    /// How long a deleted link's statistics are kept, in days.
    pub tombstone_days: u32,
    /// Memory for hashing passwords in bytes. Not a setting: `config::memory` makes it fit what the
    /// system allows.
    #[serde(skip)]
    pub hash_memory: usize,
    /// Links that one search, filter or sort looks at before it ends `incomplete`; a link of several
    /// KB counts as several.
    pub scan_max: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            code_length: 7,
            code_alphabet: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".to_owned(),
            extra_schemes: Vec::new(),
            tombstone_days: 30,
            hash_memory: HASH_MEMORY,
            scan_max: 200_000,
        }
    }
}

impl Settings {
    /// Every rule about a value that has the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        Generator::new(&self.code_alphabet, self.code_length)?;
        self.schemes()?;
        if self.tombstone_days > 3_650 {
            return Err(BadSetting::new("tombstone_days", self.tombstone_days, "must be at most 3650"));
        }
        if !(SCAN_MAX_LEAST..=SCAN_MAX_MOST).contains(&self.scan_max) {
            let rule = "must be from 1000 to 1000000000";
            return Err(BadSetting::new("scan_max", self.scan_max, rule));
        }
        Ok(())
    }

    pub(super) fn schemes(&self) -> Result<ExtraSchemes, BadSetting> {
        let schemes = &self.extra_schemes;
        let rule = "must be schemes in lower case such as \"ftp\", none that browsers execute";
        ExtraSchemes::new(schemes.clone())
            .map_err(|_| BadSetting::new("extra_schemes", format!("{schemes:?}"), rule))
    }
}
