//! [`Walk`]: the one task that finds links that are due, and starts their checks. Checks run as tasks of their own.
//!
//! 1. A round reads one page of each workspace, by the keys of its links. The next round continues behind the page.
//! 2. A link whose host has had a request a moment ago is passed over until the next pass. So no queue is needed, and
//!    memory does not depend on the number of links.
//! 3. A round follows at once while links are left that could not be checked, and after a while otherwise.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::probe::Prober;
use crate::core::{Error, LinkToCheck, Links};
use crate::fair::FairSemaphore;
use crate::model::health::{CheckFinding, CheckSchedule, CheckVerdict, Checked, HealthChange};
use crate::model::id::Id;
use crate::model::tenant::Tenant;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::webhooks::{HealthEvent, Webhooks};

/// The pause between two rounds while there is work: the pace of one host.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two rounds without work, and so about how long a new link waits for its first check.
const IDLE_PAUSE: Duration = Duration::from_secs(30);

/// Pauses are at most this part of `confirm_after`, so that a short setting works.
const PAUSES_PER_CONFIRMATION: u32 = 4;

/// What the walk and the checks share.
pub(super) struct CheckState {
    pub(super) links: Links,
    pub(super) webhooks: Webhooks,
    pub(super) prober: Prober,
    pub(super) schedule: CheckSchedule,
    pub(super) slots: FairSemaphore,
    /// The links that are being checked: as many as there are slots at most.
    pub(super) in_flight: Mutex<HashSet<Id>>,
}

pub(super) struct Walk {
    state: Arc<CheckState>,
    running: JoinSet<()>,
    /// Where the next page of a workspace begins. Workspaces without checks have none.
    cursors: BTreeMap<WorkspaceNumber, Id>,
}

/// How the start of a check ended.
enum Started {
    /// It runs, or there was nothing to check.
    Yes,
    /// The host has had a request a moment ago.
    HostIsBusy,
    /// The tenant has no slot left.
    NoSlot,
}

impl Walk {
    pub(super) fn new(state: Arc<CheckState>) -> Walk {
        Walk { state, running: JoinSet::new(), cursors: BTreeMap::new() }
    }

    /// Checks links until the stop signal. Checks under way are then cut off: without a result they are repeated.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let least = self.state.schedule.confirm_after / PAUSES_PER_CONFIRMATION;
        let stopping = async move {
            // An error means that the handle was dropped: also a reason to stop.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let walking = async {
            loop {
                let has_more = self.round().await;
                sleep(if has_more { BUSY_PAUSE } else { IDLE_PAUSE }.min(least)).await;
                while let Some(ended) = self.running.try_join_next() {
                    if ended.is_err() {
                        tracing::error!("the check of a link panicked");
                    }
                }
            }
        };
        tokio::select! {
            () = stopping => {}
            () = walking => {}
        }
        // Aborted: requests to slow servers must not delay the stop, and nothing depends on their results.
        self.running.shutdown().await;
    }

    /// Reads a page of each workspace. Returns whether links are left for the next round.
    async fn round(&mut self) -> bool {
        let workspaces = self.state.links.checked_workspaces();
        let mut has_more = false;
        // Switched off since: its next pass begins at its first link.
        self.cursors.retain(|number, _| workspaces.iter().any(|workspace| workspace.number == *number));
        for workspace in workspaces {
            match self.page(&workspace).await {
                Ok(more) => has_more |= more,
                // The table is being rebuilt, or closed.
                Err(error) => tracing::debug!(%error, "links could not be checked"),
            }
        }
        has_more
    }

    async fn page(&mut self, workspace: &Workspace) -> Result<bool, Error> {
        let (state, number) = (Arc::clone(&self.state), workspace.number);
        // Without a cursor the next pass begins at the first link.
        let after = self.cursors.remove(&number);
        let page = state.links.links_to_check(number, after, state.schedule).await?;
        let mut has_more = page.next.is_some();
        let mut last = after;
        for id in page.links {
            match self.start(workspace, id).await? {
                Started::Yes => {}
                Started::HostIsBusy => has_more = true,
                Started::NoSlot => {
                    // The next round begins with this link.
                    self.cursors.extend(last.map(|last| (number, last)));
                    return Ok(true);
                }
            }
            last = Some(id);
        }
        self.cursors.extend(page.next.map(|next| (number, next)));
        Ok(has_more)
    }

    async fn start(&mut self, workspace: &Workspace, id: Id) -> Result<Started, Error> {
        // A check that takes longer than a pass is still due.
        if self.state.in_flight.lock().contains(&id) {
            return Ok(Started::Yes);
        }
        // Read only now, and not with the page: fifty links may have megabytes.
        let Some(link) = self.state.links.link_to_check(workspace.number, id).await? else {
            return Ok(Started::Yes);
        };
        // Before a slot is taken: a host with a thousand links must not keep slots from other hosts.
        let first = link.targets.first().and_then(|(_, target)| target.to_url());
        if first.is_some_and(|url| !self.state.prober.is_free(&url)) {
            return Ok(Started::HostIsBusy);
        }
        let tenant = Tenant::Workspace { company: workspace.company.clone(), number: workspace.number };
        // Never waits: a tenant whose slots are in use must not delay the pages of others.
        let Some(slot) = self.state.slots.try_acquire(&tenant, 1) else { return Ok(Started::NoSlot) };
        // Before the task exists, so that the next page finds the link.
        let under_way = UnderWay::begin(&self.state, id);
        let state = Arc::clone(&self.state);
        self.running.spawn(async move {
            state.check(&link, &tenant).await;
            // Behind the result: the link is not due any more.
            drop((slot, under_way));
        });
        Ok(Started::Yes)
    }
}

