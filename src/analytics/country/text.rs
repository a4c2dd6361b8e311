//! Text files of ranges, one a line.
//!
//! Lines are `start,end,country` or `network,country`; more columns may follow. A start is an address or the number of
//! one, as [`AddressSpan::parse`] describes. Separators are commas, tabs or semicolons; fields may be quoted. These files
//! are known:
//!
//! * ip-location-db: `1.0.0.0,1.0.0.255,AU`, or with numbers in files named `-num`. IPv4 and IPv6 are two files.
//! * DB-IP Lite: the same, both families in one file. Its files of cities have a continent before the country.
//! * `IP2Location` LITE: `"16777216","16777471","US","United States of America"`, and `-` for unknown.
//! * `IPinfo`: a header, then `network,country,country_code,…` or `start_ip,end_ip,country,…`.
//! * iptoasn: tabs, and in some files a number before the country.
//! * Debian's `tor-geoipdb`: comments, then numbers in `geoip` and addresses in `geoip6`, and `??` for unknown.

use std::io::{self, BufRead, Read};
use std::time::SystemTime;

use super::code;
use super::error::LineRule;
use super::gathered::GatheredRanges;
use super::span::{AddressSpan, shown};

/// Longest line. Those of cities have some 200 bytes.
const LINE_MAX: usize = 4096;

/// Columns that are looked at.
const COLUMNS_MAX: usize = 16;

/// Names of the first address of a range.
const STARTS: [&str; 7] =
    ["start", "start_ip", "ip_start", "ip_from", "ip_range_start", "range_start", "network_start"];

/// Names of the last address of a range.
const ENDS: [&str; 7] = ["end", "end_ip", "ip_end", "ip_to", "ip_range_end", "range_end", "network_end"];

/// Names of a network.
const NETWORKS: [&str; 4] = ["network", "cidr", "prefix", "ip_range"];

/// Names of a country, the best first: with a code beside it, `country` is the name in English.
const COUNTRIES: [&str; 5] = ["country_code", "country_iso_code", "iso_code", "cc", "country"];

/// The continents of DB-IP's files of cities.
const CONTINENTS: [&[u8]; 7] = [b"AF", b"AN", b"AS", b"EU", b"NA", b"OC", b"SA"];

/// Why a text file cannot be used.
#[derive(Debug)]
pub(super) enum TextError {
    Io(io::Error),
    /// A line, from 1.
    Line(u32, LineRule),
}

/// What the comments of a file state.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comments {
    /// There are comments, as in Tor's files.
    pub exist: bool,
    /// The data is of `IPFire`.
    pub ipfire: bool,
    /// When the data was made.
    pub built: Option<SystemTime>,
}

/// Where the columns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Range { start: usize, end: usize, country: usize },
    Network { network: usize, country: usize },
}

/// Adds the ranges of a text file.
pub(super) fn read(mut reader: impl BufRead, gathered: &mut GatheredRanges) -> Result<Comments, TextError> {
    let (mut comments, mut format) = (Comments::default(), None);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        // One more than the limit, to notice a longer line without reading it all.
        let limit = LINE_MAX as u64 + 1;
        let length = reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(TextError::Io)?;
        if length == 0 {
            break;
        }
        let fails = |rule| TextError::Line(number, rule);
        gathered.next_line().map_err(fails)?;
        if length > LINE_MAX {
            return Err(fails(LineRule::TooLong(LINE_MAX)));
        }
        let text = line.trim_ascii();
        // Programs for Windows begin a file with it.
        let text = text.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(text);
        if let [b'#', comment @ ..] = text {
            comments.read(comment.trim_ascii());
        } else if !text.is_empty() {
            read_line(text, &mut format, gathered).map_err(fails)?;
        }
    }
    Ok(comments)
}

fn read_line(
    line: &[u8],
    format: &mut Option<(u8, Layout)>,
    gathered: &mut GatheredRanges,
) -> Result<(), LineRule> {
    let Some((separator, layout)) = *format else {
        // The first line decides: neither an address nor a name of a column contains one of these.
        let separator = line.iter().copied().find(|byte| b",\t;".contains(byte)).unwrap_or(b',');
        let fields = LineFields::split(line, separator)?;
        let (layout, is_header) = Layout::detect(&fields)?;
        *format = Some((separator, layout));
        return if is_header { Ok(()) } else { add(&fields, layout, gathered) };
    };
    add(&LineFields::split(line, separator)?, layout, gathered)
}

