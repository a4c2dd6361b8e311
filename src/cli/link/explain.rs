//! `waypost link explain`: what a click would do, and why. It counts nothing.

use clap::Args;
use hyper::Method;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::named::{LINKS, NamedLink};
use crate::cli::api_client::{ApiClient, ClientArguments};
use crate::cli::columns::{TableColumn, list, table, text};
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
    /// The path behind the code.
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
            ua, query, at, device, os, browser, country, region, city, language, referrer, cookie, address,
            host, path, clicks,
        ];
        OPTIONS.iter().map(|(name, _)| *name).zip(values)
    }
}

/// Runs the command.
pub(super) fn run(arguments: &ExplainArguments) -> Result<(), CommandError> {
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
    let names = ["RULE", "RESULT", "WHY"].map(TableColumn::text);
    format!("{}\n\n{}", list(&pairs), table(&names, &rows, terminal::width()))
}
