//! Every transcript in `tests/suite/dialects/<vendor>/*.http`: what a vendor's pages show, sent as
//! they show it. A new file there is a new test. The form of the files: `support::transcript`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{KEY, TestApp};
use crate::support::http::{Client, text};
use crate::support::transcript::{self, Known};

/// What each file may name: two companies with a workspace each, and their keys. The ids are the
/// ones that the vendors' examples have.
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

/// `otherToken`.
fn capitalised(first: &str, second: &str) -> String {
    format!("{first}{}{}", second[..1].to_ascii_uppercase(), &second[1..])
}

#[test]
fn every_transcript_is_answered_as_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/dialects");
    let mut files = 0;
    for vendor in fs::read_dir(root).expect("the vendors") {
        for file in fs::read_dir(vendor.expect("a folder").path()).expect("a vendor's folder") {
            let path = file.expect("a file").path();
            let text = fs::read_to_string(&path).expect("a transcript");
            let exchanges = transcript::parse(&path.display().to_string(), &text);
            assert!(!exchanges.is_empty(), "{}: no exchange", path.display());
            let app = TestApp::start();
            let mut known = places(&mut app.admin());
            let mut client = app.visitor();
            for exchange in &exchanges {
                exchange.run(&mut client, &mut known);
            }
            files += 1;
        }
    }
    assert!(files > 0, "no transcripts");
}
