//! The configuration: the `Settings` of every module, nested. It is read from one file and from the environment,
//! which overrides the file, and is checked completely before anything is opened.
//!
//! Unknown keys and bad values are errors that name file, key, value and rule. No key is required.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::certificates::{self, CertificateNames};
use crate::core::{Site, clicks};
use crate::log::local as log;
use crate::model::network::Networks;
use crate::settings::BadSetting;
use crate::settings::listen::Listen;
use crate::{cache, checks, core, http, table, visit, webhooks};

mod environment;
mod error;
mod memory;
mod names;
mod origin;
mod wrong_type;

pub use self::environment::unquoted;
use self::environment::{Given, Variables, overlay};
pub use self::error::ConfigError;
use self::names::{ADMIN_KEY, EAB_KEY, SettingNames};
pub use self::names::{CLIENT_KEY, CLIENT_KEY_FILE, CLIENT_SERVER};
pub use self::origin::ConfigOrigin;

/// Replaces a value that may contain a secret.
const NOT_SHOWN: &str = "(not shown)";

/// Shortest admin key: 16 characters of a small alphabet still contain some 64 bits.
const ADMIN_KEY_MIN: usize = 16;

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // Sections are named for their modules.
pub struct Config {
    /// The names under which this server is reached over HTTPS. Certificate, ports and `public_url` follow.
    pub domain: CertificateNames,
    /// The address or the Unix socket to listen on without TLS.
    pub listen: Listen,
    /// The folder of log, table and admin key.
    pub data_dir: PathBuf,
    /// The start of short URLs. By default it follows the port of `listen`.
    pub public_url: String,
    /// The level of logging: `info`, or by module: `warn,waypost::http=debug`.
    pub log_filter: String,
    /// The form of log lines.
    pub log_format: LogFormat,
    pub http: http::Settings,
    pub https: certificates::Settings,
    pub log: log::Settings,
    pub table: table::Settings,
    pub cache: cache::Settings,
    /// Short codes and destinations.
    pub links: core::Settings,
    /// The history of links, and audit lists.
    pub history: core::HistorySettings,
    pub visit: visit::Settings,
    /// Click counting.
    pub clicks: clicks::Settings,
    /// Rate limits of the APIs.
    pub limits: http::api::admission::rate::Settings,
    pub webhooks: webhooks::Settings,
    /// Checks of the links of workspaces that have switched them on.
    pub checks: checks::Settings,
    /// `/metrics`.
    pub metrics: http::api::ops::Settings,
    /// `WAYPOST_ADMIN_KEY`; never from a file.
    #[serde(skip)]
    pub admin_key: Option<AdminKey>,
    /// Where the values come from.
    #[serde(skip)]
    pub origin: ConfigOrigin,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Time, level, module, message and fields, for people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// A secret that `Debug` does not show.
#[derive(Clone)]
pub struct AdminKey(pub String);

/// In constant time: the duration reveals only the length of the key.
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
            domain: CertificateNames::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)).into(),
            data_dir: PathBuf::from("data"),
            public_url: "http://localhost:8080".to_owned(),
            log_filter: "info".to_owned(),
            log_format: LogFormat::default(),
            http: http::Settings::default(),
            https: certificates::Settings::default(),
            log: log::Settings::default(),
            table: table::Settings::default(),
            cache: cache::Settings::default(),
            links: core::Settings::default(),
            history: core::HistorySettings::default(),
            visit: visit::Settings::default(),
            clicks: clicks::Settings::default(),
            limits: http::api::admission::rate::Settings::default(),
            webhooks: webhooks::Settings::default(),
            checks: checks::Settings::default(),
            metrics: http::api::ops::Settings::default(),
            admin_key: None,
            origin: ConfigOrigin::default(),
        }
    }
}

