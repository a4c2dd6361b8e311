use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use tempfile::{NamedTempFile, TempDir};

use super::mmdb_writer::{MmdbWriter, Value};
use super::*;

use std::time::{Duration, SystemTime};

fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(content).expect("room");
    file
}

fn open(content: &[u8]) -> Result<Countries, CountryError> {
    // Fuzzing reads from memory, so both ways must accept the same files.
    let (opened, parsed) = (Countries::open(file(content).path()), Countries::parse(content));
    assert_eq!(opened.is_ok(), parsed.is_ok());
    opened
}

fn fails(content: &[u8]) -> CountryError {
    open(content).expect_err("a bad file")
}

fn find(countries: &Countries, address: &str) -> Option<String> {
    let code = countries.of(address.parse().expect("an address"))?;
    Some(String::from_utf8(code.to_vec()).expect("letters"))
}

fn of_maxmind(code: &str) -> Value {
    Value::Map(vec![
        ("continent", Value::Map(vec![("code", Value::text("EU"))])),
        ("country", Value::Map(vec![("geoname_id", Value::U32(7)), ("iso_code", Value::text(code))])),
    ])
}

fn of_city(code: &str, region: &str, city: &str) -> Value {
    let names = |name: &str| {
        Value::Map(vec![("names", Value::Map(vec![("de", Value::text("x")), ("en", Value::text(name))]))])
    };
    Value::Map(vec![
        ("city", names(city)),
        ("country", Value::Map(vec![("iso_code", Value::text(code))])),
        ("subdivisions", Value::List(vec![names(region), names("another")])),
    ])
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn mmdb_files_of_all_sizes() {
    // Each size of a record has a layout of its own.
    for (version, bits) in [(4, 24), (4, 28), (4, 32), (6, 24), (6, 28), (6, 32)] {
        let mut writer = MmdbWriter::new("GeoLite2-Country", version, bits);
        writer.add(ip("1.0.0.0"), 24, &of_maxmind("AU"));
        writer.add(ip("1.0.1.0"), 24, &of_maxmind("CN"));
        // A code that is no country, at the deepest node.
        writer.add(ip("1.2.3.4"), 32, &of_maxmind("ZZ"));
        writer.add(ip("255.0.0.0"), 8, &of_maxmind("de"));
        if version == 6 {
            writer.add(ip("2001:db8::"), 32, &of_maxmind("JP"));
        }
        let countries = open(&writer.write()).expect("a whole file");
        for (address, want) in [
            ("0.255.255.255", None),
            ("1.0.0.0", Some("AU")),
            ("1.0.0.255", Some("AU")),
            ("::ffff:1.0.1.7", Some("CN")),
            ("1.0.2.0", None),
            ("1.2.3.4", None),
            ("255.255.255.255", Some("DE")),
            ("2001:db8:ffff::1", (version == 6).then_some("JP")),
            ("2001:db9::", None),
        ] {
            assert_eq!(
                find(&countries, address).as_deref(),
                want,
                "{address}, version {version}, {bits} bits"
            );
        }
        let source = countries.source();
        assert_eq!((source.kind, source.ranges), (SourceKind::Mmdb, if version == 6 { 4 } else { 3 }));
        assert_eq!(source.built, SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_780_000_000)));
        assert!(source.modified.is_some());
        assert_eq!(source.attribution.expect("GeoLite").url, "https://www.maxmind.com");
        assert!(!source.has_places && countries.place(ip("1.0.0.0")).is_none());
    }
}

#[test]
fn mmdb_files_of_other_publishers() {
    let mut writer = MmdbWriter::new("ipinfo", 4, 24);
    writer.add(
        ip("1.0.0.0"),
        24,
        &Value::Map(vec![("country_code", Value::text("AU")), ("country", Value::text("Australia"))]),
    );
    writer.add(ip("1.0.1.0"), 24, &Value::Map(vec![("country", Value::text("CN"))]));
    // No code: a name, a number, an empty record, and a text in place of a record.
    writer.add(ip("1.0.2.0"), 24, &Value::Map(vec![("country", Value::text("China"))]));
    writer.add(ip("1.0.3.0"), 24, &Value::Map(vec![("country", Value::U16(7))]));
    writer.add(ip("1.0.4.0"), 24, &Value::Map(vec![]));
    writer.add(ip("1.0.5.0"), 24, &Value::text("DE"));
    let countries = open(&writer.write()).expect("a whole file");
    let found = [0, 1, 2, 3, 4, 5].map(|third| find(&countries, &format!("1.0.{third}.9")));
    assert_eq!(found.each_ref().map(Option::as_deref), [Some("AU"), Some("CN"), None, None, None, None]);
}

