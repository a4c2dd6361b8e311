//! [`NameState`]: what is known of a name beside its certificate. Kept across restarts, so that a server that restarts
//! in a circle asks for no more than one that runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::order_budget::OrderBudget;
use crate::clock::Timestamp;

/// Most orders of one name in an hour, whatever makes it due: what Let's Encrypt allows to fail.
pub(super) const ORDERS_AN_HOUR: usize = 5;

/// The time between two questions about the renewal of a certificate, if the authority names none.
pub(super) const ASK_EVERY: Duration = Duration::from_hours(6);

/// The time until an authority without renewal information is asked for it again.
const UNSUPPORTED_AFTER: Duration = Duration::from_hours(24);

/// The state of all names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct States {
    /// The orders that may still be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) budget: Option<OrderBudget>,
    pub(super) names: BTreeMap<String, NameState>,
}

/// How a name proves that it leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Method {
    /// By a certificate in a handshake on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    Tls,
    /// By a file on port 80 (RFC 8555 8.3).
    #[serde(rename = "http-01")]
    Http,
}

impl Method {
    /// Returns the other one.
    pub(super) fn other(self) -> Method {
        match self {
            Method::Tls => Method::Http,
            Method::Http => Method::Tls,
        }
    }
}

/// The state of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct NameState {
    /// Tries that have failed since the last certificate.
    pub(super) failures: u32,
    /// When the last try began or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tried_at: Option<Timestamp>,
    /// When the last orders were made, the oldest first; [`ORDERS_AN_HOUR`] at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) orders: Vec<Timestamp>,
    /// A wait that the authority asked for: when it began, and its milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) told_to_wait: Option<(Timestamp, i64)>,
    /// Why the last try failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    /// Tries since the last certificate in which the name did not lead here.
    pub(super) led_elsewhere: u32,
    /// What the authority said of the renewal of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) renewal: Option<Renewal>,
    /// The method that worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<Method>,
    /// The method that the last failed order used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed_method: Option<Method>,
    /// The directory of the authority that issued the certificate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) authority: String,
    /// Spreads renewals.
    pub(super) chance: u16,
    /// Since when the name is no longer desired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) undesired_since: Option<Timestamp>,
    /// Whether the name is no longer desired. Known anew after each start.
    #[serde(skip)]
    pub(super) is_undesired: bool,
    /// Whether another authority than the configured one issued the certificate.
    #[serde(skip)]
    pub(super) is_of_other_authority: bool,
}

/// What the authority said of the renewal of a certificate (RFC 9773).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Renewal {
    pub(super) asked_at: Timestamp,
    /// Milliseconds until it is asked again.
    pub(super) ask_after: i64,
    /// A moment of the window that it proposed. `None`: it proposes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) renew_at: Option<Timestamp>,
}

impl Renewal {
    /// Returns the state after an answer without a window.
    pub(super) fn unsupported(now: Timestamp) -> Renewal {
        Renewal { asked_at: now, ask_after: millis(UNSUPPORTED_AFTER), renew_at: None }
    }
}

/// Returns a span in milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl NameState {
    /// Returns the moment of renewal that the authority proposed.
    pub(super) fn proposed(&self) -> Option<Timestamp> {
        self.renewal.as_ref().and_then(|renewal| renewal.renew_at)
    }

    /// Notes that an order is made.
    pub(super) fn order_began(&mut self, now: Timestamp) {
        self.orders.push(now);
        // Of a clock that was set back, the later times count first.
        let surplus = self.orders.len().saturating_sub(ORDERS_AN_HOUR);
        self.orders.drain(..surplus);
    }

    /// Notes that a try failed.
    pub(super) fn failed(&mut self, now: Timestamp, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.tried_at = Some(now);
        self.failure = Some(why);
    }

    /// Notes a new certificate.
    pub(super) fn issued(&mut self, authority: &str, method: Option<Method>, chance: u16) {
        *self = NameState {
            // Kept: a certificate that is issued counts for the limits as a failed order does.
            orders: std::mem::take(&mut self.orders),
            method: method.or(self.method),
            authority: authority.to_owned(),
            chance,
            undesired_since: self.undesired_since,
            is_undesired: self.is_undesired,
            ..NameState::default()
        };
    }

    /// Notes that the authority has no renewal information.
    pub(super) fn renewal_unsupported(&mut self, now: Timestamp) {
        self.renewal = Some(Renewal::unsupported(now));
    }

    /// Notes when the authority proposes to renew, with a later time after an answer that is none.
    pub(super) fn asked(&mut self, now: Timestamp, answer: Option<(Option<Timestamp>, Duration)>) {
        let before = self.proposed();
        // Without an answer the last proposal stays: the authority is asked again later.
        self.renewal = Some(match answer {
            Some((renew_at, after)) => Renewal { asked_at: now, ask_after: millis(after), renew_at },
            None => Renewal { asked_at: now, ask_after: millis(ASK_EVERY), renew_at: before },
        });
    }
}
