//! The metrics of the process that all programs have in common, under the names of Prometheus' own libraries:
//! `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and others.

use std::fmt;
use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::clock::Clock;
use crate::descriptors;

/// The metrics of this process.
#[derive(Debug)]
pub(in crate::http) struct ProcessMetrics {
    /// In seconds since 1970. Read once: it must not move with the clock.
    started: f64,
}

impl ProcessMetrics {
    pub(in crate::http) fn new() -> ProcessMetrics {
        ProcessMetrics { started: now().saturating_sub(age().unwrap_or_default()).as_secs_f64() }
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cpu = duration(clock_gettime(ClockId::ProcessCPUTime)).as_secs_f64();
        let help = "Time of the processors, of users and of the system, in seconds";
        let to = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(cpu).encode(to)?;
        let to = encoder.encode_descriptor(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.started).encode(to)?;
        let (size, resident) = memory().unwrap_or_default();
        let gauges = [
            ("process_resident_memory_bytes", "Memory that is resident", resident),
            ("process_virtual_memory_bytes", "Memory that is mapped", size),
            ("process_open_fds", "Open file descriptors", descriptors::open()),
            ("process_max_fds", "Most open file descriptors", descriptors::limit()),
        ];
        for (name, help, value) in gauges {
            let to = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            // Saturates: no limit is `u64::MAX`.
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(to)?;
        }
        Ok(())
    }
}

/// Returns the time since 1970.
fn now() -> Duration {
    Duration::from_millis(u64::try_from(Clock::system().now().as_millis()).unwrap_or(0))
}

/// Returns the mapped and the resident memory in bytes.
fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_ascii_whitespace().map(str::parse::<u64>);
    let page = page_size() as u64;
    Some((pages.next()?.ok()? * page, pages.next()?.ok()? * page))
}

/// Returns for how long the process exists.
fn age() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program comes first, in parentheses, and may contain anything.
    let (_, fields) = text.rsplit_once(')')?;
    // Field 22 of proc(5); the first after the name is field 3.
    let ticks: u64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let millis = ticks.checked_mul(1_000)? / clock_ticks_per_second().max(1);
    duration(clock_gettime(ClockId::Boottime)).checked_sub(Duration::from_millis(millis))
}

fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_an_age_and_memory() {
        let age = age().expect("procfs");
        assert!(age < Duration::from_hours(24), "{age:?}");
        let (size, resident) = memory().expect("procfs");
        assert!(resident > 1_000_000 && size >= resident, "{size} {resident}");
        assert!((now().as_secs_f64() - ProcessMetrics::new().started - age.as_secs_f64()).abs() < 5.0);
    }
}
