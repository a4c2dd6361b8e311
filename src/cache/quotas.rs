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

use crate::clicks::Counter;
use crate::model::id::Id;

/// Most clicks in one reservation: what a crash may waste, against one log write per so many.
const RESERVE_MAX: u64 = 64;

/// A reservation is at most one part in so many of what remains: a limit of 100 loses at most 6 to
/// a crash.
const RESERVE_PART: u64 = 16;

/// What became of a click on a link with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is counted, and within the limit for good.
    Yes,
    /// The limit is reached.
    UsedUp,
    /// Nothing is reserved: reserve, then try again.
    Unreserved,
}

/// The reservations of all links with a limit that are being clicked.
#[derive(Debug, Default)]
pub struct Quotas(Mutex<HashMap<Id, Quota, ahash::RandomState>>);

#[derive(Debug)]
struct Quota {
    /// Keeps the counter in the registry: the table's total is ahead of it.
    counter: Arc<Counter>,
    /// Clicks up to this total may be given out.
    durable: u64,
    /// What the log was last asked to hold; at least `durable`.
    asked: u64,
    /// Clicked since the last drain.
    is_used: bool,
    /// One reservation per link at a time; the others wait for it and take from it.
    turn: Turn,
}

/// Whose turn it is to reserve for a link; another one after its reservation was given back.
pub type Turn = Arc<tokio::sync::Mutex<()>>;

impl Quota {
    fn new(counter: &Arc<Counter>) -> Quota {
        Quota { counter: Arc::clone(counter), durable: 0, asked: 0, is_used: true, turn: Arc::default() }
    }
}

impl Quotas {
    /// Takes one of `limit` clicks.
    pub fn take(&self, counter: &Arc<Counter>, limit: u64) -> Taken {
        let mut quotas = self.0.lock();
        let total = counter.total();
        if total >= limit {
            return Taken::UsedUp;
        }
        match quotas.get_mut(&counter.id()).filter(|quota| Arc::ptr_eq(&quota.counter, counter)) {
            Some(quota) if total < quota.durable => {
                quota.is_used = true;
                // Not queued as dirty: the log's total covers it already.
                counter.count();
                Taken::Yes
            }
            _ => Taken::Unreserved,
        }
    }

