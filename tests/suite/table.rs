//! The table's contract: reads, lists and counts of the table equal what was committed to the log, after
//! reopening, wiping and damage.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use proptest::prelude::*;
use waypost::clock::{Clock, Timestamp};
use waypost::log::local::disk::FsDisk;
use waypost::log::local::disk_guard::DiskGuard;
use waypost::log::local::{self, LocalLog};
use waypost::log::{
    Change, CommitCallback, Follow, Follower, Log, LogError, LogStatus, Position, Precondition, Proposal, Put,
};
use waypost::model::destination::{Destination, LinkType};
use waypost::model::domain::DomainNumber;
use waypost::model::id::{ForeignId, Id};
use waypost::model::link::{Link, Options};
use waypost::model::node::NodeNumber;
use waypost::model::short_code::ShortCode;
use waypost::model::snapshot::{Import, ImportStatus};
use waypost::model::workspace::WorkspaceNumber;
use waypost::readiness::Readiness;
use waypost::table::record::{Cell, FrozenId, LinkAt, Number, Staged, Stored, Tombstone};
use waypost::table::{self, List, Observer, Order, ReadView, Scanned, Settings, Table, keys};

use crate::support::leaves::Leaves;

const HOME: DomainNumber = DomainNumber::DEFAULT;

const WORKSPACE: WorkspaceNumber = WorkspaceNumber(0);

struct Nobody;

impl Observer for Nobody {
    fn reset(&self, _: &Table) -> Result<(), table::Error> {
        Ok(())
    }

    fn failed(&self) {}

    fn applied(&self, _: &Change) {}

    fn node(&self) -> NodeNumber {
        NodeNumber::ALONE
    }

    fn totals_applied(&self, _: &[(Id, NodeNumber, u64)]) {}
}

struct Store {
    log: Arc<LocalLog>,
    table: Table,
}

/// Creates a log, and a table that does not follow it yet.
fn parts(folder: &Path) -> (LocalLog, Table) {
    std::fs::create_dir_all(folder.join("log")).expect("a folder");
    let table = Table::open(&folder.join("table"), Settings::default());
    let disk = FsDisk::open(&folder.join("log")).expect("the log's folder");
    let log = LocalLog::open(
        Arc::new(disk),
        local::Settings::default(),
        Clock::system(),
        Arc::new(table.clone()),
        Arc::new(DiskGuard::unlimited()),
    );
    (log.expect("the log opens"), table)
}

fn until(table: &Table, what: &str, is_so: impl Fn(&table::Status) -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !is_so(&table.status()) {
        assert!(Instant::now() < end, "{what}: {:?}", table.status());
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Store {
    fn open(folder: &Path) -> Store {
        let (log, table) = parts(folder);
        let log = Arc::new(log);
        table
            .start(log.clone(), Arc::new(Nobody), Arc::new(|| true), Clock::system(), &Readiness::default())
            .expect("threads");
        let store = Store { log, table };
        store.until("the table is ready", |status| status.ready);
        store
    }

    fn until(&self, what: &str, is_so: impl Fn(&table::Status) -> bool) {
        until(&self.table, what, is_so);
    }

    fn commit(&self, preconditions: Vec<Precondition>, puts: Vec<Put>) {
        let position =
            self.log.commit(Proposal { preconditions, puts, request: 0 }).wait().expect("committed");
        self.until("the Change is applied", |status| status.applied >= position);
    }

    fn close(self) {
        self.log.close();
        self.table.stop();
    }
}

fn link(id: u128, code: &str, tags: &[u128]) -> Link {
    let to = Destination::parse_web("url", &format!("https://e.test/{id}")).expect("a valid URL");
    let mut options = Options::new(to, LinkType::Url);
    options.tags = tags.iter().map(|tag| Id::from_bits(*tag)).collect();
    Link {
        id: Id::from_bits(id),
        workspace: WORKSPACE,
        domain: HOME,
        code: ShortCode::parse(code).expect("a valid code"),
        typed_code: None,
        aliases: Vec::new(),
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(1),
        created_by: None,
        options,
    }
}

fn put(link: &Link) -> Put {
    let key = keys::link(link.domain, link.code.as_str());
    Put { key, value: Some(LinkAt::encode(link).into()) }
}

#[test]
fn a_link_of_an_invisible_workspace_is_absent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path());
    store.commit(vec![], vec![put(&link(7, "theirs", &[]))]);
    let other = WorkspaceNumber(1);
    let rows = [
        ("theirs", &[WORKSPACE][..], Some(7)),
        ("theirs", &[other, WORKSPACE], Some(7)),
        ("theirs", &[other], None),
        ("theirs", &[], None),
        ("nobodys", &[WORKSPACE], None),
    ];
    for (code, workspaces, want) in rows {
        let found = store
            .table
            .link_seen(HOME, code, |owner| workspaces.contains(&owner))
            .expect("the table answers");
        assert_eq!(found.map(|found| found.record.id.bits()), want, "{code} {workspaces:?}");
    }
    store.close();
}

