//! Endpoints for operators: `/healthz` (whether the process is alive, and its problems), `/readyz` (what the
//! start waits for) and `/metrics` (Prometheus text).
//!
//! Numbers come from [`MetricSource`]s, one for each part, which each scrape reads. Labels are constants, so
//! that no part of a request can ever become one.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS};
use hyper::{HeaderMap, Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

use crate::analytics::Analytics;
use crate::cache::Cache;
use crate::certificates::{CertificateOwner, CertificateSummary, Certificates};
use crate::checks::Checks;
use crate::clock::{Clock, Timestamp};
use crate::core::Core;
use crate::http::api::response::respond;
use crate::http::body::{Content, HttpResponse};
use crate::http::counts::{EventCount, HttpCounts};
use crate::http::exposition::Exposition;
use crate::http::process_metrics::ProcessMetrics;
use crate::log::Log;
use crate::log::local::LocalLog;
use crate::model::certificate::CertificateState;
use crate::readiness::Readiness;
use crate::table::Table;
use crate::visit::host_misses::HostMisses;
use crate::webhooks::Webhooks;

/// The labels of `waypost_build_info`.
const BUILD: Labels =
    &[("version", env!("CARGO_PKG_VERSION")), ("os", std::env::consts::OS), ("arch", std::env::consts::ARCH)];

/// `Retry-After` of `/readyz`, in seconds.
const RETRY_SECONDS: u32 = 1;

/// The `[metrics]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether `/metrics` needs no key.
    pub public: bool,
}

/// A part of the server that has metrics.
pub trait MetricSource: fmt::Debug + Send + Sync + 'static {
    /// Appends the current values.
    fn measure(&self, to: &mut Vec<Measure>);

    /// Returns a histogram of the part, with its name and its description.
    fn histogram(&self) -> Option<(&'static str, &'static str, Histogram)> {
        None
    }

    /// Appends the problems of the part, a sentence each. `/healthz` shows them to anyone, so they contain no
    /// paths and no names.
    fn problems(&self, to: &mut Vec<String>) {
        let _ = to;
    }
}

/// The labels of a value. Constants only.
type Labels = &'static [(&'static str, &'static str)];

/// A metric and its value. Values of one metric follow one another and differ in their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    name: &'static str,
    labels: Labels,
    help: &'static str,
    kind: MetricKind,
    value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MetricKind {
    Counter,
    Gauge,
}

impl Measure {
    /// Creates a counter, which only grows. Prometheus sees it as `name_total`.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Measure {
        Measure { name, labels: &[], help, kind: MetricKind::Counter, value }
    }

    /// Creates a gauge, which goes up and down.
    pub(crate) fn gauge(name: &'static str, help: &'static str, value: u64) -> Measure {
        Measure { name, labels: &[], help, kind: MetricKind::Gauge, value }
    }

    /// Adds labels.
    pub(crate) fn labelled(self, labels: Labels) -> Measure {
        Measure { labels, ..self }
    }

    /// Returns the value of a metric without labels that has this name.
    fn value_of(&self, name: &str) -> Option<u64> {
        (self.name == name && self.labels.is_empty()).then_some(self.value)
    }

    fn encode(self, to: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self.kind {
            MetricKind::Counter => ConstCounter::new(self.value).encode(to),
            // Saturates: gauges are signed, and none of ours has a value of this size.
            MetricKind::Gauge => ConstGauge::new(i64::try_from(self.value).unwrap_or(i64::MAX)).encode(to),
        }
    }
}

/// The state of the server at one moment, for a page.
#[derive(Clone, Debug)]
pub struct HealthReport {
    /// What `/healthz` names, a sentence each.
    pub problems: Vec<String>,
    /// What `/readyz` waits for.
    pub waiting: Vec<String>,
    measures: Vec<Measure>,
}

impl HealthReport {
    /// Returns the value of a metric without labels, by its name without `waypost_`. `None` if the server has no such
    /// part.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.measures.iter().find_map(|measure| measure.value_of(name))
    }
}

/// The three endpoints.
#[derive(Debug)]
pub struct Ops {
    readiness: Readiness,
    sources: Arc<Sources>,
    registry: Registry,
    /// Whether `/metrics` needs no key.
    pub(crate) is_public: bool,
}

#[derive(Debug)]
struct Sources {
    all: Vec<Box<dyn MetricSource>>,
    started: Instant,
}

