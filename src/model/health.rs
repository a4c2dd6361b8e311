//! [`LinkHealth`]: what the checks of a link's destinations have found, and when they are checked again. Pure: the time
//! is an argument.

use std::time::Duration;

use crate::clock::Timestamp;

/// Longest interval between two checks of a broken link, so that a repair is noticed within a day.
const BROKEN_AGAIN: Duration = Duration::from_hours(24);

/// What the check of one destination has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFinding {
    /// The server at the end of all redirects has answered with this status.
    Answered(u16),
    /// The host name has no address.
    Unresolved,
    /// No address of the host accepts a connection.
    Refused,
    /// No answer came in time.
    TimedOut,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    /// The answer is not valid HTTP.
    Malformed,
    /// There are too many redirects.
    RedirectLoop,
    /// A redirect leads to a text that is no URL.
    BadRedirect,
    /// The host leads into a private network, to which no request is sent.
    Private,
    /// There is nothing to check: the link is switched off or has expired, or its destinations are no web pages or are
    /// short links of this server.
    Unchecked,
}

/// What a finding says about the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    /// A visitor gets a page, though it may be one of a login or for people alone.
    Works,
    /// A visitor gets an error.
    Fails,
    /// Nothing: no request was sent.
    Open,
}

impl CheckFinding {
    /// Returns what the finding says. A server that refuses programs (401, 403, 405, 429 and other 4xx) is there.
    pub fn verdict(self) -> CheckVerdict {
        match self {
            CheckFinding::Answered(404 | 410 | 500..)
            | CheckFinding::Unresolved
            | CheckFinding::Refused
            | CheckFinding::TimedOut
            | CheckFinding::Tls
            | CheckFinding::Malformed
            | CheckFinding::RedirectLoop
            | CheckFinding::BadRedirect => CheckVerdict::Fails,
            CheckFinding::Answered(_) => CheckVerdict::Works,
            CheckFinding::Private | CheckFinding::Unchecked => CheckVerdict::Open,
        }
    }

    /// Returns the finding in words, as APIs show it.
    pub fn reason(self) -> &'static str {
        match self {
            CheckFinding::Answered(404 | 410) => "the page does not exist",
            CheckFinding::Answered(500..) => "the server reports an error",
            CheckFinding::Answered(_) => "the server answers",
            CheckFinding::Unresolved => "the host name cannot be resolved",
            CheckFinding::Refused => "the host accepts no connection",
            CheckFinding::TimedOut => "no answer in time",
            CheckFinding::Tls => "the certificate or the TLS handshake is invalid",
            CheckFinding::Malformed => "the answer is not valid HTTP",
            CheckFinding::RedirectLoop => "there are too many redirects",
            CheckFinding::BadRedirect => "a redirect leads to no URL",
            CheckFinding::Private => "the host leads into a private network",
            CheckFinding::Unchecked => "there is nothing to check",
        }
    }

    /// Returns the status of the answer.
    pub fn status(self) -> Option<u16> {
        match self {
            CheckFinding::Answered(status) => Some(status),
            _ => None,
        }
    }
}

/// The state of a link by its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// All destinations work.
    Ok,
    /// A destination failed, and was not checked a second time yet.
    Failing,
    /// A destination failed in two checks in a row.
    Broken,
    /// No destination could be checked.
    Unknown,
}

/// The result of the checks of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHealth {
    #[allow(missing_docs)] // The type has the doc.
    pub state: HealthState,
    /// When the state began. Of a broken link, when the first of its checks in a row failed.
    pub since: Timestamp,
    /// When the last check ended.
    pub checked_at: Timestamp,
    /// The finding that decided: of the destination that failed, or of the first one.
    pub finding: CheckFinding,
    /// The index of this destination in `Options::destinations`.
    pub target: u16,
    /// The server has asked for no request before this instant.
    pub retry_at: Option<Timestamp>,
}

/// The result of one check of all destinations of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // As of `LinkHealth`.
pub struct Checked {
    pub finding: CheckFinding,
    pub target: u16,
    /// The delay that a server has asked for with 429 or 503.
    pub retry_after: Option<Duration>,
}

/// When links are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckSchedule {
    /// The time between two checks of a link.
    pub interval: Duration,
    /// The time between a check that failed and the one that confirms it.
    pub confirm_after: Duration,
}

/// What a check has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The states speak.
pub enum HealthChange {
    Broken,
    Repaired,
}

