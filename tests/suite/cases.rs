//! The catalogue of hostile and unlucky cases, and of the faults that attacks found. The name of a test
//! begins with the numbers of its cases: `cargo test t24_` runs the tests of case 24.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::layers::sources_in;

/// HTTP/1 framing (1 to 22), slow clients (23 to 33), HTTP/2 (34 to 43), redirects, URLs and codes (44 to
/// 57), pages (58 to 68), APIs and their keys (69 to 83), webhooks (84 to 91), storage, crashes, time and
/// operations (92 to 112), supply chain and privacy (113 to 120).
const CASES: &[(&str, &str)] = &[
    ("t01", "Content-Length and Transfer-Encoding in one request"),
    ("t02", "lengths that are doubled, signed, hexadecimal or too large"),
    ("t03", "transfer encodings and chunk sizes that two servers read differently"),
    ("t04", "a request without Host"),
    ("t05", "two Host headers"),
    ("t06", "a Host that is no host name"),
    ("t07", "an absolute target with another host than the Host header"),
    ("t08", "a foreign Host, which no response may repeat"),
    ("t09", "malformed header lines: white space before the colon, folding, control characters"),
    ("t10", "targets beyond the limit of length"),
    ("t11", "more headers than the limit, and a header beyond the limit of length"),
    ("t12", "unknown, unsupported and overlong methods"),
    ("t13", "targets with invalid bytes and escapes"),
    ("t14", "path traversal: no file is opened for a visitor"),
    ("t15", "bodies beyond the limit, announced or sent"),
    ("t16", "compressed bodies, which may expand without bound"),
    ("t17", "deeply nested JSON"),
    ("t18", "JSON that parsers read differently: equal keys, lone surrogates, trailing text"),
    ("t19", "a thousand pipelined requests, and a client that reads late"),
    ("t20", "Expect: 100-continue before a body beyond the limit"),
    ("t21", "other protocols on the port: HTTP/0.9, HTTP/2, TLS"),
    ("t22", "half-closed and reset connections"),
    ("t23", "an unfinished head, and an idle connection"),
    ("t24", "a head that arrives byte by byte"),
    ("t25", "a body that stalls"),
    ("t26", "10,000 slow connections beside normal visitors"),
    ("t27", "slow bodies and slow readers"),
    ("t28", "the memory of a hundred unfinished heads"),
    ("t29", "no file descriptors left"),
    ("t30", "more connections than the limit"),
    ("t31", "many connections from one address"),
    ("t32", "slow and malformed TLS handshakes"),
    ("t33", "empty lines before the request line, byte by byte"),
    ("t34", "HTTP/2: streams that are opened and reset (rapid reset)"),
    ("t35", "HTTP/2: requests that make the server reset its streams (MadeYouReset)"),
    ("t36", "HTTP/2: floods of CONTINUATION frames"),
    ("t37", "HTTP/2: headers that expand without bound (HPACK bomb)"),
    ("t38", "HTTP/2: floods of empty DATA frames"),
    ("t39", "HTTP/2: floods of PING and SETTINGS frames"),
    ("t40", "HTTP/2: malformed headers and contradicting hosts"),
    ("t41", "HTTP/2: more open streams than the limit"),
    ("t42", "HTTP/2: connections that are idle after their preface"),
    ("t43", "HTTP/2 without TLS, by prior knowledge"),
    ("t44", "destinations that are no web address: javascript:, data:, relative URLs"),
    ("t45", "line breaks and control characters in a destination"),
    ("t46", "destinations with characters beyond ASCII"),
    ("t47", "destinations with user names, with backslashes, and beyond the limit of length"),
    ("t48", "links that lead back to themselves, directly or through others"),
    ("t49", "paths that could become a foreign host (open redirect)"),
    ("t50", "queries and paths of visitors, which must not change the host of the destination"),
    ("t51", "edits and deletions, visible to the next click, also in browsers"),
    ("t52", "closed links, which keep their destination secret"),
    ("t53", "which visits count as clicks"),
    ("t54", "reserved, invisible and look-alike short codes, and the spellings of one code"),
    ("t55", "generated codes: unique, evenly distributed, without offensive words"),
    ("t56", "international host names, stored and shown in punycode"),
    ("t57", "many clients that create one code at the same moment"),
    ("t58", "HTML and scripts in titles, descriptions and images"),
    ("t59", "HTML and scripts in destinations"),
    ("t60", "scripts in ids of pixels and tags"),
    ("t61", "security headers of every page"),
    ("t62", "cloaked pages: the frame, its policy, and the checks before it"),
    ("t63", "forms of the password page: cross-site, of a wrong type, without or with a too long password"),
    ("t64", "the right password: the redirect, and the cookie that remembers it"),
    ("t65", "the limit of guesses of a password"),
    ("t66", "a protected link reveals nothing, and expiry is checked before the password"),
    ("t67", "hostile Referer and User-Agent headers in what is recorded of clicks"),
    ("t68", "a 404 page does not repeat its path"),
    ("t69", "missing, malformed, doubled, wrong and revoked API keys"),
    ("t70", "API keys are stored as hashes only"),
    ("t71", "secrets are compared in constant time"),
    ("t72", "fields that clients must not set"),
    ("t73", "numbers at and beyond their bounds"),
    ("t74", "dates that do not exist or are out of range"),
    ("t75", "lists: bounds of limits, pages and cursors"),
    ("t76", "bulk creation: its bounds, results by row, all or nothing"),
    ("t77", "the program against its own OpenAPI description"),
    ("t78", "pages of other sites cannot read the API (CORS)"),
    ("t79", "forged X-Forwarded-For headers"),
    ("t80", "the memory of limiters under a million forged addresses"),
    ("t81", "scans for short codes"),
    ("t82", "line breaks and control characters from strangers in the log"),
    ("t83", "metrics and health: the right to read them, and the number of series"),
    ("t84", "webhook URLs of private addresses, in every spelling"),
    ("t85", "host names that resolve to private addresses"),
    ("t86", "webhook receivers that redirect to a metadata service"),
    ("t87", "webhook receivers that stall, flood or have a wrong certificate"),
    ("t88", "webhook receivers that always fail: retries, bounds of the queue, back-off"),
    ("t89", "invalid lists of webhook URLs"),
    ("t90", "webhook requests: signed, and without data that identifies the visitor"),
    ("t91", "proxies that environment variables name are not used"),
    ("t92", "kill -9 while links are created"),
    ("t93", "a link is on disk before its 201"),
    ("t94", "a power cut at any sync"),
    ("t95", "the n-th write or sync fails"),
    ("t96", "a full disk while the server runs"),
    ("t97", "a data folder that is missing, read-only or without free inodes"),
    ("t98", "damaged, cut, foreign and newer files"),
    ("t99", "a second process on one data folder"),
    ("t100", "SIGTERM with requests under way"),
    ("t101", "a second SIGTERM, SIGHUP, and closed standard streams"),
    ("t102", "clicks are counted exactly across a stop"),
    ("t103", "a clock that jumps"),
    ("t104", "an invalid configuration, and a port in use"),
    ("t105", "secrets in logs, errors and metrics"),
    ("t106", "a backup during writes"),
    ("t107", "random operations, compared with a map"),
    ("t108", "click counts while they are drained, edited and evicted"),
    ("t109", "the memory of a million unknown codes"),
    ("t110", "operation within 64 MB of memory"),
    ("t111", "twice the load that fits"),
    ("t112", "panics in a handler"),
    ("t113", "dependencies: advisories, licences, sources, and the reason of each exception"),
    ("t114", "what the build forbids and checks"),
    ("t115", "fuzz targets for every parser"),
    ("t116", "mutation tests of rules, limiters, address filters and keys"),
    ("t117", "addresses of visitors are neither stored nor sent"),
    ("t118", "Sec-GPC and DNT, and links with pixels"),
    ("t119", "deleted data is gone"),
    ("t120", "responses reveal nothing about the server"),
];