fn ids(table: &Table, list: &List) -> Vec<u128> {
    let mut ids = Vec::new();
    let walked = table.each_link(WORKSPACE, list, Order::Oldest, None, &mut |found| {
        ids.push(found.record.id.bits());
        true
    });
    walked.expect("the table answers");
    ids
}

#[derive(Clone, Debug)]
enum Op {
    /// Creates or replaces the link of a code, with these tags.
    Write(u8, Vec<u128>),
    Remove(u8),
    Reopen,
    Wipe,
    /// Truncates sled's file.
    Truncate(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..12_u8, proptest::collection::vec(1..4_u128, 0..3)).prop_map(|(code, tags)| Op::Write(code, tags)),
        4 => (0..12_u8).prop_map(Op::Remove),
        1 => Just(Op::Reopen),
        1 => Just(Op::Wipe),
        1 => any::<u8>().prop_map(Op::Truncate),
    ];
    proptest::collection::vec(op, 1..30)
}

fn matches(table: &Table, model: &BTreeMap<u8, Link>, step: usize) {
    let mut all: Vec<u128> = model.values().map(|link| link.id.bits()).collect();
    all.sort_unstable();
    assert_eq!(ids(table, &List::All), all, "step {step}");
    assert_eq!(table.count(WORKSPACE, &List::All).ok(), Some(all.len() as u64), "step {step}");
    assert_eq!(table.links_seen_on(HOME).ok(), Some(all.len() as u64), "step {step}");
    for id in &all {
        assert_eq!(table.owner_of(Id::from_bits(*id)).ok(), Some(Some(WORKSPACE)), "step {step} id {id}");
    }
    for tag in 1..4 {
        let tag = Id::from_bits(tag);
        let mut tagged: Vec<u128> = model
            .values()
            .filter(|link| link.options.tags.contains(&tag))
            .map(|link| link.id.bits())
            .collect();
        tagged.sort_unstable();
        assert_eq!(ids(table, &List::Tag(tag)), tagged, "step {step} tag {tag}");
        let count = table.count(WORKSPACE, &List::Tag(tag)).ok();
        assert_eq!(count, Some(tagged.len() as u64), "step {step} tag {tag}");
    }
    for code in 0..12_u8 {
        let found = table.link(HOME, &format!("c{code}")).expect("the table answers");
        let found = found.map(|found| found.record.id);
        assert_eq!(found, model.get(&code).map(|link| link.id), "step {step} code {code}");
    }
}

