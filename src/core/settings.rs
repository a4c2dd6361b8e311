//! `[links]` of the configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::links::codes::{CodeStyle, Generator};
use crate::model::destination::ExtraSchemes;
use crate::settings::BadSetting;

/// Default memory for hashing passwords: four buffers of 19 MiB for our own hashes, and as much again for
/// imported hashes, which take up to 64 MiB each.
const HASH_MEMORY: usize = 152 * 1024 * 1024;

/// Default memory for domains, custom values and keys: some 200,000 objects with short texts.
const RECORD_MEMORY: usize = 256 * 1024 * 1024;

/// Bounds of `links.scan_max`. A search must be able to read all links of a small workspace, and every search
/// must have a bound.
const SCAN_MAX_LEAST: u64 = 1_000;
const SCAN_MAX_MOST: u64 = 1_000_000_000;

/// A list of so many links takes some 10 ms to read from the table.
fn index_from() -> u64 {
    1_000
}

/// `[links]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How short codes are generated.
    pub code_style: CodeStyle,
    /// Characters of a generated short code. Grows by itself when generated codes collide.
    pub code_length: usize,
    /// The characters of generated short codes.
    pub code_alphabet: String,
    /// Schemes of destinations beyond http and https.
    pub extra_schemes: Vec<String>,
    /// The file with the hosts to which no link may lead.
    pub denied_hosts: Option<PathBuf>,
    /// Days for which the statistics of a deleted link are kept.
    pub tombstone_days: u32,
    /// Memory for hashing passwords in bytes. Not a setting: `config::memory` derives it from the memory that
    /// the system allows.
    #[serde(skip)]
    pub hash_memory: usize,
    /// Memory for the records of companies, workspaces, domains and keys in bytes. Not a setting, like
    /// `hash_memory`. Past it, and past a tenant's share of it, these records cannot grow.
    #[serde(skip)]
    pub record_memory: usize,
    /// Links of a workspace from which on its lists use an index in memory. Not a setting: a shorter list is read at once.
    #[serde(skip, default = "index_from")]
    pub index_from: u64,
    /// Most links that one search, filter or sort reads from the table before it ends `incomplete`. A link of several KB
    /// counts as several.
    pub scan_max: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            // 62 characters at 7 places are 41.7 bits: too many codes to enumerate.
            code_length: 7,
            code_style: CodeStyle::Random,
            code_alphabet: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".to_owned(),
            extra_schemes: Vec::new(),
            denied_hosts: None,
            tombstone_days: 30,
            hash_memory: HASH_MEMORY,
            record_memory: RECORD_MEMORY,
            index_from: index_from(),
            scan_max: 200_000,
        }
    }
}

impl Settings {
    /// Fails if a value has the right type but breaks a rule.
    pub fn check(&self) -> Result<(), BadSetting> {
        // Built for its checks only: `Core::new` builds the generator in use.
        Generator::new(self.code_style, &self.code_alphabet, self.code_length)?;
        self.schemes()?;
        if let Some(path) = &self.denied_hosts {
            let shown = || format!("{:?}", path.display().to_string());
            if path.as_os_str().is_empty() {
                return Err(BadSetting::new("denied_hosts", shown(), "must name a file"));
            }
            if path.as_os_str().as_encoded_bytes().starts_with(b"~") {
                let rule =
                    "no shell replaces `~` here: write the whole path, such as /home/NAME/denied-hosts.txt";
                return Err(BadSetting::new("denied_hosts", shown(), rule));
            }
        }
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
