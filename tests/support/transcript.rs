//! Transcripts: requests, each with the response that a vendor documents. A file is prose, then
//!
//! ```text
//! ### What this request is about
//! POST /links/
//! Authorization: Bearer {{token}}
//!
//! {"name": "first tag"}
//!
//! === 201
//! Content-Type: application/json; charset=utf-8
//!
//! {"link": {"id": "{{linkId:id}}", "name": "first tag", "createdAt": "{{:time}}"}}
//! ```
//!
//! Requests are sent exactly as written, without the blank lines around their body. In the response, JSON
//! must be equal; other headers are allowed, and the value `-` forbids a header. `{{name}}` is a known value;
//! alone in a string of a response, it stores an unknown one. `{{name:kind}}` stores a value of that kind,
//! `{{:kind}}` only checks it: `id`, `time`, `text`, `number`, `any`. The member `"..."` of an object allows
//! members that are not shown.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::http::Client;

/// The values of placeholders.
pub(crate) type Known = BTreeMap<String, String>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    title: String,
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    pub(crate) status: u16,
    answer_headers: Vec<(String, String)>,
    answer: Option<String>,
}

/// Parses a file. Panics with the title of the first exchange that is malformed.
pub(crate) fn parse(name: &str, text: &str) -> Vec<Exchange> {
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            blocks.push((format!("{name}: {title}"), Vec::new()));
        } else if let Some((_, lines)) = blocks.last_mut() {
            lines.push(line);
        }
    }
    blocks.into_iter().map(|(title, lines)| exchange(title, &lines)).collect()
}

fn exchange(title: String, lines: &[&str]) -> Exchange {
    let at = lines.iter().position(|line| line.starts_with("=== "));
    let at = at.unwrap_or_else(|| panic!("{title}: no line `=== STATUS`"));
    let ((first, headers, body), (status, answer_headers, answer)) =
        (message(&title, &lines[..at]), message(&title, &lines[at..]));
    let (method, target) = first.split_once(' ').unwrap_or_else(|| panic!("{title}: no request line"));
    let status = status["=== ".len()..].trim().parse();
    Exchange {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body,
        status: status.unwrap_or_else(|error| panic!("{title}: {error}")),
        answer_headers,
        answer,
        title,
    }
}

/// Splits a message into its first line, its headers and its body.
fn message(title: &str, lines: &[&str]) -> (String, Vec<(String, String)>, Option<String>) {
    let mut lines = lines.iter();
    let first = lines.by_ref().find(|line| !line.is_empty()).unwrap_or_else(|| panic!("{title}: empty"));
    let header = |line: &&str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{title}: header {line:?}"));
        (name.to_owned(), value.to_owned())
    };
    let headers = lines.by_ref().take_while(|line| !line.is_empty()).map(header).collect();
    let body = lines.copied().collect::<Vec<_>>().join("\n");
    let body = body.trim_matches('\n');
    ((*first).to_owned(), headers, (!body.is_empty()).then(|| body.to_owned()))
}

impl Exchange {
    /// Sends the request, compares the response, and returns both as an example.
    #[track_caller]
    pub(crate) fn run(&self, client: &mut Client, known: &mut Known) -> Example {
        let title = &self.title;
        let filled =
            |text: &str| fill(text, known).unwrap_or_else(|name| panic!("{title}: {name} is unknown"));
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), filled(value))).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = self.body.as_deref().map(filled);
        let target = filled(&self.target);
        let got = client.send(&self.method, &target, &headers, body.as_deref().map(str::as_bytes));
        assert_eq!(got.status, self.status, "{title}: {}", got.text());
        for (name, want) in &self.answer_headers {
            let want = (want != "-").then(|| filled(want));
            assert_eq!(got.header(name), want.as_deref(), "{title}: {name}");
        }
        let Some(want) = &self.answer else { return Example::default() };
        let want: Value = serde_json::from_str(want).unwrap_or_else(|error| panic!("{title}: {error}"));
        let got = got.json();
        remember(&want, &got, known);
        compare(&want, &got, known).unwrap_or_else(|why| panic!("{title}: {why}\nin {got:#}"));
        let request = self.body.as_deref().and_then(|body| fill(body, &steady(known)).ok());
        Example {
            request: request.and_then(|body| serde_json::from_str(&body).ok()),
            answer: example(&want, &got, &steady(known)),
        }
    }
}

