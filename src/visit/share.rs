//! `/?share=<id>` on the default domain: the page of a snapshot's share link. It has priority over the
//! domain's `rootUrl`.

use hyper::StatusCode;

use super::pages;
use super::request::VisitResponse;
use super::visitor::Visitor;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::Id;
use crate::model::snapshot::share_in;

/// Returns the share that a visit to the root requests. What cannot be the id of a share requests none, since
/// other sites append `share=facebook` to addresses.
pub(super) fn requested_share(domain: &Domain, query: Option<&str>) -> Option<Id> {
    let query = query.filter(|_| domain.number == DomainNumber::DEFAULT)?;
    share_in(url::form_urlencoded::parse(query.as_bytes()))
}

impl Visitor {
    /// Answers with the page of a share, or with 404 if there is none.
    pub(super) fn share(&self, id: Id) -> VisitResponse {
        let snapshots = self.state.snapshots.clone();
        VisitResponse::Later(Box::pin(async move {
            match snapshots.share_page(id).await {
                Ok(Some((share, url))) => pages::share(&share, &url),
                Ok(None) => pages::error(StatusCode::NOT_FOUND),
                Err(error) => {
                    tracing::debug!(%error, "the page of a share cannot be read");
                    pages::unavailable()
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn only_the_default_domain_has_shares() {
        let domain = |number| Domain {
            number: DomainNumber(number),
            ..Domain::default_domain(Timestamp::from_millis(0))
        };
        let id = Id::from_bits(7);
        let known = format!("a=b&share={id}");
        let twice = format!("share=facebook&{known}");
        let rows = [
            (0, Some(known.as_str()), Some(id)),
            (0, Some("share=facebook"), None),
            (0, Some("share=twitter&x=1"), None),
            (0, Some("share="), None),
            // The first id counts, wherever it is.
            (0, Some(twice.as_str()), Some(id)),
            // The name must be whole.
            (0, Some("shared=1"), None),
            (0, None, None),
            // On another domain the root belongs to its owner.
            (1, Some(known.as_str()), None),
        ];
        for (number, query, want) in rows {
            assert_eq!(requested_share(&domain(number), query), want, "{number} {query:?}");
        }
    }
}
