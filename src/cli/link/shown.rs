//! Links as text for people: one link as a list of its fields, many as a table.

use serde_json::Value;

use super::{health, rules};
use crate::cli::api_client::{ApiAnswer, ApiClient};
use crate::cli::columns::{TableColumn, destination, list, minute, readable, table, text};
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
const LEFT_OUT: [&str; 9] =
    ["health", "shortCode", "domain", "updatedAt", "workspaceId", "createdBy", "tags", "linkType", "rules"];

/// Prints the link of an answer.
pub(super) fn link(client: &ApiClient, answer: &ApiAnswer) {
    if client.shows_json {
        return answer.print();
    }
    let link = &answer.value["link"];
    let mut pairs: Vec<(String, String)> = FIRST
        .iter()
        .map(|(name, field)| ((*name).to_owned(), first(field, &link[*field])))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    pairs.insert(2.min(pairs.len()), ("state".to_owned(), state(link, Clock::system().now()).to_owned()));
    let (short, code) = (text(&link["shortUrl"]), text(&link["shortCode"]));
    // The short URL is as a mail or a document needs it, and the code as it was typed.
    if !short.ends_with(&code) {
        pairs.insert(1, ("code".to_owned(), code));
    }
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
    pairs.extend(health::line(&link["health"]).map(|line| ("health".to_owned(), line)));
    pairs.extend(rules::lines(&link["rules"]));
    print_line(&list(&pairs));
}

