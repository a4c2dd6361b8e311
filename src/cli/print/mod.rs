//! `waypost print`: configuration of other programs, with the settings of this server. It only reads the configuration,
//! and starts nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::arguments::ServerFile;
use super::error::CommandError;
use super::output::print_text;
use crate::config::Config;
use crate::core::Site;
use crate::settings::listen::Listen;

/// The key of Prometheus, which only its user can read.
const AUTHORIZATION: &str = "    authorization:\n      credentials_file: /etc/prometheus/waypost.key\n";

/// The networks from which a container receives connections to a port that only its machine can reach.
const GATEWAYS: &str = "      # Only this machine reaches the port: the peer is the gateway of the container's network.\n      \
                        WAYPOST_HTTP__TRUSTED_PROXIES: \"10.0.0.0/8,172.16.0.0/12,192.168.0.0/16\"\n";

/// The ports of a proxy with HTTPS.
const PROXY_PORTS: [u16; 2] = [80, 443];

/// How much longer than a drain a container may take to stop, in seconds.
const GRACE: u64 = 20;

/// Arguments of `print`.
#[derive(Clone, Debug, Args)]
pub(super) struct PrintArguments {
    /// The program to configure.
    #[arg(value_enum, value_name = "PROGRAM")]
    program: Program,
    #[command(flatten)]
    config_file: ServerFile,
}

/// A program that works with Waypost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Program {
    /// A site of nginx that adds HTTPS.
    Nginx,
    /// A Caddyfile that adds HTTPS.
    Caddy,
    /// The scrape job of Prometheus.
    Prometheus,
    /// Alerts of Prometheus.
    Alerts,
    /// A container, for Docker or Podman Compose.
    Compose,
    /// All settings of this program, at their defaults, for waypost.toml.
    Settings,
}

/// Prints the configuration.
pub(super) fn run(arguments: &PrintArguments) -> Result<(), CommandError> {
    let config = arguments.config_file.load()?;
    let text = text(arguments.program, &config).map_err(CommandError::Usage)?;
    print_text(text.as_bytes());
    Ok(())
}

/// Returns the configuration of a program. Fails if a setting does not fit it.
fn text(program: Program, config: &Config) -> Result<String, String> {
    match program {
        Program::Nginx => nginx(config),
        Program::Caddy => caddy(config),
        Program::Prometheus => prometheus(config),
        Program::Alerts => Ok(include_str!("alerts.yml").to_owned()),
        Program::Compose => compose(config),
        Program::Settings => Ok(include_str!("../../../config.example.toml").to_owned()),
    }
}

fn nginx(config: &Config) -> Result<String, String> {
    let host = proxied_host(config)?;
    let upstream = match &config.listen {
        Listen::Tcp(address) => behind(*address)?.to_string(),
        other => other.to_string(),
    };
    // Shorter than ours, so that nginx sends no request on a connection that is being closed.
    let idle = config.http.header_timeout * 4 / 5;
    Ok(filled(
        include_str!("nginx.conf"),
        &[
            ("UPSTREAM", &upstream),
            ("HOST", &host),
            ("KEEPALIVE", &in_nginx(idle)),
            ("BODY", &size_in_nginx(config.http.max_bulk_body)),
        ],
    ))
}

fn caddy(config: &Config) -> Result<String, String> {
    let host = proxied_host(config)?;
    let upstream = match &config.listen {
        Listen::Tcp(address) => behind(*address)?.to_string(),
        Listen::Unix(path) => format!("unix/{}", path.display()),
        off @ Listen::Off => off.to_string(),
    };
    Ok(filled(include_str!("Caddyfile"), &[("UPSTREAM", &upstream), ("HOST", &host)]))
}

fn prometheus(config: &Config) -> Result<String, String> {
    let (scheme, target) = match &config.listen {
        Listen::Tcp(address) if config.https_listen().is_none() => ("http", here(*address)?.to_string()),
        // Prometheus opens no Unix socket, and a key must not be sent in clear where HTTPS is served.
        _ => ("https", public_host(config)?),
    };
    // A key that is not needed should not be in a file.
    let authorization = if config.metrics.public { "" } else { AUTHORIZATION };
    Ok(filled(
        include_str!("prometheus.yml"),
        &[("SCHEME", scheme), ("TARGET", &target), ("AUTHORIZATION", authorization)],
    ))
}

fn compose(config: &Config) -> Result<String, String> {
    let (ports, settings) =
        if config.https_listen().is_some() { secure_container() } else { plain_container(config)? };
    let mut environment = vec![settings, format!("      WAYPOST_PUBLIC_URL: {:?}\n", config.public_url)];
    let domains: Vec<_> = config.domain.all().iter().map(ToString::to_string).collect();
    if !domains.is_empty() {
        environment.push(format!("      WAYPOST_DOMAIN: {:?}\n", domains.join(",")));
    }
    Ok(filled(
        include_str!("compose.yaml"),
        &[
            ("VERSION", env!("CARGO_PKG_VERSION")),
            ("GRACE", &(config.http.drain_timeout.as_secs() + GRACE).to_string()),
            ("PORTS", &ports),
            ("ENVIRONMENT", &environment.concat()),
        ],
    ))
}