fn add(fields: &LineFields<'_>, layout: Layout, gathered: &mut GatheredRanges) -> Result<(), LineRule> {
    let country = match layout {
        Layout::Range { country, .. } | Layout::Network { country, .. } => country,
    };
    let field = |at: usize| fields.get(at).ok_or(LineRule::TooFewColumns(fields.count, country + 1));
    let span = match layout {
        Layout::Range { start, end, .. } => AddressSpan::parse(field(start)?, field(end)?)?,
        Layout::Network { network, .. } => AddressSpan::parse_network(field(network)?)?,
    };
    let country = field(country)?;
    // An error and not an unknown country: the column is probably wrong in all lines.
    let country = code::in_file(country).map_err(|_| LineRule::Country(shown(country)))?;
    gathered.add(span, country)
}

impl Layout {
    /// Returns the layout by the first line, and whether that is a header.
    fn detect(fields: &LineFields<'_>) -> Result<(Layout, bool), LineRule> {
        let first = fields.get(0).unwrap_or_default();
        if AddressSpan::parse(first, first).is_ok() {
            return Ok((Layout::Range { start: 0, end: 1, country: fields.country() }, false));
        }
        // A wrong network is reported as such.
        if first.first().is_some_and(u8::is_ascii_digit) || AddressSpan::parse_network(first).is_ok() {
            return Ok((Layout::Network { network: 0, country: 1 }, false));
        }
        Layout::of_header(fields).map(|layout| (layout, true))
    }

    fn of_header(fields: &LineFields<'_>) -> Result<Layout, LineRule> {
        let column = |names: &[&str]| names.iter().find_map(|name| fields.position(name));
        let Some(country) = column(&COUNTRIES) else {
            // MaxMind's text files refer to another file, so their operator needs a hint.
            let is_maxmind = fields.position("geoname_id").is_some();
            return Err(if is_maxmind { LineRule::GeonameId } else { LineRule::Header });
        };
        match (column(&STARTS), column(&ENDS), column(&NETWORKS)) {
            (Some(start), Some(end), _) => Ok(Layout::Range { start, end, country }),
            (_, _, Some(network)) => Ok(Layout::Network { network, country }),
            _ => Err(LineRule::Header),
        }
    }
}

/// The fields of a line.
struct LineFields<'a> {
    fields: [&'a [u8]; COLUMNS_MAX],
    count: usize,
}

impl<'a> LineFields<'a> {
    /// Splits a line. Ignores columns past [`COLUMNS_MAX`].
    fn split(line: &'a [u8], separator: u8) -> Result<LineFields<'a>, LineRule> {
        let mut fields = LineFields { fields: [&[]; COLUMNS_MAX], count: 0 };
        let mut rest = Some(line);
        // A hostile line with thousands of separators costs 16 fields.
        while let Some(text) = rest.take_if(|_| fields.count < COLUMNS_MAX) {
            let (field, after) = match skip_spaces(text) {
                [b'"', quoted @ ..] => split_quoted(quoted)?,
                _ => text.split_at(text.iter().position(|byte| *byte == separator).unwrap_or(text.len())),
            };
            fields.fields[fields.count] = field.trim_ascii();
            fields.count += 1;
            rest = match skip_spaces(after) {
                [] => None,
                [byte, rest @ ..] if *byte == separator => Some(rest),
                _ => return Err(LineRule::Quote),
            };
        }
        Ok(fields)
    }

    fn get(&self, at: usize) -> Option<&'a [u8]> {
        self.fields[..self.count].get(at).copied()
    }

    /// Returns the column with a name, in any case.
    fn position(&self, name: &str) -> Option<usize> {
        self.fields[..self.count].iter().position(|field| field.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Returns the column of the country in a range without a header: the third, or the fourth if the third is the
    /// number of an autonomous system, or a continent before a country.
    fn country(&self) -> usize {
        let (Some(third), Some(fourth)) = (self.get(2), self.get(3)) else { return 2 };
        let is_number = !third.is_empty() && third.iter().all(u8::is_ascii_digit);
        let is_code = matches!(fourth, [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase());
        // `AF`, `AS`, `NA` and `SA` are countries as well, so the next column must be a code too.
        let is_continent = self.count > 4 && is_code && CONTINENTS.contains(&third);
        if is_number || is_continent { 3 } else { 2 }
    }
}

/// Skips spaces, and no tabs: these may separate fields.
fn skip_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| **byte == b' ').count()..]
}

