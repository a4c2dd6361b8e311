//! Links as text for people: one link as a list of its fields, many as a table.

use serde_json::Value;

use super::rules;
use crate::cli::api_client::{ApiAnswer, ApiClient};
use crate::cli::columns::{fits, list, table, text};
use crate::cli::output::{counted, print_line};
use crate::cli::terminal;
use crate::clock::{Clock, Timestamp};
use crate::formats::waypost::fields;
use crate::model::link::RedirectStatus;

/// The fields that every link shows, with their names here.
const FIRST: [(&str, &str); 8] = [
    ("short URL", "shortUrl"),
    ("destination", "url"),
    ("title", "title"),
    ("clicks", "clickCount"),
    ("in 30 days", "clicks30d"),
    ("last click", "lastClickAt"),
    ("created", "createdAt"),
    ("id", "id"),
];

/// Fields that say the same as others, have lines of their own, or say nothing to a person.
const LEFT_OUT: [&str; 8] =
    ["shortCode", "domain", "updatedAt", "workspaceId", "createdBy", "tags", "linkType", "rules"];

/// Prints the link of an answer.
pub(super) fn link(client: &ApiClient, answer: &ApiAnswer) {
    if client.shows_json {
        return answer.print();
    }
    let link = &answer.value["link"];
    let mut pairs: Vec<(String, String)> = FIRST
        .iter()
        .map(|(name, field)| ((*name).to_owned(), text(&link[*field])))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    pairs.insert(2.min(pairs.len()), ("state".to_owned(), state(link, Clock::system().now()).to_owned()));
    let tags = link["tags"].as_array().into_iter().flatten();
    let tags: Vec<_> = tags.map(|tag| text(&tag["tag"]["name"])).collect();
    if !tags.is_empty() {
        pairs.push(("tags".to_owned(), tags.join(", ")));
    }
    // Whatever is set, by its name in the API: `--set` takes these names.
    for (name, value) in link.as_object().into_iter().flatten() {
        let is_shown = FIRST.iter().any(|(_, field)| field == name) || LEFT_OUT.contains(&name.as_str());
        if !is_shown && is_set(name, value) {
            pairs.push((name.clone(), text(value)));
        }
    }
    pairs.extend(rules::lines(&link["rules"]));
    print_line(&list(&pairs));
}

/// Returns whether a field differs from that of a plain link.
fn is_set(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on != (name == "isActive"),
        Value::String(text) => {
            let is_default = name == "redirectType" && text == fields::show_status(RedirectStatus::Found);
            !(text.is_empty() || is_default)
        }
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Number(_) => true,
    }
}

/// Prints a page of links.
pub(super) fn links(client: &ApiClient, answer: &ApiAnswer) {
    if client.shows_json {
        return answer.print();
    }
    let links: Vec<_> = answer.value["links"].as_array().into_iter().flatten().collect();
    let total = answer.value["total"].as_u64().unwrap_or(0);
    let number = |name: &str| answer.value[name].as_u64().unwrap_or(0);
    let (page, pages) = (number("page"), number("totalPages"));
    if !links.is_empty() {
        print_line(&page_of(&links, terminal::width(), Clock::system().now()));
    }
    let shown = counted(total, "link");
    if total == 0 {
        print_line(&shown);
    } else if links.is_empty() {
        print_line(&format!("{shown}; there is no page {page}: the last one is --page {pages}"));
    } else if page < pages {
        print_line(&format!("{shown}; page {page} of {pages}: --page {} shows the next one", page + 1));
    } else if pages > 1 {
        print_line(&format!("{shown}; page {page} of {pages}"));
    }
}

/// A column of the list: its name, and the cell of a link.
type Column<'a> = (&'a str, Box<dyn Fn(&Value) -> String>);

