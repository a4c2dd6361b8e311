//! The map of the library is true: each part uses only what stands before it, a vendor's words
//! stay in its folder, and the tests that the invariants name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the left: each may use what stands before it, and itself.
const LAYERS: [&str; 22] = [
    "settings",
    "clock",
    "readiness",
    "descriptors",
    "private_files",
    "model",
    "json",
    "fair",
    "log",
    "clicks",
    "table",
    "cache",
    "core",
    "formats",
    "webhooks",
    "visit",
    "http",
    "config",
    "app",
    "cli",
    "fuzz",
    "main",
];

/// Parts that use nothing of ours.
const LEAVES: [&str; 5] = ["settings", "clock", "readiness", "descriptors", "private_files"];

/// What the files of a vendor's dialect may use.
const OF_A_DIALECT: [&str; 5] = ["model", "clock", "json", "http::api::dialect", "http::api::query"];

/// Returns the files of `src` with their texts, sorted by path relative to it.
pub(super) fn sources() -> Vec<(PathBuf, String)> {
    sources_in("src")
}

/// The same of another folder.
pub(super) fn sources_in(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path.strip_prefix(&root).expect("below it").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The code without comments, where words may be anything's.
fn code(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        if !line.starts_with("//") {
            lines.push_str(line.split(" // ").next().unwrap_or(line));
            lines.push('\n');
        }
    }
    lines
}

/// Every path behind `crate::`, `{a, b::c}` taken apart.
fn paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        // Not the end of another word, such as a macro's `$crate`.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        // A visibility is not a use: it names where an item may be used.
        if code[..at].ends_with("pub(in ") {
            continue;
        }
        expand("", &code[at + start.len()..], &mut found);
    }
    found
}

