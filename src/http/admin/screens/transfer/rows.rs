//! The rows of an upload: links as the body of a request that creates them.
//!
//! Three forms are read: the JSON lines of `waypost export`, comma-separated values with a head line, and one URL on each
//! line. A row that cannot be a link has the reason, and the other rows are read all the same.

use serde_json::{Map, Value, json};

use crate::formats;
use crate::formats::waypost::known::{is_known, is_text, meant};
use crate::formats::waypost::{LINE, draft, link_json};
use crate::http::admin::csv;

/// Most rows of one upload: all of them are in the page that shows the check. Past it: 422.
pub(super) const ROWS_MAX: usize = 20_000;

/// Fields whose column is a list with commas.
const LISTS: [&str; 2] = ["tags", "tagIds"];

/// Fields whose column is JSON.
const NESTED: [&str; 2] = ["rules", "aliases"];

/// A row of an upload.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UploadRow {
    /// From 1.
    pub(super) line: usize,
    /// The body, or why the row is no link. Tags and the campaign are names.
    pub(super) link: Result<Map<String, Value>, String>,
}

/// The rows of an upload, and how its columns were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct UploadedRows {
    pub(super) rows: Vec<UploadRow>,
    /// What kind of file it is, for the page.
    pub(super) form: &'static str,
    /// Columns and the fields that they became, where the names differ.
    pub(super) renamed: Vec<(String, &'static str)>,
    /// Columns and fields that no link has.
    pub(super) ignored: Vec<String>,
}

/// Reads an upload. Fails if no row can be read.
pub(super) fn read(text: &str) -> Result<UploadedRows, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    let first = first.ok_or("the file is empty: choose a file, or paste URLs")?;
    let upload = if first.starts_with('{') {
        json_lines(text)
    } else if first.starts_with('[') {
        return Err("the file is one JSON array: write one object on each line".to_owned());
    } else if first.contains("://") && !has_head(first) {
        urls(text)
    } else {
        table(text)?
    };
    if upload.rows.len() > ROWS_MAX {
        return Err(format!(
            "the file has more than {ROWS_MAX} rows: upload it in parts, or import it with `waypost import`"
        ));
    }
    Ok(upload)
}

/// Returns whether a line names a column of destinations.
fn has_head(line: &str) -> bool {
    let records = csv::records(line).unwrap_or_default();
    records.first().is_some_and(|(_, fields)| fields.iter().any(|name| field_of(name) == Some("url")))
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty())
}

fn json_lines(text: &str) -> UploadedRows {
    let mut upload = UploadedRows { form: "JSON lines", ..UploadedRows::default() };
    for (line, text) in numbered(text) {
        let link = serde_json::from_str::<Map<String, Value>>(text);
        // The reader of the format has better words for what is wrong.
        let link =
            link.map_err(|_| worded(text.as_bytes()).err().unwrap_or_else(|| "is no object".to_owned()));
        let link = link.and_then(|link| checked(link, &mut upload.ignored));
        upload.rows.push(UploadRow { line, link });
    }
    upload
}

/// Reads a URL on each line, with a code behind it if there is a second word.
fn urls(text: &str) -> UploadedRows {
    let mut upload = UploadedRows { form: "a list of URLs", ..UploadedRows::default() };
    for (line, text) in numbered(text) {
        // A URL has no white space, so what follows is a word of its own.
        let mut words = text.split_whitespace();
        let mut link = Map::new();
        link.insert("url".to_owned(), json!(words.next().unwrap_or("")));
        if let Some(code) = words.next() {
            link.insert(draft::CODE.to_owned(), json!(code));
        }
        let link = match words.next() {
            Some(_) => Err("has more than a URL and a code".to_owned()),
            None => checked(link, &mut upload.ignored),
        };
        upload.rows.push(UploadRow { line, link });
    }
    upload
}

