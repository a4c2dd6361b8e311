//! The banner of a server that is ready: its addresses, its data folder, where its key is, and the first commands.

use std::io::{self, IsTerminal, Write};
use std::net::Ipv4Addr;

use crate::app::App;
use crate::app::data_folder::quoted;
use crate::certificates::settings::PlainHttp;
use crate::config::Config;
use crate::core::{Bootstrap, KeyFile};
use crate::settings::listen::Listen;

/// The first command that the banner names.
const CREATE: &str = "link create https://example.com/";

/// Prints the banner. `client` returns a command line for a client of this server.
pub(super) fn print(config: &Config, app: &App, bootstrap: &Bootstrap, client: impl Fn(&str) -> String) {
    let key = ShownKey::of(config, bootstrap);
    let warning = config.unserved_port().map_or_else(String::new, |why| format!("  warning     {why}\n"));
    let public_url = config.public_url.trim_end_matches('/');
    let is_for_domain = config.domain.first().is_some() && *app.https() != Listen::Off;
    let address = match app.listen() {
        listen if is_for_domain || *listen == Listen::Off => public_url.to_owned(),
        Listen::Tcp(address) => format!("http://{address}"),
        other => other.to_string(),
    };
    let base = base(config, app);
    let curl = match (&base, app.listen()) {
        (None, Listen::Unix(path)) => {
            format!("curl -X POST --unix-socket {} http://localhost", quoted(&path.display().to_string()))
        }
        (base, _) => format!("curl -X POST {}", base.as_deref().unwrap_or_default()),
    };
    let text = format!(
        "Waypost is listening on {address}\n  \
           short URLs  {public_url}/...\n  \
           data        {data}\n  \
           admin key   {shown}\n{https}{warning}\n\
         Create a link:\n\n  \
           {link}\n\n\
         The same by the API:\n\n  \
           {curl}/api/v1/links \\\n    \
             -H \"Authorization: Bearer {in_command}\" \\\n    \
             -d '{{\"url\": \"https://example.com/\"}}'\n\n\
         {end}",
        data = config.data_dir.display(),
        shown = key.shown,
        in_command = key.in_command,
        https = https_lines(config, app),
        link = link_command(config, app.listen(), bootstrap, client),
        end = end(base.as_deref()),
    );
    // One write, so that a program that reads the first line gets all of them. stdout may be closed: then the text is
    // not wanted. No error of stdout stops a server.
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tracing::warn!(%error, "cannot write to stdout how to use the server");
        }
        _ => {}
    }
}

/// The key of the first commands.
struct ShownKey {
    /// As a shell reads it.
    in_command: String,
    /// Where it is.
    shown: String,
}

impl ShownKey {
    fn of(config: &Config, bootstrap: &Bootstrap) -> ShownKey {
        let absolute = |file: &std::path::Path| {
            std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
        };
        // Whole paths: the commands are for another terminal, with another working folder.
        let (in_command, shown) = match &bootstrap.key_file {
            KeyFile::Valid(file) => (format!("$(cat {})", absolute(file)), absolute(file)),
            KeyFile::Absent | KeyFile::Unknown(_) if config.admin_key.is_some() => {
                ("$WAYPOST_ADMIN_KEY".to_owned(), "WAYPOST_ADMIN_KEY".to_owned())
            }
            KeyFile::Unknown(file) => (
                "YOUR_KEY".to_owned(),
                format!(
                    "{} is not a valid key of this log: use the one that you kept, or start once with WAYPOST_ADMIN_KEY",
                    absolute(file)
                ),
            ),
            KeyFile::Absent => (
                "YOUR_KEY".to_owned(),
                "not stored here: use the one that you kept, or start once with WAYPOST_ADMIN_KEY".to_owned(),
            ),
        };
        ShownKey { in_command, shown }
    }
}

