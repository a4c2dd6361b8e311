//! Sockets that accept connections. A socket is reserved before anything else of the start, so that a busy port
//! changes nothing, and accepts connections once the start has succeeded.
//!
//! A Unix socket is a file. A file that another program left is replaced if no program accepts on it, and the own
//! file is removed when the socket is closed.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fs::Access;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_reuseport, set_tcp_nodelay};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use super::handover::{HandedKind, HandedSocket, KeptSocket};
use super::plain::Plain;
use super::socket_file::SocketFile;
use super::tls::Tls;
use crate::settings::listen::Listen;

/// The address of every client of a Unix socket, which has none. The configuration trusts it as a proxy.
pub const UNIX_PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The mode of a Unix socket: its owner and its group may connect. A proxy of another user joins the group.
const SOCKET_MODE: u32 = 0o660;

/// Connections that the system queues until they are accepted; it may allow fewer. Past it the first packet
/// of a visitor is dropped, and repeated a second later: with 1,024, visitors who arrived together with
/// thousands of others waited for that second.
const BACKLOG: u32 = 4_096;

/// The scheme of the URLs with which a client reached a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.0 and HTTP/1.1 without TLS.
    Http,
    /// HTTP over TLS.
    Https,
}

/// What a client sends before its first request.
#[derive(Clone, Debug, Default)]
pub(super) struct Opening {
    /// Whether a header of the PROXY protocol is required.
    pub(super) has_proxy_header: bool,
    /// The TLS of the connections. `None` without TLS.
    pub(super) tls: Option<Arc<Tls>>,
}

/// A listening socket, and what its connections begin with.
#[derive(Debug)]
pub struct Listener {
    socket: Accepting,
    pub(super) opening: Opening,
    /// Whether Waypost bound it, and not a supervisor.
    is_own: bool,
}

#[derive(Debug)]
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener, Arc<SocketFile>),
}

/// Creates a listener without TLS.
impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Listener {
        Listener { socket: Accepting::Tcp(socket), opening: Opening::default(), is_own: true }
    }
}

impl Listener {
    /// Makes this a listener with TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Listener {
        self.opening.tls = Some(Arc::new(tls));
        self
    }

    /// Makes this a listener whose connections begin with a header of the PROXY protocol.
    #[must_use]
    pub fn with_proxy_header(mut self) -> Listener {
        self.opening.has_proxy_header = true;
        self
    }

    /// Returns a second descriptor of the socket, for a restart without a gap.
    pub fn keep(&self) -> io::Result<KeptSocket> {
        let (socket, address, file) = match &self.socket {
            Accepting::Tcp(socket) => (socket.as_fd(), Listen::Tcp(socket.local_addr()?), None),
            Accepting::Unix(socket, file) => {
                (socket.as_fd(), Listen::Unix(file.path().to_owned()), Some(Arc::clone(file)))
            }
        };
        Ok(KeptSocket { descriptor: socket.try_clone_to_owned()?, address, is_own: self.is_own, file })
    }

    /// Accepts a connection, with the address of its client.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Plain, SocketAddr)>> {
        match &self.socket {
            Accepting::Tcp(socket) => socket
                .poll_accept(cx)
                .map(|accepted| accepted.map(|(stream, peer)| (Plain::Tcp(stream), peer))),
            Accepting::Unix(socket, _) => socket.poll_accept(cx).map(|accepted| {
                accepted.map(|(stream, _)| (Plain::Unix(stream), SocketAddr::new(UNIX_PEER, 0)))
            }),
        }
    }
}

/// A socket that no other program can use, and that does not accept connections yet.
#[derive(Debug)]
pub struct Reserved {
    binding: Binding,
    is_own: bool,
    is_handed: bool,
}

#[derive(Debug)]
enum Binding {
    Tcp(TcpSocket),
    /// Handed over, so it listens: the system queues connections.
    Handed(TcpListener),
    // Listens already: a bound file that refuses connections looks like the rest of a program that ended.
    Unix(UnixListener, SocketFile),
}

