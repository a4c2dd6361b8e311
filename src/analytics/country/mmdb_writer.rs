//! Writes small files of the `MaxMind` DB format, version 2.0, for tests.

use std::net::IpAddr;

/// A value of a record.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    U16(u16),
    U32(u32),
    U64(u64),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

impl Value {
    pub(super) fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Text(text) => {
                header(2, text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Value::U16(number) => number_of(5, &number.to_be_bytes(), out),
            Value::U32(number) => number_of(6, &number.to_be_bytes(), out),
            Value::U64(number) => number_of(9, &number.to_be_bytes(), out),
            Value::List(values) => {
                header(11, values.len(), out);
                for value in values {
                    value.encode(out);
                }
            }
            Value::Map(fields) => {
                header(7, fields.len(), out);
                for (name, value) in fields {
                    Value::text(name).encode(out);
                    value.encode(out);
                }
            }
        }
    }
}

/// Writes the type and the length of a value: three bits and five, and longer ones in bytes of their own.
fn header(kind: u8, length: usize, out: &mut Vec<u8>) {
    let (kind, extended) = if kind < 8 { (kind, None) } else { (0, Some(kind - 7)) };
    let (short, more) = if length < 29 { (length, None) } else { (29, Some(length - 29)) };
    out.push(kind << 5 | u8::try_from(short).expect("small"));
    out.extend(extended);
    out.extend(more.map(|more| u8::try_from(more).expect("at most 284")));
}

fn number_of(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    header(kind, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// What a bit of an address leads to.
#[derive(Clone, Copy, Debug)]
enum MmdbRecord {
    None,
    Node(usize),
    Data(usize),
}

/// A file to be.
#[derive(Debug)]
pub(super) struct MmdbWriter {
    pub(super) kind: &'static str,
    ip_version: u16,
    record_bits: usize,
    nodes: Vec<[MmdbRecord; 2]>,
    data: Vec<u8>,
}

impl MmdbWriter {
    pub(super) fn new(kind: &'static str, ip_version: u16, record_bits: usize) -> MmdbWriter {
        MmdbWriter { kind, ip_version, record_bits, nodes: vec![[MmdbRecord::None; 2]], data: Vec::new() }
    }

    /// Adds a network, which must not overlap another one.
    pub(super) fn add(&mut self, network: IpAddr, prefix: usize, value: &Value) {
        let (bits, prefix) = match (network, self.ip_version) {
            (IpAddr::V4(address), 4) => (u128::from(address.to_bits()) << 96, prefix),
            // A tree of IPv6 has IPv4 below `::/96`.
            (IpAddr::V4(address), _) => (address.to_bits().into(), prefix + 96),
            (IpAddr::V6(address), _) => (address.to_bits(), prefix),
        };
        let at = self.data.len();
        value.encode(&mut self.data);
        let mut node = 0;
        for depth in 0..prefix {
            let bit = usize::from(bits << depth >> 127 == 1);
            if depth + 1 == prefix {
                self.nodes[node][bit] = MmdbRecord::Data(at);
                return;
            }
            node = if let MmdbRecord::Node(next) = self.nodes[node][bit] {
                next
            } else {
                self.nodes.push([MmdbRecord::None; 2]);
                let next = self.nodes.len() - 1;
                self.nodes[node][bit] = MmdbRecord::Node(next);
                next
            };
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for node in &self.nodes {
            let [left, right] = node.map(|record| match record {
                // The specification marks a network without data by the number of nodes.
                MmdbRecord::None => self.nodes.len(),
                MmdbRecord::Node(node) => node,
                // 16 zero bytes separate tree and data, and are part of the pointer.
                MmdbRecord::Data(at) => self.nodes.len() + 16 + at,
            });
            let bytes = |number: usize| u32::try_from(number).expect("small").to_be_bytes();
            let ([a, left @ ..], [b, right @ ..]) = (bytes(left), bytes(right));
            match self.record_bits {
                24 => out.extend([left, right].concat()),
                // Both upper halves share the byte in the middle.
                28 => out.extend([&left[..], &[a << 4 | b], &right].concat()),
                _ => out.extend([&[a], &left[..], &[b], &right].concat()),
            }
        }
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&self.data);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        self.metadata().encode(&mut out);
        out
    }

    fn metadata(&self) -> Value {
        Value::Map(vec![
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(1_780_000_000)),
            ("database_type", Value::text(self.kind)),
            ("description", Value::Map(vec![("en", Value::text("A test"))])),
            ("ip_version", Value::U16(self.ip_version)),
            ("languages", Value::List(vec![Value::text("en")])),
            ("node_count", Value::U32(u32::try_from(self.nodes.len()).expect("few"))),
            ("record_size", Value::U16(u16::try_from(self.record_bits).expect("small"))),
        ])
    }
}