/// Returns the ports and the settings of a container with HTTPS.
fn secure_container() -> (String, String) {
    // A user other than root may bind these ports in a container of Docker, and with this line also of Podman.
    let sysctls = "    sysctls:\n      net.ipv4.ip_unprivileged_port_start: 0\n";
    // The image listens on 8080 by default, and the port 80 above would lead nowhere.
    let settings = "      WAYPOST_LISTEN: \":80\"\n".to_owned();
    (format!("{sysctls}    ports:\n      - \"80:80\"\n      - \"443:443\"\n"), settings)
}

/// Returns the ports and the settings of a container without HTTPS.
fn plain_container(config: &Config) -> Result<(String, String), String> {
    let Listen::Tcp(address) = &config.listen else {
        return Err(format!(
            "`listen` is {}, and a container has a port: add --listen 127.0.0.1:8080",
            config.listen
        ));
    };
    let address = checked(*address)?;
    // Docker publishes a port without an address on all of them.
    let published = if address.ip().is_unspecified() {
        format!("{}:8080", address.port())
    } else {
        format!("{address}:8080")
    };
    // Otherwise strangers reach the port, and could claim any address.
    let proxies = if config.listen.is_local() { GATEWAYS } else { "" };
    let settings = format!("      WAYPOST_LISTEN: \":8080\"\n{proxies}");
    Ok((format!("    ports:\n      - \"{published}\"\n"), settings))
}

/// Returns the text with each `@NAME@` replaced by its value.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

/// Returns the host of a proxy that adds HTTPS. Fails if this server needs none, or cannot be reached by one.
fn proxied_host(config: &Config) -> Result<String, String> {
    if config.https_listen().is_some() {
        return Err("this server has HTTPS itself, so no proxy is needed: for a proxy, replace `domain` by `public_url` \
                    and `listen`"
            .to_owned());
    }
    public_host(config)
}

/// Returns the host of `public_url`. Fails if visitors of a proxy with HTTPS would not use it.
fn public_host(config: &Config) -> Result<String, String> {
    let site = Site::parse(&config.public_url).expect("the configuration was checked");
    if config.public_url.starts_with("https:") {
        return Ok(site.host().to_owned());
    }
    Err(format!(
        "`public_url` is {}: a proxy that adds HTTPS needs the URL that visitors use, such as --public-url \
         https://go.example.com",
        config.public_url
    ))
}

/// Like [`here`], for a proxy, which has the ports of the web itself.
fn behind(address: SocketAddr) -> Result<SocketAddr, String> {
    if PROXY_PORTS.contains(&address.port()) {
        return Err(format!(
            "`listen` is {address}, and the proxy listens on the ports 80 and 443 of every address: add --listen \
             127.0.0.1:8080, here and for the server"
        ));
    }
    here(address)
}

/// Returns the address at which a program of this machine reaches the server.
fn here(address: SocketAddr) -> Result<SocketAddr, String> {
    let address = checked(address)?;
    let ip: IpAddr = match address.ip() {
        // A socket of all IPv6 addresses also accepts IPv4, and some machines have no IPv6.
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, address.port()))
}

fn checked(address: SocketAddr) -> Result<SocketAddr, String> {
    if address.port() == 0 {
        return Err("`listen` has port 0, which becomes another one at each start: set a port".to_owned());
    }
    Ok(address)
}

/// Writes a duration as nginx reads it, at least a millisecond.
fn in_nginx(duration: Duration) -> String {
    if duration.subsec_millis() == 0 && !duration.is_zero() {
        return format!("{}s", duration.as_secs());
    }
    format!("{}ms", duration.as_millis().max(1))
}

