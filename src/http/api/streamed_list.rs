//! A list of any length as the body of an answer. The next links are read when the last ones are
//! on their way to the client, so a client that stops reading holds one batch and no thread, and
//! one that hangs up ends the reading.
//!
//! A list that breaks off is cut: HTTP/1.1 tells its client so. HTTP/1.0 has no chunks, and a part
//! looks whole to whoever speaks it (proxies do, to the servers behind them), so for it a list is
//! held until it is complete.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Version;
use tokio::sync::mpsc::Sender;

use super::response::Payload;
use crate::core::{Error, LinkStream};
use crate::http::api::dialect::{ApiError, ListFormat, ServerError};
use crate::http::body::{Content, Piece};

/// Longest list that is held for a client of HTTP/1.0, some 40,000 links of usual length. It is held
/// until it is sent, among all long answers ([`super::admission`]). Past it: 505, which says how to ask.
pub(super) const HELD_MAX: usize = 8 * 1024 * 1024;

/// Reads the first links, so that a store that cannot be read is said by the status, and leaves
/// the rest to a task. A list that ends with them is a body like any other.
pub(super) async fn begin(mut walk: LinkStream, wording: &'static ListFormat) -> Result<Content, Error> {
    let (links, goes_on) = walk.next().await?;
    let mut text = wording.open.as_bytes().to_vec();
    for (at, link) in links.iter().enumerate() {
        if at > 0 {
            text.extend_from_slice(wording.between.as_bytes());
        }
        text.extend_from_slice(&(wording.item)(link));
    }
    if !goes_on {
        text.extend_from_slice(close(&walk, wording).as_bytes());
        return Ok(Content::from(Bytes::from(text)));
    }
    let (sender, content) = Content::pieces();
    let first = Piece { bytes: text.into(), is_last: false };
    tokio::spawn(async move {
        if sender.send(first).await.is_ok() {
            feed(walk, wording, sender).await;
        }
    });
    Ok(content)
}

/// Returns what ends the list.
fn close(walk: &LinkStream, wording: &ListFormat) -> &'static str {
    if walk.is_incomplete() { wording.close_incomplete } else { wording.close }
}

/// Sends the rest. Returning before the last piece cuts the answer.
async fn feed(mut walk: LinkStream, wording: &'static ListFormat, sender: Sender<Piece>) {
    loop {
        // Before reading: for a client that does not read, nobody else shall.
        let Ok(place) = sender.reserve().await else { return };
        let read = tokio::select! {
            read = walk.next() => read,
            () = sender.closed() => return,
        };
        let (links, goes_on) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "a list was cut, since its rest could not be read");
                return;
            }
        };
        let mut text = Vec::new();
        // Behind others: a batch that is not the last holds some.
        for link in &links {
            text.extend_from_slice(wording.between.as_bytes());
            text.extend_from_slice(&(wording.item)(link));
        }
        if !goes_on {
            text.extend_from_slice(close(&walk, wording).as_bytes());
        }
        place.send(Piece { bytes: text.into(), is_last: !goes_on });
        if !goes_on {
            return;
        }
    }
}

/// Returns what this version of HTTP can carry: a list with its length, once it is complete. Room for all
/// of it was acquired with the request.
pub(super) async fn hold_for(version: Version, payload: Payload) -> Result<Payload, ApiError> {
    match payload.content {
        content @ Content::Pieces(_) if version < Version::HTTP_11 => {
            let content = hold_at_most(content, HELD_MAX).await?;
            Ok(Payload { content, ..payload })
        }
        content => Ok(Payload { content, ..payload }),
    }
}

async fn hold_at_most(mut content: Content, max: usize) -> Result<Content, ApiError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = content.frame().await {
        // Why it was cut is in the log.
        let Ok(bytes) = piece.map_err(|_| ServerError::NotReady)?.into_data() else { continue };
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
    async fn a_held_list_is_whole_or_refused() {
        let rows = [
            (&["ab", "cd", "e"][..], true, Ok("abcde")),
            (&["ab", "cd", "ef"][..], true, Err(ServerError::OldHttp)),
            (&["ab", "cd"][..], false, Err(ServerError::NotReady)),
            (&[][..], false, Err(ServerError::NotReady)),
        ];
        for (pieces, ends, want) in rows {
            let (sender, content) = Content::pieces();
            let sending = async {
                for (at, piece) in pieces.iter().enumerate() {
                    let piece = Piece { bytes: Bytes::from(*piece), is_last: ends && at + 1 == pieces.len() };
                    let _ = sender.send(piece).await;
                }
                drop(sender);
            };
            let ((), held) = tokio::join!(sending, hold_at_most(content, 5));
            let got = match held {
                Ok(content) => {
                    let length = content.size_hint().exact();
                    let bytes = content.collect().await.expect("in memory").to_bytes();
                    assert_eq!(length, Some(bytes.len() as u64), "{pieces:?}");
                    Ok(bytes)
                }
                Err(ApiError::Server(trouble)) => Err(trouble),
                Err(other) => panic!("{pieces:?}: {other:?}"),
            };
            assert_eq!(got, want.map(Bytes::from), "{pieces:?}");
        }
    }
}
