//! The visits of the demo: who comes when, and the client that sends them.

use std::hash::Hasher;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HOST, REFERER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use siphasher::sip::SipHasher13;
use tokio::net::TcpStream;

use super::content::LINKS;
use crate::cli::error::CommandError;

/// Days that have visits, today included.
pub(super) const DAYS: i64 = 30;

pub(super) const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// The header with the country of a visitor.
pub(super) const COUNTRY: &str = "X-Demo-Country";

/// User-Agents, with their shares.
const AGENTS: [(&str, u64); 5] = [
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        34,
    ),
    (
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
        28,
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        20,
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
        12,
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", 6),
];

/// Countries and languages, with their shares.
const PLACES: [(&str, &str, u64); 8] = [
    ("DE", "de-DE,de;q=0.9,en;q=0.5", 38),
    ("AT", "de-AT,de;q=0.9", 14),
    ("CH", "de-CH,fr;q=0.7", 11),
    ("FR", "fr-FR,fr;q=0.9", 9),
    ("US", "en-US,en;q=0.9", 9),
    ("GB", "en-GB,en;q=0.9", 8),
    ("NL", "nl-NL,nl;q=0.9,en;q=0.6", 6),
    ("IT", "it-IT,it;q=0.9", 5),
];

/// Pages that visitors come from, with their shares.
const REFERRERS: [(&str, u64); 6] = [
    ("", 46),
    ("https://www.instagram.com/", 22),
    ("https://www.google.com/", 14),
    ("https://t.co/", 7),
    ("https://www.linkedin.com/", 6),
    ("https://news.ycombinator.com/", 5),
];

/// Shares of the hours of a day, from midnight.
const HOURS: [u64; 24] =
    [2, 1, 1, 1, 1, 2, 5, 9, 12, 13, 13, 14, 17, 15, 13, 13, 14, 16, 18, 20, 19, 15, 9, 5];

/// A visit.
pub(super) struct DemoVisit {
    /// Milliseconds since the beginning of the demo.
    pub(super) at: i64,
    path: String,
    agent: &'static str,
    country: &'static str,
    language: &'static str,
    referrer: &'static str,
    address: String,
}

/// Returns this number of visits, the first first: the same ones in each demo.
pub(super) fn month(all: u32) -> Vec<DemoVisit> {
    // By time, since the clock of a server never goes back.
    let mut visits: Vec<_> = (0..all).map(DemoVisit::of).collect();
    visits.sort_by_key(|visit| visit.at);
    visits
}

impl DemoVisit {
    fn of(number: u32) -> DemoVisit {
        // Salted, so that the properties of a visit do not depend on each other.
        let roll = |salt: u64| {
            let mut hasher = SipHasher13::new_with_keys(salt, 0);
            hasher.write_u32(number);
            hasher.finish()
        };
        let below =
            |salt: u64, end: u64| i64::try_from(roll(salt) % end).expect("less than the end of a month");
        let any_day = |salt: u64| below(salt, DAYS.unsigned_abs());
        // A third of the visits prefers later days, so that the shop does a little better each day.
        let day = if below(10, 3) == 0 { any_day(11).max(any_day(12)) } else { any_day(11) };
        let hour = i64::try_from(chosen(roll(1), HOURS.iter().copied())).expect("an hour");
        let at = day * DAY_MILLIS + hour * 3_600_000 + below(2, 3_600_000);
        let link = &LINKS[chosen(roll(3), LINKS.iter().map(|link| link.weight))];
        let (country, language, _) = PLACES[chosen(roll(4), PLACES.iter().map(|(_, _, share)| *share))];
        // One visitor in five has scanned a code.
        let by_code = roll(5) % 5 == 0;
        // Some addresses are wrong: typed from paper.
        let path = if roll(6) % 60 == 0 { "/meny".to_owned() } else { format!("/{}", link.code) };
        DemoVisit {
            at,
            path: if by_code { format!("{path}?qr=1") } else { path },
            agent: AGENTS[chosen(roll(7), AGENTS.iter().map(|(_, share)| *share))].0,
            country,
            language,
            referrer: REFERRERS[chosen(roll(8), REFERRERS.iter().map(|(_, share)| *share))].0,
            // A network for documentation (RFC 5737), of some hundred people.
            address: format!("203.0.113.{}", roll(9) % 250),
        }
    }
}

/// Returns the place of a roll among shares.
fn chosen(roll: u64, shares: impl Iterator<Item = u64> + Clone) -> usize {
    let mut rest = roll % shares.clone().sum::<u64>();
    for (at, share) in shares.enumerate() {
        if rest < share {
            return at;
        }
        rest -= share;
    }
    0
}

/// A connection to the server of the demo.
pub(super) struct DemoClient {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    host: String,
    key: String,
}

impl DemoClient {
    /// Connects.
    pub(super) async fn connect(address: SocketAddr, key: &str) -> Result<DemoClient, CommandError> {
        let sender = connected(address).await?;
        Ok(DemoClient {
            address,
            sender,
            host: format!("localhost:{}", address.port()),
            key: format!("Bearer {key}"),
        })
    }

    /// Sends a request to the API.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, CommandError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.key)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))
            .expect("the parts are constants and a key");
        let body = self.ask(request).await?.into_body();
        let bytes = body.collect().await.map_err(failed)?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(CommandError::Failed(format!("the demo could not be created: {error}"))),
        }
    }

    /// Sends a visit.
    pub(super) async fn visit(&mut self, visit: &DemoVisit) -> Result<(), CommandError> {
        let mut request = Request::builder()
            .uri(&visit.path)
            .header(HOST, &self.host)
            .header(USER_AGENT, visit.agent)
            .header(ACCEPT_LANGUAGE, visit.language)
            .header(COUNTRY, visit.country)
            .header("X-Forwarded-For", &visit.address);
        if !visit.referrer.is_empty() {
            request = request.header(REFERER, visit.referrer);
        }
        let request = request.body(Full::default()).expect("the parts are constants");
        let answer = self.ask(request).await?;
        // Read whole, so that the connection can be used again.
        answer.into_body().collect().await.map_err(failed)?;
        Ok(())
    }

    async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<hyper::body::Incoming>, CommandError> {
        // One request at a time: the order of visits is that of their times.
        if self.sender.ready().await.is_err() {
            // The server ends a connection after some thousand requests.
            self.sender = connected(self.address).await?;
        }
        self.sender.send_request(request).await.map_err(failed)
    }
}

async fn connected(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, CommandError> {
    let stream = TcpStream::connect(address).await.map_err(CommandError::from)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with the server.
    tokio::spawn(connection);
    Ok(sender)
}

#[expect(clippy::needless_pass_by_value, reason = "called by `map_err`")]
fn failed(error: hyper::Error) -> CommandError {
    CommandError::Failed(format!("the server of the demo does not answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_fill_the_month() {
        let visits = month(2_000);
        let days: std::collections::BTreeSet<_> = visits.iter().map(|visit| visit.at / DAY_MILLIS).collect();
        assert_eq!(days.len(), usize::try_from(DAYS).expect("small"));
        assert!(visits.iter().all(|visit| visit.at >= 0 && visit.at < DAYS * DAY_MILLIS));
        for link in LINKS {
            let path = format!("/{}", link.code);
            assert!(visits.iter().any(|visit| visit.path.starts_with(&path)), "{path}");
        }
    }
}
