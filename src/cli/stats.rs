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
const TABLES: [&str; 6] = ["link", "referrer", "country", "device", "browser", TRIGGER];

/// The property that shows visits by QR codes.
const TRIGGER: &str = "trigger";

/// The two properties whose ids belong to one link, with the members of their names.
const NUMBERED: [(&str, &str); 2] = [("rule", "ruleName"), ("variant", "variantName")];

/// The member of a row of a variant: its share of the clicks of its rule.
const SHARE: &str = "share";

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
    if link.is_none() && by.is_some_and(mixes_links) {
        print_note(
            "note: each link numbers its rules and variants itself, so a row adds up those of all links: name one link, as \
             in `waypost stats CODE --by variant`, or add link, as in `--by link,variant`",
        );
    }
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
            for by in tables(link) {
                let answer = ask(Some(by), ROWS.0)?;
                if is_worth_showing(by, &answer.value) {
                    print_line("");
                    show(&answer);
                }
            }
        }
    }
    if has_shares(&first.value) {
        print_note(
            "note: a share says how visitors were divided, and not which page is better: compare what they did at the \
             destinations",
        );
    }
    if first.value["statistics"] == false {
        print_note(
            "note: no details of new clicks are kept: the statistics of the link or its workspace are off",
        );
    }
    Ok(())
}

/// Returns the tables that are shown without `--by`: those of rules and variants for a link that has some.
fn tables(link: Option<&Value>) -> Vec<&'static str> {
    let rules = link.and_then(|link| link["rules"].as_array()).map_or(&[][..], Vec::as_slice);
    let own =
        [("rule", !rules.is_empty()), ("variant", rules.iter().any(|rule| !rule["variants"].is_null()))];
    let own = own.into_iter().filter(|(_, exists)| *exists).map(|(by, _)| by);
    TABLES.into_iter().filter(|by| link.is_none() || *by != "link").chain(own).collect()
}

/// Returns whether a table has more than the one row that each server has.
fn is_worth_showing(by: &str, answer: &Value) -> bool {
    let rows = answer["analytics"].as_array().map_or(&[][..], Vec::as_slice);
    match by {
        // Nearly all visits follow a link.
        TRIGGER => rows.iter().any(|row| !row[TRIGGER].is_null() && row[TRIGGER] != "link"),
        // A server without a file of countries has one row, of unknown countries.
        _ => has_values(answer),
    }
}

/// Returns whether a question about all links groups clicks by numbers that belong to one.
fn mixes_links(by: &str) -> bool {
    let properties: Vec<_> = by.split(',').map(str::trim).collect();
    NUMBERED.iter().any(|(name, _)| properties.contains(name)) && !properties.contains(&"link")
}

fn has_shares(answer: &Value) -> bool {
    answer["analytics"].as_array().into_iter().flatten().any(|row| row[SHARE].is_object())
}

/// Returns a share with its interval as percentages, such as `73 % (66 to 79 %)`. Empty without one.
fn percentages(share: &Value) -> String {
    let [Some(value), Some(low), Some(high)] = ["value", "low", "high"].map(|end| share[end].as_f64()) else {
        return String::new();
    };
    // Whole numbers would hide an interval of many clicks.
    let digits = usize::from(high - low < 0.04);
    let [value, low, high] = [value, low, high].map(|share| format!("{:.digits$}", share * 100.0));
    format!("{value} % ({low} to {high} %)")
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

/// Returns the number of the rule or the variant whose name is this member. Null for other members.
fn numbered<'r>(row: &'r Value, name: &str) -> &'r Value {
    NUMBERED.iter().find(|(_, of)| *of == name).map_or(&Value::Null, |(number, _)| &row[*number])
}

/// Returns the name of a column. The name of a variant stands for the variant.
fn column_title(name: &str) -> String {
    title(NUMBERED.iter().find(|(_, of)| *of == name).map_or(name, |(number, _)| number))
}

