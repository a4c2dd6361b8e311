//! Requests as bytes, and a connection without a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};

/// A request as curl sends it, but for what curl says of itself.
pub(crate) fn plain(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")
}

/// A request as a browser sends it: 14 headers.
pub(crate) fn browser(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n\
         Sec-Ch-Ua: \"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\"\r\nSec-Ch-Ua-Mobile: ?1\r\n\
         Sec-Ch-Ua-Platform: \"Android\"\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: {BROWSER}\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
         Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9,de;q=0.8\r\n\r\n"
    )
}

/// A browser's User-Agent.
pub(crate) const BROWSER: &str = "Mozilla/5.0 (Linux; Android 14; SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) \
                           Chrome/126.0.0.0 Mobile Safari/537.36";

/// A peer in memory: sends one request so many times, each when all before are answered, and takes
/// what comes.
pub(crate) struct Peer {
    request: Vec<u8>,
    left: usize,
    pub(crate) got: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(request: &str, times: usize) -> Peer {
        Peer { request: request.as_bytes().to_vec(), left: times, got: Vec::with_capacity(1_024 * times) }
    }
}

impl Read for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            buffer.put_slice(&self.request);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Peer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.got.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs a connection to its end; nothing in it waits.
pub(crate) fn run<F: Future>(connection: F) -> F::Output {
    let mut connection = std::pin::pin!(connection);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = connection.as_mut().poll(&mut cx) {
            return output;
        }
    }
    panic!("the connection waits for something")
}
