//! JSON as requests and import files contain it, and as responses and exports write it.
//!
//! The reader is strict where JSON is loose. Equal keys in one object are an error, since two readers would
//! use different ones. A number where a string belongs is an error. `5.0` is accepted for 5, since some
//! clients know floats only. Absent, null and a value are three cases.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::clock::{GivenTime, NotATimestamp, Timestamp};
use crate::model::Invalid;
use crate::model::text::trim_invisible;

/// Most values in one text; a text with more is rejected as malformed. A bulk of 1,000 rows with every field
/// and 50 tags each has some 80,000. Without this bound, 8 MB of `0,0,0` would take sixteen times that in
/// memory.
const VALUES_MAX: usize = 100_000;

/// The rule of an instant, for values that are no string.
const INSTANT_RULE: &str =
    "must be a string with a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z";

/// U+FEFF in UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Longest key in bytes that a message repeats, some three times the longest name of a field.
const NAME_SHOWN_MAX: usize = 64;

/// The rule of a count that may be 0.
pub const COUNT_RULE: &str = "must be a whole number, 0 or more";

/// Largest whole number that is read from a float, 2^53 - 1: larger floats skip whole numbers.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The types of JSON.
pub enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// The members of an object. Each name occurs once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(BTreeMap<String, Json>);

/// A member of an object, where absent and null are two cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The three cases of a member.
pub enum Field<T> {
    Absent,
    Null,
    Value(T),
}

impl<T> Field<T> {
    /// Returns the value, or `None` if the member is absent or null.
    pub fn value(self) -> Option<T> {
        match self {
            Field::Absent | Field::Null => None,
            Field::Value(value) => Some(value),
        }
    }

    /// Applies `change` to the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Field::Absent => Field::Absent,
            Field::Null => Field::Null,
            Field::Value(value) => Field::Value(change(value)),
        }
    }

    /// Returns what a nullable member sets: `None` if it is absent, `Some(None)` if it is null.
    pub fn nullable(self) -> Option<Option<T>> {
        match self {
            Field::Absent => None,
            Field::Null => Some(None),
            Field::Value(value) => Some(Some(value)),
        }
    }
}

impl<T, E> Field<Result<T, E>> {
    /// Fails with the error of the value.
    pub fn transpose(self) -> Result<Field<T>, E> {
        Ok(match self {
            Field::Absent => Field::Absent,
            Field::Null => Field::Null,
            Field::Value(value) => Field::Value(value?),
        })
    }
}

/// A member is missing or of the wrong type. A type apart from [`Invalid`], since vendors answer the two with
/// different statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistyped(pub Invalid);

/// Why an object is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// A member is missing or of the wrong type.
    Mistyped(Invalid),
    /// A value of the right type breaks a rule.
    Rule(Invalid),
}

impl From<Mistyped> for FieldError {
    fn from(Mistyped(invalid): Mistyped) -> FieldError {
        FieldError::Mistyped(invalid)
    }
}

impl From<Invalid> for FieldError {
    fn from(invalid: Invalid) -> FieldError {
        FieldError::Rule(invalid)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (FieldError::Mistyped(invalid) | FieldError::Rule(invalid)) = self;
        invalid.fmt(f)
    }
}

/// Parses a text that must be one object. The error is a sentence.
pub fn object(bytes: &[u8]) -> Result<Object, String> {
    match parse(bytes)? {
        Json::Object(object) => Ok(object),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => {
            Err("the body must be a JSON object".to_owned())
        }
    }
}

/// Parses any JSON text. The error is a sentence.
pub fn parse(bytes: &[u8]) -> Result<Json, String> {
    // RFC 8259 8.1: a reader may ignore it. Windows tools write it, and nothing of it can be seen.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if is_utf16(bytes) {
        return Err("the body is not valid JSON: it is encoded as UTF-16; send it as UTF-8".to_owned());
    }
    if bytes.trim_ascii().is_empty() {
        return Err("the body is empty: send a JSON object such as {\"name\": \"value\"}".to_owned());
    }
    let left = Cell::new(VALUES_MAX);
    // Not through `serde_json::Value`, which keeps the last of two equal keys.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Seed(&left)
        .deserialize(&mut reader)
        // A second text after the first would be ignored by one reader and used by another.
        .and_then(|json| reader.end().map(|()| json))
        .map_err(|error| {
            if is_form(bytes) {
                return "the body is not valid JSON: it is a form; send a JSON object such as {\"name\": \"value\"}"
                    .to_owned();
            }
            format!("the body is not valid JSON: {error}")
        })
}