fn run(ops: &[Op]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(folder.path());
    let mut model: BTreeMap<u8, Link> = BTreeMap::new();
    let mut next_id = 0;
    for (step, op) in ops.iter().enumerate() {
        match op {
            Op::Write(code, tags) => {
                let mut tags = tags.clone();
                tags.dedup();
                tags.sort_unstable();
                tags.dedup();
                next_id += 1;
                let id = model.get(code).map_or(next_id, |old| old.id.bits());
                let link = link(id, &format!("c{code}"), &tags);
                store.commit(Vec::new(), vec![put(&link)]);
                model.insert(*code, link);
            }
            Op::Remove(code) => {
                let Some(link) = model.remove(code) else { continue };
                let key = keys::link(HOME, link.code.as_str());
                store.commit(Vec::new(), vec![Put { key, value: None }]);
            }
            Op::Reopen | Op::Wipe | Op::Truncate(_) => {
                store.close();
                let table = folder.path().join("table");
                if let Op::Wipe = op {
                    std::fs::remove_dir_all(&table).expect("the table's folder");
                }
                if let Op::Truncate(part) = op {
                    let file =
                        std::fs::File::options().write(true).open(table.join("db")).expect("sled's file");
                    let length = file.metadata().expect("its length").len();
                    file.set_len(length * u64::from(*part) / 256).expect("cut");
                }
                store = Store::open(folder.path());
            }
        }
        matches(&store.table, &model, step);
    }
    let status = store.log.status();
    assert_eq!(store.table.status().records, status.fingerprint.count);
    store.until("the records are scrubbed", |status| status.last_scrub.is_some());
    assert_eq!(store.table.status().last_error, None);
    store.close();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn t107_the_table_is_the_log(ops in ops()) {
        run(&ops);
    }
}

/// A log whose followers read the table before each Change that the table takes, as a concurrent reader may.
#[derive(Debug)]
struct Watched {
    log: LocalLog,
    table: Table,
    /// Positions and numbers of links that differ.
    torn: Arc<Mutex<Vec<(u64, u64)>>>,
}

struct Watcher {
    follower: Box<dyn Follower>,
    table: Table,
    torn: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Follower for Watcher {
    fn next(&mut self, patience: Duration) -> Result<Option<Arc<Change>>, LogError> {
        let applied = self.table.status().applied.0;
        // Reads fail before the table is ready.
        if let Ok(links) = self.table.count(WORKSPACE, &List::All)
            && links != applied
        {
            self.torn.lock().push((applied, links));
        }
        self.follower.next(patience)
    }
}

impl Log for Watched {
    fn propose(&self, proposal: Proposal, answer: CommitCallback) {
        self.log.propose(proposal, answer);
    }

    fn follow(&self, from: Position) -> Result<Follow, LogError> {
        Ok(match self.log.follow(from)? {
            Follow::Changes(follower) => {
                let (table, torn) = (self.table.clone(), Arc::clone(&self.torn));
                Follow::Changes(Box::new(Watcher { follower, table, torn }))
            }
            compacted @ Follow::Compacted { .. } => compacted,
        })
    }

    fn position(&self) -> Position {
        self.log.position()
    }

    fn id(&self) -> u128 {
        self.log.id()
    }

    fn status(&self) -> LogStatus {
        self.log.status()
    }

    fn compact_soon(&self) {
        self.log.compact_soon();
    }

    fn close(&self) {
        self.log.close();
    }
}

/// The code of a link that a test removes right after its creation.
const REMOVED: &str = "c24";

/// An observer that looks up the links of each Change. It lets the log get ahead of the table first, so that the
/// next Changes are applied together.
struct LookUps {
    log: Arc<LocalLog>,
    /// The position that the log has reached when the second Change is applied.
    ahead: Position,
    table: Mutex<Option<Table>>,
    /// The positions of the Changes, and the codes that were not found as their Change or a later one left them.
    seen: Mutex<(Vec<u64>, Vec<String>)>,
}

impl Observer for LookUps {
    fn reset(&self, table: &Table) -> Result<(), table::Error> {
        *self.table.lock() = Some(table.clone());
        Ok(())
    }

    fn failed(&self) {}

