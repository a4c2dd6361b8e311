//! Links with a limit give out their clicks from a *reservation*: a click total that is in the log
//! before its clicks happen. So a limit holds whatever crashes: after a crash the log's total, with
//! all that was reserved in it, is the link's.
//!
//! One lock over all of them: a taken click costs one look-up under it, and only links with a
//! limit come here. What is reserved and not taken from between two drains is given back, so a
//! crash wastes reservations only of links that are being clicked, and a clean stop wastes none.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::counter::Counter;
use crate::model::id::Id;

/// Most clicks in one reservation: what a crash may waste, against one log write per so many.
const RESERVE_MAX: u64 = 64;

/// A reservation is at most one part in so many of what remains: a limit of 100 loses at most 6 to
/// a crash.
const RESERVE_PART: u64 = 16;

/// What became of a click on a link with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// It is counted, and within the limit for good.
    Counted,
    /// The limit is reached.
    LimitReached,
    /// Nothing is reserved: reserve, then try again.
    Unreserved,
}

/// The reservations of all links with a limit that are being clicked.
#[derive(Debug, Default)]
pub struct Reservations(Mutex<HashMap<Id, Reservation, ahash::RandomState>>);

#[derive(Debug)]
struct Reservation {
    /// Keeps the counter in the registry: the table's total is ahead of it.
    counter: Arc<Counter>,
    /// Clicks up to this total may be given out.
    durable: u64,
    /// What the log was last asked to hold; at least `durable`.
    asked: u64,
    /// Clicked since the last drain.
    is_used: bool,
    /// One reservation per link at a time; the others wait for it and take from it.
    reserve_lock: ReserveLock,
}

