//! The voice of the comments (docs/style.md), measured: how often words are used in the comments of `src`, per
//! 10,000 words and in each file, and how many names are used for two things.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::layers::{sources, sources_in};

/// Words of the field that must be frequent, with the least number per 10,000 comment words.
const WANTED: [(&[&str], f64); 1] = [(&["returns"], 30.0)];

/// Words that must be rare, with the largest number per 10,000 comment words: they make persons of things, or
/// stand for a noun that the sentence should name.
const RARE: [(&[&str], f64); 5] = [
    (&["told", "tells", "tell", "said", "says", "say"], 5.0),
    (&["whoever", "whom", "nobody", "somebody"], 3.0),
    (&["hears", "heard", "hear", "listens"], 1.0),
    (&["anew", "meanwhile", "hitherto"], 1.0),
    (&["stands", "stand", "standing"], 3.0),
];

/// Most of the rare words in one file. The average of all files would hide a file in another voice.
const RARE_IN_A_FILE: usize = 3;

/// Files in other languages whose comments follow the same rules.
const SCRIPTS: [&str; 14] = [
    ".ci/deb/postinst",
    ".ci/deb/postrm",
    ".ci/deb/prerm",
    ".ci/deny",
    ".ci/package",
    ".ci/run",
    "Cargo.toml",
    "deny.toml",
    "tests/soak/fuzz",
    "tests/soak/links",
    "tests/soak/mutants",
    "tests/soak/package",
    "tests/soak/run",
    "tests/soak/schemathesis",
];

/// Most type names that two types have.
const TWINS_MAX: usize = 9;

/// Least comments within functions per line of code.
const REASONS_MIN: f64 = 0.05;

/// Returns the words of a comment line in lower case, without what is in backticks: names of the code.
fn words(comment: &str) -> impl Iterator<Item = String> {
    comment
        .split('`')
        .step_by(2)
        .flat_map(|text| text.split(|c: char| !c.is_alphabetic() && c != '\''))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Returns the text of a comment line, without its slashes.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ["///", "//!", "//", "# "].iter().find_map(|slashes| line.strip_prefix(slashes))
}

#[test]
fn comments_speak_the_language_of_the_field() {
    let (mut all, mut counts) = (0_u32, BTreeMap::<String, u32>::new());
    for (_, text) in sources() {
        for word in text.lines().filter_map(comment).flat_map(words) {
            all += 1;
            *counts.entry(word).or_default() += 1;
        }
    }
    let rate = |words: &[&str]| {
        let count: u32 = words.iter().filter_map(|word| counts.get(*word)).sum();
        f64::from(count) * 10_000.0 / f64::from(all)
    };
    let mut wrong = Vec::new();
    for (words, least) in WANTED {
        let found = rate(words);
        if found < least {
            wrong.push(format!("{words:?}: {found:.1} of 10,000 words, wanted at least {least}"));
        }
    }
    for (words, most) in RARE {
        let found = rate(words);
        if found > most {
            wrong.push(format!("{words:?}: {found:.1} of 10,000 words, wanted at most {most}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_has_a_voice_of_its_own() {
    let rare: Vec<&str> = RARE.iter().flat_map(|(words, _)| words.iter().copied()).collect();
    let mut wrong = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = |name: &&str| (PathBuf::from(name), fs::read_to_string(root.join(name)).expect("a file"));
    let files =
        ["src", "tests", "benches"].into_iter().flat_map(sources_in).chain(SCRIPTS.iter().map(script));
    for (file, text) in files {
        let words = text.lines().filter_map(comment).flat_map(words);
        let found: Vec<String> = words.filter(|word| rare.contains(&word.as_str())).collect();
        if found.len() > RARE_IN_A_FILE {
            wrong.push(format!("{}: {found:?}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "more than {RARE_IN_A_FILE} rare words:\n{}", wrong.join("\n"));
}

#[test]
fn reasons_stand_at_the_line_they_explain() {
    let (mut reasons, mut code) = (0_u32, 0_u32);
    // A screen of the dashboard is words for people, with a line of code for each, and has few reasons.
    for (_, text) in sources().into_iter().filter(|(file, _)| !file.starts_with("http/admin/screens")) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line.starts_with("// ") {
                reasons += 1;
            } else if !line.starts_with("//") {
                code += 1;
            }
        }
    }
    let rate = f64::from(reasons) / f64::from(code);
    assert!(rate >= REASONS_MIN, "{rate:.4} lines of reasons a line of code, wanted at least {REASONS_MIN}");
}

#[test]
fn a_type_name_is_used_once() {
    let mut defined = BTreeMap::<String, Vec<String>>::new();
    for (file, text) in sources() {
        // Types of unit tests may be called like others.
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for line in code.lines() {
            let item = line.trim_start_matches("pub").trim_start();
            let item =
                if item.starts_with('(') { item.split_once(')').map_or("", |(_, item)| item) } else { item };
            let mut words = item.split_whitespace();
            let is_type = matches!(words.next(), Some("struct" | "enum" | "trait" | "type"));
            let name = words.next().unwrap_or("").split(|c: char| !c.is_alphanumeric() && c != '_').next();
            // Each handle has a `Shared` behind it, each part its `Settings`.
            if let Some(name) = name
                && is_type
                && line.starts_with(|c: char| !c.is_whitespace())
                && !matches!(name, "Shared" | "Settings" | "Error")
            {
                defined.entry(name.to_owned()).or_default().push(file.display().to_string());
            }
        }
    }
    let twins: Vec<_> = defined.into_iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(twins.len() <= TWINS_MAX, "{} names have two meanings: {twins:#?}", twins.len());
}
