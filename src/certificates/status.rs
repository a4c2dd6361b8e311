//! What the log, the API, `/healthz` and `waypost doctor` show of a name's certificate.

use super::pair::CertificatePair;
use super::schedule::{CLOCK_ERROR_MAX, Remaining, Validity};
use crate::clock::Timestamp;
use crate::model::certificate::{CertificateState, NameStatus};

/// What the renewer knows of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameFacts {
    pub(super) validity: Option<Validity>,
    pub(super) failure: Option<String>,
    pub(super) next_try: Timestamp,
    /// Whether the name is in `domain`.
    pub(super) is_of_setting: bool,
    /// Whether browsers do not trust the certificate of a name in `domain`.
    pub(super) is_untrusted: bool,
}

/// The state of a certificate without its name, for metrics and `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The state.
    pub state: CertificateState,
    /// The last moment at which it is valid.
    pub expires_at: Option<Timestamp>,
    /// Whether a twelfth of its time is left at most.
    pub ends_soon: bool,
    /// Whether it is known that browsers do not trust it. Asked of the operator's alone.
    pub is_untrusted: bool,
    /// Whether its files have changed and cannot be used. Of the owner's files alone.
    pub has_bad_files: bool,
    /// Whose it is.
    pub owner: CertificateOwner,
}

/// Who cares for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateOwner {
    /// The operator, who has named files in `https.certificates`.
    Files,
    /// This server, for a name in `domain`.
    Setting,
    /// This server, for a domain that the APIs registered.
    Registered,
}

/// Returns the state of a certificate.
pub(super) fn state_of(validity: Validity, now: Timestamp) -> CertificateState {
    match validity.remaining(now) {
        Remaining::Nothing => CertificateState::Expired,
        Remaining::Enough => CertificateState::Valid,
        Remaining::Sixth | Remaining::Twelfth => CertificateState::Expiring,
    }
}

/// Returns the state of a certificate of the owner.
pub(super) fn of_own(pair: &CertificatePair, now: Timestamp) -> CertificateSummary {
    let validity = pair.fields.validity();
    CertificateSummary {
        is_untrusted: !pair.is_trusted(),
        state: state_of(validity, now),
        expires_at: Some(validity.not_after),
        ends_soon: validity.remaining(now) == Remaining::Twelfth,
        has_bad_files: false,
        owner: CertificateOwner::Files,
    }
}

impl NameFacts {
    /// Returns the state at this time.
    pub(super) fn summary(&self, name: &str, now: Timestamp) -> CertificateSummary {
        let remaining = self.validity.map(|validity| validity.remaining(now));
        let is_of_setting = self.is_of_setting;
        CertificateSummary {
            is_untrusted: self.is_untrusted,
            state: self.status(name, now).state,
            expires_at: self.validity.map(|validity| validity.not_after),
            ends_soon: remaining == Some(Remaining::Twelfth),
            has_bad_files: false,
            owner: if is_of_setting { CertificateOwner::Setting } else { CertificateOwner::Registered },
        }
    }

    /// Returns the status at this time.
    pub(super) fn status(&self, name: &str, now: Timestamp) -> NameStatus {
        let state = match self.validity {
            None if self.failure.is_some() => CertificateState::Failing,
            None => CertificateState::Pending,
            // A failure of a renewal is no state of its own: the certificate is as good as before.
            Some(validity) => state_of(validity, now),
        };
        // A try that is due and has not begun yet is not in the past.
        let next_try = self.next_try.max(now);
        NameStatus {
            state,
            expires_at: self.validity.map(|validity| validity.not_after),
            failure: self.failure.as_ref().map(|why| sentence(name, self.validity, why, next_try, now)),
            next_try: self.failure.is_some().then_some(next_try),
        }
    }
}

/// Returns the sentence about a failure.
pub(super) fn sentence(
    name: &str,
    validity: Option<Validity>,
    why: &str,
    next_try: Timestamp,
    now: Timestamp,
) -> String {
    let next = moment(next_try, now);
    match validity {
        None => format!("no certificate for {name} yet: {why}; next try {next}"),
        Some(validity) => {
            let verb = if validity.remaining(now) == Remaining::Nothing { "ended" } else { "ends" };
            let end = day(validity.not_after);
            format!("the certificate for {name} {verb} on {end} and is not renewed: {why}; next try {next}")
        }
    }
}

