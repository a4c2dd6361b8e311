//! The PROXY protocol, versions 1 and 2: the address of a visitor in front of a connection, from a balancer that does
//! not read what it passes on (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! A listener either requires the header or does not know it: a header that may be absent is a way to forge
//! addresses. Only trusted proxies may connect to a listener that requires it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;

use super::plain::Plain;

/// The beginning of a header of version 2.
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The beginning of a header of version 1.
const V1: &[u8] = b"PROXY ";

/// The length of the part of version 2 that every header has.
const V2_FIXED: usize = 16;

/// Most bytes behind the fixed part of version 2: addresses and some fields, of which a certificate is the longest.
const V2_MAX: usize = 4 * 1024;

/// Most bytes of a header of version 1, by the document.
const V1_MAX: usize = 107;

/// Bytes that are read before the version is known. The shortest header has 15.
const START: usize = 13;

/// Whose connection it is, by the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxiedClient {
    /// The proxy connects for itself, such as to check that the server is alive.
    Proxy,
    /// A visitor with this address.
    Visitor(SocketAddr),
    /// A visitor whose address the proxy does not know.
    Unknown,
}

/// Reads the header in front of a connection, and nothing behind it. Fails if there is no header.
pub(super) async fn read(stream: &mut Plain) -> io::Result<ProxiedClient> {
    let mut start = [0; START];
    stream.read_exact(&mut start).await?;
    if start.starts_with(V2) { read_v2(stream, start[12]).await } else { read_v1(stream, &start).await }
}

async fn read_v2(stream: &mut Plain, version_and_command: u8) -> io::Result<ProxiedClient> {
    let mut fixed = [0; V2_FIXED - START];
    stream.read_exact(&mut fixed).await?;
    let [family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MAX {
        return Err(malformed());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    client_v2(version_and_command, family, &rest).ok_or_else(malformed)
}

/// Returns the client in a header of version 2. `None` if the header is malformed.
fn client_v2(version_and_command: u8, family: u8, rest: &[u8]) -> Option<ProxiedClient> {
    match version_and_command {
        // LOCAL.
        0x20 => return Some(ProxiedClient::Proxy),
        // PROXY.
        0x21 => {}
        _ => return None,
    }
    // The address of the client is first, and its port behind both addresses.
    match family {
        0x11 => {
            let address = Ipv4Addr::from(<[u8; 4]>::try_from(rest.get(..4)?).ok()?);
            Some(ProxiedClient::Visitor(SocketAddr::new(address.into(), port(rest.get(8..10)?)?)))
        }
        0x21 => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(rest.get(..16)?).ok()?);
            Some(ProxiedClient::Visitor(SocketAddr::new(address.into(), port(rest.get(32..34)?)?)))
        }
        // Other families, such as sockets of the machine of the proxy, have no address of a visitor. It is not the proxy
        // either: programs behind it may connect so.
        _ => Some(ProxiedClient::Unknown),
    }
}

fn port(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

async fn read_v1(stream: &mut Plain, start: &[u8]) -> io::Result<ProxiedClient> {
    if !start.starts_with(V1) {
        return Err(malformed());
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        if line.len() == V1_MAX {
            return Err(malformed());
        }
        // Byte by byte, since what follows the line is not ours. A line has some 50 bytes.
        line.push(stream.read_u8().await?);
    }
    client_v1(&line).ok_or_else(malformed)
}

/// Returns the client in a header of version 1, as [`client_v2`] does.
fn client_v1(line: &[u8]) -> Option<ProxiedClient> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let words: Vec<&str> = line.split(' ').collect();
    let (address, port) = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Some(ProxiedClient::Unknown),
        ["PROXY", "TCP4", source, target, port, target_port] => {
            target.parse::<Ipv4Addr>().ok()?;
            decimal(target_port)?;
            (IpAddr::from(source.parse::<Ipv4Addr>().ok()?), port)
        }
        ["PROXY", "TCP6", source, target, port, target_port] => {
            target.parse::<Ipv6Addr>().ok()?;
            decimal(target_port)?;
            (IpAddr::from(source.parse::<Ipv6Addr>().ok()?), port)
        }
        _ => return None,
    };
    Some(ProxiedClient::Visitor(SocketAddr::new(address, decimal(port)?)))
}

/// Parses a port. `parse` alone accepts `+1` and `0080`, which the document does not.
fn decimal(text: &str) -> Option<u16> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no header of the PROXY protocol")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;

    /// Returns a header of version 2.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = V2.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).expect("short").to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    /// Reads a header with `GET` behind it. Returns what was read, and what is left.
    async fn read_from(bytes: &[u8]) -> (Result<ProxiedClient, ()>, Vec<u8>) {
        let (mut client, server) = UnixStream::pair().expect("sockets");
        let mut server = Plain::Unix(server);
        client.write_all(bytes).await.expect("room");
        client.write_all(b"GET").await.expect("room");
        drop(client);
        let found = read(&mut server).await.map_err(|_| ());
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.expect("open");
        (found, rest)
    }

    #[tokio::test]
    async fn both_versions_name_the_visitor_and_leave_the_rest() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 187];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().expect("an address").octets());
        v6[32..34].copy_from_slice(&12_345_u16.to_be_bytes());
        let with_fields = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
        let visitor = |address: &str| ProxiedClient::Visitor(address.parse().expect("an address"));
        let rows: [(Vec<u8>, ProxiedClient); 13] = [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n".to_vec(), visitor("192.0.2.7:12345")),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 0 443\r\n".to_vec(), visitor("192.0.2.7:0")),
            (b"PROXY TCP6 2001:db8::7 ::1 12345 443\r\n".to_vec(), visitor("[2001:db8::7]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), ProxiedClient::Unknown),
            (b"PROXY UNKNOWN ffff::1 ::1 1 2\r\n".to_vec(), ProxiedClient::Unknown),
            (v2(0x21, 0x11, &v4), visitor("192.0.2.7:12345")),
            (v2(0x21, 0x11, &with_fields), visitor("192.0.2.7:12345")),
            (v2(0x21, 0x21, &v6), visitor("[2001:db8::7]:12345")),
            (v2(0x20, 0x11, &v4), ProxiedClient::Proxy),
            // Unspecified, datagrams, and sockets of the machine of the proxy.
            (v2(0x21, 0x00, &[]), ProxiedClient::Unknown),
            (v2(0x21, 0x12, &v4), ProxiedClient::Unknown),
            (v2(0x21, 0x31, &[0; 216]), ProxiedClient::Unknown),
            (v2(0x20, 0x00, &[]), ProxiedClient::Proxy),
        ];
        for (bytes, want) in rows {
            let (found, rest) = read_from(&bytes).await;
            assert_eq!(found, Ok(want), "{bytes:?}");
            assert_eq!(rest, b"GET", "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(V1_MAX));
        let rows: [Vec<u8>; 15] = [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443 1\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 99999 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 +443\r\n".to_vec(),
            b"PROXY TCP6 2001:db8::7 ::1 01 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            long.into_bytes(),
            // Too short for its addresses.
            v2(0x21, 0x11, &[1, 2, 3]),
            // An unknown version, and an unknown command.
            v2(0x31, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; V2_MAX + 1]),
        ];
        for bytes in rows {
            assert_eq!(read_from(&bytes).await.0, Err(()), "{bytes:?}");
        }
    }
}