/// Returns the table of a page of links. A narrow terminal gets fewer columns.
fn page_of(links: &[&Value], width: usize, now: Timestamp) -> String {
    let field = |name: &'static str| Box::new(move |link: &Value| text(&link[name])) as Box<_>;
    // The date alone.
    let date = |name: &'static str| {
        Box::new(move |link: &Value| text(&link[name]).chars().take(10).collect::<String>()) as Box<_>
    };
    let mut columns: Vec<Column<'_>> = vec![
        ("SHORT URL", field("shortUrl")),
        ("STATE", Box::new(move |link: &Value| state(link, now).to_owned())),
        ("(CLICKS)", field("clickCount")),
        ("(30 DAYS)", field("clicks30d")),
        ("LAST CLICK", date("lastClickAt")),
        ("CREATED", date("createdAt")),
        ("DESTINATION", field("url")),
    ];
    // A server without details of clicks knows neither.
    for (name, field) in [("(30 DAYS)", "clicks30d"), ("LAST CLICK", "lastClickAt")] {
        if links.iter().all(|link| link[field].is_null()) {
            columns.retain(|(other, _)| *other != name);
        }
    }
    if links.iter().any(|link| !link["title"].is_null()) {
        columns.push(("TITLE", field("title")));
    }
    // The least important ones first. Short URL and destination always remain.
    let mut less = ["TITLE", "CREATED", "LAST CLICK", "(30 DAYS)", "(CLICKS)", "STATE"].into_iter();
    loop {
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let row = |link: &&Value| columns.iter().map(|(_, cell)| cell(link)).collect::<Vec<_>>();
        let rows: Vec<_> = links.iter().map(row).collect();
        match less.next().filter(|_| !fits(&names, &rows, width)) {
            Some(name) => columns.retain(|(other, _)| *other != name),
            None => return table(&names, &rows, width),
        }
    }
}

/// Returns whether a link redirects at this time, or why not.
fn state(link: &Value, now: Timestamp) -> &'static str {
    let at = |name: &str| link[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let most = link["maxClicks"].as_u64();
    if link["isActive"] == false {
        "inactive"
    } else if at("validSince").is_some_and(|since| now < since) {
        "scheduled"
    } else if at("expiresAt").is_some_and(|end| now >= end) {
        "expired"
    } else if most.is_some_and(|most| link["clickCount"].as_u64().unwrap_or(0) >= most) {
        "used up"
    } else {
        "live"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().expect("a time")
    }

    #[test]
    fn states() {
        let rows = [
            (json!({"isActive": true}), "live"),
            (json!({"isActive": false, "expiresAt": "2026-01-01T00:00:00Z"}), "inactive"),
            (json!({"isActive": true, "validSince": "2026-07-01T00:00:00Z"}), "scheduled"),
            (json!({"isActive": true, "validSince": "2026-06-01T00:00:00Z"}), "live"),
            (json!({"isActive": true, "expiresAt": "2026-06-01T00:00:00Z"}), "expired"),
            (json!({"isActive": true, "expiresAt": null, "maxClicks": 2, "clickCount": 2}), "used up"),
            (json!({"isActive": true, "maxClicks": 2, "clickCount": 1}), "live"),
        ];
        for (link, want) in rows {
            assert_eq!(state(&link, now()), want, "{link}");
        }
    }

    #[test]
    fn a_narrow_terminal_shows_whole_short_urls() {
        let link = json!({
            "shortUrl": "http://localhost:8080/spring-sale", "url": "https://example.com/a/long/path/to/somewhere",
            "clickCount": 7, "createdAt": "2026-05-01T10:00:00.000Z", "title": "T", "isActive": true
        });
        for width in [48, 50, 60, 70, 80, 120] {
            let shown = page_of(&[&link], width, now());
            assert!(shown.lines().all(|line| line.chars().count() <= width), "{width}: {shown}");
            assert!(
                shown.contains("http://localhost:8080/spring-sale ") && shown.contains("https"),
                "{shown}"
            );
            assert_eq!(shown.contains("STATE"), width >= 50, "{width}: {shown}");
        }
    }
}
