//! A list of any length as the body of a response. A batch of links is read when the batch before it is
//! being sent. A client that stops reading thus holds one batch and no thread, and a client that hangs up
//! ends the reading.
//!
//! A list that fails in the middle is cut, which a client of HTTP/1.1 detects. HTTP/1.0 has no chunks, so a
//! part looks complete to its clients (such as proxies on the way to a server). For HTTP/1.0 a list is held
//! until it is complete.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Version;
use tokio::sync::mpsc::Sender;

use super::response::Payload;
use crate::core::{Error, LinkStream};
use crate::http::api::dialect::{ApiError, ListFormat, ServerError};
use crate::http::body::{BodyChunk, Content};

/// Longest list that is held for a client of HTTP/1.0, some 40,000 links of usual length. It is charged to
/// the response budget until it is sent ([`super::admission`]). Past it: 505, which names alternatives.
pub(super) const HELD_MAX: usize = 8 * 1024 * 1024;

/// Returns the body of a list. Reads the first batch before it returns, so that a store that cannot be read
/// is an error with a status of its own. A task reads the rest, if there is more.
pub(super) async fn begin(mut walk: LinkStream, format: &'static ListFormat) -> Result<Content, Error> {
    let (links, has_more) = walk.next().await?;
    let mut text = format.open.as_bytes().to_vec();
    for (at, link) in links.iter().enumerate() {
        if at > 0 {
            text.extend_from_slice(format.between.as_bytes());
        }
        text.extend_from_slice(&(format.item)(link));
    }
    if !has_more {
        text.extend_from_slice(close(&walk, format).as_bytes());
        return Ok(Content::from(Bytes::from(text)));
    }
    let (sender, content) = Content::streamed();
    let first = BodyChunk { bytes: text.into(), is_last: false };
    tokio::spawn(async move {
        if sender.send(first).await.is_ok() {
            feed(walk, format, sender).await;
        }
    });
    Ok(content)
}

/// Returns the end of the list.
fn close(walk: &LinkStream, format: &ListFormat) -> &'static str {
    if walk.is_incomplete() { format.close_incomplete } else { format.close }
}

/// Sends the rest. A return before the last chunk cuts the response.
async fn feed(mut walk: LinkStream, format: &'static ListFormat, sender: Sender<BodyChunk>) {
    loop {
        // Before the read: no batch is read for a client that does not accept the one before.
        let Ok(permit) = sender.reserve().await else { return };
        // A read may take long: a client that hangs up ends it.
        let read = tokio::select! {
            read = walk.next() => read,
            () = sender.closed() => return,
        };
        let (links, has_more) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "a list was cut: the rest could not be read");
                return;
            }
        };
        let mut text = Vec::new();
        // Every batch before this one contained links, so each link here follows another.
        for link in &links {
            text.extend_from_slice(format.between.as_bytes());
            text.extend_from_slice(&(format.item)(link));
        }
        if !has_more {
            text.extend_from_slice(close(&walk, format).as_bytes());
        }
        permit.send(BodyChunk { bytes: text.into(), is_last: !has_more });
        if !has_more {
            return;
        }
    }
}

/// Returns a payload that this version of HTTP can carry: for HTTP/1.0 a list that is complete, with its
/// length. The request acquired room for all of it.
pub(super) async fn hold_for(version: Version, payload: Payload) -> Result<Payload, ApiError> {
    match payload.content {
        content @ Content::Streamed(_) if version < Version::HTTP_11 => {
            let content = hold_at_most(content, HELD_MAX).await?;
            Ok(Payload { content, ..payload })
        }
        content => Ok(Payload { content, ..payload }),
    }
}

async fn hold_at_most(mut content: Content, max: usize) -> Result<Content, ApiError> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = content.frame().await {
        // `feed` has logged why the list was cut.
        let Ok(bytes) = chunk.map_err(|_| ServerError::NotReady)?.into_data() else { continue };
        // Checked before the copy, so that no more than `max` bytes are ever held.
        if whole.len() + bytes.len() > max {
            return Err(ServerError::OldHttp.into());
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(Content::from(whole.freeze()))
}

#[cfg(test)]
mod tests {
    use hyper::body::Body;

    use super::*;

    #[tokio::test]
    async fn a_held_list_is_complete_or_rejected() {
        let rows = [
            (&["ab", "cd", "e"][..], true, Ok("abcde")),
            (&["ab", "cd", "ef"][..], true, Err(ServerError::OldHttp)),
            (&["ab", "cd"][..], false, Err(ServerError::NotReady)),
            (&[][..], false, Err(ServerError::NotReady)),
        ];
        for (chunks, ends, want) in rows {
            let (sender, content) = Content::streamed();
            let sending = async {
                for (at, chunk) in chunks.iter().enumerate() {
                    let chunk =
                        BodyChunk { bytes: Bytes::from(*chunk), is_last: ends && at + 1 == chunks.len() };
                    let _ = sender.send(chunk).await;
                }
                drop(sender);
            };
            let ((), held) = tokio::join!(sending, hold_at_most(content, 5));
            let got = match held {
                Ok(content) => {
                    let length = content.size_hint().exact();
                    let bytes = content.collect().await.expect("in memory").to_bytes();
                    assert_eq!(length, Some(bytes.len() as u64), "{chunks:?}");
                    Ok(bytes)
                }
                Err(ApiError::Server(error)) => Err(error),
                Err(other) => panic!("{chunks:?}: {other:?}"),
            };
            assert_eq!(got, want.map(Bytes::from), "{chunks:?}");
        }
    }
}
