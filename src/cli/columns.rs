//! Text for people: a table with aligned columns, and a list of names with their values. Both contain texts of other
//! people, such as titles, so nothing in them can control the terminal.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode_byte, utf8_percent_encode};
use serde_json::Value;
use unicode_width::UnicodeWidthChar;

/// The least width of a column that is cut, while another column can be left out instead.
const WIDTH_MIN: usize = 8;

/// Between two columns.
const GAP: &str = "  ";

/// What replaces a part of a cell that is cut.
const CUT: &str = "...";

/// A column of a table: its name, and what becomes of it if the table is wider than the terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableColumn<'n> {
    pub(super) name: &'n str,
    kind: CellKind,
    /// Other columns are left out before a cell of this one is cut below this width.
    least: usize,
    /// The order in which columns are left out, the highest rank first. 0: never.
    rank: u8,
}

/// How the cells of a column are aligned and cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellKind {
    /// Never cut: people copy it.
    Whole,
    /// Never cut: its first digits alone would be another number. Aligned to the right.
    Number,
    /// Cut at its end.
    Text,
    /// A URL, cut so that what is behind its last slash stays.
    Address,
}

impl<'n> TableColumn<'n> {
    /// A column that is cut.
    pub(super) const fn text(name: &'n str) -> TableColumn<'n> {
        TableColumn { name, kind: CellKind::Text, least: WIDTH_MIN, rank: 0 }
    }

    /// A column of ids, codes to copy, or addresses that contain an id.
    pub(super) const fn whole(name: &'n str) -> TableColumn<'n> {
        TableColumn { kind: CellKind::Whole, ..TableColumn::text(name) }
    }

    /// A column of numbers.
    pub(super) const fn number(name: &'n str) -> TableColumn<'n> {
        TableColumn { kind: CellKind::Number, ..TableColumn::text(name) }
    }

    /// A column of URLs.
    pub(super) const fn address(name: &'n str) -> TableColumn<'n> {
        TableColumn { kind: CellKind::Address, ..TableColumn::text(name) }
    }

    /// Returns the column with its least width beside columns that can be left out.
    pub(super) const fn least(self, least: usize) -> TableColumn<'n> {
        TableColumn { least, ..self }
    }

    /// Returns the column with its rank among those that can be left out, the highest one first. A column with
    /// rank 1 is cut to [`WIDTH_MIN`] before it is left out.
    pub(super) const fn rank(self, rank: u8) -> TableColumn<'n> {
        TableColumn { rank, ..self }
    }

    fn is_cut(&self) -> bool {
        matches!(self.kind, CellKind::Text | CellKind::Address)
    }
}

/// A column of the table that is printed.
struct Fitted<'n> {
    column: TableColumn<'n>,
    /// The cells, its name first.
    cells: Vec<String>,
    width: usize,
}

impl Fitted<'_> {
    /// Returns the width to which the column may be cut. The first column names the object, so it keeps its least
    /// width longer than the others.
    fn floor(&self, is_first: bool) -> usize {
        // A part of an id or of a number is another id or number.
        if !self.column.is_cut() {
            return self.width;
        }
        self.width.min(if is_first { self.column.least } else { WIDTH_MIN })
    }

    fn wanted(&self) -> usize {
        if self.column.is_cut() { self.width.min(self.column.least) } else { self.width }
    }

    fn line(&self, at: usize) -> String {
        let whole = &self.cells[at];
        let cell = match self.column.kind {
            CellKind::Address => cut_address(whole, self.width),
            CellKind::Text => cut(whole, self.width),
            CellKind::Whole | CellKind::Number => whole.clone(),
        };
        let space = " ".repeat(self.width - columns(&cell));
        if self.column.kind == CellKind::Number { space + &cell } else { cell + &space }
    }
}

