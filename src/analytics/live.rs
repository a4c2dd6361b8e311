//! [`LiveClicks`]: the clicks of this moment, for charts that move: the minutes of the last hour of each workspace, and the
//! clicks since a listener asked last.
//!
//! 1. Everything is in memory and begins empty. What is stored are cells, whose times are quarters of an hour.
//! 2. Only sums are kept: by workspace, and by link for listeners to one.
//! 3. The minutes of at most [`RINGS_MAX`] workspaces are kept. Past it, those of an active workspace are dropped, and
//!    minutes before that moment are unknown for all. No number is ever too low.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::analytics::cell::{COUNTED, Dimension};
use crate::analytics::tick::{LinkRow, Tick};
use crate::clock::Timestamp;
use crate::model::workspace::WorkspaceNumber;

/// Minutes of a ring: one hour.
pub const MINUTES: usize = 60;

/// The same, for arithmetic with times.
const MINUTES_I64: i64 = 60;

/// Most workspaces with a ring: some 3 MB.
const RINGS_MAX: usize = 8_192;

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// The clicks that a listener gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveScope {
    /// All links of a workspace.
    Workspace(WorkspaceNumber),
    /// One link.
    Link(LinkRow),
}

/// The clicks of the last minutes, oldest first. The last one is the present minute. `None`: before the server counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMinutes {
    /// The start of the first minute.
    pub from: Timestamp,
    /// One number for each minute.
    pub clicks: Vec<Option<u64>>,
}

/// A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct LiveClicks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<LiveState>,
    is_closed: watch::Sender<bool>,
}

#[derive(Debug)]
struct LiveState {
    rings: HashMap<u32, MinuteRing, RandomState>,
    /// The first minute for which all rings are whole.
    since: i64,
    listeners: HashMap<u64, ListenerSums, RandomState>,
    /// The number of the next listener.
    next: u64,
}

/// The clicks for one listener.
#[derive(Debug)]
struct ListenerSums {
    scope: LiveScope,
    /// Clicks since it asked last.
    clicks: u64,
    /// The minutes of a link, which no other ring has.
    ring: MinuteRing,
    since: i64,
}

/// The clicks of each of the last minutes.
#[derive(Clone, Debug)]
struct MinuteRing {
    /// By the number of the minute since 1970, modulo their number.
    clicks: [u64; MINUTES],
    /// The newest minute.
    last: i64,
}

impl MinuteRing {
    fn new(minute: i64) -> MinuteRing {
        MinuteRing { clicks: [0; MINUTES], last: minute }
    }

    /// Forgets minutes that are over for an hour.
    fn advance(&mut self, minute: i64) {
        let passed = (minute - self.last).clamp(0, MINUTES_I64);
        for later in 1..=passed {
            self.clicks[place(self.last + later)] = 0;
        }
        // A clock that was set back adds to the newest minute, until it is there again.
        self.last = self.last.max(minute);
    }

    fn add(&mut self, minute: i64, clicks: u64) {
        self.advance(minute);
        self.clicks[place(self.last)] += clicks;
    }

    fn minutes(&mut self, minute: i64, since: i64) -> LiveMinutes {
        self.advance(minute);
        let first = self.last - MINUTES_I64 + 1;
        let clicks =
            (first..=self.last).map(|minute| (minute >= since).then(|| self.clicks[place(minute)])).collect();
        LiveMinutes { from: Timestamp::from_millis(first * MINUTE), clicks }
    }
}

fn place(minute: i64) -> usize {
    usize::try_from(minute.rem_euclid(MINUTES_I64)).expect("below 60")
}

fn minute_of(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(MINUTE)
}

impl LiveClicks {
    /// Creates the empty state. `now` is the first moment that is counted.
    pub fn new(now: Timestamp) -> LiveClicks {
        let state = LiveState {
            rings: HashMap::default(),
            // The minute of the start lacks its beginning.
            since: minute_of(now) + 1,
            listeners: HashMap::default(),
            next: 0,
        };
        LiveClicks(Arc::new(Shared { state: Mutex::new(state), is_closed: watch::Sender::new(false) }))
    }

