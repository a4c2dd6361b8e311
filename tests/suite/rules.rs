//! The rules of a link: written, shown, moved with their link, and rejected with the place of the mistake.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::text;
use crate::support::native::{LINKS, path_of};
use crate::support::process::{PATIENCE, command, poll};

/// Returns rules of each kind, as the API shows them.
fn rules() -> Value {
    json!([
        {"id": 1, "name": "iOS in German", "enabled": true, "match": "all", "conditions": [
            {"field": "os", "operator": "in", "value": ["iOS"]},
            {"field": "language", "operator": "in", "value": ["de"]}],
         "url": "https://apps.test/de", "variants": null, "status": null, "sticky": null, "winner": null, "from": null, "until": null},
        {"id": 2, "name": "night", "enabled": false, "match": "any", "conditions": [
            {"field": "time", "operator": "within", "value": {"days": ["mon", "fri"], "from": "18:00", "to": "08:00", "zone": "Europe/Berlin"}},
            {"field": "query", "key": "ref", "operator": "exists", "value": true}],
         "url": "https://e.test/night", "variants": null, "status": null, "sticky": null, "winner": null,
         "from": "2026-12-01T00:00:00.000Z", "until": "2027-01-01T23:59:59.999Z"},
        {"id": 3, "name": null, "enabled": true, "match": "all", "conditions": [
            {"field": "path", "operator": "startsWith", "value": "old"}],
         "url": null, "variants": null, "status": 404, "sticky": null, "winner": null, "from": null, "until": null},
        {"id": 4, "name": "test", "enabled": true, "match": "all", "conditions": [], "url": null,
         "variants": [{"id": 1, "name": "a", "url": "https://e.test/a", "weight": 60}, {"id": 2, "name": null, "url": "https://e.test/b", "weight": 40}],
         "status": null, "sticky": "visitor", "winner": null, "from": null, "until": null},
    ])
}

#[test]
fn rules_are_created_shown_changed_and_kept() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "r", "rules": rules()}));
    assert_eq!(made["rules"], rules());
    let path = path_of(&made);
    app = app.restart();
    let mut admin = app.admin();
    assert_eq!(admin.get(&path).expect(200, "after a restart")["link"]["rules"], rules());
    let same = admin.patch(&path, &json!({"rules": rules(), "title": "T"})).expect(200, "sent back");
    assert_eq!((&same["link"]["rules"], &same["link"]["title"]), (&rules(), &json!("T")));
    // Another order, another name, and a new rule.
    let mut changed = rules();
    let list = changed.as_array_mut().expect("rules");
    list.truncate(2);
    list.reverse();
    list[0]["name"] = json!("late");
    list.push(json!({"conditions": [{"field": "device", "operator": "equals", "value": "MOBILE"}], "url": "https://m.test/"}));
    let after =
        admin.patch(&path, &json!({"rules": changed})).expect(200, "changed")["link"]["rules"].clone();
    let ids: Vec<_> = after.as_array().expect("rules").iter().map(|rule| rule["id"].clone()).collect();
    assert_eq!(ids, [json!(2), json!(1), json!(5)]);
    assert_eq!(after[2]["conditions"][0]["value"], "mobile");
    for none in [json!(null), json!([])] {
        let cleared = admin.patch(&path, &json!({"rules": none})).expect(200, "cleared");
        assert_eq!(cleared["link"]["rules"], json!([]));
    }
    // No number is used again.
    let again = admin.patch(&path, &json!({"rules": [{"status": 404}]})).expect(200, "a rule");
    assert_eq!(again["link"]["rules"][0]["id"], 6);
    // A list has no rules, and a bulk creates them.
    let row = json!({"url": "https://e.test/", "customSlug": "b", "rules": rules()});
    let made =
        admin.post("/api/v1/links/bulk", &json!({"links": [row, {"url": "https://e.test/", "rules": [{}]}]}));
    let made = made.expect(201, "a bulk");
    assert_eq!(made["failed"][0]["reason"], "rules[0]: must have one of url, variants and status");
    let by_code = admin.get(&format!("{LINKS}/by-code/b")).expect(200, "by code");
    assert_eq!(by_code["link"]["rules"], rules());
}

#[test]
fn rules_that_cannot_be_are_rejected_with_their_place() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let with = |rule: &Value| json!({"url": "https://e.test/", "customSlug": "self", "rules": [{"enabled": false, "status": 404}, rule]});
    let condition = |field: &str, value: &Value| json!({"conditions": [{"field": field, "operator": "in", "value": value}], "url": "https://e.test/x"});
    let rows = [
        (422, json!({"url": "ftp://e.test/"}), "rules[1].url: must use one of these schemes: http, https"),
        (
            422,
            json!({"url": format!("http://{HOST}/self")}),
            "rules[1].url: must not lead back to this short link",
        ),
        (
            422,
            json!({"variants": [{"url": "https://e.test/"}, {"url": format!("http://{HOST}/self?x")}]}),
            "rules[1].variants[1].url: must not lead back to this short link",
        ),
        (400, json!({"name": 5, "status": 404}), "rules[1].name: must be a string"),
        (422, condition("device", &json!(["toaster"])), "rules[1].conditions[0].value[0]: must be one of: "),
        (422, json!({"url": "https://e.test/{{custom_values.x"}), "rules[1].url: must write placeholders as"),
    ];
    for (status, rule, want) in rows {
        let refused = admin.post(LINKS, &with(&rule));
        let error = refused.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(refused.status == status && error.starts_with(want), "{rule}: {} {error}", refused.status);
    }
    let mail = json!({"url": "a@e.test", "linkType": "MAILTO", "rules": [{"status": 404}]});
    admin.post(LINKS, &mail).refuses(422, "rules: works only with linkType URL", "another type");
    admin.post(LINKS, &json!({"url": "https://e.test/", "rules": 5})).refuses(
        400,
        "rules: must be an array",
        "a number",
    );
    // A longer chain back to the link, which a change of another link would close.
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "self", "rules": [{"url": format!("http://{HOST}/next")}]}));
    let back = json!({"url": "https://e.test/", "customSlug": "next", "rules": [{"url": format!("http://{HOST}/self")}]});
    admin.post(LINKS, &back).refuses(
        422,
        "rules[0].url: must not lead back to this short link",
        "a circle of two",
    );
    // A rule that was in order before does not prevent another change.
    admin.patch(&path_of(&made), &json!({"title": "T"})).expect(200, "another field");
}

