//! Which try starts next, and what follows from one that ended.
//!
//! A lane stands in its host's line while it may start a try, a host in its workspace's line, and so
//! on upwards. What is popped and may not start leaves its line, and is lined up again by the event
//! that lets it start: a try that ends, a pause that is over, a delivery that is added.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Age, BREAKER_AFTER, BREAKER_PAUSE, FEW, FLIGHT_SHARES, Health, Host, HostKey, LaneKey, PER_HOST,
    Scheduler, What,
};
use crate::model::id::ForeignId;
use crate::model::workspace::WorkspaceNumber;
use crate::webhooks::queue::{Delivery, Waiting};

impl Scheduler {
    /// Makes a delivery that waits ready to be tried.
    pub(super) fn ready(&mut self, age: Age, lane: &LaneKey, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.ready.insert(age);
        }
        if let Some(entry) = self.waiting.get_mut(&age) {
            entry.due = None;
        }
        self.give_turn(lane, now);
    }

    /// Puts a lane that may start, and all above it that may, in line for a turn.
    fn give_turn(&mut self, lane: &LaneKey, now: Instant) {
        let Some(one) = self.lanes.get(lane).filter(|lane| lane.may_start(now)) else { return };
        let Some(age) = one.ready.first() else { return };
        let Some(delivery) = self.waiting.get(age).map(|entry| Arc::clone(&entry.waiting.delivery)) else {
            return;
        };
        let number = delivery.workspace;
        let Some(host) = self.hosts.get_mut(&(number, Arc::clone(&delivery.host))) else { return };
        host.turns.push(Arc::clone(&lane.1));
        let Some(workspace) = self.workspaces.get_mut(&number) else { return };
        workspace.turns.push(Arc::clone(&delivery.host));
        let Some(company) = self.companies.get_mut(&delivery.company) else { return };
        company.turns.push(number);
        self.turns.push(delivery.company.clone());
    }

    /// Returns the next delivery to try, which is under way from now on.
    pub(in crate::webhooks) fn next(&mut self, now: Instant) -> Option<Waiting> {
        self.wake(now);
        // Each turn that starts nothing leaves its line, so this ends.
        while self.under_way < FLIGHT_SHARES.total {
            let Some(company) = self.turns.pop() else { break };
            if let Some(started) = self.start_in(&company, now) {
                return Some(started);
            }
        }
        None
    }

    /// Starts a try of a company whose turn it is, if it may start one. It stays in line then.
    fn start_in(&mut self, id: &ForeignId, now: Instant) -> Option<Waiting> {
        let most = if self.under_way >= FLIGHT_SHARES.tenants { FEW } else { FLIGHT_SHARES.company };
        loop {
            let company = self.companies.get_mut(id)?;
            if company.under_way >= most {
                self.parked.push(id.clone());
                return None;
            }
            let number = company.turns.pop()?;
            if let Some(started) = self.start_of(number, now) {
                if let Some(company) = self.companies.get_mut(id) {
                    company.under_way += 1;
                    company.turns.push(number);
                }
                self.under_way += 1;
                self.turns.push(id.clone());
                return Some(started);
            }
        }
    }

    fn start_of(&mut self, number: WorkspaceNumber, now: Instant) -> Option<Waiting> {
        loop {
            let workspace = self.workspaces.get_mut(&number)?;
            if workspace.under_way >= FLIGHT_SHARES.workspace {
                // In line again when one of its tries ends.
                return None;
            }
            let host = workspace.turns.pop()?;
            if let Some(started) = self.start_at(&(number, Arc::clone(&host)), now) {
                if let Some(workspace) = self.workspaces.get_mut(&number) {
                    workspace.under_way += 1;
                    workspace.turns.push(host);
                }
                return Some(started);
            }
        }
    }

    fn start_at(&mut self, key: &HostKey, now: Instant) -> Option<Waiting> {
        loop {
            let host = self.hosts.get_mut(key)?;
            if host.under_way >= PER_HOST {
                // As above.
                return None;
            }
            let name = host.turns.pop()?;
            let Some(lane) = self.lanes.get_mut(&(key.0, Arc::clone(&name))) else { continue };
            if !lane.may_start(now) {
                // In line again when one of its tries ends, or its pause.
                continue;
            }
            let Some(age) = lane.ready.pop_first() else { continue };
            lane.under_way += 1;
            host.under_way += 1;
            if lane.may_start(now) {
                host.turns.push(name);
            }
            let Some(entry) = self.waiting.remove(&age) else { continue };
            self.rank(age, &entry.waiting, false);
            return Some(entry.waiting);
        }
    }

    /// Takes note that a try ended. With `retry_at` the delivery waits on, without it is over.
    pub(in crate::webhooks) fn ended(
        &mut self,
        waiting: Waiting,
        health: Health,
        retry_at: Option<Instant>,
        now: Instant,
    ) {
        let delivery = Arc::clone(&waiting.delivery);
        let number = delivery.workspace;
        let (host, lane) = ((number, Arc::clone(&delivery.host)), (number, Arc::clone(&delivery.lane)));
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(company) = self.companies.get_mut(&delivery.company) {
            company.under_way = company.under_way.saturating_sub(1);
        }
        if let Some(workspace) = self.workspaces.get_mut(&number) {
            workspace.under_way = workspace.under_way.saturating_sub(1);
        }
        if let Some(host) = self.hosts.get_mut(&host) {
            host.under_way = host.under_way.saturating_sub(1);
        }
        self.judge(&lane, health, now);
        match retry_at {
            Some(at) => {
                self.sequence += 1;
                let age = Age(delivery.offered_at.as_millis(), self.sequence);
                self.wait(age, waiting, at, now);
            }
            None => self.leave(&waiting),
        }
        self.give_turn(&lane, now);
        // What waited behind a bound that this try was counted in may start now.
        self.line_up(&delivery);
        while let Some(company) = self.parked.pop() {
            self.turns.push(company);
        }
    }

    /// Draws the consequences of a try for its lane.
    fn judge(&mut self, key: &LaneKey, health: Health, now: Instant) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.under_way = lane.under_way.saturating_sub(1);
        match health {
            Health::Well => (lane.failures, lane.paused_until) = (0, None),
            Health::Unwell => {
                lane.failures = lane.failures.saturating_add(1);
                if lane.failures >= BREAKER_AFTER {
                    let until = now + BREAKER_PAUSE;
                    lane.paused_until = Some(until);
                    self.sequence += 1;
                    self.later.insert((until, self.sequence), What::Wake(key.clone()));
                }
            }
            Health::Unknown => {}
        }
    }

    /// Puts a delivery's host, workspace and company in line again where something stands in theirs.
    fn line_up(&mut self, delivery: &Delivery) {
        let number = delivery.workspace;
        let is_waited_at = |host: &Host| !host.turns.is_empty();
        let host = (number, Arc::clone(&delivery.host));
        if let Some(workspace) = self.workspaces.get_mut(&number) {
            if self.hosts.get(&host).is_some_and(is_waited_at) {
                workspace.turns.push(host.1);
            }
            if workspace.turns.is_empty() {
                return;
            }
        }
        if let Some(company) = self.companies.get_mut(&delivery.company) {
            company.turns.push(number);
            self.turns.push(delivery.company.clone());
        }
    }

    /// Makes ready what is due.
    fn wake(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                What::Retry(age) => {
                    let lane = self.waiting.get(&age).map(|entry| {
                        let delivery = &entry.waiting.delivery;
                        (delivery.workspace, Arc::clone(&delivery.lane))
                    });
                    if let Some(lane) = lane {
                        self.ready(age, &lane, now);
                    }
                }
                What::Wake(lane) => self.give_turn(&lane, now),
            }
        }
    }
}
