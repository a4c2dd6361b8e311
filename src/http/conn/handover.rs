//! Listening sockets that outlive a process: those that a supervisor or an earlier process hands over by the variables
//! of systemd (`LISTEN_FDS`), and those that this process passes to the program that replaces it.
//!
//! A socket belongs to the setting with its address. While no process accepts, the system queues new connections.

use std::net::{Ipv6Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::{env, io};

use listenfd::ListenFd;
use rustix::io::FdFlags;
use rustix::net::sockopt::socket_acceptconn;

use super::socket_file::SocketFile;
use crate::settings::listen::Listen;

/// The variables of `sd_listen_fds(3)`. `LISTEN_FDS_FIRST_FD` is not systemd's: descriptors 3 and above are in use when
/// a process replaces itself, so the sockets begin at another number.
const NUMBER: &str = "LISTEN_FDS";
const PROCESS: &str = "LISTEN_PID";
const NAMES: &str = "LISTEN_FDNAMES";
const FIRST: &str = "LISTEN_FDS_FIRST_FD";

/// The name of a socket that an earlier process of Waypost has bound. A supervisor names its sockets itself.
const OWN: &str = "waypost-own";
const FOREIGN: &str = "supervisor";

/// The first number of a descriptor that is tried for sockets to pass on. Lower ones are rarely free in a row.
const FIRST_TRIED: i32 = 16;

/// Why sockets that were handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// A descriptor is no listening socket.
    #[error("the descriptor {number} of LISTEN_FDS is not usable: {why}")]
    #[allow(missing_docs)] // The parts of the message.
    Unusable { number: usize, why: String },
    /// No setting names the address of a socket.
    #[error(
        "the socket {socket} was handed over by LISTEN_FDS, and no setting listens on it: make ListenStream= of the socket \
         unit (sudo systemctl edit waypost.socket) and the settings equal; they listen on {}",
        settings.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    )]
    #[allow(missing_docs)] // The parts of the message.
    Unmatched { socket: Listen, settings: Vec<Listen> },
}

/// The sockets that were handed over to this process and are not used yet.
#[derive(Debug, Default)]
pub struct HandedOver(Vec<HandedSocket>);

/// A listening socket that an earlier process or a supervisor has bound.
#[derive(Debug)]
pub struct HandedSocket {
    pub(super) socket: HandedKind,
    pub(super) address: Listen,
    /// Whether a process of Waypost bound it, and not a supervisor, which keeps it after the end of this process.
    pub(super) is_own: bool,
}

#[derive(Debug)]
pub(super) enum HandedKind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl HandedOver {
    /// Takes the sockets that the environment names, and removes the variables. Must be called before the process
    /// starts threads, since it changes the environment, and after the last time that it executes itself.
    pub fn from_environment() -> Result<HandedOver, HandoverError> {
        // Of another process: a program between the supervisor and this one did not take them.
        let is_ours = env::var(PROCESS).is_ok_and(|process| process == std::process::id().to_string());
        if !is_ours {
            return Ok(HandedOver::default());
        }
        // Read before the variables are removed. A supervisor need not set it.
        let names = env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':');
        let mut from = ListenFd::from_env();
        let sockets = (0..from.len()).map(|at| {
            let is_own = names.next() == Some(OWN);
            taken(&mut from, at, is_own).map_err(|why| HandoverError::Unusable { number: at + 1, why })
        });
        sockets.collect::<Result<_, _>>().map(HandedOver)
    }

    /// Returns whether no socket is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the socket that has the address of a setting.
    pub fn take(&mut self, listen: &Listen) -> Option<HandedSocket> {
        let at = self.0.iter().position(|socket| fits(listen, &socket.address, socket.is_own))?;
        Some(self.0.swap_remove(at))
    }

    /// Closes the sockets that no setting uses. Fails if a supervisor handed one over: visitors of that address would
    /// wait for an answer that never comes. A socket of an earlier process is of a setting that was changed since.
    pub fn finish(self, settings: &[Listen]) -> Result<(), HandoverError> {
        for HandedSocket { address, is_own, .. } in self.0 {
            if !is_own {
                let settings = settings.iter().filter(|&listen| *listen != Listen::Off).cloned().collect();
                return Err(HandoverError::Unmatched { socket: address, settings });
            }
            tracing::info!("{address} is no longer listened on: the settings have changed");
        }
        Ok(())
    }
}

