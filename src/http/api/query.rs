//! The query of a request, for every dialect. A name that occurs twice is an error: servers differ in which
//! of the two values counts.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::json::Mistyped;
use crate::model::Invalid;

/// A decoded query.
#[derive(Debug)]
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The names that were looked up: those that the endpoint knows, since it looks all of them up in every request.
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Query<'a> {
    /// Decodes `a=b&c=d`. Bytes that are not UTF-8 become replacement characters.
    pub fn parse(raw: Option<&'a str>) -> Query<'a> {
        let pairs = url::form_urlencoded::parse(raw.unwrap_or("").as_bytes()).collect();
        Query { pairs, known: RefCell::default() }
    }

    /// Returns the names that were not looked up so far, and those that were.
    pub(crate) fn unknown(&self) -> (Vec<&str>, Vec<&'static str>) {
        let known = self.known.borrow().clone();
        let names = self.pairs.iter().map(|(name, _)| &**name);
        (names.filter(|name| !known.contains(name)).collect(), known)
    }

    /// Returns the value of this name; an empty value is `None`.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, Mistyped> {
        self.known.borrow_mut().push(name);
        let mut values = self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let value = values.next();
        // Decoded names are compared, so `%61=` beside `a=` is found as well.
        if values.next().is_some() {
            return Err(Mistyped(Invalid::new(name, "must be given once")));
        }
        // Forms send an empty value for a field without a choice.
        Ok(value.map(|value| &**value).filter(|value| !value.is_empty()))
    }

    /// Returns whether the query has this name, with any value.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// Returns whether the query has this name without a value.
    pub fn is_blank(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, value)| key == name && value.is_empty())
    }

    /// Returns all values of this name that are not empty.
    pub fn all(&self, name: &'static str) -> Vec<&str> {
        self.known.borrow_mut().push(name);
        let values = self.pairs.iter().filter(|(key, value)| key == name && !value.is_empty());
        values.map(|(_, value)| &**value).collect()
    }

    /// Returns the value of this name as a whole number from `min` to `max`.
    pub fn number(&self, name: &'static str, min: u64, max: u64) -> Result<Option<u64>, Mistyped> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        // `parse` alone accepts `+5`.
        let number = text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
        let error = || Mistyped(Invalid::new(name, format!("must be a whole number from {min} to {max}")));
        number.filter(|number| (min..=max).contains(number)).ok_or_else(error).map(Some)
    }

    /// Returns the value of this name as `true` or `false`.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, Mistyped> {
        match self.text(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Mistyped(Invalid::new(name, "must be true or false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_once_and_numbers_within_bounds() {
        let query = Query::parse(Some("a=1&b=x%20y+z&c=&d=1&d=2&e=-1&f=101&g=+5&h=true&i=yes"));
        let number = |name| query.number(name, 1, 100).map_err(|e| e.0.to_string());
        assert_eq!(query.text("b"), Ok(Some("x y z")));
        assert_eq!(query.text("c"), Ok(None));
        assert_eq!(query.text("zz"), Ok(None));
        assert_eq!(
            ["a", "c", "zz"].map(|name| (query.has(name), query.is_blank(name))),
            [(true, false), (true, true), (false, false)]
        );
        assert_eq!((query.all("d"), query.all("c"), query.all("zz")), (vec!["1", "2"], vec![], vec![]));
        assert_eq!(query.text("d").map_err(|e| e.0.to_string()), Err("d: must be given once".to_owned()));
        assert_eq!(number("a"), Ok(Some(1)));
        for name in ["b", "e", "f", "g"] {
            assert_eq!(number(name), Err(format!("{name}: must be a whole number from 1 to 100")), "{name}");
        }
        assert_eq!(query.flag("h"), Ok(Some(true)));
        assert_eq!(query.flag("i").map_err(|e| e.0.to_string()), Err("i: must be true or false".to_owned()));
    }
}
