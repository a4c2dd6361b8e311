//! The same clicks as rows of a table: what a shortener with a row for each click stores.

use std::error::Error;
use std::io::{BufWriter, Write};

use waypost::clock::Timestamp;

use crate::clicks::{Month, Visits, host, hour_of, letters};
use crate::random::Traffic;

/// Milliseconds of a slot.
const SLOT: i64 = 900_000;

/// Prints a line for each click, with tabs between: time, code, referrer, User-Agent, address, country.
pub(crate) fn print(traffic: &Traffic) -> Result<(), Box<dyn Error>> {
    let month = Month::last();
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    for day in 0..month.days {
        let (mut ranks, mut visits) = (traffic.ranks(day), Visits::new(day));
        let (clicks, mut done) = (traffic.clicks_of(day, month.days), 0);
        for hour in 0..24 {
            let first = hour_of(month.day(day), hour).0;
            while done < Month::until(clicks, hour + 1) {
                let (visit, link) = (visits.draw(), traffic.link(ranks.next()));
                // Any second of the quarter, and another address for each.
                let millis =
                    i64::from(first + visit.quarter) * SLOT + (done * 7_919 % 900).cast_signed() * 1_000;
                let time = Timestamp::from_millis(millis).to_string();
                let (date, clock) = (&time[..10], &time[11..19]);
                let referrer =
                    visit.site.map_or("direct".to_owned(), |site| format!("https://{}/", host(site)));
                let [a, b] = letters(visit.country, b'A').map(char::from);
                let [high, low] = [done >> 8 & 255, done & 255];
                writeln!(
                    out,
                    "{date} {clock}\t{link:07}\t{referrer}\tMozilla/5.0 (Windows NT 10.0; Win64; x64) \
                     AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36\t203.{day}.{high}.{low}\t{a}{b}",
                    100 + visit.agent
                )?;
                done += 1;
            }
        }
    }
    Ok(out.flush()?)
}
