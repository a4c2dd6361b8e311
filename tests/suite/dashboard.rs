//! The dashboard over HTTP: signing in, what other sites and hosts cannot do, and the forms of links.

use serde_json::json;

use crate::support::app::{KEY, TestApp};
use crate::support::http::{Answer, Client, text};

/// The type of forms.
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A browser that is signed in.
pub(crate) struct Person {
    client: Client,
    pub(crate) cookie: String,
    token: String,
}

impl Person {
    /// Signs in with a key.
    pub(crate) fn sign_in(app: &TestApp, key: &str) -> Person {
        let mut client = app.visitor();
        let form = form(&[("key", key)]);
        let answer =
            client.send_form("/admin/sign-in", &[FORM, ("Sec-Fetch-Site", "same-origin")], form.as_bytes());
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie =
            answer.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
        let mut person = Person { client, cookie, token: String::new() };
        // The one page that every key may open.
        let page = person.get("/admin/settings").text();
        let (_, rest) = page.split_once("name=\"token\" value=\"").expect("a form");
        rest[..32].clone_into(&mut person.token);
        person
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.client.send("GET", path, &[("Cookie", &self.cookie)], None)
    }

    /// Sends a form with the token of the session.
    pub(crate) fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token.clone();
        let fields = [&[("token", token.as_str())], fields].concat();
        self.send(path, &[("Sec-Fetch-Site", "same-origin")], &fields)
    }

    /// Sends a form with a file, as browsers do: with the token of the session.
    pub(crate) fn upload(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        file: Option<(&str, &[u8])>,
    ) -> Answer {
        let token = self.token.clone();
        let mut body = Vec::new();
        for (name, value) in [("token", token.as_str())].iter().chain(fields) {
            let head = format!("--BoUnDaRy\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            // Browsers send all line breaks of a text so.
            body.extend_from_slice(value.replace("\r\n", "\n").replace('\n', "\r\n").as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        // A field without a file is sent as well, without a name and empty.
        let (name, content) = file.unwrap_or(("", b""));
        let head = format!(
            "--BoUnDaRy\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--BoUnDaRy--\r\n");
        let headers = [
            ("Cookie", self.cookie.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", "multipart/form-data; boundary=BoUnDaRy"),
        ];
        self.client.send_form(path, &headers, &body)
    }

    fn send(&mut self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let headers = [&[("Cookie", self.cookie.as_str()), FORM], headers].concat();
        self.client.send_form(path, &headers, form(fields).as_bytes())
    }
}

/// Returns names and values of the hidden fields up to the end of the first form, but for the token.
pub(crate) fn hidden(html: &str) -> Vec<(String, String)> {
    let form = html.split("</form>").next().expect("a form");
    let field = |part: &str| {
        let (name, rest) = part.split_once("\" value=\"")?;
        Some((name.to_owned(), unescaped(rest.split('"').next()?)))
    };
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1).filter_map(field);
    fields.filter(|(name, _)| name != "token").collect()
}

/// Returns the text of escaped HTML.
pub(crate) fn unescaped(html: &str) -> String {
    let entities = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
    entities.iter().fold(html.to_owned(), |text, (entity, char)| text.replace(entity, char))
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Returns where a form leads.
#[track_caller]
pub(crate) fn led(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").expect("a location").to_owned()
}

#[test]
fn a_session_begins_with_a_key_and_ends_with_it() {
    let app = TestApp::start();
    let mut visitor = app.visitor();
    // Without a session, every page leads to the form, which leads back.
    let asked = visitor.get("/admin/links?search=a");
    assert_eq!(led(&asked), "/admin/sign-in?next=%2Fadmin%2Flinks%3Fsearch%3Da");
    let refused = visitor.send_form("/admin/sign-in", &[FORM], b"key=wp_wrong&next=/admin/links");
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("This key is unknown, revoked or expired."));
    assert!(refused.header("set-cookie").is_none());

    let key = app.admin().post("/api/v1/keys", &json!({"name": "Ada", "scopes": ["links.readonly"]})).json();
    let mut person = Person::sign_in(&app, text(&key["key"], "secret"));
    let page = person.get("/admin/links");
    assert_eq!(page.status, 200);
    // The secret of the key is in no cookie and on no page.
    assert!(
        !person.cookie.contains(text(&key["key"], "secret"))
            && !page.text().contains(text(&key["key"], "secret"))
    );
    assert!(page.text().contains("Signed in with Ada"));
    // A key that may not write has no buttons, and its forms are refused by the API.
    assert!(!page.text().contains("/admin/links/new"));
    let refused = person.post("/admin/links/new", &[("url", "https://e.test/"), ("isActive", "on")]);
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("this key lacks the scope links.write"), "{}", refused.text());

    app.admin().delete(&format!("/api/v1/keys/{}", text(&key["key"], "id")));
    assert!(led(&person.get("/admin/links")).starts_with("/admin/sign-in"), "the key was revoked");
}

#[test]
fn other_sites_and_stolen_cookies_change_nothing() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let link = [("url", "https://e.test/"), ("isActive", "on")];
    let token = person.token.clone();
    let with_token = [&[("token", token.as_str())][..], &link].concat();
    // The cookie alone, as a stolen one, or one that a browser has sent along.
    for (headers, fields) in [
        (&[("Sec-Fetch-Site", "same-origin")][..], &link[..]),
        (&[("Sec-Fetch-Site", "cross-site")], &with_token),
        (&[("Sec-Fetch-Site", "same-site")], &with_token),
        (&[("Sec-Fetch-Site", "none")], &with_token),
        (&[("Origin", "https://evil.test")], &with_token),
        (&[("Origin", "null")], &with_token),
        (&[], &link),
    ] {
        let refused = person.send("/admin/links/new", headers, fields);
        assert_eq!(refused.status, 403, "{headers:?}");
        assert!(refused.text().contains("nothing was changed"), "{headers:?}");
    }
    let mut other = Person::sign_in(&app, KEY);
    let foreign = other.token.clone();
    let foreign = [&[("token", foreign.as_str())][..], &link].concat();
    assert_eq!(person.send("/admin/links/new", &[("Sec-Fetch-Site", "same-origin")], &foreign).status, 403);
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 0);
    // A page of another site has opened this one: the browser keeps the cookie back, and sends it to the next page.
    let opened = app.visitor().send(
        "GET",
        "/admin/new?url=https://e.test/",
        &[("Sec-Fetch-Site", "cross-site")],
        None,
    );
    assert_eq!(opened.status, 200);
    assert!(opened.text().contains("content=\"0;url=/admin/new?url=https://e.test/\""), "{}", opened.text());
    // Signing out ends the session, and its cookie opens nothing afterwards.
    assert_eq!(led(&person.post("/admin/sign-out", &[])), "/admin/sign-in");
    assert!(led(&person.get("/admin")).starts_with("/admin/sign-in"));
    assert_eq!(other.get("/admin").status, 200);
}

