//! Settings from environment variables and from flags of the command line, which override the file.
//!
//! A variable has one text for every type: the type of the setting decides how the text is read. An empty value
//! is no value, since Compose writes one for `${NAME:-}`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::de::DeserializeOwned;

use super::error::ConfigError;
use super::names::{
    self, ADMIN_KEY, CLIENT_KEY, CLIENT_KEY_FILE, CLIENT_SERVER, CONFIG, EAB_KEY, PREFIX, SettingNames,
};
use super::wrong_type;

/// A value from outside the file.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The variable, or the flag with its dashes.
    pub(super) name: String,
    pub(super) value: String,
}

impl Given {
    /// Creates the error of this value. `shown` replaces a value that may be a secret.
    pub(super) fn refused(self, shown: Option<&str>, why: String) -> ConfigError {
        let value = shown.map_or(self.value, str::to_owned);
        if self.name.starts_with("--") {
            ConfigError::Flag { name: self.name, value, why }
        } else {
            ConfigError::Variable { name: self.name, value, why }
        }
    }
}

/// The variables that belong to this program.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// By the whole name of the setting.
    pub(super) settings: Vec<(String, Given)>,
    pub(super) admin_key: Option<String>,
    pub(super) eab_key: Option<String>,
    /// The names of variables that a container platform created.
    pub(super) passed_over: Vec<String>,
}

impl Variables {
    /// Sorts the variables of an environment. Fails with the first one that has the prefix and names no setting.
    pub(super) fn read(
        environment: impl IntoIterator<Item = (String, String)>,
        names: &SettingNames,
    ) -> Result<Variables, ConfigError> {
        let ours: BTreeMap<String, String> =
            environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        let mut found = Variables::default();
        for (name, value) in &ours {
            // Two underscores, since the names of settings have single ones.
            let path = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            let secret = || Some(unquoted(value)).filter(|value| !is_empty(value)).map(str::to_owned);
            if name == ADMIN_KEY {
                found.admin_key = secret();
            } else if name == EAB_KEY {
                found.eab_key = secret();
            } else if [CONFIG, CLIENT_KEY, CLIENT_KEY_FILE, CLIENT_SERVER].contains(&name.as_str()) {
                // The command line has read it.
            } else if names.contains(&path) {
                if !is_empty(value) {
                    found.settings.push((path, Given { name: name.clone(), value: value.clone() }));
                }
            } else if is_of_platform(name, value, &ours) {
                found.passed_over.push(name.clone());
            } else {
                // The value may be a secret under a misspelt name, so no message may show it.
                return Err(ConfigError::UnknownVariable {
                    name: name.clone(),
                    field: names::last(&path).to_owned(),
                    known: names.variables_beside(&path),
                    nearest: names.nearest_variable(name),
                });
            }
        }
        Ok(found)
    }
}

/// Returns a value without the quotation marks around it, which `docker run --env-file` passes on. For keys, which
/// are no TOML.
pub fn unquoted(value: &str) -> &str {
    let inner = |mark: char| value.trim().strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

fn is_empty(value: &str) -> bool {
    // Quotation marks are accepted around every value.
    matches!(value.trim(), "" | "\"\"" | "''")
}

/// Returns whether a variable describes a service of Kubernetes or a linked container of Docker that has the name of
/// this program: `WAYPOST_PORT=tcp://10.0.0.1:8080`. By name and value: a person who sets `WAYPOST_PORT=80` means a
/// setting, which does not exist.
fn is_of_platform(name: &str, value: &str, all: &BTreeMap<String, String>) -> bool {
    let rest = &name[PREFIX.len()..];
    // Docker's own variables have no value that can be recognised, but come with the name of the container.
    let links = || all.iter().filter(|(name, value)| name.ends_with("_NAME") && is_container(value));
    if name.ends_with("_NAME") && is_container(value) {
        return true;
    }
    if links()
        .any(|(link, _)| name.strip_prefix(&link[..link.len() - 4]).is_some_and(|it| it.starts_with("ENV_")))
    {
        return true;
    }
    if rest == "SERVICE_HOST" || rest.ends_with("_SERVICE_HOST") {
        return value.parse::<IpAddr>().is_ok();
    }
    if ends_in(rest, "SERVICE_PORT") || after(rest, "SERVICE_PORT_").is_some() {
        return value.parse::<u16>().is_ok();
    }
    if ends_in(rest, "PORT") && is_endpoint(value) {
        return true;
    }
    let Some((port, rest)) = after(rest, "PORT_").and_then(|rest| rest.split_once('_')) else { return false };
    if port.parse::<u16>().is_err() {
        return false;
    }
    // Docker links have the last port of a range as well: `PORT_80_TCP_START`, `PORT_80_TCP_END`.
    match rest.split_once('_').unwrap_or((rest, "")) {
        ("TCP" | "UDP" | "SCTP", "" | "START" | "END") => is_endpoint(value),
        ("TCP" | "UDP" | "SCTP", "ADDR") => value.parse::<IpAddr>().is_ok(),
        ("TCP" | "UDP" | "SCTP", "PORT" | "PORT_START" | "PORT_END") => value.parse::<u16>().is_ok(),
        ("TCP" | "UDP" | "SCTP", "PROTO") => matches!(value, "tcp" | "udp" | "sctp"),
        _ => false,
    }
}

/// Returns whether a name is `end`, or ends in an underscore and `end`.
fn ends_in(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|start| start.is_empty() || start.ends_with('_'))
}

