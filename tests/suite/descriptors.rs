//! The number of open files does not grow with the data. A log with any number of segments is written, read,
//! compacted, backed up and served with a few descriptors. Readers outlive the files that they read.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use serde_json::json;
use waypost::clock::Clock;
use waypost::log::local::archive::Archive;
use waypost::log::local::disk::{Disk, FsDisk};
use waypost::log::local::disk_guard::DiskGuard;
use waypost::log::local::{LocalLog, Settings};
use waypost::log::{CommitError, Follow, Follower, Log, LogError, Position, Proposal, Put};
use waypost::model::id::Id;
use waypost::model::node::NodeNumber;
use waypost::table::keys;
use waypost::table::record::encode_clicks;

use crate::support::process::{PATIENCE, Plan, Process, poll};
use crate::support::sim_disk::{self, SimDisk};
use crate::support::table::MemoryTable;

/// More than the descriptors that the tests below allow.
const SEGMENTS: u64 = 200;

/// The limit of open files of a server: below the number of segments.
const DESCRIPTORS: u32 = 128;

/// Opens a log in which every write begins a segment.
fn open(disk: Arc<dyn Disk>) -> LocalLog {
    open_with(disk, 1)
}

fn open_with(disk: Arc<dyn Disk>, segment_bytes: u64) -> LocalLog {
    let settings = Settings { segment_bytes, compact_above: u64::MAX, scrub_rate: 0, accept_loss: false };
    let (table, space) = (Arc::new(MemoryTable::default()), Arc::new(DiskGuard::unlimited()));
    LocalLog::open(disk, settings, Clock::system(), table, space).expect("the log opens")
}

fn on(folder: &Path) -> Arc<dyn Disk> {
    Arc::new(FsDisk::open(folder).expect("a folder"))
}

/// Returns a click total, the only kind of write that needs no table.
fn total(link: u64) -> Proposal {
    let value = Some(Bytes::from(encode_clicks(link)));
    let puts = vec![Put { key: keys::clicks(Id::from_bits(link.into()), NodeNumber::ALONE), value }];
    Proposal { puts, ..Proposal::default() }
}

fn write(log: &LocalLog, links: std::ops::Range<u64>) {
    for link in links {
        log.commit(total(link)).wait().expect("commits");
    }
}

/// Returns the number of files of the folder that this process has open.
fn open_in(folder: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").expect("procfs").flatten();
    descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|path| path.starts_with(folder))
        .count()
}

fn changes(log: &LocalLog) -> Box<dyn Follower> {
    match log.follow(Position::START).expect("it is there from the start") {
        Follow::Changes(follower) => follower,
        Follow::Compacted { .. } => panic!("nothing was compacted"),
    }
}

/// The folder and the writer's file are open, and one file for each reader.
#[test]
fn n20_unread_segments_hold_no_descriptor() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let log = open(on(home.path()));
    write(&log, 0..SEGMENTS);
    assert!(log.local_status().segments as u64 >= SEGMENTS, "{}", log.local_status().segments);
    assert_eq!(open_in(home.path()), 2, "after {SEGMENTS} segments");
    log.close();
    drop(log);
    let log = open(on(home.path()));
    assert_eq!(open_in(home.path()), 2, "after a start over {SEGMENTS} segments");
    let mut follower = changes(&log);
    for position in 1..=SEGMENTS {
        let change = follower.next(Duration::ZERO).expect("reads").expect("it is durable");
        assert_eq!(change.position, Position(position));
        assert!(open_in(home.path()) <= 3, "at {position}");
    }
    log.compact().expect("compacts");
    drop(follower);
    assert_eq!(open_in(home.path()), 2, "after a compaction");
}

/// A reader completes a segment that compaction has removed, and fails at the next one.
#[test]
fn n20_a_reader_outlives_the_file_that_it_reads() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let log = open_with(on(home.path()), 1 << 20);
    // Segments several times as long as one read.
    let value = Bytes::from(vec![7; 10_000]);
    for link in 0..300 {
        let key = keys::clicks(Id::from_bits(link), NodeNumber::ALONE);
        let puts = vec![Put { key, value: Some(value.clone()) }];
        log.commit(Proposal { puts, ..Proposal::default() }).wait().expect("commits");
    }
    log.close();
    drop(log);
    // Reopened, so that Changes come from segments and not from memory.
    let log = open(on(home.path()));
    let mut follower = changes(&log);
    assert!(follower.next(Duration::ZERO).expect("reads").is_some());
    log.compact().expect("compacts");
    let mut read = 1;
    let end = loop {
        match follower.next(Duration::ZERO) {
            Ok(Some(_)) => read += 1,
            other => break other,
        }
    };
    assert!(read > 60, "{read} of the segment's Changes");
    assert!(matches!(end, Err(LogError::Compacted { position }) if position.0 == 300), "{end:?}");
}