fn table(text: &str) -> Result<UploadedRows, String> {
    let mut records = csv::records(text)?.into_iter();
    let (_, head) = records.next().unwrap_or_default();
    let fields: Vec<Option<&'static str>> = head.iter().map(|name| field_of(name)).collect();
    if !fields.contains(&Some("url")) {
        let names = head.join(", ");
        return Err(format!(
            "the first line names no column for the destination, such as url: it has {names}"
        ));
    }
    let mut upload = UploadedRows { form: "a table", ..UploadedRows::default() };
    for (name, field) in head.iter().zip(&fields) {
        match field {
            Some(field) if field != name => upload.renamed.push((name.clone(), field)),
            None if !name.trim().is_empty() => upload.ignored.push(name.clone()),
            _ => {}
        }
    }
    for (line, record) in records {
        let mut link = Map::new();
        for (field, text) in fields.iter().zip(&record) {
            if let (Some(field), Some(value)) = (field, value(field.unwrap_or(""), text)) {
                // Of two columns for one field, the first one that has a value counts.
                link.entry(*field).or_insert(value);
            }
        }
        let link = if record.len() > fields.len() {
            Err(format!("has {} values for {} columns", record.len(), fields.len()))
        } else {
            checked(link, &mut upload.ignored)
        };
        upload.rows.push(UploadRow { line, link });
    }
    Ok(upload)
}

/// Returns the field that the name of a column means.
fn field_of(column: &str) -> Option<&'static str> {
    let name: String = column.chars().filter(|char| !char.is_whitespace() && *char != '-').collect();
    if name.eq_ignore_ascii_case("campaign") {
        // People write its name, not its id.
        return Some("campaignName");
    }
    let exact = LINE.iter().flat_map(|names| names.iter()).find(|known| **known == name);
    exact.copied().or_else(|| meant(&name, LINE))
}

/// Returns the value of a column. `None` if it is empty.
fn value(field: &str, text: &str) -> Option<Value> {
    let text = plain(text.trim());
    if text.is_empty() {
        return None;
    }
    let list = || text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>();
    Some(match field {
        _ if LISTS.contains(&field) => json!(list()),
        // Text that is no JSON is for the reader of the format to refuse.
        _ if NESTED.contains(&field) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        "webhookUrls" | "redirectType" => json!(text),
        draft::CODE => json!(code_of(text)),
        "maxClicks" | "clickCount" => text.parse::<u64>().map_or_else(|_| json!(text), |count| json!(count)),
        _ if is_text(field) => json!(text),
        _ => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => json!(true),
            "false" | "no" | "off" | "0" => json!(false),
            _ => json!(text),
        },
    })
}

/// Returns a text without the apostrophe with which an export keeps it from being run as a formula.
fn plain(text: &str) -> &str {
    let formula = text.strip_prefix('\'').filter(|rest| rest.starts_with(['=', '+', '-', '@', '\t', '\r']));
    formula.unwrap_or(text)
}

/// Returns the code of a short URL, which other programs export in its place.
fn code_of(text: &str) -> &str {
    match text.split_once("://") {
        Some((_, rest)) => rest.rsplit('/').next().unwrap_or(rest),
        None => text.trim_start_matches('/'),
    }
}

/// Returns the body that creates the link of a row. Fails with the field and the rule that it breaks.
fn checked(mut link: Map<String, Value>, ignored: &mut Vec<String>) -> Result<Map<String, Value>, String> {
    if link.get("password").and_then(Value::as_str) == Some(draft::MASK) {
        return Err(
            "password: the file has none, only that there is one. `waypost import` reads an export with \
                    --with-password-hashes; without the field the link would be open to all"
                .to_owned(),
        );
    }
    // By the reader of the format, so that a file has the same errors here and in a terminal.
    worded(&crate::json::to_bytes(&link))?;
    for name in link.keys() {
        if !is_known(name, LINE) && !ignored.contains(name) {
            ignored.push(name.clone());
        }
    }
    if let Some(code) = link.remove("shortCode")
        && link.get(draft::CODE).is_none_or(Value::is_null)
    {
        link.insert(draft::CODE.to_owned(), code);
    }
    // Read before the fields of exports are removed, which tags are among.
    let tags = names_of(link.get("tags"));
    link.retain(|name, value| {
        let is_set = !matches!(name.as_str(), "workspaceId" | "passwordHash");
        is_set && !value.is_null() && is_known(name, LINE) && !link_json::READ_ONLY.contains(&name.as_str())
    });
    if !tags.is_empty() {
        link.insert("tags".to_owned(), json!(tags));
    }
    // By its name: the campaign of another server has another id.
    if link.contains_key("campaignName") {
        link.remove("campaignId");
    }
    Ok(link)
}

