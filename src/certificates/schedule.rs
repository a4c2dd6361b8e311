//! When something is done for a name: pure functions of its state, the time and chance.
//!
//! Authorities limit what a client may ask for: Let's Encrypt allows 5 failed validations of a name in an hour, and
//! 300 orders of an account in three. The pauses and [`super::order_budget`] stay below both, so that a misconfiguration
//! of one name delays no other.
//!
//! The wall clock may jump. Every wait is therefore kept with the time at which it began: a beginning in the future
//! is of a clock that was set back since, and its wait is over.

use std::time::Duration;

use super::state::{NameState, ORDERS_AN_HOUR};
use crate::clock::Timestamp;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The pauses after the first failures: five tries in the first hour.
const FIRST_PAUSES: [i64; 5] = [MINUTE, 3 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE];

/// The number of failures after which the pause is [`HOUR`], until six hours have passed.
const HOURLY_UNTIL: u32 = 10;

/// The last pause. An expired certificate is retried every hour instead.
const LAST_PAUSE: i64 = 6 * HOUR;

/// Shortest time between two tries of a name that visitors wait for.
const VISITOR_PAUSE: i64 = MINUTE;

/// A certificate that is valid for less is renewed at half of its lifetime, any other at two thirds.
const SHORT_LIFETIME: i64 = 10 * DAY;

/// A clock that differs by more from the authority's is wrong, and the authority's is used.
pub(super) const CLOCK_ERROR_MAX: i64 = HOUR;

/// How long the certificate of a name is kept that is no longer desired.
pub(super) const KEPT_UNDESIRED: i64 = 30 * DAY;

/// Longest sleep: the wall clock may jump, and a machine may have been suspended.
const SLEEP_MAX: Duration = Duration::from_mins(10);

/// Shortest sleep, so that a time that is always due costs nothing.
const SLEEP_MIN: Duration = Duration::from_millis(100);

/// The time in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// What is done for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A certificate is ordered, after a look whether the name leads here.
    Order,
    /// The authority is asked when the certificate should be renewed.
    AskRenewal,
}

/// How much of its lifetime a certificate has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remaining {
    /// Enough.
    Enough,
    /// At most a sixth: its renewal has failed for long.
    Sixth,
    /// At most a twelfth.
    Twelfth,
    /// It has ended.
    Nothing,
}

impl Validity {
    fn lifetime(&self) -> i64 {
        self.not_after.as_millis().saturating_sub(self.not_before.as_millis()).max(0)
    }

    /// Returns how much of the lifetime is left.
    pub(super) fn remaining(&self, now: Timestamp) -> Remaining {
        let left = self.not_after.as_millis().saturating_sub(now.as_millis());
        match self.lifetime() {
            _ if left <= 0 => Remaining::Nothing,
            lifetime if left <= lifetime / 12 => Remaining::Twelfth,
            lifetime if left <= lifetime / 6 => Remaining::Sixth,
            _ => Remaining::Enough,
        }
    }