    fn applied(&self, change: &Change) {
        let end = Instant::now() + Duration::from_mins(1);
        while self.log.position() < self.ahead && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let table = self.table.lock().clone().expect("the table was reset");
        let mut seen = self.seen.lock();
        seen.0.push(change.position.0);
        for entry in &change.entries {
            let Some((domain, code)) = keys::parse_link(&entry.put.key) else { continue };
            let found = table.link(domain, code).expect("the table answers");
            let is_removed = entry.put.value.is_none() || code == REMOVED;
            if found.map_or(!is_removed, |found| found.revision < change.position) {
                seen.1.push(format!("{code} at {}", change.position));
            }
        }
    }

    fn node(&self) -> NodeNumber {
        NodeNumber::ALONE
    }

    fn totals_applied(&self, _: &[(Id, NodeNumber, u64)]) {}
}

/// The observer invalidates what is cached about a link: a load that follows must find the new record, also if
/// the links of many Changes are written together.
#[test]
fn the_observer_is_called_after_the_records_are_written() {
    let create = |id: u128| put(&link(id, &format!("c{id}"), &[]));
    let remove = |id: u128| Put { key: keys::link(HOME, &format!("c{id}")), value: None };
    let mut changes: Vec<Vec<Put>> = (1..=20).map(|id| vec![create(id)]).collect();
    // Between the creates: a link of the same batch and an earlier one are edited, and others removed.
    changes.extend([vec![create(21), create(22)], vec![create(19)], vec![create(23)], vec![create(1)]]);
    changes.extend([vec![create(24)], vec![remove(24)], vec![remove(2)], vec![create(25)], vec![create(26)]]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (log, table) = parts(folder.path());
    let (log, last) = (Arc::new(log), changes.len() as u64);
    let observer = Arc::new(LookUps {
        log: Arc::clone(&log),
        ahead: Position(last),
        table: Mutex::default(),
        seen: Mutex::default(),
    });
    table
        .start(log.clone(), observer.clone(), Arc::new(|| true), Clock::system(), &Readiness::default())
        .expect("threads");
    let store = Store { log, table };
    store.until("the table is ready", |status| status.ready);
    for puts in changes {
        let proposal = Proposal { preconditions: Vec::new(), puts, request: 0 };
        store.log.commit(proposal).wait().expect("committed");
    }
    store.until("the Changes are applied", |status| status.applied == Position(last));
    assert_eq!(*observer.seen.lock(), ((1..=last).collect(), Vec::<String>::new()));
    assert_eq!(store.table.count(WORKSPACE, &List::All).ok(), Some(24));
    store.close();
}

/// Regression: the position was published before its count of links was written. Between the two the table
/// takes the next Change, so a read at that moment is deterministic.
#[test]
fn a_position_is_published_with_its_counts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (log, table) = parts(folder.path());
    let torn = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::new(Watched { log, table: table.clone(), torn: Arc::clone(&torn) });
    table
        .start(log.clone(), Arc::new(Nobody), Arc::new(|| true), Clock::system(), &Readiness::default())
        .expect("threads");
    until(&table, "the table is ready", |status| status.ready);
    for n in 1..=20 {
        let create = Proposal { puts: vec![put(&link(n, &format!("c{n}"), &[]))], ..Proposal::default() };
        log.commit(create).wait().expect("committed");
    }
    until(&table, "all is applied", |status| status.applied.0 == 20);
    assert_eq!(table.count(WORKSPACE, &List::All).ok(), Some(20));
    log.close();
    table.stop();
    assert_eq!(*torn.lock(), [], "positions with another number of links");
}

#[test]
fn a_reader_that_meets_a_damaged_record_makes_the_table_rebuild() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path());
    let link = link(1, "a", &[]);
    store.commit(Vec::new(), vec![put(&link)]);
    store.close();
    let nonsense = Some(&b"nonsense, of some length, in its place"[..]);
    assert!(Leaves::open(folder.path()).set(&keys::link(HOME, "a"), nonsense));
    let store = Store::open(folder.path());
    store.until("the table was rebuilt", |status| {
        status.ready && status.rebuilds > 0 && status.applied.0 == 1
    });
    let found = store.table.link(HOME, "a").expect("the table answers");
    assert_eq!(found.map(|found| found.record.id), Some(link.id));
    store.close();
}

