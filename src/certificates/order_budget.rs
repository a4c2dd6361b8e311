//! [`OrderBudget`]: the orders that may still be made, over all names.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The orders that may still be made, over all names: 50 at once, then one every 36 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderBudget {
    left: u32,
    filled_at: Timestamp,
}

/// The budget of the acts, each of which takes an order when it has checked that its name leads here.
pub(super) type SharedBudget = Arc<Mutex<OrderBudget>>;

impl OrderBudget {
    /// Orders that may be made at once.
    const MAX: u32 = 50;
    /// The time until one more may be made. 300 orders take three hours.
    const EVERY: i64 = 36_000;

    /// Creates a full budget.
    pub(super) fn full(now: Timestamp) -> OrderBudget {
        OrderBudget { left: Self::MAX, filled_at: now }
    }

    /// Returns an order that was not made.
    pub(super) fn put_back(&mut self) {
        self.left = self.left.saturating_add(1).min(Self::MAX);
    }

    /// Returns whether an order may be made. Fails with the time at which there is one.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), Timestamp> {
        { *self }.take(now)
    }

    /// Takes an order. Fails with the time at which there is one.
    pub(super) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if self.filled_at > now || self.left > Self::MAX {
            // The clock was set back, or the file was edited.
            *self = OrderBudget { left: self.left.min(Self::MAX), filled_at: now };
        }
        let more = now.as_millis().saturating_sub(self.filled_at.as_millis()) / Self::EVERY;
        self.left = u32::try_from(more).unwrap_or(u32::MAX).saturating_add(self.left).min(Self::MAX);
        // A budget that is full gains nothing by waiting. Otherwise the rest of the last span counts for the next order.
        self.filled_at = if self.left == Self::MAX {
            now
        } else {
            self.filled_at.plus_millis(more.saturating_mul(Self::EVERY))
        };
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.filled_at.plus_millis(Self::EVERY)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_names_get_at_most_150_orders_in_an_hour() {
        let start = Timestamp::from_millis(1_795_910_400_000);
        let mut budget = OrderBudget::full(start);
        let taken = (0..3_600).map(|second| {
            let now = start.plus_millis(second * 1_000);
            std::iter::from_fn(|| budget.take(now).ok()).count()
        });
        let taken: usize = taken.sum();
        assert!((149..=150).contains(&taken), "{taken}");
    }

    #[test]
    fn an_empty_budget_names_the_time_of_the_next_order_and_a_clock_that_is_set_back_fills_nothing() {
        let start = Timestamp::from_millis(1_795_910_400_000);
        let mut budget = OrderBudget::full(start);
        while budget.take(start).is_ok() {}
        assert_eq!(budget.take(start), Err(start.plus_millis(36_000)));
        assert_eq!(budget.take(start.plus_millis(35_999)), Err(start.plus_millis(36_000)));
        let before = start.plus_millis(-1_000_000_000);
        assert_eq!(budget.take(before), Err(before.plus_millis(36_000)));
        assert_eq!(budget.take(before.plus_millis(36_000)), Ok(()));
    }
}