/// Fails with the field and the rule if a line is no link.
fn worded(line: &[u8]) -> Result<(), String> {
    (formats::own().read)(line).map(drop)
}

/// Returns the names of tags, as an export writes them or as plain texts.
fn names_of(tags: Option<&Value>) -> Vec<String> {
    let name = |tag: &Value| tag.as_str().or_else(|| tag["tag"]["name"].as_str()).map(str::to_owned);
    tags.and_then(Value::as_array).into_iter().flatten().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(text: &str) -> Vec<(usize, Result<Value, String>)> {
        let upload = read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        upload.rows.into_iter().map(|row| (row.line, row.link.map(Value::Object))).collect()
    }

    #[test]
    fn each_form_is_read() {
        let rows = [
            (
                "https://e.test/a\n\n  https://e.test/b spring \r\n",
                vec![
                    (1, json!({"url": "https://e.test/a"})),
                    (3, json!({"url": "https://e.test/b", "customSlug": "spring"})),
                ],
            ),
            (
                "\u{feff}Long URL;Short URL;Tags;is active;Comment\r\nhttps://e.test/;https://bit.ly/abc;a, b;no;'=1\r\n",
                vec![(
                    2,
                    json!({"url": "https://e.test/", "customSlug": "abc", "tags": ["a", "b"], "isActive": false, "notes": "=1"}),
                )],
            ),
            (
                "url,maxClicks,redirectType,campaign,clicks\nhttps://e.test/,5,301,Spring,9\n",
                vec![(
                    2,
                    json!({"url": "https://e.test/", "maxClicks": 5, "redirectType": "301", "campaignName": "Spring"}),
                )],
            ),
            (
                "{\"id\":\"0N88vwqiElLIf3iP0wzK\",\"shortCode\":\"x\",\"url\":\"https://e.test/\",\"title\":null,\"clickCount\":7,\
                 \"tags\":[{\"tag\":{\"id\":\"0N88vwqiElLIf3iP0wzK\",\"name\":\"promo\",\"color\":\"#000000\"}}]}\n",
                vec![(1, json!({"url": "https://e.test/", "customSlug": "x", "tags": ["promo"]}))],
            ),
        ];
        for (text, want) in rows {
            let want: Vec<_> = want.into_iter().map(|(line, link)| (line, Ok(link))).collect();
            assert_eq!(links(text), want, "{text}");
        }
    }

    #[test]
    fn rows_that_are_no_links_have_their_reason() {
        let rows = [
            ("https://e.test/ a b", "has more than a URL and a code"),
            ("{\"url\":1}", "url: must be a string"),
            ("{\"url\":", "the body is not valid JSON"),
            ("url\n\"\",x", "has 2 values for 1 columns"),
            ("url,customSlug\nhttps://e.test/,a b", "customSlug: must consist of"),
            ("url,maxClicks\nhttps://e.test/,many", "maxClicks: must be a whole number"),
            ("url,isActive\nhttps://e.test/,perhaps", "isActive: must be true or false"),
            ("url,password\nhttps://e.test/,********", "password: the file has none"),
            ("url,title\n,a", "url: is required"),
        ];
        for (text, want) in rows {
            let rows = links(text);
            let why = rows.iter().find_map(|(_, link)| link.clone().err()).unwrap_or_default();
            assert!(why.starts_with(want), "{text}: {why}");
        }
    }

    #[test]
    fn files_that_are_no_links_are_refused_as_a_whole() {
        let many = "https://e.test/\n".repeat(ROWS_MAX + 1);
        for (text, want) in [
            ("", "the file is empty"),
            ("[{}]", "the file is one JSON array"),
            ("name,colour\na,b", "the first line names no column for the destination"),
            ("url\n\"a", "line 2: a quote has no end"),
            (&*many, "the file has more than 20000 rows"),
        ] {
            let why = read(text).err().unwrap_or_default();
            assert!(why.starts_with(want), "{why}");
        }
    }

    #[test]
    fn columns_are_named_as_they_were_read() {
        let upload = read("Destination,code,Färg\nhttps://e.test/,a,b").expect("a table");
        assert_eq!(upload.renamed, [("Destination".to_owned(), "url"), ("code".to_owned(), "customSlug")]);
        assert_eq!(upload.ignored, ["Färg"]);
    }
}
