//! A server on a fresh data folder and a port of its own, and a minimal client that sends and receives plain
//! bytes, so that a test sees exactly what is on the socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use waypost::app::App;
use waypost::clock::Clock;
use waypost::config::{AdminKey, Config};

use crate::support::process::poll;

/// The key in the environment of every server here.
pub(crate) const KEY: &str = "key-of-the-tests-0123456789";

/// Longest wait of a client. A test that must not depend on a deadline of the server sets that deadline to
/// [`FAR`]: if the server waits for it, the client gives up first and the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A deadline of the server that is longer than any client waits.
pub(crate) const FAR: Duration = Duration::from_mins(10);

/// How long the server discards input after a rejection while no bytes arrive. No setting changes it.
const LINGER: Duration = Duration::from_secs(2);

/// The pause of a client between two pieces of a drip.
const DRIP: Duration = Duration::from_millis(50);

/// Sets the deadlines for heads and bodies to [`FAR`].
pub(crate) fn patient(config: &mut Config) {
    config.http.header_timeout = FAR;
    config.http.body_timeout = FAR;
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    runtime: tokio::runtime::Runtime,
    app: App,
    _folder: TempDir,
}

impl Server {
    /// Starts a server; `change` may shorten its deadlines.
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config { data_dir: folder.path().join("data"), ..Config::default() };
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        config.admin_key = Some(AdminKey(KEY.to_owned()));
        change(&mut config);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let app = runtime.block_on(App::start(config, Clock::system())).expect("it starts");
        runtime.block_on(app.ready()).expect("the first records");
        Server { address: app.address(), runtime, app, _folder: folder }
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(self.app.stop());
    }

    /// Sends a GET with these header lines and returns the response. Retries while none arrives: the
    /// connection limit may be reached, or a short deadline for heads may have passed.
    #[track_caller]
    pub(crate) fn get(&self, target: &str, headers: &str) -> String {
        poll(target, PATIENCE, || {
            let text =
                self.raw(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{headers}Connection: close\r\n\r\n"));
            (!text.is_empty()).then_some(text)
        })
    }

    /// Returns a value of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics", &format!("X-API-Key: {KEY}\r\n"));
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client(stream)
    }

    /// Opens a connection from another address of this machine.
    pub(crate) fn connect_from(&self, address: [u8; 4]) -> Client {
        let stream = self.runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from((address, 0))).expect("an address of this machine");
            socket.connect(self.address).await.expect("it listens").into_std().expect("a socket")
        });
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client(stream)
    }

    /// Sends these bytes and returns everything until the server closes.
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.send(bytes);
        client.rest()
    }

    /// Sends these bytes, and checks that the server sends exactly one response, with one of these statuses,
    /// and closes. On a [`patient`] server the check fails if either side waits for a deadline.
    #[track_caller]
    pub(crate) fn answers_once(&self, what: &str, bytes: impl AsRef<[u8]>, wanted: &[u16]) -> String {
        let text = self.raw(bytes);
        assert!(wanted.contains(&status(&text)), "{what}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{what}: one answer, then the end: {text}");
        text
    }

    /// Sends a body that the server rejects before its end, and checks that the rejection arrives. Repeats
    /// the upload only if the rejection was lost and the upload took longer than the server discards input.
    #[track_caller]
    pub(crate) fn refuses_early(
        &self,
        what: &str,
        send: impl Fn(&mut Client) -> io::Result<()>,
        is_right: impl Fn(&str) -> bool,
    ) {
        let end = Instant::now() + PATIENCE;
        loop {
            let start = Instant::now();
            let mut client = self.connect();
            let sent = send(&mut client);
            let text = client.rest();
            if sent.is_ok() && is_right(&text) {
                return;
            }
            let is_late = start.elapsed() >= LINGER && Instant::now() < end;
            assert!(is_late, "{what}: {sent:?} {text}");
        }
    }

    /// Sends a request to the API, with the key.
    pub(crate) fn api(&self, method: &str, target: &str, body: &str) -> Reply {
        self.api_with(method, target, &format!("Authorization: Bearer {KEY}\r\n"), body)
    }

    /// Sends a request to the API, with these header lines.
    pub(crate) fn api_with(&self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let text = self.raw(format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ));
        Reply::parse(&text)
    }
}

pub(crate) struct Client(TcpStream);

impl Client {
    /// Writes bytes. Ignores that the peer has closed already.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.0.write_all(bytes.as_ref()));
    }

    /// Writes bytes, and fails if the peer has closed.
    pub(crate) fn tell(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// Sends these bytes repeatedly until the server closes. Fails if the server never does.
    #[track_caller]
    pub(crate) fn drip(mut self, what: &str, bytes: impl AsRef<[u8]>) {
        self.0.set_read_timeout(Some(DRIP)).expect("a timeout");
        let end = Instant::now() + PATIENCE;
        let mut buffer = [0; 1024];
        loop {
            self.send(&bytes);
            match self.0.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{what}: {error}"),
            }
            assert!(Instant::now() < end, "{what}: the server puts its deadline off");
        }
    }

    /// Closes the sending side.
    pub(crate) fn finish(&mut self) {
        self.0.shutdown(Shutdown::Write).expect("still open");
    }

    /// Reads until `end` has occurred this many times.
    pub(crate) fn until(&mut self, end: &str, times: usize) -> String {
        let mut text = String::new();
        let mut buffer = [0; 16 * 1024];
        while text.matches(end).count() < times {
            let read = self.0.read(&mut buffer).expect("more to come");
            assert!(read > 0, "closed after {text:?}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        text
    }

    /// Reads until the server closes. Fails if the server does not.
    pub(crate) fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            // A server that closes with unread input resets the connection. What arrived before still counts.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A response of the API.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) json: Value,
}

impl Reply {
    fn parse(text: &str) -> Reply {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let status = status(text);
        let json = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {body:?}"));
        Reply { status, head: head.to_ascii_lowercase(), json }
    }

    /// Returns the status and the error text.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.json["error"].as_str().unwrap_or_else(|| panic!("no error in {self:?}")))
    }
}

/// Returns the status of the first response in a text, or 0 if there is none.
pub(crate) fn status(text: &str) -> u16 {
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}