/// Returns a table: a line of names, and a line for each row. Lines fit `width` columns of the terminal, unless ids and
/// numbers alone are wider: columns are left out by their rank, and cells are cut, the widest first.
pub(super) fn table(names: &[TableColumn<'_>], rows: &[Vec<String>], width: usize) -> String {
    let mut all = Vec::with_capacity(names.len());
    for (at, column) in names.iter().enumerate() {
        let cells = rows.iter().map(|row| printable(&row[at]));
        let cells: Vec<_> = std::iter::once(column.name.to_owned()).chain(cells).collect();
        let width = cells.iter().map(|cell| columns(cell)).max().unwrap_or(0);
        all.push(Fitted { column: *column, cells, width });
    }
    leave_out(&mut all, width);
    cut_columns(&mut all, width);
    let line =
        |at| all.iter().map(|column| column.line(at)).collect::<Vec<_>>().join(GAP).trim_end().to_owned();
    (0..=rows.len()).map(line).collect::<Vec<_>>().join("\n")
}

/// Removes columns until the others fit.
fn leave_out(all: &mut Vec<Fitted<'_>>, width: usize) {
    while let Some((at, rank)) =
        all.iter().map(|column| column.column.rank).enumerate().max_by_key(|(_, rank)| *rank)
    {
        // The last ones to go are cut first: a part of a destination is better than none.
        let needed = |(at, column): (usize, &Fitted<'_>)| {
            if rank > 1 { column.wanted() } else { column.floor(at == 0) }
        };
        let needed = all.iter().enumerate().map(needed).sum::<usize>() + gaps(all);
        if rank == 0 || needed <= width {
            return;
        }
        all.remove(at);
    }
}

/// Reduces the widths of columns until they fit.
fn cut_columns(all: &mut [Fitted<'_>], width: usize) {
    let mut excess = (all.iter().map(|column| column.width).sum::<usize>() + gaps(all)).saturating_sub(width);
    // The first column names the object: it is the last one at each step.
    let steps: [(bool, fn(&Fitted<'_>) -> usize); 6] = [
        (false, |column| column.wanted()),
        (true, |column| column.wanted()),
        (false, |column| column.floor(false)),
        (true, |column| column.floor(false)),
        (false, |_| 1),
        (true, |_| 1),
    ];
    for (is_first, least) in steps {
        while excess > 0 {
            let of_step = all.iter_mut().enumerate().filter(|(at, _)| (*at == 0) == is_first);
            let can = |column: &&mut Fitted<'_>| column.column.is_cut() && column.width > least(column);
            let wide = of_step.map(|(_, column)| column).filter(can);
            let Some(widest) = wide.max_by_key(|column| column.width) else { break };
            // One at a time, so that equally wide columns stay equally wide.
            widest.width -= 1;
            excess -= 1;
        }
    }
}

fn gaps(all: &[Fitted<'_>]) -> usize {
    GAP.len() * all.len().saturating_sub(1)
}

/// Returns a URL as people read it: without `https://`, and with letters in place of their escapes.
pub(super) fn destination(url: &str) -> String {
    readable(url.strip_prefix("https://").unwrap_or(url))
}

/// Returns a URL in which letters of all scripts and emoji are not escaped. What controls the terminal, changes the
/// order of text or cannot be seen stays escaped, and so do characters of ASCII, which may be a part of the syntax.
pub(super) fn readable(url: &str) -> String {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = match rest {
            [b'%', high, low, ..] => unescaped(*high, *low),
            _ => None,
        };
        // An escape that is none stays as it is.
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { behind };
    }
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // An ideographic space in an address is as hard to see as one of ASCII.
            if !c.is_ascii() && (is_unsafe(c) || c.is_whitespace()) {
                shown.extend(utf8_percent_encode(c.encode_utf8(&mut [0; 4]), NON_ALPHANUMERIC));
            } else {
                shown.push(c);
            }
        }
        // Text in another encoding.
        shown.extend(chunk.invalid().iter().map(|byte| percent_encode_byte(*byte)));
    }
    shown
}

/// Returns the byte of an escape, unless it is of ASCII.
fn unescaped(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok().filter(|byte| !byte.is_ascii())
}

/// Returns a line for each name and its value, with the values aligned.
pub(super) fn list(pairs: &[(String, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
    let line = |(name, value): &(String, String)| {
        format!("{name}{}{GAP}{}", " ".repeat(widest - columns(name)), printable(value))
    };
    pairs.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns a time of the API up to its minute, such as `2027-12-31 18:00`, in UTC. Empty for null.
pub(super) fn minute(time: &Value) -> String {
    text(time).chars().take(16).collect::<String>().replacen('T', " ", 1)
}

/// Returns the text of a member: empty for null and absent ones. A list is its items behind commas, and an object with a
/// short URL, such as an alias, is that URL.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(members) if members.contains_key("shortUrl") => text(&members["shortUrl"]),
        other => other.to_string(),
    }
}

/// Returns the columns that a printable text takes.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Cuts a text at its end.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    start(text, width.saturating_sub(CUT.len())) + &CUT[..CUT.len().min(width)]
}

/// Cuts a URL in front of its last slash, if enough of it remains, or else at its end: the code behind the slash names
/// the link.
fn cut_address(text: &str, width: usize) -> String {
    let code = text.rfind('/').map_or("", |at| &text[at..]);
    // Without a start, nobody would see which domain it is.
    let left = width.saturating_sub(columns(code) + CUT.len());
    if columns(text) <= width || left < WIDTH_MIN || code.len() < 2 {
        return cut(text, width);
    }
    start(text, left) + CUT + code
}

/// Returns the start of a text that takes at most this number of columns.
fn start(text: &str, width: usize) -> String {
    let mut left = width;
    let mut kept = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else { break };
        left = rest;
        kept.push(c);
    }
    kept
}

/// Replaces what would control the terminal or change the order of its text.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect()
}

