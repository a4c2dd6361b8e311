//! `Date` after the clock was set back. hyper keeps the text of a second until the clock has passed
//! it (1.12): set back by a day, it would go on sending the same second for a day. Here that is
//! noticed, and until the clock is where it was before, answers carry a `Date` of their own.
//!
//! While nothing of that kind happened it costs one load per request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::header::{DATE, HeaderValue};
use hyper::{Request, Response};

use crate::clock::{Clock, Timestamp};

/// How often the clock is looked at, and a `Date` of our own is renewed. Ten looks a second are not
/// felt, and a clock that was ahead for less than that was hardly seen by anybody.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far beyond the last look hyper may have been when the clock was set back: to the end of a
/// second, after a look that came late on a busy machine.
const MARGIN_MILLIS: i64 = 3_000;

/// Knows whether answers need a `Date`. A handle, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Dates(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether there is a value below: asked by every request.
    is_own: AtomicBool,
    own: ArcSwapOption<HeaderValue>,
}

impl Dates {
    /// Watches the clock, until dropped.
    pub async fn watch(self, clock: Clock) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut steps = Steps { last: clock.now(), until: None };
        loop {
            ticks.tick().await;
            let now = clock.now();
            self.set(steps.is_behind(now).then_some(now));
        }
    }

    fn set(&self, now: Option<Timestamp>) {
        let text = now.map(|now| httpdate::fmt_http_date(now.as_system_time()));
        let value = text.and_then(|text| HeaderValue::try_from(text).ok()).map(Arc::new);
        let is_own = value.is_some();
        if is_own || self.0.is_own.load(Ordering::Relaxed) {
            self.0.own.store(value);
            self.0.is_own.store(is_own, Ordering::Relaxed);
        }
    }

    fn own(&self) -> Option<HeaderValue> {
        if !self.0.is_own.load(Ordering::Relaxed) {
            return None;
        }
        self.0.own.load().as_deref().cloned()
    }

    /// A service whose answers carry the right date.
    pub fn dated<S>(&self, inner: S) -> Dated<S> {
        Dated { inner, dates: self.clone() }
    }
}

/// What the clock did.
struct Steps {
    last: Timestamp,
    /// Where it was before it was set back, while it is behind that.
    until: Option<Timestamp>,
}

impl Steps {
    fn is_behind(&mut self, now: Timestamp) -> bool {
        if now < self.last {
            self.until = self.until.max(Some(self.last.plus_millis(MARGIN_MILLIS)));
        }
        self.until = self.until.filter(|until| now < *until);
        self.last = now;
        self.until.is_some()
    }
}

/// Answers as `S` does, with a `Date` where hyper's would be wrong.
#[derive(Clone, Debug)]
pub struct Dated<S> {
    inner: S,
    dates: Dates,
}

impl<S, B, C> hyper::service::Service<Request<B>> for Dated<S>
where
    S: hyper::service::Service<Request<B>, Response = Response<C>>,
    S::Future: Unpin,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = Dating<S::Future>;

    fn call(&self, request: Request<B>) -> Dating<S::Future> {
        Dating { inner: self.inner.call(request), own: self.dates.own() }
    }
}

/// An answer of [`Dated`] on its way.
#[derive(Debug)]
pub struct Dating<F> {
    inner: F,
    own: Option<HeaderValue>,
}

impl<F, C, E> Future for Dating<F>
where
    F: Future<Output = Result<Response<C>, E>> + Unpin,
{
    type Output = Result<Response<C>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(Pin::new(&mut self.inner).poll(cx));
        if let (Ok(response), Some(own)) = (&mut response, self.own.take()) {
            response.headers_mut().insert(DATE, own);
        }
        Poll::Ready(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_until_the_clock_is_where_it_was() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let mut steps = Steps { last: at(100), until: None };
        // Ordinary time and a leap ahead; back; back once more; ahead of all again.
        let rows = [
            (101, false),
            (101, false),
            (9_000, false),
            (200, true),
            (201, true),
            (50, true),
            (9_002, true),
            (9_003, false),
            (9_004, false),
            (9_003, true),
            (9_008, false),
        ];
        for (now, want) in rows {
            assert_eq!(steps.is_behind(at(now)), want, "at {now}");
        }
    }

    #[test]
    fn a_date_of_our_own_comes_and_goes() {
        let dates = Dates::default();
        assert_eq!(dates.own(), None);
        dates.set(Some(Timestamp::from_millis(784_111_777_000)));
        assert_eq!(dates.own(), Some(HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT")));
        dates.set(None);
        assert_eq!(dates.own(), None);
    }
}
