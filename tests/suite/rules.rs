//! The rules of a link: written, shown, moved with their link, and rejected with the place of the mistake.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::analytics::{ask_until, rows};
use crate::support::app::{HOST, TestApp};
use crate::support::http::{Answer, Client, text};
use crate::support::native::{LINKS, path_of};
use crate::support::process::{Dice, PATIENCE, command, poll};

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
    // A bulk creates rules, and lists show them in every order.
    let row = json!({"url": "https://e.test/", "customSlug": "b", "rules": rules()});
    let made =
        admin.post("/api/v1/links/bulk", &json!({"links": [row, {"url": "https://e.test/", "rules": [{}]}]}));
    let made = made.expect(201, "a bulk");
    assert_eq!(made["failed"][0]["reason"], "rules[0]: must have one of url, variants and status");
    let by_code = admin.get(&format!("{LINKS}/by-code/b")).expect(200, "by code");
    assert_eq!(by_code["link"]["rules"], rules());
    let plain = admin.create(&json!({"url": "https://e.test/", "customSlug": "plain"}));
    assert_eq!(plain["rules"], json!([]));
    for sort in ["newest", "oldest", "clicks", "title"] {
        let listed = admin.get(&format!("{LINKS}?sort={sort}")).expect(200, sort);
        let of = |code: &str| {
            let links = listed["links"].as_array().expect("links");
            links.iter().find(|link| link["shortCode"] == code).expect(code)["rules"].clone()
        };
        assert_eq!((of("b"), of("plain")), (rules(), json!([])), "{sort}");
    }
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
    let plain = json!({"url": "a@e.test", "rules": [{"url": "b@e.test"}], "linkType": "MAILTO"});
    admin.post(LINKS, &plain).refuses(422, "rules: works only with linkType URL", "a plain value");
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
        its operator installs the package tor-geoipdb, puts country.mmdb into the data folder, or sets \
        `clicks.country_file` or `clicks.country_header`";
    let rule = json!({"conditions": [{"field": "country", "operator": "in", "value": ["de"]}], "url": "https://e.test/de"});
    let body = json!({"url": "https://e.test/", "rules": [rule]});
    let app = TestApp::start();
    let mut admin = app.admin();
    // Not before the server has looked for a file.
    poll("the search for a file", PATIENCE, || {
        let refused = admin.post(LINKS, &body);
        (refused.status == 422).then(|| refused.refuses(422, LACKS, "no source"))
    });
    let explained = admin.post("/api/v1/explain", &json!({"link": body, "visitor": {"country": "DE"}}));
    assert_eq!(explained.expect(200, "a draft")["warnings"], json!([LACKS]));
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
        let id = list["links"].as_array()?.first().map(path_of)?;
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
    let rules_in = |file: &Path| -> Vec<Value> {
        let lines = std::fs::read_to_string(file).expect("the export");
        lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["rules"].clone())
            .collect()
    };
    assert_eq!(rules_in(&first), [rules(), rules()]);
    assert!(rules_in(&again).iter().all(|shown| *shown == rules()), "{:?}", rules_in(&again));
}

const FORM: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded")];
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
    Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
const GOOGLE: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// Starts a server whose clock is at the first of January 2026, a Thursday, and whose proxy reports countries.
fn start() -> TestApp {
    TestApp::start_with(|config| {
        config.clicks.flush_interval = Duration::from_millis(50);
        config.clicks.country_header = Some("x-country".to_owned());
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
    })
}

fn location(answer: &Answer) -> String {
    answer.header("location").unwrap_or_default().to_owned()
}

