//! Links as text for people: one link as a list of its fields, many as a table.

use serde_json::Value;

use crate::cli::api_client::{ApiAnswer, ApiClient};
use crate::cli::columns::{list, table, text};
use crate::cli::output::{counted, print_line};
use crate::cli::terminal;
use crate::formats::waypost::fields;
use crate::model::link::RedirectStatus;

/// The fields that every link shows, with their names here.
const FIRST: [(&str, &str); 6] = [
    ("short URL", "shortUrl"),
    ("destination", "url"),
    ("title", "title"),
    ("clicks", "clickCount"),
    ("created", "createdAt"),
    ("id", "id"),
];

/// Fields that say the same as others, or nothing to a person.
const LEFT_OUT: [&str; 7] =
    ["shortCode", "domain", "updatedAt", "workspaceId", "createdBy", "tags", "linkType"];

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
    let has_titles = links.iter().any(|link| !link["title"].is_null());
    let mut names = vec!["SHORT URL", "(CLICKS)", "CREATED", "DESTINATION"];
    if has_titles {
        names.push("TITLE");
    }
    let row = |link: &&Value| {
        let created = text(&link["createdAt"]);
        let mut row = vec![
            text(&link["shortUrl"]),
            text(&link["clickCount"]),
            // The date alone.
            created.get(..10).unwrap_or(&created).to_owned(),
            text(&link["url"]),
        ];
        if has_titles {
            row.push(text(&link["title"]));
        }
        row
    };
    if !links.is_empty() {
        let rows: Vec<_> = links.iter().map(row).collect();
        print_line(&table(&names, &rows, terminal::width()));
    }
    let total = answer.value["total"].as_u64().unwrap_or(0);
    if total != links.len() as u64 || links.is_empty() {
        let (page, pages) = (&answer.value["page"], &answer.value["totalPages"]);
        print_line(&format!("{}; page {page} of {pages}", counted(total, "link")));
    }
}
