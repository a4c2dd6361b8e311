//! [`Renewer`]: the task that orders, renews and removes certificates. It decides by [`schedule`], and each act is a
//! task of its own, a few at once.

mod attempt;
mod begin;
mod publish;
mod time;
mod time_question;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{self, JoinSet};

use self::attempt::ActOutcome;
use self::time_question::TimeQuestion;
use super::acme::Acme;
use super::authority_client::AuthorityPool;
use super::desired::Desired;
use super::lanes::{CheckLane, Lanes};
use super::order_budget::{OrderBudget, SharedBudget};
use super::pair::CertificatePair;
use super::schedule::{self, Act, KEPT_UNDESIRED, Remaining, Validity};
use super::settings::{CertificateFiles, Settings};
use super::shared::Shared;
use super::state::{Method, NameState, States, millis};
use super::status::day;
use super::store::{CertificateStore, StoredFiles};
use crate::clock::{Clock, Timestamp};

/// The names with their certificates, and what is done for them.
pub(super) struct Renewer {
    shared: Arc<Shared>,
    desired: Desired,
    settings: Settings,
    clock: Clock,
    pool: Arc<AuthorityPool>,
    acme: Arc<Acme>,
    store: CertificateStore,
    states: States,
    pairs: BTreeMap<String, CertificatePair>,
    lanes: Lanes,
    budget: SharedBudget,
    acts: JoinSet<EndedAct>,
    /// The names of the acts.
    busy: HashMap<task::Id, String>,
    /// The certificates that the disk had no space for.
    unwritten: BTreeMap<String, String>,
    /// Those whose failure was logged.
    reported: BTreeSet<String>,
    is_state_unwritten: bool,
    time_question: TimeQuestion,
    /// Whether a certificate would be removed if the time were known.
    is_removal_due: bool,
    /// What was logged last of each name.
    logged: HashMap<String, (String, Option<Remaining>)>,
    logged_clock: Option<String>,
}

/// The name that is due next, and when.
type NextAct = (String, Timestamp);

/// An act that is due.
struct DueAct {
    name: String,
    act: Act,
    at: Timestamp,
    /// Whether the name has a certificate.
    has_one: bool,
    /// Whether a visitor waits for it.
    is_awaited: bool,
    lane: CheckLane,
}

/// An act that has ended.
struct EndedAct {
    /// Empty for a question about the time.
    name: String,
    outcome: ActOutcome,
}