/// Splits a field after its first quote into its text and what follows the last quote. Two quotes in it are one; that
/// stays, since no column that is read may contain any.
fn split_quoted(text: &[u8]) -> Result<(&[u8], &[u8]), LineRule> {
    let mut at = 0;
    loop {
        at += text[at..].iter().position(|byte| *byte == b'"').ok_or(LineRule::Quote)?;
        if text.get(at + 1) != Some(&b'"') {
            return Ok((&text[..at], &text[at + 1..]));
        }
        at += 2;
    }
}

impl Comments {
    fn read(&mut self, comment: &[u8]) {
        self.exist = true;
        let comment = String::from_utf8_lossy(comment);
        self.ipfire |= comment.contains("IPFire");
        if let Some(date) = comment.strip_prefix("Generated:") {
            // A date that cannot be read is no reason to reject the ranges.
            self.built = self.built.or_else(|| httpdate::parse_http_date(date.trim()).ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text and finds countries.
    fn find(text: &str, addresses: &[(&str, Option<&str>)]) -> Comments {
        let mut gathered = GatheredRanges::default();
        let comments =
            read(text.as_bytes(), &mut gathered).unwrap_or_else(|error| panic!("{error:?} in {text}"));
        let found = gathered.pack().expect("no overlap");
        for (address, want) in addresses {
            let got = found.of(address.parse().expect("an address"));
            assert_eq!(
                got.as_ref().map(|code| str::from_utf8(code).expect("letters")),
                *want,
                "{address} in {text}"
            );
        }
        comments
    }

    fn fails(text: &[u8]) -> (u32, LineRule) {
        match read(text, &mut GatheredRanges::default()) {
            Err(TextError::Line(line, rule)) => (line, rule),
            other => panic!("{other:?} for {}", text.escape_ascii()),
        }
    }

    #[test]
    fn files_as_they_are_published() {
        let australia = [
            ("0.255.255.255", None),
            ("1.0.0.0", Some("AU")),
            ("1.0.0.255", Some("AU")),
            ("1.0.1.0", Some("CN")),
        ];
        for text in [
            // ip-location-db
            "1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.3.255,CN\n",
            "16777216,16777471,AU\n16777472,16778239,CN\n",
            // IP2Location LITE DB1 and DB11, and the free list before it
            "\"0\",\"16777215\",\"-\",\"-\"\r\n\"16777216\",\"16777471\",\"AU\",\"Australia\"\r\n\"16777472\",\"16778239\",\"CN\",\"China\"\r\n",
            "\"16777216\",\"16777471\",\"AU\",\"Australia\",\"Queensland\",\"\"\"X\"\", Y\",\"-27.4\",\"153.0\",\"4000\",\"+10:00\"\n16777472,16778239,CN,China",
            "\"0016777216\",\"0016777471\",\"AU\",\"AUS\",\"AUSTRALIA\"\n\"0016777472\",\"0016778239\",\"CN\",\"CHN\",\"CHINA\"\n",
            // DB-IP Lite: countries and cities
            "0.0.0.0,0.255.255.255,ZZ\n1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.3.255,CN\n",
            "1.0.0.0,1.0.0.255,OC,AU,Queensland,\"South Brisbane\",-27.4748,153.017\n1.0.1.0,1.0.3.255,AS,CN,Fujian,Wenquan,26.0998,119.297\n",
            // IPinfo Lite, and its older list
            "network,country,country_code,continent\n1.0.0.0/24,Australia,AU,Oceania\n1.0.1.0/24,China,CN,Asia\n",
            "start_ip,end_ip,country,country_name\n1.0.0.0,1.0.0.255,AU,Australia\n1.0.1.0,1.0.3.255,CN,China\n",
            // iptoasn
            "1.0.0.0\t1.0.0.255\t13335\tAU\tCLOUDFLARENET\n1.0.1.0\t1.0.3.255\t0\tCN\tNot routed\n",
            "16777216\t16777471\tAU\n16777472\t16778239\tCN\n0\t16777215\tNone\n",
            // Others
            "\u{feff}Network;CC\n1.0.0.0/24;au\n\n 1.0.1.0/24 ; cn \n",
            "1.0.0.0/24,AU\n1.0.1.0/24,CN",
            // Out of order, and a range within another one of the same country.
            "1.0.1.0,1.0.1.255,CN\n1.0.0.0,1.0.0.255,AU\n1.0.0.7,1.0.0.9,AU\n",
        ] {
            assert_eq!(find(text, &australia), Comments::default());
        }
    }

    #[test]
    fn files_of_ipv6() {
        let japan = [
            ("2001:1ff::", None),
            ("2001:200::", Some("JP")),
            ("2001:200:ffff::1", Some("JP")),
            ("2001:201::", None),
        ];
        for text in [
            "2001:200::,2001:200:ffff:ffff:ffff:ffff:ffff:ffff,JP",
            "42540528726795050063891204319802818560,42540528806023212578155541913346768895,JP",
            "\"0\",\"281470681743359\",\"-\",\"-\"\n\"281470698520576\",\"281470698520831\",\"AU\",\"Australia\"\n\
             \"42540528726795050063891204319802818560\",\"42540528806023212578155541913346768895\",\"JP\",\"Japan\"",
            "2001:200::/32,JP",
        ] {
            find(text, &japan);
        }
        // Files of IPv6 have the addresses of IPv4 in their mapped form.
        let mapped = "\"281470698520576\",\"281470698520831\",\"AU\",\"Australia\"";
        find(mapped, &[("1.0.0.9", Some("AU")), ("::ffff:1.0.0.9", Some("AU")), ("1.0.1.0", None)]);
    }

    #[test]
    fn files_of_tor() {
        let head = "# This file has been converted from the IPFire Location database\n#\n\
                    # Generated: Thu, 25 Jun 2026 04:33:59 GMT\n# Vendor:    IPFire Project\n#\n";
        let built = httpdate::parse_http_date("Thu, 25 Jun 2026 04:33:59 GMT").ok();
        let want = Comments { exist: true, ipfire: true, built };
        let geoip = format!("{head}15726992,15726999,??\n16777216,16777471,AU\n16777472,16778239,CN\n");
        assert_eq!(find(&geoip, &[("1.0.0.1", Some("AU")), ("0.239.249.80", None)]), want);
        let geoip6 = format!(
            "{head}2001::,2001:0:ffff:ffff:ffff:ffff:ffff:ffff,??\n2001:2::,2001:2:0:ffff:ffff:ffff:ffff:ffff,JP\n"
        );
        assert_eq!(find(&geoip6, &[("2001:2::1", Some("JP")), ("2001::1", None)]), want);
    }

    #[test]
    fn bad_lines_are_named_with_their_rule() {
        let address = |text: &str| LineRule::Address(text.into());
        let rows: [(&str, u32, LineRule); 18] = [
            ("1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.1.255\n", 2, LineRule::TooFewColumns(2, 3)),
            ("1.0.0.0,1.0.0.255", 1, LineRule::TooFewColumns(2, 3)),
            ("1.0.0.0/8\n", 1, LineRule::TooFewColumns(1, 2)),
            // Comments and empty lines count, so that an editor finds the line.
            ("# x\n\n1.0.0.0,1.0.0.255,Australia\n", 3, LineRule::Country("Australia".into())),
            ("1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.0.0,CN\n", 2, LineRule::Order),
            ("1.0.0.0,1.0.0.255,AU\n1.0.1,1.0.0.0,CN\n", 2, address("1.0.1")),
            ("1.0.0.0,1.0.0.255,AU\n7,1.0.0.0,CN\n", 2, LineRule::Kinds),
            ("1.0.0.0,1.0.0.255,AU\n::1,1.0.0.0,CN\n", 2, LineRule::Kinds),
            ("1.0.0.0/24,AU\n1.0.0.1/24,AU", 2, LineRule::Network("1.0.0.1/24".into())),
            // It begins with a digit, so it is not reported as a header.
            ("1.0.0.300,1.0.0.255,AU\n", 1, LineRule::Network("1.0.0.300".into())),
            ("\"1.0.0.0,1.0.0.255,AU\n", 1, LineRule::Quote),
            ("\"1.0.0.0\"x,1.0.0.255,AU\n", 1, LineRule::Quote),
            ("1.0.0.0,\"1.0.0.255\nAU", 1, LineRule::Quote),
            ("hello\n", 1, LineRule::Header),
            ("start,end\n", 1, LineRule::Header),
            ("start,country\n", 1, LineRule::Header),
            ("network,geoname_id,registered_country_geoname_id\n", 1, LineRule::GeonameId),
            // An error page that was saved in place of the file.
            ("<!doctype html>\n", 1, LineRule::Header),
        ];
        for (text, line, rule) in rows {
            assert_eq!(fails(text.as_bytes()), (line, rule), "{text}");
        }
        assert_eq!(fails(&[b'1'; 5_000]), (1, LineRule::TooLong(4096)));
    }
}