/// An archive keeps as many files open as it may. If another file is removed, it fails with advice, and never
/// returns a shorter log.
#[test]
fn n20_an_archive_fails_if_compaction_removes_its_files() {
    let disk = SimDisk::default();
    let log = open(Arc::new(disk.clone()));
    write(&log, 0..20);
    let read = |pins| Archive::read_pinning(disk.clone(), pins).expect("opens");
    let (held, loose) = (read(1_000), read(5));
    log.compact().expect("compacts");
    let mut records = 0;
    held.each_record(&mut |_| {
        records += 1;
        Ok(())
    })
    .expect("held open");
    assert_eq!(records, 20);
    let overtaken = loose.each_record(&mut |_| Ok(())).map_err(|error| error.to_string());
    assert!(overtaken.as_ref().is_err_and(|text| text.contains("run the command again")), "{overtaken:?}");
    let copied = loose.copy(&SimDisk::default(), &mut |_, _| {}).map_err(|error| error.to_string());
    assert!(copied.is_err_and(|text| text.contains("was removed by a compaction")));
}

/// The old segment cannot be written after a failed sync, and no new one can be opened. The rejection is
/// certain, names the cause, and ends by itself.
#[test]
fn n20_a_log_without_a_descriptor_refuses_cleanly_and_heals() {
    let disk = SimDisk::default();
    let log = open(Arc::new(disk.clone()));
    write(&log, 0..1);
    // A commit that begins a segment writes header, footer and frames, and syncs the last of them fourth. The
    // fourth write is the header of the segment after the failure.
    let fail_write = Some((disk.writes() + 4, Errno::MFILE.raw_os_error()));
    disk.plan(sim_disk::Plan { fail_syncs: vec![disk.syncs() + 4], fail_write, ..sim_disk::Plan::default() });
    let mut answers = Vec::new();
    poll("it heals", PATIENCE, || {
        let answer = log.commit(total(1)).wait();
        let healed = answer.is_ok() && answers.iter().any(Result::is_err);
        answers.push(answer);
        healed.then_some(())
    });
    assert!(answers.contains(&Err(CommitError::NoDescriptors)), "{answers:?}");
}

fn descriptors_of(server: &Process) -> usize {
    fs::read_dir(server.proc("fd")).expect("procfs").count()
}

/// A data folder with more segments than descriptors serves, accepts writes, and can be exported, verified
/// and backed up. Earlier versions started and could accept no connection.
#[test]
fn n20_more_segments_than_descriptors() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let plan = || Plan::on(&data).descriptors(DESCRIPTORS);
    let server = plan().start();
    server.admin().create(&json!({"url": "https://e.test/a", "customSlug": "a"}));
    let idle = descriptors_of(&server);
    server.stop();
    let log = open(on(&data.join("log")));
    write(&log, 1_000..1_000 + SEGMENTS);
    log.close();
    drop(log);

    let server = plan().start();
    // The folder of click details is written once after the start.
    poll("few descriptors", PATIENCE, || (descriptors_of(&server) <= idle + 2).then_some(()));
    assert_eq!(server.visitor().get("/a").status, 302);
    server.admin().create(&json!({"url": "https://e.test/b", "customSlug": "b"}));
    let copy = home.path().join("copy").display().to_string();
    let output = home.path().join("links").display().to_string();
    for arguments in
        [&["verify"][..], &["backup", &copy], &["export", "--output", &output], &["verify", &copy]]
    {
        let plan = arguments.iter().fold(plan(), |plan, argument| plan.arg(argument));
        let (code, _, stderr) = plan.fails();
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    }
    assert_eq!(fs::read_to_string(output).expect("the export").lines().count(), 2);
    server.stop();
    let server = plan().start();
    assert_eq!(server.visitor().get("/b").status, 302, "after a restart");
    server.stop();
}

#[test]
fn n20_a_start_with_too_few_descriptors_names_the_sum() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (code, stdout, stderr) = Plan::on(&home.path().join("data")).descriptors(40).fails();
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    for part in ["needs 64 descriptors", "the limit is 40", "raise LimitNOFILE="] {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert!(!home.path().join("data").exists(), "nothing was made");
}
