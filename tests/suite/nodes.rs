//! Nodes of a cluster: what each node writes, and what the others read. In a cluster the log transports
//! records between nodes; here the test does.

use std::path::Path;

use bytes::Bytes;
use waypost::app::Store;
use waypost::clicks::counter::Cells;
use waypost::clock::Clock;
use waypost::config::Config;
use waypost::core::{Caller, Context};
use waypost::log::{Proposal, Put};
use waypost::model::destination::LinkType;
use waypost::model::id::Id;
use waypost::model::link::{DomainChoice, Draft, Names};
use waypost::model::node::NodeNumber;
use waypost::model::workspace::WorkspaceNumber;
use waypost::readiness::Readiness;
use waypost::table::keys::{self, Kind};
use waypost::table::record::{FrozenId, Stored, WaitingDeliveries, WorkMark};

/// A node and its number.
struct Node {
    number: NodeNumber,
    store: Store,
}

impl Node {
    async fn start(folder: &Path, number: u16) -> Node {
        let config = Config { data_dir: folder.join("data"), ..Config::default() };
        let number = NodeNumber(number);
        let opened = Store::open_as(number, &config, Clock::system(), &Readiness::default(), |log| log);
        let store = opened.expect("it opens");
        store.ready(&config.data_dir).await.expect("its first records");
        Node { number, store }
    }

    fn context(&self) -> Context {
        let links = self.store.core.links();
        Context::of_program(
            links.tenants().acting(&Caller::Environment, None).expect("the first workspace"),
            links.clock().now(),
        )
    }

    /// Creates a link. Returns its id.
    async fn create(&self) -> Id {
        let draft = Draft {
            domain: DomainChoice::Default,
            code: None,
            destination: "https://e.test/".into(),
            link_type: LinkType::Url,
            password: None,
            edits: Vec::new(),
            names: Names::default(),
            reuse: false,
            code_prefix: None,
        };
        self.store.core.links().create(&self.context(), draft).await.expect("made").link.id
    }

    /// Counts clicks of a link.
    fn click(&self, id: Id, clicks: u64) {
        let links = self.store.core.links();
        let counters = links.cache().counters();
        let read = || self.store.table.clicks(id, self.number);
        let counter = counters.get_or_load(id, false, read).expect("the table answers");
        for _ in 0..clicks {
            counters.count(&counter);
        }
        counters.release(&counter);
    }

    async fn flush(&self) {
        self.store.core.click_log().flush().await.expect("written");
    }

    /// Writes records of another node.
    async fn take(&self, puts: Vec<Put>) {
        let proposal = Proposal { puts, ..Proposal::default() };
        let position = self.store.log.commit(proposal).await.expect("written");
        assert!(self.store.table.wait(position).await, "applied");
    }

    /// Returns the records whose key begins with `prefix`.
    fn records(&self, prefix: &[u8]) -> Vec<Put> {
        let mut puts = Vec::new();
        let mut each = |key: &[u8], _, value: &[u8]| {
            let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            puts.push(Put { key, value: Some(value) });
            Ok(())
        };
        self.store.table.each_raw(prefix, &mut each).expect("the table answers");
        puts
    }

    /// Returns the click totals that this node has written for a link.
    fn totals(&self, id: Id) -> Vec<Put> {
        let own = keys::clicks(id, self.number);
        self.records(&keys::clicks_of(id)).into_iter().filter(|put| put.key == own).collect()
    }

    /// Returns the clicks that the API shows.
    async fn shown(&self, id: Id) -> u64 {
        self.store.core.links().get(&self.context(), id).await.expect("the link").clicks
    }

    /// Returns the click totals in the table.
    fn cells(&self, id: Id) -> Cells {
        self.store.table.clicks(id, self.number).expect("the table answers")
    }
}