/// Returns the lines about HTTPS and what HTTP does beside it.
fn https_lines(config: &Config, app: &App) -> String {
    if *app.https() == Listen::Off {
        return String::new();
    }
    let Some(name) = config.domain.first() else {
        // The name is in the files, and may be a wildcard.
        return format!("  https       {}, with the certificates of `https.certificates`\n", app.https());
    };
    // Of an earlier start.
    let status = app.certificates().status(&name.to_string(), app.core().clock().now());
    let end = status.and_then(|status| status.expires_at);
    let certificate = match end {
        Some(end) => format!("for {name}, until {}", &end.to_string()[..10]),
        None if config.https.is_lets_encrypt() => {
            "being requested from Let's Encrypt (by running Waypost you agree to its terms)".to_owned()
        }
        None => format!("being requested from {}", config.https.authority),
    };
    let http = match app.listen() {
        Listen::Tcp(address) if config.https.plain_http == PlainHttp::Redirect => {
            let when = if end.is_some() { "" } else { " once the certificate is there" };
            format!("  port {:<6} leads to HTTPS{when}\n", address.port())
        }
        _ => String::new(),
    };
    format!("  certificate {certificate}\n{http}")
}

/// Returns the command that creates a link from another terminal. It names the server and the key if the environment
/// of this process has settings, which another terminal has not.
fn link_command(
    config: &Config,
    listen: &Listen,
    bootstrap: &Bootstrap,
    client: impl Fn(&str) -> String,
) -> String {
    // `--domain` moves the server to port 80, and is another option of this command.
    let is_elsewhere = |name: &String| name.starts_with("WAYPOST_") || name == "--domain";
    let is_in_environment = config.origin.overrides.iter().any(is_elsewhere);
    let server = match listen {
        Listen::Off => Some(config.public_url.trim_end_matches('/').to_owned()),
        // Not by its name: this works before the name leads here, and before the first certificate.
        listen => local(listen),
    };
    let command = match (server, &bootstrap.key_file) {
        (Some(server), KeyFile::Valid(file)) if is_in_environment => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            let file = quoted(&file.display().to_string());
            format!("waypost {CREATE} --server {server} --key-file {file}")
        }
        _ => client(CREATE),
    };
    // As this program was called: it may be in no folder of PATH.
    let program =
        std::env::args_os().next().map_or_else(|| "waypost".to_owned(), |name| name.display().to_string());
    command.replacen("waypost", &quoted(&program), 1)
}

/// Returns the start of the URLs of the API and the documentation. `None` for a socket.
fn base(config: &Config, app: &App) -> Option<String> {
    let public_url = config.public_url.trim_end_matches('/');
    // A key should not go in clear where HTTPS is served, and over HTTP only this machine may use the API.
    let is_secure = *app.https() != Listen::Off && public_url.starts_with("https:");
    if is_secure || *app.listen() == Listen::Off {
        return Some(public_url.to_owned());
    }
    local(app.listen())
}

/// Returns the URL at which this machine reaches a listener without TLS. `None` for a socket.
fn local(listen: &Listen) -> Option<String> {
    let address = listen.tcp()?;
    // The name of the README and of the default short URLs. An unspecified address is not one that every client
    // connects to.
    let is_here = address.ip().is_unspecified() || address.ip() == Ipv4Addr::LOCALHOST;
    let port = match address.port() {
        80 => String::new(),
        port => format!(":{port}"),
    };
    Some(match address.ip() {
        _ if is_here => format!("http://localhost{port}"),
        std::net::IpAddr::V6(ip) => format!("http://[{ip}]{port}"),
        std::net::IpAddr::V4(ip) => format!("http://{ip}{port}"),
    })
}

/// Returns the last lines: where the documentation is, and on a terminal how the server is stopped.
fn end(base: Option<&str>) -> String {
    // No browser opens a socket.
    let documentation = base.map_or_else(String::new, |base| format!("Documentation: {base}/api/docs\n"));
    let stop = if io::stdout().is_terminal() { "Ctrl-C stops the server.\n" } else { "" };
    format!("{documentation}{stop}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_url_has_no_default_port() {
        let rows = [
            (":80", Some("http://localhost")),
            ("127.0.0.1:8080", Some("http://localhost:8080")),
            ("192.0.2.1:80", Some("http://192.0.2.1")),
            ("[2001:db8::1]:81", Some("http://[2001:db8::1]:81")),
            ("unix:/run/w.sock", None),
            ("none", None),
        ];
        for (listen, want) in rows {
            let listen = Listen::parse(listen).expect(listen);
            assert_eq!(local(&listen).as_deref(), want, "{listen}");
        }
    }
}
