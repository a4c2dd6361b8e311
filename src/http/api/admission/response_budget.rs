//! [`ResponseBudget`]: the memory of responses while they are produced and sent. A response stays in memory
//! until its client has read it, which may be slow.
//!
//! A request acquires room for the largest response of its command ([`super::largest`]) before it reads
//! anything, and releases what the real response does not need. Short responses, which are most, keep no
//! room. The response to a write is never rejected after the write: a write acquires what it may need before
//! it begins, and a response that is longer nevertheless is sent without room.

use std::time::Duration;

use hyper::Version;

use crate::fair::{FairPermit, FairSemaphore};
use crate::http::api::dialect::{ApiError, ServerError};
use crate::http::api::response::Payload;
use crate::http::api::streamed_list;
use crate::http::body::HttpResponse;
use crate::model::tenant::Tenant;

/// Most bytes of responses at once: as much as the default cache. A workspace has a share of 24 MB, a company
/// of 32 MB. Past its share a request waits for as long as a body may take. Past that: 503.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Unit of the budget. A long response takes at least one unit, so that there are at most 1,024 of them.
const UNIT: usize = 64 * 1024;

/// The response to a command, and the room that was acquired for it.
#[derive(Debug)]
pub(in crate::http::api) struct Done {
    pub(in crate::http::api) payload: Payload,
    /// `None` if no long response was expected.
    pub(in crate::http::api) room: Option<FairPermit>,
}

/// The room for responses.
#[derive(Debug)]
pub(in crate::http::api) struct ResponseBudget {
    units: FairSemaphore,
    patience: Duration,
}

impl ResponseBudget {
    /// Creates the pool. A request waits for room for `patience`.
    pub(in crate::http::api) fn new(patience: Duration) -> ResponseBudget {
        ResponseBudget { units: FairSemaphore::new(units(BYTES_MAX)), patience }
    }

    /// Returns the most bytes that a tenant may ever hold.
    pub(in crate::http::api) fn most(&self, tenant: &Tenant) -> usize {
        self.units.shares().most(tenant) as usize * UNIT
    }

    /// Acquires room for a response of at most this number of bytes, before it is produced.
    pub(in crate::http::api) async fn acquire(
        &self,
        tenant: &Tenant,
        bytes: usize,
    ) -> Result<FairPermit, ApiError> {
        self.units.acquire(tenant, units(bytes), self.patience).await.ok_or(ServerError::Busy.into())
    }

    /// Acquires room for a response that was produced, if it is free.
    pub(in crate::http::api) fn try_acquire(&self, tenant: &Tenant, bytes: usize) -> Option<FairPermit> {
        self.units.try_acquire(tenant, units(bytes))
    }

    /// Renders a response for this version of HTTP. The response holds its room until it is sent. If there is
    /// no room, a response that `may_fail` is replaced by 503.
    pub(in crate::http::api) async fn respond(
        &self,
        version: Version,
        done: Result<Done, ApiError>,
        tenant: &Tenant,
        may_fail: bool,
        render: impl Fn(Result<Payload, ApiError>, Option<String>) -> HttpResponse,
    ) -> HttpResponse {
        let (result, acquired) = match done {
            // The room is held during this wait, in which a list for HTTP/1.0 is collected.
            Ok(Done { payload, room }) => (streamed_list::hold_for(version, payload).await, room),
            Err(error) => (Err(error), None),
        };
        let mut response = render(result, None);
        if response.body().is_streamed() {
            // Batches are produced until the stream ends, so it keeps all of its room.
            if let Some(room) = acquired {
                response.body_mut().hold(room);
            }
            return response;
        }
        // A short response drops its room here. The limit of connections bounds their number.
        let Some(bytes) = response.body().long() else { return response };
        match self.room_of(bytes, tenant, acquired, may_fail) {
            Some(room) => response.body_mut().hold(room),
            // A read has changed nothing, so the client may repeat it.
            None if may_fail => return render(Err(ServerError::Busy.into()), None),
            // A write was done: an error would make the client repeat it.
            None => {}
        }
        response
    }

