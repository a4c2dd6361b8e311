//! What waits over a restart: written to the log by a stop, queued again by the start, and removed
//! from the log once it is over or written anew. A crash finds what the last stop wrote and
//! delivers it again, rather than never.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::{DELIVERY_BYTES, Waiting};
use super::worker::{Worker, millis, millis_between};
use crate::model::id::Id;
use crate::table::record::{WaitingDeliveries, WaitingDelivery};

/// How long a stop waits for tries under way. Short: the whole stop must take seconds, and what
/// is cut off is delivered again after the start.
const GRACE: Duration = Duration::from_secs(1);

/// How often the start looks whether the store has been read.
const LOADED_POLL: Duration = Duration::from_millis(5);

/// Bytes of deliveries in one Change: a quarter of what one may hold.
const BATCH_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 4;

impl Worker {
    /// Queues what the last stop wrote down. It stays in the store until it is over, so that a
    /// crash delivers it again rather than never.
    pub(super) async fn restore(&mut self) {
        while !self.shared.tenants.is_loaded() {
            tokio::time::sleep(LOADED_POLL).await;
        }
        let batches = match self.shared.tenants.waiting_deliveries().await {
            Ok(batches) => batches,
            Err(error) => {
                tracing::error!(%error, "webhooks that waited at the last stop cannot be read; the next start tries again");
                return;
            }
        };
        let (now, wall) = (Instant::now(), self.shared.tenants.clock().now());
        // What is due later than that was written under a clock that was ahead, and would wait for it.
        let longest = self.shared.delays.iter().max().copied().unwrap_or_default();
        let mut restored = 0;
        for (batch, WaitingDeliveries(all)) in batches {
            // One more than there are, so that it is not over before all were looked at.
            self.batches.insert(batch, all.len() + 1);
            for from in all {
                let due = now + millis_between(wall, from.due).min(longest);
                if let Some(waiting) = self.waiting(from, batch) {
                    self.shared.push(waiting, due, now);
                    restored += 1;
                } else {
                    self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
                    self.is_over(Some(batch)).await;
                }
            }
            self.forget_dropped().await;
            self.is_over(Some(batch)).await;
        }
        if restored > 0 {
            tracing::info!(restored, "webhooks that waited at the last stop are queued again");
        }
    }

    /// Lets tries under way end, and writes down what is left.
    pub(super) async fn finish(mut self) {
        self.shared.queue.lock().is_closed = true;
        let deadline = Instant::now() + GRACE;
        while let Ok(Some(landed)) = tokio::time::timeout_at(deadline, self.flights.join_next_with_id()).await
        {
            self.finish_attempt(landed).await;
        }
        self.flights.shutdown().await;
        let now = Instant::now();
        self.forget_dropped().await;
        let mut left = self.shared.queue.lock().scheduler.take_all(now);
        left.extend(self.under_way.drain().map(|(_, waiting)| (waiting, now)));
        self.shared.counts.in_flight.store(0, Ordering::Relaxed);
        let (batches, number) = (self.batches_of(&left, now), left.len());
        if let Err(error) = self.shared.tenants.keep_waiting(&batches).await {
            // What was there before stays: it is delivered again, which receivers are told to expect.
            tracing::error!(%error, number, "webhooks that wait cannot be written down and are lost");
            return;
        }
        let old: Vec<Id> = self.batches.into_keys().collect();
        if let Err(error) = self.shared.tenants.forget_waiting(&old).await {
            tracing::warn!(%error, "webhooks written down before stay in the store and may be delivered again");
        }
        if number > 0 {
            tracing::info!(number, "webhooks that wait are written down for the next start");
        }
    }

    fn batches_of(&self, left: &[(Waiting, Instant)], now: Instant) -> Vec<WaitingDeliveries> {
        let wall = self.shared.tenants.clock().now();
        let mut batches = Vec::new();
        let mut bytes = BATCH_BYTES;
        for (waiting, due) in left {
            let delivery = &waiting.delivery;
            let size = DELIVERY_BYTES + delivery.url.len() + delivery.body.len();
            if bytes + size > BATCH_BYTES {
                batches.push(WaitingDeliveries::default());
                bytes = 0;
            }
            bytes += size;
            let kept = WaitingDelivery {
                event: delivery.event,
                link: delivery.link,
                workspace: delivery.workspace,
                url: (*delivery.url).into(),
                body: delivery.body.clone(),
                offered_at: delivery.offered_at,
                tries: waiting.tries,
                due: wall.plus_millis(millis(due.saturating_duration_since(now))),
            };
            if let Some(WaitingDeliveries(batch)) = batches.last_mut() {
                batch.push(kept);
            }
        }
        batches
    }
}