impl Ops {
    /// Creates the endpoints over these parts. The uptime begins now.
    pub fn new(settings: &Settings, readiness: Readiness, all: Vec<Box<dyn MetricSource>>) -> Ops {
        let sources = Arc::new(Sources { all, started: Instant::now() });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics::new()));
        let own = registry.sub_registry_with_prefix("waypost");
        for (name, help, histogram) in sources.all.iter().filter_map(|source| source.histogram()) {
            own.register(name, help, histogram);
        }
        // A collector reads at each scrape; registered metrics would have to be kept up to date.
        own.register_collector(Box::new(Arc::clone(&sources)));
        Ops { readiness, sources, registry, is_public: settings.public }
    }

    /// Responds to `/healthz`. Always 200: a supervisor must not kill a server that serves redirects from
    /// memory on a full disk.
    pub fn health(&self) -> HttpResponse {
        let problems = self.sources.problems();
        let body = if problems.is_empty() {
            serde_json::json!({ "status": "ok" })
        } else {
            // For people and monitors. The status stays 200, which supervisors look at.
            serde_json::json!({ "status": "degraded", "why": problems })
        };
        respond(StatusCode::OK, body.to_string().into_bytes())
    }

    /// Returns what the three endpoints report. The metrics in it are for callers that may read them.
    pub fn report(&self) -> HealthReport {
        let Ops { readiness, sources, .. } = self;
        HealthReport { problems: sources.problems(), waiting: readiness.held(), measures: sources.measures() }
    }

    /// Responds to `/readyz`: 503 while any latch is held.
    pub fn ready(&self) -> HttpResponse {
        let held = self.readiness.held();
        if held.is_empty() {
            return respond(StatusCode::OK, br#"{"status":"ready"}"#.to_vec());
        }
        let body = serde_json::json!({ "status": "not ready", "waitingFor": held });
        let mut response = respond(StatusCode::SERVICE_UNAVAILABLE, body.to_string().into_bytes());
        // Short, so that a balancer notices the end of the start at once.
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        response
    }

    /// Responds to `/metrics`, in the format that the request asks for. The caller has checked the key.
    pub fn metrics(&self, request: &HeaderMap) -> HttpResponse {
        let mut body = String::new();
        text::encode(&mut body, &self.registry).expect("writing into a String cannot fail");
        let exposition = Exposition::of(request);
        let mut response = Response::new(Content::from(Bytes::from(exposition.convert(body))));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(exposition.content_type()));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        // A cached response would show old values.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

impl Sources {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for source in &self.all {
            source.problems(&mut problems);
        }
        problems
    }

    fn measures(&self) -> Vec<Measure> {
        let uptime = self.started.elapsed().as_secs();
        let build =
            Measure::gauge("build_info", "Always 1; the labels describe the build", 1).labelled(BUILD);
        let mut measures = vec![build, Measure::gauge("uptime_seconds", "Seconds since the start", uptime)];
        for source in &self.all {
            source.measure(&mut measures);
        }
        measures
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let measures = self.measures();
        for metric in measures.chunk_by(|a, b| a.name == b.name) {
            let first = metric[0];
            let kind = match first.kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
            };
            let mut to = encoder.encode_descriptor(first.name, first.help, None, kind)?;
            if first.labels.is_empty() {
                first.encode(to)?;
                continue;
            }
            for measure in metric {
                measure.encode(to.encode_family(&measure.labels)?)?;
            }
        }
        Ok(())
    }
}

/// The counts of connections and responses.
impl MetricSource for Arc<HttpCounts> {
    fn measure(&self, to: &mut Vec<Measure>) {
        // Saturates: the two counts are not read at one instant.
        let open = self.connections.get().saturating_sub(self.closed.get());
        to.extend([
            Measure::gauge("http_connections_open", "Open connections", open),
            Measure::counter("http_connections", "Connections accepted", self.connections.get()),
            Measure::counter("http_connections_surplus", "Connections beyond the cap", self.surplus.get()),
            Measure::counter("http_accept_errors", "Failures to accept", self.accept_errors.get()),
            Measure::counter("http_panics", "Requests that ended in a panic", self.panics.get()),
            Measure::counter("api_ok", "API answers below 400", self.api_ok.get()),
            Measure::counter("api_refused", "API answers from 400 to 499", self.api_refused.get()),
            Measure::counter("api_failed", "API answers from 500", self.api_failed.get()),
        ]);
        let classes: [(usize, Labels); 4] = [
            (2, &[("code", "2xx")]),
            (3, &[("code", "3xx")]),
            (4, &[("code", "4xx")]),
            (5, &[("code", "5xx")]),
        ];
        to.extend(classes.map(|(class, labels)| {
            let help = "Answers to visitors and to the APIs, by the class of their status";
            Measure::counter("http_responses", help, self.of_class(class)).labelled(labels)
        }));
    }

