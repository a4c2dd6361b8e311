//! Every resource that several tenants share has a share for each of them. All pools are listed here, and
//! also everything that looks like a pool, with the reason why it needs no shares.

use std::fs;
use std::path::{Path, PathBuf};

use super::layers::sources;

/// A pool with shares: the file and the code that create it, the resource, and the test which shows that one
/// tenant cannot occupy all of it.
struct Pool {
    file: &'static str,
    made: &'static str,
    bounds: &'static str,
    /// A file below the crate's root, and the name of the test.
    test: (&'static str, &'static str),
}

const CONCURRENCY: &str = "src/http/api/admission/concurrency.rs";
const BUDGET: &str = "src/http/api/admission/response_budget.rs";
const HOLDING: &str = "tests/suite/holding.rs";
const SCHEDULER: &str = "src/webhooks/scheduler.rs";
const SCHEDULER_TESTS: &str = "src/webhooks/scheduler/tests.rs";
const CPU_POOL: &str = "src/core/pools/cpu_pool.rs";

#[rustfmt::skip]
const POOLS: &[Pool] = &[
    Pool { file: CONCURRENCY, made: "FairSemaphore::new(SLOTS)", bounds: "API requests at work",
           test: (CONCURRENCY, "n04_tenants_leave_slots_to_others_and_to_the_operator") },
    Pool { file: CONCURRENCY, made: "FairSemaphore::new(BODIES)", bounds: "bodies under way",
           test: (HOLDING, "n04_bodies_that_are_not_finished_hold_no_slots") },
    Pool { file: CONCURRENCY, made: "FairSemaphore::new(BULKS)", bounds: "large bodies",
           test: (CONCURRENCY, "n04_bulks_leave_one_slot_to_the_operator") },
    Pool { file: BUDGET, made: "FairSemaphore::new(units(BYTES_MAX))", bounds: "memory of answers, streams included",
           test: (HOLDING, "n01_unread_lists_hold_their_tenants_share_and_no_more") },
    Pool { file: CPU_POOL, made: "FairSemaphore::new(waiting_max)", bounds: "callers that wait for a thread",
           test: (CPU_POOL, "n18_a_tenant_holds_its_share_of_the_room_and_no_more") },
    Pool { file: "src/core/handle.rs", made: "CpuPool::new(&scan_threads, SCANS_WAITING_MAX)", bounds: "scans",
           test: (CPU_POOL, "n18_a_tenant_holds_its_share_of_the_room_and_no_more") },
    Pool { file: "src/core/handle.rs", made: "CpuPool::new(&scan_threads, PUBLIC_WAITING_MAX)", bounds: "public pictures and pages of statistics",
           test: ("tests/suite/qr.rs", "a_flood_of_public_pictures_leaves_the_lists_of_its_workspace_alone") },
    Pool { file: "src/core/pools/listeners.rs", made: "FairSemaphore::new(LISTENERS_MAX)", bounds: "listeners to clicks",
           test: ("tests/suite/live.rs", "listeners_of_one_tenant_leave_places_to_others") },
    Pool { file: "src/core/pools/hashing.rs", made: "CpuPool::new(&threads, WAITING_MAX)", bounds: "hashing for visitors, and for keys",
           test: (CPU_POOL, "n18_a_tenant_holds_its_share_of_the_room_and_no_more") },
    Pool { file: "src/core/snapshots/at_work.rs", made: "FairSemaphore::new(AT_WORK_MAX)", bounds: "snapshots and imports at work",
           test: ("src/fair.rs", "each_holder_is_bounded_by_its_share") },
    Pool { file: "src/core/snapshots/at_work.rs", made: "FairSemaphore::new(IMPORTS_MAX)", bounds: "imports begun",
           test: ("src/fair.rs", "each_holder_is_bounded_by_its_share") },
    Pool { file: "src/webhooks/mod.rs", made: "FairSemaphore::new(LOOKUPS_MAX)", bounds: "look-ups of receivers",
           test: ("src/outbound/connect.rs", "n15_look_ups_that_hang_stay_within_their_tenants_share") },
    Pool { file: "src/checks/mod.rs", made: "FairSemaphore::new(LOOKUPS_MAX)", bounds: "look-ups of checked hosts",
           test: ("src/outbound/connect.rs", "n15_look_ups_that_hang_stay_within_their_tenants_share") },
    Pool { file: "src/checks/mod.rs", made: "FairSemaphore::new(settings.concurrency)", bounds: "checks of links at once",
           test: ("tests/suite/checks.rs", "one_workspace_leaves_slots_to_others") },
    Pool { file: SCHEDULER, made: "Shares::of(IN_FLIGHT_MAX)", bounds: "attempts at once to deliver webhooks",
           test: (SCHEDULER_TESTS, "n15_each_level_has_its_share_of_attempts") },
    Pool { file: SCHEDULER, made: "Shares::of(QUEUE_MAX as u32)", bounds: "deliveries that wait",
           test: (SCHEDULER_TESTS, "n15_each_level_has_its_share_of_the_queue") },
    Pool { file: "src/core/tenants/growth.rs", made: "Shares::of(u32::try_from(self.settings.record_memory)", bounds: "memory of domains, custom values and keys",
           test: ("tests/suite/bounds.rs", "n61_records_of_tenants_have_a_bound_in_bytes") },
    Pool { file: "src/certificates/lanes.rs", made: "FairSemaphore::new(LANE_MAX)", bounds: "names that are checked",
           test: ("src/certificates/lanes.rs", "names_that_fail_take_no_slot_of_others") },
    Pool { file: "src/webhooks/history.rs", made: "Shares::of(LINKS_MAX)", bounds: "results of deliveries",
           test: ("src/webhooks/history.rs", "n15_each_tenant_keeps_its_share_of_the_history") },
];

