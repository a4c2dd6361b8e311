//! Places for requests at work, and what is bounded by them: the bodies that are being read, and what is
//! made of them. What outlives the work, the answers, have their own room ([`super::long`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::api::dialect::{BodyKind, Failure, Trouble};
use crate::http::api::long::{self, Long};
use crate::http::shares::{Share, Shares};
use crate::model::key::Reach;

/// Most API requests at work at once: far more than any disk answers in time, and at 64 KB each as
/// much memory as the rest of the server. Past it: 503, try again; redirects are not among them.
const REQUESTS_MAX: usize = 1_024;

/// Most requests with large bodies at work at once: 8 MB each, and several times that when parsed.
/// One company or workspace has half of them at most: whoever begins many and finishes none leaves
/// the others. The rest wait for their turn before their body is read, as long as a body may take; then
/// 503.
const BULKS_MAX: u32 = 4;

/// All places.
#[derive(Debug)]
pub(super) struct Work {
    places: Arc<Semaphore>,
    bulks: Shares,
    patience: Duration,
}

/// What a request has while it is at work.
#[derive(Debug)]
pub(super) struct Place {
    /// Among all, and among those with large bodies.
    pub(super) at_work: (OwnedSemaphorePermit, Option<Share>),
    /// For its answer, which outlives the rest.
    pub(super) room: Option<Share>,
}

impl Work {
    /// Whoever waits for a place does so for this time at most.
    pub(super) fn new(patience: Duration) -> Work {
        Work { places: Arc::new(Semaphore::new(REQUESTS_MAX)), bulks: Shares::new(BULKS_MAX), patience }
    }

    /// A place for a request with such a body, and room for its answer if that may be long.
    pub(super) async fn place(&self, body: BodyKind, reach: &Reach, long: &Long) -> Result<Place, Failure> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Trouble::Busy)?;
        match body {
            // Boxed, so that all others do not hold the room for its waiting.
            BodyKind::Bulk => Box::pin(self.bulk_place(place, reach, long)).await,
            BodyKind::None | BodyKind::Plain => Ok(Place { at_work: (place, None), room: None }),
        }
    }

    async fn bulk_place(
        &self,
        place: OwnedSemaphorePermit,
        reach: &Reach,
        long: &Long,
    ) -> Result<Place, Failure> {
        let bulk = self.bulks.take(reach, 1, self.patience).await.ok_or(Trouble::Busy)?;
        let room = long.room(reach, long::BULK_MAX).await?;
        Ok(Place { at_work: (place, Some(bulk)), room: Some(room) })
    }
}