    fn histogram(&self) -> Option<(&'static str, &'static str, Histogram)> {
        let help = "Time from the head of a request to the head of its redirect, of one redirect in 64";
        Some(("redirect_duration_seconds", help, self.latency.0.clone()))
    }

    fn problems(&self, to: &mut Vec<String>) {
        // Stays until a restart: a panic is a fault of the program, and must not be overlooked.
        if self.panics.get() > 0 {
            to.push("a request ended in a panic since the start: please report the log line".to_owned());
        }
    }
}

/// Returns a time in seconds since 1970, or 0 for never.
fn seconds(at: Option<Timestamp>) -> u64 {
    at.map_or(0, |at| u64::try_from(at.as_millis() / 1_000).unwrap_or(0))
}

/// The log, of any engine.
impl MetricSource for Arc<dyn Log> {
    fn measure(&self, to: &mut Vec<Measure>) {
        let status = self.status();
        to.extend([
            Measure::gauge("log_position", "Last durable position of the log", status.position.0),
            Measure::gauge("log_records", "Live records", status.fingerprint.count),
        ]);
    }

    fn problems(&self, to: &mut Vec<String>) {
        to.extend(self.status().problems.into_iter().map(str::to_owned));
    }
}

/// The metrics of the file engine.
impl MetricSource for Arc<LocalLog> {
    fn measure(&self, to: &mut Vec<Measure>) {
        let status = self.local_status();
        to.extend([
            Measure::gauge("log_bytes", "Bytes of all segments", status.bytes),
            Measure::gauge("log_segments", "Segments", status.segments as u64),
            Measure::counter("log_syncs", "fsyncs that succeeded", status.syncs),
            Measure::counter("log_failed_syncs", "fsyncs that failed", status.failed_syncs),
            Measure::gauge("log_disk_full", "1 while writes are refused", u64::from(status.disk_full)),
            Measure::gauge(
                "log_scrubbed_seconds",
                "When all segments were last found whole, since 1970",
                seconds(status.last_scrub),
            ),
            Measure::gauge("log_damaged_segments", "Damaged segments found", status.damaged_segments),
        ]);
    }
}

/// The distance of the table from the log, in Changes.
#[derive(Debug)]
#[allow(missing_docs)] // The fields are the two ends.
pub struct Lag {
    pub log: Arc<dyn Log>,
    pub table: Table,
}

impl MetricSource for Lag {
    fn measure(&self, to: &mut Vec<Measure>) {
        // The table first: read the other way round, it could have passed the position of the log.
        let (applied, position) = (self.table.status().applied, self.log.position());
        let lag = position.0.saturating_sub(applied.0);
        to.push(Measure::gauge("table_lag", "Changes in the log that the table has not applied", lag));
    }
}

/// The table.
impl MetricSource for Table {
    fn measure(&self, to: &mut Vec<Measure>) {
        let status = self.status();
        to.extend([
            Measure::gauge("table_position", "Last position applied to the table", status.applied.0),
            Measure::gauge(
                "table_scrubbed_seconds",
                "When all records were last found whole, since 1970",
                seconds(status.last_scrub),
            ),
            Measure::gauge("table_ready", "1 while the table answers", u64::from(status.ready)),
            Measure::gauge("table_bytes", "Bytes of the table's files", status.bytes),
            Measure::counter("table_rebuilds", "Rebuilds from the log", status.rebuilds),
        ]);
    }

    fn problems(&self, to: &mut Vec<String>) {
        let status = self.status();
        if !status.ready {
            to.push("the table is being rebuilt: links that are not in memory cannot be served".to_owned());
        }
        // Without the error: it may name a path, and anyone may read `/healthz`.
        if status.last_error.is_some() {
            to.push("the table failed since the start: see the log lines".to_owned());
        }
    }
}

