//! The redirect loop: its stages in their order, the service, and a whole connection beside bare
//! hyper's. Every iteration asserts its answer.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, HOST, HeaderMap, HeaderValue, LOCATION, REFERER, USER_AGENT,
};
use hyper::server::conn::http1;
use hyper::service::{HttpService, Service as _, service_fn};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use waypost::agents::{Agent, Agents};
use waypost::cache::Lookup;
use waypost::clicks::counter::Counter;
use waypost::formats::waypost::rules::read as read_rules;
use waypost::http::host;
use waypost::http::route::Route;
use waypost::json::{self, Json};
use waypost::model::domain::DomainNumber;
use waypost::model::id::Id;
use waypost::model::link::Edit;
use waypost::model::short_code::canonical;
use waypost::visit::intent::Intent;
use waypost::visit::redirect::PlainRedirect;

mod support;
#[path = "support/wire.rs"]
mod wire;

use self::support::{Fixture, location};
use self::wire::{BROWSER, Peer, browser, plain, run};

const LINKS: usize = 1_000;

/// Requests of one connection in memory, which is to show the requests' cost and not its own.
const REQUESTS: usize = 64;

fn status(fixture: &Fixture, path: &str) -> StatusCode {
    let request = Request::get(path).header(HOST, "localhost:8080").body(Empty::<Bytes>::new());
    let answer = fixture.connect().call(request.expect("a valid request"));
    fixture.runtime.block_on(answer).expect("infallible").status()
}

/// All links in memory, and one code known to be nobody's.
fn warm() -> Fixture {
    let fixture = Fixture::new(LINKS);
    for n in 0..LINKS {
        assert_eq!(status(&fixture, &format!("/c{n}")), StatusCode::FOUND);
    }
    assert_eq!(status(&fixture, "/nothing"), StatusCode::NOT_FOUND);
    fixture
}

/// The stages of a redirect in their order, each alone: whichever regresses has a name.
fn stages(c: &mut Criterion) {
    let fixture = warm();
    let links = fixture.store.core.links();
    let cache = links.cache();
    let uri = Uri::from_static("/c500");
    let mut headers = HeaderMap::new();
    for line in browser("/c500").lines().skip(1).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a header");
        let name = name.parse::<hyper::header::HeaderName>().expect("a name");
        headers.append(name, value.parse().expect("a value"));
    }
    let agents = Agents::new();

    c.bench_function("1 host", |b| {
        b.iter(|| {
            let host = host::of(Version::HTTP_11, black_box(&uri), black_box(&headers));
            assert_eq!(host.as_deref(), Ok("localhost"));
        });
    });

    c.bench_function("2 place of the target", |b| {
        b.iter(|| assert_eq!(Route::of(black_box(&uri).path()), Route::Visit));
    });

    c.bench_function("3 domain", |b| {
        b.iter(|| {
            let directory = links.directory();
            assert!(directory.domain(black_box(DomainNumber::DEFAULT)).is_some());
        });
    });

    c.bench_function("4 canonical code", |b| {
        b.iter(|| assert_eq!(canonical(black_box("c500")).as_deref(), Some("c500")));
    });

    c.bench_function("5 how: a browser follows", |b| {
        b.iter(|| assert_eq!(Intent::of(&Method::GET, black_box(&headers)), Intent::Follow));
    });

    c.bench_function("6 agent: known", |b| {
        b.iter(|| {
            let name = black_box(&headers).get(USER_AGENT).map(HeaderValue::as_bytes);
            assert_eq!(agents.of(name), Agent::Person);
        });
    });

    c.bench_function("7 look-up: hit", |b| {
        b.iter(|| {
            let hit = cache.get(DomainNumber::DEFAULT, black_box("c500"), |entry| entry.domain);
            assert_eq!(hit, Lookup::Hit(DomainNumber::DEFAULT));
        });
    });

    c.bench_function("7 look-up: absent, known to be", |b| {
        b.iter(|| assert_eq!(cache.get(DomainNumber::DEFAULT, black_box("nothing"), |_| ()), Lookup::Absent));
    });

    c.bench_function("7 look-up: miss, from the table", |b| {
        b.iter(|| {
            cache.invalidate(DomainNumber::DEFAULT, "c500");
            let loaded = fixture.runtime.block_on(links.load(DomainNumber::DEFAULT, black_box("c500")));
            assert!(matches!(loaded, Ok(waypost::core::Resolved::Found(_))));
        });
    });

    c.bench_function("8 count", |b| {
        let counter = Counter::new(Id::from_bits(1), 0);
        assert!(counter.count(), "the first");
        b.iter(|| assert!(!black_box(&counter).count()));
    });

    c.bench_function("8 count: two threads on one link", |b| {
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

    c.bench_function("9 head", |b| {
        let to = HeaderValue::try_from(location(500)).expect("visible ASCII");
        let mut spare = HeaderMap::new();
        b.iter(|| {
            let mut answer = PlainRedirect::new(StatusCode::FOUND, black_box(&to)).respond::<()>(&mut spare);
            assert_eq!(answer.headers().len(), 2);
            std::mem::swap(answer.headers_mut(), &mut spare);
        });
    });

    fixture.close();
}

/// The stages together: the service, called as hyper calls it.
fn service(c: &mut Criterion) {
    let fixture = warm();
    let service = fixture.connect();
    let answer = |path: &str| {
        let request = Request::get(path).header(HOST, "localhost:8080").body(Empty::<Bytes>::new());
        let mut answer = pin!(service.call(request.expect("a valid request")));
        let mut task = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(answer)) = answer.as_mut().poll(&mut task) else { panic!("not from memory") };
        answer
    };
    c.bench_function("service: 302", |b| {
        b.iter(|| assert!(answer("/c500").headers().contains_key(LOCATION)));
    });
    c.bench_function("service: 404", |b| {
        b.iter(|| assert_eq!(answer("/nothing").status(), StatusCode::NOT_FOUND));
    });
    fixture.close();
}

