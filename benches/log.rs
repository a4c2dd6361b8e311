//! The log on a real disk: one writer at a time, 64 at once, the hash behind the fingerprint, and
//! reading a log back. Each asserts its answers.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use waypost::log::fingerprint::record_hash;
use waypost::log::{Follow, Log, Pending, Position};

#[path = "support/bare_log.rs"]
mod bare_log;

use self::bare_log::{open, proposal};

/// Writers in a group.
const WRITERS: u64 = 64;
/// Changes that are read back.
const READ_BACK: u64 = 20_000;

fn commits(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(folder.path()).expect("opens");
    let mut next = 0;
    let mut group = c.benchmark_group("log");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(1));
    group.bench_function("commit_one", |b| {
        b.iter(|| {
            next += 1;
            assert_eq!(log.commit(proposal(next)).wait(), Ok(Position(next)));
        });
    });
    group.throughput(Throughput::Elements(WRITERS));
    group.bench_function("commit_64_at_once", |b| {
        b.iter(|| {
            let pending: Vec<Pending> = (1..=WRITERS).map(|n| log.commit(proposal(next + n))).collect();
            for pending in pending {
                next += 1;
                assert_eq!(pending.wait(), Ok(Position(next)));
            }
        });
    });
    group.finish();
    assert_eq!(log.status().fingerprint.count, next);
    assert!(log.local_status().syncs < next, "groups share their syncs");
}

fn reading(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(folder.path()).expect("opens");
    let pending: Vec<Pending> = (1..=READ_BACK).map(|n| log.commit(proposal(n))).collect();
    for (index, pending) in (1..).zip(pending) {
        assert_eq!(pending.wait(), Ok(Position(index)));
    }
    log.close();
    drop(log);
    let mut group = c.benchmark_group("log");
    group.sample_size(10).throughput(Throughput::Elements(READ_BACK));
    group.bench_function("open_and_follow", |b| {
        b.iter_batched(
            || open(folder.path()).expect("opens"),
            |log| {
                let Ok(Follow::Changes(mut follower)) = log.follow(Position::START) else {
                    panic!("never compacted")
                };
                let mut last = Position::START;
                while let Ok(Some(change)) = follower.next(Duration::ZERO) {
                    last = change.position;
                }
                assert_eq!(last, Position(READ_BACK));
            },
            BatchSize::PerIteration,
        );
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("record_hash", |b| {
        let key = *b"l0123456789abcdef0123";
        assert_ne!(record_hash(&key, Position(1)), record_hash(&key, Position(2)));
        b.iter(|| record_hash(black_box(&key), black_box(Position(1))));
    });
    group.finish();
}

criterion_group!(benches, commits, reading);
criterion_main!(benches);
