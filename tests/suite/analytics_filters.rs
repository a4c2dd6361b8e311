//! Filters of questions about clicks, and rows by what links have: tags, campaigns, domains.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Client, text};
use crate::support::native::new_key;
use crate::support::process::poll;

const PATH: &str = "/api/v1/analytics";

/// An app with links of two tags, a campaign and two domains, and clicks on each. Returns the ids of the tags and of the
/// first link.
fn app() -> (TestApp, [String; 2], String) {
    let app = TestApp::start_with(|config| config.clicks.flush_interval = Duration::from_millis(50));
    let mut admin = app.admin();
    let tags = ["Spring, 2026", "-new"].map(|name| {
        let made = admin.post("/api/v1/tags", &json!({"name": name})).expect(201, name);
        text(&made["tag"], "id").to_owned()
    });
    admin.post("/api/v1/campaigns", &json!({"name": "Sale", "id": "sale"})).expect(201, "a campaign");
    admin.post("/api/v1/domains", &json!({"domain": "d.test"})).expect(201, "a domain");
    let url = "https://e.test/";
    let a = json!({"url": url, "customSlug": "a", "tagIds": [tags[0]], "campaignId": "sale"});
    let b = json!({"url": url, "customSlug": "b", "tagIds": [tags[0], tags[1]]});
    let c = json!({"url": url, "customSlug": "c", "domain": "d.test"});
    let first = text(&admin.create(&a), "id").to_owned();
    for link in [b, c] {
        admin.create(&link);
    }
    for (host, code, clicks, referrer) in [
        ("go.test", "a", 1, "https://-x.test/"),
        ("go.test", "b", 2, ""),
        ("d.test", "c", 4, "https://null/"),
    ] {
        let mut visitor = app.visitor().at(host);
        for _ in 0..clicks {
            let headers: &[_] = if referrer.is_empty() { &[] } else { &[("referer", referrer)] };
            assert_eq!(visitor.send("GET", &format!("/{code}"), headers, None).status, 302);
        }
    }
    poll("all clicks", Duration::from_secs(10), || Some(()).filter(|()| total(&mut app.admin(), "") == 7));
    (app, tags, first)
}

fn ask(admin: &mut Client, query: &str) -> Value {
    admin.get(&format!("{PATH}?{query}")).expect(200, query)
}

fn total(admin: &mut Client, query: &str) -> u64 {
    ask(admin, query)["total"]["clicks"].as_u64().expect("a number")
}

#[test]
fn links_are_filtered_by_what_they_have() {
    let (app, [spring, new], first) = app();
    let mut admin = app.admin();
    let rows = [
        ("tag=%22Spring,%202026%22".to_owned(), 3),
        ("tag=%22spring,%202026%22".to_owned(), 3),
        (format!("tag={spring}"), 3),
        // A hyphen in front excludes, except within quotes.
        ("tag=%22-new%22".to_owned(), 2),
        ("tag=-%22-new%22".to_owned(), 5),
        (format!("tag={new}&tag={spring}"), 3),
        ("tag=null".to_owned(), 4),
        ("tag=-null".to_owned(), 3),
        ("campaign=sale".to_owned(), 1),
        ("campaign=Sale".to_owned(), 1),
        ("campaign=-Sale".to_owned(), 6),
        ("campaign=null".to_owned(), 6),
        ("domain=d.test".to_owned(), 4),
        ("domain=-d.test".to_owned(), 3),
        ("link=a".to_owned(), 1),
        ("link=a,go.test/b".to_owned(), 3),
        ("link=d.test/c&link=a".to_owned(), 5),
        // Short URLs as answers have them.
        ("link=http://go.test/a".to_owned(), 1),
        ("link=/a".to_owned(), 1),
        ("link=https://D.test:8443/c%3Fx=1&link=go.test:80/b".to_owned(), 6),
        ("referrer=https://-x.test/page".to_owned(), 1),
        ("referrer=https://www.-x.test/".to_owned(), 1),
        ("referrer=www.-x.test".to_owned(), 1),
        (format!("link={first}"), 1),
        (format!("link=-{first}"), 6),
        ("link=a&domain=d.test".to_owned(), 0),
        (format!("tagId={spring}&link=b"), 2),
        ("referrer=null".to_owned(), 2),
        ("referrer=%22null%22".to_owned(), 4),
        ("referrer=%22-x.test%22".to_owned(), 1),
        ("referrer=-%22-x.test%22".to_owned(), 6),
        ("referrer=-null&referrer=-%22null%22".to_owned(), 1),
        ("referrer=other".to_owned(), 0),
    ];
    for (query, clicks) in rows {
        assert_eq!(total(&mut admin, &query), clicks, "{query}");
    }
    let rules = [
        ("tag=autumn", "tag: \"autumn\" is no value: this workspace has no tag with this id or name"),
        ("campaign=x", "campaign: \"x\" is no value: this workspace has no campaign with this id or name"),
        ("link=c", "link: \"c\" is no value: this workspace has no link with this id or code"),
        (
            "domain=unheard-of.test",
            "domain: \"unheard-of.test\" is no value: this workspace has no domain with this name",
        ),
        ("referrer=%22a", "referrer: has a quote that does not end, or a text behind its end"),
    ];
    for (query, rule) in rules {
        admin.get(&format!("{PATH}?{query}")).refuses(422, rule, query);
    }
}

