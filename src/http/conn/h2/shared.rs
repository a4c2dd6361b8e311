//! [`H2Shared`]: what the socket, the service and the streams of one connection share. All run in one task, one after
//! the other, so relaxed atomics are plain variables that can be shared.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::budget::{OpenStreams, StreamBudget, StreamShare};

/// The rest of a body that is being discarded.
pub(super) type Discarding = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The state of one connection. Cheap to clone: all clones share it.
#[derive(Clone, Default)]
pub(super) struct H2Shared(Arc<H2Counts>);

#[derive(Default)]
struct H2Counts {
    /// Requests that reached the service.
    requests: AtomicU64,
    /// Those of them with a body.
    uploads: AtomicU64,
    /// Those of them whose responses are not sent yet.
    open: OpenStreams,
    /// Whether the client has not accepted what was written to it.
    is_slow: AtomicBool,
    /// The progress of the request that the service was last called with, until its stream is created.
    latest: Mutex<Option<SendProgress>>,
    /// Rests of bodies that no stream discards yet.
    rests: Mutex<Vec<Discarding>>,
}

impl H2Shared {
    /// Creates the state of a connection that shares this memory with others.
    pub(super) fn new(budget: StreamBudget) -> H2Shared {
        H2Shared(Arc::new(H2Counts { open: OpenStreams::new(budget), ..H2Counts::default() }))
    }

    /// Counts a request with a head of this many bytes, and returns the progress of its response, or `None` if there
    /// is no memory for it.
    pub(super) fn begin(&self, head: usize, has_body: bool) -> Option<SendProgress> {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.uploads.fetch_add(u64::from(has_body), Ordering::Relaxed);
        let share = Some(self.0.open.acquire(head)?);
        let progress = SendProgress(Arc::new(Sent { _share: share, ..Sent::default() }));
        *self.0.latest.lock() = Some(progress.clone());
        Some(progress)
    }

    /// Returns the progress of the request that the service was last called with. hyper creates the stream of a
    /// request right after this call.
    pub(super) fn take_latest(&self) -> SendProgress {
        self.0.latest.lock().take().unwrap_or_default()
    }

    /// Discards the rest of a body.
    pub(super) fn discard(&self, rest: Discarding) {
        self.0.rests.lock().push(rest);
    }

    /// Removes and returns a rest that is to be discarded.
    pub(super) fn take_rest(&self) -> Option<Discarding> {
        self.0.rests.lock().pop()
    }

    pub(super) fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    pub(super) fn uploads(&self) -> u64 {
        self.0.uploads.load(Ordering::Relaxed)
    }

    pub(super) fn is_slow(&self) -> bool {
        self.0.is_slow.load(Ordering::Relaxed)
    }

    pub(super) fn set_slow(&self, is_slow: bool) {
        self.0.is_slow.store(is_slow, Ordering::Relaxed);
    }
}

impl fmt::Debug for H2Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("H2Shared").finish_non_exhaustive()
    }
}

/// How far a response was sent. Cheap to clone: all clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SendProgress(Arc<Sent>);

#[derive(Debug, Default)]
struct Sent {
    /// Whether the next step is the client's: it must open its window.
    is_clients_turn: AtomicBool,
    /// Bytes of the body that were passed on.
    bytes: AtomicU64,
    /// The memory of the stream, for as long as there is one.
    _share: Option<StreamShare>,
}

impl SendProgress {
    /// Records that the head, or this number of bytes of the body, were passed on.
    pub(super) fn passed_on(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.is_clients_turn.store(true, Ordering::Relaxed);
    }

    /// Records that the body has nothing to pass on now.
    pub(super) fn is_starved(&self) {
        self.0.is_clients_turn.store(false, Ordering::Relaxed);
    }

    /// Returns the bytes of the body that were passed on if the next step is the client's.
    pub(super) fn waits_for_client(&self) -> Option<u64> {
        self.0.is_clients_turn.load(Ordering::Relaxed).then(|| self.0.bytes.load(Ordering::Relaxed))
    }
}