/// Returns what follows `part`, which begins a name or follows an underscore.
fn after<'a>(name: &'a str, part: &str) -> Option<&'a str> {
    let at = name.find(part)?;
    Some(&name[at + part.len()..]).filter(|_| at == 0 || name[..at].ends_with('_'))
}

fn is_endpoint(value: &str) -> bool {
    value
        .split_once("://")
        .is_some_and(|(scheme, rest)| matches!(scheme, "tcp" | "udp" | "sctp") && rest.contains(':'))
}

/// Returns whether a value is the name of a linked container: `/web/waypost`.
fn is_container(value: &str) -> bool {
    value
        .strip_prefix('/')
        .is_some_and(|rest| rest.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()))
}

/// Applies a text to the table of the settings `T`. It is parsed as TOML where that fits the type of the setting (`true`, `10`,
/// `["ftp"]`), as items between commas for a list, or else used unchanged.
pub(super) fn overlay<T: DeserializeOwned>(
    table: &mut toml::Table,
    name: &str,
    text: &str,
) -> Result<(), String> {
    let path: Vec<&str> = name.split('.').collect();
    let as_toml = toml_value(text);
    let candidates: Vec<toml::Value> = if is_list::<T>(&path) {
        let whole = as_toml.clone().filter(toml::Value::is_array);
        // A value in quotation marks is a text, which may have commas.
        let inner = as_toml.as_ref().and_then(toml::Value::as_str).unwrap_or(text);
        vec![whole.unwrap_or_else(|| items(inner))]
    } else {
        // A setting that is a text or a number, such as `listen`, reads the text itself: to TOML, `0x50` is 80.
        let is_text = |value: &toml::Value| {
            let text = toml::Value::String(value.to_string());
            value.is_integer() && alone(&path, text).try_into::<T>().is_ok()
        };
        // TOML first: `true` and `10` are texts as well, and the type of the setting decides. So it does for what is
        // in quotation marks.
        let inner = as_toml.as_ref().and_then(toml::Value::as_str).and_then(toml_value);
        let typed = as_toml.into_iter().chain(inner).filter(|value| !is_text(value));
        typed.chain([toml::Value::String(text.to_owned())]).collect()
    };
    let mut why = String::new();
    for value in candidates {
        // Alone, so that the error can only be of this value and not of the file.
        match alone(&path, value.clone()).try_into::<T>() {
            Ok(_) => {
                put(table, &path, value);
                return Ok(());
            }
            Err(error) => {
                let message = error.message();
                why = wrong_type::rule(name, message, value.is_array()).unwrap_or_else(|| message.to_owned());
            }
        }
    }
    Err(why)
}

fn toml_value(text: &str) -> Option<toml::Value> {
    toml::from_str::<toml::Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"))
}

/// Returns whether a setting accepts lists only.
fn is_list<T: DeserializeOwned>(path: &[&str]) -> bool {
    alone(path, toml::Value::Array(Vec::new())).try_into::<T>().is_ok()
}

/// Splits a text at its commas: `10.0.0.0/8, 127.0.0.1`. Ignores brackets around it and quotation marks around an
/// item, which a shell may have removed in part.
fn items(text: &str) -> toml::Value {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let items = inner.split(',').map(|item| item.trim().trim_matches(['"', '\'']).trim());
    let items = items.filter(|item| !item.is_empty());
    toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect())
}

fn alone(path: &[&str], value: toml::Value) -> toml::Table {
    let mut table = toml::Table::new();
    put(&mut table, path, value);
    table
}

