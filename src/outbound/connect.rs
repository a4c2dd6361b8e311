//! Connects to servers that users name, and to nothing else: requests that users order must not reach private networks.
//!
//! 1. Each connection looks its host name up once, and checks *every* address of the response.
//! 2. It connects to exactly these addresses. A second look-up could return other addresses. For the same
//!    reason there is no proxy from the environment, and no connection is reused.
//! 3. One forbidden address rejects all addresses: a name with public and private addresses is an attack.
//!
//! An address is allowed if it is global and not of this machine, or if the operator allows it in the
//! configuration. Through an address of its own, the machine reaches services that its firewall hides.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::error::ConnectError;
use super::tls;
use crate::fair::FairSemaphore;
use crate::model::network::{Networks, is_global};
use crate::model::tenant::Tenant;
use crate::own_address::is_own;

/// Longest wait for a look-up: half the time of an attempt, so that the error is `Busy` and not the host's.
const LOOKUP_WAIT: Duration = Duration::from_millis(2_500);

/// Most addresses of one name that are connected to, in the order of the resolver.
const ADDRESSES_MAX: usize = 4;

/// Longest time to connect to an address that is not the last: an address that drops packets, such as IPv6
/// without a route, must leave time for the next.
const NEXT_AFTER: Duration = Duration::from_millis(1_500);

/// Resolves a host name and a port to addresses. Blocks.
pub(crate) type Resolver = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// Returns the system's resolver.
pub(crate) fn system() -> Resolver {
    Arc::new(|name, port| Ok((name, port).to_socket_addrs()?.collect()))
}

/// A connection to a server, with or without TLS.
pub(crate) trait ReceiverStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ReceiverStream for S {}

/// Creates connections to servers that users name.
pub(crate) struct Connector {
    resolver: Resolver,
    allowed: Networks,
    pub(crate) lookups: FairSemaphore,
    /// Loaded at the first https connection, so that an instance without one pays nothing.
    pub(super) tls: OnceCell<TlsConnector>,
}

impl Connector {
    /// Creates a connector. `lookups` bounds the look-ups at once: the system's resolver blocks a thread for up to half a
    /// minute, long after the caller has timed out.
    pub(crate) fn new(resolver: Resolver, allowed: Networks, lookups: FairSemaphore) -> Connector {
        Connector { resolver, allowed, lookups, tls: OnceCell::new() }
    }

    /// Connects to the host of a URL. Charges the look-up to `tenant`. The caller bounds the time.
    pub(crate) async fn connect(
        &self,
        url: &Url,
        tenant: &Tenant,
    ) -> Result<Box<dyn ReceiverStream>, ConnectError> {
        let port = url.port_or_known_default().ok_or(ConnectError::BadUrl)?;
        let (addresses, name) = match url.host() {
            Some(Host::Ipv4(address)) => literal(IpAddr::V4(address), port),
            Some(Host::Ipv6(address)) => literal(IpAddr::V6(address), port),
            Some(Host::Domain(name)) => {
                // Certificates name hosts without the dot at the end.
                let server = name.strip_suffix('.').unwrap_or(name).to_owned();
                (
                    self.resolve(name, port, tenant).await?,
                    ServerName::try_from(server).map_err(|_| ConnectError::BadUrl)?,
                )
            }
            None => return Err(ConnectError::BadUrl),
        };
        // Before any connection: the check must cover exactly the addresses that `reach` uses.
        if !addresses.iter().all(|address| self.allows(address.ip())) {
            return Err(ConnectError::Private);
        }
        let stream = reach(&addresses).await?;
        if url.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        // After the connection: a receiver that is down costs no loading of authorities.
        let tls = self.tls.get_or_try_init(tls::load).await?;
        match tls.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(ConnectError::Tls(error.to_string().into())),
        }
    }

    /// Looks a name up on a thread that may block.
    async fn resolve(&self, name: &str, port: u16, tenant: &Tenant) -> Result<Vec<SocketAddr>, ConnectError> {
        // Acquired before the thread: blocked look-ups must not occupy the threads that read the table.
        let permit = self.lookups.acquire(tenant, 1, LOOKUP_WAIT).await.ok_or(ConnectError::Busy)?;
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        let looked_up = tokio::task::spawn_blocking(move || {
            // Released at the end of the look-up: its caller may have timed out long before.
            let _permit = permit;
            resolver(&name, port)
        });
        match looked_up.await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            // Also a panic of the resolver: callers retry.
            Ok(_) | Err(_) => Err(ConnectError::Unresolved),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        // The operator's list first: it may name addresses of this machine.
        self.allowed.name(address) || (is_global(address) && !is_own(address))
    }
}

