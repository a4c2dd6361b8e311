//! Reservations of links with a limit. A reservation is a click total that is in the log before its clicks
//! happen, so no crash lets a link exceed its limit: after a crash the link has the log's total, with
//! everything that was reserved.
//!
//! One lock guards all reservations. A click costs one look-up under it, and only links with a limit need
//! one. A reservation that no click used between two drains is released: a crash wastes reservations only of
//! links that were being clicked, and a clean stop wastes none.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::counter::Counter;
use crate::model::id::Id;

/// Most clicks in one reservation. A crash may waste them; smaller reservations write to the log more often.
const RESERVE_MAX: u64 = 64;

/// A reservation is at most the remaining clicks divided by this: a crash wastes at most 6 clicks of a limit
/// of 100.
const RESERVE_PART: u64 = 16;

/// The result of a click on a link with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The click is counted, and is within the limit even after a crash.
    Counted,
    /// The link has no clicks left.
    LimitReached,
    /// No click is reserved. The caller must reserve, then retry.
    Unreserved,
}

/// The reservations of the links with a limit that are being clicked.
#[derive(Debug, Default)]
pub struct Reservations(Mutex<HashMap<Id, Reservation, ahash::RandomState>>);

#[derive(Debug)]
struct Reservation {
    /// Keeps the counter in the registry: the table's total is ahead of it.
    counter: Arc<Counter>,
    /// The log has this total: clicks up to it may be taken.
    durable: u64,
    /// The total last sent to the log. At least `durable`.
    asked: u64,
    /// Clicked since the last drain.
    is_used: bool,
    /// Only one task per link reserves at a time. The others wait, then take from the result.
    reserve_lock: ReserveLock,
}

/// The lock that a task holds while it reserves clicks of a link. The next reservation of the link has
/// another lock.
pub(crate) type ReserveLock = Arc<tokio::sync::Mutex<()>>;

impl Reservation {
    fn new(counter: &Arc<Counter>) -> Reservation {
        Reservation {
            counter: Arc::clone(counter),
            durable: 0,
            asked: 0,
            is_used: true,
            reserve_lock: Arc::default(),
        }
    }
}

impl Reservations {
    /// Takes one reserved click of `limit`.
    pub fn take(&self, counter: &Arc<Counter>, limit: u64) -> Take {
        // Locked before the total is read: of two last clicks, the second must see the first.
        let mut reservations = self.0.lock();
        let total = counter.total();
        // Before the reservation: the limit may have been lowered below what is reserved.
        if total >= limit {
            return Take::LimitReached;
        }
        // The counter is compared as well: a reservation of the link's former counter covers no click.
        match reservations
            .get_mut(&counter.id())
            .filter(|reservation| Arc::ptr_eq(&reservation.counter, counter))
        {
            Some(reservation) if total < reservation.durable => {
                reservation.is_used = true;
                // Not queued as dirty: the log's total includes this click already.
                counter.count();
                Take::Counted
            }
            _ => Take::Unreserved,
        }
    }

