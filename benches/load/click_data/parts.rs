//! Writes the details of a month of clicks: a run for each hour, and all merges at the end of each day.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use waypost::analytics::open::{self, OpenCells};
use waypost::analytics::part::header::{PartHeader, PartLevel};
use waypost::analytics::part::writer::PartWriter;
use waypost::analytics::store::{ClickStore, FOLDER, Keep};
use waypost::analytics::tick::Tick;
use waypost::clock::Clock;
use waypost::log::local::disk::{Disk, FsDisk};
use waypost::log::{Log, Position, Proposal, Put};
use waypost::model::node::NodeNumber;
use waypost::table::keys;

use crate::bare_log;
use crate::clicks::{DAY, Month, Visits, hour_of};
use crate::random::Traffic;

/// Long enough for all precision.
const KEEP: Keep =
    Keep { slots: Duration::from_hours(24 * 90), hours: Duration::from_hours(24 * 400), all: None };

/// Where the parts are written.
struct Output {
    disk: Arc<FsDisk>,
    log: Arc<dyn Log>,
}

/// Writes the parts. Without `merges_all`, those of the last day stay apart.
pub(crate) fn write(data: &Path, traffic: &Traffic, merges_all: bool) -> Result<(), Box<dyn Error>> {
    let month = Month::last();
    let log = Arc::new(bare_log::open(&data.join("log"))?);
    let disk = Arc::new(FsDisk::open(&data.join(FOLDER))?);
    let output = Output { disk, log: Arc::clone(&log) as _ };
    let (began, mut merges) = (Instant::now(), Duration::ZERO);
    for day in 0..month.days {
        output.day(&month, day, traffic)?;
        if merges_all || day + 1 < month.days {
            let started = cpu();
            output.merge(&Clock::fixed(month.day(day + 1).plus_millis(DAY / 24)))?;
            merges = cpu().saturating_sub(started);
        }
        let took = began.elapsed().as_secs();
        writeln!(std::io::stderr(), "{} of {} days after {took} s", day + 1, month.days)?;
    }
    let (parts, bytes) = output.sizes()?;
    log.close();
    let (clicks, from, to) = (traffic.clicks, month.start, month.day(month.days));
    // Behind the last day: the merges of a day, of eight days and of the month.
    let (merge, memory, took) = (merges.as_secs_f64(), peak_memory(), began.elapsed().as_secs_f64());
    let [hottest, median] = [1, traffic.links / 2].map(|rank| traffic.link(rank));
    let (hot, middle) = (month.id(hottest), month.id(median));
    writeln!(
        std::io::stdout(),
        r#"{{"clicks":{clicks},"from":"{from}","to":"{to}","hottest":"{hot}","hottest_code":"{hottest:07}","median":"{middle}","median_code":"{median:07}","parts":{parts},"bytes":{bytes},"merge_seconds":{merge:.1},"peak_memory":{memory},"seconds":{took:.1}}}"#,
    )?;
    Ok(())
}

impl Output {
    /// Writes the runs of a day.
    fn day(&self, month: &Month, day: u32, traffic: &Traffic) -> Result<(), Box<dyn Error>> {
        let (mut ranks, mut visits) = (traffic.ranks(day), Visits::new(day));
        let clicks = traffic.clicks_of(day, month.days);
        let mut done = 0;
        for hour in 0..24 {
            let slot = hour_of(month.day(day), hour);
            let mut open = OpenCells::default();
            while done < Month::until(clicks, hour + 1) {
                visits.draw().add(&mut open, &month.row(traffic.link(ranks.next())), slot);
                done += 1;
                // As many as a server has in memory at most.
                if open.len() >= 65_536 {
                    self.run(&std::mem::take(&mut open).sorted())?;
                }
            }
            if !open.is_empty() {
                self.run(&open.sorted())?;
            }
        }
        Ok(())
    }

    /// Writes a run, and a Change with an empty tick: a part has the positions of its own Changes.
    fn run(&self, tick: &Tick) -> Result<(), Box<dyn Error>> {
        let key = keys::tick(NodeNumber::ALONE, (self.log.position().0 % 256) as u8);
        let put = Put { key, value: Some(Tick::default().encode().into()) };
        let Position(at) = self.log.commit(Proposal { puts: vec![put], ..Proposal::default() }).wait()?;
        let slots = || tick.cells.iter().map(|cell| cell.slot);
        let header = PartHeader {
            level: PartLevel::Run,
            node: 0,
            log: self.log.id(),
            first: slots().min().unwrap_or_default(),
            last: slots().max().unwrap_or_default(),
            from: at,
            to: at,
        };
        let file = self.disk.create(&format!("{at:016x}-{at:016x}.part"))?;
        open::write(tick, PartWriter::new(file, &header)?)?;
        Ok(())
    }

    /// Merges as a server does at this time.
    fn merge(&self, clock: &Clock) -> Result<(), Box<dyn Error>> {
        let disk: Arc<dyn Disk> = Arc::clone(&self.disk) as _;
        let store = ClickStore::open(disk, Arc::clone(&self.log), clock.clone(), KEEP, Arc::new(|_| true))?;
        store.settle(&(Arc::new(|_: &[u8]| true) as _))?;
        Ok(())
    }

    /// Returns the number of parts and their bytes.
    fn sizes(&self) -> Result<(usize, u64), Box<dyn Error>> {
        let names: Vec<_> = self
            .disk
            .list()?
            .into_iter()
            .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "part"))
            .collect();
        let mut bytes = 0;
        for name in &names {
            bytes += self.disk.open(name)?.size()?;
        }
        Ok((names.len(), bytes))
    }
}

/// Returns for how long this thread had a processor: other programs hardly change it.
pub(crate) fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Returns the most memory that this process had, in bytes.
fn peak_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kb| kb * 1_024)
}
