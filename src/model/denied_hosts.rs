//! [`DeniedHosts`]: the hosts of a deny list, each with all its subdomains, as sorted hashes of 64 bits.
//!
//! A host takes 8 bytes. A look-up hashes each suffix of a host that begins a label, so a host that is not on a list
//! of a million is refused by mistake with a probability of 5 in 10^14 for each of its labels. The hashes are keyed
//! by random numbers of the process, so such a host cannot be searched for beforehand.

use std::fmt;
use std::net::IpAddr;

use url::Host;

use crate::model::destination::{Destination, is_plain_name};

/// Longest name in DNS. No longer suffix of a host is looked up, so that the work for a host is bounded.
const HOST_MAX: usize = 253;

/// Longest label of a name in DNS.
const LABEL_MAX: usize = 63;

const NOT_UTF8: &str = "must be UTF-8";
const NOT_A_HOST: &str =
    "must be a host such as evil.example, or a line of a hosts file such as 0.0.0.0 evil.example";
const NOT_ALONE: &str = "must be a host alone, without scheme, port and path, such as evil.example";
const STAR: &str =
    "must not have a star except in *. at the start: a host denies all its subdomains in any case";
const ONE_LABEL: &str = "must have a dot: a name such as com would deny every host that ends in it";
const MAPPED: &str = "must not map a host to another address than 0.0.0.0, 127.0.0.1, :: or ::1, as hosts files do that block hosts";

/// The hosts of a deny list.
pub struct DeniedHosts {
    random: ahash::RandomState,
    /// Sorted, each once.
    hashes: Box<[u64]>,
}

impl fmt::Debug for DeniedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeniedHosts").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl DeniedHosts {
    /// Returns the number of hosts.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Returns whether the list has no host.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Returns the host of a URL, without a final dot, if it or a domain above it is on the list. Returns `None` for a
    /// URL without a host, such as a telephone number.
    pub fn host_of(&self, to: &Destination) -> Option<Box<str>> {
        if let Some(host) = to.plain_host() {
            return self.denies_name(host).then(|| host.into());
        }
        let url = to.to_url()?;
        let host = match url.host()? {
            // The parser leaves the hosts of other schemes as they are.
            Host::Domain(name) if !matches!(url.scheme(), "http" | "https") => {
                Host::parse(name).unwrap_or_else(|_| Host::Domain(name.to_ascii_lowercase()))
            }
            host => host.to_owned(),
        };
        let is_denied = match host {
            Host::Domain(name) => self.denies_name(name.trim_end_matches('.')),
            Host::Ipv4(address) => self.contains(&shown(address.into())),
            Host::Ipv6(address) => self.contains(&shown(address.into())),
        };
        is_denied.then(|| url.host_str().unwrap_or_default().trim_end_matches('.').into())
    }

    fn denies_name(&self, name: &str) -> bool {
        let mut rest = name;
        loop {
            if rest.len() <= HOST_MAX && self.contains(rest) {
                return true;
            }
            let Some((_, parent)) = rest.split_once('.') else { return false };
            rest = parent;
        }
    }

    fn contains(&self, host: &str) -> bool {
        self.hashes.binary_search(&self.random.hash_one(host)).is_ok()
    }
}

/// Collects the hosts of a deny list, line by line.
pub struct DenyListReader {
    random: ahash::RandomState,
    hashes: Vec<u64>,
}

impl fmt::Debug for DenyListReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyListReader").field("hosts", &self.hashes.len()).finish_non_exhaustive()
    }
}

impl Default for DenyListReader {
    fn default() -> DenyListReader {
        DenyListReader { random: ahash::RandomState::new(), hashes: Vec::new() }
    }
}

