//! Webhooks: sends each counted click of a link to the link's webhook URLs, signed, off the path of the
//! redirect. Changes that checks of the link's destinations find are sent as well.
//!
//! 1. [`Webhooks::offer`] builds the event and adds it to the queue. It is the only step that a redirect
//!    runs. A full queue drops the oldest event of the tenant with the most events, and counts the drop.
//! 2. One task, the [`worker`], attempts deliveries in the order of the [`scheduler`], which divides the
//!    attempts fairly between companies, workspaces and hosts.
//! 3. Each attempt uses a connection of its own to an address that was checked ([`connect`]), takes at
//!    most five seconds ([`send`]), and is signed with the workspace's secret ([`sign`]).
//!
//! What receivers may rely on: an event is delivered at least once if it was queued during a run or over
//! a clean stop, with the same id in all attempts. There are at most five attempts within an hour, with
//! growing delays. Events come in no order.
//!
//! A crash loses the events that were queued since the start, and delivers the events that the last stop
//! stored a second time. A clean stop stores the events that wait. If the disk is full, the events are
//! lost, and the log contains their number.

mod event;
mod history;
mod outcome;
mod persist;
mod queue;
mod ranking;
mod round_robin;
mod scheduler;
mod send;
mod settings;
mod sign;
mod state;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub use self::event::{ClickEvent, HealthEvent};
pub use self::history::{Attempt, RESULTS_PER_LINK};
pub use self::queue::QUEUE_MAX;
pub use self::settings::Settings;

use self::event::EncodedEvent;
use self::history::History;
use self::queue::{Delivery, DeliveryParts, QueuedDelivery};
use self::settings::LIFETIME;
use self::state::{DeliveryCounts, WebhookState, WorkerState};
use self::worker::Worker;
use crate::clock::Timestamp;
use crate::core::Tenants;
use crate::fair::{FairSemaphore, Shares};
use crate::model::id::Id;
use crate::model::link::Link;
use crate::outbound::connect::{self, Connector};
use crate::settings::BadSetting;

/// Look-ups at once. The system's resolver blocks a thread for up to half a minute, long after the attempt
/// has timed out. The table is read on the same pool, so the pool has this number of threads more than
/// the reads need. One company may use half of them, and each of its workspaces three quarters of that.
/// Past it: a delivery waits, within its own time.
pub const LOOKUPS_MAX: u32 = 32;

/// The handle of the webhooks, cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<WebhookState>);

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("numbers", &self.numbers()).finish_non_exhaustive()
    }
}

/// The numbers that `/metrics` reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Deliveries in the queue.
    pub queued: u64,
    /// Attempts that run.
    pub in_flight: u64,
    /// Deliveries that a receiver accepted.
    pub delivered: u64,
    /// Deliveries that were given up.
    pub failed: u64,
    /// Deliveries that were dropped from a full queue.
    pub dropped: u64,
}

impl Webhooks {
    /// Creates the handle. Nothing is sent before [`Webhooks::start`]. Fails if a setting is wrong.
    pub fn new(tenants: Tenants, settings: &Settings) -> Result<Webhooks, BadSetting> {
        let lookups = FairSemaphore::new(LOOKUPS_MAX);
        Ok(Webhooks(Arc::new(WebhookState {
            tenants,
            delays: settings.delays()?,
            connector: Connector::new(connect::system(), settings.networks()?, lookups),
            // A lock of parking_lot's kind and not tokio's: a click must be able to take it without an await.
            queue: Mutex::default(),
            offered: Notify::new(),
            history: History::default(),
            counts: DeliveryCounts::default(),
            stop: watch::Sender::new(false),
            worker: Mutex::new(WorkerState::Ready),
        })))
    }

    /// Queues the event of a counted click for each webhook URL of the link. Never waits for the disk or
    /// the network, and for no lock that is held longer than an insertion.
    pub fn offer(&self, click: &ClickEvent<'_>) {
        if !click.link.options.webhook_urls.is_empty() {
            self.queue(click.link, click.at, event::of(&self.0.tenants, click));
        }
    }

