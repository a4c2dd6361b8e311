//! The redirect loop, stage by stage and whole: what a request costs between hyper and hyper.
//! Every iteration asserts its answer.

use std::future::Future;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::Empty;
use hyper::header::{HOST, LOCATION};
use hyper::service::Service as _;
use hyper::{Request, StatusCode};
use waypost::app::Store;
use waypost::cache::Lookup;
use waypost::clicks::Counter;
use waypost::clock::Clock;
use waypost::config::Config;
use waypost::http::counts::Counts;
use waypost::http::service::Connection;
use waypost::links::{Caller, Context};
use waypost::model::destination::LinkType;
use waypost::model::domain::DomainNumber;
use waypost::model::id::Id;
use waypost::model::key::{Reach, Scopes};
use waypost::model::link::{DomainChoice, Draft};
use waypost::model::short_code::{ShortCode, canonical};
use waypost::readiness::Readiness;
use waypost::visit::agents::{Agent, Agents};

const LINKS: usize = 1_000;

/// A store with links `c0` to `c999`, and what answers requests to it.
struct Fixture {
    runtime: tokio::runtime::Runtime,
    store: Store,
    service: Connection,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config {
            data_dir: folder.path().to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Config::default()
        };
        let readiness = Readiness::default();
        let store = Store::open(&config, Clock::system(), &readiness).expect("a new store");
        runtime.block_on(store.ready(folder.path())).expect("the first records");
        for n in 0..LINKS {
            runtime.block_on(store.links.create(&context(&store), draft(n))).expect("a new link");
        }
        let service = store.service(&config, &readiness, &Arc::new(Counts::default()));
        let service = service.connect(std::net::IpAddr::from([127, 0, 0, 1]));
        Fixture { runtime, store, service, _folder: folder }
    }

    fn status(&self, path: &str) -> StatusCode {
        let request = Request::get(path).header(HOST, "localhost:8080").body(Empty::<Bytes>::new());
        let answer = self.service.call(request.expect("a valid request"));
        self.runtime.block_on(answer).expect("infallible").status()
    }
}

fn context(store: &Store) -> Context {
    Context {
        key: None,
        reach: Reach::Instance,
        scopes: Scopes::all(),
        workspace: store.links.acting(&Caller::Environment, None).expect("the first workspace"),
        request: 0,
        now: store.links.clock().now(),
        claim: None,
    }
}

fn draft(n: usize) -> Draft {
    Draft {
        domain: DomainChoice::Default,
        code: ShortCode::parse(&format!("c{n}")).ok(),
        destination: format!("https://example.com/some/landing/page/of/sixty/bytes?n={n}").into(),
        link_type: LinkType::Url,
        password: None,
        edits: Vec::new(),
    }
}

fn redirect(c: &mut Criterion) {
    let fixture = Fixture::new();
    for n in 0..LINKS {
        assert_eq!(fixture.status(&format!("/c{n}")), StatusCode::FOUND);
    }
    assert_eq!(fixture.status("/nothing"), StatusCode::NOT_FOUND);
    let links = &fixture.store.links;
    let cache = links.cache();

    c.bench_function("canonical code", |b| {
        b.iter(|| assert_eq!(canonical(black_box("c500")).as_deref(), Some("c500")));
    });

    c.bench_function("hit: lookup and count", |b| {
        b.iter(|| {
            let hit = cache.get(DomainNumber::DEFAULT, black_box("c500"), |entry| {
                cache.counters().count(&entry.counter);
            });
            assert_eq!(hit, Lookup::Hit(()));
        });
    });

    c.bench_function("absent: known to be", |b| {
        b.iter(|| assert_eq!(cache.get(DomainNumber::DEFAULT, black_box("nothing"), |_| ()), Lookup::Absent));
    });

    c.bench_function("miss: load from the table", |b| {
        b.iter(|| {
            cache.invalidate(DomainNumber::DEFAULT, "c500");
            let loaded = fixture.runtime.block_on(links.load(DomainNumber::DEFAULT, black_box("c500")));
            assert!(matches!(loaded, Ok(waypost::links::Resolved::Found(_))));
        });
    });

    c.bench_function("service: 302", |b| {
        b.iter(|| {
            let request = Request::get("/c500").header(HOST, "localhost:8080").body(Empty::<Bytes>::new());
            let mut answer = std::pin::pin!(fixture.service.call(request.expect("a valid request")));
            let mut task = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Ok(answer)) = answer.as_mut().poll(&mut task) else {
                panic!("not from memory")
            };
            assert!(answer.headers().contains_key(LOCATION));
        });
    });

    c.bench_function("service: 404", |b| {
        b.iter(|| {
            let request = Request::get("/nothing").header(HOST, "localhost:8080").body(Empty::<Bytes>::new());
            let mut answer = std::pin::pin!(fixture.service.call(request.expect("a valid request")));
            let mut task = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Ok(answer)) = answer.as_mut().poll(&mut task) else {
                panic!("not from memory")
            };
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        });
    });

    c.bench_function("counter: two threads on one link", |b| {
        b.iter_custom(|iterations| {
            let counter = Counter::new(Id::from_bits(1), 0);
            let started = std::time::Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..iterations).for_each(|_| _ = counter.count()));
                }
            });
            let took = started.elapsed();
            assert_eq!(counter.total(), 2 * iterations);
            took
        });
    });

    let Fixture { runtime, store, .. } = fixture;
    runtime.block_on(store.close());
}

/// A browser's User-Agent; what differs between visitors is in its last bytes.
const BROWSER: &str = "Mozilla/5.0 (Linux; Android 14; SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/126.0.0.0 Mobile Safari/537.36 EdgA/126.0.";

fn agents(c: &mut Criterion) {
    let agents = Agents::new();
    let browser = format!("{BROWSER}2592.87");
    assert_eq!(agents.of(Some(browser.as_bytes())), Agent::Person);

    c.bench_function("agents/cached", |b| {
        b.iter(|| assert_eq!(agents.of(Some(black_box(browser.as_bytes()))), Agent::Person));
    });

    c.bench_function("agents/uncached", |b| {
        let mut unseen = 0_u64;
        let mut browser = BROWSER.as_bytes().to_vec();
        b.iter(|| {
            unseen += 1;
            browser.truncate(BROWSER.len());
            browser.extend(unseen.to_le_bytes().map(|byte| b'a' + byte % 26));
            browser.extend_from_slice(&unseen.to_le_bytes());
            assert_eq!(agents.of(Some(black_box(&browser))), Agent::Person);
        });
    });

    c.bench_function("agents/uncached, hostile: 8 KB", |b| {
        let mut unseen = 0_u64;
        let mut long: Vec<u8> =
            b"Current Spider ContextualBot Claude Barkr ".iter().copied().cycle().take(8_192).collect();
        b.iter(|| {
            unseen += 1;
            long[..8].copy_from_slice(&unseen.to_le_bytes());
            assert_eq!(agents.of(Some(black_box(&long))), Agent::Person);
        });
    });
}

criterion_group!(benches, redirect, agents);
criterion_main!(benches);
