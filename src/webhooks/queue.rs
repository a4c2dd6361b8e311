//! What waits to be delivered, and the room that it takes: reserved before anything is queued, and
//! given back when the delivery is over, so that memory is bounded whoever holds it meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// Deliveries held at once, those under way and those that wait for a retry included: a receiver
/// of ten events a second may be gone for a quarter of an hour. Past it: dropped and counted.
pub const QUEUE_MAX: usize = 10_000;

/// What they may take in memory, in bytes: an event is some 600, but may hold a URL of 8 KB. Past
/// it: dropped and counted.
const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a delivery takes beside its URL and body, at most.
pub(super) const DELIVERY_BYTES: usize = 512;

/// What of the queue is taken.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) deliveries: AtomicUsize,
    bytes: AtomicUsize,
}

/// A delivery's room; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Takes a place, beyond every bound: for what was let in before.
    pub(super) fn force(self: &Arc<Room>, bytes: usize) -> Place {
        self.deliveries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Place { room: Arc::clone(self), bytes }
    }

    /// Takes a place if there is one. Two who come at once may both be told that there is none.
    pub(super) fn take(self: &Arc<Room>, bytes: usize) -> Option<Place> {
        let place = self.force(bytes);
        let fits = self.deliveries.load(Ordering::Relaxed) <= QUEUE_MAX
            && self.bytes.load(Ordering::Relaxed) <= QUEUE_BYTES_MAX;
        fits.then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.deliveries.fetch_sub(1, Ordering::Relaxed);
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A delivery on its way to the courier.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) event: Id,
    pub(super) link: Id,
    pub(super) workspace: WorkspaceNumber,
    pub(super) url: Box<str>,
    pub(super) body: Bytes,
    pub(super) at: Timestamp,
    pub(super) place: Place,
}

/// An event on its way to one receiver.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) event: Id,
    pub(super) link: Id,
    pub(super) workspace: WorkspaceNumber,
    pub(super) url: Arc<str>,
    /// Host and port: whose lane it is.
    pub(super) host: Arc<str>,
    pub(super) body: Bytes,
    pub(super) offered_at: Timestamp,
    /// When it is given up.
    pub(super) expires: Instant,
    /// The batch in the store that it was read from.
    pub(super) batch: Option<Id>,
    /// Held for its drop.
    pub(super) _place: Place,
}

/// A delivery, and how often it was tried.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) delivery: Arc<Delivery>,
    pub(super) tries: u8,
}

#[cfg(test)]
impl Waiting {
    /// A delivery to a host, of nothing.
    pub(super) fn for_test(host: &str) -> Waiting {
        let delivery = Delivery {
            event: Id::from_bits(1),
            link: Id::from_bits(2),
            workspace: WorkspaceNumber(0),
            url: "https://e.test/".into(),
            host: host.into(),
            body: Bytes::new(),
            offered_at: Timestamp::from_millis(0),
            expires: Instant::now() + super::LIFETIME,
            batch: None,
            _place: Arc::new(Room::default()).force(0),
        };
        Waiting { delivery: Arc::new(delivery), tries: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_by_number_and_bytes_and_comes_back() {
        let room = Arc::new(Room::default());
        let places: Vec<Place> = std::iter::from_fn(|| room.take(1)).collect();
        assert_eq!(places.len(), QUEUE_MAX);
        drop(places);
        let places: Vec<Place> = std::iter::from_fn(|| room.take(1024 * 1024)).collect();
        assert_eq!(places.len(), QUEUE_BYTES_MAX / 1024 / 1024);
        drop(places);
        assert_eq!((room.deliveries.load(Ordering::Relaxed), room.bytes.load(Ordering::Relaxed)), (0, 0));
    }
}
