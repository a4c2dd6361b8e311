//! Webhooks: each counted click of a link that names receivers is told to them, signed, off the
//! redirect's path.
//!
//! [`Webhooks::offer`] is all that a redirect sees of it: it builds the event and adds it to the queue;
//! a full queue drops the oldest event of the tenant that has most, and counts it. One task, the
//! [`worker`], tries deliveries in the order of the [`scheduler`], which gives each company, workspace
//! and host its share: each over a connection of its own to an address that was checked
//! ([`connect`]), within five seconds ([`send`]), signed with the workspace's secret ([`sign`]).
//!
//! What receivers may rely on: at least once for events that were queued while running or stopped
//! in order, under an id that is the same over all tries; at most five tries within an hour, later
//! ones later; no order. A crash loses what was queued since the start, and delivers again what
//! the last stop had written down. A stop writes down what waits; on a full disk it is lost, and
//! the log says how much.

mod connect;
mod event;
mod history;
mod outcome;
mod persist;
mod queue;
mod scheduler;
mod send;
mod sign;
mod tls;
mod turns;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::connect::LOOKUPS_MAX;
pub use self::event::ClickEvent;
pub use self::history::{Attempt, RESULTS_PER_LINK};
pub use self::queue::QUEUE_MAX;

use self::connect::Connector;
use self::history::History;
use self::queue::{Delivery, Event, Waiting};
use self::scheduler::Scheduler;
use self::worker::Worker;
use crate::core::Tenants;
use crate::fair::Shares;
use crate::model::id::Id;
use crate::model::network::Networks;
use crate::settings::{BadSetting, duration};

/// Most tries of a delivery, the first included.
const TRIES_MAX: usize = 5;

/// How long after its click an event may still be tried: news of a click grows stale, and a host
/// that was left alone meanwhile must not be flooded later. Past it: given up.
const LIFETIME: Duration = Duration::from_hours(1);

/// `[webhooks]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Networks in which receivers are allowed beside the public internet.
    pub allowed_networks: Vec<String>,
    /// How long after a failed try the next one follows.
    pub retry_after: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allowed_networks: Vec::new(),
            retry_after: ["15s", "2m", "10m", "40m"].map(str::to_owned).to_vec(),
        }
    }
}

impl Settings {
    /// Every rule about a value that has the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.networks()?;
        self.delays().map(|_| ())
    }

    /// [`Settings::allowed_networks`] parsed.
    pub fn networks(&self) -> Result<Networks, BadSetting> {
        let shown = || format!("{:?}", self.allowed_networks);
        let rule = "must be at most 100 addresses or networks such as \"10.0.0.0/8\", without bits beyond the prefix";
        Networks::parse(self.allowed_networks.iter().map(String::as_str))
            .map_err(|_| BadSetting::new("allowed_networks", shown(), rule))
    }

    fn delays(&self) -> Result<Vec<Duration>, BadSetting> {
        let delays: Option<Vec<Duration>> =
            self.retry_after.iter().map(|text| duration::parse(text)).collect();
        let fits = |delays: &Vec<Duration>| {
            let sum = delays.iter().try_fold(Duration::ZERO, |sum, delay| sum.checked_add(*delay));
            (1..TRIES_MAX).contains(&delays.len()) && sum.is_some_and(|sum| sum < LIFETIME)
        };
        let rule = "must be 1 to 4 durations such as \"15s\", together less than \"1h\"";
        delays
            .filter(fits)
            .ok_or_else(|| BadSetting::new("retry_after", format!("{:?}", self.retry_after), rule))
    }
}

/// The handle, cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Shared>);

struct Shared {
    tenants: Tenants,
    delays: Vec<Duration>,
    connector: Connector,
    queue: Mutex<Queue>,
    /// Wakes the worker when something was added to the queue.
    offered: Notify,
    results: History,
    counts: Counts,
    stop: watch::Sender<bool>,
    /// What [`Webhooks::start`] takes, and what it leaves for [`Webhooks::stop`].
    worker: Mutex<Stage>,
}

/// What waits. Its lock is held for single steps of the scheduler.
#[derive(Default)]
struct Queue {
    scheduler: Scheduler,
    /// Batches in the store of deliveries that were dropped, for the worker to forget.
    over: Vec<Id>,
    /// Nothing is added any more.
    is_closed: bool,
}

/// How far the worker is.
enum Stage {
    Ready,
    Running(JoinHandle<()>),
    Over,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("numbers", &self.numbers()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    in_flight: AtomicUsize,
}

/// What `/metrics` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Deliveries that wait.
    pub queued: u64,
    /// Tries under way.
    pub in_flight: u64,
    /// Deliveries that a receiver took.
    pub delivered: u64,
    /// Deliveries given up.
    pub failed: u64,
    /// Deliveries that made room for others.
    pub dropped: u64,
}