    /// Returns the part of its room that a response needs. Without room, acquires it if it is free.
    fn room_of(
        &self,
        bytes: usize,
        tenant: &Tenant,
        acquired: Option<FairPermit>,
        may_fail: bool,
    ) -> Option<FairPermit> {
        let needed = units(bytes);
        // No long response was expected. Without a wait, since the work is done.
        let Some(mut room) = acquired else { return self.units.try_acquire(tenant, needed) };
        if (room.units() as u64) < u64::from(needed) {
            // The list has grown since its length was counted. Only what the whole response needs bounds the
            // memory, so a read is repeated; a write keeps the room that it has.
            let fits = needed <= self.units.shares().most(tenant);
            let whole = fits.then(|| self.units.try_acquire(tenant, needed)).flatten();
            return if may_fail { whole } else { whole.or(Some(room)) };
        }
        // The rest is released now, before a slow client has read anything.
        room.keep(needed);
        Some(room)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use hyper::StatusCode;

    use super::*;
    use crate::http::api::response::respond;
    use crate::http::body::Content;
    use crate::model::id::ForeignId;

    fn tenant() -> Tenant {
        Tenant::Company(ForeignId::parse("id", "c").expect("an id"))
    }

    fn payload(content: Content) -> Payload {
        Payload::new("text/plain", content)
    }

    fn render(result: Result<Payload, ApiError>, _: Option<String>) -> HttpResponse {
        match result {
            Ok(payload) => HttpResponse::new(payload.content),
            Err(error) => respond(StatusCode::SERVICE_UNAVAILABLE, format!("{error:?}").into_bytes()),
        }
    }

    async fn respond_with(
        budget: &ResponseBudget,
        bytes: usize,
        room: Option<FairPermit>,
        may_fail: bool,
    ) -> HttpResponse {
        let payload = payload(Content::from(Bytes::from(vec![b'x'; bytes])));
        budget.respond(Version::HTTP_11, Ok(Done { payload, room }), &tenant(), may_fail, render).await
    }

    #[tokio::test]
    async fn a_long_response_holds_what_it_needs_until_it_is_sent() {
        // Eight units: a company has four of them.
        let budget = ResponseBudget { units: FairSemaphore::new(8), patience: Duration::from_millis(1) };
        let free = || budget.units.available();
        let long_one = respond_with(&budget, UNIT + 1, None, true).await;
        assert_eq!(free(), 6);
        let short = respond_with(&budget, 1_000, None, true).await;
        assert_eq!((short.status(), free()), (StatusCode::OK, 6), "a short one takes nothing");
        let taken = budget.acquire(&tenant(), 2 * UNIT).await.expect("it is free");
        assert!(budget.acquire(&tenant(), UNIT).await.is_err(), "half is one company's");
        let meant_to_be = respond_with(&budget, UNIT, Some(taken), false).await;
        assert_eq!(free(), 5, "what is not needed is released");
        // The company holds three of its four units, so two more do not fit.
        let refused = respond_with(&budget, 2 * UNIT, None, true).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let written = respond_with(&budget, 2 * UNIT, None, false).await;
        assert_eq!((written.status(), free()), (StatusCode::OK, 5), "a write is never rejected afterwards");
        let sent = meant_to_be.into_body().collect().await.expect("in memory").to_bytes();
        assert_eq!((sent.len(), free()), (UNIT, 6));
        drop(long_one);
        // One unit was acquired for three: a read acquires the rest or is repeated.
        let small = budget.acquire(&tenant(), UNIT).await.expect("it is free");
        let grown = respond_with(&budget, 3 * UNIT, Some(small), true).await;
        assert_eq!((grown.status(), free()), (StatusCode::OK, 5), "all of it is charged");
        let small = budget.acquire(&tenant(), UNIT).await.expect("it is free");
        let grown_again = respond_with(&budget, 3 * UNIT, Some(small), true).await;
        assert_eq!((grown_again.status(), free()), (StatusCode::SERVICE_UNAVAILABLE, 5));
        drop(grown);
        assert_eq!(free(), 8, "a client that hangs up frees it");
    }

    #[tokio::test]
    async fn a_stream_holds_all_of_its_room_until_its_end() {
        let budget = ResponseBudget { units: FairSemaphore::new(8), patience: Duration::from_millis(1) };
        let room = budget.acquire(&tenant(), 3 * UNIT).await.expect("it is free");
        let (sender, content) = Content::streamed();
        let done = Done { payload: payload(content), room: Some(room) };
        let sent = budget.respond(Version::HTTP_11, Ok(done), &tenant(), true, render).await;
        // The end of the producer is not the end of the response, which may still be read.
        drop(sender);
        assert_eq!(budget.units.available(), 5);
        drop(sent);
        assert_eq!(budget.units.available(), 8);
    }
}
