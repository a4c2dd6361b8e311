//! The addresses of its listeners, and those of its domains. Connects only to its own addresses, and looks up only the
//! names of its own domains.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use super::finding::{Case, Finding};
use super::folder::Lock;
use super::store::LogCheck;
use crate::core::Site;
use crate::http::conn::listener;
use crate::log::LogError;
use crate::model::domain::Domain;
use crate::settings::listen::Listen;
use crate::table::keys::Kind;
use crate::table::record::Stored;
use crate::visit::host_misses;

const LISTENING: &str = "listening";
const DOMAIN: &str = "domain";

/// Timeout of a request to the own server.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Most bytes of a response that are read. Both responses of Waypost are below 1 KB.
const ANSWER_MAX: u64 = 16 * 1024;

/// Timeout of a look-up of a name.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);

/// Most domains whose names are looked up. Each may take [`LOOK_UP_WITHIN`].
pub(super) const DOMAINS_MAX: usize = 20;

/// A part of the response of a Waypost to HTTP on its port of HTTPS.
const OF_TLS: &str = "This port speaks HTTPS";

/// Checks that the addresses are free, or in use by the own server.
pub(super) fn listening(case: &Case, lock: &Lock) -> Vec<Finding> {
    let config = &case.config;
    let runs = matches!(lock, Lock::Theirs);
    let http = Some(config.listen.clone()).filter(|listen| *listen != Listen::Off);
    let mut found: Vec<Finding> = http.iter().map(|listen| of_listener(listen, runs, in_use)).collect();
    found.extend(config.https_listen().map(|listen| of_listener(&listen, runs, in_use_for_https)));
    found
}

/// Checks one address. `in_use` finds out which program listens there.
fn of_listener(listen: &Listen, runs: bool, in_use: fn(&Listen, bool) -> Finding) -> Finding {
    // By binding: only this shows a missing right and a missing address as well. The socket is dropped at
    // once.
    match listener::check(listen) {
        // Port 0 is free every time, so it reveals nothing about the server.
        Ok(()) if runs && listen.tcp().is_none_or(|address| address.port() != 0) => unused(listen),
        Ok(()) => Finding::ok(LISTENING, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => in_use(listen, runs),
        // The unit of the service has a right that its user does not have in a terminal: a connection shows more.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && listen.tcp().is_some() => {
            match (ask(listen, "/healthz"), runs) {
                (Err(why), true) if why.kind() == ErrorKind::ConnectionRefused => unused(listen),
                (Err(why), false) if why.kind() == ErrorKind::ConnectionRefused => {
                    let remedy = listener::remedy(listen, &error);
                    // A start by this user fails, and one by the unit does not.
                    let text = format!("{listen} is free, and this user cannot bind it: {error}. {remedy}");
                    Finding::warning(LISTENING, text)
                }
                _ => in_use(listen, runs),
            }
        }
        Err(error) => {
            let remedy = listener::remedy(listen, &error);
            Finding::problem(LISTENING, format!("cannot listen on {listen}: {error}. {remedy}"))
        }
    }
}

fn unused(listen: &Listen) -> Finding {
    let text = format!(
        "the data folder is in use, but no program listens on {listen}: a server with another configuration, \
         a server that is starting, or an import. Use the configuration of the server"
    );
    Finding::warning(LISTENING, text)
}

/// Finds out which program has the address of HTTPS.
fn in_use_for_https(address: &Listen, runs: bool) -> Finding {
    let answer = ask(address, "/healthz");
    // The text and not the status alone: nginx answers 400 as well.
    let is_waypost = answer.as_ref().is_ok_and(|(status, body)| *status == 400 && body.contains(OF_TLS));
    let why = match answer {
        _ if is_waypost && runs => {
            return Finding::ok(LISTENING, format!("a server runs on {address}, with HTTPS"));
        }
        Ok(_) if is_waypost => "a Waypost with another data folder, or of another user".to_owned(),
        Ok((status, _)) => format!("it answers HTTP with {status}, unlike Waypost"),
        Err(error) => format!("it does not answer HTTP as Waypost does: {error}"),
    };
    let taken = taken(address);
    let text = format!("another program listens on {taken} ({why}). Stop it, or set `https.listen`");
    Finding::problem(LISTENING, text)
}