#[test]
fn the_first_rule_that_holds_leads_the_visitor() {
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let one = |field: &str, operator: &str, value: Value| json!({"field": field, "operator": operator, "value": value});
    let made = admin.create(&json!({
        "url": "https://e.test/own?x=1", "customSlug": "r", "redirectType": 301, "forwardParameters": true, "utmSource": "mail",
        "rules": [
            {"conditions": [one("os", "in", json!(["iOS"])), one("language", "in", json!(["de"]))], "url": "https://e.test/ios-de"},
            {"match": "any", "conditions": [one("country", "equals", json!("FR")), one("continent", "equals", json!("AS"))], "url": "https://e.test/fr?x=2"},
            {"conditions": [{"field": "query", "key": "ref", "operator": "startsWith", "value": "news"}], "url": "https://e.test/news"},
            {"conditions": [one("referrer", "in", json!(["t.test"]))], "status": 404},
            {"conditions": [one("time", "within", json!({"days": ["fri"], "from": "00:00", "to": "06:00", "zone": "UTC"}))], "url": "https://e.test/friday"},
            {"conditions": [one("ip", "in", json!(["203.0.113.0/24"]))], "url": "https://e.test/office"},
            {"conditions": [one("trigger", "equals", json!("qr"))], "url": "https://e.test/poster"},
            {"conditions": [one("utmMedium", "contains", json!("pap"))], "url": "https://e.test/paper"},
        ],
    }));
    let id = text(&made, "id").to_owned();
    let visits: [(&[(&str, &str)], &str, &str); 11] = [
        (
            &[("user-agent", IPHONE), ("accept-language", "de-AT,en;q=0.8")],
            "/r",
            "https://e.test/ios-de?utm_source=mail",
        ),
        (
            &[("user-agent", IPHONE), ("accept-language", "en,de;q=0.8")],
            "/r",
            "https://e.test/own?x=1&utm_source=mail",
        ),
        (&[("x-country", "FR")], "/r", "https://e.test/fr?x=2&utm_source=mail"),
        (&[("x-country", "jp")], "/r?x=9", "https://e.test/fr?utm_source=mail&x=9"),
        (&[], "/r?ref=newsletter", "https://e.test/news?utm_source=mail&ref=newsletter"),
        (&[], "/r?REF=newsletter", "https://e.test/own?x=1&utm_source=mail&REF=newsletter"),
        (&[("referer", "https://www.t.test/page")], "/r", ""),
        (&[("referer", "https://at.test/page")], "/r", "https://e.test/own?x=1&utm_source=mail"),
        (&[("x-forwarded-for", "203.0.113.9")], "/r", "https://e.test/office?utm_source=mail"),
        (&[], "/r?qr=1", "https://e.test/poster?utm_source=mail"),
        (&[], "/r?utm_medium=newspaper", "https://e.test/paper?utm_source=mail&utm_medium=newspaper"),
    ];
    for (headers, path, want) in visits {
        let answer = visitor.send("GET", path, headers, None);
        assert_eq!(location(&answer), want, "{headers:?} {path}");
        assert_eq!(answer.status, if want.is_empty() { 404 } else { 301 }, "{headers:?} {path}");
        // A permanent redirect that a browser keeps would freeze the first answer.
        if answer.status == 301 {
            assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{headers:?} {path}");
        }
    }
    // The clock: Friday from midnight to six.
    app.advance(Duration::from_hours(24));
    assert_eq!(location(&visitor.get("/r")), "https://e.test/friday?utm_source=mail");
    app.advance(Duration::from_hours(6));
    assert_eq!(location(&visitor.get("/r")), "https://e.test/own?x=1&utm_source=mail");
    // 404 is no click. Each click has its rule.
    let question = format!("linkId={id}&groupBy=rule");
    let answer = ask_until(&mut admin, &question, 12);
    let by_rule = [("1", 1), ("2", 2), ("3", 1), ("5", 1), ("6", 1), ("7", 1), ("8", 1), ("null", 4)];
    let want: BTreeMap<String, u64> =
        by_rule.into_iter().map(|(rule, clicks)| (rule.to_owned(), clicks)).collect();
    assert_eq!(rows(&answer, "rule"), want);
    assert_eq!(admin.clicks(&id), 12);
    // Without a rule it is a plain link again.
    admin.patch(&path_of(&made), &json!({"rules": null})).expect(200, "no rules");
    let plain = visitor.get("/r?ref=news");
    assert_eq!(plain.header("cache-control"), Some("private, max-age=90"));
}

