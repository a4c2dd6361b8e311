//! The input of an import: opens it, and recognises what is no JSON Lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::cli::error::CommandError;
use crate::formats::waypost::draft::CODE;

/// Longest line in bytes. A link with every field at its bound is a tenth of it.
pub(super) const LINE_MAX: u64 = 1024 * 1024;

/// Opens the input and reads its start. Returns the length as well, which is 0 for stdin.
pub(super) fn open(file: &Path) -> Result<(BufReader<Box<dyn Read>>, u64), CommandError> {
    let cannot = |error| CommandError::Failed(format!("cannot read {}: {error}", file.display()));
    let (input, length): (Box<dyn Read>, u64) = if file.as_os_str() == "-" {
        // The length of stdin is unknown: the bar shows no end.
        (Box::new(io::stdin()), 0)
    } else {
        let file = File::open(file).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        (Box::new(file), length)
    };
    let mut reader = BufReader::with_capacity(1 << 20, input);
    // A folder can be opened; only a read fails.
    reader.fill_buf().map_err(cannot)?;
    Ok((reader, length))
}

/// Reads the first line that is not blank. Returns it with all lines before it, and an input that begins with them.
pub(super) fn first_line(
    mut reader: BufReader<Box<dyn Read>>,
) -> io::Result<(Vec<u8>, BufReader<Box<dyn Read>>)> {
    let mut start = Vec::new();
    loop {
        let before = start.len();
        let read = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut start)?;
        let is_blank = start[before..].iter().all(u8::is_ascii_whitespace);
        if read == 0 || !is_blank || start.len() as u64 >= LINE_MAX {
            break;
        }
    }
    let whole: Box<dyn Read> = Box::new(Cursor::new(start.clone()).chain(reader));
    Ok((start, BufReader::with_capacity(1 << 20, whole)))
}

/// Returns what the start of an input is instead of lines of JSON, and how to convert it. `file` is its name in a shell.
pub(super) fn foreign_format(start: &[u8], file: &str) -> Option<String> {
    // UTF-16, which the reader of the lines names.
    if start.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let line = text.lines().next()?;
    let is = |what: &str, convert: &str| {
        Some(format!("this {what}, and `import` reads one JSON object a line: convert it with {convert}"))
    };
    match line.chars().next()? {
        // A whole object ends in the line in which it begins.
        '{' if line.trim_end() == "{" => is("is JSON over several lines", &format!("jq -c . {file}")),
        '{' => None,
        '[' => is("is a JSON array", &format!("jq -c '.[]' {file}")),
        _ if line.contains([',', ';', '\t']) && !line.contains("://") || has_fields(line) => {
            is("looks like CSV", &csv(text, file))
        }
        _ if line.contains("://") => is("looks like a list of URLs", &format!("jq -Rc '{{url: .}}' {file}")),
        _ => None,
    }
}

/// Returns the command that converts CSV. The columns of code and URL are those of the first line with a URL.
fn csv(text: &str, file: &str) -> String {
    let lines: Vec<&str> = text.lines().take(2).collect();
    // A first line without a URL has the names of the columns.
    let has_header = lines.first().is_some_and(|line| !line.contains("://"));
    let Some(line) = lines.iter().find(|line| line.contains("://")) else {
        return format!("Miller (mlr --icsv --ojsonl cat {file}), with columns named url and {CODE}");
    };
    let delimiters = [('\t', "\\t"), (';', ";"), (',', ",")];
    let (delimiter, shown) = delimiters.into_iter().find(|(c, _)| line.contains(*c)).unwrap_or((',', ","));
    if line.contains('"') {
        return format!(
            "Miller (mlr --icsv --ifs '{delimiter}' --ojsonl cat {file}), with columns named url and {CODE}"
        );
    }
    let url = line.split(delimiter).position(|field| field.contains("://")).unwrap_or(1);
    let code = usize::from(url == 0);
    let input = if has_header { format!("tail -n +2 {file} | ") } else { String::new() };
    let file = if has_header { String::new() } else { format!(" {file}") };
    format!("{input}jq -Rc 'split(\"{shown}\") | {{{CODE}: .[{code}], url: .[{url}]}}'{file}")
}

/// Returns whether a line without a header has several fields, one of which is a URL.
fn has_fields(line: &str) -> bool {
    let fields = |delimiter| {
        let fields: Vec<&str> = line.split(delimiter).map(|field| field.trim().trim_matches('"')).collect();
        fields.len() > 1 && fields.iter().any(|field| field.contains("://")) && !fields[0].contains("://")
    };
    [',', ';', '\t'].into_iter().any(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_formats_have_their_conversion() {
        let rows = [
            ("{\"url\":\"https://e.test/\"}\n", None),
            ("{\n", Some("jq -c . f")),
            ("[{}]", Some("jq -c '.[]' f")),
            ("https://e.test/\n", Some("jq -Rc '{url: .}' f")),
            (
                "code,url\nq,https://e.test/\n",
                Some("tail -n +2 f | jq -Rc 'split(\",\") | {customSlug: .[0], url: .[1]}'"),
            ),
            ("q;https://e.test/\n", Some("jq -Rc 'split(\";\") | {customSlug: .[0], url: .[1]}' f")),
            (
                "url\tcode\nhttps://e.test/\tq\n",
                Some("tail -n +2 f | jq -Rc 'split(\"\\t\") | {customSlug: .[1], url: .[0]}'"),
            ),
            ("code,url\nq,\"https://e.test/\"\n", Some("mlr --icsv --ifs ',' --ojsonl cat f")),
        ];
        for (start, want) in rows {
            let got = foreign_format(start.as_bytes(), "f");
            assert_eq!(got.is_some(), want.is_some(), "{start}: {got:?}");
            assert!(got.is_none_or(|got| got.contains(want.unwrap_or_default())), "{start}");
        }
    }
}
