//! Deliveries that survive a restart: a stop stores them, the start queues them again, and a finished
//! delivery is removed from the store. After a crash, the deliveries of the last stop are delivered a second
//! time: at least once is promised, not at most once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::{DELIVERY_BYTES, QueuedDelivery};
use super::worker::{Worker, millis, millis_between};
use crate::model::id::Id;
use crate::table::record::{WaitingDeliveries, WaitingDelivery};

/// Time for running attempts at a stop. It is short since the whole stop must take only seconds. An attempt
/// that is cut off is repeated after the start.
const GRACE: Duration = Duration::from_secs(1);

/// Interval at which the start checks whether the store is loaded.
const LOADED_POLL: Duration = Duration::from_millis(5);

/// Bytes of deliveries in one Change: a quarter of its bound, since a record is larger than its parts.
const BATCH_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 4;

impl Worker {
    /// Queues the deliveries that the last stop stored. Each stays in the store until it is finished, so that
    /// a crash loses none.
    pub(super) async fn restore(&mut self) {
        // The worker may start before the table is loaded.
        while !self.state.tenants.is_loaded() {
            tokio::time::sleep(LOADED_POLL).await;
        }
        let batches = match self.state.tenants.waiting_deliveries().await {
            Ok(batches) => batches,
            Err(error) => {
                tracing::error!(%error, "the webhooks that the last stop stored cannot be read; the next start retries");
                return;
            }
        };
        // Due times are stored by the wall clock, since an instant has no meaning in another process.
        let (now, wall) = (Instant::now(), self.state.tenants.clock().now());
        // A longer wait comes from a clock that was ahead at the stop.
        let longest = self.state.delays.iter().max().copied().unwrap_or_default();
        let mut restored = 0;
        for (batch, WaitingDeliveries(all)) in batches {
            // One more than the batch has, so that it is not removed before all its deliveries are read.
            self.batches.insert(batch, all.len() + 1);
            for from in all {
                let due = now + millis_between(wall, from.due).min(longest);
                if let Some(queued) = self.load_delivery(from, batch) {
                    self.state.push(queued, due, now);
                    restored += 1;
                } else {
                    self.state.counts.dropped.fetch_add(1, Ordering::Relaxed);
                    self.leave_batch(Some(batch)).await;
                }
            }
            self.remove_dropped().await;
            // The one that was counted in addition.
            self.leave_batch(Some(batch)).await;
        }
        if restored > 0 {
            tracing::info!(restored, "the webhooks that the last stop stored are queued again");
        }
    }

    /// Waits for the running attempts and stores the deliveries that are left.
    pub(super) async fn finish(mut self) {
        // First: a delivery that is offered after `take_all` would be neither sent nor stored.
        self.state.queue.lock().is_closed = true;
        let deadline = Instant::now() + GRACE;
        while let Ok(Some(finished)) =
            tokio::time::timeout_at(deadline, self.running.join_next_with_id()).await
        {
            self.finish_attempt(finished).await;
        }
        // Aborts the attempts that are left. Their deliveries are stored below.
        self.running.shutdown().await;
        let now = Instant::now();
        self.remove_dropped().await;
        // The waiting ones first, and then those whose attempts were aborted: together all that are left.
        let mut left = self.state.queue.lock().scheduler.take_all(now);
        left.extend(self.in_flight.drain().map(|(_, queued)| (queued, now)));
        self.state.counts.in_flight.store(0, Ordering::Relaxed);
        let (batches, number) = (self.batches_of(&left, now), left.len());
        if let Err(error) = self.state.tenants.keep_waiting(&batches).await {
            // The batches of an earlier stop stay, and may be delivered a second time, as documented.
            tracing::error!(%error, number, "the queued webhooks cannot be stored and are lost");
            return;
        }
        // After the new batches are stored: a crash between the two steps delivers twice, not never.
        let old: Vec<Id> = self.batches.into_keys().collect();
        if let Err(error) = self.state.tenants.forget_waiting(&old).await {
            tracing::warn!(%error, "webhooks of an earlier stop stay in the store and may be delivered a second time");
        }
        if number > 0 {
            tracing::info!(number, "the queued webhooks are stored for the next start");
        }
    }

    /// Groups deliveries into batches of at most [`BATCH_BYTES`].
    fn batches_of(&self, left: &[(QueuedDelivery, Instant)], now: Instant) -> Vec<WaitingDeliveries> {
        let wall = self.state.tenants.clock().now();
        let mut batches = Vec::new();
        // The first delivery starts a batch.
        let mut bytes = BATCH_BYTES;
        for (queued, due) in left {
            let delivery = &queued.delivery;
            // As the queue counts them.
            let size = DELIVERY_BYTES + delivery.url.len() + delivery.body.len();
            if bytes + size > BATCH_BYTES {
                batches.push(WaitingDeliveries::default());
                bytes = 0;
            }
            bytes += size;
            let stored = WaitingDelivery {
                event: delivery.event,
                link: delivery.link,
                workspace: delivery.workspace,
                url: (*delivery.url).into(),
                body: delivery.body.clone(),
                offered_at: delivery.offered_at,
                // An aborted attempt is not counted: whether it arrived is unknown, and it is repeated.
                tries: queued.attempts,
                due: wall.plus_millis(millis(due.saturating_duration_since(now))),
            };
            if let Some(WaitingDeliveries(batch)) = batches.last_mut() {
                batch.push(stored);
            }
        }
        batches
    }
}
