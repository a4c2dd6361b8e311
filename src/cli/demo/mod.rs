//! `waypost demo`: starts a server with an empty data folder of its own, creates links and a month of visits, and serves
//! them until a signal. The folder is removed at the end.
//!
//! The month is made by real requests to a server whose clock the command moves, so that all numbers are as a server
//! would have them. Then the server starts again with the clock of the machine.

mod content;
mod visits;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use hyper::Method;

use self::content::{LINKS, TAGS};
use self::visits::{DAY_MILLIS, DAYS, DemoClient};
use super::error::CommandError;
use super::output::{print_line, print_note};
use super::runtime;
use super::signals::{SignalRequest, Signals};
use crate::app::App;
use crate::clock::{Clock, Timestamp};
use crate::config::{AdminKey, Config};
use crate::settings::listen::Listen;

const HOUR_MILLIS: i64 = 60 * 60 * 1_000;

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub(super) struct DemoArguments {
    /// The port of the demo on this machine. Default: a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Visits in the month.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    visits: u32,
}

/// Runs the command.
pub(super) fn run(arguments: &DemoArguments) -> Result<(), CommandError> {
    let folder = tempfile::Builder::new().prefix("waypost-demo-").tempdir().map_err(CommandError::from)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime::build(builder.enable_all())?;
    let done = runtime.block_on(serve(arguments, folder.path()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    // Here and not by a drop, whose error nobody would see.
    folder.close().map_err(CommandError::from)?;
    done
}

async fn serve(arguments: &DemoArguments, folder: &Path) -> Result<(), CommandError> {
    // Before the start: Ctrl-C must remove the folder.
    let mut signals = Signals::new().map_err(CommandError::from)?;
    let key = format!("wp_demo_{}", nanoid::nanoid!(32, &KEY_DIGITS));
    // Random, since other users of this machine can connect as well.
    let mut config = config_of(arguments.port, folder, &key);
    let now = Clock::system().now();
    // At midnight, so that the hours of visits are those of a day. The last day is not over.
    let days = now.as_millis().div_euclid(DAY_MILLIS) + 1 - DAYS;
    let clock = Clock::fixed(Timestamp::from_millis(days * DAY_MILLIS));
    print_note(&format!("creating {} links and {} visits of {DAYS} days...", LINKS.len(), arguments.visits));
    let app = App::start(config.clone(), clock.clone()).await.map_err(CommandError::from)?;
    let filled = tokio::select! {
        filled = fill(&app, (&clock, now), &key, arguments.visits) => Some(filled),
        () = signals.stop("the demo is not ready yet") => None,
    };
    // The next start has the same port, so that nothing that was created names another one.
    config.listen = Listen::Tcp(app.address());
    config.public_url = format!("http://localhost:{}", app.address().port());
    app.stop().await;
    match filled {
        Some(filled) => filled?,
        None => return Ok(()),
    }
    let url = config.public_url.clone();
    let app = App::start(config, Clock::system()).await.map_err(CommandError::from)?;
    app.ready().await.map_err(CommandError::from)?;
    print_line(&format!(
        "The demo runs until Ctrl-C, and then removes everything.\n\n  dashboard   {url}/admin\n  API key     {key}\n  \
         a link      {url}/{}\n  API         {url}/api/docs",
        LINKS[0].code
    ));
    while signals.next().await != SignalRequest::Stop {}
    app.stop().await;
    Ok(())
}

/// Digits of the key.
const KEY_DIGITS: [char; 36] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k',
    'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

fn config_of(port: u16, folder: &Path, key: &str) -> Config {
    let mut config = Config {
        listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        data_dir: folder.to_owned(),
        admin_key: Some(AdminKey(key.to_owned())),
        ..Config::default()
    };
    // The visits say where they come from, as a proxy would.
    config.http.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    config.clicks.country_header = Some(visits::COUNTRY.to_owned());
    // The command writes the clicks of each hour itself.
    config.clicks.flush_interval = Duration::from_mins(1);
    config
}

/// Creates the links and their visits.
async fn fill(
    app: &App,
    (clock, now): (&Clock, Timestamp),
    key: &str,
    visits: u32,
) -> Result<(), CommandError> {
    app.ready().await.map_err(CommandError::from)?;
    let mut client = DemoClient::connect(app.address(), key).await?;
    // Links name their tags by ids.
    let mut tags = Vec::new();
    for (name, color) in TAGS {
        let tag = client
            .send(Method::POST, "/api/v1/tags", &serde_json::json!({"name": name, "color": color}))
            .await?;
        tags.push(tag["tag"]["id"].clone());
    }
    for link in LINKS {
        client.send(Method::POST, "/api/v1/links", &link.body(&tags)).await?;
    }
    let begin = clock.now();
    for visit in visits::month(visits) {
        let at = begin.plus_millis(visit.at);
        // The rest of today has not happened.
        if at > now {
            break;
        }
        if at.as_millis() / HOUR_MILLIS != clock.now().as_millis() / HOUR_MILLIS {
            // Clicks have the time at which their details are written.
            app.core().click_log().flush().await.map_err(CommandError::from)?;
        }
        clock.set(at);
        client.visit(&visit).await?;
    }
    app.core().click_log().flush().await.map_err(CommandError::from)?;
    // The counters are written at the time of the next start.
    clock.set(now);
    Ok(())
}