/// Files with a bound but without shares, and the reason.
const OTHERS: &[(&str, &str)] = &[
    ("src/fair.rs", "the shares themselves"),
    ("src/fair/", "the shares themselves"),
    (
        "src/log/",
        "the log's one writer and its followers take every tenant's Changes in order; requests wait in slots",
    ),
    ("src/table/sort.rs", "no requests: one thread sorts what it derives while it rebuilds the table"),
    ("src/table/waiters.rs", "one entry for each Change under way, which are bounded by slots"),
    ("src/http/body.rs", "one piece of one answer, whose room is charged to its tenant"),
    (
        "src/core/pools/loader.rs",
        "one entry for each code that visitors wait for, joined; bounded by connections",
    ),
    (
        "src/certificates/lanes.rs",
        "orders of names that lead here, within the lanes, whose shares are above; they are bounded in time",
    ),
    ("src/core/pools/cpu_pool.rs", "the queue of tenants behind the waiting room's shares"),
    ("src/webhooks/", "queues within the shares of `webhooks::scheduler`, and the last results of one link"),
    (
        "src/core/snapshots/import.rs",
        "the newest rows of one list, which has a bound and whose bytes are acquired",
    ),
    (
        "src/analytics/aggregate.rs",
        "details of all tenants' clicks on their way to the log, bounded in bytes; totals do not depend on them",
    ),
    ("src/analytics/part/merge.rs", "no requests: the parts of one merge, at most as many as its plan names"),
    ("src/cli/", "no requests: commands of the operator"),
];

/// The code that creates a pool or a queue.
const RAW: [&str; 6] = [
    "Semaphore::new(",
    "mpsc::channel(",
    "unbounded_channel(",
    "sync_channel(",
    "VecDeque::",
    "BinaryHeap::",
];
const FAIR: [&str; 3] = ["FairSemaphore::new(", "CpuPool::new(", "Shares::of("];

/// Returns the sources of the program without comments and unit tests.
fn product() -> Vec<(String, String)> {
    let files = sources().into_iter().filter(|(path, _)| !path.ends_with("tests.rs"));
    let without_tests = |(path, text): (PathBuf, String)| {
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or("").to_owned();
        (format!("src/{}", path.display()), code)
    };
    files.map(without_tests).collect()
}

#[test]
fn every_pool_has_shares_or_a_reason() {
    for (file, code) in product() {
        for raw in RAW {
            let bare = code.matches(raw).count() - code.matches(&format!("Fair{raw}")).count();
            let is_allowed = OTHERS.iter().any(|(allowed, _)| file.starts_with(allowed));
            assert!(
                bare == 0 || is_allowed,
                "{file} uses {raw}: what several tenants draw from is a FairSemaphore, or is listed with a reason"
            );
        }
        if file.starts_with("src/fair") {
            continue;
        }
        let mut listed = code.clone();
        for pool in POOLS.iter().filter(|pool| pool.file == file) {
            listed = listed.replace(pool.made, "");
        }
        for fair in FAIR {
            assert!(!listed.contains(fair), "{file} has a pool that is not listed in tests/suite/pools.rs");
        }
    }
}

#[test]
fn every_pool_has_a_test_of_its_shares() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for Pool { bounds, test: (file, name), .. } in POOLS {
        let text = fs::read_to_string(root.join(file)).expect("a file of tests");
        assert!(text.contains(&format!("fn {name}(")), "{bounds}: no test {name} in {file}");
    }
}
