//! `waypost link explain`: what a click would do, and why. It counts nothing.

use clap::Args;
use hyper::Method;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::named::{LINKS, NamedLink};
use crate::cli::api_client::{ApiClient, ClientArguments};
use crate::cli::columns::{list, table, text};
use crate::cli::error::CommandError;
use crate::cli::output::print_line;
use crate::cli::terminal;

#[derive(Clone, Debug, Args)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    link: NamedLink,
    /// The User-Agent of the visitor, such as Googlebot/2.1.
    #[arg(long, value_name = "TEXT")]
    ua: Option<String>,
    /// The query of the visitor, such as a=1&b=2.
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// The time of the click, such as 2027-12-31T18:00:00Z. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
}

/// Runs the command.
pub(super) fn run(arguments: &ExplainArguments) -> Result<(), CommandError> {
    let client = ApiClient::new(&arguments.client)?;
    let found = arguments.link.find(&client)?;
    let link = &found.value["link"];
    let mut query = Serializer::new(String::new());
    let given = [("ua", &arguments.ua), ("query", &arguments.query), ("at", &arguments.at)];
    for (name, value) in given {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let path = format!("{LINKS}/{}/explain?{}", text(&link["id"]), query.finish());
    let options = [("at", "--at"), ("ua", "--ua"), ("query", "--query")];
    let answer = client.send(&Method::GET, &path, None).map_err(|error| error.with_options(&[&options]))?;
    if client.shows_json {
        answer.print();
    } else {
        print_line(&words(&text(&link["shortUrl"]), &answer.value["explain"]));
    }
    Ok(())
}

fn words(short_url: &str, explain: &Value) -> String {
    let counted = if explain["counted"] == true { "yes" } else { "no" };
    let pairs = [
        ("short URL", short_url.to_owned()),
        ("outcome", text(&explain["outcome"])),
        ("status", text(&explain["status"])),
        ("location", text(&explain["location"])),
        ("counts as a click", counted.to_owned()),
        ("password locked until", text(&explain["passwordLockedUntil"])),
    ];
    let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<_> = set.map(|(name, value)| (name.to_owned(), value)).collect();
    let steps = explain["steps"].as_array().into_iter().flatten();
    let passes = |step: &Value| if step["passes"] == true { "passes" } else { "ends here" };
    let rows: Vec<Vec<String>> =
        steps.map(|step| vec![text(&step["rule"]), passes(step).to_owned(), text(&step["why"])]).collect();
    format!("{}\n\n{}", list(&pairs), table(&["RULE", "RESULT", "WHY"], &rows, terminal::width()))
}
