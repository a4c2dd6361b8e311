//! Loops among all links of a log, and links to denied hosts, for `doctor`. It reads the records of the directory first and then every
//! link, and uses the same edges and search as a write.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use super::fallback::{is_own_root, misdirected};
use super::routes::{Edge, Hop, Origin, Routes, Via};
use super::search::{Fault, Graph, Start, search};
use crate::core::deny_list::list::DenyList;
use crate::core::settings::Settings;
use crate::core::site::Site;
use crate::core::tenants::contacts;
use crate::core::tenants::directory::Directory;
use crate::log::{Position, Put, Record};
use crate::model::destination::ExtraSchemes;
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::link::branch::KnownPlaces;
use crate::model::short_code::ShortCode;
use crate::settings::BadSetting;
use crate::table::keys;
use crate::table::record::{Corrupt, Staged};

/// Most links leading to this server that are checked, at some 400 bytes each. Further links are only
/// counted.
const KEPT_MAX: usize = 200_000;

/// Most loops that the report names.
const NAMED_MAX: usize = 3;

/// A link of the log.
type LinkKey = (DomainNumber, ShortCode);

/// The links that lead to this server, collected record by record.
pub struct Survey {
    site: Site,
    schemes: ExtraSchemes,
    directory: Directory,
    /// Links that lead to this server. All other links end their chains.
    kept: HashMap<LinkKey, Vec<Edge>>,
    ids: HashMap<Id, LinkKey>,
    /// Links that are not in `kept` and whose code ends in a dot: without one, the dot is punctuation.
    dotted: HashSet<LinkKey>,
    /// The addresses of these links by their aliases.
    aliases: HashMap<LinkKey, LinkKey>,
    deny_list: DenyList,
    places: KnownPlaces,
    /// Some of the links with rules about places that the server cannot know.
    placeless_examples: Vec<LinkKey>,
    placeless: u64,
    /// Some of the links to denied hosts.
    denied_examples: Vec<LinkKey>,
    denied: u64,
    links: u64,
    leading_here: u64,
}

/// The result of a survey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of links.
    pub links: u64,
    /// Number of links that lead to this server.
    pub leading_here: u64,
    /// Number of these that were not checked, since there are too many.
    pub left_out: u64,
    /// Number of links that lead in a loop, or through too many others.
    pub looping: u64,
    /// Some of the looping links, as `code: fault`.
    pub named: Vec<String>,
    /// Fallbacks and roots that visits do not follow, as `domain: field URL`.
    pub misdirected: Vec<String>,
    /// Roots that lead in a loop, or through too many links and roots, as `domain: field URL`.
    pub looping_roots: Vec<String>,
    /// Some of the links that lead to this server.
    pub examples: Vec<String>,
    /// Number of links that lead to a denied host.
    pub denied: u64,
    /// Some of these.
    pub denied_examples: Vec<String>,
    /// Number of links with rules about places that the server cannot know.
    pub placeless: u64,
    /// Some of these.
    pub placeless_examples: Vec<String>,
}

impl Survey {
    /// Creates an empty survey of a server with these settings and this deny list, that knows these places of visitors.
    /// Fails if a setting breaks a rule.
    pub fn new(
        site: Site,
        settings: &Settings,
        deny_list: DenyList,
        places: KnownPlaces,
    ) -> Result<Survey, BadSetting> {
        let schemes = settings.schemes()?;
        let (directory, kept, ids, dotted, aliases) =
            <(Directory, HashMap<_, _>, HashMap<_, _>, HashSet<_>, HashMap<_, _>)>::default();
        Ok(Survey {
            site,
            schemes,
            directory,
            kept,
            ids,
            dotted,
            aliases,
            deny_list,
            places,
            placeless_examples: Vec::new(),
            placeless: 0,
            denied_examples: Vec::new(),
            denied: 0,
            links: 0,
            leading_here: 0,
        })
    }

    /// Adds a record of the directory and ignores others. Must be called for every record before the first
    /// link. Fails if the record cannot be decoded.
    pub fn add_to_directory(&mut self, record: &Record) -> Result<(), Corrupt> {
        let put = Put { key: record.key.clone(), value: Some(record.value.clone()) };
        // Nothing is written here, so revisions do not matter.
        if Directory::concerns(&put) { self.directory.apply(&put, Position::START) } else { Ok(()) }
    }