/// Ten rules, each with conditions of another kind. Only the last one holds, so that a visit evaluates all of them.
const RULES: &str = r#"[
    {"conditions": [{"field": "os", "operator": "in", "value": ["iOS", "Android"]}], "url": "https://e.test/1"},
    {"conditions": [{"field": "device", "operator": "equals", "value": "tablet"}], "url": "https://e.test/2"},
    {"conditions": [{"field": "language", "operator": "in", "value": ["fr", "pt-BR"]}], "url": "https://e.test/3"},
    {"conditions": [{"field": "country", "operator": "in", "value": ["FR", "BR"]}], "url": "https://e.test/4"},
    {"conditions": [{"field": "referrer", "operator": "in", "value": ["t.test", "news.example"]}], "url": "https://e.test/5"},
    {"conditions": [{"field": "query", "key": "ref", "operator": "startsWith", "value": "mail"}], "url": "https://e.test/6"},
    {"conditions": [{"field": "ip", "operator": "in", "value": ["10.0.0.0/8", "2001:db8::/32"]}], "url": "https://e.test/7"},
    {"conditions": [{"field": "date", "operator": "before", "value": "2020-01-01"}], "url": "https://e.test/8"},
    {"conditions": [{"field": "time", "operator": "within",
        "value": {"days": ["mon"], "from": "03:00", "to": "03:01", "zone": "Europe/Berlin"}},
        {"field": "visits", "operator": "before", "value": 1}], "url": "https://e.test/9"},
    {"conditions": [{"field": "browser", "operator": "notIn", "value": ["Opera"]}],
        "variants": [{"url": "https://e.test/a", "weight": 60}, {"url": "https://e.test/b", "weight": 40}]}]"#;

/// A browser for which no rule before the last one holds.
const DESKTOP: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// A link whose clicks are evaluated, without rules and with ten: the difference is what the rules cost.
fn rules(c: &mut Criterion) {
    let fixture = warm();
    let Ok(Json::List(items)) = json::parse(RULES.as_bytes()) else { panic!("a list") };
    let drafts = read_rules(&items).expect("valid rules");
    fixture.create("option", vec![Edit::HideReferrer(true)]);
    fixture.create("ten", vec![Edit::HideReferrer(true), Edit::Rules(drafts)]);
    let service = fixture.connect();
    let answer = |path: &str| {
        let request = Request::get(path)
            .header(HOST, "localhost:8080")
            .header(USER_AGENT, DESKTOP)
            .header(ACCEPT_LANGUAGE, "de-DE,de;q=0.9,en;q=0.8")
            .header(REFERER, "https://www.example.com/page")
            .body(Empty::<Bytes>::new());
        let mut answer = pin!(service.call(request.expect("a valid request")));
        let mut task = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(answer)) = answer.as_mut().poll(&mut task) else { panic!("not from memory") };
        answer
    };
    for code in ["option", "ten"] {
        // Now in memory.
        assert_eq!(status(&fixture, &format!("/{code}")), StatusCode::FOUND);
    }
    c.bench_function("service: 302 of a link with an option", |b| {
        b.iter(|| assert_eq!(answer("/option?a=b").headers()[LOCATION], location(0).as_str()));
    });
    c.bench_function("service: 302 of a link with 10 rules", |b| {
        b.iter(|| {
            let answer = answer("/ten?a=b");
            let location = answer.headers()[LOCATION].as_bytes();
            // A variant of the last rule.
            assert!(matches!(location, b"https://e.test/a" | b"https://e.test/b"), "{location:?}");
        });
    });
    fixture.close();
}

/// The whole way between hyper and hyper, on a connection in memory, beside bare hyper with the
/// same answer: the difference is what Waypost adds.
fn connections(c: &mut Criterion) {
    let fixture = warm();
    let to = HeaderValue::try_from(location(500)).expect("visible ASCII");
    let bare = || {
        let to = to.clone();
        service_fn(move |_: Request<Incoming>| {
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(LOCATION, to.clone());
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            ready(Ok::<_, Infallible>(response))
        })
    };
    let mut group = c.benchmark_group("connection");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    for (name, request) in [("plain", plain("/c500")), ("browser", browser("/c500"))] {
        group.bench_function(format!("bare hyper, {name}"), |b| b.iter(|| converse(&request, bare())));
        group
            .bench_function(format!("Waypost, {name}"), |b| b.iter(|| converse(&request, fixture.connect())));
    }
    group.finish();
    fixture.close();
}

fn converse<S>(request: &str, service: S)
where
    S: HttpService<Incoming, Error = Infallible>,
    S::ResBody: 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut peer = Peer::new(request, REQUESTS);
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).half_close(true);
    run(http.serve_connection(&mut peer, service)).expect("a connection");
    let one = peer.got.len() / REQUESTS;
    assert!(peer.got.starts_with(b"HTTP/1.1 302 Found\r\n") && peer.got.ends_with(b"\r\n\r\n"));
    assert!(one * REQUESTS == peer.got.len() && one < 300, "{one} bytes each");
}

fn agents(c: &mut Criterion) {
    let agents = Agents::new();
    let browser = format!("{BROWSER} EdgA/126.0.2592.87");
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

criterion_group!(benches, stages, service, rules, connections, agents);
criterion_main!(benches);