/// Returns whether a text looks like a form: `name=value`, or its parts with a boundary before each.
fn is_form(bytes: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+%[]*".contains(byte);
    let name = bytes.iter().position(|byte| !is_name(byte));
    // A list begins with a bracket, and no name of a field does.
    let is_encoded = name.is_some_and(|end| end > 0 && bytes[end] == b'=') && bytes[0] != b'[';
    let text = || bytes.windows(9).take(512).any(|part| part.eq_ignore_ascii_case(b"form-data"));
    is_encoded || (bytes.starts_with(b"--") && text())
}

/// Returns whether a text is UTF-16 with a byte order mark, or without one and with an ASCII character at its
/// beginning, as every JSON text has.
fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => true,
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    }
}

/// Serializes a value.
///
/// # Panics
///
/// Panics if the value has a map whose keys are no strings, or a serializer that fails.
pub fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("keys are strings and no serializer here fails")
}

/// Serializes as the text of the inner value, such as an id or an instant.
#[derive(Clone, Copy, Debug)]
pub struct AsText<T>(pub T);

impl<T: fmt::Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Builds a [`Json`]. The cell counts the values that are still allowed.
#[derive(Clone, Copy)]
struct Seed<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        // Before the value is read: a list allocates as it grows, so a count afterwards bounds nothing.
        let left = self.0.get().checked_sub(1);
        let left = left.ok_or_else(|| D::Error::custom(format!("it has more than {VALUES_MAX} values")))?;
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        // JSON has no infinity and no NaN, so this is never null.
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        // The parser borrows where it can, and the value outlives the body.
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(twice(&name)));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(Object(object)))
    }
}

/// Returns whether a key looks like the name of a field. A message repeats no other key: it may be a secret at
/// the wrong place.
pub fn looks_like_a_field(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    (1..=NAME_SHOWN_MAX).contains(&name.len()) && name.bytes().all(is_letter)
}

/// Returns the error of an object with two equal keys.
fn twice(name: &str) -> String {
    if looks_like_a_field(name) {
        format!("an object has the key {name:?} twice")
    } else {
        "an object has two equal keys".to_owned()
    }
}

fn mistyped(field: &'static str, why: &str) -> Mistyped {
    Mistyped(Invalid::new(field, why))
}

impl FromIterator<(String, Json)> for Object {
    fn from_iter<I: IntoIterator<Item = (String, Json)>>(members: I) -> Object {
        Object(members.into_iter().collect())
    }
}

impl Object {
    /// Returns the member of this name.
    pub fn get(&self, name: &str) -> Field<&Json> {
        match self.0.get(name) {
            None => Field::Absent,
            // Apart from absent: null clears a field of a change.
            Some(Json::Null) => Field::Null,
            Some(value) => Field::Value(value),
        }
    }

    /// Removes a member.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Renames a member, unless a member of the new name exists.
    pub fn rename(&mut self, from: &str, to: &str) {
        // A member of the new name wins: it is the one that the reader documents.
        if !self.0.contains_key(to)
            && let Some(value) = self.0.remove(from)
        {
            self.0.insert(to.to_owned(), value);
        }
    }

    /// Returns a string that may be null. `""` is null: tools without code send it for a field that was left
    /// empty.
    pub fn text(&self, name: &'static str) -> Result<Field<&str>, Mistyped> {
        Ok(match self.string(name)? {
            Field::Value("") => Field::Null,
            field => field,
        })
    }

    /// Returns a string, `""` included.
    pub fn string(&self, name: &'static str) -> Result<Field<&str>, Mistyped> {
        match self.get(name) {
            Field::Value(Json::Text(text)) => Ok(Field::Value(text)),
            Field::Value(_) => Err(mistyped(name, "must be a string")),
            Field::Null => Ok(Field::Null),
            Field::Absent => Ok(Field::Absent),
        }
    }

