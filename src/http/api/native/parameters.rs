//! Unknown parameters of a query. They are ignored, and the answer names them in `warnings`: a list with a misspelt
//! filter is the whole list, and nothing else in the answer would show it.
//!
//! As with fields, only names that look like names are repeated. Any other name may be a secret.

use std::collections::HashSet;

use crate::formats::waypost::spelling::likely;
use crate::http::api::query::Query;
use crate::json::looks_like_a_field;

/// Most unknown parameters that an answer names. The rest is counted.
const NAMED_MAX: usize = 20;

/// Words of other programs and of users for parameters, in lower case and without `_`.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("q", &["search"]),
    ("query", &["search"]),
    ("filter", &["search"]),
    ("text", &["search"]),
    ("perpage", &["limit"]),
    ("pagesize", &["limit"]),
    ("size", &["limit"]),
    ("count", &["limit"]),
    ("pagenumber", &["page"]),
    ("offset", &["page"]),
    ("skip", &["page"]),
    ("after", &["cursor"]),
    ("nextcursor", &["cursor"]),
    ("order", &["sort"]),
    ("orderby", &["sort"]),
    ("sortby", &["sort"]),
    ("tag", &["tagId"]),
    ("tags", &["tagId"]),
    ("campaign", &["campaignId"]),
    ("active", &["isActive"]),
    ("host", &["domain"]),
    ("workspace", &["workspaceId"]),
    ("useragent", &["ua"]),
    ("agent", &["ua"]),
    ("time", &["at"]),
    ("date", &["at"]),
];

/// Returns the warnings about the parameters that the endpoint of a parsed query does not know. Each is named once.
pub(super) fn warnings(query: &Query<'_>) -> Vec<String> {
    let (unknown, known) = query.unknown();
    let (mut named, mut more) = (Vec::new(), 0_usize);
    let mut seen = HashSet::new();
    for name in unknown {
        if !seen.insert(name) {
            continue;
        }
        if named.len() == NAMED_MAX || !looks_like_a_field(name) {
            more += 1;
            continue;
        }
        let hint = likely(name, &[&known], SYNONYMS);
        let hint = hint.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        named.push(format!("{name}: is no parameter of this request, and was ignored{hint}"));
    }
    match more {
        0 => {}
        1 => named.push("1 more name is no parameter of this request, and was ignored".to_owned()),
        more => named.push(format!("{more} more names are no parameters of this request, and were ignored")),
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::RequestParts;

    #[test]
    fn unknown_parameters_are_named() {
        let rows = [
            ("", vec![]),
            ("limit=5&page=2&workspaceId=w&sort=clicks", vec![]),
            ("q=x", vec!["q: is no parameter of this request, and was ignored; did you mean search?"]),
            ("Limit=5", vec!["Limit: is no parameter of this request, and was ignored; did you mean limit?"]),
            ("zzz=1&zzz=2", vec!["zzz: is no parameter of this request, and was ignored"]),
            // Perhaps a secret.
            ("wp_0123=1", vec!["1 more name is no parameter of this request, and was ignored"]),
            ("a%20b=1&=2", vec!["2 more names are no parameters of this request, and were ignored"]),
        ];
        for (query, want) in rows {
            let request = RequestParts { id: "", query: Query::parse(Some(query)), body: b"" };
            super::super::links::list(&request).expect(query);
            assert_eq!(warnings(&request.query), want, "{query}");
        }
    }
}
