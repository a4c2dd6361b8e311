//! Starts attempts, and applies the results of attempts that ended.
//!
//! An authority is queued at its host as long as it may start an attempt, a host at its workspace, and so
//! on upwards. A node that is popped and may not start leaves its queue. The event that lets it start
//! queues it again: the end of an attempt, the end of a pause, or a new delivery.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Age, AuthorityKey, BREAKER_AFTER, BREAKER_PAUSE, FEW, FLIGHT_SHARES, Health, HostKey, HostQueue,
    PER_HOST, Scheduler, Timer,
};
use crate::model::id::ForeignId;
use crate::model::workspace::WorkspaceNumber;
use crate::webhooks::queue::{Delivery, QueuedDelivery};

impl Scheduler {
    /// Makes a waiting delivery ready to be attempted.
    pub(super) fn make_ready(&mut self, age: Age, authority: &AuthorityKey, now: Instant) {
        if let Some(authority) = self.authorities.get_mut(authority) {
            authority.ready.insert(age);
        }
        // The timer has run, so dropping the delivery must not look for it.
        if let Some(entry) = self.waiting.get_mut(&age) {
            entry.timer = None;
        }
        self.queue_authority(authority, now);
    }

    /// Queues an authority that may start an attempt, and all nodes above it.
    fn queue_authority(&mut self, key: &AuthorityKey, now: Instant) {
        let Some(authority) = self.authorities.get(key).filter(|authority| authority.may_start(now)) else {
            return;
        };
        // Any delivery will do: all of an authority have the same host, workspace and company.
        let Some(age) = authority.ready.first() else { return };
        let Some(delivery) = self.waiting.get(age).map(|entry| Arc::clone(&entry.queued.delivery)) else {
            return;
        };
        let number = delivery.workspace;
        let Some(host) = self.hosts.get_mut(&(number, Arc::clone(&delivery.host))) else { return };
        host.ready_authorities.push(Arc::clone(&key.1));
        let Some(workspace) = self.workspaces.get_mut(&number) else { return };
        workspace.ready_hosts.push(Arc::clone(&delivery.host));
        let Some(company) = self.companies.get_mut(&delivery.company) else { return };
        company.ready_workspaces.push(number);
        self.ready_companies.push(delivery.company.clone());
    }

    /// Returns the next delivery to attempt, which is in flight from now on.
    pub(in crate::webhooks) fn next(&mut self, now: Instant) -> Option<QueuedDelivery> {
        // Timers first, so that a retry that is due competes in this round.
        self.run_timers(now);
        // A company that starts nothing leaves the queue, so the loop ends.
        while self.in_flight < FLIGHT_SHARES.total {
            let Some(company) = self.ready_companies.pop() else { break };
            if let Some(started) = self.start_in_company(&company, now) {
                return Some(started);
            }
        }
        None
    }

    /// Starts an attempt of a company if it may start one. The company stays queued then.
    fn start_in_company(&mut self, id: &ForeignId, now: Instant) -> Option<QueuedDelivery> {
        // The last eighth is for companies that have few attempts, so that hanging receivers of others cannot
        // block them.
        let most = if self.in_flight >= FLIGHT_SHARES.tenants { FEW } else { FLIGHT_SHARES.company };
        loop {
            let company = self.companies.get_mut(id)?;
            if company.in_flight >= most {
                self.blocked_companies.push(id.clone());
                return None;
            }
            let number = company.ready_workspaces.pop()?;
            if let Some(started) = self.start_in_workspace(number, now) {
                if let Some(company) = self.companies.get_mut(id) {
                    company.in_flight += 1;
                    // Behind the company's other workspaces; if it cannot start more, it leaves when it is
                    // popped.
                    company.ready_workspaces.push(number);
                }
                self.in_flight += 1;
                // At the end of the queue: the next start is another company's turn.
                self.ready_companies.push(id.clone());
                return Some(started);
            }
        }
    }

    fn start_in_workspace(&mut self, number: WorkspaceNumber, now: Instant) -> Option<QueuedDelivery> {
        loop {
            let workspace = self.workspaces.get_mut(&number)?;
            if workspace.in_flight >= FLIGHT_SHARES.workspace {
                // `requeue` queues the workspace when one of its attempts ends.
                return None;
            }
            let host = workspace.ready_hosts.pop()?;
            if let Some(started) = self.start_at_host(&(number, Arc::clone(&host)), now) {
                if let Some(workspace) = self.workspaces.get_mut(&number) {
                    workspace.in_flight += 1;
                    workspace.ready_hosts.push(host);
                }
                return Some(started);
            }
        }
    }

