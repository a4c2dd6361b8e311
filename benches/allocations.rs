//! A plain hit allocates nothing of its own: what Waypost allocates for a redirect, beyond what
//! bare hyper allocates for the same answer, is counted and must be none. Counted twice: in the
//! service alone, and through the whole server over a socket, where the deadline for heads, the
//! joining of answers and the count of the click take part.
//!
//! `cargo bench --bench allocations` prints the counts, and fails when there is one more.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use allocation_counter::measure;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, HOST, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use waypost::cache::entry::{Action, Entry};
use waypost::cache::{self, Cache, Lookup};
use waypost::clock::Timestamp;
use waypost::http::conn::server;
use waypost::http::counts::HttpCounts;
use waypost::model::destination::{Destination, LinkType};
use waypost::model::domain::DomainNumber;
use waypost::model::id::Id;
use waypost::model::link::{Link, Options};
use waypost::model::short_code::ShortCode;
use waypost::model::workspace::WorkspaceNumber;

mod support;
#[path = "support/wire.rs"]
mod wire;

use self::support::{Fixture, location};
use self::wire::{Peer, browser, plain, run};

/// Requests of the shorter run; the longer has twice as many, and the difference is theirs alone.
const REQUESTS: usize = 400;

/// The answer of bare hyper: the same head, in the same memory, which is the request's. With a map of
/// its own it would allocate two more.
fn redirect(location: &HeaderValue, mut headers: HeaderMap) -> Response<Full<Bytes>> {
    headers.clear();
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::FOUND;
    *response.headers_mut() = headers;
    response.headers_mut().insert(LOCATION, location.clone());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

fn answer<B>(
    location: &HeaderValue,
) -> impl Fn(Request<B>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> + use<B> {
    let location = location.clone();
    move |request| ready(Ok(redirect(&location, request.into_parts().0.headers)))
}

/// Allocations per request: of twice as many requests, less those of the half. Each the least of
/// some runs: now and then a socket has half an answer, or the runtime something of its own to do.
fn per_request(mut count: impl FnMut(usize) -> u64) -> u64 {
    // What is made once, such as a date or a buffer, is there after the first.
    let mut least = |times| (0..5).map(|_| count(times)).min().expect("some runs");
    // Where there are none, either may have more by chance.
    let more = least(2 * REQUESTS).abs_diff(least(REQUESTS));
    let requests = REQUESTS as u64;
    let each = (more + requests / 2) / requests;
    assert!(more.abs_diff(each * requests) < requests / 20, "{more} allocations of {REQUESTS} requests");
    each
}

/// Through hyper on a connection in memory.
fn connection<S>(request: &str, service: impl Fn() -> S) -> u64
where
    S: hyper::service::HttpService<hyper::body::Incoming, Error = Infallible>,
    S::ResBody: hyper::body::Body<Data = Bytes> + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    per_request(|times| {
        let mut peer = Peer::new(request, times);
        let mut http = http1::Builder::new();
        http.header_read_timeout(None).half_close(true);
        let counted = measure(|| run(http.serve_connection(&mut peer, service())).expect("a connection"));
        let got = String::from_utf8(peer.got).expect("heads are ASCII");
        assert_eq!(got.matches("HTTP/1.1 302 Found\r\n").count(), times);
        assert_eq!(got.matches(&location(7)).count(), times);
        counted.count_total
    })
}

/// Through a server on a socket: what the one thread that serves allocates while a client sends so
/// many requests, each when the one before is answered.
fn socket<F: Future>(request: &str, serve: impl Fn(TcpListener, oneshot::Receiver<()>) -> F) -> u64 {
    per_request(|times| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(async { server::bind(SocketAddr::from(([127, 0, 0, 1], 0))) });
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (done, stop) = oneshot::channel();
        let request = request.to_owned();
        let client = std::thread::spawn(move || {
            ask(address, request.as_bytes(), times);
            drop(done);
        });
        let counted = measure(|| _ = runtime.block_on(serve(listener, stop)));
        client.join().expect("all was answered");
        counted.count_total
    })
}

fn ask(address: SocketAddr, request: &[u8], times: usize) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("an open socket");
    let mut buffer = [0; 4_096];
    for _ in 0..times {
        stream.write_all(request).expect("it reads");
        let mut length = 0;
        while !buffer[..length].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer[length..]).expect("an answer");
            assert!(read > 0, "closed");
            length += read;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 302 Found\r\n"));
    }
}