    /// Adds the counted clicks of a tick, whose drain was just now.
    pub fn add(&self, tick: &Tick, now: Timestamp) {
        // Before the lock: a tick can have thousands of cells.
        let links = sums_of(tick);
        if links.is_empty() {
            return;
        }
        let minute = minute_of(now);
        let mut state = self.0.state.lock();
        let workspaces: Vec<(u32, u64)> = links
            .chunk_by(|(a, _), (b, _)| a[..4] == b[..4])
            .filter_map(|run| {
                Some((workspace_of(&run.first()?.0), run.iter().map(|(_, clicks)| clicks).sum()))
            })
            .collect();
        for (workspace, clicks) in &workspaces {
            state.count(*workspace, minute, *clicks);
        }
        for sums in state.listeners.values_mut() {
            let found = match &sums.scope {
                LiveScope::Workspace(number) => workspaces
                    .binary_search_by_key(&number.0, |(number, _)| *number)
                    .map(|at| workspaces[at].1),
                LiveScope::Link(row) => {
                    links.binary_search_by_key(row, |(row, _)| *row).map(|at| links[at].1)
                }
            };
            if let Ok(clicks) = found {
                sums.clicks += clicks;
                sums.ring.add(minute, clicks);
            }
        }
    }

    /// Returns the minutes of a workspace.
    pub fn minutes(&self, workspace: WorkspaceNumber, now: Timestamp) -> LiveMinutes {
        let (mut state, minute) = (self.0.state.lock(), minute_of(now));
        let since = state.since;
        match state.rings.get_mut(&workspace.0) {
            Some(ring) => ring.minutes(minute, since),
            // No click in the last hour.
            None => MinuteRing::new(minute).minutes(minute, since),
        }
    }

    /// Adds a listener.
    pub fn listen(&self, scope: LiveScope, now: Timestamp) -> LiveListener {
        let mut state = self.0.state.lock();
        let (number, minute) = (state.next, minute_of(now));
        state.next += 1;
        let sums = ListenerSums { scope, clicks: 0, ring: MinuteRing::new(minute), since: minute + 1 };
        state.listeners.insert(number, sums);
        drop(state);
        LiveListener { live: self.clone(), number, is_closed: self.0.is_closed.subscribe() }
    }

    /// Ends all listeners, also those that come later: the server stops.
    pub fn close(&self) {
        self.0.is_closed.send_replace(true);
    }
}

impl LiveState {
    fn count(&mut self, workspace: u32, minute: i64, clicks: u64) {
        if self.rings.len() >= RINGS_MAX && !self.rings.contains_key(&workspace) {
            // A ring without a click for an hour is like none.
            self.rings.retain(|_, ring| minute - ring.last < MINUTES_I64);
            // Any other one: what it had is unknown from here on.
            if self.rings.len() >= RINGS_MAX
                && let Some(other) = self.rings.keys().next().copied()
            {
                self.rings.remove(&other);
                self.since = minute + 1;
            }
        }
        self.rings.entry(workspace).or_insert_with(|| MinuteRing::new(minute)).add(minute, clicks);
    }
}

/// A listener. Its drop ends it.
#[derive(Debug)]
pub struct LiveListener {
    live: LiveClicks,
    number: u64,
    is_closed: watch::Receiver<bool>,
}

impl LiveListener {
    /// Returns the clicks since the last call.
    pub fn take(&self) -> u64 {
        let mut state = self.live.0.state.lock();
        state.listeners.get_mut(&self.number).map_or(0, |sums| std::mem::take(&mut sums.clicks))
    }

    /// Returns the last minutes: of a link, those since the listener began.
    pub fn minutes(&self, now: Timestamp) -> LiveMinutes {
        let mut state = self.live.0.state.lock();
        let sums = state.listeners.get_mut(&self.number).expect("it is in the list until its drop");
        match sums.scope {
            LiveScope::Link(_) => sums.ring.minutes(minute_of(now), sums.since),
            LiveScope::Workspace(workspace) => {
                // The lock is not one that a thread may take twice.
                drop(state);
                self.live.minutes(workspace, now)
            }
        }
    }

    /// Returns once the server stops.
    pub async fn closed(&mut self) {
        // An error is a sender that was dropped, which `live` prevents.
        let _ = self.is_closed.wait_for(|is_closed| *is_closed).await;
    }
}

impl Drop for LiveListener {
    fn drop(&mut self) {
        self.live.0.state.lock().listeners.remove(&self.number);
    }
}

/// Returns the counted clicks of each link of a tick, in the order of their rows.
fn sums_of(tick: &Tick) -> Vec<(LinkRow, u64)> {
    let mut sums: Vec<(LinkRow, u64)> = Vec::new();
    let counted = tick.cells.iter().filter(|cell| cell.values[Dimension::Trigger as usize] & COUNTED != 0);
    for cell in counted {
        let row = tick.links[cell.link as usize];
        match sums.last_mut() {
            // Cells are sorted by link.
            Some((last, sum)) if *last == row => *sum += u64::from(cell.counts.clicks),
            _ => sums.push((row, cell.counts.clicks.into())),
        }
    }
    sums
}