#[test]
fn a_record_that_sled_lost_is_noticed_and_healed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path());
    for n in 0..200 {
        store.commit(Vec::new(), vec![put(&link(n + 1, &format!("c{n}"), &[]))]);
    }
    store.close();
    {
        let table = Leaves::open(folder.path());
        assert!(table.set(&keys::link(HOME, "c77"), None));
        assert!(table.set(&keys::listed(WORKSPACE, Id::from_bits(78)), None));
    }
    let store = Store::open(folder.path());
    store.until("the table was rebuilt", |status| {
        status.ready && status.rebuilds > 0 && status.last_scrub.is_some() && status.applied.0 == 200
    });
    assert!(store.table.link(HOME, "c77").expect("the table answers").is_some());
    assert_eq!(ids(&store.table, &List::All).len(), 200);
    store.close();
}

/// A scrub corrects a wrong number of links without a rebuild. Links that an import hides are not counted.
#[test]
fn t98_a_wrong_number_of_links_is_put_right() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path());
    let hidden = Staged::encode(&link(9, "hidden", &[]), Id::from_bits(8));
    let mark = keys::staging(WORKSPACE, Id::from_bits(8));
    store.commit(
        Vec::new(),
        vec![
            Put { key: mark, value: Some(FrozenId(Id::from_bits(8)).encode().into()) },
            Put { key: keys::link(HOME, "hidden"), value: Some(hidden.into()) },
        ],
    );
    for n in 0..20 {
        store.commit(Vec::new(), vec![put(&link(n + 10, &format!("c{n}"), &[]))]);
    }
    store.close();
    let kept = keys::link_count(WORKSPACE);
    for wrong in [Some(7_u64), Some(21), None] {
        let cell = wrong.map(|wrong| {
            let (value, revision) = (Number(wrong).encode(), Position(5));
            Cell { revision, replaces: Position::START, value: &value }.encode(&kept)
        });
        assert!(Leaves::open(folder.path()).set(&kept, cell.as_deref()));
        let store = Store::open(folder.path());
        store.until("the records are scrubbed", |status| status.last_scrub.is_some());
        assert_eq!(store.table.count(WORKSPACE, &List::All).ok(), Some(20), "{wrong:?}");
        assert_eq!(store.table.status().rebuilds, 0, "{wrong:?}");
        store.close();
    }
}

/// The import of half of the links completes before the second batch of a walk. The walk returns none of
/// them; a walk that begins later returns all. Both orders are tested, since lists and freezing differ in
/// order.
#[test]
fn a_walk_sees_an_import_whole_or_not_at_all() {
    const LINKS: u128 = 20;
    let import = Id::from_bits(1);
    for order in [Order::Newest, Order::Oldest] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path());
        let mark = keys::staging(WORKSPACE, import);
        let mut puts = vec![Put { key: mark.clone(), value: Some(FrozenId(import).encode().into()) }];
        let staged = |id: u128| id.is_multiple_of(2);
        puts.extend((2..2 + LINKS).map(|id| {
            let link = link(id, &format!("c{id}"), &[]);
            let value = if staged(id) { Staged::encode(&link, import) } else { LinkAt::encode(&link) };
            Put { value: Some(value.into()), ..put(&link) }
        }));
        store.commit(Vec::new(), puts);
        let batch = |view: &mut ReadView, after: Option<Id>, at_most: usize| {
            let mut ids = Vec::new();
            let (list, mut steps) = (&List::All, u64::MAX);
            let walked = store.table.scan(view, WORKSPACE, list, order, after, &mut steps, &mut |found| {
                ids.push(found.record.id.bits());
                ids.len() < at_most
            });
            walked.expect("the table answers");
            ids
        };
        let mut began_before = store.table.view(WORKSPACE).expect("the table answers");
        let mut began_first = ReadView::default();
        let mut seen = batch(&mut began_before, None, 3);
        assert_eq!(batch(&mut began_first, None, 3), seen, "{order:?}");
        store.commit(Vec::new(), vec![Put { key: mark, value: None }]);
        let last = seen.last().map(|id| Id::from_bits(*id));
        let rest = batch(&mut began_before, last, usize::MAX);
        assert_eq!(batch(&mut began_first, last, usize::MAX), rest, "{order:?}");
        seen.extend(rest);
        seen.sort_unstable();
        assert_eq!(seen, (2..2 + LINKS).filter(|id| !staged(*id)).collect::<Vec<_>>(), "{order:?}");
        let mut after = store.table.view(WORKSPACE).expect("the table answers");
        assert_eq!(batch(&mut after, None, usize::MAX).len() as u128, LINKS, "{order:?}");
        store.close();
    }
}

