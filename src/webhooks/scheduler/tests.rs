//! Tests of the scheduler's promises: fair turns, bounds at each level, and the choice of dropped events.

use super::*;

const URL: &str = "https://hooks.test/";

fn queued(company: &str, number: u32, url: &str) -> QueuedDelivery {
    QueuedDelivery::for_test(company, number, url, 1)
}

/// Adds deliveries to these hosts, named by one letter each, for one workspace.
fn fill(scheduler: &mut Scheduler, hosts: &str, now: Instant) {
    for host in hosts.chars() {
        let dropped = scheduler.push(queued("a", 1, &format!("https://{host}/")), now, now);
        assert_eq!(dropped.len(), 0, "there is room");
    }
}

/// Starts all attempts that may start now.
fn start(scheduler: &mut Scheduler, now: Instant) -> Vec<QueuedDelivery> {
    std::iter::from_fn(|| scheduler.next(now)).collect()
}

fn names(started: &[QueuedDelivery]) -> String {
    started.iter().map(|queued| &*queued.delivery.host).collect()
}

fn of(started: &[QueuedDelivery], company: &str) -> usize {
    started.iter().filter(|queued| queued.delivery.company.as_str() == company).count()
}

/// Takes all waiting deliveries, and returns how many of them are of a workspace.
fn left(scheduler: &mut Scheduler, number: u32, now: Instant) -> usize {
    let all = scheduler.take_all(now);
    all.iter().filter(|(queued, _)| queued.delivery.workspace.0 == number).count()
}

fn is_empty(scheduler: &Scheduler) -> bool {
    scheduler.companies.is_empty()
        && scheduler.workspaces.is_empty()
        && scheduler.hosts.is_empty()
        && scheduler.authorities.is_empty()
        && scheduler.waiting.is_empty()
        && scheduler.largest.largest().is_none()
        && scheduler.ready_companies.is_empty()
        && (scheduler.slots, scheduler.in_flight) == (0, 0)
}

#[test]
fn hosts_take_turns_with_four_attempts_each() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    fill(&mut scheduler, "aaaaaaaabbc", now);
    let mut started = start(&mut scheduler, now);
    // One turn each, then those that have more; `a` stops at four.
    assert_eq!(names(&started), "abcabaa");
    // The end of an attempt lets another one of the same host start.
    scheduler.ended(started.remove(1), Health::Healthy, None, now);
    // The ended attempt was at `b`, which has no delivery left.
    assert_eq!(names(&start(&mut scheduler, now)), "");
    scheduler.ended(started.remove(0), Health::Healthy, None, now);
    assert_eq!(names(&start(&mut scheduler, now)), "a");
}

/// A hundred ports of one host get no more attempts than two ports, and a port that answers does not
/// wait for a port that hangs.
#[test]
fn n15_the_ports_of_a_host_share_its_attempts() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    let port = |port: u32| format!("https://hooks.test:{port}/");
    for _ in 0..10 {
        scheduler.push(queued("a", 1, &port(1)), now, now);
    }
    let hanging = start(&mut scheduler, now);
    assert_eq!(hanging.len(), PER_AUTHORITY as usize);
    scheduler.push(queued("a", 1, &port(2)), now, now);
    let mut well = start(&mut scheduler, now);
    assert_eq!(well.len(), 1, "the other port");
    scheduler.ended(well.remove(0), Health::Healthy, None, now);
    for n in 3..100 {
        scheduler.push(queued("a", 1, &port(n)), now, now);
    }
    let started = start(&mut scheduler, now);
    assert_eq!(hanging.len() + started.len(), PER_HOST as usize);
    // Each attempt that ends lets another one start, until all deliveries are finished.
    let (mut in_flight, mut over) = ([hanging, started].concat(), 0);
    while let Some(queued) = in_flight.pop() {
        scheduler.ended(queued, Health::Healthy, None, now);
        over += 1;
        in_flight.extend(start(&mut scheduler, now));
        assert!(in_flight.len() <= PER_HOST as usize);
    }
    assert_eq!(over, 10 + 97);
    assert!(is_empty(&scheduler));
}

