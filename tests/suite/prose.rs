//! The words of the documents are words: a rename in the code must not reach their sentences, and what they
//! name exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use waypost::agents::classes::ClassField;

use super::readme::documents;
use crate::support::app::TestApp;
use crate::support::https_app::HttpsApp;

/// Names in prose that are spelt like names of the code.
const PROPER_NAMES: [&str; 23] = [
    "CloudFront",
    "CycloneDX",
    "GitHub",
    "GoatCounter",
    "HighLevel",
    "JavaScript",
    "KiB",
    "LinkedIn",
    "MariaDB",
    "MaxMind",
    "MiB",
    "OpenAPI",
    "OpenMetrics",
    "OpenSearch",
    "OpenSSL",
    "PyPI",
    "ShareX",
    "WhatsApp",
    "iMessage",
    "iPad",
    "iPads",
    "iPhone",
    "iPhones",
];

/// Documents for users, in which also code in backticks has no paths of Rust.
const FOR_USERS: [&str; 12] = [
    "README.md",
    "analytics.md",
    "api.md",
    "checks.md",
    "clients.md",
    "commands.md",
    "https.md",
    "links.md",
    "operating.md",
    "privacy.md",
    "troubleshooting.md",
    "webhooks.md",
];

/// The text of a document outside of its blocks of code.
#[derive(Debug, Default, PartialEq, Eq)]
struct Prose {
    /// Without spans of code and targets of links.
    text: Vec<String>,
    /// What is in backticks.
    code: Vec<String>,
}

fn parse(markdown: &str) -> Prose {
    let (mut prose, mut inside) = (Prose::default(), false);
    for line in markdown.lines() {
        if line.starts_with("```") {
            inside = !inside;
            continue;
        }
        if inside {
            continue;
        }
        let mut text = String::new();
        // A span within two backticks may contain single ones.
        for (at, part) in line.split("``").enumerate() {
            let spans =
                part.split('`').enumerate().map(|(inner, span)| (at % 2 == 1 || inner % 2 == 1, span));
            for (is_code, span) in spans {
                if is_code {
                    prose.code.push(span.to_owned());
                    text.push(' ');
                } else {
                    text.push_str(span);
                }
            }
        }
        let mut links = text.split("](");
        let mut without = links.next().unwrap_or("").to_owned();
        for link in links {
            without.push(' ');
            without.push_str(link.split_once(')').map_or("", |(_, behind)| behind));
        }
        prose.text.push(without);
    }
    prose
}

/// Returns the words of `text` that are spelt like a type or a path of Rust.
fn names_of_code(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && !matches!(c, ':' | '/' | '_'));
    words.map(|word| word.trim_matches(':')).filter(|word| is_path(word) || is_camel(word)).collect()
}

fn is_path(word: &str) -> bool {
    word.split("::").filter(|part| part.starts_with(|c: char| c.is_alphabetic())).count() > 1
}

fn is_camel(word: &str) -> bool {
    let capital_follows = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    // A `/` is a URL or a list such as "UTF-8/ASCII".
    !word.contains('/') && word.as_bytes().windows(2).any(capital_follows)
}

