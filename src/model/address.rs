//! E-mail addresses (RFC 6068), telephone numbers (RFC 3966) and text messages (RFC 5724) as URIs.

use crate::model::Invalid;
use crate::model::escape;
use crate::model::text::{is_invisible, trim_blank};

/// Country codes whose numbers keep the zero that is dialled within the country too, by their numbering plans:
/// Italy and the Vatican, Ivory Coast, Burkina Faso, Niger, Benin, Congo, San Marino. With the digits of a number behind
/// the code (0: they vary).
const KEEPS_ZERO: &[(&str, usize)] =
    &[("39", 0), ("225", 10), ("226", 8), ("227", 8), ("229", 10), ("242", 9), ("378", 0)];

/// The trunk prefixes other than 0, with the country code and the digits of a number behind it (0: unknown).
const TRUNK_PREFIXES: &[(&str, &str, usize)] = &[
    ("1", "1", 10),
    ("7", "8", 10),
    ("36", "06", 0),
    ("52", "01", 0),
    ("370", "8", 8),
    ("375", "80", 9),
    ("375", "8", 9),
    ("992", "8", 9),
    ("993", "8", 8),
    ("998", "8", 9),
];

const NUMBER_RULE: &str = "must be a telephone number such as +49 30 1234";

/// Returns the text behind the scheme, which it may begin with in any case.
pub fn without_scheme<'a>(text: &'a str, scheme: &str) -> &'a str {
    match text.get(..scheme.len()) {
        Some(start) if start.eq_ignore_ascii_case(scheme) => &text[scheme.len()..],
        _ => text,
    }
}

/// Normalises a `mailto:` URI: one or more addresses, and header fields after `?`. A URI may have no address:
/// links that share a page have only a subject and a body.
pub fn mail(field: &'static str, text: &str) -> Result<String, Invalid> {
    let rest = without_scheme(text, "mailto:");
    let (addresses, headers) = rest.split_once('?').unwrap_or((rest, ""));
    // What cannot be seen is no part of an address, and blanks part one from the next. Keyboards of East Asia write
    // letters of full width.
    let seen =
        |address: &str| trim_blank(address).chars().filter(|c| !is_invisible(*c)).map(narrow).collect();
    let addresses: Vec<String> = addresses.split([',', '\u{ff0c}']).map(seen).collect();
    let addresses = addresses.join(",");
    let is_share = addresses.is_empty() && rest.len() < text.len() && headers.contains('=');
    let fine = addresses.split(',').all(|address| {
        address.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && !host.is_empty()
                && !host.contains('@')
                // A colon or slash would make it another kind of URL (`javascript:a@b.c`, `//a@b.c`).
                && !address.contains([':', '/', '<', '>'])
                && !address.contains(char::is_whitespace)
        })
    });
    if !fine && !is_share {
        return Err(Invalid::new(field, "must be an e-mail address such as jane@example.com"));
    }
    let headers = &rest[rest.find('?').unwrap_or(rest.len())..];
    Ok(escape::message(&format!("mailto:{addresses}{headers}")))
}

/// Normalises a `tel:` URI.
pub fn telephone(field: &'static str, text: &str) -> Result<String, Invalid> {
    Ok(format!("tel:{}", number(field, without_scheme(text, "tel:"))?))
}

/// Normalises an `sms:` URI: one or more numbers, and a text after `?body=`.
pub fn text_message(field: &'static str, text: &str) -> Result<String, Invalid> {
    let text = without_scheme(text, "sms:");
    let (numbers, query) = match text.split_once('?') {
        Some((numbers, query)) => (numbers, Some(query)),
        None => (text, None),
    };
    // Each number by the same rule as in `tel:`, so that no other text can precede the query.
    let numbers =
        numbers.split(',').map(|text| number(field, text)).collect::<Result<Vec<_>, _>>()?.join(",");
    Ok(query.map_or_else(|| format!("sms:{numbers}"), |q| format!("sms:{numbers}?{}", escape::message(q))))
}

