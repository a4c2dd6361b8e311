//! `waypost stats`: the clicks of a link or of a workspace, as tables.

use clap::Args;
use hyper::Method;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::api_client::{ApiAnswer, ApiClient, ClientArguments};
use super::columns::{TableColumn, destination, list, readable, table, text};
use super::error::CommandError;
use super::link::NamedLink;
use super::output::{counted, print_line, print_note};
use super::terminal;

/// The path of questions about clicks.
const ANALYTICS: &str = "/api/v1/analytics";

/// The option of each parameter, for errors.
const OPTIONS: &[(&str, &str)] =
    &[("groupBy", "--by"), ("interval", "--interval"), ("timezone", "--timezone"), ("limit", "--limit")];

/// What is shown without `--by`. A link has no table of links.
const TABLES: [&str; 5] = ["link", "referrer", "country", "device", "browser"];

/// Rows of a table without `--limit`: of several tables, and of the one of `--by`.
const ROWS: (u32, u32) = (5, 20);

/// The member of a row of a link that names the link.
const SHORT_URL: &str = "shortUrl";

/// Members of a row that are numbers.
const COUNTS: [&str; 2] = ["clicks", "visitors"];

/// Arguments of `stats`.
#[derive(Clone, Debug, Args)]
pub(super) struct StatsArguments {
    /// The code of a link, or its short URL, with or without its scheme. Default: all links of the workspace.
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// The domain of the link. Default: the default domain of the workspace.
    #[arg(long, value_name = "HOST", requires = "code")]
    domain: Option<String>,
    /// The time: 24h, today, 7d, 30d, 90d, 365d, month, 12mo or all.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    interval: String,
    /// The time zone of days, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,
    /// One table by this property, or by two with a comma between them, such as time, or country,browser.
    #[arg(long, value_name = "PROPERTY")]
    by: Option<String>,
    /// Rows of a table. Default: 5, and 20 with --by.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    #[command(flatten)]
    client: ClientArguments,
}

/// Runs the command.
pub(super) fn run(arguments: &StatsArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let named = arguments.code.clone().map(|code| NamedLink { code, domain: arguments.domain.clone() });
    let link = named.map(|named| named.find(&client)).transpose()?;
    let link = link.as_ref().map(|answer| &answer.value["link"]);
    let ask = |by: Option<&str>, limit: u32| {
        let mut query = Serializer::new(String::new());
        query.append_pair("interval", &arguments.interval).append_pair("timezone", &arguments.timezone);
        query.append_pair("limit", &arguments.limit.unwrap_or(limit).to_string());
        if let Some(by) = by {
            query.append_pair("groupBy", by);
        }
        // By its id: the code may be a former one, which no filter knows.
        if let Some(link) = link {
            query.append_pair("linkId", &text(&link["id"]));
        }
        let answer = client.send(&Method::GET, &format!("{ANALYTICS}?{}", query.finish()), None);
        answer.map_err(|error| error.with_options(&[OPTIONS]))
    };
    // One table that was asked for, or several short ones.
    let by = arguments.by.as_deref();
    // First, and alone for a script: the tables below are for people.
    let first = ask(by, ROWS.1)?;
    if client.shows_json {
        first.print();
        return Ok(());
    }
    print_line(&summary(link, &first.value));
    match by {
        Some(_) => show(&first),
        None => {
            for by in TABLES.iter().filter(|by| link.is_none() || **by != "link") {
                let answer = ask(Some(by), ROWS.0)?;
                // A server without a file of countries has one row, of unknown countries.
                if has_values(&answer.value) {
                    print_line("");
                    show(&answer);
                }
            }
        }
    }
    if first.value["statistics"] == false {
        print_note(
            "note: no details of new clicks are kept: the statistics of the link or its workspace are off",
        );
    }
    Ok(())
}