/// An exchange as the OpenAPI description may show it: the same in every run.
#[derive(Debug, Default)]
pub(crate) struct Example {
    /// The request's body, if it is JSON.
    pub(crate) request: Option<Value>,
    /// The response, if the transcript shows it completely.
    pub(crate) answer: Option<Value>,
}

/// What examples show instead of a random id, secret or code.
const ID: &str = "0N88vwqp0EUhFT57aXBu";
const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const CODE: &str = "k3Xb9Qz";

/// Returns the known values, with fixed ones instead of random ones.
fn steady(known: &Known) -> Known {
    known.iter().map(|(name, value)| (name.clone(), steady_text(name, value))).collect()
}

fn steady_text(name: &str, value: &str) -> String {
    for prefix in ["", "link_", "camp_"] {
        // Ids of these years begin with a zero; those in the vendors' examples do not.
        let drawn = |rest: &str| rest.starts_with('0') && is_of("id", &Value::from(rest));
        if value.strip_prefix(prefix).is_some_and(drawn) {
            return format!("{prefix}{ID}");
        }
    }
    // The id of a rule: that of its link, and a number.
    if let Some((_, number)) = value.strip_prefix("rule_").and_then(|rest| rest.split_once('_')) {
        return format!("rule_{ID}_{number}");
    }
    for prefix in ["wp_", "whsec_"] {
        if value.starts_with(prefix) {
            // The hint of a key is its beginning.
            return format!("{prefix}{SECRET}").chars().take(value.len()).collect();
        }
    }
    if name == "code" { CODE.to_owned() } else { value.to_owned() }
}

/// Returns the response with fixed values instead of random ones, or `None` if the transcript leaves out
/// members.
fn example(want: &Value, got: &Value, steady: &Known) -> Option<Value> {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => {
            let member = |(name, want): (&String, &Value)| {
                Some((name.clone(), example(want, got.get(name)?, steady)?))
            };
            want.iter().map(member).collect::<Option<_>>().map(Value::Object)
        }
        (Value::Array(want), Value::Array(got)) => {
            let items = want.iter().zip(got).map(|(want, got)| example(want, got, steady));
            items.collect::<Option<_>>().map(Value::Array)
        }
        (Value::String(text), got) => match (placeholder(text), got.as_str()) {
            (Some((name, _)), Some(got)) => Some(steady_text(name, got).into()),
            (Some(_), None) => Some(got.clone()),
            (None, _) => fill(text, steady).ok().map(Value::from),
        },
        _ => Some(got.clone()),
    }
}

/// Fills in the known values. Fails with the name of an unknown placeholder.
fn fill(text: &str, known: &Known) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        filled.push_str(before);
        if let Some((name, after)) = behind.split_once("}}").filter(|(name, _)| is_name(name)) {
            filled.push_str(known.get(name).ok_or(name)?);
            rest = after;
        } else {
            // Braces of the vendor, as in `{{trigger_link.x}}`, stay.
            filled.push_str("{{");
            rest = behind;
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Remembers the values of placeholders that are still unknown. Runs before the comparison, since members
/// come in any order.
fn remember(want: &Value, got: &Value, known: &mut Known) {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => {
            for (name, want) in want {
                got.get(name).into_iter().for_each(|got| remember(want, got, known));
            }
        }
        (Value::Array(want), Value::Array(got)) => {
            want.iter().zip(got).for_each(|(want, got)| remember(want, got, known));
        }
        (Value::String(want), got) => {
            if let Some((name, _)) = placeholder(want).filter(|(name, _)| !name.is_empty()) {
                let shown = got.as_str().map_or_else(|| got.to_string(), str::to_owned);
                known.entry(name.to_owned()).or_insert(shown);
            }
        }
        _ => {}
    }
}

/// Returns name and kind of a text that consists of one placeholder. Either may be empty.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let (name, kind) = inner.split_once(':').unwrap_or((inner, ""));
    (!inner.is_empty() && (name.is_empty() || is_name(name))).then_some((name, kind))
}