/// The cache and its counters.
impl MetricSource for Cache {
    fn measure(&self, to: &mut Vec<Measure>) {
        // The three pairs are read one after the other, so they may differ by what happens between.
        let (links, bytes) = self.size();
        let (counted, dropped) = self.counters().totals();
        let (counters, unattached) = self.counters().size();
        to.extend([
            Measure::gauge("cache_links", "Links in memory", links as u64),
            Measure::gauge("cache_bytes", "Bytes they take", bytes as u64),
            Measure::gauge(
                "cache_codes_bytes",
                "Bytes it takes to know which codes lead nowhere",
                self.codes_bytes() as u64,
            ),
            Measure::gauge("counters", "Click counters in memory", counters as u64),
            Measure::gauge(
                "counters_unattached",
                "Those whose links have left memory, and whose totals wait for the table",
                unattached as u64,
            ),
            Measure::counter("clicks", "Clicks counted and flushed", counted),
            Measure::counter(
                "clicks_dropped",
                "Clicks lost for want of memory: the disk is full, or the table far behind the log",
                dropped,
            ),
        ]);
    }
}

/// The details of clicks.
impl MetricSource for Arc<Analytics> {
    fn measure(&self, to: &mut Vec<Measure>) {
        let status = self.store.status();
        to.extend([
            Measure::counter(
                "click_details_dropped",
                "Counted clicks whose details are not kept, for want of memory or room on the disk",
                self.dropped(),
            ),
            Measure::counter(
                "misses_dropped",
                "Visits without a link that are in no count of misses, since too many came at once",
                self.dropped_misses(),
            ),
            Measure::gauge(
                "click_details_waiting",
                "Visits whose details wait for the log; a stop loses those that the log does not take",
                self.waiting(),
            ),
            Measure::gauge("click_details_parts", "Files with click details", status.parts as u64),
            Measure::gauge("click_details_bytes", "Bytes of those files", status.bytes),
            Measure::gauge(
                "click_details_open_cells",
                "Cells that are in no file yet",
                status.open_cells as u64,
            ),
            Measure::gauge(
                "click_details_ready",
                "1 once the details of clicks before the start are read; until then questions get 503",
                status.has_caught_up.into(),
            ),
            Measure::gauge(
                "click_details_lag",
                "Changes of the log whose click details no answer has yet",
                status.behind,
            ),
            Measure::counter(
                "click_details_failed_writes",
                "Tries to write a file with click details that failed",
                status.failed_writes,
            ),
            unwritten(status.is_unwritten),
            Measure::counter(
                "click_details_damaged",
                "Files with click details that are damaged, missing or could not be read since the start",
                status.damaged,
            ),
        ]);
        let countries = self.countries.status();
        let made = countries.built.and_then(|built| built.duration_since(UNIX_EPOCH).ok());
        to.extend([
            Measure::gauge(
                "country_ranges",
                "Ranges of addresses whose country is known; 0 without a file of countries",
                countries.ranges as u64,
            ),
            Measure::gauge(
                "country_built_seconds",
                "When the countries in use were made, since 1970; 0 without a file",
                made.map_or(0, |made| made.as_secs()),
            ),
            Measure::gauge(
                "country_stale",
                "1 while the file of countries cannot be used or is gone",
                u64::from(countries.is_stale),
            ),
        ]);
    }

    fn problems(&self, to: &mut Vec<String>) {
        let status = self.store.status();
        if status.damaged > 0 {
            to.push(
                "a file of click details is damaged, missing or cannot be read: see the log lines".to_owned(),
            );
        }
        if self.countries.status().is_stale {
            to.push("the file of countries cannot be used or is gone: see the log lines".to_owned());
        }
        if status.is_unwritten {
            to.push("click details cannot be written to the disk: see the log lines".to_owned());
        }
    }
}

fn unwritten(is_so: bool) -> Measure {
    Measure::gauge(
        "click_details_unwritten",
        "1 while click details cannot be written to the disk",
        is_so.into(),
    )
}

/// The details of clicks of a server that should keep them and cannot use their folder.
#[derive(Debug)]
pub struct NoClickDetails;

impl MetricSource for NoClickDetails {
    fn measure(&self, to: &mut Vec<Measure>) {
        to.push(unwritten(true));
    }

    fn problems(&self, to: &mut Vec<String>) {
        to.push("no click details are kept, since their folder cannot be used: see the log lines".to_owned());
    }
}

/// The commands.
impl MetricSource for Core {
    fn measure(&self, to: &mut Vec<Measure>) {
        let help = "Writes that kept other writes waiting for over 100 ms";
        let list = self.deny_list().status();
        to.extend([
            Measure::counter("exclusive_holds_over_100ms", help, self.long_exclusive_holds()),
            Measure::gauge("denied_hosts", "Hosts on the deny list", list.hosts),
            Measure::gauge(
                "denied_hosts_written_seconds",
                "When the file of the deny list in force was written, since 1970",
                seconds(list.modified),
            ),
            Measure::gauge(
                "denied_hosts_stale",
                "1 while the file of the deny list cannot be used and an older list is in force",
                u64::from(list.is_stale),
            ),
            Measure::counter("denied_visits", "Visits that got a warning page", list.refused_visits),
        ]);
    }

