//! A server on a fresh data folder and a port of its own, and the bluntest of clients: bytes in,
//! bytes out, so that a test sees exactly what a socket sees.

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

/// How long a client here waits for anything. A test that must not wait for a deadline of the server sets the
/// deadline to [`FAR`], and fails if the server waits for it all the same.
const PATIENCE: Duration = Duration::from_mins(1);

/// A deadline of the server that is longer than any client waits.
pub(crate) const FAR: Duration = Duration::from_mins(10);

/// How long the server reads on behind a refusal while nothing arrives. No setting changes it.
const LINGER: Duration = Duration::from_secs(2);

/// Pause of a client between two drips.
const DRIP: Duration = Duration::from_millis(50);

/// Sets the deadlines for heads and bodies to [`FAR`].
pub(crate) fn patient(config: &mut Config) {
    config.http.header_timeout = FAR;
    config.http.body_timeout = FAR;
}

/// The program, running.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    runtime: tokio::runtime::Runtime,
    app: App,
    _folder: TempDir,
}

impl Server {
    /// Starts it; `change` may shorten its deadlines.
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config { data_dir: folder.path().join("data"), ..Config::default() };
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.admin_key = Some(AdminKey(KEY.to_owned()));
        change(&mut config);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let app = runtime.block_on(App::start(config, Clock::system())).expect("it starts");
        runtime.block_on(app.ready()).expect("the first records");
        Server { address: app.address(), runtime, app, _folder: folder }
    }

    /// Stops it.
    pub(crate) fn stop(self) {
        self.runtime.block_on(self.app.stop());
    }

    /// The one answer to a GET with these header lines. Asks again while none comes: there may be no place for
    /// the connection yet, or a short deadline for heads may be over before this one is sent.
    #[track_caller]
    pub(crate) fn get(&self, target: &str, headers: &str) -> String {
        poll(target, PATIENCE, || {
            let text =
                self.raw(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{headers}Connection: close\r\n\r\n"));
            (!text.is_empty()).then_some(text)
        })
    }

    /// A number of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics", &format!("X-API-Key: {KEY}\r\n"));
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// A connection.
    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client(stream)
    }

    /// A connection from another address of this machine.
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

    /// Everything that comes back until the server closes.
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.send(bytes);
        client.rest()
    }

    /// The one answer to these bytes, of one of these statuses, behind which the server closes. On a
    /// [`patient`] server it fails if either waits for a deadline.
    #[track_caller]
    pub(crate) fn answers_once(&self, what: &str, bytes: impl AsRef<[u8]>, wanted: &[u16]) -> String {
        let text = self.raw(bytes);
        assert!(wanted.contains(&status(&text)), "{what}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{what}: one answer, then the end: {text}");
        text
    }

    /// Sends what the server refuses before its end, and checks that the refusal arrives. Repeats the upload only
    /// if the refusal is lost and the upload took longer than the server reads on.
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

    /// One request to the API, with the key.
    pub(crate) fn api(&self, method: &str, target: &str, body: &str) -> Reply {
        self.api_with(method, target, &format!("Authorization: Bearer {KEY}\r\n"), body)
    }

    /// One request to the API, with these header lines.
    pub(crate) fn api_with(&self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let text = self.raw(format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ));
        Reply::parse(&text)
    }
}

/// A connection.
pub(crate) struct Client(TcpStream);

impl Client {
    /// Writes; a peer that closed already is no error here.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.0.write_all(bytes.as_ref()));
    }

    /// Writes, to a peer that is to hear all of it.
    pub(crate) fn tell(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// Sends these bytes again and again until the server closes; fails if the server never does.
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

    /// Says that nothing more will come.
    pub(crate) fn finish(&mut self) {
        self.0.shutdown(Shutdown::Write).expect("still open");
    }

    /// Reads until `end` occurred so many times.
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

    /// Everything until the server closes; fails when it does not.
    pub(crate) fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            // A server that closes with unread bytes resets; what came before still counts.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// An answer of the API.
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

    /// The sentence of a refusal.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.json["error"].as_str().unwrap_or_else(|| panic!("no error in {self:?}")))
    }
}

/// The status of the first answer in a text; 0 when there is none.
pub(crate) fn status(text: &str) -> u16 {
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}
