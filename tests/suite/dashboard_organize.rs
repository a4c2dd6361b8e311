//! The screens of the dashboard for what links belong to: tags, campaigns, domains, keys, workspaces, the audit list
//! and settings.

use std::time::Duration;

use scraper::{Html, Selector};
use serde_json::{Value, json};

use super::dashboard::{Person, led};
use crate::support::app::{HOST, KEY, START, TestApp};
use crate::support::http::{Answer, text};

const LOGO: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9H0z" fill="#0f766e"/></svg>"##;

/// Longest page in bytes (DASHBOARD.md, acceptance 9).
const PAGE_MAX: usize = 60 * 1024;

/// Returns the texts of the elements that a selector finds, each without repeated blanks.
fn texts(answer: &Answer, selector: &str) -> Vec<String> {
    let page = Html::parse_document(&answer.text());
    let selector = Selector::parse(selector).expect("a selector");
    let text = |element: scraper::ElementRef<'_>| element.text().collect::<Vec<_>>().join(" ");
    page.select(&selector)
        .map(|element| text(element).split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Returns an attribute of the elements that a selector finds.
fn attributes(answer: &Answer, selector: &str, name: &str) -> Vec<String> {
    let page = Html::parse_document(&answer.text());
    let selector = Selector::parse(selector).expect("a selector");
    page.select(&selector).filter_map(|element| element.attr(name)).map(str::to_owned).collect()
}

/// Returns the value of a field of a form.
#[track_caller]
fn value(answer: &Answer, name: &str) -> String {
    attributes(answer, &format!("main input[name='{name}']"), "value")
        .pop()
        .unwrap_or_else(|| panic!("{name}"))
}

/// Checks a form that is shown again: its status, its summary, and what was entered.
#[track_caller]
fn refused(answer: &Answer, status: u16, why: &str, (name, kept): (&str, &str)) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(texts(answer, "[role=alert]"), [format!("{why}. Nothing is saved.")]);
    assert_eq!(value(answer, name), kept, "what was entered stays");
}

/// Creates a key and returns its secret.
fn key(app: &TestApp, body: &Value) -> String {
    text(&app.admin().post("/api/v1/keys", body).expect(201, "a key")["key"], "secret").to_owned()
}

#[test]
fn each_page_of_the_navigation_opens_for_each_key() {
    let app = TestApp::start();
    app.admin().create(&json!({"url": "https://e.test/"}));
    let scopes = [
        "links.readonly",
        "links.write",
        "snapshots.readonly",
        "snapshots.write",
        "admin",
        "metrics.readonly",
        "analytics.readonly",
    ];
    let instance = |scope| json!({"name": "k", "scopes": [scope], "instance": true});
    let workspace = |scope| json!({"name": "k", "scopes": [scope]});
    let keys: Vec<_> = scopes
        .iter()
        .flat_map(|scope| [(scope, instance(scope)), (scope, workspace(scope))])
        .filter(|(scope, body)| **scope != "metrics.readonly" || body["instance"] == true)
        .map(|(scope, body)| (format!("{scope} {body}"), key(&app, &body)))
        .chain([("all".to_owned(), KEY.to_owned())])
        .collect();
    for (name, secret) in keys {
        let mut person = Person::sign_in(&app, &secret);
        let home = person.get("/admin/settings");
        let links = attributes(&home, "nav.side a", "href");
        assert!(links.contains(&"/admin/settings".to_owned()), "{name}: {links:?}");
        for path in links {
            let page = person.get(&path);
            assert_eq!(page.status, 200, "{name}: {path}: {}", page.text());
            assert!(page.text().len() <= PAGE_MAX, "{path}");
            assert_eq!(texts(&page, "nav.side [aria-current=page]").len(), 1, "{name}: {path}");
            assert!(!page.text().contains(" style="), "{path}");
            // Every page leads on, and buttons are for keys that may press them.
            for create in attributes(&page, "main .actions a.primary", "href") {
                let form = person.get(&create);
                assert_eq!(form.status, 200, "{name}: {create}");
            }
        }
        // The brand leads there from each page.
        assert!(matches!(person.get("/admin").status, 200 | 303), "{name}");
    }
}

#[test]
fn tags_and_campaigns_are_created_changed_and_deleted() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    for (path, one) in [("/admin/tags", "tag"), ("/admin/campaigns", "campaign")] {
        let new = format!("{path}/new");
        assert!(texts(&person.get(path), ".empty a").contains(&format!("Create the first {one}")));
        let form = [("name", "News & <b>"), ("color", "#b3261e")];
        assert_eq!(led(&person.post(&new, &form)), format!("{path}?done=created"));
        let nameless = person.post(&new, &[("name", " "), ("color", "#b3261e")]);
        refused(&nameless, 422, "name: must not be empty", ("name", ""));
        let list = person.get(path);
        assert_eq!(texts(&list, "td a.name"), ["News & <b>"]);
        assert_eq!(texts(&list, "td[data-label=Links]"), ["0"]);
        let page = attributes(&list, "td a.name", "href").pop().expect("its page");
        let id = page.rsplit('/').next().expect("an id").to_owned();
        let field = if one == "tag" { json!({"tagIds": [id]}) } else { json!({"campaignId": id}) };
        let mut link = json!({"url": "https://e.test/"});
        link.as_object_mut().expect("an object").extend(field.as_object().expect("an object").clone());
        app.admin().create(&link);
        app.admin().create(&json!({"url": "https://e.test/"}));
        let list = person.get(path);
        assert_eq!(texts(&list, "td[data-label=Links]"), ["1"]);
        // The list of links with it has this one link.
        let links = attributes(&list, "td.rows a", "href");
        assert_eq!(texts(&person.get(&links[0]), "main .head .soft"), ["1"]);
        assert!(links[1].starts_with(&format!("/admin/statistics?{one}=%22News")), "{links:?}");

        let long = "x".repeat(300);
        let refusal = person.post(&page, &[("name", &long), ("color", "#000000")]);
        assert_eq!((refusal.status, value(&refusal, "name")), (422, long));
        assert_eq!(
            led(&person.post(&page, &[("name", "Print"), ("color", "#112233")])),
            format!("{path}?done=saved")
        );
        let stored = app.admin().get(&format!("/api/v1/{one}s")).json();
        assert_eq!(stored[format!("{one}s")][0]["name"], "Print");
        if one == "tag" {
            assert_eq!(stored["tags"][0]["color"], "#112233");
            let taken = person.post(&new, &[("name", "print"), ("color", "#112233")]);
            refused(&taken, 409, "name: is already in use", ("name", "print"));
        }
        let shown = texts(&person.get(&page), "main").concat();
        assert!(shown.contains(&format!("1 link loses the {one}, and stays as before")), "{shown}");
        assert_eq!(led(&person.post(&format!("{page}/delete"), &[])), format!("{path}?done=deleted"));
        assert_eq!(person.get(&page).status, 404);
        assert_eq!(app.admin().get("/api/v1/links").json()["total"], if one == "tag" { 2 } else { 4 });
    }
    let mut reader = Person::sign_in(&app, &key(&app, &json!({"name": "r", "scopes": ["links.readonly"]})));
    assert!(!reader.get("/admin/tags").text().contains("/admin/tags/new"));
    assert_eq!(reader.get("/admin/tags/new").status, 403);
    let denied = reader.post("/admin/tags/new", &[("name", "x")]);
    refused(&denied, 403, "this key lacks the scope links.write", ("name", "x"));
}

