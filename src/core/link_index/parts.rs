//! [`IndexBuild`]: the parts in which the links of a workspace are read for its index.

use bytes::Bytes;

use crate::model::domain::DomainNumber;

/// A domain is read whole if the workspace has at least this share of its links: one in eight.
const SHARE: u64 = 8;

/// How far the links are read.
#[derive(Debug)]
pub(in crate::core) enum IndexBuild {
    /// The ids are being read.
    Ids {
        /// The domains to read, the last one first. None if the links are read by their ids.
        domains: Vec<DomainNumber>,
    },
    /// The links of the last of these domains are being read, from behind a key.
    Domains {
        #[allow(missing_docs)]
        domains: Vec<DomainNumber>,
        #[allow(missing_docs)]
        after: Option<Bytes>,
    },
    /// Links that were not read yet are read by their ids, from a slot on.
    Rest {
        #[allow(missing_docs)]
        from: usize,
    },
}

impl IndexBuild {
    /// Begins to read a workspace with `own` links. `domains` are those it may use, with the number of all links on each.
    pub(in crate::core) fn new(own: u64, domains: Vec<(DomainNumber, u64)>) -> IndexBuild {
        let all: u64 = domains.iter().map(|(_, links)| links).sum();
        // A walk over a domain reads the links of other workspaces as well.
        let is_dense = all <= own.saturating_mul(SHARE);
        let domains =
            if is_dense { domains.into_iter().map(|(domain, _)| domain).collect() } else { Vec::new() };
        IndexBuild::Ids { domains }
    }
}
