//! E-mail addresses (RFC 6068), telephone numbers (RFC 3966) and text messages (RFC 5724) as URIs.

use crate::model::Invalid;
use crate::model::escape;
use crate::model::text::is_invisible;

/// Country codes whose numbers begin with the zero that is dialled within the country too: Italy, San Marino,
/// Ivory Coast, Gabon, Congo, Benin.
const KEEPS_ZERO: &[&str] = &["39", "378", "225", "241", "242", "229"];

/// Country codes with another trunk prefix than 0.
const TRUNK_PREFIXES: &[(&str, &str)] =
    &[("7", "8"), ("36", "06"), ("52", "01"), ("370", "8"), ("375", "8"), ("993", "8")];

/// Country codes where no number begins with 0, and where people write the trunk zero behind the code.
const NEVER_ZERO: &[&str] = &[
    "20", "27", "31", "32", "33", "40", "41", "43", "44", "46", "49", "61", "64", "81", "82", "90", "91",
    "353", "358", "380", "385", "386", "421", "972",
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
    let is_share = addresses.is_empty() && rest.len() < text.len() && headers.contains('=');
    let fine = addresses.split(',').all(|address| {
        address.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && !host.is_empty()
                && !host.contains('@')
                // A colon or slash would make it another kind of URL (`javascript:a@b.c`, `//a@b.c`).
                && !address.contains([':', '/', '<', '>', ' '])
        })
    });
    if !fine && !is_share {
        return Err(Invalid::new(field, "must be an e-mail address such as jane@example.com"));
    }
    Ok(escape::message(&format!("mailto:{rest}")))
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
    let number = without_trunk_prefix(field, &number)?;
    let digits: String = number.chars().filter(|c| !is_separator(*c)).collect();
    let subscriber = digits.strip_prefix('+').unwrap_or(&digits);
    let fine = (1..=32).contains(&subscriber.len())
        && subscriber.bytes().all(|b| b.is_ascii_digit() || b == b'*' || b == b'#');
    let tail_fine =
        parameters.is_none_or(|p| p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._=;%+".contains(&b)));
    if !fine || !tail_fine {
        return Err(Invalid::new(field, hint(subscriber)));
    }
    if let Some(code) = digits.strip_prefix('+').and_then(zero_behind_code) {
        let why = format!("must not have a 0 behind +{code}: it is dialled only without the country code");
        return Err(Invalid::new(field, why));
    }
    // A bare `#` would start a fragment.
    let digits = digits.replace('#', "%23");
    Ok(parameters.map_or_else(|| digits.clone(), |p| format!("{digits};{}", escape::visible(p))))
}

/// Returns the ASCII character for one that looks like it on paper, or `None` for an invisible one.
fn plain(c: char) -> Option<char> {
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
        // Full width, from `!` to `~`.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
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

/// Returns an international number without the trunk prefix that people write in parentheses behind the
/// country code, as in `+49 (0) 30 1234` or `+44 (020) 7946`. It is not dialled with the code (ITU-T E.123).
/// Fails if the number has the parentheses without a `+`: then nothing shows where its country code ends.
fn without_trunk_prefix(field: &'static str, number: &str) -> Result<String, Invalid> {
    // `(+49) (0) 30`: the first parentheses are around the code.
    let code = number.trim_start().strip_prefix('(').filter(|code| code.trim_start().starts_with('+'));
    let number = code.map_or_else(|| number.to_owned(), |code| code.replacen(')', " ", 1));
    let Some((head, behind)) = number.split_once('(') else { return Ok(number) };
    let Some((group, tail)) = behind.split_once(')') else { return Ok(number) };
    let digits_of = |text: &str| text.chars().filter(|c| !is_separator(*c)).collect::<String>();
    let (head_digits, group) = (digits_of(head), digits_of(group));
    let code = ["+", "00", "011"].iter().find_map(|prefix| head_digits.strip_prefix(prefix));
    let Some(code) = code.filter(|code| !code.is_empty()) else {
        // `(030) 1234` is right as it is.
        if group == "0" && !head_digits.is_empty() {
            let why = "must begin with + and the country code, or must not have (0): \
                       the 0 is dialled only without the code, as in +49 30 1234 and 030 1234";
            return Err(Invalid::new(field, why));
        }
        return Ok(number);
    };
    let trunk = TRUNK_PREFIXES.iter().find(|(country, _)| *country == code).map_or("0", |(_, trunk)| trunk);
    let keeps = trunk == "0" && KEEPS_ZERO.contains(&code);
    let rest = match group.strip_prefix(trunk) {
        // With another prefix than 0, more digits are an area code: `+7 (800)`.
        Some(rest) if !keeps && (rest.is_empty() || trunk.starts_with('0')) => rest,
        _ => return Ok(number),
    };
    Ok([head, rest, tail].concat())
}

/// Returns the country code of an international number (without its `+`) in which a trunk zero follows.
fn zero_behind_code(digits: &str) -> Option<&'static str> {
    NEVER_ZERO
        .iter()
        .copied()
        .find(|code| digits.strip_prefix(code).is_some_and(|rest| rest.starts_with('0')))
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
            ("+36 (06) 1 123", Ok("tel:+361123")),
            ("+1 (555) 010", Ok("tel:+1555010")),
            // Italian numbers begin with their zero everywhere.
            ("+39 (0)6 1234", Ok("tel:+39061234")),
            ("+39 06 1234", Ok("tel:+39061234")),
            ("(030) 1234", Ok("tel:0301234")),
            ("(0)30 1234", Ok("tel:0301234")),
            ("+44 020 7946", zero("44")),
            ("+49 0 30 1234", zero("49")),
        ];
        for (text, want) in rows {
            let got = telephone("url", text).map_err(|error| error.to_string());
            assert_eq!(got, want.map(str::to_owned), "{text}");
        }
        assert!(telephone("url", "49 (0) 30 1234").is_err_and(|error| error.why.contains("(0)")));
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
            ("mailto:?subject=Look&body=x", "mailto:?subject=Look&body=x"),
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