/// Compares two values. The error contains the path at which they differ.
fn compare(want: &Value, got: &Value, known: &Known) -> Result<(), String> {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => {
            for (name, want) in want.iter().filter(|(name, _)| *name != "...") {
                let got = got.get(name).ok_or_else(|| format!("{name} is missing"))?;
                compare(want, got, known).map_err(|why| format!("{name}.{why}"))?;
            }
            let more = got.keys().find(|name| !want.contains_key(*name) && !want.contains_key("..."));
            more.map_or(Ok(()), |name| Err(format!("{name} is not expected")))
        }
        (Value::Array(want), Value::Array(got)) if want.len() == got.len() => {
            let mut pairs = want.iter().zip(got).enumerate();
            pairs.try_for_each(|(at, (want, got))| {
                compare(want, got, known).map_err(|why| format!("{at}.{why}"))
            })
        }
        (Value::String(text), got) => compare_text(text, got, known),
        (want, got) if want == got => Ok(()),
        (want, got) => Err(format!(" {want} expected, {got} found")),
    }
}

fn compare_text(text: &str, got: &Value, known: &Known) -> Result<(), String> {
    let differs = |want: &str| Err(format!(" {want} expected, {got} found"));
    if let Some((name, kind)) = placeholder(text) {
        let shown = got.as_str().map_or_else(|| got.to_string(), str::to_owned);
        return match known.get(name) {
            Some(want) if *want != shown => differs(&format!("{want:?}")),
            _ if kind.is_empty() || is_of(kind, got) => Ok(()),
            _ => differs(text),
        };
    }
    let want = fill(text, known).map_err(|name| format!(" {name} is unknown"))?;
    if got.as_str() == Some(&want) { Ok(()) } else { differs(&format!("{want:?}")) }
}

fn is_of(kind: &str, got: &Value) -> bool {
    let text = got.as_str().unwrap_or("");
    match kind {
        "id" => text.len() == 20 && text.bytes().all(|b| b.is_ascii_alphanumeric()),
        "time" => {
            let shape = |b: u8| if b.is_ascii_digit() { '0' } else { char::from(b) };
            text.bytes().map(shape).eq("0000-00-00T00:00:00.000Z".chars())
        }
        "text" => !text.is_empty(),
        "number" => got.is_number(),
        "any" => true,
        other => panic!("{other:?} is no kind"),
    }
}

#[test]
fn placeholders_are_met_remembered_and_compared() {
    let known = || Known::from([("a".to_owned(), "x".to_owned())]);
    let rows = [
        (r#"{"k":"{{a}}"}"#, r#"{"k":"x"}"#, None),
        (r#"{"k":"{{a}}"}"#, r#"{"k":"y"}"#, Some("k. \"x\" expected, \"y\" found")),
        (r#"{"k":"{{link.{{a}}}}"}"#, r#"{"k":"{{link.x}}"}"#, None),
        (r#"["{{b:id}}","{{b}}"]"#, r#"["0123456789abcdefghij","0123456789abcdefghij"]"#, None),
        (r#"["{{b}}","{{b}}"]"#, r#"["1","2"]"#, Some("1. \"1\" expected, \"2\" found")),
        (r#""{{:time}}""#, r#""2026-01-01T00:00:00.000Z""#, None),
        (r#""{{:time}}""#, r#""2026-01-01""#, Some(" {{:time}} expected, \"2026-01-01\" found")),
        (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, Some("b is not expected")),
        (r#"{"a":1,"...":0}"#, r#"{"a":1,"b":2}"#, None),
        (r#"{"a":"{{b}}-{{c}}","b":"{{b}}","c":"{{c}}"}"#, r#"{"a":"x-y","b":"x","c":"y"}"#, None),
        (r#"{"a":1}"#, "{}", Some("a is missing")),
        ("[1]", "[1,2]", Some(" [1] expected, [1,2] found")),
        ("1", "\"1\"", Some(" 1 expected, \"1\" found")),
    ];
    for (want, got, why) in rows {
        let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let (want, got, mut known) = (json(want), json(got), known());
        remember(&want, &got, &mut known);
        assert_eq!(compare(&want, &got, &known).err().as_deref(), why, "{want} {got}");
    }
}
