//! The bounded search of every check for loops. It is depth-first and visits each place once.

use std::collections::HashMap;

use super::fallback::is_own_root;
use super::routes::{Edge, HOPS_MAX, Hop, Origin, Routes, Via};
use crate::model::destination::Destination;
use crate::model::domain::DomainNumber;
use crate::model::short_code::{ShortCode, is_punctuation, without_punctuation};

/// Most places that one search visits. Each place without rules has at most two edges, so chains within [`HOPS_MAX`]
/// could still name 500 places. Bounds the reads while other writes wait. Past it, the search returns
/// [`Fault::TooMany`].
const VISITED_MAX: usize = 64;

/// The source of the edges of links.
pub(crate) trait Graph {
    /// The error of a read.
    type Error;

    /// Returns every edge of the link with this code, or none without a link.
    fn edges_of(&self, domain: DomainNumber, code: &ShortCode) -> Result<Vec<Edge>, Self::Error>;

    /// Returns whether a link has this code.
    fn has(&self, domain: DomainNumber, code: &ShortCode) -> Result<bool, Self::Error>;

    /// Returns the link that a contact's address stands for, or `None` if there is none.
    fn link_of_contact(&self, token: &str) -> Result<Option<(DomainNumber, ShortCode)>, Self::Error>;

    /// Returns the address of the link that has this code as an alias, or `None` if there is none.
    fn link_of_alias(
        &self,
        domain: DomainNumber,
        code: &ShortCode,
    ) -> Result<Option<(DomainNumber, ShortCode)>, Self::Error>;
}

/// The reason why a destination must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It leads back to the start of the search.
    Back,
    /// It leads into a loop of others.
    Loop,
    /// It leads through a chain of more than [`HOPS_MAX`] places.
    TooLong,
    /// It leads to more than [`VISITED_MAX`] places in all.
    TooMany,
}

impl Fault {
    /// Returns the text of the rule that a destination breaks. `back` is the text for [`Fault::Back`].
    pub(crate) fn rule(self, back: &str) -> String {
        match self {
            Fault::Back => back.to_owned(),
            Fault::Loop => "must not lead into a loop of other links of this server; change one of those \
                            first"
                .to_owned(),
            Fault::TooLong => format!(
                "must not lead through more than {HOPS_MAX} of this server's links, one behind the other; \
                 shorten the chain"
            ),
            Fault::TooMany => format!(
                "must not lead to more than {VISITED_MAX} of this server's links in all, expiredUrl and \
                 further links included"
            ),
        }
    }
}

/// The reason why a search ended early.
enum Stop<E> {
    Fault(Fault),
    Failed(E),
}

/// The place whose destination is written, with all its edges as they will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) hop: &'a Hop,
    pub(crate) edges: &'a [Edge],
}

struct Search<'a, G> {
    graph: &'a G,
    routes: Routes<'a>,
    start: Option<Start<'a>>,
    /// By place: the number of places in the longest chain from it, itself included. `None` while the place
    /// is on the path from the start.
    heights: HashMap<Hop, Option<usize>>,
}