    /// Returns a string that can be set and not cleared: it may be absent, and null is an error.
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, Mistyped> {
        match self.string(name)? {
            Field::Absent => Ok(None),
            Field::Null => Err(mistyped(name, "must be a string")),
            Field::Value(text) => Ok(Some(text)),
        }
    }

    /// Returns a string. Fails if it is absent or null.
    pub fn required(&self, name: &'static str) -> Result<&str, Mistyped> {
        self.optional(name)?.ok_or_else(|| mistyped(name, "is required"))
    }

    /// Returns an ISO 8601 instant. A bare date is the beginning of the day in UTC, and `""` is null.
    pub fn instant(&self, name: &'static str) -> Result<Field<Timestamp>, FieldError> {
        self.time(name, str::parse)
    }

    /// Returns the beginning of a time: an ISO 8601 instant, or the first moment of a day. `""` is null.
    pub fn start(&self, name: &'static str) -> Result<Field<GivenTime>, FieldError> {
        self.time(name, GivenTime::parse_start)
    }

    /// Returns the end of a time: an ISO 8601 instant, or the last millisecond of a day. `""` is null.
    pub fn end(&self, name: &'static str) -> Result<Field<GivenTime>, FieldError> {
        self.time(name, GivenTime::parse_end)
    }

    fn time<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, NotATimestamp>,
    ) -> Result<Field<T>, FieldError> {
        // What cannot be seen comes with a pasted text.
        let read =
            |text: &str| parse(trim_invisible(text)).map_err(|error| Invalid::new(name, error.to_string()));
        // Not the error of `text`: the likeliest mistake is a number of seconds or milliseconds.
        let text = self.text(name).map_err(|_| mistyped(name, INSTANT_RULE))?;
        Ok(text.map(read).transpose()?)
    }

    /// Returns a boolean.
    pub fn flag(&self, name: &'static str) -> Result<Field<bool>, Mistyped> {
        let read = |json: &Json| match json {
            Json::Bool(on) => Ok(*on),
            _ => Err(mistyped(name, "must be true or false")),
        };
        self.get(name).map(read).transpose()
    }

    /// Returns a whole number of 0 or more. Fails with `rule` for any other value.
    pub fn count(&self, name: &'static str, rule: &'static str) -> Result<Field<u64>, Mistyped> {
        let read = |json: &Json| {
            let number = match json {
                Json::Number(number) => whole(number),
                _ => None,
            };
            number.ok_or_else(|| mistyped(name, rule))
        };
        self.get(name).map(read).transpose()
    }

    /// Returns an array of strings.
    pub fn texts(&self, name: &'static str) -> Result<Field<Vec<&str>>, Mistyped> {
        let refuse = || mistyped(name, "must be an array of strings");
        match self.get(name) {
            Field::Value(Json::List(items)) => items
                .iter()
                .map(|item| if let Json::Text(text) = item { Ok(text.as_str()) } else { Err(refuse()) })
                .collect::<Result<Vec<_>, _>>()
                .map(Field::Value),
            Field::Value(_) => Err(refuse()),
            Field::Null => Ok(Field::Null),
            Field::Absent => Ok(Field::Absent),
        }
    }

    /// Returns an array.
    pub fn list(&self, name: &'static str) -> Result<Field<&[Json]>, Mistyped> {
        match self.get(name) {
            Field::Value(Json::List(items)) => Ok(Field::Value(items)),
            Field::Value(_) => Err(mistyped(name, "must be an array")),
            Field::Null => Ok(Field::Null),
            Field::Absent => Ok(Field::Absent),
        }
    }

    /// Returns all members, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// Returns a number as a whole number, or `None` if it has a fraction or is negative or too large.
