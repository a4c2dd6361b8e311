//! [`Readiness`]: ready when no latch is held. A part that starts holds a [`Latch`] and drops it when done,
//! so readiness cannot be forgotten. A part that falls back (the table is rebuilt) holds a latch again.

use std::sync::Arc;

use parking_lot::Mutex;

/// The latches that delay readiness. A handle, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Latches>>);

#[derive(Debug, Default)]
struct Latches {
    /// A handful of latches at most, so a list suffices.
    latches: Vec<(u64, String)>,
    last: u64,
}

impl Readiness {
    /// Delays readiness until the latch is dropped. `/readyz` shows `why` to anyone: use words such as "the
    /// log is being replayed", no paths and no numbers of records.
    #[must_use = "dropping the latch releases it"]
    pub fn hold(&self, why: impl Into<String>) -> Latch {
        let mut held = self.0.lock();
        held.last += 1;
        let number = held.last;
        held.latches.push((number, why.into()));
        Latch { of: self.clone(), number }
    }

    /// Returns the reasons of all latches, oldest first. Empty when ready.
    pub fn held(&self) -> Vec<String> {
        self.0.lock().latches.iter().map(|(_, why)| why.clone()).collect()
    }
}

/// Delays a [`Readiness`] while it exists.
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
