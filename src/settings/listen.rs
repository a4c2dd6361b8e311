//! [`Listen`]: where the server accepts connections, as people write it: `8080`, `:8080`, `localhost:8080`,
//! `[::]:80`, `unix:/run/waypost.sock`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The port of an address without one.
pub const PORT: u16 = 8080;

/// The setting of a listener that is switched off.
const OFF: &str = "none";

/// The start of the path of a socket.
const UNIX: &str = "unix:";

/// Longest path of a Unix socket in bytes: `sun_path` has 108, with a zero at its end.
const PATH_MAX: usize = 107;

/// The rule of the setting, with examples.
const RULE: &str = "must be an address and a port such as 127.0.0.1:8080, [::]:80, localhost:8080 or :8080, or a socket \
                    such as unix:/run/waypost.sock";

/// Where the server accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// Nowhere: `none`.
    Off,
}

impl Listen {
    /// Parses a setting. A missing address means all addresses, IPv4 and IPv6. A missing port is [`PORT`].
    pub fn parse(text: &str) -> Result<Listen, String> {
        let text = text.trim();
        if text == OFF {
            return Ok(Listen::Off);
        }
        if let Some(path) = text.strip_prefix(UNIX) {
            return socket(path);
        }
        if text.starts_with(['/', '.']) {
            // Without the text, which may be a secret under a wrong key.
            return Err(format!("must be `unix:` and then the path for a Unix socket; or it {RULE}"));
        }
        let all = |port| Listen::Tcp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        if let Some(port) = parse_port(text.strip_prefix(':').unwrap_or(text)) {
            return Ok(all(port));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            // The parser of addresses accepts zeros in front of a port.
            if text.rsplit_once(':').is_none_or(|(_, port)| parse_port(port).is_none()) {
                return Err(refusal(text));
            }
            return Ok(Listen::Tcp(address));
        }
        // Also `::1` and `[::1]`, which have colons of their own.
        if let Some(address) = parse_host(text) {
            return Ok(address.map_or_else(|| all(PORT), |address| Listen::Tcp((address, PORT).into())));
        }
        let Some((host, port)) = text.rsplit_once(':') else { return Err(refusal(text)) };
        let (Some(host), Some(port)) = (parse_host(host), parse_port(port)) else {
            return Err(refusal(text));
        };
        Ok(host.map_or_else(|| all(port), |address| Listen::Tcp((address, port).into())))
    }

    /// Returns whether only programs of this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Listen::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Listen::Unix(_) => true,
            Listen::Off => false,
        }
    }

    /// Returns the address and port. `None` without one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Listen::Tcp(address) => Some(*address),
            Listen::Unix(_) | Listen::Off => None,
        }
    }

    /// Returns the path of a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Listen::Tcp(_) | Listen::Off => None,
            Listen::Unix(path) => Some(path),
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen::Tcp(address)
    }
}

/// Writes the setting, as [`Listen::parse`] reads it.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Listen::Off => f.write_str(OFF),
        }
    }
}

/// Parses a port. Fails for a sign and for zeros in front, which the parser of numbers accepts.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || !text.starts_with('0');
    (is_plain && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Parses an address, or a name that needs no look-up. `Some(None)` means all addresses.
fn parse_host(text: &str) -> Option<Option<IpAddr>> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare {
        "*" => Some(None),
        _ if bare.eq_ignore_ascii_case("localhost") => Some(Some(Ipv4Addr::LOCALHOST.into())),
        _ => bare.parse().ok().map(Some),
    }
}

fn socket(text: &str) -> Result<Listen, String> {
    // `unix:///run/x` is the spelling of a URL.
    let path = text.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(text);
    if path.is_empty() || path.ends_with('/') {
        return Err("must be the path of a file such as unix:/run/waypost.sock".to_owned());
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.into());
    if whole.as_os_str().len() > PATH_MAX {
        return Err(format!(
            "must be a path of at most {PATH_MAX} bytes, which is the limit of the system for a Unix socket"
        ));
    }
    Ok(Listen::Unix(whole))
}

/// Returns the rule, with the nearest mistake.
fn refusal(text: &str) -> String {
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    if text.contains("://") {
        return format!("must be an address and no URL, which `public_url` is: it {RULE}");
    }
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && parse_port(port).is_none() {
        return format!("must be a port from 0 to 65535, without zeros in front: it {RULE}");
    }
    format!("{RULE}; host names other than localhost are not resolved")
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listen, D::Error> {
        deserializer.deserialize_any(Spelling)
    }
}

