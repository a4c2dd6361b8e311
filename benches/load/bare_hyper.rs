//! The least that hyper does for a redirect: every request gets the same 302, of the headers and
//! the length that Waypost's has. What Waypost costs beyond it is Waypost's own.
//!
//! `bare_hyper ADDRESS LOCATION [--no-timer] [--pipeline-flush]`; `TOKIO_WORKER_THREADS` says how
//! many workers, as it does for Waypost. Runs until it is killed.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::io;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "bare_hyper ADDRESS LOCATION [--no-timer] [--pipeline-flush]";
    let address = arguments.next().ok_or(usage)?;
    let location = HeaderValue::try_from(arguments.next().ok_or(usage)?)?;
    let mut http = http1::Builder::new();
    // With it come the deadline for request heads and its price.
    http.timer(TokioTimer::new());
    for option in arguments {
        match option.as_str() {
            "--no-timer" => {
                http = http1::Builder::new();
                http.header_read_timeout(None);
            }
            "--pipeline-flush" => _ = http.pipeline_flush(true),
            _ => return Err(usage.into()),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // By a worker, as in Waypost: this thread would be one more.
    runtime.block_on(runtime.spawn(serve(address, http, location)))??;
    Ok(())
}

async fn serve(address: String, http: http1::Builder, location: HeaderValue) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let location = location.clone();
        let answer = service_fn(move |_: Request<_>| redirect(location.clone()));
        let connection = http.serve_connection(TokioIo::new(stream), answer);
        // A client that goes away is the end of its connection, not of the run.
        tokio::spawn(async move { connection.await.is_ok() });
    }
}

fn redirect(location: HeaderValue) -> Ready<Result<Response<Empty<Bytes>>, Infallible>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    ready(Ok(response))
}
