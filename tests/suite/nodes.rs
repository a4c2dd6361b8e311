//! What a machine writes for itself alone, and another machine of the same cluster reads. A cluster's log
//! carries it from one to the other; here the test does.

use std::path::Path;

use bytes::Bytes;
use waypost::app::Store;
use waypost::clicks::Cells;
use waypost::clock::Clock;
use waypost::config::Config;
use waypost::links::{Caller, Client, Context};
use waypost::log::{Proposal, Put};
use waypost::model::destination::LinkType;
use waypost::model::id::Id;
use waypost::model::key::{Reach, Scopes};
use waypost::model::link::{DomainChoice, Draft};
use waypost::model::node::NodeNumber;
use waypost::model::tenant::Tenant;
use waypost::readiness::Readiness;
use waypost::table::keys;

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
        let links = &self.store.links;
        Context {
            key: None,
            reach: Reach::Instance,
            scopes: Scopes::all(),
            tenant: Tenant::Operator,
            workspace: links.acting(&Caller::Environment, None).expect("the first workspace"),
            request: 0,
            now: links.clock().now(),
            claim: None,
            client: Client::default(),
        }
    }

    /// Counts so many clicks of a link.
    fn click(&self, id: Id, clicks: u64) {
        let links = &self.store.links;
        let counters = links.cache().counters();
        let read = || self.store.table.clicks(id, self.number);
        let counter = counters.adopt(id, false, read).expect("the table answers");
        for _ in 0..clicks {
            counters.count(&counter);
        }
        counters.release(&counter);
    }

    async fn flush(&self) {
        self.store.links.flush_clicks().await.expect("written");
    }

    /// Writes records that another node has written.
    async fn take(&self, puts: Vec<Put>) {
        let proposal = Proposal { puts, ..Proposal::default() };
        let position = self.store.log.commit(proposal).await.expect("written");
        assert!(self.store.table.wait(position).await, "applied");
    }

    /// The records of this kind that are there.
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

    /// The totals that this node has written for a link.
    fn totals(&self, id: Id) -> Vec<Put> {
        let own = keys::clicks(id, self.number);
        self.records(&keys::clicks_of(id)).into_iter().filter(|put| put.key == own).collect()
    }

    /// What its API shows.
    async fn shown(&self, id: Id) -> u64 {
        self.store.links.get(&self.context(), id).await.expect("the link").clicks
    }

    /// What its table has.
    fn cells(&self, id: Id) -> Cells {
        self.store.table.clicks(id, self.number).expect("the table answers")
    }
}

/// Two nodes with one link.
async fn two(folders: [&Path; 2]) -> ([Node; 2], Id) {
    let nodes = [Node::start(folders[0], 1).await, Node::start(folders[1], 2).await];
    let draft = Draft {
        domain: DomainChoice::Default,
        code: None,
        destination: "https://e.test/".into(),
        link_type: LinkType::Url,
        password: None,
        edits: Vec::new(),
    };
    let made = nodes[0].store.links.create(&nodes[0].context(), draft).await.expect("made");
    nodes[1].take(nodes[0].records(keys::LINKS)).await;
    (nodes, made.link.id)
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
        // The other's total comes while clicks of one's own wait to be flushed, and comes twice.
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
    // The totals of both go with the link.
    first.store.links.delete(&first.context(), id).await.expect("deleted");
    assert_eq!(first.cells(id), Cells::default());
    for node in nodes {
        node.store.close().await;
    }
}

/// A data folder that was written without a cluster keeps its clicks as one of the cluster's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_from_before_the_cluster_stay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let alone = Node::start(folder.path(), 0).await;
    let draft = Draft {
        domain: DomainChoice::Default,
        code: None,
        destination: "https://e.test/".into(),
        link_type: LinkType::Url,
        password: None,
        edits: Vec::new(),
    };
    let id = alone.store.links.create(&alone.context(), draft).await.expect("made").link.id;
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
