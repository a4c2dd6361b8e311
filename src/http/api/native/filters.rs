//! Filters of questions about clicks.
//!
//! A filter is a parameter with the name of what it filters by: `country=DE,AT` passes two countries, `country=-US` all
//! but one. A parameter may be given several times: those without a hyphen add up to one list of values that pass, those
//! with one to a list that does not.
//!
//! `null` is no value, and `other` the values of an open set that were not kept. A value in double quotes is taken as it
//! is, with commas, hyphens and these words; a quote within it is doubled.

use std::borrow::Cow;

use crate::http::api::dialect::{BadRequest, Facet, FacetFilter, FacetKey, NamedFilter, QueryError};
use crate::http::api::query::Query;
use crate::model::Invalid;

/// Most values of one filter.
const VALUES_MAX: usize = 200;

/// The filters of a question: by values, and by names of the workspace.
pub(super) fn filters(query: &Query<'_>) -> Result<(Vec<FacetFilter>, Vec<NamedFilter>), BadRequest> {
    let (mut filters, mut named) = (Vec::new(), Vec::new());
    for facet in Facet::all().filter(|facet| *facet != Facet::Time) {
        let [passes, excluded] = lists(query, facet)?;
        for (values, excludes) in [(passes, false), (excluded, true)] {
            if values.is_empty() {
                continue;
            }
            // Names are those of one link, which is looked up behind the parsing.
            let by_name = matches!(facet, Facet::Rule | Facet::Variant)
                && values.iter().any(|value| !value.is_none() && facet.key(&value.text).is_err());
            if facet.is_of_link() || by_name {
                let values = values.into_iter().map(FilterValue::name).collect();
                named.push(NamedFilter { facet, values, excludes });
            } else {
                let key = |value: FilterValue<'_>| value.key(facet);
                let keys = values.into_iter().map(key).collect::<Result<_, _>>()?;
                filters.push(FacetFilter { facet, keys, excludes });
            }
        }
    }
    Ok((filters, named))
}

/// Returns the values that pass a filter, and those that do not.
fn lists<'a>(query: &'a Query<'_>, facet: Facet) -> Result<[Vec<FilterValue<'a>>; 2], BadRequest> {
    let name = facet.name();
    let mut lists = [Vec::new(), Vec::new()];
    filled(query, name, "a value")?;
    for text in query.all(name) {
        // One sign for the whole list, since a mix of both has no clear meaning.
        let (excludes, text) = text.strip_prefix('-').map_or((0, text), |rest| (1, rest));
        let unquoted = || breaks(name, "has a quote that does not end, or a text behind its end");
        let values = split(text).ok_or_else(unquoted)?;
        // A comma too many, or an empty variable of a script. As `null` it would pass visits that nobody asked for.
        if values.iter().any(|value| value.text.is_empty() && !value.is_quoted) {
            return Err(breaks(
                name,
                "has an empty value between its commas: write `null` for visits without a value",
            ));
        }
        lists[excludes].extend(values);
        // A client must not make one question cost as much as thousands.
        if lists.iter().map(Vec::len).sum::<usize>() > VALUES_MAX {
            return Err(breaks(name, format!("must have at most {VALUES_MAX} values")));
        }
    }
    Ok(lists)
}

/// Fails if a parameter has no value. `what` is what it needs. A script whose variable is empty must not get the numbers of
/// the whole workspace.
pub(super) fn filled(query: &Query<'_>, name: &'static str, what: &str) -> Result<(), BadRequest> {
    if query.is_blank(name) {
        return Err(breaks(name, format!("must not be empty: give {what}, or leave the parameter out")));
    }
    Ok(())
}

/// A value as it was written.
#[derive(Debug, PartialEq, Eq)]
struct FilterValue<'a> {
    text: Cow<'a, str>,
    is_quoted: bool,
}

impl FilterValue<'_> {
    fn is_none(&self) -> bool {
        self.text.is_empty() || (!self.is_quoted && self.text == "null")
    }

    fn name(self) -> Option<Box<str>> {
        if self.is_none() { None } else { Some(self.text.into()) }
    }

    fn key(self, facet: Facet) -> Result<FacetKey, BadRequest> {
        if self.is_none() {
            return Ok(FacetKey::None);
        }
        if !self.is_quoted && self.text == "other" && facet.is_open() {
            return Ok(FacetKey::Other);
        }
        facet.key(&self.text).map_err(|error| breaks(facet.name(), rule_of(&error)))
    }
}