fn workspace_of(row: &LinkRow) -> u32 {
    u32::from_be_bytes([row[0], row[1], row[2], row[3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::cell::{CellCounts, CellValues, TimeSlot};
    use crate::analytics::open::OpenCells;
    use crate::analytics::tick::link_row;
    use crate::model::id::Id;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_795_824_000_000 + minutes * MINUTE)
    }

    fn row(workspace: u32, link: u128) -> LinkRow {
        link_row(WorkspaceNumber(workspace), Id::from_bits(link))
    }

    fn tick(clicks: &[(u32, u128, u32, bool)]) -> Tick {
        let mut open = OpenCells::default();
        for (workspace, link, clicks, is_counted) in clicks {
            let link = open.link(&row(*workspace, *link));
            let mut values = CellValues::default();
            values[Dimension::Trigger as usize] = if *is_counted { COUNTED } else { 0 };
            let counts = CellCounts { clicks: *clicks, ..CellCounts::default() };
            open.count(link, TimeSlot(0), values, counts);
        }
        open.sorted()
    }

    fn numbers(minutes: &LiveMinutes) -> Vec<u64> {
        minutes.clicks.iter().flatten().copied().collect()
    }

    #[test]
    fn listeners_get_their_own_clicks() {
        let live = LiveClicks::new(at(0));
        live.add(&tick(&[(1, 1, 9, true)]), at(0));
        let of_workspace = live.listen(LiveScope::Workspace(WorkspaceNumber(1)), at(0));
        let of_link = live.listen(LiveScope::Link(row(1, 2)), at(0));
        let clicks = tick(&[(1, 1, 3, true), (1, 2, 2, true), (1, 2, 7, false), (2, 2, 4, true)]);
        live.add(&clicks, at(1));
        live.add(&clicks, at(2));
        assert_eq!((of_workspace.take(), of_link.take()), (10, 4));
        assert_eq!((of_workspace.take(), of_link.take()), (0, 0), "each click comes once");
        // The minute of the start lacks its beginning, so it is no number.
        assert_eq!(numbers(&of_workspace.minutes(at(3))), [5, 5, 0]);
        assert_eq!(numbers(&of_link.minutes(at(3))), [2, 2, 0]);
        assert_eq!(numbers(&live.minutes(WorkspaceNumber(3), at(3))), [0, 0, 0]);
        drop(of_link);
        assert_eq!(live.0.state.lock().listeners.len(), 1);
    }

    #[test]
    fn minutes_pass() {
        let live = LiveClicks::new(at(-1));
        let own = WorkspaceNumber(1);
        for minute in 0..100 {
            live.add(&tick(&[(1, 1, u32::try_from(minute).expect("positive") + 1, true)]), at(minute));
        }
        let minutes = live.minutes(own, at(99));
        assert_eq!(numbers(&minutes), (41..=100).collect::<Vec<_>>());
        assert_eq!(minutes.from, at(40));
        assert_eq!(numbers(&live.minutes(own, at(101))), (43..=100).chain([0, 0]).collect::<Vec<_>>());
        // A clock that was set back counts into the newest minute, and a jump forward forgets all.
        live.add(&tick(&[(1, 1, 5, true)]), at(7));
        assert_eq!(numbers(&live.minutes(own, at(101))).last(), Some(&5));
        assert_eq!(numbers(&live.minutes(own, at(5_000))), [0; MINUTES]);
    }

    #[test]
    fn more_workspaces_than_rings_make_minutes_unknown_and_never_too_low() {
        let live = LiveClicks::new(at(-100));
        let clicks = |range: std::ops::Range<u32>| {
            tick(&range.map(|workspace| (workspace, 1, 1, true)).collect::<Vec<_>>())
        };
        let most = u32::try_from(RINGS_MAX).expect("few");
        live.add(&clicks(0..most), at(0));
        // An hour later, all of them are idle, and nothing is lost.
        live.add(&clicks(most..2 * most), at(MINUTES_I64));
        assert_eq!(live.minutes(WorkspaceNumber(most), at(60)).clicks.last(), Some(&Some(1)));
        live.add(&clicks(0..1), at(61));
        let minutes = live.minutes(WorkspaceNumber(most), at(62));
        assert_eq!(numbers(&minutes), [0], "only the minute behind");
        assert!(live.0.state.lock().rings.len() <= RINGS_MAX);
    }

    #[tokio::test]
    async fn a_stop_ends_all_listeners() {
        let live = LiveClicks::new(at(0));
        let mut early = live.listen(LiveScope::Link(row(1, 1)), at(0));
        live.close();
        early.closed().await;
        live.listen(LiveScope::Link(row(1, 1)), at(0)).closed().await;
    }
}
