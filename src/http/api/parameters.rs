//! Unknown parameters of a query. They are ignored, and the answer names them in `warnings`: a list with a misspelt
//! filter is the whole list, and nothing else in the answer would show it.
//!
//! As with fields, only names that look like names are repeated. Any other name may be a secret.

use std::collections::HashSet;

use crate::formats::waypost::spelling::likely;
use crate::http::api::bad_request::BadRequest;
use crate::http::api::query::Query;
use crate::json::looks_like_a_field;
use crate::model::Invalid;

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
    ("tags", &["tag", "tagId"]),
    ("tagname", &["tag", "tagId"]),
    ("campaigns", &["campaign", "campaignId"]),
    ("code", &["link"]),
    ("shortcode", &["link"]),
    ("shorturl", &["link"]),
    ("slug", &["link"]),
    ("url", &["link"]),
    ("id", &["linkId"]),
    ("group", &["groupBy"]),
    ("by", &["groupBy", "key"]),
    ("breakdown", &["groupBy"]),
    ("dimension", &["groupBy"]),
    ("since", &["from"]),
    ("start", &["from"]),
    ("startdate", &["from"]),
    ("until", &["to"]),
    ("end", &["to"]),
    ("enddate", &["to"]),
    ("period", &["interval"]),
    ("range", &["interval"]),
    ("days", &["interval"]),
    ("tz", &["timezone"]),
    ("zone", &["timezone"]),
    ("resolution", &["granularity"]),
    ("referer", &["referrer"]),
    ("source", &["utmSource"]),
    ("medium", &["utmMedium"]),
    ("active", &["isActive"]),
    ("host", &["domain"]),
    ("workspace", &["workspaceId"]),
    ("useragent", &["ua"]),
    ("agent", &["ua"]),
    ("time", &["at"]),
    ("date", &["at"]),
    ("color", &["fg"]),
    ("foreground", &["fg"]),
    ("qrforeground", &["fg"]),
    ("background", &["bg"]),
    ("bgcolor", &["bg"]),
    ("qrbackground", &["bg"]),
    ("width", &["size"]),
    ("border", &["margin"]),
    ("ecc", &["level"]),
    ("type", &["format"]),
    ("author", &["key"]),
    ("user", &["key"]),
    ("subject", &["link"]),
    ("action", &["operation"]),
    ("act", &["operation"]),
];

/// Where an answer names the unknown parameters of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryWarnings {
    /// Nowhere: clients of the vendor send parameters that have no meaning here.
    None,
    /// In a header, since the vendor's answers have no place for them.
    InHeader,
    /// In `warnings`.
    InBody,
}

/// Fails if a query has a parameter that its endpoint does not know, which a mistyped filter is: without it, the answer has
/// the numbers of the whole workspace, and no table and no chart has a place for a warning. To be called behind the
/// parsing, which looks up all names.
pub fn only_known(query: &Query<'_>) -> Result<(), BadRequest> {
    let (unknown, known) = query.unknown();
    let Some(name) = unknown.first() else { return Ok(()) };
    // Any other name may be a secret.
    let (name, hint) = if looks_like_a_field(name) {
        (*name, likely(name, &[&known], SYNONYMS).map(|meant| format!("; did you mean {meant}?")))
    } else {
        ("query", None)
    };
    let what = if name == "query" { "has a name that is" } else { "is" };
    let why = format!("{what} no parameter of this request{}", hint.unwrap_or_default());
    Err(Invalid::new("", why).below(name).into())
}

/// Returns the warnings about the parameters that the endpoint of a parsed query does not know, if the answer has a place
/// for them. Each is named once.
pub(super) fn warnings(query: &Query<'_>, place: QueryWarnings) -> Vec<String> {
    if place == QueryWarnings::None {
        return Vec::new();
    }
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
            let parsed = Query::parse(Some(query));
            // As an endpoint looks up its parameters.
            for name in ["limit", "page", "workspaceId", "sort", "search"] {
                parsed.text(name).expect("given once");
            }
            assert_eq!(warnings(&parsed, QueryWarnings::InBody), want, "{query}");
            assert_eq!(warnings(&parsed, QueryWarnings::None), [""; 0], "{query}");
        }
    }
}
