//! The input of an import: opens it, and recognises what is no JSON Lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::app::data_folder::quoted;
use crate::cli::error::CommandError;
use crate::formats::waypost::draft::CODE;
use crate::formats::waypost::known::{NEW_LINK, meant};

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
        '{' if line.trim_end() == "{" => {
            is("is JSON over several lines", &format!("jq -c . {file} > links.jsonl"))
        }
        '{' => None,
        '[' => is("is a JSON array", &format!("jq -c '.[]' {file} > links.jsonl")),
        _ if line.contains([',', ';', '\t']) && !line.contains("://") || has_fields(line) => {
            is("looks like CSV", &csv(text, file))
        }
        _ if line.contains("://") => {
            is("looks like a list of URLs", &format!("jq -Rc '{{url: .}}' {file} > links.jsonl"))
        }
        _ => None,
    }
}

/// The columns of CSV that a link needs.
struct CsvColumns<'t> {
    delimiter: char,
    /// The names of the columns, if the first line has them.
    names: Option<Vec<&'t str>>,
    url: usize,
    /// The column of the codes, and whether it has whole short URLs.
    code: Option<(usize, bool)>,
}

impl<'t> CsvColumns<'t> {
    /// Finds the columns by the names of the first line and by the values of the first line with a URL. Returns `None`
    /// without such a line.
    fn find(text: &'t str) -> Option<CsvColumns<'t>> {
        let lines: Vec<&str> = text.lines().take(2).collect();
        let line = lines.iter().find(|line| line.contains("://"))?;
        let delimiter = ['\t', ';', ','].into_iter().find(|c| line.contains(*c)).unwrap_or(',');
        let bare = |field: &'t str| field.trim().trim_matches('"');
        let fields: Vec<&str> = line.split(delimiter).map(bare).collect();
        // A first line without a URL has the names of the columns.
        let head = lines.first().filter(|line| !line.contains("://"));
        let names = head.map(|line| line.split(delimiter).map(bare).collect::<Vec<&str>>());
        let named = |field: &str| {
            let names = (0..).zip(names.iter().flatten());
            let mut found = names.filter(|(_, name)| meant(name, NEW_LINK) == Some(field));
            let first = found.next()?;
            // `link` is the short URL if another column has the destination.
            let is_link = first.1.eq_ignore_ascii_case("link");
            Some(if is_link { found.next().unwrap_or(first) } else { first }.0)
        };
        let url = named("url").or_else(|| fields.iter().position(|field| field.contains("://")))?;
        // The code of a short URL is what is behind its last slash.
        let is_short_url = |(at, field): &(usize, &&str)| *at != url && field.contains('/');
        let short_url = || fields.iter().enumerate().find(is_short_url).map(|(at, _)| (at, true));
        let other = || (names.is_none() && fields.len() > 1).then_some((usize::from(url == 0), false));
        let code = named(CODE).map(|at| (at, fields.get(at).is_some_and(|field| field.contains('/'))));
        let code = code.or_else(short_url).or_else(other);
        Some(CsvColumns { delimiter, names, url, code })
    }

    /// Returns the command of `jq` for lines without quotes.
    fn jq(&self, file: &str) -> String {
        let delimiter = if self.delimiter == '\t' { "\\t".to_owned() } else { self.delimiter.to_string() };
        let has_names = self.names.is_some();
        let input = if has_names { format!("tail -n +2 {file} | ") } else { String::new() };
        let file = if has_names { String::new() } else { format!(" {file}") };
        let code = match self.code {
            Some((at, false)) => format!("{CODE}: .[{at}], "),
            Some((at, true)) => format!("{CODE}: (.[{at}] | split(\"/\") | last), "),
            None => String::new(),
        };
        let url = self.url;
        format!("{input}jq -Rc 'split(\"{delimiter}\") | {{{code}url: .[{url}]}}'{file} > links.jsonl")
    }

    /// Returns the command of Miller, which reads quotes.
    fn miller(&self, file: &str) -> String {
        let name = |at: usize| {
            let named = self.names.as_ref().and_then(|names| names.get(at).map(|name| (*name).to_owned()));
            named.unwrap_or_else(|| (at + 1).to_string())
        };
        let (mut verbs, mut renamed) = (Vec::new(), Vec::new());
        match self.code.map(|(at, is_url)| (name(at), is_url)) {
            Some((code, true)) => {
                verbs.push(format!("put {}", quoted(&format!("${CODE} = sub(${{{code}}}, \"^.*/\", \"\")"))));
            }
            Some((code, false)) if code != CODE => renamed.extend([code, CODE.to_owned()]),
            Some(_) | None => {}
        }
        let url = name(self.url);
        if url != "url" {
            renamed.extend([url, "url".to_owned()]);
        }
        if !renamed.is_empty() {
            verbs.push(format!("rename {}", quoted(&renamed.join(","))));
        }
        let verbs = if verbs.is_empty() { "cat".to_owned() } else { verbs.join(" then ") };
        // Miller then names the columns by their numbers.
        let header = if self.names.is_some() { "" } else { " --implicit-csv-header" };
        let delimiter = if self.delimiter == '\t' { "tab" } else { &self.delimiter.to_string() };
        format!("Miller: mlr --icsv{header} --ifs '{delimiter}' --ojsonl {verbs} {file} > links.jsonl")
    }
}
/// Returns the command that converts CSV.
fn csv(text: &str, file: &str) -> String {
    let Some(columns) = CsvColumns::find(text) else {
        return format!(
            "Miller: mlr --icsv --ojsonl cat {file} > links.jsonl, with columns named url and {CODE}"
        );
    };
    if text.lines().take(2).any(|line| line.contains('"')) { columns.miller(file) } else { columns.jq(file) }
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
            (
                "code,url\nq,\"https://e.test/\"\n",
                Some("mlr --icsv --ifs ',' --ojsonl rename code,customSlug f > links.jsonl"),
            ),
            // A file of Bitly: the code is the end of a short URL.
            (
                "link,long_url,title\nbit.ly/a1,https://e.test/,T\n",
                Some(
                    "jq -Rc 'split(\",\") | {customSlug: (.[0] | split(\"/\") | last), url: .[1]}' > links.jsonl",
                ),
            ),
            (
                "link,long_url,title\n\"https://bit.ly/a1\",\"https://e.test/\",\"T, U\"\n",
                Some(
                    "mlr --icsv --ifs ',' --ojsonl put '$customSlug = sub(${link}, \"^.*/\", \"\")' then rename \
                     long_url,url f > links.jsonl",
                ),
            ),
            ("link,title\nhttps://e.test/,T\n", Some("| {url: .[0]}' > links.jsonl")),
            (
                "\"q\";\"https://e.test/\"\n",
                Some("mlr --icsv --implicit-csv-header --ifs ';' --ojsonl rename 1,customSlug,2,url f"),
            ),
            ("url,customSlug\n\"https://e.test/\",q\n", Some("--ojsonl cat f > links.jsonl")),
        ];
        for (start, want) in rows {
            let got = foreign_format(start.as_bytes(), "f");
            assert_eq!(got.is_some(), want.is_some(), "{start}: {got:?}");
            assert!(got.is_none_or(|got| got.contains(want.unwrap_or_default())), "{start}");
        }
    }
}