#[test]
fn the_dashboard_is_on_its_own_host_alone() {
    let app = TestApp::start();
    app.admin().post("/api/v1/domains", &json!({"domain": "other.test"})).expect(201, "a domain");
    let mut person = Person::sign_in(&app, KEY);
    let cookie = person.cookie.clone();
    for path in ["/admin", "/admin/links", "/admin/sign-in", "/admin/assets/app.css"] {
        let elsewhere = app.visitor().at("other.test").send("GET", path, &[("Cookie", &cookie)], None);
        assert_eq!(elsewhere.status, 404, "{path}");
    }
    let page = person.get("/admin");
    let policy = page.header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{policy}");
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    // One sheet and one script, by addresses that never change their content.
    for part in page.text().split(['"']).filter(|part| part.starts_with("/admin/assets/")) {
        let asset = person.get(part);
        assert_eq!(
            (asset.status, asset.header("cache-control")),
            (200, Some("public, max-age=31536000, immutable"))
        );
        assert!(policy.contains(part), "{policy}");
        assert!(asset.text().len() < 20 * 1024, "{part}");
    }
}

#[test]
fn links_are_created_changed_undone_deleted_and_restored() {
    let app = TestApp::start();
    let mut person = Person::sign_in(&app, KEY);
    let refused =
        person.post("/admin/links/new", &[("url", "nonsense"), ("title", "Kept <b>"), ("isActive", "on")]);
    assert_eq!(refused.status, 422);
    let page = refused.text();
    assert!(
        page.contains("role=\"alert\"") && page.contains("Kept &#60;b&#62;"),
        "what was entered stays: {page}"
    );
    let form = [
        ("url", "https://e.test/a"),
        ("customSlug", "spring"),
        ("title", "Spring"),
        ("tags", "News, Print"),
        ("isActive", "on"),
        ("statistics", "on"),
        ("expiresAt", "2035-01-01T10:00"),
        ("maxClicks", "100"),
        ("utmSource", "mail"),
        ("r0-outcome", "url"),
        ("r0-enabled", "on"),
        ("r0-name", "iPhone"),
        ("r0-url", "https://e.test/ios"),
        ("r0-c0-field", "os"),
        ("r0-c0-operator", "in"),
        ("r0-c0-value", "iOS"),
    ];
    let path = led(&person.post("/admin/links/new", &form));
    let path = path.split('?').next().expect("a path").to_owned();
    let id = path.rsplit('/').next().expect("an id").to_owned();
    let link = app.admin().get(&format!("/api/v1/links/{id}")).json()["link"].clone();
    assert_eq!((&link["title"], &link["maxClicks"]), (&json!("Spring"), &json!(100)));
    assert_eq!(link["expiresAt"], "2035-01-01T10:00:00.000Z");
    assert_eq!(link["url"], "https://e.test/a?utm_source=mail");
    assert_eq!(link["rules"][0]["conditions"], json!([{"field": "os", "operator": "in", "value": ["iOS"]}]));
    assert_eq!(link["tags"].as_array().map(Vec::len), Some(2));
    let shown = person.get(&path).text();
    assert!(shown.contains("Spring") && shown.contains("https://e.test/a?utm_source=mail"), "{shown}");

    // The form of a link that somebody else has changed meanwhile saves nothing.
    let edit = person.get(&format!("{path}/edit")).text();
    let tag = edit.split_once("name=\"tag\" value=\"").expect("a tag").1.split_once("\">").expect("an end").0;
    let tag = tag.replace("&#34;", "\"");
    app.admin()
        .patch(&format!("/api/v1/links/{id}"), &json!({"notes": "by another"}))
        .expect(200, "a change");
    let mut stale = form.to_vec();
    stale[2].1 = "Summer";
    stale.push(("tag", &tag));
    let refused = person.post(&format!("{path}/edit"), &stale);
    assert_eq!(refused.status, 412, "{}", refused.text());
    stale.pop();
    stale.retain(|(name, _)| !name.starts_with("r0-"));
    assert!(led(&person.post(&format!("{path}/edit"), &stale)).ends_with("?done=saved"));
    let link = app.admin().get(&format!("/api/v1/links/{id}")).json()["link"].clone();
    assert_eq!(
        (&link["title"], &link["rules"], &link["notes"]),
        (&json!("Summer"), &json!([]), &json!(null))
    );

    // Buttons of the form save nothing.
    let more = person.post("/admin/links/new", &[("url", "https://e.test/b"), ("act", "rule-add")]);
    assert!(more.status == 200 && more.text().contains("Rule 1"), "{}", more.text());
    let tried = person
        .post(&format!("{path}/edit"), &[&form[..], &[("act", "explain"), ("test-os", "iOS")]].concat());
    assert!(tried.text().contains("https://e.test/ios"), "{}", tried.text());
    assert_eq!(app.admin().get("/api/v1/links").json()["total"], 1);

    assert!(led(&person.post(&format!("{path}/undo"), &[])).ends_with("?done=undone"));
    assert_eq!(app.admin().get(&format!("/api/v1/links/{id}")).json()["link"]["title"], "Spring");
    assert_eq!(led(&person.post(&format!("{path}/delete"), &[])), "/admin/links?done=deleted");
    assert_eq!(app.visitor().get("/spring").status, 404);
    assert!(person.get("/admin/links/deleted").text().contains("/spring"));
    assert!(led(&person.post(&format!("{path}/restore"), &[])).ends_with("?done=restored"));
    assert_eq!(app.visitor().get("/spring").status, 302);
    // From the page that shows where the link leads.
    let domains = app.admin().get("/api/v1/domains").json();
    let domain = format!("/api/v1/domains/{}", text(&domains["domains"][0], "id"));
    app.admin().patch(&domain, &json!({"showDestination": true})).expect(200, "a change");
    let shown = person.get("/spring+").text();
    assert!(shown.contains("href=\"/admin/code/spring\""), "{shown}");
    assert!(!app.visitor().get("/spring+").text().contains("/admin"));
    assert_eq!(led(&person.get("/admin/code/spring")), path);
    // Pictures of the code.
    for (file, kind) in [("qr.svg", "image/svg+xml"), ("qr.png", "image/png")] {
        let picture = person.get(&format!("{path}/{file}?size=256"));
        assert_eq!((picture.status, picture.header("content-type")), (200, Some(kind)));
    }
    let refused = person.get(&format!("{path}/qr?fg=%23ffffff"));
    assert!(refused.status == 422 && refused.text().contains("role=\"alert\""), "{}", refused.text());
}

#[test]
fn keys_cannot_be_tried_faster_than_over_the_api() {
    let app = TestApp::start_with(|config| config.limits.refused_per_minute = 3);
    let mut visitor = app.visitor();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(visitor.send_form("/admin/sign-in", &[FORM], b"key=wp_wrong").status);
    }
    assert_eq!(statuses, [401, 401, 401, 429]);
    // The API counts the same attempts, and so do cookies that open nothing.
    assert_eq!(visitor.get("/api/v1/links").status, 429);
    let guess = visitor.send("GET", "/admin", &[("Cookie", "__Host-waypost=guess")], None);
    let plain = visitor.send("GET", "/admin", &[("Cookie", "waypost=guess")], None);
    assert!(guess.status == 429 || plain.status == 429, "{guess:?} {plain:?}");
    // The form itself is still shown.
    assert_eq!(app.visitor().get("/admin/sign-in").status, 200);
}
