//! The configuration: every module's `Settings`, nested. Read from one file and the environment,
//! which beats the file; checked whole before anything is opened.
//!
//! Unknown keys and bad values are errors that name file, key, value and rule. No key is needed.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::links::{Site, flush};
use crate::log::local as log;
use crate::settings::BadSetting;
use crate::{cache, http, links, table, visit, webhooks};

pub mod memory;

/// What environment variables of ours begin with. `WAYPOST_HTTP__MAX_BODY` is `max_body` of
/// `[http]`.
const PREFIX: &str = "WAYPOST_";

/// The one variable that is no key of the file: secrets do not belong there.
const ADMIN_KEY: &str = "WAYPOST_ADMIN_KEY";

/// Shortest admin key: 16 characters of a careless alphabet still hold some 64 bits.
const ADMIN_KEY_MIN: usize = 16;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// What short URLs begin with.
    pub public_url: String,
    /// What is logged: `info`, or by module: `warn,waypost::http=debug`.
    pub log_filter: String,
    /// Connections and requests.
    pub http: http::Settings,
    /// The log.
    pub log: log::Settings,
    /// The table.
    pub table: table::Settings,
    /// The cache.
    pub cache: cache::Settings,
    /// Short codes and destinations.
    pub links: links::Settings,
    /// Visits.
    pub visit: visit::Settings,
    /// Click counting.
    pub clicks: flush::Settings,
    /// Rate limits of the APIs.
    pub limits: http::api::admission::rate::Settings,
    /// Webhooks.
    pub webhooks: webhooks::Settings,
    /// `/metrics`.
    pub metrics: http::api::ops::Settings,
    /// `WAYPOST_ADMIN_KEY`; never from a file.
    #[serde(skip)]
    pub admin_key: Option<AdminKey>,
}

/// A secret that does not print.
#[derive(Clone)]
pub struct AdminKey(pub String);

/// In constant time: how long it takes says nothing of the key but its length.
impl PartialEq for AdminKey {
    fn eq(&self, other: &AdminKey) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for AdminKey {}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(..)")
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("data"),
            public_url: "http://localhost:8080".to_owned(),
            log_filter: "info".to_owned(),
            http: http::Settings::default(),
            log: log::Settings::default(),
            table: table::Settings::default(),
            cache: cache::Settings::default(),
            links: links::Settings::default(),
            visit: visit::Settings::default(),
            clicks: flush::Settings::default(),
            limits: http::api::admission::rate::Settings::default(),
            webhooks: webhooks::Settings::default(),
            metrics: http::api::ops::Settings::default(),
            admin_key: None,
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no TOML, or has an unknown key or a value of the wrong type. The text shows the
    /// line.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: Box<toml::de::Error>,
    },
    /// A variable of the environment is unknown or has a value of the wrong type.
    #[error("environment variable {name} = {value:?}: {why}")]
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong.
        why: String,
    },
    /// A value of the right type breaks a rule.
    #[error("{source_name}: `{section}{key}` = {value}: {rule}")]
    Rule {
        /// The file, or "environment and defaults".
        source_name: String,
        /// With a dot at its end, or empty.
        section: &'static str,
        /// The key within it.
        key: String,
        /// As the file would spell it.
        value: String,
        /// What it must be.
        rule: String,
    },
}

impl Config {
    /// Reads the file, if one is named, and the variables of the environment over it.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let text = match file {
            Some(path) => Some((path, read(path)?)),
            None => None,
        };
        Config::parse(text.as_ref().map(|(path, text)| (*path, text.as_str())), environment)
    }

    /// As [`Config::load`], of a file that is already read.
    pub(crate) fn parse(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let mut table = match file {
            Some((path, text)) => parse_file(path, text)?,
            None => toml::Table::new(),
        };
        let mut admin_key = None;
        for (name, value) in environment {
            if name == ADMIN_KEY {
                admin_key = Some(AdminKey(value));
            } else if let Some(key) = name.strip_prefix(PREFIX) {
                overlay(&mut table, key, &value).map_err(|why| ConfigError::Variable {
                    name: name.clone(),
                    value,
                    why,
                })?;
            }
        }
        let mut config: Config = table.try_into().expect("file and variables were each accepted alone");
        config.admin_key = admin_key;
        let source = file
            .map_or_else(|| "environment and defaults".to_owned(), |(path, _)| path.display().to_string());
        config.check(&source)?;
        Ok(config)
    }

    /// Every rule about values of the right type.
    fn check(&self, source: &str) -> Result<(), ConfigError> {
        let broken = |section: &'static str, bad: BadSetting| ConfigError::Rule {
            source_name: source.to_owned(),
            section,
            key: bad.key.to_owned(),
            value: bad.value,
            rule: bad.rule.to_owned(),
        };
        self.http.check().map_err(|bad| broken("http.", bad))?;
        self.log.check().map_err(|bad| broken("log.", bad))?;
        self.table.check().map_err(|bad| broken("table.", bad))?;
        self.cache.check().map_err(|bad| broken("cache.", bad))?;
        self.links.check().map_err(|bad| broken("links.", bad))?;
        self.clicks.check().map_err(|bad| broken("clicks.", bad))?;
        self.limits.check().map_err(|bad| broken("limits.", bad))?;
        self.webhooks.check().map_err(|bad| broken("webhooks.", bad))?;
        let top = |key: &'static str, value: String, rule: &'static str| {
            broken("", BadSetting::new(key, value, rule))
        };
        if Site::parse(&self.public_url).is_err() {
            let rule = "must be scheme and host such as https://go.example.com, without path or query";
            return Err(top("public_url", format!("{:?}", self.public_url), rule));
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(top("data_dir", "\"\"".to_owned(), "must name a folder"));
        }
        if self.log_filter.parse::<tracing_subscriber::filter::Targets>().is_err() {
            let rule = "must be a level such as info, or targets such as warn,waypost::http=debug";
            return Err(top("log_filter", format!("{:?}", self.log_filter), rule));
        }
        if self
            .admin_key
            .as_ref()
            .is_some_and(|key| key.0.len() < ADMIN_KEY_MIN || key.0.contains(char::is_whitespace))
        {
            return Err(ConfigError::Variable {
                name: ADMIN_KEY.to_owned(),
                value: "(not shown)".to_owned(),
                why: "must be at least 16 characters without white space".to_owned(),
            });
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })
}