impl Reserved {
    /// Binds the socket. Fails if another program has it, or if this user may not.
    pub fn bind(listen: &Listen) -> io::Result<Reserved> {
        let binding = match listen {
            Listen::Tcp(address) => Binding::Tcp(tcp(*address)?),
            Listen::Unix(path) => unix(path).map(|(socket, file)| Binding::Unix(socket, file))?,
            Listen::Off => return Err(io::Error::new(ErrorKind::InvalidInput, "it is switched off")),
        };
        Ok(Reserved { binding, is_own: true, is_handed: false })
    }

    /// Uses a socket that was handed over.
    pub fn from_handed(handed: HandedSocket) -> io::Result<Reserved> {
        let HandedSocket { socket, address, is_own } = handed;
        let binding = match (socket, address) {
            (HandedKind::Tcp(socket), _) => {
                // As `tcp_at` does: the supervisor may have other defaults. The second call of `listen` changes the
                // length of the queue alone.
                set_tcp_nodelay(&socket, true)?;
                rustix::net::listen(&socket, BACKLOG.cast_signed())?;
                socket.set_nonblocking(true)?;
                Binding::Handed(TcpListener::from_std(socket)?)
            }
            (HandedKind::Unix(socket), address) => {
                socket.set_nonblocking(true)?;
                let path = address.path().unwrap_or(Path::new("")).to_owned();
                // The supervisor removes its file itself.
                let file = if is_own { SocketFile::own(path) } else { SocketFile::foreign(path) };
                Binding::Unix(UnixListener::from_std(socket)?, file)
            }
        };
        Ok(Reserved { binding, is_own, is_handed: true })
    }

    /// Returns whether the socket was handed over, so that the system queues connections already.
    pub fn is_handed_over(&self) -> bool {
        self.is_handed
    }

    /// Returns the bound address. Its port is the one that the system chose if the setting is 0.
    pub fn listen(&self) -> io::Result<Listen> {
        match &self.binding {
            Binding::Tcp(socket) => socket.local_addr().map(Listen::Tcp),
            Binding::Handed(socket) => socket.local_addr().map(Listen::Tcp),
            Binding::Unix(_, file) => Ok(Listen::Unix(file.path().to_owned())),
        }
    }

    /// Begins to accept connections.
    pub fn open(self) -> io::Result<Listener> {
        let socket = match self.binding {
            Binding::Tcp(socket) => Accepting::Tcp(socket.listen(BACKLOG)?),
            Binding::Handed(socket) => Accepting::Tcp(socket),
            Binding::Unix(socket, file) => Accepting::Unix(socket, Arc::new(file)),
        };
        Ok(Listener { socket, opening: Opening::default(), is_own: self.is_own })
    }
}

/// Binds a socket for the next program of this process, and queues connections from now on. The sockets `beside` stay
/// open until then, and may have the port of the new one at other addresses. Fails if another program has the address,
/// or if this user may not bind it.
pub fn open_beside(listen: &Listen, beside: &[&KeptSocket]) -> io::Result<KeptSocket> {
    let opened = Reserved::bind(listen).and_then(Reserved::open);
    match (opened, listen) {
        (Err(error), Listen::Tcp(address)) if error.kind() == ErrorKind::AddrInUse => {
            let has_port =
                |kept: &&&KeptSocket| kept.address.tcp().is_some_and(|own| own.port() == address.port());
            let own: Vec<_> = beside.iter().filter(has_port).copied().collect();
            if own.is_empty() { Err(error) } else { open_shared(*address, &own)?.keep() }
        }
        (opened, _) => opened?.keep(),
    }
}

