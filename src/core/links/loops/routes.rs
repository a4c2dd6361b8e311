//! [`Routes`]: where a destination leads within this server, and the edges of links and domains.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use url::Url;

use crate::core::site::Site;
use crate::core::tenants::contacts::CONTACT_PATH;
use crate::core::tenants::directory::Directory;
use crate::model::Invalid;
use crate::model::destination::{Destination, ExtraSchemes, LinkType};
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::Id;
use crate::model::link::{Alias, Options};
use crate::model::short_code::{
    ShortCode, canonical, first_segment, is_punctuation, is_reserved, without_punctuation,
};
use crate::model::snapshot::share_in;
use crate::model::workspace::WorkspaceNumber;

/// Most links and roots of this server in a chain that a written destination may lead through. Browsers
/// follow some 20 redirects in all, and the destination may add its own, so 8 leave more than half. Past it,
/// the write is rejected.
pub(crate) const HOPS_MAX: usize = 8;

/// A place of this server that may redirect a visitor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// A short code, with or without a link.
    #[allow(missing_docs)] // The other field is the domain.
    Link {
        domain: DomainNumber,
        /// The code as the domain stores codes.
        code: ShortCode,
        /// The path after the code, without the slash between. A link may forward it.
        rest: Box<str>,
    },
    /// The address of one contact for a link: the signed part of its path.
    Contact(Box<str>),
    /// The `/` of a domain.
    Root(DomainNumber),
}

/// How a visitor gets from a place to the destination of an [`Edge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// By a click on the link. A path after the code is appended, or the link is not found.
    Click {
        /// Whether the path is appended.
        forwards_path: bool,
    },
    /// By a click on the link after it has expired or reached its limit.
    Expired,
    /// By the `/` of the domain.
    Root,
    /// By an unknown or expired code of the domain. Visits never follow it to this server.
    Fallback,
}

/// A place that a link or a domain may lead to.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The field that contains the destination.
    pub(crate) field: &'static str,
    /// The place within the field: see [`Invalid::at`].
    pub(crate) at: Box<str>,
    pub(crate) to: Destination,
    pub(crate) via: Via,
}

/// Equal if both lead to the same place.
impl PartialEq for Edge {
    fn eq(&self, other: &Edge) -> bool {
        // Without `at`: rules in another order lead nowhere else, and such a change needs no check.
        (self.field, &self.to, self.via) == (other.field, &other.to, other.via)
    }
}

impl Edge {
    /// Returns the error of the destination of this edge.
    pub(crate) fn invalid(&self, why: impl Into<String>) -> Invalid {
        Invalid::new(self.field, why).below(&self.at)
    }

    /// Returns the destination of this edge for a visitor whose path has `rest` after the code.
    pub(super) fn behind(&self, rest: &str) -> Option<Destination> {
        match self.via {
            Via::Click { .. } if rest.is_empty() => Some(self.to.clone()),
            Via::Click { forwards_path: false } if is_punctuation(rest) => Some(self.to.clone()),
            Via::Click { forwards_path: true } => self.to.with_path_behind(rest),
            // An expired link redirects whatever follows its code, and a root has no code.
            Via::Expired | Via::Root => Some(self.to.clone()),
            // Without forwarding, a path behind the code is not found. A fallback is never followed here.
            Via::Click { forwards_path: false } | Via::Fallback => None,
        }
    }
}

/// The object that has the edges.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// A link of this workspace.
    Link(WorkspaceNumber, &'a Options),
    Domain(&'a Domain),
}

/// Links that the same command is about to write, each with all its edges. If the table has a link of the
/// same code, the edges of both count, since the row may still fail.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Siblings {
    pub(super) links: HashMap<(DomainNumber, ShortCode), Vec<Edge>>,
    /// Links that keep their id from another store, which contact links may name.
    pub(super) ids: HashMap<Id, (DomainNumber, ShortCode)>,
    /// Aliases, with the address of their link.
    pub(super) aliases: HashMap<(DomainNumber, ShortCode), (DomainNumber, ShortCode)>,
}

impl Siblings {
    pub(in crate::core) fn add(&mut self, domain: DomainNumber, code: ShortCode, edges: Vec<Edge>) {
        self.links.entry((domain, code)).or_default().extend(edges);
    }