/// A scan ends with its steps, however few of the links are visible.
#[test]
fn n18_a_scan_reads_no_more_links_than_its_steps() {
    const LINKS: u128 = 30;
    let import = Id::from_bits(1);
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path());
    let mark = keys::staging(WORKSPACE, import);
    let mut puts = vec![Put { key: mark, value: Some(FrozenId(import).encode().into()) }];
    puts.extend((2..2 + LINKS).map(|id| {
        let mut link = link(id, &format!("c{id}"), &[]);
        if id == 2 {
            link.options.notes = Some("x".repeat(5 * 1024).into());
        }
        // All but the oldest three are hidden.
        let value = if id >= 5 { Staged::encode(&link, import) } else { LinkAt::encode(&link) };
        Put { value: Some(value.into()), ..put(&link) }
    }));
    store.commit(Vec::new(), puts);
    let mut view = store.table.view(WORKSPACE).expect("the table answers");
    let mut scan = |after: Option<u128>, mut steps: u64| {
        let mut seen = Vec::new();
        let (list, order, after) = (&List::All, Order::Newest, after.map(Id::from_bits));
        let scanned = store.table.scan(&mut view, WORKSPACE, list, order, after, &mut steps, &mut |found| {
            seen.push(found.record.id.bits());
            true
        });
        (scanned.expect("the table answers"), seen)
    };
    let spent = |id: u128| Scanned::Spent(Id::from_bits(id));
    assert_eq!(scan(None, 10), (spent(LINKS + 2 - 10), vec![]), "hidden links cost as much as others");
    assert_eq!(scan(Some(5), 2), (spent(3), vec![4, 3]));
    assert_eq!(scan(Some(3), 4), (spent(2), vec![2]), "a link of 5 KB costs more than the four steps left");
    assert_eq!(scan(Some(2), 1), (Scanned::End, vec![]));
    store.close();
}

