//! Data folders of earlier versions open with the same content. `tests/golden` contains the folders, with the
//! responses of their own version. `tests/golden/make` creates them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::http::Client;
use crate::support::process::{Plan, Process};

/// The admin key of `tests/golden/make`.
const KEY: &str = "golden-key-0123456789abcdef";

/// The commits of the versions whose folders are kept.
const VERSIONS: [&str; 2] = ["ae01dad", "22f5d32"];

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// Returns the lines of an export, by domain and code.
fn lines(path: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(path).expect("an export");
    let line = |line: &str| -> (String, Value) {
        let line: Value = serde_json::from_str(line).expect("JSON");
        (format!("{}/{}", line["domain"], line["shortCode"]), line)
    };
    text.lines().map(line).collect()
}

fn plan(data: &Path) -> Plan {
    // Entries of histories are kept for as long as the folders are.
    Plan::on(data)
        .env("WAYPOST_ADMIN_KEY", KEY)
        .env("WAYPOST_PUBLIC_URL", "http://localhost:8080")
        .env("WAYPOST_HISTORY__MAX_AGE", "3650d")
}

fn admin(server: &Process) -> Client {
    server.visitor().with_key(KEY)
}

#[test]
fn data_folders_of_earlier_versions_open() {
    for version in VERSIONS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{version}.tar.gz"));
        let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
        assert!(unpacked.expect("tar runs").success(), "{version}");
        for state in ["stopped", "killed"] {
            check(&folder.path().join(state), version, &format!("{version} {state}"));
        }
    }
}

/// Removes the fields that an earlier version did not have, and that have no value. Links had no QR codes.
fn remove_added(now: &mut Value, before: &Value) {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => {
            now.retain(|name, value| {
                // Clicks of earlier versions had details, so that statistics are on.
                let is_empty = matches!(value, Value::Null | Value::Bool(false))
                    || value.as_array().is_some_and(Vec::is_empty)
                    || (name == "statistics" && *value == true)
                    // The days of earlier versions were those of UTC.
                    || (name == "timezone" && *value == "UTC");
                before.contains_key(name) || !is_empty
            });
            for (name, value) in now {
                if name == "qrCode" && before.get(name).is_some_and(Value::is_null) {
                    assert!(value.as_str().is_some_and(|url| url.ends_with("/qr")), "{value}");
                    *value = Value::Null;
                }
                before.get(name).into_iter().for_each(|before| remove_added(value, before));
            }
        }
        (Value::Array(now), Value::Array(before)) => {
            now.iter_mut().zip(before).for_each(|(now, before)| remove_added(now, before));
        }
        _ => {}
    }
}

/// Removes what the age of the folder decides.
fn remove_recent(shown: &mut Value) {
    match shown {
        Value::Object(members) => {
            members.retain(|name, _| name != "clicks30d" && name != "lastClickAt");
            members.values_mut().for_each(remove_recent);
        }
        Value::Array(all) => all.iter_mut().for_each(remove_recent),
        _ => {}
    }
}

fn check(folder: &Path, version: &str, row: &str) {
    let data = folder.join("data");
    // Twice, since the first start may upgrade the folder.
    for start in ["first", "second"] {
        let row = format!("{row}, {start} start");
        let server = plan(&data).start();
        let mut client = admin(&server);
        for (file, path) in [
            ("links.json", "/api/v1/links?limit=100"),
            ("tags.json", "/api/v1/tags"),
            ("domains.json", "/api/v1/domains"),
            ("workspaces.json", "/api/v1/workspaces"),
            ("snapshots.json", "/api/v1/snapshots"),
            // Not in folders of versions without them.
            ("ruled.json", "/api/v1/links/by-code/ruled?domain=go.example.com"),
            ("history.json", "/api/v1/links/by-code/filled/history?workspaceId=other"),
            ("audit.json", "/api/v1/audit?limit=100"),
        ] {
            let file = folder.join(file);
            if !file.exists() && version == "ae01dad" {
                continue;
            }
            let mut shown = client.get(path).expect(200, &row);
            let mut want = read(&file);
            for shown in [&mut shown, &mut want] {
                remove_recent(shown);
            }
            remove_added(&mut shown, &want);
            // Lists of earlier versions had no limits and no rules. The comparison of the export below includes them.
            for link in shown.get_mut("links").and_then(Value::as_array_mut).into_iter().flatten() {
                let added = ["rules", "validSince", "expiresAt", "maxClicks"];
                let added = if version == "ae01dad" { &added[..] } else { &added[..1] };
                let link = link.as_object_mut().expect("an object");
                link.retain(|name, _| !added.contains(&name.as_str()));
            }
            assert_eq!(shown, want, "{row}: {path}");
        }
        // A repeated POST gets the response of the version that executed it.
        let body = r#"{"url": "https://example.com/plain", "customSlug": "plain"}"#;
        let repeated =
            client.send("POST", "/api/v1/links", &[("Idempotency-Key", "once")], Some(body.as_bytes()));
        // Idempotency keys last a day. After it the code is in use.
        assert!([201, 409].contains(&repeated.status), "{row}: {repeated:?}");
        let mut visitor = server.visitor().at("localhost");
        let mut visit = |path: &str| visitor.head(path);
        for n in 1..=40 {
            let answer = visit(&format!("/n{n}"));
            let want = format!("https://example.com/{n}");
            assert_eq!((answer.status, answer.header("location")), (302, Some(&*want)), "{row}: n{n}");
        }
        assert_eq!(visit("/gone").status, 404, "{row}: deleted");
        server.stop();
    }
    let to = folder.join("again.jsonl");
    let shown = to.display().to_string();
    let export = ["export", "--with-password-hashes", "--output", &shown];
    let (code, _, stderr) = export.iter().fold(plan(&data), |plan, arg| plan.arg(arg)).fails();
    assert_eq!(code, Some(0), "{row}: {stderr}");
    let (before, now) = (lines(&folder.join("export.jsonl")), lines(&to));
    assert_eq!(before.len(), now.len(), "{row}");
    for (link, line) in before {
        let mut now = now.get(&link).cloned().expect(&link);
        if line.get("campaignName").is_none() {
            // Earlier versions lost the names of campaigns.
            now.as_object_mut().expect("an object").remove("campaignName");
        }
        remove_added(&mut now, &line);
        assert_eq!(now, line, "{row}: {link}");
    }
    let (code, stdout, stderr) = plan(&data).arg("verify").fails();
    assert_eq!(code, Some(0), "{row}: {stdout}{stderr}");
}