/// Normalises a telephone number without its visual separators: an optional `+`, digits, `*` and `#`, and
/// parameters such as `;ext=12`.
fn number(field: &'static str, text: &str) -> Result<String, Invalid> {
    let (number, parameters) = match text.split_once(';') {
        Some((number, parameters)) => (number, Some(parameters)),
        None => (text, None),
    };
    // The APIs return `#` in this form, and a client may send it back.
    let number = number.replace("%23", "#");
    let number: String = number.chars().filter_map(plain).collect();
    let number = dialled(field, &number)?;
    let digits: String = number.chars().filter(|c| !is_separator(*c)).collect();
    let subscriber = digits.strip_prefix('+').unwrap_or(&digits);
    let fine = (1..=32).contains(&subscriber.len())
        && subscriber.bytes().all(|b| b.is_ascii_digit() || b == b'*' || b == b'#');
    let tail_fine =
        parameters.is_none_or(|p| p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._=;%+".contains(&b)));
    if !fine || !tail_fine {
        return Err(Invalid::new(field, hint(subscriber)));
    }
    // A bare `#` would start a fragment.
    let digits = digits.replace('#', "%23");
    Ok(parameters.map_or_else(|| digits.clone(), |p| format!("{digits};{}", escape::visible(p))))
}

/// Returns the ASCII character for one of full width that belongs into an address. No other: a brace would begin a
/// placeholder.
fn narrow(c: char) -> char {
    let ascii = plain(c).filter(|ascii| ascii.is_ascii_alphanumeric() || "@.-_+".contains(*ascii));
    if matches!(c, FULL_WIDTH_FIRST..=FULL_WIDTH_LAST) { ascii.unwrap_or(c) } else { c }
}

/// `!` in full width.
const FULL_WIDTH_FIRST: char = '\u{ff01}';
/// `~` in full width.
const FULL_WIDTH_LAST: char = '\u{ff5e}';

/// Returns the ASCII character for one that looks like it on paper, or `None` for an invisible one.
pub fn plain(c: char) -> Option<char> {
    match c {
        _ if is_invisible(c) => None,
        // Tab and all spaces.
        _ if c.is_whitespace() => Some(' '),
        // Hyphens, dashes and the minus sign. A web page takes them for `-`.
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{30fb}'
        | '\u{30fc}' => Some('-'),
        FULL_WIDTH_FIRST..=FULL_WIDTH_LAST => char::from_u32(u32::from(c) - 0xfee0),
        '\u{2044}' | '\u{2215}' => Some('/'),
        '\u{b7}' | '\u{2022}' | '\u{2219}' | '\u{2024}' => Some('.'),
        _ => Some(c),
    }
}

/// Returns whether a character only parts the digits: the visual separators of RFC 3966 5.1.1, and the space
/// and slash that people write.
fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '(' | ')' | '/')
}

/// An international number in its parts.
struct International<'a> {
    /// `+`, `00` or `011`.
    prefix: &'static str,
    code: String,
    /// The text behind the code, with its parentheses.
    rest: &'a str,
}

impl International<'_> {
    /// Splits a text of digits and parentheses. Returns `None` for a number without a country code.
    fn split(text: &str) -> Option<International<'_>> {
        // Parentheses around the prefix, the code or both have no meaning: `(+49)`, `+(49)`, `(00 49)`.
        let (positions, digits): (Vec<usize>, String) =
            text.char_indices().filter(|(_, c)| !matches!(c, '(' | ')')).unzip();
        let prefix = ["+", "00", "011"].into_iter().find(|prefix| digits.starts_with(prefix))?;
        let behind = &digits[prefix.len()..];
        let code = behind.get(..code_length(behind))?;
        if !code.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // Only ASCII so far, so each position is that of a character. A parenthesis behind the code closes its own.
        let last = *positions.get(prefix.len() + code.len() - 1)?;
        let rest = text[last + 1..].trim_start_matches(')');
        Some(International { prefix, code: code.to_owned(), rest })
    }
}