/// Returns the fault of a destination that leads to `to`, or `None` if it may be written. `start` is the
/// place that gets the destination; `None` for a code that is not generated yet, to which nothing leads.
pub(crate) fn search<G: Graph>(
    graph: &G,
    routes: Routes<'_>,
    start: Option<Start<'_>>,
    to: &Destination,
) -> Result<Option<Fault>, G::Error> {
    let Some(first) = routes.hop(to) else { return Ok(None) };
    let mut search = Search { graph, routes, start, heights: HashMap::new() };
    match search.height(first) {
        Ok(height) => Ok((height > HOPS_MAX).then_some(Fault::TooLong)),
        Err(Stop::Fault(fault)) => Ok(Some(fault)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

impl<G: Graph> Search<'_, G> {
    /// Returns the number of places in the longest chain from `hop`. Recurses at most [`VISITED_MAX`] deep.
    fn height(&mut self, hop: Hop) -> Result<usize, Stop<G::Error>> {
        // The address of a contact without a link is a place that leads nowhere.
        let Some(hop) = self.resolved(hop)? else { return Ok(1) };
        let start = self.start.filter(|start| is_same(start.hop, &hop));
        if start.is_some_and(|start| start.is_entered_by(&hop)) {
            return Err(Stop::Fault(Fault::Back));
        }
        match self.heights.get(&hop) {
            Some(Some(height)) => return Ok(*height),
            // On the path from the start, so the chain has come back to this place.
            Some(None) => return Err(Stop::Fault(start.map_or(Fault::Loop, |_| Fault::Back))),
            None if self.heights.len() == VISITED_MAX => return Err(Stop::Fault(Fault::TooMany)),
            None => {}
        }
        // Marks the place as being on the path until its height is known.
        self.heights.insert(hop.clone(), None);
        let mut height = 1;
        for to in self.next(&hop)? {
            if let Some(next) = self.routes.hop(&to) {
                height = height.max(1 + self.height(next)?);
            }
        }
        self.heights.insert(hop, Some(height));
        Ok(height)
    }

    /// Returns the place itself, or the link that a contact's address, an alias, or a code with dots behind it leads
    /// to.
    fn resolved(&self, hop: Hop) -> Result<Option<Hop>, Stop<G::Error>> {
        match hop {
            Hop::Contact(token) => {
                let link = self.graph.link_of_contact(&token).map_err(Stop::Failed)?;
                Ok(link.map(|(domain, code)| Hop::Link { domain, code, rest: Box::default() }))
            }
            Hop::Link { domain, code, rest } => {
                let code = if rest.is_empty() && code.as_str().ends_with('.') {
                    self.without_dots(domain, &code)?.unwrap_or(code)
                } else {
                    code
                };
                let link = self.graph.link_of_alias(domain, &code).map_err(Stop::Failed)?;
                let (domain, code) = link.unwrap_or((domain, code));
                Ok(Some(Hop::Link { domain, code, rest }))
            }
            Hop::Root(_) => Ok(Some(hop)),
        }
    }

    /// Returns the code that a visit looks up for a code that ends in dots and has no link.
    fn without_dots(
        &self,
        domain: DomainNumber,
        code: &ShortCode,
    ) -> Result<Option<ShortCode>, Stop<G::Error>> {
        let hop = |code| Hop::Link { domain, code, rest: Box::default() };
        let is_start = self.start.is_some_and(|start| is_same(start.hop, &hop(code.clone())));
        if is_start || self.graph.has(domain, code).map_err(Stop::Failed)? {
            return Ok(None);
        }
        Ok(without_punctuation(code.as_str()).next().map(|shorter| ShortCode::from_stored(&shorter)))
    }

    /// Returns the destinations that a visitor of this place may be sent to.
    fn next(&self, hop: &Hop) -> Result<Vec<Destination>, Stop<G::Error>> {
        let start = self.start.filter(|start| is_same(start.hop, hop));
        let (edges, rest) = match hop {
            Hop::Link { domain, code, rest } => {
                let edges = match start {
                    // As they will be: the table may still have the old ones.
                    Some(start) => start.edges.to_vec(),
                    None => self.graph.edges_of(*domain, code).map_err(Stop::Failed)?,
                };
                (edges, &**rest)
            }
            Hop::Root(number) => {
                // A `rootUrl` that leads to the root itself is not followed.
                let domain = self.routes.root_of(*number);
                let domain = domain.filter(|domain| !is_own_root(self.routes, domain));
                (domain.map(|domain| self.routes.edges(Origin::Domain(domain))).unwrap_or_default(), "")
            }
            // Replaced by its link in `resolved`.
            Hop::Contact(_) => return Ok(Vec::new()),
        };
        Ok(edges.iter().filter_map(|edge| edge.behind(rest)).collect())
    }
}

impl Start<'_> {
    /// Returns whether a visitor at `hop`, which is this place, follows the same edges as the first visitor.
    /// With a path after the code, only a link that forwards the path has its edges; their destinations are
    /// not followed.
    fn is_entered_by(&self, hop: &Hop) -> bool {
        let forwards = |edge: &Edge| matches!(edge.via, Via::Click { forwards_path: true });
        match hop {
            Hop::Link { rest, .. } => {
                rest.is_empty() || is_punctuation(rest) || self.edges.iter().any(forwards)
            }
            Hop::Contact(_) | Hop::Root(_) => true,
        }
    }
}

/// Returns whether two places are the same, whatever path follows a code.
fn is_same(one: &Hop, other: &Hop) -> bool {
    match (one, other) {
        (Hop::Link { domain, code, .. }, Hop::Link { domain: of, code: is, .. }) => {
            domain == of && code == is
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::core::site::Site;
    use crate::core::tenants::directory::Directory;
    use crate::model::destination::ExtraSchemes;

    /// Links by code, each with the codes that its two fields lead to.
    struct Codes<'a>(&'a [(&'a str, &'a [&'a str])]);

    fn to(code: &str) -> Destination {
        Destination::parse_web("url", &format!("https://go.test/{code}")).expect("a valid URL")
    }

    impl Graph for Codes<'_> {
        type Error = Infallible;

        fn edges_of(&self, _: DomainNumber, code: &ShortCode) -> Result<Vec<Edge>, Infallible> {
            let of = self.0.iter().filter(|(from, _)| *from == code.as_str());
            let edge = |code: &&str| Edge {
                field: "expiredUrl",
                at: Box::default(),
                to: to(code),
                via: Via::Expired,
            };
            Ok(of.flat_map(|(_, to)| to.iter().map(edge)).collect())
        }

        fn has(&self, _: DomainNumber, code: &ShortCode) -> Result<bool, Infallible> {
            Ok(self.0.iter().any(|(from, _)| *from == code.as_str()))
        }

        fn link_of_contact(&self, token: &str) -> Result<Option<(DomainNumber, ShortCode)>, Infallible> {
            Ok(Some((DomainNumber::DEFAULT, ShortCode::from_stored(token))))
        }

        /// `old-a` is an alias of `a`.
        fn link_of_alias(
            &self,
            domain: DomainNumber,
            code: &ShortCode,
        ) -> Result<Option<(DomainNumber, ShortCode)>, Infallible> {
            let link = code.as_str().strip_prefix("old-");
            Ok(link.map(|code| (domain, ShortCode::from_stored(code))))
        }
    }

    /// Returns the fault that a search from `start` to `first` finds.
    fn found(links: &[(&str, &[&str])], start: Option<&str>, first: &str) -> Option<Fault> {
        let site = Site::parse("https://go.test").expect("a valid site");
        let (directory, schemes) = (Directory::for_test(), ExtraSchemes::default());
        let routes = Routes::new(&site, &directory, &schemes);
        let link = |code| {
            let code = ShortCode::from_stored(code);
            Hop::Link { domain: DomainNumber::DEFAULT, code, rest: Box::default() }
        };
        let start = start.map(link);
        let edges = [Edge { field: "expiredUrl", at: Box::default(), to: to(first), via: Via::Expired }];
        let start = start.as_ref().map(|hop| Start { hop, edges: &edges });
        search(&Codes(links), routes, start, &to(first)).unwrap_or_else(|never| match never {})
    }

    #[test]
    fn every_edge_of_every_place_is_followed() {
        let rows: [(&[(&str, &[&str])], _, _, _); 16] = [
            // A visit looks without the punctuation if there is no link.
            (&[], Some("a"), "a.", Some(Fault::Back)),
            (&[], Some("a"), "a)", Some(Fault::Back)),
            (&[("b", &["a%22"])], Some("a"), "b..", Some(Fault::Back)),
            (&[("a.", &["x"])], Some("a"), "a.", None),
            (&[("a", &["x"])], Some("a."), "a,", None),
            // An alias is the link itself.
            (&[], Some("a"), "old-a", Some(Fault::Back)),
            (&[("b", &["old-a"])], Some("a"), "old-b", Some(Fault::Back)),
            // An expired link redirects whatever follows its code.
            (&[], Some("a"), "a/b", Some(Fault::Back)),
            (&[], Some("a"), "b", None),
            (&[], Some("a"), "a", Some(Fault::Back)),
            (&[("b", &["x", "c"]), ("c", &["a"])], Some("a"), "b", Some(Fault::Back)),
            (&[("b", &["x", "c"]), ("c", &["y", "b"])], Some("a"), "b", Some(Fault::Loop)),
            (&[("b", &["b"])], None, "b", Some(Fault::Loop)),
            // A diamond is no loop.
            (&[("b", &["c", "d"]), ("c", &["e"]), ("d", &["e"])], Some("a"), "b", None),
            // The address of a contact counts as its link.
            (&[("b", &["links/r/2/a"])], Some("a"), "b", Some(Fault::Back)),
            (&[("b", &["links/r/2/c"]), ("c", &["links/r/2/b"])], None, "b", Some(Fault::Loop)),
        ];
        for (links, start, first, want) in rows {
            assert_eq!(found(links, start, first), want, "{links:?} {start:?}");
        }
    }

    /// R76: a chain that is too long does not lead back, and its error must not claim that.
    #[test]
    fn chains_of_eight_are_allowed_and_of_nine_are_not() {
        let names: Vec<String> = (0..=HOPS_MAX).map(|n| format!("n{n}")).collect();
        let next: Vec<[&str; 1]> = names.iter().skip(1).map(|name| [name.as_str()]).collect();
        let links: Vec<(&str, &[&str])> =
            names.iter().zip(&next).map(|(name, to)| (name.as_str(), &to[..])).collect();
        // `n1` to `n8` are eight places.
        assert_eq!(found(&links, Some("a"), "n1"), None);
        assert_eq!(found(&links, Some("a"), "n0"), Some(Fault::TooLong));
        let text = Fault::TooLong.rule("must not lead back to this short link");
        assert!(text.starts_with("must not lead through more than 8 of this server's links"), "{text}");
    }

    #[test]
    fn a_search_visits_no_more_than_its_bound() {
        // A binary tree: chains of seven places, 127 places in all.
        let names: Vec<String> = (0..256).map(|n| format!("n{n}")).collect();
        let below: Vec<[&str; 2]> =
            (0..128).map(|n| [2 * n, 2 * n + 1].map(|at| names[at].as_str())).collect();
        let links: Vec<(&str, &[&str])> = (1..64).map(|n| (names[n].as_str(), &below[n][..])).collect();
        assert_eq!(found(&links, Some("a"), "n1"), Some(Fault::TooMany));
        // The half below `n2` has 63 places.
        assert_eq!(found(&links, Some("a"), "n2"), None);
    }
}