/// Reads a text, or a number for a port.
struct Spelling;

impl Visitor<'_> for Spelling {
    type Value = Listen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a listen address")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Listen, E> {
        Listen::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, port: i64) -> Result<Listen, E> {
        Listen::parse(&port.to_string()).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m6_an_address_is_read_as_people_write_it() {
        let rows = [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            (":8080", "[::]:8080"),
            ("8080", "[::]:8080"),
            ("80", "[::]:80"),
            ("0", "[::]:0"),
            ("*:8080", "[::]:8080"),
            ("*", "[::]:8080"),
            ("[*]:80", "[::]:80"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LOCALHOST:9", "127.0.0.1:9"),
            ("localhost", "127.0.0.1:8080"),
            ("127.0.0.1", "127.0.0.1:8080"),
            ("0.0.0.0", "0.0.0.0:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::]:80", "[::]:80"),
            ("[::]", "[::]:8080"),
            ("::", "[::]:8080"),
            ("::1", "[::1]:8080"),
            ("[::1]:81", "[::1]:81"),
            (" 127.0.0.1:80 ", "127.0.0.1:80"),
            ("unix:/run/waypost.sock", "unix:/run/waypost.sock"),
            ("unix:///run/waypost.sock", "unix:/run/waypost.sock"),
            ("none", "none"),
        ];
        for (text, want) in rows {
            let parsed = Listen::parse(text).map(|listen| listen.to_string());
            assert_eq!(parsed, Ok(want.to_owned()), "{text}");
            assert_eq!(Listen::parse(want).map(|listen| listen.to_string()), Ok(want.to_owned()), "again");
        }
        let relative = Listen::parse("unix:w.sock").expect("a path");
        assert!(relative.path().is_some_and(Path::is_absolute), "{relative}");
    }

    #[test]
    fn m6_a_refused_address_shows_an_example() {
        let long = format!("unix:/{}", "a".repeat(PATH_MAX));
        let rows = [
            ("", "such as 127.0.0.1:8080"),
            ("go.example.com:80", "host names other than localhost are not resolved"),
            ("127.0.0.1:99999", "from 0 to 65535"),
            ("99999", "from 0 to 65535"),
            (":99999", "from 0 to 65535"),
            ("127.0.0.1:", "such as 127.0.0.1:8080"),
            (":", "such as 127.0.0.1:8080"),
            ("127.0.0.1:http", "such as 127.0.0.1:8080"),
            ("127.0.0.1:+80", "such as 127.0.0.1:8080"),
            ("+80", "such as 127.0.0.1:8080"),
            ("0x50", "such as 127.0.0.1:8080"),
            ("1_000", "such as 127.0.0.1:8080"),
            ("019310", "without zeros in front"),
            (":080", "without zeros in front"),
            ("127.0.0.1:080", "without zeros in front"),
            ("[::1]:080", "without zeros in front"),
            ("localhost:080", "without zeros in front"),
            ("-1", "such as 127.0.0.1:8080"),
            ("256.0.0.1:80", "such as 127.0.0.1:8080"),
            ("http://localhost:8080", "must be an address and no URL"),
            ("/run/waypost.sock", "must be `unix:` and then the path"),
            ("./waypost.sock", "must be `unix:` and then the path"),
            ("unix:", "such as unix:/run/waypost.sock"),
            ("unix:/run/", "such as unix:/run/waypost.sock"),
            (&long, "at most 107 bytes"),
        ];
        for (text, want) in rows {
            let error = Listen::parse(text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_port_may_be_a_number() {
        #[derive(Debug, Deserialize)]
        struct File {
            listen: Listen,
        }
        let read = |text: &str| toml::from_str::<File>(text).map(|file| file.listen.to_string());
        assert_eq!(read("listen = 81").as_deref(), Ok("[::]:81"));
        assert_eq!(read("listen = \":81\"").as_deref(), Ok("[::]:81"));
        assert!(read("listen = 70000").is_err_and(|error| error.to_string().contains("65535")));
        assert!(read("listen = true").is_err());
    }

    #[test]
    fn loopback_and_sockets_are_local() {
        let rows = [
            ("127.0.0.1:1", true),
            ("127.8.8.8:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("unix:/x", true),
            ("none", false),
            (":1", false),
            ("0.0.0.0:1", false),
            ("192.0.2.1:1", false),
        ];
        for (text, want) in rows {
            assert_eq!(Listen::parse(text).expect(text).is_local(), want, "{text}");
        }
    }
}