/// Returns the length of the country code that begins `digits` (ITU-T E.164: no code begins another one).
fn code_length(digits: &str) -> usize {
    match digits.as_bytes() {
        [b'1' | b'7', ..] => 1,
        [b'2', b'0' | b'7', ..]
        | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
        | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
        | [b'5', b'1'..=b'8', ..]
        | [b'6', b'0'..=b'6', ..]
        | [b'8', b'1' | b'2' | b'4' | b'6', ..]
        | [b'9', b'0'..=b'5' | b'8', ..] => 2,
        _ => 3,
    }
}

/// Returns a number as it is dialled: without the trunk prefix that people write in parentheses behind the
/// country code, as in `+49 (0) 30 1234` or `+44 (020) 7946`. It is not dialled with the code (ITU-T E.123).
/// Fails wherever the number that is meant cannot be known: a wrong number would be dialled.
fn dialled(field: &'static str, number: &str) -> Result<String, Invalid> {
    let reject = |why: String| Err(Invalid::new(field, why));
    let text: String = number.chars().filter(|c| matches!(c, '(' | ')') || !is_separator(*c)).collect();
    let Some(International { prefix, code, rest }) = International::split(&text) else {
        // `(030) 1234` is right as it is.
        if text.find("(0)").is_some_and(|at| at > 0) {
            let why = "must begin with + and the country code, or must not have (0): \
                       the 0 is dialled only without the code, as in +49 30 1234 and 030 1234";
            return reject(why.to_owned());
        }
        return Ok(text);
    };
    // No code begins with 0, and Ukraine is +380.
    if code.starts_with('0') || matches!(&*code, "384" | "388") {
        // `000` is a number of its own in some countries.
        if prefix != "+" {
            return Ok(text);
        }
        return reject(format!("must have a country code behind the +, such as +49, and +{code} is none"));
    }
    let behind = match rest.strip_prefix('(').and_then(|behind| behind.split_once(')')) {
        Some((group, tail)) => [without_trunk_prefix(field, &code, group, tail)?, tail].concat(),
        None => rest.to_owned(),
    };
    if behind.contains("(0)") {
        return reject(format!(
            "must not have (0), except directly behind +{code}: write +{code} and the number without it"
        ));
    }
    let behind: String = behind.chars().filter(|c| !matches!(c, '(' | ')')).collect();
    // A number that begins with 011 may as well be one of Turin or Johannesburg.
    if let Some(trunk) = trunk_behind(&code, &behind).filter(|_| prefix != "011") {
        let article = if trunk.starts_with('8') { "an" } else { "a" };
        return reject(format!(
            "must not have {article} {trunk} behind +{code}: it is dialled only without the country code"
        ));
    }
    Ok([prefix, &code, &behind].concat())
}

/// Returns the `group` of digits in parentheses directly behind a country code, without the trunk prefix.
fn without_trunk_prefix<'g>(
    field: &'static str,
    code: &str,
    group: &'g str,
    tail: &str,
) -> Result<&'g str, Invalid> {
    let whole: String = group.chars().chain(tail.chars().filter(char::is_ascii_digit)).collect();
    let is_either = whole.starts_with('0')
        && match code {
            // Mobile numbers of Italy have 3 and nine more digits, and no zero.
            "39" => whole.starts_with("03") && whole.len() > 10,
            // Numbers of Gabon lost their zero in 2019.
            "241" => true,
            _ => KEEPS_ZERO
                .iter()
                .any(|(keeps, digits)| *keeps == code && *digits > 0 && whole.len() != *digits),
        };
    if is_either {
        let why = format!(
            "must not have a 0 in parentheses behind +{code}: write the number as it is dialled \
                           from abroad, since some numbers of +{code} begin with 0 and others do not"
        );
        return Err(Invalid::new(field, why));
    }
    if may_begin_with_zero(code, &whole) {
        return Ok(group);
    }
    let own = TRUNK_PREFIXES.iter().filter(|(country, ..)| *country == code).map(|(_, trunk, _)| *trunk);
    for trunk in own.chain(["0"]) {
        // With another prefix than 0, more digits are an area code: `+7 (800)`.
        if let Some(rest) = group.strip_prefix(trunk)
            && (rest.is_empty() || trunk.starts_with('0'))
        {
            return Ok(rest);
        }
    }
    Ok(group)
}

