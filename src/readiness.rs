//! [`Readiness`]: ready when nothing holds it back. A part that starts holds a [`Latch`] and drops
//! it when done, so that readiness cannot be forgotten, only held; a part that falls back (the
//! table is rebuilt) holds one again.

use std::sync::Arc;

use parking_lot::Mutex;

/// What the whole waits for. A handle, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Latches>>);

#[derive(Debug, Default)]
struct Latches {
    /// A handful at most, so a list.
    latches: Vec<(u64, String)>,
    last: u64,
}

impl Readiness {
    /// Holds readiness back until the latch is dropped. `why` is shown by `/readyz`, to anyone:
    /// words such as "the log is being replayed", no paths or numbers of records.
    #[must_use = "dropping the latch releases it"]
    pub fn hold(&self, why: impl Into<String>) -> Latch {
        let mut held = self.0.lock();
        held.last += 1;
        let number = held.last;
        held.latches.push((number, why.into()));
        Latch { of: self.clone(), number }
    }

    /// Why it is not ready, oldest first; empty when it is.
    pub fn held(&self) -> Vec<String> {
        self.0.lock().latches.iter().map(|(_, why)| why.clone()).collect()
    }
}

/// Holds a [`Readiness`] back while it lives.
#[derive(Debug)]
pub struct Latch {
    of: Readiness,
    number: u64,
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.of.0.lock().latches.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_latch_is_dropped() {
        let readiness = Readiness::default();
        assert_eq!(readiness.held(), Vec::<String>::new());
        let open = readiness.hold("the table is being opened");
        let replay = readiness.clone().hold("the log is being replayed");
        assert_eq!(readiness.held(), ["the table is being opened", "the log is being replayed"]);
        drop(open);
        assert_eq!(readiness.held(), ["the log is being replayed"]);
        drop(replay);
        assert!(readiness.held().is_empty());
    }
}