fn literal(address: IpAddr, port: u16) -> (Vec<SocketAddr>, ServerName<'static>) {
    (vec![SocketAddr::new(address, port)], ServerName::from(address))
}

/// Connects to the first of these addresses that accepts a connection.
async fn reach(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut last_error = ConnectError::Unresolved;
    let tried = &addresses[..addresses.len().min(ADDRESSES_MAX)];
    for (at, address) in tried.iter().enumerate() {
        let connecting = TcpStream::connect(address);
        // The last address gets all of the time that the attempt has left.
        let connected = if at + 1 == tried.len() {
            connecting.await
        } else {
            tokio::time::timeout(NEXT_AFTER, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match connected {
            Ok(stream) => {
                // An error is harmless: a request is a single write.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last_error = ConnectError::Refused(error.kind()),
        }
    }
    Err(last_error)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use tokio::net::TcpListener;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn allowing(networks: &[&str]) -> Networks {
        Networks::parse(networks.iter().copied()).expect("networks")
    }

    /// Look-ups at once.
    const LOOKUPS: u32 = 16;

    fn lookup_slots() -> FairSemaphore {
        FairSemaphore::new(LOOKUPS)
    }

    /// Returns a connector that resolves every name to these addresses.
    fn connector(addresses: &[&str], port: u16, allowed: &[&str]) -> Connector {
        let addresses: Vec<_> = addresses.iter().map(|text| SocketAddr::new(ip(text), port)).collect();
        Connector::new(Arc::new(move |_, _| Ok(addresses.clone())), allowing(allowed), lookup_slots())
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn tenant(company: &str) -> Tenant {
        let number = company.bytes().map(u32::from).sum();
        Tenant::of_workspace(company, number)
    }

    /// Accepts and counts connections.
    async fn listen() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        // The tests prove that nothing connects, so connections are counted where they arrive.
        let counter = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&counter);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        (port, counter)
    }

    /// Also an address behind the first [`ADDRESSES_MAX`].
    #[tokio::test]
    async fn t84_t85_one_private_address_rejects_all_addresses() {
        let (port, accepted) = listen().await;
        let rows: [&[&str]; 14] = [
            &["127.0.0.1"],
            &["127.0.0.1", "8.8.8.8"],
            &["8.8.8.8", "127.0.0.1"],
            &["8.8.8.8", "2606:4700:4700::1111", "10.0.0.1"],
            &["2606:4700:4700::1111", "::1"],
            &["8.8.8.8", "::ffff:127.0.0.1"],
            &["169.254.169.254"],
            // NAT64: another machine decides where such a packet ends.
            &["64:ff9b::7f00:1"],
            // The private one is never connected to, but the name is an attack.
            &["8.8.8.8", "8.8.4.4", "1.1.1.1", "9.9.9.9", "1.0.0.1", "127.0.0.1"],
            &["8.8.8.8", "0.0.0.0"],
            &["8.8.8.8", "::"],
            &["8.8.8.8", "fe80::1"],
            &["8.8.8.8", "2002:7f00:1::"],
            &["100.64.0.1", "8.8.8.8"],
        ];
        for addresses in rows {
            let rejected =
                connector(addresses, port, &[]).connect(&url("http://hooks.test/"), &tenant("a")).await;
            assert_eq!(rejected.err(), Some(ConnectError::Private), "{addresses:?}");
        }
        // A literal needs no look-up, and must pass the same check.
        for literal in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let url = url(&format!("http://{literal}:{port}/"));
            let rejected = connector(&["8.8.8.8"], port, &[]).connect(&url, &tenant("a")).await;
            assert_eq!(rejected.err(), Some(ConnectError::Private), "{literal}");
        }
        let connector = connector(&["127.0.0.1"], port, &["127.0.0.1"]);
        assert!(connector.connect(&url("http://hooks.test/"), &tenant("a")).await.is_ok());
        // Connections are accepted in order: an earlier one would have been counted before.
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while accepted.load(Ordering::SeqCst) == 0 && std::time::Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        assert_eq!(accepted.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn t85_only_checked_addresses_are_connected_to() {
        let (port, accepted) = listen().await;
        let lookups = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lookups);
        // A name with another address at the second look-up.
        let resolver: Resolver = Arc::new(move |_, _| {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            let address = if first { "127.0.0.2" } else { "127.0.0.1" };
            Ok(vec![SocketAddr::new(ip(address), port)])
        });
        let connector = Connector::new(resolver, allowing(&["127.0.0.2"]), lookup_slots());
        // Nothing listens at 127.0.0.2, so a refusal shows that the first address was used.
        let first = connector.connect(&url("http://hooks.test/"), &tenant("a")).await;
        assert_eq!(first.err(), Some(ConnectError::Refused(io::ErrorKind::ConnectionRefused)));
        assert_eq!(lookups.load(Ordering::SeqCst), 1, "one look-up for one connection");
        let second = connector.connect(&url("http://hooks.test/"), &tenant("a")).await;
        assert_eq!(second.err(), Some(ConnectError::Private));
        assert_eq!(accepted.load(Ordering::SeqCst), 0);
    }

    /// Look-ups that hang, in any number, leave look-ups for other companies.
    #[tokio::test]
    async fn n15_look_ups_that_hang_stay_within_their_tenants_share() {
        let (port, _) = listen().await;
        let (hanging, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, released) = (Arc::clone(&hanging), Arc::clone(&release));
        let resolver: Resolver = Arc::new(move |name, port| {
            if name == "hangs.test" {
                counted.fetch_add(1, Ordering::SeqCst);
                // Bounded, so that a failing test ends.
                let deadline = std::time::Instant::now() + Duration::from_mins(5);
                while released.load(Ordering::SeqCst) == 0 && std::time::Instant::now() < deadline {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
            }
            Ok(vec![SocketAddr::new(ip("127.0.0.1"), port)])
        });
        let connector = Arc::new(Connector::new(resolver, allowing(&["127.0.0.1"]), lookup_slots()));
        let connect = |name: &str, company: &str| {
            let (connector, url) = (Arc::clone(&connector), url(&format!("http://{name}:{port}/")));
            let tenant = tenant(company);
            async move { connector.connect(&url, &tenant).await.err() }
        };
        // Twice the bound of all look-ups, so that the bound of one workspace must hold.
        let share = connector.lookups.shares().workspace as usize;
        for _ in 0..LOOKUPS * 2 {
            // Its delivery times out at once.
            let mut delivery = std::pin::pin!(connect("hangs.test", "a"));
            let waits = std::future::poll_fn(|cx| Poll::Ready(delivery.as_mut().poll(cx).is_pending()));
            assert!(waits.await, "it hangs or waits");
            tokio::task::yield_now().await;
        }
        let other = tokio::task::spawn(connect("well.test", "a"));
        // A literal passes although the share of its workspace is used up.
        assert_eq!(connect("127.0.0.1", "a").await, None, "no look-up, no wait");
        assert_eq!(other.await.expect("it ends"), Some(ConnectError::Busy));
        assert_eq!(connect("well.test", "b").await, None, "another company");
        // Threads start the look-ups later, so the number is polled.
        let free = connector.lookups.available();
        let soon = std::time::Instant::now() + Duration::from_mins(1);
        while hanging.load(Ordering::SeqCst) < share && std::time::Instant::now() < soon {
            std::thread::yield_now();
        }
        assert_eq!(hanging.load(Ordering::SeqCst), share);
        release.store(1, Ordering::SeqCst);
        while connector.lookups.available() < free + share && std::time::Instant::now() < soon {
            std::thread::yield_now();
        }
        assert_eq!(connect("well.test", "a").await, None);
    }

    #[tokio::test]
    async fn the_next_address_is_connected_to() {
        let (port, _) = listen().await;
        let connector = connector(&["127.0.0.2", "127.0.0.1"], port, &["127.0.0.0/8"]);
        assert!(connector.connect(&url("http://hooks.test/"), &tenant("a")).await.is_ok());
        let nothing = Connector::new(Arc::new(|_, _| Ok(Vec::new())), Networks::default(), lookup_slots());
        let unresolved = nothing.connect(&url("http://hooks.test/"), &tenant("a")).await;
        assert_eq!(unresolved.err(), Some(ConnectError::Unresolved));
    }

    #[test]
    fn addresses_of_this_machine_are_found() {
        assert!(is_own(ip("127.0.0.1")));
        assert!(!is_own(ip("8.8.8.8")));
        assert!(!is_own(ip("2606:4700:4700::1111")));
        // The source address of this machine, if it has a route to the internet.
        let out = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
            socket.connect("8.8.8.8:9")?;
            socket.local_addr()
        });
        if let Ok(out) = out {
            assert!(is_own(out.ip()), "{out}");
        }
    }
}