/// A link that is being checked, until it is dropped.
struct UnderWay {
    state: Arc<CheckState>,
    link: Id,
}

impl UnderWay {
    fn begin(state: &Arc<CheckState>, link: Id) -> UnderWay {
        state.in_flight.lock().insert(link);
        UnderWay { state: Arc::clone(state), link }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.state.in_flight.lock().remove(&self.link);
    }
}

impl CheckState {
    /// Checks a link, stores the result, and queues the event of a change.
    async fn check(&self, link: &LinkToCheck, tenant: &Tenant) {
        let Some(checked) = self.check_targets(link, tenant).await else { return };
        self.prober.counts.checked(checked.finding);
        let Some((health, change)) = self.links.note_check(link, checked, self.schedule).await else {
            return;
        };
        // Only a change is news: a broken link that is still broken was reported.
        let Some(change) = change else { return };
        let url = self.links.destination_at(&link.link, health.target);
        tracing::info!(link = %link.link.id, reason = health.finding.reason(), "{}", match change {
            HealthChange::Broken => "a destination of a link does not work",
            HealthChange::Repaired => "all destinations of a link work again",
        });
        self.webhooks.offer_health(&HealthEvent { link: &link.link, change, health, url: url.as_deref() });
    }

    /// Checks destinations until one fails. Returns `None` if the checks were switched off, or if a host had too much to
    /// do.
    async fn check_targets(&self, link: &LinkToCheck, tenant: &Tenant) -> Option<Checked> {
        let mut decided = Checked { finding: CheckFinding::Unchecked, target: 0, retry_after: None };
        for (target, destination) in &link.targets {
            // A link with many destinations takes minutes.
            if !self.links.directory().has_checks(link.link.workspace) {
                return None;
            }
            // Never: only URLs are targets.
            let Some(url) = destination.to_url() else { continue };
            let probed = self.prober.probe(&url, tenant).await?;
            let checked =
                Checked { finding: probed.finding, target: *target, retry_after: probed.retry_after };
            match checked.finding.verdict() {
                // The first failure decides, and what a server puts off as well.
                CheckVerdict::Fails => return Some(checked),
                // The first that works is shown, not one of a private network.
                CheckVerdict::Works if decided.finding.verdict() != CheckVerdict::Works => decided = checked,
                CheckVerdict::Open if decided.finding == CheckFinding::Unchecked => decided = checked,
                CheckVerdict::Works | CheckVerdict::Open => {}
            }
        }
        Some(decided)
    }
}
