//! [`SteadyTime`]: the time by which parts are merged, become coarser and are deleted.
//!
//! What has become coarser or was deleted cannot be had back. So this time does not follow a clock that jumps:
//!
//! 1. A clock within a week of the steady time is followed at once, ahead and back.
//! 2. A clock further away is followed once it has run for a day in one process. Until then, the earlier of both counts:
//!    everything stays too long rather than too short.
//! 3. The steady time is in a file. So several starts with a wrong clock, each with clicks, are no evidence for it.

use std::io;
use std::time::{Duration, Instant};

use super::small_file;
use crate::analytics::cell::{SLOT_SECONDS, TimeSlot};
use crate::log::local::disk::Disk;

/// How far the clock may be away to be followed at once: a stop of a week delays nothing.
const NEAR: u32 = 7 * 24 * HOUR;

/// How long a clock that has jumped must run before it is followed. An operator has this time to correct it.
const PROOF: Duration = Duration::from_hours(24);

/// Slots of an hour.
const HOUR: u32 = 4;

/// The file of the steady time.
const FILE: &str = "time";

/// The steady time.
#[derive(Debug)]
pub(super) struct SteadyTime {
    time: TimeSlot,
    /// The clock at the first look after its jump, and when that was.
    jumped: Option<(TimeSlot, Instant)>,
    /// What the file has, as far as this process knows.
    stored: Option<TimeSlot>,
}

impl SteadyTime {
    /// Reads the steady time. Without a file, it is the newest slot of all parts, or the clock where there is none.
    pub(super) fn open(disk: &dyn Disk, newest: Option<TimeSlot>, clock: TimeSlot) -> SteadyTime {
        let stored = small_file::read_checked(disk, FILE).map(|bytes| TimeSlot(u32::from_le_bytes(bytes)));
        SteadyTime { time: stored.or(newest).unwrap_or(clock), jumped: None, stored }
    }

    /// Returns the time by which parts are judged. `clock` is what the clock shows at `now`.
    pub(super) fn follow(&mut self, clock: TimeSlot, now: Instant) -> TimeSlot {
        if is_near(self.time, clock) {
            (self.time, self.jumped) = (clock, None);
            return clock;
        }
        let since = self.jumped.filter(|(start, at)| is_near(later(*start, now - *at), clock));
        // A clock that jumps again has not run for a day.
        let (start, at) = since.unwrap_or_else(|| {
            report(self.time, clock);
            (clock, now)
        });
        self.jumped = Some((start, at));
        if now - at >= PROOF {
            (self.time, self.jumped) = (clock, None);
        }
        self.time.min(clock)
    }

    /// Stores the steady time, once an hour at most.
    pub(super) fn store(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.stored.is_some_and(|stored| stored.0.abs_diff(self.time.0) < HOUR) {
            return Ok(());
        }
        small_file::replace(disk, FILE, &self.time.0.to_le_bytes())?;
        self.stored = Some(self.time);
        Ok(())
    }
}

fn is_near(time: TimeSlot, clock: TimeSlot) -> bool {
    time.0.abs_diff(clock.0) <= NEAR
}

/// Returns the slot after this time.
fn later(slot: TimeSlot, by: Duration) -> TimeSlot {
    let slots = by.as_secs() / SLOT_SECONDS.unsigned_abs();
    TimeSlot(slot.0.saturating_add(u32::try_from(slots).unwrap_or(u32::MAX)))
}

fn report(time: TimeSlot, clock: TimeSlot) {
    let (days, way) = (time.0.abs_diff(clock.0) / (24 * HOUR), if clock > time { "ahead" } else { "back" });
    tracing::warn!(
        "the clock has jumped {days} days {way}, or the server has not run for as long: details of clicks become coarser \
         and are deleted by it once the server has run with it for a day"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::local::disk::FsDisk;

    const DAY: u32 = 24 * HOUR;
    const TODAY: TimeSlot = TimeSlot(20_000 * DAY);

    fn days(days: u32) -> TimeSlot {
        TimeSlot(TODAY.0 + days * DAY)
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_hours(hours)
    }

    fn steady() -> SteadyTime {
        SteadyTime { time: TODAY, jumped: None, stored: None }
    }

    #[test]
    fn a_clock_near_by_is_followed_at_once() {
        let (mut steady, start) = (steady(), Instant::now());
        for day in [1, 8, 2, 7, 14] {
            assert_eq!(steady.follow(days(day), start), days(day));
        }
    }

    #[test]
    fn a_clock_that_jumped_is_followed_after_a_day() {
        let (mut steady, start) = (steady(), Instant::now());
        let far = days(5_000);
        assert_eq!(steady.follow(far, start), TODAY);
        // Almost a day later, by the clock as well.
        assert_eq!(steady.follow(later(far, hours(23)), start + hours(23)), TODAY);
        let next = later(far, hours(24));
        assert_eq!(steady.follow(next, start + hours(24)), next);
        // The way back takes as long, and what is earlier counts at once.
        assert_eq!(steady.follow(TODAY, start + hours(25)), TODAY);
        assert_eq!(steady.follow(days(1), start + hours(49)), days(1));
        // From here on, the wrong time is as far away as at first.
        assert_eq!(steady.follow(far, start + hours(50)), days(1));
    }

    #[test]
    fn a_clock_that_is_corrected_or_jumps_again_was_never_followed() {
        let (mut steady, start) = (steady(), Instant::now());
        assert_eq!(steady.follow(days(5_000), start), TODAY);
        assert_eq!(steady.follow(days(1), start + hours(23)), days(1), "corrected");
        assert_eq!(steady.follow(days(5_001), start + hours(24)), days(1));
        assert_eq!(steady.follow(days(9_000), start + hours(47)), days(1), "another jump");
        assert_eq!(steady.follow(days(9_000), start + hours(70)), days(1));
        assert_eq!(steady.follow(days(9_001), start + hours(71)), days(9_001));
    }

    #[test]
    fn starts_with_a_wrong_clock_are_no_evidence() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = FsDisk::open(folder.path()).expect("a folder");
        let far = days(5_000);
        let (mut first, now) = (SteadyTime::open(&disk, None, TODAY), Instant::now());
        assert_eq!(first.follow(TODAY, now), TODAY);
        first.store(&disk).expect("stored");
        for _ in 0..3 {
            // The parts have clicks of the wrong time by now.
            let mut next = SteadyTime::open(&disk, Some(far), far);
            assert_eq!(next.follow(far, now), TODAY);
            assert_eq!(next.follow(far, now + hours(20)), TODAY);
            next.store(&disk).expect("stored");
        }
        let mut last = SteadyTime::open(&disk, Some(far), days(2));
        assert_eq!(last.follow(days(2), now), days(2));
    }

    #[test]
    fn without_a_file_the_newest_part_counts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = FsDisk::open(folder.path()).expect("a folder");
        let mut steady = SteadyTime::open(&disk, Some(TODAY), days(100));
        assert_eq!(steady.follow(days(100), Instant::now()), TODAY);
        steady.store(&disk).expect("stored");
        let path = folder.path().join(FILE);
        let mut bytes = std::fs::read(&path).expect("the file");
        bytes[1] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        // As without a file.
        assert_eq!(SteadyTime::open(&disk, None, days(3)).follow(days(3), Instant::now()), days(3));
    }
}