impl Renewer {
    /// Creates the task over what was stored.
    pub(super) fn new(
        shared: Arc<Shared>,
        desired: Desired,
        settings: Settings,
        clock: Clock,
        pool: Arc<AuthorityPool>,
        store: CertificateStore,
        stored: StoredFiles,
    ) -> Renewer {
        let acme = Acme::new(
            settings.clone(),
            Arc::clone(&pool),
            Arc::clone(&shared.challenges),
            store.clone(),
            stored.account,
        );
        let mut states = stored.states;
        for (name, state) in &mut states.names {
            // Without a state, such as after its file was damaged, the certificate counts as the authority's own: all
            // names would be ordered at once otherwise.
            state.is_of_other_authority = !state.authority.is_empty()
                && state.authority != settings.authority
                && stored.pairs.iter().any(|(stored, _)| stored == name);
        }
        // Full at any time: one that was filled long ago.
        let budget = states.budget.unwrap_or_else(|| OrderBudget::full(Timestamp::from_millis(0)));
        Renewer {
            lanes: Lanes::new(),
            budget: Arc::new(Mutex::new(budget)),
            shared,
            desired,
            settings,
            clock,
            pool,
            acme: Arc::new(acme),
            store,
            states,
            pairs: stored.pairs.into_iter().collect(),
            acts: JoinSet::new(),
            busy: HashMap::new(),
            unwritten: BTreeMap::new(),
            reported: BTreeSet::new(),
            is_state_unwritten: false,
            time_question: TimeQuestion::default(),
            is_removal_due: false,
            logged: HashMap::new(),
            logged_clock: None,
        }
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        self.publish_certificates();
        loop {
            self.update_names().await;
            let next = self.begin_due();
            // Before the files are written, which may take long on a slow disk.
            self.publish_status(next.as_ref());
            self.write().await;
            let sleep = schedule::sleep(next.map(|(_, at)| at), self.now());
            // All branches may be dropped at any time: none of them has done work that would be lost.
            tokio::select! {
                Some(done) = self.acts.join_next() => match done {
                    Ok(done) => self.end(done),
                    Err(error) => self.panicked(error.id()),
                },
                () = self.shared.requested.notified() => {}
                () = self.lanes.freed() => {}
                () = self.desired.changed() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        schedule::corrected(self.clock.now(), self.pool.ahead())
    }

    fn validity(&self, name: &str) -> Option<Validity> {
        self.pairs.get(name).map(|pair| pair.fields.validity())
    }

    /// Follows the names that are desired, and removes what is undesired for long.
    async fn update_names(&mut self) {
        let Some(mut names) = self.desired.all() else { return };
        // Those with a certificate of the owner need no other.
        names.retain(|name| !self.shared.resolver.has_own(name));
        let now = self.now();
        for name in &names {
            let state = self.states.names.entry(name.clone()).or_insert_with(|| {
                self.is_state_unwritten = true;
                NameState { chance: chance(), ..NameState::default() }
            });
            self.is_state_unwritten |= state.undesired_since.take().is_some();
        }
        for (name, state) in &mut self.states.names {
            state.is_undesired = !names.contains(name);
        }
        self.remove_undesired(now).await;
    }

    /// Removes the certificates that were undesired for long.
    async fn remove_undesired(&mut self, now: Timestamp) {
        // Before the first answer of the authority, a wrong clock would begin or end the time too early.
        let is_time_known = self.pool.ahead().is_some();
        self.is_removal_due = false;
        let mut removed = Vec::new();
        for (name, state) in self.states.names.iter_mut().filter(|(_, state)| state.is_undesired) {
            let since = schedule::undesired_since(state.undesired_since, now);
            let is_over = now.as_millis().saturating_sub(since.as_millis()) > KEPT_UNDESIRED;
            let is_new = state.undesired_since != Some(since);
            if !is_time_known {
                self.is_removal_due |= is_over || is_new;
                continue;
            }
            // Written at once: a restart must not begin the time again.
            self.is_state_unwritten |= is_new;
            state.undesired_since = Some(since);
            if is_over {
                removed.push(name.clone());
            }
        }
        for name in removed {
            self.remove(&name).await;
        }
    }

    async fn remove(&mut self, name: &str) {
        let (store, file) = (self.store.clone(), name.to_owned());
        let removed = tokio::task::spawn_blocking(move || store.remove_pair(&file)).await;
        if let Ok(Err(error)) = removed {
            // It stays in memory as well, and the next round tries again.
            tracing::warn!(%error, "a certificate that is no longer desired cannot be removed");
            return;
        }
        self.states.names.remove(name);
        self.unwritten.remove(name);
        if self.pairs.remove(name).is_some() {
            self.publish_certificates();
            tracing::info!("the certificate for {name} was removed: the name is no longer a domain");
        }
    }

    /// Notes an act that panicked, which was printed.
    fn panicked(&mut self, act: task::Id) {
        let Some(name) = self.busy.remove(&act) else { return self.time_question.end() };
        self.unusable(&name, "an error of Waypost, which the log of this server has".to_owned());
    }

    fn end(&mut self, done: EndedAct) {
        self.busy.retain(|_, name| *name != done.name);
        let now = self.now();
        // After each answer of the authority, which has its time.
        self.log_clock();
        if matches!(done.outcome, ActOutcome::Time) {
            return self.time_question.end();
        }
        let has_one = self.pairs.contains_key(&done.name);
        // The name may have been removed while the authority was asked.
        let Some(state) = self.states.names.get_mut(&done.name) else { return };
        self.is_state_unwritten = true;
        match done.outcome {
            // The next round waits for the budget.
            ActOutcome::Time | ActOutcome::Unbudgeted => {}
            ActOutcome::Issued { pem, method } => {
                state.order_began(now);
                self.issued(&done.name, pem, method);
            }
            ActOutcome::Elsewhere(why) => {
                state.led_elsewhere = state.led_elsewhere.saturating_add(1);
                state.failed(now, why);
                self.log_failure(&done.name);
            }
            ActOutcome::Failed { error, method } => {
                if error.was_answered {
                    state.order_began(now);
                } else if !has_one {
                    // Renewals take nothing from the budget.
                    self.budget.lock().put_back();
                }
                if error.is_of_method {
                    state.failed_method = Some(method);
                }
                state.told_to_wait = error.wait.map(|wait| (now, millis(wait)));
                state.failed(now, error.reason);
                self.log_failure(&done.name);
            }
            ActOutcome::Renewal(Ok(Some((start, end, after)))) => {
                // A moment of the window and not its start: all certificates of an hour would come back at once.
                let at = schedule::moment_in(start, end, state.chance);
                // A window that is asked for again too often or never.
                let after = after.clamp(Duration::from_mins(10), Duration::from_hours(24));
                state.asked(now, Some((Some(at), after)));
            }
            ActOutcome::Renewal(Ok(None)) => state.renewal_unsupported(now),
            ActOutcome::Renewal(Err(error)) => {
                tracing::debug!(reason = error.reason, "the authority was not asked about a renewal");
                state.asked(now, None);
            }
        }
    }

    fn issued(&mut self, name: &str, pem: String, method: Method) {
        // Checked as files of the owner are: what is served must be of this name, whatever the authority sends.
        let files = CertificateFiles { chain: name.into(), key: name.into() };
        let pair = match CertificatePair::parse(pem.as_bytes(), pem.as_bytes(), &files) {
            Ok(pair) if pair.fields.names.iter().any(|own| own == name) => pair,
            Ok(_) => {
                return self.unusable(name, "the authority issued a certificate for another name".to_owned());
            }
            Err(error) => {
                return self.unusable(name, format!("the authority issued an unusable certificate: {error}"));
            }
        };
        if let Some(state) = self.states.names.get_mut(name) {
            state.issued(&self.settings.authority, Some(method), chance());
        }
        tracing::info!("the certificate for {name} is in use; it ends on {}", day(pair.fields.not_after));
        // The next failure is a new one.
        self.logged.remove(name);
        self.pairs.insert(name.to_owned(), pair);
        self.unwritten.insert(name.to_owned(), pem);
        self.publish_certificates();
    }

    fn unusable(&mut self, name: &str, why: String) {
        let now = self.now();
        if let Some(state) = self.states.names.get_mut(name) {
            state.failed(now, why);
        }
        self.log_failure(name);
    }
}

/// Returns a random number. Zero without random bytes: it spreads renewals and protects nothing.
fn chance() -> u16 {
    let mut bytes = [0; 2];
    let _ = getrandom::fill(&mut bytes);
    u16::from_le_bytes(bytes)
}
