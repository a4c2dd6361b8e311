//! Country codes: two letters of ISO 3166-1.

/// Two capital letters.
pub type CountryCode = [u8; 2];

/// All countries of ISO 3166-1, and `XK`, by which most sources name Kosovo; sorted, with a space after each.
const CODES: &[u8] =
    b"AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE \
    EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM \
    HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC \
    LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA \
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW ";

/// Bytes of a code in [`CODES`].
const STEP: usize = 3;

/// A set of countries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountrySet([u64; 4]);

impl CountrySet {
    /// Returns whether the set has a country.
    pub fn contains(&self, country: CountryCode) -> bool {
        let number = number(&country);
        self.0[usize::from(number >> 6)] >> (number & 63) & 1 == 1
    }
}

impl FromIterator<CountryCode> for CountrySet {
    fn from_iter<I: IntoIterator<Item = CountryCode>>(countries: I) -> CountrySet {
        let mut set = CountrySet::default();
        // 0 stands for all that are no country, and is in no set.
        for number in countries.into_iter().map(|country| number(&country)).filter(|number| *number > 0) {
            set.0[usize::from(number >> 6)] |= 1 << (number & 63);
        }
        set
    }
}

/// The country of a visitor, as a trusted proxy reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyCountry {
    /// There is no header, or no trusted proxy.
    #[default]
    NotReported,
    /// The proxy does not know, or the value is no country.
    Unknown,
    /// The country.
    Known(CountryCode),
}

impl ProxyCountry {
    /// Returns the country in the value of a header.
    pub fn of(value: &[u8]) -> ProxyCountry {
        header(value).map_or(ProxyCountry::Unknown, ProxyCountry::Known)
    }
}

/// Returns the country in a header of a trusted proxy, such as `CF-IPCountry`.
///
/// Proxies write `XX` or `ZZ` for an unknown country, and Cloudflare `T1` for Tor: these are none, as all that are in no
/// list of countries.
pub fn header(value: &[u8]) -> Option<CountryCode> {
    of_number(number(value.trim_ascii()))
}

/// The text is no country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotACode;

/// Returns the number of the country in a file; 0 is an unknown country.
///
/// Published files have codes that no list has, such as `EU`, `AP` and `A1`, and mistakes such as `AB`. These are
/// unknown. Another length is an error, since the column is then not that of countries.
pub(super) fn in_file(field: &[u8]) -> Result<u8, NotACode> {
    match field {
        // IP2Location, iptoasn, Tor.
        b"" | b"-" | b"None" | b"NULL" | b"??" | b"--" => Ok(0),
        [letter, other] if letter.is_ascii_alphabetic() && other.is_ascii_alphanumeric() => Ok(number(field)),
        _ => Err(NotACode),
    }
}

/// Returns the number of a country in any case; 0 for anything else.
fn number(text: &[u8]) -> u8 {
    let Ok(code) = CountryCode::try_from(text) else { return 0 };
    let code = match code.map(|letter| letter.to_ascii_uppercase()) {
        // In use, though not in the list.
        [b'U', b'K'] => *b"GB",
        code => code,
    };
    // Eight comparisons, so no table by letters is needed.
    let (mut low, mut high) = (0, CODES.len() / STEP);
    while low < high {
        let middle = low.midpoint(high);
        match CODES[middle * STEP..][..2].cmp(&code) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return u8::try_from(middle + 1).expect("250 countries"),
        }
    }
    0
}

/// Returns the country with a number, `None` for 0.
pub(super) fn of_number(number: u8) -> Option<CountryCode> {
    let at = usize::from(number).checked_sub(1)? * STEP;
    CODES.get(at..at + 2)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers() {
        for (value, want) in [
            ("DE", Some(*b"DE")),
            ("de", Some(*b"DE")),
            (" Us ", Some(*b"US")),
            ("XX", None),
            ("xx", None),
            ("ZZ", None),
            ("T1", None),
            ("XK", Some(*b"XK")),
            ("uk", Some(*b"GB")),
            ("EU", None),
            ("", None),
            ("D", None),
            ("DEU", None),
            ("D E", None),
            ("Ö", None),
            // Two proxies have added the header.
            ("DE, FR", None),
        ] {
            assert_eq!(header(value.as_bytes()), want, "{value}");
        }
        assert_eq!(header(&b"DE".repeat(50_000)), None);
    }

    #[test]
    fn unknown_countries_in_files() {
        for field in ["", "-", "--", "??", "ZZ", "XX", "T1", "A2", "None", "EU", "AB"] {
            assert_eq!(in_file(field.as_bytes()), Ok(0), "{field}");
        }
        let code = |field: &str| of_number(in_file(field.as_bytes()).expect("two letters"));
        assert_eq!((code("de"), code("UK"), code("XK")), (Some(*b"DE"), Some(*b"GB"), Some(*b"XK")));
        // A column with such values is not that of countries.
        for field in ["D", "DEU", "1A", "12", "D?", "Germany", "\u{f6}"] {
            assert_eq!(in_file(field.as_bytes()), Err(NotACode), "{field}");
        }
    }

    #[test]
    fn all_countries_have_a_number() {
        assert_eq!(CODES.len(), 250 * STEP);
        let codes: Vec<CountryCode> = (1..=250).map(|number| of_number(number).expect("a country")).collect();
        // The binary search depends on the order.
        assert!(codes.is_sorted_by(|one, next| one < next));
        for (at, code) in (1..).zip(&codes) {
            assert_eq!(number(code), at);
            assert_eq!(CODES[usize::from(at) * STEP - 1], b' ');
        }
        assert_eq!((of_number(0), of_number(251), of_number(255)), (None, None, None));
    }

    proptest! {
        #[test]
        fn any_header_is_two_capital_letters_or_none(value in proptest::collection::vec(any::<u8>(), 0..6)) {
            if let Some(code) = header(&value) {
                prop_assert!(code.iter().all(u8::is_ascii_uppercase));
            }
        }
    }
}