impl DenyListReader {
    /// Adds the host of a line, or the hosts of a line of a hosts file. `#` begins a comment. Fails with the rule that
    /// the line breaks.
    pub fn add_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        // Before the check for UTF-8: comments of old lists have other encodings.
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let text = std::str::from_utf8(line).map_err(|_| NOT_UTF8)?;
        // A byte order mark, also of a file that was appended to another one.
        let mut words = text.trim_start_matches('\u{feff}').split_whitespace();
        let Some(first) = words.next() else { return Ok(()) };
        let mut names = words.peekable();
        if names.peek().is_none() {
            return self.add(first);
        }
        // `fe80::1%lo0` names an interface behind the address.
        let address = first.split('%').next().unwrap_or_default().parse::<IpAddr>();
        let address = address.map_err(|_| NOT_A_HOST)?;
        for name in names.filter(|name| !is_of_machine(name, address)) {
            if !address.is_unspecified() && !address.is_loopback() {
                return Err(MAPPED);
            }
            self.add(name)?;
        }
        Ok(())
    }

    fn add(&mut self, word: &str) -> Result<(), &'static str> {
        let host = word.strip_prefix("*.").or_else(|| word.strip_prefix('.')).unwrap_or(word);
        // Nearly every line. The general way takes ten times as long.
        if is_plain_name(host) && !host.contains("xn--") {
            return self.add_name(host);
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            self.insert(&shown(address));
            return Ok(());
        }
        if host.contains(['/', ':', '@']) {
            return Err(NOT_ALONE);
        }
        if host.contains('*') {
            return Err(STAR);
        }
        // The rules of destinations: letters become punycode in lower case, and numbers become addresses.
        let name = match Host::parse(host) {
            Ok(Host::Domain(name)) => name,
            Ok(address) => {
                self.insert(&address.to_string());
                return Ok(());
            }
            // Lists contain names that were registered before today's rules. No URL can have such a host.
            Err(_) if host.to_ascii_lowercase().contains("xn--") => return Ok(()),
            Err(_) => return Err(NOT_A_HOST),
        };
        self.add_name(name.strip_suffix('.').unwrap_or(&name))
    }

    /// Adds a name in its normal form.
    fn add_name(&mut self, name: &str) -> Result<(), &'static str> {
        let fits = |label: &str| (1..=LABEL_MAX).contains(&label.len());
        if name.len() > HOST_MAX || !name.split('.').all(fits) {
            return Err(NOT_A_HOST);
        }
        if !name.contains('.') {
            return Err(ONE_LABEL);
        }
        self.insert(name);
        Ok(())
    }

    fn insert(&mut self, host: &str) {
        self.hashes.push(self.random.hash_one(host));
    }

    /// Returns the list of all hosts that were added.
    pub fn finish(mut self) -> DeniedHosts {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        DeniedHosts { random: self.random, hashes: self.hashes.into() }
    }
}