pub fn whole(number: &serde_json::Number) -> Option<u64> {
    if let Some(whole) = number.as_u64() {
        return Some(whole);
    }
    // Only numbers that were written as floats: an integer beyond 64 bits must not be rounded.
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)?;
    // The range is checked first. Within it every whole number is exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=EXACT_MAX).contains(&float).then_some(float as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deep(open: &str) -> String {
        open.repeat(100_000)
    }

    #[test]
    fn a3_a_byte_order_mark_is_skipped_and_utf_16_is_named() {
        assert!(object("\u{feff}{}".as_bytes()).is_ok());
        for bytes in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}", b"{\0}\0", b"\0{\0}"] {
            assert!(object(bytes).is_err_and(|error| error.contains("UTF-16")), "{bytes:?}");
        }
    }

    #[test]
    fn a1_a_bare_date_is_the_beginning_or_the_end_of_its_day() {
        let body = object(br#"{"day":"2026-12-31","time":"2026-12-31T00:00:00Z","empty":""}"#).expect("JSON");
        assert!(object("{\"a\":\"2026-12-31\u{200b}\"}".as_bytes()).is_ok_and(|body| body.end("a").is_ok()));
        let shown = |field: Result<Field<GivenTime>, FieldError>| {
            field.expect("a time").map(|at| at.in_utc().to_string())
        };
        assert_eq!(shown(body.start("day")), Field::Value("2026-12-31T00:00:00.000Z".to_owned()));
        assert_eq!(shown(body.end("day")), Field::Value("2026-12-31T23:59:59.999Z".to_owned()));
        assert_eq!(shown(body.end("time")), Field::Value("2026-12-31T00:00:00.000Z".to_owned()));
        assert_eq!(shown(body.end("empty")), Field::Null);
    }

    #[test]
    fn a2_an_empty_text_is_null_where_null_is_allowed() {
        let body = object(br#"{"a":""}"#).expect("JSON");
        assert_eq!(body.text("a"), Ok(Field::Null));
        assert!(body.count("a", COUNT_RULE).is_err(), "a number has no text");
        assert_eq!(body.required("a"), Ok(""));
    }

    #[test]
    fn t18_refuses_what_readers_disagree_about() {
        const FORM: &str =
            "the body is not valid JSON: it is a form; send a JSON object such as {\"name\": \"value\"}";
        let rows = [
            ("", "the body is empty: send a JSON object such as {\"name\": \"value\"}"),
            (" \n", "the body is empty: send a JSON object such as {\"name\": \"value\"}"),
            ("{", "the body is not valid JSON: EOF while parsing an object at line 1 column 1"),
            ("{}}", "the body is not valid JSON: trailing characters at line 1 column 3"),
            (
                r#"{"a":1,"a":1}"#,
                "the body is not valid JSON: an object has the key \"a\" twice at line 1 column 13",
            ),
            (
                r#"{"a":1,"\u0061":1}"#,
                "the body is not valid JSON: an object has the key \"a\" twice at line 1 column 18",
            ),
            // Not the name of a field, perhaps a secret.
            (
                r#"{"a-1":1,"a-1":1}"#,
                "the body is not valid JSON: an object has two equal keys at line 1 column 17",
            ),
            (r#"{"a":1e400}"#, "the body is not valid JSON: number out of range at line 1 column 10"),
            // One is skipped.
            ("\u{feff}\u{feff}{}", "the body is not valid JSON: expected value at line 1 column 1"),
            ("url=https%3A%2F%2Fe.test&customSlug=a", FORM),
            ("link[url]=https://e.test/", FORM),
            ("--x\r\nContent-Disposition: form-data; name=\"url\"\r\n\r\nu\r\n--x--", FORM),
            ("[a=1]", "the body is not valid JSON: expected value at line 1 column 2"),
            ("null", "the body must be a JSON object"),
            ("[]", "the body must be a JSON object"),
            ("\"a\"", "the body must be a JSON object"),
        ];
        for (text, want) in rows {
            assert_eq!(object(text.as_bytes()).map_err(|e| e.clone()), Err(want.to_owned()), "{text}");
        }
        // The depth is bounded by the parser: recursion must not overflow the stack. And a surrogate alone is
        // no text.
        for text in [deep("["), deep("{\"a\":"), "{\"a\":\"\\ud800\"}".to_owned()] {
            assert!(object(text.as_bytes()).is_err(), "{}", &text[..8]);
        }
        // JavaScript, JSON5 and other dialects.
        for text in [
            "{\"a\":\"\\udc00\\ud800\"}",
            "{\"a\":\"\t\"}",
            "{\"a\":\"\\x41\"}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "{\"a\":0x10}",
            "{\"a\":NaN}",
            "{\"a\":-Infinity}",
            "{\"a\":True}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\":[1,]}",
            "{\"a\":1}//",
            "/**/{}",
            "{}\0",
            "{}{}",
            "{\"a\" 1}",
            "\u{a0}{}",
            "a=1",
        ] {
            assert!(object(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(object(b"{\"a\":\"\xc0\xaf\"}").is_err(), "an overlong slash");
        assert!(object(b"{\"a\":\"\xed\xa0\x80\"}").is_err(), "a surrogate in UTF-8");
        assert!(
            object("{}".encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>().as_slice()).is_err()
        );
        assert!(object(&"{}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).is_err());
        // Past the bound. The list itself is a value, too.
        let many = format!("[{}0]", "0,".repeat(VALUES_MAX));
        let error = parse(many.as_bytes()).expect_err("too many");
        assert!(error.starts_with("the body is not valid JSON: it has more than 100000 values"), "{error}");
    }

    #[test]
    fn t73_whole_numbers() {
        let rows = [
            ("0", Ok(0)),
            ("5", Ok(5)),
            ("5.0", Ok(5)),
            ("1E2", Ok(100)),
            ("9007199254740991.0", Ok(9_007_199_254_740_991)),
            // The first float that may stand for another number.
            ("9007199254740992.0", Err(())),
            ("-0", Ok(0)),
            ("1e308", Err(())),
            ("-9223372036854775808", Err(())),
            ("-9223372036854775809", Err(())),
            // Beyond 64 bits the parser reads a float.
            ("340282366920938463463374607431768211456", Err(())),
            ("1e-1", Err(())),
            ("0.9999999999999999", Err(())),
            ("{}", Err(())),
            ("18446744073709551615", Ok(u64::MAX)),
            // Written as an integer, it is exact.
            ("9007199254740993", Ok(9_007_199_254_740_993)),
            // Zero, whatever its sign.
            ("-0.0", Ok(0)),
            ("-1", Err(())),
            ("1.5", Err(())),
            ("1e20", Err(())),
            ("18446744073709551616", Err(())),
            ("\"5\"", Err(())),
            ("true", Err(())),
            ("[5]", Err(())),
        ];
        for (text, want) in rows {
            let object = object(format!("{{\"n\":{text}}}").as_bytes()).expect("valid JSON");
            let why = format!("n: {COUNT_RULE}");
            let want = want.map(Field::Value).map_err(|()| why);
            assert_eq!(object.count("n", COUNT_RULE).map_err(|e| e.0.to_string()), want, "{text}");
        }
    }

    #[test]
    fn wrong_types_name_the_field() {
        let object = object(br#"{"a":1,"b":null,"c":"x","d":["x",1],"e":["x","y"]}"#).expect("valid JSON");
        let text = |name| object.text(name).map_err(|e| e.0.to_string());
        assert_eq!(text("a"), Err("a: must be a string".to_owned()));
        assert_eq!(text("b"), Ok(Field::Null));
        assert_eq!(text("c"), Ok(Field::Value("x")));
        assert_eq!(text("z"), Ok(Field::Absent));
        assert_eq!(object.required("z").map_err(|e| e.0.to_string()), Err("z: is required".to_owned()));
        let error = object.flag("c").map_err(|e| e.0.to_string());
        assert_eq!(error, Err("c: must be true or false".to_owned()));
        let error = object.texts("d").map_err(|e| e.0.to_string());
        assert_eq!(error, Err("d: must be an array of strings".to_owned()));
        assert_eq!(object.texts("e"), Ok(Field::Value(vec!["x", "y"])));
        assert_eq!(object.list("c").map_err(|e| e.0.to_string()), Err("c: must be an array".to_owned()));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
