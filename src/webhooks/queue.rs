//! [`Delivery`]: an event for one receiver, and the slots that it occupies in the queue.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::model::id::{ForeignId, Id};
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;

/// Slots in the queue. A delivery that waits or is in flight occupies one slot for each [`SLOT_BYTES`],
/// so that a receiver of ten events a second may be down for minutes. Past it: the oldest delivery of the
/// tenant with the most slots is dropped and counted.
pub const QUEUE_MAX: usize = 10_000;

/// Bytes of memory of one slot, so that all slots take 32 MB: an event is some 600 bytes, but may contain
/// URLs of 8 KB.
const SLOT_BYTES: usize = 32 * 1024 * 1024 / QUEUE_MAX;

/// Bytes that a delivery takes besides its URL and body, at most.
pub(super) const DELIVERY_BYTES: usize = 512;

/// What a [`Delivery`] is created from: a click, or a record of the last stop.
#[derive(Debug)]
pub(super) struct DeliveryParts {
    pub(super) event: Id,
    pub(super) link: Id,
    pub(super) workspace: WorkspaceNumber,
    pub(super) company: ForeignId,
    pub(super) url: Box<str>,
    pub(super) body: Bytes,
    pub(super) offered_at: Timestamp,
    pub(super) expires: Instant,
    pub(super) batch: Option<Id>,
}

/// An event on its way to one receiver.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) event: Id,
    pub(super) link: Id,
    pub(super) workspace: WorkspaceNumber,
    /// The company of the workspace.
    pub(super) company: ForeignId,
    pub(super) url: Arc<str>,
    /// The receiver's host, without its port.
    // Shared: the keys of the scheduler's maps are clones of these names.
    pub(super) host: Arc<str>,
    /// The receiver's host and port.
    pub(super) authority: Arc<str>,
    pub(super) body: Bytes,
    pub(super) offered_at: Timestamp,
    /// The delivery is given up at this instant.
    pub(super) expires: Instant,
    /// The stored batch that the delivery was loaded from.
    pub(super) batch: Option<Id>,
    /// Its slots, out of [`QUEUE_MAX`].
    pub(super) slots: u32,
}

impl Delivery {
    /// Creates a delivery. Returns `None` if the URL is not one.
    pub(super) fn new(parts: DeliveryParts) -> Option<Delivery> {
        let (host, authority) = receiver(&parts.url)?;
        let bytes = DELIVERY_BYTES + parts.url.len() + parts.body.len();
        Some(Delivery {
            event: parts.event,
            link: parts.link,
            workspace: parts.workspace,
            company: parts.company,
            host: host.into(),
            authority: authority.into(),
            url: parts.url.into(),
            body: parts.body,
            offered_at: parts.offered_at,
            expires: parts.expires,
            batch: parts.batch,
            // Rounded up, so that the slots are an upper bound of the memory.
            slots: u32::try_from(bytes.div_ceil(SLOT_BYTES)).unwrap_or(u32::MAX),
        })
    }

    /// Returns the tenant that the attempts are charged to.
    pub(super) fn tenant(&self) -> Tenant {
        Tenant::Workspace { company: self.company.clone(), number: self.workspace }
    }
}

/// Returns the host, and host and port, of a URL in the normal form of links. Does not parse the URL,
/// since that takes a microsecond for each receiver, which the visitor would wait for.
fn receiver(url: &str) -> Option<(&str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    // A URL of the model has no user name, so the authority is host and port.
    let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())?;
    let (host, port) = match authority.rsplit_once(':') {
        // Not a colon within the brackets of an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, if scheme == "https" { "443" } else { "80" }),
    };
    // The authority keeps the dot, and counts as another receiver; the host is the same, and so is its bound.
    (!host.is_empty()).then(|| (host.strip_suffix('.').unwrap_or(host), format!("{host}:{port}")))
}

/// A delivery and the number of its attempts so far.
#[derive(Clone, Debug)]
pub(super) struct QueuedDelivery {
    pub(super) delivery: Arc<Delivery>,
    pub(super) attempts: u8,
}

#[cfg(test)]
impl QueuedDelivery {
    /// Returns a delivery with this number of slots.
    pub(super) fn for_test(company: &str, number: u32, url: &str, slots: usize) -> QueuedDelivery {
        let url: Box<str> = url.into();
        let parts = DeliveryParts {
            event: Id::from_bits(1),
            link: Id::from_bits(2),
            workspace: WorkspaceNumber(number),
            company: ForeignId::parse("id", company).expect("an id"),
            // Exactly full slots: one byte more would need another one.
            body: vec![0; slots * SLOT_BYTES - DELIVERY_BYTES - url.len()].into(),
            url,
            offered_at: Timestamp::from_millis(0),
            expires: Instant::now() + crate::webhooks::settings::LIFETIME,
            batch: None,
        };
        QueuedDelivery { delivery: Arc::new(Delivery::new(parts).expect("a URL")), attempts: 0 }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn receivers_are_found_as_by_a_parser() {
        let rows = [
            ("https://hooks.test/a", Some(("hooks.test", "hooks.test:443"))),
            ("http://hooks.test", Some(("hooks.test", "hooks.test:80"))),
            // No slash before the query: the normal form has one, but a stored text need not.
            ("http://hooks.test?a", Some(("hooks.test", "hooks.test:80"))),
            ("http://hooks.test:8080/a:b", Some(("hooks.test", "hooks.test:8080"))),
            ("http://hooks.test.:8080/", Some(("hooks.test", "hooks.test.:8080"))),
            ("http://127.0.0.1:9000/", Some(("127.0.0.1", "127.0.0.1:9000"))),
            ("http://[::1]/", Some(("[::1]", "[::1]:80"))),
            ("http://[2001:db8::1]:8080/", Some(("[2001:db8::1]", "[2001:db8::1]:8080"))),
            ("http:///a", None),
            ("nothing", None),
        ];
        for (text, want) in rows {
            let got = receiver(text);
            assert_eq!(got.as_ref().map(|(host, authority)| (*host, authority.as_str())), want, "{text}");
            if let (Some((host, authority)), Ok(url)) = (&got, Url::parse(text)) {
                assert_eq!(url.host_str().map(|host| host.trim_end_matches('.')), Some(*host), "{text}");
                let port = url.port_or_known_default().expect("a web address");
                assert_eq!(authority.rsplit(':').next(), Some(&*port.to_string()), "{text}");
            }
        }
    }

    /// The bound in bytes: all slots together take at most 32 MB.
    #[test]
    fn a_large_event_occupies_several_slots() {
        for (slots, want) in [(1, 1), (2, 2), (13, 13)] {
            assert_eq!(QueuedDelivery::for_test("a", 1, "https://e.test/", slots).delivery.slots, want);
        }
        const { assert!(QUEUE_MAX * SLOT_BYTES <= 32 * 1024 * 1024) };
    }
}