#[test]
fn lists_have_pages_and_a_search() {
    let app = TestApp::start();
    for number in 0..60 {
        app.admin()
            .post("/api/v1/campaigns", &json!({"name": format!("Spring {number}")}))
            .expect(201, "one");
    }
    app.admin().post("/api/v1/campaigns", &json!({"name": "Spring 7"})).expect(201, "of the same name");
    let mut person = Person::sign_in(&app, KEY);
    let first = person.get("/admin/campaigns");
    assert_eq!(texts(&first, ".head .soft"), ["61"]);
    let mut names = texts(&first, "td a.name");
    let mut next = attributes(&first, ".pager a[rel=next]", "href");
    let mut pages = 1;
    while let Some(path) = next.pop() {
        let page = person.get(&path);
        names.extend(texts(&page, "td a.name"));
        next = attributes(&page, ".pager a[rel=next]", "href");
        pages += 1;
    }
    assert_eq!((pages, names.len()), (3, 61));
    let found = person.get("/admin/campaigns?search=spring+7");
    assert_eq!(texts(&found, "td a.name"), ["Spring 7", "Spring 7"]);
    // A name of two campaigns would show the links of both.
    let links = attributes(&found, "td.rows a:first-child", "href");
    assert!(links.iter().all(|link| !link.contains("Spring")), "{links:?}");
    assert_eq!(texts(&person.get("/admin/campaigns?search=zzz"), ".empty a"), ["Show all"]);
    assert_eq!(texts(&person.get("/admin/campaigns?page=99999999999999999999"), "td a.name").len(), 25);
}