    fn problems(&self, to: &mut Vec<String>) {
        if self.deny_list().status().is_stale {
            to.push("the file of the deny list cannot be used, and an older list is in force".to_owned());
        }
    }
}

/// HTTPS.
#[derive(Debug)]
#[allow(missing_docs)] // The parts that are measured.
pub struct Https {
    pub certificates: Certificates,
    pub clock: Clock,
    pub counts: Arc<HttpCounts>,
}

/// The states of certificates. None of a name: names are of customers.
const STATES: [(CertificateState, Labels); 5] = [
    (CertificateState::Pending, &[("state", "pending")]),
    (CertificateState::Failing, &[("state", "failing")]),
    (CertificateState::Valid, &[("state", "valid")]),
    (CertificateState::Expiring, &[("state", "expiring")]),
    (CertificateState::Expired, &[("state", "expired")]),
];

impl MetricSource for Https {
    fn measure(&self, to: &mut Vec<Measure>) {
        let all = self.certificates.summaries(self.clock.now());
        to.extend(STATES.map(|(state, labels)| {
            let number = all.iter().filter(|summary| summary.state == state).count();
            let help = "Certificates of names and of the owner's files, by state";
            Measure::gauge("certificates", help, number as u64).labelled(labels)
        }));
        let earliest = all.iter().filter_map(|summary| summary.expires_at).min();
        let help = "When the first certificate ends, since 1970; 0 without one";
        to.push(Measure::gauge("certificate_earliest_expiry_seconds", help, seconds(earliest)));
        let help = "Names in `domain` and files of the owner whose certificate is missing, unusable, ends soon or has ended";
        let ill = all.iter().filter(|summary| Https::problem(summary).is_some()).count();
        to.push(Measure::gauge("certificates_degraded", help, ill as u64));
        let help = "Names in `domain` and files of the owner whose certificate browsers do not trust";
        let untrusted = all.iter().filter(|summary| summary.is_untrusted).count();
        to.push(Measure::gauge("certificates_untrusted", help, untrusted as u64));
        let is_wrong = self.certificates.wrong_clock().is_some();
        let help = "1 while the clock of this machine differs from the authority's by more than an hour";
        to.push(Measure::gauge("certificate_clock_wrong", help, u64::from(is_wrong)));
        let help = "1 while certificates cannot be written to the data folder";
        let are_unwritten = self.certificates.are_unwritten();
        to.push(Measure::gauge("certificates_unwritten", help, u64::from(are_unwritten)));
        let counts = &self.counts.handshakes;
        let results: [(&EventCount, Labels); 6] = [
            (&counts.completed, &[("result", "completed")]),
            (&counts.timed_out, &[("result", "timed_out")]),
            (&counts.unknown_name, &[("result", "unknown_name")]),
            (&counts.challenge, &[("result", "challenge")]),
            (&counts.plain_http, &[("result", "plain_http")]),
            (&counts.failed, &[("result", "failed")]),
        ];
        to.extend(results.map(|(count, labels)| {
            Measure::counter("handshakes", "TLS handshakes, by result", count.get()).labelled(labels)
        }));
    }

    fn problems(&self, to: &mut Vec<String>) {
        let all = self.certificates.summaries(self.clock.now());
        let mut found: Vec<_> = all.iter().filter_map(Https::problem).collect();
        // Once for all names: anyone may read this.
        found.sort_unstable();
        found.dedup();
        to.extend(found.into_iter().map(|problem| format!("{problem}: see `waypost doctor`")));
        to.extend(self.certificates.wrong_clock());
        if self.certificates.are_unwritten() {
            to.push(
                "certificates cannot be written to the data folder, and are served from memory".to_owned(),
            );
        }
    }
}

