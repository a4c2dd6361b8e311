//! [`Source`]: where the countries come from, for `doctor` and for the line that some licences require.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The format of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceKind {
    /// A file of the `MaxMind` DB format.
    Mmdb,
    /// Text with ranges or networks.
    #[default]
    Csv,
    /// Text of Debian's `tor-geoipdb`.
    Tor,
}

impl SourceKind {
    /// Returns its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Mmdb => "mmdb",
            SourceKind::Csv => "csv",
            SourceKind::Tor => "tor-geoipdb",
        }
    }
}

/// Where the countries come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The first file.
    pub path: PathBuf,
    /// The format of the first file.
    pub kind: SourceKind,
    /// When the data was made, if a file states it. Of several files, the oldest.
    pub built: Option<SystemTime>,
    /// When a file was last changed. Of several files, the latest.
    pub modified: Option<SystemTime>,
    /// Number of ranges of addresses, after neighbours with the same country became one.
    pub ranges: usize,
    /// Whether regions and cities are known.
    pub has_places: bool,
    /// What pages with these countries must show.
    pub attribution: Option<Attribution>,
}

impl Source {
    /// Returns when the data was made, as far as it is known: as a file states it, or else when it was last changed.
    pub fn made(&self) -> Option<SystemTime> {
        // A copy may be newer than its data, so the file itself is asked first.
        self.built.or(self.modified)
    }
}

/// A line that the licence of the data requires on pages that show it, and where it links to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The text.
    pub text: &'static str,
    /// The link.
    pub url: &'static str,
}

impl Attribution {
    /// CC BY-SA 4.0.
    pub(super) const IPFIRE: Attribution = Attribution {
        text: "Countries by IPFire Location, CC BY-SA 4.0",
        url: "https://location.ipfire.org",
    };

    /// CC BY 4.0, with a link on each page that shows results.
    const DB_IP: Attribution = Attribution { text: "IP Geolocation by DB-IP", url: "https://db-ip.com" };

    /// The end-user licence of `GeoLite`.
    const GEOLITE: Attribution = Attribution {
        text: "This product includes GeoLite Data created by MaxMind, available from https://www.maxmind.com",
        url: "https://www.maxmind.com",
    };

    /// CC BY-SA 4.0.
    const IPINFO: Attribution =
        Attribution { text: "IP address data powered by IPinfo", url: "https://ipinfo.io" };

    /// CC BY-SA 4.0.
    const IP2LOCATION: Attribution = Attribution {
        text: "This site or product includes IP2Location LITE data available from https://lite.ip2location.com",
        url: "https://lite.ip2location.com",
    };

    /// Returns the attribution of an `.mmdb` by the type that it states.
    pub(super) fn of_mmdb(database_type: &str) -> Option<Attribution> {
        Attribution::of_name(database_type)
    }

    /// Returns the attribution of a text file by its name: the content does not state its origin.
    pub(super) fn of_csv(path: &Path) -> Option<Attribution> {
        Attribution::of_name(path.file_name()?.to_str()?)
    }

    fn of_name(name: &str) -> Option<Attribution> {
        let name = name.to_ascii_lowercase();
        // Parts of names, since publishers add editions and dates.
        let known = [
            ("dbip", Attribution::DB_IP),
            ("geolite", Attribution::GEOLITE),
            ("ipinfo", Attribution::IPINFO),
            ("ip2location-lite", Attribution::IP2LOCATION),
        ];
        known.into_iter().find(|(part, _)| name.contains(part)).map(|(_, attribution)| attribution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributions() {
        for (name, want) in [
            ("DBIP-Country-Lite", Some(Attribution::DB_IP)),
            ("GeoLite2-City", Some(Attribution::GEOLITE)),
            ("ipinfo generic_country_free.mmdb", Some(Attribution::IPINFO)),
            // The paid database of the same publisher has another licence.
            ("GeoIP2-Country", None),
        ] {
            assert_eq!(Attribution::of_mmdb(name), want, "{name}");
        }
        for (name, want) in [
            ("/a/dbip-country-lite-2026-11.csv", Some(Attribution::DB_IP)),
            // In capitals, as it is published.
            ("IP2LOCATION-LITE-DB1.CSV", Some(Attribution::IP2LOCATION)),
            // The name of the folder does not count.
            ("/dbip/geo-whois-asn-country-ipv4.csv", None),
        ] {
            assert_eq!(Attribution::of_csv(Path::new(name)), want, "{name}");
        }
    }
}
