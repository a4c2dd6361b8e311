//! Whether an address is of this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Returns whether an address is of this machine: the system then chooses the same address as the source
/// of packets to it. Connecting a datagram socket sends nothing.
pub(crate) fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        // By the routing table and not by a list of interfaces: addresses may come and go at runtime.
        let socket = UdpSocket::bind((any, 0))?;
        // The port has no effect; 9 is the discard service.
        socket.connect((address, 9))?;
        Ok::<_, io::Error>(socket.local_addr()?.ip())
    };
    // An error is nearly always a missing route, so the connection would fail as well.
    source().is_ok_and(|source| source == address)
}