    /// Returns whether the certificate is valid at a time.
    pub(super) fn contains(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Returns whether a time is one at which no clock should be: before the certificate was issued.
    pub(super) fn is_before(&self, now: Timestamp) -> bool {
        now < self.not_before
    }

    /// Returns when the certificate is renewed. `proposed` is the moment that the authority proposed, `chance` spreads
    /// renewals without one.
    pub(super) fn renewal(&self, proposed: Option<Timestamp>, chance: u16) -> Timestamp {
        let lifetime = self.lifetime();
        let latest = self.not_after.plus_millis(-(lifetime / 20));
        let usual = || {
            let part = if lifetime < SHORT_LIFETIME { lifetime / 2 } else { lifetime / 3 * 2 };
            // Certificates that were ordered together, such as after an import, are then renewed over some days.
            // Up to 5 % earlier.
            let spread = lifetime / 20 / i64::from(u16::MAX) * i64::from(chance);
            self.not_before.plus_millis(part - spread)
        };
        proposed.unwrap_or_else(usual).min(latest)
    }
}

/// Returns a moment of a window.
pub(super) fn moment_in(start: Timestamp, end: Timestamp, chance: u16) -> Timestamp {
    let width = end.as_millis().saturating_sub(start.as_millis()).max(0);
    start.plus_millis(width / i64::from(u16::MAX) * i64::from(chance))
}

/// Returns the time by the better clock: the authority's, if ours is wrong. `ahead` is by how many milliseconds the
/// authority's is ahead.
pub(super) fn corrected(own: Timestamp, ahead: Option<i64>) -> Timestamp {
    match ahead {
        Some(ahead) if ahead.saturating_abs() > CLOCK_ERROR_MAX => own.plus_millis(ahead),
        _ => own,
    }
}

/// Returns how long the renewer sleeps until a time. `None`: nothing is due at any time.
pub(super) fn sleep(at: Option<Timestamp>, now: Timestamp) -> Duration {
    let Some(at) = at else { return SLEEP_MAX };
    let millis = at.as_millis().saturating_sub(now.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).clamp(SLEEP_MIN, SLEEP_MAX)
}

/// Returns since when a name is undesired. A beginning in the future is of a clock that was set back since: the time
/// begins again, and no certificate is removed by a clock that was wrong.
pub(super) fn undesired_since(since: Option<Timestamp>, now: Timestamp) -> Timestamp {
    since.filter(|since| *since <= now).unwrap_or(now)
}

/// Returns the pause after this number of failures.
fn pause(failures: u32, is_expired: bool) -> i64 {
    let pause = match failures {
        0 => 0,
        n if n as usize <= FIRST_PAUSES.len() => FIRST_PAUSES[n as usize - 1],
        n if n <= HOURLY_UNTIL => HOUR,
        _ => LAST_PAUSE,
    };
    if is_expired { pause.min(HOUR) } else { pause }
}

/// Returns the end of a wait. It is over at once if it began in the future.
fn end_of_wait(began: Timestamp, millis: i64, now: Timestamp) -> Timestamp {
    // Otherwise a clock that was ten years ahead for a minute would stop the name for ten years.
    if began > now { now } else { began.plus_millis(millis) }
}

/// Returns what is done next for a name, and when. A time in the past is due. `is_awaited` is whether a visitor waits
/// for the certificate.
pub(super) fn next(
    state: &NameState,
    validity: Option<Validity>,
    is_awaited: bool,
    now: Timestamp,
) -> (Act, Timestamp) {
    let order = order_at(state, validity, is_awaited, now);
    // The order wins where both are due: its answer replaces the question.
    let Some(asked) = &state.renewal else {
        // A new certificate: asked once it is there.
        return if validity.is_some() && order > now { (Act::AskRenewal, now) } else { (Act::Order, order) };
    };
    let ask = end_of_wait(asked.asked_at, asked.ask_after, now);
    if validity.is_some() && ask < order { (Act::AskRenewal, ask) } else { (Act::Order, order) }
}

/// Returns when the next certificate of a name is ordered. A time in the past is due.
pub(super) fn order_at(
    state: &NameState,
    validity: Option<Validity>,
    is_awaited: bool,
    now: Timestamp,
) -> Timestamp {
    // The smallest time is due at once, whatever the clock is.
    let due = match validity {
        None => Timestamp::from_millis(i64::MIN),
        Some(_) if state.is_of_other_authority => Timestamp::from_millis(i64::MIN),
        Some(validity) => validity.renewal(state.proposed(), state.chance),
    };
    // Visitors see a warning until there is another one, so the pause is shorter.
    let is_expired = validity.is_some_and(|validity| validity.remaining(now) == Remaining::Nothing);
    let retry = state.tried_at.map(|tried| {
        let pause = pause(state.failures, is_expired);
        // A visitor at a name without a certificate proves that the name leads here.
        let pause = if is_awaited && validity.is_none() { pause.min(VISITOR_PAUSE) } else { pause };
        end_of_wait(tried, pause, now)
    });
    let told = state.told_to_wait.map(|(since, millis)| end_of_wait(since, millis, now));
    // The oldest of the last orders: once it is an hour old, another one fits.
    let hour = (state.orders.len() >= ORDERS_AN_HOUR)
        .then(|| end_of_wait(state.orders[state.orders.len() - ORDERS_AN_HOUR], HOUR, now));
    [retry, told, hour].into_iter().flatten().fold(due, Timestamp::max)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::state::Renewal;
    use super::*;

    /// 2026-11-29.
    static NOW: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::from_millis(1_795_910_400_000));

