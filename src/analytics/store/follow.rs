//! The thread that follows the log: adds the ticks of each Change to the cells in memory, and writes them as a part in
//! time.
//!
//! Memory is bounded, also while no part can be written: past [`CELLS_HELD`] cells the thread reads no further, and the
//! log keeps the ticks behind. The log has at most [`ring::SIZE`](crate::analytics::ring::SIZE) of them; drains beyond
//! wait in the aggregator, and are dropped past its own bound.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::sealer::Sealer;
use super::shared::{CELLS_HELD, Shared};
use crate::analytics::tick::Tick;
use crate::log::{CLICKS_PREFIX, Change, Follow, LogError, Position, Put, Record, SnapshotReader};

/// How long one wait for a Change is: a stop is noticed after it.
const NAP: Duration = Duration::from_millis(50);

/// The pause before another try after an error of the log.
const RETRY: Duration = Duration::from_secs(5);

/// Time between two log lines about the same kind of error.
const LOG_INTERVAL: Duration = Duration::from_mins(10);

/// Why the thread has returned from the log.
enum Returned {
    /// The store stops.
    Stopped,
    /// The next Changes are behind a snapshot that was just read, or must wait for room in memory.
    Paused,
}

/// Follows the log until the store stops.
pub(super) fn run(shared: &Shared) {
    let mut sealer = Sealer::new();
    let mut logged: Option<Instant> = None;
    loop {
        match follow(shared, &mut sealer) {
            Ok(Returned::Stopped) => return,
            // The log was compacted behind the follower: its snapshot is next.
            Ok(Returned::Paused) | Err(LogError::Compacted { .. }) => continue,
            // Not each try: the log may be unreadable for hours.
            Err(error) if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) => {
                tracing::error!(%error, "the details of clicks cannot be read from the log and are tried again; totals are not affected");
                logged = Some(Instant::now());
            }
            Err(_) => {}
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
            Follow::Compacted { snapshot } => load(shared, snapshot, from, || !shared.is_full())?,
            Follow::Changes(mut follower) => {
                while let Some(change) = follower.next(Duration::ZERO)? {
                    apply(shared, &change);
                    if shared.is_full() {
                        break;
                    }
                }
            }
        }
        // Bounds the memory: the log may have far more ticks than one part.
        if shared.is_full() {
            shared.seal()?;
        }
    }
    shared.has_caught_up.store(true, Ordering::Release);
    shared.seal()?;
    shared.are_keys_free.store(true, Ordering::Release);
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

fn follow(shared: &Shared, sealer: &mut Sealer) -> Result<Returned, LogError> {
    if is_crowded(shared) {
        if shared.is_stopping() {
            sealer.seal(shared);
            // Also if that failed: what is in no part is in the log.
            return Ok(Returned::Stopped);
        }
        std::thread::sleep(NAP);
        sealer.advance(shared);
        return Ok(Returned::Paused);
    }
    // After an error the cells in memory stay, so the thread goes on behind them.
    let from = shared.cells.lock().applied;
    let mut follower = match shared.log.follow(from.min(shared.log.position()))? {
        Follow::Changes(follower) => follower,
        // The snapshot moves `applied` to its own end, so the next call finds the Changes behind it.
        Follow::Compacted { snapshot } => {
            load(shared, snapshot, from, || {
                sealer.advance(shared);
                !is_crowded(shared)
            })?;
            return Ok(Returned::Paused);
        }
    };
    // Before the first wait: there may be nothing to catch up with.
    sealer.advance(shared);
    loop {
        let next = follower.next(NAP)?;
        let has_ended = next.is_none();
        if let Some(change) = next {
            apply(shared, &change);
        }
        // A Change that comes between these lines and the stop is left to the next start.
        let is_stopping = shared.is_stopping();
        if is_stopping && has_ended {
            sealer.seal(shared);
            return Ok(Returned::Stopped);
        }
        sealer.advance(shared);
        if is_crowded(shared) {
            return Ok(Returned::Paused);
        }
    }
}

/// Returns whether the cells in memory must be written before others are added.
fn is_crowded(shared: &Shared) -> bool {
    shared.cells.lock().open.len() >= CELLS_HELD
}

/// Adds the ticks of a Change.
fn apply(shared: &Shared, change: &Change) {
    // Decoded before the lock, which questions need as well.
    let ticks: Vec<_> = change.entries.iter().filter_map(|entry| tick_of(&entry.put)).collect();
    // What a start reads from the log was clicked before it.
    if shared.has_caught_up.load(Ordering::Acquire) {
        for (_, tick) in &ticks {
            shared.live.add(tick, shared.clock.now());
        }
    }
    add(shared, ticks, change.position);
}

/// Adds the ticks of a compacted log behind `from`, the oldest first, while `has_room` returns true after a tick.
fn load(
    shared: &Shared,
    mut snapshot: Box<dyn SnapshotReader>,
    from: Position,
    mut has_room: impl FnMut() -> bool,
) -> Result<(), LogError> {
    let end = snapshot.position();
    // Collected first, so that a snapshot that fails midway adds no half of its ticks. Encoded, so that their number
    // bounds their memory.
    let mut ticks = Vec::new();
    while let Some(record) = snapshot.next()? {
        // A later record comes again as a Change behind the snapshot.
        if is_tick(&record.key) && record.revision > from && record.revision <= end {
            ticks.push((record.revision, Put { key: record.key, value: Some(record.value) }));
        }
    }
    // Records come in no order. In that of their revisions, the cells up to each one are a whole part.
    ticks.sort_by_key(|(revision, _)| *revision);
    for (revision, put) in ticks {
        add(shared, tick_of(&put), revision);
        if !has_room() {
            // The rest is read by the next call, from the snapshot of that time.
            return Ok(());
        }
    }
    add(shared, None, end);
    Ok(())
}

/// Adds ticks whose Change is at this position.
fn add(shared: &Shared, ticks: impl IntoIterator<Item = (u8, Tick)>, position: Position) {
    let mut cells = shared.cells.lock();
    for (number, tick) in ticks {
        cells.open.add(&tick);
        cells.sorted = None;
        cells.ticks += 1;
        cells.last_number = number;
    }
    // Also without a tick: a start must not read this part of the log again.
    cells.applied = cells.applied.max(position);
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