/// Adds the path at the start of `rest`, or each of a group's; answers what follows it.
fn expand<'a>(prefix: &str, rest: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    if let Some(mut group) = rest.strip_prefix('{') {
        loop {
            group = group.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(end) = group.strip_prefix('}') {
                return end;
            }
            if group.is_empty() {
                return group;
            }
            group = expand(prefix, group, found);
            // ` as name`
            let skipped = group.find([',', '}']).unwrap_or(group.len());
            group = &group[skipped..];
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(rest.len());
    let name = format!("{prefix}{}", &rest[..end]);
    let rest = &rest[end..];
    if let Some(deeper) = rest.strip_prefix("::")
        && deeper.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{' || c == '*')
    {
        return expand(&format!("{name}::"), deeper, found);
    }
    found.insert(name);
    rest
}

fn rank(part: &str) -> usize {
    LAYERS.iter().position(|layer| *layer == part).unwrap_or_else(|| panic!("{part} is on no layer"))
}

#[test]
fn groups_are_taken_apart() {
    let found = paths("use crate::{a::{B, c::{D as E, *}}, f};\nlet x = crate::g::h::<u8>(); $crate::no");
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["a::B", "a::c::*", "a::c::D", "f", "g::h"]);
}

#[test]
fn each_part_uses_only_what_stands_before_it() {
    let mut edges = BTreeSet::new();
    for (file, text) in sources() {
        let first = file.components().next().expect("a file").as_os_str().to_string_lossy().into_owned();
        let part = first.strip_suffix(".rs").unwrap_or(&first);
        if part == "lib" {
            continue;
        }
        for path in paths(&code(&text)) {
            let used = path.split("::").next().expect("a first word");
            let fits = rank(used) < rank(part) || used == part;
            assert!(fits, "{}: {part} must not use crate::{path}", file.display());
            assert!(used == part || !LEAVES.contains(&part), "{}: {part} is a leaf", file.display());
            edges.insert((part.to_owned(), used.to_owned()));
        }
    }
    // The parser sees something: edges that must be there.
    for (part, used) in [("table", "log"), ("core", "cache"), ("visit", "core"), ("cli", "app")] {
        assert!(edges.contains(&(part.to_owned(), used.to_owned())), "{part} uses {used}: {edges:?}");
    }
}

#[test]
fn nothing_is_used_from_the_root() {
    for (file, text) in sources() {
        for path in paths(&code(&text)) {
            let first = path.split("::").next().expect("a first word");
            assert!(LAYERS.contains(&first), "{}: crate::{path} hides which part it uses", file.display());
        }
    }
}

#[test]
fn a_dialect_knows_the_model_and_its_own_words_only() {
    let mut seen = 0;
    for (file, text) in sources() {
        let Ok(inner) = file.strip_prefix("http/api") else { continue };
        let mut parts = inner.components();
        let first = parts.next().expect("a file").as_os_str().to_string_lossy().into_owned();
        // What all dialects share.
        if first == "admission" || first == "openapi" {
            continue;
        }
        // The dialects are folders, and files named for their vendor.
        let of_vendor = parts.next().is_some() || ["linquid.rs", "highlevel.rs"].contains(&&*first);
        if !of_vendor {
            continue;
        }
        seen += 1;
        let own = format!("http::api::{}", first.trim_end_matches(".rs"));
        let code = code(&text);
        for path in paths(&code) {
            let fits = |allowed: &str| path == allowed || path.starts_with(&format!("{allowed}::"));
            // The native API and the own file format have one JSON of a link.
            let own_format = first == "native" && fits("formats::waypost");
            let fine = OF_A_DIALECT.iter().any(|allowed| fits(allowed)) || fits(&own) || own_format;
            assert!(fine, "{}: a dialect must not use crate::{path}", file.display());
        }
        for foreign in ["sled::", "tokio::", "hyper::server", "hyper_util::", "std::fs", "SystemTime"] {
            assert!(!code.contains(foreign), "{}: a dialect must not use {foreign}", file.display());
        }
    }
    assert!(seen >= 5, "{seen} files of dialects");
}

#[test]
fn vendors_words_stay_in_their_dialects() {
    let words = ["customSlug", "redirectTo", "clicksLimit", "TEMPORARY_302", "PERMANENT_301", "locationId"];
    for (file, text) in sources() {
        let at_home = file.starts_with("http/api") && file.components().count() > 3
            || file.ends_with("linquid.rs")
            || file.ends_with("highlevel.rs")
            || file.starts_with("formats");
        // Comments and tests may name what a word stands for.
        let code = code(&text);
        let code = code.split("#[cfg(test)]").next().unwrap_or("");
        for word in words {
            assert!(at_home || !code.contains(word), "{} says {word}", file.display());
        }
    }
}

#[test]
fn only_the_clock_asks_for_the_time_and_only_records_know_their_bytes() {
    for (file, text) in sources() {
        let code = code(&text);
        let code = code.split("#[cfg(test)]").next().unwrap_or("");
        let clock = file == Path::new("clock.rs");
        assert!(clock || !code.contains("SystemTime::now"), "{} asks for the time", file.display());
        let bytes = file.starts_with("log") || file.starts_with("table/record");
        assert!(bytes || !code.contains("bincode::"), "{} knows bincode", file.display());
        let sled = file.starts_with("table");
        assert!(sled || !code.contains("sled::"), "{} knows sled", file.display());
    }
}

/// Parts that see keys of records. Other parts take texts of URLs and headers apart byte by byte.
const SEE_KEYS: [&str; 8] = ["log", "clicks", "cache", "core", "webhooks", "app", "cli", "fuzz"];

/// Files whose letters in byte literals are no keys.
const NO_KEYS: [(&str, &str); 7] = [
    ("log/change.rs", "the one kind that the log itself must know: click totals"),
    ("log/frame.rs", "the mark of a frame"),
    ("log/frame/header_footer.rs", "the marks of headers and footers"),
    ("core/links/codes.rs", "letters of short codes"),
    ("fuzz/record.rs", "makes a key longer"),
    ("fuzz/request.rs", "an agent's name"),
    ("webhooks/tls.rs", "the name of a protocol"),
];

/// Returns the byte literals of `code` that begin with a letter, as each key does.
fn letters(code: &str) -> Vec<&str> {
    let starts = code.match_indices("b'").chain(code.match_indices("b\""));
    let literals = starts.filter(|(at, _)| {
        let before = code[..*at].chars().next_back();
        let after = code[at + 2..].chars().next();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '"' && c != '\'')
            && after.is_some_and(|c| c.is_ascii_alphabetic())
    });
    literals.map(|(at, _)| code[at..].split('\n').next().unwrap_or_default()).collect()
}