/// Finds out which program has the address.
fn in_use(address: &Listen, runs: bool) -> Finding {
    let other = |why: String| {
        let taken = taken(address);
        let text = format!("another program listens on {taken} ({why}). Stop it, or set `listen`");
        Finding::problem(LISTENING, text)
    };
    let (_, health) = match ask(address, "/healthz") {
        // Every Waypost answers with this field; another program may answer 200 as well.
        Ok(answer) if answer.1.contains("\"status\":") => answer,
        Ok((status, _)) => return other(format!("it answers /healthz with {status}, unlike Waypost")),
        Err(error) => return other(format!("it does not answer /healthz: {error}")),
    };
    if !runs {
        return other("a Waypost with another data folder, or of another user".to_owned());
    }
    let ready = ask(address, "/readyz");
    if !matches!(ready, Ok((200, _))) {
        let text = format!(
            "the server on {address} runs but is not ready: {}. Wait, and read its log",
            ready.map_or_else(|error| error.to_string(), |(_, body)| body)
        );
        return Finding::warning(LISTENING, text);
    }
    if health.contains("degraded") {
        let text = format!("the server on {address} runs and reports a problem: {health}");
        return Finding::warning(LISTENING, text);
    }
    Finding::ok(LISTENING, format!("the server runs on {address} and is ready"))
}

/// Returns the status and the body of a response.
fn ask(listen: &Listen, path: &str) -> io::Result<(u16, String)> {
    match listen {
        Listen::Off => Err(io::Error::other("it is switched off")),
        Listen::Unix(socket) => {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            stream.set_write_timeout(Some(ANSWER_WITHIN))?;
            ask_through(stream, path)
        }
        Listen::Tcp(address) => {
            let (stream, _) = connect(*address)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            stream.set_write_timeout(Some(ANSWER_WITHIN))?;
            ask_through(stream, path)
        }
    }
}