/// Cases, or parts of them, that need no test.
const NOT_APPLICABLE: &[(&str, &str)] =
    &[("t67", "CSV cells: clicks are exported as JSON only"), ("t119", "workspaces: no dialect deletes one")];

/// Faults that attacks on the program found. The numbers in between belong to attacks that failed.
const FOUND_BY_ATTACKS: &[(&str, &str)] = &[
    ("n01", "responses that their clients do not read take memory without bound"),
    ("n02", "hashing leaves 19 MiB in the allocator's arena of each thread"),
    ("n03", "a request that began before its key was revoked is still executed"),
    ("n04", "one tenant holds all slots of the API"),
    ("n05", "work continues after its client has left"),
    ("n06", "one bulk holds the lock of all writes"),
    ("n07", "metrics are outside the rate limits and show all tenants"),
    ("n08", "loops by expired URLs, bulks, placeholders, imports and new domains"),
    ("n09", "a kill between two renames leaves no log, and the next start creates an empty one"),
    ("n10", "other users of the machine can read the data files"),
    ("n11", "messages about the configuration contain secrets"),
    ("n12", "a second process starts after the lock file was removed"),
    ("n13", "lists that count links bypass the queue of scans"),
    ("n14", "every edit copies the whole directory"),
    ("n15", "one link fills the queue of webhooks"),
    ("n16", "a stranger locks a link with a password"),
    ("n18", "searches have no shares and are not cancelled"),
    ("n20", "every segment of the log keeps a file open"),
    ("n22", "the hash of an import sets its own cost"),
    ("n25", "two companies have one relationship number"),
    ("n29b", "a start that fails on a full disk prints no reason"),
    ("n30", "a part of a backup passes for a whole one"),
    ("n32", "the table of another log is discarded without an error line"),
    ("n32b", "a pipe with the name of a segment blocks the start"),
    ("n33", "a log that was restored by hand is discarded for a newer table"),
    ("n34", "a company's key cannot create the company's first workspace"),
    ("n39b", "refused threads and misspelt log levels are no errors of the start"),
    ("n45", "an export keeps the permissions of the file that it replaces"),
    ("n47", "a tenant multiplies its rate limit by its keys"),
    ("n48", "clicked links take memory without bound"),
    ("n61", "domains and custom values take memory without bound"),
    ("n62", "a list of snapshots is longer than the memory that it was admitted for"),
    ("n63", "expired keys are not counted, and never removed"),
];

