//! [`Miss`]: a visit that found no link, for owners who look for broken links.
//!
//! Only a GET is one, and no prefetch. It belongs to the workspace of its domain; the domain that all workspaces may use
//! belongs to the first one, which is the operator's.

use std::borrow::Cow;
use std::net::IpAddr;

use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;

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

/// Most times that a path is decoded: mail filters and other programs encode the escapes of escapes.
const DECODINGS_MAX: usize = 4;

/// Returns whether a path is a contact link in some spelling, or has the token of one: it names a person.
///
/// The router knows one spelling. Others are visits that find no link: with more slashes, with escapes, in another case,
/// or behind another path.
fn is_of_contact(path: &str) -> bool {
    if path.starts_with(CONTACT_PATH) {
        return true;
    }
    let mut text = path.to_owned();
    for _ in 0..DECODINGS_MAX {
        text = text.to_ascii_lowercase().replace('\\', "/");
        if has_token(&text) {
            return true;
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return false;
        }
        text = decoded;
    }
    // Still encoded: what it hides is not worth the risk.
    true
}

/// Returns whether a path in lower case has the first two segments of [`CONTACT_PATH`] one after the other, or a segment
/// that looks like a token: the base64 of `{"` and two dots.
fn has_token(path: &str) -> bool {
    let segments = path.split('/').filter(|segment| !matches!(*segment, "" | "."));
    let mut before = "";
    for segment in segments {
        let is_link = before == "links" && segment == "r";
        if is_link || (segment.starts_with("eyj") && segment.matches('.').count() >= 2) {
            return true;
        }
        before = segment;
    }
    false
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
        let path = if is_of_contact(visit.path) { CONTACT_PATH } else { visit.path };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_a_contact_link_is_kept() {
        let rows = [
            ("/links/r/2/X", true),
            ("//links/r/2/X", true),
            ("/link%73/r/2/X", true),
            ("/%6C%69nks%2Fr%2F2%2FX", true),
            ("/%256Cinks/r/2/X", true),
            ("/%25256Cinks/r/2/X", true),
            ("/Links/R/2/X", true),
            ("/links//r/./2/X", true),
            ("/links\\r\\2\\X", true),
            ("/old/links/r/2/X", true),
            ("/links/r", true),
            // The token alone, behind a path that was cut.
            ("/r/2/eyJhbGciOiJIUzI1NiJ9.eyJsIjoiMSJ9.c2ln", true),
            ("/eyJhbGciOiJIUzI1NiJ9%2EeyJsIjoiMSJ9%2Ec2ln", true),
            // Encoded more often than it is decoded.
            ("/%2525252525a", true),
            ("/fiar", false),
            ("/my-links/r/2", false),
            ("/links/a/r", false),
            ("/eyJust-a-word.html", false),
            ("/100%25", false),
            ("/caf%C3%A9", false),
            ("/50%", false),
            ("", false),
        ];
        for (path, want) in rows {
            assert_eq!(is_of_contact(path), want, "{path}");
        }
    }
}
