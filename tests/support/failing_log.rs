//! The log of a running app, with faults that a test switches on and off.

use std::sync::Arc;

use parking_lot::Mutex;
use waypost::log::{CommitCallback, CommitError, Follow, Log, LogError, LogStatus, Position, Proposal, Put};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The volume has no space left.
    Full,
    /// The disk did not confirm the sync.
    Unconfirmed,
    /// The disk is gone.
    Unavailable,
    /// The log panics.
    Panic,
    /// The files of the log cannot be read; writes succeed.
    Unreadable,
    /// The thread that stores details of clicks cannot read the log.
    NoDetails,
    /// Proposals of more than [`LARGE`] bytes wait until [`Faults::release`]. Smaller ones pass.
    HoldLarge,
}

/// See [`Fault::HoldLarge`].
const LARGE: usize = 20_000;

/// The fault of the next writes; none at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<Option<Fault>>>, Arc<Mutex<Vec<Held>>>);

/// Proposes what was held.
struct Held(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held(..)")
    }
}

impl Faults {
    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.0.lock() = fault;
    }

    /// Returns how many proposals are held.
    pub(crate) fn held(&self) -> usize {
        self.1.lock().len()
    }

    /// Proposes everything that is held now. Later proposals are held again.
    pub(crate) fn release(&self) {
        let held = std::mem::take(&mut *self.1.lock());
        for held in held {
            held.0();
        }
    }

    /// Wraps a log with these faults.
    pub(crate) fn over(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        Arc::new(FailingLog { log, faults: self.clone() })
    }
}

#[derive(Debug)]
struct FailingLog {
    log: Arc<dyn Log>,
    faults: Faults,
}

impl Log for FailingLog {
    fn propose(&self, proposal: Proposal, callback: CommitCallback) {
        let fault = *self.faults.0.lock();
        let error = match fault {
            None | Some(Fault::Unreadable | Fault::NoDetails) => return self.log.propose(proposal, callback),
            Some(Fault::Full) => CommitError::DiskFull,
            Some(Fault::Unconfirmed) => CommitError::Unknown,
            Some(Fault::Unavailable) => CommitError::Unavailable("its disk is gone".to_owned()),
            Some(Fault::Panic) => panic!("a test has the log panic"),
            Some(Fault::HoldLarge) => {
                let value = |put: &Put| put.value.as_ref().map_or(0, bytes::Bytes::len);
                let log = Arc::clone(&self.log);
                if proposal.puts.iter().map(value).sum::<usize>() > LARGE {
                    let pass = Held(Box::new(move || log.propose(proposal, callback)));
                    return self.faults.1.lock().push(pass);
                }
                return log.propose(proposal, callback);
            }
        };
        callback(Err(error));
    }

    fn follow(&self, from: Position) -> Result<Follow, LogError> {
        let fault = *self.faults.0.lock();
        let is_of_details = std::thread::current().name() == Some("clicks-follow");
        if fault == Some(Fault::Unreadable) || (fault == Some(Fault::NoDetails) && is_of_details) {
            return Err(LogError::Damaged("a test has made it unreadable".to_owned()));
        }
        self.log.follow(from)
    }

    fn position(&self) -> Position {
        self.log.position()
    }

    fn id(&self) -> u128 {
        self.log.id()
    }

    fn status(&self) -> LogStatus {
        self.log.status()
    }

    fn compact_soon(&self) {
        self.log.compact_soon();
    }

    fn close(&self) {
        self.log.close();
    }
}