/// Starts two nodes with one link.
async fn two(folders: [&Path; 2]) -> ([Node; 2], Id) {
    let nodes = [Node::start(folders[0], 1).await, Node::start(folders[1], 2).await];
    let id = nodes[0].create().await;
    nodes[1].take(nodes[0].records(&Kind::Link.prefix())).await;
    (nodes, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_of_two_nodes_of_one_link_add_up() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
    let (nodes, id) = two([folders[0].path(), folders[1].path()]).await;
    let [first, second] = &nodes;
    for round in 1..=4 {
        first.click(id, 3);
        second.click(id, 4);
        first.flush().await;
        // The other node's total arrives while own clicks wait for a flush, and arrives twice.
        for _ in 0..round % 3 {
            second.take(first.totals(id)).await;
        }
        second.flush().await;
        first.click(id, 1);
        first.take(second.totals(id)).await;
    }
    first.flush().await;
    second.take(first.totals(id)).await;
    for (node, own) in [(first, 16), (second, 16)] {
        assert_eq!(node.shown(id).await, 32, "{:?}", node.number);
        assert_eq!((node.cells(id).own, node.cells(id).of_others()), (own, 16), "{:?}", node.number);
    }
    // The totals of both nodes are deleted with the link.
    first.store.core.links().delete(&first.context(), id).await.expect("deleted");
    assert_eq!(first.cells(id), Cells::default());
    for node in nodes {
        node.store.close().await;
    }
}

/// Deliveries that wait over a restart belong to the node that stored them: two nodes would send each event
/// twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_of_another_node_are_left_alone() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
    let ([first, second], _) = two([folders[0].path(), folders[1].path()]).await;
    let batch = WaitingDeliveries(Vec::new());
    first.store.core.tenants().keep_waiting(std::slice::from_ref(&batch)).await.expect("written");
    assert!(first.store.table.wait(first.store.log.position()).await);
    second.take(first.records(&Kind::WaitingDeliveries.prefix())).await;
    assert_eq!(second.records(&Kind::WaitingDeliveries.prefix()).len(), 1, "it has the record");
    let waiting =
        async |node: &Node| node.store.core.tenants().waiting_deliveries().await.expect("read").len();
    assert_eq!((waiting(&first).await, waiting(&second).await), (1, 0));
    first.store.close().await;
    second.store.close().await;
}

/// Another node removes what an import has staged only after its lease. The own node removes it as soon as
/// it no longer works on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_with_a_lease_is_left_alone() {
    const MINUTE: i64 = 60_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(folder.path(), 2).await;
    let now = node.store.core.clock().now();
    let mark = |n: u128, owner: u16, minutes: i64| {
        let until = now.plus_millis(minutes * MINUTE);
        let mark = WorkMark { frozen: Id::from_bits(7), owner: NodeNumber(owner), until };
        let key = keys::staging(WorkspaceNumber(0), Id::from_bits(n));
        Put { key, value: Some(mark.encode().into()) }
    };
    let before = Put {
        key: keys::staging(WorkspaceNumber(0), Id::from_bits(5)),
        value: Some(FrozenId(Id::from_bits(7)).encode().into()),
    };
    // Of another node with a lease, and without; of this node; of a version without leases.
    node.take(vec![mark(1, 1, 10), mark(2, 1, -1), mark(3, 2, 10), mark(4, 3, 10), before]).await;
    node.store.core.snapshots().sweep_unfinished().await.expect("swept");
    let left = node.records(&Kind::Staging.prefix());
    let left: Vec<_> =
        left.iter().filter_map(|put| keys::parse_staging(&put.key)).map(|(_, id)| id).collect();
    assert_eq!(left, [Id::from_bits(1), Id::from_bits(4)]);
    node.store.close().await;
}

/// A data folder that was written without a cluster keeps its clicks in a cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_from_before_the_cluster_stay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let alone = Node::start(folder.path(), 0).await;
    let id = alone.create().await;
    alone.click(id, 5);
    alone.store.close().await;
    let third = Node::start(folder.path(), 3).await;
    third.click(id, 2);
    third.flush().await;
    assert_eq!(third.shown(id).await, 7);
    assert_eq!(third.cells(id), Cells { own: 2, others: vec![(NodeNumber::ALONE, 5)] });
    third.store.close().await;
    let alone = Node::start(folder.path(), 0).await;
    alone.click(id, 1);
    alone.flush().await;
    assert_eq!(alone.shown(id).await, 8);
    assert_eq!(alone.cells(id), Cells { own: 6, others: vec![(NodeNumber(3), 2)] });
    alone.store.close().await;
}