/// Staged links are counted apart, by workspace, domain and tag, and are all added when the import completes.
/// A rebuild before or after gives the same counts.
#[test]
fn n13_counters_count_an_import_when_it_completes() {
    let (import, tag) = (Id::from_bits(1), Id::from_bits(9));
    let folder = tempfile::tempdir().expect("a folder");
    let counts = |store: &Store| {
        let count = |list: &List| store.table.count(WORKSPACE, list).expect("a count");
        [count(&List::All), count(&List::Tag(tag)), store.table.links_seen_on(HOME).expect("a count")]
    };
    let mark = keys::staging(WORKSPACE, import);
    let mut store = Store::open(folder.path());
    store.commit(Vec::new(), vec![put(&link(2, "visible", &[9]))]);
    let begun = vec![Put { key: mark.clone(), value: Some(FrozenId(import).encode().into()) }];
    store.commit(Vec::new(), begun);
    let staged: Vec<Link> =
        (3..8).map(|id| link(id, &format!("c{id}"), if id < 6 { &[9] } else { &[] })).collect();
    let puts =
        staged.iter().map(|link| Put { value: Some(Staged::encode(link, import).into()), ..put(link) });
    store.commit(Vec::new(), puts.collect());
    // One of them is removed while it is hidden.
    store.commit(Vec::new(), vec![Put { key: put(&staged[0]).key, value: None }]);
    for wipe in [false, true] {
        assert_eq!(counts(&store), [1, 1, 1], "wiped {wipe}");
        store.close();
        if wipe {
            std::fs::remove_dir_all(folder.path().join("table")).expect("removed");
        }
        store = Store::open(folder.path());
    }
    let made = Import {
        id: import,
        share: Id::from_bits(70),
        snapshot: ForeignId::from(Id::from_bits(71)),
        frozen: Id::from_bits(72),
        company: ForeignId::from(Id::from_bits(73)),
        workspace: WORKSPACE,
        status: ImportStatus::Completed,
        links: 5,
        made: 4,
        skipped: 0,
        renamed: 0,
        created_at: Timestamp::from_millis(1),
        finished_at: Some(Timestamp::from_millis(2)),
    };
    let completed = Put { key: keys::import(made.frozen, import), value: Some(made.encode().into()) };
    store.commit(Vec::new(), vec![completed, Put { key: mark, value: None }]);
    for wipe in [false, false, true] {
        assert_eq!(counts(&store), [5, 3, 5], "wiped {wipe}");
        store.close();
        if wipe {
            std::fs::remove_dir_all(folder.path().join("table")).expect("removed");
        }
        store = Store::open(folder.path());
    }
    // A change of tags is counted. The same record again is not.
    for tags in [&[9_u128][..], &[9], &[], &[8]] {
        store.commit(Vec::new(), vec![put(&link(7, "c7", tags))]);
        let want = if tags.contains(&9) { 4 } else { 3 };
        assert_eq!(counts(&store), [5, want, 5], "{tags:?}");
    }
    store.close();
}

/// A table of a version with fewer counters is rebuilt once.
#[test]
fn n13_a_table_of_another_version_is_rebuilt_with_its_counters() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path());
    store.commit(Vec::new(), vec![put(&link(2, "a", &[9])), put(&link(3, "b", &[9]))]);
    store.close();
    {
        let table = Leaves::open(folder.path());
        b"VTDI".iter().for_each(|derived| table.remove_kind(*derived));
    }
    for rebuilds in [1, 0] {
        let store = Store::open(folder.path());
        assert_eq!(store.table.status().rebuilds, rebuilds);
        assert_eq!(store.table.count(WORKSPACE, &List::Tag(Id::from_bits(9))).ok(), Some(2));
        assert_eq!(store.table.links_seen_on(HOME).ok(), Some(2));
        assert_eq!(store.table.owner_of(Id::from_bits(3)).ok(), Some(Some(WORKSPACE)));
        store.close();
    }
}

/// The owner of a deleted link is known while its tombstone exists.
#[test]
fn n14_the_owner_of_an_id_follows_link_and_tombstone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path());
    let (deleted, id) = (link(2, "a", &[]), Id::from_bits(2));
    let owner = || store.table.owner_of(id).expect("the table answers");
    assert_eq!(owner(), None);
    store.commit(Vec::new(), vec![put(&deleted)]);
    assert_eq!(owner(), Some(WORKSPACE));
    let tombstone = keys::tombstone(WORKSPACE, id);
    let record = Tombstone { link: deleted.clone(), clicks: 0, deleted_at: Timestamp::from_millis(3) };
    let left = Put { key: tombstone.clone(), value: Some(record.encode().into()) };
    store.commit(Vec::new(), vec![Put { key: put(&deleted).key, value: None }, left]);
    assert_eq!(owner(), Some(WORKSPACE));
    store.commit(Vec::new(), vec![Put { key: tombstone, value: None }]);
    assert_eq!(owner(), None);
    // Removed without a tombstone, like a staged link of a failed import.
    store.commit(Vec::new(), vec![put(&deleted)]);
    store.commit(Vec::new(), vec![Put { key: put(&deleted).key, value: None }]);
    assert_eq!(owner(), None);
    store.close();
}
