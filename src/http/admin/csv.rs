//! Reads comma-separated values (RFC 4180) as spreadsheets write them: with commas, semicolons or tabs, and with either
//! line break. A text is read whole, since a form has bounded its length.

/// A record, and the line on which it begins, from 1.
pub(super) type CsvRecord = (usize, Vec<String>);

/// Returns the records of a text, without blank ones. Fails with a line if its quotes have no end.
pub(super) fn records(text: &str) -> Result<Vec<CsvRecord>, String> {
    // One for the whole file: programs do not mix them.
    let separator = separator(text);
    let (mut records, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begins_at, mut is_quoted) = (1_usize, 1_usize, false);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            '\r' if !is_quoted && chars.peek() == Some(&'\n') => {}
            '\n' | '\r' if !is_quoted => {
                line += 1;
                fields.push(std::mem::take(&mut field));
                push(&mut records, begins_at, &mut fields);
                begins_at = line;
            }
            char if char == separator && !is_quoted => fields.push(std::mem::take(&mut field)),
            char => {
                line += usize::from(char == '\n');
                field.push(char);
            }
        }
    }
    if is_quoted {
        return Err(format!("line {begins_at}: a quote has no end"));
    }
    // The last line may have no line break.
    fields.push(field);
    push(&mut records, begins_at, &mut fields);
    Ok(records)
}

fn push(records: &mut Vec<CsvRecord>, line: usize, fields: &mut Vec<String>) {
    let fields = std::mem::take(fields);
    // Spreadsheets end a table with rows of empty fields.
    if fields.iter().any(|field| !field.trim().is_empty()) {
        records.push((line, fields));
    }
}

/// Returns the separator: that of the three which the first line has most often.
fn separator(text: &str) -> char {
    let first = text.lines().next().unwrap_or("");
    let count = |separator: &char| first.matches(*separator).count();
    // The last one of equal counts wins, so a line without any is one field by commas.
    ['\t', ';', ','].into_iter().max_by_key(count).unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_spreadsheets_write_them() {
        let rows: [(&str, &[(usize, &[&str])]); 9] = [
            ("", &[]),
            ("a,b\r\nc,d\r\n", &[(1, &["a", "b"]), (2, &["c", "d"])]),
            ("a,b\nc", &[(1, &["a", "b"]), (2, &["c"])]),
            ("a;b\n\"c;d\";\"e\"\"f\"", &[(1, &["a", "b"]), (2, &["c;d", "e\"f"])]),
            ("a\tb,c\td", &[(1, &["a", "b,c", "d"])]),
            ("a\n\n , \nb", &[(1, &["a"]), (4, &["b"])]),
            // A text of two lines is one record, and the next one has its own line.
            ("a,\"b\r\nc\"\nd", &[(1, &["a", "b\r\nc"]), (3, &["d"])]),
            // A quote within a text is one of its characters.
            ("5\" disk,b", &[(1, &["5\" disk", "b"])]),
            ("a\rb", &[(1, &["a"]), (2, &["b"])]),
        ];
        for (text, want) in rows {
            let got = records(text).expect(text);
            let got: Vec<(usize, Vec<&str>)> = got
                .iter()
                .map(|(line, fields)| (*line, fields.iter().map(String::as_str).collect()))
                .collect();
            let want: Vec<(usize, Vec<&str>)> =
                want.iter().map(|(line, fields)| (*line, fields.to_vec())).collect();
            assert_eq!(got, want, "{text:?}");
        }
        assert_eq!(records("a\n\"b\nc"), Err("line 2: a quote has no end".to_owned()));
    }
}