impl Config {
    /// Reads the file, if one is named, and applies the environment over it. Fails at the first error.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        Config::load_with(file, environment, &[])
    }

    /// Like [`Config::load`], and applies flags of the command line over the environment: pairs of the name of a
    /// setting and its value.
    pub fn load_with(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Config, ConfigError> {
        let text = match file {
            Some(path) => Some((path, read(path)?)),
            None => None,
        };
        Config::parse_with(text.as_ref().map(|(path, text)| (*path, text.as_str())), environment, flags)
    }

    /// Like [`Config::load`], for the text of a file.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        Config::parse_with(file, environment, &[])
    }

    fn parse_with(
        file: Option<(&Path, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Config, ConfigError> {
        let names = SettingNames::of::<Config>();
        let mut table = match file {
            Some((path, text)) => parse_file(path, text, &names)?,
            None => toml::Table::new(),
        };
        let in_file = table.clone();
        let variables = Variables::read(environment, &names)?;
        let flags = flags.iter().map(|(name, value)| {
            let flag = format!("--{}", name.replace('_', "-"));
            ((*name).to_owned(), Given { name: flag, value: value.clone() })
        });
        let mut outside = HashMap::new();
        for (path, given) in variables.settings.into_iter().chain(flags) {
            if let Err(why) = overlay::<Config>(&mut table, &path, &given.value) {
                return Err(given.refused(None, why));
            }
            outside.insert(path, given);
        }
        let mut overrides: Vec<_> = outside.values().map(|given: &Given| given.name.clone()).collect();
        overrides.sort();
        let is_set = |name: &str| outside.contains_key(name) || has(&in_file, name);
        let origin = ConfigOrigin {
            file: file.map(|(path, _)| absolute(path)),
            overrides,
            follows_port: !is_set("public_url"),
            has_default_proxies: !is_set("http.trusted_proxies"),
            passed_over: variables.passed_over,
            warnings: Vec::new(),
        };
        let is_of_file = |name: &str| !outside.contains_key(name) && has(&in_file, name);
        let is_relative_to_file = is_of_file("data_dir");
        let are_lists_of_file = [is_of_file("links.denied_hosts"), is_of_file("clicks.country_file")];
        let are_certificates_of_file = is_of_file("https.certificates");
        let are_roots_of_file = is_of_file("https.authority_roots");
        let mut config: Config = table.try_into().expect("file and variables were each accepted alone");
        // After the file: no file can set it.
        config.admin_key = variables.admin_key.map(AdminKey);
        config.https.eab_key = variables.eab_key.map(certificates::settings::EabKey);
        config.origin = origin;
        config.follow_domain(is_set("listen"));
        config.warn_of_names();
        config.trust_local_proxies();
        let https = config.https_listen().unwrap_or(Listen::Off);
        config.follow_ports(&config.listen.clone(), &https);
        let source = file
            .map_or_else(|| "environment and defaults".to_owned(), |(path, _)| path.display().to_string());
        config.check(&source).map_err(|error| blame(error, &mut outside))?;
        config.place_data_dir(is_relative_to_file)?;
        config.place_lists(are_lists_of_file);
        config.place_certificates(are_certificates_of_file, are_roots_of_file);
        Ok(config)
    }

    /// Sets the default of `listen` for a server with HTTPS.
    fn follow_domain(&mut self, is_listen_set: bool) {
        if self.https_listen().is_some() {
            if !is_listen_set {
                self.listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80)).into();
            }
        } else if self.https.listen.is_some() {
            let text = "`https.listen` has no effect without `domain` or `https.certificates`";
            self.origin.warnings.push(text.to_owned());
        }
    }

    /// Warns of names in `domain` that will never have a certificate.
    fn warn_of_names(&mut self) {
        // The files of the owner may be for any name. They are read later, and `doctor` reports what they lack.
        if !self.https.certificates.is_empty() || self.https_listen().is_none() {
            return;
        }
        let names = self.domain.all().iter();
        let reasons = names.filter_map(|name| self.https.uncertifiable(name));
        self.origin.warnings.extend(reasons.map(|why| format!("`domain`: {why}")));
    }

    /// Returns where HTTPS is served. `None` without a name and a certificate.
    pub fn https_listen(&self) -> Option<Listen> {
        let has_certificates = self.domain.first().is_some() || !self.https.certificates.is_empty();
        let default = || SocketAddr::from((Ipv6Addr::UNSPECIFIED, 443)).into();
        has_certificates
            .then(|| self.https.listen.clone().unwrap_or_else(default))
            .filter(|listen| *listen != Listen::Off)
    }

    /// Trusts the proxies of this machine if no other one can connect, and the setting names none.
    fn trust_local_proxies(&mut self) {
        let proxies = &mut self.http.trusted_proxies;
        if self.origin.has_default_proxies && self.listen.is_local() {
            *proxies = vec!["127.0.0.0/8".to_owned(), "::1".to_owned()];
        }
        // The address of every connection to a Unix socket: only programs that may open the file can connect.
        let peer = http::conn::listener::UNIX_PEER;
        let is_trusted = Networks::parse(proxies.iter().map(String::as_str)).is_ok_and(|all| all.name(peer));
        if self.listen.path().is_some() && !is_trusted {
            proxies.push(peer.to_string());
        }
    }

    /// Sets the default of `public_url` for a server that serves HTTP and HTTPS at these addresses.
    pub(crate) fn follow_ports(&mut self, http: &Listen, https: &Listen) {
        if !self.origin.follows_port {
            return;
        }
        if let Some(name) = self.domain.first() {
            let port = https.tcp().map_or(443, |address| address.port());
            self.public_url = match port {
                0 | 443 => format!("https://{}", name.in_url()),
                port => format!("https://{}:{port}", name.in_url()),
            };
            return;
        }
        // A proxy in front of a Unix socket has the default port.
        let (ip, port) =
            http.tcp().map_or((Ipv4Addr::LOCALHOST.into(), 80), |address| (address.ip(), address.port()));
        let is_localhost = ip.is_unspecified()
            || [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].contains(&ip);
        let host = match ip {
            _ if is_localhost => "localhost".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        // Port 0 becomes another one once the socket is bound.
        self.public_url = match port {
            0 | 80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        };
    }

    /// Makes `data_dir` absolute. A relative path of the file is relative to the folder of the file. Fails if the
    /// folder of earlier versions, which is relative to the working folder, contains the log instead.
    fn place_data_dir(&mut self, is_relative_to_file: bool) -> Result<(), ConfigError> {
        let old = absolute(&self.data_dir);
        let file = self.origin.file.as_deref().filter(|_| is_relative_to_file && self.data_dir.is_relative());
        let Some((file, folder)) = file.and_then(|file| Some((file, file.parent()?))) else {
            self.data_dir = old;
            return Ok(());
        };
        let new = absolute(&folder.join(&self.data_dir));
        let has_log = |folder: &Path| log::archive::holds_log(&folder.join("log"));
        if new != old && has_log(&old).unwrap_or(false) && new.canonicalize().ok() != old.canonicalize().ok()
        {
            // An unreadable folder is used, so that the error is of it.
            if !has_log(&new).unwrap_or(true) {
                let value = self.data_dir.display().to_string();
                return Err(ConfigError::Moved { file: file.to_owned(), value, new, old });
            }
            self.origin.warnings.push(format!(
                "`data_dir` is relative to {} and names {}; {} contains a log as well, which is not used",
                file.display(),
                new.display(),
                old.display()
            ));
        }
        self.data_dir = new;
        Ok(())
    }

    /// Makes `links.denied_hosts` and `clicks.country_file` absolute. A relative path of the file is relative to the folder
    /// of the file.
    fn place_lists(&mut self, are_of_file: [bool; 2]) {
        let lists = [&mut self.links.denied_hosts, &mut self.clicks.country_file];
        for (path, is_of_file) in lists.into_iter().zip(are_of_file) {
            let Some(path) = path else { continue };
            let folder = self.origin.file.as_deref().filter(|_| is_of_file).and_then(Path::parent);
            *path = absolute(&folder.map_or_else(|| path.clone(), |folder| folder.join(&path)));
        }
    }

    /// Makes the paths of certificates absolute. A relative path of the file is relative to the folder of the file.
    fn place_certificates(&mut self, are_certificates_of_file: bool, are_roots_of_file: bool) {
        let folder = self.origin.file.as_deref().and_then(Path::parent).map(Path::to_owned);
        let place = |path: &mut PathBuf, is_of_file: bool| {
            let folder = folder.as_deref().filter(|_| is_of_file);
            *path = absolute(&folder.map_or_else(|| path.clone(), |folder| folder.join(&path)));
        };
        for files in &mut self.https.certificates {
            place(&mut files.chain, are_certificates_of_file);
            place(&mut files.key, are_certificates_of_file);
        }
        if let Some(roots) = &mut self.https.authority_roots {
            place(roots, are_roots_of_file);
        }
    }

    /// Returns why short URLs do not open if `public_url` names this machine with another port than `listen`, or with
    /// `http` while nothing listens for it. Returns `None` if a proxy may listen on that port, or if the system chooses
    /// the port to listen on.
    pub fn unserved_port(&self) -> Option<String> {
        let port = Site::parse(&self.public_url).ok()?.loopback_port()?;
        if !self.origin.has_default_proxies && !self.http.trusted_proxies.is_empty() {
            return None;
        }
        // Own certificates alone: their names do not tell which of them is that of the links.
        if self.listen == Listen::Off {
            return Some(format!(
                "short URLs begin with {}, but `listen` is \"none\", so they do not open: set `public_url` to https:// \
                 and a name of your certificates",
                self.public_url
            ));
        }
        let own = self.listen.tcp()?.port();
        (own != 0 && port != own && !self.origin.follows_port).then(|| {
            format!(
                "short URLs begin with {}, but the server listens on port {own}, so they do not open: set `public_url`",
                self.public_url
            )
        })
    }

    /// Checks the rules about values of the right type.
    fn check(&self, source: &str) -> Result<(), ConfigError> {
        let broken = |section: &'static str, bad: BadSetting| ConfigError::Rule {
            source_name: source.to_owned(),
            section,
            key: bad.key.to_owned(),
            value: bad.value,
            rule: bad.rule.into_owned(),
        };
        self.http.check().map_err(|bad| broken("http.", bad))?;
        self.https.check().map_err(|bad| match bad.key {
            // No key of the file.
            "eab_key" => ConfigError::Variable {
                name: EAB_KEY.to_owned(),
                value: NOT_SHOWN.to_owned(),
                why: bad.rule.into_owned(),
            },
            _ => broken("https.", bad),
        })?;
        self.log.check().map_err(|bad| broken("log.", bad))?;
        self.table.check().map_err(|bad| broken("table.", bad))?;
        self.cache.check().map_err(|bad| broken("cache.", bad))?;
        self.links.check().map_err(|bad| broken("links.", bad))?;
        self.history.check().map_err(|bad| broken("history.", bad))?;
        self.checks.check().map_err(|bad| broken("checks.", bad))?;
        self.clicks.check().map_err(|bad| broken("clicks.", bad))?;
        self.limits.check().map_err(|bad| broken("limits.", bad))?;
        self.webhooks.check().map_err(|bad| broken("webhooks.", bad))?;
        if let Some(name) = &self.clicks.country_header
            && self.http.trusted_proxies.is_empty()
        {
            // Not ignored: the operator would wait for countries that never come.
            let rule = "needs the proxies in `http.trusted_proxies`: any other client can send the header";
            return Err(broken("clicks.", BadSetting::new("country_header", format!("{name:?}"), rule)));
        }
        let top = |key: &'static str, value: String, rule: &'static str| {
            broken("", BadSetting::new(key, value, rule))
        };
        if Site::parse(&self.public_url).is_err() {
            let rule = "must be scheme and host such as https://go.example.com, without path, query, wildcard or port 0";
            // The URL may contain a name and a password before the host.
            // An at sign anywhere is enough: a URL that does not parse has no reliable user part.
            let has_secret = self.public_url.contains('@');
            let shown = if has_secret { NOT_SHOWN.to_owned() } else { format!("{:?}", self.public_url) };
            return Err(top("public_url", shown, rule));
        }
        if let Some(rule) = self.unserved_url() {
            return Err(top("public_url", format!("{:?}", self.public_url), rule));
        }
        if self
            .https_listen()
            .is_some_and(|https| https == self.listen && https.tcp().is_none_or(|at| at.port() != 0))
        {
            let rule = "must differ from `https.listen`: HTTP and HTTPS need a port each";
            return Err(top("listen", format!("{:?}", self.listen.to_string()), rule));
        }
        if self.listen == Listen::Off && self.https_listen().is_none() {
            return Err(top("listen", "\"none\"".to_owned(), "needs `domain`: nothing would be served"));
        }
        if self.data_dir.as_os_str().as_encoded_bytes().starts_with(b"~") {
            let rule = "no shell replaces `~` here: write the whole path, such as /home/NAME/data, or ./~ for a folder of \
                        that name";
            return Err(top("data_dir", format!("{:?}", self.data_dir.display().to_string()), rule));
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(top("data_dir", "\"\"".to_owned(), "must name a folder"));
        }
        if log_targets(&self.log_filter).is_none() {
            let rule = "must be a level (off, error, warn, info, debug, trace), or targets such as warn,waypost::http=debug";
            return Err(top("log_filter", format!("{:?}", self.log_filter), rule));
        }
        if self
            .admin_key
            .as_ref()
            .is_some_and(|key| key.0.len() < ADMIN_KEY_MIN || key.0.contains(char::is_whitespace))
        {
            return Err(ConfigError::Variable {
                name: ADMIN_KEY.to_owned(),
                value: NOT_SHOWN.to_owned(),
                why: "must be at least 16 characters without white space".to_owned(),
            });
        }
        Ok(())
    }
}

