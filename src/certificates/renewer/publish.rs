//! What a [`Renewer`] shows of its work: files, log lines, certificates for handshakes, and the state of each name.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{NextAct, Renewer};
use crate::certificates::schedule::{self, Remaining};
use crate::certificates::state::States;
use crate::certificates::status::{NameFacts, clock_sentence, sentence};
use crate::certificates::store::CertificateStore;

/// What could not be written, and why.
struct Unwritten {
    pairs: BTreeMap<String, (String, io::Error)>,
    states: Option<io::Error>,
}

/// Writes certificates and states. Blocks.
fn write_all(store: &CertificateStore, pairs: BTreeMap<String, String>, states: &States) -> Unwritten {
    // Certificates before the state: after a crash between them, the state is late, and the certificate is used all the
    // same.
    let write = |(name, pem): (String, String)| match store.write_pair(&name, &pem) {
        Ok(()) => None,
        Err(error) => Some((name, (pem, error))),
    };
    let pairs = pairs.into_iter().filter_map(write).collect();
    Unwritten { pairs, states: store.write_states(states).err() }
}

impl Renewer {
    /// Writes what is new. A full disk delays this and nothing else.
    pub(super) async fn write(&mut self) {
        if self.unwritten.is_empty() && !self.is_state_unwritten {
            return;
        }
        self.states.budget = Some(*self.budget.lock());
        let (store, states) = (self.store.clone(), self.states.clone());
        // Taken out, since a thread writes them. What fails comes back below.
        let unwritten = std::mem::take(&mut self.unwritten);
        let written = tokio::task::spawn_blocking(move || write_all(&store, unwritten, &states));
        let Ok(Unwritten { pairs, states }) = written.await else { return };
        self.is_state_unwritten = states.is_some();
        // A customer's name must not degrade `/healthz`, whatever is wrong with its file. A disk that is full fails the
        // state as well.
        let is_own = |name: &String| self.desired.is_of_setting(name);
        let of_setting = pairs.iter().find(|(name, _)| is_own(name)).map(|(_, (_, error))| error.to_string());
        let failure = states.map(|error| error.to_string()).or(of_setting);
        // Logged once, not at each try.
        let was_unwritten = self.shared.set_unwritten(failure.is_some());
        if let Some(error) = failure.filter(|_| !was_unwritten) {
            tracing::error!(
                %error,
                "certificates cannot be written to the data folder: they are served from memory, and written later"
            );
        }
        for (name, (_, error)) in pairs.iter().filter(|(name, _)| !is_own(name)) {
            // Once: each round tries again.
            if !was_unwritten && self.reported.insert(name.clone()) {
                tracing::warn!(%error, "the certificate for {name} cannot be written: it is served from memory");
            }
        }
        self.reported.retain(|name| pairs.contains_key(name));
        self.unwritten = pairs.into_iter().map(|(name, (pem, _))| (name, pem)).collect();
    }

    pub(super) fn log_failure(&mut self, name: &str) {
        let now = self.now();
        let validity = self.validity(name);
        let Some(state) = self.states.names.get(name) else { return };
        let Some(why) = state.failure.clone() else { return };
        let remaining = validity.map(|validity| validity.remaining(now));
        let next = schedule::order_at(state, validity, false, now);
        let text = sentence(name, validity, &why, next, now);
        // Without the time of the next try, which differs each time.
        let fact = (why, remaining);
        if self.logged.get(name) == Some(&fact) {
            return;
        }
        // With enough time left, the next tries probably succeed.
        if remaining == Some(Remaining::Enough) {
            tracing::info!("{text}");
        } else {
            tracing::warn!("{text}");
        }
        self.logged.insert(name.to_owned(), fact);
    }

    pub(super) fn log_clock(&mut self) {
        // After an act without an answer: whose clock is wrong is unknown, such as after a suspension.
        if self.pool.has_jumped() {
            return;
        }
        let ahead = self.pool.ahead().unwrap_or(0);
        let text = clock_sentence(ahead);
        self.shared.set_clock(text.clone());
        if let Some(text) = text.as_ref().filter(|text| self.logged_clock.as_ref() != Some(text)) {
            tracing::warn!("{text}");
        }
        self.logged_clock = text;
    }

    pub(super) fn publish_certificates(&self) {
        let by_name = self.pairs.iter().map(|(name, pair)| (name.as_str().into(), Arc::clone(&pair.key)));
        self.shared.publish(by_name.collect());
    }

    pub(super) fn publish_status(&self, next: Option<&NextAct>) {
        let now = self.now();
        // What is undesired has a certificate at most, and no next try.
        let known = self.states.names.iter().filter(|(_, state)| !state.is_undesired);
        let known = known.map(|(name, state)| {
            let validity = self.validity(name);
            let at = schedule::order_at(state, validity, false, now);
            // A name that waits for the budget is due later than its own state says.
            let at = next.filter(|(first, _)| first == name).map_or(at, |(_, budget)| at.max(*budget));
            let is_of_setting = self.desired.is_of_setting(name);
            // A private authority is known to those who configured it.
            let is_asked = is_of_setting && self.settings.authority_roots.is_none();
            let known = NameFacts {
                validity,
                failure: state.failure.clone(),
                next_try: at,
                is_of_setting,
                is_untrusted: is_asked && self.pairs.get(name).is_some_and(|pair| !pair.is_trusted()),
            };
            (name.clone(), known)
        });
        self.shared.set_known(known.collect());
    }
}
