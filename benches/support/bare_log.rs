//! A log on a real disk, with an empty table that claims to have applied everything: what
//! committing costs without a table.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use waypost::clock::Clock;
use waypost::log::local::disk::FsDisk;
use waypost::log::local::disk_guard::DiskGuard;
use waypost::log::local::{LocalLog, Settings};
use waypost::log::{AppliedState, Log, LogError, Position, Proposal, Put, Record};

/// A plain link's record, more or less.
pub(crate) const RECORD_BYTES: usize = 200;

/// To the log, every key is new.
#[derive(Debug, Default)]
struct Nothing(OnceLock<u128>);

impl AppliedState for Nothing {
    fn log_id(&self) -> Option<u128> {
        self.0.get().copied()
    }

    fn applied(&self) -> Position {
        Position(self.0.get().map_or(0, |_| u64::MAX))
    }

    fn revision(&self, _key: &[u8]) -> Result<Option<Position>, LogError> {
        Ok(None)
    }

    fn is_intact(&self) -> bool {
        false
    }

    fn each_record(&self, _each: &mut dyn FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError> {
        Ok(())
    }
}

/// The log of this folder.
pub(crate) fn open(folder: &Path) -> Result<LocalLog, Box<dyn Error>> {
    let disk = Arc::new(FsDisk::open(folder)?);
    let table = Arc::new(Nothing::default());
    let applied_state: Arc<dyn AppliedState> = Arc::clone(&table) as Arc<dyn AppliedState>;
    let space = Arc::new(DiskGuard::unlimited());
    let log = LocalLog::open(disk, Settings::default(), Clock::system(), applied_state, space)?;
    table.0.get_or_init(|| log.id());
    Ok(log)
}

/// A record under a key that no other number has.
pub(crate) fn proposal(index: u64) -> Proposal {
    let key = Bytes::from(format!("l{index:016}"));
    Proposal {
        puts: vec![Put { key, value: Some(Bytes::from(vec![7; RECORD_BYTES])) }],
        ..Proposal::default()
    }
}
