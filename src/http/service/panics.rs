//! Panics by the thousand, over real sockets and the real accept loop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::Service;
use hyper::{Request, StatusCode};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{HttpResponse, Later, ResponseFuture, dialect_of, fixed, now, panicked};
use crate::http::conn::server::{self, Settings};
use crate::http::counts::HttpCounts;

const PANICS: usize = 1_000;
const CONNECTIONS: usize = 4;

/// Shared by the handlers: a panic while the lock is held must not lock out the others.
type SharedCount = Arc<Mutex<u64>>;

/// A service with a panic in each of its paths.
struct Panicking {
    held: SharedCount,
    counts: Arc<HttpCounts>,
}

/// `/held` panics while it holds the lock, `/later` at its second poll, `/body` with half of the request
/// unread. All other paths get 200.
impl<B: Send + 'static> Service<Request<B>> for Panicking {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<B>) -> ResponseFuture {
        respond(request, &self.held, &self.counts)
    }
}

fn respond<B: Send + 'static>(
    request: Request<B>,
    held: &SharedCount,
    counts: &Arc<HttpCounts>,
) -> ResponseFuture {
    let held = Arc::clone(held);
    let path = request.uri().path().to_owned();
    let response = async move {
        match &*path {
            "/held" => {
                // A lock of `parking_lot` is not poisoned, so the next request can acquire it.
                let _guard = held.lock();
                panic!("while a lock is held");
            }
            "/later" => {
                // The panic is in a poll by the connection, not in the call of the service.
                tokio::task::yield_now().await;
                panic!("on the second poll");
            }
            "/body" => {
                let _body = request.into_body();
                panic!("with the body unread");
            }
            _ => {
                *held.lock() += 1;
                fixed("text/plain", "fine")
            }
        }
    };
    ResponseFuture::Later(Later {
        response: Box::pin(response),
        counts: Arc::clone(counts),
        dialect: Some(dialect_of("/api/v1/links")),
        redirects: None,
        added: Vec::new(),
    })
}

async fn ask(stream: &mut TcpStream, bytes: &str) -> String {
    stream.write_all(bytes.as_bytes()).await.expect("the connection is open");
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = stream.read(&mut buffer).await.expect("an answer");
        assert!(read > 0, "closed within {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
            return text;
        }
    }
}

async fn panic_and_work(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    for round in 0..PANICS / CONNECTIONS {
        let path = ["/held", "/later"][round % 2];
        let text = ask(&mut stream, &get(path)).await;
        assert!(text.starts_with("HTTP/1.1 500 "), "{path}: {text}");
        // The same connection, and the same lock.
        let text = ask(&mut stream, &get("/fine")).await;
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    }
    // Last on its connection: the other 7 bytes never arrive, so no request can follow.
    let body = "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc";
    let text = ask(&mut stream, body).await;
    assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t112_a_thousand_panics_are_a_thousand_responses() {
    let (held, counts) = (SharedCount::default(), Arc::new(HttpCounts::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let settings = Settings { drain_timeout: Duration::from_secs(1), ..Settings::default() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (shared, counted) = (Arc::clone(&held), Arc::clone(&counts));
    let connect = move |_, _| Panicking { held: Arc::clone(&shared), counts: Arc::clone(&counted) };
    let serving_counts = Arc::clone(&counts);
    let serving = tokio::spawn(async move {
        server::serve(vec![listener.into()], &settings, serving_counts, connect, async {
            let _ = stopped.await;
            settings.drain_timeout.into()
        })
        .await
    });
    // Without backtraces: 1,000 of them would hide the message of a failing test.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(panic_and_work(address))).collect();
    let mut done = Vec::new();
    for client in clients {
        done.push(client.await);
    }
    std::panic::set_hook(hook);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(counts.panics.get(), (PANICS + CONNECTIONS) as u64);
    assert_eq!(*held.lock(), PANICS as u64);
    drop(stop);
    serving.await.expect("the server did not panic");
    assert_eq!(
        now(panicked()).await.map(|response| response.status()),
        Ok::<_, Infallible>(StatusCode::INTERNAL_SERVER_ERROR)
    );
}