/// Returns whether a character controls the terminal, changes the order of text, or cannot be seen alone.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    const CODE: TableColumn<'_> = TableColumn::text("CODE");
    const CLICKS: TableColumn<'_> = TableColumn::number("CLICKS");
    const URL: TableColumn<'_> = TableColumn::text("URL");
    const ID: TableColumn<'_> = TableColumn::whole("ID");

    #[test]
    fn columns_are_aligned_and_cut() {
        let some = rows(&[&["a", "7", "https://example.com/a/long/path"], &["spring", "123", "x"]]);
        let names = [CODE, CLICKS, URL];
        let whole = "CODE    CLICKS  URL\na            7  https://example.com/a/long/path\nspring     123  x";
        for width in [80, usize::MAX] {
            assert_eq!(table(&names, &some, width), whole);
        }
        let narrow = table(&names, &some, 30);
        assert_eq!(narrow, "CODE    CLICKS  URL\na            7  https://exa...\nspring     123  x");
        assert_eq!(table(&names, &some, 12), ".  CLICKS  .\na       7  .\n.     123  x");
        assert_eq!(table(&[URL], &[], 80), "URL");
        // An id, which commands take, is whole.
        let keys = rows(&[&["k", "a scope, and another one", "0N88vwqp0EUhFT57aXBu"]]);
        let names = [TableColumn::text("NAME"), TableColumn::text("SCOPES"), ID];
        let shown = table(&names, &keys, 40);
        assert_eq!(shown, "NAME  SCOPES        ID\nk     a scope, ...  0N88vwqp0EUhFT57aXBu");
        assert!(table(&names, &keys, 1).contains("0N88vwqp0EUhFT57aXBu"));
    }

    #[test]
    fn columns_are_left_out_by_their_rank() {
        let cell = "x".repeat(30);
        let some = rows(&[&[&cell, "1", "2", &cell]]);
        let names = [
            TableColumn::address("A").least(20),
            TableColumn::number("B").rank(2),
            TableColumn::number("C").rank(3),
            TableColumn::text("D").least(20).rank(1),
        ];
        // The widths of A and D.
        let expected = [
            (68, "A B C D", 30, 30),
            (58, "A B C D", 30, 20),
            (48, "A B C D", 20, 20),
            (47, "A B D", 22, 20),
            (44, "A D", 22, 20),
            (42, "A D", 20, 20),
            (41, "A D", 20, 19),
            (30, "A D", 20, 8),
            (29, "A", 29, 0),
            (10, "A", 10, 0),
        ];
        for (width, head, first, last) in expected {
            let shown = table(&names, &some, width);
            let lines: Vec<_> = shown.lines().collect();
            assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>().join(" "), head, "{width}");
            let cells: Vec<_> = lines[1].split_whitespace().map(str::len).collect();
            let ends = (cells[0], if head.contains('D') { cells[cells.len() - 1] } else { 0 });
            assert_eq!(ends, (first, last), "{width}: {shown}");
            assert!(lines.iter().all(|line| line.len() <= width), "{width}: {shown}");
        }
    }

    #[test]
    fn urls_are_read_and_cut() {
        let expected = [
            ("http://go.test/%E6%98%A5%E3%81%AE", "http://go.test/\u{6625}\u{306e}"),
            // What is no character, hidden, a blank or a part of the syntax stays escaped.
            ("/%E6%98x%FF%", "/%E6%98x%FF%"),
            ("/%E2%80%AE%C2%A0%EF%BB%BF%0A%2F%25", "/%E2%80%AE%C2%A0%EF%BB%BF%0A%2F%25"),
            ("/%F0%9F%90%BB%EF%B8%8F%zz%4", "/\u{1f43b}\u{fe0f}%zz%4"),
        ];
        for (url, want) in expected {
            assert_eq!(readable(url), want);
        }
        assert_eq!(destination("https://e.test/%C3%BC"), "e.test/\u{fc}");
        assert_eq!(destination("http://e.test/"), "http://e.test/");
        let expected = [
            ("https://go.test/spring", 22, "https://go.test/spring"),
            ("https://links.example.com/spring", 26, "https://links.ex.../spring"),
            ("https://go.test/a-long-code", 20, "https://go.test/a..."),
            ("https://links.example.com/", 20, "https://links.exa..."),
            ("no address", 5, "no..."),
            ("https://go.test/s", 2, ".."),
        ];
        for (url, width, want) in expected {
            assert_eq!(cut_address(url, width), want);
        }
    }

    #[test]
    fn wide_and_hostile_characters() {
        let some = rows(&[&["x", "日本語日本語"], &["y", "\u{1b}[31mred\u{202e}\n"]]);
        let shown = table(&[CODE, TableColumn::text("TITLE")], &some, 15);
        assert_eq!(shown, "CODE  TITLE\nx     日本語...\ny      [31mr...");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
    }

    #[test]
    fn a_list_has_its_values_aligned() {
        let pairs = [("id".to_owned(), "1".to_owned()), ("title".to_owned(), "a\tb".to_owned())];
        assert_eq!(list(&pairs), "id     1\ntitle  a b");
    }
}