    /// Runs `work` atomically with respect to [`Reservations::take`]. A drain needs this: between its two
    /// steps the total is too low, and a spent limit would reopen.
    pub(crate) fn atomically<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.0.lock();
        work()
    }

    /// Returns the lock to hold for [`Reservations::ask`], and until the log has the total.
    pub fn reserve_lock(&self, counter: &Arc<Counter>) -> ReserveLock {
        let mut reservations = self.0.lock();
        let reservation = reservations.entry(counter.id()).or_insert_with(|| Reservation::new(counter));
        // A link that was deleted and restored has a new counter, on which the old reservation does not
        // count.
        if !Arc::ptr_eq(&reservation.counter, counter) {
            *reservation = Reservation::new(counter);
        }
        Arc::clone(&reservation.reserve_lock)
    }

    /// Returns the total to write to the log, `None` if reserved clicks are left, the limit is reached, or
    /// the reservation of `reserve_lock` was released. The caller holds the [`Reservations::reserve_lock`].
    pub fn ask(&self, counter: &Counter, reserve_lock: &ReserveLock, limit: u64) -> Option<u64> {
        let mut reservations = self.0.lock();
        let total = counter.total();
        let reservation = reservations
            .get_mut(&counter.id())
            .filter(|reservation| Arc::ptr_eq(&reservation.reserve_lock, reserve_lock))?;
        // The former holder of `reserve_lock` may have reserved clicks already. A deletion removes the total
        // from the log, and a reservation would write it again.
        if total >= limit || total < reservation.durable || counter.is_retired() {
            return None;
        }
        // At least 1: near its limit, a link still gives out its last clicks, with one write each.
        let batch = ((limit - total) / RESERVE_PART).clamp(1, RESERVE_MAX);
        reservation.asked = total + batch;
        // A drain between the grant and the first click would release the reservation.
        reservation.is_used = true;
        Some(reservation.asked)
    }

    /// Permits clicks up to `total`, which the log has now. `total` was returned by [`Reservations::ask`]
    /// under this `reserve_lock`. Does nothing if the reservation was released since: the log then has a
    /// lower total.
    pub fn grant(&self, counter: &Counter, reserve_lock: &ReserveLock, total: u64) {
        self.if_current(counter, reserve_lock, |reservation| {
            // Not above the last request, which is smaller if the limit was lowered in between. Not below the
            // last grant, whose clicks may be taken already.
            reservation.durable = reservation.durable.max(total.min(reservation.asked));
        });
    }

    /// Adds `clicks` that another node counted. Reserved totals grow by as much.
    pub(crate) fn shift(&self, counter: &Counter, clicks: u64) {
        let mut reservations = self.0.lock();
        // Under the lock: a click in between would compare the new total with the old reservation.
        counter.add_of_others(clicks);
        if let Some(reservation) = reservations.get_mut(&counter.id()) {
            reservation.asked += clicks;
            reservation.durable += clicks;
        }
    }

    /// Reduces the reservation to the durable total, after the log rejected the write.
    pub fn refuse(&self, counter: &Counter, reserve_lock: &ReserveLock) {
        self.if_current(counter, reserve_lock, |reservation| reservation.asked = reservation.durable);
    }

    /// Runs `work` on the reservation if `reserve_lock` is still its lock.
    fn if_current(&self, counter: &Counter, reserve_lock: &ReserveLock, work: impl FnOnce(&mut Reservation)) {
        if let Some(reservation) = self.0.lock().get_mut(&counter.id())
            && Arc::ptr_eq(&reservation.reserve_lock, reserve_lock)
        {
            work(reservation);
        }
    }

    /// Returns the total that the log must have for a counter: its clicks, or the reserved total if that is
    /// higher. Of two results for one counter, the later one must be committed later.
    pub fn total(&self, counter: &Counter) -> u64 {
        let reservations = self.0.lock();
        // The higher one: with a lower total in the log, a crash would permit clicks beyond the limit.
        counter.flushed().max(reservations.get(&counter.id()).map_or(0, |reservation| reservation.asked))
    }

    /// Releases the reservations without a click since the last call, or all of them if `everything`. Returns
    /// their counters, whose true totals must be written.
    pub(crate) fn release_idle(&self, everything: bool) -> Vec<Arc<Counter>> {
        let mut reservations = self.0.lock();
        // A task that holds or awaits the lock still needs the reservation: on a slow disk each drain would
        // release it before the log has it, again and again.
        let is_idle = |reservation: &mut Reservation| {
            !std::mem::take(&mut reservation.is_used) && Arc::strong_count(&reservation.reserve_lock) == 1
        };
        let idle = reservations.extract_if(|_, reservation| everything || is_idle(reservation));
        idle.map(|(_, reservation)| reservation.counter).collect()
    }

    /// Releases the reservation of one link, whose limit is about to change.
    pub(crate) fn release_one(&self, id: Id) {
        self.0.lock().remove(&id);
    }

    /// Returns the number of reservations.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Returns whether no link has a reservation.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(reservations: &Reservations, counter: &Arc<Counter>, limit: u64) -> Option<u64> {
        let reserve_lock = reservations.reserve_lock(counter);
        let total = reservations.ask(counter, &reserve_lock, limit)?;
        reservations.grant(counter, &reserve_lock, total);
        Some(total)
    }

    #[test]
    fn clicks_are_taken_from_what_is_reserved() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        assert_eq!(reservations.take(&counter, 100), Take::Unreserved);
        assert_eq!(reserve(&reservations, &counter, 100), Some(6));
        for _ in 0..6 {
            assert_eq!(reservations.take(&counter, 100), Take::Counted);
        }
        assert_eq!(reservations.take(&counter, 100), Take::Unreserved);
        assert_eq!(reservations.total(&counter), 6);
        // A sixteenth of the 94 clicks that are left.
        assert_eq!(reserve(&reservations, &counter, 100), Some(11));
        assert_eq!(reserve(&reservations, &counter, 100), None, "there is something to take");
        assert_eq!(reservations.take(&counter, 6), Take::LimitReached, "the limit was lowered");
    }

    #[test]
    fn how_much_is_reserved() {
        let rows = [
            (0, 1, Some(1)),
            // A sixteenth is less than one click.
            (0, 15, Some(1)),
            (0, 32, Some(2)),
            (0, 100, Some(6)),
            // [`RESERVE_MAX`] is less than a sixteenth.
            (0, 1_000_000, Some(64)),
            (99, 100, Some(100)),
            (100, 100, None),
            // The limit was lowered below the clicks.
            (101, 100, None),
        ];
        for (clicks, limit, want) in rows {
            let counter = Arc::new(Counter::new(Id::from_bits(1), clicks));
            let reservations = Reservations::default();
            let reserve_lock = reservations.reserve_lock(&counter);
            assert_eq!(reservations.ask(&counter, &reserve_lock, limit), want, "{clicks} of {limit}");
        }
    }

    #[test]
    fn no_click_is_taken_before_the_log_has_it() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let reserve_lock = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &reserve_lock, 10), Some(1));
        assert_eq!(reservations.take(&counter, 10), Take::Unreserved);
        assert_eq!(reservations.total(&counter), 1, "a concurrent flush must not write less");
        reservations.refuse(&counter, &reserve_lock);
        assert_eq!(reservations.take(&counter, 10), Take::Unreserved);
        assert_eq!(reservations.total(&counter), 0);
    }

    #[test]
    fn an_idle_reservation_is_released() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        reserve(&reservations, &counter, 1_000);
        assert_eq!(reservations.take(&counter, 1_000), Take::Counted);
        assert!(reservations.release_idle(false).is_empty(), "it was clicked since");
        assert_eq!(reservations.release_idle(false).len(), 1);
        assert!(reservations.is_empty());
        // The log gets the true total, 1, in place of the 62 that were reserved.
        counter.drain();
        assert_eq!(reservations.total(&counter), 1);
        assert_eq!(reservations.take(&counter, 1_000), Take::Unreserved);
        reserve(&reservations, &counter, 1_000);
        assert_eq!(reservations.release_idle(true).len(), 1);
    }

    /// The limit changes while the log is written: the log then has a lower total than the first write
    /// confirms, until the second write is confirmed.
    #[test]
    fn a_late_confirmation_grants_nothing_of_a_newer_reservation() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let first = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &first, 100), Some(6));
        reservations.release_one(counter.id());
        assert_eq!(reservations.ask(&counter, &first, 100), None, "its reservation was released");
        let second = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &second, 100), Some(6));
        reservations.grant(&counter, &first, 6);
        assert_eq!(reservations.take(&counter, 100), Take::Unreserved);
        reservations.refuse(&counter, &first);
        reservations.grant(&counter, &second, 6);
        assert_eq!(reservations.take(&counter, 100), Take::Counted);
    }

    /// A link that was deleted and restored has another counter, which starts at the log's total.
    #[test]
    fn a_reservation_belongs_to_one_counter() {
        let counters = [0, 6].map(|total| Arc::new(Counter::new(Id::from_bits(1), total)));
        let [old, new] = &counters;
        let reservations = Reservations::default();
        let reserve_lock = reservations.reserve_lock(old);
        assert!(
            Arc::ptr_eq(&reserve_lock, &reservations.reserve_lock(old)),
            "one lock for all tasks of the link"
        );
        assert_eq!(reservations.ask(old, &reserve_lock, 1_000), Some(62));
        reservations.grant(old, &reserve_lock, 62);
        assert_eq!(reservations.take(new, 1_000), Take::Unreserved);
        // The 6 clicks in the log, and a sixteenth of the others.
        assert_eq!(reserve(&reservations, new, 1_000), Some(68));
        assert_eq!(reservations.len(), 1);
        assert_eq!(
            (reservations.take(old, 1_000), reservations.take(new, 1_000)),
            (Take::Unreserved, Take::Counted)
        );
    }

    #[test]
    fn nothing_is_reserved_for_a_deleted_link() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        counter.retire();
        assert_eq!(reserve(&reservations, &counter, 100), None);
        counter.revive();
        assert_eq!(reserve(&reservations, &counter, 100), Some(6));
    }

    /// The log confirms the first total after the limit was lowered and a lower total was asked.
    #[test]
    fn no_more_is_granted_than_was_asked_last() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let reserve_lock = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &reserve_lock, 1_000), Some(62));
        assert_eq!(reservations.ask(&counter, &reserve_lock, 32), Some(2));
        reservations.grant(&counter, &reserve_lock, 62);
        // A granted total never decreases.
        reservations.grant(&counter, &reserve_lock, 1);
        let taken = (0..10).filter(|_| reservations.take(&counter, 1_000) == Take::Counted).count();
        assert_eq!(taken, 2);
    }

    /// A grant stays when the log rejects a later one.
    #[test]
    fn a_refusal_takes_back_only_the_last_request() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        assert_eq!(reserve(&reservations, &counter, 20), Some(1));
        assert_eq!(reservations.take(&counter, 20), Take::Counted);
        counter.drain();
        let reserve_lock = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &reserve_lock, 100), Some(7));
        reservations.refuse(&counter, &reserve_lock);
        assert_eq!(reservations.total(&counter), 1);
        assert_eq!(reservations.len(), 1);
    }

    #[test]
    fn a_reservation_that_a_task_awaits_is_not_idle() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let reserve_lock = reservations.reserve_lock(&counter);
        let total = reservations.ask(&counter, &reserve_lock, 100).expect("there is some");
        for drain in 0..5 {
            assert!(reservations.release_idle(false).is_empty(), "drain {drain}");
        }
        reservations.grant(&counter, &reserve_lock, total);
        assert_eq!(reservations.take(&counter, 100), Take::Counted);
        drop(reserve_lock);
        assert!(reservations.release_idle(false).is_empty(), "it was clicked since");
        assert_eq!(reservations.release_idle(false).len(), 1);
    }
}