    pub(in crate::core) fn name(&mut self, id: Id, domain: DomainNumber, code: ShortCode) {
        self.ids.insert(id, (domain, code));
    }

    pub(in crate::core) fn alias(&mut self, alias: &Alias, domain: DomainNumber, code: ShortCode) {
        self.aliases.insert((alias.domain, alias.code.clone()), (domain, code));
    }

    pub(in crate::core) fn len(&self) -> usize {
        self.links.len().max(self.ids.len()).max(self.aliases.len())
    }

    pub(in crate::core) fn clear(&mut self) {
        self.links.clear();
        self.ids.clear();
        self.aliases.clear();
    }
}

/// The values of a workspace's placeholders.
pub(super) type Values = BTreeMap<Box<str>, Box<str>>;

/// Everything that decides where a destination leads within this server, at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routes<'a> {
    pub(crate) site: &'a Site,
    pub(crate) directory: &'a Directory,
    pub(crate) schemes: &'a ExtraSchemes,
    /// A domain that is about to be written. It replaces the one in the directory.
    unwritten: Option<&'a Domain>,
    /// Values that a workspace is about to get.
    values: Option<(WorkspaceNumber, &'a Values)>,
}

impl<'a> Routes<'a> {
    pub(crate) fn new(site: &'a Site, directory: &'a Directory, schemes: &'a ExtraSchemes) -> Routes<'a> {
        Routes { site, directory, schemes, unwritten: None, values: None }
    }

    /// Returns these routes with a domain that is about to be written.
    pub(in crate::core) fn with_domain(self, domain: &'a Domain) -> Routes<'a> {
        Routes { unwritten: Some(domain), ..self }
    }

    /// Returns these routes with custom values that a workspace is about to get.
    pub(super) fn with_values(self, workspace: WorkspaceNumber, values: &'a Values) -> Routes<'a> {
        Routes { values: Some((workspace, values)), ..self }
    }

    /// Returns every place that `origin` may lead a visitor to, now or later. It does not matter whether a
    /// link has expired or can expire. A destination whose placeholders have no values leads nowhere until
    /// the workspace gets the values, and that change is checked as well.
    pub(crate) fn edges(&self, origin: Origin<'_>) -> Vec<Edge> {
        let mut edges = Vec::with_capacity(2);
        let mut add = |field, to, via| {
            edges.extend(Option::map(to, |to| Edge { field, at: Box::default(), to, via }));
        };
        match origin {
            Origin::Link(workspace, options) => {
                // All fields are named, so that a new field does not compile before it is decided whether it
                // has a destination.
                let Options {
                    destination,
                    utm,
                    expired_url,
                    forward_path,
                    link_type,
                    rules,
                    status: _,
                    title: _,
                    description: _,
                    image: _,
                    is_active: _,
                    cloaked: _,
                    password: _,
                    valid_since: _,
                    expires_at: _,
                    max_clicks: _,
                    forward_parameters: _,
                    block_bots: _,
                    count_bots: _,
                    skip_social_crawler_tracking: _,
                    confirm: _,
                    hide_referrer: _,
                    count_pixel: _,
                    statistics: _,
                    meta_pixel_id: _,
                    google_tag_id: _,
                    gtm_container_id: _,
                    head_tags: _,
                    body_tags: _,
                    webhook_urls: _,
                    tags: _,
                    campaign: _,
                    notes: _,
                } = options;
                let target = |to| self.filled(workspace, to, *link_type).map(|to| to.with_utm(utm));
                let via = Via::Click { forwards_path: *forward_path };
                add("url", target(destination), via);
                add("expiredUrl", expired_url.clone(), Via::Expired);
                let urls =
                    rules.iter().flat_map(|rules| rules.urls().enumerate().map(move |url| (rules, url)));
                for (rules, (at, to)) in urls {
                    let path = || rules.path_of_url(at).into();
                    edges.extend(target(to).map(|to| Edge { field: "rules", at: path(), to, via }));
                }
            }
            Origin::Domain(domain) => {
                let Domain {
                    not_found_url,
                    expired_url,
                    root_url,
                    number: _,
                    id: _,
                    name: _,
                    workspace: _,
                    base_url: _,
                    case_sensitive: _,
                    // A page, which redirects nowhere.
                    show_destination: _,
                    // Pictures and files.
                    public_qr: _,
                    qr: _,
                    apple_apps: _,
                    android_apps: _,
                    verified_at: _,
                    created_at: _,
                } = domain;
                add("rootUrl", root_url.clone(), Via::Root);
                add("notFoundUrl", not_found_url.clone(), Via::Fallback);
                add("expiredUrl", expired_url.clone(), Via::Fallback);
            }
        }
        edges
    }

    fn filled(
        &self,
        workspace: WorkspaceNumber,
        destination: &Destination,
        kind: LinkType,
    ) -> Option<Destination> {
        if !destination.is_fillable() {
            return Some(destination.clone());
        }
        let coming = self.values.filter(|(number, _)| *number == workspace).map(|(_, values)| values);
        let values = coming.or_else(|| Some(&self.directory.workspace(workspace)?.record.custom_values))?;
        destination.filled(values, kind, self.schemes).ok()
    }

    /// Returns the domain of this server that a destination leads to, with the parsed destination. Returns
    /// `None` if it leads elsewhere.
    fn domain_of(&self, destination: &Destination) -> Option<(&'a Domain, Url)> {
        let named = |host: &str| {
            let is_it = |domain: &&'a Domain| domain.name.as_ref().is_some_and(|name| name.as_str() == host);
            // Before the directory, which still has the old record.
            let unwritten = self.unwritten.filter(is_it);
            unwritten.or_else(|| self.directory.domain_named(host).map(|domain| &**domain))
        };
        if let Some(host) = destination.plain_host()
            && !self.site.may_be_reached_by(host)
            && named(host).is_none()
        {
            return None;
        }
        // Other schemes reach no web server.
        let url = destination.to_url().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let domain = if self.site.is_reached_by(&url) {
            self.directory.domain(DomainNumber::DEFAULT).map(|domain| &**domain)
        } else {
            named(url.host_str()?.trim_end_matches('.'))
        }?;
        Some((domain, url))
    }

    /// Returns whether a destination leads to this server, to a short link or not.
    pub(crate) fn is_here(&self, destination: &Destination) -> bool {
        self.domain_of(destination).is_some()
    }

    /// Returns the place of this server that a destination leads to, or `None` if no visitor can be
    /// redirected from there.
    pub(crate) fn hop(&self, destination: &Destination) -> Option<Hop> {
        let (domain, url) = self.domain_of(destination)?;
        let path = url.path();
        // Before the codes: otherwise `links` would be read as a code with a path behind it.
        if let Some(token) = path.strip_prefix(CONTACT_PATH) {
            return Some(Hop::Contact(token.into()));
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.is_empty() {
            // The page of a share takes precedence over the domain's `rootUrl`.
            let is_share = domain.number == DomainNumber::DEFAULT && share_in(url.query_pairs()).is_some();
            return (!is_share).then_some(Hop::Root(domain.number));
        }
        let (segment, rest) = first_segment(path);
        // Without a code in it, a visit looks for the code in front of the punctuation.
        let shorter = || {
            without_punctuation(segment)
                .next()
                .filter(|_| rest.is_empty() || is_punctuation(rest))
                .map(Cow::Owned)
        };
        let code = canonical(segment).or_else(shorter)?;
        // Reserved words are pages of the server and never links.
        if is_reserved(&code) {
            return None;
        }
        let code = domain.key_of(ShortCode::parse(&code).ok()?);
        Some(Hop::Link { domain: domain.number, code, rest: rest.into() })
    }

    /// Returns whether any of the edges leads to this server.
    pub(crate) fn any_leads_here(&self, edges: &[Edge]) -> bool {
        edges.iter().any(|edge| self.hop(&edge.to).is_some())
    }

    pub(super) fn root_of(&self, number: DomainNumber) -> Option<&'a Domain> {
        let unwritten = self.unwritten.filter(|domain| domain.number == number);
        unwritten.or_else(|| self.directory.domain(number).map(|domain| &**domain))
    }
}