/// Opens a socket while own sockets have its port at other addresses.
fn open_shared(address: SocketAddr, own: &[&KeptSocket]) -> io::Result<Listener> {
    let share = |is_shared| own.iter().try_for_each(|kept| set_socket_reuseport(&kept.descriptor, is_shared));
    // The system compares all sockets of the port: one of another program still refuses the address.
    let opened = share(true).map_err(io::Error::from).and_then(|()| {
        let socket = tcp_with(address, true)?;
        socket.listen(BACKLOG)
    });
    // Also after an error: another program of this user must not share the port.
    share(false)?;
    let opened = opened?;
    set_socket_reuseport(&opened, false)?;
    Ok(Listener::from(opened))
}

/// Creates a listening socket. Accepted connections inherit `TCP_NODELAY`, without a system call for each:
/// responses are written whole, and a wait to join small packets would only add latency.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    tcp(address)?.listen(BACKLOG)
}

fn tcp(address: SocketAddr) -> io::Result<TcpSocket> {
    tcp_with(address, false)
}

fn tcp_with(address: SocketAddr, is_shared: bool) -> io::Result<TcpSocket> {
    let bound = tcp_at(address, is_shared);
    match &bound {
        // All addresses of a machine without IPv6.
        Err(error) if address.ip() == IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED) && has_no_ipv6(error) => {
            tcp_at(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), is_shared)
        }
        _ => bound,
    }
}

fn has_no_ipv6(error: &io::Error) -> bool {
    let codes = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].map(|code| Some(code.raw_os_error()));
    codes.contains(&error.raw_os_error())
}

fn tcp_at(address: SocketAddr, is_shared: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Without it a restart fails for a minute, while closed connections are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    if is_shared {
        socket.set_reuseport(true)?;
    }
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if is_left_over(path)? {
        fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path).map_err(no_folder)?;
    let file = SocketFile::own(path.to_owned());
    // The umask allows the owner only, so no other user connects before this.
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok((socket, file))
}

/// Returns whether the path is a socket that no program has open. Fails if one has, or if the path is no
/// socket.
fn is_left_over(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "it exists and is no socket: move it away"));
        }
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(true),
        // Removed since it was found.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        // A full queue of connections belongs to a program.
        Ok(_) => Err(Errno::ADDRINUSE.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Errno::ADDRINUSE.into()),
        Err(error) => Err(error),
    }
}

/// Fails as [`Reserved::bind`] would. Creates and removes no file.
pub(crate) fn check(listen: &Listen) -> io::Result<()> {
    match listen {
        Listen::Tcp(address) => tcp(*address).map(drop),
        Listen::Unix(path) => {
            is_left_over(path)?;
            let folder = path.parent().unwrap_or(Path::new("/"));
            rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|errno| no_folder(errno.into()))
        }
        Listen::Off => Ok(()),
    }
}

/// Names the missing folder of a socket.
fn no_folder(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::NotFound => io::Error::new(ErrorKind::NotFound, "its folder does not exist"),
        _ => error,
    }
}

