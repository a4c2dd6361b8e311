//! The map of the library is true: each part uses only the parts before it, a vendor's words stay in its folder,
//! and the tests that the invariants name exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The parts in their order: each may use the parts before it, and itself.
const LAYERS: [&str; 31] = [
    "settings",
    "clock",
    "readiness",
    "descriptors",
    "private_files",
    "authorities",
    "own_address",
    "users",
    "model",
    "qr",
    "json",
    "fair",
    "outbound",
    "agents",
    "log",
    "clicks",
    "analytics",
    "table",
    "cache",
    "core",
    "formats",
    "webhooks",
    "checks",
    "certificates",
    "visit",
    "http",
    "config",
    "app",
    "cli",
    "fuzz",
    "main",
];

/// Parts that use nothing of ours.
const LEAVES: [&str; 9] = [
    "agents",
    "settings",
    "clock",
    "readiness",
    "descriptors",
    "private_files",
    "authorities",
    "own_address",
    "users",
];

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

/// Returns every path of the code of a file as segments below the crate, `{a, b::c}` taken apart. `module` is
/// the module of the file, against which `self::` and `super::` are resolved: modules within a file, beside
/// unit tests, there are none.
fn paths(code: &str, module: &[&str]) -> BTreeSet<Vec<String>> {
    paths_from(&["crate::", "self::", "super::"], code, module)
}

/// Like [`paths`], of paths that begin so.
fn paths_from(starts: &[&str], code: &str, module: &[&str]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for start in starts {
        for (at, _) in code.match_indices(start) {
            // Not the end of another word, such as a macro's `$crate`, nor the middle of a path.
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
                continue;
            }
            // A visibility is not a use: it names where an item may be used.
            if code[..at].ends_with("pub(in ") {
                continue;
            }
            let mut names = BTreeSet::new();
            expand("", &code[at..], &mut names);
            found.extend(names.iter().map(|name| absolute(name, module)));
        }
    }
    found
}

/// Returns the segments of `name`, which begins with `crate`, `self` or `super`, below the crate.
fn absolute(name: &str, module: &[&str]) -> Vec<String> {
    let mut segments: Vec<&str> = name.split("::").collect();
    let mut from: Vec<&str> = Vec::new();
    match segments[0] {
        "crate" => {}
        _ => from.extend(module),
    }
    while segments.first().is_some_and(|first| *first == "super") {
        from.pop();
        segments.remove(0);
    }
    segments.retain(|segment| !matches!(*segment, "crate" | "self"));
    from.into_iter().chain(segments).map(str::to_owned).collect()
}

/// Adds the path at the start of `rest`, or each path of the group there. Returns the text behind it.
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

/// Returns the module of a file of `src`: `log/mod.rs` is `["log"]`, `lib.rs` is `[]`.
fn module_of(file: &Path) -> Vec<&str> {
    let mut segments: Vec<&str> =
        file.iter().map(|segment| segment.to_str().expect("a name in UTF-8")).collect();
    let last = segments.pop().expect("a file").trim_end_matches(".rs");
    if !matches!(last, "mod" | "lib") {
        segments.push(last);
    }
    segments
}

/// Returns the code of a file up to its unit tests, whose paths have one `super` more.
fn without_tests(code: &str) -> &str {
    let tests = code.match_indices("#[cfg(test)]\n").find(|(at, attribute)| {
        let item = &code[at + attribute.len()..];
        item.lines().next().is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    });
    tests.map_or(code, |(at, _)| &code[..at])
}

/// Returns whether the `use` behind this text is a re-export.
fn is_public(before: &str) -> bool {
    before.lines().last().is_some_and(|line| line.starts_with("pub"))
}

