//! Which names a [`Renewer`] begins with, as far as there are slots.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{ActOutcome, Try};
use super::{DueAct, EndedAct, NextAct, Renewer};
use crate::certificates::lanes::{CheckLane, LanePermit};
use crate::certificates::schedule::{self, Act};
use crate::certificates::state::millis;
use crate::clock::Timestamp;

/// Tries that lead elsewhere, after which the authority is asked all the same once an hour: behind some routers, a
/// machine cannot reach its own public address.
const LED_ELSEWHERE_MAX: u32 = 3;

impl Renewer {
    /// Begins what is due, as far as there is room. Returns the name that is due next, and when.
    pub(super) fn begin_due(&mut self) -> Option<NextAct> {
        let now = self.now();
        // All names are looked at in each round: the states are small, and rounds are seconds apart or more.
        let (mut due, mut next) = self.find_due(now);
        if self.needs_time(&due, now) {
            // A wrong clock must not renew everything, nor nothing: the authority's time decides.
            due.retain(|due| !due.has_one);
        }
        // So that a thousand names of one tenant cost one look.
        let mut full = HashSet::new();
        for due in due {
            if due.act == Act::Order
                && !due.has_one
                && let Err(at) = self.budget.lock().check(now)
            {
                if next.as_ref().is_none_or(|(_, first)| at < *first) {
                    next = Some((due.name, at));
                }
                continue;
            }
            let place = (due.lane, self.desired.tenant(&due.name));
            if full.contains(&place) {
                continue;
            }
            // Without a slot, the next one that is freed begins the next round.
            match self.lanes.enter(place.0, &place.1) {
                Some(slot) => self.begin(due, slot, now),
                None => drop(full.insert(place)),
            }
        }
        next
    }

    /// Returns what is due, in its order, and what is due next.
    fn find_due(&self, now: Timestamp) -> (Vec<DueAct>, Option<NextAct>) {
        let (mut due, mut next) = (Vec::new(), None::<NextAct>);
        let awaited = self.shared.awaited();
        let busy: HashSet<&str> = self.busy.values().map(String::as_str).collect();
        for (name, state) in &self.states.names {
            if state.is_undesired || busy.contains(name.as_str()) {
                continue;
            }
            let (validity, is_awaited) = (self.validity(name), awaited.contains(name));
            let (act, at) = schedule::next(state, validity, is_awaited, now);
            if at <= now {
                let is_of_setting = self.desired.is_of_setting(name);
                let lane = CheckLane::of(state.failures > 0, is_of_setting, is_awaited);
                due.push(DueAct {
                    name: name.clone(),
                    act,
                    at,
                    has_one: validity.is_some(),
                    is_awaited,
                    lane,
                });
            } else if next.as_ref().is_none_or(|(_, first)| at < *first) {
                next = Some((name.clone(), at));
            }
        }
        // Names with visitors first, then those without a certificate. Names that failed come last.
        due.sort_by_key(|due| (due.lane, !due.is_awaited, due.has_one, due.at));
        (due, next)
    }

    fn begin(&mut self, due: DueAct, slot: LanePermit, now: Timestamp) {
        let DueAct { name, act, has_one, .. } = due;
        let Some(state) = self.states.names.get_mut(&name) else { return };
        let id = self.pairs.get(&name).and_then(|pair| pair.fields.id.clone());
        // A certificate of another authority is unknown to this one.
        let id = id.filter(|_| !state.is_of_other_authority);
        let (busy, acme) = (name.clone(), Arc::clone(&self.acme));
        let begun = match (act, id) {
            (Act::AskRenewal, Some(id)) => self.acts.spawn(async move {
                let _turn = slot.turn().await;
                EndedAct { name, outcome: ActOutcome::Renewal(acme.ask_renewal(&id).await) }
            }),
            (Act::AskRenewal, None) => {
                self.acts.spawn(async move { EndedAct { name, outcome: ActOutcome::Renewal(Ok(None)) } })
            }
            (Act::Order, replaces) => {
                // Also written if the process ends during the try: a server that restarts in a circle keeps the
                // pauses.
                state.tried_at = Some(now);
                let time = (self.clock.clone(), Arc::clone(&self.pool));
                let try_it = Try {
                    name: name.clone(),
                    acme,
                    shared: Arc::clone(&self.shared),
                    settings: self.settings.clone(),
                    replaces,
                    worked: state.method,
                    failed: state.failed_method,
                    goes_on: state.led_elsewhere >= LED_ELSEWHERE_MAX
                        && state.orders.last().is_none_or(|last| {
                            now.as_millis().saturating_sub(last.as_millis()).saturating_abs()
                                >= millis(Duration::from_hours(1))
                        }),
                    slot: Arc::new(slot),
                    tenants: self.desired.networks(&name).cloned(),
                    // Renewals take nothing from the budget.
                    budget: (!has_one).then(|| Arc::clone(&self.budget)),
                    now: Box::new(move || schedule::corrected(time.0.now(), time.1.ahead())),
                };
                self.acts.spawn(async move { EndedAct { name, outcome: try_it.run().await } })
            }
        };
        self.busy.insert(begun.id(), busy);
    }
}
