//! What a [`Renewer`] shows of its work: files, log lines, certificates for handshakes, and the state of each name.

use std::io;
use std::sync::Arc;

use super::{NextAct, Renewer};
use crate::certificates::schedule::{self, Remaining};
use crate::certificates::status::{NameFacts, clock_sentence, sentence};

impl Renewer {
    /// Writes what is new. A full disk delays this and nothing else.
    pub(super) async fn write(&mut self) {
        let names: Vec<String> = self.unwritten.keys().cloned().collect();
        if names.is_empty() && !self.is_state_unwritten {
            return;
        }
        let (store, states) = (self.store.clone(), self.states.clone());
        // Taken out, since a thread writes them. What fails comes back below.
        let mut unwritten = std::mem::take(&mut self.unwritten);
        let written = tokio::task::spawn_blocking(move || {
            let mut failure: Option<io::Error> = None;
            // Certificates before the state: after a crash between them, the state is late, and the certificate is
            // used all the same.
            unwritten.retain(|name, pem| match store.write_pair(name, pem) {
                Ok(()) => false,
                Err(error) => {
                    failure = Some(error);
                    true
                }
            });
            let is_state_unwritten = match store.write_states(&states) {
                Ok(()) => false,
                Err(error) => {
                    failure = Some(error);
                    true
                }
            };
            (unwritten, is_state_unwritten, failure)
        });
        let Ok((unwritten, is_state_unwritten, failure)) = written.await else { return };
        self.unwritten = unwritten;
        self.is_state_unwritten = is_state_unwritten;
        // Logged once, not at each try.
        let was_unwritten = self.shared.set_unwritten(failure.is_some());
        if let Some(error) = failure.filter(|_| !was_unwritten) {
            tracing::error!(
                %error,
                "certificates cannot be written to the data folder: they are served from memory, and written later"
            );
        }
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
