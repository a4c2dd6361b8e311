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

/// The part of the budget that a stream has. Its drop returns it.
#[derive(Debug, Default)]
pub(super) struct StreamShare {
    budget: Option<(StreamBudget, usize)>,
}

impl StreamBudget {
    /// Acquires the memory of a stream on a connection that has `open` others, or returns `None` if there is none left.
    pub(super) fn acquire(&self, open: usize, head: usize) -> Option<StreamShare> {
        let stream = if open < FREE_STREAMS { 0 } else { STREAM };
        let bytes = stream + head.saturating_sub(FREE_HEAD);
        if bytes == 0 {
            return Some(StreamShare::default());
        }
        // Relaxed: the number guards no other memory.
        if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(StreamShare { budget: Some((self.clone(), bytes)) })
    }
}

impl Drop for StreamShare {
    fn drop(&mut self) {
        if let Some((budget, bytes)) = &self.budget {
            budget.0.fetch_sub(*bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_beyond_the_first_of_each_connection_share_the_budget() {
        let budget = StreamBudget::default();
        let mut shares = Vec::new();
        while let Some(share) = budget.acquire(FREE_STREAMS, 500) {
            shares.push(share);
        }
        assert_eq!(shares.len(), MOST / STREAM);
        // Full, and no reason to refuse the first streams of a connection, but their long heads.
        for (open, head, is_admitted) in [
            (0, 0, true),
            (FREE_STREAMS - 1, FREE_HEAD, true),
            (0, FREE_HEAD + 1, false),
            (FREE_STREAMS, 0, false),
        ] {
            assert_eq!(budget.acquire(open, head).is_some(), is_admitted, "{open} {head}");
        }
        shares.pop();
        assert!(budget.acquire(0, FREE_HEAD + STREAM).is_some(), "the dropped share is free again");
        drop(shares);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
