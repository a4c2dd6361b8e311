//! [`H2Shared`]: what the socket, the service and the streams of one connection share. All run in one task, one after
//! the other, so relaxed atomics are plain variables that can be shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// The state of one connection. Cheap to clone: all clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct H2Shared(Arc<H2Counts>);

#[derive(Debug, Default)]
struct H2Counts {
    /// Requests that reached the service.
    requests: AtomicU64,
    /// Those of them with a body.
    uploads: AtomicU64,
    /// Whether the client has not accepted what was written to it.
    is_slow: AtomicBool,
    /// The progress of the request that the service was last called with, until its stream is created.
    latest: Mutex<Option<SendProgress>>,
}

impl H2Shared {
    /// Counts a request, and returns the progress of its response.
    pub(super) fn begin(&self, has_body: bool) -> SendProgress {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.uploads.fetch_add(u64::from(has_body), Ordering::Relaxed);
        let progress = SendProgress::default();
        *self.0.latest.lock() = Some(progress.clone());
        progress
    }

    /// Returns the progress of the request that the service was last called with. hyper creates the stream of a
    /// request right after this call.
    pub(super) fn take_latest(&self) -> SendProgress {
        self.0.latest.lock().take().unwrap_or_default()
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

/// How far a response was sent. Cheap to clone: all clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SendProgress(Arc<Sent>);

#[derive(Debug, Default)]
struct Sent {
    /// Whether the next step is the client's: it must open its window.
    is_clients_turn: AtomicBool,
    /// Bytes of the body that were passed on.
    bytes: AtomicU64,
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