#[test]
fn a_network_around_all_of_ipv4_has_its_addresses() {
    let mut writer = MmdbWriter::new("x", 6, 24);
    // Wider than `::/96`, so the tree has no network of IPv4.
    writer.add(ip("::"), 8, &of_maxmind("AU"));
    writer.add(ip("8000::"), 1, &of_maxmind("CN"));
    let countries = open(&writer.write()).expect("a whole file");
    let found =
        ["1.2.3.4", "::5", "ff::", "100::", "8000::", "ffff::"].map(|address| find(&countries, address));
    let want = [Some("AU"), Some("AU"), Some("AU"), None, Some("CN"), Some("CN")];
    assert_eq!(found.each_ref().map(Option::as_deref), want);
}

#[test]
fn regions_and_cities_when_they_are_wanted() {
    let mut writer = MmdbWriter::new("DBIP-City-Lite", 6, 28);
    // A control character of a file must not reach an answer.
    writer.add(ip("1.0.0.0"), 24, &of_city("AU", "Queensland", "South\u{1f} Brisbane"));
    writer.add(
        ip("1.0.1.0"),
        24,
        &Value::Map(vec![("country_code", Value::text("CN")), ("state1", Value::text("Fujian"))]),
    );
    writer.add(ip("1.0.2.0"), 24, &of_maxmind("DE"));
    let file = file(&writer.write());
    let countries = Countries::open_with_places(file.path()).expect("a whole file");
    assert!(countries.source().has_places);
    let place = |region: &str, city: &str| Some(Place { region: region.into(), city: city.into() });
    assert_eq!(countries.place(ip("1.0.0.7")), place("Queensland", "South Brisbane"));
    assert_eq!(countries.place(ip("::ffff:1.0.1.7")), place("Fujian", ""));
    assert_eq!(countries.place(ip("1.0.2.7")), None);
    assert_eq!(countries.place(ip("2001:db8::")), None);
}

#[test]
fn damaged_mmdb_files_are_errors() {
    let mut writer = MmdbWriter::new("GeoLite2-ASN", 6, 24);
    writer.add(ip("1.0.0.0"), 24, &Value::Map(vec![("autonomous_system_number", Value::U32(7))]));
    let no_country = fails(&writer.write());
    assert!(
        no_country.to_string().ends_with("its records have no country: it has type \"GeoLite2-ASN\""),
        "{no_country}"
    );
    let mut writer = MmdbWriter::new("GeoLite2-Country", 6, 24);
    writer.add(ip("1.0.0.0"), 24, &of_maxmind("AU"));
    let whole = writer.write();
    // A download that ended early, at each byte.
    for length in 0..whole.len() {
        fails(&whole[..length]);
        // Bytes of names may change without notice. Nothing may panic.
        let mut damaged = whole.clone();
        for bit in [1, 0x80] {
            damaged[length] ^= bit;
            drop(open(&damaged));
        }
    }
}

/// A tree in which both sides of each node lead to the next one has 2^128 networks.
#[test]
fn a_tree_with_too_many_ways_is_an_error() {
    let mut writer = MmdbWriter::new("x", 6, 24);
    writer.add(ip("::1"), 128, &of_maxmind("AU"));
    let mut bytes = writer.write();
    for node in 0..127_u8 {
        let at = usize::from(node) * 6;
        bytes[at..at + 6].copy_from_slice(&[0, 0, node + 1, 0, 0, node + 1]);
    }
    let error = fails(&bytes);
    assert!(matches!(error, CountryError::File { rule: FileRule::Tree, .. }), "{error}");
}