/// Connects to a listener of this machine. Returns the address that accepted as well.
fn connect(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    // A wildcard address accepts connections, and is no address to connect to everywhere. That of IPv6 includes IPv4.
    let (first, second): (IpAddr, Option<IpAddr>) = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST.into(), None),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (Ipv6Addr::LOCALHOST.into(), Some(Ipv4Addr::LOCALHOST.into()))
        }
        ip => (ip, None),
    };
    // Of IPv6 first, as the listener has it. The last error is reported.
    let mut refused = io::Error::from(ErrorKind::ConnectionRefused);
    for ip in std::iter::once(first).chain(second) {
        let target = SocketAddr::new(ip, address.port());
        match TcpStream::connect_timeout(&target, ANSWER_WITHIN) {
            Ok(stream) => return Ok((stream, target)),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Returns the address that another program has: that of the setting, or the part of it that is in use.
fn taken(listen: &Listen) -> String {
    match listen.tcp().filter(SocketAddr::is_ipv6).map(connect) {
        Some(Ok((_, accepted))) if accepted.is_ipv4() => {
            format!("port {} of IPv4, which {listen} includes", accepted.port())
        }
        _ => listen.to_string(),
    }
}

fn ask_through(mut stream: impl Read + Write, path: &str) -> io::Result<(u16, String)> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    // Another program may send without end.
    stream.take(ANSWER_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("the response is not HTTP"))?;
    Ok((status, body.trim().to_owned()))
}

/// Returns the host names of this instance.
pub(super) fn names(case: &Case, log: &LogCheck) -> BTreeSet<String> {
    let site = Site::parse(&case.config.public_url).expect("the configuration was checked");
    // The default domain has no name in its record: its host is that of `public_url`.
    let mut names = BTreeSet::from([site.host().to_owned()]);
    if let Some(archive) = log.archive.as_ref().filter(|_| log.is_read) {
        let read = archive.each_record(&mut |record| {
            if Kind::of(&record.key) == Some(Kind::Domain) {
                let domain =
                    Domain::decode(&record.value).map_err(|error| LogError::Damaged(error.to_string()))?;
                names.extend(domain.name.map(|name| name.to_string()));
            }
            Ok(())
        });
        // The check of the log has reported its damage.
        drop(read);
    }
    names
}

/// Checks that the names of the domains resolve.
pub(super) fn domains(case: &Case, log: &LogCheck) -> Vec<Finding> {
    let names = names(case, log);
    let mut found: Vec<Finding> = names.iter().take(DOMAINS_MAX).map(|name| resolve(name)).collect();
    if names.len() > DOMAINS_MAX {
        let text = format!("{} more names were not looked up", names.len() - DOMAINS_MAX);
        found.push(Finding::skipped(DOMAIN, text));
    }
    found
}

/// Reports hosts that are no domain and that visitors requested often, by the last server of this folder.
pub(super) fn unknown_hosts(case: &Case, log: &LogCheck) -> Vec<Finding> {
    let names = names(case, log);
    let found = host_misses::saved(&case.config.data_dir, |host| names.contains(host));
    found.iter().map(|host| Finding::warning(DOMAIN, host.report())).collect()
}

/// Why a name has no addresses.
pub(super) enum NotResolved {
    Failed(String),
    TimedOut,
}

/// Looks a name up. Returns each address once.
pub(super) fn look_up(name: &str) -> Result<Vec<IpAddr>, NotResolved> {
    // A channel and not a join: the look-up may never return.
    let (done, answer) = mpsc::channel();
    let looked_up = name.to_owned();
    // The system's resolver has no timeout. A thread that blocks in it ends with the process.
    let look_up =
        move || done.send((looked_up.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    if let Err(error) = std::thread::Builder::new().spawn(look_up) {
        return Err(NotResolved::Failed(format!("no thread could be started: {error}")));
    }
    match answer.recv_timeout(LOOK_UP_WITHIN) {
        Ok(Ok(found)) => {
            // The system returns an address once for each kind of socket.
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.iter().map(SocketAddr::ip) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Ok(addresses)
        }
        Ok(Err(error)) => Err(NotResolved::Failed(error.to_string())),
        Err(_) => Err(NotResolved::TimedOut),
    }
}

/// Returns whether an address is one of this machine: only such an address can be bound.
pub(super) fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

fn resolve(name: &str) -> Finding {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if name == "localhost" || bare.parse::<IpAddr>().is_ok() {
        return Finding::ok(DOMAIN, format!("{name} needs no look-up"));
    }
    let remedy = "Links on it do not work until it does: give it an A or AAAA record";
    let addresses = match look_up(name) {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => return Finding::warning(DOMAIN, format!("{name} has no address. {remedy}")),
        Err(NotResolved::Failed(error)) => {
            return Finding::warning(DOMAIN, format!("{name} does not resolve here: {error}. {remedy}"));
        }
        Err(NotResolved::TimedOut) => {
            let text =
                format!("{name} was not resolved within {} seconds. {remedy}", LOOK_UP_WITHIN.as_secs());
            return Finding::warning(DOMAIN, text);
        }
    };
    let shown = addresses[0];
    if addresses.into_iter().any(is_here) {
        return Finding::ok(DOMAIN, format!("{name} resolves to this machine ({shown})"));
    }
    let text = format!(
        "{name} resolves to {shown}, which is not this machine. That is correct behind a proxy or NAT, which \
         only a request from outside can check"
    );
    Finding::skipped(DOMAIN, text)
}