fn put(table: &mut toml::Table, path: &[&str], value: toml::Value) {
    match path {
        [] => {}
        [key] => {
            table.insert((*key).to_owned(), value);
        }
        [section, rest @ ..] => {
            let inner = table.entry(*section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = inner {
                put(inner, rest, value);
            } else {
                // A plain key that is used as a section. The check of the types rejects it.
                *inner = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn load(environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, environment).map_err(|error| error.to_string())
    }

    #[test]
    fn f04_variables_of_a_platform_are_passed_over() {
        let rows = [
            ("WAYPOST_PORT", "tcp://10.0.0.1:8080"),
            ("WAYPOST_PORT", "udp://[fd00::1]:53"),
            ("WAYPOST_SERVICE_HOST", "10.0.0.1"),
            ("WAYPOST_SERVICE_HOST", "fd00::1"),
            ("WAYPOST_SERVICE_PORT", "8080"),
            ("WAYPOST_SERVICE_PORT_HTTP", "8080"),
            ("WAYPOST_SERVICE_PORT_HTTP_METRICS", "8080"),
            ("WAYPOST_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("WAYPOST_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("WAYPOST_PORT_8080_TCP_PORT", "8080"),
            ("WAYPOST_PORT_8080_TCP_PROTO", "tcp"),
            ("WAYPOST_PORT_53_UDP", "udp://10.0.0.1:53"),
            ("WAYPOST_PORT_53_UDP_PROTO", "udp"),
            ("WAYPOST_PORT_9_SCTP_PROTO", "sctp"),
            // Services whose names begin with the name of this program.
            ("WAYPOST_METRICS_SERVICE_HOST", "10.0.0.2"),
            ("WAYPOST_METRICS_SERVICE_PORT", "9090"),
            ("WAYPOST_METRICS_SERVICE_PORT_WEB", "9090"),
            ("WAYPOST_METRICS_PORT", "tcp://10.0.0.2:9090"),
            ("WAYPOST_METRICS_PORT_9090_TCP", "tcp://10.0.0.2:9090"),
            ("WAYPOST_METRICS_PORT_9090_TCP_ADDR", "10.0.0.2"),
            ("WAYPOST_1_PORT_80_TCP_PORT", "80"),
            // A linked container of Docker.
            ("WAYPOST_NAME", "/proxy/waypost"),
            ("WAYPOST_PORT_80_TCP_START", "tcp://172.17.0.2:80"),
            ("WAYPOST_PORT_80_TCP_PORT_END", "90"),
        ];
        for (name, value) in rows {
            let config = load(&[(name, value)]);
            assert_eq!(config.map(|config| config.origin.passed_over), Ok(vec![name.to_owned()]), "{value}");
        }
        let linked =
            [("WAYPOST_NAME", "/proxy/waypost"), ("WAYPOST_ENV_PATH", "/bin"), ("WAYPOST_LISTEN", ":1")];
        let config = load(&linked).expect("a linked container");
        assert_eq!(config.origin.passed_over, ["WAYPOST_ENV_PATH", "WAYPOST_NAME"]);
        assert_eq!(config.listen.to_string(), "[::]:1");
    }

    #[test]
    fn f04_other_unknown_variables_are_still_refused() {
        let rows = [
            ("WAYPOST_PORT", "8080", "did you mean WAYPOST_LISTEN?"),
            ("WAYPOST_HOST", "0.0.0.0", "did you mean WAYPOST_LISTEN?"),
            ("WAYPOST_URL", "https://go.test", "did you mean WAYPOST_PUBLIC_URL?"),
            ("WAYPOST_LOG_LEVEL", "info", "did you mean WAYPOST_LOG_FILTER?"),
            ("WAYPOST_SERVICE_HOST", "not-an-address", "unknown field"),
            ("WAYPOST_SERVICE_PORT", "http", "unknown field"),
            ("WAYPOST_PORT_X_TCP_ADDR", "10.0.0.1", "unknown field"),
            ("WAYPOST_PORT_80_QUIC", "tcp://10.0.0.1:80", "unknown field"),
            ("WAYPOST_EXPORT", "tcp://10.0.0.1:80", "unknown field"),
            ("WAYPOST_NAME", "waypost", "unknown field"),
            ("WAYPOST_ENV_PATH", "/bin", "unknown field"),
            ("WAYPOST_NONSENSE", "", "WAYPOST_LISTEN, WAYPOST_DATA_DIR, WAYPOST_PUBLIC_URL"),
            ("WAYPOST_METRICS__NONSENSE", "1", "expected one of WAYPOST_METRICS__PUBLIC"),
        ];
        for (name, value, want) in rows {
            let error = load(&[(name, value)]).expect_err(name);
            assert!(error.contains(want), "{name}: {error}");
        }
    }

    #[test]
    fn a7_a_list_is_one_value_or_has_commas() {
        let rows: [(&str, &[&str]); 12] = [
            ("10.0.0.0/8", &["10.0.0.0/8"]),
            ("10.0.0.0/8,172.16.0.0/12", &["10.0.0.0/8", "172.16.0.0/12"]),
            (" 10.0.0.0/8 , ::1 ", &["10.0.0.0/8", "::1"]),
            ("10.0.0.0/8,", &["10.0.0.0/8"]),
            ("[\"10.0.0.0/8\", \"::1\"]", &["10.0.0.0/8", "::1"]),
            ("['10.0.0.0/8']", &["10.0.0.0/8"]),
            // A shell has removed the quotation marks.
            ("[10.0.0.0/8, ::1]", &["10.0.0.0/8", "::1"]),
            ("\"10.0.0.0/8,::1\"", &["10.0.0.0/8", "::1"]),
            ("'10.0.0.0/8'", &["10.0.0.0/8"]),
            ("\"10.0.0.0/8\",\"::1\"", &["10.0.0.0/8", "::1"]),
            ("[]", &[]),
            ("127.0.0.1", &["127.0.0.1"]),
        ];
        for (text, want) in rows {
            let config = load(&[("WAYPOST_HTTP__TRUSTED_PROXIES", text)]);
            assert_eq!(config.map(|config| config.http.trusted_proxies), Ok(own(want)), "{text}");
        }
        let config = load(&[
            ("WAYPOST_LINKS__EXTRA_SCHEMES", "ftp,sip"),
            ("WAYPOST_WEBHOOKS__ALLOWED_NETWORKS", "10.0.0.0/8"),
            ("WAYPOST_WEBHOOKS__RETRY_AFTER", "1s,2m"),
        ]);
        let config = config.expect("lists");
        assert_eq!(config.links.extra_schemes, ["ftp", "sip"]);
        assert_eq!(config.webhooks.allowed_networks, ["10.0.0.0/8"]);
        assert_eq!(config.webhooks.retry_after.len(), 2);
        // Every item is checked, in every spelling.
        let wrong = [
            ("WAYPOST_HTTP__TRUSTED_PROXIES", "10.0.0.0/8,everyone", "\"everyone\" is not an address"),
            ("WAYPOST_HTTP__TRUSTED_PROXIES", "[5]", "must be a list of texts"),
            ("WAYPOST_WEBHOOKS__RETRY_AFTER", "1s,soon", "must be 1 to 4 durations"),
        ];
        for (name, value, want) in wrong {
            let error = load(&[(name, value)]).expect_err(value);
            assert!(error.contains(want) && error.contains(name), "{error}");
        }
    }

    fn own(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a7_quotation_marks_are_no_part_of_a_value() {
        for mark in ["\"", "'"] {
            let quoted = |value: &str| format!("{mark}{value}{mark}");
            let config = load(&[
                ("WAYPOST_HTTP__MAX_BODY", &quoted("65536")),
                ("WAYPOST_METRICS__PUBLIC", &quoted("true")),
                ("WAYPOST_HTTP__HEADER_TIMEOUT", &quoted("7s")),
                ("WAYPOST_PUBLIC_URL", &quoted("https://go.test")),
                (ADMIN_KEY, &quoted("wp_0123456789abcdef0123456789abcdef")),
            ]);
            let config = config.expect("quoted values");
            assert_eq!((config.http.max_body, config.metrics.public), (65_536, true));
            assert_eq!(config.public_url, "https://go.test");
            assert_eq!(
                config.admin_key.map(|key| key.0).as_deref(),
                Some("wp_0123456789abcdef0123456789abcdef")
            );
        }
        for (text, want) in [("\"a", "\"a"), ("a\"", "a\""), ("\"a'", "\"a'"), (" 'a' ", "a"), ("\"", "\"")] {
            assert_eq!(unquoted(text), want);
        }
        let error = load(&[("WAYPOST_HTTP__MAX_BODY", "\"many\"")]).expect_err("no number");
        assert!(error.contains("must be a whole number"), "{error}");
    }

    #[test]
    fn a7_an_empty_value_is_no_value() {
        let unset = load(&[]);
        for name in SettingNames::of::<Config>().variables() {
            for value in ["", " ", "\"\"", "''"] {
                assert_eq!(load(&[(&name, value)]), unset, "{name}={value:?}");
            }
        }
        assert_eq!(load(&[(ADMIN_KEY, "")]), unset);
        assert_eq!(load(&[(CONFIG, "/etc/waypost.toml")]), unset);
        assert_eq!(load(&[(CLIENT_SERVER, "https://go.test"), (CLIENT_KEY_FILE, "/key")]), unset);
    }
}
