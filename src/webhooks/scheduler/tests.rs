//! What the scheduler promises: turns, bounds at each level, and whose events are dropped.

use super::*;

const URL: &str = "https://hooks.test/";

fn waiting(company: &str, number: u32, url: &str) -> Waiting {
    Waiting::for_test(company, number, url, 1)
}

/// Adds deliveries to these hosts, named by one letter each, for one workspace.
fn fill(scheduler: &mut Scheduler, hosts: &str, now: Instant) {
    for host in hosts.chars() {
        let dropped = scheduler.push(waiting("a", 1, &format!("https://{host}/")), now, now);
        assert_eq!(dropped.len(), 0, "there is room");
    }
}

/// What starts now.
fn start(scheduler: &mut Scheduler, now: Instant) -> Vec<Waiting> {
    std::iter::from_fn(|| scheduler.next(now)).collect()
}

fn names(started: &[Waiting]) -> String {
    started.iter().map(|waiting| &*waiting.delivery.host).collect()
}

fn of(started: &[Waiting], company: &str) -> usize {
    started.iter().filter(|waiting| waiting.delivery.company.as_str() == company).count()
}

/// How many of a workspace's are over when the rest is taken.
fn left(scheduler: &mut Scheduler, number: u32, now: Instant) -> usize {
    let all = scheduler.take_all(now);
    all.iter().filter(|(waiting, _)| waiting.delivery.workspace.0 == number).count()
}

fn is_empty(scheduler: &Scheduler) -> bool {
    scheduler.companies.is_empty()
        && scheduler.workspaces.is_empty()
        && scheduler.hosts.is_empty()
        && scheduler.lanes.is_empty()
        && scheduler.waiting.is_empty()
        && scheduler.largest.first().is_none()
        && scheduler.turns.is_empty()
        && (scheduler.places, scheduler.under_way) == (0, 0)
}

#[test]
fn hosts_take_turns_and_four_places_each() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    fill(&mut scheduler, "aaaaaaaabbc", now);
    let mut started = start(&mut scheduler, now);
    assert_eq!(names(&started), "abcabaa");
    // A place that comes free goes to the host that waits for it.
    scheduler.ended(started.remove(1), Health::Well, None, now);
    assert_eq!(names(&start(&mut scheduler, now)), "");
    scheduler.ended(started.remove(0), Health::Well, None, now);
    assert_eq!(names(&start(&mut scheduler, now)), "a");
}

/// A hundred ports of one host are no more than two of them, and a port that answers is not
/// held up by one that does not.
#[test]
fn n15_the_ports_of_a_host_share_its_places() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    let port = |port: u32| format!("https://hooks.test:{port}/");
    for _ in 0..10 {
        scheduler.push(waiting("a", 1, &port(1)), now, now);
    }
    let hanging = start(&mut scheduler, now);
    assert_eq!(hanging.len(), PER_LANE as usize);
    scheduler.push(waiting("a", 1, &port(2)), now, now);
    let mut well = start(&mut scheduler, now);
    assert_eq!(well.len(), 1, "the other port");
    scheduler.ended(well.remove(0), Health::Well, None, now);
    for n in 3..100 {
        scheduler.push(waiting("a", 1, &port(n)), now, now);
    }
    let started = start(&mut scheduler, now);
    assert_eq!(hanging.len() + started.len(), PER_HOST as usize);
    // Each place that comes free starts one more, in turn, to the end.
    let (mut under_way, mut over) = ([hanging, started].concat(), 0);
    while let Some(waiting) = under_way.pop() {
        scheduler.ended(waiting, Health::Well, None, now);
        over += 1;
        under_way.extend(start(&mut scheduler, now));
        assert!(under_way.len() <= PER_HOST as usize);
    }
    assert_eq!(over, 10 + 97);
    assert!(is_empty(&scheduler));
}