#[test]
fn splits_are_sticky_and_counted_with_names_and_intervals() {
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let variants = json!([{"name": "a", "url": "https://e.test/a", "weight": 60}, {"name": "b", "url": "https://e.test/b", "weight": 40}]);
    let split = |sticky: &str| json!([{"name": "test", "variants": variants, "sticky": sticky, "until": "2026-02-01T00:00:00Z"}]);
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "s", "rules": split("visitor")}));
    let id = text(&made, "id").to_owned();
    let addresses: Vec<String> = (0..200).map(|n| format!("203.0.113.{n}")).collect();
    let all = |visitor: &mut Client| -> Vec<String> {
        let get = |address: &String| {
            let answer =
                visitor.send("GET", "/s", &[("x-forwarded-for", address), ("user-agent", FIREFOX)], None);
            assert_eq!((answer.status, answer.header("set-cookie")), (302, None));
            location(&answer)
        };
        addresses.iter().map(get).collect()
    };
    let first = all(&mut visitor);
    assert_eq!(all(&mut visitor), first, "the same visitors, the same variants");
    let a = first.iter().filter(|to| to.ends_with("/a")).count();
    assert!((90..=150).contains(&a), "{a} of 200 for 60 %");
    // Bots, previews and HEAD: the first variant, and no click.
    for address in &addresses[..20] {
        let forwarded = ("x-forwarded-for", address.as_str());
        let bot = visitor.send("GET", "/s", &[forwarded, ("user-agent", GOOGLE)], None);
        let head = visitor.send("HEAD", "/s", &[forwarded, ("user-agent", FIREFOX)], None);
        assert_eq!([location(&bot), location(&head)], ["https://e.test/a"; 2]);
    }
    let question = format!("linkId={id}&groupBy=variant");
    let answer = ask_until(&mut admin, &question, 400);
    let rows = answer["analytics"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{answer}");
    for row in rows {
        let (clicks, share) = (row["clicks"].as_u64().expect("clicks"), &row["share"]);
        let name = if row["variant"] == 1 { "a" } else { "b" };
        assert_eq!(row["variantName"], name, "{row}");
        #[allow(clippy::cast_precision_loss)]
        let value = clicks as f64 / 400.0;
        let [got, low, high] = ["value", "low", "high"].map(|end| share[end].as_f64().expect("a number"));
        assert!((got - value).abs() < 0.000_1 && low < value && value < high && high - low < 0.11, "{row}");
    }
    let answer = ask_until(&mut admin, &format!("linkId={id}&groupBy=rule,variant"), 400);
    assert_eq!(answer["analytics"][0]["ruleName"], "test", "{answer}");
    let csv = admin.get(&format!("/api/v1/analytics?{question}&format=csv"));
    assert!(csv.text().starts_with("variant,variantName,clicks,visitors\r\n1,a,"), "{}", csv.text());
    // Filters take names of one link.
    let of =
        |client: &mut Client, question: &str| ask_until(client, question, 400)["total"]["clicks"].clone();
    assert_eq!(of(&mut admin, "link=s&rule=test&variant=a,b"), 400);
    for (name, number) in [("a", "1"), ("b", "2")] {
        let total = |client: &mut Client, value: &str| {
            client.get(&format!("/api/v1/analytics?link=s&variant={value}")).json()["total"].clone()
        };
        assert_eq!(total(&mut admin, name), total(&mut admin, number), "{name}");
        let others = total(&mut admin, &format!("-{name}"))["clicks"].as_u64().expect("clicks");
        assert_eq!(others, 400 - total(&mut admin, name)["clicks"].as_u64().expect("clicks"), "{name}");
    }
    for (query, error) in [
        ("link=s&variant=z", r#"variant: "z" is no value: this link has "a", "b""#),
        ("link=s&rule=a", r#"rule: "a" is no value: this link has "test""#),
        ("variant=a", r#"variant: "a" is a name, which needs `link`: without it, the value is a number"#),
    ] {
        admin.get(&format!("/api/v1/analytics?{query}")).refuses(422, error, query);
    }
    // The names of one link are none for all links.
    let whole = ask_until(&mut admin, "groupBy=variant", 400);
    assert!(
        whole["analytics"].as_array().expect("rows").iter().all(|row| row["variantName"].is_null()),
        "{whole}"
    );
    // A cookie, on the path of the link, that ends with the test.
    admin.patch(&path_of(&made), &json!({"rules": split("cookie")})).expect(200, "by a cookie");
    let answer = visitor.send("GET", "/s", &[("user-agent", FIREFOX)], None);
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(
        cookie.starts_with("waypost_variant_1=") && cookie.contains("; Path=/s; Max-Age=2678400; HttpOnly"),
        "{cookie}"
    );
    let other =
        if location(&answer).ends_with("/a") { ("2", "https://e.test/b") } else { ("1", "https://e.test/a") };
    let sent = format!("x=y; waypost_variant_1={}", other.0);
    let again = visitor.send("GET", "/s", &[("user-agent", FIREFOX), ("cookie", &sent)], None);
    assert_eq!((location(&again).as_str(), again.header("set-cookie")), (other.1, None));
    // Turns.
    admin.patch(&path_of(&made), &json!({"rules": split("click")})).expect(200, "by turns");
    let turns: Vec<_> = (0..50).map(|_| location(&visitor.get("/s"))).collect();
    let a = turns.iter().filter(|to| to.ends_with("/a")).count();
    assert!((28..=32).contains(&a), "{turns:?}");
    // A winner, also after the end. Without one, the link's own destination.
    app.advance(Duration::from_hours(40 * 24));
    assert_eq!(location(&visitor.get("/s")), "https://e.test/");
    let mut won = split("visitor");
    won[0]["winner"] = json!("b");
    let after = admin.patch(&path_of(&made), &json!({"rules": won})).expect(200, "a winner");
    assert_eq!(
        (&after["link"]["rules"][0]["id"], &after["link"]["rules"][0]["winner"]),
        (&json!(1), &json!("b"))
    );
    assert_eq!(location(&visitor.get("/s")), "https://e.test/b");
}

/// The shares of a test stay those of the test.
#[test]
fn a_winner_counts_for_its_rule_and_for_no_variant() {
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let split = |winner: Value| json!([{"name": "test", "variants": [{"name": "a", "url": "https://e.test/a"}, {"name": "b", "url": "https://e.test/b"}], "sticky": "click", "winner": winner}]);
    let made =
        admin.create(&json!({"url": "https://e.test/", "customSlug": "w", "rules": split(Value::Null)}));
    let question = format!("linkId={}&groupBy=variant", text(&made, "id"));
    let turns: Vec<_> = (0..20).map(|_| location(&visitor.get("/w"))).collect();
    let a = turns.iter().filter(|to| to.ends_with("/a")).count() as u64;
    let share = |answer: &Value, name: &str| {
        let rows = answer["analytics"].as_array().expect("rows");
        rows.iter().find(|row| row["variantName"] == name).expect(name)["share"].clone()
    };
    let test = ask_until(&mut admin, &question, 20);
    admin.patch(&path_of(&made), &json!({"rules": split(json!("b"))})).expect(200, "a winner");
    for _ in 0..15 {
        assert_eq!(location(&visitor.get("/w")), "https://e.test/b");
    }
    let after = ask_until(&mut admin, &question, 35);
    let want = [("1", a), ("2", 20 - a), ("null", 15)].map(|(variant, clicks)| (variant.to_owned(), clicks));
    assert_eq!(rows(&after, "variant"), want.into());
    for name in ["a", "b"] {
        assert_eq!(share(&after, name), share(&test, name), "{name}");
    }
    let by_rule = ask_until(&mut admin, &question.replace("variant", "rule"), 35);
    assert_eq!(rows(&by_rule, "rule"), [("1".to_owned(), 35)].into());
    // Without a winner the test goes on.
    admin.patch(&path_of(&made), &json!({"rules": split(Value::Null)})).expect(200, "no winner");
    visitor.get("/w");
    let again = rows(&ask_until(&mut admin, &question, 36), "variant");
    assert_eq!((again["1"] + again["2"], again["null"]), (21, 15));
}

/// A day, and a time without a zone, are those of the workspace when they are written. What is stored stays.
#[test]
fn days_of_rules_are_those_of_the_workspace() {
    let app = start();
    let mut admin = app.admin();
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "the workspaces");
    let workspace = format!("/api/v1/workspaces/{}", text(&workspaces["workspaces"][0], "id"));
    let zone = |admin: &mut Client, name: Value| {
        admin.patch(&workspace, &json!({"timezone": name})).expect(200, "a zone");
    };
    zone(&mut admin, json!("Europe/Berlin"));
    let given = json!([{"conditions": [
            {"field": "date", "operator": "within", "value": {"from": "2026-12-01", "to": "2026-12-24"}},
            {"field": "date", "operator": "before", "value": "2026-12-24"},
            {"field": "date", "operator": "after", "value": "2026-12-01T00:00:00Z"},
            {"field": "time", "operator": "within", "value": {"from": "18:00"}},
            {"field": "time", "operator": "within", "value": {"from": "08:00", "zone": "UTC"}}],
        "url": "https://e.test/x", "from": "2026-12-01", "until": "2026-12-24"}]);
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "z", "rules": given,
        "validSince": "2025-12-01", "expiresAt": "2026-12-24"}));
    let rule = &made["rules"][0];
    let ends = [&rule["from"], &rule["until"], &made["expiresAt"]];
    assert_eq!(ends, ["2026-11-30T23:00:00.000Z", "2026-12-24T22:59:59.999Z", "2026-12-24T22:59:59.999Z"]);
    let values: Vec<_> = (0..5).map(|at| rule["conditions"][at]["value"].clone()).collect();
    let days = |zone: &str, from: &str| json!({"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": from, "to": "24:00", "zone": zone});
    assert_eq!(
        values,
        [
            json!({"from": "2026-11-30T23:00:00.000Z", "to": "2026-12-24T22:59:59.999Z"}),
            json!("2026-12-23T23:00:00.000Z"),
            json!("2026-12-01T00:00:00.000Z"),
            days("Europe/Berlin", "18:00"),
            days("UTC", "08:00"),
        ]
    );
    // The time of an explanation.
    let explained = admin.get(&format!("{}/explain?at=2026-12-01", path_of(&made))).expect(200, "a day");
    assert_eq!(explained["explain"]["at"], "2026-11-30T23:00:00.000Z");
    let draft = json!({"link": {"url": "https://e.test/"}, "visitor": {"at": "2026-07-01"}});
    let explained = admin.post("/api/v1/explain", &draft).expect(200, "a draft");
    assert_eq!(explained["explain"]["at"], "2026-06-30T22:00:00.000Z");
    // What was stored is an instant in every zone: sent back, and undone.
    zone(&mut admin, json!("Asia/Kolkata"));
    let path = path_of(&made);
    let same = admin.patch(&path, &json!({"rules": made["rules"]})).expect(200, "sent back");
    assert_eq!(same["link"]["rules"], made["rules"]);
    admin.patch(&path, &json!({"rules": null})).expect(200, "removed");
    let undone = admin.post(&format!("{path}/undo"), &json!({})).expect(201, "undone");
    assert_eq!(undone["link"]["rules"], made["rules"]);
    let changed = admin.patch(&path, &json!({"rules": given})).expect(200, "given again");
    assert_eq!(changed["link"]["rules"][0]["from"], "2026-11-30T18:30:00.000Z");
}