impl LinkHealth {
    /// Returns the result after a check that ended at `now`.
    ///
    /// One failure makes no link broken, since most servers fail now and then: a second check must fail at least
    /// `confirm_after` later. What a server asked to have checked later (503 with `Retry-After`) keeps the state of before.
    pub fn after(
        before: Option<&LinkHealth>,
        checked: Checked,
        now: Timestamp,
        schedule: CheckSchedule,
    ) -> LinkHealth {
        let Checked { finding, target, retry_after } = checked;
        // A server must not keep a link from being checked for longer than the interval.
        let retry_at = retry_after.map(|after| plus(now, after.min(schedule.interval)));
        let is_put_off = retry_at.is_some() && finding == CheckFinding::Answered(503);
        if let (true, Some(before)) = (is_put_off, before) {
            return LinkHealth { checked_at: now, retry_at, ..*before };
        }
        let state = match finding.verdict() {
            _ if is_put_off => HealthState::Unknown,
            CheckVerdict::Works => HealthState::Ok,
            CheckVerdict::Open => HealthState::Unknown,
            CheckVerdict::Fails => match before {
                Some(LinkHealth { state: HealthState::Broken, .. }) => HealthState::Broken,
                Some(LinkHealth { state: HealthState::Failing, since, .. })
                    if now >= plus(*since, schedule.confirm_after) =>
                {
                    HealthState::Broken
                }
                _ => HealthState::Failing,
            },
        };
        let is_failing = |state| matches!(state, HealthState::Failing | HealthState::Broken);
        // A link is broken since its first failure, which made it `Failing` only.
        let since = before
            .filter(|before| before.state == state || (is_failing(before.state) && is_failing(state)))
            .map_or(now, |before| before.since);
        LinkHealth { state, since, checked_at: now, finding, target, retry_at }
    }

    /// Returns what a check has changed, by the states before and after it. Only links that were broken are repaired.
    pub fn change(before: Option<&LinkHealth>, after: &LinkHealth) -> Option<HealthChange> {
        let was_broken = before.is_some_and(|before| before.state == HealthState::Broken);
        match after.state {
            HealthState::Broken if !was_broken => Some(HealthChange::Broken),
            HealthState::Ok if was_broken => Some(HealthChange::Repaired),
            _ => None,
        }
    }

    /// Returns when the link is checked again.
    pub fn due_at(&self, schedule: CheckSchedule) -> Timestamp {
        let wait = match self.state {
            HealthState::Ok | HealthState::Unknown => schedule.interval,
            HealthState::Failing => schedule.confirm_after,
            HealthState::Broken => schedule.interval.min(BROKEN_AGAIN),
        };
        // Not from `since`: a failing link whose check was put off waits from that check on.
        let due = plus(self.checked_at, wait);
        match (self.state, self.retry_at) {
            // At the time that the server named, which is within the interval.
            (HealthState::Unknown, Some(retry_at)) => retry_at,
            (_, Some(retry_at)) => due.max(retry_at),
            (_, None) => due,
        }
    }
}

