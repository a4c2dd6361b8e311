//! The numbers of the checks, which the handle, the walk and the requests share.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::health::{CheckFinding, CheckVerdict};

/// The numbers that `/metrics` reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckNumbers {
    /// Links that are being checked.
    pub in_flight: u64,
    /// Requests sent.
    pub requests: u64,
    /// Checks after which all destinations of a link work.
    pub working: u64,
    /// Checks in which a destination failed.
    pub failing: u64,
    /// Checks that have found nothing, without a request or because of the address of the host.
    pub open: u64,
}

/// The numbers while they grow. Relaxed everywhere: they order nothing.
#[derive(Debug, Default)]
pub(super) struct CheckCounts {
    requests: AtomicU64,
    working: AtomicU64,
    failing: AtomicU64,
    open: AtomicU64,
}

impl CheckCounts {
    pub(super) fn sent(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn checked(&self, finding: CheckFinding) {
        let count = match finding.verdict() {
            CheckVerdict::Works => &self.working,
            CheckVerdict::Fails => &self.failing,
            CheckVerdict::Open => &self.open,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn numbers(&self, in_flight: usize) -> CheckNumbers {
        CheckNumbers {
            in_flight: in_flight as u64,
            requests: self.requests.load(Ordering::Relaxed),
            working: self.working.load(Ordering::Relaxed),
            failing: self.failing.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
        }
    }
}
