//! `waypost export --clicks`: what it writes adds up to what the API answers, from a running server and from a stopped one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use waypost::log::local::disk::FsDisk;

use super::analytics::{ask, ask_until, check_sums, visit};
use super::click_store::{HOUR, KEEP, Written, all_links};
use crate::support::http::text;
use crate::support::process::{Plan, Process};
use crate::support::sim_disk::SimDisk;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";

/// What is compared with the API: all that does not depend on a zone or on the link's own parameters.
const COMPARED: [&str; 9] =
    ["device", "browser", "os", "language", "referrer", "utmMedium", "trigger", "country", "agent"];

const COUNTS: [&str; 3] = ["clicks", "visitors", "workspaceVisitors"];

fn plan(data: &Path) -> Plan {
    Plan::on(data).env("WAYPOST_CLICKS__FLUSH_INTERVAL", "50ms")
}

/// Runs `export --clicks`. Returns stdout and stderr.
#[track_caller]
fn export(data: &Path, more: &[&str]) -> (String, String) {
    let plan = more.iter().fold(plan(data).arg("export").arg("--clicks"), |plan, arg| plan.arg(arg));
    let (code, stdout, stderr) = plan.fails();
    assert_eq!(code, Some(0), "{stderr}");
    (stdout, stderr)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// Returns the rows of comma-separated values as the objects of JSON Lines.
fn of_csv(text: &str) -> Vec<Value> {
    let mut rows = text.strip_suffix("\r\n").expect("it ends a line").split("\r\n").map(fields);
    let names = rows.next().expect("the names of the columns");
    let object = |row: Vec<String>| -> Value {
        assert_eq!(row.len(), names.len(), "{row:?}");
        let value = |(name, text): (&String, String)| {
            let is_number = COUNTS.contains(&name.as_str());
            let value = match text.as_str() {
                "" => Value::Null,
                text if is_number => json!(text.parse::<u64>().expect("a number")),
                text => json!(text),
            };
            (name.clone(), value)
        };
        Value::Object(names.iter().zip(row).map(value).collect())
    };
    rows.map(object).collect()
}

/// Splits a line without line breaks in its fields.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut is_quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let last = fields.last_mut().expect("one at least");
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                last.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            other => last.push(other),
        }
    }
    fields
}

/// Adds up the clicks of lines by a field.
fn sums(lines: &[Value], visits: &str, field: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in lines.iter().filter(|line| line["visits"] == visits) {
        *sums.entry(line[field].to_string()).or_default() += line["clicks"].as_u64().expect("a number");
    }
    sums
}

/// Sends visits of all kinds. Returns the ids of both links.
fn with_visits(server: &Process) -> Vec<String> {
    let mut admin = server.admin();
    let ids = ["a", "b"].map(|code| {
        let link = admin.create(&json!({"url": "https://e.test/?utm_source=own", "customSlug": code}));
        text(&link, "id").to_owned()
    });
    let mut visitor = server.visitor();
    let news = ("referer", "https://news.test/x");
    for (path, headers) in [
        ("/a", vec![("user-agent", FIREFOX), ("accept-language", "de")]),
        ("/a", vec![("user-agent", FIREFOX), ("accept-language", "de")]),
        ("/a?qr=1", vec![("user-agent", FIREFOX), news]),
        ("/b", vec![("user-agent", "curl/8.0"), news]),
        ("/b?utm_medium=%3D1%2C%22x%22", vec![("user-agent", "curl/8.0")]),
        ("/b?utm_source=mine", vec![("user-agent", "Googlebot/2.1")]),
    ] {
        visit(&mut visitor, path, &headers);
    }
    ask_until(&mut admin, "", 5);
    ids.into()
}

