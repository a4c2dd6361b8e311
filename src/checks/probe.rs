//! [`Prober`]: checks one URL. HEAD first, and GET if HEAD is refused; redirects are followed, each through the filter of
//! addresses and at the pace of its host.

use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

use super::exchange::{CheckAnswer, NoAnswer, RedirectTarget, ask};
use super::pace::Pace;
use super::state::CheckCounts;
use crate::core::Links;
use crate::model::health::CheckFinding;
use crate::model::tenant::Tenant;
use crate::outbound::connect::Connector;

/// Redirects that are followed, half of what browsers follow. Past it: the destination does not work.
const REDIRECTS_MAX: usize = 10;

/// Longest wait for the turn at a host, while the check occupies a slot. Past it: the check is repeated later.
const TURN_WAIT: Duration = Duration::from_secs(30);

/// What the check of one URL has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probed {
    pub(super) finding: CheckFinding,
    pub(super) retry_after: Option<Duration>,
}

/// Sends the requests of all checks.
pub(super) struct Prober {
    pub(super) links: Links,
    pub(super) connector: Connector,
    pub(super) pace: Mutex<Pace>,
    pub(super) agent: HeaderValue,
    pub(super) timeout: Duration,
    pub(super) counts: CheckCounts,
}

impl Prober {
    /// Checks a URL. Returns `None` if nothing was found because this server, or the host, has too much to do.
    pub(super) async fn probe(&self, url: &Url, tenant: &Tenant) -> Option<Probed> {
        let mut url = url.clone();
        // One request more than redirects, for the page behind the last one.
        for _ in 0..=REDIRECTS_MAX {
            let answer = match self.answer(&url, tenant).await {
                Ok(answer) => answer,
                Err(NoAnswer::Busy) => return None,
                Err(NoAnswer::Found(finding)) => return Some(Probed { finding, retry_after: None }),
            };
            match answer.location {
                None => {
                    let finding = CheckFinding::Answered(answer.status);
                    return Some(Probed { finding, retry_after: answer.retry_after });
                }
                Some(RedirectTarget::Bad) => {
                    return Some(Probed { finding: CheckFinding::BadRedirect, retry_after: None });
                }
                // An app, or this server, which knows what its own links do: the redirect itself is the end.
                Some(RedirectTarget::Url(to)) if !is_web(&to) || self.links.is_own_host(&to) => {
                    return Some(Probed {
                        finding: CheckFinding::Answered(answer.status),
                        retry_after: None,
                    });
                }
                Some(RedirectTarget::Url(to)) => url = to,
            }
        }
        Some(Probed { finding: CheckFinding::RedirectLoop, retry_after: None })
    }

    /// Returns whether a host may have a request now.
    pub(super) fn is_free(&self, url: &Url) -> bool {
        self.pace.lock().is_free(host_of(url), Instant::now())
    }

    async fn answer(&self, url: &Url, tenant: &Tenant) -> Result<CheckAnswer, NoAnswer> {
        let head = self.ask(Method::HEAD, url, tenant).await;
        match &head {
            // A redirect or a page. A server that asks for a delay gets no second request.
            Ok(answer) if matches!(answer.status, 200..=399) || answer.retry_after.is_some() => head,
            // Some servers refuse HEAD with a status of their own, or with none.
            Ok(_) | Err(NoAnswer::Found(CheckFinding::TimedOut | CheckFinding::Malformed)) => {
                self.ask(Method::GET, url, tenant).await
            }
            // No connection, or none that may be: GET would find the same.
            Err(_) => head,
        }
    }

    async fn ask(&self, method: Method, url: &Url, tenant: &Tenant) -> Result<CheckAnswer, NoAnswer> {
        let host = host_of(url);
        // The lock is not held over the wait: other hosts have turns of their own.
        let now = Instant::now();
        let turn = self.pace.lock().reserve(host, now, now + TURN_WAIT).ok_or(NoAnswer::Busy)?;
        sleep_until(turn).await;
        // Counted before it ends: a request that hangs was sent as well.
        self.counts.sent();
        let asked = ask(&self.connector, method, url, &self.agent, tenant);
        let answer =
            timeout(self.timeout, asked).await.unwrap_or(Err(NoAnswer::Found(CheckFinding::TimedOut)));
        // For all links to this host, also those of other workspaces.
        if let Ok(CheckAnswer { retry_after: Some(delay), .. }) = answer {
            self.pace.lock().put_off(host, Instant::now(), delay);
        }
        answer
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// Returns the name of a host, by which requests are counted: without its port and the dot at its end.
fn host_of(url: &Url) -> &str {
    // A web URL has a host; without one it cannot be connected to.
    let host = url.host_str().unwrap_or("");
    host.strip_suffix('.').unwrap_or(host)
}
