//! `waypost link explain`: what a click would do, and why. It counts nothing.

use clap::Args;
use hyper::Method;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::named::{LINKS, NamedLink, PastedLink};
use super::rules;
use crate::cli::api_client::{ApiClient, ClientArguments};
use crate::cli::columns::{TableColumn, columns, list, table, text};
use crate::cli::error::CommandError;
use crate::cli::output::print_line;
use crate::cli::terminal;

/// Least width of the last column. A narrower terminal breaks the lines itself.
const WHY_MIN: usize = 24;

#[derive(Clone, Debug, Args)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    link: NamedLink,
    /// The User-Agent of the visitor, such as Googlebot/2.1.
    #[arg(long, value_name = "TEXT")]
    ua: Option<String>,
    /// The query of the visitor, such as a=1&b=2. Default: that of a short URL in place of CODE.
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// How the visitor found the link, whatever the query has.
    #[arg(long, value_parser = ["link", "qr"])]
    trigger: Option<String>,
    /// The time of the click, such as 2027-12-31T18:00:00Z. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The device of the visitor, in place of that of the User-Agent: desktop, mobile, tablet and others.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// The system of the visitor, such as iOS or Windows.
    #[arg(long, value_name = "NAME")]
    os: Option<String>,
    /// The browser of the visitor, such as Firefox.
    #[arg(long, value_name = "NAME")]
    browser: Option<String>,
    /// The country of the visitor, such as DE.
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// The region of the visitor.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// The city of the visitor.
    #[arg(long, value_name = "NAME")]
    city: Option<String>,
    /// The Accept-Language of the visitor, such as de-AT,de;q=0.9.
    #[arg(long, value_name = "TEXT")]
    language: Option<String>,
    /// The page before the click.
    #[arg(long, value_name = "URL")]
    referrer: Option<String>,
    /// The Cookie of the visitor.
    #[arg(long, value_name = "TEXT")]
    cookie: Option<String>,
    /// The address of the visitor, such as 192.0.2.7.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The host of the short URL. Default: that of the link.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The path behind the code. Default: that of a short URL in place of CODE.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The clicks of the link so far. Default: the present number.
    #[arg(long, value_name = "N")]
    clicks: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
}

/// The properties of a visitor, with their options.
const OPTIONS: &[(&str, &str)] = &[
    ("ua", "--ua"),
    ("query", "--query"),
    ("trigger", "--trigger"),
    ("at", "--at"),
    ("device", "--device"),
    ("os", "--os"),
    ("browser", "--browser"),
    ("country", "--country"),
    ("region", "--region"),
    ("city", "--city"),
    ("language", "--language"),
    ("referrer", "--referrer"),
    ("cookie", "--cookie"),
    ("address", "--address"),
    ("host", "--host"),
    ("path", "--path"),
    ("clicks", "--clicks"),
];

impl ExplainArguments {
    /// Returns the properties of the visitor, by their names in the API.
    fn visitor(&self) -> impl Iterator<Item = (&'static str, &Option<String>)> {
        // All fields are named, so that a new option is not forgotten here.
        let ExplainArguments {
            link: _,
            client: _,
            ua,
            query,
            trigger,
            at,
            device,
            os,
            browser,
            country,
            region,
            city,
            language,
            referrer,
            cookie,
            address,
            host,
            path,
            clicks,
        } = self;
        let values = [
            ua, query, trigger, at, device, os, browser, country, region, city, language, referrer, cookie,
            address, host, path, clicks,
        ];
        OPTIONS.iter().map(|(name, _)| *name).zip(values)
    }
}