/// The rule of `public_url` beside `domain`.
const PUBLIC_URL_RULE: &str =
    "must be https with a host that `domain` names; leave it out to use the first one";

impl Config {
    /// Returns the rule that `public_url` breaks if `domain` is set.
    fn unserved_url(&self) -> Option<&'static str> {
        self.domain.first()?;
        let url = url::Url::parse(&self.public_url).ok()?;
        let is_served =
            url.scheme() == "https" && url.host_str().is_some_and(|host| self.domain.contains(host));
        (!is_served).then_some(PUBLIC_URL_RULE)
    }
}

/// Names the environment variable or the flag in an error about its value. The file may have a correct value, which
/// these override.
fn blame(error: ConfigError, outside: &mut HashMap<String, Given>) -> ConfigError {
    let ConfigError::Rule { section, key, value: shown, rule, .. } = &error else { return error };
    let Some(given) = outside.remove(&format!("{section}{key}")) else { return error };
    // The rule has decided whether the value may contain a secret.
    given.refused(Some(NOT_SHOWN).filter(|not_shown| shown == not_shown), rule.clone())
}

/// Returns whether a table contains a setting.
fn has(table: &toml::Table, name: &str) -> bool {
    match name.split_once('.') {
        Some((section, key)) => {
            table.get(section).and_then(toml::Value::as_table).is_some_and(|inner| inner.contains_key(key))
        }
        None => table.contains_key(name),
    }
}