#[test]
fn prose_contains_no_names_of_the_code() {
    let mut wrong = Vec::new();
    for (path, markdown) in documents() {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let prose = parse(&markdown);
        for line in &prose.text {
            for word in names_of_code(line).into_iter().filter(|word| !PROPER_NAMES.contains(word)) {
                wrong.push(format!("{name}: {word} in: {line}"));
            }
        }
        if FOR_USERS.contains(&name.as_str()) {
            // The levels of `log_filter` name modules.
            let spans = prose.code.iter().filter(|span| !span.contains("waypost::http="));
            let paths = spans.filter(|span| names_of_code(span).into_iter().any(is_path));
            wrong.extend(paths.map(|span| format!("{name}: `{span}`")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_of_the_code_are_found() {
    let prose = parse("a `b::c` [d](e::f) g\n```\nh::i\n```\nLinkStream `` `j` `` k");
    let text: Vec<&str> = prose.text.iter().flat_map(|line| line.split_whitespace()).collect();
    assert_eq!(text, ["a", "[d", "g", "LinkStream", "k"]);
    assert_eq!(prose.code, ["b::c", " ", "j", " "]);
    assert_eq!(names_of_code("LinkStream through clicks::counter"), ["LinkStream", "clicks::counter"]);
    assert!(names_of_code("Links at https://Example.com/aB, [::1], 5 MB: API").is_empty());
}

/// Each value of the row `sort` in api.md is accepted.
#[test]
fn the_orders_of_lists_are_accepted() {
    let (_, api) = documents().into_iter().find(|(path, _)| path.ends_with("api.md")).expect("api.md");
    let row = api.lines().find(|line| line.starts_with("| `sort` |")).expect("the row of `sort`");
    let orders: Vec<&str> = row.split('`').skip(3).step_by(2).collect();
    assert!(orders.len() >= 4, "{orders:?}");
    let app = TestApp::start();
    let mut admin = app.admin();
    for order in orders {
        let answer = admin.get(&format!("/api/v1/links?sort={order}"));
        assert_eq!(answer.status, 200, "{order}");
    }
}

/// Each part of the long tests that guarantees.md names is one of `tests/soak/run`, and each file exists.
#[test]
fn guarantees_name_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    let (run, guarantees) = (read("tests/soak/run"), read("docs/guarantees.md"));
    let parts: Vec<&str> = run
        .lines()
        .filter_map(|line| line.trim().split_once("parts").map(|(_, list)| list))
        .flat_map(|list| list.split(|c: char| !c.is_alphanumeric()))
        .collect();
    let (mut named, mut wrong) = (0, Vec::new());
    for row in guarantees.lines().filter(|line| line.starts_with("| ")) {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or("");
        for name in cell.split('`').skip(1).step_by(2) {
            named += 1;
            let is_file =
                [format!("tests/suite/{name}"), name.to_owned()].iter().any(|file| root.join(file).exists());
            if !is_file && !parts.contains(&name) {
                wrong.push(format!("{name} in: {row}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(named > 40, "{named} names of tests");
}

/// Each metric has a place in the table of operating.md, and the table names no other.
/// Comments and pages name a decision by its number.
#[test]
fn each_decision_has_a_number_of_its_own() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decisions.md");
    let text = fs::read_to_string(path).expect("the decisions");
    let numbers = text.lines().filter_map(|line| line.split_once(". **")?.0.parse::<u32>().ok());
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = numbers.filter(|number| !seen.insert(*number)).collect();
    assert!(seen.len() > 250 && twice.is_empty(), "{} decisions; twice: {twice:?}", seen.len());
}

#[test]
fn the_table_of_metrics_is_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let operating = fs::read_to_string(path).expect("the document");
    let rows = operating.lines().skip_while(|line| !line.starts_with("| group | metrics |")).skip(2);
    let rows: String = rows.take_while(|line| line.starts_with("| ")).collect();
    // A name ends before its labels.
    let names = rows.split('`').skip(1).step_by(2).map(|name| name.split('{').next().unwrap_or(""));
    let is_name = |name: &&str| name.contains('_') || ["certificates", "counters"].contains(name);
    let whole = |name: &str| match name.strip_prefix("process_") {
        Some(_) => name.to_owned(),
        None => format!("waypost_{name}"),
    };
    let named: BTreeSet<_> = names.filter(is_name).map(whole).collect();
    // With all parts.
    let metrics = HttpsApp::start().app.admin().get("/metrics").text();
    let served = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let served: BTreeSet<_> = served.map(str::to_owned).collect();
    assert!(served.len() > 40, "{served:?}");
    let differ: Vec<_> = named.symmetric_difference(&served).collect();
    assert!(differ.is_empty(), "in the table or in /metrics, and not in both: {differ:?}");
}

/// Each setting of the example configuration has a row in operating.md, which promises all settings.
/// A rule takes these names, which no list of a vendor has.
#[test]
fn every_name_of_a_class_is_in_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/links.md");
    let page = fs::read_to_string(path).expect("the page of links");
    for (field, name) in ClassField::ALL.into_iter().zip(["device", "os", "browser"]) {
        let names: Vec<_> = field.names().iter().map(|name| format!("`{name}`")).collect();
        let row = format!("| `{name}` | {} |\n", names.join(", "));
        assert!(page.contains(&row), "docs/links.md lacks the row:\n{row}");
    }
}

#[test]
fn every_setting_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    let (example, operating) = (read("config.example.toml"), read("docs/operating.md"));
    let (mut section, mut settings) = (String::new(), Vec::new());
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            settings.push(format!("`{section}{key}`"));
        }
    }
    let missing: Vec<_> = settings.iter().filter(|setting| !operating.contains(*setting)).collect();
    assert!(missing.is_empty() && settings.len() > 20, "not in operating.md: {missing:?} of {settings:?}");
}

/// Returns the literals of sentences in all functions with this start, and in tables that begin with it.
fn sentences<'a>(source: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let bodies = source.split(start).skip(1).map(|rest| rest.split(end).next().unwrap_or(rest));
    let literals = bodies.flat_map(|body| body.split('"').skip(1).step_by(2));
    literals.filter(|text| text.contains(' ') && !text.contains('{')).collect()
}

/// An operator looks up what `/healthz` says.
#[test]
fn every_reason_of_healthz_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect(name);
    let (ops, log, page) =
        (read("src/http/api/ops.rs"), read("src/log/local.rs"), read("docs/troubleshooting.md"));
    let mut reasons = sentences(&ops, "fn problems(", "\n    }\n");
    reasons.extend(sentences(&ops, "fn problem(", "\n    }\n"));
    reasons.extend(sentences(&log, "let problems = [", "];"));
    assert!(reasons.len() >= 15, "{reasons:?}");
    let missing: Vec<_> = reasons.into_iter().filter(|reason| !page.contains(reason)).collect();
    assert!(missing.is_empty(), "docs/troubleshooting.md lacks {missing:#?}");
}

/// `setup` and the package install no page of `docs/`, so a message that names one leads nowhere.
#[test]
fn no_message_names_a_page_that_is_not_installed() {
    for (path, text) in super::layers::sources() {
        let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let naming: Vec<_> = code
            .filter(|line| line.contains("docs/") && line.contains(".md") && !line.contains("include_str!"))
            .filter(|line| !line.contains(" // "))
            .collect();
        assert!(naming.is_empty(), "{}: {naming:#?}", path.display());
    }
}