/// Splits a list at its commas outside of quotes. Returns `None` if a quote does not end, or if a text follows its end.
fn split(list: &str) -> Option<Vec<FilterValue<'_>>> {
    let (mut values, mut rest) = (Vec::new(), list);
    loop {
        let (value, behind) = if let Some(quoted) = rest.trim_start().strip_prefix('"') {
            let (text, behind) = unquote(quoted)?;
            (FilterValue { text: text.into(), is_quoted: true }, behind.trim_start())
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (FilterValue { text: rest[..end].trim().into(), is_quoted: false }, &rest[end..])
        };
        values.push(value);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Some(values),
            None => return None,
        }
    }
}

/// Returns the text up to the closing quote, and what is behind it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let (mut text, mut rest) = (String::new(), quoted);
    loop {
        let (before, behind) = rest.split_once('"')?;
        text.push_str(before);
        // A doubled quote is one of the text.
        match behind.strip_prefix('"') {
            Some(next) => {
                text.push('"');
                rest = next;
            }
            None => return Some((text, behind)),
        }
    }
}

/// Returns the error of a parameter that can be parsed, and has no such value or contradicts another one.
pub(super) fn breaks(name: &'static str, rule: impl Into<String>) -> BadRequest {
    BadRequest::Rule(Invalid::new(name, rule.into()))
}

/// Returns the text of an error behind the name of the parameter.
fn rule_of(error: &QueryError) -> String {
    match error {
        QueryError::Value { value, rule, .. } => format!("{value:?} is no value: it has {rule}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_outside_of_quotes() {
        let plain = |text: &'static str| (text.to_owned(), false);
        let quoted = |text: &'static str| (text.to_owned(), true);
        let rows = [
            ("", Some(vec![plain("")])),
            ("a", Some(vec![plain("a")])),
            (" a , b,", Some(vec![plain("a"), plain("b"), plain("")])),
            ("\"a, b\",c", Some(vec![quoted("a, b"), plain("c")])),
            (" \"-x\" , \"null\"", Some(vec![quoted("-x"), quoted("null")])),
            ("\"say \"\"hi\"\"\"", Some(vec![quoted("say \"hi\"")])),
            ("\"\"", Some(vec![quoted("")])),
            // A quote within a plain value is a part of it.
            ("5\" disk", Some(vec![plain("5\" disk")])),
            ("\"a", None),
            ("\"a\"b", None),
            ("\"", None),
            ("\"\"\"", None),
        ];
        for (list, want) in rows {
            let found = split(list);
            let found = found.map(|values| {
                values.into_iter().map(|value| (value.text.into_owned(), value.is_quoted)).collect::<Vec<_>>()
            });
            assert_eq!(found, want, "{list}");
        }
    }

    #[test]
    fn repeated_parameters_add_up() {
        let query = "referrer=a.test&referrer=-b.test,c.test&referrer=%22-d.test%22,other,null&\
                     tag=spring&link=-%22a,b%22";
        let (filters, named) = super::filters(&Query::parse(Some(query))).expect("filters");
        let text = FacetKey::text;
        let passes = vec![text("a.test"), text("-d.test"), FacetKey::Other, FacetKey::None];
        let excluded = vec![text("b.test"), text("c.test")];
        assert_eq!(
            filters,
            [
                FacetFilter { facet: Facet::Referrer, keys: passes, excludes: false },
                FacetFilter { facet: Facet::Referrer, keys: excluded, excludes: true },
            ]
        );
        assert_eq!(
            named,
            [
                NamedFilter { facet: Facet::Link, values: vec![Some("a,b".into())], excludes: true },
                NamedFilter { facet: Facet::Tag, values: vec![Some("spring".into())], excludes: false },
            ]
        );
        // A closed set has no other values.
        assert!(super::filters(&Query::parse(Some("device=other"))).is_err());
        let blanks = [
            "device=",
            "tag=",
            "referrer=a.test&referrer=",
            "browser=,",
            "browser=-",
            "os=Linux,",
            "tag=-,a",
        ];
        for blank in blanks {
            assert!(super::filters(&Query::parse(Some(blank))).is_err(), "{blank}");
        }
        let many = format!("country={}&country=DE", vec!["DE"; VALUES_MAX].join(","));
        assert!(super::filters(&Query::parse(Some(&many))).is_err());
    }
}
