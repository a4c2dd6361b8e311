//! The state that the handle of webhooks and its worker share: the queue, the history and the counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::history::History;
use super::queue::QueuedDelivery;
use super::scheduler::Scheduler;
use crate::core::Tenants;
use crate::model::id::Id;
use crate::outbound::connect::Connector;

pub(super) struct WebhookState {
    pub(super) tenants: Tenants,
    pub(super) delays: Vec<Duration>,
    pub(super) connector: Connector,
    /// Held for single steps of the scheduler, never across an await: clicks take this lock.
    pub(super) queue: Mutex<DeliveryQueue>,
    /// Wakes the worker after a delivery was added to the queue.
    pub(super) offered: Notify,
    pub(super) history: History,
    pub(super) counts: DeliveryCounts,
    pub(super) stop: watch::Sender<bool>,
    pub(super) worker: Mutex<WorkerState>,
}

/// The deliveries that wait.
#[derive(Default)]
pub(super) struct DeliveryQueue {
    pub(super) scheduler: Scheduler,
    /// The stored batch of each dropped delivery that came from the store. The worker removes the
    /// delivery from its batch: a click must not wait for the store.
    pub(super) dropped_batches: Vec<Id>,
    /// Set by a stop: every delivery that is offered from then on is dropped.
    pub(super) is_closed: bool,
}

/// The life of the worker task.
pub(super) enum WorkerState {
    Ready,
    Running(JoinHandle<()>),
    Stopped,
}

#[derive(Debug, Default)]
pub(super) struct DeliveryCounts {
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) in_flight: AtomicUsize,
}

impl WebhookState {
    /// Adds a delivery to the queue, to be attempted at `due`. Counts the deliveries that are dropped to
    /// make room.
    pub(super) fn push(&self, queued: QueuedDelivery, due: Instant, now: Instant) {
        let mut queue = self.queue.lock();
        let dropped = if queue.is_closed { vec![queued] } else { queue.scheduler.push(queued, due, now) };
        queue.dropped_batches.extend(dropped.iter().filter_map(|dropped| dropped.delivery.batch));
        // Released before the counting, since clicks wait for this lock.
        drop(queue);
        // Relaxed: a number for `/metrics`, which orders nothing.
        self.counts.dropped.fetch_add(dropped.len() as u64, Ordering::Relaxed);
    }
}
