//! Questions about clicks, as clients write them.

use super::bodies::check_error;
use super::input::Input;
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::http::api::dialect::{ANALYTICS_ROWS_MAX, AnalyticsQuery, Command, RequestParts};
use crate::http::api::query::Query;
use crate::http::api::registry::dialect_of;

/// The path of questions.
const PATH: &str = "/api/v1/analytics";

/// Takes a name below the path, or an empty line, and a query. Asserts that the query is a question within all bounds, or
/// an error with the name of a parameter.
pub(super) fn analytics(data: &[u8]) {
    let mut input = Input(data);
    let (id, query) = (input.text(), String::from_utf8_lossy(input.0));
    let request = RequestParts { id: &id, query: Query::parse(Some(&query)), body: b"" };
    let template = if id.is_empty() { PATH.to_owned() } else { format!("{PATH}/{{what}}") };
    let mut endpoints = dialect_of(PATH).endpoints().iter();
    let endpoint = endpoints.find(|endpoint| endpoint.template == template).expect("an endpoint");
    match (endpoint.parse)(&request) {
        Err(bad_request) => check_error(&bad_request),
        Ok(scoped) => match &scoped.command {
            Command::Analytics(question, _) => check_question(question),
            other => panic!("{other:?}"),
        },
    }
}

/// Asserts the bounds of a question, and that the keys of its filters are those that answers show.
fn check_question(question: &AnalyticsQuery) {
    assert!(
        (1..=ANALYTICS_ROWS_MAX).contains(&question.limit) && question.offset <= 1_000_000,
        "{question:?}"
    );
    assert!(question.by.len() <= 2 && !(question.by.len() == 2 && question.by[0] == question.by[1]));
    assert!(question.zone.iana_name().is_some(), "the answer names the zone");
    for filter in &question.filters {
        assert!(filter.facet != Facet::Time && !filter.facet.is_of_link(), "{filter:?}");
        assert!((1..=200).contains(&filter.keys.len()), "{} keys", filter.keys.len());
        for key in &filter.keys {
            if *key == FacetKey::Other {
                assert!(filter.facet.is_open(), "{:?} has no rest", filter.facet);
                continue;
            }
            assert_eq!(filter.facet.key(&key.to_string()).ok().as_ref(), Some(key), "{:?}", filter.facet);
        }
    }
}