/// Returns the remedy of an error of [`Reserved::bind`], as the end of a sentence.
pub fn remedy(listen: &Listen, error: &io::Error) -> String {
    match (error.kind(), listen) {
        (ErrorKind::PermissionDenied, Listen::Tcp(_)) => {
            // `setcap` comes last: a service with `NoNewPrivileges` ignores it, and so does a new binary.
            "Ports below 1024 need a capability: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit of the service \
             (sudo systemctl edit waypost), or set `listen` to a port from 1024 on. Without a service: sudo setcap \
             cap_net_bind_service=+ep on the program, again after each upgrade"
                .to_owned()
        }
        (ErrorKind::PermissionDenied, Listen::Unix(path)) => format!(
            "This user must be able to write to {}: RuntimeDirectory=waypost of a service creates /run/waypost for it",
            path.parent().unwrap_or(Path::new("/")).display()
        ),
        (ErrorKind::NotFound, Listen::Unix(path)) => format!(
            "Create {} for this user: RuntimeDirectory=waypost of a service creates /run/waypost at each start",
            path.parent().unwrap_or(Path::new("/")).display()
        ),
        (ErrorKind::AlreadyExists, Listen::Unix(_)) => "Or set `listen` to another path".to_owned(),
        (ErrorKind::AddrInUse, listen) => {
            let name =
                |address: SocketAddr| format!(" (`sudo ss -ltnp sport = :{}` names it)", address.port());
            let named = listen.tcp().map(name).unwrap_or_default();
            format!(
                "Another program listens there{named}: stop it, or set `listen` (for HTTPS, `https.listen`)"
            )
        }
        (ErrorKind::AddrNotAvailable, _) => {
            "No interface of this machine has this address. Set `listen` to one, or to 0.0.0.0 for all"
                .to_owned()
        }
        _ => "Set `listen` to another address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn m6_a_left_over_socket_is_replaced_and_the_own_one_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("w.sock");
        let listen = Listen::Unix(path.clone());
        let first = Reserved::bind(&listen).expect("bound");
        let mode = fs::metadata(&path).expect("a socket").mode() & 0o777;
        assert_eq!((mode, first.listen().expect("an address")), (SOCKET_MODE, listen.clone()));
        let busy = Reserved::bind(&listen).expect_err("in use");
        assert_eq!(busy.kind(), ErrorKind::AddrInUse);
        assert!(path.exists(), "the refused start removes nothing");
        drop(first);
        assert!(!path.exists(), "removed with its listener");
        // A program that was killed leaves its file.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let again = Reserved::bind(&listen).expect("replaced").open().expect("open");
        // Another file at the path is not ours to remove.
        fs::remove_file(&path).expect("a file");
        fs::write(&path, "other").expect("written");
        drop(again);
        assert!(path.exists());
        let error = Reserved::bind(&listen).expect_err("no socket");
        assert!(error.to_string().contains("is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("kept"), "other");
    }

    #[tokio::test]
    async fn m6_a_missing_folder_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = Reserved::bind(&Listen::Unix(folder.path().join("no/w.sock"))).expect_err("no folder");
        assert!(error.to_string().contains("folder does not exist"), "{error}");
    }

    /// The first remedy of each error works under the shipped unit, and fits the error.
    #[test]
    fn remedies() {
        let tcp = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 80)));
        let unix = Listen::Unix("/run/waypost/w.sock".into());
        let rows = [
            (&tcp, ErrorKind::PermissionDenied, "Ports below 1024 need a capability: AmbientCapabilities="),
            (
                &tcp,
                ErrorKind::AddrInUse,
                "Another program listens there (`sudo ss -ltnp sport = :80` names it): stop it, or set `listen`",
            ),
            (&unix, ErrorKind::AddrInUse, "Another program listens there: stop it"),
            (&unix, ErrorKind::PermissionDenied, "This user must be able to write to /run/waypost: "),
            (&unix, ErrorKind::NotFound, "Create /run/waypost for this user: RuntimeDirectory="),
            (&unix, ErrorKind::AlreadyExists, "Or set `listen` to another path"),
        ];
        for (listen, kind, want) in rows {
            let remedy = remedy(listen, &kind.into());
            assert!(remedy.starts_with(want), "{listen} {kind}: {remedy}");
        }
    }

    /// Clients are refused, and not kept waiting, while a long start repairs a log.
    #[tokio::test]
    async fn a_reserved_port_refuses_connections_until_it_is_open() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let reserved = Reserved::bind(&local.into()).expect("bound");
        let address = reserved.listen().expect("bound").tcp().expect("tcp");
        let refused = TcpStream::connect(address).await.map_err(|error| error.kind());
        assert_eq!(refused.expect_err("refused"), ErrorKind::ConnectionRefused);
        let open = reserved.open().expect("open");
        TcpStream::connect(address).await.expect("accepted");
        let busy = Reserved::bind(&address.into()).expect_err("in use");
        assert_eq!(busy.kind(), ErrorKind::AddrInUse);
        drop(open);
    }
}