/// Rules that hold for nobody at present are written: another change may end it. The answer names them.
#[test]
fn rules_that_hold_for_nobody_at_present_are_named() {
    const NO_PATH: &str = "rules[0].conditions[0]: holds for no visitor: a link without forwardPath answers 404 to a path \
        behind its code";
    let app = start();
    let mut admin = app.admin();
    let path = |operator: &str, value: Value| json!({"conditions": [{"field": "path", "operator": operator, "value": value}], "url": "https://e.test/x"});
    let split = json!({"variants": [{"name": "a", "url": "https://e.test/a"}, {"url": "https://e.test/b"}], "until": "2025-01-01"});
    let mut won = split.clone();
    won["winner"] = json!("a");
    let mut off = split.clone();
    off["enabled"] = json!(false);
    let date = json!({"conditions": [{"field": "date", "operator": "before", "value": "2025-01-01"}], "url": "https://e.test/x"});
    let ended = json!(["rules[0].until: is in the past, so the rule holds for no visitor"]);
    let past = json!(["rules[0].conditions[0]: holds for no visitor: its time is in the past"]);
    let rows = [
        (path("equals", json!("new")), json!([NO_PATH])),
        (path("exists", json!(true)), json!([NO_PATH])),
        (path("notIn", json!(["new"])), Value::Null),
        (path("exists", json!(false)), Value::Null),
        (split, ended),
        (won, Value::Null),
        (off, Value::Null),
        (date, past),
    ];
    for (rule, want) in rows {
        let body = json!({"url": "https://e.test/", "rules": [rule]});
        let made = admin.post(LINKS, &body).expect(201, "written");
        assert_eq!(made["warnings"], want, "{rule}");
        let changed = admin.patch(&path_of(&made["link"]), &json!({"title": "T"})).expect(200, "a change");
        assert_eq!(changed["warnings"], want, "{rule}");
        let explained = admin.post("/api/v1/explain", &json!({"link": body})).expect(200, "explained");
        assert_eq!(explained["warnings"], want, "{rule}");
    }
    let body =
        json!({"url": "https://e.test/", "forwardPath": true, "rules": [path("equals", json!("new"))]});
    assert_eq!(admin.post(LINKS, &body).expect(201, "with a path")["warnings"], Value::Null);
}

/// A link whose client has chosen the highest id gets further rules, and an undo gives none of their ids again.
#[test]
fn a_link_does_not_run_out_of_ids() {
    let app = start();
    let mut admin = app.admin();
    let rule = |id: Value, os: &str| json!({"id": id, "conditions": [{"field": "os", "operator": "equals", "value": os}], "url": "https://e.test/x"});
    let first = json!([rule(json!(65_535), "iOS")]);
    let made = admin.create(&json!({"url": "https://e.test/", "rules": first}));
    let path = path_of(&made);
    let ids = |admin: &mut Client, rules: Value| {
        let changed = admin.patch(&path, &json!({"rules": rules})).expect(200, "a change");
        let rules = changed["link"]["rules"].as_array().expect("rules").clone();
        rules.iter().map(|rule| rule["id"].as_u64().expect("an id")).collect::<Vec<_>>()
    };
    assert_eq!(
        ids(&mut admin, json!([rule(json!(65_535), "iOS"), rule(Value::Null, "Android")])),
        [65_535, 1]
    );
    assert_eq!(ids(&mut admin, json!([])), [0_u64; 0]);
    assert_eq!(ids(&mut admin, json!([rule(Value::Null, "Windows")])), [2]);
    // The earlier state comes back, and 2 is in old clicks.
    admin.post(&format!("{path}/undo"), &json!({})).expect(201, "no rule again");
    assert_eq!(ids(&mut admin, json!([rule(Value::Null, "macOS")])), [3]);
}