#[test]
fn tors_two_files_are_one_source() {
    let folder = TempDir::new().expect("a temporary folder");
    let head = "# IPFire Location database\n# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n";
    let geoip = folder.path().join("geoip");
    fs::write(&geoip, format!("{head}16777216,16777471,AU\n")).expect("room");
    // The second file is optional.
    assert_eq!(find(&Countries::open(&geoip).expect("one file"), "2001:2::"), None);
    fs::write(folder.path().join("geoip6"), format!("{head}2001:2::,2001:2::ff,JP\n")).expect("room");
    let countries = Countries::open(&geoip).expect("two files");
    assert_eq!(find(&countries, "2001:2::").as_deref(), Some("JP"));
    assert_eq!(find(&countries, "1.0.0.9").as_deref(), Some("AU"));
    let source = countries.source();
    assert_eq!((source.kind, source.ranges, source.kind.name()), (SourceKind::Tor, 2, "tor-geoipdb"));
    assert_eq!(source.attribution, Some(Attribution::IPFIRE));
    assert_eq!(source.built, httpdate::parse_http_date("Thu, 25 Jun 2026 04:33:59 GMT").ok());
    let v6 = Countries::open(&folder.path().join("geoip6")).expect("alone");
    assert_eq!((v6.source().ranges, find(&v6, "1.0.0.9")), (1, None));
}

#[test]
fn errors_name_file_line_and_rule() {
    let folder = TempDir::new().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("room");
        path
    };
    let v4 = write("v4.csv", b"1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.1.255,CN\n");
    let other = write("other.csv", b"# x\n2.0.0.0,2.0.0.9,AU\n1.0.1.7,1.0.1.9,DE\n");
    let folder = folder.path().display();
    let message = |paths: &[PathBuf]| Countries::open_all(paths).expect_err("bad").to_string();
    let overlap = |file, line, other_line, other| {
        format!(
            "country file {folder}/{file}, line {line}: its range overlaps that of line {other_line} of \
             {folder}/{other}, which has another country"
        )
    };
    assert_eq!(message(&[v4.clone(), other.clone()]), overlap("other.csv", 3, 2, "v4.csv"));
    // In the other order, the other line is the later one.
    assert_eq!(message(&[other, v4.clone()]), overlap("v4.csv", 2, 3, "other.csv"));
    let two = |code| {
        let mut writer = MmdbWriter::new("x", 4, 24);
        writer.add(ip("1.0.1.0"), 24, &of_maxmind(code));
        writer.write()
    };
    let (cn, de) = (write("cn.mmdb", &two("CN")), write("de.mmdb", &two("DE")));
    let merged = Countries::open_all(&[v4.clone(), cn.clone()]).expect("they agree");
    assert_eq!((merged.source().kind, merged.source().ranges), (SourceKind::Csv, 2));
    assert_eq!(message(&[cn, de]), overlap("de.mmdb", 1, 1, "cn.mmdb"));
    assert_eq!(message(&[]), "country file : it contains no range with a country");
    let bad = write("bad.csv", b"1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.1.255,Germany\n");
    assert_eq!(
        message(&[bad]),
        format!("country file {folder}/bad.csv, line 2: \"Germany\" is no country code of two letters")
    );
    assert!(message(&[PathBuf::from("/nowhere/x")]).starts_with("cannot read the country file /nowhere/x: "));
    assert!(message(&[PathBuf::from("/")]).starts_with("cannot read the country file /: "));
    for (content, rule) in [
        (&b""[..], "it contains no range with a country"),
        (b"# a comment\n\n", "it contains no range with a country"),
        (b"1.0.0.0,1.0.0.255,ZZ\n", "it contains no range with a country"),
        (b"start,end,country\n", "it contains no range with a country"),
        (b"\x1f\x8b\x08", "it is compressed: unpack it first, for example with gunzip or unzip"),
        (b"PK\x03\x04", "it is compressed: unpack it first, for example with gunzip or unzip"),
        (b"\x7fELF\0\0", "it is neither an .mmdb file nor text with ranges of addresses"),
        // UTF-16, as some editors for Windows save it.
        (b"1\x00.\x000\x00", "it is neither an .mmdb file nor text with ranges of addresses"),
    ] {
        let error = fails(content).to_string();
        assert!(error.ends_with(rule), "{error}");
    }
}

