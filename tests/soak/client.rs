//! A blocking client for single requests, and the statistics of loads.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::KEY;

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A connection that is opened again after it ended.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { address, connection: None }
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        self.send_with(method, path, "", body)
    }

    /// Sends a form as a browser does.
    pub(crate) fn send_form(&mut self, path: &str, form: &str) -> io::Result<Answer> {
        self.send_with("POST", path, "Content-Type: application/x-www-form-urlencoded\r\n", form)
    }

    fn send_with(&mut self, method: &str, path: &str, more: &str, body: &str) -> io::Result<Answer> {
        let length = body.len();
        let bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: go.test\r\nAuthorization: Bearer {KEY}\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        );
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            stream.set_nodelay(true)?;
            BufReader::new(stream)
        };
        connection.get_mut().write_all(bytes.as_bytes())?;
        let answer = read(&mut connection, method == "HEAD")?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        // The server may have closed an idle connection.
        self.send("GET", path, "").or_else(|_| self.send("GET", path, "")).unwrap_or_default()
    }

    /// Creates a link with this code. The status is 0 without a response.
    pub(crate) fn create(&mut self, code: &str, more: &Value) -> Answer {
        let mut body = json!({"url": format!("https://e.test/{code}"), "customSlug": code});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.send("POST", "/api/v1/links", &body.to_string()).unwrap_or_default()
    }

    /// Returns the clicks of the link with this id.
    pub(crate) fn clicks(&mut self, id: &str) -> u64 {
        self.get(&format!("/api/v1/links/{id}")).json()["link"]["clickCount"].as_u64().unwrap_or(0)
    }
}

fn read(from: &mut BufReader<TcpStream>, bodiless: bool) -> io::Result<Answer> {
    let mut answer = Answer::default();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        answer.head.push_str(&line);
    }
    answer.status = answer.head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    let length = answer.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    if !bodiless {
        answer.body.resize(length, 0);
        from.read_exact(&mut answer.body)?;
    }
    Ok(answer)
}

/// Returns the value below which this many thousandths of all values lie.
pub(crate) fn percentile(times: &mut [Duration], thousandths: usize) -> Duration {
    times.sort_unstable();
    let at = times.len() * thousandths / 1_000;
    times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