impl Webhooks {
    /// Nothing is sent before [`Webhooks::start`].
    pub fn new(tenants: Tenants, settings: &Settings) -> Result<Webhooks, BadSetting> {
        Ok(Webhooks(Arc::new(Shared {
            tenants,
            delays: settings.delays()?,
            connector: Connector::new(connect::system(), settings.networks()?),
            queue: Mutex::default(),
            offered: Notify::new(),
            results: History::default(),
            counts: Counts::default(),
            stop: watch::Sender::new(false),
            worker: Mutex::new(Stage::Ready),
        })))
    }

    /// Queues the event of a counted click for each of the link's receivers. Never waits: for no
    /// lock that is held longer than an insertion, no disk, no network.
    pub fn offer(&self, click: &ClickEvent<'_>) {
        let urls = &click.link.options.webhook_urls;
        if urls.is_empty() {
            return;
        }
        let workspace = click.link.workspace;
        let company = self.0.tenants.workspace_numbered(workspace).map(|workspace| workspace.company.clone());
        let Some((event, company)) = event::of(&self.0.tenants, click).zip(company) else {
            self.0.counts.dropped.fetch_add(urls.len() as u64, Ordering::Relaxed);
            return;
        };
        let now = Instant::now();
        for url in urls {
            let delivery = Delivery::new(Event {
                id: event.id,
                link: click.link.id,
                workspace,
                company: company.clone(),
                url: url.as_str().into(),
                body: event.body.clone(),
                offered_at: click.at,
                expires: now + LIFETIME,
                batch: None,
            });
            match delivery {
                Some(delivery) => {
                    self.0.push(Waiting { delivery: Arc::new(delivery), tries: 0 }, now, now);
                }
                None => drop(self.0.counts.dropped.fetch_add(1, Ordering::Relaxed)),
            }
        }
        self.0.offered.notify_one();
    }

    /// Returns what each holder may have of what all tenants' deliveries draw from, by name.
    pub fn shares(&self) -> [(&'static str, Shares); 4] {
        [
            ("webhook queue", scheduler::QUEUE_SHARES),
            ("webhook tries", scheduler::FLIGHT_SHARES),
            ("webhook look-ups", self.0.connector.lookups.shares()),
            ("webhook results", history::SHARES),
        ]
    }

    /// Begins to deliver: first what the last stop left, once the store has been read.
    pub fn start(&self) {
        let mut worker = self.0.worker.lock();
        if let Stage::Ready = std::mem::replace(&mut *worker, Stage::Over) {
            let run = Worker::new(Arc::clone(&self.0), self.0.stop.subscribe()).run();
            *worker = Stage::Running(tokio::spawn(run));
        }
    }

    /// Ends: gives tries under way a moment, and writes what is left to the store, which must
    /// still be open. What is offered from now on is dropped and counted.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        let worker = std::mem::replace(&mut *self.0.worker.lock(), Stage::Over);
        if let Stage::Running(worker) = worker
            && worker.await.is_err()
        {
            tracing::error!("the worker of webhooks panicked: what waited is lost");
        }
    }

    /// The last results of a link, the newest first.
    pub fn deliveries(&self, link: Id) -> Vec<Attempt> {
        self.0.results.of(link)
    }

    /// How it goes.
    pub fn numbers(&self) -> Numbers {
        let counts = &self.0.counts;
        let in_flight = counts.in_flight.load(Ordering::Relaxed);
        Numbers {
            queued: self.0.queue.lock().scheduler.waiting() as u64,
            in_flight: in_flight as u64,
            delivered: counts.delivered.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// Adds a delivery to the queue, to be tried at `due`, and counts what is dropped for it.
    fn push(&self, waiting: Waiting, due: Instant, now: Instant) {
        let mut queue = self.queue.lock();
        let dropped = if queue.is_closed { vec![waiting] } else { queue.scheduler.push(waiting, due, now) };
        queue.over.extend(dropped.iter().filter_map(|waiting| waiting.delivery.batch));
        drop(queue);
        self.counts.dropped.fetch_add(dropped.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_what_is_wrong() {
        let check = |networks: &[&str], delays: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let settings = Settings { allowed_networks: own(networks), retry_after: own(delays) };
            settings.check().map_err(|bad| bad.to_string())
        };
        assert_eq!(check(&["10.0.0.0/8", "::1"], &["1s"]), Ok(()));
        assert_eq!(check(&[], &["15m", "15m", "15m", "14m"]), Ok(()));
        let networks = check(&["10.0.0.1/8"], &["1s"]).expect_err("bits beyond");
        assert!(
            networks.starts_with("`allowed_networks` = [\"10.0.0.1/8\"]: must be at most 100 "),
            "{networks}"
        );
        let rows: [&[&str]; 5] = [&[], &["1"], &["1h"], &["30m", "30m"], &["1s"; 5]];
        for delays in rows {
            let why = format!(
                "`retry_after` = {delays:?}: must be 1 to 4 durations such as \"15s\", together less than \"1h\""
            );
            assert_eq!(check(&[], delays), Err(why));
        }
    }
}