/// Runs the command.
pub(super) fn run(arguments: &ExplainArguments) -> Result<(), CommandError> {
    let arguments = visited(arguments)?;
    let client = ApiClient::new(&arguments.client)?;
    let found = arguments.link.find(&client)?;
    let link = &found.value["link"];
    let mut query = Serializer::new(String::new());
    for (name, value) in arguments.visitor() {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let path = format!("{LINKS}/{}/explain?{}", text(&link["id"]), query.finish());
    let answer = client.send(&Method::GET, &path, None).map_err(|error| error.with_options(&[OPTIONS]))?;
    if client.shows_json {
        answer.print();
    } else {
        print_line(&words(link, &answer.value["explain"], terminal::width()));
    }
    Ok(())
}

/// Returns the arguments with the path and the query of a short URL in place of the code. Fails if an option sets the same.
fn visited(arguments: &ExplainArguments) -> Result<ExplainArguments, CommandError> {
    let PastedLink { link, path, query } = arguments.link.pasted();
    let one = |option: &str, given: Option<&String>, pasted: Option<String>| match (given, pasted) {
        (Some(_), Some(pasted)) => {
            Err(CommandError::Usage(format!("{option}: CODE has one already, {pasted:?}: give one of them")))
        }
        (given, pasted) => Ok(given.cloned().or(pasted)),
    };
    let path = one("--path", arguments.path.as_ref(), path)?;
    let query = one("--query", arguments.query.as_ref(), query)?;
    Ok(ExplainArguments { link, query, path, ..arguments.clone() })
}

fn words(link: &Value, explain: &Value, width: usize) -> String {
    let counted = if explain["counted"] == true { "yes" } else { "no" };
    let pairs = [
        ("short URL", text(&link["shortUrl"])),
        ("outcome", text(&explain["outcome"])),
        ("status", text(&explain["status"])),
        ("location", text(&explain["location"])),
        ("counts as a click", counted.to_owned()),
        ("password locked until", text(&explain["passwordLockedUntil"])),
    ];
    let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<_> = set.map(|(name, value)| (name.to_owned(), value)).collect();
    let steps = explain["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let rules = link["rules"].as_array().map_or(&[][..], Vec::as_slice);
    let decides = explain["rules"].as_array().into_iter().flatten().position(|rule| rule["holds"] == true);
    format!("{}\n\n{}", list(&pairs), wrapped_table(&step_rows(steps, rules, decides), width))
}

/// Returns rule, result and reason of each step, and of the rules of the link behind the one that decides.
fn step_rows(steps: &[Value], rules: &[Value], decides: Option<usize>) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    for step in steps {
        let at = place(step);
        let Some(rule) = at.and_then(|at| rules.get(at)) else {
            let passes = if step["passes"] == true { "passes" } else { "ends here" };
            rows.push([text(&step["rule"]), passes.to_owned(), text(&step["why"])]);
            continue;
        };
        let holds = at == decides;
        let (result, why) = result(rule, step, holds);
        rows.push([rules::title(rule), result.to_owned(), why]);
        if holds {
            let behind = rules.iter().skip(at.map_or(usize::MAX, |at| at + 1));
            rows.extend(behind.map(|rule| {
                [rules::title(rule), "skipped".to_owned(), "the first rule that holds decides".to_owned()]
            }));
        }
    }
    rows
}

/// Returns the place in the list of the rule that a step is about.
fn place(step: &Value) -> Option<usize> {
    step["rule"].as_str()?.strip_prefix("rules[")?.strip_suffix(']')?.parse().ok()
}

/// Returns the result of a rule, and the rest of its reason.
fn result(rule: &Value, step: &Value, holds: bool) -> (&'static str, String) {
    let whole = text(&step["why"]);
    let name = rule["name"].as_str().map(|name| format!("{name:?} ")).unwrap_or_default();
    let why = whole.strip_prefix(&name).unwrap_or(&whole);
    let rest = |rest: &str| rest.trim_start_matches([':', ';', ' ']).to_owned();
    if holds {
        let reason = why.strip_prefix("holds").unwrap_or(why);
        // The window is a reason as well.
        let ends = [("from", "since"), ("until", "until")].into_iter().filter_map(|(field, word)| {
            let at = rule[field].as_str().filter(|at| !reason.contains(at))?;
            Some(format!("; {word} {at}"))
        });
        return ("holds", rest(reason) + &ends.collect::<String>());
    }
    match why.strip_prefix("does not hold") {
        Some(reason) => ("does not hold", rest(reason)),
        None => ("skipped", why.to_owned()),
    }
}

/// Returns a table whose last column is broken at its blanks, and never cut: a reason without its end misleads.
fn wrapped_table(rows: &[[String; 3]], width: usize) -> String {
    let names = ["RULE", "RESULT", "WHY"];
    let widest = |at: usize| {
        let cells = rows.iter().map(|row| columns(&row[at])).max();
        cells.unwrap_or(0).max(names[at].len())
    };
    // Two gaps of two columns.
    let left = width.saturating_sub(widest(0) + widest(1) + 4).max(WHY_MIN);
    let mut all = Vec::new();
    for [rule, result, why] in rows {
        let (mut rule, mut result) = (rule.clone(), result.clone());
        for line in wrapped(why, left) {
            all.push(vec![std::mem::take(&mut rule), std::mem::take(&mut result), line]);
        }
    }
    table(&names.map(TableColumn::whole), &all, width)
}

/// Returns a text as lines of at most this width, unless a word is wider. One line at least.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("it begins with one line");
        if last.is_empty() {
            last.push_str(word);
        } else if columns(last).saturating_add(1 + columns(word)) <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_the_result_of_each_rule() {
        let link = json!({"shortUrl": "http://go.test/a", "rules": [
            {"id": 4, "name": "iPhone"}, {"id": 7, "name": null}, {"id": 2, "name": "test", "until": "2027-01-01T00:00:00.000Z"},
            {"id": 9, "name": "rest"}]});
        let explain = json!({"outcome": "redirect", "status": 302, "location": "https://e.test/new", "counted": true, "steps": [
            {"rule": "isActive", "passes": true, "why": "the link is active"},
            {"rule": "rules[0]", "passes": true, "why": "\"iPhone\" does not hold: os in iOS: no (Windows)"},
            {"rule": "rules[1]", "passes": true, "why": "is switched off"},
            {"rule": "rules[2]", "passes": true, "why": "\"test\" holds for every visitor; the visitor gets variant \"new\" (30 of 100)"},
            {"rule": "destination", "passes": true, "why": "the visitor is redirected"}],
            "rules": [{"holds": false}, {"holds": false}, {"holds": true}, {"holds": null}]});
        let shown = words(&link, &explain, 60);
        let rows: Vec<String> =
            shown.lines().skip(6).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let want = [
            "RULE RESULT WHY",
            "isActive passes the link is active",
            "rule 4 \"iPhone\" does not hold os in iOS: no (Windows)",
            "rule 7 skipped is switched off",
            "rule 2 \"test\" holds for every visitor; the",
            "visitor gets variant \"new\"",
            "(30 of 100); until",
            "2027-01-01T00:00:00.000Z",
            "rule 9 \"rest\" skipped the first rule that holds",
            "decides",
            "destination passes the visitor is redirected",
        ];
        assert_eq!(rows, want, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
        // A pipe has no width.
        assert_eq!(words(&link, &explain, usize::MAX).lines().count(), 13);
    }
}
