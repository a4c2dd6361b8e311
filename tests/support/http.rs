//! A small blocking HTTP/1.1 client. It sends exactly the bytes of the test, and keeps responses unchanged.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for bytes. After it, the test fails because the server hangs.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.status, self.headers, self.text())
    }
}

impl Answer {
    /// Returns the value of a header. Panics if the header occurs twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} occurs twice: {self:?}");
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON. Panics if it is none, or does not end in a newline.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"), "{self:?}");
        assert!(
            self.body.ends_with(b"}\n") || self.body.ends_with(b"]\n"),
            "no newline at the end: {self:?}"
        );
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Returns the JSON body. Panics if the status is another one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16, row: &str) -> Value {
        assert_eq!(self.status, status, "{row}: {}", self.text());
        self.json()
    }

    /// Checks an error of the native API: its status and its whole text.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, error: &str, row: &str) {
        let body = self.expect(status, row);
        assert_eq!(body["error"], error, "{row}");
    }

    /// Whether the server closes the connection after this response.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection with full control over the bytes sent.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Opens a connection whose receive buffer has this size. The size is set before connecting, since it
    /// limits the window that the kernel announces.
    pub(crate) fn open_with(address: SocketAddr, receive_buffer: u32) -> io::Result<Connection> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(receive_buffer)?;
            socket.connect(address).await?.into_std()
        })?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection(BufReader::with_capacity(64, stream)))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads one response. Returns `None` if the connection ended before its first byte. A `bodiless`
    /// response (to HEAD) has a Content-Length without a body.
    pub(crate) fn receive(&mut self, bodiless: bool) -> io::Result<Option<Answer>> {
        let broken = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| broken(&format!("no status line: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(broken("the connection ended within the head"));
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map(str::parse::<usize>);
        let length = length.transpose().map_err(|_| broken("content-length"))?;
        if bodiless {
            return Ok(Some(answer));
        }
        if let Some(length) = length {
            answer.body.resize(length, 0);
            self.0.read_exact(&mut answer.body)?;
        } else if answer.header("transfer-encoding") == Some("chunked") {
            while self.chunk(&mut answer.body)? {}
        }
        Ok(Some(answer))
    }

    /// Appends the next chunk. Returns false after the last one, and fails if the body is cut.
    fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let broken = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(|_| broken("a chunk's size"))?;
        let start = body.len();
        body.resize(start + size + 2, 0);
        self.0.read_exact(&mut body[start..])?;
        if !body.ends_with(b"\r\n") {
            return Err(broken("a chunk's end"));
        }
        body.truncate(start + size);
        Ok(size > 0)
    }

    /// Waits for the first bytes of a response. Returns false if the connection ended.
    pub(crate) fn begins(&mut self) -> io::Result<bool> {
        Ok(!self.0.fill_buf()?.is_empty())
    }

    /// Whether the next response has this status. Consumes nothing.
    pub(crate) fn has_status(&mut self, status: u16) -> io::Result<bool> {
        let line = self.0.fill_buf()?;
        Ok(line.get("HTTP/1.1 ".len()..).is_some_and(|line| line.starts_with(status.to_string().as_bytes())))
    }

    /// Reads exactly this many bytes.
    pub(crate) fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the server closes the connection without sending anything more.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = [0; 1];
        matches!(self.0.read(&mut rest), Ok(0))
            || self.0.get_ref().take_error().is_ok_and(|error| error.is_some())
    }
}

/// Sends these bytes on a new connection and returns the response.
#[track_caller]
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut connection = Connection::open(address).expect("the server accepts");
    connection.send(bytes).expect("the server reads");
    connection.receive(false).expect("an answer or none")
}

/// A client that keeps its connection alive.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<Listed>,
    sockets: Sockets,
    host: String,
    headers: Vec<(String, String)>,
}

/// A connection whose socket has a copy in [`Sockets`], so that only a shutdown ends it.
#[derive(Debug)]
struct Listed(Connection);