#[test]
fn a_domain_is_added_with_all_its_options_and_removed() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let list = person.get("/admin/domains");
    assert_eq!(texts(&list, "td a.name"), [HOST]);
    let wrong = person.post("/admin/domains/new", &[("domain", "no host"), ("rootUrl", "https://e.test/")]);
    assert_eq!((wrong.status, value(&wrong, "rootUrl")), (422, "https://e.test/".to_owned()));
    let added = led(&person.post("/admin/domains/new", &[("domain", "shop.test"), ("caseSensitive", "on")]));
    let page = added.strip_suffix("?done=created").expect("its page").to_owned();
    let api = page.replace("/admin", "/api/v1");
    let shown = person.get(&page);
    let words = texts(&shown, "main").concat();
    assert!(words.contains("This server has no certificate for the name."), "{words}");
    assert!(words.contains("“domain”"), "{words}");
    let tag = value(&shown, "tag");
    let options = [
        ("rootUrl", "https://e.test/"),
        ("notFoundUrl", "https://e.test/404"),
        ("expiredUrl", "https://e.test/410"),
        ("baseUrl", "https://shop.test:8443"),
        ("showDestination", "on"),
        ("publicQr", "on"),
        ("qrForeground", "#1a237e"),
        ("qrBackground", "#fffde7"),
        ("tag", tag.as_str()),
    ];
    assert_eq!(led(&person.post(&page, &options)), format!("{page}?done=saved"));
    let stored = app.admin().get(&api).json()["domain"].clone();
    for (name, want) in options.iter().filter(|(name, _)| *name != "tag") {
        let want = if *want == "on" { json!(true) } else { json!(want) };
        let got = if name.starts_with("qr") {
            json!(format!("#{}", text(&stored, name).trim_start_matches('#')))
        } else {
            stored[*name].clone()
        };
        assert_eq!(got, want, "{name}");
    }
    assert_eq!(stored["caseSensitive"], false, "a box that is not checked is false");
    // The form shows what is stored, and saved as it is it changes nothing.
    let shown = person.get(&page);
    assert_eq!(value(&shown, "notFoundUrl"), "https://e.test/404");
    // The first form is that of somebody who has not seen these options.
    let stale = person.post(&page, &[("tag", tag.as_str()), ("rootUrl", "https://other.test/")]);
    assert_eq!((stale.status, value(&stale, "rootUrl")), (412, "https://other.test/".to_owned()));
    let tag = value(&shown, "tag");
    let wrong = person.post(&page, &[("tag", tag.as_str()), ("qrForeground", "red")]);
    assert_eq!((wrong.status, value(&wrong, "qrForeground")), (422, "red".to_owned()));
    assert_eq!(texts(&wrong, ".fields .error").len(), 1, "the field has the rule");
    // Empty fields are cleared.
    assert_eq!(led(&person.post(&page, &[("tag", tag.as_str())])), format!("{page}?done=saved"));
    let stored = app.admin().get(&api).json()["domain"].clone();
    assert_eq!((&stored["rootUrl"], &stored["qrForeground"]), (&json!(null), &json!(null)));
    assert_eq!(stored["baseUrl"], "https://shop.test");

    app.admin().create(&json!({"url": "https://e.test/", "domain": "shop.test", "customSlug": "a"}));
    assert!(texts(&person.get(&page), "main").concat().contains("A domain is removed only without links."));
    assert_eq!(person.post(&format!("{page}/delete"), &[]).status, 422);
    app.admin().delete("/api/v1/links/by-code/a?domain=shop.test").expect(200, "deleted");
    assert_eq!(led(&person.post(&format!("{page}/delete"), &[])), "/admin/domains?done=deleted");
    assert_eq!(person.get(&page).status, 404);
    let mut reader = Person::sign_in(&app, &key(&app, &json!({"name": "r", "scopes": ["links.readonly"]})));
    let shown = reader.get("/admin/domains/00000000000000000000");
    assert_eq!((shown.status, texts(&shown, "main form").len()), (200, 0));
    assert!(texts(&shown, "dl.facts dt").contains(&"Public QR codes".to_owned()));
}