fn taken(from: &mut ListenFd, at: usize, is_own: bool) -> Result<HandedSocket, String> {
    let (socket, address) = match from.take_tcp_listener(at) {
        Ok(Some(socket)) => {
            let address = socket.local_addr().map_err(|error| error.to_string())?;
            (HandedKind::Tcp(socket), Listen::Tcp(address))
        }
        _ => match from.take_unix_listener(at) {
            Ok(Some(socket)) => {
                let address = socket.local_addr().map_err(|error| error.to_string())?;
                let path = address.as_pathname().ok_or("it is a Unix socket without a path")?.to_owned();
                (HandedKind::Unix(socket), Listen::Unix(path))
            }
            _ => return Err("it is no stream socket of TCP or Unix".to_owned()),
        },
    };
    // A connected socket, of a unit with Accept=yes, has an address as well.
    let is_listening = match &socket {
        HandedKind::Tcp(socket) => socket_acceptconn(socket),
        HandedKind::Unix(socket) => socket_acceptconn(socket),
    };
    if is_listening == Ok(true) {
        return Ok(HandedSocket { socket, address, is_own });
    }
    Err("it does not listen; the socket unit must have Accept=no".to_owned())
}

/// Returns whether a socket with this address is what a setting asks for.
fn fits(setting: &Listen, socket: &Listen, is_own: bool) -> bool {
    // A supervisor decides itself. An own socket of all IPv4 addresses may be of a setting that has changed since.
    fits_with(setting, socket, || !is_own || !has_ipv6())
}

/// Like [`fits`]. `is_ipv4_enough` returns whether all IPv4 addresses are all addresses.
fn fits_with(setting: &Listen, socket: &Listen, is_ipv4_enough: impl FnOnce() -> bool) -> bool {
    match (setting, socket) {
        (Listen::Tcp(setting), Listen::Tcp(socket)) => {
            // The system has chosen a port for port 0.
            let is_port = [0, socket.port()].contains(&setting.port());
            let is_all = setting.ip().is_unspecified() && setting.is_ipv6() && socket.ip().is_unspecified();
            is_port && (setting.ip() == socket.ip() || (is_all && is_ipv4_enough()))
        }
        (setting, socket) => setting == socket,
    }
}

/// Returns whether this machine has IPv6.
fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// A second descriptor of a listening socket. While it exists, the system queues new connections, also after the
/// listener is closed, and the file of a Unix socket stays.
#[derive(Debug)]
pub struct KeptSocket {
    pub(super) descriptor: OwnedFd,
    pub(super) address: Listen,
    pub(super) is_own: bool,
    #[allow(dead_code, reason = "removes the file when it is dropped")]
    pub(super) file: Option<Arc<SocketFile>>,
}

impl KeptSocket {
    /// Returns whether a supervisor has the socket as well, so that it outlives this process.
    pub fn is_of_supervisor(&self) -> bool {
        !self.is_own
    }

    /// Returns whether the next program will use the socket for a setting.
    pub fn fits(&self, listen: &Listen) -> bool {
        fits(listen, &self.address, self.is_own)
    }

    /// Returns the address, as a setting.
    pub fn address(&self) -> &Listen {
        &self.address
    }
}

/// Sockets that the next program of this process inherits.
#[derive(Debug)]
pub struct PassedOn {
    descriptors: Vec<OwnedFd>,
    names: Vec<&'static str>,
}

