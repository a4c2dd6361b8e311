//! What waits to be delivered, and how much of the queue it takes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::model::id::{ForeignId, Id};
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;

/// Places in the queue, of which a delivery that is under way or waits takes one for each
/// [`PLACE_BYTES`]: a receiver of ten events a second may be gone for minutes. Past it: the oldest
/// delivery of the tenant that has most is dropped and counted.
pub const QUEUE_MAX: usize = 10_000;

/// Bytes of memory of one place, so that all take 32 MB: an event is some 600 bytes, but may hold
/// URLs of 8 KB.
const PLACE_BYTES: usize = 32 * 1024 * 1024 / QUEUE_MAX;

/// What a delivery takes beside its URL and body, at most.
pub(super) const DELIVERY_BYTES: usize = 512;

/// An event for one receiver, as it is offered or as the last stop wrote it down.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: Id,
    pub(super) link: Id,
    pub(super) workspace: WorkspaceNumber,
    pub(super) company: ForeignId,
    pub(super) url: Box<str>,
    pub(super) body: Bytes,
    pub(super) offered_at: Timestamp,
    /// When it is given up.
    pub(super) expires: Instant,
    /// The batch in the store that it was read from.
    pub(super) batch: Option<Id>,
}

/// An event on its way to one receiver.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) event: Id,
    pub(super) link: Id,
    pub(super) workspace: WorkspaceNumber,
    /// Of the workspace.
    pub(super) company: ForeignId,
    pub(super) url: Arc<str>,
    /// The receiver's host, whatever the port.
    pub(super) host: Arc<str>,
    /// Host and port.
    pub(super) lane: Arc<str>,
    pub(super) body: Bytes,
    pub(super) offered_at: Timestamp,
    pub(super) expires: Instant,
    pub(super) batch: Option<Id>,
    /// Of [`QUEUE_MAX`].
    pub(super) places: u32,
}

impl Delivery {
    /// Prepares an event for delivery; `None` when its URL is none.
    pub(super) fn new(event: Event) -> Option<Delivery> {
        let (host, lane) = receiver(&event.url)?;
        let bytes = DELIVERY_BYTES + event.url.len() + event.body.len();
        Some(Delivery {
            event: event.id,
            link: event.link,
            workspace: event.workspace,
            company: event.company,
            host: host.into(),
            lane: lane.into(),
            url: event.url.into(),
            body: event.body,
            offered_at: event.offered_at,
            expires: event.expires,
            batch: event.batch,
            places: u32::try_from(bytes.div_ceil(PLACE_BYTES)).unwrap_or(u32::MAX),
        })
    }

    /// To whom its tries are charged.
    pub(super) fn tenant(&self) -> Tenant {
        Tenant::Workspace { company: self.company.clone(), number: self.workspace }
    }
}

/// Returns host, and host and port, of a URL in the normal form in which links hold it. Not parsed,
/// since that costs the click's visitor a microsecond for each receiver.
fn receiver(url: &str) -> Option<(&str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())?;
    // The brackets of an IPv6 address hold colons of their own.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, if scheme == "https" { "443" } else { "80" }),
    };
    (!host.is_empty()).then(|| (host.strip_suffix('.').unwrap_or(host), format!("{host}:{port}")))
}

/// A delivery, and how often it was tried.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) delivery: Arc<Delivery>,
    pub(super) tries: u8,
}

#[cfg(test)]
impl Waiting {
    /// A delivery of `places` for a workspace of a company to a URL.
    pub(super) fn for_test(company: &str, number: u32, url: &str, places: usize) -> Waiting {
        let url: Box<str> = url.into();
        let event = Event {
            id: Id::from_bits(1),
            link: Id::from_bits(2),
            workspace: WorkspaceNumber(number),
            company: ForeignId::parse("id", company).expect("an id"),
            body: vec![0; places * PLACE_BYTES - DELIVERY_BYTES - url.len()].into(),
            url,
            offered_at: Timestamp::from_millis(0),
            expires: Instant::now() + super::LIFETIME,
            batch: None,
        };
        Waiting { delivery: Arc::new(Delivery::new(event).expect("a URL")), tries: 0 }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn receivers_are_told_apart_as_a_parser_would() {
        let rows = [
            ("https://hooks.test/a", Some(("hooks.test", "hooks.test:443"))),
            ("http://hooks.test", Some(("hooks.test", "hooks.test:80"))),
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
            assert_eq!(got.as_ref().map(|(host, lane)| (*host, lane.as_str())), want, "{text}");
            if let (Some((host, lane)), Ok(url)) = (&got, Url::parse(text)) {
                assert_eq!(url.host_str().map(|host| host.trim_end_matches('.')), Some(*host), "{text}");
                let port = url.port_or_known_default().expect("a web address");
                assert_eq!(lane.rsplit(':').next(), Some(&*port.to_string()), "{text}");
            }
        }
    }

    /// All places together take what the queue may take in memory.
    #[test]
    fn a_large_event_takes_several_places() {
        for (places, want) in [(1, 1), (2, 2), (13, 13)] {
            assert_eq!(Waiting::for_test("a", 1, "https://e.test/", places).delivery.places, want);
        }
        const { assert!(QUEUE_MAX * PLACE_BYTES <= 32 * 1024 * 1024) };
    }
}
