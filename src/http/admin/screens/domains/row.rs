//! A domain as lists and its own page show it.

use super::https::{CertificateWords, words};
use crate::http::admin::chart::grouped;
use crate::http::admin::screens::links::list::{path_of, without_scheme};
use crate::http::api::dialect::DomainView;

/// The id of the default domain.
const DEFAULT: &str = "00000000000000000000";

/// A domain of the list.
pub(super) struct DomainRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_default: bool,
    pub(super) certificate: CertificateWords,
    pub(super) links: String,
    pub(super) list: String,
    pub(super) root: String,
}

impl DomainRow {
    /// Returns the row of a domain.
    pub(super) fn of(view: &DomainView) -> DomainRow {
        let id = view.domain.id.to_string();
        DomainRow {
            is_default: id == DEFAULT,
            id,
            certificate: words(&view.name, view.https.as_ref()),
            links: grouped(view.links),
            list: path_of(&[("domain", &view.name)]),
            root: view.domain.root_url.as_ref().map_or("", |url| without_scheme(url.as_str())).to_owned(),
            name: view.name.clone(),
        }
    }
}