impl PassedOn {
    /// Duplicates the sockets to descriptors in a row that stay open across an exec.
    pub fn new(kept: &[KeptSocket]) -> io::Result<PassedOn> {
        let names = kept.iter().map(|socket| if socket.is_own { OWN } else { FOREIGN }).collect();
        // Another thread may open a descriptor at any time, so the result is checked and the next numbers are tried.
        let mut first = FIRST_TRIED;
        loop {
            let descriptors = duplicated(kept, first)?;
            let last = descriptors.last().map_or(first, AsRawFd::as_raw_fd);
            let is_in_a_row = descriptors.iter().zip(first..).all(|(one, number)| one.as_raw_fd() == number);
            if is_in_a_row {
                // Last: until here an exec elsewhere closes them.
                for descriptor in &descriptors {
                    rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
                }
                return Ok(PassedOn { descriptors, names });
            }
            // Ends at the limit of descriptors at the latest, where the duplication fails.
            first = last.max(first + 1);
        }
    }

    /// Returns the variables that name the sockets to the next program.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        let first = self.descriptors.first().map_or(0, AsRawFd::as_raw_fd);
        [
            (NUMBER, self.descriptors.len().to_string()),
            (PROCESS, std::process::id().to_string()),
            (NAMES, self.names.join(":")),
            (FIRST, first.to_string()),
        ]
    }
}

fn duplicated(kept: &[KeptSocket], first: i32) -> io::Result<Vec<OwnedFd>> {
    let numbered = kept.iter().zip(first..);
    numbered
        .map(|(socket, number)| Ok(rustix::io::fcntl_dupfd_cloexec(socket.descriptor.as_fd(), number)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_belongs_to_the_setting_with_its_address() {
        let rows = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:4711", true),
            ("[::]:80", "[::]:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "[::]:80", false),
            ("[::]:80", "127.0.0.1:80", false),
            ("unix:/run/w.sock", "unix:/run/w.sock", true),
            ("unix:/run/w.sock", "unix:/run/x.sock", false),
            ("unix:/run/w.sock", "127.0.0.1:80", false),
        ];
        for (setting, socket, want) in rows {
            let parsed = [setting, socket].map(|text| Listen::parse(text).expect(text));
            let fits = fits_with(&parsed[0], &parsed[1], || true);
            assert_eq!(fits, want, "{setting} {socket}");
        }
        let [all, ipv4] = ["[::]:80", "0.0.0.0:80"].map(|text| Listen::parse(text).expect(text));
        assert!(!fits_with(&all, &ipv4, || false), "visitors by IPv6 would not be served");
    }

    #[test]
    fn sockets_are_passed_on_in_a_row_whatever_is_open() {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let kept = (0..3).map(|_| {
            let address = Listen::parse("127.0.0.1:0").expect("an address");
            KeptSocket { descriptor: listen().into(), address, is_own: true, file: None }
        });
        let kept: Vec<_> = kept.collect();
        // Two gaps of one descriptor each.
        let taken: Vec<_> = [FIRST_TRIED + 1, FIRST_TRIED + 3]
            .map(|number| rustix::io::fcntl_dupfd_cloexec(&kept[0].descriptor, number))
            .into_iter()
            .collect();
        let passed = PassedOn::new(&kept).expect("descriptors");
        let numbers: Vec<_> = passed.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "{numbers:?}");
        for descriptor in &passed.descriptors {
            let flags = rustix::io::fcntl_getfd(descriptor).expect("open");
            assert!(!flags.contains(FdFlags::CLOEXEC), "it would be closed");
        }
        let [number, _, names, first] = passed.variables();
        assert_eq!((number.1.as_str(), names.1.as_str()), ("3", "waypost-own:waypost-own:waypost-own"));
        assert_eq!(first.1, numbers[0].to_string());
        drop(taken);
    }

    #[test]
    fn a_socket_of_a_supervisor_must_fit() {
        let socket = |is_own| {
            let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = Listen::Tcp(socket.local_addr().expect("bound"));
            HandedOver(vec![HandedSocket { socket: HandedKind::Tcp(socket), address, is_own }])
        };
        let listen = Listen::parse("127.0.0.1:80").expect("an address");
        assert!(socket(true).finish(std::slice::from_ref(&listen)).is_ok());
        let error = socket(false).finish(std::slice::from_ref(&listen)).expect_err("refused").to_string();
        assert!(error.contains("no setting listens on it") && error.contains("127.0.0.1:80"), "{error}");
    }
}