/// Links of a bulk have the warnings of a single creation, within a bound.
#[test]
fn rules_of_a_bulk_that_hold_for_nobody_are_named_at_their_links() {
    const ENDED: &str = "rules[0].until: is in the past, so the rule holds for no visitor";
    let app = start();
    let mut admin = app.admin();
    let date = |to: &str| json!({"field": "date", "operator": "before", "value": to});
    let ended = json!({"url": "https://e.test/x", "until": "2025-01-01"});
    let row =
        |code: &str, rules: Value| json!({"url": "https://e.test/", "customSlug": code, "rules": rules});
    for atomic in [false, true] {
        let code = |name: &str| format!("{name}{atomic}");
        let mut rows = vec![
            row(&code("a"), json!([ended])),
            row(&code("b"), json!([])),
            row(&code("c"), json!([{"conditions": [date("2025-01-01")], "url": "https://e.test/x"}])),
        ];
        if !atomic {
            rows.insert(1, json!({"url": "nope", "rules": [ended]}));
        }
        let made = admin.post("/api/v1/links/bulk", &json!({"atomic": atomic, "links": rows}));
        let made = made.expect(201, "a bulk");
        let warnings = |at: usize| made["links"][at]["warnings"].clone();
        assert_eq!(warnings(0), json!([ENDED]), "{made}");
        assert_eq!(warnings(1), Value::Null);
        assert_eq!(
            warnings(2),
            json!(["rules[0].conditions[0]: holds for no visitor: its time is in the past"])
        );
        assert_eq!(made["warnings"], Value::Null);
    }
    // As many as a person reads, and not 200,000.
    let conditions = vec![date("2025-01-01"); 7];
    let rules = json!([{"match": "any", "conditions": conditions, "url": "https://e.test/x"}]);
    let rows: Vec<_> = ["d", "e", "f", "g"].iter().map(|code| row(code, rules.clone())).collect();
    let body = json!({"links": rows});
    let mut post = || {
        let headers = [("Idempotency-Key", "idle")];
        let body = body.to_string();
        admin.send("POST", "/api/v1/links/bulk", &headers, Some(body.as_bytes())).expect(201, "many rules")
    };
    let made = post();
    let counts = |made: &Value| {
        let links = made["links"].as_array().expect("links").iter();
        links.map(|link| link["warnings"].as_array().map_or(0, Vec::len)).collect::<Vec<_>>()
    };
    assert_eq!(counts(&made), [7, 7, 6, 0], "{made}");
    let more =
        "links: 8 more rules or conditions hold for no visitor at present; explain of a link names its own";
    assert_eq!(made["warnings"], json!([more]));
    // A repetition has them again.
    assert_eq!(post(), made);
}

/// The page is about trust: it names where this visitor would be led, and where others may be.
#[test]
fn a_plus_shows_where_rules_lead() {
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    admin
        .patch("/api/v1/domains/00000000000000000000", &json!({"showDestination": true}))
        .expect(200, "shown");
    let one = |field: &str, value: Value| json!([{"field": field, "operator": "in", "value": value}]);
    let made = admin.create(&json!({"url": "https://e.test/own", "customSlug": "r", "rules": [
        {"conditions": one("os", json!(["iOS"])), "url": "https://e.test/ios"},
        {"conditions": one("ip", json!(["203.0.113.0/24"])), "url": "https://e.test/office"},
        {"conditions": one("os", json!(["Android"])), "url": "https://e.test/off", "enabled": false},
        {"conditions": one("language", json!(["de"])), "variants": [{"url": "https://e.test/a"}, {"url": "https://e.test/b"}]}]}));
    let mut shown = |code: &str, headers: &[(&str, &str)]| {
        let page = visitor.send("GET", &format!("/{code}+"), headers, None);
        assert_eq!((page.status, page.header("location")), (200, None), "{headers:?}");
        let page = page.text();
        let (_, lists) = page.split_once("leads").expect("the page");
        let urls: Vec<_> = lists
            .split("https://e.test/")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap_or_default().to_owned())
            .collect();
        assert!(page.contains("depends on the visitor"), "{page}");
        urls
    };
    assert_eq!(shown("r", &[("user-agent", IPHONE)]), ["ios", "a", "b", "own"]);
    assert_eq!(shown("r", &[("user-agent", FIREFOX)]), ["own", "ios", "a", "b"]);
    let office = [("user-agent", FIREFOX), ("x-forwarded-for", "203.0.113.9")];
    assert_eq!(shown("r", &office), ["office", "ios", "a", "b", "own"]);
    assert_eq!(admin.clicks(text(&made, "id")), 0);
    // A variant is that of the click, and a winner has no others.
    let split = |winner: Value| json!([{"variants": [{"name": "a", "url": "https://e.test/a"}, {"name": "b", "url": "https://e.test/b"}], "winner": winner}]);
    let made =
        admin.create(&json!({"url": "https://e.test/own", "customSlug": "s", "rules": split(Value::Null)}));
    for address in (0..20).map(|n| format!("203.0.113.{n}")) {
        let headers = [("user-agent", FIREFOX), ("x-forwarded-for", address.as_str())];
        let urls = shown("s", &headers);
        let clicked = app.visitor().send("GET", "/s", &headers, None);
        assert_eq!((urls.len(), format!("https://e.test/{}", urls[0])), (2, location(&clicked)));
    }
    admin.patch(&path_of(&made), &json!({"rules": split(json!("b"))})).expect(200, "a winner");
    assert_eq!(shown("s", &[("user-agent", FIREFOX)]), ["b"]);
}