/// Returns the rows of an answer as a table.
fn rows_of(answer: &Value, width: usize) -> String {
    let rows: Vec<_> = answer["analytics"].as_array().into_iter().flatten().collect();
    let members = rows.first().and_then(|row| row.as_object()).into_iter().flatten().map(|(name, _)| name);
    // Of the two members of a link or a tag, people read the name.
    let is_id = |name: &&String| match name.as_str() {
        "linkId" | "tagId" | "campaignId" => true,
        number => NUMBERED.iter().any(|(of, name)| *of == number && rows[0].get(*name).is_some()),
    };
    let is_key = |name: &&String| !is_id(name) && !COUNTS.contains(&name.as_str()) && *name != SHARE;
    let keys: Vec<_> = members.filter(is_key).collect();
    let titles: Vec<String> = keys.iter().map(|name| column_title(name)).collect();
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
    let has_shares = has_shares(answer);
    names.extend(has_shares.then_some(TableColumn::whole("SHARE")));
    let shown = |row: &Value, name: &str, value: &Value| match name {
        // A rule or a variant without a name has its number.
        _ if value.is_null() && !numbered(row, name).is_null() => {
            format!("{} {}", name.trim_end_matches("Name"), numbered(row, name))
        }
        // An empty cell would look like a fault of the table.
        _ if value.is_null() => "(none)".to_owned(),
        SHORT_URL => readable(&text(value)),
        "url" => destination(&text(value)),
        _ => text(value),
    };
    let row = |row: &&Value| {
        let counts = COUNTS.iter().map(|name| text(&row[*name]));
        let share = has_shares.then(|| percentages(&row[SHARE]));
        keys.iter().map(|name| shown(row, name, &row[name.as_str()])).chain(counts).chain(share).collect()
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

    #[test]
    fn variants_have_their_share_in_percent() {
        let share = |value: f64, low: f64, high: f64| json!({"value": value, "low": low, "high": high});
        let answer = json!({"analytics": [
            {"variant": 1, "variantName": "old", "share": share(0.73, 0.6646, 0.7868), "clicks": 146, "visitors": 140},
            {"variant": 2, "variantName": null, "share": share(0.27, 0.2132, 0.3354), "clicks": 54, "visitors": 50},
            {"variant": null, "variantName": null, "clicks": 3, "visitors": 3},
        ]});
        let want = "VARIANT    CLICKS  VISITORS  SHARE\n\
                    old           146       140  73 % (66 to 79 %)\n\
                    variant 2      54        50  27 % (21 to 34 %)\n\
                    (none)          3         3";
        assert_eq!(rows_of(&answer, 80), want);
        assert_eq!(percentages(&share(0.5, 0.498, 0.502)), "50.0 % (49.8 to 50.2 %)");
        // Without a link, variants have no names.
        let all = json!({"analytics": [{"variant": 1, "clicks": 2, "visitors": 2}]});
        assert_eq!(rows_of(&all, 80), "VARIANT  CLICKS  VISITORS\n1             2         2");
        let rows = [("variant", true), ("rule,browser", true), ("link,variant", false), ("browser", false)];
        for (by, want) in rows {
            assert_eq!(mixes_links(by), want, "{by}");
        }
    }

    #[test]
    fn the_tables_of_a_link_are_those_with_something_to_show() {
        assert!(tables(None).contains(&"link") && !tables(Some(&json!({"rules": []}))).contains(&"rule"));
        let link = json!({"rules": [{"id": 1, "url": "https://e.test/"}, {"id": 2, "variants": []}]});
        assert_eq!(tables(Some(&link))[5..], ["rule", "variant"]);
        let by = |triggers: &[&str]| {
            let rows: Vec<_> = triggers.iter().map(|name| json!({"trigger": name, "clicks": 1})).collect();
            is_worth_showing(TRIGGER, &json!({ "analytics": rows }))
        };
        assert!(by(&["link", "qr"]) && by(&["qr"]) && !by(&["link"]) && !by(&[]));
    }
}