    fn days(from: Timestamp, days: i64) -> Timestamp {
        from.plus_millis(days * DAY)
    }

    fn valid(before: i64, after: i64) -> Validity {
        Validity { not_before: days(*NOW, -before), not_after: days(*NOW, after) }
    }

    /// Runs the tries of a name that fails each time, for so long. Returns the minutes of the orders.
    fn failing(state: &mut NameState, validity: Option<Validity>, awaited: bool, millis: i64) -> Vec<i64> {
        let (mut now, mut tries) = (*NOW, Vec::new());
        while now.as_millis() < NOW.as_millis() + millis {
            let (_, due) = next(state, validity, awaited, now);
            // Twice a minute, so that each try is seen in its minute.
            if due <= now {
                tries.push((now.as_millis() - NOW.as_millis()) / MINUTE);
                state.order_began(now);
                state.failed(now, "no".to_owned());
            }
            now = now.plus_millis(MINUTE / 2);
        }
        tries
    }

    #[test]
    fn a_name_that_fails_is_tried_five_times_in_an_hour_and_then_less() {
        let tries = failing(&mut NameState::default(), None, false, 24 * HOUR);
        assert_eq!(tries, [0, 1, 4, 14, 34, 64, 124, 184, 244, 304, 364, 724, 1_084]);
        // Visitors come all the time, and the limit of an hour applies all the same.
        let awaited = failing(&mut NameState::default(), None, true, 3 * HOUR);
        for (at, first) in awaited.iter().enumerate() {
            let in_an_hour = awaited[at..].iter().filter(|minute| **minute < first + 60).count();
            assert!(in_an_hour <= ORDERS_AN_HOUR, "{awaited:?}");
        }
        assert_eq!(awaited[..5], [0, 1, 2, 3, 4], "visitors make it due each minute");
        let ended = Validity { not_before: days(*NOW, -90), not_after: days(*NOW, -1) };
        let mut state = NameState { renewal: Some(Renewal::unsupported(*NOW)), ..NameState::default() };
        let tries = failing(&mut state, Some(ended), false, 24 * HOUR);
        assert!(tries.len() > 24, "an expired certificate is retried every hour: {tries:?}");
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_or_half_or_when_the_authority_proposes() {
        let day = |validity: Validity, proposed, chance| {
            let at = validity.renewal(proposed, chance).as_millis() - validity.not_before.as_millis();
            at / DAY
        };
        assert_eq!(day(valid(0, 90), None, 0), 60);
        assert_eq!(day(valid(0, 90), None, u16::MAX), 55, "5 % of 90 days earlier, and a part of a day");
        assert_eq!(day(valid(0, 6), None, 0), 3);
        assert_eq!(day(valid(0, 90), Some(days(*NOW, 20)), 7), 20);
        assert_eq!(
            day(valid(0, 90), Some(days(*NOW, 400)), 7),
            85,
            "never later than a twentieth before the end"
        );
        assert_eq!(day(valid(0, 90), Some(days(*NOW, -400)), 7), -400, "now");
    }

    #[test]
    fn a_certificate_warns_at_a_sixth_and_a_twelfth() {
        let rows = [
            (16, Remaining::Enough),
            (15, Remaining::Sixth),
            (8, Remaining::Sixth),
            (7, Remaining::Twelfth),
            (0, Remaining::Nothing),
            (-9, Remaining::Nothing),
        ];
        for (left, want) in rows {
            assert_eq!(valid(90 - left, left).remaining(*NOW), want, "{left} days");
        }
    }

    #[test]
    fn a_wrong_clock_is_corrected_and_a_slow_one_is_not() {
        for (ahead, want) in [
            (None, 0),
            (Some(HOUR), 0),
            (Some(-HOUR), 0),
            (Some(HOUR + 1), HOUR + 1),
            (Some(-400 * DAY), -400 * DAY),
            (Some(i64::MIN), i64::MIN),
        ] {
            assert_eq!(corrected(*NOW, ahead), NOW.plus_millis(want), "{ahead:?}");
        }
    }

    #[test]
    fn no_sleep_is_longer_than_a_jump_of_the_clock_may_go_unseen() {
        let rows = [
            (None, 600_000),
            (Some(*NOW), 100),
            (Some(days(*NOW, -4_000)), 100),
            (Some(NOW.plus_millis(5_000)), 5_000),
            (Some(days(*NOW, 4_000)), 600_000),
        ];
        for (at, want) in rows {
            assert_eq!(sleep(at, *NOW), Duration::from_millis(want), "{at:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_begins_the_time_of_an_undesired_name_again() {
        for (since, want) in
            [(None, *NOW), (Some(days(*NOW, -29)), days(*NOW, -29)), (Some(days(*NOW, 400)), *NOW)]
        {
            assert_eq!(undesired_since(since, *NOW), want, "{since:?}");
        }
    }

    fn state() -> impl Strategy<Value = NameState> {
        let time = || (-500_i64..500).prop_map(|hours| NOW.plus_millis(hours * HOUR));
        let wait = proptest::option::of((time(), 0..8 * DAY));
        let orders = proptest::collection::vec(time(), 0..6);
        let renewal = proptest::option::of((time(), proptest::option::of(time())));
        (0_u32..40, proptest::option::of(time()), wait, orders, renewal, any::<u16>()).prop_map(
            |(failures, tried_at, told_to_wait, mut orders, renewal, chance)| {
                orders.sort();
                orders.truncate(ORDERS_AN_HOUR);
                let renewal =
                    renewal.map(|(asked_at, renew_at)| Renewal { asked_at, ask_after: 6 * HOUR, renew_at });
                NameState {
                    failures,
                    tried_at,
                    orders,
                    told_to_wait,
                    renewal,
                    chance,
                    ..NameState::default()
                }
            },
        )
    }

    proptest! {
        /// Whatever the clock did, a name without a certificate is tried within the longest wait.
        #[test]
        fn no_name_waits_for_ever(state in state(), awaited: bool) {
            let (act, due) = next(&state, None, awaited, *NOW);
            prop_assert_eq!(act, Act::Order);
            prop_assert!(due <= NOW.plus_millis(8 * DAY));
            // Without a wait that the authority ordered, within the last pause.
            let (_, due) = next(&NameState { told_to_wait: None, ..state }, None, awaited, *NOW);
            prop_assert!(due <= NOW.plus_millis(LAST_PAUSE));
        }

        /// A certificate is renewed before its end, or is due.
        #[test]
        fn no_certificate_ends_before_its_renewal(
            before in 0_i64..400, after in -10_i64..400, state in state(),
        ) {
            let state = NameState { told_to_wait: None, failures: 0, tried_at: None, orders: Vec::new(), ..state };
            let validity = valid(before, after.max(1 - before));
            let order = order_at(&state, Some(validity), false, *NOW);
            prop_assert!(order <= validity.not_after);
            let (_, due) = next(&state, Some(validity), false, *NOW);
            prop_assert!(due <= order.max(*NOW));
        }

        /// A wait that the authority ordered is kept, also with visitors.
        #[test]
        fn a_wait_is_kept(state in state(), awaited: bool, minutes in 0_i64..600, told in 1_i64..600) {
            let since = NOW.plus_millis(-minutes * MINUTE);
            let state = NameState { told_to_wait: Some((since, told * MINUTE)), ..state };
            prop_assert!(order_at(&state, None, awaited, *NOW) >= since.plus_millis(told * MINUTE));
        }
    }
}