/// Bare hyper at its cheapest: its timer, in whose place Waypost has its own, would make a box per
/// request.
async fn bare(listener: TcpListener, stop: oneshot::Receiver<()>) {
    let (stream, _) = listener.accept().await.expect("a connection");
    let location = HeaderValue::try_from(location(7)).expect("visible ASCII");
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).half_close(true);
    let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer(&location)));
    // As a task, which is how servers have it.
    tokio::spawn(async move { connection.await.expect("a connection") });
    let _ = stop.await;
}

// The counts are what it is run for.
#[allow(clippy::print_stdout)]
fn main() {
    let fixture = Fixture::new(8);
    let settings = server::Settings::default();
    let head = HeaderValue::try_from(location(7)).expect("visible ASCII");
    let seen = fixture
        .connect()
        .call(Request::get("/c7").header(HOST, "localhost").body(Full::default()).expect("valid"));
    assert_eq!(
        fixture.runtime.block_on(seen).expect("infallible").status(),
        StatusCode::FOUND,
        "now it is in memory"
    );

    println!("heap allocations per redirect       bare hyper   Waypost");
    for (name, request) in [("plain", plain("/c7")), ("browser", browser("/c7"))] {
        let bare_hyper = connection(&request, || service_fn(answer(&head)));
        let ours = connection(&request, || fixture.connect());
        println!("  the service, {name:8}             {bare_hyper:10} {ours:9}");
        assert_eq!(ours, bare_hyper, "the service allocates for a plain hit ({name})");

        // That it would be noticed.
        let wasteful = || {
            let answer = answer(&head);
            service_fn(move |request: Request<_>| {
                drop(black_box(Box::new(request.uri().path().len())));
                answer(request)
            })
        };
        assert_eq!(connection(&request, wasteful), bare_hyper + 1, "a box is not noticed ({name})");

        let bare_hyper = socket(&request, bare);
        let ours = socket(&request, |listener, stop| {
            let counts = Arc::new(HttpCounts::default());
            let stop = async {
                _ = stop.await;
                settings.drain_timeout.into()
            };
            let service = fixture.service.clone();
            server::serve(
                vec![listener.into()],
                &settings,
                counts,
                move |peer, scheme| service.connect(peer.ip(), scheme),
                stop,
            )
        });
        println!("  the server, {name:8}              {bare_hyper:10} {ours:9}");
        assert_eq!(ours, bare_hyper, "the server allocates for a plain hit ({name})");
    }
    fixture.close();
    println!("bytes per cached link, 60 of them its destination: {}", per_link());
}

/// Heap bytes of a plain link in memory: entry, code, destination, counter, and its shares of the
/// tables. Without what the allocator adds to each.
fn per_link() -> i64 {
    const LINKS: u32 = 100_000;
    let mut cache = None;
    let counted = measure(|| {
        let kept = Cache::new(&cache::Settings { max_memory: 1 << 30 });
        for n in 0..LINKS {
            let link = link(n);
            let code = link.code.clone();
            let epoch = kept.epoch(DomainNumber::DEFAULT, code.as_str());
            let counter = kept.counters().get_or_load(link.id, false, || Ok::<_, Infallible>(0.into()));
            let target = Ok(link.options.target());
            let counter = counter.unwrap_or_else(|never| match never {});
            kept.keep(epoch, Entry::compile(link, counter, target));
            // Served once, which has the destination shared from then on.
            let hit = kept.get(DomainNumber::DEFAULT, code.as_str(), |entry| match &entry.action {
                Action::Redirect { location, .. } => location.clone().len(),
                Action::Evaluate(_) => 0,
            });
            assert_eq!(hit, Lookup::Hit(60));
        }
        cache = Some(kept);
    });
    drop(cache);
    counted.bytes_current / i64::from(LINKS)
}

fn link(n: u32) -> Link {
    let url = format!("https://example.com/some/landing/page/of/sixty/bytes?n={n:05}");
    let destination = Destination::parse_web("url", &url).expect("valid");
    Link {
        id: Id::from_bits(u128::from(n)),
        workspace: WorkspaceNumber(0),
        domain: DomainNumber::DEFAULT,
        code: ShortCode::parse(&format!("c{n:06}")).expect("valid"),
        typed_code: None,
        aliases: Vec::new(),
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        created_by: None,
        options: Options::new(destination, LinkType::Url),
    }
}