    /// Queues the event of a link that broke or was repaired, like [`Webhooks::offer`].
    pub fn offer_health(&self, change: &HealthEvent<'_>) {
        if !change.link.options.webhook_urls.is_empty() {
            self.queue(change.link, change.health.checked_at, event::of_health(&self.0.tenants, change));
        }
    }

    fn queue(&self, link: &Link, at: Timestamp, event: Option<EncodedEvent>) {
        let urls = &link.options.webhook_urls;
        let workspace = link.workspace;
        let company = self.0.tenants.workspace_numbered(workspace).map(|workspace| workspace.company.clone());
        // A link whose domain or workspace was deleted a moment ago: its receivers are not known any more.
        let Some((event, company)) = event.zip(company) else {
            self.0.counts.dropped.fetch_add(urls.len() as u64, Ordering::Relaxed);
            return;
        };
        // One instant for all receivers of the event, so that all of its deliveries expire together.
        let now = Instant::now();
        for url in urls {
            let delivery = Delivery::new(DeliveryParts {
                event: event.id,
                link: link.id,
                workspace,
                company: company.clone(),
                url: url.as_str().into(),
                body: event.body.clone(),
                offered_at: at,
                expires: now + LIFETIME,
                batch: None,
            });
            match delivery {
                Some(delivery) => {
                    self.0.push(QueuedDelivery { delivery: Arc::new(delivery), attempts: 0 }, now, now);
                }
                // A stored URL that breaks a rule of a later version.
                None => drop(self.0.counts.dropped.fetch_add(1, Ordering::Relaxed)),
            }
        }
        // Once, after all pushes: the worker starts every delivery that may start at one wake-up.
        self.0.offered.notify_one();
    }

    /// Returns the name and the shares of each resource that the deliveries of all tenants share.
    pub fn shares(&self) -> [(&'static str, Shares); 4] {
        [
            ("webhook queue", scheduler::QUEUE_SHARES),
            ("webhook tries", scheduler::FLIGHT_SHARES),
            ("webhook look-ups", self.0.connector.lookups.shares()),
            ("webhook results", history::SHARES),
        ]
    }

    /// Starts the worker, once. The worker first loads the deliveries that the last stop stored.
    pub fn start(&self) {
        let mut worker = self.0.worker.lock();
        // `Stopped` until the task exists: a second start and a start after a stop do nothing.
        if let WorkerState::Ready = std::mem::replace(&mut *worker, WorkerState::Stopped) {
            let run = Worker::new(Arc::clone(&self.0), self.0.stop.subscribe()).run();
            *worker = WorkerState::Running(tokio::spawn(run));
        }
    }

    /// Stops the worker: lets running attempts finish for a moment, and stores the deliveries that are
    /// left. The store must still be open. A delivery that is offered from now on is dropped and counted.
    pub async fn stop(&self) {
        // Before the handle is taken: a worker that is still loading ends as well.
        self.0.stop.send_replace(true);
        let worker = std::mem::replace(&mut *self.0.worker.lock(), WorkerState::Stopped);
        if let WorkerState::Running(worker) = worker
            // The worker is never aborted, so an error is a panic.
            && worker.await.is_err()
        {
            tracing::error!("the task that delivers webhooks panicked: the queued deliveries are lost");
        }
    }

    /// Returns the last attempts for a link, the newest first.
    pub fn deliveries(&self, link: Id) -> Vec<Attempt> {
        self.0.history.of(link)
    }

    /// Returns the present numbers.
    pub fn numbers(&self) -> Numbers {
        let counts = &self.0.counts;
        let in_flight = counts.in_flight.load(Ordering::Relaxed);
        Numbers {
            queued: self.0.queue.lock().scheduler.len() as u64,
            in_flight: in_flight as u64,
            delivered: counts.delivered.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
        }
    }
}