    /// Does what must not be seen half done while clicks are taken: a drain's two steps, between
    /// which a total is too low and a limit that was reached would be open again.
    pub fn still<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.0.lock();
        work()
    }

    /// To be held while reserving.
    pub fn turn(&self, counter: &Arc<Counter>) -> Turn {
        let mut quotas = self.0.lock();
        let quota = quotas.entry(counter.id()).or_insert_with(|| Quota::new(counter));
        if !Arc::ptr_eq(&quota.counter, counter) {
            *quota = Quota::new(counter);
        }
        Arc::clone(&quota.turn)
    }

    /// The total to make durable next, for a caller who holds the [`Quotas::turn`]; `None` when
    /// there is something to take already, the limit is reached, or the turn is over.
    pub fn ask(&self, counter: &Counter, turn: &Turn, limit: u64) -> Option<u64> {
        let mut quotas = self.0.lock();
        let total = counter.total();
        let quota = quotas.get_mut(&counter.id()).filter(|quota| Arc::ptr_eq(&quota.turn, turn))?;
        if total >= limit || total < quota.durable || counter.is_retired() {
            return None;
        }
        let batch = ((limit - total) / RESERVE_PART).clamp(1, RESERVE_MAX);
        quota.asked = total + batch;
        quota.is_used = true;
        Some(quota.asked)
    }

    /// The log holds `total`, asked for in this `turn`: clicks up to it may be taken. What was
    /// given back meanwhile stays so, also when others ask anew: the log holds less since.
    pub fn grant(&self, counter: &Counter, turn: &Turn, total: u64) {
        self.in_turn(counter, turn, |quota| quota.durable = quota.durable.max(total.min(quota.asked)));
    }

    /// Another node counted so many clicks: what is reserved lies beyond them.
    pub fn shift(&self, counter: &Counter, clicks: u64) {
        let mut quotas = self.0.lock();
        counter.add_of_others(clicks);
        if let Some(quota) = quotas.get_mut(&counter.id()) {
            quota.asked += clicks;
            quota.durable += clicks;
        }
    }

    /// The log did not take it.
    pub fn refuse(&self, counter: &Counter, turn: &Turn) {
        self.in_turn(counter, turn, |quota| quota.asked = quota.durable);
    }

    fn in_turn(&self, counter: &Counter, turn: &Turn, work: impl FnOnce(&mut Quota)) {
        if let Some(quota) = self.0.lock().get_mut(&counter.id())
            && Arc::ptr_eq(&quota.turn, turn)
        {
            work(quota);
        }
    }

    /// What the log must hold for a counter: its clicks, or what is reserved beyond them. To be
    /// called in the order in which the log is handed totals.
    pub fn total(&self, counter: &Counter) -> u64 {
        let quotas = self.0.lock();
        counter.flushed().max(quotas.get(&counter.id()).map_or(0, |quota| quota.asked))
    }

    /// Gives back what was not taken from since the last call, or everything: answers the counters
    /// whose true totals are to be written.
    pub fn give_back(&self, everything: bool) -> Vec<Arc<Counter>> {
        let mut quotas = self.0.lock();
        // A slow disk must not have it taken away from under those who wait for it, again and again.
        let is_idle =
            |quota: &mut Quota| !std::mem::take(&mut quota.is_used) && Arc::strong_count(&quota.turn) == 1;
        let idle = quotas.extract_if(|_, quota| everything || is_idle(quota));
        idle.map(|(_, quota)| quota.counter).collect()
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

    fn reserve(quotas: &Quotas, counter: &Arc<Counter>, limit: u64) -> Option<u64> {
        let turn = quotas.turn(counter);
        let total = quotas.ask(counter, &turn, limit)?;
        quotas.grant(counter, &turn, total);
        Some(total)
    }

    #[test]
    fn clicks_are_taken_from_what_is_reserved() {
        let (quotas, counter) = (Quotas::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        assert_eq!(quotas.take(&counter, 100), Taken::Unreserved);
        assert_eq!(reserve(&quotas, &counter, 100), Some(6));
        for _ in 0..6 {
            assert_eq!(quotas.take(&counter, 100), Taken::Yes);
        }
        assert_eq!(quotas.take(&counter, 100), Taken::Unreserved);
        assert_eq!(quotas.total(&counter), 6);
        assert_eq!(reserve(&quotas, &counter, 100), Some(11));
        assert_eq!(reserve(&quotas, &counter, 100), None, "there is something to take");
        assert_eq!(quotas.take(&counter, 6), Taken::UsedUp, "the limit was lowered");
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
            let quotas = Quotas::default();
            let turn = quotas.turn(&counter);
            assert_eq!(quotas.ask(&counter, &turn, limit), want, "{clicks} of {limit}");
        }
    }

    #[test]
    fn nothing_is_taken_before_the_log_has_it() {
        let (quotas, counter) = (Quotas::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let turn = quotas.turn(&counter);
        assert_eq!(quotas.ask(&counter, &turn, 10), Some(1));
        assert_eq!(quotas.take(&counter, 10), Taken::Unreserved);
        assert_eq!(quotas.total(&counter), 1, "a flush meanwhile must not write less");
        quotas.refuse(&counter, &turn);
        assert_eq!(quotas.take(&counter, 10), Taken::Unreserved);
        assert_eq!(quotas.total(&counter), 0);
    }

    #[test]
    fn what_lies_idle_is_given_back() {
        let (quotas, counter) = (Quotas::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        reserve(&quotas, &counter, 1_000);
        assert_eq!(quotas.take(&counter, 1_000), Taken::Yes);
        assert!(quotas.give_back(false).is_empty(), "it was clicked since");
        assert_eq!(quotas.give_back(false).len(), 1);
        assert!(quotas.is_empty());
        counter.drain();
        assert_eq!(quotas.total(&counter), 1);
        assert_eq!(quotas.take(&counter, 1_000), Taken::Unreserved);
        reserve(&quotas, &counter, 1_000);
        assert_eq!(quotas.give_back(true).len(), 1);
    }

    /// The limit is changed while the log is written to: what it is then told to hold is less than
    /// what it answers for, until it answers for what was asked anew.
    #[test]
    fn a_late_answer_grants_nothing_of_what_others_asked_anew() {
        let (quotas, counter) = (Quotas::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let first = quotas.turn(&counter);
        assert_eq!(quotas.ask(&counter, &first, 100), Some(6));
        quotas.give_back_one(counter.id());
        assert_eq!(quotas.ask(&counter, &first, 100), None, "its turn is over");
        let second = quotas.turn(&counter);
        assert_eq!(quotas.ask(&counter, &second, 100), Some(6));
        quotas.grant(&counter, &first, 6);
        assert_eq!(quotas.take(&counter, 100), Taken::Unreserved);
        quotas.refuse(&counter, &first);
        quotas.grant(&counter, &second, 6);
        assert_eq!(quotas.take(&counter, 100), Taken::Yes);
    }

    /// A link that was deleted and restored has another counter, upon the total that the log held.
    #[test]
    fn a_reservation_belongs_to_one_counter() {
        let counters = [0, 6].map(|total| Arc::new(Counter::new(Id::from_bits(1), total)));
        let [old, new] = &counters;
        let quotas = Quotas::default();
        let turn = quotas.turn(old);
        assert!(Arc::ptr_eq(&turn, &quotas.turn(old)), "one turn for all who wait for it");
        assert_eq!(quotas.ask(old, &turn, 1_000), Some(62));
        quotas.grant(old, &turn, 62);
        assert_eq!(quotas.take(new, 1_000), Taken::Unreserved);
        assert_eq!(reserve(&quotas, new, 1_000), Some(68));
        assert_eq!(quotas.len(), 1);
        assert_eq!((quotas.take(old, 1_000), quotas.take(new, 1_000)), (Taken::Unreserved, Taken::Yes));
    }

    #[test]
    fn nothing_is_reserved_for_a_deleted_link() {
        let (quotas, counter) = (Quotas::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        counter.retire();
        assert_eq!(reserve(&quotas, &counter, 100), None);
        counter.revive();
        assert_eq!(reserve(&quotas, &counter, 100), Some(6));
    }

    /// The log answers for what it was asked first, after a limit was lowered and less was asked.
    #[test]
    fn no_more_is_granted_than_was_asked_last() {
        let (quotas, counter) = (Quotas::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let turn = quotas.turn(&counter);
        assert_eq!(quotas.ask(&counter, &turn, 1_000), Some(62));
        assert_eq!(quotas.ask(&counter, &turn, 32), Some(2));
        quotas.grant(&counter, &turn, 62);
        // What was granted stays.
        quotas.grant(&counter, &turn, 1);
        let taken = (0..10).filter(|_| quotas.take(&counter, 1_000) == Taken::Yes).count();
        assert_eq!(taken, 2);
    }

    /// What was granted before is still there when the log refuses more.
    #[test]
    fn a_refusal_takes_back_only_what_was_asked_for() {
        let (quotas, counter) = (Quotas::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        assert_eq!(reserve(&quotas, &counter, 20), Some(1));
        assert_eq!(quotas.take(&counter, 20), Taken::Yes);
        counter.drain();
        let turn = quotas.turn(&counter);
        assert_eq!(quotas.ask(&counter, &turn, 100), Some(7));
        quotas.refuse(&counter, &turn);
        assert_eq!(quotas.total(&counter), 1);
        assert_eq!(quotas.len(), 1);
    }

    #[test]
    fn what_somebody_waits_for_does_not_lie_idle() {
        let (quotas, counter) = (Quotas::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        let turn = quotas.turn(&counter);
        let total = quotas.ask(&counter, &turn, 100).expect("there is some");
        for drain in 0..5 {
            assert!(quotas.give_back(false).is_empty(), "drain {drain}");
        }
        quotas.grant(&counter, &turn, total);
        assert_eq!(quotas.take(&counter, 100), Taken::Yes);
        drop(turn);
        assert!(quotas.give_back(false).is_empty(), "it was clicked since");
        assert_eq!(quotas.give_back(false).len(), 1);
    }
}