/// An import keeps rules that hold for nobody at present, and reports them as a creation does.
#[test]
fn an_import_counts_lines_whose_rules_hold_for_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("links"));
    let link = |code: &str, until: &str| {
        let rule = json!({"url": "https://e.test/x", "until": until});
        json!({"url": "https://e.test/", "customSlug": code, "rules": [rule]}).to_string() + "\n"
    };
    let lines =
        [link("a", "2100-01-01"), link("b", "2025-01-01"), link("b", "2025-01-01"), link("c", "2025-01-01")];
    std::fs::write(&file, lines.concat()).expect("a file");
    for more in [&["--dry-run"][..], &[]] {
        let mut run = command();
        run.args(["import", "--on-conflict", "skip", &file.display().to_string()]).args(more);
        run.env("WAYPOST_DATA_DIR", &data).env("WAYPOST_PUBLIC_URL", "http://localhost:8080");
        let imported = run.output().expect("the program runs");
        let noted = String::from_utf8_lossy(&imported.stderr).into_owned();
        assert!(imported.status.success(), "{noted}");
        let warning = "warning: 2 lines have rules that hold for nobody at present. The first one is line 2: rules[0].until: is in \
            the past, so the rule holds for no visitor";
        assert!(noted.contains(warning), "{more:?}: {noted}");
    }
}

/// An import keeps rules that need a source of places, and reports them. So does `doctor`.
#[test]
fn an_import_and_doctor_name_rules_about_unknown_places() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("links"));
    let link = |code: &str, field: &str, enabled: bool| {
        let rule = json!({"enabled": enabled, "conditions": [{"field": field, "operator": "exists"}], "url": "https://e.test/x"});
        json!({"url": "https://e.test/", "customSlug": code, "rules": [rule]}).to_string() + "\n"
    };
    let lines = [
        link("a", "os", true),
        link("b", "country", true),
        link("c", "city", true),
        link("d", "country", false),
    ];
    std::fs::write(&file, lines.concat()).expect("a file");
    let run = |arguments: &[&str]| {
        let mut run = command();
        run.args(arguments)
            .env("WAYPOST_DATA_DIR", &data)
            .env("WAYPOST_PUBLIC_URL", "http://localhost:8080")
            // The machine may have a file of countries.
            .env("WAYPOST_CLICKS__DETAILS", "false");
        run.output().expect("the program runs")
    };
    let imported = run(&["import", &file.display().to_string()]);
    let noted = String::from_utf8_lossy(&imported.stderr).into_owned();
    assert!(imported.status.success(), "{noted}");
    assert!(
        noted.contains("warning: 2 lines, from line 2 on, have rules that need the place of a visitor"),
        "{noted}"
    );
    let found = String::from_utf8_lossy(&run(&["doctor"]).stdout).replace('\n', " ");
    let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(found.contains("the rules of 2 of 4 links need the place of a visitor, such as "), "{found}");
}

/// Options of the link apply to whichever destination was chosen.
#[test]
fn the_other_options_apply_to_every_destination() {
    let app = start();
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let rules = json!([{"conditions": [{"field": "path", "operator": "startsWith", "value": "old"}], "status": 404},
        {"conditions": [{"field": "host", "operator": "equals", "value": "go.test"}], "url": "https://e.test/rule"}]);
    let link = |more: Value| {
        let mut body = json!({"url": "https://e.test/own", "rules": rules});
        body.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        body
    };
    admin.create(&link(json!({"customSlug": "path", "forwardPath": true})));
    assert_eq!(location(&visitor.get("/path/new/x")), "https://e.test/rule/new/x");
    assert_eq!(visitor.get("/path/old/x").status, 404);
    admin.create(&link(json!({"customSlug": "closed", "password": "open sesame"})));
    let form = visitor.get("/closed");
    assert!(form.status == 200 && form.text().contains("password"), "{form:?}");
    let opened = visitor.send_form("/closed", &FORM, b"password=open+sesame");
    assert_eq!((opened.status, location(&opened).as_str()), (303, "https://e.test/rule"));
    admin.create(&link(json!({"customSlug": "framed", "cloaked": true})));
    assert!(visitor.get("/framed").text().contains("https://e.test/rule"));
    admin.create(&link(json!({"customSlug": "once", "maxClicks": 1})));
    assert_eq!(location(&visitor.get("/once")), "https://e.test/rule");
    assert_eq!(visitor.get("/once").status, 410);
    admin.create(&link(json!({"customSlug": "keeps", "redirectType": 307})));
    let posted = visitor.send("POST", "/keeps", &[], Some(b"x"));
    assert_eq!((posted.status, location(&posted).as_str()), (307, "https://e.test/rule"));
}