/// The files of `src` and what each uses of the others.
struct Files {
    /// The code of each module's file, without comments and unit tests.
    code: BTreeMap<Vec<String>, String>,
    /// What a file re-exports by `pub use`: name and path.
    exports: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl Files {
    fn read() -> Files {
        let mut files = Files { code: BTreeMap::new(), exports: BTreeMap::new() };
        for (file, text) in sources() {
            let module = module_of(&file);
            let code = without_tests(&code(&text)).to_owned();
            let key: Vec<String> = module.iter().map(|&segment| segment.to_owned()).collect();
            let mut exports = BTreeMap::new();
            for statement in code.split(';').filter_map(|statement| {
                let (visibility, path) = statement.trim_start().split_once("use ")?;
                is_public(visibility).then_some(path)
            }) {
                for path in paths(statement, &module) {
                    exports.insert(path.last().expect("a name").clone(), path);
                }
            }
            files.exports.insert(key.clone(), exports);
            files.code.insert(key, code);
        }
        files
    }

    /// Returns the module whose file defines `path`. A re-export leads to the file behind it.
    fn defines(&self, path: &[String]) -> Option<&Vec<String>> {
        let length = (1..=path.len()).rev().find(|length| self.code.contains_key(&path[..*length]))?;
        let (module, _) = self.code.get_key_value(&path[..length])?;
        match path.get(length).and_then(|name| self.exports[module].get(name)) {
            Some(export) => self.defines(export),
            None => Some(module),
        }
    }

    /// Returns the modules that the file of `module` uses.
    fn used_by(&self, module: &Vec<String>) -> BTreeSet<&Vec<String>> {
        let code = &self.code[module];
        // A `pub use` is no use: a file that uses the name uses the file behind it.
        let own: String = code
            .split_inclusive(';')
            .filter(|statement| !statement.split_once("use ").is_some_and(|(before, _)| is_public(before)))
            .collect();
        let segments: Vec<&str> = module.iter().map(String::as_str).collect();
        let mut used: BTreeSet<_> = paths(&own, &segments).into_iter().collect();
        // `child::item`, where `child` is a module below this one.
        for child in
            self.code.keys().filter(|child| child.split_last().is_some_and(|(_, parent)| parent == module))
        {
            let name = child.last().expect("a name");
            for (at, _) in own.match_indices(&format!("{name}::")) {
                let before = own[..at].chars().next_back();
                if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '.')) {
                    let mut names = BTreeSet::new();
                    expand("self::", &own[at..], &mut names);
                    used.extend(names.iter().map(|name| absolute(name, &segments)));
                }
            }
        }
        used.iter().filter_map(|path| self.defines(path)).filter(|used| *used != module).collect()
    }
}

/// Finds a circle from `module` on, depth first. `open` is the way there, `done` what is in no circle.
fn circle(
    files: &Files,
    module: &Vec<String>,
    open: &mut Vec<Vec<String>>,
    done: &mut BTreeSet<Vec<String>>,
) -> Option<String> {
    if done.contains(module) {
        return None;
    }
    if let Some(start) = open.iter().position(|other| other == module) {
        let names: Vec<String> =
            open[start..].iter().chain([module]).map(|module| module.join("::")).collect();
        return Some(names.join(" -> "));
    }
    open.push(module.clone());
    let found = files.used_by(module).into_iter().find_map(|used| circle(files, used, open, done));
    open.pop();
    done.insert(module.clone());
    found
}

fn rank(part: &str) -> usize {
    LAYERS.iter().position(|layer| *layer == part).unwrap_or_else(|| panic!("{part} is on no layer"))
}

