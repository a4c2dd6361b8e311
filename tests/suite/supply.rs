//! What the program is built from, and the settings of its build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn table(path: &str) -> Table {
    text(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the value at a path such as `a.b.c`.
fn at<'t>(table: &'t Table, path: &str) -> Option<&'t Value> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let found = table.get(first)?;
    if rest.is_empty() { Some(found) } else { at(found.as_table()?, rest) }
}

/// Returns the names and versions in a lock file.
fn locked(path: &str) -> BTreeSet<(String, String)> {
    let lock = table(path);
    let packages = lock["package"].as_array().expect("packages");
    let word = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
    for package in packages {
        // A package without a source is this one.
        let source = word(package, "source").unwrap_or_default();
        let is_registry = source.is_empty() || source.starts_with("registry+https://github.com/rust-lang/");
        assert!(is_registry, "{path}: {package} comes from elsewhere");
    }
    let pair = |package| (word(package, "name").expect("a name"), word(package, "version").expect("one"));
    packages.iter().map(pair).collect()
}

/// Finds the source files below a folder.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.clone(), fs::read_to_string(path).expect("a source")));
        }
    }
}

#[test]
fn t114_what_the_build_forbids_and_checks() {
    let manifest = table("Cargo.toml");
    let rows = [
        ("lints.rust.unsafe_code", Value::from("forbid")),
        ("profile.release.overflow-checks", Value::from(true)),
        ("profile.release.panic", Value::from("unwind")),
    ];
    for (path, want) in rows {
        assert_eq!(at(&manifest, path), Some(&want), "{path}");
    }
    // A forbidden lint cannot be allowed again, except in files that the manifest does not cover.
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    assert!(found.len() > 100, "{} files", found.len());
    for (file, text) in found {
        assert!(!text.contains("unsafe_code"), "{} speaks of unsafe code", file.display());
    }
    for line in text(".ci/run").lines().filter(|line| line.starts_with("run cargo")) {
        let builds = ["clippy", "doc", "test", "bench"].iter().any(|word| line.contains(word));
        assert!(!builds || line.contains("--locked"), "{line}");
    }
}

#[test]
fn t16_no_decoder_is_linked() {
    let locked = locked("Cargo.lock");
    assert!(locked.len() > 100, "{} packages", locked.len());
    for name in ["flate2", "miniz_oxide", "brotli", "brotli-decompressor", "zstd", "async-compression"] {
        assert!(!locked.iter().any(|(known, _)| known == name), "{name} is in Cargo.lock");
    }
}

#[test]
fn t113_every_dependency_and_every_exception_has_its_reason() {
    let manifest = text("Cargo.toml");
    let mut of_dependencies = false;
    let mut above = "";
    let mut seen = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            of_dependencies = matches!(line, "[dependencies]" | "[dev-dependencies]");
        } else if of_dependencies && !line.is_empty() && !line.starts_with('#') {
            assert!(above.starts_with("# "), "{line}: why?");
            seen += 1;
        }
        above = line;
    }
    assert!(seen > 30, "{seen} dependencies");
    let deny = table("deny.toml");
    for (list, at_least) in [("advisories.ignore", 3), ("bans.skip", 1)] {
        let exceptions = at(&deny, list).and_then(Value::as_array).expect("a list");
        assert!(exceptions.len() >= at_least, "{list}");
        for exception in exceptions {
            let reason = exception.get("reason").and_then(Value::as_str).unwrap_or_default();
            assert!(reason.len() >= 4, "{list}: {exception} needs a reason");
        }
    }
    // Each ignored advisory has a date, since others may be found in the same crate later.
    let text = text("deny.toml");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("{ id = ")) {
        let first = lines[..at].iter().rev().take_while(|line| line.starts_with('#')).last().unwrap_or(&"");
        let date = first.get(2..12).unwrap_or_default();
        let is_date = date.starts_with("20") && date.matches('-').count() == 2;
        assert!(is_date, "no date above {line}");
    }
}

/// Fuzzers that build other versions of the dependencies prove nothing about the shipped ones.
#[test]
fn t115_the_fuzzers_try_what_is_shipped() {
    let shipped = locked("Cargo.lock");
    let own = ["waypost-fuzz", "libfuzzer-sys", "arbitrary", "jobserver"];
    let fuzzed = locked("fuzz/Cargo.lock");
    for (name, version) in &fuzzed {
        let is_known = own.contains(&name.as_str()) || shipped.contains(&(name.clone(), version.clone()));
        assert!(
            is_known,
            "fuzz/Cargo.lock has {name} {version}: copy Cargo.lock over it, see fuzz/Cargo.toml"
        );
    }
    let manifest = table("Cargo.toml");
    for name in at(&manifest, "dependencies").and_then(Value::as_table).expect("a table").keys() {
        let is_there = fuzzed.iter().any(|(known, _)| known == name);
        assert!(is_there, "fuzz/Cargo.lock lacks {name}: copy Cargo.lock over it, see fuzz/Cargo.toml");
    }
}

/// Types that contain a secret, or something from which one could be computed.
const SECRETS: [&str; 8] = [
    "AdminKey",
    "ApiKey",
    "ContactKey",
    "EnvironmentKey",
    "Password",
    "PasswordHash",
    "Secret",
    "SecretHash",
];

/// A derived comparison ends at the first different byte, and a derived `Debug` prints everything.
#[test]
fn t71_secrets_are_not_compared_by_derived_code() {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    let mut seen = BTreeSet::new();
    for (file, text) in &found {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = SECRETS.iter().find(|name| {
                let rest = line.split_once("struct ").map_or("", |(_, rest)| rest);
                rest.strip_prefix(**name).is_some_and(|rest| rest.starts_with(['(', ' ']))
            }) else {
                continue;
            };
            seen.insert(*name);
            let derived: String = lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with(['#', '/']))
                // Comments may name what is not derived.
                .filter(|line| line.starts_with('#'))
                .copied()
                .collect();
            assert!(!derived.contains("PartialEq"), "{}: {name} derives PartialEq", file.display());
            // The record of an API key contains a hash that does not print.
            let prints = derived.contains("Debug") && *name != "ApiKey";
            assert!(!prints, "{}: {name} derives Debug", file.display());
            let by_hand = text.split(&format!("impl PartialEq for {name} ")).nth(1);
            assert!(by_hand.is_none_or(|code| code[..200].contains("ct_eq(")), "{}: {name}", file.display());
        }
    }
    assert_eq!(seen, SECRETS.into_iter().collect(), "the types that this looks for");
}