/// Returns whether a number behind a country code may begin with 0.
fn may_begin_with_zero(code: &str, number: &str) -> bool {
    number.starts_with('0')
        && match code {
            // Before 2019, and in special numbers.
            "241" => true,
            // Numbers of companies with five digits.
            "47" => number.len() == 5,
            // Free numbers and special services.
            "501" | "676" | "679" => number.starts_with("0800"),
            "598" => number.starts_with("000"),
            "687" => number.starts_with("05"),
            code => KEEPS_ZERO.iter().any(|(keeps, _)| *keeps == code),
        }
}

/// Returns the trunk prefix with which the number behind a country code begins.
fn trunk_behind(code: &str, number: &str) -> Option<&'static str> {
    if number.starts_with('0') {
        return (!may_begin_with_zero(code, number)).then_some("0");
    }
    // 800 is the area code of free numbers.
    let is_longer = |trunk: &str, digits: usize| {
        digits > 0 && number.len() > digits && number.starts_with(trunk) && !number.starts_with("800")
    };
    TRUNK_PREFIXES
        .iter()
        .find(|(country, trunk, digits)| *country == code && is_longer(trunk, *digits))
        .map(|(_, trunk, _)| *trunk)
}

/// Returns the rule that `digits` breaks, with what to write instead where that can be seen.
fn hint(digits: &str) -> String {
    let begins = digits.starts_with(|c: char| c.is_ascii_digit());
    let letters: String = digits.chars().filter(char::is_ascii_alphabetic).collect();
    let letters = letters.to_ascii_lowercase();
    if begins && matches!(letters.as_str(), "x" | "ext" | "extension") {
        format!("{NUMBER_RULE}, with an extension as ;ext=55")
    } else if begins && (matches!(letters.as_str(), "p" | "w") || digits.contains(',')) {
        format!("{NUMBER_RULE}, without pauses, which a tel: URI cannot have")
    } else if begins && !letters.is_empty() && digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        format!("{NUMBER_RULE}, with digits in place of letters")
    } else {
        NUMBER_RULE.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f01_the_trunk_zero_is_not_dialled_with_the_country_code() {
        let zero = |code: &str| {
            Err(format!("url: must not have a 0 behind +{code}: it is dialled only without the country code"))
        };
        let rows = [
            ("+49 (0) 30 1234", Ok("tel:+49301234")),
            ("+44 (0)20 7946 0000", Ok("tel:+442079460000")),
            ("+43(0)1 234567", Ok("tel:+431234567")),
            ("+31 (0)20 1234567", Ok("tel:+31201234567")),
            ("tel:+41-(0)-44-668", Ok("tel:+4144668")),
            ("+49 ( 0 ) 30 1234", Ok("tel:+49301234")),
            ("＋49（0）30 1234", Ok("tel:+49301234")),
            ("(+49) (0) 30 1234", Ok("tel:+49301234")),
            ("0049 (0) 30 1234", Ok("tel:0049301234")),
            ("+44 (020) 7946 0000", Ok("tel:+442079460000")),
            ("+49 (0)30 1234;ext=5", Ok("tel:+49301234;ext=5")),
            ("+7 (8) 495 123", Ok("tel:+7495123")),
            ("+7 (800) 123", Ok("tel:+7800123")),
            ("+7 (0) 495 123 45 67", Ok("tel:+74951234567")),
            ("+36 (0) 1 234 5678", Ok("tel:+3612345678")),
            ("+36 (06 1) 234 5678", Ok("tel:+3612345678")),
            // The code of Ukraine ends in the zero.
            ("+38 (044) 123-45-67", Ok("tel:+380441234567")),
            ("+38 (067) 123 45 67", Ok("tel:+380671234567")),
            ("+38 (0) 44 1234567", Ok("tel:+380441234567")),
            ("+380 (0)44 123 45 67", Ok("tel:+380441234567")),
            ("+380 (044) 123 45 67", Ok("tel:+380441234567")),
            ("+38 0 44 123 45 67", Ok("tel:+380441234567")),
            ("+375 (017) 226-00-00", Ok("tel:+375172260000")),
            ("+375 (0) 17 226-00-00", Ok("tel:+375172260000")),
            ("+375 (80) 17 226-00-00", Ok("tel:+375172260000")),
            // The code in parentheses of its own.
            ("(0049) (0)30 1234", Ok("tel:0049301234")),
            ("(00 49) (0)30 1234", Ok("tel:0049301234")),
            ("00 (49) (030) 1234", Ok("tel:0049301234")),
            ("+(62) (0)21 1234", Ok("tel:+62211234")),
            ("+(49)(0)30 1234", Ok("tel:+49301234")),
            ("+(353)-(0)1-1234", Ok("tel:+35311234")),
            ("+34 (0)91 123", Ok("tel:+3491123")),
            ("+998 (0)71 123", Ok("tel:+99871123")),
            ("+47 (0)22 12 34 56", Ok("tel:+4722123456")),
            ("+47 02345", Ok("tel:+4702345")),
            ("+226 (0)1 23 45 67", Ok("tel:+22601234567")),
            ("+679 (0800) 123", Ok("tel:+6790800123")),
            // Local numbers, although one begins like a call from the United States.
            ("(011) 402 0345", Ok("tel:0114020345")),
            ("000", Ok("tel:000")),
            ("+36 (06) 1 123", Ok("tel:+361123")),
            ("+1 (555) 010", Ok("tel:+1555010")),
            // Italian numbers begin with their zero everywhere.
            ("+39 (0)6 1234", Ok("tel:+39061234")),
            ("+39 06 1234", Ok("tel:+39061234")),
            ("(030) 1234", Ok("tel:0301234")),
            ("(0)30 1234", Ok("tel:0301234")),
            ("+44 020 7946", zero("44")),
            ("+49 0 30 1234", zero("49")),
            ("+49 (00)30 1234", zero("49")),
            ("+49 0(30) 1234", zero("49")),
            ("+(49 0)30 1234", zero("49")),
            ("0044 020 7946 0000", zero("44")),
            ("+86 010 1234 5678", zero("86")),
            ("+62 0812 345 678", zero("62")),
            ("+36 06 1 234", zero("36")),
            ("+52 01 55 1234", zero("52")),
            ("+351 0 21 1234", zero("351")),
            ("+1 0 555 1234", zero("1")),
        ];
        for (text, want) in rows {
            let got = telephone("url", text).map_err(|error| error.to_string());
            assert_eq!(got, want.map(str::to_owned), "{text}");
        }
        for (text, why) in [
            ("49 (0) 30 1234", "must begin with +"),
            ("+49 30 (0) 1234", "must not have (0), except"),
            ("+39 (0333) 1234567", "some numbers of +39 begin with 0"),
            ("+229 (0)97 12 34 56", "some numbers of +229 begin with 0"),
            ("+39 (0)333 1234567", "some numbers of +39 begin with 0"),
            ("+241 (0)60 12 34 56", "some numbers of +241 begin with 0"),
            ("+7 8 495 123 45 67", "must not have an 8 behind +7"),
            ("+7 (8 495) 123 45 67", "must not have an 8 behind +7"),
            ("+370 (85) 123 4567", "must not have an 8 behind +370"),
            ("+375 (8 017) 226 00 00", "must not have an 80 behind +375"),
            ("+1 1 555 123 4567", "must not have a 1 behind +1"),
            ("+38 (8 044) 123 45 67", "+388 is none"),
            ("+030 1234", "must have a country code"),
            ("+(0)30 1234", "must have a country code"),
            ("+0049 30 1234", "must have a country code"),
        ] {
            let got = telephone("url", text);
            assert!(got.as_ref().is_err_and(|error| error.why.contains(why)), "{text}: {got:?}");
        }
        assert_eq!(
            text_message("url", "+49 (0) 30 1234,+44 (0)20 7946?body=x").as_deref(),
            Ok("sms:+49301234,+44207946?body=x")
        );
    }

    #[test]
    fn a4_copied_numbers_lose_what_cannot_be_seen() {
        for text in [
            "+49\u{2011}30\u{2013}1234",
            "+49\u{a0}30\u{2212}1234",
            "\u{202a}+49\u{ad}30\u{200b}1234\u{202c}",
            "＋４９３０１２３４",
            "+49\t30\t1234",
            "\u{2060}+49\u{202f}30\u{3000}1234\u{feff}",
        ] {
            assert_eq!(telephone("url", text).as_deref(), Ok("tel:+49301234"), "{text:?}");
        }
        assert_eq!(telephone("url", "0").as_deref(), Ok("tel:0"));
        for (text, hint) in [
            ("+49 30 1234 x55", "as ;ext=55"),
            ("+49 30 1234 ext. 55", "as ;ext=55"),
            ("+49301234,,5", "without pauses"),
            ("+49301234p5", "without pauses"),
            ("1-800-FLOWERS", "digits in place of letters"),
        ] {
            let error = telephone("url", text).expect_err(text);
            assert!(error.why.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn f12_f13_texts_of_mails_and_messages() {
        let rows = [
            ("a@example.com?subject=Ticket #5&body=x", "mailto:a@example.com?subject=Ticket%20%235&body=x"),
            ("a@example.com?subject=#1 offer", "mailto:a@example.com?subject=%231%20offer"),
            ("a@example.com?subject=50% off", "mailto:a@example.com?subject=50%25%20off"),
            ("a@example.com?body=100%", "mailto:a@example.com?body=100%25"),
            ("a@example.com?body=https://e.com/#top", "mailto:a@example.com?body=https://e.com/%23top"),
            ("a@example.com?body=[ ] { } | ^", "mailto:a@example.com?body=%5B%20%5D%20%7B%20%7D%20%7C%20%5E"),
            (
                "ｊａｎｅ＠example．com，joe@example.com?subject=ｘ",
                "mailto:jane@example.com,joe@example.com?subject=%EF%BD%98",
            ),
            ("mailto:?subject=Look&body=x", "mailto:?subject=Look&body=x"),
            ("jane@example.com\u{200b}?subject=x", "mailto:jane@example.com?subject=x"),
            (
                "\u{feff}ja\u{ad}ne@example.com, joe@example.com\u{a0}?",
                "mailto:jane@example.com,joe@example.com?",
            ),
            ("MAILTO:?to=a@example.com", "mailto:?to=a@example.com"),
            ("mailto:?body=x", "mailto:?body=x"),
        ];
        for (text, want) in rows {
            assert_eq!(mail("url", text).as_deref(), Ok(want), "{text}");
            assert_eq!(mail("url", want).as_deref(), Ok(want), "{want} stays");
        }
        for text in ["mailto:", "mailto:?", "?subject=x", "mailto:?subject", "", "mailto:,?subject=x"] {
            assert!(mail("url", text).is_err(), "{text}");
        }
        let sms = text_message("url", "+4930?body=Ticket #5, 50% [off]");
        assert_eq!(sms.as_deref(), Ok("sms:+4930?body=Ticket%20%235,%2050%25%20%5Boff%5D"));
    }
}
