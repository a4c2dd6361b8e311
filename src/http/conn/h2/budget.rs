//! [`StreamBudget`]: the memory of the open streams of all connections.
//!
//! A redirect is complete at once. A response that waits, for the disk or for its client, has some 7 KB, and the head of its
//! request up to 16 KB more. A connection has [`FREE_STREAMS`] of its own; all further ones share [`MOST`] bytes. Without a
//! bound, one connection took 1.8 MB, and a client may have 256.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Open streams that each connection may have whatever others have.
const FREE_STREAMS: usize = 4;

/// Memory of an open stream without the head of its request.
const STREAM: usize = 8 * 1024;

/// Bytes of a head that each stream may have whatever others have. Browsers send 1 to 2 KB.
const FREE_HEAD: usize = 4 * 1024;

/// Bytes of all further streams together: 1,000 of them. Past it: requests get 503.
const MOST: usize = 8 * 1024 * 1024;

/// The memory that streams share. Cheap to clone: all clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::http::conn) struct StreamBudget(Arc<AtomicUsize>);

/// The streams of one connection. Cheap to clone: all clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenStreams {
    budget: StreamBudget,
    open: Arc<AtomicUsize>,
}

/// The memory of one open stream. Its drop returns it.
#[derive(Debug)]
pub(super) struct StreamShare {
    streams: OpenStreams,
    /// Bytes of the budget.
    bytes: usize,
}

impl OpenStreams {
    pub(super) fn new(budget: StreamBudget) -> OpenStreams {
        OpenStreams { budget, open: Arc::default() }
    }

    /// Acquires the memory of one more stream, or returns `None` if there is none left.
    pub(super) fn acquire(&self, head: usize) -> Option<StreamShare> {
        // Relaxed: the numbers guard no other memory.
        let stream = if self.open.load(Ordering::Relaxed) < FREE_STREAMS { 0 } else { STREAM };
        let bytes = stream + head.saturating_sub(FREE_HEAD);
        let used = &self.budget.0;
        if bytes > 0 && used.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST {
            used.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(StreamShare { streams: self.clone(), bytes })
    }
}

impl Drop for StreamShare {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        if self.bytes > 0 {
            self.streams.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_beyond_the_first_of_each_connection_share_the_budget() {
        let budget = StreamBudget::default();
        let connection = OpenStreams::new(budget.clone());
        let mut shares = Vec::new();
        while let Some(share) = connection.acquire(500) {
            shares.push(share);
        }
        assert_eq!(shares.len(), FREE_STREAMS + MOST / STREAM);
        // Full, and no reason to refuse the first streams of another connection, but their long heads.
        let other = OpenStreams::new(budget.clone());
        assert!(other.acquire(FREE_HEAD + 1).is_none());
        let free: Vec<_> = (0..FREE_STREAMS).map(|_| other.acquire(FREE_HEAD).expect("free")).collect();
        assert!(other.acquire(0).is_none());
        shares.pop();
        drop(free);
        assert!(other.acquire(FREE_HEAD + STREAM).is_some(), "the dropped share is free again");
        drop(shares);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
        assert_eq!(connection.open.load(Ordering::Relaxed), 0);
    }
}