/// Writes a number of bytes as nginx reads it.
fn size_in_nginx(bytes: usize) -> String {
    const MEGABYTE: usize = 1024 * 1024;
    if bytes.is_multiple_of(MEGABYTE) { format!("{}m", bytes / MEGABYTE) } else { bytes.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Config {
        let variables = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, variables).expect("valid settings")
    }

    const URL: (&str, &str) = ("WAYPOST_PUBLIC_URL", "https://go.test");

    #[test]
    fn each_text_has_the_settings_and_no_placeholder() {
        let rows: &[(Program, &[(&str, &str)], &[&str])] = &[
            (
                Program::Nginx,
                &[URL],
                &["server 127.0.0.1:8080;", "keepalive_timeout 8s;", "server_name go.test;", "_size 8m;"],
            ),
            (
                Program::Nginx,
                &[
                    URL,
                    ("WAYPOST_LISTEN", "unix:/run/w.sock"),
                    ("WAYPOST_HTTP__HEADER_TIMEOUT", "1s"),
                    ("WAYPOST_HTTP__MAX_BULK_BODY", "100000"),
                ],
                &["server unix:/run/w.sock;", "keepalive_timeout 800ms;", "_size 100000;"],
            ),
            (Program::Nginx, &[URL, ("WAYPOST_LISTEN", ":81")], &["server 127.0.0.1:81;"]),
            (Program::Nginx, &[URL, ("WAYPOST_LISTEN", "[::1]:81")], &["server [::1]:81;"]),
            (Program::Caddy, &[URL], &["\ngo.test {", "reverse_proxy 127.0.0.1:8080 {"]),
            (
                Program::Caddy,
                &[URL, ("WAYPOST_LISTEN", "unix:/run/w.sock")],
                &["reverse_proxy unix//run/w.sock {"],
            ),
            (
                Program::Prometheus,
                &[("WAYPOST_LISTEN", "192.0.2.1:80")],
                &["scheme: http\n", "credentials_file: ", "targets: [\"192.0.2.1:80\"]"],
            ),
            (
                Program::Prometheus,
                &[URL, ("WAYPOST_LISTEN", "unix:/run/w.sock")],
                &["scheme: https\n", "targets: [\"go.test\"]"],
            ),
            (Program::Alerts, &[], &["alert: WaypostDown"]),
            (Program::Settings, &[], &["[https]", "#country_file = "]),
            (
                Program::Compose,
                &[URL],
                &["- \"127.0.0.1:8080:8080\"", "URL: \"https://go.test\"", "TRUSTED_PROXIES", ": 30s"],
            ),
            (Program::Compose, &[("WAYPOST_LISTEN", ":80")], &["- \"80:8080\""]),
            (
                Program::Compose,
                &[("WAYPOST_DOMAIN", "go.test,a.test")],
                &[
                    "- \"80:80\"",
                    "- \"443:443\"",
                    "LISTEN: \":80\"",
                    "DOMAIN: \"go.test,a.test\"",
                    "URL: \"https://go.test\"",
                ],
            ),
            (
                Program::Prometheus,
                &[("WAYPOST_DOMAIN", "go.test")],
                &["scheme: https\n", "targets: [\"go.test\"]"],
            ),
        ];
        for (program, settings, wanted) in rows {
            let text = text(*program, &config(settings)).expect("a text");
            for want in *wanted {
                assert!(text.contains(want), "{program:?} {settings:?}: no {want}\n{text}");
            }
            let is_placeholder =
                |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            let left: Vec<_> = text.split('@').skip(1).step_by(2).filter(is_placeholder).collect();
            assert!(left.is_empty(), "{program:?}: {left:?}");
        }
        let all = text(Program::Compose, &config(&[("WAYPOST_LISTEN", ":80")])).expect("a text");
        assert!(!all.contains("TRUSTED"), "strangers reach the port:\n{all}");
        let public =
            text(Program::Prometheus, &config(&[("WAYPOST_METRICS__PUBLIC", "true")])).expect("a text");
        assert!(!public.contains("credentials"), "{public}");
    }

    #[test]
    fn a_setting_that_does_not_fit_is_named() {
        let rows: &[(Program, &[(&str, &str)], &str)] = &[
            (Program::Nginx, &[], "`public_url` is http://localhost:8080: a proxy that adds HTTPS needs"),
            (Program::Caddy, &[], "`public_url` is http://localhost:8080"),
            (Program::Nginx, &[URL, ("WAYPOST_LISTEN", "127.0.0.1:0")], "`listen` has port 0"),
            (Program::Prometheus, &[("WAYPOST_LISTEN", ":0")], "`listen` has port 0"),
            (Program::Nginx, &[("WAYPOST_DOMAIN", "go.test")], "this server has HTTPS itself"),
            (
                Program::Nginx,
                &[URL, ("WAYPOST_LISTEN", ":80")],
                "`listen` is [::]:80, and the proxy listens on",
            ),
            (Program::Nginx, &[URL, ("WAYPOST_LISTEN", "127.0.0.1:443")], "add --listen 127.0.0.1:8080"),
            (Program::Caddy, &[URL, ("WAYPOST_LISTEN", "127.0.0.1:80")], "`listen` is 127.0.0.1:80, and"),
            (Program::Compose, &[("WAYPOST_LISTEN", "unix:/run/w.sock")], "add --listen 127.0.0.1:8080"),
        ];
        for (program, settings, want) in rows {
            let why = text(*program, &config(settings)).expect_err("refused");
            assert!(why.contains(want), "{program:?} {settings:?}: {why}");
        }
    }
}