fn parse_file(path: &Path, text: &str) -> Result<toml::Table, ConfigError> {
    let refuse = |error| ConfigError::File { path: path.to_owned(), error: Box::new(error) };
    // From the text, not the table: only so the error knows the line.
    toml::from_str::<Config>(text).map_err(refuse)?;
    toml::from_str(text).map_err(refuse)
}

/// Puts one variable over the table. Its text is read as TOML where that fits the key's type
/// (`true`, `10`, `["ftp"]`), else taken as it is.
fn overlay(table: &mut toml::Table, key: &str, text: &str) -> Result<(), String> {
    let path: Vec<String> = key.to_ascii_lowercase().split("__").map(str::to_owned).collect();
    let as_toml =
        toml::from_str::<toml::Table>(&format!("value = {text}")).ok().and_then(|mut t| t.remove("value"));
    let as_text = toml::Value::String(text.to_owned());
    let mut why = String::new();
    for value in as_toml.into_iter().chain([as_text]) {
        let mut alone = toml::Table::new();
        put(&mut alone, &path, value.clone());
        match alone.try_into::<Config>() {
            Ok(_) => {
                put(table, &path, value);
                return Ok(());
            }
            Err(error) => error.message().clone_into(&mut why),
        }
    }
    Err(why)
}

fn put(table: &mut toml::Table, path: &[String], value: toml::Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            let inner =
                table.entry(section.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = inner {
                put(inner, rest, value);
            } else {
                // A plain key used as a section: the type check of the whole says so.
                *inner = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("waypost.toml");
        std::fs::write(&path, file).expect("a small file");
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let loaded = Config::load(Some(&path), environment);
        loaded.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(load("", &[]), Ok(Config::default()));
    }

    #[test]
    fn the_environment_beats_the_file() {
        let file = "listen = \"127.0.0.1:1\"\n[http]\nmax_body = 2048\n[links]\ncode_length = 9\n";
        let environment = [
            ("WAYPOST_LISTEN", "[::1]:2"),
            ("WAYPOST_HTTP__MAX_BODY", "4096"),
            ("WAYPOST_LINKS__CODE_ALPHABET", "0123456789"),
            ("WAYPOST_LINKS__EXTRA_SCHEMES", "[\"ftp\"]"),
            ("WAYPOST_METRICS__PUBLIC", "true"),
            ("WAYPOST_CLICKS__FLUSH_INTERVAL", "200ms"),
            ("WAYPOST_ADMIN_KEY", "0123456789abcdef"),
            ("PATH", "/bin"),
        ];
        let config = load(file, &environment).expect("all valid");
        assert_eq!(config.listen.to_string(), "[::1]:2");
        assert_eq!((config.http.max_body, config.links.code_length), (4096, 9));
        assert_eq!(config.links.code_alphabet, "0123456789");
        assert_eq!(config.links.extra_schemes, ["ftp"]);
        assert!(config.metrics.public);
        assert_eq!(config.clicks.flush_interval.as_millis(), 200);
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn errors_name_file_key_value_and_rule() {
        let rows: [(&str, &[(&str, &str)], &str); 8] = [
            (
                "[http]\nmax_connections = 0\n",
                &[],
                "waypost.toml: `http.max_connections` = 0: must be at least 1",
            ),
            (
                "public_url = \"go.example.com\"",
                &[],
                "waypost.toml: `public_url` = \"go.example.com\": must be scheme and host",
            ),
            ("log_filter = \"a=b=c\"", &[], "waypost.toml: `log_filter` = \"a=b=c\": must be a level"),
            ("a = \n", &[], "waypost.toml: TOML parse error at line 1, column 5"),
            ("\nlisten = 5\n", &[], "TOML parse error at line 2, column 10"),
            (
                "[http]\nmax_conections = 5\n",
                &[],
                "unknown field `max_conections`, expected one of `max_connections`",
            ),
            (
                "",
                &[("WAYPOST_HTTP__NONSENSE", "1")],
                "environment variable WAYPOST_HTTP__NONSENSE = \"1\": unknown field `nonsense`",
            ),
            (
                "",
                &[("WAYPOST_ADMIN_KEY", "short")],
                "environment variable WAYPOST_ADMIN_KEY = \"(not shown)\": must be at least 16",
            ),
        ];
        for (file, environment, want) in rows {
            let error = load(file, environment).err().unwrap_or_default();
            assert!(error.contains(want), "{error}\nshould contain\n{want}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Some(Path::new("no/such.toml")), []).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.starts_with("cannot read no/such.toml: ")));
    }
}