#[test]
fn byte_literals_are_found() {
    let code = "f(b'l', b\"x\\0\");\nlet web = \"b\"; g(b'\\n', b\"-_\", web'a')";
    assert_eq!(letters(code), ["b'l', b\"x\\0\");", "b\"x\\0\");"]);
}

/// A key that is spelt elsewhere would miss the next change of `table/keys.rs`.
#[test]
fn keys_are_built_in_the_table_only() {
    for (file, text) in sources() {
        let code = code(&text);
        let code = code.split("#[cfg(test)]").next().unwrap_or("");
        let part = file.components().next().expect("a file").as_os_str().to_string_lossy().into_owned();
        let part = part.strip_suffix(".rs").unwrap_or(&part);
        if !SEE_KEYS.contains(&part) {
            let names_keys = code.contains("table::keys") || code.contains("table::{keys");
            assert!(part == "table" || !names_keys, "{}: {part} must see no keys", file.display());
            continue;
        }
        let is_allowed = NO_KEYS.iter().any(|(allowed, _)| file == Path::new(allowed));
        let is_tests = file.ends_with("tests.rs");
        let found = letters(code);
        assert!(is_allowed || is_tests || found.is_empty(), "{}: {found:?}", file.display());
        assert!(!is_allowed || !found.is_empty(), "{} needs no exception", file.display());
    }
}

/// What is known of a click is known there: a second place that counts would be one that statistics miss.
#[test]
fn every_click_passes_the_funnel() {
    for (file, text) in sources() {
        let code = code(&text);
        let code = code.split("#[cfg(test)]").next().unwrap_or("");
        // Where they are defined, and the funnel.
        let may = file.starts_with("clicks") || file == Path::new("visit/click.rs");
        for word in ["counters.count(", "counters().count(", "counter.count(", "reservations().take("] {
            assert!(may || !code.contains(word), "{} counts clicks beside the funnel", file.display());
        }
    }
    let funnel = sources().into_iter().find(|(file, _)| file == Path::new("visit/click.rs"));
    let (_, funnel) = funnel.expect("the funnel");
    assert!(
        funnel.contains("counters.count(") && funnel.contains("reservations().take("),
        "the words are its own"
    );
}

#[test]
fn the_tests_that_the_invariants_name_exist() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(library.join("src/lib.rs")).expect("the map");
    let mut named = 0;
    for name in map.split('`').skip(1).step_by(2) {
        let segments: Vec<&str> = name.split("::").collect();
        let (file, test) = match segments[..] {
            ["suite", module] => (format!("tests/suite/{module}.rs"), None),
            ["suite", module, test] => (format!("tests/suite/{module}.rs"), Some(test)),
            [ref module @ .., "tests", test] if !module.is_empty() => {
                let path = module.join("/");
                let flat = format!("src/{path}.rs");
                let file = if library.join(&flat).exists() { flat } else { format!("src/{path}/mod.rs") };
                (file, Some(test))
            }
            _ if name.starts_with("tests/") && Path::new(name).extension().is_some() => {
                (name.to_owned(), None)
            }
            _ => continue,
        };
        named += 1;
        let text =
            fs::read_to_string(library.join(&file)).unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
        if let Some(test) = test {
            assert!(text.contains(&format!("fn {test}(")), "{name}: no such test in {file}");
        }
    }
    assert!(named >= 5, "{named} tests are named in lib.rs");
}