/// A flood of clicks on one link, whose receivers on five ports of one host never answer.
#[test]
fn n15_a_flood_drops_the_oldest_events_of_its_own_tenant() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    let mut dropped = Vec::new();
    for click in 0..2_600 {
        for port in 1..=5 {
            let mut one = queued("a", 1, &format!("https://hooks.test:{port}/"));
            // Each click has its time, so that the order of the drops can be checked.
            Arc::get_mut(&mut one.delivery).expect("not shared").offered_at =
                crate::clock::Timestamp::from_millis(click);
            dropped.extend(scheduler.push(one, now, now));
        }
    }
    assert_eq!(scheduler.len(), HOST_MAX as usize);
    assert_eq!(dropped.len(), 13_000 - HOST_MAX as usize);
    let oldest_first = dropped.windows(2).all(|two| two[0].delivery.offered_at <= two[1].delivery.offered_at);
    assert!(oldest_first);
    let hanging = start(&mut scheduler, now);
    for _ in 0..200 {
        assert_eq!(scheduler.push(queued("b", 2, URL), now, now).len(), 0);
    }
    let mut delivered = 0;
    for _ in 0..200 {
        let started = start(&mut scheduler, now);
        delivered += of(&started, "b");
        for queued in started {
            scheduler.ended(queued, Health::Healthy, None, now);
        }
    }
    assert_eq!((delivered, hanging.len()), (200, PER_HOST as usize));
}

/// Many hosts instead of ports, and many workspaces of one company instead of hosts.
#[test]
fn n15_each_level_has_its_share_of_the_queue() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    // Twice the queue, on hosts of their own: no host reaches its bound.
    for n in 0..20_000 {
        scheduler.push(queued("a", 1, &format!("https://h{n}.test/")), now, now);
    }
    assert_eq!(scheduler.len(), QUEUE_SHARES.workspace as usize);
    for n in 0..20_000 {
        scheduler.push(queued("a", n % 100, &format!("https://h{n}.test/")), now, now);
    }
    assert_eq!(scheduler.len(), QUEUE_SHARES.company as usize);
    // Another company fills the rest, and loses nothing to the first company.
    for n in 0..5_000 {
        scheduler.push(queued("b", 200 + n % 4, URL), now, now);
    }
    for n in 0..10_000 {
        scheduler.push(queued("a", n % 100, &format!("https://h{n}.test/")), now, now);
    }
    let places = |id: &str| scheduler.companies[&ForeignId::parse("id", id).expect("an id")].slots;
    let (a, b) = (places("a"), places("b"));
    assert_eq!((a, b), (QUEUE_SHARES.company, 5_000));
    // A third company is admitted to the full queue: the largest company loses its oldest events.
    for _ in 0..200 {
        let dropped = scheduler.push(queued("c", 999, URL), now, now);
        assert_eq!(dropped.len(), 1);
        assert_ne!(dropped[0].delivery.company.as_str(), "c");
    }
    assert_eq!(scheduler.slots, QUEUE_SHARES.total);
    assert_eq!(left(&mut scheduler, 999, now), 200);
}

#[test]
fn n15_large_events_occupy_more_slots() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for n in 0..5_000 {
        let url = format!("https://h{n}.test/");
        // Ten slots each: the bound is of memory, not of deliveries.
        scheduler.push(QueuedDelivery::for_test("a", 1, &url, 10), now, now);
    }
    assert_eq!(scheduler.len(), QUEUE_SHARES.workspace as usize / 10);
    assert_eq!(scheduler.push(queued("b", 2, URL), now, now).len(), 0);
}

/// Receivers that hang, of one tenant and of two tenants.
#[test]
fn n15_each_level_has_its_share_of_attempts() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for n in 0..200 {
        scheduler.push(queued("a", 1, &format!("https://h{n}.test/")), now, now);
    }
    let first = start(&mut scheduler, now);
    assert_eq!(first.len(), FLIGHT_SHARES.workspace as usize);
    for n in 0..200 {
        scheduler.push(queued("a", 2 + n % 8, &format!("https://h{n}.test/")), now, now);
    }
    let second = start(&mut scheduler, now);
    assert_eq!(first.len() + second.len(), FLIGHT_SHARES.company as usize);
    for n in 0..200 {
        scheduler.push(queued("b", 20 + n % 8, &format!("https://h{n}.test/")), now, now);
    }
    let third = start(&mut scheduler, now);
    assert_eq!(first.len() + second.len() + third.len(), FLIGHT_SHARES.tenants as usize);
    // The rest is reserved for companies without attempts, and each of them gets only a few.
    let mut kept = 0;
    for (number, company) in (100..).zip(["c", "d", "e", "f"]) {
        for _ in 0..100 {
            scheduler.push(queued(company, number, URL), now, now);
        }
        let started = start(&mut scheduler, now);
        assert_eq!(of(&started, company), FEW as usize, "{company}");
        kept += started.len();
    }
    assert_eq!(kept, (FLIGHT_SHARES.total - FLIGHT_SHARES.tenants) as usize);
    // The end of an attempt lets a company below its bound start another.
    for queued in first {
        scheduler.ended(queued, Health::Unknown, None, now);
    }
    assert!(!start(&mut scheduler, now).is_empty());
}

