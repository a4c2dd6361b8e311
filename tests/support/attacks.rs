//! Floods of HTTP/2, each on one connection. The suite and the long tests use them.

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, get, head, line,
};
use crate::support::tls::TlsClient;

/// Error codes (RFC 9113 7).
const PROTOCOL_ERROR: u32 = 1;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What an attacker sends, and how the connection ends.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Sends the attack. Fails once the server has closed the connection.
    pub(crate) send: fn(&mut TlsClient) -> std::io::Result<()>,
    /// The codes of the GOAWAY with which it may end; none, if the connection is cut.
    pub(crate) codes: &'static [u32],
}

fn repeated(client: &mut TlsClient, bytes: &[u8], times: usize) -> std::io::Result<()> {
    let per_write = (16 * 1024 / bytes.len()).max(1);
    let chunk = bytes.repeat(per_write);
    for _ in 0..times.div_ceil(per_write) {
        client.send(&chunk)?;
    }
    Ok(())
}

/// Returns the head of a request whose body follows.
pub(crate) fn post(stream: u32, lines: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head("POST", "/abc", lines))
}

/// The floods. Each name begins with its case.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "T34 rapid reset",
        send: |client| {
            for number in 0..20_000 {
                let stream = 2 * number + 1;
                client.send([get(stream, "/abc"), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat())?;
            }
            Ok(())
        },
        codes: &[ENHANCE_YOUR_CALM],
    },
    Attack {
        name: "T35 resets that the server is made to send",
        send: |client| {
            for number in 0..3_000 {
                let stream = 2 * number + 1;
                // More body than the head announces.
                let lie = post(stream, &[("content-length", "1")]);
                client.send([lie, frame(DATA, END_STREAM, stream, b"more")].concat())?;
            }
            Ok(())
        },
        codes: &[ENHANCE_YOUR_CALM],
    },
    Attack {
        name: "T36 empty continuations",
        send: |client| {
            client.send(frame(HEADERS, END_STREAM, 1, &head("GET", "/abc", &[])))?;
            repeated(client, &frame(CONTINUATION, 0, 1, &[]), 3_000)
        },
        codes: &[ENHANCE_YOUR_CALM],
    },
    Attack {
        name: "T36 long continuations",
        send: |client| {
            client.send(frame(HEADERS, END_STREAM, 1, &head("GET", "/abc", &[])))?;
            let long = "v".repeat(120);
            let lines: Vec<u8> = (0..120).flat_map(|_| line("x-long", &long)).collect();
            repeated(client, &frame(CONTINUATION, 0, 1, &lines), 200)
        },
        codes: &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR],
    },
    Attack {
        name: "T37 one long entry, named 12,000 times",
        send: |client| {
            // An entry of 120 bytes in the dynamic table, then its index (RFC 7541 6.2.1, 6.1).
            let mut entry = head("GET", "/abc", &[]);
            entry.push(0x40);
            entry.extend(line("x-a", &"v".repeat(120)).split_off(1));
            entry.extend([0xbe; 12_000]);
            for number in 0..200 {
                client.send(frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &entry))?;
            }
            Ok(())
        },
        codes: &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR],
    },
    Attack {
        name: "T38 empty bodies",
        send: |client| {
            client.send(post(1, &[]))?;
            repeated(client, &frame(DATA, 0, 1, &[]), 30_000)
        },
        codes: &[ENHANCE_YOUR_CALM],
    },
    Attack {
        name: "T39 PING",
        send: |client| repeated(client, &frame(PING, 0, 0, &[7; 8]), 100_000),
        codes: &[],
    },
    Attack {
        name: "T39 SETTINGS",
        send: |client| repeated(client, &frame(SETTINGS, 0, 0, &[]), 100_000),
        codes: &[],
    },
    Attack {
        name: "T39 WINDOW_UPDATE",
        send: |client| repeated(client, &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 100_000),
        codes: &[],
    },
    Attack {
        name: "T39 PRIORITY",
        send: |client| repeated(client, &frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), 100_000),
        codes: &[],
    },
    Attack {
        name: "T39 unknown frames",
        send: |client| repeated(client, &frame(0xee, 0, 0, &[7; 100]), 100_000),
        codes: &[],
    },
];