/// A rule about countries can never hold on a server that knows none. A file may bring one, and a client sends it back.
#[test]
fn rules_about_countries_need_a_source_of_them() {
    const LACKS: &str = "rules[0].conditions[0].field: country needs a source of countries, and this server has none: \
        put country.mmdb into the data folder, or set `clicks.country_file` or `clicks.country_header`";
    let rule = json!({"conditions": [{"field": "country", "operator": "in", "value": ["de"]}], "url": "https://e.test/de"});
    let body = json!({"url": "https://e.test/", "rules": [rule]});
    let app = TestApp::start();
    let mut admin = app.admin();
    // Not before the server has looked for a file.
    poll("the search for a file", PATIENCE, || {
        let refused = admin.post(LINKS, &body);
        (refused.status == 422).then(|| refused.refuses(422, LACKS, "no source"))
    });
    let mut off = body.clone();
    off["rules"][0]["enabled"] = json!(false);
    let path = path_of(&admin.create(&off));
    admin.patch(&path, &json!({"rules": off["rules"]})).expect(200, "sent back");
    let app = app.restart_with(|config| config.clicks.country_header = Some("CF-IPCountry".to_owned()));
    let made = app.admin().create(&body);
    assert_eq!(made["rules"][0]["conditions"][0]["value"], json!(["DE"]));
    let city = json!({"conditions": [{"field": "city", "operator": "in", "value": ["Ulm"]}], "url": "https://e.test/de"});
    let refused = app.admin().post(LINKS, &json!({"url": "https://e.test/", "rules": [city]}));
    assert!(
        refused.status == 422 && refused.text().contains("city needs a source of countries"),
        "{refused:?}"
    );
    let app = app.restart_with(|config| {
        (config.clicks.country_header, config.clicks.details) = (None, false);
    });
    let refused = app.admin().post(LINKS, &body);
    assert!(refused.status == 422 && refused.text().contains("needs `clicks.details = true`"), "{refused:?}");
    // What the link has is no new condition.
    app.admin()
        .patch(&path_of(&made), &json!({"rules": made["rules"], "title": "T"}))
        .expect(200, "sent back");
}

#[test]
fn rules_move_with_their_link() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "r", "rules": rules()}));
    // A snapshot, imported into another workspace.
    let body = json!({"name": "B", "id": "Bco", "relationshipNumber": "0-1-2"});
    admin.post("/api/v1/companies", &body).expect(201, "a company");
    let body = json!({"name": "B", "id": "Bws", "companyId": "Bco"});
    admin.post("/api/v1/workspaces", &body).expect(201, "a workspace");
    let mut other = app.admin().with("X-Workspace-Id", "Bws");
    let frozen = admin.post("/api/v1/snapshots", &json!({"name": "S"})).expect(201, "a snapshot");
    let shares = format!("/api/v1/snapshots/{}/shares", text(&frozen["snapshot"], "id"));
    let share = admin.post(&shares, &json!({"type": "permanent_link"})).expect(201, "a share");
    let import = json!({"shareLink": share["share"]["shareLink"], "onConflict": "rename"});
    assert!([201, 202].contains(&other.post("/api/v1/snapshots/import", &import).status));
    let copied = poll("the end of the import", PATIENCE, || {
        let list = other.get(LINKS).expect(200, "the list");
        let id = list["links"].as_array()?.first().map(|link| path_of(link))?;
        Some(other.get(&id).expect(200, "the copy")["link"].clone())
    });
    assert_eq!(copied["rules"], rules());
    // An export, imported into another folder. Ids of rules are those of old clicks, and stay.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = app.data_dir().to_owned();
    let [first, moved, again] = ["first", "moved", "again"].map(|name| folder.path().join(name));
    let run = |data: &Path, arguments: &[&str], file: &Path| {
        let mut run = command();
        run.args(arguments)
            .arg(file)
            .env("WAYPOST_DATA_DIR", data)
            .env("WAYPOST_PUBLIC_URL", "http://go.test");
        let ended = run.output().expect("the program runs");
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    };
    let _app = app.restart_between(|| {
        run(&data, &["export", "--output"], &first);
        let other = folder.path().join("other");
        // The workspaces are not there.
        let lines = std::fs::read_to_string(&first).expect("the export");
        let lines = lines.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            line.as_object_mut().expect("a link").remove("workspaceId");
            line.to_string() + "\n"
        });
        std::fs::write(&moved, lines.collect::<String>()).expect("a file");
        run(&other, &["import"], &moved);
        run(&other, &["export", "--output"], &again);
    });
    let rules_of = |file: &Path| -> Vec<Value> {
        let lines = std::fs::read_to_string(file).expect("the export");
        lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["rules"].clone())
            .collect()
    };
    assert_eq!(rules_of(&first), [rules(), rules()]);
    assert!(rules_of(&again).iter().all(|shown| *shown == rules()), "{:?}", rules_of(&again));
}
