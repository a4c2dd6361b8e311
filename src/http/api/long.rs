//! Long answers, and how much of them is held at once. An answer stays in memory until its client
//! has read it, and may be read slowly: without a bound, one key holder's few hundred connections
//! would hold gigabytes. What it promises: all long answers that are being made or sent take
//! [`BYTES_MAX`], those of one company or workspace half of it, and short ones take nothing.
//!
//! Whatever makes a long one takes what it may need before it does anything; a read whose answer
//! turns out to be long takes what that needs, or is refused. A write is never refused behind its
//! end: the answers of the few that are long without having been meant to be (a workspace with very
//! many custom values) are sent whether they have room or not.

use std::time::Duration;

use hyper::Version;

use crate::http::api::dialect::{Failure, Trouble};
use crate::http::api::execute::Answered;
use crate::http::api::pieces;
use crate::http::body::Answer;
use crate::http::shares::{Share, Shares};
use crate::model::key::Reach;

/// Most bytes of long answers at once: five of the longest, beside some dozen lists; as much as the
/// default cache. Past it whoever waits for room waits as long as a body may take, then: 503.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is counted: a long answer takes one at least, so that there are 1,024 of them at most.
const UNIT: usize = 64 * 1024;

/// Longest answer of a bulk request: 1,000 links with addresses of 8 KB and the longest codes, that
/// is not quite 11 KB each.
pub(super) const BULK_MAX: usize = 12 * 1024 * 1024;

/// What a command came to, and what room was taken for its answer before.
#[derive(Debug)]
pub(super) struct Done {
    /// What it came to.
    pub(super) answered: Answered,
    /// Nothing where no long answer was to be expected.
    pub(super) room: Option<Share>,
}

/// Room for long answers.
#[derive(Debug)]
pub(super) struct Long {
    shares: Shares,
    patience: Duration,
}

impl Long {
    /// Whoever waits for room does so for this time at most.
    pub(super) fn new(patience: Duration) -> Long {
        Long { shares: Shares::new(units(BYTES_MAX)), patience }
    }

    /// Room for an answer that is about to be made, of at most so many bytes.
    pub(super) async fn room(&self, reach: &Reach, bytes: usize) -> Result<Share, Failure> {
        self.shares.take(reach, units(bytes), self.patience).await.ok_or(Trouble::Busy.into())
    }

    /// What was done, `worded` for this version of HTTP: an answer that holds its room until it is
    /// sent. One that `may_fail` is refused when there is none.
    pub(super) async fn answer(
        &self,
        version: Version,
        done: Result<Done, Failure>,
        reach: &Reach,
        may_fail: bool,
        worded: impl Fn(Result<Answered, Failure>, Option<String>) -> Answer,
    ) -> Answer {
        let done = match done {
            Ok(done) => pieces::hold_for(version, done, self, reach).await,
            Err(failure) => Err(failure),
        };
        let (result, taken) = match done {
            Ok(Done { answered, room }) => (Ok(answered), room),
            Err(failure) => (Err(failure), None),
        };
        let mut answer = worded(result, None);
        let Some(bytes) = answer.body().long() else { return answer };
        match self.room_of(bytes, reach, taken) {
            Some(room) => answer.body_mut().hold(room),
            None if may_fail => return worded(Err(Trouble::Busy.into()), None),
            None => {}
        }
        answer
    }

    /// What of its room an answer needs, or else, when it is free, what it would have needed.
    fn room_of(&self, bytes: usize, reach: &Reach, taken: Option<Share>) -> Option<Share> {
        let Some(mut room) = taken else { return self.shares.try_take(reach, units(bytes)) };
        room.keep(units(bytes));
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
    use crate::http::api::answer::respond;
    use crate::http::body::Content;
    use crate::model::workspace::WorkspaceNumber;

    const REACH: Reach = Reach::Workspace(WorkspaceNumber(1));

    fn worded(result: Result<Answered, Failure>, _: Option<String>) -> Answer {
        match result {
            Ok(Answered::List(content)) => Answer::new(content),
            Ok(Answered::Reply(reply)) => panic!("{reply:?}"),
            Err(failure) => respond(StatusCode::SERVICE_UNAVAILABLE, format!("{failure:?}").into_bytes()),
        }
    }

    async fn answer(long: &Long, bytes: usize, room: Option<Share>, may_fail: bool) -> Answer {
        let answered = Answered::List(Content::from(Bytes::from(vec![b'x'; bytes])));
        long.answer(Version::HTTP_11, Ok(Done { answered, room }), &REACH, may_fail, worded).await
    }

    #[tokio::test]
    async fn a_long_answer_holds_what_it_needs_until_it_is_sent() {
        let long = Long { shares: Shares::new(8), patience: Duration::from_millis(1) };
        let free = || (0..=8).rev().find(|n| long.shares.try_take(&Reach::Instance, *n).is_some());
        let long_one = answer(&long, UNIT + 1, None, true).await;
        assert_eq!(free(), Some(6));
        let short = answer(&long, 1_000, None, true).await;
        assert_eq!((short.status(), free()), (StatusCode::OK, Some(6)), "a short one takes nothing");
        let taken = long.room(&REACH, 2 * UNIT).await.expect("it is free");
        assert!(long.room(&REACH, UNIT).await.is_err(), "half is one's");
        let meant_to_be = answer(&long, UNIT, Some(taken), false).await;
        assert_eq!(free(), Some(5), "what is not needed is given back");
        let refused = answer(&long, 2 * UNIT, None, true).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let written = answer(&long, 2 * UNIT, None, false).await;
        assert_eq!((written.status(), free()), (StatusCode::OK, Some(5)), "what was done is said");
        let sent = meant_to_be.into_body().collect().await.expect("in memory").to_bytes();
        assert_eq!((sent.len(), free()), (UNIT, Some(6)));
        drop(long_one);
        assert_eq!(free(), Some(8), "a client that hangs up frees it");
    }
}
