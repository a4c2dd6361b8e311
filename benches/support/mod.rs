//! What several benches stand on: a store with links, and what answers requests to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use waypost::app::Store;
use waypost::clock::Clock;
use waypost::config::Config;
use waypost::core::{Caller, Context};
use waypost::http::conn::listener::Scheme;
use waypost::http::counts::HttpCounts;
use waypost::http::service::{Connection, Service};
use waypost::model::destination::LinkType;
use waypost::model::link::{DomainChoice, Draft, Edit, Names};
use waypost::model::short_code::ShortCode;
use waypost::readiness::Readiness;

/// A store with links `c0`, `c1`..., and what answers requests to it.
pub(crate) struct Fixture {
    pub(crate) runtime: Runtime,
    pub(crate) store: Store,
    pub(crate) service: Service,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) fn new(links: usize) -> Fixture {
        let runtime = Runtime::new().expect("a runtime");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config {
            data_dir: folder.path().to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)).into(),
            ..Config::default()
        };
        let readiness = Readiness::default();
        let store = Store::open(&config, Clock::system(), &readiness).expect("a new store");
        runtime.block_on(store.ready(folder.path())).expect("the first records");
        for n in 0..links {
            runtime.block_on(store.core.links().create(&asker(&store), draft(n))).expect("a new link");
        }
        let service = store.service(&config, &readiness, &Arc::new(HttpCounts::default()), None);
        Fixture { runtime, store, service, _folder: folder }
    }

    /// Creates the link of this code, with these options, to [`location`]`(0)`.
    #[allow(dead_code)] // Only one bench has links with options.
    pub(crate) fn create(&self, code: &str, edits: Vec<Edit>) {
        let draft = Draft { code: ShortCode::parse(code).ok(), edits, ..draft(0) };
        self.runtime
            .block_on(self.store.core.links().create(&asker(&self.store), draft))
            .expect("a new link");
    }

    /// What answers the requests of one connection.
    pub(crate) fn connect(&self) -> Connection {
        self.service.connect(IpAddr::from([127, 0, 0, 1]), Scheme::Http)
    }

    pub(crate) fn close(self) {
        let Fixture { runtime, store, .. } = self;
        runtime.block_on(store.close());
    }
}

fn asker(store: &Store) -> Context {
    Context::of_program(
        store.core.tenants().acting(&Caller::Environment, None).expect("the first workspace"),
        store.core.clock().now(),
    )
}

fn draft(n: usize) -> Draft {
    Draft {
        domain: DomainChoice::Default,
        code: ShortCode::parse(&format!("c{n}")).ok(),
        destination: location(n).into(),
        link_type: LinkType::Url,
        password: None,
        edits: Vec::new(),
        names: Names::default(),
        reuse: false,
        code_prefix: None,
    }
}

/// Where the link `c<n>` leads.
pub(crate) fn location(n: usize) -> String {
    format!("https://example.com/some/landing/page/of/sixty/bytes?n={n}")
}
