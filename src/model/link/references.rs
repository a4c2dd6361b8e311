//! Character references of HTML, such as `&amp;` and `&#114;`. A browser replaces them before it uses a value, so
//! [`markup`](super::markup) must compare and check what it will read.

use std::borrow::Cow;

/// Returns a URL with its references replaced. Fails, with the rule, at a reference that only a browser's list of
/// 2,231 names explains: `&period;` in a host would be another host than the one that is checked.
pub(super) fn decoded(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains('&') {
        return Ok(text.into());
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let Some(name) = name_of(behind) else {
            out.push('&');
            rest = behind;
            continue;
        };
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ if name.starts_with('#') => numbered(name)?,
            _ => return Err(format!("must write & as &amp; in URLs, or &{name}; as its character")),
        });
        rest = &behind[name.len() + 1..];
    }
    out.push_str(rest);
    Ok(out.into())
}

/// Fails, with the rule, if a numeric reference of a text is a control character or none.
pub(super) fn check_text(text: &str) -> Result<(), String> {
    let names = text.split('&').skip(1).filter_map(name_of);
    names.filter(|name| name.starts_with('#')).try_for_each(|name| numbered(name).map(drop))
}

/// Returns the name of the reference that follows an ampersand. Without a semicolon none does: browsers accept some,
/// and [`markup`](super::markup) escapes their ampersand.
pub(super) fn name_of(behind: &str) -> Option<&str> {
    let (name, _) = behind.split_once(';')?;
    let digits = name.strip_prefix('#').unwrap_or(name);
    let is_name = (1..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then_some(name)
}

/// Returns the character of `#114` or `#x72`. Browsers read 128 to 159 as another character, and 0 as a sign for an
/// error, so these are refused with the other controls.
fn numbered(name: &str) -> Result<char, String> {
    let number = name.trim_start_matches('#');
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    let found = code.ok().and_then(char::from_u32).filter(|c| !c.is_control() || matches!(c, '\t' | '\n'));
    found.ok_or_else(|| format!("must not contain &{name};, which is no character of a text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_reads() {
        let rows = [
            ("a=1&b=2", Some("a=1&b=2")),
            ("a&amp;b", Some("a&b")),
            ("&#114;&#x65;&#X66;", Some("ref")),
            ("&quot;&apos;&lt;&gt;", Some("\"'<>")),
            // Once only.
            ("&amp;lt;", Some("&lt;")),
            ("&copy", Some("&copy")),
            ("?a&b;c", None),
            ("a&period;b", None),
            ("&#0;", None),
            ("&#128;", None),
            ("&#xd800;", None),
            ("&#x;", None),
            ("&#99999999999;", None),
        ];
        for (text, want) in rows {
            assert_eq!(decoded(text).ok().as_deref(), want, "{text}");
        }
    }
}