/// Returns what was counted, as a list.
fn summary(link: Option<&Value>, answer: &Value) -> String {
    let of = link.map_or_else(|| "all links".to_owned(), |link| text(&link["shortUrl"]));
    let time =
        format!("{} to {} ({})", text(&answer["from"]), text(&answer["to"]), text(&answer["timezone"]));
    let mut pairs = vec![
        ("clicks of", of),
        ("time", time),
        ("clicks", text(&answer["total"]["clicks"])),
        ("daily visitors", text(&answer["total"]["visitors"])),
    ];
    if answer["unattributed"].as_u64().is_some_and(|without| without > 0) {
        pairs.push(("without details", text(&answer["unattributed"])));
    }
    list(&pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>())
}

/// Prints the rows of an answer, and how many it lacks.
fn show(answer: &ApiAnswer) {
    print_line(&rows_of(&answer.value, terminal::width()));
    // The server counts all rows, and sends those of the limit.
    let shown = answer.value["analytics"].as_array().map_or(0, Vec::len) as u64;
    let more = answer.value["rows"].as_u64().unwrap_or(0).saturating_sub(shown);
    if more > 0 {
        print_line(&format!("and {} more", counted(more, "row")));
    }
}

/// Returns whether a row has a value.
fn has_values(answer: &Value) -> bool {
    let rows = answer["analytics"].as_array().into_iter().flatten();
    let mut values = rows.flat_map(|row| row.as_object().into_iter().flatten());
    values.any(|(name, value)| !COUNTS.contains(&name.as_str()) && !value.is_null())
}

/// Returns the name of a member as that of a column: `shortUrl` is `SHORT URL`.
fn title(name: &str) -> String {
    let mut title = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            title.push(' ');
        }
        title.push(c.to_ascii_uppercase());
    }
    title
}

/// Returns the rows of an answer as a table.
fn rows_of(answer: &Value, width: usize) -> String {
    let rows: Vec<_> = answer["analytics"].as_array().into_iter().flatten().collect();
    let members = rows.first().and_then(|row| row.as_object()).into_iter().flatten().map(|(name, _)| name);
    // Of the two members of a link or a tag, people read the name.
    let is_id = |name: &&String| matches!(name.as_str(), "linkId" | "tagId" | "campaignId");
    let keys: Vec<_> = members.filter(|name| !is_id(name) && !COUNTS.contains(&name.as_str())).collect();
    let titles: Vec<String> = keys.iter().map(|name| title(name)).collect();
    let mut names = Vec::new();
    for (title, key) in titles.iter().zip(&keys) {
        names.push(match key.as_str() {
            // It names the link, and its code is behind the last slash.
            SHORT_URL => TableColumn::address(title).least(36),
            // The first one names the row.
            _ => TableColumn::text(title).least(12).rank(u8::from(!names.is_empty())),
        });
    }
    names.extend([TableColumn::number("CLICKS"), TableColumn::number("VISITORS").rank(2)]);
    let shown = |name: &str, value: &Value| match name {
        // An empty cell would look like a fault of the table.
        _ if value.is_null() => "(none)".to_owned(),
        SHORT_URL => readable(&text(value)),
        "url" => destination(&text(value)),
        _ => text(value),
    };
    let row = |row: &&Value| {
        let counts = COUNTS.iter().map(|name| text(&row[*name]));
        keys.iter().map(|name| shown(name, &row[name.as_str()])).chain(counts).collect()
    };
    table(&names, &rows.iter().map(row).collect::<Vec<Vec<String>>>(), width)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_a_table() {
        let answer = json!({"analytics": [
            {"linkId": "1", "shortUrl": "http://go.test/a", "browser": "Firefox", "clicks": 12, "visitors": 9},
            {"linkId": "2", "shortUrl": null, "browser": null, "clicks": 1, "visitors": 0},
        ]});
        let want = "BROWSER  SHORT URL         CLICKS  VISITORS\nFirefox  http://go.test/a      12         9\n(none)   (none)                 1         0";
        assert_eq!(rows_of(&answer, 80), want);
        assert!(has_values(&answer));
        let unknown = json!({"analytics": [{"country": null, "clicks": 3, "visitors": 3}]});
        assert!(!has_values(&unknown) && !has_values(&json!({"analytics": []})));
        assert_eq!(rows_of(&json!({"analytics": []}), 80), "CLICKS  VISITORS");
    }
}