impl Drop for Listed {
    fn drop(&mut self) {
        // The server may have closed it.
        let _ = self.0.0.get_ref().shutdown(Shutdown::Both);
    }
}

/// The sockets of a server's clients, also of those that closed them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets(Arc<Mutex<Vec<TcpStream>>>);

impl Sockets {
    fn open(&self, address: SocketAddr) -> io::Result<Listed> {
        let connection = Connection::open(address)?;
        self.0.lock().expect("no panic").push(connection.0.get_ref().try_clone()?);
        Ok(Listed(connection))
    }

    /// Ends the sending side of all sockets. A server that stops waits two seconds for a client that keeps
    /// an idle connection open.
    pub(crate) fn finish(&self) {
        for socket in self.0.lock().expect("no panic").drain(..) {
            // The server may have closed it.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, host: &str) -> Client {
        let sockets = Sockets::default();
        Client { address, connection: None, sockets, host: host.to_owned(), headers: Vec::new() }
    }

    /// Returns the client with a list that it adds its sockets to.
    #[must_use]
    pub(crate) fn listed(mut self, sockets: &Sockets) -> Client {
        self.sockets = sockets.clone();
        self
    }

    /// Returns the client with a header that it sends with every request.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Client {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub(crate) fn with_key(self, key: &str) -> Client {
        self.with("Authorization", &format!("Bearer {key}"))
    }

    /// Returns the client with another Host.
    #[must_use]
    pub(crate) fn at(mut self, host: &str) -> Client {
        host.clone_into(&mut self.host);
        self
    }

    /// Sends one request, without a retry.
    pub(crate) fn try_send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                head.push_str("Content-Type: application/json\r\n");
            }
            head.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.sockets.open(self.address)?,
        };
        // The server may reject a request before it has read the body. Then the response counts, not the
        // failed write.
        let sent = connection.0.send(&bytes);
        let answer = match connection.0.receive(method == "HEAD") {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(sent.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(error),
        };
        if !answer.closes() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// Sends a request and returns the response. Retries once if a reused connection fails.
    #[track_caller]
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Answer {
        let reused = self.connection.is_some();
        let mut sent = self.try_send(method, target, headers, body);
        // The server may have closed an idle connection.
        if reused && sent.is_err() {
            sent = self.try_send(method, target, headers, body);
        }
        sent.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target, &[], None)
    }

    #[track_caller]
    pub(crate) fn head(&mut self, target: &str) -> Answer {
        self.send("HEAD", target, &[], None)
    }

    #[track_caller]
    pub(crate) fn delete(&mut self, target: &str) -> Answer {
        self.send("DELETE", target, &[], None)
    }

    #[track_caller]
    pub(crate) fn post(&mut self, target: &str, body: &Value) -> Answer {
        self.send("POST", target, &[], Some(body.to_string().as_bytes()))
    }

    /// POSTs a form. Its content type is among the headers.
    #[track_caller]
    pub(crate) fn send_form(&mut self, target: &str, headers: &[(&str, &str)], form: &[u8]) -> Answer {
        self.send("POST", target, headers, Some(form))
    }

    #[track_caller]
    pub(crate) fn patch(&mut self, target: &str, body: &Value) -> Answer {
        self.send("PATCH", target, &[], Some(body.to_string().as_bytes()))
    }

    /// Creates a link and returns it.
    #[track_caller]
    pub(crate) fn create(&mut self, body: &Value) -> Value {
        let answer = self.post("/api/v1/links", body);
        answer.expect(201, &body.to_string())["link"].clone()
    }

    /// Returns the counted clicks of a link.
    #[track_caller]
    pub(crate) fn clicks(&mut self, id: &str) -> u64 {
        let link = self.get(&format!("/api/v1/links/{id}")).expect(200, id)["link"].clone();
        link["clickCount"].as_u64().unwrap_or_else(|| panic!("no clickCount: {link}"))
    }
}

/// Returns the string under a key of a JSON object.
#[track_caller]
pub(crate) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("no text {key:?} in {object}"))
}
