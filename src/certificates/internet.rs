//! [`Internet`]: how this server is reached from outside. Tests replace it by a network of their own.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

/// Looks a host name up. Blocks.
pub type NameLookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// How names are looked up, and the ports that authorities connect to.
#[derive(Clone)]
pub struct Internet {
    /// Looks a host name up.
    pub lookup: NameLookup,
    /// The port of HTTPS, 443 for every authority.
    pub https_port: u16,
    /// The port of HTTP, 80 for every authority.
    pub http_port: u16,
}

impl Default for Internet {
    fn default() -> Internet {
        // Ports of the internet and not of the configuration: a router or a container may map them.
        Internet { lookup: Arc::new(system), https_port: 443, http_port: 80 }
    }
}

fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = (name, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    // The system returns an address once for each kind of socket.
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

impl fmt::Debug for Internet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Internet").field("https_port", &self.https_port).finish_non_exhaustive()
    }
}

/// Of the same look-up.
impl PartialEq for Internet {
    fn eq(&self, other: &Internet) -> bool {
        (self.https_port, self.http_port) == (other.https_port, other.http_port)
    }
}

impl Eq for Internet {}
