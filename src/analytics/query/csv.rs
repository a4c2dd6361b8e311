//! Fields of comma-separated values (RFC 4180) for people who open them in a spreadsheet.

/// Appends a field. A text that a spreadsheet would run as a formula begins with an apostrophe: a visitor chooses the
/// referrer, and the operator opens the file.
pub fn push_field(out: &mut String, text: &str) {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if is_formula { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n']) {
        out.push('"');
        out.push_str(mark);
        for part in text.split_inclusive('"') {
            out.push_str(part);
            if part.ends_with('"') {
                out.push('"');
            }
        }
        out.push('"');
    } else {
        out.push_str(mark);
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_run_no_formula() {
        let rows = [
            ("", ""),
            ("a b", "a b"),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("\"", "\"\"\"\""),
            ("=1+1", "'=1+1"),
            ("-1,2", "\"'-1,2\""),
            ("@a", "'@a"),
            ("a\nb", "\"a\nb\""),
        ];
        for (text, want) in rows {
            let mut out = String::new();
            push_field(&mut out, text);
            assert_eq!(out, want, "{text:?}");
        }
    }
}
