//! What a connection does with the bytes of request heads before hyper parses them: it classifies the
//! first bytes of each request, determines the last request of the connection, and makes two kinds of
//! requests unparsable that hyper would misread or drop without a response.

use super::state::ConnState;

/// Read buffer of a connection, and so the longest request head. By hyper's default an incomplete head may
/// take 400 KB; with this bound, 10,000 of them take 160 MB at worst. Past it: 431.
pub(super) const HEAD_MAX: usize = 16 * 1024;

/// Most header lines of a request; browsers send some 20. Past it: 431.
pub(super) const HEADERS_MAX: usize = 64;

/// Requests after which a connection's next response is its last. Clients that never leave are the reason,
/// as for the age of a connection ([`super::deadline`]). A client that has sent requests ahead among its last
/// thousand keeps its connection, since requests behind the last one would be lost; all other limits apply to it.
/// A read that ends with a request does not show that no other follows: of 60,000 requests sent ahead, 2,123 to
/// 6,619 were answered when it counted.
pub(super) const REQUESTS_MAX: u64 = 1_000;

/// The start of the HTTP/2 preface. hyper closes the connection on the whole preface without a response.
/// With an impossible version in its place hyper answers 400.
const H2_START: &[u8] = b"PRI * HTTP/2";

/// The end of a request head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What is known of the requests of one connection by their first bytes.
#[derive(Debug)]
pub(super) struct HeadGuard {
    /// Whether nothing was read yet.
    is_new: bool,
    /// The number of the last request of which bytes were read.
    began: Option<u64>,
    /// The number of the last request that was read with others behind it. Determined for connections only that may
    /// end soon.
    // One more than the number, or 0: a connection has one of these, and `Option` would take twice the memory.
    ahead: u32,
    /// Whether the last read ended within a request.
    is_open: bool,
    /// Whether that request began like one with a body, as far as its first bytes show. hyper rejects some
    /// requests before the service sees them, so [`ConnState::has_body`] is not enough.
    is_upload: bool,
}

impl Default for HeadGuard {
    fn default() -> HeadGuard {
        HeadGuard { is_new: true, began: None, ahead: 0, is_open: false, is_upload: false }
    }
}

impl HeadGuard {
    /// Inspects the bytes of one read, and makes unparsable what hyper must not accept. Marks the next
    /// response as the last one if the connection `is_old` or has had its requests.
    #[inline]
    pub(super) fn inspect(&mut self, bytes: &mut [u8], is_old: bool, state: &ConnState) {
        // `None` while a request is answered: such bytes belong to its body, or to a request sent ahead.
        if let Some(number) = state.next_request().filter(|number| self.began != Some(*number))
            && !bytes.is_empty()
        {
            self.began = Some(number);
            // The request began in the last read, behind others.
            let is_continued = self.is_open && !self.is_upload;
            // A first read without the whole method counts as an upload. The close then lingers for nothing.
            self.is_upload = !is_continued && !bytes.starts_with(b"GET ") && !bytes.starts_with(b"HEAD ");
            if is_old || number >= REQUESTS_MAX / 2 {
                self.end_soon(bytes, number, is_old, is_continued, state);
            }
        }
        self.is_open = !bytes.ends_with(HEAD_END);
        if std::mem::take(&mut self.is_new) && bytes.starts_with(H2_START) {
            // A preface that arrives in parts is not changed: hyper then closes without a response.
            bytes[H2_START.len() - 1] = b'9';
        }
        refuse_fragments(bytes);
    }

    /// Marks the next response as the last one, unless the client sends ahead.
    fn end_soon(&mut self, bytes: &[u8], number: u64, is_old: bool, is_continued: bool, state: &ConnState) {
        if is_continued || (!self.is_upload && has_more_behind(bytes)) {
            self.ahead = u32::try_from(number + 1).unwrap_or(u32::MAX);
        }
        // A request that arrived before it was waited for has not updated the age, and counts as well.
        let is_due = is_old || number + 1 >= REQUESTS_MAX;
        let sends_ahead = self.ahead > 0 && number + 1 - u64::from(self.ahead) < REQUESTS_MAX;
        // No client sends ahead behind a request that may change something (RFC 9112 9.3.2).
        if is_due && (self.is_upload || (is_one_head(bytes) && !sends_ahead)) {
            state.set_last();
        }
    }

    /// Returns whether bytes of this request were read, and none of a later one.
    pub(super) fn has_begun(&self, request: u64) -> bool {
        self.began == Some(request)
    }

    /// Returns whether the last request looked like one with a body.
    pub(super) fn is_upload(&self) -> bool {
        self.is_upload
    }
}

/// Returns whether these bytes are one request head and no more.
fn is_one_head(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, HEAD_END).is_some_and(|at| at + HEAD_END.len() == bytes.len())
}

/// Returns whether there are bytes behind a request head.
fn has_more_behind(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, HEAD_END).is_some_and(|at| at + HEAD_END.len() < bytes.len())
}

/// Makes request lines with a fragment unparsable, so that they are answered 400: hyper drops the fragment,
/// and `/code#x` would be `/code`. Only whole lines are changed. No body of the APIs contains such a line:
/// JSON and forms escape the end of a line.
#[inline]
fn refuse_fragments(bytes: &mut [u8]) {
    // One fast pass, since nearly no request has this byte.
    if memchr::memchr(b'#', bytes).is_some() {
        overwrite_fragments(bytes);
    }
}