    /// Adds a link and ignores other records. Fails if the record cannot be decoded.
    pub fn add_link(&mut self, record: &Record) -> Result<(), Corrupt> {
        let Some((domain, code)) = keys::parse_link(&record.key) else { return Ok(()) };
        // Staged links count too: the end of their import makes them visible.
        let Staged { link, .. } = Staged::decode(domain, code, &record.value)?;
        self.links += 1;
        if link.options.condition_fields().any(|field| !self.places.has(field)) {
            self.placeless += 1;
            if self.placeless_examples.len() < NAMED_MAX {
                self.placeless_examples.push((domain, link.code.clone()));
            }
        }
        let edges = self.routes().edges(Origin::Link(link.workspace, &link.options));
        if edges.iter().any(|edge| self.deny_list.host_of(&edge.to).is_some()) {
            self.denied += 1;
            if self.denied_examples.len() < NAMED_MAX {
                self.denied_examples.push((domain, link.code.clone()));
            }
        }
        let leads_here = edges.iter().any(|edge| self.routes().is_here(&edge.to));
        if leads_here {
            self.leading_here += 1;
            if self.kept.len() < KEPT_MAX {
                self.ids.insert(link.id, (domain, link.code.clone()));
                for alias in link.aliases {
                    self.aliases.insert((alias.domain, alias.code), (domain, link.code.clone()));
                }
                self.kept.insert((domain, link.code), edges);
            }
        } else if link.code.as_str().ends_with('.') && self.dotted.len() < KEPT_MAX {
            self.dotted.insert((domain, link.code));
        }
        Ok(())
    }

    /// Searches all links that were added, and returns the result.
    pub fn report(&self) -> Report {
        let mut report = Report {
            links: self.links,
            leading_here: self.leading_here,
            left_out: self.leading_here - self.kept.len() as u64,
            misdirected: misdirected(self.routes()),
            looping_roots: self.looping_roots(),
            denied: self.denied,
            denied_examples: self.denied_examples.iter().map(|place| self.name(place)).collect(),
            placeless: self.placeless,
            placeless_examples: self.placeless_examples.iter().map(|place| self.name(place)).collect(),
            ..Report::default()
        };
        // Sorted, so that two reports on one log are equal.
        let mut places: Vec<&LinkKey> = self.kept.keys().collect();
        places.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| one.1.as_str().cmp(other.1.as_str())));
        for place in places {
            let fault = self.fault(place);
            report.looping += u64::from(fault.is_some());
            if let Some(fault) = fault.filter(|_| report.named.len() < NAMED_MAX) {
                report.named.push(format!("{} ({})", self.name(place), said(fault)));
            }
            if report.examples.len() < NAMED_MAX {
                report.examples.push(self.name(place));
            }
        }
        report
    }

    fn routes(&self) -> Routes<'_> {
        Routes::new(&self.site, &self.directory, &self.schemes)
    }

    fn fault(&self, place: &LinkKey) -> Option<Fault> {
        let hop = Hop::Link { domain: place.0, code: place.1.clone(), rest: Box::default() };
        let edges = self.kept.get(place)?;
        let start = Some(Start { hop: &hop, edges });
        // All links are in memory, so a search cannot fail.
        edges.iter().find_map(|edge| {
            search(self, self.routes(), start, &edge.to).unwrap_or_else(|never| match never {})
        })
    }

    fn looping_roots(&self) -> Vec<String> {
        let routes = self.routes();
        // Those that visits do not follow are in `misdirected`.
        let followed = self.directory.domains().filter(|domain| !is_own_root(routes, domain));
        let looping = followed.filter_map(|domain| {
            let edges = routes.edges(Origin::Domain(domain));
            let edge = edges.iter().find(|edge| matches!(edge.via, Via::Root))?;
            let hop = Hop::Root(domain.number);
            let start = Some(Start { hop: &hop, edges: std::slice::from_ref(edge) });
            let fault = search(self, routes, start, &edge.to).unwrap_or_else(|never| match never {});
            fault.map(|_| format!("{}: {} {}", self.site.name_of(domain), edge.field, edge.to))
        });
        looping.collect()
    }

    fn name(&self, (number, code): &LinkKey) -> String {
        // The default domain has no stored name.
        let name = self.directory.domain(*number).and_then(|domain| domain.name.as_ref());
        format!("{}{}", name.map_or("", |name| name.as_str()), self.site.path(code))
    }
}

fn said(fault: Fault) -> &'static str {
    match fault {
        Fault::Back => "leads back to itself",
        Fault::Loop => "leads into a loop",
        Fault::TooLong | Fault::TooMany => "leads through too many links",
    }
}

impl Graph for Survey {
    type Error = Infallible;

    fn edges_of(&self, domain: DomainNumber, code: &ShortCode) -> Result<Vec<Edge>, Infallible> {
        Ok(self.kept.get(&(domain, code.clone())).cloned().unwrap_or_default())
    }

    fn has(&self, domain: DomainNumber, code: &ShortCode) -> Result<bool, Infallible> {
        let key = (domain, code.clone());
        Ok(self.kept.contains_key(&key) || self.dotted.contains(&key))
    }

    fn link_of_alias(
        &self,
        domain: DomainNumber,
        code: &ShortCode,
    ) -> Result<Option<(DomainNumber, ShortCode)>, Infallible> {
        Ok(self.aliases.get(&(domain, code.clone())).cloned())
    }

    fn link_of_contact(&self, token: &str) -> Result<Option<LinkKey>, Infallible> {
        let said = self.directory.contact_key().and_then(|key| contacts::contact_at(&key, token));
        Ok(said.and_then(|said| self.ids.get(&said.link).cloned()))
    }
}