/// Returns the text of an address that all its spellings have. A server reaches an IPv4 address by its IPv6 form as
/// well.
fn shown(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// Returns whether a name in a hosts file is one of the machine itself, such as `localhost` or `ip6-allnodes`, or the
/// address of its own line.
fn is_of_machine(name: &str, address: IpAddr) -> bool {
    let bare = name.trim_end_matches('.').to_ascii_lowercase();
    let is_local = [".localdomain", ".localdomain4", ".localdomain6"].iter().any(|end| bare.ends_with(end));
    is_local || !bare.contains(['.', ':']) || bare.parse() == Ok(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::destination::{ExtraSchemes, LinkType};

    fn list(lines: &[&str]) -> DeniedHosts {
        let mut reader = DenyListReader::default();
        for line in lines {
            reader.add_line(line.as_bytes()).expect(line);
        }
        reader.finish()
    }

    fn url(text: &str) -> Destination {
        let extra = ExtraSchemes::new(vec!["app".to_owned()]).expect("a scheme");
        Destination::parse("url", text, LinkType::Url, &extra).expect(text)
    }

    #[test]
    fn m_lines_of_a_deny_list() {
        let rows: [(&[u8], Result<usize, &str>); 44] = [
            (b"evil.example", Ok(1)),
            (b"  evil.example\t\r\n", Ok(1)),
            (b"EVIL.Example.", Ok(1)),
            (b"evil.example # a comment", Ok(1)),
            (b"evil.example#a comment", Ok(1)),
            (b"# evil.example", Ok(0)),
            // A comment in Latin-1.
            (b"# b\xf6se", Ok(0)),
            (b"", Ok(0)),
            (b" \r", Ok(0)),
            (b"\xef\xbb\xbfevil.example", Ok(1)),
            (b"\xef\xbb\xbf# evil.example", Ok(0)),
            (b"*.evil.example", Ok(1)),
            (b".evil.example", Ok(1)),
            (b"b\xc3\xb6se.example", Ok(1)),
            (b"xn--bse-sna.example", Ok(1)),
            (b"a_b.evil.example", Ok(1)),
            (b"-a.evil.example", Ok(1)),
            (b"203.0.113.9", Ok(1)),
            (b"2001:db8::1", Ok(1)),
            (b"[2001:DB8::1]", Ok(1)),
            (b"0.0.0.0 evil.example", Ok(1)),
            (b"127.0.0.1\tevil.example other.example # both", Ok(2)),
            (b"::1 evil.example", Ok(1)),
            (b":: evil.example", Ok(1)),
            // The lines that hosts files begin with.
            (b"127.0.0.1 localhost", Ok(0)),
            (b"127.0.0.1 localhost localhost.localdomain localhost4.localdomain4 my-machine", Ok(0)),
            (b"255.255.255.255 broadcasthost", Ok(0)),
            (b"fe80::1%lo0 localhost", Ok(0)),
            (b"ff02::1 ip6-allnodes", Ok(0)),
            (b"0.0.0.0 0.0.0.0", Ok(0)),
            // Registered before today's rules of IDNA: no URL can have the host.
            (b"xn--a.example", Ok(0)),
            (b"192.168.1.5 nas.example", Err(MAPPED)),
            (b"evil.example other.example", Err(NOT_A_HOST)),
            (b"ev il.example", Err(NOT_A_HOST)),
            (b"a..example", Err(NOT_A_HOST)),
            (b"1.2.3.400", Err(NOT_A_HOST)),
            (b"||evil.example^", Err(NOT_A_HOST)),
            (b"b\xf6se.example", Err(NOT_UTF8)),
            (b"e\0v\0i\0l\0", Err(NOT_A_HOST)),
            (b"https://evil.example/", Err(NOT_ALONE)),
            (b"evil.example:8080", Err(NOT_ALONE)),
            (b"evil.*.example", Err(STAR)),
            (b"com", Err(ONE_LABEL)),
            (b"*.com.", Err(ONE_LABEL)),
        ];
        for (line, want) in rows {
            let mut reader = DenyListReader::default();
            let got = reader.add_line(line).map(|()| reader.finish().len());
            assert_eq!(got, want, "{}", String::from_utf8_lossy(line));
        }
        let long = format!("{}.example", "a".repeat(LABEL_MAX + 1));
        assert_eq!(DenyListReader::default().add_line(long.as_bytes()), Err(NOT_A_HOST));
    }

    #[test]
    fn m_a_host_denies_itself_and_its_subdomains_in_every_spelling() {
        let denied = list(&[
            "evil.example",
            "b\u{f6}se.example",
            "203.0.113.9",
            "2130706433",
            "2001:db8::1",
            "evil.example",
        ]);
        assert_eq!((denied.len(), denied.is_empty()), (5, false));
        let rows = [
            ("https://evil.example/", Some("evil.example")),
            ("http://EVIL.example:8080/a?b#c", Some("evil.example")),
            ("https://evil.example./", Some("evil.example")),
            ("https://a.b.evil.example/", Some("a.b.evil.example")),
            ("https://%65vil.example/", Some("evil.example")),
            ("https://evil\u{3002}example/", Some("evil.example")),
            ("https://b\u{f6}se.example/", Some("xn--bse-sna.example")),
            ("https://a.XN--BSE-sna.example/", Some("a.xn--bse-sna.example")),
            ("http://203.0.113.9/", Some("203.0.113.9")),
            ("http://3405803785/", Some("203.0.113.9")),
            ("http://0xcb.0.0x71.9/", Some("203.0.113.9")),
            ("http://127.1/", Some("127.0.0.1")),
            ("http://[::ffff:203.0.113.9]/", Some("[::ffff:cb00:7109]")),
            ("http://[2001:DB8:0::1]:8080/", Some("[2001:db8::1]")),
            // The parser normalises no host of these schemes.
            ("app://EVIL.example/x", Some("EVIL.example")),
            ("app://a.evil%2Eexample/x", Some("a.evil%2Eexample")),
            ("https://notevil.example/", None),
            ("https://evil.example.org/", None),
            ("https://example/", None),
            ("https://e.test/evil.example", None),
            ("https://e.test/?url=https://evil.example/", None),
            ("http://203.0.113.90/", None),
            ("http://[2001:db8::2]/", None),
            ("app:evil.example", None),
        ];
        for (text, want) in rows {
            assert_eq!(denied.host_of(&url(text)).as_deref(), want, "{text}");
        }
        let extra = ExtraSchemes::default();
        let number = Destination::parse("url", "+49 30 1234", LinkType::Tel, &extra).expect("a number");
        assert_eq!(denied.host_of(&number), None);
        // A user name is refused in new links, and no part of the host in old ones.
        let old = Destination::from_stored("https://e.test@evil.example/".into());
        assert_eq!(denied.host_of(&old).as_deref(), Some("evil.example"));
        assert_eq!(list(&[]).host_of(&url("https://evil.example/")), None);
    }

    proptest! {
        #[test]
        fn m_no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = DenyListReader::default().add_line(&line);
        }

        /// What a line denies is what a URL with this host leads to.
        #[test]
        fn m_a_line_denies_the_host_of_its_url(
            host in "[a-zA-Z0-9.\u{f6}\u{df}\u{3002}_-]{1,12}\\.(example|EXAMPLE|xn--p1ai|0x7f|1|com\\.)",
        ) {
            let mut reader = DenyListReader::default();
            let to = Destination::parse_web("url", &format!("https://{host}/"));
            match (reader.add_line(host.as_bytes()), to) {
                (Ok(()), Ok(to)) => prop_assert!(reader.finish().host_of(&to).is_some(), "{}", host),
                // No URL has the host, or its name breaks a rule of DNS.
                (Ok(()), Err(_)) | (Err(_), _) => {}
            }
        }
    }

    /// The memory of a list is in its hashes alone, and the work for a long host grows with its length only.
    #[test]
    fn m_a_host_takes_8_bytes() {
        let hosts: Vec<String> = (0..20_000).map(|n| format!("h{n}.evil.example")).collect();
        let mut reader = DenyListReader::default();
        for host in &hosts {
            reader.add_line(host.as_bytes()).expect(host);
        }
        let denied = reader.finish();
        assert_eq!(size_of_val(&*denied.hashes), 20_000 * 8);
        for host in hosts {
            assert!(denied.host_of(&url(&format!("https://{host}/"))).is_some(), "{host}");
        }
        let long = format!("https://{}h7.evil.example/", "a.".repeat(4_000));
        assert!(denied.host_of(&url(&long)).is_some());
    }
}
