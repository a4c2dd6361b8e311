//! [`CountryError`]: why a file of countries cannot be used.

use std::io;
use std::path::PathBuf;

use crate::users::remedy_to_read;

/// Why a file of countries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CountryError {
    /// The file cannot be read.
    #[error("cannot read the country file {}: {source}{}", path.display(), remedy_to_read(path, source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A line of a text file breaks a rule.
    #[error("country file {}, line {line}: {rule}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u32,
        /// The rule.
        rule: LineRule,
    },
    /// The file as a whole breaks a rule.
    #[error("country file {}: {rule}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The rule.
        rule: FileRule,
    },
    /// The file is an `.mmdb` and damaged.
    #[error("country file {}: {source}", path.display())]
    Mmdb {
        /// The file.
        path: PathBuf,
        /// What is damaged.
        source: maxminddb::MaxMindDbError,
    },
}

/// A rule for lines of text files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineRule {
    /// The line is too long for one of ranges.
    #[error("it has more than {0} bytes")]
    TooLong(usize),
    /// The line has too few columns.
    #[error("it has {0} columns, and the country is in column {1}")]
    TooFewColumns(usize, usize),
    /// A quoted field does not end, or text follows its end.
    #[error("a quoted field must end before the next separator and in its line")]
    Quote,
    /// The first line is neither a range nor a header with known columns.
    #[error(
        "it must be a range (start,end,country or network,country), or a header with the names of such columns; \
         known names are: start, start_ip, ip_start, ip_from, end, end_ip, ip_end, ip_to, network, country_code, country"
    )]
    Header,
    /// The header is one of `MaxMind`'s, whose countries are in another file.
    #[error("it has geoname_id in place of a country code: use the .mmdb file of the same database")]
    GeonameId,
    /// A start or an end is no address.
    #[error("{0:?} is neither an IP address nor the number of one")]
    Address(String),
    /// A start is IPv4 and its end is IPv6, or one is a number and the other an address.
    #[error("start and end must be of one kind: two IPv4 addresses, two IPv6 addresses, or two numbers")]
    Kinds,
    /// The end is before the start.
    #[error("the end is before the start")]
    Order,
    /// The text is no network.
    #[error("{0:?} is no network such as 203.0.113.0/24, or it has bits set past its prefix")]
    Network(String),
    /// The text is no country.
    #[error("{0:?} is no country code of two letters")]
    Country(String),
    /// Too many ranges.
    #[error("there are more than {0} ranges of one address family")]
    TooMany(usize),
    /// Another line contradicts this one.
    #[error("its range overlaps that of line {line} of {}, which has another country", path.display())]
    Overlap {
        /// The file of the other line.
        path: PathBuf,
        /// The other line.
        line: u32,
    },
}

/// A rule for whole files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileRule {
    /// The file is too large to be one of countries.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// The file is compressed.
    #[error("it is compressed: unpack it first, for example with gunzip or unzip")]
    Compressed,
    /// The file is neither text nor an `.mmdb`.
    #[error("it is neither an .mmdb file nor text with ranges of addresses")]
    Unknown,
    /// The file has no range with a country.
    #[error("it contains no range with a country")]
    Empty,
    /// The search tree of an `.mmdb` contradicts itself.
    #[error("its search tree has more networks than nodes allow: the file is damaged")]
    Tree,
    /// An `.mmdb` breaks a rule that lines have as well.
    #[error("{0}")]
    Content(LineRule),
    /// An `.mmdb` has other data, such as autonomous systems.
    #[error("its records have no country: it has type {0:?}")]
    NoCountry(String),
}