impl Https {
    /// Returns what is wrong with a certificate of the operator, without its name.
    fn problem(summary: &CertificateSummary) -> Option<&'static str> {
        let is_file = match summary.owner {
            CertificateOwner::Files => true,
            CertificateOwner::Setting => false,
            // A customer whose domain leads elsewhere is no problem of this server.
            CertificateOwner::Registered => return None,
        };
        if summary.has_bad_files {
            return Some(
                "changed files of `https.certificates` cannot be used, and the next start would fail",
            );
        }
        match summary.state {
            CertificateState::Failing => {
                Some("a name in `domain` has no certificate, and the last try failed")
            }
            CertificateState::Expired if is_file => Some("a certificate of `https.certificates` has ended"),
            CertificateState::Expired => Some("a name in `domain` has a certificate that has ended"),
            // Renewals may still succeed: an alert, and no degraded health.
            CertificateState::Expiring if !summary.ends_soon => None,
            CertificateState::Expiring if is_file => Some("a certificate of `https.certificates` ends soon"),
            CertificateState::Expiring => {
                Some("a name in `domain` has a certificate that ends soon and is not renewed")
            }
            CertificateState::Pending | CertificateState::Valid => None,
        }
    }
}

/// Visits.
impl MetricSource for Arc<HostMisses> {
    fn measure(&self, to: &mut Vec<Measure>) {
        // Without the hosts, which clients choose: the log and `waypost doctor` name the most requested ones.
        let help = "Requests for hosts that are no domain, answered 404";
        to.push(Measure::counter("unknown_host_requests", help, self.total()));
    }
}

/// Webhooks.
impl MetricSource for Webhooks {
    fn measure(&self, to: &mut Vec<Measure>) {
        let numbers = self.numbers();
        to.extend([
            Measure::gauge("webhooks_queued", "Deliveries that wait", numbers.queued),
            Measure::gauge("webhooks_in_flight", "Tries under way", numbers.in_flight),
            Measure::counter("webhooks_delivered", "Deliveries that a receiver took", numbers.delivered),
            Measure::counter("webhooks_failed", "Deliveries given up", numbers.failed),
            Measure::counter("webhooks_dropped", "Deliveries that found no room", numbers.dropped),
        ]);
    }
}

impl MetricSource for Checks {
    fn measure(&self, to: &mut Vec<Measure>) {
        let numbers = self.numbers();
        let help = "Checks of links, by what they found";
        let checked = |result: Labels, number| Measure::counter("checks", help, number).labelled(result);
        to.extend([
            Measure::gauge("checks_in_flight", "Links that are being checked", numbers.in_flight),
            Measure::counter("check_requests", "Requests that checks have sent", numbers.requests),
            checked(&[("result", "works")], numbers.working),
            checked(&[("result", "fails")], numbers.failing),
            checked(&[("result", "open")], numbers.open),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn text_of(response: HttpResponse) -> String {
        let bytes = response.into_body().collect().await.expect("in memory").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        text.strip_suffix('\n').expect("a newline at the end").to_owned()
    }

    #[tokio::test]
    async fn degraded_and_not_ready_show_the_reason() {
        let readiness = Readiness::default();
        let counts = Arc::new(HttpCounts::default());
        let ops = Ops::new(&Settings::default(), readiness.clone(), vec![Box::new(Arc::clone(&counts))]);
        assert_eq!(text_of(ops.health()).await, r#"{"status":"ok"}"#);
        assert_eq!(text_of(ops.ready()).await, r#"{"status":"ready"}"#);
        counts.panics.add();
        let latch = readiness.hold("the log is being replayed");
        // Health is degraded by the panic, and readiness by the latch: neither affects the other.
        let why = r#"{"status":"degraded","why":["a request ended in a panic since the start: please report the log line"]}"#;
        assert_eq!(text_of(ops.health()).await, why);
        let response = ops.ready();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            text_of(response).await,
            r#"{"status":"not ready","waitingFor":["the log is being replayed"]}"#
        );
        drop(latch);
        assert_eq!(ops.ready().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let counts = Arc::new(HttpCounts::default());
        counts.connections.add();
        let ops = Ops::new(&Settings::default(), Readiness::default(), vec![Box::new(counts)]);
        let mut headers = HeaderMap::new();
        headers.insert(hyper::header::ACCEPT, HeaderValue::from_static("application/openmetrics-text"));
        let text = text_of(ops.metrics(&headers)).await;
        for line in [
            "# TYPE waypost_http_connections counter",
            // The crate appends `_total` to counters, as OpenMetrics requires.
            "waypost_http_connections_total 1",
            "waypost_http_connections_open 1",
            "waypost_uptime_seconds 0",
        ] {
            assert!(text.lines().any(|got| got == line), "{line} in {text}");
        }
        // Without this line Prometheus rejects the whole scrape as cut off.
        assert!(text.ends_with("# EOF"), "{text}");
    }
}
