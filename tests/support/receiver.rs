//! A receiver of webhooks on a port of its own, with real sockets and responses that the test chooses, faulty
//! ones included. It keeps every request unchanged.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Longest wait for an expected event.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long the sender waits for the end of a connection after the response. No setting changes it.
const LINGER: Duration = Duration::from_millis(200);

/// The interval of polls.
const POLL: Duration = Duration::from_millis(2);

/// Waits until a condition holds. Panics if it never does.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(POLL);
    }
}

/// How the receiver responds to a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With this status and an empty body.
    Status(u16),
    /// With this status and this Location.
    Location(u16, String),
    /// With this status, asking for a delay of these seconds.
    RetryAfter(u16, u64),
    /// Never: the connection stays open.
    Silence,
    /// With 200, one byte a second.
    Trickle,
    /// With 200 and an endless body.
    Endless,
    /// With 200 and a header of 10 MB.
    HugeHead,
    /// By closing the connection.
    Close,
    /// With 200 at once, closing the connection a little later.
    Dally,
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Returns the value of a header. Panics unless it occurs exactly once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = values.next().unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        &value.1
    }
}

pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    always: Mutex<Reply>,
    next: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    late: AtomicUsize,
    closed: AtomicUsize,
    written: AtomicUsize,
    held: Mutex<bool>,
    released: Condvar,
}

impl Receiver {
    /// Starts a receiver that responds with 200.
    pub(crate) fn start() -> Receiver {
        Receiver::answering(Reply::Status(200))
    }

    pub(crate) fn answering(always: Reply) -> Receiver {
        Receiver::at([127, 0, 0, 1], always)
    }

    /// Starts a receiver at this address of the machine.
    pub(crate) fn at(address: [u8; 4], always: Reply) -> Receiver {
        let listener = TcpListener::bind(SocketAddr::from((address, 0))).expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            always: Mutex::new(always),
            next: Mutex::default(),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
            held: Mutex::new(false),
            released: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let open = serving.open.fetch_add(1, Ordering::SeqCst) + 1;
                serving.most_open.fetch_max(open, Ordering::SeqCst);
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || {
                    // An error is no failure: some tests are about senders that leave early.
                    let answered = shared.serve(&stream);
                    // Decrement before closing: the sender reuses the slot once it sees the close.
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                    let is_late = answered.is_ok_and(|at| at.is_some_and(|at| at.elapsed() >= LINGER));
                    shared.late.fetch_add(usize::from(is_late), Ordering::SeqCst);
                    shared.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Receiver { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets the responses to the next requests, in this order.
    pub(crate) fn answer_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.next.lock().extend(replies);
    }

    /// Sets the response to all other requests.
    pub(crate) fn answer_all(&self, reply: Reply) {
        *self.shared.always.lock() = reply;
    }

    /// Holds all responses until [`Receiver::release`].
    pub(crate) fn hold(&self) {
        *self.shared.held.lock() = true;
    }

    pub(crate) fn release(&self) {
        *self.shared.held.lock() = false;
        self.shared.released.notify_all();
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().clone()
    }

    /// Waits for this many requests, and returns them.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} requests"), || self.shared.requests.lock().len() >= count);
        self.requests()
    }

    /// Returns the number of connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns the highest number of connections that were open at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// Waits until all connections are closed. Returns how many were closed so late after their response that
    /// the sender had given them up.
    pub(crate) fn late(&self) -> usize {
        until("all are closed", || self.shared.closed.load(Ordering::SeqCst) == self.connections());
        self.shared.late.load(Ordering::SeqCst)
    }

    /// Returns the bytes written of endless responses.
    pub(crate) fn written(&self) -> usize {
        self.shared.written.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Serves a connection. Returns when the response began, or `None` if no request arrived.
    fn serve(&self, stream: &TcpStream) -> std::io::Result<Option<Instant>> {
        let asked = self.take_in(stream);
        {
            let mut held = self.held.lock();
            while *held {
                self.released.wait(&mut held);
            }
        }
        if !asked? {
            return Ok(None);
        }
        let next = self.next.lock().pop_front();
        let reply = next.unwrap_or_else(|| self.always.lock().clone());
        let begun = Instant::now();
        self.answer(stream, &reply)?;
        Ok(Some(begun))
    }

    /// Reads and keeps a request. Returns false if none arrived.
    fn take_in(&self, stream: &TcpStream) -> std::io::Result<bool> {
        let request = read(&mut BufReader::new(stream))?;
        let came = request.is_some();
        self.requests.lock().extend(request);
        Ok(came)
    }

    fn answer(&self, mut stream: &TcpStream, reply: &Reply) -> std::io::Result<()> {
        const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
        match reply {
            Reply::Status(status) => write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nOK"),
            Reply::Location(status, to) => {
                write!(stream, "HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
            }
            Reply::RetryAfter(status, seconds) => {
                write!(stream, "HTTP/1.1 {status} X\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n")
            }
            Reply::Silence => stream.read_to_end(&mut Vec::new()).map(|_| ()),
            Reply::Trickle => {
                for byte in GOOD {
                    stream.write_all(&[*byte])?;
                    std::thread::sleep(Duration::from_secs(1)); // This is what it is for.
                }
                Ok(())
            }
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                loop {
                    self.written.fetch_add(stream.write(&[b'x'; 4096])?, Ordering::SeqCst);
                }
            }
            Reply::HugeHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nX-Long: ")?;
                for _ in 0..10 * 1024 {
                    self.written.fetch_add(stream.write(&[b'x'; 1024])?, Ordering::SeqCst);
                }
                stream.write_all(b"\r\nContent-Length: 0\r\n\r\n")
            }
            Reply::Close => Ok(()),
            Reply::Dally => {
                stream.write_all(GOOD)?;
                std::thread::sleep(Duration::from_millis(20)); // This is what it is for.
                Ok(())
            }
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Received>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let line = lines.next().unwrap_or_default();
    let headers: Vec<_> = lines
        .filter_map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        })
        .collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Received { line, headers, body }))
}