/// The flood of one link with receivers on five ports of one host that never answer.
#[test]
fn n15_a_flood_costs_its_own_tenant_its_oldest_events() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    let mut dropped = Vec::new();
    for click in 0..2_600 {
        for port in 1..=5 {
            let mut one = waiting("a", 1, &format!("https://hooks.test:{port}/"));
            Arc::get_mut(&mut one.delivery).expect("not shared").offered_at =
                crate::clock::Timestamp::from_millis(click);
            dropped.extend(scheduler.push(one, now, now));
        }
    }
    assert_eq!(scheduler.waiting(), HOST_MAX as usize);
    assert_eq!(dropped.len(), 13_000 - HOST_MAX as usize);
    let oldest_first = dropped.windows(2).all(|two| two[0].delivery.offered_at <= two[1].delivery.offered_at);
    assert!(oldest_first);
    let hanging = start(&mut scheduler, now);
    for _ in 0..200 {
        assert_eq!(scheduler.push(waiting("b", 2, URL), now, now).len(), 0);
    }
    let mut delivered = 0;
    for _ in 0..200 {
        let started = start(&mut scheduler, now);
        delivered += of(&started, "b");
        for waiting in started {
            scheduler.ended(waiting, Health::Well, None, now);
        }
    }
    assert_eq!((delivered, hanging.len()), (200, PER_HOST as usize));
}

/// Many hosts instead of ports; many workspaces of one company instead of hosts.
#[test]
fn n15_each_level_has_its_share_of_the_queue() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for n in 0..20_000 {
        scheduler.push(waiting("a", 1, &format!("https://h{n}.test/")), now, now);
    }
    assert_eq!(scheduler.waiting(), QUEUE_SHARES.workspace as usize);
    for n in 0..20_000 {
        scheduler.push(waiting("a", n % 100, &format!("https://h{n}.test/")), now, now);
    }
    assert_eq!(scheduler.waiting(), QUEUE_SHARES.company as usize);
    // Others' fill the rest, and are not dropped for the first's.
    for n in 0..5_000 {
        scheduler.push(waiting("b", 200 + n % 4, URL), now, now);
    }
    for n in 0..10_000 {
        scheduler.push(waiting("a", n % 100, &format!("https://h{n}.test/")), now, now);
    }
    let places = |id: &str| scheduler.companies[&ForeignId::parse("id", id).expect("an id")].places;
    let (a, b) = (places("a"), places("b"));
    assert_eq!((a, b), (QUEUE_SHARES.company, 5_000));
    // A third gets in where the queue is full: the largest pays.
    for _ in 0..200 {
        let dropped = scheduler.push(waiting("c", 999, URL), now, now);
        assert_eq!(dropped.len(), 1);
        assert_ne!(dropped[0].delivery.company.as_str(), "c");
    }
    assert_eq!(scheduler.places, QUEUE_SHARES.total);
    assert_eq!(left(&mut scheduler, 999, now), 200);
}

#[test]
fn n15_large_events_take_as_many_places() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for n in 0..5_000 {
        let url = format!("https://h{n}.test/");
        scheduler.push(Waiting::for_test("a", 1, &url, 10), now, now);
    }
    assert_eq!(scheduler.waiting(), QUEUE_SHARES.workspace as usize / 10);
    assert_eq!(scheduler.push(waiting("b", 2, URL), now, now).len(), 0);
}

/// Receivers that hang, of one tenant and of two.
#[test]
fn n15_each_level_has_its_share_of_tries() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for n in 0..200 {
        scheduler.push(waiting("a", 1, &format!("https://h{n}.test/")), now, now);
    }
    let first = start(&mut scheduler, now);
    assert_eq!(first.len(), FLIGHT_SHARES.workspace as usize);
    for n in 0..200 {
        scheduler.push(waiting("a", 2 + n % 8, &format!("https://h{n}.test/")), now, now);
    }
    let second = start(&mut scheduler, now);
    assert_eq!(first.len() + second.len(), FLIGHT_SHARES.company as usize);
    for n in 0..200 {
        scheduler.push(waiting("b", 20 + n % 8, &format!("https://h{n}.test/")), now, now);
    }
    let third = start(&mut scheduler, now);
    assert_eq!(first.len() + second.len() + third.len(), FLIGHT_SHARES.tenants as usize);
    // Some are kept for companies that have none, and each of those gets few of them.
    let mut kept = 0;
    for (number, company) in (100..).zip(["c", "d", "e", "f"]) {
        for _ in 0..100 {
            scheduler.push(waiting(company, number, URL), now, now);
        }
        let started = start(&mut scheduler, now);
        assert_eq!(of(&started, company), FEW as usize, "{company}");
        kept += started.len();
    }
    assert_eq!(kept, (FLIGHT_SHARES.total - FLIGHT_SHARES.tenants) as usize);
    // A try that ends makes room for those who waited behind the bound.
    for waiting in first {
        scheduler.ended(waiting, Health::Unknown, None, now);
    }
    assert!(!start(&mut scheduler, now).is_empty());
}

