//! A list of any length as the body of an answer. The next links are read when the last ones are
//! on their way to the client, so a client that stops reading holds one batch and no thread, and
//! one that hangs up ends the reading.

use bytes::Bytes;
use tokio::sync::mpsc::Sender;

use crate::http::api::dialect::Wording;
use crate::http::body::{Content, Piece};
use crate::links::{Error, Walk};

/// Reads the first links, so that a store that cannot be read is said by the status, and leaves
/// the rest to a task. A list that ends with them is a body like any other.
pub(super) async fn begin(mut walk: Walk, wording: &'static Wording) -> Result<Content, Error> {
    let (links, goes_on) = walk.next().await?;
    let mut text = wording.open.as_bytes().to_vec();
    for (at, link) in links.iter().enumerate() {
        if at > 0 {
            text.extend_from_slice(wording.between.as_bytes());
        }
        text.extend_from_slice(&(wording.item)(link));
    }
    if !goes_on {
        text.extend_from_slice(wording.close.as_bytes());
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

/// Sends the rest. Returning before the last piece cuts the answer.
async fn feed(mut walk: Walk, wording: &'static Wording, sender: Sender<Piece>) {
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
            text.extend_from_slice(wording.close.as_bytes());
        }
        place.send(Piece { bytes: text.into(), is_last: !goes_on });
        if !goes_on {
            return;
        }
    }
}
