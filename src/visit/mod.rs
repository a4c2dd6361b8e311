//! What a click does, in order: find the domain, find the code, find the link, decide, answer.
//!
//! A plain redirect is answered inside the cache look-up: one hash, one probe, one atomic add,
//! no allocation. Everything else takes the other arm, where each rule is a file of its own:
//! [`gate`] (does the link stand?), [`destination`] (where does it lead?), [`redirect`] (the
//! answer's head), [`counting`] (is it a click?), [`pages`].

pub mod agents;
pub mod counting;
mod destination;
mod gate;
pub mod pages;
pub mod redirect;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Response, StatusCode};

use self::destination::Brought;
use crate::cache::Lookup;
use crate::cache::entry::{Action, Entry};
use crate::links::{Error, Links, Resolved};
use crate::model::domain::{Domain, DomainNumber};
use crate::model::short_code::canonical;

/// A visitor's request, its target and Host already checked.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// GET or HEAD.
    pub method: &'a Method,
    /// The host asked for: lower case, without port or trailing dot. IP literals as written.
    pub host: &'a str,
    /// The path as sent, beginning with a slash.
    pub path: &'a str,
    /// The query as sent.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// How a visit is answered.
pub enum Answer {
    /// From memory.
    Now(Response<Full<Bytes>>),
    /// The link has to be read from the table first.
    Later(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>),
}

/// Answers visits. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Visitor {
    links: Links,
}

impl Visitor {
    /// Answers visits to these links.
    pub fn new(links: Links) -> Visitor {
        Visitor { links }
    }

    /// Answers one visit.
    pub fn answer(&self, visit: &Visit<'_>) -> Answer {
        let directory = self.links.directory();
        let Some(domain) = self.domain(&directory, visit.host) else {
            // Without even the default domain the store has not been read yet.
            let ready = directory.domain(DomainNumber::DEFAULT).is_some();
            return Answer::Now(if ready {
                pages::error(StatusCode::NOT_FOUND)
            } else {
                pages::unavailable()
            });
        };
        let path = visit.path.strip_prefix('/').unwrap_or(visit.path);
        if path.is_empty() {
            return Answer::Now(root(domain));
        }
        // One slash behind the code is the same link, as people and mail programs append it.
        let (segment, rest) = path.split_once('/').unwrap_or((path, ""));
        let Some(code) = canonical(segment).map(|code| domain.fold(code)) else {
            return Answer::Now(gate::not_found(domain));
        };
        let counts = counting::is_click(visit.method, visit.headers);
        let found = self.links.cache().get(domain.number, &code, |entry| match &entry.action {
            Action::Redirect { status, location } if rest.is_empty() => {
                if counts {
                    self.links.cache().counters().count(&entry.counter);
                }
                Ok(redirect::plain(*status, location))
            }
            Action::Redirect { .. } | Action::Decide(_) => Err(Arc::clone(entry)),
        });
        let brought = Brought { rest, query: visit.query };
        match found {
            Lookup::Hit(Ok(response)) => Answer::Now(response),
            Lookup::Hit(Err(entry)) => Answer::Now(self.decide(&entry, domain, counts, brought)),
            Lookup::Absent => Answer::Now(gate::not_found(domain)),
            Lookup::Miss => {
                let (rest, query) = (rest.to_owned(), visit.query.map(str::to_owned));
                let (visitor, domain, code) = (self.clone(), Arc::clone(domain), code.into_owned());
                Answer::Later(Box::pin(async move {
                    let brought = Brought { rest: &rest, query: query.as_deref() };
                    visitor.load(domain, code, counts, brought).await
                }))
            }
        }
    }

    /// The domain that a host name leads to: an address or `localhost` is the default domain, so
    /// that a fresh install answers however it is reached.
    fn domain<'a>(
        &self,
        directory: &'a crate::links::directory::Directory,
        host: &str,
    ) -> Option<&'a Arc<Domain>> {
        let is_default = host == self.links.site().host()
            || host == "localhost"
            || host.starts_with('[')
            || host.parse::<std::net::Ipv4Addr>().is_ok();
        if is_default { directory.domain(DomainNumber::DEFAULT) } else { directory.domain_named(host) }
    }

    async fn load(
        &self,
        domain: Arc<Domain>,
        code: String,
        counts: bool,
        brought: Brought<'_>,
    ) -> Response<Full<Bytes>> {
        match self.links.load(domain.number, &code).await {
            Ok(Resolved::Found(entry)) => self.decide(&entry, &domain, counts, brought),
            Ok(Resolved::Absent) => gate::not_found(&domain),
            Err(Error::Table(error)) => {
                tracing::debug!(%error, "a visit could not be answered");
                pages::unavailable()
            }
            Err(error) => {
                tracing::warn!(%error, "a visit could not be answered");
                pages::unavailable()
            }
        }
    }

    /// The rules of a link that is not in the cache yet, or not plain.
    fn decide(
        &self,
        entry: &Arc<Entry>,
        domain: &Domain,
        counts: bool,
        brought: Brought<'_>,
    ) -> Response<Full<Bytes>> {
        let counters = self.links.cache().counters();
        let link = match &entry.action {
            Action::Redirect { .. } if !brought.rest.is_empty() => return gate::not_found(domain),
            Action::Redirect { status, location } => {
                if counts {
                    counters.count(&entry.counter);
                }
                return redirect::plain(*status, location);
            }
            Action::Decide(link) => link,
        };
        let now = self.links.clock().now();
        if let Some(refusal) = gate::check(&link.options, domain, now, entry.counter.total()) {
            return refusal;
        }
        let Some(location) = destination::location(&link.options, brought) else {
            return gate::not_found(domain);
        };
        if counts {
            counters.count(&entry.counter);
        }
        redirect::of(&link.options, location, now)
    }
}

fn root(domain: &Domain) -> Response<Full<Bytes>> {
    match &domain.root_url {
        Some(url) => redirect::elsewhere(url),
        None => gate::not_found(domain),
    }
}
