//! The `[http]` section: limits and deadlines of connections, and the proxies in front of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::descriptors;
use crate::model::network::Networks;
use crate::settings::BadSetting;

/// Default limit of connections, if the system has no lower one: enough for one machine, and at 16 KB each
/// 320 MB when all of them attack.
const CONNECTIONS: usize = 20_000;

/// The `[http]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most open connections; a connection past the limit is closed at once. Default: 20,000. Never more
    /// than what the limit of file descriptors leaves after those for the log, the table and webhooks.
    pub max_connections: Option<usize>,
    /// Most open connections of one address (for IPv6: of its /64); a connection past the limit is closed
    /// at once. Trusted proxies have no such limit. A browser opens six; one address of a large office or a
    /// mobile carrier serves hundreds of people, few of whom click at the same time.
    pub max_connections_per_address: usize,
    /// Time for a complete request head, counted from the last response of the connection. Idle
    /// connections are closed after it.
    #[serde(with = "crate::settings::duration")]
    pub header_timeout: Duration,
    /// Time for a complete request body.
    #[serde(with = "crate::settings::duration")]
    pub body_timeout: Duration,
    /// Time for started requests to finish when the server stops.
    #[serde(with = "crate::settings::duration")]
    pub drain_timeout: Duration,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// Largest body of a bulk request in bytes.
    pub max_bulk_body: usize,
    /// The listeners whose connections begin with a header of the PROXY protocol, from trusted proxies only.
    pub proxy_protocol: Vec<ProxiedListener>,
    /// Proxies whose `X-Forwarded-For` is trusted: addresses, or networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
}

/// A listener that requires the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxiedListener {
    /// The one of `listen`.
    Http,
    /// The one of `https.listen`.
    Https,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_connections: None,
            max_connections_per_address: 256,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            max_body: 64 * 1024,
            max_bulk_body: 8 * 1024 * 1024,
            proxy_protocol: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks every rule about a value of the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let hour = Duration::from_hours(1);
        let timeouts = [("header_timeout", self.header_timeout), ("body_timeout", self.body_timeout)];
        for (key, value) in timeouts {
            // A shorter deadline would close working clients, a longer one would bound nothing.
            if value < Duration::from_millis(10) || value > hour {
                let shown = crate::settings::duration::show(value);
                return Err(BadSetting::new(key, format!("{shown:?}"), "must be from \"10ms\" to \"1h\""));
            }
        }
        // Zero is allowed: connections are then cut at once.
        if self.drain_timeout > hour {
            let shown = crate::settings::duration::show(self.drain_timeout);
            return Err(BadSetting::new("drain_timeout", format!("{shown:?}"), "must be at most \"1h\""));
        }
        if self.max_connections == Some(0) {
            return Err(BadSetting::new("max_connections", 0, "must be at least 1"));
        }
        if self.max_connections_per_address == 0 {
            return Err(BadSetting::new("max_connections_per_address", 0, "must be at least 1"));
        }
        if self.max_body < 1_024 {
            return Err(BadSetting::new("max_body", self.max_body, "must be at least 1024"));
        }
        let bulk = self.max_bulk_body;
        // Four bulks are in memory at once, and take several times their length when they are parsed.
        if !(self.max_body..=64 * 1024 * 1024).contains(&bulk) {
            let rule = "must be at least `max_body` and at most 67108864";
            return Err(BadSetting::new("max_bulk_body", bulk, rule));
        }
        self.proxies()?;
        if !self.proxy_protocol.is_empty() && self.trusted_proxies.is_empty() {
            let rule = "needs the proxies in `trusted_proxies`: no other client may send the header";
            return Err(BadSetting::new("proxy_protocol", "[...]", rule));
        }
        Ok(())
    }

    /// Returns the trusted proxies.
    pub fn proxies(&self) -> Result<Networks, BadSetting> {
        // The error names the first bad entry: a host name, for example.
        Networks::parse(self.trusted_proxies.iter().map(String::as_str)).map_err(|invalid| {
            BadSetting::new("trusted_proxies", format!("{:?}", self.trusted_proxies), invalid.why)
        })
    }

    /// Returns the limit of connections that the accept loop enforces.
    pub fn connections(&self) -> usize {
        self.connections_within(descriptors::limit())
    }

    /// Returns the limit of connections with this limit of file descriptors. The setting is bounded by it as
    /// well: past it the log would find no descriptor for its next file.
    fn connections_within(&self, limit: u64) -> usize {
        // With very few descriptors the reserve would be all of them: then half are for connections.
        let left = limit.saturating_sub(descriptors::RESERVED).max(limit / 2).max(1);
        self.max_connections.unwrap_or(CONNECTIONS).min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_and_each_rule_names_its_key() {
        assert_eq!(Settings::default().check(), Ok(()));
        let check = |change: fn(&mut Settings), want: &str| {
            let mut settings = Settings::default();
            change(&mut settings);
            assert_eq!(settings.check().map_err(|e| e.to_string()), Err(want.to_owned()));
        };
        check(|s| s.max_connections = Some(0), "`max_connections` = 0: must be at least 1");
        check(|s| s.max_connections_per_address = 0, "`max_connections_per_address` = 0: must be at least 1");
        check(
            |s| s.header_timeout = Duration::ZERO,
            "`header_timeout` = \"0s\": must be from \"10ms\" to \"1h\"",
        );
        check(
            |s| s.body_timeout = Duration::from_hours(2),
            "`body_timeout` = \"2h\": must be from \"10ms\" to \"1h\"",
        );
        check(
            |s| s.drain_timeout = Duration::from_hours(2),
            "`drain_timeout` = \"2h\": must be at most \"1h\"",
        );
        check(
            |s| s.trusted_proxies = vec!["10.0.0.0/33".to_owned()],
            "`trusted_proxies` = [\"10.0.0.0/33\"]: \"10.0.0.0/33\" is not an address or a network such as 10.0.0.0/8",
        );
        check(|s| s.max_body = 10, "`max_body` = 10: must be at least 1024");
        check(
            |s| s.max_bulk_body = 2_000,
            "`max_bulk_body` = 2000: must be at least `max_body` and at most 67108864",
        );
    }

    #[test]
    fn connections_leave_descriptors_to_the_rest() {
        let rows = [
            (None, 1_000_000, 20_000),
            // The usual limit of a shell, less the reserved 256.
            (None, 1_024, 768),
            (Some(30_000), 1_000_000, 30_000),
            (Some(500), 1_024, 500),
            (Some(5_000), 1_024, 768),
            // The reserve would leave 44 of 300, so half are for connections.
            (Some(5_000), 300, 150),
            (Some(usize::MAX), u64::MAX, usize::MAX - 256),
            // Never 0: no client could connect.
            (Some(5), 0, 1),
        ];
        for (max_connections, descriptors, want) in rows {
            let settings = Settings { max_connections, ..Settings::default() };
            assert_eq!(settings.connections_within(descriptors), want, "{max_connections:?} {descriptors}");
        }
    }

    #[test]
    fn the_section_reads_durations_and_rejects_unknown_keys() {
        let settings: Settings = toml::from_str("body_timeout = \"500ms\"").expect("a known key");
        assert_eq!(settings.body_timeout, Duration::from_millis(500));
        assert_eq!(settings.header_timeout, Settings::default().header_timeout);
        let error = toml::from_str::<Settings>("max_conections = 5").expect_err("misspelt");
        assert!(error.to_string().contains("max_conections"), "{error}");
    }
}