/// Whatever ends in whatever order, nothing that may start is left standing, and nothing is left.
#[test]
fn everything_is_tried_in_the_end() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    let mut pushed = 0;
    for n in 0..3_000_u32 {
        let company = ["a", "b", "c"][n as usize % 3];
        let url = format!("https://h{}.test:{}/", n % 7, n % 11 + 1);
        pushed += 1 - scheduler.push(waiting(company, n % 30 * 3 + n % 3, &url), now, now).len();
    }
    let (mut under_way, mut over, mut dice) = (start(&mut scheduler, now), 0, 1_u32);
    while !under_way.is_empty() {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let one = under_way.swap_remove(dice as usize % under_way.len());
        scheduler.ended(one, Health::Well, None, now);
        over += 1;
        under_way.extend(start(&mut scheduler, now));
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
    scheduler.ended(first, Health::Unwell, Some(now + second), now);
    assert_eq!(scheduler.wakes_at(), Some(now + second));
    assert!(scheduler.next(now + second / 2).is_none());
    let again = scheduler.next(now + second).expect("its time has come");
    scheduler.ended(again, Health::Well, None, now + second);
    assert!(is_empty(&scheduler) && scheduler.wakes_at().is_none());
}

/// A receiver that always fails, 10,000 events for it, one hour.
#[test]
fn t88_a_receiver_that_is_gone_is_tried_now_and_then() {
    let began = Instant::now();
    let mut now = began;
    let mut scheduler = Scheduler::default();
    let mut dropped = 0;
    for _ in 0..10_000 {
        dropped += scheduler.push(waiting("a", 1, URL), now, now).len();
    }
    assert_eq!(dropped, 10_000 - HOST_MAX as usize);
    let mut tries: u32 = 0;
    while now < began + Duration::from_hours(1) {
        let started = start(&mut scheduler, now);
        assert!(started.len() <= PER_LANE as usize);
        for waiting in started {
            tries += 1;
            scheduler.ended(waiting, Health::Unwell, Some(now + Duration::from_mins(1)), now);
        }
        now += Duration::from_secs(1);
    }
    let pauses = 3_600 / u32::try_from(BREAKER_PAUSE.as_secs()).expect("small");
    assert!((pauses..=pauses + BREAKER_AFTER + 4).contains(&tries), "{tries} tries");
    // The first that gets through opens the lane.
    now += BREAKER_PAUSE;
    let mut probe = start(&mut scheduler, now);
    assert_eq!(probe.len(), 1);
    scheduler.ended(probe.remove(0), Health::Well, None, now);
    assert_eq!(start(&mut scheduler, now).len(), PER_LANE as usize);
}

/// A receiver that several tenants share is left alone for the one whose URL fails there.
#[test]
fn n15_a_lane_that_is_left_alone_is_its_tenants() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for _ in 0..BREAKER_AFTER {
        scheduler.push(waiting("a", 1, URL), now, now);
        let one = scheduler.next(now).expect("it starts");
        scheduler.push(waiting("a", 1, URL), now, now);
        scheduler.ended(one, Health::Unwell, None, now);
    }
    assert!(scheduler.next(now).is_none());
    scheduler.push(waiting("b", 2, URL), now, now);
    assert_eq!(of(&start(&mut scheduler, now), "b"), 1);
}

#[test]
fn a_fault_of_one_url_is_not_its_hosts() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    for _ in 0..BREAKER_AFTER * 2 {
        fill(&mut scheduler, "a", now);
        let one = scheduler.next(now).expect("never paused");
        scheduler.ended(one, Health::Unknown, None, now);
    }
}

#[test]
fn what_is_left_is_taken_with_its_times() {
    let now = Instant::now();
    let mut scheduler = Scheduler::default();
    fill(&mut scheduler, "aabb", now);
    let first = scheduler.next(now).expect("it starts");
    scheduler.ended(first, Health::Unwell, Some(now + BREAKER_PAUSE), now);
    let under_way = scheduler.next(now).expect("it starts");
    let left = scheduler.take_all(now);
    let mut due: Vec<_> = left.iter().map(|(_, due)| due.duration_since(now)).collect();
    due.sort();
    assert_eq!(due, [Duration::ZERO, Duration::ZERO, BREAKER_PAUSE]);
    scheduler.ended(under_way, Health::Well, None, now);
    assert!(scheduler.next(now + BREAKER_PAUSE).is_none());
}