/// Returns the text of a field that every link shows.
fn first(field: &str, value: &Value) -> String {
    match field {
        // Times of clicks are kept by the quarter of an hour, and older ones by the hour and the day.
        "lastClickAt" if !value.is_null() => format!("about {} UTC", minute(value)),
        _ => text(value),
    }
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

/// Prints a page of links. `sorted_by` is the column whose order was asked for.
pub(super) fn links(client: &ApiClient, answer: &ApiAnswer, sorted_by: Option<&str>) {
    if client.shows_json {
        return answer.print();
    }
    let links: Vec<_> = answer.value["links"].as_array().into_iter().flatten().collect();
    let total = answer.value["total"].as_u64().unwrap_or(0);
    let number = |name: &str| answer.value[name].as_u64().unwrap_or(0);
    let (page, pages) = (number("page"), number("totalPages"));
    if !links.is_empty() {
        print_line(&page_of(&links, sorted_by, terminal::width(), Clock::system().now()));
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

/// A column of the list, and the cell of a link.
type LinkColumn = (TableColumn<'static>, Box<dyn Fn(&Value) -> String>);

/// Returns the table of a page of links. A narrow terminal gets fewer columns.
fn page_of(links: &[&Value], sorted_by: Option<&str>, width: usize, now: Timestamp) -> String {
    let field = |name: &'static str| Box::new(move |link: &Value| text(&link[name])) as Box<_>;
    // The date alone.
    let date = |name: &'static str| {
        Box::new(move |link: &Value| text(&link[name]).chars().take(10).collect::<String>()) as Box<_>
    };
    // Short URL and destination remain as long as they have their least widths.
    let mut columns: Vec<LinkColumn> = vec![
        (
            TableColumn::address("SHORT URL").least(36),
            Box::new(|link: &Value| readable(&text(&link["shortUrl"]))),
        ),
        // `scheduled` is the longest state.
        (TableColumn::text("STATE").least(9).rank(2), Box::new(move |link| state(link, now).to_owned())),
        (TableColumn::number("CLICKS").rank(3), field("clickCount")),
        (TableColumn::number("30 DAYS").rank(4), field("clicks30d")),
        (TableColumn::text("LAST CLICK").least(10).rank(5), date("lastClickAt")),
        (TableColumn::text("CREATED").least(10).rank(6), date("createdAt")),
        (TableColumn::text("DESTINATION").least(20).rank(1), Box::new(leads_to)),
        (TableColumn::text("TITLE").rank(7), field("title")),
    ];
    // A server without details of clicks knows the first two, and few links have a title.
    for (name, field) in [("30 DAYS", "clicks30d"), ("LAST CLICK", "lastClickAt"), ("TITLE", "title")] {
        if links.iter().all(|link| link[field].is_null()) {
            columns.retain(|(other, _)| other.name != name);
        }
    }
    for (column, _) in columns.iter_mut().filter(|(column, _)| sorted_by == Some(column.name)) {
        // Without it, nobody would see the order.
        *column = column.rank(0);
    }
    // Which columns fit depends on the cells, so the table decides.
    let names: Vec<_> = columns.iter().map(|(column, _)| *column).collect();
    let row = |link: &&Value| columns.iter().map(|(_, cell)| cell(link)).collect::<Vec<_>>();
    table(&names, &links.iter().map(row).collect::<Vec<_>>(), width)
}

/// Returns the destination of a link, behind the number of its rules, which lead some visitors elsewhere.
fn leads_to(link: &Value) -> String {
    let url = destination(&text(&link["url"]));
    match link["rules"].as_array().map_or(0, Vec::len) as u64 {
        0 => url,
        rules => format!("{}, else {url}", counted(rules, "rule")),
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

    /// Returns a page of links with these codes, most clicks first.
    fn page(codes: &[&str], sorted_by: Option<&str>, width: usize) -> String {
        let link = |code: &&str| {
            json!({
                "shortUrl": format!("http://localhost:8080/{code}"), "clickCount": 4712,
                "url": "https://example.com/a/long/path/to/somewhere", "clicks30d": 42, "isActive": true,
                "createdAt": "2026-05-01T10:00:00.000Z", "lastClickAt": "2026-05-01T10:00:00.000Z", "title": "T"
            })
        };
        let links: Vec<_> = codes.iter().map(link).collect();
        let shown = page_of(&links.iter().collect::<Vec<_>>(), sorted_by, width, now());
        assert!(shown.lines().all(|line| line.chars().count() <= width), "{width}: {shown}");
        shown
    }

    #[test]
    fn a_link_with_rules_has_more_than_one_destination() {
        let link = |rules: Value| leads_to(&json!({"url": "https://e.test/a", "rules": rules}));
        assert_eq!([link(json!(null)), link(json!([]))], ["e.test/a"; 2]);
        assert_eq!(link(json!([{}])), "1 rule, else e.test/a");
        assert_eq!(link(json!([{}, {}])), "2 rules, else e.test/a");
    }

    #[test]
    fn a_narrow_terminal_shows_whole_short_urls() {
        for width in [48, 50, 60, 70, 80, 120] {
            let shown = page(&["spring-sale"], None, width);
            assert!(shown.contains("http://localhost:8080/spring-sale "), "{width}: {shown}");
            assert!(shown.contains(" example.co"), "{width}: {shown}");
            assert_eq!(shown.contains("STATE"), width >= 66, "{width}: {shown}");
        }
        let wide = page(&["a"], None, usize::MAX);
        assert!(wide.contains("example.com/a/long/path/to/somewhere  T"), "{wide}");
        // 80 columns have room for the start of a destination.
        let usual = page(&["spring"], None, 80);
        assert!(usual.contains("30 DAYS") && usual.contains("example.com/a/long/path..."), "{usual}");
    }

    /// One long code must not hide the numbers of all links.
    #[test]
    fn a_long_code_is_cut() {
        let long = format!("fair-{}", "z".repeat(60));
        let japanese = "%E6%98%A5%E3%81%AE%E3%82%BB%E3%83%BC%E3%83%AB";
        let shown = page(&["spring", &long], Some("CLICKS"), 100);
        for part in ["STATE", "4712", "CLICKS", "30 DAYS", "LAST CLICK", "spring ", "/fair-zzz"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        for width in [20, 30, 40, 60, 80] {
            let shown = page(&["spring", &long, japanese], Some("CLICKS"), width);
            assert!(shown.contains("4712") && shown.contains("SHORT URL"), "{width}: {shown}");
            let created = page(&["spring", &long], Some("CREATED"), width);
            assert!(created.contains("CREATED"), "{width}: {created}");
        }
        let shown = page(&[japanese], None, 80);
        assert!(
            shown.contains("/\u{6625}\u{306e}\u{30bb}\u{30fc}\u{30eb} ") && shown.contains("STATE"),
            "{shown}"
        );
    }
}
