//! The `Date` header after the clock was set back (docs/decisions.md 23). hyper keeps the text of a second
//! until the clock has passed that second (1.12): set back by a day, it would send the same second for a day.
//! This file detects the step. Until the clock has passed its earlier value, responses get a `Date` from
//! here.
//!
//! While the clock was not set back, this costs one load for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::header::HeaderValue;

use crate::clock::{Clock, Timestamp};

/// Interval at which the clock is read, and the `Date` from here is renewed. Ten reads a second cost nothing
/// that can be measured, and few responses contain a time that the clock had for less than that.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Longest time by which the `Date` of hyper may be ahead of the last check when the clock is set back: hyper
/// keeps a text to the end of its second, and on a busy machine a check may be late.
const MARGIN_MILLIS: i64 = 3_000;

/// The `Date` that responses need, if any. Cheap to clone: all clones share it.
#[derive(Clone, Debug, Default)]
pub struct Dates(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether `own` has a value. Every request loads this flag only.
    is_own: AtomicBool,
    own: ArcSwapOption<HeaderValue>,
}

impl Dates {
    /// Watches the clock. Never returns.
    pub async fn watch(self, clock: Clock) {
        let mut ticks = tokio::time::interval(CHECK_EVERY);
        // After a pause of the machine one check is enough.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut steps = Steps { last: clock.now(), until: None };
        loop {
            ticks.tick().await;
            let now = clock.now();
            self.set(steps.is_behind(now).then_some(now));
        }
    }

    fn set(&self, now: Option<Timestamp>) {
        let text = now.map(|now| httpdate::fmt_http_date(now.as_system_time()));
        let value = text.and_then(|text| HeaderValue::try_from(text).ok()).map(Arc::new);
        let is_own = value.is_some();
        // Relaxed, and not in one step: a request that sees one of the two stores sends hyper's `Date`, as
        // the request before it did. Nothing is stored while the clock was not set back.
        if is_own || self.0.is_own.load(Ordering::Relaxed) {
            self.0.own.store(value);
            self.0.is_own.store(is_own, Ordering::Relaxed);
        }
    }

    /// Returns the `Date` that a response needs, `None` if that of hyper is right.
    pub(super) fn own(&self) -> Option<Arc<HeaderValue>> {
        if self.0.is_own.load(Ordering::Relaxed) { self.0.own.load_full() } else { None }
    }
}

/// Detects steps of the clock.
struct Steps {
    last: Timestamp,
    /// The time that the clock must pass again, while it has not.
    until: Option<Timestamp>,
}

impl Steps {
    fn is_behind(&mut self, now: Timestamp) -> bool {
        if now < self.last {
            // The later of both, if the clock is set back a second time before it has passed the first.
            self.until = self.until.max(Some(self.last.plus_millis(MARGIN_MILLIS)));
        }
        // Once the clock has passed the earlier value, the `Date` of hyper is right.
        self.until = self.until.filter(|until| now < *until);
        self.last = now;
        self.until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_behind_until_it_has_passed_its_earlier_value() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let mut steps = Steps { last: at(100), until: None };
        // Ordinary time and a step forward; back; back once more; ahead of all again.
        let rows = [
            (101, false),
            (101, false),
            (9_000, false),
            (200, true),
            (201, true),
            (50, true),
            (9_002, true),
            // The earlier value 9,000 and the margin of 3 s have passed.
            (9_003, false),
            (9_004, false),
            (9_003, true),
            (9_008, false),
        ];
        for (now, want) in rows {
            assert_eq!(steps.is_behind(at(now)), want, "at {now}");
        }
    }

    #[test]
    fn a_date_is_set_and_removed() {
        let dates = Dates::default();
        assert_eq!(dates.own(), None);
        dates.set(Some(Timestamp::from_millis(784_111_777_000)));
        assert_eq!(dates.own().as_deref(), Some(&HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT")));
        dates.set(None);
        assert_eq!(dates.own(), None);
    }
}