/// A filter by a name that several campaigns have is about all of them.
#[test]
fn campaigns_of_one_name_are_one_filter() {
    let (app, _, _) = app();
    let mut admin = app.admin();
    admin.post("/api/v1/campaigns", &json!({"name": "Sale", "id": "sale2"})).expect(201, "the same name");
    admin.patch("/api/v1/links/by-code/b", &json!({"campaignId": "sale2"})).expect(200, "in the second one");
    let rows = [("campaign=Sale", 3), ("campaign=sale", 1), ("campaign=sale2", 2), ("campaign=-Sale", 4)];
    for (query, clicks) in rows {
        assert_eq!(total(&mut admin, query), clicks, "{query}");
    }
    // A campaign that was deleted is no value, and its clicks stay.
    admin.delete("/api/v1/campaigns/sale2").expect(200, "deleted");
    assert_eq!((total(&mut admin, "campaign=Sale"), total(&mut admin, "")), (1, 7));
}

/// A filter that is mistyped must not give the numbers of the whole workspace.
#[test]
fn unknown_parameters_are_refused() {
    let (app, _, _) = app();
    let mut admin = app.admin();
    let rows = [
        ("?code=a", "code: is no parameter of this request; did you mean link?"),
        (
            "?shortCode=a&groupBy=referrer&format=csv",
            "shortCode: is no parameter of this request; did you mean link?",
        ),
        ("?tagid=x", "tagid: is no parameter of this request; did you mean tagId?"),
        ("/live?code=a", "code: is no parameter of this request; did you mean link?"),
        ("/live?interval=7d", "interval: is no parameter of this request"),
    ];
    for (query, rule) in rows {
        admin.get(&format!("{PATH}{query}")).refuses(422, rule, query);
    }
    // Clients of the vendor send what they like to the vendor's own paths.
    let summary = admin.get(&format!("{PATH}/summary?code=a")).expect(200, "a warning");
    let warning = "code: is no parameter of this request, and was ignored; did you mean link?";
    assert_eq!(summary["warnings"], json!([warning]));
}