/// Returns the time of the day, with the day if it is not today.
fn moment(at: Timestamp, now: Timestamp) -> String {
    let (text, today) = (at.to_string(), now.to_string());
    let time = text.get(11..16).unwrap_or_default();
    if text.get(..10) == today.get(..10) { format!("{time} UTC") } else { format!("{} {time} UTC", day(at)) }
}

/// Returns the day of a time.
pub(super) fn day(at: Timestamp) -> String {
    at.to_string().get(..10).unwrap_or_default().to_owned()
}

/// Returns the sentence about a wrong clock. `ahead` is by how many milliseconds the authority's clock is ahead.
pub fn clock_sentence(ahead: i64) -> Option<String> {
    if ahead.saturating_abs() <= CLOCK_ERROR_MAX {
        return None;
    }
    // To the nearest hour: the header `Date` has no fractions of a second.
    let hours = (ahead.unsigned_abs() + 30 * 60 * 1_000) / (60 * 60 * 1_000);
    let amount = if hours < 72 { format!("{hours} h") } else { format!("{} days", hours / 24) };
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    Some(format!(
        "this machine's clock is {amount} {side} the authority's: visitors' browsers may refuse certificates; set NTP"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1_000;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn each_sentence_is_as_documented() {
        let now = at("2026-11-29T05:00:00Z");
        let why = "the authority does not answer (connection refused)";
        let next = at("2026-11-29T05:24:00Z");
        assert_eq!(
            sentence("go.example.com", None, why, next, now),
            "no certificate for go.example.com yet: the authority does not answer (connection refused); next try \
             05:24 UTC"
        );
        let next = at("2026-11-30T05:24:00Z");
        // Tomorrow's time has its day.
        for (end, verb) in [("2026-12-01T00:00:00Z", "ends"), ("2026-11-01T00:00:00Z", "ended")] {
            let validity = Validity { not_before: at("2026-09-01T00:00:00Z"), not_after: at(end) };
            assert_eq!(
                sentence("go.example.com", Some(validity), why, next, now),
                format!(
                    "the certificate for go.example.com {verb} on {} and is not renewed: the authority does not answer \
                     (connection refused); next try 2026-11-30 05:24 UTC",
                    &end[..10]
                )
            );
        }
        let rows = [
            (0, None),
            // An hour is what a wrong time zone costs, and is no error of browsers yet.
            (HOUR, None),
            (3 * HOUR, Some("3 h behind")),
            (-3 * HOUR, Some("3 h ahead of")),
            (400 * 24 * HOUR, Some("400 days behind")),
        ];
        for (ahead, want) in rows {
            let want = want.map(|amount| {
                format!(
                    "this machine's clock is {amount} the authority's: visitors' browsers may refuse certificates; set \
                     NTP"
                )
            });
            assert_eq!(clock_sentence(ahead), want, "{ahead}");
        }
    }

    #[test]
    fn the_state_follows_the_certificate() {
        let now = at("2026-11-29T05:00:00Z");
        let known = |days: Option<i64>, failure: Option<&str>| NameFacts {
            validity: days.map(|days| Validity {
                not_before: now.plus_millis((days - 90) * 24 * HOUR),
                not_after: now.plus_millis(days * 24 * HOUR),
            }),
            failure: failure.map(str::to_owned),
            next_try: now,
            is_of_setting: true,
            is_untrusted: false,
        };
        let rows = [
            (known(None, None), CertificateState::Pending, false),
            (known(None, Some("no")), CertificateState::Failing, true),
            (known(Some(30), Some("no")), CertificateState::Valid, true),
            (known(Some(14), None), CertificateState::Expiring, false),
            (known(Some(0), None), CertificateState::Expired, false),
        ];
        for (known, state, is_retried) in rows {
            let status = known.status("a.test", now);
            assert_eq!((status.state, status.next_try.is_some()), (state, is_retried), "{known:?}");
            assert_eq!(status.failure.is_some(), is_retried, "{known:?}");
        }
    }
}
