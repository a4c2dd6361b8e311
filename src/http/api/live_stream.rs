//! The clicks of this moment as server-sent events. A task waits for events and sends them, as long as its client reads: a
//! client that stops reading gets nothing more, and what it missed is summed up. The end of the key and of the server end
//! the body as a whole one.

use bytes::Bytes;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{HeaderMap, Version};
use tokio::sync::mpsc::Sender;

use super::response::Payload;
use crate::core::LiveStream;
use crate::http::api::dialect::LiveFormat;
use crate::http::body::{BodyChunk, Content};

/// The `Content-Type` of server-sent events.
const EVENTS: &str = "text/event-stream";

/// Before the first event. After a cut, browsers connect again within this time.
const RETRY: &str = "retry: 3000\n\n";

/// Returns whether a request asks for events, and its version of HTTP can carry them: without chunks, a proxy waits for the
/// end of the body.
pub(super) fn is_wanted(version: Version, headers: &HeaderMap) -> bool {
    let is_events = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains(EVENTS));
    version >= Version::HTTP_11 && headers.get_all(ACCEPT).iter().any(is_events)
}

/// Returns the response with the events of a stream.
pub(super) fn begin(stream: LiveStream, format: LiveFormat) -> Payload {
    let (sender, content) = Content::streamed();
    tokio::spawn(feed(stream, format, sender));
    Payload::new(EVENTS, content)
}

async fn feed(mut stream: LiveStream, format: LiveFormat, sender: Sender<BodyChunk>) {
    let mut text = RETRY.to_owned();
    loop {
        // Before the wait: while a client reads nothing, its clicks add up to one event.
        let Ok(permit) = sender.reserve().await else { return };
        let events = tokio::select! {
            events = stream.next() => events,
            // The client hung up, which the next event would notice a second later.
            () = sender.closed() => return,
        };
        let mut is_last = false;
        for event in &events {
            let (part, ends) = format(event);
            text.push_str(&part);
            is_last |= ends;
        }
        permit.send(BodyChunk { bytes: Bytes::from(std::mem::take(&mut text)), is_last });
        if is_last {
            return;
        }
    }
}