#[test]
fn rows_by_what_links_have() {
    let (app, [spring, new], _) = app();
    let mut admin = app.admin();
    let answer = ask(&mut admin, "groupBy=tag");
    let row = |id: Value, name: Value, clicks: u64| json!({"tagId": id, "tag": name, "clicks": clicks, "visitors": 1});
    // One visitor, who is counted once on each link.
    let mut both = row(json!(spring), json!("Spring, 2026"), 3);
    both["visitors"] = json!(2);
    let want = json!([row(Value::Null, Value::Null, 4), both, row(json!(new), json!("-new"), 2)]);
    assert_eq!(answer["analytics"], want);
    assert_eq!((&answer["total"]["clicks"], &answer["rows"]), (&json!(7), &json!(3)));
    // What is in none of the shown rows.
    let first = ask(&mut admin, "groupBy=tag&limit=1&offset=1");
    assert_eq!((&first["analytics"][0]["tagId"], &first["other"]["clicks"]), (&json!(spring), &json!(4)));
    let answer = ask(&mut admin, "groupBy=campaign");
    assert_eq!(answer["analytics"][1]["campaign"], "Sale", "{answer}");
    assert_eq!((&answer["analytics"][0]["campaignId"], &answer["isEstimate"]), (&Value::Null, &json!(false)));
    let csv = admin.get(&format!("{PATH}?groupBy=domain,tag&format=csv"));
    let want = format!(
        "domain,tagId,tag,clicks,visitors\r\nd.test,,,4,1\r\ngo.test,{spring},\"Spring, 2026\",3,2\r\n\
         go.test,{new},'-new,2,1\r\n"
    );
    assert_eq!((csv.text(), csv.header("x-warnings")), (want, None));
    // A table has no place for warnings, so they are in a header.
    let csv = admin.get(&format!("{PATH}/export?groupBy=domain&country_code=DE"));
    let warnings: Value = serde_json::from_str(csv.header("x-warnings").expect("warnings")).expect("JSON");
    let ignored = "country_code: is no parameter of this request, and was ignored";
    assert_eq!(warnings, json!([ignored]));
}

#[test]
fn names_of_other_workspaces_are_unknown() {
    let (app, [spring, _], first) = app();
    let mut admin = app.admin();
    let made = admin.post("/api/v1/workspaces", &json!({"name": "other"})).expect(201, "a workspace");
    let other = text(&made["workspace"], "id").to_owned();
    let key = new_key(&mut admin, &json!({"scopes": ["analytics.readonly"], "workspaceId": other}));
    let mut stranger = app.visitor().with_key(&key);
    let domain = "domain=d.test".to_owned();
    for query in [
        domain,
        format!("tag={spring}"),
        "campaign=sale".to_owned(),
        format!("link={first}"),
        "link=a".to_owned(),
    ] {
        let (name, value) = query.split_once('=').expect("a pair");
        let answer = stranger.get(&format!("{PATH}?{query}"));
        assert_eq!(answer.status, 422, "{query}: {}", answer.text());
        let unknown = stranger.get(&format!("{PATH}?{name}=0000000000000000000z"));
        let alike = unknown.text().replace("0000000000000000000z", value);
        assert_eq!(answer.text(), alike, "{query}");
    }
    assert_eq!(total(&mut stranger, "domain=go.test"), 0);
}

/// A link whose statistics are off says so, however the question names it.
#[test]
fn the_state_of_a_link_by_its_code() {
    let (app, _, first) = app();
    let mut admin = app.admin();
    let path = format!("/api/v1/links/{first}");
    admin.patch(&path, &json!({"statistics": false})).expect(200, "statistics are off");
    for (query, has_statistics) in [
        (format!("linkId={first}"), false),
        ("link=a".to_owned(), false),
        (format!("link={first}"), false),
        ("link=b".to_owned(), true),
        ("link=a,b".to_owned(), true),
        ("link=-a".to_owned(), true),
        (String::new(), true),
    ] {
        assert_eq!(ask(&mut admin, &query)["statistics"], json!(has_statistics), "{query}");
    }
}

/// Without a source of countries, rows by country look like visits from nowhere.
#[test]
fn missing_countries_are_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("country.mmdb");
    let app = TestApp::start_with(|config| config.clicks.country_file = Some(missing.clone()));
    let mut admin = app.admin();
    let no_countries = "this server has no file or header of countries, so new clicks have none";
    let no_places = "this server keeps no places, so new clicks have none (`clicks.places`)";
    for (query, want) in [
        ("groupBy=country", json!([format!("country: {no_countries}")])),
        ("groupBy=os&continent=EU", json!([format!("continent: {no_countries}")])),
        ("groupBy=time,city", json!([format!("city: {no_places}")])),
        ("groupBy=os", Value::Null),
    ] {
        let answer = ask(&mut admin, query);
        assert_eq!((&answer["warnings"], &answer["isEstimate"]), (&want, &json!(false)), "{query}");
    }
    let app = TestApp::start_with(|config| config.clicks.country_header = Some("CF-IPCountry".to_owned()));
    assert_eq!(ask(&mut app.admin(), "groupBy=country")["warnings"], Value::Null);
}
