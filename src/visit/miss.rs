//! [`Miss`]: a visit that found no link, for owners who look for broken links.
//!
//! Only a GET is one, and no prefetch. It belongs to the workspace of its domain; the domain that all workspaces may use
//! belongs to the first one, which is the operator's.

use std::borrow::Cow;
use std::net::IpAddr;

use hyper::header::HeaderValue;

use super::intent::{Head, Intent, is_private};
use super::request::Visit;
use super::visitor::Visitor;
use crate::agents::UserAgent;
use crate::analytics::capture::{Facts, PRIVATE};
use crate::analytics::country::ProxyCountry;
use crate::core::CONTACT_PATH;
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// A visit that found no link.
#[derive(Clone, Debug)]
pub struct Miss<'a> {
    domain: DomainNumber,
    workspace: WorkspaceNumber,
    path: Cow<'a, str>,
    referrer: Option<HeaderValue>,
    agent: UserAgent,
    address: IpAddr,
    country: ProxyCountry,
    is_private: bool,
}

impl Miss<'_> {
    /// Returns the miss without a loan of the request, for a visit that waits.
    pub fn into_owned(self) -> Miss<'static> {
        Miss { path: Cow::Owned(self.path.into_owned()), ..self }
    }
}

impl Visitor {
    /// Returns what is kept of a visit if it finds no link. Returns `None` if nothing is kept of it: without details or
    /// statistics of the workspace, at a host that is no domain, and for other requests than those of people and bots who open an address.
    pub fn miss<'a>(&self, visit: &Visit<'a>) -> Option<Miss<'a>> {
        let capture = self.links.capture()?;
        let head = Head::read(visit.method, visit.headers, true);
        if head.intent != Intent::Follow {
            return None;
        }
        let directory = self.links.directory();
        let domain = self.domain(&directory, visit.host)?;
        let workspace = domain.workspace.unwrap_or(WorkspaceNumber(0));
        if !directory.has_statistics(workspace) {
            return None;
        }
        let is_private = capture.settings().respects_gpc && is_private(visit.headers);
        // The rest of this path is the token of a person.
        let path = if visit.path.starts_with(CONTACT_PATH) { CONTACT_PATH } else { visit.path };
        Some(Miss {
            domain: domain.number,
            workspace,
            path: Cow::Borrowed(path),
            referrer: head.referrer.filter(|_| !is_private).cloned(),
            agent: self.agent(head.agent),
            address: visit.address(),
            country: visit.country(),
            is_private,
        })
    }

    /// Captures a visit that found no link.
    pub fn note_miss(&self, miss: &Miss<'_>) {
        let Some(capture) = self.links.capture() else { return };
        let facts = Facts {
            link: Id::from_bits(miss.domain.0.into()),
            workspace: miss.workspace,
            address: miss.address,
            agent: miss.agent.bits(),
            agent_hash: miss.agent.hash,
            trigger: if miss.is_private { PRIVATE } else { 0 },
            country: miss.country,
            language: None,
            referrer: miss.referrer.as_ref().map(HeaderValue::as_bytes),
            query: None,
        };
        capture.push_miss(&facts, &miss.path);
    }
}
