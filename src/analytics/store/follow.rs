//! The thread that follows the log: adds the ticks of each Change to the cells in memory, and writes them as a part in
//! time.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::shared::{SEAL_CELLS, SEAL_TICKS, Shared};
use crate::analytics::tick::Tick;
use crate::log::{CLICKS_PREFIX, Change, Follow, LogError, Position, Put, Record, SnapshotReader};

/// How long one wait for a Change is: a stop is noticed after it.
const NAP: Duration = Duration::from_millis(50);

/// The pause before another try after an error.
const RETRY: Duration = Duration::from_secs(5);

/// Time between two log lines about the same kind of error.
const LOG_INTERVAL: Duration = Duration::from_mins(10);

/// Age of the first tick in memory at which a part is written: a start then reads at most the log of one hour.
const SEAL_AGE: Duration = Duration::from_hours(1);

/// Follows the log until the store stops.
pub(super) fn run(shared: &Shared) {
    let mut logged: Option<Instant> = None;
    while let Err(error) = follow(shared) {
        // The log was compacted behind the follower: its snapshot is next.
        if matches!(error, FollowFailure::Log(LogError::Compacted { .. })) {
            continue;
        }
        // Not each try: the disk may be full for hours.
        if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            tracing::error!(%error, "the details of clicks cannot be stored and are tried again; totals are not affected");
            logged = Some(Instant::now());
        }
        // The ticks are in the log for the next start, so a failing disk must not block the shutdown.
        if shared.is_stopping() {
            return;
        }
        std::thread::sleep(RETRY);
    }
}

/// Adds all that the log has, and writes it as a part.
pub(super) fn catch_up(shared: &Shared) -> Result<(), FollowFailure> {
    // Fixed here, so that a busy log does not keep the caller for ever.
    let goal = shared.log.position();
    loop {
        let from = shared.cells.lock().applied;
        if from >= goal {
            break;
        }
        match shared.log.follow(from)? {
            Follow::Compacted { snapshot } => load(shared, snapshot, from)?,
            Follow::Changes(mut follower) => {
                while let Some(change) = follower.next(Duration::ZERO)? {
                    apply(shared, &change);
                    // Bounds the memory: the log may have far more ticks than one part.
                    if is_full(shared) {
                        shared.seal()?;
                    }
                }
            }
        }
    }
    shared.seal()?;
    shared.is_ready.store(true, Ordering::Release);
    Ok(())
}

/// Why the log could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowFailure {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A part cannot be written.
    #[error("cannot write to the folder clicks: {0}")]
    Write(#[from] std::io::Error),
}

fn follow(shared: &Shared) -> Result<(), FollowFailure> {
    // After an error the cells in memory stay, so the thread goes on behind them.
    let from = shared.cells.lock().applied;
    let mut follower = match shared.log.follow(from.min(shared.log.position()))? {
        Follow::Changes(follower) => follower,
        // The snapshot moves `applied` to its own end, so the next call finds the Changes behind it.
        Follow::Compacted { snapshot } => return load(shared, snapshot, from).and_then(|()| follow(shared)),
    };
    // Later Changes are of this process, whose ring knows their keys.
    let goal = shared.log.position();
    let mut sealed = Instant::now();
    loop {
        let next = follower.next(NAP)?;
        let has_ended = next.is_none();
        if let Some(change) = next {
            apply(shared, &change);
        }
        // A Change that comes between these lines and the stop is left to the next start.
        let is_stopping = shared.is_stopping();
        // Once after the start: from then on, every key of the ring may be used again.
        let has_caught_up = !shared.is_ready.load(Ordering::Acquire) && shared.cells.lock().applied >= goal;
        let is_old = sealed.elapsed() >= SEAL_AGE;
        if is_full(shared) || has_caught_up || is_old || (is_stopping && has_ended) {
            shared.seal()?;
            sealed = Instant::now();
        }
        if has_caught_up {
            // Behind the seal: before it, the ring must not overwrite the ticks of an earlier process.
            shared.is_ready.store(true, Ordering::Release);
        }
        if is_stopping && has_ended {
            return Ok(());
        }
    }
}

fn is_full(shared: &Shared) -> bool {
    let cells = shared.cells.lock();
    cells.ticks >= SEAL_TICKS || cells.open.len() >= SEAL_CELLS
}

/// Adds the ticks of a Change.
fn apply(shared: &Shared, change: &Change) {
    // Decoded before the lock, which questions need as well.
    let ticks: Vec<_> = change.entries.iter().filter_map(|entry| tick_of(&entry.put)).collect();
    let mut cells = shared.cells.lock();
    for (number, tick) in ticks {
        cells.open.add(&tick);
        cells.ticks += 1;
        cells.last_number = number;
    }
    // Also without a tick: a start must not read this part of the log again.
    cells.applied = cells.applied.max(change.position);
}

/// Adds the ticks of a compacted log behind `from`.
fn load(shared: &Shared, mut snapshot: Box<dyn SnapshotReader>, from: Position) -> Result<(), FollowFailure> {
    let end = snapshot.position();
    // Collected first, so that a snapshot that fails midway adds no half of its ticks.
    let mut ticks = Vec::new();
    while let Some(record) = snapshot.next()? {
        // A later record comes again as a Change behind the snapshot.
        if record.revision > from && record.revision <= end {
            let tick = tick_of(&Put { key: record.key, value: Some(record.value) });
            ticks.extend(tick.map(|(number, tick)| (record.revision, number, tick)));
        }
    }
    let mut cells = shared.cells.lock();
    // Records come in no order, so the last number is that of the latest revision.
    let last = ticks.iter().max_by_key(|(revision, ..)| *revision);
    cells.last_number = last.map_or(cells.last_number, |(_, number, _)| *number);
    for (.., tick) in ticks {
        cells.open.add(&tick);
        cells.ticks += 1;
    }
    cells.applied = cells.applied.max(end);
    Ok(())
}

/// Returns the tick that a put writes, and the number of its key.
fn tick_of(put: &Put) -> Option<(u8, Tick)> {
    let number = *put.key.last().filter(|_| is_tick(&put.key))?;
    let decoded = Tick::decode(put.value.as_ref()?);
    if decoded.is_err() {
        // The log has checked its checksum: a later version wrote it.
        tracing::error!("the details of a second of clicks cannot be read: a later version wrote them");
    }
    Some((number, decoded.ok()?))
}

/// Returns the tick of a record of the log if its cells are not in the parts up to `durable`.
pub fn tick_behind(record: &Record, durable: Position) -> Option<Tick> {
    let put = || Put { key: record.key.clone(), value: Some(record.value.clone()) };
    // By the key first: a log has far more links than ticks.
    let is_behind = is_tick(&record.key) && record.revision > durable;
    is_behind.then(put).and_then(|put| tick_of(&put)).map(|(_, tick)| tick)
}

/// Returns the key of a tick: [`CLICKS_PREFIX`], the node, and the number in the [`Ring`](crate::analytics::ring::Ring).
pub fn key(node: u16, number: u8) -> [u8; KEY_BYTES] {
    let [high, low] = node.to_be_bytes();
    [CLICKS_PREFIX, high, low, number]
}

/// Length of the key of a tick. That of a click total is longer.
const KEY_BYTES: usize = 4;

/// Returns whether a key is one of [`key`].
pub fn is_tick(key: &[u8]) -> bool {
    key.len() == KEY_BYTES && key[0] == CLICKS_PREFIX
}
