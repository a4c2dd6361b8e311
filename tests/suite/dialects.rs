//! Every transcript in `tests/suite/dialects/<vendor>/*.http`: the examples of a vendor's documentation, sent
//! as documented. A new file there is a new test. `support::transcript` describes the format.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::app::{KEY, TestApp};
use crate::support::http::{Client, text};
use crate::support::process::{PATIENCE, poll};
use crate::support::transcript::{self, Example, Exchange, Known};

/// Creates two companies with a workspace and keys each, and returns the values for the transcripts. The ids
/// are those of the vendors' examples.
fn places(admin: &mut Client) -> Known {
    let mut known = Known::from([("key".to_owned(), KEY.to_owned())]);
    for (which, company, workspace) in [
        ("", "5DP4iH6HLkQsiKESj6rh", "ve9EPM428h8vShlRW1KT"),
        ("other", "otherCompany00000001", "otherLocation0000001"),
    ] {
        let mut make = |path: &str, body: &Value| admin.post(path, body).expect(201, path);
        make("/api/v1/companies", &json!({"name": "Agency", "id": company}));
        make("/api/v1/workspaces", &json!({"name": "Location", "id": workspace, "companyId": company}));
        let scopes = ["links.readonly", "links.write", "snapshots.readonly", "snapshots.write"];
        let mut secret = |reach: &str, id: &str| {
            let made = make("/api/v1/keys", &json!({"name": "n", "scopes": scopes, reach: id}));
            text(&made["key"], "secret").to_owned()
        };
        let keys =
            [("token", secret("workspaceId", workspace)), ("companyToken", secret("companyId", company))];
        let ids = [("locationId", workspace.to_owned()), ("companyId", company.to_owned())];
        for (name, value) in keys.into_iter().chain(ids) {
            let name = if which.is_empty() { name.to_owned() } else { capitalised(which, name) };
            known.insert(name, value);
        }
    }
    known
}

/// Returns `otherToken` for `other` and `token`.
fn capitalised(first: &str, second: &str) -> String {
    format!("{first}{}{}", second[..1].to_ascii_uppercase(), &second[1..])
}

/// Runs every transcript. Returns each exchange with its example, in the order of the files.
pub(super) fn run_all() -> Vec<(Exchange, Example)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/dialects");
    let mut shown = Vec::new();
    for path in within(&root).iter().flat_map(|vendor| within(vendor)) {
        let text = fs::read_to_string(&path).expect("a transcript");
        let exchanges = transcript::parse(&path.display().to_string(), &text);
        assert!(!exchanges.is_empty(), "{}: no exchange", path.display());
        let app = TestApp::start_with(|config| {
            // Rules about countries need a source of them.
            if path.file_name().is_some_and(|name| name == "rules.http") {
                config.clicks.country_header = Some("CF-IPCountry".to_owned());
            }
        });
        let mut known = places(&mut app.admin());
        let mut client = app.visitor();
        let mut visits = 0;
        for exchange in exchanges {
            let example = exchange.run(&mut client, &mut known);
            if exchange.status == 302 {
                visits += 1;
                wait_for_details(&app, visits);
            }
            shown.push((exchange, example));
        }
    }
    shown
}

/// Waits until a question about clicks finds this number of visits. Their details are stored with the next drain.
fn wait_for_details(app: &TestApp, visits: u32) {
    let core = app.app().core();
    app.wait(core.click_log().flush()).expect("the clicks are written");
    let store = &core.analytics().expect("details are kept by default").store;
    poll("the details of a visit", PATIENCE, || {
        let found: u32 = store.view().open.cells.iter().map(|cell| cell.counts.clicks).sum();
        (found >= visits).then_some(())
    });
}

/// Returns the entries of a folder, by name.
fn within(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_transcript_gets_its_responses() {
    assert!(!run_all().is_empty(), "no transcripts");
}