/// Compares an export with the answers of a server.
fn compare(server: &Process, ids: &[String], exported: &[Value]) {
    let mut admin = server.admin();
    assert_eq!(check_sums(&mut admin, ids), (5, 0));
    for facet in COMPARED {
        for visits in ["clicks", "bots"] {
            let answer = ask(&mut admin, &format!("groupBy={facet}&visits={visits}"));
            let rows = answer["analytics"].as_array().expect("rows").iter();
            let want: BTreeMap<_, _> =
                rows.map(|row| (row[facet].to_string(), row["clicks"].as_u64().expect("a number"))).collect();
            assert_eq!(sums(exported, visits, facet), want, "{facet} of {visits}");
        }
    }
    for id in ids {
        let total = sums(exported, "clicks", "linkId").get(&json!(id).to_string()).copied();
        assert_eq!(total, Some(admin.clicks(id)), "{id}");
    }
    let visitors: u64 =
        exported.iter().map(|line| line["workspaceVisitors"].as_u64().expect("a number")).sum();
    assert_eq!(json!(visitors), ask(&mut admin, "")["total"]["visitors"]);
}

/// Adds up the counts of lines that agree in everything else: those of two drains may.
fn added_up(lines: &[Value]) -> BTreeMap<String, [u64; 3]> {
    let mut sums: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for line in lines {
        let mut rest = line.as_object().expect("an object").clone();
        let counts = COUNTS.map(|name| rest.remove(name).and_then(|count| count.as_u64()).expect("a number"));
        let sum = sums.entry(Value::Object(rest).to_string()).or_default();
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sums
}

#[test]
fn an_export_of_clicks_adds_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = plan(&data).start();
    let ids = with_visits(&server);
    // All of it is in the log, and in no file yet.
    let (text, notes) = export(&data, &[]);
    assert!(notes.contains("of 6 visits at position"), "{notes}");
    let exported = lines(&text);
    compare(&server, &ids, &exported);
    let first = &exported[0];
    assert_eq!((&first["precision"], &first["linkId"]), (&json!("15m"), &json!(ids[0])));
    let workspaces = server.admin().get("/api/v1/workspaces").expect(200, "workspaces");
    assert_eq!(first["workspaceId"], workspaces["workspaces"][0]["id"]);
    let time = first["time"].as_str().expect("a time");
    assert!(time.ends_with(":00.000Z") && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    server.stop();
    // Now in a file.
    let (of_parts, _) = export(&data, &["--format", "jsonl"]);
    assert_eq!(added_up(&lines(&of_parts)), added_up(&exported));
    // The same as comma-separated values, in a file for its owner only, that no spreadsheet runs.
    let file = folder.path().join("clicks.csv");
    let (nothing, _) = export(&data, &["--format", "csv", "--output", &file.display().to_string()]);
    let csv = fs::read_to_string(&file).expect("the file");
    assert!(nothing.is_empty() && csv.contains(",\"'=1,\"\"x\"\"\","), "{csv}");
    let unmarked = csv.replace("\"'=1", "\"=1");
    assert_eq!(added_up(&of_csv(&unmarked)), added_up(&exported));
}

/// Visits that found no link are in an export, without a link.
#[test]
fn an_export_has_misses() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = plan(&data).start();
    for _ in 0..3 {
        visit(&mut server.visitor(), "/nothing?token=secret", &[("user-agent", FIREFOX)]);
    }
    ask_until(&mut server.admin(), "visits=misses", 3);
    server.stop();
    let (exported, _) = export(&data, &[]);
    let exported = lines(&exported);
    assert_eq!(sums(&exported, "misses", "path"), BTreeMap::from([("\"/nothing\"".to_owned(), 3)]));
    for line in &exported {
        let got = (&line["linkId"], &line["browser"], &line["visitors"]);
        assert_eq!(got, (&Value::Null, &json!("Firefox"), &json!(0)), "{line}");
        assert!(line["workspaceId"].is_string() && !line.to_string().contains("secret"), "{line}");
    }
}

#[test]
fn bad_options_of_an_export_of_clicks() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    for (arguments, why) in [
        (&["--format", "csv"][..], "--clicks"),
        (&["--clicks", "--format", "xml"], "jsonl, csv"),
        (&["--clicks", "--with-password-hashes"], "cannot be used with"),
    ] {
        let plan = arguments.iter().fold(plan(&data).arg("export"), |plan, arg| plan.arg(arg));
        let (code, _, stderr) = plan.fails();
        assert!(code == Some(2) && stderr.contains(why), "{arguments:?}: {stderr}");
    }
    let (code, _, stderr) = plan(&data).arg("export").arg("--clicks").fails();
    assert!(code == Some(1) && stderr.contains("does not exist"), "{stderr}");
}