fn plus(at: Timestamp, by: Duration) -> Timestamp {
    at.plus_millis(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: CheckSchedule =
        CheckSchedule { interval: Duration::from_hours(168), confirm_after: Duration::from_hours(1) };

    const HOUR: i64 = 3_600_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn found(finding: CheckFinding) -> Checked {
        Checked { finding, target: 0, retry_after: None }
    }

    #[test]
    fn each_finding_has_its_verdict() {
        let rows = [
            (CheckFinding::Answered(200), CheckVerdict::Works),
            (CheckFinding::Answered(204), CheckVerdict::Works),
            (CheckFinding::Answered(206), CheckVerdict::Works),
            // A redirect without a target is a page that a browser shows.
            (CheckFinding::Answered(300), CheckVerdict::Works),
            (CheckFinding::Answered(304), CheckVerdict::Works),
            (CheckFinding::Answered(400), CheckVerdict::Works),
            (CheckFinding::Answered(401), CheckVerdict::Works),
            (CheckFinding::Answered(403), CheckVerdict::Works),
            (CheckFinding::Answered(404), CheckVerdict::Fails),
            (CheckFinding::Answered(405), CheckVerdict::Works),
            (CheckFinding::Answered(410), CheckVerdict::Fails),
            (CheckFinding::Answered(418), CheckVerdict::Works),
            (CheckFinding::Answered(429), CheckVerdict::Works),
            (CheckFinding::Answered(451), CheckVerdict::Works),
            (CheckFinding::Answered(500), CheckVerdict::Fails),
            (CheckFinding::Answered(503), CheckVerdict::Fails),
            (CheckFinding::Answered(999), CheckVerdict::Fails),
            (CheckFinding::Unresolved, CheckVerdict::Fails),
            (CheckFinding::Refused, CheckVerdict::Fails),
            (CheckFinding::TimedOut, CheckVerdict::Fails),
            (CheckFinding::Tls, CheckVerdict::Fails),
            (CheckFinding::Malformed, CheckVerdict::Fails),
            (CheckFinding::RedirectLoop, CheckVerdict::Fails),
            (CheckFinding::BadRedirect, CheckVerdict::Fails),
            (CheckFinding::Private, CheckVerdict::Open),
            (CheckFinding::Unchecked, CheckVerdict::Open),
        ];
        for (finding, want) in rows {
            assert_eq!(finding.verdict(), want, "{finding:?}");
        }
    }

    /// Each row: the findings of checks and their hours, then the state, since when, and the changes.
    #[test]
    fn states_follow_the_checks() {
        use HealthState::{Broken, Failing, Ok, Unknown};
        const GOOD: CheckFinding = CheckFinding::Answered(200);
        const BAD: CheckFinding = CheckFinding::Answered(404);
        type Row<'a> = (&'a [(i64, CheckFinding)], HealthState, i64, &'a [HealthChange]);
        let rows: [Row<'_>; 9] = [
            (&[(0, GOOD)], Ok, 0, &[]),
            (&[(0, GOOD), (5, GOOD)], Ok, 0, &[]),
            (&[(0, GOOD), (5, BAD)], Failing, 5, &[]),
            // One blip is no alarm.
            (&[(0, BAD), (1, GOOD)], Ok, 1, &[]),
            (&[(0, BAD), (1, BAD)], Broken, 0, &[HealthChange::Broken]),
            // Another failure counts as well.
            (&[(0, BAD), (1, CheckFinding::TimedOut), (2, BAD)], Broken, 0, &[HealthChange::Broken]),
            (
                &[(0, BAD), (1, BAD), (2, GOOD), (3, BAD), (4, BAD)],
                Broken,
                3,
                &[HealthChange::Broken, HealthChange::Repaired, HealthChange::Broken],
            ),
            (&[(0, BAD), (1, BAD), (2, CheckFinding::Private)], Unknown, 2, &[HealthChange::Broken]),
            (&[(0, CheckFinding::Unchecked), (1, CheckFinding::Private)], Unknown, 0, &[]),
        ];
        for (checks, state, since, changes) in rows {
            let (mut health, mut seen) = (None, Vec::new());
            for (hour, finding) in checks {
                let next = LinkHealth::after(health.as_ref(), found(*finding), at(hour * HOUR), SCHEDULE);
                seen.extend(LinkHealth::change(health.as_ref(), &next));
                health = Some(next);
            }
            let health = health.expect("a check");
            assert_eq!((health.state, health.since), (state, at(since * HOUR)), "{checks:?}");
            assert_eq!(seen, changes, "{checks:?}");
        }
        // A second failure before the hour is over confirms nothing.
        let first = LinkHealth::after(None, found(BAD), at(0), SCHEDULE);
        let early = LinkHealth::after(Some(&first), found(BAD), at(HOUR - 1), SCHEDULE);
        assert_eq!((early.state, early.since), (Failing, at(0)));
    }

    #[test]
    fn links_are_due_by_their_state() {
        let health = |state, retry_at| LinkHealth {
            state,
            since: at(0),
            checked_at: at(HOUR),
            finding: CheckFinding::Answered(200),
            target: 0,
            retry_at,
        };
        let rows = [
            (HealthState::Ok, None, 169 * HOUR),
            (HealthState::Unknown, None, 169 * HOUR),
            (HealthState::Failing, None, 2 * HOUR),
            (HealthState::Broken, None, 25 * HOUR),
            (HealthState::Failing, Some(at(7 * HOUR)), 7 * HOUR),
            (HealthState::Failing, Some(at(0)), 2 * HOUR),
            (HealthState::Ok, Some(at(7 * HOUR)), 169 * HOUR),
            (HealthState::Unknown, Some(at(7 * HOUR)), 7 * HOUR),
        ];
        for (state, retry_at, due) in rows {
            assert_eq!(health(state, retry_at).due_at(SCHEDULE), at(due), "{state:?} {retry_at:?}");
        }
        // A short interval is the interval of broken links, too.
        let often = CheckSchedule { interval: Duration::from_hours(2), ..SCHEDULE };
        assert_eq!(health(HealthState::Broken, None).due_at(often), at(3 * HOUR));
    }

    #[test]
    fn a_server_may_put_a_check_off_within_the_interval() {
        let put_off = |status, hours| Checked {
            finding: CheckFinding::Answered(status),
            target: 0,
            retry_after: Some(Duration::from_hours(hours)),
        };
        let first = LinkHealth::after(None, put_off(503, 2), at(0), SCHEDULE);
        assert_eq!((first.state, first.due_at(SCHEDULE)), (HealthState::Unknown, at(2 * HOUR)));
        // The state of before stays, and the link is checked later.
        let failing = LinkHealth::after(None, found(CheckFinding::Answered(404)), at(0), SCHEDULE);
        let kept = LinkHealth::after(Some(&failing), put_off(503, 5), at(HOUR), SCHEDULE);
        assert_eq!((kept.state, kept.since, kept.finding), (failing.state, failing.since, failing.finding));
        assert_eq!(kept.due_at(SCHEDULE), at(6 * HOUR));
        // 429 is an answer.
        let busy = LinkHealth::after(Some(&failing), put_off(429, 2), at(HOUR), SCHEDULE);
        assert_eq!(busy.state, HealthState::Ok);
        // Longer than the interval: the interval.
        let long = LinkHealth::after(None, put_off(503, 10_000), at(0), SCHEDULE);
        assert_eq!(long.due_at(SCHEDULE), at(168 * HOUR));
        // Without the header, 503 is a failure.
        let failed = LinkHealth::after(None, found(CheckFinding::Answered(503)), at(0), SCHEDULE);
        assert_eq!(failed.state, HealthState::Failing);
    }
}