    fn start_at_host(&mut self, key: &HostKey, now: Instant) -> Option<QueuedDelivery> {
        loop {
            let host = self.hosts.get_mut(key)?;
            if host.in_flight >= PER_HOST {
                // `requeue` queues the host when one of its attempts ends.
                return None;
            }
            let name = host.ready_authorities.pop()?;
            let Some(authority) = self.authorities.get_mut(&(key.0, Arc::clone(&name))) else { continue };
            if !authority.may_start(now) {
                // Queued again when one of its attempts ends, or its pause.
                continue;
            }
            let Some(age) = authority.ready.pop_first() else { continue };
            authority.in_flight += 1;
            host.in_flight += 1;
            // Queued again only if another of its deliveries may start now.
            if authority.may_start(now) {
                host.ready_authorities.push(name);
            }
            let Some(entry) = self.waiting.remove(&age) else { continue };
            self.rank(age, &entry.queued, false);
            return Some(entry.queued);
        }
    }

    /// Records the end of an attempt. With `retry_at` the delivery waits for its retry; without it the
    /// delivery is finished.
    pub(in crate::webhooks) fn ended(
        &mut self,
        queued: QueuedDelivery,
        health: Health,
        retry_at: Option<Instant>,
        now: Instant,
    ) {
        let delivery = Arc::clone(&queued.delivery);
        let number = delivery.workspace;
        let host_key = (number, Arc::clone(&delivery.host));
        let authority_key = (number, Arc::clone(&delivery.authority));
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(company) = self.companies.get_mut(&delivery.company) {
            company.in_flight = company.in_flight.saturating_sub(1);
        }
        if let Some(workspace) = self.workspaces.get_mut(&number) {
            workspace.in_flight = workspace.in_flight.saturating_sub(1);
        }
        if let Some(host) = self.hosts.get_mut(&host_key) {
            host.in_flight = host.in_flight.saturating_sub(1);
        }
        // Before the release, which removes an authority without deliveries, and before the next start, which
        // reads the failures.
        self.update_health(&authority_key, health, now);
        match retry_at {
            Some(at) => {
                self.sequence += 1;
                // The same time as before, so that a retry is dropped before newer events.
                let age = Age(delivery.offered_at.as_millis(), self.sequence);
                self.wait(age, queued, at, now);
            }
            None => self.release(&queued),
        }
        self.queue_authority(&authority_key, now);
        // This attempt was counted in the bound of each level above, so another may start now.
        self.requeue(&delivery);
        while let Some(company) = self.blocked_companies.pop() {
            self.ready_companies.push(company);
        }
    }

    /// Updates the failures of an authority after an attempt, and pauses it after too many.
    fn update_health(&mut self, key: &AuthorityKey, health: Health, now: Instant) {
        let Some(authority) = self.authorities.get_mut(key) else { return };
        authority.in_flight = authority.in_flight.saturating_sub(1);
        match health {
            Health::Healthy => (authority.failures, authority.paused_until) = (0, None),
            Health::Unhealthy => {
                // Not reset by the pause: a single failure after it pauses again.
                authority.failures = authority.failures.saturating_add(1);
                if authority.failures >= BREAKER_AFTER {
                    let until = now + BREAKER_PAUSE;
                    authority.paused_until = Some(until);
                    self.sequence += 1;
                    self.timers.insert((until, self.sequence), Timer::Resume(key.clone()));
                }
            }
            // Neither a failure nor a success: the receiver was not reached, or the fault is of this URL.
            Health::Unknown => {}
        }
    }

    /// Queues the host, the workspace and the company of a delivery again if their own queues are not
    /// empty.
    fn requeue(&mut self, delivery: &Delivery) {
        let number = delivery.workspace;
        let has_ready = |host: &HostQueue| !host.ready_authorities.is_empty();
        let host = (number, Arc::clone(&delivery.host));
        if let Some(workspace) = self.workspaces.get_mut(&number) {
            if self.hosts.get(&host).is_some_and(has_ready) {
                workspace.ready_hosts.push(host.1);
            }
            // Nothing may start here, so its company gets no turn for it.
            if workspace.ready_hosts.is_empty() {
                return;
            }
        }
        if let Some(company) = self.companies.get_mut(&delivery.company) {
            company.ready_workspaces.push(number);
            self.ready_companies.push(delivery.company.clone());
        }
    }

    /// Makes ready all deliveries and authorities whose timers are due.
    fn run_timers(&mut self, now: Instant) {
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                Timer::Retry(age) => {
                    let authority = self.waiting.get(&age).map(|entry| {
                        let delivery = &entry.queued.delivery;
                        (delivery.workspace, Arc::clone(&delivery.authority))
                    });
                    if let Some(authority) = authority {
                        self.make_ready(age, &authority, now);
                    }
                }
                Timer::Resume(authority) => self.queue_authority(&authority, now),
            }
        }
    }
}