/// Held while clicks of a link are reserved. A new lock exists after its reservation was released.
pub type ReserveLock = Arc<tokio::sync::Mutex<()>>;

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
    /// Takes one of `limit` clicks.
    pub fn take(&self, counter: &Arc<Counter>, limit: u64) -> Take {
        let mut reservations = self.0.lock();
        let total = counter.total();
        if total >= limit {
            return Take::LimitReached;
        }
        match reservations
            .get_mut(&counter.id())
            .filter(|reservation| Arc::ptr_eq(&reservation.counter, counter))
        {
            Some(reservation) if total < reservation.durable => {
                reservation.is_used = true;
                // Not queued as dirty: the log's total covers it already.
                counter.count();
                Take::Counted
            }
            _ => Take::Unreserved,
        }
    }

    /// Does what must not be seen half done while clicks are taken: a drain's two steps, between
    /// which a total is too low and a limit that was reached would be open again.
    pub fn atomically<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.0.lock();
        work()
    }

    /// To be held while reserving.
    pub fn reserve_lock(&self, counter: &Arc<Counter>) -> ReserveLock {
        let mut reservations = self.0.lock();
        let reservation = reservations.entry(counter.id()).or_insert_with(|| Reservation::new(counter));
        if !Arc::ptr_eq(&reservation.counter, counter) {
            *reservation = Reservation::new(counter);
        }
        Arc::clone(&reservation.reserve_lock)
    }

    /// Returns the total to make durable next. The caller holds the [`Reservations::reserve_lock`]. Returns
    /// `None` when reserved clicks are left, the limit is reached, or the lock was replaced.
    pub fn ask(&self, counter: &Counter, reserve_lock: &ReserveLock, limit: u64) -> Option<u64> {
        let mut reservations = self.0.lock();
        let total = counter.total();
        let reservation = reservations
            .get_mut(&counter.id())
            .filter(|reservation| Arc::ptr_eq(&reservation.reserve_lock, reserve_lock))?;
        if total >= limit || total < reservation.durable || counter.is_retired() {
            return None;
        }
        let batch = ((limit - total) / RESERVE_PART).clamp(1, RESERVE_MAX);
        reservation.asked = total + batch;
        reservation.is_used = true;
        Some(reservation.asked)
    }

    /// The log holds `total`, asked for in this `reserve_lock`: clicks up to it may be taken. What was
    /// given back meanwhile stays so, also when others ask anew: the log holds less since.
    pub fn grant(&self, counter: &Counter, reserve_lock: &ReserveLock, total: u64) {
        self.in_turn(counter, reserve_lock, |reservation| {
            reservation.durable = reservation.durable.max(total.min(reservation.asked));
        });
    }

    /// Another node counted so many clicks: what is reserved lies beyond them.
    pub fn shift(&self, counter: &Counter, clicks: u64) {
        let mut reservations = self.0.lock();
        counter.add_of_others(clicks);
        if let Some(reservation) = reservations.get_mut(&counter.id()) {
            reservation.asked += clicks;
            reservation.durable += clicks;
        }
    }

    /// The log did not take it.
    pub fn refuse(&self, counter: &Counter, reserve_lock: &ReserveLock) {
        self.in_turn(counter, reserve_lock, |reservation| reservation.asked = reservation.durable);
    }

    fn in_turn(&self, counter: &Counter, reserve_lock: &ReserveLock, work: impl FnOnce(&mut Reservation)) {
        if let Some(reservation) = self.0.lock().get_mut(&counter.id())
            && Arc::ptr_eq(&reservation.reserve_lock, reserve_lock)
        {
            work(reservation);
        }
    }

    /// What the log must hold for a counter: its clicks, or what is reserved beyond them. To be
    /// called in the order in which the log is handed totals.
    pub fn total(&self, counter: &Counter) -> u64 {
        let reservations = self.0.lock();
        counter.flushed().max(reservations.get(&counter.id()).map_or(0, |reservation| reservation.asked))
    }

    /// Gives back what was not taken from since the last call, or everything: answers the counters
    /// whose true totals are to be written.
    pub fn give_back(&self, everything: bool) -> Vec<Arc<Counter>> {
        let mut reservations = self.0.lock();
        // A slow disk must not have it taken away from under those who wait for it, again and again.
        let is_idle = |reservation: &mut Reservation| {
            !std::mem::take(&mut reservation.is_used) && Arc::strong_count(&reservation.reserve_lock) == 1
        };
        let idle = reservations.extract_if(|_, reservation| everything || is_idle(reservation));
        idle.map(|(_, reservation)| reservation.counter).collect()
    }

    /// Gives back one link's, whose limit is about to change.
    pub fn give_back_one(&self, id: Id) {
        self.0.lock().remove(&id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether there are none.
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
        assert_eq!(reserve(&reservations, &counter, 100), Some(11));
        assert_eq!(reserve(&reservations, &counter, 100), None, "there is something to take");
        assert_eq!(reservations.take(&counter, 6), Take::LimitReached, "the limit was lowered");
    }

    #[test]
    fn how_much_is_reserved() {
        let rows = [
            (0, 1, Some(1)),
            (0, 15, Some(1)),
            (0, 32, Some(2)),
            (0, 100, Some(6)),
            (0, 1_000_000, Some(64)),
            (99, 100, Some(100)),
            (100, 100, None),
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
    fn nothing_is_taken_before_the_log_has_it() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let reserve_lock = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &reserve_lock, 10), Some(1));
        assert_eq!(reservations.take(&counter, 10), Take::Unreserved);
        assert_eq!(reservations.total(&counter), 1, "a flush meanwhile must not write less");
        reservations.refuse(&counter, &reserve_lock);
        assert_eq!(reservations.take(&counter, 10), Take::Unreserved);
        assert_eq!(reservations.total(&counter), 0);
    }

    #[test]
    fn what_lies_idle_is_given_back() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        reserve(&reservations, &counter, 1_000);
        assert_eq!(reservations.take(&counter, 1_000), Take::Counted);
        assert!(reservations.give_back(false).is_empty(), "it was clicked since");
        assert_eq!(reservations.give_back(false).len(), 1);
        assert!(reservations.is_empty());
        counter.drain();
        assert_eq!(reservations.total(&counter), 1);
        assert_eq!(reservations.take(&counter, 1_000), Take::Unreserved);
        reserve(&reservations, &counter, 1_000);
        assert_eq!(reservations.give_back(true).len(), 1);
    }

    /// The limit is changed while the log is written to: what it is then told to hold is less than
    /// what it answers for, until it answers for what was asked anew.
    #[test]
    fn a_late_answer_grants_nothing_of_what_others_asked_anew() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let first = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &first, 100), Some(6));
        reservations.give_back_one(counter.id());
        assert_eq!(reservations.ask(&counter, &first, 100), None, "its reserve_lock is over");
        let second = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &second, 100), Some(6));
        reservations.grant(&counter, &first, 6);
        assert_eq!(reservations.take(&counter, 100), Take::Unreserved);
        reservations.refuse(&counter, &first);
        reservations.grant(&counter, &second, 6);
        assert_eq!(reservations.take(&counter, 100), Take::Counted);
    }

    /// A link that was deleted and restored has another counter, upon the total that the log held.
    #[test]
    fn a_reservation_belongs_to_one_counter() {
        let counters = [0, 6].map(|total| Arc::new(Counter::new(Id::from_bits(1), total)));
        let [old, new] = &counters;
        let reservations = Reservations::default();
        let reserve_lock = reservations.reserve_lock(old);
        assert!(
            Arc::ptr_eq(&reserve_lock, &reservations.reserve_lock(old)),
            "one reserve_lock for all who wait for it"
        );
        assert_eq!(reservations.ask(old, &reserve_lock, 1_000), Some(62));
        reservations.grant(old, &reserve_lock, 62);
        assert_eq!(reservations.take(new, 1_000), Take::Unreserved);
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

    /// The log answers for what it was asked first, after a limit was lowered and less was asked.
    #[test]
    fn no_more_is_granted_than_was_asked_last() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let reserve_lock = reservations.reserve_lock(&counter);
        assert_eq!(reservations.ask(&counter, &reserve_lock, 1_000), Some(62));
        assert_eq!(reservations.ask(&counter, &reserve_lock, 32), Some(2));
        reservations.grant(&counter, &reserve_lock, 62);
        // What was granted stays.
        reservations.grant(&counter, &reserve_lock, 1);
        let taken = (0..10).filter(|_| reservations.take(&counter, 1_000) == Take::Counted).count();
        assert_eq!(taken, 2);
    }

    /// What was granted before is still there when the log refuses more.
    #[test]
    fn a_refusal_takes_back_only_what_was_asked_for() {
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
    fn what_somebody_waits_for_does_not_lie_idle() {
        let (reservations, counter) = (Reservations::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let reserve_lock = reservations.reserve_lock(&counter);
        let total = reservations.ask(&counter, &reserve_lock, 100).expect("there is some");
        for drain in 0..5 {
            assert!(reservations.give_back(false).is_empty(), "drain {drain}");
        }
        reservations.grant(&counter, &reserve_lock, total);
        assert_eq!(reservations.take(&counter, 100), Take::Counted);
        drop(reserve_lock);
        assert!(reservations.give_back(false).is_empty(), "it was clicked since");
        assert_eq!(reservations.give_back(false).len(), 1);
    }
}
