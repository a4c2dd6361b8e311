//! The log of a running app, which fails while the test says so.

use std::sync::Arc;

use parking_lot::Mutex;
use waypost::log::{Answer, CommitError, Follow, Log, LogError, Position, Proposal, Status};

/// How writes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The volume has no room.
    Full,
    /// The disk did not confirm.
    Unconfirmed,
    /// The disk is gone.
    Unavailable,
    /// A bug.
    Panic,
}

/// What goes wrong with the next writes; nothing at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<Option<Fault>>>);

impl Faults {
    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.0.lock() = fault;
    }

    /// This log, with faults.
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
    fn propose(&self, proposal: Proposal, answer: Answer) {
        let fault = *self.faults.0.lock();
        let error = match fault {
            None => return self.log.propose(proposal, answer),
            Some(Fault::Full) => CommitError::DiskFull,
            Some(Fault::Unconfirmed) => CommitError::Unknown,
            Some(Fault::Unavailable) => CommitError::Unavailable("its disk is gone".to_owned()),
            Some(Fault::Panic) => panic!("a test has the log panic"),
        };
        answer(Err(error));
    }

    fn follow(&self, from: Position) -> Result<Follow, LogError> {
        self.log.follow(from)
    }

    fn position(&self) -> Position {
        self.log.position()
    }

    fn id(&self) -> u128 {
        self.log.id()
    }

    fn status(&self) -> Status {
        self.log.status()
    }

    fn close(&self) {
        self.log.close();
    }
}