fn overwrite_fragments(bytes: &mut [u8]) {
    let mut start = 0;
    loop {
        let head = &mut bytes[start..];
        let Some(end) = head.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return };
        let line = &mut head[..end];
        let is_visit = line.starts_with(b"GET ") || line.starts_with(b"HEAD ") || line.starts_with(b"POST ");
        // Without a version at its end the line is incomplete, or text of a body.
        if is_visit && (line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")) {
            for byte in line.iter_mut().filter(|byte| **byte == b'#') {
                // DEL may not occur in a target, so hyper rejects the line.
                *byte = 0x7f;
            }
        }
        let Some(next) = memchr::memmem::find(head, HEAD_END) else { return };
        // Requests sent ahead are in the same read, and hyper would drop their fragments as well.
        start += next + HEAD_END.len();
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::io;

    use hyper::service::{Service, service_fn};
    use hyper::{Request, Response};

    use super::*;

    /// A client whose next request arrives before it is waited for.
    #[tokio::test]
    async fn a_connection_that_is_never_waited_for_ends_after_as_many_requests_as_others() {
        let (state, mut guard) = (ConnState::default(), HeadGuard::default());
        let response = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let service = state.track(service_fn(response));
        for number in 1..=REQUESTS_MAX {
            guard.inspect(&mut b"GET / HTTP/1.1\r\n\r\n".to_owned(), false, &state);
            assert_eq!(state.is_last(), number == REQUESTS_MAX, "{number}");
            service.call(Request::default()).await.expect("a response");
        }
    }

    #[test]
    fn the_next_request_on_an_old_connection_is_its_last_unless_others_follow() {
        let rows = [
            ("GET / HTTP/1.1\r\n\r\n", false, false),
            ("GET / HTTP/1.1\r\n\r\n", true, true),
            // The request that is sent ahead would be lost behind the last one.
            ("GET / HTTP/1.1\r\n\r\nGET", true, false),
            // No request is sent ahead behind a POST, so its head need not be complete.
            ("POST / HTTP/1.1\r\n", true, true),
            // The end of the input begins no request.
            ("", true, false),
        ];
        for (bytes, is_old, want) in rows {
            let state = ConnState::default();
            HeadGuard::default().inspect(&mut bytes.as_bytes().to_owned(), is_old, &state);
            assert_eq!(state.is_last(), want, "{bytes:?} {is_old}");
        }
    }

    /// Requests sent ahead arrive in reads that end anywhere, sometimes with a request.
    #[tokio::test]
    async fn a_client_that_sends_ahead_keeps_its_connection_until_it_stops() {
        let (state, mut guard) = (ConnState::default(), HeadGuard::default());
        let response = |_: Request<String>| ready(Ok::<_, io::Error>(Response::new(String::new())));
        let service = state.track(service_fn(response));
        let mut read = async |bytes: &str, requests: u64| {
            guard.inspect(&mut bytes.as_bytes().to_owned(), false, &state);
            for _ in 0..requests {
                service.call(Request::default()).await.expect("a response");
            }
            state.is_last()
        };
        let one = "GET / HTTP/1.1\r\n\r\n";
        let many = one.repeat(300);
        for round in 0..20 {
            assert!(!read(&many, 300).await, "round {round}");
            assert!(!read(one, 1).await, "round {round}");
            // A cut within a request.
            assert!(!read(&(many.clone() + &one[..9]), 300).await, "round {round}");
            assert!(!read(&one[9..], 1).await, "round {round}");
        }
        let mut alone = 1;
        while !read(one, 1).await {
            alone += 1;
        }
        assert_eq!(alone, REQUESTS_MAX, "counted from the last request with others behind it");
    }

    #[test]
    fn the_preface_of_http_2_is_made_unparsable_at_the_start_only() {
        let (state, mut guard) = (ConnState::default(), HeadGuard::default());
        for want in ["PRI * HTTP/9.0\r\n", "PRI * HTTP/2.0\r\n"] {
            let mut bytes = b"PRI * HTTP/2.0\r\n".to_owned();
            guard.inspect(&mut bytes, false, &state);
            assert_eq!(String::from_utf8_lossy(&bytes), want);
        }
    }

    #[test]
    fn one_head_is_neither_less_nor_more() {
        let rows = [("", false), ("GE", false), ("G\r\n\r\n", true), ("G\r\n\r\nG", false)];
        for (bytes, want) in rows {
            assert_eq!(is_one_head(bytes.as_bytes()), want, "{bytes:?}");
        }
        assert!(!is_one_head(b"G\r\n\r\nG\r\n\r\n"));
    }

    #[test]
    fn fragments_in_request_lines_are_made_unparsable() {
        let end = " HTTP/1.1\r\nX: #\r\n\r\n";
        let rows = [
            (format!("GET /s#f{end}"), format!("GET /s\u{7f}f{end}")),
            (format!("GET /s{end}HEAD /s##{end}"), format!("GET /s{end}HEAD /s\u{7f}\u{7f}{end}")),
            (format!("POST /s#f{end}"), format!("POST /s\u{7f}f{end}")),
            (format!("GET http://h/s#f{end}"), format!("GET http://h/s\u{7f}f{end}")),
            (format!("GET /s{end}"), format!("GET /s{end}")),
            // An incomplete line, and lines within a text of a body.
            ("GET /s#f".to_owned(), "GET /s#f".to_owned()),
            ("GET /s#f HTTP/1.1\"}\n".to_owned(), "GET /s#f HTTP/1.1\"}\n".to_owned()),
            (format!("\"GET /s#f{end}"), format!("\"GET /s#f{end}")),
        ];
        for (bytes, want) in rows {
            let mut got = bytes.clone().into_bytes();
            refuse_fragments(&mut got);
            assert_eq!(String::from_utf8_lossy(&got), want, "{bytes:?}");
        }
    }
}
