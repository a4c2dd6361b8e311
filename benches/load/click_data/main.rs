//! Data of click analytics as a busy server has them after a month, made in minutes, and its questions.
//!
//! * `click_data links LINKS CLICKS` prints the links as `waypost import` reads them, each with its number of clicks.
//! * `click_data parts DATA LINKS CLICKS` adds the details of these clicks to the data folder into which they were
//!   imported. Prints one line of JSON: bytes, times and memory. With `unmerged` behind it, the merges of the last day,
//!   of its week and of the month are left to a server.
//! * `click_data rows LINKS CLICKS` prints the same clicks as rows of a table.
//! * `click_data ask DATA` asks the details of a data folder as a dashboard does, without HTTP, and prints the time
//!   of the processor that each question takes.
//!
//! All clicks are of the last whole month of UTC. The same numbers make the same clicks: of each link as many as a
//! Zipf distribution gives it, by the hours of the day, with countries, browsers, sites and languages of which few are
//! frequent. One visit of a bot comes to 32 clicks. A run is written for each hour, as by a server, and merged as by a
//! server.

// A generator of numbers: each cast is of a number that fits.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::Path;

mod ask;
#[expect(dead_code, reason = "the records of its other programs")]
#[path = "../../support/bare_log.rs"]
mod bare_log;
mod clicks;
mod parts;
mod random;
mod rows;

use self::clicks::Month;
use self::random::Traffic;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["links", links, clicks] => print_links(&Traffic { links: links.parse()?, clicks: clicks.parse()? }),
        ["parts", data, links, clicks, rest @ ..] if matches!(rest, [] | ["unmerged"]) => {
            let traffic = Traffic { links: links.parse()?, clicks: clicks.parse()? };
            parts::write(Path::new(data), &traffic, rest.is_empty())
        }
        ["rows", links, clicks] => rows::print(&Traffic { links: links.parse()?, clicks: clicks.parse()? }),
        ["ask", data] => ask::ask(Path::new(data)),
        _ => Err("the commands are links, parts, rows and ask: see benches/load/click_data/main.rs".into()),
    }
}

/// Prints a line for each link.
fn print_links(traffic: &Traffic) -> Result<(), Box<dyn Error>> {
    let month = Month::last();
    let mut counts = vec![0_u32; traffic.links as usize];
    for day in 0..month.days {
        let mut ranks = traffic.ranks(day);
        for _ in 0..traffic.clicks_of(day, month.days) {
            counts[traffic.link(ranks.next()) as usize] += 1;
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (link, clicks) in (0..).zip(counts) {
        let (id, created) = (month.id(link), month.created());
        writeln!(
            out,
            r#"{{"id":"{id}","url":"https://example.com/a/landing/page/of/sixty/bytes?n={link:07}a","customSlug":"{link:07}","createdAt":"{created}","clickCount":{clicks}}}"#,
        )?;
    }
    Ok(out.flush()?)
}