/// The files of Debian's package, if `TOR_GEOIP` is the path of its `geoip`: every address at an edge of a range has the
/// country of its line. `cargo test --release -- --ignored`.
#[test]
#[ignore = "needs the package tor-geoipdb"]
fn the_files_of_debian() {
    let path = PathBuf::from(std::env::var("TOR_GEOIP").expect("a path"));
    let countries = Countries::open(&path).expect("Debian's file");
    for path in [path.clone(), path.with_file_name("geoip6")] {
        for line in fs::read_to_string(path).expect("text").lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<_> = line.split(',').collect();
            let address = |text: &str| {
                text.parse()
                    .map(|number| Ipv4Addr::from_bits(number).into())
                    .or_else(|_| text.parse())
                    .expect("an address")
            };
            for edge in &fields[..2] {
                let want = code::of_number(code::in_file(fields[2].as_bytes()).expect("two letters"));
                assert_eq!(countries.of(address(edge)), want, "{line}");
            }
        }
    }
}

fn line() -> impl Strategy<Value = String> {
    let v4 = (any::<u32>(), 0_u32..100_000).prop_map(|(start, more)| {
        (Ipv4Addr::from_bits(start).to_string(), Ipv4Addr::from_bits(start.saturating_add(more)).to_string())
    });
    let v6 = (any::<u128>(), any::<u64>()).prop_map(|(start, more)| {
        (
            Ipv6Addr::from_bits(start).to_string(),
            Ipv6Addr::from_bits(start.saturating_add(more.into())).to_string(),
        )
    });
    let number = (any::<u32>(), 0_u32..100)
        .prop_map(|(start, more)| (start.to_string(), start.saturating_add(more).to_string()));
    (prop_oneof![v4, v6, number], "(AD|AE|BE|CH|DE)")
        .prop_map(|((start, end), code)| format!("{start},{end},{code}"))
}

proptest! {
    #[test]
    fn text_files_find_what_a_naive_search_finds(lines in proptest::collection::vec(line(), 1..60)) {
        // Random ranges may contradict each other, which is an error of its own.
        let Ok(countries) = open(lines.join("\n").as_bytes()) else { return Ok(()) };
        let number = |text: &str| text.parse::<u32>().map_or_else(|_| ip(text), |number| Ipv4Addr::from_bits(number).into());
        let rows: Vec<(IpAddr, IpAddr, &[u8])> = lines.iter().map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            (number(fields[0]), number(fields[1]), fields[2].as_bytes())
        }).collect();
        for (start, end, _) in &rows {
            for address in [*start, *end] {
                let of_family = |row: &&(IpAddr, IpAddr, &[u8])| row.0.is_ipv4() == address.is_ipv4();
                let want = rows.iter().filter(of_family).find(|row| row.0 <= address && address <= row.1).map(|row| row.2);
                let got = countries.of(address);
                prop_assert_eq!(got.as_ref().map(|code| &code[..]), want);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>()) {
        drop(open(&bytes));
        let mut writer = MmdbWriter::new("x", 6, 24);
        writer.add(ip("2001:db8::"), 32, &of_city("AU", "Q", "B"));
        // Random bytes alone seldom pass for an `.mmdb`, so a whole one is damaged.
        let mut damaged = writer.write();
        let at = at.index(damaged.len());
        let length = bytes.len().min(damaged.len() - at).min(40);
        damaged[at..at + length].copy_from_slice(&bytes[..length]);
        if let Ok(countries) = Countries::open_with_places(file(&damaged).path()) {
            drop((countries.of(ip("2001:db8::1")), countries.place(ip("2001:db8::1")), countries.place(ip("1.2.3.4"))));
        }
    }

    #[test]
    fn arbitrary_lines_do_not_panic(text in "([0-9.:/,\"A-Z;\t #\r\n-]{0,30}\n){0,6}") {
        drop(open(text.as_bytes()));
    }
}
