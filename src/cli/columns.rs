//! Text for people: a table with aligned columns, and a list of names with their values. Both contain texts of other
//! people, such as titles, so nothing in them can control the terminal.

use serde_json::Value;
use unicode_width::UnicodeWidthChar;

/// The least width of a column that is cut.
const WIDTH_MIN: usize = 8;

/// The name of a column of ids.
const ID: &str = "ID";

/// Between two columns.
const GAP: &str = "  ";

/// What replaces the end of a cell that is cut.
const CUT: &str = "...";

/// Returns a table: a line of names, and a line for each row. Cells are cut so that lines fit `width` columns of the
/// terminal, the widest first. The first column and [`ID`] name the object and are never cut: people copy them. A name in
/// parentheses is that of numbers, which are aligned to the right.
pub(super) fn table(names: &[&str], rows: &[Vec<String>], width: usize) -> String {
    let is_number = |at: usize| names[at].starts_with('(');
    let head: Vec<String> = names.iter().map(|name| name.trim_matches(['(', ')']).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(&head)
        .chain(rows)
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let mut widths: Vec<usize> =
        (0..names.len()).map(|at| all.iter().map(|row| columns(&row[at])).max().unwrap_or(0)).collect();
    let whole: usize = (0..names.len()).filter(|at| is_whole(names, *at)).map(|at| widths[at]).sum();
    let left = width.saturating_sub(whole + GAP.len() * names.len().saturating_sub(1));
    let mut others: Vec<&mut usize> = widths
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| !is_whole(names, *at))
        .map(|(_, width)| width)
        .collect();
    fit(&mut others, left);
    let mut lines = Vec::with_capacity(all.len());
    for row in &all {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let cell = cut(cell, widths[at]);
            let space = " ".repeat(widths[at] - columns(&cell));
            if is_number(at) { space + &cell } else { cell + &space }
        });
        lines.push(cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned());
    }
    lines.join("\n")
}

/// Returns whether the cells of a column are never cut.
fn is_whole(names: &[&str], at: usize) -> bool {
    at == 0 || names[at] == ID
}

/// Returns whether a table fits `width` columns of the terminal, when its cells are cut as far as they may be.
pub(super) fn fits(names: &[&str], rows: &[Vec<String>], width: usize) -> bool {
    let widest = |at: usize| {
        let cells = rows.iter().map(|row| columns(&printable(&row[at])));
        let widest = cells.max().unwrap_or(0).max(columns(names[at].trim_matches(['(', ')'])));
        if is_whole(names, at) { widest } else { widest.min(WIDTH_MIN) }
    };
    (0..names.len()).map(widest).sum::<usize>() + GAP.len() * names.len().saturating_sub(1) <= width
}

/// Returns a line for each name and its value, with the values aligned.
pub(super) fn list(pairs: &[(String, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
    let line = |(name, value): &(String, String)| {
        format!("{name}{}{GAP}{}", " ".repeat(widest - columns(name)), printable(value))
    };
    pairs.iter().map(line).collect::<Vec<_>>().join("\n")
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

/// Reduces the widest columns until all fit.
fn fit(widths: &mut [&mut usize], width: usize) {
    let mut excess = widths.iter().map(|width| **width).sum::<usize>().saturating_sub(width);
    while excess > 0 {
        let Some(widest) = widths.iter_mut().max().filter(|widest| ***widest > WIDTH_MIN) else { return };
        **widest -= 1;
        excess -= 1;
    }
}

/// Returns the columns that a printable text takes.
fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(CUT.len());
    let mut kept = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else { break };
        left = rest;
        kept.push(c);
    }
    kept + CUT
}

/// Replaces what would control the terminal or change the order of its text.
fn printable(text: &str) -> String {
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_aligned_and_cut() {
        let some = rows(&[&["a", "7", "https://example.com/a/long/path"], &["spring", "123", "x"]]);
        let whole = "CODE    CLICKS  URL\na            7  https://example.com/a/long/path\nspring     123  x";
        assert_eq!(table(&["CODE", "(CLICKS)", "URL"], &some, 80), whole);
        let narrow = table(&["CODE", "(CLICKS)", "URL"], &some, 30);
        assert_eq!(narrow, "CODE    CLICKS  URL\na            7  https://exa...\nspring     123  x");
        // Not below the least width, whatever the terminal is.
        assert!(table(&["CODE", "(CLICKS)", "URL"], &some, 1).contains("https..."));
        // The first column is whole.
        let urls = rows(&[&["https://go.example.com/spring", "https://example.com/"]]);
        assert_eq!(
            table(&["A", "B"], &urls, 20),
            "A                              B\nhttps://go.example.com/spring  https..."
        );
        assert!(fits(&["A", "B"], &urls, 39) && !fits(&["A", "B"], &urls, 38));
        assert_eq!(table(&["A"], &[], 80), "A");
        // So is an id, which commands take.
        let keys = rows(&[&["k", "a scope, and another one", "0N88vwqp0EUhFT57aXBu"]]);
        let shown = table(&["NAME", "SCOPES", "ID"], &keys, 40);
        assert_eq!(shown, "NAME  SCOPES        ID\nk     a scope, ...  0N88vwqp0EUhFT57aXBu");
        assert!(table(&["NAME", "SCOPES", "ID"], &keys, 1).contains("0N88vwqp0EUhFT57aXBu"));
    }

    #[test]
    fn wide_and_hostile_characters() {
        let some = rows(&[&["x", "日本語日本語"], &["y", "\u{1b}[31mred\u{202e}\n"]]);
        let shown = table(&["B", "TITLE"], &some, 12);
        assert_eq!(shown, "B  TITLE\nx  日本語...\ny   [31mr...");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
    }

    #[test]
    fn a_list_has_its_values_aligned() {
        let pairs = [("id".to_owned(), "1".to_owned()), ("title".to_owned(), "a\tb".to_owned())];
        assert_eq!(list(&pairs), "id     1\ntitle  a b");
    }
}