/// Returns the whole path, for messages: the working folder of a service is rarely known.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Parses `log_filter`, with or without spaces around its commas. Returns `None` for a filter without a level and
/// without a target of this program. The parser accepts any other word as a target, under which nothing is logged,
/// so a misspelt level would silence the log.
pub fn log_targets(filter: &str) -> Option<Targets> {
    // The parser would read an empty word as the level `error`.
    let words: Vec<&str> = filter.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let targets = words.join(",").parse::<Targets>().ok().filter(|_| !words.is_empty())?;
    let is_ours = |target: &str| target == "waypost" || target.starts_with("waypost::");
    // A word with `=` has its own level, which the parser has checked.
    let mut bare = words.iter().filter(|word| !word.contains('='));
    let is_known = bare.all(|word| is_ours(word) || word.parse::<LevelFilter>().is_ok());
    let logs = targets.default_level().is_some() || targets.iter().any(|(target, _)| is_ours(target));
    Some(targets).filter(|_| is_known && logs)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })
}

fn parse_file(path: &Path, text: &str, names: &SettingNames) -> Result<toml::Table, ConfigError> {
    // From the text and not from the table: only these errors have a line.
    let checked = toml::from_str::<Config>(text).and_then(|_| toml::from_str(text));
    checked.map_err(|error| ConfigError::in_file(path, text, &error, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("waypost.toml");
        std::fs::write(&path, file).expect("a small file");
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        // Through a real file, so that the messages have its path.
        let loaded = Config::load(Some(&path), environment);
        loaded.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn nothing_set_is_the_default() {
        let config = load("", &[]).expect("an empty file");
        let mut want = Config { origin: config.origin.clone(), ..Config::default() };
        // Relative to the working folder, and never shown so.
        want.data_dir = absolute(Path::new("data"));
        want.http.trusted_proxies = vec!["127.0.0.0/8".to_owned(), "::1".to_owned()];
        assert_eq!(config, want);
    }

    #[test]
    fn short_urls_that_do_not_open_are_noticed() {
        let certificates =
            "https.certificates = [{ chain = \"c.pem\", key = \"k.pem\" }]\nlisten = \"none\"\n";
        let proxy = "http.trusted_proxies = [\"192.0.2.1\"]\n";
        let rows = [
            ("", None),
            ("listen = \":9000\"\n", None),
            ("listen = \":9000\"\npublic_url = \"http://localhost:80\"\n", Some("listens on port 9000")),
            (certificates, Some("`listen` is \"none\", so they do not open: set `public_url` to https://")),
            (&(certificates.to_owned() + "public_url = \"https://a.test\"\n"), None),
            (&(certificates.to_owned() + "public_url = \"http://localhost:80\"\n" + proxy), None),
        ];
        for (file, want) in rows {
            let found = load(file, &[]).expect("allowed").unserved_port();
            match want {
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|why| why.contains(part)), "{file}{found:?}");
                }
                None => assert_eq!(found, None, "{file}"),
            }
        }
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
            // Variables of other programs are ignored.
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
        let rows: [(&str, &[(&str, &str)], &str); 15] = [
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
            (
                "[http]\nmax_conections = 5\n",
                &[],
                "unknown field `max_conections`, expected one of `max_connections`",
            ),
            ("lisen = \":80\"\n", &[], "; did you mean `listen`?"),
            (
                "[https]\nemail = \"\"\ndomain = \"go.test\"\n",
                &[],
                "line 3, column 1: unknown field `domain`",
            ),
            (
                "[https]\ndomain = \"go.test\"\n",
                &[],
                "; `domain` belongs at the top of the file, above the first [section]",
            ),
            (
                "",
                &[("WAYPOST_HTTP__NONSENSE", "1")],
                "environment variable WAYPOST_HTTP__NONSENSE: unknown field `nonsense` (its value is not shown)",
            ),
            (
                "log_filter = \"offoffoff\"",
                &[],
                "waypost.toml: `log_filter` = \"offoffoff\": must be a level (off, error",
            ),
            (
                "public_url = \"https://*.a.test\"",
                &[],
                "`public_url` = \"https://*.a.test\": must be scheme and host",
            ),
            (
                "",
                &[("WAYPOST_DATA_DIR", "~/x")],
                "environment variable WAYPOST_DATA_DIR = \"~/x\": no shell replaces `~` here",
            ),
            (
                "[clicks]\ncountry_header = \"CF IPCountry\"",
                &[],
                "`clicks.country_header` = \"CF IPCountry\": must be the name of a header, such as",
            ),
            (
                "listen = \"0.0.0.0:80\"\nclicks.country_header = \"CF-IPCountry\"",
                &[],
                "`clicks.country_header` = \"CF-IPCountry\": needs the proxies in `http.trusted_proxies`",
            ),
            (
                "",
                &[("WAYPOST_ADMIN_KEY", "short")],
                "environment variable WAYPOST_ADMIN_KEY = \"(not shown)\": must be at least 16",
            ),
        ];
        check_errors(&rows);
    }

    #[track_caller]
    fn check_errors(rows: &[(&str, &[(&str, &str)], &str)]) {
        for (file, environment, want) in rows {
            let error = load(file, environment).err().unwrap_or_default();
            assert!(error.contains(want), "{error}\nshould contain\n{want}");
        }
    }

    #[test]
    fn a_value_that_can_be_no_secret_is_shown() {
        let rows: [(&str, &[(&str, &str)], &str); 9] = [
            ("listen = \"127.0.0.1:99999\"", &[], "`listen` = \"127.0.0.1:99999\": must be a port from 0"),
            ("listen = \"0.0.0.0:80,[::]:80\"", &[], "`listen` = \"0.0.0.0:80,[::]:80\": must be an address"),
            (
                "listen = \"go.example.com:8080\"",
                &[],
                "`listen` = \"go.example.com:8080\": must be an address",
            ),
            (
                "[http]\ntrusted_proxies = \"10.0.0.0/33\"",
                &[],
                "`http.trusted_proxies` = \"10.0.0.0/33\": must be a list such as",
            ),
            (
                "[limits]\nrequests_per_minute = \"many\"",
                &[],
                "`limits.requests_per_minute` = \"many\": must be a whole number",
            ),
            // Keys that were pasted under a wrong name.
            ("listen = \"wp_nZlS9x0aQyBfT4mWkR7u\"", &[], "`listen` = (not shown): must be"),
            ("listen = \"correct horse battery staple\"", &[], "`listen` = (not shown): must be"),
            ("http.max_body = [\"a\", \"0123456789abcdef\"]", &[], "`http.max_body` = (not shown): must be"),
            (
                "http.max_body = [\n1, # wp_nZlS9x0aQyBfT4mWkR7u\n2]",
                &[],
                "`http.max_body` = (not shown): must be",
            ),
        ];
        check_errors(&rows);
    }

    #[test]
    fn errors_of_types_name_key_value_and_rule() {
        let rows: [(&str, &[(&str, &str)], &str); 21] = [
            (
                "\nlisten = true\n",
                &[],
                "waypost.toml, line 2: `listen` = true: must be an address and a port such as",
            ),
            // The parser would name types of the source code, and the key without its section.
            (
                "listen = \"go.test:80\"",
                &[],
                "`listen` = \"go.test:80\": must be an address and a port such as 127.0.0.1:8080",
            ),
            (
                "[http]\nmax_body = \"big\"",
                &[],
                "waypost.toml, line 2: `http.max_body` = \"big\": must be a whole number of bytes without a unit",
            ),
            (
                "[cache]\nmax_memory = \"64 MiB\"",
                &[],
                "`cache.max_memory` = \"64 MiB\": must be a whole number of bytes without a unit, such as 67108864",
            ),
            (
                "",
                &[("WAYPOST_CACHE__MAX_MEMORY", "64MB")],
                "WAYPOST_CACHE__MAX_MEMORY = \"64MB\": must be a whole number of bytes without a unit",
            ),
            (
                "http.trusted_proxies = [\"10.0.0.0/8\", \"proxy\"]",
                &[],
                ": \"proxy\" is not an address or a network such as 10.0.0.0/8",
            ),
            (
                "[links]\ntombstone_days = -1",
                &[],
                "`links.tombstone_days` = -1: must be a whole number from 0 to 4294967295",
            ),
            (
                "http.max_connections = 1.5",
                &[],
                "`http.max_connections` = 1.5: must be a whole number, 0 or more",
            ),
            (
                "[http]\ntrusted_proxies = \"a\"",
                &[],
                "`http.trusted_proxies` = \"a\": must be a list such as [\"127.0.0.1\"]",
            ),
            (
                "links.extra_schemes = \"ftp\"",
                &[],
                "`links.extra_schemes` = \"ftp\": must be a list such as [\"sip\"]",
            ),
            (
                "[webhooks]\nretry_after = [5]",
                &[],
                "`webhooks.retry_after` = [5]: must be a list of texts such as [\"30s\", \"10m\"]",
            ),
            (
                "[http]\ntrusted_proxies = [5]",
                &[],
                "`http.trusted_proxies` = [5]: must be a list of texts such as",
            ),
            (
                "https.certificates = [\"a.pem\", \"a.key\"]",
                &[],
                "expected a pair such as { chain = \"fullchain.pem\", key = \"privkey.pem\" }",
            ),
            (
                "[https.certificates]\nchain = \"a.pem\"",
                &[],
                "must be a list such as [{ chain = \"fullchain.pem\"",
            ),
            (
                "",
                &[("WAYPOST_HTTPS__CERTIFICATES", "a.pem,a.key")],
                "expected a pair such as { chain = \"fullchain.pem\", key = \"privkey.pem\" }",
            ),
            ("[http]\nheader_timeout = 10", &[], "`http.header_timeout` = 10: must be a duration such as"),
            ("[metrics]\npublic = 1", &[], "`metrics.public` = 1: must be true or false"),
            ("data_dir = 1", &[], "`data_dir` = 1: must be a path in quotation marks"),
            (
                "http = 5",
                &[],
                "waypost.toml, line 1: `http` = 5: must be a section: write its name in brackets",
            ),
            (
                "",
                &[("WAYPOST_METRICS__PUBLIC", "1")],
                "environment variable WAYPOST_METRICS__PUBLIC = \"1\": must be true or false",
            ),
            // The value of the file is correct.
            (
                "[http]\nmax_body = 4096",
                &[("WAYPOST_HTTP__MAX_BODY", "1")],
                "environment variable WAYPOST_HTTP__MAX_BODY = \"1\": must be at least 1024",
            ),
        ];
        check_errors(&rows);
    }

    #[test]
    fn a_domain_decides_ports_and_public_url() {
        let shown = |file: &str| {
            let config = load(file, &[])?;
            let https = config.https_listen().map_or_else(|| "none".to_owned(), |listen| listen.to_string());
            Ok::<_, String>(format!("{} {https} {}", config.listen, config.public_url))
        };
        let rows = [
            ("domain = \"go.test\"", "[::]:80 [::]:443 https://go.test"),
            ("domain = [\"go.test\", \"b.test\"]", "[::]:80 [::]:443 https://go.test"),
            ("domain = \"go.test\"\nlisten = \"none\"", "none [::]:443 https://go.test"),
            ("domain = \"go.test\"\nlisten = \":8080\"", "[::]:8080 [::]:443 https://go.test"),
            ("domain = \"go.test\"\nhttps.listen = \":8443\"", "[::]:80 [::]:8443 https://go.test:8443"),
            ("domain = \"2001:db8::1\"", "[::]:80 [::]:443 https://[2001:db8::1]"),
            (
                "domain = [\"a.test\", \"b.test\"]\npublic_url = \"https://b.test\"",
                "[::]:80 [::]:443 https://b.test",
            ),
            // Without a name or a certificate there is no HTTPS.
            ("https.listen = \":8443\"", "127.0.0.1:8080 none http://localhost:8080"),
            (
                "https.certificates = [{ chain = \"c.pem\", key = \"k.pem\" }]\npublic_url = \"https://a.test\"",
                "[::]:80 [::]:443 https://a.test",
            ),
        ];
        for (file, want) in rows {
            assert_eq!(shown(file).as_deref(), Ok(want), "{file}");
        }
        check_errors(&[
            (
                "domain = \"go.test\"\npublic_url = \"http://go.test\"",
                &[],
                "must be https with a host that `domain` names",
            ),
            (
                "domain = \"go.test\"\npublic_url = \"https://b.test\"",
                &[],
                "must be https with a host that `domain` names",
            ),
            (
                "domain = \"https://go.test\"",
                &[],
                "`domain` = \"https://go.test\": must be a host name such as go.example.com, or an address such as \
                 192.0.2.1, without scheme, port or path: write \"go.test\"",
            ),
            (
                "domain = [\"a.test\", \"b.test:443\"]",
                &[],
                "`domain` = [\"a.test\", \"b.test:443\"]: must be a host",
            ),
            (
                "domain = \"go test\"",
                &[],
                "`domain` = \"go test\": must be a host name such as go.example.com",
            ),
            ("", &[("WAYPOST_DOMAIN", "a.test,https://b.test")], "path: write \"b.test\""),
            ("domain = \"*.go.test\"", &[], "`domain` = \"*.go.test\": must be a host name"),
            ("domain = \"*.go.test\"", &[], "name the files of its certificate in `https.certificates`"),
            ("domain = 5", &[], "`domain` = 5: must be a host name such as"),
            ("listen = \"none\"", &[], "`listen` = \"none\": needs `domain`"),
            ("domain = \"a.test\"\nlisten = \":443\"", &[], "must differ from `https.listen`"),
            ("listen = \":8080\"\n[http]\nproxy_protocol = [\"https\"]", &[], "`http.proxy_protocol`"),
            (
                "",
                &[("WAYPOST_HTTPS__EAB_KEY", "secret-of-an-account")],
                "variable WAYPOST_HTTPS__EAB_KEY = \"(not shown)\": must be set together with `https.eab_key_id`",
            ),
            (
                "https.eab_key_id = \"kid\"",
                &[],
                "must be set together with the environment variable WAYPOST_HTTPS__EAB",
            ),
            (
                "https.eab_key_id = \"kid\"",
                &[("WAYPOST_HTTPS__EAB_KEY", "no base64!")],
                "environment variable WAYPOST_HTTPS__EAB_KEY = \"(not shown)\": must be base64url",
            ),
        ]);
    }

    #[test]
    fn names_that_no_public_authority_certifies_are_warned_of() {
        let private = "https.authority = \"https://ca.internal/directory\"\n";
        let rows = [
            ("domain = \"go.example.com\"".to_owned(), 0),
            ("domain = \"localhost\"".to_owned(), 1),
            ("domain = [\"127.0.0.1\", \"go.example.com\", \"go.internal\"]".to_owned(), 2),
            (format!("{private}domain = [\"127.0.0.1\", \"go.internal\"]"), 0),
            (
                "https.certificates = [{ chain = \"c.pem\", key = \"k.pem\" }]\ndomain = \"go.internal\""
                    .to_owned(),
                0,
            ),
        ];
        for (file, want) in rows {
            let warnings = load(&file, &[]).expect(&file).origin.warnings;
            let all =
                warnings.iter().all(|text| text.contains("so no public authority issues a certificate"));
            assert!(warnings.len() == want && all, "{file}: {warnings:?}");
        }
    }

    #[test]
    fn several_names_have_every_spelling() {
        let rows: [(&str, &[(&str, &str)], &[&str]); 5] = [
            ("domain = [\"a.test\", \"b.test\"]", &[], &[]),
            ("domain = \"a.test,b.test\"", &[], &[]),
            ("", &[("WAYPOST_DOMAIN", "a.test, b.test")], &[]),
            ("", &[("WAYPOST_DOMAIN", "[\"a.test\", \"b.test\"]")], &[]),
            ("domain = \"c.test\"", &[], &["a.test,b.test"]),
        ];
        for (file, environment, flags) in rows {
            let text = (Path::new("waypost.toml"), file);
            let environment =
                environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let flags: Vec<_> = flags.iter().map(|value| ("domain", (*value).to_owned())).collect();
            let config = Config::parse_with(Some(text), environment, &flags).expect(file);
            let names: Vec<_> = config.domain.all().iter().map(ToString::to_string).collect();
            assert_eq!(names, ["a.test", "b.test"], "{file} {flags:?}");
        }
    }

    #[test]
    fn the_environment_sets_domains_and_the_key_of_an_account() {
        let environment = [
            ("WAYPOST_DOMAIN", "a.test, b.test"),
            ("WAYPOST_HTTPS__EAB_KEY_ID", "kid"),
            ("WAYPOST_HTTPS__EAB_KEY", "secret-of-an-account"),
            ("WAYPOST_HTTPS__CERTIFICATES", "[{ chain = \"/c.pem\", key = \"/k.pem\" }]"),
        ];
        let config = load("", &environment).expect("valid");
        assert_eq!(config.domain.all().len(), 2);
        assert_eq!(config.https.certificates[0].key, Path::new("/k.pem"));
        assert!(config.https.eab_key.is_some() && !format!("{config:?}").contains("secret-of-an-account"));
    }

    /// A word that is no level silences the log, and so does a filter without a target of this program.
    #[test]
    fn n39b_a_filter_names_what_is_logged() {
        for filter in [
            "off",
            "INFO",
            // The parser of levels accepts numbers.
            "3",
            "warn,waypost::http=debug",
            "waypost",
            " info , hyper=debug",
            "waypost=trace",
        ] {
            assert!(log_targets(filter).is_some(), "{filter}");
        }
        for filter in [
            "offoffoff",
            "inof",
            "",
            ",",
            "info,wanr",
            // Without a level of its own, the program would log nothing.
            "hyper=debug",
            "waypots=debug",
            "a=b=c",
            "waypost=loud",
        ] {
            assert!(log_targets(filter).is_none(), "{filter}");
        }
    }

    /// Neither messages nor `Debug` contain a value whose name is unknown, misspelt or nested,
    /// or when the file is no TOML.
    #[test]
    fn n11_no_error_shows_what_may_be_a_secret() {
        const SECRET: &str = "canary-0123456789";
        let variables = [
            "WAYPOST_ADMINKEY",
            "WAYPOST_ADMIN__KEY",
            "WAYPOST_ADMIN_KEY_",
            "WAYPOST_ADMIN_KEY__X",
            "WAYPOST_LISTEN__ADMIN_KEY",
            "WAYPOST_HTTP",
            "WAYPOST_HTTP__ADMIN_KEY",
            "WAYPOST_HTTP__MAX_BODY__KEY",
            "WAYPOST_",
            // An empty name between underscores.
            "WAYPOST___",
            "WAYPOST_TOKEN",
        ];
        for name in variables {
            for value in [SECRET.to_owned(), format!("\"{SECRET}\""), format!("{{ a = \"{SECRET}\" }}")] {
                let refused = Config::parse(None, [(name.to_owned(), value)]).expect_err(name);
                let shown = format!("{refused} {refused:?}");
                assert!(shown.contains(name) && !shown.contains(SECRET), "{shown}");
            }
        }
        let meant =
            Config::parse(None, [("WAYPOST_ADMINKEY".to_owned(), SECRET.to_owned())]).expect_err("misspelt");
        assert!(meant.to_string().ends_with(": did you mean WAYPOST_ADMIN_KEY?"), "{meant}");
        let files = [
            "admin_key = \"SECRET\"",
            "admin_key = 'SECRET'",
            "admin_key = SECRET",
            "admin_key SECRET",
            "admin_key = \"SECRET",
            "admin_key = \"\"\"\nSECRET\n",
            "admin_key: SECRET",
            "SECRET",
            "= SECRET",
            "adminkey = \"SECRET\"",
            "[http]\nadmin_key = \"SECRET\"",
            "[admin]\nkey = \"SECRET\"",
            "admin = { key = \"SECRET\" }",
            "http = \"SECRET\"",
            "http = { admin_key = \"SECRET\" }",
            "webhooks = [\"SECRET\"]",
            "[http]\nmax_body = \"SECRET\"",
            "http.max_body.key = \"SECRET\"",
            "listen = \"SECRET\"",
            "public_url = \"https://user:SECRET@go.example.com\"",
            "public_url = \"https://SECRET@go.example.com\"",
            "metrics = \"SECRET\" # SECRET",
            "[metrics]\npublic = \"SECRET\"",
            "[clicks]\nflush_interval = \"SECRET\"",
            // A repeated key: the error is of a line whose value may be a secret.
            "listen = \"127.0.0.1:1\"\nlisten = \"SECRET\"",
            // A secret may be in a comment.
            "data_dir = 5 # SECRET",
            // A byte order mark, which some editors write.
            "\u{feff}admin_key = \"SECRET\"",
        ];
        for file in files {
            let file = file.replace("SECRET", SECRET);
            let refused = Config::parse(Some((Path::new("waypost.toml"), &file)), []).expect_err(&file);
            let shown = format!("{refused} {refused:?}");
            assert!(shown.contains("waypost.toml") && !shown.contains(SECRET), "{file}\n{shown}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Some(Path::new("no/such.toml")), []).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.starts_with("cannot read no/such.toml: ")));
    }
}
