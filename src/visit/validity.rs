//! Whether a link is live, and the response if it is not.
//!
//! Unknown, switched off and not yet valid links get the same response, 404, so that it does not reveal which
//! of them exist. Expired and used-up links get 410, since they were public. A link or its domain may
//! redirect both elsewhere. The status is computed on read: an edit of the date or the limit revives the link
//! at once.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::home::home_of;
use super::pages;
use super::rule::{Evaluation, Rule, Verdict};
use super::{denied, redirect};
use crate::core::Links;
use crate::model::destination::Destination;
use crate::model::domain::Domain;
use crate::model::link::{LinkStatus, Options};

pub(super) const IS_ACTIVE: Rule = Rule {
    name: "isActive",
    // By the status and not by the option: `Options::status` orders the reasons of a link that has several.
    verdict: |evaluation| (status(evaluation) == LinkStatus::Disabled).then_some(Verdict::NotFound),
    why: |evaluation| {
        format!("the link is switched {}", if options(evaluation).is_active { "on" } else { "off" })
    },
};

pub(super) const VALID_SINCE: Rule = Rule {
    name: "validSince",
    verdict: |evaluation| (status(evaluation) == LinkStatus::NotYetValid).then_some(Verdict::NotFound),
    why: |evaluation| match options(evaluation).valid_since {
        None => "the link is valid from its creation on".to_owned(),
        Some(since) if evaluation.now < since => format!("the link is not valid before {since}"),
        Some(since) => format!("the link is valid since {since}"),
    },
};

pub(super) const EXPIRES_AT: Rule = Rule {
    name: "expiresAt",
    verdict: |evaluation| (status(evaluation) == LinkStatus::Expired).then_some(Verdict::Gone),
    why: |evaluation| match options(evaluation).expires_at {
        None => "the link does not expire".to_owned(),
        Some(end) if evaluation.now >= end => format!("the link expired at {end}"),
        Some(end) => format!("the link is valid until {end}"),
    },
};

pub(super) const MAX_CLICKS: Rule = Rule {
    name: "maxClicks",
    verdict: |evaluation| (status(evaluation) == LinkStatus::UsedUp).then_some(Verdict::Gone),
    why: |evaluation| match options(evaluation).max_clicks {
        None => "the link has no limit".to_owned(),
        Some(max) if evaluation.clicks >= max => format!("all {max} clicks are used up"),
        Some(max) => format!("{} of {max} clicks are used", evaluation.clicks),
    },
};

fn options<'a>(evaluation: &Evaluation<'a>) -> &'a Options {
    &evaluation.conditional.link.options
}

fn status(evaluation: &Evaluation<'_>) -> LinkStatus {
    options(evaluation).status(evaluation.now, evaluation.clicks)
}

/// Marks the response to a code without a link, also if the domain redirects its visitor to a fallback.
/// `crate::http::miss_limit` counts these responses for each address.
#[derive(Clone, Copy, Debug)]
pub struct LinkNotFound;

/// Returns the response for a link that does not exist. A fallback on this server is not followed, since its
/// visitor could be redirected in a loop: a host of this server may get the fallback's name later.
pub(super) fn not_found(domain: &Domain, links: &Links) -> Response<Full<Bytes>> {
    let mut response = match &domain.not_found_url {
        Some(url) if !links.is_here(url) => denied::elsewhere(url, domain, links),
        _ => error_page(StatusCode::NOT_FOUND, domain, links),
    };
    // An extension and not the status: a redirect to a fallback counts as well.
    response.extensions_mut().insert(LinkNotFound);
    response
}

/// Returns the response for a link that has expired or is used up.
pub(super) fn gone(options: &Options, domain: &Domain, links: &Links) -> Response<Full<Bytes>> {
    match expired_url(options, domain, links) {
        Some(url) => redirect::hiding(options, denied::elsewhere(url, domain, links)),
        None => error_page(StatusCode::GONE, domain, links),
    }
}

/// Returns the page for an error status of a link, with the domain and the way to its home page.
pub(super) fn error_page(status: StatusCode, domain: &Domain, links: &Links) -> Response<Full<Bytes>> {
    pages::error_at(status, &home_of(domain, links))
}

/// Returns the fallback of an expired link: its own, or else its domain's, which is not followed to this
/// server.
pub(super) fn expired_url<'a>(
    options: &'a Options,
    domain: &'a Domain,
    links: &Links,
) -> Option<&'a Destination> {
    let fallback = || domain.expired_url.as_ref().filter(|url| !links.is_here(url));
    // The link's own URL may be on this server: the loop checks follow it.
    options.expired_url.as_ref().or_else(fallback)
}