#[test]
fn an_explanation_says_what_each_rule_does() {
    let app = start();
    let mut admin = app.admin();
    let link = json!({"url": "https://e.test/own", "rules": [
        {"name": "iOS", "conditions": [{"field": "os", "operator": "in", "value": ["iOS"]}], "url": "https://e.test/ios"},
        {"conditions": [], "variants": [{"name": "a", "url": "https://e.test/a"}, {"url": "https://e.test/b"}], "winner": "a",
         "until": "2020-01-01"}]});
    let question = json!({"link": link, "visitor": {"os": "android", "clicks": 3}});
    let explained = admin.post("/api/v1/explain", &question).expect(200, "a draft")["explain"].clone();
    assert_eq!((&explained["location"], &explained["status"]), (&json!("https://e.test/a"), &json!(302)));
    let step = |name: &str| {
        let steps = explained["steps"].as_array().expect("steps");
        steps
            .iter()
            .find(|step| step["rule"] == name)
            .unwrap_or_else(|| panic!("{name}: {explained}"))
            .clone()
    };
    assert_eq!(
        step("rules[0]"),
        json!({"rule": "rules[0]", "passes": true, "why": "\"iOS\" does not hold: os in iOS: no (Android)"})
    );
    let why = "holds for every visitor; the test is over, and all visitors get its winner \"a\", which counts for the rule \
        and for no variant";
    assert_eq!(step("rules[1]"), json!({"rule": "rules[1]", "passes": true, "why": why}));
    // The same for programs: nothing of a rule behind the one that decides, or of one that is off, is compared.
    let os = |id: u64, holds: Value, compared: Value, actual: Value| {
        json!({"id": id, "name": "iOS", "holds": holds,
            "conditions": [{"field": "os", "holds": compared, "actual": actual}]})
    };
    let split = |holds: Value| json!({"id": 2, "name": null, "holds": holds, "conditions": []});
    assert_eq!(
        explained["rules"],
        json!([os(1, json!(false), json!(false), json!("Android")), split(json!(true))])
    );
    let mut of = |change: &dyn Fn(&mut Value)| {
        let mut question = question.clone();
        change(&mut question);
        admin.post("/api/v1/explain", &question).expect(200, "a draft")["explain"]["rules"].clone()
    };
    let decides = of(&|question| question["visitor"]["os"] = json!("iOS"));
    assert_eq!(decides, json!([os(1, json!(true), json!(true), json!("iOS")), split(Value::Null)]));
    let none = of(&|question| question["visitor"] = json!({}));
    assert_eq!(none, json!([os(1, json!(false), json!(false), Value::Null), split(json!(true))]));
    let off = of(&|question| question["link"]["rules"][0]["enabled"] = json!(false));
    assert_eq!(off, json!([os(1, json!(false), Value::Null, Value::Null), split(json!(true))]));
    // The visit ends before the rules.
    let expired = of(&|question| question["link"]["isActive"] = json!(false));
    assert_eq!(expired, json!([os(1, Value::Null, Value::Null, Value::Null), split(Value::Null)]));
    let long = of(&|question| {
        question["link"]["rules"][0]["conditions"] =
            json!([{"field": "query", "key": "a", "operator": "contains", "value": "b"}]);
        question["visitor"]["query"] = json!(format!("a={}", "b".repeat(8_000)));
    });
    assert_eq!(long[0]["conditions"][0]["actual"], format!("{}...", "b".repeat(200)));
    // By id and by code, with the same names in the query.
    let made = admin.create(&link);
    let by_id = admin.post("/api/v1/explain", &json!({"id": made["id"], "visitor": {"os": "iOS"}}));
    assert_eq!(by_id.expect(200, "an id")["explain"]["location"], "https://e.test/ios");
    let target = format!("{}/explain?os=iOS", path_of(&made));
    assert_eq!(admin.get(&target).expect(200, "a query")["explain"]["location"], "https://e.test/ios");
    for (body, status, error) in [
        (json!({}), 422, "link: is required, or the id of a link in id"),
        (json!({"link": link, "id": made["id"]}), 422, "link: works only without id"),
        (json!({"link": 5}), 400, "link: must be an object, as for a new link"),
        (json!({"id": "x"}), 404, "link not found"),
        (
            json!({"link": {"url": "https://e.test/", "rules": [{}]}}),
            422,
            "link.rules[0]: must have one of url, variants and status",
        ),
        (json!({"link": link, "visitor": {"os": "BeOS"}}), 422, "visitor.os: must be one of: "),
        (json!({"link": link, "visitor": {"shoe": "9"}}), 422, "visitor.shoe: is no property of a visitor"),
        (json!({"link": link, "visitor": {"trigger": "nfc"}}), 422, "visitor.trigger: must be link or qr"),
        (json!({"link": link, "visitor": {"at": "soon"}}), 422, "visitor.at: must be a date such as"),
        (json!({"link": link, "visitor": {"clicks": 1.5}}), 400, "visitor.clicks: must be a whole number"),
        (
            json!({"link": link, "visitor": {"clicks": 9_007_199_254_740_992_u64}}),
            422,
            "visitor.clicks: must be a whole number from 0 to 9007199254740991",
        ),
    ] {
        let refused = admin.post("/api/v1/explain", &body);
        let got = refused.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(refused.status == status && got.starts_with(error), "{body}: {} {got}", refused.status);
    }
    // A bot has no system, whatever else describes it.
    let bot = json!({"link": link, "visitor": {"ua": "Googlebot/2.1", "os": "iOS"}});
    let explained = admin.post("/api/v1/explain", &bot).expect(200, "a bot");
    assert_eq!(
        (&explained["explain"]["counted"], &explained["explain"]["location"]),
        (&json!(false), &json!("https://e.test/a"))
    );
    assert_eq!(
        explained["warnings"],
        json!(["device, os and browser have no effect: ua is that of a known bot, and bots have none"])
    );
    // Nothing was counted or created.
    assert_eq!(admin.clicks(text(&made, "id")), 0);
    assert_eq!(admin.get(LINKS).expect(200, "the list")["total"], 1);
}