/// Damage costs the lines of its file, with a warning. A server that keeps totals only has none.
#[test]
fn an_export_beside_damage_and_without_details() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = plan(&data).start();
    with_visits(&server);
    server.stop();
    let server = plan(&data).start();
    visit(&mut server.visitor(), "/a", &[("user-agent", FIREFOX)]);
    ask_until(&mut server.admin(), "", 6);
    server.stop();
    let mut parts: Vec<_> = fs::read_dir(data.join("clicks")).expect("a folder").flatten().collect();
    parts.retain(|entry| entry.path().extension().is_some_and(|end| end == "part"));
    parts.sort_by_key(fs::DirEntry::path);
    assert_eq!(parts.len(), 2);
    let mut bytes = fs::read(parts[0].path()).expect("a part");
    bytes[70] ^= 4;
    fs::write(parts[0].path(), bytes).expect("written");
    let (text, notes) = export(&data, &[]);
    assert!(notes.contains("warning: the details of clicks from 20"), "{notes}");
    assert!(notes.contains(&*parts[0].file_name().to_string_lossy()), "{notes}");
    assert_eq!(lines(&text).len(), 1, "{text}");
    let other = folder.path().join("other");
    let server = plan(&other).env("WAYPOST_CLICKS__DETAILS", "false").start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    visit(&mut server.visitor(), "/a", &[]);
    server.stop();
    let (text, notes) = export(&other, &[]);
    assert!(text.is_empty() && notes.contains("exported 0 lines of 0 visits"), "{text}{notes}");
    let (text, _) = export(&other, &["--format", "csv"]);
    assert!(text.starts_with("time,precision,") && text.lines().count() == 1, "{text}");
}

/// A file with 40 MB of texts is exported within 28 MB, of which 8 MB are for texts.
#[test]
fn memory_does_not_grow_with_the_clicks() {
    const TICKS: u32 = 100;
    const CELLS: u32 = 2_000;
    let folder = tempfile::tempdir().expect("a folder");
    let disk = |name: &str| Arc::new(FsDisk::open(&folder.path().join(name)).expect("a folder"));
    let mut written = Written::over(disk("log"), SimDisk::default());
    let store = written.store_over(disk("clicks"), KEEP).expect("it opens");
    for _ in 0..TICKS {
        written.long_tick(CELLS);
    }
    store.settle(&all_links()).expect("written");
    written.pass(24 * HOUR);
    store.settle(&all_links()).expect("merged");
    assert_eq!(store.status().parts, 1);
    drop(store);
    written.log.close();
    drop(written);
    let plan = plan(folder.path()).arg("export").arg("--clicks").arg("--format").arg("csv");
    let (code, stdout, stderr) = plan.below("prlimit", &["--data=28000000"]).fails();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout.lines().count(), 1 + (TICKS * CELLS) as usize, "{stderr}");
}

/// An import brings a deleted link back with its id, so with its details. An older export has fewer clicks than these.
#[test]
fn an_import_keeps_the_clicks_that_a_deleted_link_had() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("links.jsonl"));
    let file = file.display().to_string();
    let server = plan(&data).start();
    let mut admin = server.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let mut visitor = server.visitor();
    visit(&mut visitor, "/a", &[]);
    ask_until(&mut admin, "", 1);
    let (code, _, stderr) = plan(&data).arg("export").arg("--output").arg(&file).fails();
    assert_eq!(code, Some(0), "{stderr}");
    visit(&mut visitor, "/a", &[]);
    visit(&mut visitor, "/a", &[]);
    ask_until(&mut admin, "", 3);
    let id = text(&link, "id");
    assert!(admin.delete(&format!("/api/v1/links/{id}")).status < 300);
    server.stop();
    let (code, _, stderr) = plan(&data).arg("import").arg(&file).fails();
    assert_eq!(code, Some(0), "{stderr}");
    let server = plan(&data).start();
    assert_eq!(server.admin().clicks(id), 3);
    server.stop();
    let (code, stdout, stderr) = plan(&data).arg("verify").fails();
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}