#[test]
fn files_of_a_domain_are_uploaded_and_removed() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let page = "/admin/domains/00000000000000000000";
    let logo = format!("{page}/logo");
    let refusal = person.upload(&logo, &[], Some(("a.gif", b"GIF89a")));
    assert_eq!((refusal.status, texts(&refusal, "[role=alert]").len()), (422, 1));
    assert!(texts(&person.upload(&logo, &[], None), "[role=alert]")[0].contains("choose a PNG or an SVG"));
    assert_eq!(
        led(&person.upload(&logo, &[], Some(("a.svg", LOGO.as_bytes())))),
        format!("{page}?done=saved")
    );
    assert_eq!(attributes(&person.get(page), "main img", "src"), std::slice::from_ref(&logo));
    let picture = person.get(&logo);
    assert_eq!((picture.status, picture.header("content-type")), (200, Some("image/svg+xml")));
    assert!(picture.header("content-security-policy").expect("a policy").contains("default-src 'none'"));
    assert_eq!(led(&person.post(&logo, &[("remove", "yes")])), format!("{page}?done=saved"));
    assert_eq!(person.get(&logo).status, 404);

    let apps = format!("{page}/apps");
    let file =
        r#"{"applinks":{"details":[{"appIDs":["ABCDE12345.com.example.app"],"components":[{"/":"/*"}]}]}}"#;
    let name = "apple-app-site-association";
    let wrong = person.post(&apps, &[("file", name), ("content", r#"{"applinks":{}}"#)]);
    assert_eq!(wrong.status, 422);
    assert!(texts(&wrong, "[role=alert]")[0].contains("applinks.details must be an array"));
    assert_eq!(texts(&wrong, "#apple"), [r#"{"applinks":{}}"#], "what was entered stays");
    assert_eq!(led(&person.post(&apps, &[("file", name), ("content", file)])), format!("{page}?done=saved"));
    assert_eq!(texts(&person.get(page), "#apple"), [file]);
    assert_eq!(app.visitor().get(&format!("/.well-known/{name}")).status, 200);
    // What phones may not know is saved, and named.
    let noted = file.replace("\"components\"", "\"x\":1,\"components\"");
    let noted = person.post(&apps, &[("file", name), ("content", &noted)]);
    assert_eq!(noted.status, 200);
    assert!(texts(&noted, ".warnings")[0].starts_with("Saved."), "{}", noted.text());
    assert_eq!(led(&person.post(&apps, &[("file", name), ("content", "")])), format!("{page}?done=saved"));
    assert_eq!(app.visitor().get(&format!("/.well-known/{name}")).status, 404);
    assert_eq!(person.post(&apps, &[("file", "../x"), ("content", "{}")]).status, 422);
}

#[test]
fn a_key_is_created_shown_once_used_and_revoked() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let none = person.post("/admin/keys/new", &[("name", "Ada"), ("reach", "instance")]);
    refused(&none, 422, "scopes: must not be empty", ("name", "Ada"));
    assert_eq!(texts(&none, "fieldset .error"), ["must not be empty"]);
    let unknown = [("name", "Ada"), ("reach", "workspace:nowhere"), ("scopes", "links.write")];
    let unknown = person.post("/admin/keys/new", &unknown);
    assert_eq!(texts(&unknown, ".fields .error").len(), 1, "{}", unknown.text());
    let reach = attributes(&person.get("/admin/keys/new"), "select[name=reach] option", "value");
    assert!(reach.last().is_some_and(|last| last == "instance"), "{reach:?}");
    let form = [
        ("name", "ShareX <&>"),
        ("reach", reach[0].as_str()),
        ("scopes", "links.write"),
        ("scopes", "snapshots.readonly"),
        ("expiresAt", "2035-01-01T10:00"),
    ];
    let made = person.post("/admin/keys/new", &form);
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")));
    let secret = texts(&made, "section.card.narrow pre").pop().expect("the secret");
    let listed = person.get("/admin/keys");
    assert!(!listed.text().contains(&secret), "it is shown once");
    let row = texts(&listed, "tbody tr").pop().expect("the key");
    for part in ["ShareX <&>", "changes links, sees snapshots", "1 Jan 2035, 10:00 UTC", &secret[..6]] {
        assert!(row.contains(part), "{part}: {row}");
    }
    // What ShareX does with its file.
    let file = attributes(&made, "a[download]", "href").pop().expect("a file");
    let (_, encoded) = file.split_once(',').expect("a data URL");
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().expect("text").into_owned();
    let config: Value = serde_json::from_str(&decoded).expect("JSON");
    assert_eq!(config["Headers"]["Authorization"], format!("Bearer {secret}"));
    let path = text(&config, "RequestURL").strip_prefix("http://go.test").expect("this server").to_owned();
    let body = text(&config, "Data").replace("{input}", "https://e.test/sharex");
    let sent = [("Authorization", text(&config["Headers"], "Authorization"))];
    let answer = app.visitor().send(text(&config, "RequestMethod"), &path, &sent, Some(body.as_bytes()));
    let link = answer.expect(201, "a link of ShareX");
    assert!(text(&link["link"], "shortUrl").starts_with("http://go.test/"), "{link}");
    assert_eq!(
        (&config["URL"], &config["ErrorMessage"]),
        (&json!("{json:link.shortUrl}"), &json!("{json:error}"))
    );
    // A bookmark opens the form of a new link with the address of a page.
    let bookmark = attributes(&made, "a[href^='javascript:']", "href").pop().expect("a bookmark");
    assert!(
        bookmark.contains("http://go.test/admin/new?url='+encodeURIComponent(location.href)"),
        "{bookmark}"
    );

    // A person with this key has no list of keys, and cannot create any.
    let mut other = Person::sign_in(&app, &secret);
    let page = other.get("/admin/keys");
    assert_eq!((page.status, texts(&page, "table").len()), (200, 0));
    assert!(page.text().contains("YOUR_KEY") && !page.text().contains(&secret));
    assert_eq!(other.get("/admin/keys/new").status, 403);
    assert_eq!(other.post("/admin/keys/new", &form).status, 403);

    let revoke = attributes(&listed, "form[action$=revoke]", "action").pop().expect("a button");
    assert_eq!(other.post(&revoke, &[]).status, 403);
    assert_eq!(led(&person.post(&revoke, &[])), "/admin/keys?done=revoked");
    assert!(led(&other.get("/admin/keys")).starts_with("/admin/sign-in"), "its sessions end");
    let refused = app.visitor().send("POST", &path, &sent, Some(body.as_bytes()));
    assert_eq!(refused.status, 401);
}

#[test]
fn workspaces_and_companies_are_created_and_changed() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let wrong = [("name", "Acme"), ("relationshipNumber", "1"), ("id", "")];
    let wrong = person.post("/admin/companies/new", &wrong);
    let why = "relationshipNumber: must be three groups of digits such as 0-128-926";
    refused(&wrong, 422, why, ("name", "Acme"));
    let company = [("name", "Acme"), ("relationshipNumber", "0-128-926"), ("id", "acme")];
    assert_eq!(led(&person.post("/admin/companies/new", &company)), "/admin/workspaces?done=created");
    let form = [
        ("name", "Shop"),
        ("companyId", "acme"),
        ("credits", "5"),
        ("timezone", "Europe/Berlin"),
        ("id", "shop"),
    ];
    assert_eq!(led(&person.post("/admin/workspaces/new", &form)), "/admin/workspaces/shop?done=created");
    let list = person.get("/admin/workspaces");
    assert!(
        texts(&list, "tbody tr").iter().any(|row| row.starts_with("Shop Acme go.test 5")),
        "{}",
        list.text()
    );
    assert!(texts(&list, "tbody tr").iter().any(|row| row == "Acme 0-128-926 1"), "{}", list.text());

    let page = "/admin/workspaces/shop";
    let shown = person.get(page);
    assert_eq!(
        (value(&shown, "timezone"), value(&shown, "defaultDomain")),
        ("Europe/Berlin".to_owned(), String::new())
    );
    let (tag, credits) = (value(&shown, "tag"), value(&shown, "credits-shown"));
    // Between the form and its button, somebody has used a credit. The form does not give it back.
    let mut owner = app.admin().with("X-Workspace-Id", "shop");
    owner.create(&json!({"url": "https://e.test/"}));
    let form = [
        ("name", "Shop 2"),
        ("credits", credits.as_str()),
        ("credits-shown", credits.as_str()),
        ("tag", tag.as_str()),
        ("timezone", ""),
        ("checkLinks", "on"),
        ("qrForeground", "#1a237e"),
        ("customValues", "page = sale?a=b\r\nteam = x"),
    ];
    assert_eq!(led(&person.post(page, &form)), format!("{page}?done=saved"));
    let stored = app.admin().get("/api/v1/workspaces/shop").json()["workspace"].clone();
    assert_eq!((&stored["name"], &stored["credits"]), (&json!("Shop 2"), &json!(4)));
    assert_eq!((&stored["statistics"], &stored["checkLinks"]), (&json!(false), &json!(true)));
    assert_eq!((&stored["timezone"], &stored["defaultDomain"]), (&json!("UTC"), &json!(HOST)));
    assert_eq!(stored["customValues"], json!({"page": "sale?a=b", "team": "x"}));
    let tag = value(&person.get(page), "tag");
    for (field, entered, why) in [
        ("credits", "-1", "credits: must be a whole number"),
        ("customValues", "page", "customValues: each line must be NAME = value, and one is page"),
        ("timezone", "Mars", "timezone: must be a name of the IANA database"),
        ("defaultDomain", "nowhere.test", "defaultDomain: "),
    ] {
        let refusal =
            person.post(page, &[("name", "Shop 3"), ("tag", &tag), ("statistics", "on"), (field, entered)]);
        assert!(matches!(refusal.status, 400 | 422), "{field}: {}", refusal.status);
        let summary = texts(&refusal, "[role=alert]").concat();
        assert!(summary.starts_with(why), "{summary}");
        assert_eq!(texts(&refusal, ".fields .error").len(), 1, "{field}");
        assert_eq!(value(&refusal, "name"), "Shop 3", "{field}");
    }
    let unbound = [("name", "Shop 2"), ("tag", &tag), ("credits", ""), ("credits-shown", "4")];
    assert_eq!(led(&person.post(page, &unbound)), format!("{page}?done=saved"));
    assert_eq!(app.admin().get("/api/v1/workspaces/shop").json()["workspace"]["credits"], json!(null));
    assert_eq!(
        led(&person.upload(&format!("{page}/logo"), &[], Some(("a.svg", LOGO.as_bytes())))),
        format!("{page}?done=saved")
    );
    assert_eq!(person.get(&format!("{page}/logo")).status, 200);
    assert_eq!(
        led(&person.post(&format!("{page}/logo"), &[("remove", "yes")])),
        format!("{page}?done=saved")
    );

    let secret = format!("{page}/webhook-secret");
    let first = texts(&person.get(&secret), "main pre");
    assert_eq!(led(&person.post(&format!("{secret}/rotate"), &[])), format!("{secret}?done=rotated"));
    let second = person.get(&secret);
    assert_ne!(texts(&second, "main pre"), first);
    assert!(texts(&second, "dl.facts dt").contains(&"The former one signs until".to_owned()));
    let mut writer = Person::sign_in(&app, &key(&app, &json!({"name": "w", "scopes": ["links.write"]})));
    for path in ["/admin/workspaces", page, &secret, "/admin/workspaces/new", "/admin/audit"] {
        assert_eq!(writer.get(path).status, 403, "{path}");
    }
}

#[test]
fn the_audit_list_is_filtered() {
    let app = TestApp::start();
    let ada = key(&app, &json!({"name": "Ada", "scopes": ["links.write"]}));
    app.advance(Duration::from_mins(1));
    let link = app.visitor().with_key(&ada).create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    app.admin().patch("/api/v1/links/by-code/a", &json!({"title": "x"})).expect(200, "a change");
    let mut person = Person::sign_in(&app, KEY);
    let list = person.get("/admin/audit");
    let rows = texts(&list, "tbody tr");
    assert!(rows[0].starts_with("edit link go.test/a") && rows[0].contains("title"), "{rows:?}");
    assert!(rows[0].contains("the operator") && rows[1].contains("Ada"), "{rows:?}");
    let page = format!("/admin/links/{}", text(&link, "id"));
    assert_eq!(attributes(&list, "tbody td a", "href")[0], page);
    for (query, want) in [
        ("key=Ada", 1),
        ("key=operator&kind=link", 1),
        ("kind=key", 1),
        ("operation=edit", 1),
        ("link=a", 2),
        ("from=2026-01-01&to=2026-01-02", 3),
        ("from=2025-01-01&to=2025-01-02", 0),
        ("kind=&operation=&key=", 3),
    ] {
        assert_eq!(texts(&person.get(&format!("/admin/audit?{query}")), "tbody tr").len(), want, "{query}");
    }
    for (query, why) in [
        ("from=2026-01-02&to=2026-01-01", "from: must be before to"),
        ("kind=cat", "kind: must be one of"),
        ("cursor=x", "cursor: must be"),
    ] {
        let page = person.get(&format!("/admin/audit?key=Ada&{query}"));
        assert!(matches!(page.status, 400 | 422), "{query}");
        assert!(texts(&page, "[role=alert]")[0].starts_with(why), "{}", page.text());
        assert_eq!(value(&page, "key"), "Ada", "the form stays");
        assert_eq!(texts(&page, ".empty a"), ["Show all changes"]);
    }
    for number in 0..60 {
        app.admin().post("/api/v1/tags", &json!({"name": format!("t{number}")})).expect(201, "a tag");
    }
    let first = person.get("/admin/audit?kind=tag");
    assert_eq!(texts(&first, "tbody tr").len(), 50);
    let next = attributes(&first, ".pager a[rel=next]", "href").pop().expect("a page");
    let second = person.get(&next);
    assert_eq!(texts(&second, "tbody tr").len(), 10);
    assert_eq!(attributes(&second, ".pager a[rel=first]", "href"), ["/admin/audit?kind=tag"]);
}

#[test]
fn sessions_are_ended_and_choices_kept() {
    let app = TestApp::start();
    let ada = key(&app, &json!({"name": "Ada", "scopes": ["links.readonly"]}));
    let (mut person, mut other) = (Person::sign_in(&app, KEY), Person::sign_in(&app, &ada));
    let page = person.get("/admin/settings");
    let rows = texts(&page, "tbody tr");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows.iter().any(|row| row.contains("Ada")) && rows.iter().any(|row| row.contains("this one")),
        "{rows:?}"
    );
    // Without `admin`, a person sees the sessions of the own key.
    let own = other.get("/admin/settings");
    assert_eq!(texts(&own, "tbody tr").len(), 1);
    let ends = attributes(&page, "form[action$=end]", "action");
    let of_other = attributes(&own, "form[action$=end]", "action");
    let of_person = ends.iter().find(|path| !of_other.contains(path)).expect("the session of the operator");
    // One that a person cannot see is as one that is over.
    assert_eq!(led(&other.post(of_person, &[])), "/admin/settings?done=ended");
    assert_eq!(person.get("/admin").status, 200);
    assert_eq!(led(&person.post(&of_other[0], &[])), "/admin/settings?done=ended");
    assert!(led(&other.get("/admin")).starts_with("/admin/sign-in"));
    assert_eq!(person.post("/admin/sessions/nonsense/end", &[]).status, 404);

    let off = person.post("/admin/choice", &[("keys", "off"), ("back", "/admin/settings")]);
    assert_eq!(led(&off), "/admin/settings");
    assert!(off.header("set-cookie").expect("a cookie").starts_with("waypost-keys=off;"));
    assert_eq!(texts(&page, "#keys dt").len(), 9);
    // Its own session as well: the way out.
    assert_eq!(led(&person.post(of_person, &[])), "/admin/settings?done=ended");
    assert!(led(&person.get("/admin/settings")).starts_with("/admin/sign-in"));
}

#[test]
fn health_is_in_words_for_those_who_may_read_it() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let page = person.get("/admin/settings");
    assert_eq!(texts(&page, "h2 .badge"), ["no problem known"]);
    let facts = texts(&page, "main > section:first-of-type dl.facts dt");
    for name in
        ["Version", "Running for", "Position of the log", "Size of the log", "Disk", "Table", "Backups"]
    {
        assert!(facts.contains(&name.to_owned()), "{name}: {facts:?}");
    }
    let value = texts(&page, "main > section:first-of-type dl.facts dd");
    assert!(value.contains(&"has room: writes are accepted".to_owned()), "{value:?}");
    let mut reader = Person::sign_in(&app, &key(&app, &json!({"name": "r", "scopes": ["links.readonly"]})));
    let page = reader.get("/admin/settings");
    assert!(texts(&page, "main > section:first-of-type dl.facts dt").is_empty());
    assert!(!page.text().contains("Position of the log"));
}