/// Returns the numbers at the beginning of a test's name.
fn numbers(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').take_while(|word| is_number(word))
}

/// Whether a word is the number of a case (`t24`) or of a fault (`n29b`).
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['t', 'n']).map_or("", |rest| rest.trim_end_matches('b'));
    matches!(digits.len(), 2 | 3) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the tests of each number: functions of the sources, and scripts of `tests/soak` whose comments
/// name the number.
fn proofs() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in ["src", "tests"].into_iter().flat_map(sources_in) {
        for name in text.split("fn ").skip(1).filter_map(|rest| Some(rest.split_once('(')?.0)) {
            for number in numbers(name) {
                found.entry(number.to_owned()).or_default().push(format!("{}: {name}", file.display()));
            }
        }
    }
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/soak")).expect("scripts") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a text");
        let comments = text.lines().filter(|line| text.starts_with("#!") && line.starts_with('#'));
        for word in comments.flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric())) {
            if word.starts_with('T') && is_number(&word.to_lowercase()) {
                found.entry(word.to_lowercase()).or_default().push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn each_case_has_a_test() {
    let proofs = proofs();
    let missing: Vec<_> = CASES
        .iter()
        .chain(FOUND_BY_ATTACKS)
        .filter(|(number, _)| !proofs.contains_key(*number))
        .filter(|(number, _)| !NOT_APPLICABLE.iter().any(|(other, _)| other == number))
        .collect();
    assert!(missing.is_empty(), "no test begins its name with the number of {missing:?}");
}

/// A misspelt number would leave a test out of its case.
#[test]
fn each_number_has_a_title() {
    let titles: BTreeSet<_> = CASES.iter().chain(FOUND_BY_ATTACKS).map(|(number, _)| *number).collect();
    let unknown: Vec<_> = proofs().into_iter().filter(|(number, _)| !titles.contains(&**number)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(NOT_APPLICABLE.iter().all(|(number, _)| titles.contains(number)));
}

#[test]
fn cases_are_listed_in_order_and_without_gaps() {
    let listed: Vec<_> = CASES.iter().map(|(number, _)| (*number).to_owned()).collect();
    assert_eq!(listed, (1..=120).map(|number| format!("t{number:02}")).collect::<Vec<_>>());
}

/// Numbers belong to names of tests, where the test above checks them; comments say what is tested.
#[test]
fn no_comment_is_a_number() {
    let sources = ["src", "tests"].into_iter().flat_map(sources_in);
    let bare: Vec<_> = sources
        .flat_map(|(file, text)| {
            let comments = text.lines().filter_map(|line| Some(line.split_once("//")?.1.to_owned()));
            comments.map(move |comment| (file.clone(), comment)).collect::<Vec<_>>()
        })
        .filter(|(_, comment)| {
            let words = comment.split(|letter: char| !letter.is_alphanumeric());
            words.filter(|word| word.starts_with(['T', 'N'])).any(|word| is_number(&word.to_lowercase()))
        })
        .collect();
    assert!(bare.is_empty(), "{bare:?}");
}