/// How a visitor found the link can be asked without the mark that a QR code has.
#[test]
fn an_explanation_takes_the_trigger() {
    let app = start();
    let mut admin = app.admin();
    let rule = json!({"conditions": [{"field": "trigger", "operator": "equals", "value": "qr"}], "url": "https://e.test/qr"});
    let made = admin.create(
        &json!({"url": "https://e.test/", "customSlug": "t", "forwardParameters": true, "rules": [rule]}),
    );
    let rows = [
        ("", "https://e.test/"),
        ("trigger=qr", "https://e.test/qr"),
        ("trigger=link", "https://e.test/"),
        ("trigger=qr&query=a=1", "https://e.test/qr?a=1"),
        ("trigger=link&query=qr=1%26a=1", "https://e.test/?a=1"),
        ("query=qr=1", "https://e.test/qr"),
    ];
    for (query, want) in rows {
        for path in [path_of(&made), "/api/v1/links/by-code/t".to_owned()] {
            let explained = admin.get(&format!("{path}/explain?{query}")).expect(200, query);
            assert_eq!(explained["explain"]["location"], want, "{path} {query}");
            assert_eq!(explained["warnings"], Value::Null, "{path} {query}");
        }
    }
    let question = json!({"id": made["id"], "visitor": {"trigger": "qr"}});
    let explained = admin.post("/api/v1/explain", &question).expect(200, "by id");
    assert_eq!(explained["explain"]["location"], "https://e.test/qr");
    admin.get(&format!("{}/explain?trigger=nfc", path_of(&made))).refuses(
        422,
        "trigger: must be link or qr",
        "nfc",
    );
}

/// What the explanation of a described visitor says is what the click of that visitor does, over real requests. `WAYPOST_EXPLAINED`
/// sets the number of visits, of which every 300 have ten links of their own.
#[test]
fn an_explanation_is_what_the_click_does() {
    let app = start();
    let (seed, mut dice) = Dice::seeded();
    let given = std::env::var("WAYPOST_EXPLAINED").ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = given.unwrap_or(VISITS).div_ceil(VISITS);
    for round in 0..rounds {
        explained_visits(&app, round, seed, &mut dice);
    }
    eprintln!("{} visits are as explained, seed {seed}", rounds * VISITS);
}

/// Visits of one round of `an_explanation_is_what_the_click_does`.
const VISITS: u64 = 300;

fn explained_visits(app: &TestApp, round: u64, seed: u64, dice: &mut Dice) {
    let (mut admin, mut visitor) = (app.admin(), app.visitor());
    let fields = [
        ("country", json!(["DE", "FR"])),
        ("continent", json!(["EU"])),
        ("os", json!(["iOS", "Linux"])),
        ("device", json!(["mobile"])),
        ("browser", json!(["Firefox"])),
        ("language", json!(["de", "fr-ca"])),
        ("referrer", json!(["a.test"])),
        ("utmSource", json!(["x", "y"])),
        ("ip", json!(["203.0.113.0/26"])),
        ("path", json!(["p", "q/r"])),
        ("trigger", json!(["qr"])),
    ];
    let (mut codes, mut ids) = (Vec::new(), BTreeMap::new());
    for link in 0..10 {
        let mut rules = Vec::new();
        for rule in 0..4 {
            let mut conditions = Vec::new();
            for _ in 0..=dice.below(2) {
                let (field, value) =
                    &fields[usize::try_from(dice.below(fields.len() as u64)).expect("small")];
                let operator = if dice.below(3) == 0 { "notIn" } else { "in" };
                conditions.push(json!({"field": field, "operator": operator, "value": value}));
            }
            let url = |variant: &str| format!("https://e.test/{link}/{rule}{variant}");
            let outcome = match dice.below(3) {
                0 => json!({"status": 404}),
                1 => json!({"variants": [{"url": url("/a"), "weight": 1}, {"url": url("/b"), "weight": 2}]}),
                _ => json!({"url": url("")}),
            };
            let mut body = outcome;
            body["conditions"] = json!(conditions);
            body["match"] = json!("any");
            rules.push(body);
        }
        let body = json!({"url": format!("https://e.test/{link}"), "customSlug": format!("l{round}-{link}"), "forwardPath": true, "rules": rules});
        // Some of the random rules can never be reached, and are rejected as such.
        let made = admin.post(LINKS, &body);
        if made.status == 201 {
            codes.push(format!("l{round}-{link}"));
            ids.insert(format!("l{round}-{link}"), made.json()["link"]["id"].clone());
        }
    }
    assert!(codes.len() >= 2, "seed {seed}: {codes:?}");
    let mut pick =
        |all: &[&str]| all[usize::try_from(dice.below(all.len() as u64)).expect("small")].to_owned();
    for _ in 0..VISITS {
        let code = pick(&codes.iter().map(String::as_str).collect::<Vec<_>>());
        let (agent, language, referrer) = (
            pick(&[IPHONE, FIREFOX, GOOGLE]),
            pick(&["de-AT,en;q=0.5", "fr-CA", "en"]),
            pick(&["https://www.a.test/x", "https://b.test/"]),
        );
        let (country, address) =
            (pick(&["DE", "US", "FR"]), pick(&["203.0.113.5", "203.0.113.99", "2001:db8::5"]));
        let (query, path) = (pick(&["", "utm_source=x", "qr=1&utm_source=z"]), pick(&["", "p", "q/r"]));
        let headers = [
            ("user-agent", agent.as_str()),
            ("accept-language", &language),
            ("referer", &referrer),
            ("x-country", &country),
            ("x-forwarded-for", &address),
        ];
        let slash = if path.is_empty() { "" } else { "/" };
        let clicked = visitor.send("GET", &format!("/{code}{slash}{path}?{query}"), &headers, None);
        let id = &ids[&code];
        let person = json!({"ua": agent, "language": language, "referrer": referrer, "country": country,
            "address": address, "query": query, "path": path});
        let explained = admin.post("/api/v1/explain", &json!({"id": id, "visitor": person}));
        let explained = explained.expect(200, &code)["explain"].clone();
        let got =
            (explained["status"].clone(), explained["location"].as_str().unwrap_or_default().to_owned());
        assert_eq!(
            got,
            (json!(clicked.status), location(&clicked)),
            "seed {seed}: {code} {person} {explained}"
        );
    }
}