/// Attempts end in random order. Every delivery is attempted, and the scheduler is empty at the end.
#[test]
fn every_delivery_is_attempted() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    let mut pushed = 0;
    for n in 0..3_000_u32 {
        let company = ["a", "b", "c"][n as usize % 3];
        let url = format!("https://h{}.test:{}/", n % 7, n % 11 + 1);
        pushed += 1 - scheduler.push(queued(company, n % 30 * 3 + n % 3, &url), now, now).len();
    }
    let (mut in_flight, mut over, mut dice) = (start(&mut scheduler, now), 0, 1_u32);
    while !in_flight.is_empty() {
        // A linear congruential generator: a failing run can be repeated.
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let one = in_flight.swap_remove(dice as usize % in_flight.len());
        scheduler.ended(one, Health::Healthy, None, now);
        over += 1;
        in_flight.extend(start(&mut scheduler, now));
    }
    assert_eq!(over, pushed);
    assert!(is_empty(&scheduler));
}

#[test]
fn retries_wait_for_their_time() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut scheduler = Scheduler::default();
    fill(&mut scheduler, "a", now);
    let first = scheduler.next(now).expect("it starts");
    scheduler.ended(first, Health::Unhealthy, Some(now + second), now);
    assert_eq!(scheduler.wakes_at(), Some(now + second));
    assert!(scheduler.next(now + second / 2).is_none());
    let again = scheduler.next(now + second).expect("its retry is due");
    scheduler.ended(again, Health::Healthy, None, now + second);
    assert!(is_empty(&scheduler) && scheduler.wakes_at().is_none());
}

/// A receiver that always fails gets 10,000 events within one hour.
#[test]
fn t88_a_receiver_that_is_down_is_probed_after_each_pause() {
    let began = Instant::now();
    let mut now = began;
    let mut scheduler = Scheduler::default();
    let mut dropped = 0;
    for _ in 0..10_000 {
        dropped += scheduler.push(queued("a", 1, URL), now, now).len();
    }
    assert_eq!(dropped, 10_000 - HOST_MAX as usize);
    let mut attempts: u32 = 0;
    while now < began + Duration::from_hours(1) {
        let started = start(&mut scheduler, now);
        assert!(started.len() <= PER_AUTHORITY as usize);
        for queued in started {
            attempts += 1;
            scheduler.ended(queued, Health::Unhealthy, Some(now + Duration::from_mins(1)), now);
        }
        // The worker's timers are finer; a second is enough for pauses of thirty.
        now += Duration::from_secs(1);
    }
    let pauses = 3_600 / u32::try_from(BREAKER_PAUSE.as_secs()).expect("small");
    // The ten failures before the first pause, and the attempts that were in flight then.
    assert!((pauses..=pauses + BREAKER_AFTER + 4).contains(&attempts), "{attempts} attempts");
    // The first success ends the pauses.
    now += BREAKER_PAUSE;
    let mut probe = start(&mut scheduler, now);
    assert_eq!(probe.len(), 1);
    scheduler.ended(probe.remove(0), Health::Healthy, None, now);
    assert_eq!(start(&mut scheduler, now).len(), PER_AUTHORITY as usize);
}

/// Several tenants share a receiver. It is paused only for the tenant whose URL fails.
#[test]
fn n15_a_pause_is_for_one_tenant() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for _ in 0..BREAKER_AFTER {
        scheduler.push(queued("a", 1, URL), now, now);
        let one = scheduler.next(now).expect("it starts");
        // A second one, so that the authority and its failures outlive the first.
        scheduler.push(queued("a", 1, URL), now, now);
        scheduler.ended(one, Health::Unhealthy, None, now);
    }
    assert!(scheduler.next(now).is_none());
    scheduler.push(queued("b", 2, URL), now, now);
    assert_eq!(of(&start(&mut scheduler, now), "b"), 1);
}

#[test]
fn an_error_of_one_url_does_not_pause_its_host() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for _ in 0..BREAKER_AFTER * 2 {
        fill(&mut scheduler, "a", now);
        let one = scheduler.next(now).expect("never paused");
        scheduler.ended(one, Health::Unknown, None, now);
    }
}

#[test]
fn waiting_deliveries_are_taken_with_their_due_times() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    fill(&mut scheduler, "aabb", now);
    let first = scheduler.next(now).expect("it starts");
    scheduler.ended(first, Health::Unhealthy, Some(now + BREAKER_PAUSE), now);
    // One in flight: it is not among those that wait.
    let in_flight = scheduler.next(now).expect("it starts");
    let left = scheduler.take_all(now);
    let mut due: Vec<_> = left.iter().map(|(_, due)| due.duration_since(now)).collect();
    due.sort();
    assert_eq!(due, [Duration::ZERO, Duration::ZERO, BREAKER_PAUSE]);
    scheduler.ended(in_flight, Health::Healthy, None, now);
    assert!(scheduler.next(now + BREAKER_PAUSE).is_none());
}