#[test]
fn browsers_can_add_the_dashboard() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let page = person.get("/admin/settings");
    let manifest = attributes(&page, "link[rel=manifest]", "href").pop().expect("a manifest");
    let search = attributes(&page, "link[rel=search]", "href").pop().expect("a search");
    assert!(
        attributes(&person.get("/admin/tags"), "link[rel=manifest]", "href").is_empty(),
        "three requests a page"
    );
    // Without a cookie, as browsers request both.
    let manifest = app.visitor().get(&manifest);
    assert_eq!((manifest.status, manifest.header("content-type")), (200, Some("application/manifest+json")));
    let manifest: Value = serde_json::from_str(&manifest.text()).expect("JSON");
    assert_eq!(manifest["start_url"], "/admin");
    let icon = app.visitor().get(text(&manifest["icons"][0], "src"));
    assert_eq!((icon.status, icon.header("content-type")), (200, Some("image/svg+xml")));
    let search = app.visitor().get(&search);
    let kind = "application/opensearchdescription+xml; charset=utf-8";
    assert_eq!((search.status, search.header("content-type")), (200, Some(kind)));
    let template = "template=\"http://go.test/admin/links?search={searchTerms}\"";
    assert!(search.text().contains(template), "{}", search.text());
    let other = app.visitor().at("other.test").get("/admin/manifest.webmanifest");
    assert_eq!(other.status, 404, "on its own host alone");
    assert_eq!(app.clock().now().as_millis(), START, "no test waits");
}