#[test]
fn groups_are_taken_apart() {
    let code = "use crate::{a::{B, c::{D as E, *}}, f};\nlet x = crate::g::h::<u8>(); $crate::no; a::super::no\n\
                use super::{i, j}; use self::k::L;";
    let found: Vec<String> = paths(code, &["x", "y"]).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::B", "a::c::*", "a::c::D", "f", "g::h", "x::i", "x::j", "x::y::k::L"]);
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
        let (code, module) = (code(&text), module_of(&file));
        // Unit tests are modules of their own: of them, paths from the root only.
        let mut used = paths(without_tests(&code), &module);
        used.extend(paths_from(&["crate::"], &code, &module));
        for path in used {
            let Some(used) = path.first() else { continue };
            let (used, path) = (used.as_str(), path.join("::"));
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

/// A reader of a file needs the files that it uses, and never comes back to the first.
#[test]
fn no_files_use_each_other_in_a_circle() {
    let files = Files::read();
    let mut done = BTreeSet::new();
    for (module, code) in &files.code {
        let inner = code.lines().find(|line| line.contains("mod ") && line.ends_with('{'));
        assert!(inner.is_none(), "{}: a module within a file: {inner:?}", module.join("::"));
    }
    let found: Vec<String> =
        files.code.keys().filter_map(|module| circle(&files, module, &mut Vec::new(), &mut done)).collect();
    assert!(found.is_empty(), "files use each other in circles:\n{}", found.join("\n"));
    // The search finds a circle that is there.
    let text = |path: &str, code: &str| (vec![path.to_owned()], code.to_owned());
    let code =
        [text("a", "use crate::b::X;"), text("b", "use super::c;"), text("c", "fn f() { crate::a::g() }")];
    let exports = code.iter().map(|(module, _)| (module.clone(), BTreeMap::new())).collect();
    let files = Files { code: BTreeMap::from(code), exports };
    let found = circle(&files, &vec!["a".to_owned()], &mut Vec::new(), &mut BTreeSet::new());
    assert_eq!(found.as_deref(), Some("a -> b -> c -> a"));
}

#[test]
fn nothing_is_used_from_the_root() {
    for (file, text) in sources() {
        for path in paths(without_tests(&code(&text)), &module_of(&file)) {
            let first = path.first().map_or("", String::as_str);
            let path = path.join("::");
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
        for path in paths(without_tests(&code), &module_of(&file)) {
            let path = path.join("::");
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
            || file.starts_with("formats")
            // Its forms have the names of the native API.
            || file.starts_with("http/admin");
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
    ("authorities.rs", "the name of a protocol"),
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

/// Returns whether this file defines `item` of the type, trait or module `owner`: a function, a public field, or
/// a variant of an enum. A word alone is not enough: a local variable may have the name of a function that is gone.
fn defines(file: &Path, code: &str, owner: &str, item: &str) -> bool {
    let is_word =
        |line: &str, word: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word);
    let function = code.contains(&format!("fn {item}(")) || code.contains(&format!("fn {item}<"));
    if !owner.starts_with(|c: char| c.is_uppercase()) {
        return function && module_of(file).contains(&owner);
    }
    if item.starts_with(|c: char| c.is_uppercase()) {
        return code.contains(&format!("enum {owner}")) && is_word(code, item);
    }
    let field = code.contains(&format!("struct {owner} ")) && code.contains(&format!("pub {item}: "));
    let is_head = |line: &str| {
        ["impl", "trait ", "pub trait ", "pub(crate) trait "].iter().any(|head| line.starts_with(head))
    };
    field || function && code.lines().any(|line| is_head(line) && is_word(line, owner))
}

#[test]
fn a_local_variable_is_no_function() {
    let code = "impl<'a> Visitor<'a> {\nfn follow(&self) {\nlet lead = 1;\n}\n}\n\
                enum Routed {\nApi(u8),\n}\npub struct Endpoint {\npub parse: fn(),\n}\n";
    let rows = [
        ("Visitor", "follow", true),
        ("Visitor", "lead", false),
        ("Other", "follow", false),
        ("Routed", "Api", true),
        ("Routed", "Page", false),
        ("Endpoint", "parse", true),
        ("Endpoint", "reply", false),
        ("host", "follow", true),
        ("route", "follow", false),
    ];
    for (owner, item, expected) in rows {
        assert_eq!(defines(Path::new("http/host.rs"), code, owner, item), expected, "{owner}::{item}");
    }
}

/// The walks of docs/architecture.md go through files and items that exist.
#[test]
fn the_walks_name_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/architecture.md")).expect("the document");
    let files = sources();
    let all: Vec<String> = files.iter().map(|(_, text)| code(text)).collect();
    let words: BTreeSet<&str> =
        all.iter().flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    let (mut named, mut wrong) = (0, Vec::new());
    for name in text.split('`').skip(1).step_by(2) {
        if Path::new(name).extension().is_some_and(|extension| extension == "rs") || name.ends_with('/') {
            named += 1;
            let exists = root.join("src").join(name).exists() || root.join(name).exists();
            if !exists {
                wrong.push(format!("{name}: no such file"));
            }
        } else if let Some((owner, item)) = name.rsplit_once("::") {
            named += 1;
            let owner = owner.rsplit("::").next().unwrap_or(owner);
            if !files.iter().zip(&all).any(|((file, _), code)| defines(file, code, owner, item)) {
                wrong.push(format!("{name}: no `{item}` in `{owner}`"));
            }
        } else if name.chars().all(|c| c.is_lowercase() || c == '_') {
            named += 1;
            if !words.contains(name) {
                wrong.push(format!("{name}: no such word in src"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(named >= 100, "{named} names in the walks");
}
